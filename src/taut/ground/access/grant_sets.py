"""Sets of grants as rows: named ones that several users hold, and one of their own for each user who needs it."""

from dataclasses import dataclass

from taut.errors import Conflict, Invalid, NotFound
from taut.ground.access.grants import KINDS, LEVELS
from taut.ground.access.state import note_change
from taut.ground.meta import Row, Tx, Value

NAME_MAX = 255
OWN = "__user_"  # The set of user 7 is called __user_7__; MLflow's pages tell direct grants by this name.

INSERT_SET = """
INSERT INTO grant_set (id, name, description, account_id) VALUES (:id, :name, :description, :account_id)
ON CONFLICT (name) DO NOTHING
"""
SELECT_SETS = "SELECT id, name, description, account_id FROM grant_set"
ONE_SET = f"{SELECT_SETS} WHERE id = :id"  # Constants only.
ALL_SETS = f"{SELECT_SETS} ORDER BY id"
SETS_OF = f"""{SELECT_SETS} WHERE id IN (SELECT set_id FROM grant_holder WHERE account_id = :account_id)
ORDER BY id"""  # noqa: S608
OWN_SET = f"{SELECT_SETS} WHERE account_id = :account_id"
UPDATE_SET = "UPDATE grant_set SET name = :name, description = :description WHERE id = :id"
BY_NAME = f"{SELECT_SETS} WHERE name = :name"
DELETE_ROWS_OF = "DELETE FROM grant_row WHERE set_id = :id"
DELETE_HOLDERS_OF = "DELETE FROM grant_holder WHERE set_id = :id"
DELETE_SET = "DELETE FROM grant_set WHERE id = :id"

SELECT_ROWS = "SELECT id, set_id, kind, resource, level FROM grant_row"
ROWS_OF = f"{SELECT_ROWS} WHERE set_id = :set_id ORDER BY id"
ONE_ROW = f"{SELECT_ROWS} WHERE id = :id"
ROW_FOR = f"{SELECT_ROWS} WHERE set_id = :set_id AND kind = :kind AND resource = :resource"
INSERT_ROW = """
INSERT INTO grant_row (id, set_id, kind, resource, level) VALUES (:id, :set_id, :kind, :resource, :level)
"""
SET_LEVEL = "UPDATE grant_row SET level = :level WHERE id = :id"
DELETE_ROW = "DELETE FROM grant_row WHERE id = :id"
DELETE_ROWS_ON = "DELETE FROM grant_row WHERE kind = :kind AND resource = :resource"
MOVE_ROWS_ON = "UPDATE grant_row SET resource = :new WHERE kind = :kind AND resource = :resource"

SELECT_HOLDERS = "SELECT id, set_id, account_id FROM grant_holder WHERE set_id = :set_id ORDER BY id"
SELECT_HOLDER = "SELECT id, set_id, account_id FROM grant_holder WHERE set_id = :set_id AND account_id = :account_id"
INSERT_HOLDER = "INSERT INTO grant_holder (id, set_id, account_id) VALUES (:id, :set_id, :account_id)"
DELETE_HOLDER = "DELETE FROM grant_holder WHERE set_id = :set_id AND account_id = :account_id"


@dataclass(frozen=True, slots=True)
class Grant:
    """One level on one resource, or on all of a kind where `resource` is `*`."""

    id: int
    set_id: int
    kind: str
    resource: str
    level: str


@dataclass(frozen=True, slots=True)
class GrantSet:
    """A named set of grants; `account_id` is the user whom it belongs to alone, None where several may hold it."""

    id: int
    name: str
    description: str | None
    account_id: int | None
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """A user holds a set."""

    id: int
    set_id: int
    account_id: int


