"""The protocol of an object store, and what every store shares: the name of bytes, and reading them with a check."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Protocol

from taut.errors import Corrupt

CHUNK_BYTES = 1 << 20  # Large enough that Python's cost per chunk is small beside hashing (about 0.8 ms a MiB).


class Objects(Protocol):
    """Bytes by content. `put` is atomic, idempotent and durable: a reader sees all of an object or none of it."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    def put(self, source: BinaryIO) -> str:
        """Store everything that `source` yields; returns its oid after it is on disk."""
        ...

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Read an object or a range of it. Raises NotFound where there is none."""
        ...

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those of the oids that are not stored."""
        ...

    def delete(self, oids: Iterable[str]) -> None:
        """Remove objects; what is already gone is no error."""
        ...

    def list(self) -> Iterator[str]:
        """Every oid in the store, in no particular order."""
        ...


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
