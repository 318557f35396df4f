"""What users were granted on single experiments, models and deployments, as verbs; who manages a thing may share it."""

from dataclasses import dataclass
from typing import Literal

from taut.deploy.deployments import deployment_in
from taut.errors import NotFound
from taut.govern.users import is_self, require_self, user_of
from taut.ground.access import (
    Grant,
    User,
    check_grant,
    delete_grant,
    find_grant,
    grants_of,
    insert_grant,
    is_allowed,
    list_sets,
    own_set,
    rights_of,
    set_level,
)
from taut.ground.access.grants import BY_ROLE_TOO, GIVES
from taut.ground.meta import Tx
from taut.home import Home, require, verb
from taut.models.versions import model_in
from taut.runs.experiments import read_experiment

Only = Literal["any", "new", "known"]
BESIDE = BY_ROLE_TOO | {"experiment:write"}
"""What makes no difference to the level that a role amounts to; a data-scientist renames what they began."""


@dataclass(frozen=True, slots=True)
class Held:
    """A grant that a user holds, and the set that it comes with."""

    set_id: int
    set_name: str
    kind: str
    resource: str
    level: str


@verb("permission.grant", needs="self")
def grant_permission(home: Home, user: str, kind: str, resource: str, level: str, *, only: Only = "any") -> Grant:
    """Grant a user a level on an experiment (its id), a model or a deployment (its name), or all of a kind (`*`).

    `only` asks that there was none (`new`, else Conflict) or one (`known`, else NotFound); `any` takes its place.
    For whoever administers access or manages that very thing. Raises NotFound, Invalid.
    """
    check_grant(kind, resource, level)
    _require_manager(home, kind, resource, verb="permission.grant")
    account = user_of(home, user)
    with home.meta.transaction() as tx:
        _must_exist(tx, kind, resource)
        own = own_set(tx, account.id)
        found = find_grant(tx, own.id, kind, resource)
        if found is None and only == "known":
            raise _no_grant(user, kind, resource)
        if found is None or only == "new":
            grant = insert_grant(tx, own.id, kind, resource, level)
        else:
            grant = set_level(tx, found, level)
        body = {"kind": kind, "resource": resource, "level": level}
        home.append(tx, "permission.granted", subject=f"user:{user}", body=body)
    home.access_changed()
    return grant


@verb("permission.revoke", needs="self")
def revoke_permission(home: Home, user: str, kind: str, resource: str) -> None:
    """Take a grant away, so that the role decides again. Raises NotFound where there is none."""
    _require_manager(home, kind, resource, verb="permission.revoke")
    account = user_of(home, user)
    with home.meta.transaction() as tx:
        grant = _direct(tx, account, kind, resource)
        delete_grant(tx, grant)
        body = {"kind": kind, "resource": resource, "level": grant.level}
        home.append(tx, "permission.revoked", subject=f"user:{user}", body=body)
    home.access_changed()


@verb("permission.get", needs="self")
def get_permission(home: Home, user: str, kind: str, resource: str) -> Grant:
    """What was granted to a user alone on exactly this. Raises NotFound."""
    if not is_self(home, user):
        _require_manager(home, kind, resource, verb="permission.get")
    account = user_of(home, user)
    with home.meta.read() as tx:
        return _direct(tx, account, kind, resource)


@verb("permission.list", needs="self")
def list_permissions(home: Home, user: str) -> list[Held]:
    """Everything that a user holds, through which set; for oneself, or whoever administers access."""
    require_self(home, user, verb="permission.list", needs="project:read")
    account = user_of(home, user)
    with home.meta.read() as tx:
        sets = list_sets(tx, account_id=account.id)
    return [Held(each.id, each.name, grant.kind, grant.resource, grant.level) for each in sets for grant in each.grants]


@verb("permission.level", needs="self")
def find_level(home: Home, user: str, kind: str, resource: str) -> str:
    """The level that holds for a user there, by grant or else by role; NO_PERMISSIONS also where nothing is there."""
    check_grant(kind, resource, "USE")
    require_self(home, user, verb="permission.level", needs="project:read")
    account = user_of(home, user)
    if account.is_admin:
        return "MANAGE"
    with home.meta.read() as tx:
        granted = grants_of(tx, account.id).level(f"{kind}:{resource}")
        try:
            _must_exist(tx, kind, resource)
        except NotFound:
            return "NO_PERMISSIONS"
    return granted or level_of_role(account.role, kind)


def level_of_role(role: str, kind: str) -> str:
    """The highest level that a role has everything of, on whatever nothing was granted on.

    >>> level_of_role("viewer", "experiment"), level_of_role("data-scientist", "experiment")
    ('READ', 'EDIT')
    """
    given = GIVES[kind]
    held = [level for level, gives in given.items() if gives - BESIDE <= rights_of(role) and level != "USE"]
    if held[-1:] == ["MANAGE"] and given["MANAGE"] == given.get("EDIT"):  # All that is more is to grant it to others.
        held.pop()
    return held[-1] if held else "NO_PERMISSIONS"


def _require_manager(home: Home, kind: str, resource: str, *, verb: str) -> None:
    """Let pass who administers access, or manages this very thing."""
    if is_allowed(home.actor, "project:admin"):
        return
    grants = home.actor.grants
    if grants is not None and kind != "home" and resource != "*":
        grants.reload(home.meta)
        if grants.level(f"{kind}:{resource}") == "MANAGE":
            return
    require(home, "project:admin", verb=verb)


def _direct(tx: Tx, account: User, kind: str, resource: str) -> Grant:
    for each in list_sets(tx, account_id=account.id):
        found = find_grant(tx, each.id, kind, resource) if each.account_id == account.id else None
        if found is not None:
            return found
    raise _no_grant(account.name, kind, resource)


def _must_exist(tx: Tx, kind: str, resource: str) -> None:
    if resource != "*" and kind == "experiment":
        read_experiment(tx, resource)
    if resource != "*" and kind == "model":
        model_in(tx, resource)
    if resource != "*" and kind == "deployment":
        deployment_in(tx, resource)


def _no_grant(user: str, kind: str, resource: str) -> NotFound:
    return NotFound(f"{user!r} was granted nothing on {kind} {resource[:80]!r}", hint=f"taut user show {user}")
