"""Journals: files that one process appends records to, each with its length and checksum, sealed or in the open.

A record is `tlog`, the flags, the length of what follows, its CRC-32, then the bytes; one call writes it whole. The
name of the file, part of it random, goes into the checksum: bytes in a request that look like a record are none. A
process never goes on with another's file. So what a kill or a full disk tears is the end of a file, which a reader
leaves out; damage before the end, where whole records follow, is skipped and counted.
"""

import fcntl
import io
import os
import secrets
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taut.errors import Corrupt, Denied, TautError, Unavailable
from taut.ground.objects.disk import ABANDONED_S, FULL
from taut.serve.log.sealing_key import DataKey

SUFFIX, PART = ".journal", ".part"
HEAD = struct.Struct("<4sIII")  # The mark, flags, length and checksum of what follows.
MARK = b"tlog"
SEALED, GIVEN = 1, 2  # Flags: the bytes are encrypted; some ids are the callers' own.
RECORD_BYTES_MAX = 1 << 30


Body = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Record:
    """Bytes between two places of a file."""

    start: int
    end: int
    flags: int
    body: Body


class Journal:
    """A file that this process appends to; it holds a lock on it until it is closed or dies."""

    def __init__(self, folder: Path, key: DataKey | None, *, fsync: bool) -> None:
        self.path = folder / f"{time.time_ns() // 1_000_000:013d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self.size_bytes = 0
        self.is_broken = False  # Nothing more may follow what could not be taken back.
        self.began_s = time.monotonic()
        self._key = key
        self._fsync = fsync
        self._salt = _salt_of(self.path)
        part = self.path.with_suffix(PART)
        self._file = -1
        try:
            self._file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            # It has its name once it is locked: else it would be taken for one that nobody writes any more.
            fcntl.flock(self._file, fcntl.LOCK_EX)
            part.rename(self.path)
        except OSError as problem:
            if self._file >= 0:
                os.close(self._file)
            raise unwritten(folder, problem) from None

    @property
    def is_gone(self) -> bool:
        """Whether somebody removed the file, so that nobody would ever read what is appended."""
        return os.fstat(self._file).st_nlink == 0

    def append(self, body: bytes, *, flags: int = 0) -> None:
        """Add a record, in one call; when this returns the kernel has it, or the disk where that is asked for.

        Raises Unavailable where it was not taken whole, and nothing of it is left in the file; or where the
        disk did not take it, and nobody knows.
        """
        if self._key is not None:
            body, flags = self._key.seal(body, belongs_to=self.path.name), flags | SEALED
        record = HEAD.pack(MARK, flags, len(body), zlib.crc32(body, self._salt ^ flags)) + body
        try:
            written = os.write(self._file, record)
            if written < len(record):  # As much as fits: the next call says why.
                written += os.write(self._file, record[written:])
            if written < len(record):
                raise OSError(FULL[0], os.strerror(FULL[0]))
        except OSError as problem:
            self._take_back()
            raise unwritten(self.path.parent, problem) from None
        self.size_bytes += len(record)
        if self._fsync:
            self._sync()

    def close(self) -> None:
        """Let go of the file; whoever finds it without a lock knows that it is complete."""
        os.close(self._file)

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
        except OSError as problem:
            self.is_broken = True  # A record that is whole is never taken back: somebody may have read it.
            raise unwritten(self.path.parent, problem) from None

    def _take_back(self) -> None:
        """Cut off what was written of a record that was not taken."""
        try:
            os.ftruncate(self._file, self.size_bytes)
        except OSError:
            self.is_broken = True


