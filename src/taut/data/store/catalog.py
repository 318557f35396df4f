"""What a store holds: contents, the pieces they are made of, and where those lie. Immutable index objects, added up.

Each index object tells what one push added, or a collection took away; it lies twice, so that one damaged copy
loses nothing. The catalog is their sum: the same piece in two places is the same bytes. What is taken away is said of
an index object by its name, so the sum does not depend on an order, and what is pushed again later is there again.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from taut.data.store.codec import Bytes, grown, zstd
from taut.data.store.kept import KeptIndexes
from taut.data.store.places import GONE, Place, read_either
from taut.data.store.roots import Root
from taut.data.store.seal import damaged, seal, unseal
from taut.errors import Corrupt, Denied

INDEX, MIRROR = "index/", "mirror/"
RAW, ZSTD, DELTA = 0, 1, 2
ENTRIES_MAX = 500_000  # Of one index object.
INDEX_BYTES_MAX = 1 << 30


class Piece(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Bytes under the name `id`, their keyed hash: `stored` bytes at `at` inside `pack`, in one of the three forms.

    A delta is against the pieces of `base`, one after another; `depth` is how many deltas lie on each other.
    """

    id: bytes
    size: int
    pack: str
    at: int
    stored: int
    form: Literal[0, 1, 2]
    depth: int = 0
    base: tuple[bytes, ...] = ()


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A content: its pieces one after another. `at_ms` is when it was pushed; 0, the time of its index object."""

    digest: str
    size: int
    pieces: tuple[bytes, ...]
    at_ms: int = 0


class Gone(msgspec.Struct, array_like=True, frozen=True):
    """What of another index object does not count any more: contents, and whatever lay in some packs."""

    digests: set[str]
    packs: set[str]

    def __or__(self, other: "Gone") -> "Gone":
        return Gone(self.digests | other.digests, self.packs | other.packs)


class Index(msgspec.Struct, array_like=True, frozen=True):
    """What one index object tells; of others, by their names, what is gone, None where that is all of it."""

    pieces: list[Piece]
    contents: list[Entry]
    gone: dict[str, Gone | None] = {}

    @property
    def weight(self) -> int:
        """About how much there is to read and write again."""
        return len(self.pieces) + len(self.contents) + sum(map(_weight, self.gone.values()))

    def without(self, gone: Gone | None) -> "Index":
        """What is left of it."""
        if gone is None:
            return Index([], [], self.gone)
        pieces = [one for one in self.pieces if one.pack not in gone.packs] if gone.packs else self.pieces
        contents = [one for one in self.contents if one.digest not in gone.digests] if gone.digests else self.contents
        return Index(pieces, contents, self.gone)


@dataclass(slots=True)
class Catalog:
    """The sum of the index objects that could be read; `damaged` says what is wrong with the others, by name.

    `read` is what each says and still counts, `weights` what each weighs as it lies there, `gone` what they say of each
    other.
    """

    pieces: dict[bytes, Piece] = field(default_factory=dict)
    contents: dict[str, Entry] = field(default_factory=dict)
    read: dict[str, Index] = field(default_factory=dict)
    gone: dict[str, Gone | None] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)

    def needed(self, contents: Iterable[Entry]) -> set[bytes]:
        """The pieces of contents, and those that these are deltas against; the unknown among them too."""
        needed: set[bytes] = set()
        pending = [piece for entry in contents for piece in entry.pieces]
        while pending:
            one = pending.pop()
            if one not in needed:
                needed.add(one)
                if one in self.pieces:
                    pending.extend(self.pieces[one].base)
        return needed

    def is_whole(self, entry: Entry) -> bool:
        """Whether every piece that the content needs is known."""
        return self.needed([entry]) <= self.pieces.keys()


class Indexes:
    """The index objects of a store, each read once; where `kept` is given, once on this machine."""

    def __init__(self, place: Place, root: Root, kept: KeptIndexes | None = None) -> None:
        self._place, self._root, self._kept = place, root, kept
        self._held: dict[str, Index] = {}

    def names(self) -> dict[str, int]:
        """Every index object of which at least one copy is listed, and when it was put."""
        found: dict[str, int] = {}
        for prefix in (MIRROR, INDEX):
            for one in self._place.found(prefix):
                found[one.key.removeprefix(prefix)] = one.at_ms
        return found

    def load(self, left_out: Callable[[], set[tuple[bytes, str]]] = set) -> Catalog:
        """The catalog as it is now, without the pieces of packs that `left_out`, asked before all else, tells.

        A collection that ends while this reads takes index objects away: then it is read once more.
        """
        for _ in range(8):
            without = left_out()
            names = self.names()
            catalog = self._sum(names, without)
            if not any(reason == GONE for reason in catalog.damaged.values()):
                return catalog
        return catalog

    def add(
        self, pieces: list[Piece], contents: list[Entry], gone: Mapping[str, Gone | None] | None = None
    ) -> list[str]:
        """Write new index objects; with the last of them on disk its contents are there, and what is gone is gone.

        Returns their names.
        """
        made = []
        for at in range(0, max(len(pieces), len(contents), 1), ENTRIES_MAX):
            # Pieces come with or before the contents that need them: the sum is never short of one.
            is_last = at + ENTRIES_MAX >= max(len(pieces), len(contents))
            told = Index(
                pieces[at : at + ENTRIES_MAX], contents if is_last else [], dict(gone or {}) if is_last else {}
            )
            made.append(self._put(told))
        return made

    def remove(self, names: Iterable[str]) -> None:
        """Take index objects away, the copies last."""
        gone = list(names)
        self._place.delete(INDEX + name for name in gone)
        self._place.delete(MIRROR + name for name in gone)
        for name in gone:
            self._held.pop(name, None)

    def copies(self, name: str) -> Iterator[tuple[str, Index | None, str]]:
        """Each copy: its key, what it tells or None, and why that is so."""
        for key, data, absence in read_either(self._place, (INDEX + name, MIRROR + name)):
            if data is None:
                yield key, None, absence
                continue
            told, reason = self._opened(name, data)
            if told is not None and self._kept is not None:
                self._kept.put(name, data)
            yield key, told, reason

    def mend(self, name: str) -> list[str]:
        """Write the copies that are damaged or gone again from the one that is not; returns their keys."""
        found = list(self.copies(name))
        good = next((told for _, told, _ in found if told is not None), None)
        bad = [key for key, told, _ in found if told is None]
        if good is not None:
            for key in bad:
                self._place.put(key, seal(self._root, INDEX + name, _encoded(good)))
        return bad if good is not None else []

    def _sum(self, names: dict[str, int], without: set[tuple[bytes, str]]) -> Catalog:
        catalog = Catalog()
        for name, at_ms in names.items():
            if name not in self._held and (reason := self._read(name, at_ms)):
                catalog.damaged[name] = reason
        known = sorted(names.keys() & self._held.keys())
        catalog.gone = _together(self._held[name] for name in known)
        for name in known:
            told = self._held[name]
            catalog.weights[name] = told.weight
            told = catalog.read[name] = told.without(catalog.gone[name]) if name in catalog.gone else told
            pieces = [one for one in told.pieces if (one.id, one.pack) not in without] if without else told.pieces
            catalog.pieces.update((piece.id, piece) for piece in pieces)
            catalog.contents.update((entry.digest, entry) for entry in told.contents)
        for name in self._held.keys() - names.keys():
            del self._held[name]
        if self._kept is not None:
            self._kept.keep_only(names)
        if without:
            catalog.contents = {k: entry for k, entry in catalog.contents.items() if catalog.is_whole(entry)}
        return catalog

    def _read(self, name: str, at_ms: int) -> str:
        """Hold an index object; returns why it cannot be, empty where it can."""
        reasons = []
        for told, reason in self._readings(name):
            if told is not None:
                dated = [e if e.at_ms else Entry(e.digest, e.size, e.pieces, at_ms) for e in told.contents]
                self._held[name] = Index(told.pieces, dated, told.gone)
                return ""
            reasons.append(reason)
        return reasons[0] if len(set(reasons)) == 1 else "; its copy: ".join(reasons)

    def _readings(self, name: str) -> Iterator[tuple[Index | None, str]]:
        """What this machine has kept, where it is right, then the copies of the place."""
        kept = self._kept.get(name) if self._kept is not None else None
        if kept is not None and (told := self._opened(name, kept)[0]) is not None:
            yield told, ""
        for _, told, reason in self.copies(name):
            yield told, reason

    def _opened(self, name: str, data: Bytes) -> tuple[Index | None, str]:
        """What a sealed index object tells, or why it tells nothing."""
        try:
            return _decoded(bytes(unseal(self._root, INDEX + name, data))), ""
        except (Corrupt, Denied) as problem:
            return None, str(problem).partition(": ")[2] or str(problem)
        except (ValueError, msgspec.MsgspecError, zstd.ZstdError) as problem:
            return None, f"it does not read as an index: {problem}"

    def _put(self, told: Index) -> str:
        name = secrets.token_hex(16)
        sealed = seal(self._root, INDEX + name, _encoded(told))
        for prefix in (MIRROR, INDEX):
            self._place.put(prefix + name, sealed)
        return name


def unreadable(url: str, catalog: Catalog) -> Corrupt:
    """How it is told that nobody knows what a damaged index named."""
    name, reason = min(catalog.damaged.items())
    return damaged(f"{INDEX}{name} in {url}", reason)


def _together(told: Iterable[Index]) -> dict[str, Gone | None]:
    """What is gone of each index object, by all that others say of it."""
    found: dict[str, Gone | None] = {}
    for one in told:
        for name, gone in one.gone.items():
            before = found.get(name, gone)
            found[name] = None if before is None or gone is None else before | gone
    return found


def _weight(gone: Gone | None) -> int:
    return 1 if gone is None else 1 + len(gone.digests) + len(gone.packs)


def _encoded(told: Index) -> bytes:
    packed = msgspec.msgpack.encode(told)
    return zstd.compress(packed, 3)


def _decoded(data: bytes) -> Index:
    size = zstd.get_frame_info(data).decompressed_size
    if not size or size > INDEX_BYTES_MAX:
        raise ValueError(f"it would have {size} bytes")
    return msgspec.msgpack.decode(grown(data, size), type=Index)
