"""The serving processes of this machine: each says in a file that it lives, and hands its socket to its successor.

`.taut/run/NAME/PID.json` is written by the supervisor of a deployment itself, first without a URL while it comes up,
then with one, and again whenever one of the processes below it comes or goes. So whoever comes later finds them all,
whatever became of the process that started them. Beside it lie two Unix sockets: through one a successor receives the
very socket that is listened on, through the other the supervisor is asked to serve another revision (`control`). Two
processes then accept from one queue, so a change of revision has no moment in which a connection is refused or reset;
two sockets under SO_REUSEPORT have such a moment, because closing one throws away what waits in its queue.
"""

import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from taut import __version__
from taut.errors import Conflict, Denied
from taut.ground import wire
from taut.ground.compute import handle_of, is_alive, stop_process
from taut.home import Home

# Targets name processes, containers and cluster objects after a deployment; the strictest of them takes this much.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?")
HANDOVER_TIMEOUT_S = 2.0  # A predecessor does nothing that takes long.
ORPHAN_GRACE_S = 20.0  # Past the usual bound for the requests that a front has accepted.

Door = Literal["sock", "ctl"]


@dataclass(frozen=True, slots=True)
class FrontState:
    """One process that answers: its place among its fellows, and how often that place was filled again."""

    slot: int
    handle: str
    revision: int
    state: Literal["loading", "ready", "leaving"]
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Serving:
    """The supervisor of a deployment: `handle` tells it from every other, `url` is empty until all fronts answer.

    `taut` is the version of taut that it runs, `problem` what ails it, empty where nothing does.
    """

    deployment: str
    revision: int
    handle: str
    url: str
    taut: str = ""
    workers: int = 0
    fronts: tuple[FrontState, ...] = ()
    problem: str = ""

    @property
    def pid(self) -> int:
        """Its process id."""
        return int(self.handle.partition(":")[0])


def run_folder(home: Home) -> Path:
    """Where the serving processes of a home leave their files: in `.taut`, or in the user's state for a server."""
    if home.own_folder is not None:
        return home.own_folder / "run"
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "taut" / place_digest(home) / "run"


def place_digest(home: Home) -> str:
    """What tells the places of homes apart in names of files."""
    return sha256(home.place.encode()).hexdigest()[:16]


def owners_secret(home: Home) -> str:
    """What lets the owner of a home's folder in at its endpoints, made once; empty for a server's home.

    Whoever may read the file may read the home itself. Raises Denied where it cannot be written.
    """
    if home.own_folder is None or home.remote is not None:
        return ""
    path = run_folder(home) / "owner.secret"
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(32))
            with suppress(FileExistsError):  # Another process was faster: its secret counts.
                os.link(beside, path)
            beside.unlink()
        return path.read_text()
    except OSError as problem:
        raise Denied(f"{path} cannot be used: {problem.strerror}", hint=f"ls -ld {path.parent}") from None


def reached(host: str) -> str:
    """Where this machine itself reaches what listens on an address.

    >>> reached("0.0.0.0")
    '127.0.0.1'
    """
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # Compared with, not bound to.


def log_path(folder: Path, deployment: str) -> Path:
    """The file that all revisions of a deployment write their output to."""
    return folder / f"{deployment}.log"


def serving_now(folder: Path, deployment: str) -> list[Serving]:
    """The living supervisors of a deployment, newest revision first; what the dead left behind is removed."""
    found: list[Serving] = []
    for path, known in _known(folder, deployment):
        if is_alive(known.handle):
            found.append(known)
        elif not any(is_alive(front.handle) for front in known.fronts):
            _remove(path)
    return sorted(found, key=lambda one: -one.revision)


def end_orphans(folder: Path, deployment: str) -> int:
    """End the fronts whose supervisor was killed, after what they had accepted; returns how many there were.

    They are told to end by the kernel itself; this waits for it, so that their port is free, and kills what hangs.
    """
    left = [
        (path, front)
        for path, known in _known(folder, deployment)
        if not is_alive(known.handle)
        for front in known.fronts
    ]
    deadline_s = time.monotonic() + ORPHAN_GRACE_S
    lived = [front for _, front in left if is_alive(front.handle)]
    for front in lived:
        stop_process(front.handle, grace_s=max(0.0, deadline_s - time.monotonic()))
    for path, _ in left:
        _remove(path)
    return len(lived)


def announce(folder: Path, deployment: str, revision: int) -> Serving:
    """Say that this process is about to serve a revision. Raises Conflict where that or a newer one does so already."""
    mine = Serving(deployment, revision, handle_of(os.getpid()), "", taut=__version__)
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
    """Write the file that speaks for a supervisor; a reader sees the old one or the new one, whole."""
    path = _path(folder, serving, "json")
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(wire.encode(serving))
    unfinished.replace(path)


def withdraw(folder: Path, serving: Serving) -> None:
    """Take away what a supervisor left in the folder."""
    _remove(_path(folder, serving, "json"))


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


def open_door(folder: Path, serving: Serving, door: Door) -> socket.socket:
    """A Unix socket beside our file on which others reach us: `sock` gives the listener away, `ctl` takes orders.

    It does not block; whoever opened it looks after it.
    """
    path = _path(folder, serving, door)
    path.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with _short(path) as short:
        opened.bind(short)
    opened.listen()
    return opened


def give_listener(door: socket.socket, listener: socket.socket) -> bool:
    """Give the listening socket to whoever stands at the door; whether somebody did and took it."""
    try:
        visitor, _ = door.accept()
    except BlockingIOError:
        return False  # It left before it was served.
    with visitor:
        try:
            socket.send_fds(visitor, [b"listener"], [listener.fileno()])
        except OSError:
            return False
    return True


def take_over(folder: Path, deployment: str) -> socket.socket | None:
    """The listening socket of the newest predecessor that gives it; None where there is nobody to follow."""
    for other in serving_now(folder, deployment):
        if other.url and other.pid != os.getpid():
            taken = _listener_of(folder, other)
            if taken is not None:
                return taken
    return None


@contextmanager
def at_door(folder: Path, serving: Serving, door: Door, *, within_s: float) -> Iterator[socket.socket]:
    """A line to a supervisor, on which each call takes `within_s` at most. Raises OSError where nobody opens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(within_s)
        with _short(_path(folder, serving, door)) as short:
            line.connect(short)
        yield line


def _listener_of(folder: Path, other: Serving) -> socket.socket | None:
    try:
        with at_door(folder, other, "sock", within_s=HANDOVER_TIMEOUT_S) as line:
            _, descriptors, _, _ = socket.recv_fds(line, 16, 1)
    except OSError:
        return None  # It died, or is about to: then its port is free or soon will be.
    return socket.socket(fileno=descriptors[0]) if descriptors else None


def _known(folder: Path, deployment: str) -> Iterator[tuple[Path, Serving]]:
    """What the files of a deployment say, of the living and of the dead."""
    for path in sorted((folder / deployment).glob("*.json")):
        try:
            yield path, wire.decode(path.read_bytes(), Serving, what=str(path))
        except FileNotFoundError:
            continue  # It ended between the listing and the look.


def _path(folder: Path, serving: Serving, kind: str) -> Path:
    return folder / serving.deployment / f"{serving.pid}.{kind}"


def _remove(path: Path) -> None:
    for kind in (".json", ".sock", ".ctl", ".part"):
        path.with_suffix(kind).unlink(missing_ok=True)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for a Unix socket however deep its folder lies: the kernel takes 107 characters and no more."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
