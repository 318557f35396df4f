"""Users as verbs: made, shown, given roles and passwords, taken away; each change in the ledger, never a password."""

from taut.errors import Denied, Invalid, Refused
from taut.ground.access import (
    BY_USER,
    SERVER_ROLES,
    User,
    check_user_name,
    delete_user_row,
    end_sessions,
    has_admin,
    hash_password,
    insert_grant,
    insert_user,
    is_allowed,
    is_password,
    list_users,
    may_make,
    own_set,
    read_login,
    read_user,
    roles_of,
    set_disabled,
    set_hash,
    set_role,
)
from taut.ground.meta import Tx
from taut.home import Home, require, verb


@verb("user.create", needs="user:create")
def create_user(home: Home, name: str, password: str, *, role: str = "viewer", begins: bool = False) -> User:
    """Make a user with a role in this project, or on the server; with none where it is empty.

    `begins` lets them make experiments and models of their own, whatever their role. The first one has to administer
    the server, else nobody could ever let in a second. Raises Conflict where the name is taken, Invalid for an
    impossible name, password or role, Refused where it would be the first and no admin.
    """
    check_user_name(name)
    must_outrank(home, role)
    hashed, root, now_ms = hash_password(password), home.root, home.clock.now_ms()
    with root.meta.transaction() as tx:
        if role not in SERVER_ROLES and not has_admin(tx, now_ms=now_ms):
            raise Refused("the first who can log in must be an owner", hint="taut user create NAME --admin")
        user = insert_user(tx, name, hashed, role, project=home.project_id, now_ms=now_ms)
        root.append(tx, "user.created", subject=f"user:{name}", body={"id": user.id, "role": role, **_where(home)})
        if begins and home.server is None:
            _let_begin(tx, user)
    if begins and home.server is not None:
        _let_begin_here(home, user)
    home.access_changed()
    return user


@verb("user.get", needs="self")
def get_user(home: Home, name: str) -> User:
    """One user: oneself, or anybody for whoever administers users. Raises NotFound."""
    require_self(home, name, verb="user.get")
    return user_of(home, name)


@verb("user.list", needs="project:read")
def show_users(home: Home) -> list[User]:
    """Every user, oldest first; for who administers no users, the members of this project."""
    with home.root.meta.read() as tx:
        found = list_users(tx, home.project_id)
    return found if is_allowed(home.actor, "user:admin") else [user for user in found if user.role]


@verb("user.password", needs="self")
def set_password(home: Home, name: str, password: str, *, current: str = "") -> None:
    """Give a user another password; whoever is logged in with the old one is asked again, sessions too.

    Who changes their own shows the one they have, so that an open session cannot take the account away. Raises
    Invalid where it is wrong, missing or the same, NotFound for an unknown user, Throttled after too many tries.
    """
    require_self(home, name, verb="user.password")
    root = home.root
    with root.meta.read() as tx:
        user, login = read_user(tx, name, home.project_id), read_login(tx, name)
    if is_self(home, name):
        _must_know(root, name, "" if login is None else login.hash, current, password)
    must_outrank(home, user.role)
    hashed, now_ms = hash_password(password), home.clock.now_ms()
    with root.meta.transaction() as tx:
        user = read_user(tx, name, home.project_id)
        must_outrank(home, user.role)
        set_hash(tx, user, hashed, now_ms=now_ms)
        end_sessions(tx, user.id, now_ms=now_ms, but=home.actor.token if is_self(home, name) else "")
        root.append(tx, "user.password", subject=f"user:{name}", body={"id": user.id})
        ended_in = roles_of(tx, user.id)
    home.access_changed(*ended_in)


@verb("user.role", needs="project:admin")
def set_user_role(home: Home, name: str, role: str) -> User:
    """Give a user this role in this project, or on the server, and no other in either.

    Raises NotFound, Invalid for an unknown role, Refused for the last who administers the server.
    """
    with home.root.meta.transaction() as tx:
        ended_in = roles_of(tx, read_user(tx, name).id)
        user = _changed_role(home, tx, name, role)
    home.access_changed(*ended_in)
    return user


@verb("user.admin", needs="user:admin")
def set_admin(home: Home, name: str, *, is_admin: bool) -> User:
    """Make a user an owner, or no owner any more: then a viewer who may begin things, as MLflow's plain users are."""
    with home.root.meta.transaction() as tx:
        user = read_user(tx, name, home.project_id)
        ended_in = roles_of(tx, user.id)
        changes = user.is_admin != is_admin
        if changes:
            user = _changed_role(home, tx, name, "owner" if is_admin else "viewer")
            if home.server is None and not is_admin:
                _let_begin(tx, user)
    if changes and home.server is not None and not is_admin:
        _let_begin_here(home, user)
    home.access_changed(*ended_in)
    return user


