"""Objects in this process's memory; gone when it ends."""

import io
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import BinaryIO, Self

from taut.errors import NotFound
from taut.ground.objects.protocol import Stored, oid_of, poured


def connect(url: str) -> "MemoryObjects":
    """A new, empty store; `url` is `memory://`."""
    return MemoryObjects(url)


def remove(url: str) -> None:
    """Nothing is left of a store that nobody holds: they share nothing."""
    del url


class MemoryObjects:
    """A dictionary with the manners of a store."""

    def __init__(self, url: str = "memory://") -> None:
        self.url = url
        self._data: dict[str, bytes] = {}
        self._put_ms: dict[str, int] = {}

    def put(self, source: BinaryIO) -> str:
        """Keep the bytes; returns their oid."""
        return poured(source, self.sink())

    def sink(self, *, size_bytes: int = 0) -> "MemorySink":
        """A list of pieces that becomes an object."""
        del size_bytes  # Who runs out of memory does not get far enough to be told.
        return MemorySink(self._data, self._put_ms)

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Read an object or a range of it."""
        if oid not in self._data:
            raise NotFound(f"no object {oid[:12]} in {self.url}")
        end = None if length is None else start + length
        return io.BytesIO(self._data[oid][start:end])

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those that are not kept."""
        return {oid for oid in oids if oid not in self._data}

    def claim(self, oids: Iterable[str]) -> set[str]:
        """Those that are not kept; the others are young again."""
        asked = set(oids)
        self._put_ms |= dict.fromkeys(asked & self._data.keys(), time.time_ns() // 1_000_000)
        return asked - self._data.keys()

    def delete(self, oids: Iterable[str], *, before_ms: int | None = None) -> set[str]:
        """Forget objects."""
        gone = {oid for oid in oids if oid in self._data and (before_ms is None or self._put_ms[oid] < before_ms)}
        for oid in gone:
            del self._data[oid], self._put_ms[oid]
        return gone

    def older(self, before_ms: int) -> Iterator[Stored]:
        """Those last put before a moment."""
        for oid, put_ms in tuple(self._put_ms.items()):
            if put_ms < before_ms:
                yield Stored(oid, len(self._data[oid]))

    def list(self) -> Iterator[str]:
        """Every oid."""
        return iter(tuple(self._data))


class MemorySink:
    """An object in the making."""

    def __init__(self, objects: dict[str, bytes], put_ms: dict[str, int]) -> None:
        self._objects, self._put_ms = objects, put_ms
        self._pieces: list[bytes] = []

    def write(self, chunk: bytes | memoryview) -> None:
        """Keep the next bytes."""
        self._pieces.append(bytes(chunk))

    def commit(self) -> str:
        """Name them."""
        data = b"".join(self._pieces)
        oid = oid_of(data)
        self._objects[oid], self._put_ms[oid] = data, time.time_ns() // 1_000_000
        self.abort()
        return oid

    def abort(self) -> None:
        """Forget them."""
        self._pieces.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
