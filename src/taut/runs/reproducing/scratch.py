"""A folder for one reproduction, which goes when it ends; and when it was killed, with the next one."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX, LOCK, INNER = "taut-reproduce-", "owned", "in"
ABANDONED_S = 86_400.0  # For a folder that nobody came to lock, or of a taut that locked none.


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that goes when the block ends, whatever a program left in it.

    Whoever has it holds a lock on a file in it, which the kernel takes back when its process dies. What lies there
    without an owner is removed first.
    """
    remove_orphans()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    with locked(folder / LOCK):
        try:
            inner = folder / INNER
            inner.mkdir()
            yield inner
        finally:
            remove_tree(folder)  # While it is still ours: another process would remove it at the same time.


def remove_orphans() -> list[Path]:
    """Remove and return this user's folders of reproductions that were killed; those that go on are left alone."""
    removed = []
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            about = folder.lstat()
            if not folder.is_symlink() and about.st_uid == os.getuid() and _is_orphan(folder, about.st_mtime):
                remove_tree(folder)
                removed.append(folder)
        except OSError:  # Another process removes it too.
            continue
    return removed


def _is_orphan(folder: Path, changed_s: float) -> bool:
    if not (folder / LOCK).is_file() or not (folder / INNER).is_dir():  # Its owner is about to make them.
        return time.time() - changed_s > ABANDONED_S
    with (folder / LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@contextmanager
def locked(file: Path) -> Iterator[int]:
    """Wait until no other process holds this file, which is made, and hold it while the block runs.

    Yields its descriptor: a child that has it, and outlives us, holds the file until it ends.
    """
    with file.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def remove_tree(folder: Path) -> None:
    """Remove a folder, whatever rights a program took from what it made there."""
    folder.chmod(0o700)
    for place, names, _ in os.walk(folder):
        for name in names:
            if not (inner := Path(place, name)).is_symlink():
                inner.chmod(0o700)
    shutil.rmtree(folder)
