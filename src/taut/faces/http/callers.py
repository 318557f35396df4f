"""Who calls: the actor behind a token, or, on loopback of a home without tokens, its owner."""

import base64
import binascii
from enum import Enum
from typing import Final, Literal

from taut.ground.access import Actor, actor_of_token, has_tokens
from taut.home import Home


class _Miss(Enum):
    MISS = 0


MISS: Final = _Miss.MISS
"""What is not known without a look at the database."""

ANONYMOUS = Actor("anonymous", "anonymous")


def actor_of(home: Home, authorization: str, *, trusted: str = "", address: str = "") -> Actor | None:
    """The actor of an Authorization header; None where a token is needed and none that works was given.

    A token comes as `Bearer TOKEN`, or as the password of `Basic`, as MLflow's clients send it. `trusted` is a token
    that this process made for its own children: whoever has it is the home's own actor.
    """
    secret = _secret(authorization)
    if trusted:
        return home.actor if secret == trusted else None
    with home.meta.read() as tx:
        if secret:
            return actor_of_token(tx, secret, now_ms=home.clock.now_ms())
        return None if has_tokens(tx) else home.actor


def cached_actor_of(home: Home, authorization: str, *, trusted: str = "") -> Actor | Literal[_Miss.MISS] | None:
    """The same where it is known already, else MISS."""
    if trusted:
        return home.actor if _secret(authorization) == trusted else None
    return MISS


def _secret(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return "unreadable"
    return ""
