"""Who is bound to what, as a file under git says it: what it would change, and the change, whole or not at all."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec

from taut.errors import Conflict, Denied, Invalid, NotFound, Refused
from taut.govern.projects import Told, tell_projects
from taut.govern.trusts import checked_trust, erase_trust, write_trust
from taut.ground import wire
from taut.ground.access import (
    SERVER,
    Binding,
    GroupRole,
    Trust,
    check_binding,
    delete_binding,
    delete_group_role,
    has_admin,
    insert_binding,
    insert_group_role,
    insert_project,
    list_bindings,
    list_group_roles,
    list_projects,
    list_trusts,
    list_users,
    may_make,
    unbind_unbacked,
)
from taut.ground.meta import Tx
from taut.home import Home, require, verb

GROUP_MAX = 255


class WantedProject(msgspec.Struct, forbid_unknown_fields=True):
    """A project as the file has it: role -> users, and nobody else in any role."""

    description: str = ""
    roles: dict[str, list[str]] = msgspec.field(default_factory=dict)


class WantedTrust(msgspec.Struct, forbid_unknown_fields=True):
    """Tokens of an issuer that are worth scopes in a project, see `add_trust`."""

    issuer: str
    audience: str
    subject: str
    project: str
    scopes: list[str]
    claims: dict[str, str] = msgspec.field(default_factory=dict)


class WantedAccess(msgspec.Struct, forbid_unknown_fields=True):
    """A whole file. What it does not name stays as it is: a project, or the server's roles where `server` is None.

    `groups` says what each group of the provider of logins is worth, as project -> roles, and `trust` whose tokens are
    taken: all of them, where they are there.
    """

    projects: dict[str, WantedProject] = msgspec.field(default_factory=dict)
    server: dict[str, list[str]] | None = None
    groups: dict[str, dict[str, list[str]]] | None = None
    trust: list[WantedTrust] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One step: `make` a project, `bind` a user to a role or `unbind` them; `*` is the server.

    `map` makes a `group` worth a role and `unmap` ends that; `trust` begins to take an issuer's tokens for a role, and
    `untrust` ends it: `trusted` says whose.
    """

    does: str
    project: str
    user: str = ""
    role: str = ""
    group: str = ""
    trusted: dict[str, str] = field(default_factory=dict)


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
            if change.user and not may_make(home.actor, change.role):
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
                insert_binding(tx, accounts[change.user], ids[change.project], change.role, by="file")
        told = [_told(change) for change in changes if change.does in ("bind", "unbind")]
        told += _mapped(root, tx, changes, ids)
        for one in told:
            root.append(tx, one.kind, subject=f"user:{one.user}", body=one.body)
        _trusted(root, tx, changes, ids)
        if wanted.server is not None and not has_admin(tx, now_ms=home.clock.now_ms()):
            raise Refused("nobody who can log in would administer the server any more", hint="taut access list")
    lost = {one.project for one in told if one.kind == "access.unbound"}
    home.access_changed(*lost, *(change.project for change in changes if change.does == "untrust"))
    tell_projects(home, told)
    return changes


def _told(change: Change) -> Told:
    kind = "access.bound" if change.does == "bind" else "access.unbound"
    return Told(kind, change.user, change.project, change.role, "access.apply")


def _mapped(root: Home, tx: Tx, changes: list[Change], ids: dict[str, str]) -> list[Told]:
    """Change what groups are worth; returns who lost by it what no group gives any more."""
    for change in changes:
        if change.does in ("map", "unmap"):
            begins = change.does == "map"
            write = insert_group_role if begins else delete_group_role
            write(tx, change.group, ids[change.project], change.role)
            kind = "access.group_mapped" if begins else "access.group_unmapped"
            body = {"role": change.role, "project": change.project}
            root.append(tx, kind, subject=f"group:{change.group}", body=body)
    names = {id: name for name, id in ids.items()}
    lost = unbind_unbacked(tx) if any(change.does == "unmap" for change in changes) else []
    return [Told("access.unbound", user, names[where], role, "groups") for user, where, role in lost]


