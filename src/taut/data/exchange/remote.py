"""What a remote of data does, whatever its format: contents by DVC's digest, sent, fetched, listed and removed."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from taut.ground.progress import Progress


@dataclass(frozen=True, slots=True)
class Content:
    """What is pushed: a file of the workspace or the cache, and the digest that it must have.

    `digest` is the MD5 of the bytes in 32 hexadecimal digits, with `.dir` behind it for the list of a folder.
    `ancestor` is the digest of the nearest earlier version of the same data, empty where there is none: a hint, which
    a remote may use to store less. `ancestor_path` is where that version lies here, as in a cache; a remote that needs
    it looks whether it is what it should be, and fetches it where it is not.
    """

    digest: str
    place: str | Path
    size_bytes: int
    ancestor: str = ""
    ancestor_path: Path | None = None

    @property
    def path(self) -> Path:
        """Where it lies; a text costs a tenth of a path where there are very many."""
        return Path(self.place)


class Remote(Protocol):
    """Contents by DVC's digest. A content is there whole or not at all, whenever a push was killed."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    @property
    def takes_deltas(self) -> bool:
        """Whether it stores less of what names an ancestor that it has."""
        ...

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those of the digests that are not there. Raises Unavailable where nothing answers."""
        ...

    def push(self, contents: Sequence[Content], bar: Progress) -> None:
        """Store contents; those that are there already cost nothing. All of them are durable when this returns.

        `bar` advances by bytes of the contents. Raises Corrupt where a file has not the digest that it was given: then
        nothing is stored under that digest; Unavailable or Denied where the remote does not take it. What was stored by
        then stays, and the repeated call goes on from there.
        """
        ...

    def pull(self, wanted: Mapping[str, Path], bar: Progress) -> None:
        """Write contents to new files, each verified and whole, or absent. Folders are made where they are missing.

        `bar` advances by bytes of the contents. Raises NotFound where one is not there and Corrupt where one is
        damaged, both after all the others were written, with the digests in the message.
        """
        ...

    def listed(self) -> Iterator[str]:
        """Every digest that is there, in no particular order."""
        ...

    def delete(self, digests: Iterable[str]) -> None:
        """Remove contents; one that is not there is no error."""
        ...


@runtime_checkable
class InFolder(Remote, Protocol):
    """A remote whose contents are files that this machine can open, so that each is read once for all who want it."""

    @property
    def root(self) -> str:
        """The folder that they lie in, as `ab/cdef…` of their MD5; empty where names are not simply that."""
        ...
