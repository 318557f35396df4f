"""What the Python processes of a command noted of themselves: files they opened, addresses, seeds.

The notes are taken by `shim/sitecustomize.py`. Where the observer works, it alone tells of files, and the notes add
what only Python knows: which URLs and databases were meant, and which seeds were set.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from taut.records import RemoteRead, Seeding

SHIM = Path(__file__).with_name("shim")
NATIVE = "data that native code or programs other than Python opened: only opens by Python code are seen"
UNSEEN = "the data it read: no Python process of the command was seen, and other programs are not watched"
SECRET = re.compile(
    r"(?i)(secret|token|passw|pwd|sig$|signature|credential|api_?key|access_?key|auth|sas$|^key$|^code$)"
)
NOT_SHOWN = "***"
DNS = 53


@dataclass(frozen=True, slots=True)
class Notes:
    """What was noted: the first interpreter that ran, and places by whether their first opening read or made them.

    `urls` and `databases` are addresses as they were given, `hosts` which names the addresses of connections had.
    """

    interpreter: str = ""
    opened: dict[str, bool] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    hosts: dict[str, str] = field(default_factory=dict)
    seeds: tuple[Seeding, ...] = ()


def watched(notes: Path, inherited: str | None = None) -> dict[str, str]:
    """The environment that makes a command's Python processes take notes; `inherited` is its PYTHONPATH, else ours."""
    inherited = os.environ.get("PYTHONPATH", "") if inherited is None else inherited
    path = f"{SHIM}{os.pathsep}{inherited}" if inherited else str(SHIM)
    return {"PYTHONPATH": path, "TAUT_READS": str(notes)}


def read_notes(file: Path) -> Notes:
    """What was noted; nothing where no Python process ran. Half a note, of a process killed in between, is none."""
    lines = file.read_bytes().split(b"\0")[:-1] if file.exists() else []
    kinds: dict[str, dict[str, None]] = {}
    opened: dict[str, bool] = {}
    for line in lines:
        kind, text = line[:1].decode("ascii", "replace"), os.fsdecode(line[2:])
        if kind in "rw":
            opened.setdefault(text, kind == "r")
        else:
            kinds.setdefault(kind, {})[text] = None
    return Notes(
        next((python for python in kinds.get("p", ()) if python), ""),
        opened,
        tuple(kinds.get("u", ())),
        tuple(kinds.get("b", ())),
        dict(pair for text in kinds.get("c", ()) if len(pair := text.split("\t")) == 2),
        tuple(Seeding(*pair) for text in kinds.get("s", ()) if len(pair := text.split("\t")) == 2),
    )


def remote_reads(notes: Notes, connections: tuple[str, ...], own: str) -> tuple[RemoteRead, ...]:
    """Places beyond this machine's files: what Python named, and connections that none of it explains.

    `own` is the address of taut's tracking server, which is no input; nor is asking for the address of a name.
    """
    given = [("url", url) for url in notes.urls] + [("database", url) for url in _databases(notes.databases)]
    named = {RemoteRead(kind, redacted(url)) for kind, url in given if not (own and url.startswith(own))}  # type: ignore[arg-type]  # Two of its kinds.
    explained = [_host_and_port(url) for _, url in given]
    ours = _host_and_port(own)
    for connection in connections:
        host, _, port = connection.rpartition(":")
        places = {(name, int(port)) for name in (host.strip("[]"), notes.hosts.get(connection, ""))}
        if int(port) == DNS or ours in places or not places.isdisjoint(explained):
            continue
        if notes.hosts.get(connection) or all(its != int(port) for _, its in explained):
            name = notes.hosts.get(connection)
            named.add(RemoteRead("connection", f"{name} ({connection})" if name else connection))
    return tuple(sorted(named, key=lambda read: (read.kind, read.address)))


def _databases(addresses: Iterable[str]) -> list[str]:
    """Each database once: SQLAlchemy says of the same connection more than the driver below it."""
    by_place: dict[tuple[str, int, str], str] = {}
    for address in sorted(addresses, key=len):
        by_place[(*_host_and_port(address), address.partition("?")[0].rpartition("/")[2])] = address
    return list(by_place.values())


def redacted(url: str) -> str:
    """An address without what lets one in: passwords, and parameters named like a secret.

    >>> redacted("postgresql://ada:pw@db/x?sslmode=require"), redacted("https://h/d?X-Amz-Signature=1&v=2")
    ('postgresql://ada:***@db/x?sslmode=require', 'https://h/d?X-Amz-Signature=***&v=2')
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return NOT_SHOWN
    netloc = parts.netloc
    if "@" in netloc:
        user, _, host = netloc.rpartition("@")
        netloc = f"{user.partition(':')[0]}:{NOT_SHOWN}@{host}" if ":" in user else f"{NOT_SHOWN}@{host}"
    query = [(key, NOT_SHOWN if SECRET.search(key) else value) for key, value in parse_qsl(parts.query, True)]
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query, safe="*/:,"), ""))


def _host_and_port(url: str) -> tuple[str, int]:
    ports = {"http": 80, "https": 443, "s3": 443, "gs": 443, "az": 443, "mysql": 3306}
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.partition("+")[0]
        return parts.hostname or "", parts.port or ports.get(scheme, 5432 if scheme.startswith("postgres") else 0)
    except ValueError:
        return "", 0