def _trusted(root: Home, tx: Tx, changes: list[Change], ids: dict[str, str]) -> None:
    """Begin and end to trust."""
    for change in changes:
        if change.does == "untrust":
            for one in list_trusts(tx):
                if _trust_change("untrust", one) == change:
                    erase_trust(root, tx, one)
        elif change.does == "trust":
            scopes = [role.removeprefix("scope:") for role in change.role.split("+")]
            said = change.trusted
            claims = wire.decode(said["claims"], dict[str, str], what="the claims of a trust")
            trust = checked_trust(said["issuer"], said["audience"], said["subject"], claims, change.project, scopes)
            write_trust(root, tx, trust, ids[change.project])


def _may_change(home: Home, wanted: WantedAccess, *, verb: str) -> None:
    """Who administers one project changes that one; what else a file names is for who administers the server."""
    is_whole = wanted.server is not None or wanted.groups is not None or wanted.trust is not None
    if is_whole or wanted.projects.keys() - {home.project_name}:
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
    held = {Binding(one.user, names.get(one.project, one.project), one.role) for one in list_bindings(tx, by_hand=True)}
    held = {one for one in held if one.project in managed}
    made = [Change("make", name) for name in sorted(wanted.projects.keys() - set(names.values()))]
    return [
        *made,
        *(Change("bind", one.project, one.user, one.role) for one in _sorted(asked - held)),
        *(Change("unbind", one.project, one.user, one.role) for one in _sorted(held - asked)),
        *_group_changes(tx, wanted, {*names.values(), *wanted.projects}),
        *_trust_changes(tx, wanted, {*names.values(), *wanted.projects}),
    ]


def _group_changes(tx: Tx, wanted: WantedAccess, projects: set[str]) -> Iterator[Change]:
    if wanted.groups is None:
        return
    asked = set()
    for group, given in wanted.groups.items():
        if not 0 < len(group) <= GROUP_MAX or not group.isprintable():
            raise Invalid(f"groups: {group[:80]!r} is no group: 1 to {GROUP_MAX} printable characters")
        for project, roles in given.items():
            _must_be_there(project, projects, "groups")
            for role in roles:
                _check_role(project, role, f"groups: {group}")
                asked.add(GroupRole(group, project, role))
    held = set(list_group_roles(tx))
    for does, which in (("map", asked - held), ("unmap", held - asked)):
        for one in sorted(which, key=lambda one: (one.group, one.project, one.role)):
            yield Change(does, one.project, role=one.role, group=one.group)


def _trust_changes(tx: Tx, wanted: WantedAccess, projects: set[str]) -> Iterator[Change]:
    if wanted.trust is None:
        return
    asked = []
    for one in wanted.trust:
        _must_be_there(one.project, projects, "trust")
        trust = checked_trust(one.issuer, one.audience, one.subject, one.claims, one.project, one.scopes)
        asked.append(_trust_change("trust", trust))
    held = [_trust_change("trust", one) for one in list_trusts(tx)]
    yield from (one for number, one in enumerate(asked) if one not in held and one not in asked[:number])
    yield from (replace(one, does="untrust") for one in held if one not in asked)


def _trust_change(does: str, trust: Trust) -> Change:
    shown = {"issuer": trust.issuer, "audience": trust.audience, "subject": trust.subject}
    return Change(does, trust.project, role=trust.role, trusted={**shown, "claims": wire.text(trust.claims)})


def _must_be_there(project: str, projects: set[str], where: str) -> None:
    if project not in projects:
        raise NotFound(f"{where}: there is no project {project[:80]!r}", hint="taut project list")


def _sorted(bindings: set[Binding]) -> list[Binding]:
    return sorted(bindings, key=lambda one: (one.project, one.user, one.role))


def _check(wanted: WantedAccess, users: set[str]) -> None:
    for project, roles in [*((n, p.roles) for n, p in wanted.projects.items()), (SERVER, wanted.server or {})]:
        for role, given in roles.items():
            _check_role(project, role, project)
            if missing := sorted(set(given) - users):
                raise NotFound(f"{project}: there is no user {missing[0]!r}", hint=f"taut user create {missing[0]}")


def _check_role(project: str, role: str, where: str) -> None:
    try:
        check_binding(project, role)
    except Invalid as unknown:
        raise Invalid(f"{where}: {unknown.message}") from None
