"""Users of this home: a name, a role and the hash of a password. Rows only; who may change them is asked elsewhere."""

import re
from dataclasses import dataclass

from taut.errors import Conflict, Invalid, NotFound
from taut.ground.access.grants import Grants, read_grants
from taut.ground.access.roles import ROLES
from taut.ground.access.state import note_change
from taut.ground.meta import Row, Tx

NAME_MAX = 255

COLUMNS = "id, name, role, created_ms, updated_ms"
INSERT = """
INSERT INTO account (id, name, hash, role, created_ms, updated_ms) VALUES (:id, :name, :hash, :role, :at_ms, :at_ms)
ON CONFLICT (name) DO NOTHING
"""
SELECT_ONE = f"SELECT {COLUMNS} FROM account WHERE name = :name"  # noqa: S608  # Constants only.
SELECT_ALL = f"SELECT {COLUMNS} FROM account ORDER BY id"  # noqa: S608
SELECT_LOGIN = "SELECT id, hash, role FROM account WHERE name = :name"
SET_HASH = "UPDATE account SET hash = :hash, updated_ms = :at_ms WHERE id = :id"
SET_ROLE = "UPDATE account SET role = :role, updated_ms = :at_ms WHERE id = :id"
DELETE_OWN_GRANTS = "DELETE FROM grant_row WHERE set_id IN (SELECT id FROM grant_set WHERE account_id = :id)"
DELETE_HOLDINGS = "DELETE FROM grant_holder WHERE account_id = :id"
DELETE_OWN_SET = "DELETE FROM grant_set WHERE account_id = :id"
DELETE = "DELETE FROM account WHERE id = :id"
COUNT_LOGINS = """
SELECT (SELECT COUNT(*) FROM account)
    + (SELECT COUNT(*) FROM token WHERE revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > :now_ms))
"""
COUNT_OWNERS = """
SELECT (SELECT COUNT(*) FROM account WHERE role = 'owner' AND name <> :but) + (SELECT COUNT(*) FROM token
    WHERE role = 'owner' AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > :now_ms))
"""


@dataclass(frozen=True, slots=True)
class User:
    """What may be shown of a user: never the hash of the password."""

    id: int
    name: str
    role: str
    created_ms: int
    updated_ms: int

    @property
    def is_admin(self) -> bool:
        """Whether they own the home, which MLflow's clients call an admin."""
        return self.role == "owner"


@dataclass(frozen=True, slots=True)
class Login:
    """What a password is held against."""

    id: int
    hash: str
    role: str


def check_user_name(name: str) -> None:
    """Raise Invalid for a name that could not stand before the colon of basic authentication."""
    if not name.strip() or len(name) > NAME_MAX or re.search(r"[:\x00-\x1f\x7f]", name):
        raise Invalid(f"{name[:80]!r} cannot name a user: 1 to {NAME_MAX} characters, no colon, none of control")


def check_role(role: str) -> None:
    """Raise Invalid where there is no such role to be given."""
    if role not in ROLES or role == "anonymous":
        raise Invalid(f"there is no role {role!r}; there are {', '.join(sorted(ROLES.keys() - {'anonymous'}))}")


def insert_user(tx: Tx, name: str, hash: str, role: str, *, now_ms: int) -> User:
    """Write a new user down. Raises Conflict where the name is taken, Invalid for an unknown role."""
    check_role(role)
    number = note_change(tx, login=True)
    if not tx.execute(INSERT, {"id": number, "name": name, "hash": hash, "role": role, "at_ms": now_ms}):
        raise Conflict(f"User (username={name}) already exists", hint=f"taut user show {name}")
    return User(number, name, role, now_ms, now_ms)


def read_user(tx: Tx, name: str) -> User:
    """The user of that name. Raises NotFound."""
    found = tx.row(SELECT_ONE, {"name": name})
    if found is None:
        raise NotFound(f"User with username={name[:80]} not found", hint="taut user list")
    return _user(found)


def list_users(tx: Tx) -> list[User]:
    """Every user, oldest first."""
    return [_user(row) for row in tx.rows(SELECT_ALL)]


def read_login(tx: Tx, name: str) -> Login | None:
    """What a user's password is held against; None where there is no such user."""
    found = tx.row(SELECT_LOGIN, {"name": name})
    return None if found is None else Login(int(str(found[0])), str(found[1]), str(found[2]))


def grants_of(tx: Tx, account_id: int) -> Grants:
    """All that a user was granted."""
    return Grants(account_id, read_grants(tx, account_id))


def set_hash(tx: Tx, user: User, hash: str, *, now_ms: int) -> None:
    """Give a user another password."""
    note_change(tx)
    tx.execute(SET_HASH, {"id": user.id, "hash": hash, "at_ms": now_ms})


def set_role(tx: Tx, user: User, role: str, *, now_ms: int) -> None:
    """Give a user another role. Raises Invalid for one that is not there."""
    check_role(role)
    note_change(tx)
    tx.execute(SET_ROLE, {"id": user.id, "role": role, "at_ms": now_ms})


def delete_user_row(tx: Tx, user: User) -> None:
    """Take a user away, with all that was granted to them; who gets the name later inherits nothing."""
    note_change(tx)
    for statement in (DELETE_OWN_GRANTS, DELETE_HOLDINGS, DELETE_OWN_SET, DELETE):
        tx.execute(statement, {"id": user.id})


def has_logins(tx: Tx, *, now_ms: int) -> bool:
    """Whether anybody could log in now: a user, or a token that works."""
    return tx.row(COUNT_LOGINS, {"now_ms": now_ms}) != (0,)


def has_owner(tx: Tx, *, now_ms: int, but: str = "") -> bool:
    """Whether somebody who may do everything could log in, the user `but` left aside."""
    return tx.row(COUNT_OWNERS, {"now_ms": now_ms, "but": but}) != (0,)


def _user(row: Row) -> User:
    id, name, role, created, updated = row
    return User(int(str(id)), str(name), str(role), int(str(created)), int(str(updated)))
