"""The protocol of an object store, and what every store shares: the name of bytes, and reading them with a check."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, ClassVar, Protocol, Self

from taut.errors import Corrupt, Unavailable

CHUNK_BYTES = 1 << 20  # Large enough that Python's cost per chunk is small beside hashing (about 0.8 ms a MiB).


class Sink(Protocol):
    """An object in the making: written in pieces, hashed on the way, there after `commit` and not before.

    As a context it is aborted where it was not committed. One thread at a time may use it.
    """

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes; what they lie in may be used again when this returns."""
        ...

    def commit(self) -> str:
        """Make the object durable; returns its oid."""
        ...

    def abort(self) -> None:
        """Forget what was written; after `commit`, or again, it does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """An object in a store, and how large it is."""

    oid: str
    size_bytes: int


class Objects(Protocol):
    """Bytes by content. `put` is atomic, idempotent and durable: a reader sees all of an object or none of it."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    def put(self, source: BinaryIO) -> str:
        """Store everything that `source` yields; returns its oid after it is on disk."""
        ...

    def sink(self, *, size_bytes: int = 0) -> Sink:
        """A place to write an object into. `size_bytes`, where it is known, may be refused with the first bytes."""
        ...

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Read an object or a range of it. Raises NotFound where there is none. Only of a server it cannot seek."""
        ...

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those of the oids that are not stored."""
        ...

    def claim(self, oids: Iterable[str]) -> set[str]:
        """Those that are not stored; the others are as if they had just been put, for whoever will name them unsent."""
        ...

    def delete(self, oids: Iterable[str], *, before_ms: int | None = None) -> set[str]:
        """Remove objects, those alone that were last put before a moment, where one is said; returns which are gone.

        What was gone already is no error, and is not returned.
        """
        ...

    def older(self, before_ms: int) -> Iterator[Stored]:
        """Every object that was last put before a moment; putting one again makes it young, at least within a day."""
        ...

    def list(self) -> Iterator[str]:
        """Every oid in the store, in no particular order."""
        ...


class NoRoom(Unavailable):
    """The store is full: trying again helps only after somebody made room. Travels as Unavailable."""

    http_status: ClassVar[int] = 507  # Insufficient Storage, RFC 4918 section 11.5; clients retry a 503 for minutes.

    @property
    def kind(self) -> str:
        """The name of the kind that callers know."""
        return Unavailable.__name__


class Window(io.RawIOBase):
    """The bytes of another stream from `start` on, at most `length` of them, without reading them ahead."""

    def __init__(self, stream: BinaryIO, start: int, length: int | None) -> None:
        self._stream, self._start = stream, start
        size = stream.seek(0, io.SEEK_END)
        self._size = max(0, size - start) if length is None else max(0, min(size - start, length))
        self._at = 0
        stream.seek(start)

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """As the stream below."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move inside the window."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        self._stream.seek(self._start + self._at)
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, all that are left for -1."""
        left = max(0, self._size - self._at)
        data = self._stream.read(left if size is None or size < 0 else min(size, left))
        self._at += len(data)
        return data

    def close(self) -> None:
        """Close the stream below too."""
        self._stream.close()
        super().close()


def oid_of(data: bytes) -> str:
    """The name of these bytes: SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def read_object(objects: Objects, oid: str) -> bytes:
    """All bytes of an object, held against its name. Raises NotFound, or Corrupt where they differ."""
    with objects.open(oid) as stream:
        data = stream.read()
    if oid_of(data) != oid:
        found = f"its {len(data)} bytes have another digest"
        raise Corrupt(f"object {oid[:12]} in {objects.url} is damaged: {found}", hint="taut fsck")
    return data


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """The bytes of a stream, a chunk at a time."""
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def poured(source: BinaryIO, sink: Sink) -> str:
    """Everything that `source` yields, through the sink; returns the oid after it is durable."""
    with sink:
        for chunk in chunks(source):
            sink.write(chunk)
        return sink.commit()
