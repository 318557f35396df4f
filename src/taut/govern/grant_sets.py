"""Named sets of grants as verbs: what MLflow calls roles, beside the roles that taut itself knows."""

from taut.govern.users import require_self, user_of
from taut.ground.access import (
    Grant,
    GrantSet,
    Holding,
    delete_grant,
    delete_holding,
    delete_set,
    holdings_of,
    insert_grant,
    insert_holding,
    insert_set,
    list_sets,
    read_grant,
    read_set,
    set_level,
    update_set,
)
from taut.home import Home, verb


@verb("grants.create", needs="role:admin")
def create_set(home: Home, name: str, *, description: str | None = None) -> GrantSet:
    """Make an empty set of grants that users can hold. Raises Conflict where the name is taken, Invalid."""
    with home.meta.transaction() as tx:
        made = insert_set(tx, name, description)
        home.append(tx, "grants.created", subject=f"grants:{made.id}", body={"name": name})
    return made


@verb("grants.get", needs="role:admin")
def get_set(home: Home, set_id: int) -> GrantSet:
    """A set with its grants. Raises NotFound."""
    with home.meta.read() as tx:
        return read_set(tx, set_id)


@verb("grants.list", needs="role:admin")
def show_sets(home: Home) -> list[GrantSet]:
    """Every set, those of single users too, oldest first."""
    with home.meta.read() as tx:
        return list_sets(tx)


@verb("grants.of", needs="self")
def sets_of(home: Home, user: str) -> list[GrantSet]:
    """The sets that a user holds; for oneself, or whoever administers access. Raises NotFound."""
    require_self(home, user, verb="grants.of", needs="project:read")
    account = user_of(home, user)
    with home.meta.read() as tx:
        return list_sets(tx, account_id=account.id)


@verb("grants.update", needs="role:admin")
def change_set(home: Home, set_id: int, *, name: str | None = None, description: str | None = None) -> GrantSet:
    """Give a set another name or description. Raises NotFound, Conflict, Invalid."""
    with home.meta.transaction() as tx:
        changed = update_set(tx, set_id, name=name, description=description)
        home.append(tx, "grants.updated", subject=f"grants:{set_id}", body={"name": changed.name})
    return changed


@verb("grants.delete", needs="role:admin")
def remove_set(home: Home, set_id: int) -> None:
    """Take a set away from everybody who holds it. Raises NotFound."""
    with home.meta.transaction() as tx:
        gone = delete_set(tx, set_id)
        home.append(tx, "grants.deleted", subject=f"grants:{set_id}", body={"name": gone.name})
    home.access_changed()


@verb("grants.add", needs="role:admin")
def add_grant(home: Home, set_id: int, kind: str, resource: str, level: str) -> Grant:
    """Add a grant to a set. Raises NotFound for no set, Conflict for a second on the same, Invalid."""
    with home.meta.transaction() as tx:
        read_set(tx, set_id)
        made = insert_grant(tx, set_id, kind, resource, level)
        body = {"kind": kind, "resource": resource, "level": level}
        home.append(tx, "grants.added", subject=f"grants:{set_id}", body=body)
    home.access_changed()
    return made


@verb("grants.change", needs="role:admin")
def change_grant(home: Home, grant_id: int, level: str) -> Grant:
    """Give a grant of a set another level. Raises NotFound, Invalid."""
    with home.meta.transaction() as tx:
        changed = set_level(tx, read_grant(tx, grant_id), level)
        body = {"kind": changed.kind, "resource": changed.resource, "level": level}
        home.append(tx, "grants.changed", subject=f"grants:{changed.set_id}", body=body)
    home.access_changed()
    return changed


@verb("grants.remove", needs="role:admin")
def remove_grant(home: Home, grant_id: int) -> None:
    """Take a grant out of a set. Raises NotFound."""
    with home.meta.transaction() as tx:
        gone = read_grant(tx, grant_id)
        delete_grant(tx, gone)
        body = {"kind": gone.kind, "resource": gone.resource, "level": gone.level}
        home.append(tx, "grants.removed", subject=f"grants:{gone.set_id}", body=body)
    home.access_changed()


@verb("grants.assign", needs="role:admin")
def assign_set(home: Home, user: str, set_id: int) -> Holding:
    """Let a user hold a set. Raises NotFound, Conflict where they do already, Invalid for another user's own."""
    account = user_of(home, user)
    with home.meta.transaction() as tx:
        made = insert_holding(tx, set_id, account.id)
        home.append(tx, "grants.assigned", subject=f"user:{user}", body={"grants": set_id})
    home.access_changed()
    return made


@verb("grants.unassign", needs="role:admin")
def unassign_set(home: Home, user: str, set_id: int) -> None:
    """Take a set away from a user. Raises NotFound."""
    account = user_of(home, user)
    with home.meta.transaction() as tx:
        delete_holding(tx, set_id, account.id)
        home.append(tx, "grants.unassigned", subject=f"user:{user}", body={"grants": set_id})
    home.access_changed()


@verb("grants.holders", needs="role:admin")
def holders_of(home: Home, set_id: int) -> list[Holding]:
    """Who holds a set. Raises NotFound."""
    with home.meta.read() as tx:
        return holdings_of(tx, set_id)
