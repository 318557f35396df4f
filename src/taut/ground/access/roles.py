"""Roles are data: one table from permission to roles, small enough to read whole, and the check that reads it."""

from functools import lru_cache
from types import MappingProxyType
from typing import Final

from taut.ground.access.actors import Actor
from taut.ground.access.grants import ANY, BEGINS, BY_ROLE_ALONE, BY_ROLE_TOO, GIVES, NEW, Kind, Sight

COLUMNS: Final = (
    "viewer", "data-scientist", "ml-engineer", "approver", "auditor", "dpo", "project-admin", "server-admin",
    "scope:read", "scope:log", "scope:predict", "scope:deploy", "serving",
)  # fmt: skip
# `+` is a right of the role, `o` one on what its holder has made: the grant of MANAGE that goes with it gives it.
TABLE = """
                    viewer scientist engineer approver auditor dpo admin server read log predict deploy serving
artifact:read         +        +        +        +        -     -    +     -     +    +     -      -       +
artifact:write        -        +        +        -        -     -    +     -     -    +     -      -       -
audit:anchor          -        -        -        -        +     -    +     -     -    -     -      -       -
audit:head            +        +        +        +        +     +    +     +     +    +     +      +       +
audit:read            -        -        -        -        +     +    +     -     -    -     -      -       -
dataset:content       -        +        +        -        -     +    +     -     +    -     -      -       -
dataset:delete        -        -        -        -        -     -    +     -     -    -     -      -       -
dataset:read          +        +        +        +        +     +    +     -     +    +     -      -       -
dataset:write         -        +        +        -        -     -    +     -     -    +     -      -       -
deployment:predict    -        +        +        -        -     -    +     -     -    -     +      -       +
deployment:read       +        +        +        +        +     -    +     -     +    -     +      +       +
deployment:write      -        -        +        -        -     -    +     -     -    -     -      +       -
experiment:admin      -        o        +        -        -     -    +     -     -    -     -      -       -
experiment:create     -        +        +        -        -     -    +     -     -    -     -      -       -
experiment:write      -        o        +        -        -     -    +     -     -    -     -      -       -
feedback:write        -        +        +        -        -     -    +     -     -    +     +      -       +
home:check            -        -        +        -        +     -    +     -     -    -     -      -       -
model:approve         -        -        -        +        -     -    -     -     -    -     -      -       -
model:delete          -        -        -        -        -     -    +     -     -    -     -      -       -
model:gate            -        +        +        -        -     -    +     -     -    -     -      -       -
model:promote         -        -        +        -        -     -    +     -     -    -     -      -       -
model:read            +        +        +        +        +     -    +     -     +    +     -      +       +
model:request         -        +        +        -        -     -    +     -     -    -     -      -       -
model:write           -        +        +        -        -     -    +     -     -    +     -      -       -
pii:read              -        -        -        -        -     +    -     -     -    -     -      -       -
pipeline:read         +        +        +        +        +     -    +     -     +    -     -      -       -
pipeline:run          -        +        +        -        -     -    +     -     -    -     -      +       -
policy:weaken         -        -        -        +        -     -    -     -     -    -     -      -       -
policy:write          -        -        +        -        -     -    +     -     -    -     -      -       -
prediction:explain    +        +        +        +        +     +    +     -     +    -     -      -       -
prediction:read       -        +        +        -        -     +    +     -     -    -     -      -       -
privacy:admin         -        -        -        -        -     +    -     -     -    -     -      -       -
privacy:read          -        -        -        +        +     +    +     -     -    -     -      -       -
project:admin         -        -        -        -        -     -    +     +     -    -     -      -       -
project:read          -        -        -        -        +     -    +     +     -    -     -      -       -
role:admin            -        -        -        -        -     -    +     +     -    -     -      -       -
run:delete            -        +        +        -        -     -    +     -     -    -     -      -       -
run:delete-any        -        -        -        -        -     -    +     -     -    -     -      -       -
run:read              +        +        +        +        +     -    +     -     +    +     -      -       -
run:write             -        +        +        -        -     -    +     -     -    +     -      -       -
secret:use            -        -        -        -        -     -    -     -     -    -     -      +       -
secret:write          -        -        +        -        -     -    +     -     -    -     -      -       -
self                  +        +        +        +        +     +    +     +     -    -     -      -       -
server:admin          -        -        -        -        -     -    -     +     -    -     -      -       -
server:audit          -        -        -        -        -     -    -     +     -    -     -      -       -
server:observe        -        -        -        -        -     -    -     +     -    -     -      -       -
token:admin           -        -        -        -        -     -    +     +     -    -     -      -       -
token:service         -        -        +        -        -     -    +     -     -    -     -      -       -
user:admin            -        -        -        -        -     -    -     +     -    -     -      -       -
user:create           -        -        -        -        -     -    -     +     -    -     -      -       -
webhook:admin         -        -        -        -        -     -    +     -     -    -     -      -       -
"""

