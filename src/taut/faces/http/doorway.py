"""What every request passes first: no page of another site, no strange host name, and who is asking."""

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from taut.errors import Denied
from taut.ground.access import Actor, actor_of_token, has_tokens
from taut.home import Home

OPEN_PATHS = frozenset({"/health", "/ready", "/version"})  # Probes hold no token, and these say nothing of anybody.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES = frozenset({"localhost"})


class Unauthenticated(Denied):
    """The caller did not say who they are, or nobody we know."""

    http_status = 401


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, False, True)
    """
    if host in LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(header: str, *, names: Iterable[str]) -> None:
    """Raise Denied where a browser was led here by a name that is not ours: a page whose name came to mean 127.0.0.1.

    An address in figures cannot be made to mean another machine, so every address passes.
    """
    host = urlsplit(f"//{header}").hostname or ""
    if host in LOCAL_NAMES or host in {name.lower() for name in names} or _is_address(host):
        return
    raise Denied(
        f"this server is not called {host[:80]!r}", hint="use http://127.0.0.1 or the name it was started with"
    )


def check_origin(method: str, headers: Mapping[str, str]) -> None:
    """Raise Denied where a page of another site tries to change something here with the reader's own browser."""
    if method in SAFE_METHODS:
        return
    origin = headers.get("origin", "")
    crossed = headers.get("sec-fetch-site", "") in {"cross-site", "same-site"}
    if crossed or (origin and urlsplit(origin).netloc != headers.get("host", "")):
        raise Denied(f"a page of {origin[:80] or 'another site'} may not change anything here")


def actor_of(home: Home, authorization: str, *, trusts_loopback: bool) -> Actor:
    """Who asks: the holder of the token, or where no token was ever made and only this machine can ask, its owner.

    A token comes as `Bearer TOKEN` or as the password of basic authentication. Raises Unauthenticated.
    """
    secret = _secret_of(authorization)
    with home.meta.read() as tx:
        if not secret and trusts_loopback and not has_tokens(tx):
            return home.actor
        actor = actor_of_token(tx, secret, now_ms=home.clock.now_ms()) if secret else None
    if actor is None:
        found = "its token is unknown, expired or revoked" if secret else "it carries no token"
        raise Unauthenticated(f"who is asking? {found}", hint="set TAUT_TOKEN or MLFLOW_TRACKING_TOKEN")
    return actor


def _secret_of(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
