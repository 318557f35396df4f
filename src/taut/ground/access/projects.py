"""Projects and who is bound to which role in them, as rows of the server's own home."""

import re
import secrets
from dataclasses import dataclass, field

from taut.errors import Conflict, Invalid, NotFound, Refused
from taut.ground.access.roles import EXCLUSIVE, ROLES, SERVER_ROLES
from taut.ground.access.state import note_change
from taut.ground.meta import Row, Tx, Value

DEFAULT = "default"
"""The project that the server's own home is: both its name and its id."""
SERVER = "*"
"""In place of a project: the server as a whole."""
# As MLflow names workspaces, so that its clients can ask for each.
NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])")
RESERVED = frozenset({"api", "ajax-api", "static-files", "workspaces"})
GIVEN = frozenset(role for role in ROLES.keys() - SERVER_ROLES - {"anonymous"} if not role.startswith("scope:"))
"""Roles that can be given in a project."""

COLUMNS = "id, name, description, created_ms"
INSERT = "INSERT INTO project (id, name, description, created_ms) VALUES (:id, :name, :description, :created_ms)"
SELECT_ONE = f"SELECT {COLUMNS} FROM project WHERE name = :name AND deleted_ms IS NULL"  # noqa: S608  # Constants only.
SELECT_BY_ID = f"SELECT {COLUMNS} FROM project WHERE id = :id AND deleted_ms IS NULL"  # noqa: S608
SELECT_ENDED = f"""
SELECT {COLUMNS} FROM project WHERE deleted_ms <= :until_ms AND condemned_ms IS NULL ORDER BY deleted_ms, id
"""  # noqa: S608
SELECT_CONDEMNED = f"SELECT {COLUMNS} FROM project WHERE condemned_ms IS NOT NULL AND gone_ms IS NULL ORDER BY id"  # noqa: S608
SELECT_ALL = f"SELECT {COLUMNS} FROM project WHERE deleted_ms IS NULL ORDER BY name"  # noqa: S608
DESCRIBE = "UPDATE project SET description = :description WHERE id = :id"
RESTORE = "UPDATE project SET deleted_ms = NULL WHERE id = :id AND condemned_ms IS NULL"
CONDEMN = """
UPDATE project SET condemned_ms = :now_ms WHERE id = :id AND deleted_ms <= :until_ms AND condemned_ms IS NULL
"""
NOTE_GONE = "UPDATE project SET gone_ms = :now_ms WHERE id = :id AND condemned_ms IS NOT NULL AND gone_ms IS NULL"
DELETE = "UPDATE project SET deleted_ms = :now_ms WHERE id = :id"
UNBIND_ALL = "DELETE FROM binding WHERE project = :id"
UNTRUST_ALL = "DELETE FROM trust WHERE project = :id"
UNMAP_ALL = "DELETE FROM group_role WHERE project = :id"
REVOKE_ALL = "UPDATE token SET revoked_ms = :now_ms WHERE project = :id AND revoked_ms IS NULL"

ROLES_OF = "SELECT project, role FROM binding WHERE account_id = :account_id ORDER BY role"
INSERT_BINDING = """
INSERT INTO binding (id, account_id, project, role, of_groups, given_by)
VALUES (:id, :account_id, :project, :role, :of_groups, :given_by)
"""
KEEP_BINDING = """
UPDATE binding SET of_groups = 0, given_by = :given_by
WHERE account_id = :account_id AND project = :project AND role = :role AND of_groups = 1
"""
DELETE_BINDING = "DELETE FROM binding WHERE account_id = :account_id AND project = :project AND role = :role"
BINDINGS = """
SELECT account.name, binding.project, binding.role, binding.of_groups, binding.given_by
FROM binding JOIN account ON account.id = binding.account_id
WHERE binding.of_groups IN [:of_groups] ORDER BY account.name, binding.project, binding.role
"""


