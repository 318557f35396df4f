"""Roles are data: a table from role to permissions, small enough to print and read whole."""

from types import MappingProxyType

from taut.ground.access.actors import Actor
from taut.ground.access.grants import ANY, BEGINS, BY_ROLE_TOO, GIVES, NEW, Kind, Sight

PERMISSIONS = frozenset({
    "access:admin", "access:self", "artifact:read", "artifact:write", "audit:anchor", "audit:head", "audit:read",
    "dataset:content", "dataset:read", "dataset:write", "deployment:predict", "deployment:read", "deployment:write",
    "experiment:admin", "experiment:create", "feedback:write", "home:check", "model:approve", "model:delete",
    "model:gate", "model:promote", "model:read", "model:write", "monitor:write", "pipeline:read", "pipeline:run",
    "prediction:explain", "prediction:read", "privacy:admin", "run:delete", "run:read", "run:write", "server:admin",
    "server:observe", "webhook:manage",
})  # fmt: skip

_READ = {
    "access:self",
    "artifact:read",
    "audit:head",
    "dataset:read",
    "deployment:read",
    "model:read",
    "pipeline:read",
    "prediction:explain",
    "run:read",
}
_SCIENCE = _READ | {
    "artifact:write", "dataset:content", "dataset:write", "deployment:predict", "experiment:create", "feedback:write",
    "model:gate", "model:write", "pipeline:run", "prediction:read", "run:delete", "run:write",
}  # fmt: skip
_ENGINEER = _SCIENCE | {"deployment:write", "experiment:admin", "home:check", "model:promote", "monitor:write"}

ROLES: MappingProxyType[str, frozenset[str]] = MappingProxyType(
    {
        "viewer": frozenset(_READ),
        "data-scientist": frozenset(_SCIENCE),
        "ml-engineer": frozenset(_ENGINEER),
        "approver": frozenset(_READ | {"model:approve"}),
        "auditor": frozenset((_READ - {"artifact:read"}) | {"audit:anchor", "audit:read", "home:check"}),
        "project-admin": frozenset(
            _ENGINEER | {"audit:anchor", "audit:read", "model:delete", "access:admin", "webhook:manage"}
        ),
        "owner": PERMISSIONS,
        "serving": frozenset(
            {"artifact:read", "audit:head", "deployment:predict", "deployment:read", "feedback:write", "model:read"}
        ),
        "anonymous": frozenset(),
    }
)


_NONE: frozenset[str] = frozenset()


def is_allowed(actor: Actor, permission: str, resource: str = "") -> bool:
    """Whether the actor may do this: anywhere, or on one resource (`experiment:ID`, `model:NAME`); no role, no right.

    Without a resource the role decides. For one, a grant takes the role's place: NO_PERMISSIONS hides it from a
    data-scientist, EDIT lets a viewer write to it. `*` asks whether there may be such a resource at all, `new:KIND`
    whether one may be begun. Owners are not restricted.

    >>> is_allowed(Actor("ada", "viewer"), "model:read"), is_allowed(Actor("ada", "viewer"), "model:write")
    (True, False)
    """
    assert permission in PERMISSIONS, permission
    by_role = permission in ROLES.get(actor.role, _NONE)
    grants = actor.grants
    if not grants or actor.role == "owner":
        return by_role
    if grants.is_manager:
        return by_role or permission in ROLES["project-admin"]
    if not resource:
        return by_role or permission in GIVES["home"].get(grants.level("home:*"), _NONE)
    kind = resource.partition(":")[0]
    if resource == ANY:
        return by_role or permission in grants.anywhere
    if kind == NEW:
        return by_role or (permission in BEGINS and grants.level("home:*") == "USE")
    level = grants.level(resource)
    if not level:
        return by_role
    return permission in GIVES[kind].get(level, _NONE) and (by_role or permission not in BY_ROLE_TOO)


def sight_of(actor: Actor, kind: Kind, permission: str) -> Sight:
    """Which resources of a kind the actor may see, for searches to show no others."""
    by_role = permission in ROLES.get(actor.role, _NONE)
    grants = actor.grants
    if not grants or actor.role == "owner":
        return Sight(by_role)
    return grants.sight(kind, permission, by_role=by_role)


def may_make(actor: Actor, role: str) -> bool:
    """Whether the actor may give somebody this role, or change who has it: only owners make and unmake owners."""
    return role != "owner" or actor.role == "owner"
