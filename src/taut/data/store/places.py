"""Where the objects of a store lie: a directory, or a bucket of S3, GCS or Azure, behind the same few calls."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from taut.data.store.codec import Bytes
from taut.errors import Corrupt, Denied, NotFound

GONE = "it is gone"


@dataclass(frozen=True, slots=True)
class Found:
    """An object of a place; `at_ms` is when it was last put, by the clock of the place."""

    key: str
    size_bytes: int
    at_ms: int


class Place(Protocol):
    """Objects under keys with slashes. What was put, all others see at once, whole; a listing leaves nothing out."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    def put(self, key: str, data: Bytes) -> None:
        """Store an object, in the place of one that is there; durable when this returns."""
        ...

    def create(self, key: str, data: Bytes) -> bool:
        """The same, but False where there is one already, which stays."""
        ...

    def read(self, key: str, start: int = 0, length: int | None = None, *, into: bytearray | None = None) -> Bytes:
        """An object or a range of it, shorter where it ends before.

        Raises NotFound where there is none, Corrupt where what is there is no object, Denied, Unavailable.

        What it returns may lie in `into`, where that is large enough: memory that is used again costs no page faults.
        """
        ...

    def found(self, prefix: str) -> Iterator[Found]:
        """All objects whose keys begin with a prefix, which ends with a slash."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error."""
        ...


def read_either(place: Place, keys: Sequence[str]) -> Iterator[tuple[str, Bytes | None, str]]:
    """Each of the copies of an object, or None and why it cannot be had. Raises Denied where that is so of all."""
    refused: Denied | None = None
    others = 0
    for key in keys:
        try:
            data = place.read(key)
        except NotFound:
            yield key, None, GONE
        except Corrupt as problem:
            yield key, None, problem.message.partition(": ")[2]
        except Denied as problem:
            refused = problem
            yield key, None, problem.message
            continue
        else:
            yield key, data, ""
        others += 1
    if refused is not None and not others:
        raise refused
