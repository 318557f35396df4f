"""Objects in a directory: written beside, synced, renamed into place, and the directory synced after."""

import errno
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from taut.errors import Denied, NotFound, TautError, Unavailable
from taut.ground.folders import remove_folder
from taut.ground.objects.disk import (
    FULL,
    begin_writing,
    check_room,
    make_locked,
    reserve,
    sweep,
    sync_directory,
    write_all,
)
from taut.ground.objects.protocol import NoRoom, Stored, Window, poured

OID_DIGITS = 64
UNTOUCHED = (errno.EACCES, errno.EPERM, errno.EROFS)  # How a file says that it is not ours to change.
SMALL_BYTES = 64 << 10  # Up to here an object waits in memory for its name: one that is there already costs no write.
HELD_BYTES = 1 << 20  # What one call writes: in pieces as the socket gives them it cost half as much CPU again.
# The disk is told to begin so often, or it would wait for the end: a copy of 1 GiB spent a third of its time in fsync.
EARLY_BYTES = 16 << 20
RESERVED_BYTES = 64 << 20  # Asked for ahead where nobody said how much will come; what is left over is given back.


def connect(url: str) -> "LocalObjects":
    """Open `file:///path`, making the directory where it is missing. Raises Denied where it cannot be made."""
    return LocalObjects(Path(url.partition("://")[2]))


def remove(url: str) -> None:
    """Remove the directory and all that is in it."""
    remove_folder(Path(url.partition("://")[2]))