class Reading:
    """What a file holds from a place on, open from the start: it can be read though it is removed meanwhile.

    `end` is where the last whole record ended, `damaged` counts what was skipped; both are known once the records were
    read. A record that is being written counts as not there yet. Raises Denied for a file that is not ours.
    """

    def __init__(self, path: Path, key: DataKey | None) -> None:
        self.path = path
        self.end = 0
        self.damaged = 0
        self._key = key
        self._salt = _salt_of(path)
        self._file: io.FileIO | None = None
        try:
            self._file = path.open("rb", buffering=0)
        except FileNotFoundError:
            return  # It was sealed between the listing and the look.
        except OSError as problem:
            raise Denied(f"{path} cannot be read: {problem.strerror}", hint=f"ls -l {path}") from None

    def records(self, start: int = 0, *, only: int = 0) -> Iterator[Record]:
        """The records from a place on, opened; `only` those with one of these flags. Raises what opening them does."""
        for one in self._scan(start, sys.maxsize):
            if not only or one.flags & only:
                yield Record(one.start, one.end, one.flags, self.opened(one))

    def found(self, start: int, most_bytes: int) -> list[Record]:
        """The whole records that begin within so many bytes of a place, as they lie there; `opened` opens one."""
        return list(self._scan(start, most_bytes))

    def opened(self, record: Record) -> Body:
        """What is in a record that was found. Raises Unavailable without the key, Corrupt for another's bytes."""
        if not record.flags & SEALED:
            return record.body
        if self._key is None:
            raise Unavailable(f"{self.path} is encrypted, and its key is not here", hint=f"ls {self.path.parent}")
        return self._key.open(bytes(record.body), belongs_to=self.path.name)

    def body_at(self, start: int, end: int) -> Body:
        """The record between two places that were read before, opened again."""
        assert self._file is not None, self.path
        data = os.pread(self._file.fileno(), end - start, start)
        found = _whole(data, memoryview(data), 0, self._salt)
        if found is None:
            raise Corrupt(f"{self.path} was changed while it was read", hint="taut fsck")
        return self.opened(Record(start, end, *found[2:]))

    def reach(self, start: int, most_bytes: int) -> int:
        """Where the last whole record ends that begins within so many bytes of a place; nothing is opened for it."""
        for _ in self._scan(start, most_bytes):
            pass
        return self.end

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _scan(self, start: int, most_bytes: int) -> Iterator[Record]:
        """The whole records that begin within so many bytes; what was skipped is counted."""
        data = self._data(start)
        view, at = memoryview(data), 0
        self.end, self.damaged = start, 0
        while at < most_bytes and (found := _whole(data, view, at, self._salt)) is not None:
            begun, end, flags, body = found
            self.damaged += begun != at
            self.end = start + end
            yield Record(start + begun, self.end, flags, body)
            at = end

    def _data(self, start: int) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(start)
        return self._file.readall()


def journals_in(folder: Path) -> list[Path]:
    """The journals of a folder, oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return []


def sweep_parts(folder: Path) -> None:
    """Remove the files of processes that died before they had locked them; nothing is in those."""
    for path in folder.glob(f"*{PART}"):
        if time.time() - path.stat().st_mtime > ABANDONED_S:
            path.unlink(missing_ok=True)


def is_written(path: Path) -> bool:
    """Whether somebody still has a journal open to append to it; False for one that is gone."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def unwritten(folder: Path, problem: OSError) -> TautError:
    """Why nothing was written down. Callers read the words, so that they name no folder; another server may do."""
    return Unavailable(f"the prediction log did not take it: {problem.strerror}", hint=f"df -h {folder}")


def _whole(data: bytes, view: memoryview, at: int, salt: int) -> tuple[int, int, int, memoryview] | None:
    """The first whole record at a place or after it: where it begins and ends, its flags and what is in it."""
    while (at := data.find(MARK, at)) >= 0 and at + HEAD.size <= len(data):
        _, flags, length, checksum = HEAD.unpack_from(data, at)
        start = at + HEAD.size
        if length <= min(RECORD_BYTES_MAX, len(data) - start):
            body = view[start : start + length]
            if zlib.crc32(body, salt ^ flags) == checksum:
                return at, start + length, flags, body
        at += 1
    return None


def _salt_of(path: Path) -> int:
    return zlib.crc32(path.name.encode())
