"""Who calls: the actor behind a token or a password, or, on loopback of a home that never made one, its owner."""

import base64
import binascii
import hmac
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from typing import Final, Literal

from taut.errors import Invalid, Unavailable
from taut.ground.access import (
    KINDS,
    PERMISSIONS,
    PREFIX,
    PROOF_S,
    AccessState,
    Actor,
    Caller,
    Grants,
    Identity,
    Seen,
    actor_in,
    grants_of,
    identity_of_token,
    is_password,
    note_use,
    read_login,
    read_state,
)
from taut.home import Home, require, verb


class _Miss(Enum):
    MISS = 0


MISS: Final = _Miss.MISS
"""What is not known without a look at the database."""

ANONYMOUS = Actor("anonymous", "anonymous")
RESOURCE_MAX = 255


def actor_of(home: Home, authorization: str, *, trusted: str = "", address: str = "") -> Actor | None:
    """The actor of an Authorization header; None where a login is needed and none that works was given.

    A token comes as `Bearer TOKEN`, or as the password of `Basic`, as MLflow's clients send it; a user's name and
    password as `Basic`. `trusted` is a token that this process made for its own children: whoever has it is the home's
    own actor. It may ask the database and take the time of a password check, so it belongs into a thread. `address`
    is whence the call comes. Raises Throttled after too many wrong passwords from there or for one user.
    """
    found = caller_of(home, authorization, trusted=trusted, address=address)
    return None if found is None else found.actor


def caller_of(home: Home, authorization: str, *, trusted: str = "", address: str = "") -> Caller | None:
    """The same with who that is on the whole server."""
    known = cached_caller_of(home, authorization, trusted=trusted)
    return _looked_up(home, authorization, address) if known is MISS else known


def cached_actor_of(home: Home, authorization: str, *, trusted: str = "") -> Actor | Literal[_Miss.MISS] | None:
    """The actor where it is known already, else MISS: some microseconds, no database, fit for an event loop."""
    found = cached_caller_of(home, authorization, trusted=trusted)
    return found if found is None or found is MISS else found.actor


def cached_caller_of(home: Home, authorization: str, *, trusted: str = "") -> Caller | Literal[_Miss.MISS] | None:
    """The same with who that is on the whole server."""
    if trusted:
        is_ours = hmac.compare_digest(_secret(authorization).encode(), trusted.encode())
        return Caller(home.actor, None) if is_ours else None
    access = home.access
    if not access.is_fresh:
        return MISS
    if not authorization:
        return None if access.asks else Caller(home.actor, None)
    found = access.caller(access.sealed(authorization), home.clock.now_ms())
    return MISS if found is None else found


def look(home: Home) -> AccessState:
    """Read how often access changed, on the server and in this project, so that what is remembered is fresh again."""
    access = home.access
    changes, began_s = access.changes, access.steady()
    with home.root.meta.read() as tx:
        state = read_state(tx)
    if home.server is not None:
        with home.meta.read() as tx:
            state = replace(state, inner=read_state(tx).version)
    access.confirm(state, began_s=began_s, changes=changes)
    return state


@verb("access.ask", needs="audit:head")
def ask_access(home: Home, permission: str, resource: str) -> str:
    """The caller's own name, where they may do this on that resource; for whoever lets them in on a server's behalf.

    Raises Denied, which stands in the ledger as any refusal, and Invalid for what is no permission or no resource.
    """
    if permission not in PERMISSIONS:
        raise Invalid(f"there is no permission {permission[:40]!r}")
    kind, colon, name = resource.partition(":")
    if resource and (kind not in KINDS or not colon or not name or len(name) > RESOURCE_MAX):
        raise Invalid(f"{resource[:80]!r} is no resource; write it as deployment:NAME")
    require(home, permission, verb="access.ask", resource=resource)
    return home.actor.name


def _looked_up(home: Home, authorization: str, address: str) -> Caller | None:
    """Ask the database who this is; what was found is kept for the next time."""
    access = home.access
    changes = access.changes
    state = look(home)
    if not authorization:
        return None if state.asks else Caller(home.actor, None)
    seal, now_ms = access.sealed(authorization), home.clock.now_ms()
    found = access.caller(seal, now_ms) or _caller(home, authorization, address, state)
    if found is None:
        return None
    access.remember(seal, found, state=state, changes=changes)
    return found


def _caller(home: Home, authorization: str, address: str, state: AccessState) -> Caller | None:
    identity = _identity(home, authorization, address)
    if identity is None:
        return None
    grants: Grants | None = None
    if identity.account_id is not None:
        with home.meta.read() as tx:
            grants = grants_of(tx, identity.account_id)
    seen = Seen(home.project_id, state.version, state.inner)  # From before all that was read of them.
    actor = replace(actor_in(identity, home.project_id), grants=grants, seen=seen)
    # Now and then it is asked again, for when a token was used last is written down then.
    soon_ms = home.clock.now_ms() + int(PROOF_S * 1000)
    return Caller(actor, soon_ms if identity.ends_ms is None else min(identity.ends_ms, soon_ms), identity)


def _identity(home: Home, authorization: str, address: str) -> Identity | None:
    """Who that is on the whole server: the holder of a token, or a user with their password."""
    root, now_ms = home.root, home.clock.now_ms()
    scheme, _, value = authorization.partition(" ")
    name, secret = ("", value.strip()) if scheme.lower() == "bearer" else _name_and_password(scheme, value)
    if secret.startswith(PREFIX) or not name:
        with root.meta.read() as tx:
            found = identity_of_token(tx, secret, now_ms=now_ms)
        if found is not None and found.is_stale:
            with suppress(Unavailable), root.meta.transaction() as tx:  # A full disk keeps nobody from reading.
                note_use(tx, found.token, now_ms=now_ms)
        if found is not None or not name:
            return found
    return _user(root, name, secret, address)


def _user(root: Home, name: str, password: str, address: str) -> Identity | None:
    """The user of that name and password. Unknown names take as long as wrong passwords, and count alike."""
    access = root.access
    with root.meta.read() as tx:
        login = read_login(tx, name)
    if login is not None and login.disabled:
        login = None
    seal, stored = access.sealed("password", name, password), "" if login is None else login.hash
    if login is None or not access.has_proof(seal, stored):
        if not _is_right(root, name, password, stored, address) or login is None:
            return None
        access.prove(seal, stored)
    return Identity(name, login.roles, login.id)


def _is_right(home: Home, name: str, password: str, stored: str, address: str) -> bool:
    access = home.access
    counted = access.counted(name, address)
    access.throttle.take(counted, now_s=access.steady())
    if not is_password(stored, password):
        return False
    access.throttle.give_back(counted, now_s=access.steady())
    access.note_place(name, address)
    return True


def _secret(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    return value.strip() if scheme.lower() == "bearer" else _name_and_password(scheme, value)[1]


def _name_and_password(scheme: str, value: str) -> tuple[str, str]:
    """What basic authentication says, RFC 7617; nothing where it cannot be read."""
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (name, password) if colon else ("", "")
