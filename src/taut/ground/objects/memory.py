"""Objects in this process's memory; gone when it ends."""

import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from taut.errors import NotFound
from taut.ground.objects.protocol import oid_of


def connect(url: str) -> "MemoryObjects":
    """A new, empty store; `url` is `memory://`."""
    return MemoryObjects(url)


class MemoryObjects:
    """A dictionary with the manners of a store."""

    def __init__(self, url: str = "memory://") -> None:
        self.url = url
        self._data: dict[str, bytes] = {}

    def put(self, source: BinaryIO) -> str:
        """Keep the bytes; returns their oid."""
        data = source.read()
        oid = oid_of(data)
        self._data[oid] = data
        return oid

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Read an object or a range of it."""
        if oid not in self._data:
            raise NotFound(f"no object {oid[:12]} in {self.url}")
        end = None if length is None else start + length
        return io.BytesIO(self._data[oid][start:end])

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those that are not kept."""
        return {oid for oid in oids if oid not in self._data}

    def delete(self, oids: Iterable[str]) -> None:
        """Forget objects."""
        for oid in oids:
            self._data.pop(oid, None)

    def list(self) -> Iterator[str]:
        """Every oid."""
        return iter(tuple(self._data))
