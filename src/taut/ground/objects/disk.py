"""Files as a store writes them: room asked for before, the disk begun early, all of it synced, and what died swept."""

import errno
import fcntl
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from taut.errors import Invalid

ABANDONED_S = 60.0  # Of a file that nobody holds a lock on: long past the moment between making and locking it.
PIECES_MAX = 512  # Of one call; Linux takes 1,024.
WRITE_BYTES = 1 << 20  # In calls of 32 MiB into reserved blocks the same bytes took ext4 several times as long.
SYNC_FILE_RANGE_WRITE = 2
FALLOC_FL_KEEP_SIZE = 1
RESERVE_MIB, RESERVE_SHARE = 1024, 100  # Of a small disk a hundredth.
FULL = (errno.ENOSPC, errno.EDQUOT)


def make_locked(path: Path) -> int:
    """Make a file that only this descriptor can write, read-only for all others, and locked while we live."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    with suppress(OSError):  # Where nobody can lock, nobody sweeps either.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def sweep(folder: Path) -> None:
    """Remove the files of writers that are gone: nobody holds their lock, and they are not just being made."""
    for name in os.listdir(folder):
        path = folder / name
        with suppress(OSError):  # Locked, not ours to remove, or gone by now: nothing depends on it.
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                with path.open("rb") as stream:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()


def reserve(file: int, start: int, length: int) -> None:
    """Have room for so many bytes, or raise OSError with one of FULL. Where it cannot be asked for, nothing happens.

    Blocks that are given out once are not given out one by one while they are written: 1 GiB in 0.13 s of CPU, not
    0.21 s. `posix_fallocate` is not what is meant: where a file system cannot, it writes zeros instead.
    """
    if (call := _system_call("fallocate", "iill")) is not None and call(file, FALLOC_FL_KEEP_SIZE, start, length):
        import ctypes

        if (code := ctypes.get_errno()) in FULL:
            raise OSError(code, os.strerror(code))


def kept_free(total_bytes: int) -> int:
    """How much of a disk objects leave to all else: rows and logs go on where no file is taken any more.

    `TAUT_DISK_RESERVE_MIB` says it; else it is 1 GiB, of a small disk a hundredth. Raises Invalid for no number.
    """
    said = os.environ.get("TAUT_DISK_RESERVE_MIB", "").strip()
    if not said:
        return min(RESERVE_MIB << 20, total_bytes // RESERVE_SHARE)
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise Invalid(f"TAUT_DISK_RESERVE_MIB is a number of MiB, as 1024, and not {said[:40]!r}")
    return int(said) << 20


def check_room(file: int, length: int) -> None:
    """Raise OSError with one of FULL where so many bytes more would take from what is kept free."""
    disk = os.fstatvfs(file)
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    if total and free - length < kept_free(total):  # What has no size, as some network folders, says when it is full.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def begin_writing(file: int, start: int, length: int) -> None:
    """Ask the kernel to start with these bytes, and wait for nothing; where it cannot be asked, fsync does it all."""
    if (call := _system_call("sync_file_range", "illi")) is not None:
        call(file, start, length, SYNC_FILE_RANGE_WRITE)  # A hint; what goes wrong with the bytes, fsync tells.


def write_all(file: int, pieces: Sequence[bytes | memoryview]) -> None:
    """Write the pieces, in one call where the disk takes them."""
    if len(pieces) > PIECES_MAX:
        pieces = [b"".join(pieces)]
    left = sum(map(len, pieces)) - os.writev(file, pieces)
    if left:  # A disk that fills up takes a part first.
        rest = memoryview(b"".join(pieces))[-left:]
        while rest:
            rest = rest[os.write(file, rest) :]


def write_in_parts(file: int, data: bytes | bytearray | memoryview) -> None:
    """Write many bytes, a MiB a call."""
    view = memoryview(data)
    for at in range(0, len(view), WRITE_BYTES):
        write_all(file, [view[at : at + WRITE_BYTES]])


def sync_directory(path: Path) -> None:
    """Have the names in a directory on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(path: Path) -> None:
    """Have everything that was written to the file system of a folder on disk: one wait for any number of files."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if (call := _system_call("syncfs", "i")) is None:
            os.sync()
        elif call(descriptor):
            import ctypes

            raise OSError(code := ctypes.get_errno(), os.strerror(code), str(path))
    finally:
        os.close(descriptor)


@cache
def _system_call(name: str, takes: str) -> Any:
    """A call of Linux that Python does not have, of integers and 64-bit offsets; None elsewhere."""
    import ctypes

    # Where an offset has 32 bits, these names mean other functions.
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None) if sys.maxsize > 2**32 else None
    if call is not None:
        call.argtypes = [ctypes.c_int if kind == "i" else ctypes.c_int64 for kind in takes]
    return call
