"""Who is bound to what, as a file under git says it: what it would change, and the change, whole or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from taut.errors import Conflict, Denied, Invalid, NotFound, Refused
from taut.ground.access import (
    DEFAULT,
    SERVER,
    Binding,
    check_binding,
    delete_binding,
    has_admin,
    insert_binding,
    insert_project,
    list_bindings,
    list_projects,
    list_users,
    may_make,
)
from taut.ground.meta import Tx
from taut.home import Home, require, verb


class WantedProject(msgspec.Struct, forbid_unknown_fields=True):
    """A project as the file has it: role -> users, and nobody else in any role."""

    description: str = ""
    roles: dict[str, list[str]] = msgspec.field(default_factory=dict)


class WantedAccess(msgspec.Struct, forbid_unknown_fields=True):
    """A whole file. What it does not name stays as it is: a project, or the server's roles where `server` is None."""

    projects: dict[str, WantedProject] = msgspec.field(default_factory=dict)
    server: dict[str, list[str]] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One step: `make` a project, `bind` a user to a role or `unbind` them; `*` is the server."""

    does: str
    project: str
    user: str = ""
    role: str = ""


@verb("access.plan", needs="project:admin")
def plan_access(home: Home, wanted: WantedAccess) -> list[Change]:
    """What would have to change so that it is as wanted. Raises Invalid and NotFound for unknown roles and users."""
    _may_change(home, wanted, verb="access.plan")
    with home.root.meta.read() as tx:
        return _changes(tx, wanted)


@verb("access.apply", needs="project:admin")
def apply_access(home: Home, wanted: WantedAccess, expected: list[Change]) -> list[Change]:
    """Make it so, if that is still what was `expected`, in one transaction and in the ledgers of all whom it concerns.

    Raises what `plan_access` does, Denied for roles that the actor may not give, Conflict where something changed
    since, Refused where nobody who could log in would administer the server, or roles exclude each other.
    """
    _may_change(home, wanted, verb="access.apply")
    root = home.root
    with root.meta.transaction() as tx:
        changes = _changes(tx, wanted)
        for change in changes:
            if change.role and not may_make(home.actor, change.role):
                raise Denied(f"only an owner gives away or changes the role {change.role!r}")
        if changes != expected:
            raise Conflict("who may do what changed since that plan", hint="taut access plan FILE")
        ids = {SERVER: SERVER, **{one.name: one.id for one in list_projects(tx)}}
        accounts = {user.name: user.id for user in list_users(tx)}
        for change in changes:
            if change.does == "make":
                described = wanted.projects[change.project].description
                ids[change.project] = insert_project(tx, change.project, described, now_ms=home.clock.now_ms()).id
                root.append(tx, "project.created", subject=f"project:{change.project}", body={"by": "access.apply"})
        for change in sorted(
            changes, key=lambda one: one.does != "unbind"
        ):  # Roles that exclude each other change hands.
            if change.does == "unbind":
                delete_binding(tx, accounts[change.user], ids[change.project], change.role)
            elif change.does == "bind":
                insert_binding(tx, accounts[change.user], ids[change.project], change.role)
        for change in (one for one in changes if one.does != "make"):
            kind = "access.bound" if change.does == "bind" else "access.unbound"
            root.append(tx, kind, subject=f"user:{change.user}", body=_body(change))
        if wanted.server is not None and not has_admin(tx, now_ms=home.clock.now_ms()):
            raise Refused("nobody who can log in would administer the server any more", hint="taut access list")
    home.access.forget()
    _tell_projects(home, changes)
    return changes


def _tell_projects(home: Home, changes: list[Change]) -> None:
    """Write to the ledger of each project what was done to it."""
    with home.root.meta.read() as tx:
        found = {one.name: one for one in list_projects(tx) if one.id != DEFAULT}
    for name in sorted({change.project for change in changes} & found.keys()):
        with home.entered(found[name]) as inner, inner.meta.transaction() as tx:
            for change in changes:
                if change.project == name and change.does != "make":
                    kind = "access.bound" if change.does == "bind" else "access.unbound"
                    inner.append(tx, kind, subject=f"user:{change.user}", body=_body(change))


def _body(change: Change) -> Mapping[str, str]:
    return {"role": change.role, "project": change.project, "by": "access.apply"}


def _may_change(home: Home, wanted: WantedAccess, *, verb: str) -> None:
    """Who administers one project changes that one; what else a file names is for who administers the server."""
    if wanted.server is not None or wanted.projects.keys() - {home.project_name}:
        require(home, "user:admin", verb=verb)


def _changes(tx: Tx, wanted: WantedAccess) -> list[Change]:
    names = {one.id: one.name for one in list_projects(tx)}
    users = {user.name for user in list_users(tx)}
    managed = {*wanted.projects, *([SERVER] if wanted.server is not None else [])}
    _check(wanted, users)
    asked = {
        Binding(user, project, role)
        for project, roles in [*((n, p.roles) for n, p in wanted.projects.items()), (SERVER, wanted.server or {})]
        for role, given in roles.items()
        for user in given
    }
    held = {Binding(one.user, names.get(one.project, one.project), one.role) for one in list_bindings(tx)}
    held = {one for one in held if one.project in managed}
    made = [Change("make", name) for name in sorted(wanted.projects.keys() - set(names.values()))]
    return [
        *made,
        *(Change("bind", one.project, one.user, one.role) for one in _sorted(asked - held)),
        *(Change("unbind", one.project, one.user, one.role) for one in _sorted(held - asked)),
    ]


def _sorted(bindings: set[Binding]) -> list[Binding]:
    return sorted(bindings, key=lambda one: (one.project, one.user, one.role))


def _check(wanted: WantedAccess, users: set[str]) -> None:
    for project, roles in [*((n, p.roles) for n, p in wanted.projects.items()), (SERVER, wanted.server or {})]:
        for role, given in roles.items():
            try:
                check_binding(project, role)
            except Invalid as unknown:
                raise Invalid(f"{project}: {unknown.message}") from None
            if missing := sorted(set(given) - users):
                raise NotFound(f"{project}: there is no user {missing[0]!r}", hint=f"taut user create {missing[0]}")
