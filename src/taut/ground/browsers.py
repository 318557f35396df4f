"""What a request must be before anything looks at it: for a host we are, and no change on behalf of another's page.

A browser on this machine can be made to call a server on loopback. A foreign Host (DNS rebinding), a foreign Origin
and what the browser itself calls cross-site are refused before any route is asked.
"""

import os
import re
import socket

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
OURS = frozenset({b"same-origin", b"none"})  # Of Sec-Fetch-Site: our own page, or a person who typed the address.
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.IGNORECASE)
KNOWN_MAX = 64


class Hosts:
    """The names that a server answers to, exactly."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self.known: set[bytes] = set()  # Hosts as clients wrote them, port and all, that were found to be ours.

    def problem(self, host: bytes) -> str:
        """What speaks against a Host header; empty where it is ours."""
        if host in self.known:
            return ""
        written = host.decode("latin-1")
        found = HOST.fullmatch(written)
        if found is None or found[1].strip("[]").lower() not in self._names:
            return f"this server does not answer to the host {written[:80]!r}"
        if len(self.known) < KNOWN_MAX:  # With any port, of which there are many.
            self.known.add(host)
        return ""


def hosts_named() -> frozenset[str]:
    """The names in TAUT_HOSTS."""
    return frozenset(name.strip().lower() for name in os.environ.get("TAUT_HOSTS", "").split(",") if name.strip())


def hosts_of(listening: str) -> frozenset[str]:
    """The names that a server listening on this address answers to: those in TAUT_HOSTS besides."""
    if listening not in ("0.0.0.0", "::"):  # noqa: S104  # Compared, not bound.
        return LOOPBACK | {listening.lower()} | hosts_named()
    return LOOPBACK | {socket.gethostname().lower(), socket.getfqdn().lower()} | hosts_named()


def problem_of_page(host: bytes, origin: bytes | None, site: bytes | None) -> str:
    """What speaks against a change that a browser asks for. One port of a host is not another: who serves there?"""
    if site is not None and site not in OURS:
        return f"this server takes no changes from other sites' pages ({site[:20].decode('latin-1')})"
    if origin is not None and origin.lower() not in (b"http://" + host.lower(), b"https://" + host.lower()):
        return f"this server takes no changes from pages of {origin[:80].decode('latin-1')!r}"
    return ""
