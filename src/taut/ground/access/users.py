"""Users of this server: a name, the hash of a password, roles in projects. Rows only; rights are asked elsewhere."""

import re
from dataclasses import dataclass

from taut.errors import Conflict, Invalid, NotFound
from taut.ground.access.grants import Grants, read_grants
from taut.ground.access.projects import DEFAULT, SERVER, insert_binding, role_in, roles_of
from taut.ground.access.roles import ROLES, SERVER_ROLES
from taut.ground.access.state import note_change
from taut.ground.meta import Row, Tx

NAME_MAX = 255

COLUMNS = "id, name, created_ms, updated_ms, disabled_ms"
INSERT = """
INSERT INTO account (id, name, hash, created_ms, updated_ms) VALUES (:id, :name, :hash, :at_ms, :at_ms)
ON CONFLICT (name) DO NOTHING
"""
SELECT_ONE = f"SELECT {COLUMNS} FROM account WHERE name = :name"  # noqa: S608  # Constants only.
SELECT_ALL = f"SELECT {COLUMNS} FROM account ORDER BY id"  # noqa: S608
SELECT_ROLES = "SELECT account_id, project, role FROM binding ORDER BY role"
SELECT_BY_ID = "SELECT name FROM account WHERE id = :id AND disabled_ms IS NULL"
SELECT_LOGIN = "SELECT id, hash, disabled_ms FROM account WHERE name = :name"
SET_HASH = "UPDATE account SET hash = :hash, updated_ms = :at_ms WHERE id = :id"
SET_DISABLED = "UPDATE account SET disabled_ms = :disabled_ms, updated_ms = :at_ms WHERE id = :id"
TOUCH = "UPDATE account SET updated_ms = :at_ms WHERE id = :id"
UNBIND = "DELETE FROM binding WHERE account_id = :id AND project IN [:projects]"
DELETE_OWN_GRANTS = "DELETE FROM grant_row WHERE set_id IN (SELECT id FROM grant_set WHERE account_id = :id)"
DELETE_HOLDINGS = "DELETE FROM grant_holder WHERE account_id = :id"
DELETE_OWN_SET = "DELETE FROM grant_set WHERE account_id = :id"
DELETE_BINDINGS = "DELETE FROM binding WHERE account_id = :id"
DELETE_LINKS = "DELETE FROM account_link WHERE account_id = :id"
DELETE = "DELETE FROM account WHERE id = :id"
COUNT_LOGINS = """
SELECT (SELECT COUNT(*) FROM account WHERE disabled_ms IS NULL)
    + (SELECT COUNT(*) FROM token WHERE revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > :now_ms))
"""
COUNT_ADMINS = """
SELECT (SELECT COUNT(*) FROM account JOIN binding ON binding.account_id = account.id
    WHERE binding.project = '*' AND account.disabled_ms IS NULL AND account.name <> :but)
    + (SELECT COUNT(*) FROM token
    WHERE project = '*' AND kind = 'service' AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > :now_ms))
"""


@dataclass(frozen=True, slots=True)
class User:
    """What may be shown of a user: never the hash of the password. `role` is theirs in the project that was asked for,
    several joined by `+`, empty for no member."""

    id: int
    name: str
    role: str
    created_ms: int
    updated_ms: int
    disabled: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether they own the home, which MLflow's clients call an admin."""
        return self.role == "owner"

    @property
    def administers(self) -> bool:
        """Whether they administer the server: as its owner or its admin."""
        return not SERVER_ROLES.isdisjoint(self.role.split("+"))


@dataclass(frozen=True, slots=True)
class Login:
    """What a password is held against, and the roles behind it by project."""

    id: int
    hash: str
    roles: dict[str, str]
    disabled: bool


def check_user_name(name: str) -> None:
    """Raise Invalid for a name that could not stand before the colon of basic authentication."""
    if not name.strip() or len(name) > NAME_MAX or re.search(r"[:\x00-\x1f\x7f]", name):
        raise Invalid(f"{name[:80]!r} cannot name a user: 1 to {NAME_MAX} characters, no colon, none of control")


def check_role(role: str) -> None:
    """Raise Invalid where there is no such role to be given."""
    if role not in ROLES or role == "anonymous":
        raise Invalid(f"there is no role {role!r}; there are {', '.join(sorted(ROLES.keys() - {'anonymous'}))}")


