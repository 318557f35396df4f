"""Files of the workspace replaced whole or not at all: written beside, synced, moved into place in one step."""

import errno
import glob
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taut.errors import Conflict, Denied, TautError, Unavailable

AT_FDCWD = -100
RENAME_EXCHANGE = 2  # linux/fs.h
STAGING = ".taut-"  # `.NAME.taut-HANDLE` beside a target; whose process is gone is garbage.


def write_whole(path: Path, data: bytes) -> None:
    """Give a file new content, which is on disk when this returns; a reader sees the old or the new, never a part.

    Raises Denied where the folder may not be written, Unavailable where the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as problem:
        raise explained(problem, path, "written") from None
    finally:
        temporary.unlink(missing_ok=True)


def swap_in(staged: Path, target: Path) -> None:
    """Put a staged file or folder where `target` is; what was there before is removed after the swap.

    The two change places in one step where the file system can do that (`renameat2`), so a kill leaves the old or the
    new. Elsewhere a folder's place is empty for the moment between two renames.
    """
    if target.is_dir() and not target.is_symlink():
        if not _exchange(staged, target):
            aside = target.with_name(f"{staged.name}.old")
            target.rename(aside)
            staged.rename(target)
            aside.rename(staged)
        sync_folder(target.parent)
        shutil.rmtree(staged) if staged.is_dir() else staged.unlink()
    elif staged.is_dir() and target.exists():
        target.unlink()
        staged.rename(target)
        sync_folder(target.parent)
    else:
        staged.replace(target)
        sync_folder(target.parent)


@contextmanager
def staged_beside(target: Path) -> Iterator[Path]:
    """A name beside the target to build at; gone at the end, with what was swapped out."""
    from taut.ground.compute import handle_of

    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}{STAGING}{handle_of(os.getpid())}")
    try:
        yield staged
    finally:
        _remove(staged)


def clear_beside(target: Path) -> None:
    """Remove what was staged beside the target by those that were killed, before the swap or after."""
    from taut.ground.compute import is_alive

    prefix = f".{target.name}{STAGING}"
    for left in target.parent.glob(f"{glob.escape(prefix)}*"):
        if is_alive(left.name.removeprefix(prefix).removesuffix(".old")):
            continue
        try:
            _remove(left)
        except OSError as problem:
            raise explained(problem, left, "removed") from None


def move_shards(staging: str, root: str, names: Iterable[str]) -> set[str]:
    """Give files that were staged as `ab/cdef…` their places below a root; returns the folders that have new names.

    Where the root has no folder `ab` yet, or an empty one, the staged folder goes there whole: one step for all in it.
    """
    shards: dict[str, list[str]] = {}
    for name in names:
        shards.setdefault(name[:2], []).append(name[2:])
    for shard, inside in shards.items():
        try:
            os.rename(f"{staging}/{shard}", f"{root}/{shard}")
        except OSError:  # It has files, is a link, or the file system cannot; what else it is the next lines tell.
            os.makedirs(f"{root}/{shard}", exist_ok=True)
            for name in inside:
                os.rename(f"{staging}/{shard}/{name}", f"{root}/{shard}/{name}")
    return {f"{root}/{shard}" for shard in shards}


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def explained(problem: OSError, path: Path, what: str) -> TautError:
    """The kind of error a user can act on; `what` is what could not be done, as `read`."""
    reason = problem.strerror or str(problem)
    if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Denied(f"{path} cannot be {what}: {reason}", hint=f"ls -ld {path.parent} {path}")
    return Unavailable(f"{path} cannot be {what}: {reason}", hint=f"df -h {path.parent}")


def changed(path: str) -> Conflict:
    """The error where a file is no more what it was when the work began."""
    return Conflict(f"{path} changed while it was read", hint="wait until nothing writes there, then try again")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> bool:
    """Whether the two have changed places; False where this system cannot do that in one step."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    done: int = rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    return done == 0
