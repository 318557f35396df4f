"""Objects in a directory: written beside, synced, renamed into place, and the directory synced after."""

import errno
import hashlib
import io
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from taut.errors import Denied, NotFound, TautError, Unavailable
from taut.ground.objects.protocol import chunks

OID_DIGITS = 64


def connect(url: str) -> "LocalObjects":
    """Open `file:///path`, making the directory where it is missing. Raises Denied where it cannot be made."""
    return LocalObjects(Path(url.partition("://")[2]))


class LocalObjects:
    """`ROOT/ab/cdef…`, read-only files; a crash leaves at most a file in `ROOT/tmp`, never half an object."""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            (root / "tmp").mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise Denied(
                f"the object store {root} cannot be made: {problem.strerror}", hint=f"ls -ld {root.parent}"
            ) from None

    @property
    def url(self) -> str:
        """Where the directory is."""
        return f"file://{self._root}"

    def put(self, source: BinaryIO) -> str:
        """Store the bytes; returns their oid after file and directory are synced."""
        temporary = self._root / "tmp" / secrets.token_hex(8)
        try:
            oid = _write_synced(temporary, source)
            place = self._place(oid)
            if place.exists():
                _sync_directory(place.parent)  # Whoever renamed it may not have come to this yet.
                return oid
            made = not place.parent.exists()
            place.parent.mkdir(exist_ok=True)
            temporary.chmod(0o444)
            temporary.rename(place)
            _sync_directory(place.parent)
            if made:
                _sync_directory(self._root)
        except OSError as problem:
            raise self._explained(problem) from None
        finally:
            with suppress(OSError):  # What is wrong with the disk is told already, and nobody reads what stays here.
                temporary.unlink()
        return oid

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
        with stream:
            stream.seek(start)
            return io.BytesIO(stream.read() if length is None else stream.read(length))

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those that have no file."""
        return {oid for oid in oids if not self._place(oid).exists()}

    def delete(self, oids: Iterable[str]) -> None:
        """Remove objects."""
        for oid in oids:
            self._place(oid).unlink(missing_ok=True)

    def list(self) -> Iterator[str]:
        """Every oid, by walking the directory."""
        for folder in self._root.iterdir():
            if len(folder.name) == 2:
                yield from (folder.name + entry.name for entry in folder.iterdir())

    def _explained(self, problem: OSError) -> TautError:
        """Why it was not stored: whoever may not write must ask for it, a full disk needs room."""
        if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            words = f"the object store {self._root} cannot be written: {problem.strerror}"
            return Denied(words, hint=f"ls -ld {self._root}")
        return Unavailable(
            f"the object store {self._root} did not take it: {problem.strerror or problem}", hint=f"df -h {self._root}"
        )

    def _place(self, oid: str) -> Path:
        if len(oid) != OID_DIGITS or not oid.isalnum():
            raise NotFound(f"{oid[:80]!r} names no object")
        return self._root / oid[:2] / oid[2:]


def _write_synced(path: Path, source: BinaryIO) -> str:
    hashed = hashlib.sha256()
    with path.open("wb") as target:
        for chunk in chunks(source):
            hashed.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    return hashed.hexdigest()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
