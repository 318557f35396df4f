"""Whether a caller may still do what they were let in for: asked again inside the transaction of each change.

A caller is let in with what was known then. Whoever takes something from them raises the version of access, and every
transaction that changes anything learns the version when it takes its turn at the ledger. Where that is another one
than the caller was let in with, what they have now is held against what they had.
"""

from taut.ground.access.actors import Actor
from taut.ground.access.projects import find_project, role_in, roles_of
from taut.ground.access.roles import rights_of
from taut.ground.access.tokens import Identity, identity_again
from taut.ground.access.users import grants_of, name_of_account
from taut.ground.meta import Tx


def actor_in(identity: Identity, project_id: str) -> Actor:
    """Who somebody is in one project, but for what was granted to them there."""
    is_elsewhere = identity.project not in ("", project_id)
    role = "" if is_elsewhere else role_in(identity.roles, project_id)
    return Actor(identity.name, role, None, identity.within, identity.token)


def may_as_before(tx: Tx, actor: Actor, *, now_ms: int) -> bool:
    """Whether nothing that a caller was let in with is gone: token, account, project, a right of their roles there.

    `tx` reads the server's own home. What was granted on single things is not looked at, see `has_grants`.
    """
    assert actor.seen is not None, "who needs no login has nothing to lose"
    project_id = actor.seen.project
    if find_project(tx, project_id) is None:
        return False
    if actor.token:
        identity = identity_again(tx, actor.token, now_ms=now_ms)
    else:
        assert actor.grants is not None, "who shows no token is a user"
        account_id = actor.grants.account_id
        name = name_of_account(tx, account_id)
        identity = None if name is None else Identity(name, roles_of(tx, account_id), account_id)
    return identity is not None and rights_of(actor.role) <= rights_of(actor_in(identity, project_id).role)


def has_grants(tx: Tx, actor: Actor) -> bool:
    """Whether all that was granted to a caller in the project that `tx` reads is theirs still."""
    return actor.grants is None or actor.grants.keep(grants_of(tx, actor.grants.account_id))
