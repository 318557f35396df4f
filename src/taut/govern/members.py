"""Who has which role in which project, as verbs: bound, unbound, listed and explained; in the ledger of both sides."""

from dataclasses import dataclass, replace

from taut.errors import Denied, NotFound
from taut.govern.projects import administered, named_project
from taut.govern.users import must_not_be_last
from taut.ground.access import (
    COLUMNS,
    DEFAULT,
    PERMISSIONS,
    SERVER,
    SERVER_ROLES,
    Actor,
    Binding,
    delete_binding,
    grants_of,
    insert_binding,
    is_allowed,
    is_member,
    list_bindings,
    list_projects,
    mark_of,
    may_make,
    read_user,
    role_in,
    roles_of,
)
from taut.home import Home, require, verb


@dataclass(frozen=True, slots=True)
class Explained:
    """Whether a user may do something, and what decides: a role that they are bound to, a grant, or nothing."""

    user: str
    permission: str
    resource: str
    project: str
    allowed: bool
    because: str


@verb("access.bind", needs="project:admin")
def bind_role(home: Home, user: str, role: str, *, project: str = "") -> Binding:
    """Bind a user to a role in this project, or in the one named, or with `*` on the server.

    Who administers the server may bind themselves: the ledger of the server and that of the project say so. Raises
    NotFound, Invalid, Denied for a role that the caller may not give, Refused for roles that exclude each other.
    """
    return _change(home, user, role, project, binds=True)


@verb("access.unbind", needs="project:admin")
def unbind_role(home: Home, user: str, role: str, *, project: str = "") -> Binding:
    """Take a role away from a user. Raises NotFound where they do not have it, Denied, Refused for the last admin."""
    return _change(home, user, role, project, binds=False)


@verb("access.list", needs="project:read")
def show_bindings(home: Home, *, project: str = "") -> list[Binding]:
    """Who is bound to what in this project, or in the one named; with `*` everywhere. Projects by their names."""
    where = project or home.project_name
    if where != home.project_name:
        require(home, "user:admin", verb="access.list")
    with home.root.meta.read() as tx:
        names = {SERVER: SERVER, **_names(home)}
        found = [replace(one, project=names.get(one.project, one.project)) for one in list_bindings(tx)]
    return found if where == SERVER else [one for one in found if one.project == where]


@verb("access.matrix", needs="audit:head")
def show_matrix(home: Home) -> dict[str, dict[str, str]]:
    """Permission -> role -> `+`, `-`, or `o` for what its holder has made; the same on every server."""
    roles = [*COLUMNS, "owner"]
    return {permission: {role: mark_of(role, permission) for role in roles} for permission in sorted(PERMISSIONS)}


@verb("access.explain", needs="project:read")
def explain_access(home: Home, user: str, permission: str, *, resource: str = "", project: str = "") -> Explained:
    """Whether a user may do something, on one `KIND:NAME` where one is named, and which binding or grant says so.

    Raises NotFound for an unknown user, permission or project.
    """
    if permission not in PERMISSIONS:
        raise NotFound(f"there is no permission {permission[:40]!r}", hint="taut access matrix")
    where = home.project_name
    if project not in ("", where):
        require(home, "user:admin", verb="access.explain")
        found = administered(home, project, verb="access.explain")
        with home.entered(found) as inner:
            return _explained(inner, user, permission, resource)
    return _explained(home, user, permission, resource)


def _change(home: Home, user: str, role: str, project: str, *, binds: bool) -> Binding:
    verb = "access.bind" if binds else "access.unbind"
    where = named_project(home, SERVER if role in SERVER_ROLES else project)
    if not may_make(home.actor, role):
        raise Denied(f"only an owner gives away or changes the role {role!r}", hint="ask an owner of this home")
    root, now_ms = home.root, home.clock.now_ms()
    name = {SERVER: SERVER, **_names(home)}.get(where, where)
    kind, body = ("access.bound" if binds else "access.unbound"), {"role": role, "project": name}
    with root.meta.read() as tx:
        read_user(tx, user)
    if where not in (SERVER, DEFAULT):  # First there: what a server's admin does to a project, its own ledger knows.
        with home.entered(administered(home, name, verb=verb)) as inner, inner.meta.transaction() as tx:
            inner.append(tx, kind, subject=f"user:{user}", body=body)
    with root.meta.transaction() as tx:
        account = read_user(tx, user, DEFAULT if where == SERVER else where)
        if binds:
            insert_binding(tx, account.id, where, role)
        else:
            if where == SERVER:
                must_not_be_last(tx, account, now_ms=now_ms)
            if not delete_binding(tx, account.id, where, role):
                raise NotFound(f"{user!r} is not bound to {role!r} there", hint="taut access list")
        root.append(tx, kind, subject=f"user:{user}", body=body)
    home.access_changed(*(() if binds else (where,)))
    return Binding(user, name, role)


def _explained(home: Home, user: str, permission: str, resource: str) -> Explained:
    with home.root.meta.read() as tx:
        account = read_user(tx, user, home.project_id)
        roles = roles_of(tx, account.id)
        given = {(one.project, one.role): one.by for one in list_bindings(tx) if one.user == account.name}
    with home.meta.read() as tx:
        grants = grants_of(tx, account.id)
    role = role_in(roles, home.project_id)
    allowed = not account.disabled and is_allowed(Actor(user, role, grants), permission, resource)
    level = grants.level(resource) if ":" in resource and role != "owner" else ""
    givers = [one for one in role.split("+") if mark_of(one, permission) == "+"] if role else []
    if account.disabled:
        because = "the user is disabled"
    elif level:
        because = f"the grant of {level} on {resource} takes the place of the role {role or 'none'}"
    elif givers:
        on_server = givers[0] in SERVER_ROLES
        by = given.get((SERVER if on_server else home.project_id, givers[0]), "hand")
        where = "on the server" if on_server else f"in {home.project_name}"
        because = f"the role {givers[0]} {where}, given by {by}"
    elif allowed:
        because = "a grant on the whole home"
    elif not is_member(role):
        because = f"no role binds them to {home.project_name}"
    else:
        because = f"the role {role} has it not, and no grant gives it"
    return Explained(user, permission, resource, home.project_name, allowed, because)


def _names(home: Home) -> dict[str, str]:
    with home.root.meta.read() as tx:
        return {project.id: project.name for project in list_projects(tx)}
