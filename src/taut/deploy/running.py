"""The serving processes of this machine: each says in a file that it lives, and hands its socket to its successor.

`.taut/run/NAME/REVISION-PID.json` is written by the serving process itself, first without a URL while it loads, then
with one. So whoever comes later finds it, whatever became of the process that started it. Beside it lies a Unix
socket through which a successor receives the very socket that is listened on. Both then accept from one queue, so
a change of revision has no moment in which a connection is refused or reset; two sockets under SO_REUSEPORT have
such a moment, because closing one throws away what waits in its queue.
"""

import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from taut.errors import Conflict, Denied
from taut.ground import wire
from taut.ground.compute import handle_of, is_alive
from taut.home import Home

HANDOVER_TIMEOUT_S = 2.0  # A predecessor answers from a thread that does nothing else.


@dataclass(frozen=True, slots=True)
class Serving:
    """A serving process: `handle` tells it from every other, `url` is empty until it answers."""

    deployment: str
    revision: int
    handle: str
    url: str

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self.handle.partition(":")[0])


def run_folder(home: Home) -> Path:
    """Where the serving processes of a home leave their files: in `.taut`, or in the user's state for a server."""
    if home.own_folder is not None:
        return home.own_folder / "run"
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "taut" / sha256(home.place.encode()).hexdigest()[:16] / "run"


def log_path(folder: Path, deployment: str) -> Path:
    """The file that all revisions of a deployment write their output to."""
    return folder / f"{deployment}.log"


def serving_now(folder: Path, deployment: str) -> list[Serving]:
    """The living serving processes of a deployment, newest revision first; what the dead left behind is removed."""
    found: list[Serving] = []
    for path in sorted((folder / deployment).glob("*.json")):
        try:
            known = wire.decode(path.read_bytes(), Serving, what=str(path))
        except FileNotFoundError:
            continue  # It ended between the listing and the look.
        if is_alive(known.handle):
            found.append(known)
        else:
            withdraw(folder, known)
    return sorted(found, key=lambda one: -one.revision)


def announce(folder: Path, deployment: str, revision: int) -> Serving:
    """Say that this process is about to serve a revision. Raises Conflict where that or a newer one does so already."""
    mine = Serving(deployment, revision, handle_of(os.getpid()), "")
    with locked(folder, f"{deployment}.claim"):
        for other in serving_now(folder, deployment):
            if other.revision >= revision:
                raise Conflict(
                    f"revision {other.revision} of {deployment!r} is served already, by process {other.pid}",
                    hint="taut status",
                )
        publish(folder, mine)
    return mine


def publish(folder: Path, serving: Serving) -> None:
    """Write the file that speaks for a serving process; a reader sees the old one or the new one, whole."""
    path = _path(folder, serving, "json")
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(wire.encode(serving))
    unfinished.replace(path)


def withdraw(folder: Path, serving: Serving) -> None:
    """Take away what a serving process left in the folder."""
    for kind in ("json", "sock", "part"):
        _path(folder, serving, kind).unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock of the folder; the kernel gives it back when its holder dies. Raises Denied without a way in."""
    try:
        (folder / name.partition(".")[0]).mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise Denied(f"{folder} cannot be written: {problem.strerror}", hint=f"ls -ld {folder.parent}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def hand_over(folder: Path, serving: Serving, listener: socket.socket) -> None:
    """Give the listening socket to whoever asks through the file beside ours, from a thread, until the process ends."""
    path = _path(folder, serving, "sock")
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(path) as short:
        door.bind(short)
    door.listen()
    threading.Thread(target=_give, args=(door, listener.fileno()), name="hand-over", daemon=True).start()


def take_over(folder: Path, deployment: str) -> socket.socket | None:
    """The listening socket of the newest predecessor that gives it; None where there is nobody to follow."""
    for other in serving_now(folder, deployment):
        if other.url and other.pid != os.getpid():
            taken = _ask(_path(folder, other, "sock"))
            if taken is not None:
                return taken
    return None


def _path(folder: Path, serving: Serving, kind: str) -> Path:
    return folder / serving.deployment / f"{serving.revision}-{serving.pid}.{kind}"


def _give(door: socket.socket, listener: int) -> None:
    while True:
        visitor, _ = door.accept()
        with visitor:
            try:
                socket.send_fds(visitor, [b"listener"], [listener])
            except OSError:
                continue  # It left before it was served.


def _ask(path: Path) -> socket.socket | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(HANDOVER_TIMEOUT_S)
        try:
            with _short(path) as short:
                line.connect(short)
            _, descriptors, _, _ = socket.recv_fds(line, 16, 1)
        except OSError:
            return None  # It died, or is about to: then its port is free or soon will be.
    return socket.socket(fileno=descriptors[0]) if descriptors else None


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a Unix socket however deep its folder lies: the kernel takes 107 characters and no more."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
