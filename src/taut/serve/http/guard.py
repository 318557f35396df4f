"""Who may ask an endpoint what: known callers in a microsecond, others once somebody who knows was asked."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b

from taut.errors import Denied, Unavailable
from taut.ground.bounded import Bounded
from taut.ground.browsers import LOOPBACK, SAFE_METHODS, Hosts, hosts_named, hosts_of, problem_of_page
from taut.serve.http.asking import Admitted, Asks, Unknown
from taut.serve.http.rates import Rate, Rates

Headers = Mapping[bytes, bytes]
Guard = Callable[[str, str, Headers, str], str | Awaitable[str]]
"""Given method, path, headers and address, the name of the caller, empty for nobody known, at once or once it was found
out; raises Denied and its kin."""

OPEN = frozenset({"/health", "/ping", "/ready", "/version", "/v2", "/v2/", "/v2/health/live", "/v2/health/ready"})
AUTHORIZATION_MAX = 4096
KNOWN_MAX = 10_000
ASKING_MAX = 64  # Strangers that are looked up at once; whoever was let in a moment ago does not wait for them.


def needs_of(path: str) -> str:
    """The permission that a path asks for, whatever the method; empty for what tells nothing of anybody.

    >>> needs_of("/invocations"), needs_of("/v2/models/late/versions/3/infer"), needs_of("//invocations")
    ('deployment:predict', 'deployment:predict', 'deployment:read')
    """
    if path in OPEN:
        return ""
    if path == "/metrics":
        return "server:observe"
    last = path.rpartition("/")[2]
    if path == "/invocations" or (path.startswith("/v2/models/") and last == "infer"):
        return "deployment:predict"
    return "feedback:write" if last == "labels" else "deployment:read"


class Doorkeeper:
    """The guard of an endpoint. Without `asks` everybody may ask; with a `rate` each caller, or address, so often."""

    def __init__(
        self, asks: Asks | None, *, hosts: Hosts | None = None, rate: Rate | None = None, rates: Rates | None = None
    ) -> None:
        self._asks = asks
        self._hosts = hosts
        self._rate = rate
        self._rates = rates if rates is not None or rate is None else Rates()
        self._key = os.urandom(32)  # So that no token lies in memory for longer than its request.
        self._known: Bounded[Admitted] = Bounded(KNOWN_MAX)
        self._needs: dict[str, str] = {}
        self._asking: dict[bytes, asyncio.Task[Admitted]] = {}

    def __call__(self, method: str, path: str, headers: Headers, address: str) -> str | Awaitable[str]:
        """Let the request pass. Raises Denied, Unknown, TooOften, Unavailable."""
        self._check_browser(method, headers)
        needs = self._needs.get(path)
        if needs is None:
            needs = self._needs_of(path)
        if not needs:
            return ""
        if self._asks is None:
            return self._counted("", address)
        shown = headers.get(b"authorization", b"")
        if len(shown) > AUTHORIZATION_MAX:
            raise Unknown("too long")
        # Without a token it matters whence the call comes; what is shown is never taken for an address.
        said = b"shown %b %b" % (needs.encode(), shown) if shown else b"from %b %b" % (needs.encode(), address.encode())
        seal = blake2b(said, key=self._key, digest_size=16).digest()
        known = self._known.get(seal)
        if known is None or known.until_s <= time.monotonic():
            authorization = shown.decode("latin-1")
            is_stranger = known is None
            known = self._asks.recall(authorization, needs, address)
            if known is None:
                return self._found_out(seal, is_stranger, authorization, needs, address)
            self._known.put(seal, known)
        return known.name if self._rate is None else self._counted(known.name, address)

    async def _found_out(self, seal: bytes, is_stranger: bool, authorization: str, needs: str, address: str) -> str:
        """Ask in a thread, once for all who show the same at the same time."""
        task = self._asking.get(seal)
        if task is None:
            if is_stranger and len(self._asking) >= ASKING_MAX:
                raise Unavailable("too many strangers ask at once; try again in a second")
            assert self._asks is not None
            task = asyncio.create_task(asyncio.to_thread(self._asks.ask, authorization, needs, address))
            self._asking[seal] = task
            task.add_done_callback(lambda done: self._forget(seal, done))
        known = await asyncio.shield(task)  # Who leaves does not end it for the others.
        self._known.put(seal, known)
        return self._counted(known.name, address)

    def _forget(self, seal: bytes, done: "asyncio.Task[Admitted]") -> None:
        self._asking.pop(seal, None)
        if not done.cancelled():
            done.exception()  # Whoever waited has been told; where all left, nobody need be.

    def _counted(self, name: str, address: str) -> str:
        if self._rate is not None and self._rates is not None:
            self._rates.take(name or f"callers at {address or 'this machine'}", self._rate)
        return name

    def _needs_of(self, path: str) -> str:
        needs = needs_of(path)
        if len(self._needs) < KNOWN_MAX:
            self._needs[path] = needs
        return needs

    def _check_browser(self, method: str, headers: Headers) -> None:
        host = headers.get(b"host", b"")
        hosts = self._hosts
        if hosts is not None and b"host" in headers and host not in hosts.known:
            problem = hosts.problem(host)
            if problem:
                raise Denied(problem, hint="set TAUT_HOSTS to the names this endpoint has")
        if method not in SAFE_METHODS and (b"origin" in headers or b"sec-fetch-site" in headers):
            problem = problem_of_page(host, headers.get(b"origin"), headers.get(b"sec-fetch-site"))
            if problem:
                raise Denied(problem)


def hosts_for(listening: str) -> Hosts | None:
    """The hosts that an endpoint on an address answers to; None for any, beyond loopback while TAUT_HOSTS names none.

    What is on loopback is reached by every page that a browser here shows, once its name resolves to this machine;
    beyond it an endpoint has names that it cannot know, those of services and of probes.
    """
    return Hosts(hosts_of(listening)) if listening in LOOPBACK or hosts_named() else None
