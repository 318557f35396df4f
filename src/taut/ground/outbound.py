"""HTTP from this process to a place that a user named: public addresses only, unless the owner allows the host.

The address that is connected to is the one that was judged: a name is resolved once, redirects are not followed, and no
proxy stands between. Time and what is read of the answer are bounded as a whole, however slowly it comes.
"""

import base64
import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from taut.errors import Denied, Invalid, Unavailable

URL_MAX = 2048
TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 4096
ALLOWED = "TAUT_WEBHOOK_HOSTS"
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Address = tuple[Any, ...]
Hosts = frozenset[tuple[str, int | None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said: its status, and its body or the beginning of it, which `is_whole` tells."""

    status: int
    text: str
    is_whole: bool = True


def read_hosts(written: str) -> Hosts:
    """A list of allowed hosts: names or addresses with commas between, each with a port or for all ports.

    >>> sorted(read_hosts("Hooks.internal, 127.0.0.1:9000"))
    [('127.0.0.1', 9000), ('hooks.internal', None)]
    """
    parts = [_split(f"//{entry.strip()}") for entry in written.split(",") if entry.strip()]
    return frozenset((part.hostname or "", part.port) for part in parts)


def allowed_hosts() -> Hosts:
    """The hosts that the owner of this machine allows beyond the public ones, and to be told without TLS."""
    return read_hosts(os.environ.get(ALLOWED, ""))


def signature_of(secret: str, message_id: str, seconds: str, body: str) -> str:
    """What proves that a message came from who knows the secret: HMAC-SHA256 over id, time and body.

    Source: Standard Webhooks, https://www.standardwebhooks.com, with the secret as it is written.

    >>> signature_of("s", "1", "2", "{}")
    'v1,SnYrvqzM9LnSl953cPVWV1AmSWOeDIOs6ZD5pBq4+Ig='
    """
    signed = f"{message_id}.{seconds}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def check_url(url: str, allowed: Hosts) -> None:
    """Raise Invalid for a URL that could not be posted to: not https, without a host, or at an address of our own net.

    A name is not resolved here, for it may stand for another address by the time something is sent.
    """
    parts = _parts_of(url)
    host, port = _place(parts)
    if is_allowed_host(host, port, allowed):
        return
    if parts.scheme != "https":
        raise Invalid(
            f"{url[:80]!r} is not https; only hosts that the owner of this server allows are told in the open"
        )
    address = _literal(host)
    if address is not None and not is_public(address):
        raise Invalid(f"{host} is no public address; the owner of this server would have to allow it")


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allowed: Hosts = frozenset(), timeout_s: float = TIMEOUT_S,
    bytes_max: int = ANSWER_BYTES_MAX,
) -> Answer:  # fmt: skip
    """Send `body`; returns the answer, whatever its status. A redirect is an answer like any other.

    Raises Denied where the host stands for an address that is not public and was not allowed, Unavailable where
    nobody answers in time, Invalid for a URL that could not be posted to.
    """
    return _sent("POST", url, body, headers, allowed, timeout_s, bytes_max)


def get(
    url: str, *, headers: Mapping[str, str] = MappingProxyType({}), allowed: Hosts = frozenset(),
    timeout_s: float = TIMEOUT_S, bytes_max: int,
) -> Answer:  # fmt: skip
    """Ask for what is there; all of `post` holds for it too."""
    return _sent("GET", url, None, {"Accept": "application/json", **headers}, allowed, timeout_s, bytes_max)


def _sent(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], allowed: Hosts, timeout_s: float,
    bytes_max: int,
) -> Answer:  # fmt: skip
    check_url(url, allowed)
    parts = _parts_of(url)
    host, port = _place(parts)
    end = time.monotonic() + timeout_s
    addresses = _resolved(host, port, must_be_public=not is_allowed_host(host, port, allowed))
    try:
        with _connected(addresses, end) as plain, _secured(plain, parts, host) as line, _until(line, end):
            if isinstance(line, ssl.SSLSocket):
                line.do_handshake()
            return _exchange(line, parts, method, body, headers, bytes_max)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise Unavailable(f"{host} did not answer: {str(problem)[:200] or type(problem).__name__}") from None


@contextlib.contextmanager
def line_to(
    host: str, port: int, *, secured: bool, allowed: Hosts = frozenset(), timeout_s: float = TIMEOUT_S
) -> Iterator[socket.socket]:
    """A connection for another protocol than HTTP, to addresses judged as those of `post`; cut when time is up.

    `secured` lines speak TLS from the first byte. Raises Denied where the host stands for an address that is not public
    and was not allowed, Unavailable where nobody answers in time.
    """
    end = time.monotonic() + timeout_s
    addresses = _resolved(host, port, must_be_public=not is_allowed_host(host, port, allowed))
    parts = _split(f"{'https' if secured else 'http'}://{host}")
    try:
        # A copy is held for the cut: who turns to TLS midway takes the socket itself away.
        with (
            _connected(addresses, end) as plain,
            plain.dup() as held,
            _secured(plain, parts, host) as line,
            _until(held, end),
        ):
            if isinstance(line, ssl.SSLSocket):
                line.do_handshake()
            yield line
    except (OSError, ValueError) as problem:
        raise Unavailable(f"{host} did not answer: {str(problem)[:200] or type(problem).__name__}") from None


def is_allowed_host(host: str, port: int, allowed: Hosts) -> bool:
    """Whether the owner allows a host though it may not be public, and without TLS."""
    return (host.lower(), None) in allowed or (host.lower(), port) in allowed


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is one of the public Internet; those that wrap an IPv4 address are judged by it.

    >>> is_public(ipaddress.ip_address("8.8.8.8")), is_public(ipaddress.ip_address("::ffff:127.0.0.1"))
    (True, False)
    """
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour
        if wrapped is None and address in NAT64:
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if wrapped is not None:
            return is_public(wrapped)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is written as, in the forms too that only the system reads; None for a name.

    >>> _literal("2130706433"), _literal("0x7f.1"), _literal("example.org")
    (IPv4Address('127.0.0.1'), IPv4Address('127.0.0.1'), None)
    """
    host = host.rstrip(".").partition("%")[0]
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host)
    with contextlib.suppress(OSError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


def _parts_of(url: str) -> SplitResult:
    if len(url) > URL_MAX or not re.fullmatch(r"[!-~]+", url):
        raise Invalid(f"{url[:80]!r} is no URL: at most {URL_MAX} characters, printable ASCII without spaces")
    parts = _split(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Invalid(f"{url[:80]!r} is no URL of a web server; write https://HOST/PATH")
    if parts.username is not None or parts.password is not None:
        raise Invalid("a URL with a user and a password is not taken, for URLs are shown")
    return parts


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError as problem:
        raise Invalid(f"{url[:80]!r} is no URL: {problem}") from None
    return parts


def _place(parts: SplitResult) -> tuple[str, int]:
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _resolved(host: str, port: int, *, must_be_public: bool) -> list[Address]:
    """The addresses of a host. One that is not public spoils them all: whoever has it there wants it reached."""
    try:
        found: list[Address] = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as problem:
        raise Unavailable(f"{host} has no address: {str(problem)[:200]}") from None
    for *_, address in found:
        if must_be_public and not is_public(ipaddress.ip_address(str(address[0]).partition("%")[0])):
            raise Denied(
                f"{host} stands for {address[0]}, which is no public address",
                hint="the owner of the server may allow the host: TAUT_WEBHOOK_HOSTS",
            )
    return found


def _connected(addresses: Iterable[Address], end: float) -> socket.socket:
    """A connection to the first address that takes it; exactly these addresses, nothing is looked up again."""
    problem: OSError = TimeoutError("no address")
    for family, kind, protocol, _, address in addresses:
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(max(0.001, end - time.monotonic()))
            line.connect(address)
        except OSError as failed:
            line.close()
            problem = failed
        else:
            return line
    raise problem


@contextlib.contextmanager
def _secured(line: socket.socket, parts: SplitResult, host: str) -> Iterator[socket.socket]:
    """The connection as it is, or in TLS, its certificate held against the host's name."""
    if parts.scheme != "https":
        yield line
        return
    context = ssl.create_default_context()
    with context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False) as secured:
        yield secured


@contextlib.contextmanager
def _until(line: socket.socket, end: float) -> Iterator[None]:
    """Cut the line when time is up: a time-out of a socket begins anew with every byte. Raises TimeoutError then."""
    is_over = threading.Event()

    def cut() -> None:
        is_over.set()
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, end - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if is_over.is_set():  # What was read looks like an answer that ended, and is none.
        raise TimeoutError("it took too long")


def _exchange(
    line: socket.socket, parts: SplitResult, method: str, body: bytes | None, headers: Mapping[str, str], bytes_max: int
) -> Answer:
    connection = http.client.HTTPConnection(parts.hostname or "")
    connection.sock = line
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request(method, target, body, {**headers, "Host": parts.netloc, "Connection": "close"})
    answer = connection.getresponse()
    found = answer.read(bytes_max + 1)
    return Answer(answer.status, found[:bytes_max].decode("utf-8", "replace"), len(found) <= bytes_max)