def insert_user(tx: Tx, name: str, hash: str, role: str, *, project: str = DEFAULT, now_ms: int) -> User:
    """Write a new user down, bound to a role in a project, or to none where it is empty.

    Raises Conflict where the name is taken, Invalid for an unknown role.
    """
    if role:
        check_role(role)
    number = note_change(tx, login=True)
    if not tx.execute(INSERT, {"id": number, "name": name, "hash": hash, "at_ms": now_ms}):
        raise Conflict(f"User (username={name}) already exists", hint=f"taut user show {name}")
    if role:
        insert_binding(tx, number, SERVER if role in SERVER_ROLES else project, role)
    return User(number, name, role, now_ms, now_ms)


def read_user(tx: Tx, name: str, project: str = DEFAULT) -> User:
    """The user of that name, with their role in a project. Raises NotFound."""
    found = tx.row(SELECT_ONE, {"name": name})
    if found is None:
        raise NotFound(f"User with username={name[:80]} not found", hint="taut user list")
    return _user(found, roles_of(tx, int(str(found[0]))), project)


def list_users(tx: Tx, project: str = DEFAULT) -> list[User]:
    """Every user, oldest first, with their role in a project."""
    held: dict[int, dict[str, str]] = {}
    for account, where, role in tx.rows(SELECT_ROLES):
        roles = held.setdefault(int(str(account)), {})
        roles[str(where)] = f"{roles[str(where)]}+{role}" if str(where) in roles else str(role)
    return [_user(row, held.get(int(str(row[0])), {}), project) for row in tx.rows(SELECT_ALL)]


def read_login(tx: Tx, name: str) -> Login | None:
    """What a user's password is held against; None where there is no such user."""
    found = tx.row(SELECT_LOGIN, {"name": name})
    if found is None:
        return None
    account_id = int(str(found[0]))
    return Login(account_id, str(found[1]), roles_of(tx, account_id), found[2] is not None)


def name_of_account(tx: Tx, account_id: int) -> str | None:
    """The name of a user who can log in; None where there is none of that number any more."""
    found = tx.row(SELECT_BY_ID, {"id": account_id})
    return None if found is None else str(found[0])


def grants_of(tx: Tx, account_id: int) -> Grants:
    """All that a user was granted."""
    return Grants(account_id, read_grants(tx, account_id))


def set_hash(tx: Tx, user: User, hash: str, *, now_ms: int) -> None:
    """Give a user another password."""
    note_change(tx)
    tx.execute(SET_HASH, {"id": user.id, "hash": hash, "at_ms": now_ms})


def set_role(tx: Tx, user: User, role: str, *, project: str = DEFAULT, now_ms: int) -> None:
    """Give a user this role, and no other in the project and on the server. Raises Invalid for an unknown one."""
    check_role(role)
    note_change(tx)
    tx.execute(UNBIND, {"id": user.id, "projects": [SERVER, project]})
    insert_binding(tx, user.id, SERVER if role in SERVER_ROLES else project, role)
    tx.execute(TOUCH, {"id": user.id, "at_ms": now_ms})


def set_disabled(tx: Tx, user: User, *, disabled: bool, now_ms: int) -> None:
    """Let a user log in no more, or again."""
    note_change(tx)
    tx.execute(SET_DISABLED, {"id": user.id, "disabled_ms": now_ms if disabled else None, "at_ms": now_ms})


def delete_user_row(tx: Tx, user: User) -> None:
    """Take a user away, with all that was granted to them; who gets the name later inherits nothing."""
    note_change(tx)
    for statement in (DELETE_OWN_GRANTS, DELETE_HOLDINGS, DELETE_OWN_SET, DELETE_BINDINGS, DELETE_LINKS, DELETE):
        tx.execute(statement, {"id": user.id})


def has_logins(tx: Tx, *, now_ms: int) -> bool:
    """Whether anybody could log in now: a user, or a token that works."""
    return tx.row(COUNT_LOGINS, {"now_ms": now_ms}) != (0,)


def has_admin(tx: Tx, *, now_ms: int, but: str = "") -> bool:
    """Whether somebody who administers the server could log in, the user `but` left aside."""
    return tx.row(COUNT_ADMINS, {"now_ms": now_ms, "but": but}) != (0,)


def _user(row: Row, roles: dict[str, str], project: str) -> User:
    id, name, created, updated, disabled = row
    role = role_in(roles, project)
    return User(int(str(id)), str(name), role, int(str(created)), int(str(updated)), disabled is not None)