_MARKS = {line.split()[0]: line.split()[1:] for line in TABLE.strip().splitlines()[1:]}
PERMISSIONS: Final = frozenset(_MARKS)
SCOPES: Final = ("read", "log", "predict", "deploy")
"""What a service token can be made for; each is a role of its own, `scope:NAME`."""
SERVER_ROLES: Final = frozenset({"owner", "server-admin"})
"""Roles on the whole server, beside those in its projects."""
ABOUT_SERVER: Final = frozenset({
    "audit:head", "project:admin", "project:read", "role:admin", "self", "server:admin", "server:audit",
    "server:observe", "token:admin", "user:admin", "user:create",
})  # fmt: skip
"""What is no project's secret: of these who is no member is told 403, of all else that it is not there."""
EXCLUSIVE: Final = (frozenset({"dpo", "project-admin"}),)
"""Roles that one person cannot hold in one project: who may erase does not also say who may."""

ROLES: MappingProxyType[str, frozenset[str]] = MappingProxyType(
    {
        **{
            role: frozenset(name for name, marks in _MARKS.items() if marks[column] == "+")
            for column, role in enumerate(COLUMNS)
        },
        "owner": PERMISSIONS,
        "anonymous": frozenset(),
    }
)


ANYBODY: Final = frozenset({"audit:head", "self"})
"""What whoever has a login may, also where they are no member."""
HIDES: Final = frozenset({"DENY", "NO_PERMISSIONS"})
MANAGES: Final = ROLES["project-admin"] | {"user:create"}
"""What MANAGE of the home gives: as MLflow's, who manages a workspace may make a user, which alone lets nobody in."""


def rights_of(role: str) -> frozenset[str]:
    """The permissions of a role, or of several that are joined by `+`; next to none for none, none for what is no role.

    >>> "model:approve" in rights_of("approver+data-scientist"), rights_of("king")
    (True, frozenset())
    """
    found = ROLES.get(role)
    return _joined(role) if found is None else found


@lru_cache(maxsize=1024)
def _joined(role: str) -> frozenset[str]:
    if not role:
        return ANYBODY
    return frozenset[str]().union(*(ROLES.get(one, frozenset()) for one in role.split("+")))


def mark_of(role: str, permission: str) -> str:
    """What the table says: `+`, `-`, or `o` for what the holder has made; joined roles have the most of theirs."""
    if permission in rights_of(role):
        return "+"
    marks = {_MARKS[permission][COLUMNS.index(one)] for one in role.split("+") if one in COLUMNS}
    return "o" if "o" in marks else "-"


def is_allowed(actor: Actor, permission: str, resource: str = "") -> bool:
    """Whether the actor may do this: anywhere, or on one resource (`experiment:ID`, `model:NAME`); no role, no right.

    Without a resource the role decides. For one, a grant takes the role's place: NO_PERMISSIONS hides it from a
    data-scientist, EDIT lets a viewer write to it. `*` asks whether there may be such a resource at all, `new:KIND`
    whether one may be begun. Owners are not restricted; a token that is for less than its user never gets more.

    >>> is_allowed(Actor("ada", "viewer"), "model:read"), is_allowed(Actor("ada", "viewer"), "model:write")
    (True, False)
    """
    assert permission in PERMISSIONS, permission
    if actor.within is not None and permission not in actor.within:
        return False
    by_role = permission in rights_of(actor.role)
    grants = actor.grants
    if not grants or actor.role == "owner":
        return by_role
    if grants.is_manager:
        return by_role or permission in MANAGES
    if not resource:
        return by_role or permission in GIVES["home"].get(grants.level("home:*"), frozenset())
    kind = resource.partition(":")[0]
    if resource == ANY:
        return by_role or permission in grants.anywhere
    if kind == NEW:
        return by_role or (permission in BEGINS and grants.level("home:*") == "USE")
    level = grants.level(resource)
    if not level:
        return by_role
    if permission in BY_ROLE_ALONE:
        return by_role and level not in HIDES
    return permission in GIVES[kind].get(level, frozenset()) and (by_role or permission not in BY_ROLE_TOO)


def sight_of(actor: Actor, kind: Kind, permission: str) -> Sight:
    """Which resources of a kind the actor may see, for searches to show no others."""
    by_role = permission in rights_of(actor.role)
    if actor.within is not None and permission not in actor.within:
        return Sight(all=False)
    grants = actor.grants
    if not grants or actor.role == "owner":
        return Sight(by_role)
    return grants.sight(kind, permission, by_role=by_role)


def may_make(actor: Actor, role: str) -> bool:
    """Whether the actor may give somebody this role, or change who has it.

    Only owners make and unmake owners, only who administers the server makes its admins.
    """
    if role == "owner":
        return actor.role == "owner"
    return role != "server-admin" or is_allowed(actor, "user:admin")
