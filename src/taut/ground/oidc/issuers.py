"""Issuers of ID tokens: where each says its endpoints and keys are, fetched with bounds and kept for some minutes.

Nothing is fetched for an issuer that nobody here trusts. Where keys cannot be had, nobody gets in: Unavailable.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import SplitResult, urlsplit

import msgspec

from taut.errors import Denied, Invalid, TautError, Unavailable, UsageError
from taut.ground.bounded import Bounded

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    from taut.ground.outbound import Hosts

T = TypeVar("T")

HOSTS = "TAUT_OIDC_HOSTS"
ISSUER_MAX = 500
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
KEPT_S = 600.0  # A key that its issuer withdrew counts no longer than this.
AGAIN_S = 60.0  # Whoever shows keys that are not there makes us ask no more often.
FAILED_S = 5.0  # After a failure: each try may hold a thread for as long as a fetch takes.
FETCH_S = 5.0
DOCUMENT_BYTES_MAX = 256 << 10
KEYS_MAX = 100
ISSUERS_MAX = 200
RSA_BITS_MIN = 2048  # RFC 7518, section 3.3.


class Provider(msgspec.Struct, frozen=True):
    """Where the users of a server log in: what a command has to know to send somebody there."""

    issuer: str
    client_id: str
    scope: str = "openid profile email"
    takes_codes: bool = False
    """Whether the server exchanges the code of a login itself; one of an earlier version takes ID tokens alone."""


class Discovered(msgspec.Struct, frozen=True):
    """What a provider says of itself: OpenID Connect Discovery 1.0, section 3."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _KeySet(msgspec.Struct):
    keys: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Key:
    """A public key of an issuer, its name, and the one algorithm that it says it is for, if it says one."""

    id: str
    alg: str
    public: "RSAKey | ECKey | OKPKey"


