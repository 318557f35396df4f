"""A store in a directory: objects written beside, synced, renamed into place, and the directory synced after."""

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from taut.data.store.codec import Bytes
from taut.data.store.places import Found
from taut.data.workspace.whole import explained
from taut.errors import Corrupt, NotFound
from taut.ground.objects.disk import make_locked, reserve, sweep, sync_directory, write_in_parts

MAKING = "tmp"
# What is wrong with one object and not with the place: another thing stands there, or the disk lost it.
DAMAGES = (errno.EISDIR, errno.ELOOP, errno.EIO, errno.ENXIO, getattr(errno, "EUCLEAN", errno.EIO))


class Folder:
    """Keys are paths below the root. A crash leaves at most a file in `ROOT/tmp`, which the next writer sweeps."""

    def __init__(self, root: str) -> None:
        self._root = Path(os.path.abspath(root))
        self._is_swept = False
        self._made: set[Path] = set()  # Folders that are there, with their names on disk.

    @property
    def url(self) -> str:
        """Where the directory is."""
        return f"file://{self._root}"

    def put(self, key: str, data: Bytes) -> None:
        """Write beside, sync, rename, sync the folder. Raises Denied, or Unavailable where the disk is full."""
        self._written(key, data, may_replace=True)

    def create(self, key: str, data: Bytes) -> bool:
        """The same with a hard link, which takes nothing's place."""
        return self._written(key, data, may_replace=False)

    def read(self, key: str, start: int = 0, length: int | None = None, *, into: bytearray | None = None) -> Bytes:
        """A file or a range of it. Raises Corrupt where the disk does not give it back or something else is there."""
        try:
            with open(self._root / key, "rb", buffering=0, opener=_opened) as stream:
                told = os.fstat(stream.fileno())
                if not stat.S_ISREG(told.st_mode):
                    raise Corrupt(f"{key} is damaged: it is no file")
                size = max(0, told.st_size - start)
                size = size if length is None else min(size, length)
                out = memoryview(into if into is not None and len(into) >= size else bytearray(size))[:size]
                stream.seek(start)
                at = 0
                while at < size and (done := stream.readinto(out[at:])):
                    at += done
                return out[:at]
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"there is no {key} in {self.url}") from None
        except OSError as problem:
            if problem.errno in DAMAGES:
                raise Corrupt(f"{key} is damaged: {problem.strerror}") from None
            raise explained(problem, self._root / key, "read") from None

    def found(self, prefix: str) -> Iterator[Found]:
        """All files below a folder."""
        pending = [self._root / prefix]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder) as listed:
                    entries = list(listed)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as problem:
                raise explained(problem, folder, "listed") from None
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                    continue
                with suppress(FileNotFoundError):  # Removed since it was listed.
                    told = entry.stat(follow_symlinks=False)
                    key = os.path.relpath(entry.path, self._root).replace(os.sep, "/")
                    yield Found(key, told.st_size, told.st_mtime_ns // 1_000_000)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove files, and sync the folders they were in."""
        folders = set()
        for key in keys:
            path = self._root / key
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise explained(problem, path, "removed") from None
            folders.add(path.parent)
        for folder in folders:
            try:
                sync_directory(folder)
            except OSError as problem:
                raise explained(problem, folder, "written") from None

    def _written(self, key: str, data: Bytes, *, may_replace: bool) -> bool:
        path, part = self._root / key, self._root / MAKING / secrets.token_hex(8)
        try:
            self._make(part.parent)
            self._make(path.parent)
            if not self._is_swept:
                sweep(part.parent)
                self._is_swept = True
            try:
                self._fill(part, data)
                if may_replace:
                    part.replace(path)
                elif not _linked(part, path):
                    return False
            finally:
                part.unlink(missing_ok=True)
            sync_directory(path.parent)
        except OSError as problem:
            raise explained(problem, path, "written") from None
        return True

    def _fill(self, part: Path, data: Bytes) -> None:
        file = make_locked(part)
        try:
            reserve(file, 0, len(data))
            write_in_parts(file, data)
            os.fsync(file)
        finally:
            os.close(file)

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it, with their names on disk."""
        if folder in self._made:
            return
        if not folder.is_dir():
            if folder not in (self._root, folder.parent):
                self._make(folder.parent)
            folder.mkdir(parents=True, exist_ok=True)
            sync_directory(folder.parent)
        self._made.add(folder)


def _opened(path: str, flags: int) -> int:
    """Open without waiting for whoever writes to a pipe that stands there."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _linked(source: Path, target: Path) -> bool:
    """Give a file a second name; False where somebody has that already."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True
