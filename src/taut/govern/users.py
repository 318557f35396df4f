"""Users as verbs: made, shown, given roles and passwords, taken away; each change in the ledger, never a password."""

from taut.errors import Denied, Invalid, Refused
from taut.ground.access import (
    BY_USER,
    User,
    check_user_name,
    delete_user_row,
    has_owner,
    hash_password,
    insert_grant,
    insert_user,
    is_password,
    list_users,
    may_make,
    own_set,
    read_login,
    read_user,
    set_hash,
    set_role,
)
from taut.ground.meta import Tx
from taut.home import Home, require, verb


@verb("user.create", needs="access:admin")
def create_user(home: Home, name: str, password: str, *, role: str = "viewer", begins: bool = False) -> User:
    """Make a user. `begins` lets them make experiments and models of their own, whatever their role.

    The first one has to be an owner, else nobody could ever let in a second. Raises Conflict where the name is taken,
    Invalid for an impossible name, password or role, Refused where it would be the first and no owner.
    """
    check_user_name(name)
    if not may_make(home.actor, role):
        raise Denied(f"only an owner gives away the role {role!r}")
    hashed, now_ms = hash_password(password), home.clock.now_ms()
    with home.meta.transaction() as tx:
        if role != "owner" and not has_owner(tx, now_ms=now_ms):
            raise Refused("the first who can log in must be an owner", hint="taut user create NAME --admin")
        user = insert_user(tx, name, hashed, role, now_ms=now_ms)
        if begins:
            insert_grant(tx, own_set(tx, user.id).id, "home", "*", "USE")
        home.append(tx, "user.created", subject=f"user:{name}", body={"id": user.id, "role": role})
    home.access.forget()
    return user


@verb("user.get", needs="access:self")
def get_user(home: Home, name: str) -> User:
    """One user: oneself, or anybody for whoever administers access. Raises NotFound."""
    require_self(home, name, verb="user.get")
    with home.meta.read() as tx:
        return read_user(tx, name)


@verb("user.list", needs="access:admin")
def show_users(home: Home) -> list[User]:
    """Every user, oldest first."""
    with home.meta.read() as tx:
        return list_users(tx)


@verb("user.password", needs="access:self")
def set_password(home: Home, name: str, password: str, *, current: str = "") -> None:
    """Give a user another password; whoever is logged in with the old one is asked again.

    Who changes their own shows the one they have, so that an open session cannot take the account away. Raises
    Invalid where it is wrong, missing or the same, NotFound for an unknown user, Throttled after too many tries.
    """
    require_self(home, name, verb="user.password")
    with home.meta.read() as tx:
        user, login = read_user(tx, name), read_login(tx, name)
    if is_self(home, name):
        _must_know(home, name, "" if login is None else login.hash, current, password)
    _must_outrank(home, user.role)
    hashed = hash_password(password)
    with home.meta.transaction() as tx:
        user = read_user(tx, name)
        _must_outrank(home, user.role)
        set_hash(tx, user, hashed, now_ms=home.clock.now_ms())
        home.append(tx, "user.password", subject=f"user:{name}", body={"id": user.id})
    home.access.forget()


@verb("user.role", needs="access:admin")
def set_user_role(home: Home, name: str, role: str) -> User:
    """Give a user another role. Raises NotFound, Invalid for an unknown role, Refused for the last owner."""
    with home.meta.transaction() as tx:
        user = _changed_role(home, tx, name, role)
    home.access.forget()
    return user


@verb("user.admin", needs="access:admin")
def set_admin(home: Home, name: str, *, is_admin: bool) -> User:
    """Make a user an owner, or no owner any more: then a viewer who may begin things, as MLflow's plain users are."""
    with home.meta.transaction() as tx:
        user = read_user(tx, name)
        if user.is_admin != is_admin:
            user = _changed_role(home, tx, name, "owner" if is_admin else "viewer")
            own = own_set(tx, user.id)
            if not is_admin and not any(grant.kind == "home" for grant in own.grants):
                insert_grant(tx, own.id, "home", "*", "USE")
    home.access.forget()
    return user


@verb("user.delete", needs="access:admin")
def delete_user(home: Home, name: str) -> None:
    """Take a user away, with all that was granted to them; what they did stays in the ledger under their name.

    Raises NotFound, Refused for oneself and for the last owner.
    """
    if is_self(home, name):
        raise Refused("users cannot delete their own account; another owner can")
    with home.meta.transaction() as tx:
        user = read_user(tx, name)
        _must_outrank(home, user.role)
        _must_not_be_last(home, tx, user)
        delete_user_row(tx, user)
        home.append(tx, "user.deleted", subject=f"user:{name}", body={"id": user.id})
    home.access.forget()


def is_self(home: Home, name: str) -> bool:
    """Whether the actor is the user of that name; a token or the folder's owner of the same name is not."""
    return home.actor.grants is not None and home.actor.name == name


def require_self(home: Home, name: str, *, verb: str) -> None:
    """Let a user pass to what is their own, and whoever administers access to everybody's."""
    if not is_self(home, name):
        require(home, "access:admin", verb=verb)


def _changed_role(home: Home, tx: Tx, name: str, role: str) -> User:
    user = read_user(tx, name)
    _must_outrank(home, user.role)
    _must_outrank(home, role)
    if role != "owner":
        _must_not_be_last(home, tx, user)
    set_role(tx, user, role, now_ms=home.clock.now_ms())
    home.append(tx, "user.role", subject=f"user:{name}", body={"id": user.id, "before": user.role, "role": role})
    return read_user(tx, name)


def _must_outrank(home: Home, role: str) -> None:
    if not may_make(home.actor, role):
        raise Denied("only an owner changes who owns this home", hint="ask an owner of this home")


def _must_not_be_last(home: Home, tx: Tx, user: User) -> None:
    if user.is_admin and not has_owner(tx, now_ms=home.clock.now_ms(), but=user.name):
        raise Refused(
            f"{user.name!r} is the last owner who can log in; nobody could administer this home",
            hint="taut user create NAME --admin",
        )


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
