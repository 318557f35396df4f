"""Who may do what: actors, roles as data, one check of one permission, tokens for machines."""

from taut.ground.access.actors import Actor, local_actor
from taut.ground.access.roles import PERMISSIONS, ROLES, is_allowed
from taut.ground.access.tokens import Token, actor_of_token, has_tokens, insert_token, list_tokens, revoke_token

__all__ = [
    "PERMISSIONS",
    "ROLES",
    "Actor",
    "Token",
    "actor_of_token",
    "has_tokens",
    "insert_token",
    "is_allowed",
    "list_tokens",
    "local_actor",
    "revoke_token",
]
