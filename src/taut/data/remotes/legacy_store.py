"""Contents with digests of DVC 2 in a remote of taut's own format: beside the others, under names of their own.

A digest of DVC 2 is of a text with its line ends changed, so it may be that of another content's bytes in DVC 3.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from taut.data.exchange.remote import Content
from taut.data.store.legacy import SUFFIX, legacy_name
from taut.errors import Corrupt, NotFound
from taut.ground.progress import Progress

if TYPE_CHECKING:
    from taut.data.exchange.remote import Remote


class LegacyStore:
    """The contents of a store that have digests of DVC 2."""

    takes_deltas = False  # What has such a digest has no version of taut's before it.

    def __init__(self, store: "Remote") -> None:
        self._store = store

    @property
    def url(self) -> str:
        """Where it is."""
        return self._store.url

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those that are not there."""
        wanted = {legacy_name(digest): digest for digest in digests}
        return {wanted[name] for name in self._store.missing(wanted.keys())}

    def push(self, contents: Sequence[Content], bar: Progress) -> None:
        """Store contents; each is held against its digest of DVC 2."""
        self._store.push([replace(one, digest=legacy_name(one.digest), ancestor="") for one in contents], bar)

    def pull(self, wanted: Mapping[str, Path], bar: Progress) -> None:
        """Write contents to new files."""
        try:
            self._store.pull({legacy_name(digest): path for digest, path in wanted.items()}, bar)
        except (Corrupt, NotFound) as problem:
            raise type(problem)(problem.message.replace(SUFFIX, ""), hint=problem.hint) from None

    def listed(self) -> Iterator[str]:
        """Every digest of DVC 2 that is there."""
        return (name.removesuffix(SUFFIX) for name in self._store.listed() if name.endswith(SUFFIX))

    def delete(self, digests: Iterable[str]) -> None:
        """Remove contents."""
        self._store.delete([legacy_name(digest) for digest in digests])
