"""One server for one SQLite file: a lock that the kernel gives back when its holder ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taut.errors import Conflict, Denied
from taut.home import Home

SUFFIX = "-server"  # Beside `meta.db-wal` and `meta.db-shm`, which are SQLite's own.


@contextmanager
def only_server(home: Home) -> Iterator[None]:
    """Be the only server of the home's SQLite file while the block runs; of one in PostgreSQL there may be many.

    Two servers on one file would wait for each other at every commit, and a second one is started by mistake. Commands
    on the folder itself go on beside a server. Raises Conflict with the other process, Denied where it cannot be made.
    """
    if home.meta.dialect != "sqlite":
        yield
        return
    database = Path(home.meta.url.removeprefix("sqlite:///"))
    lock = database.with_name(database.name + SUFFIX)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        raise Denied(f"{lock} cannot be opened: {problem.strerror}", hint=f"ls -ld {lock.parent}") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(database, os.pread(descriptor, 20, 0)) from None
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    """Say who holds it, for the message of whoever comes second; a full disk keeps no server from starting."""
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except OSError:
        return


def _held(database: Path, said: bytes) -> Conflict:
    other = f"process {said.decode()}" if said.isdigit() else "another process"
    return Conflict(
        f"{other} serves {database} already; a SQLite file has one server",
        hint="taut init --metadata postgresql://HOST/DATABASE, which any number of servers may share",
    )