@dataclass(frozen=True, slots=True)
class Project:
    """A home of its own on this server."""

    id: str
    name: str
    description: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class Binding:
    """A user has a role in a project, given by its id, or on the server, which is `*`.

    `by` says what gave it: `hand`, `file`, or `group NAME of ISSUER`; `groups` where nobody wrote down which.
    """

    user: str
    project: str
    role: str
    by: str = field(default="hand", compare=False)


def no_project(name: str) -> NotFound:
    """What is said of a project that is not there, and, word for word, to who is no member of one that is."""
    return NotFound(f"there is no project {name[:80]!r}", hint="taut project list")


def insert_project(tx: Tx, name: str, description: str, *, now_ms: int) -> Project:
    """Write a new project down. Raises Invalid for an impossible name, Conflict where it is taken."""
    if len(name) > 63 or NAME.fullmatch(name) is None or name in RESERVED:
        raise Invalid(
            f"{name[:80]!r} cannot name a project: 2 to 63 small letters, digits and hyphens, none of these at an end"
        )
    note_change(tx)
    if tx.row(SELECT_ONE, {"name": name}) is not None:
        raise Conflict(f"there is a project {name!r} already", hint="taut project list")
    made = Project(secrets.token_hex(8), name, description, now_ms)
    tx.execute(INSERT, {"id": made.id, "name": name, "description": description, "created_ms": now_ms})
    return made


def read_project(tx: Tx, name: str) -> Project:
    """The project of that name. Raises NotFound."""
    found = tx.row(SELECT_ONE, {"name": name})
    if found is None:
        raise no_project(name)
    return _project(found)


def find_project(tx: Tx, project_id: str) -> Project | None:
    """The project of that id; None where there is none any more."""
    found = tx.row(SELECT_BY_ID, {"id": project_id})
    return None if found is None else _project(found)


def list_projects(tx: Tx) -> list[Project]:
    """Every project, by name."""
    return [_project(row) for row in tx.rows(SELECT_ALL)]


def ended_projects(tx: Tx, *, until_ms: int = 2**62) -> list[Project]:
    """The projects that ended until then and can still be had back, the longest ended first."""
    return [_project(row) for row in tx.rows(SELECT_ENDED, {"until_ms": until_ms})]


def restore_project_row(tx: Tx, name: str) -> Project:
    """Let the project of that name that ended last be there again, without members.

    Raises NotFound where none ended or it is condemned already, Conflict where another has the name now.
    """
    ended = [one for one in ended_projects(tx) if one.name == name]
    if not ended:
        raise NotFound(f"no project {name[:80]!r} ended that is still stored", hint="taut project list")
    if tx.row(SELECT_ONE, {"name": name}) is not None:
        raise Conflict(f"there is a project {name!r} already", hint="taut project list")
    note_change(tx)
    tx.execute(RESTORE, {"id": ended[-1].id})
    return ended[-1]


def condemned_projects(tx: Tx) -> list[Project]:
    """The projects whose stores are to be removed, and may be half removed."""
    return [_project(row) for row in tx.rows(SELECT_CONDEMNED)]


def condemn_project(tx: Tx, project: Project, *, until_ms: int, now_ms: int) -> bool:
    """Have it back no more: its stores are to be removed. False where it did not end until then, or is condemned."""
    return tx.execute(CONDEMN, {"id": project.id, "until_ms": until_ms, "now_ms": now_ms}) > 0


def note_gone(tx: Tx, project: Project, *, now_ms: int) -> bool:
    """Write down that nothing of a condemned project is left; False where somebody else has."""
    return tx.execute(NOTE_GONE, {"id": project.id, "now_ms": now_ms}) > 0


def describe_project_row(tx: Tx, project: Project, description: str) -> Project:
    """Give a project another description."""
    tx.execute(DESCRIBE, {"id": project.id, "description": description})
    return Project(project.id, project.name, description, project.created_ms)


