"""Tokens for machines and people: 256 random bits, stored as their SHA-256, for one project, expiring, revocable."""

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass, field
from typing import Literal

from taut.errors import NotFound
from taut.ground.access.projects import DEFAULT, SERVER, roles_of
from taut.ground.access.roles import SERVER_ROLES, rights_of
from taut.ground.access.state import note_change
from taut.ground.access.users import check_role
from taut.ground.meta import Row, Tx

Holder = Literal["service", "own", "session"]
PREFIX = "taut_"  # Lets secret scanners know one when they see one.
DIGITS = string.digits + string.ascii_letters
SECRET_DIGITS, CHECK_DIGITS = 43, 6  # 62 ** 43 is past 2 ** 256, and 62 ** 6 past 2 ** 32.
KEPT_SOON_MS, KEPT_MS = 86_400_000, 90 * 86_400_000  # After the end of a session, and of what somebody named.
USED_EVERY_MS = 3_600_000  # When a token was last used is written down so often, not with each request.

COLUMNS = "id, name, role, project, kind, made_by, created_ms, expires_ms, revoked_ms, used_ms"
INSERT = """
INSERT INTO token (id, name, hash, role, project, kind, account_id, made_by, created_ms, expires_ms, revoked_ms)
VALUES (:id, :name, :hash, :role, :project, :kind, :account_id, :made_by, :created_ms, :expires_ms, NULL)
"""
SELECT_ONE = """
SELECT token.id, token.name, token.role, token.project, token.kind, token.expires_ms, token.revoked_ms, token.used_ms,
    account.id, account.name, account.disabled_ms
FROM token LEFT JOIN account ON account.id = token.account_id WHERE token.hash = :hash
"""
SELECT_AGAIN = SELECT_ONE.replace("token.hash = :hash", "token.id = :id")
SELECT_ALL = f"SELECT {COLUMNS} FROM token ORDER BY created_ms, id"  # noqa: S608  # Constants only.
SELECT_OF_PROJECT = f"SELECT {COLUMNS} FROM token WHERE project = :project ORDER BY created_ms, id"  # noqa: S608
SELECT_OF_ACCOUNT = f"SELECT {COLUMNS} FROM token WHERE account_id = :account_id ORDER BY created_ms, id"  # noqa: S608
SELECT_BY_ID = "SELECT project, kind, account_id FROM token WHERE id = :id AND revoked_ms IS NULL"
REVOKE = "UPDATE token SET revoked_ms = :now_ms WHERE id = :id AND revoked_ms IS NULL"
END_SESSIONS = """
UPDATE token SET revoked_ms = :now_ms
WHERE account_id = :account_id AND kind = 'session' AND revoked_ms IS NULL AND id <> :but
"""
# Sessions and what trusts gave come by the thousand and are of no use once they ended; others are looked for longer.
ENDED = """
COALESCE(revoked_ms, expires_ms) <= :soon_ms
AND (kind = 'session' OR made_by LIKE 'trust:%' OR COALESCE(revoked_ms, expires_ms) <= :late_ms)
"""
SELECT_ENDED = f"SELECT id FROM token WHERE {ENDED} ORDER BY COALESCE(revoked_ms, expires_ms), id LIMIT :most"  # noqa: S608
COUNT_ENDED = f"SELECT COUNT(*) FROM token WHERE {ENDED}"  # noqa: S608
DELETE_SOME = "DELETE FROM token WHERE id IN [:ids]"
NOTE_USE = "UPDATE token SET used_ms = :now_ms WHERE id = :id"


@dataclass(frozen=True, slots=True)
class Token:
    """What may be shown of a token: never its secret. `used_ms` is to the hour."""

    id: str
    name: str
    role: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    project: str = DEFAULT
    kind: Holder = "service"
    made_by: str = ""
    used_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is on the whole server: their roles by project, and what bounds them.

    `account_id` is there for people, `token` for who showed one; `project` is the only one that the token is for.
    """

    name: str
    roles: dict[str, str]
    account_id: int | None = None
    token: str = ""
    project: str = ""
    within: frozenset[str] | None = None
    ends_ms: int | None = None
    is_stale: bool = field(default=False, compare=False)
    """Whether it is time to write down that the token was used."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The project, the kind and the account of a token."""

    project: str
    kind: str
    account_id: int | None


def new_secret() -> str:
    """A secret that nobody can guess, with a checksum at its end that tells it from what only looks like one."""
    drawn = _digits(secrets.randbits(256), SECRET_DIGITS)
    return PREFIX + drawn + _check(drawn)


def is_whole(secret: str) -> bool:
    """Whether this may be a token of ours: the checksum fits, or it is as old as those that had none.

    >>> is_whole("taut_" + "0" * 43 + "nope42")
    False
    """
    drawn = secret.removeprefix(PREFIX)
    if len(drawn) != SECRET_DIGITS + CHECK_DIGITS:
        return secret.startswith(PREFIX)
    return drawn[SECRET_DIGITS:] == _check(drawn[:SECRET_DIGITS])


def insert_token(
    tx: Tx, name: str, role: str, *, now_ms: int, expires_ms: int | None, project: str = DEFAULT,
    kind: Holder = "service", account_id: int | None = None, made_by: str = "",
) -> tuple[Token, str]:  # fmt: skip
    """Make a token; returns it and its secret, shown this once. Raises Invalid for an unknown role."""
    for one in role.split("+") if role or kind == "service" else ():
        check_role(one)
    note_change(tx, login=True)
    secret = new_secret()
    where = SERVER if role in SERVER_ROLES else project
    token = Token(secrets.token_hex(6), name, role, now_ms, expires_ms, None, where, kind, made_by)
    tx.execute(INSERT, {
        "id": token.id, "name": name, "hash": _hash(secret), "role": role, "project": where, "kind": kind,
        "account_id": account_id, "made_by": made_by, "created_ms": now_ms, "expires_ms": expires_ms,
    })  # fmt: skip
    return token, secret


