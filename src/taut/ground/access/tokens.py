"""Tokens for machines and people: 256 random bits, stored only as their SHA-256, with a role, revocable, expiring."""

import hashlib
import secrets
from dataclasses import dataclass

from taut.errors import NotFound
from taut.ground.access.actors import Actor
from taut.ground.access.remembered import Caller
from taut.ground.access.state import note_change
from taut.ground.access.users import check_role
from taut.ground.meta import Tx

PREFIX = "taut_"  # Lets secret scanners know one when they see one.

INSERT = """
INSERT INTO token (id, name, hash, role, created_ms, expires_ms, revoked_ms)
VALUES (:id, :name, :hash, :role, :created_ms, :expires_ms, NULL)
"""
SELECT_ONE = "SELECT name, role, expires_ms, revoked_ms FROM token WHERE hash = :hash"
SELECT_ALL = "SELECT id, name, role, created_ms, expires_ms, revoked_ms FROM token ORDER BY created_ms, id"
REVOKE = "UPDATE token SET revoked_ms = :now_ms WHERE id = :id AND revoked_ms IS NULL"


@dataclass(frozen=True, slots=True)
class Token:
    """What may be shown of a token: never its secret."""

    id: str
    name: str
    role: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None


def insert_token(tx: Tx, name: str, role: str, *, now_ms: int, expires_ms: int | None) -> tuple[Token, str]:
    """Make a token; returns it and its secret, shown this once. Raises Invalid for an unknown role."""
    check_role(role)
    note_change(tx, login=True)
    secret = PREFIX + secrets.token_urlsafe(32)
    token = Token(secrets.token_hex(6), name, role, now_ms, expires_ms, None)
    tx.execute(INSERT, {
        "id": token.id, "name": name, "hash": _hash(secret), "role": role, "created_ms": now_ms,
        "expires_ms": expires_ms,
    })  # fmt: skip
    return token, secret


def actor_of_token(tx: Tx, secret: str, *, now_ms: int) -> Actor | None:
    """The actor that a secret stands for; None where it is unknown, expired or revoked."""
    found = caller_of_token(tx, secret, now_ms=now_ms)
    return None if found is None else found.actor


def caller_of_token(tx: Tx, secret: str, *, now_ms: int) -> Caller | None:
    """The same, with the time when the token ends."""
    found = tx.row(SELECT_ONE, {"hash": _hash(secret)})
    if found is None:
        return None
    name, role, expires_ms, revoked_ms = found
    if revoked_ms is not None or (expires_ms is not None and int(expires_ms) <= now_ms):
        return None
    return Caller(Actor(name=str(name), role=str(role)), _whole(expires_ms))


def list_tokens(tx: Tx) -> list[Token]:
    """Every token ever made, oldest first."""
    return [
        Token(str(id), str(name), str(role), int(str(created)), _whole(expires), _whole(revoked))
        for id, name, role, created, expires, revoked in tx.rows(SELECT_ALL)
    ]


def revoke_token(tx: Tx, token_id: str, *, now_ms: int) -> None:
    """End a token now. Raises NotFound where there is none that still works."""
    if not tx.execute(REVOKE, {"id": token_id, "now_ms": now_ms}):
        raise NotFound(f"no working token {token_id!r}", hint="taut token list")
    note_change(tx)


def _hash(secret: str) -> str:
    """A slow hash is for passwords; 256 random bits need none."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _whole(value: str | int | float | None) -> int | None:
    return None if value is None else int(value)
