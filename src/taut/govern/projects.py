"""Projects as verbs: each a home of its own on this server, with members, objects, ledger and ids of its own."""

from collections.abc import Iterable
from dataclasses import dataclass

from taut.errors import Denied
from taut.ground.access import (
    DEFAULT,
    Project,
    delete_project_row,
    describe_project_row,
    insert_project,
    is_allowed,
    is_member,
    list_projects,
    no_project,
    read_project,
    restore_project_row,
    role_in,
    roles_of,
)
from taut.home import Home, require, verb


@dataclass(frozen=True, slots=True)
class Told:
    """What the ledgers of the server and of a project say of a binding: its `kind`, and `by` what it was changed."""

    kind: str
    user: str
    project: str
    role: str
    by: str

    @property
    def body(self) -> dict[str, str]:
        """The body of the entry."""
        return {"role": self.role, "project": self.project, "by": self.by}


@verb("project.create", needs="server:admin")
def create_project(home: Home, name: str, *, description: str = "") -> Project:
    """Make a project, and open its stores once, so that they are there. Raises Invalid, Conflict."""
    root = home.root
    with root.meta.transaction() as tx:
        made = insert_project(tx, name, description, now_ms=home.clock.now_ms())
        root.append(tx, "project.created", subject=f"project:{name}", body={"id": made.id})
    home.access_changed()
    with home.entered(made) as inner, inner.meta.transaction() as tx:
        inner.append(tx, "project.created", subject=f"project:{name}", body={"id": made.id})
    return made


@verb("project.list", needs="audit:head")
def show_projects(home: Home) -> list[Project]:
    """The projects that the caller is a member of, by name; for who administers the server, every one."""
    with home.root.meta.read() as tx:
        found = list_projects(tx)
        if is_allowed(home.actor, "server:admin"):
            return found
        grants = home.actor.grants
        if grants is None or (home.actor.token and home.actor.within is not None):
            return [project for project in found if project.id == home.project_id and is_member(home.actor.role)]
        roles = roles_of(tx, grants.account_id)
    return [project for project in found if role_in(roles, project.id)]


@verb("project.get", needs="audit:head")
def get_project(home: Home, name: str) -> Project:
    """One of the projects that `show_projects` shows. Raises NotFound, alike for one that is not there."""
    for project in show_projects(home):
        if project.name == name:
            return project
    raise no_project(name)


@verb("project.describe", needs="project:admin")
def describe_project(home: Home, name: str, description: str) -> Project:
    """Give a project another description: this one, or any for who administers the server. Raises NotFound."""
    root, project = home.root, administered(home, name, verb="project.describe")
    with root.meta.transaction() as tx:
        changed = describe_project_row(tx, project, description)
        root.append(tx, "project.described", subject=f"project:{name}", body={"id": project.id})
    return changed


@verb("project.delete", needs="server:admin")
def delete_project(home: Home, name: str) -> Project:
    """End a project: nobody is a member any more, its tokens end, its name is free.

    What it holds stays until `taut gc` removes what ended long ago, and can be had back until then. Whoever makes one
    of the same name begins anew. Raises NotFound, Refused for `default`.
    """
    root = home.root
    with root.meta.transaction() as tx:
        project = read_project(tx, name)
        delete_project_row(tx, project, now_ms=home.clock.now_ms())
        root.append(tx, "project.deleted", subject=f"project:{name}", body={"id": project.id})
    home.access_changed(project.id)
    return project


@verb("project.restore", needs="server:admin")
def restore_project(home: Home, name: str) -> Project:
    """Have the project of that name that ended last back, with all that it holds and without any member or token.

    Raises NotFound where none ended or `gc` has taken it, Conflict where another has the name now.
    """
    root = home.root
    with root.meta.transaction() as tx:
        project = restore_project_row(tx, name)
        root.append(tx, "project.restored", subject=f"project:{name}", body={"id": project.id})
    home.access_changed()
    return project


def administered(home: Home, name: str, *, verb: str) -> Project:
    """The project of that name, empty for this one, if the actor may say who is a member of it.

    Who administers this one alone is told that there is no other. Raises NotFound, Denied.
    """
    require(home, "project:admin", verb=verb)
    with home.root.meta.read() as tx:
        if name in ("", home.project_name):
            return read_project(tx, home.project_name)
        if not is_allowed(home.actor, "user:admin"):
            raise no_project(name)
        return read_project(tx, name)


def named_project(home: Home, name: str) -> str:
    """The id behind a name, `*` for the server. Raises NotFound, Denied where only a server's admin may say `*`."""
    if name == "*":
        if not is_allowed(home.actor, "user:admin"):
            raise Denied("only who administers the server says who else does")
        return name
    return administered(home, name, verb="access.bind").id if name else home.project_id or DEFAULT


def tell_projects(home: Home, changes: Iterable[Told]) -> None:
    """Write to the ledger of each project what was done to its members; the server's, which is `default`'s, has it."""
    told = list(changes)
    with home.root.meta.read() as tx:
        found = {one.name: one for one in list_projects(tx) if one.id != DEFAULT}
    for name in sorted({one.project for one in told} & found.keys()):
        with home.entered(found[name]) as inner, inner.meta.transaction() as tx:
            for one in told:
                if one.project == name:
                    inner.tell(tx, one.kind, subject=f"user:{one.user}", body=one.body)