@verb("user.disable", needs="user:admin")
def disable_user(home: Home, name: str, *, disabled: bool = True) -> User:
    """Let a user log in no more, by password, token or session, or let them in again.

    Raises NotFound, Refused for oneself and for the last who administers the server.
    """
    if is_self(home, name):
        raise Refused("users cannot disable their own account; another admin can")
    root, now_ms = home.root, home.clock.now_ms()
    with root.meta.transaction() as tx:
        user = read_user(tx, name, home.project_id)
        must_outrank(home, user.role)
        if disabled:
            _must_not_be_last(home, tx, user)
        set_disabled(tx, user, disabled=disabled, now_ms=now_ms)
        kind = "user.disabled" if disabled else "user.enabled"
        root.append(tx, kind, subject=f"user:{name}", body={"id": user.id})
        user = read_user(tx, name, home.project_id)
        ended_in = roles_of(tx, user.id)
    home.access_changed(*ended_in)
    return user


@verb("user.delete", needs="user:admin")
def delete_user(home: Home, name: str) -> None:
    """Take a user away, with all that was granted to them; what they did stays in the ledger under their name.

    Raises NotFound, Refused for oneself and for the last who administers the server.
    """
    if is_self(home, name):
        raise Refused("users cannot delete their own account; another owner can")
    root = home.root
    with root.meta.transaction() as tx:
        user = read_user(tx, name, home.project_id)
        must_outrank(home, user.role)
        _must_not_be_last(home, tx, user)
        ended_in = roles_of(tx, user.id)
        delete_user_row(tx, user)
        root.append(tx, "user.deleted", subject=f"user:{name}", body={"id": user.id})
    home.access_changed(*ended_in)


def is_self(home: Home, name: str) -> bool:
    """Whether the actor is the user of that name; a token or the folder's owner of the same name is not."""
    return home.actor.grants is not None and home.actor.name == name


def require_self(home: Home, name: str, *, verb: str, needs: str = "user:admin") -> None:
    """Let a user pass to what is their own, and whoever administers users, or what else it `needs`, to everybody's."""
    if not is_self(home, name):
        require(home, needs, verb=verb)


def user_of(home: Home, name: str) -> User:
    """The user of that name with their role in this project. Raises NotFound."""
    with home.root.meta.read() as tx:
        return read_user(tx, name, home.project_id)


def must_not_be_last(tx: Tx, user: User, *, now_ms: int) -> None:
    """Raise Refused where nobody else could administer the server."""
    if user.administers and not has_admin(tx, now_ms=now_ms, but=user.name):
        raise Refused(
            f"{user.name!r} is the last owner who can log in; nobody could administer this home",
            hint="taut user create NAME --admin",
        )


def must_outrank(home: Home, role: str) -> None:
    """Raise Denied where the actor may not give, change or stand in for somebody of this role."""
    for one in role.split("+"):
        if not may_make(home.actor, one):
            raise Denied(
                f"only an owner gives away or changes the role {one!r}: they alone say who owns this home",
                hint="ask an owner of this home",
            )


def _changed_role(home: Home, tx: Tx, name: str, role: str) -> User:
    user = read_user(tx, name, home.project_id)
    must_outrank(home, user.role)
    must_outrank(home, role)
    if role not in SERVER_ROLES:
        _must_not_be_last(home, tx, user)
    set_role(tx, user, role, project=home.project_id, now_ms=home.clock.now_ms())
    body = {"id": user.id, "before": user.role, "role": role, **_where(home)}
    home.root.append(tx, "user.role", subject=f"user:{name}", body=body)
    return read_user(tx, name, home.project_id)


def _let_begin(tx: Tx, user: User) -> None:
    own = own_set(tx, user.id)
    if not any(grant.kind == "home" for grant in own.grants):
        insert_grant(tx, own.id, "home", "*", "USE")


def _let_begin_here(home: Home, user: User) -> None:
    """The same in a project, whose store is another: once the user is committed, whose number might be given again."""

    def let() -> None:
        with home.meta.transaction() as tx:
            _let_begin(tx, user)

    home.after_commit(let)


def _where(home: Home) -> dict[str, str]:
    return {} if home.server is None else {"project": home.project_name}


def _must_not_be_last(home: Home, tx: Tx, user: User) -> None:
    must_not_be_last(tx, user, now_ms=home.clock.now_ms())


def _must_know(home: Home, name: str, stored: str, current: str, new: str) -> None:
    """Raise Invalid unless the current password was shown, and the new one is another."""
    if not current:
        raise Invalid("Current password is required: show it to change your own")
    counted = {("user", home.access.sealed(name)): BY_USER}
    home.access.throttle.take(counted, now_s=home.access.steady())
    if not is_password(stored, current):
        raise Invalid("Current password does not match")
    home.access.throttle.give_back(counted, now_s=home.access.steady())
    if new == current:
        raise Invalid("the new password must differ from the current one")
