"""Who calls an endpoint, and whether they may: asked of a home, of a server on the caller's behalf, or of a file."""

import hmac
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from taut.callers import MISS, actor_of, ask_access, cached_caller_of, look
from taut.errors import Denied, Invalid
from taut.ground.access import is_allowed
from taut.ground.browsers import LOOPBACK
from taut.home import Home, require

SERVER_KNOWS_S = 0.4  # The server itself remembers for half a second: together less than the second that is promised.
ON_SERVER = frozenset({"server:observe"})  # What is asked of the server, not of one deployment.
TOKEN_MIN = 16


class Unknown(Denied):
    """Nobody is known by what the caller showed, or nothing was shown. Travels as Denied, over HTTP as 401."""

    http_status = 401

    def __init__(self, given: str) -> None:
        what = "this token does not work here" if given else "this endpoint asks for a token"
        super().__init__(what, hint="set TAUT_TOKEN")

    @property
    def kind(self) -> str:
        """The name of the kind that callers know."""
        return Denied.__name__


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who it is, empty for nobody known, and until when on the steady clock that need not be asked again."""

    name: str
    until_s: float


class Asks(Protocol):
    """Decides who may do what. `address` is whence the call comes, empty for a socket of this machine."""

    def recall(self, authorization: str, needs: str, address: str) -> Admitted | None:
        """Whom it lets in without asking anybody, in microseconds; None where it must ask."""
        ...

    def ask(self, authorization: str, needs: str, address: str) -> Admitted:
        """The same however long it takes, for a thread. Raises Denied, Unknown, Unavailable."""
        ...


class OfHome:
    """Asks a home on this machine as its server would.

    `secret` lets its owner in. Where nobody was ever given a login, callers on loopback need none unless `always`.
    """

    def __init__(self, home: Home, resource: str, *, secret: str = "", always: bool = False) -> None:
        self._home, self._resource, self._always = home, resource, always
        self._owners = f"Bearer {secret}".encode() if secret else b""

    def recall(self, authorization: str, needs: str, address: str) -> Admitted | None:
        """See Asks."""
        if self._owners and hmac.compare_digest(authorization.encode(), self._owners):
            return Admitted(self._home.actor.name, float("inf"))
        if not authorization:
            _must_be_near(address, self._always)
        access, clock = self._home.access, self._home.clock
        caller = cached_caller_of(self._home, authorization)
        if caller is MISS:
            return None
        if caller is None:
            raise Unknown(authorization)
        if not is_allowed(caller.actor, needs, _on(needs, self._resource)):
            return None  # Asked again before it is refused.
        until_s = access.fresh_until_s
        if caller.ends_ms is not None:
            until_s = min(until_s, access.steady() + (caller.ends_ms - clock.now_ms()) / 1000)
        return Admitted(caller.actor.name if authorization else "", until_s)

    def ask(self, authorization: str, needs: str, address: str) -> Admitted:
        """See Asks."""
        home = self._home
        if not authorization:
            look(home)
            known = self.recall(authorization, needs, address)
            if known is not None:
                return known
        actor = actor_of(home, authorization, address=address)
        if actor is None:
            raise Unknown(authorization)
        require(home.as_actor(actor), needs, verb="access.ask", resource=_on(needs, self._resource))
        return self.recall(authorization, needs, address) or Admitted(actor.name if authorization else "", 0.0)


class OfServer:
    """Asks the server that the home is about the caller's own token, and believes it for a bounded time."""

    def __init__(self, home: Home, resource: str, *, always: bool = False) -> None:
        self._home, self._resource, self._always = home, resource, always

    def recall(self, authorization: str, needs: str, address: str) -> Admitted | None:
        """See Asks."""
        if not authorization:
            _must_be_near(address, self._always)
        return None

    def ask(self, authorization: str, needs: str, address: str) -> Admitted:
        """See Asks."""
        assert self._home.remote is not None, "a server is asked where there is one"
        began_s = time.monotonic()
        theirs = replace(self._home, remote=self._home.remote.as_caller(authorization))
        try:
            name = ask_access(theirs, needs, _on(needs, self._resource))
        except Denied as refused:
            if refused.hint.startswith("taut login"):  # As a client is told of a 401.
                raise Unknown(authorization) from None
            raise
        return Admitted(name if authorization else "", began_s + SERVER_KNOWS_S)


class OfToken:
    """One token for everybody and everything, for an endpoint that knows no home."""

    def __init__(self, token: str) -> None:
        self._shown = f"Bearer {token}".encode()

    def recall(self, authorization: str, needs: str, address: str) -> Admitted | None:
        """See Asks."""
        if not hmac.compare_digest(authorization.encode(), self._shown):
            raise Unknown(authorization)
        return Admitted("token", float("inf"))

    def ask(self, authorization: str, needs: str, address: str) -> Admitted:
        """Never: it knows at once."""
        raise AssertionError("the token of a file is known at once")


def read_token(path: Path) -> str:
    """The token in a file, without the end of its line. Raises Invalid where it is none, or others may read it."""
    try:
        token = path.read_text("ascii").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as problem:
        raise Invalid(f"{path} cannot be read as a token: {problem}") from None
    if mode & 0o007:
        raise Invalid(f"others may read {path}, which holds a token", hint=f"chmod 600 {path}")
    if len(token) < TOKEN_MIN or not token.isprintable() or " " in token:
        raise Invalid(f"{path} holds no token: {TOKEN_MIN} letters or more, without spaces")
    return token


def asks_of(home: Home, deployment: str, access: str, secret: str) -> Asks | None:
    """Who decides about the callers of a deployment; None where it is open to all."""
    if access == "open":
        return None
    resource = f"deployment:{deployment}" if deployment else ""
    if home.remote is not None:
        return OfServer(home, resource, always=access == "token")
    return OfHome(home, resource, secret=secret, always=access == "token")


def _on(needs: str, resource: str) -> str:
    return "" if needs in ON_SERVER else resource


def _must_be_near(address: str, always: bool) -> None:
    """Raise Unknown for a caller who shows nothing, where that is asked for or they are not on this machine."""
    if always or (address and address not in LOOPBACK):
        raise Unknown("")
