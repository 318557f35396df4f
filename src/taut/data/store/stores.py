"""A store: contents by DVC's digest, as deltas, chunks and packs, encrypted, in a directory or a bucket."""

import io
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import BinaryIO

from taut.data.exchange.remote import Content, Remote
from taut.data.store import formats, leases
from taut.data.store import fsck as checking
from taut.data.store import gc as collecting
from taut.data.store.catalog import Catalog, Entry, Indexes, unreadable
from taut.data.store.kept import KeptIndexes
from taut.data.store.keys import KeyProvider
from taut.data.store.pieces import Pieces
from taut.data.store.places import Place
from taut.data.store.pull import RangeReader, Unread, pull, told
from taut.data.store.push import Push
from taut.data.store.roots import Root
from taut.errors import Corrupt, Denied, NotFound
from taut.ground.progress import Progress, Silent

YOUNG_S = 24 * 3600.0  # How long what somebody pushed, or was told to be there, may wait to be named by a pointer.
PROMISED_S = 3600.0  # What this process was told once it need not be promised again so soon.
PATIENCE_S = 30.0


class Store:
    """A remote in taut's own format. One object may be used by one thread at a time; processes may be many."""

    takes_deltas = True

    def __init__(self, place: Place, root: Root, keys: KeyProvider | None, *, kept: KeptIndexes | None = None) -> None:
        """`kept` is where index objects are kept on this machine, of a place that is far."""
        self._place, self._root, self._keys = place, root, keys
        self._indexes = Indexes(place, root, kept)
        self._promised: dict[str, float] = {}

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        return self._place.url

    @property
    def is_encrypted(self) -> bool:
        """Whether what lies there tells nothing without a key."""
        return self._root.is_encrypted

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those that are not there. The others stay for a day at least, even where a collection runs at this moment."""
        there = set(digests) & self._load().contents.keys()
        fresh = {one for one in there if self._promised.get(one, -inf) < time.monotonic() - PROMISED_S}
        if fresh:
            self._promise(fresh)
            there = set(digests) & self._load().contents.keys()  # Whoever condemned it before it was promised.
        return set(digests) - there

    def push(self, contents: Sequence[Content], bar: Progress) -> None:
        """Store contents, as `Remote.push` says; those that have an ancestor here as deltas where that is worth it."""
        with leases.held(self._place, self._root, leases.LEASES) as lease:
            catalog = self._load()
            there = {content.digest for content in contents} & catalog.contents.keys()
            if there:
                leases.promise(self._place, self._root, there)
            Push(self._place, self._root, self._indexes, catalog, lease).run(contents, bar)

    def pull(self, wanted: Mapping[str, Path], bar: Progress) -> None:
        """Write contents to new files, as `Remote.pull` says."""
        left: Mapping[str, Path] = wanted
        for is_last in (False, True):
            catalog = self._load()
            failed: dict[str, Unread] = {
                digest: self._absent(digest, catalog) for digest in left if digest not in catalog.contents
            }
            pull(catalog, {d: path for d, path in left.items() if d not in failed}, self._opened, bar, failed)
            if not failed:
                return
            # A collection may have moved packs since the index was read: then it is read once more.
            left = {digest: left[digest] for digest in failed}
            if is_last or not any(isinstance(problem, NotFound) for problem in failed.values()):
                raise told(failed)

    def listed(self) -> Iterator[str]:
        """Every digest that is there. Raises Corrupt where an index is damaged, for what that names is not known."""
        catalog = self._load()
        if catalog.damaged:
            raise unreadable(self.url, catalog)
        yield from list(catalog.contents)

    def delete(self, digests: Iterable[str]) -> None:
        """Remove contents now; their bytes too, or with the next collection where somebody pushes. Raises Conflict."""
        gone = set(digests)
        collecting.collect(
            self._place, self._root, self._indexes, lambda entry, _: entry.digest in gone,
            young_ms=0, patience_s=0.0, is_ordered=True,
        )  # fmt: skip

    def open_range(self, digest: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """A range of a content, clipped to its end; only the pieces that it touches are fetched, and verified.

        A piece has up to 4 MiB; of a delta it is the file up to 256 MiB, else 64 MiB, and its chain of earlier pieces
        is fetched too. Raises NotFound or Corrupt, now or while it is read.
        """
        catalog = self._load()
        entry = catalog.contents.get(digest)
        if entry is None:
            raise self._absent(digest, catalog)
        if not catalog.is_whole(entry):
            raise Corrupt(f"{digest} lacks pieces in {self.url}", hint="fsck names what is damaged")
        return io.BufferedReader(RangeReader(entry, catalog, self._opened, start, length))

    def gc(
        self, keep: Collection[str], *, young_s: float = YOUNG_S, patience_s: float = PATIENCE_S
    ) -> collecting.Collected:
        """Remove the contents that are not in `keep`, unless they were pushed or told to be there within `young_s`.

        Safe beside pushes, which are waited for up to `patience_s`. Raises Conflict where they do not end, or another
        collection runs; Corrupt where an index is damaged.
        """
        kept, young_ms = set(keep), int(young_s * 1000)

        def drops(entry: Entry, now_ms: int) -> bool:
            return entry.digest not in kept and entry.at_ms <= now_ms - young_ms

        return collecting.collect(
            self._place, self._root, self._indexes, drops, young_ms=young_ms, patience_s=patience_s, is_ordered=False
        )

    def fsck(self, bar: Progress | None = None) -> checking.Checked:
        """Read all of it and say what is damaged, and which contents cannot be had because of that."""
        self._indexes = Indexes(self._place, self._root)  # As the place has them, not as they were read before.
        checked = checking.check(self._place, self._root, self._indexes, bar or Silent())
        for key, reason in sorted(formats.damaged_copies(self._place, self._keys).items()):
            checked.damages.insert(0, checking.Damage(key, reason))
        return checked

    def repair(self, source: Callable[[str], Path | None], bar: Progress | None = None) -> checking.Repaired:
        """Bring damaged objects back: from their copies, and contents from the files that `source` gives for digests.

        What nobody has is missing from then on, so that a push stores it again.
        """
        mended = formats.mend_format(self._place, self._keys)
        self._indexes = Indexes(self._place, self._root)
        done = checking.repair(self._place, self._root, self._indexes, source, bar or Silent())
        return checking.Repaired((*mended, *done.mended), done.restored, done.lost)

    def rotate(self, keys: KeyProvider) -> None:
        """Have another key keep this store's secret. Nothing else is rewritten; the old key opens nothing any more."""
        formats.rewrap(self._place, self._keys, keys)
        self._keys = keys

    def _load(self) -> Catalog:
        return self._indexes.load(lambda: leases.condemned(self._place, self._root))

    def _opened(self, catalog: Catalog, wanted: Iterable[bytes]) -> Pieces:
        return Pieces(self._place, self._root, catalog, wanted)

    def _promise(self, digests: set[str]) -> None:
        try:
            leases.promise(self._place, self._root, digests)
        except Denied:
            return  # Whoever may not write here pushes nothing that a promise could save.
        self._promised.update(dict.fromkeys(digests, time.monotonic()))

    def _absent(self, digest: str, catalog: Catalog) -> Corrupt | NotFound:
        if catalog.damaged:
            return unreadable(self.url, catalog)
        return NotFound(f"{digest} is not in {self.url}")


def files_of(remote: Remote, folder: Path) -> Callable[[str], Path | None]:
    """A source for `Store.repair`: contents of another remote, fetched into a folder one by one."""

    def source(digest: str) -> Path | None:
        path = folder / digest
        try:
            if not path.exists():
                remote.pull({digest: path}, Silent())
        except (Corrupt, NotFound):
            return None
        return path

    return source