def check_grant(kind: str, resource: str, level: str) -> None:
    """Raise Invalid for a grant that would say nothing."""
    if kind not in KINDS:
        raise Invalid(f"nothing can be granted on a {kind[:40]!r}; there are {', '.join(KINDS)}")
    if level not in LEVELS:
        raise Invalid(f"there is no permission {level[:40]!r}; there are {', '.join(LEVELS)}")
    if not resource:
        raise Invalid(f"name the {kind}, or write * for all of them")
    if kind == "home" and (resource != "*" or level not in ("USE", "MANAGE")):
        raise Invalid("on the whole home, which is *, only USE or MANAGE can be granted")


def insert_set(tx: Tx, name: str, description: str | None) -> GrantSet:
    """Make an empty set. Raises Conflict where the name is taken, Invalid for one that belongs to a user."""
    _check_set_name(name)
    return _insert_set(tx, name, description, None)


def read_set(tx: Tx, set_id: int) -> GrantSet:
    """The set of that number, with its grants. Raises NotFound."""
    found = tx.row(ONE_SET, {"id": set_id})
    if found is None:
        raise NotFound(f"Role with id={set_id} not found")
    return _set(tx, found)


def list_sets(tx: Tx, *, account_id: int | None = None) -> list[GrantSet]:
    """Every set, or those that one user holds."""
    rows = tx.rows(ALL_SETS) if account_id is None else tx.rows(SETS_OF, {"account_id": account_id})
    return [_set(tx, row) for row in rows]


def update_set(tx: Tx, set_id: int, *, name: str | None, description: str | None) -> GrantSet:
    """Give a set another name or description; None leaves it. Raises NotFound, Conflict, Invalid."""
    found = read_set(tx, set_id)
    if found.account_id is not None:
        raise Invalid(f"{found.name} belongs to one user alone and keeps its name")
    if name is not None:
        _check_set_name(name)
        other = tx.row(BY_NAME, {"name": name})
        if other is not None and other[0] != set_id:
            raise Conflict(f"Role {name!r} already exists")
    tx.execute(UPDATE_SET, {
        "id": set_id, "name": found.name if name is None else name,
        "description": found.description if description is None else description,
    })  # fmt: skip
    return read_set(tx, set_id)


def delete_set(tx: Tx, set_id: int) -> GrantSet:
    """Take a set away from everybody who holds it; returns what it was. Raises NotFound."""
    found = read_set(tx, set_id)
    note_change(tx)
    for statement in (DELETE_ROWS_OF, DELETE_HOLDERS_OF, DELETE_SET):
        tx.execute(statement, {"id": set_id})
    return found


def own_set(tx: Tx, account_id: int) -> GrantSet:
    """The set that belongs to one user alone, made where it is missing."""
    found = tx.row(OWN_SET, {"account_id": account_id})
    if found is not None:
        return _set(tx, found)
    made = _insert_set(tx, f"{OWN}{account_id}__", None, account_id)
    insert_holding(tx, made.id, account_id)
    return made


def find_grant(tx: Tx, set_id: int, kind: str, resource: str) -> Grant | None:
    """What a set grants on exactly this; None for nothing."""
    found = tx.row(ROW_FOR, {"set_id": set_id, "kind": kind, "resource": resource})
    return None if found is None else _grant(found)


def read_grant(tx: Tx, grant_id: int) -> Grant:
    """The grant of that number. Raises NotFound."""
    found = tx.row(ONE_ROW, {"id": grant_id})
    if found is None:
        raise NotFound(f"there is no role permission with the id {grant_id}")
    return _grant(found)


def insert_grant(tx: Tx, set_id: int, kind: str, resource: str, level: str) -> Grant:
    """Add a grant to a set. Raises Conflict where it has one on the same resource, Invalid for one of no meaning."""
    check_grant(kind, resource, level)
    if find_grant(tx, set_id, kind, resource) is not None:
        raise Conflict(f"a permission on {kind} {resource!r} is there already; change or revoke it")
    made = Grant(note_change(tx), set_id, kind, resource, level)
    tx.execute(INSERT_ROW, {"id": made.id, "set_id": set_id, "kind": kind, "resource": resource, "level": level})
    return made


