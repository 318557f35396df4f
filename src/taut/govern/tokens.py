"""Tokens as verbs: for machines in this project, for users themselves, and for a while after a login."""

from dataclasses import dataclass

from taut.errors import Denied, Invalid, Refused
from taut.ground.access import (
    DEFAULT,
    SCOPES,
    SERVER_ROLES,
    Holder,
    Token,
    delete_ended_tokens,
    end_sessions,
    insert_token,
    is_allowed,
    list_tokens,
    may_make,
    no_token,
    owner_of_token,
    revoke_token,
    rights_of,
    roles_of,
)
from taut.ground.ledger import Happening, append_events
from taut.ground.meta import Tx
from taut.home import Home, require, verb

DAYS, DAYS_MAX = 90, 366  # Of what somebody forgets; a machine that works longer is given a new one each year.
SESSION_DAYS = 7
FORGOTTEN = 2  # For each that is made, so that those that ended become fewer.


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token with its secret, which is shown this once and stored only as a hash."""

    token: Token
    secret: str


@verb("token.create", needs="token:service")
def create_token(
    home: Home, name: str, role: str = "", *, days: int = DAYS, scopes: list[str] | None = None
) -> NewToken:
    """Make a token for a machine in this project; it ends after `days`.

    It has `scopes` (read, log, predict, deploy), of which none may be more than the caller has; or a role, given by
    whoever says who is a member. Raises Invalid, Denied.
    """
    given = _given(home, role, scopes or [])
    token = _made(home, name, given, days, kind="service")
    home.access_changed()
    return token


@verb("token.own", needs="self")
def create_own_token(home: Home, name: str, *, days: int = DAYS, scopes: list[str] | None = None) -> NewToken:
    """Make a token that stands for the user who asks, in this project, for what `scopes` say or for all they may.

    It never has more than its user has at the moment, and ends with them. Raises Invalid, Refused for who is no user.
    """
    _must_be_user(home)
    if home.actor.token:
        with home.root.meta.read() as tx:
            if owner_of_token(tx, home.actor.token).kind != "session":
                raise Denied("a token makes no other token of its user: log in", hint="taut login URL")
    token = _made(home, name, _scopes(scopes or []), days, kind="own")
    home.access_changed()
    return token


@verb("token.session", needs="self")
def open_session(home: Home) -> NewToken:
    """A token for the user who asks, for every project and a few days: what a command keeps instead of a password.

    Raises Denied for who shows a token instead of a password: a session does not prolong itself.
    """
    _must_be_user(home)
    if home.actor.token:
        raise Denied("a session begins with a password, not with a token")
    token = _made(home, "session", "", SESSION_DAYS, kind="session")
    home.access_changed()
    return token


@verb("token.sessions_end", needs="self")
def close_sessions(home: Home, *, everywhere: bool = False) -> int:
    """End the session that asks, or all of its user; returns how many ended. Raises Refused for who is no user."""
    account_id, now_ms = _must_be_user(home), home.clock.now_ms()
    root, actor = home.root, home.actor
    with root.meta.transaction() as tx:
        if everywhere or not actor.token:
            ended = end_sessions(tx, account_id, now_ms=now_ms)
        else:
            revoke_token(tx, actor.token, now_ms=now_ms)
            ended = 1
        root.append(tx, "token.sessions_ended", subject=f"user:{actor.name}", body={"ended": ended})
        ended_in = roles_of(tx, account_id)
    home.access_changed(*ended_in)
    return ended


@verb("token.list", needs="token:admin")
def show_tokens(home: Home) -> list[Token]:
    """Every token of this project, for who administers users every one of the server; oldest first, never a secret."""
    project = "" if is_allowed(home.actor, "user:admin") and home.server is None else home.project_id
    with home.root.meta.read() as tx:
        return list_tokens(tx, project=project)


@verb("token.list_own", needs="self")
def show_own_tokens(home: Home) -> list[Token]:
    """The tokens and sessions of the user who asks, oldest first. Raises Refused for who is no user."""
    account_id = _must_be_user(home)
    with home.root.meta.read() as tx:
        return list_tokens(tx, account_id=account_id)


@verb("token.revoke", needs="self")
def end_token(home: Home, token_id: str) -> None:
    """End a token now: one's own, or one of this project for who administers its tokens.

    Raises NotFound where there is none that still works, or that the caller may know of.
    """
    root, grants = home.root, home.actor.grants
    with root.meta.read() as tx:
        found = owner_of_token(tx, token_id)
    is_own = grants is not None and found.account_id == grants.account_id
    if not is_own:
        require(home, "token:admin", verb="token.revoke")
        if found.project != home.project_id and not is_allowed(home.actor, "user:admin"):
            raise no_token(token_id)
    with root.meta.transaction() as tx:
        revoke_token(tx, token_id, now_ms=home.clock.now_ms())
        root.append(tx, "token.revoked", subject=f"token:{token_id}")
        ended_in = {found.project} if found.account_id is None else roles_of(tx, found.account_id)
    home.access_changed(*ended_in)


def forget_tokens(home: Home, tx: Tx, *, most: int) -> int:
    """Forget up to so many tokens that ended long ago, inside the caller's transaction; returns how many.

    It is called where tokens are made, for two each time, so that there never are many. An entry tells of each, in
    nobody's name but of whoever made that.
    """
    now_ms, actor = home.clock.now_ms(), home.actor
    gone = delete_ended_tokens(tx, most=most, now_ms=now_ms)
    if gone:
        append_events(tx, [
            Happening("token.forgotten", f"token:{id}", actor.name, now_ms, asked=actor.asked) for id in gone
        ])  # fmt: skip
    return len(gone)


def _made(home: Home, name: str, role: str, days: int, *, kind: Holder) -> NewToken:
    if not 1 <= days <= DAYS_MAX:
        raise Invalid(f"a token works for 1 to {DAYS_MAX} days, not for {days}")
    if not name.strip() or len(name) > 255:
        raise Invalid("the name of a token has 1 to 255 characters")
    root, grants, now_ms = home.root, home.actor.grants, home.clock.now_ms()
    account_id = None if grants is None or kind == "service" else grants.account_id
    project = "*" if kind == "session" else home.project_id
    with root.meta.transaction() as tx:
        token, secret = insert_token(
            tx, name, role, now_ms=now_ms, expires_ms=now_ms + days * 86_400_000, project=project,
            kind=kind, account_id=account_id, made_by=home.actor.name,
        )  # fmt: skip
        body = {"name": name, "role": role, "kind": kind, **({} if project == DEFAULT else {"project": project})}
        root.append(tx, "token.created", subject=f"token:{token.id}", body=body)
        forget_tokens(root, tx, most=FORGOTTEN)
    return NewToken(token, secret)


def _given(home: Home, role: str, scopes: list[str]) -> str:
    """The roles that a service token is to have, if the caller may give them. Raises Invalid, Denied."""
    if bool(role) == bool(scopes):
        raise Invalid("a token has scopes or a role: name one of the two", hint="taut token create NAME --scope log")
    if scopes:
        wanted = _scopes(scopes)
        _must_have(home, wanted)
        return wanted
    if not may_make(home.actor, role):
        raise Denied(f"only an owner gives away the role {role!r}")
    if role in SERVER_ROLES and home.server is not None:
        raise Invalid(f"{role} is a role of the server, not of a project")
    require(home, "project:admin", verb="token.create")
    _must_have(home, role)
    return role


def _must_have(home: Home, role: str) -> None:
    """Raise Denied unless the caller has all that a token is to have: none is a way to more, as a dpo's would be."""
    if lacks := sorted(p for p in rights_of(role) if p != "audit:head" and not is_allowed(home.actor, p)):
        raise Denied(f"nobody makes a token that may more than themselves: you lack {lacks[0]}")


def _scopes(scopes: list[str]) -> str:
    if unknown := set(scopes) - set(SCOPES):
        raise Invalid(f"there is no scope {min(unknown)!r}; there are {', '.join(SCOPES)}")
    return "+".join(f"scope:{scope}" for scope in SCOPES if scope in scopes)


def _must_be_user(home: Home) -> int:
    """The account of the actor. Raises Refused for machines and for the folder's owner, who need none of it."""
    if home.actor.grants is None:
        raise Refused(f"{home.actor.name} is no user with a login", hint="taut login URL")
    return home.actor.grants.account_id