class LocalObjects:
    """`ROOT/ab/cdef…`, read-only files; a crash leaves at most a file in `ROOT/tmp`, never half an object.

    What a crash left is removed when the store is opened next.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders: set[str] = set()  # Whose own entry in the root is known to be on disk.
        try:
            (root / "tmp").mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise Denied(
                f"the object store {root} cannot be made: {problem.strerror}", hint=f"ls -ld {root.parent}"
            ) from None
        else:
            sweep(root / "tmp")

    @property
    def url(self) -> str:
        """Where the directory is."""
        return f"file://{self._root}"

    def put(self, source: BinaryIO) -> str:
        """Store the bytes; returns their oid after file and directory are synced."""
        try:
            return poured(source, self.sink())
        except OSError as problem:  # Of the source; the sink explains its own.
            raise self.explained(problem) from None

    def sink(self, *, size_bytes: int = 0) -> "LocalSink":
        """A file beside the objects, that becomes one; with its first bytes it has room for all of them."""
        return LocalSink(self, self._root / "tmp" / secrets.token_hex(8), size_bytes)

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Read an object or a range of it."""
        try:
            stream = self._place(oid).open("rb")
        except FileNotFoundError:
            raise NotFound(f"no object {oid[:12]} in {self._root}", hint="taut fsck") from None
        except OSError as problem:
            raise Denied(
                f"object {oid[:12]} in {self._root} cannot be read: {problem.strerror}",
                hint=f"ls -l {self._place(oid)}",
            ) from None
        if start == 0 and length is None:
            return stream
        return cast("BinaryIO", Window(stream, start, length))

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those that have no file."""
        return {oid for oid in oids if not self._place(oid).exists()}

    def claim(self, oids: Iterable[str]) -> set[str]:
        """Those that have no file; the others are young again, but for another user's, whose times are not ours.

        Safe beside `delete`, which looks at the age of a file after it has taken away its name: either that is the new
        one and the file comes back, or there is none to make young any more.
        """
        missing = set()
        for oid in oids:
            try:
                os.utime(self._place(oid))
            except FileNotFoundError:
                missing.add(oid)
            except OSError as problem:
                if problem.errno not in UNTOUCHED:
                    raise self.explained(problem) from None
        return missing

    def delete(self, oids: Iterable[str], *, before_ms: int | None = None) -> set[str]:
        """Remove objects. Each is put aside first: whoever puts it again from then on writes it anew."""
        gone: set[str] = set()
        for oid in oids:
            place, aside = self._place(oid), self._root / "tmp" / f"gone-{secrets.token_hex(8)}"
            with suppress(FileNotFoundError):
                place.rename(aside)
                if before_ms is not None and aside.stat().st_mtime_ns >= before_ms * 1_000_000:
                    aside.rename(place)
                else:
                    aside.unlink()
                    gone.add(oid)
        return gone

    def older(self, before_ms: int) -> Iterator[Stored]:
        """Those last put before a moment, by the times of their files."""
        for oid in self.list():
            with suppress(FileNotFoundError):
                found = self._place(oid).stat()
                if found.st_mtime_ns < before_ms * 1_000_000:
                    yield Stored(oid, found.st_size)

    def list(self) -> Iterator[str]:
        """Every oid, by walking the directory."""
        for folder in self._root.iterdir():
            if len(folder.name) == 2:
                yield from (folder.name + entry.name for entry in folder.iterdir())

    def has(self, oid: str, size_bytes: int) -> bool:
        """Whether the object is there in its full size; then its name is on disk too after this."""
        place = self._place(oid)
        try:
            if place.stat().st_size != size_bytes:
                return False
            os.utime(place)  # Young again: nobody collects it before whoever puts it now has named it.
        except (FileNotFoundError, PermissionError):  # Another user's file is written anew, as ours.
            return False
        sync_directory(place.parent)  # Whoever renamed it may not have come to this yet.
        return True

    def adopt(self, written: Path, oid: str) -> None:
        """Make a synced file the object, and its name durable."""
        place = self._place(oid)
        self._make_folder(oid[:2])
        written.rename(place)
        sync_directory(place.parent)

    def explained(self, problem: OSError) -> TautError:
        """Why it was not stored: whoever may not write must ask for it, a full disk needs room."""
        if problem.errno in UNTOUCHED:
            words = f"the object store {self._root} cannot be written: {problem.strerror}"
            return Denied(words, hint=f"ls -ld {self._root}")
        kind = NoRoom if problem.errno in FULL else Unavailable
        return kind(
            f"the object store {self._root} did not take it: {problem.strerror or problem}", hint=f"df -h {self._root}"
        )

    def _make_folder(self, name: str) -> None:
        """A folder of objects, whose entry in the root is on disk; the root is synced once for all that are there."""
        if name in self._folders:
            return
        (self._root / name).mkdir(exist_ok=True)
        found = {entry.name for entry in self._root.iterdir()}
        sync_directory(self._root)
        self._folders |= found

    def _place(self, oid: str) -> Path:
        if len(oid) != OID_DIGITS or not oid.isalnum():
            raise NotFound(f"{oid[:80]!r} names no object")
        return self._root / oid[:2] / oid[2:]


class LocalSink:
    """An object in the making: in memory while it is small, then in a file that is locked while somebody writes it."""

    def __init__(self, objects: LocalObjects, path: Path, size_bytes: int) -> None:
        self._objects, self._path, self._said = objects, path, size_bytes
        self._hashed = hashlib.sha256()
        self._held: list[bytes | memoryview] = []
        self._file = -1
        self._size = self._written = self._begun = self._reserved = 0

    def write(self, chunk: bytes | memoryview) -> None:
        """Hash and keep the next bytes."""
        self._hashed.update(chunk)
        self._size += len(chunk)
        is_enough = self._size - self._written >= (HELD_BYTES if self._file >= 0 else SMALL_BYTES)
        # What is written before this returns need not be copied; what waits must, for it may be a buffer.
        self._held.append(chunk if is_enough else bytes(chunk))
        if is_enough:
            try:
                self._write_held()
            except OSError as problem:
                raise self._objects.explained(problem) from None

    def commit(self) -> str:
        """Sync the file, give it its name and sync that; an object that is there already stays as it is."""
        oid = self._hashed.hexdigest()
        try:
            if not self._objects.has(oid, self._size):
                self._write_held()
                if self._reserved > self._size:
                    os.ftruncate(self._file, self._size)
                os.fsync(self._file)
                self._objects.adopt(self._path, oid)
                self._close()
        except OSError as problem:
            raise self._objects.explained(problem) from None
        finally:
            self.abort()
        return oid

    def abort(self) -> None:
        """Remove the file where it has not become an object."""
        self._held.clear()
        if self._file >= 0:
            with suppress(OSError):  # What is wrong with the disk is told already; the next opening sweeps.
                self._path.unlink()
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _write_held(self) -> None:
        """Write what waits, in one call; the disk begins with it when it is enough."""
        if self._file < 0:
            self._file = make_locked(self._path)
            if self._said > SMALL_BYTES:
                self._reserve(self._said)
        if self._held:
            # Room that was reserved is no longer counted as free.
            check_room(self._file, max(0, self._size - max(self._written, self._reserved)))
            if self._size > max(self._reserved, EARLY_BYTES):
                with suppress(OSError):  # Only the bytes themselves say whether they fit.
                    self._reserve(self._size + RESERVED_BYTES)
            write_all(self._file, self._held)
            self._held.clear()
            self._written = self._size
        if self._written - self._begun >= EARLY_BYTES:
            begin_writing(self._file, self._begun, self._written - self._begun)
            self._begun = self._written

    def _close(self) -> None:
        os.close(self._file)
        self._file = -1

    def _reserve(self, end: int) -> None:
        check_room(self._file, end - self._reserved)
        reserve(self._file, self._reserved, end - self._reserved)
        self._reserved = end