@dataclass(slots=True)
class _Known:
    """What was fetched of one issuer, when that was, and when it was tried last; one thread at a time fetches."""

    keys: tuple[Key, ...] = ()
    fetched_s: float | None = None
    tried_s: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Issuers:
    """The keys of issuers that one process has fetched. `steady` gives seconds that no wall clock moves."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._known: Bounded[_Known] = Bounded(ISSUERS_MAX)
        self._lock = threading.Lock()

    def key(self, issuer: str, key_id: str | None, *, allowed: "Hosts") -> Key:
        """The key of that name; a token without a name is signed by the only one that there is.

        One that is not known is asked for once a minute at most. Raises Denied where there is none, Unavailable where
        the issuer's keys cannot be fetched.
        """
        known = self._of(issuer)
        with known.lock:
            now_s = self._steady()
            if known.fetched_s is None or now_s - known.fetched_s >= KEPT_S:
                self._fetch(issuer, known, allowed)
            found = _named(known.keys, key_id)
            if found is None and known.tried_s is not None and now_s - known.tried_s >= AGAIN_S:
                self._fetch(issuer, known, allowed)
                found = _named(known.keys, key_id)
        if found is None:
            raise Denied("the ID token is signed with no key of its issuer")
        return found

    def _of(self, issuer: str) -> _Known:
        with self._lock:
            known = self._known.get(issuer)
            if known is None:
                known = _Known()
                self._known.put(issuer, known)
            return known

    def _fetch(self, issuer: str, known: _Known, allowed: "Hosts") -> None:
        if known.tried_s is not None and self._steady() - known.tried_s < FAILED_S:
            raise _no_keys(issuer, "the last try failed a moment ago")
        known.tried_s = self._steady()
        try:
            keys = fetch_keys(discover(issuer, allowed=allowed).jwks_uri, allowed=allowed)
        except Unavailable as problem:
            raise _no_keys(issuer, str(problem)) from None
        known.keys, known.fetched_s = keys, self._steady()


def check_issuer(url: str) -> None:
    """Raise Invalid for what cannot name an issuer: https, or http on this machine, and neither query nor fragment."""
    if not 0 < len(url) <= ISSUER_MAX or not re.fullmatch(r"[!-~]+", url) or "?" in url or "#" in url:
        raise Invalid(f"{url[:80]!r} names no issuer: a URL of at most {ISSUER_MAX} characters without ? and #")
    _check_place(url)


def hosts_for(written: str, issuer: str = "") -> "Hosts":
    """Hosts that may be asked though they are not public: those in TAUT_OIDC_HOSTS, and the server's own provider's."""
    from taut.ground.outbound import read_hosts

    if not issuer:
        return read_hosts(written)
    check_issuer(issuer)
    parts = _split(issuer)
    return read_hosts(written) | {(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))}


def need_jose() -> None:
    """Raise UsageError where what checks signatures is not installed."""
    try:
        import joserfc.jws  # noqa: F401  # Asked for, not used.
    except ImportError:
        raise UsageError("logins elsewhere need the package joserfc", hint="pip install 'taut[oidc]'") from None


def discover(issuer: str, *, allowed: "Hosts") -> Discovered:
    """What an issuer says of itself, held against its name. Raises Unavailable where that is not to be had.

    Source: OpenID Connect Discovery 1.0, sections 4.1 to 4.3.
    """
    check_issuer(issuer)
    found = _document(f"{issuer.rstrip('/')}/.well-known/openid-configuration", Discovered, allowed)
    if found.issuer != issuer:
        raise Unavailable("it says that it is another issuer")
    for place in (found.jwks_uri, found.authorization_endpoint, found.token_endpoint, found.userinfo_endpoint):
        if place:
            _check_own_place(place, issuer)
    return found


def fetch_keys(url: str, *, allowed: "Hosts") -> tuple[Key, ...]:
    """The public keys of a key set that can check signatures; others and such that are too weak are left out."""
    found = _document(url, _KeySet, allowed).keys[:KEYS_MAX]
    return tuple(key for one in found if (key := _key(one)) is not None)


def _document(url: str, into: type[T], allowed: "Hosts") -> T:
    from taut.ground.outbound import get

    try:
        answer = get(url, allowed=allowed, timeout_s=FETCH_S, bytes_max=DOCUMENT_BYTES_MAX)
    except (Denied, Invalid) as problem:
        raise Unavailable(f"{problem.message} ({HOSTS} names hosts that may be asked all the same)") from None
    if answer.status != 200 or not answer.is_whole:
        size = "" if answer.is_whole else f" and more than {DOCUMENT_BYTES_MAX} bytes"
        raise Unavailable(f"it answered {answer.status}{size}")
    try:
        return msgspec.json.decode(answer.text, type=into)
    except (msgspec.DecodeError, RecursionError):
        raise Unavailable("its answer cannot be read") from None


def _key(written: dict[str, Any]) -> Key | None:
    """A key of a set as RFC 7517 writes it; None for one that checks no signature or cannot be read."""
    from joserfc import jwk
    from joserfc.errors import JoseError

    named, alg = written.get("kid", ""), written.get("alg", "")
    if written.get("use", "sig") != "sig" or not isinstance(named, str) or not isinstance(alg, str):
        return None
    kinds: dict[Any, type[RSAKey | ECKey | OKPKey]] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey, "OKP": jwk.OKPKey}
    shown = {name: written[name] for name in ("kty", "n", "e", "crv", "x", "y") if isinstance(written.get(name), str)}
    try:
        # Of a weak one the package only warns; its modulus is measured before it is looked at.
        if written["kty"] == "RSA" and len(shown["n"]) * 6 < RSA_BITS_MIN:
            return None
        found = kinds[written["kty"]].import_key(shown)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return Key(named, alg, found)


def _named(keys: tuple[Key, ...], key_id: str | None) -> Key | None:
    found = [key for key in keys if key_id is None or key.id == key_id]
    return found[0] if len(found) == 1 else None


def _check_place(url: str) -> None:
    parts = _split(url)
    is_near = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or parts.username is not None or not (parts.scheme == "https" or is_near):
        raise Invalid(f"{url[:80]!r} is neither https:// nor http:// on this machine")


def _check_own_place(url: str, issuer: str) -> None:
    """An issuer elsewhere does not send us to a service of this machine."""
    try:
        _check_place(url)
    except TautError:
        raise Unavailable("it names a place that is not https") from None
    if urlsplit(url).scheme == "http" and urlsplit(issuer).scheme != "http":
        raise Unavailable("it names a place that is not https")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError as problem:
        raise Invalid(f"{url[:80]!r} is no URL: {problem}") from None
    return parts


def _no_keys(issuer: str, because: str) -> Unavailable:
    return Unavailable(
        f"the keys of {issuer} cannot be had: {because}", hint=f"is it reachable from the server? {HOSTS}"
    )
