"""Runs first in every Python process of a recorded command: writes down what only Python itself can tell.

It stands alone (the command's interpreter need not have taut), on PYTHONPATH through its folder. `TAUT_READS` names the
file that takes the notes, each ended by NUL and written once a process: `p EXECUTABLE`; `u URL`; `b DATABASE URL`;
`c ADDRESS:PORT<tab>NAME` for a connection to a host of that name; `s FUNCTION<tab>SEED`. Where nothing else sees files
(no `TAUT_WATCHED`), also `r PATH` for the first opening of a path that reads, `w PATH` for one that makes it anew.
"""

import os
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
NOTES = os.environ.get("TAUT_READS", "")
SEES_FILES = not os.environ.get("TAUT_WATCHED")
# Folders that hold programs, not data; an interpreter opens thousands of files in them.
OUTSIDE = tuple(
    folder.rstrip("/") + "/"
    for folder in {
        sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.__file__), HERE, os.path.dirname(NOTES),
        "/proc", "/sys", "/dev", "/usr/lib", "/usr/share", "/lib", "/etc",
    }
    if folder and folder != "/"
)  # fmt: skip
CODE = (".pyc",)
NOTES_MAX = 100000  # Of one process; a crawler of the web need not fill the disk with us.
written = set()  # type: set[str]
hosts = {}  # type: dict[str, None]


def note(kind: str, text: str) -> None:
    """Write a note down, once."""
    line = kind + " " + text
    if line in written or len(written) > NOTES_MAX:
        return
    written.add(line)
    try:
        # Opened for each note: a descriptor kept open could be closed by the program and given to a file of its own.
        descriptor = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, os.fsencode(line) + b"\0")
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        return  # The disk is full, the notes are gone, the text is none: the program must not suffer for it.


def opened(path: Any, _: Any, flags: Any) -> None:
    """A file was opened."""
    if type(path) is bytes:
        path = os.fsdecode(path)
    if type(path) is not str or path == NOTES or path in paths:
        return
    place = os.path.abspath(path)  # A relative path means another file after chdir, so only this is remembered.
    if place in paths:
        return
    paths.add(place)
    if place.startswith(OUTSIDE) or place.endswith(CODE) or "/site-packages/" in place:
        return
    makes = flags & os.O_TRUNC or flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_EXCL
    note("w" if makes else "r", place)


paths = set()  # type: set[str]


def looked_up(host: Any, *_: Any) -> None:
    """The addresses of a name were asked for; the connection that follows is to one of them."""
    if host:
        hosts.clear()
        hosts[host.decode("ascii", "replace") if type(host) is bytes else str(host)] = None


def connected(_: Any, address: Any) -> None:
    """A socket was connected."""
    if type(address) is tuple and len(address) >= 2:
        address_text = "[" + address[0] + "]" if ":" in str(address[0]) else str(address[0])
        note("c", address_text + ":" + str(address[1]) + "\t" + next(iter(hosts), ""))


def sent(connection: Any, data: Any) -> None:
    """http.client sent something, and its first line says for what; urllib, requests and boto come through here."""
    if type(data) is not bytes:
        return
    method, _, rest = data[:4096].partition(b" ")
    target, _, version = rest.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not method.isalpha():
        return
    scheme = "https" if getattr(connection, "default_port", 80) == 443 else "http"
    usual = connection.port in (None, getattr(connection, "default_port", 80))
    host = connection.host if ":" not in connection.host else "[" + connection.host + "]"
    place = target.decode("latin-1")
    if place.startswith("/"):
        place = scheme + "://" + host + ("" if usual else ":" + str(connection.port)) + place
    note("u", place)


EVENTS = {"socket.getaddrinfo": looked_up, "socket.connect": connected, "http.client.send": sent}  # type: dict[str, Any]
if SEES_FILES:
    EVENTS["open"] = opened


def watch(event: str, arguments: Any) -> None:
    """The audit hook."""
    take = EVENTS.get(event)
    if take is not None:
        try:
            take(*arguments)
        except Exception:  # noqa: BLE001  # Whatever a strange argument does here, the program must not see it.
            return


def go_on() -> None:
    """Run the sitecustomize that would have run without us, and leave sys.path as it would be."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != HERE]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    if NOTES and hasattr(sys, "addaudithook"):  # Python 3.7 and older have none.
        note("p", sys.executable or "")
        sys.addaudithook(watch)
        from importlib import import_module

        import_module("_taut_calls").install(note)  # Found while our folder is on the path.
    if os.environ.get("TAUT_SEED") or os.environ.get("TAUT_SEEN"):
        import taut_seeding  # type: ignore[import-not-found]  # It lies beside us, first on sys.path.

        taut_seeding.install()
    go_on()