def set_level(tx: Tx, grant: Grant, level: str) -> Grant:
    """Give a grant another level. Raises Invalid."""
    check_grant(grant.kind, grant.resource, level)
    note_change(tx)
    tx.execute(SET_LEVEL, {"id": grant.id, "level": level})
    return Grant(grant.id, grant.set_id, grant.kind, grant.resource, level)


def delete_grant(tx: Tx, grant: Grant) -> None:
    """Take a grant away."""
    note_change(tx)
    tx.execute(DELETE_ROW, {"id": grant.id})


def forget_resource(tx: Tx, kind: str, resource: str) -> None:
    """Take away all grants on something that is gone, for whatever gets its name later."""
    if tx.execute(DELETE_ROWS_ON, {"kind": kind, "resource": resource}):
        note_change(tx)


def rename_resource(tx: Tx, kind: str, resource: str, new: str) -> None:
    """Let the grants on something follow it to its new name, which nothing else has."""
    forget_resource(tx, kind, new)
    if tx.execute(MOVE_ROWS_ON, {"kind": kind, "resource": resource, "new": new}):
        note_change(tx)


def insert_holding(tx: Tx, set_id: int, account_id: int) -> Holding:
    """Let a user hold a set. Raises NotFound for no set, Conflict where they do already, Invalid for another's own."""
    found = read_set(tx, set_id)
    if found.account_id not in (None, account_id):
        raise Invalid(f"{found.name} belongs to one user alone")
    if tx.row(SELECT_HOLDER, {"set_id": set_id, "account_id": account_id}) is not None:
        raise Conflict(f"the user has the role {found.name!r} already")
    made = Holding(note_change(tx), set_id, account_id)
    tx.execute(INSERT_HOLDER, {"id": made.id, "set_id": set_id, "account_id": account_id})
    return made


def delete_holding(tx: Tx, set_id: int, account_id: int) -> None:
    """Take a set away from a user. Raises NotFound where they do not hold it."""
    if not tx.execute(DELETE_HOLDER, {"set_id": set_id, "account_id": account_id}):
        raise NotFound(f"the user does not have the role with the id {set_id}")
    note_change(tx)


def holdings_of(tx: Tx, set_id: int) -> list[Holding]:
    """Who holds a set. Raises NotFound."""
    read_set(tx, set_id)
    return [Holding(_whole(a), _whole(b), _whole(c)) for a, b, c in tx.rows(SELECT_HOLDERS, {"set_id": set_id})]


def _insert_set(tx: Tx, name: str, description: str | None, account_id: int | None) -> GrantSet:
    number = note_change(tx)
    values: dict[str, Value] = {"id": number, "name": name, "description": description, "account_id": account_id}
    if not tx.execute(INSERT_SET, values):
        raise Conflict(f"Role {name!r} already exists")
    return GrantSet(number, name, description, account_id)


def _check_set_name(name: str) -> None:
    if not name.strip() or len(name) > NAME_MAX:
        raise Invalid(f"the name of a role has 1 to {NAME_MAX} characters")
    if name.startswith(OWN):
        raise Invalid(f"{name[:80]!r} cannot name a role: {OWN}…__ are the grants of single users")


def _set(tx: Tx, row: Row) -> GrantSet:
    set_id, name, description, account_id = row
    grants = tuple(_grant(each) for each in tx.rows(ROWS_OF, {"set_id": set_id}))
    told = None if description is None else str(description)
    return GrantSet(_whole(set_id), str(name), told, None if account_id is None else _whole(account_id), grants)


def _grant(row: Row) -> Grant:
    grant_id, set_id, kind, resource, level = row
    return Grant(_whole(grant_id), _whole(set_id), str(kind), str(resource), str(level))


def _whole(value: object) -> int:
    return int(str(value))
