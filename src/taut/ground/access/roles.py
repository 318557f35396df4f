"""Roles are data: a table from role to permissions, small enough to print and read whole."""

from types import MappingProxyType

from taut.ground.access.actors import Actor

PERMISSIONS = frozenset({
    "access:admin", "artifact:read", "artifact:write", "audit:read", "dataset:content", "dataset:read",
    "dataset:write", "deployment:predict", "deployment:read", "deployment:write", "experiment:admin",
    "experiment:create", "feedback:write", "home:check", "model:approve", "model:delete", "model:gate",
    "model:promote", "model:read", "model:write", "monitor:write", "pipeline:read", "pipeline:run",
    "prediction:explain", "prediction:read", "run:delete", "run:read", "run:write", "webhook:manage",
})  # fmt: skip

_READ = {
    "artifact:read",
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
        "auditor": frozenset((_READ - {"artifact:read"}) | {"audit:read", "home:check"}),
        "project-admin": frozenset(_ENGINEER | {"audit:read", "model:delete", "access:admin", "webhook:manage"}),
        "owner": PERMISSIONS,
        "serving": frozenset(
            {"artifact:read", "deployment:predict", "deployment:read", "feedback:write", "model:read"}
        ),
        "anonymous": frozenset(),
    }
)


def is_allowed(actor: Actor, permission: str) -> bool:
    """Whether the actor's role has the permission; an unknown role has none.

    >>> is_allowed(Actor("ada", "viewer"), "model:read"), is_allowed(Actor("ada", "viewer"), "model:write")
    (True, False)
    """
    assert permission in PERMISSIONS, permission
    return permission in ROLES.get(actor.role, frozenset())