def identity_of_token(tx: Tx, secret: str, *, now_ms: int) -> Identity | None:
    """Whom a secret stands for; None where it is unknown, expired, revoked, or its user gone or disabled."""
    found = tx.row(SELECT_ONE, {"hash": _hash(secret)}) if is_whole(secret) else None
    return None if found is None else _identity(tx, found, now_ms)


def identity_again(tx: Tx, token_id: str, *, now_ms: int) -> Identity | None:
    """The same for a token that was shown before, by its id."""
    found = tx.row(SELECT_AGAIN, {"id": token_id})
    return None if found is None else _identity(tx, found, now_ms)


def note_use(tx: Tx, token_id: str, *, now_ms: int) -> None:
    """Write down that a token was used."""
    tx.execute(NOTE_USE, {"id": token_id, "now_ms": now_ms})


def delete_ended_tokens(tx: Tx, *, most: int, now_ms: int) -> list[str]:
    """Forget up to so many tokens that ended long ago, the first first; returns their ids.

    A day after the end of a session or of what a trust gave, 90 days after that of others.
    """
    ids = [str(id) for (id,) in tx.rows(SELECT_ENDED, {**_long_ago(now_ms), "most": most})]
    if ids:
        tx.execute(DELETE_SOME, {"ids": ids})
    return ids


def count_ended_tokens(tx: Tx, *, now_ms: int) -> int:
    """How many there are to forget."""
    row = tx.row(COUNT_ENDED, _long_ago(now_ms))
    assert row is not None
    return int(str(row[0]))


def list_tokens(tx: Tx, *, project: str = "", account_id: int | None = None) -> list[Token]:
    """Every token ever made, or those of a project or an account, oldest first."""
    if account_id is not None:
        rows = tx.rows(SELECT_OF_ACCOUNT, {"account_id": account_id})
    elif project:
        rows = tx.rows(SELECT_OF_PROJECT, {"project": project})
    else:
        rows = tx.rows(SELECT_ALL)
    return [_token(row) for row in rows]


def owner_of_token(tx: Tx, token_id: str) -> Owner:
    """Whose a working token is. Raises NotFound where there is none."""
    found = tx.row(SELECT_BY_ID, {"id": token_id})
    if found is None:
        raise no_token(token_id)
    return Owner(str(found[0]), str(found[1]), _whole(found[2]))


def revoke_token(tx: Tx, token_id: str, *, now_ms: int) -> None:
    """End a token now. Raises NotFound where there is none that still works."""
    if not tx.execute(REVOKE, {"id": token_id, "now_ms": now_ms}):
        raise no_token(token_id)
    note_change(tx)


def end_sessions(tx: Tx, account_id: int, *, now_ms: int, but: str = "") -> int:
    """End the sessions of an account, all but one; returns how many there were."""
    note_change(tx)
    return tx.execute(END_SESSIONS, {"account_id": account_id, "now_ms": now_ms, "but": but})


def no_token(token_id: str) -> NotFound:
    """There is no such token, or none that the caller may know of."""
    return NotFound(f"no working token {token_id[:40]!r}", hint="taut token list")


def _identity(tx: Tx, row: Row, now_ms: int) -> Identity | None:
    id, name, role, project, kind, expires_ms, revoked_ms, used_ms, account_id, account, disabled_ms = row
    if revoked_ms is not None or (expires_ms is not None and int(str(expires_ms)) <= now_ms):
        return None
    stale = used_ms is None or int(str(used_ms)) + USED_EVERY_MS <= now_ms
    bound = "" if project == SERVER else str(project)
    ends_ms = _whole(expires_ms)
    if kind == "service":
        return Identity(str(name), {str(project): str(role)}, None, str(id), bound, None, ends_ms, stale)
    if account_id is None or disabled_ms is not None:
        return None
    within = rights_of(str(role)) if role else None
    roles = roles_of(tx, int(str(account_id)))
    return Identity(str(account), roles, int(str(account_id)), str(id), bound, within, ends_ms, stale)


def _token(row: Row) -> Token:
    id, name, role, project, kind, made_by, created, expires, revoked, used = row
    holder: Holder = "service" if kind == "service" else "own" if kind == "own" else "session"
    return Token(
        str(id), str(name), str(role), int(str(created)), _whole(expires), _whole(revoked), str(project), holder,
        str(made_by), _whole(used),
    )  # fmt: skip


def _digits(number: int, length: int) -> str:
    found = []
    for _ in range(length):
        number, rest = divmod(number, len(DIGITS))
        found.append(DIGITS[rest])
    return "".join(found)


def _check(drawn: str) -> str:
    return _digits(zlib.crc32(drawn.encode()), CHECK_DIGITS)


def _hash(secret: str) -> str:
    """A slow hash is for passwords; 256 random bits need none."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _long_ago(now_ms: int) -> dict[str, int]:
    return {"soon_ms": now_ms - KEPT_SOON_MS, "late_ms": now_ms - KEPT_MS}


def _whole(value: str | int | float | None) -> int | None:
    return None if value is None else int(value)
