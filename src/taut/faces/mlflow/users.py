"""Users and what they were granted, as the client of MLflow's basic authentication asks for them."""

from typing import Any

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import Json
from taut.govern import (
    create_user,
    delete_user,
    find_level,
    get_permission,
    get_user,
    grant_permission,
    list_permissions,
    revoke_permission,
    set_admin,
    set_password,
    sets_of,
    show_users,
)
from taut.ground.access import Grant, GrantSet, User, read_user
from taut.home import Home

WORKSPACE = "default"  # A home is one workspace, and this is what MLflow calls the only one.
KINDS = {"experiment": "experiment", "registered_model": "model", "workspace": "home"}
TYPES = {kind: name for name, kind in KINDS.items()}  # A deployment, which MLflow does not have, is called so.
CAN_USE = {"USE", "EDIT", "MANAGE"}
# Clients from before 3.10 read these of a user and fail where one is missing.
OLD_LISTS: dict[str, list[Any]] = {
    f"{name}_permissions": []
    for name in (
        "experiment", "registered_model", "scorer", "gateway_secret", "gateway_endpoint", "gateway_model_definition"
    )
}  # fmt: skip


class NewUser(msgspec.Struct):
    """users/create."""

    username: str
    password: str


class ByName(msgspec.Struct):
    """users/get, users/delete, users/roles/list, users/permissions/list."""

    username: str


class Nothing(msgspec.Struct):
    """Routes that are told nothing."""


class Password(msgspec.Struct):
    """users/update-password."""

    username: str
    password: str
    current_password: str = ""


class Admin(msgspec.Struct):
    """users/update-admin."""

    username: str
    is_admin: bool


class OnResource(msgspec.Struct):
    """users/permissions/get and revoke."""

    username: str
    resource_type: str
    resource_id: str


class GrantOnResource(msgspec.Struct):
    """users/permissions/grant."""

    username: str
    resource_type: str
    resource_id: str
    permission: str


class OnExperiment(msgspec.Struct):
    """experiments/permissions/get and delete."""

    experiment_id: str
    username: str


class GrantOnExperiment(msgspec.Struct):
    """experiments/permissions/create and update."""

    experiment_id: str
    username: str
    permission: str


class OnModel(msgspec.Struct):
    """registered-models/permissions/get and delete."""

    name: str
    username: str


class GrantOnModel(msgspec.Struct):
    """registered-models/permissions/create and update."""

    name: str
    username: str
    permission: str


def create(home: Home, asked: NewUser) -> Json:
    """Make a user who reads everything and begins things of their own, as MLflow's do."""
    return {"user": user_shape(create_user(home, asked.username, asked.password, role="viewer", begins=True))}


def get(home: Home, asked: ByName) -> Json:
    """One user."""
    return {"user": user_shape(get_user(home, asked.username))}


def list_all(home: Home, _: Nothing) -> Json:
    """Every user with what they hold."""
    return {"users": [{**_brief(user), "roles": _roles(home, user.name)} for user in show_users(home)]}


def current(home: Home, _: Nothing) -> Json:
    """Who asks; a token has no account, and so no number."""
    return {"user": _caller(home), "is_basic_auth": True}


def update_password(home: Home, asked: Password) -> Json:
    """Give a user another password."""
    set_password(home, asked.username, asked.password, current=asked.current_password)
    return {}


def update_admin(home: Home, asked: Admin) -> Json:
    """Make a user an owner, or no owner any more."""
    set_admin(home, asked.username, is_admin=asked.is_admin)
    return {}


def delete(home: Home, asked: ByName) -> Json:
    """Take a user away."""
    delete_user(home, asked.username)
    return {}


def roles_of(home: Home, asked: ByName) -> Json:
    """The roles that a user holds."""
    return {"roles": _roles(home, asked.username)}


def permissions_of(home: Home, asked: ByName) -> Json:
    """All that a user was granted."""
    return {"is_admin": get_user(home, asked.username).is_admin, "permissions": _held(home, asked.username)}


def own_permissions(home: Home, _: Nothing) -> Json:
    """All that the caller was granted; a token was granted nothing beside its role."""
    held = [] if home.actor.grants is None else _held(home, home.actor.name)
    return {"is_admin": home.actor.role == "owner", "permissions": held}


def grant(home: Home, asked: GrantOnResource) -> Json:
    """Grant a user a level on one resource, or on all of a type."""
    kind = _no_workspace(asked.resource_type)
    grant_permission(home, asked.username, kind, asked.resource_id, asked.permission, only="new")
    return {}


def revoke(home: Home, asked: OnResource) -> Json:
    """Take a grant away."""
    revoke_permission(home, asked.username, _no_workspace(asked.resource_type), asked.resource_id)
    return {}