def delete_project_row(tx: Tx, project: Project, *, now_ms: int) -> None:
    """End a project: nobody is bound to it any more, its tokens work no more, its name is free. Raises Refused."""
    if project.id == DEFAULT:
        raise Refused("the project 'default' is the server's own home and stays")
    note_change(tx)
    tx.execute(DELETE, {"id": project.id, "now_ms": now_ms})
    for statement in (UNBIND_ALL, UNTRUST_ALL, UNMAP_ALL):
        tx.execute(statement, {"id": project.id})
    tx.execute(REVOKE_ALL, {"id": project.id, "now_ms": now_ms})


def roles_of(tx: Tx, account_id: int) -> dict[str, str]:
    """The roles of an account by the id of the project, `*` for the server; several are joined by `+`."""
    held: dict[str, list[str]] = {}
    for project, role in tx.rows(ROLES_OF, {"account_id": account_id}):
        held.setdefault(str(project), []).append(str(role))
    return {project: "+".join(roles) for project, roles in held.items()}


def role_in(roles: dict[str, str], project: str) -> str:
    """The roles that count in a project: an owner's alone, else a server's admin beside what they are bound to.

    >>> role_in({"*": "server-admin", "p1": "viewer"}, "p1"), role_in({"p1": "viewer"}, "p2")
    ('server-admin+viewer', '')
    """
    server, here = roles.get(SERVER, ""), roles.get(project, "")
    if "owner" in server.split("+"):
        return "owner"
    return f"{server}+{here}" if server and here else server or here


def is_member(role: str) -> bool:
    """Whether who has these roles may know that the project is there: to administer the server is not enough."""
    return any(one not in ("", "server-admin") for one in role.split("+"))


def check_binding(project: str, role: str) -> None:
    """Raise Invalid where there is no such role, or none of the server where it is to be one."""
    given = SERVER_ROLES if project == SERVER else GIVEN
    if role not in given:
        where = "on the server" if project == SERVER else "in a project"
        raise Invalid(f"there is no role {role[:40]!r} {where}; there are {', '.join(sorted(given))}")


def insert_binding(tx: Tx, account_id: int, project: str, role: str, *, of_groups: bool = False, by: str = "") -> bool:
    """Bind an account to a role; False where it is. Raises Invalid, Refused for roles that exclude each other.

    A binding `of_groups` ends when its holder's groups give it no more; one that is made by hand as well stays then.
    `by` is what gave it, empty for somebody's hand.
    """
    check_binding(project, role)
    held = set(roles_of(tx, account_id).get(project, "").split("+"))
    values: dict[str, Value] = {"account_id": account_id, "project": project, "role": role, "given_by": by}
    if role in held:
        if not of_groups:
            tx.execute(KEEP_BINDING, values)
        return False
    for pair in EXCLUSIVE:
        if role in pair and held & pair:
            raise Refused(f"who is {min(held & pair)} in a project cannot be its {role} too")
    tx.execute(INSERT_BINDING, {**values, "id": note_change(tx), "of_groups": int(of_groups)})
    return True


def delete_binding(tx: Tx, account_id: int, project: str, role: str) -> bool:
    """Take a role away from an account; False where it was not bound to it."""
    note_change(tx)
    return tx.execute(DELETE_BINDING, {"account_id": account_id, "project": project, "role": role}) > 0


def list_bindings(tx: Tx, *, by_hand: bool = False) -> list[Binding]:
    """Every binding of every account, or those that were made by hand and follow no groups."""
    rows = tx.rows(BINDINGS, {"of_groups": [0] if by_hand else [0, 1]})
    return [
        Binding(str(user), str(project), str(role), str(given_by) or ("groups" if of_groups else "hand"))
        for user, project, role, of_groups, given_by in rows
    ]


def _project(row: Row) -> Project:
    id, name, description, created = row
    return Project(str(id), str(name), str(description), int(str(created)))
