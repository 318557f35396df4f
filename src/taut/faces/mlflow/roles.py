"""Roles as MLflow 3 asks for them: named sets of grants that users hold."""

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import Json
from taut.faces.mlflow.users import WORKSPACE, grant_shape, kind_of, role_shape
from taut.govern import (
    add_grant,
    assign_set,
    change_grant,
    change_set,
    create_set,
    get_set,
    holders_of,
    remove_grant,
    remove_set,
    show_sets,
    unassign_set,
)
from taut.ground.access import Holding
from taut.home import Home


class NewRole(msgspec.Struct):
    """roles/create."""

    workspace: str
    name: str
    description: str | None = None


class ById(msgspec.Struct):
    """roles/get, delete, permissions/list, users/list."""

    role_id: int


class Some(msgspec.Struct):
    """roles/list."""

    workspace: list[str] = []


class Change(msgspec.Struct):
    """roles/update."""

    role_id: int
    name: str | None = None
    description: str | None = None


class NewPermission(msgspec.Struct):
    """roles/permissions/add."""

    role_id: int
    resource_type: str
    resource_pattern: str
    permission: str


class ByPermission(msgspec.Struct):
    """roles/permissions/remove."""

    role_permission_id: int


class ChangePermission(msgspec.Struct):
    """roles/permissions/update."""

    role_permission_id: int
    permission: str


class Assignment(msgspec.Struct):
    """roles/assign and unassign."""

    username: str
    role_id: int


def create(home: Home, asked: NewRole) -> Json:
    """Make a role that grants nothing yet."""
    if asked.workspace != WORKSPACE:
        raise Invalid(f"this home is one workspace, {WORKSPACE!r}; there is no {asked.workspace[:80]!r}")
    return {"role": role_shape(create_set(home, asked.name, description=asked.description))}


def get(home: Home, asked: ById) -> Json:
    """One role."""
    return {"role": role_shape(get_set(home, asked.role_id))}


def list_all(home: Home, asked: Some) -> Json:
    """Every role; of another workspace there are none."""
    found = show_sets(home) if not asked.workspace or WORKSPACE in asked.workspace else []
    return {"roles": [role_shape(role) for role in found]}


def update(home: Home, asked: Change) -> Json:
    """Give a role another name or description."""
    if asked.name is None and asked.description is None:
        raise Invalid("At least one of 'name' or 'description' has to be said to change a role")
    return {"role": role_shape(change_set(home, asked.role_id, name=asked.name, description=asked.description))}


def delete(home: Home, asked: ById) -> Json:
    """Take a role away."""
    remove_set(home, asked.role_id)
    return {}


def add_permission(home: Home, asked: NewPermission) -> Json:
    """Let a role grant a level on one resource, or on all of a type."""
    kind = kind_of(asked.resource_type)
    return {
        "role_permission": grant_shape(add_grant(home, asked.role_id, kind, asked.resource_pattern, asked.permission))
    }


def update_permission(home: Home, asked: ChangePermission) -> Json:
    """Change the level of a grant."""
    return {"role_permission": grant_shape(change_grant(home, asked.role_permission_id, asked.permission))}


def remove_permission(home: Home, asked: ByPermission) -> Json:
    """Take a grant out of a role."""
    remove_grant(home, asked.role_permission_id)
    return {}


def list_permissions(home: Home, asked: ById) -> Json:
    """What a role grants."""
    return {"role_permissions": [grant_shape(granted) for granted in get_set(home, asked.role_id).grants]}


def assign(home: Home, asked: Assignment) -> Json:
    """Let a user hold a role."""
    return {"assignment": _held(assign_set(home, asked.username, asked.role_id))}


def unassign(home: Home, asked: Assignment) -> Json:
    """Take a role away from a user."""
    unassign_set(home, asked.username, asked.role_id)
    return {}


def holders(home: Home, asked: ById) -> Json:
    """Who holds a role."""
    return {"assignments": [_held(holding) for holding in holders_of(home, asked.role_id)]}


def _held(holding: Holding) -> Json:
    return {"id": holding.id, "user_id": holding.account_id, "role_id": holding.set_id}