def level(home: Home, asked: OnResource) -> Json:
    """The level that holds for a user there."""
    found = find_level(home, asked.username, _no_workspace(asked.resource_type), asked.resource_id)
    return {"allowed": found in CAN_USE, "permission": found}


def create_on_experiment(home: Home, asked: GrantOnExperiment) -> Json:
    """Grant a user a level on an experiment, the first."""
    granted = grant_permission(home, asked.username, "experiment", asked.experiment_id, asked.permission, only="new")
    return {"experiment_permission": _on_experiment(home, asked.username, granted)}


def get_on_experiment(home: Home, asked: OnExperiment) -> Json:
    """What a user was granted on an experiment."""
    granted = get_permission(home, asked.username, "experiment", asked.experiment_id)
    return {"experiment_permission": _on_experiment(home, asked.username, granted)}


def update_on_experiment(home: Home, asked: GrantOnExperiment) -> Json:
    """Change what a user was granted on an experiment."""
    grant_permission(home, asked.username, "experiment", asked.experiment_id, asked.permission, only="known")
    return {}


def delete_on_experiment(home: Home, asked: OnExperiment) -> Json:
    """Take away what a user was granted on an experiment."""
    revoke_permission(home, asked.username, "experiment", asked.experiment_id)
    return {}


def create_on_model(home: Home, asked: GrantOnModel) -> Json:
    """Grant a user a level on a registered model, the first."""
    granted = grant_permission(home, asked.username, "model", asked.name, asked.permission, only="new")
    return {"registered_model_permission": _on_model(home, asked.username, granted)}


def get_on_model(home: Home, asked: OnModel) -> Json:
    """What a user was granted on a registered model."""
    granted = get_permission(home, asked.username, "model", asked.name)
    return {"registered_model_permission": _on_model(home, asked.username, granted)}


def update_on_model(home: Home, asked: GrantOnModel) -> Json:
    """Change what a user was granted on a registered model."""
    grant_permission(home, asked.username, "model", asked.name, asked.permission, only="known")
    return {}


def delete_on_model(home: Home, asked: OnModel) -> Json:
    """Take away what a user was granted on a registered model."""
    revoke_permission(home, asked.username, "model", asked.name)
    return {}


def user_shape(user: User) -> Json:
    """A user, never with what their password is held against."""
    return {**_brief(user), **OLD_LISTS}


def role_shape(role: GrantSet) -> Json:
    """A set of grants, which MLflow calls a role."""
    return {
        "id": role.id, "name": role.name, "workspace": WORKSPACE, "description": role.description,
        "permissions": [grant_shape(granted) for granted in role.grants],
    }  # fmt: skip


def grant_shape(granted: Grant) -> Json:
    """One grant of a role."""
    return {
        "id": granted.id, "role_id": granted.set_id, "resource_type": TYPES.get(granted.kind, granted.kind),
        "resource_pattern": granted.resource, "permission": granted.level,
    }  # fmt: skip


def kind_of(resource_type: str) -> str:
    """What a type of MLflow's is here. Raises Invalid for those that taut has no such thing of."""
    if resource_type not in KINDS:
        raise Invalid(f"Invalid resource type {resource_type[:40]!r}: here it is one of {', '.join(KINDS)}")
    return KINDS[resource_type]


def _no_workspace(resource_type: str) -> str:
    if resource_type == "workspace":
        raise Invalid("on the whole workspace nothing is granted to a single user; give them a role that has it")
    return kind_of(resource_type)


def _brief(user: User) -> Json:
    return {"id": user.id, "username": user.name, "is_admin": user.is_admin}


def _caller(home: Home) -> Json:
    actor = home.actor
    return {
        "id": 0 if actor.grants is None else actor.grants.account_id, "username": actor.name,
        "is_admin": actor.role == "owner",
    }  # fmt: skip


def _roles(home: Home, name: str) -> list[Json]:
    return [role_shape(role) for role in sets_of(home, name)]


def _held(home: Home, name: str) -> list[Json]:
    return [
        {
            "role_id": held.set_id, "role_name": held.set_name, "workspace": WORKSPACE,
            "resource_type": TYPES.get(held.kind, held.kind), "resource_pattern": held.resource,
            "permission": held.level,
        }
        for held in list_permissions(home, name)
    ]  # fmt: skip


def _on_experiment(home: Home, name: str, granted: Grant) -> Json:
    return {"experiment_id": granted.resource, "user_id": _number(home, name), "permission": granted.level}


def _on_model(home: Home, name: str, granted: Grant) -> Json:
    number = _number(home, name)
    return {"workspace": WORKSPACE, "name": granted.resource, "user_id": number, "permission": granted.level}


def _number(home: Home, name: str) -> int:
    with home.root.meta.read() as tx:
        return read_user(tx, name).id
