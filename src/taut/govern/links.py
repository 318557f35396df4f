"""Whom a user is elsewhere: linked to an issuer's subject by who administers users, and unlinked again."""

from taut.errors import Conflict, Invalid, NotFound
from taut.govern.users import must_not_be_last, must_outrank, require_self
from taut.ground.access import (
    Subject,
    delete_link,
    end_sessions,
    find_linked,
    insert_link,
    links_of,
    read_login,
    read_user,
)
from taut.ground.oidc import SUBJECT, check_issuer
from taut.home import Home, verb


@verb("user.link", needs="user:admin")
def link_user(home: Home, name: str, issuer: str, subject: str) -> Subject:
    """Let whoever an issuer calls `subject` log in as this user from now on; the same twice is once.

    Raises NotFound for an unknown user, Invalid for what is no issuer or subject, Conflict where that is another user
    already, Denied for an owner's account where the actor is none.
    """
    check_issuer(issuer)
    if SUBJECT.fullmatch(subject) is None:
        raise Invalid(f"{subject[:80]!r} is no subject: 1 to 255 characters, none of control")
    root, now_ms = home.root, home.clock.now_ms()
    with root.meta.transaction() as tx:
        user = read_user(tx, name, home.project_id)
        must_outrank(home, user.role)
        known = find_linked(tx, issuer, subject)
        if known is not None and known.id != user.id:
            raise Conflict(f"{subject[:80]!r} of {issuer} is {known.name!r} already", hint="taut user unlink")
        if known is None:
            insert_link(tx, issuer, subject, user.id, now_ms=now_ms)
            body = {"id": user.id, "issuer": issuer, "subject": subject}
            root.append(tx, "user.linked", subject=f"user:{name}", body=body)
        return next(one for one in links_of(tx, user.id) if (one.issuer, one.subject) == (issuer, subject))


@verb("user.unlink", needs="user:admin")
def unlink_user(home: Home, name: str, issuer: str, subject: str) -> None:
    """Let a subject be this user no more; their sessions end, for one of them may have begun so.

    Raises NotFound where they are not linked, Denied for an owner's account where the actor is none, Refused where it
    was the last way in for the last who administers the server.
    """
    root, now_ms = home.root, home.clock.now_ms()
    with root.meta.transaction() as tx:
        user = read_user(tx, name, home.project_id)
        must_outrank(home, user.role)
        if not delete_link(tx, issuer, subject, user.id):
            raise NotFound(f"{name!r} is not {subject[:80]!r} of {issuer[:200]}", hint=f"taut user show {name}")
        login = read_login(tx, name)
        if not links_of(tx, user.id) and (login is None or not login.hash):
            must_not_be_last(tx, user, now_ms=now_ms)
        end_sessions(tx, user.id, now_ms=now_ms)
        body = {"id": user.id, "issuer": issuer, "subject": subject}
        root.append(tx, "user.unlinked", subject=f"user:{name}", body=body)
    home.access.forget()


@verb("user.links", needs="self")
def show_links(home: Home, name: str) -> list[Subject]:
    """Whom a user is elsewhere: one's own, or anybody's for whoever administers users. Raises NotFound."""
    require_self(home, name, verb="user.links")
    with home.root.meta.read() as tx:
        return links_of(tx, read_user(tx, name, home.project_id).id)
