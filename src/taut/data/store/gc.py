"""What nothing keeps is removed beside running writers, and packs that are mostly holes are written again.

1. A mark is put that condemns the pieces which only unkept contents need. Writers that come after it store them anew.
2. The writers that were there before are waited for; what they added, or were told to be there, is kept.
3. A new index says what of the others is gone, and names what is left of some; then these go, then the packs. A kill
   anywhere leaves the old or the new.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from taut.data.store.catalog import Catalog, Entry, Gone, Index, Indexes, Piece, unreadable
from taut.data.store.leases import LEASES, MARKS, Lease, held, living, mark, promised
from taut.data.store.packs import PACK_BYTES, PACKS, PackReader, PackWriter, pack_key, pack_name
from taut.data.store.places import Place
from taut.data.store.roots import SEGMENTS, Root
from taut.errors import Conflict, Corrupt, Denied, NotFound

HOLES = 0.3  # Of a pack: more than that, and what is left of it is packed again.
SMALL_BYTES = PACK_BYTES // 8  # Packs below that are put together where there are some of them.
SMALL_MANY = 8
INDEXES_MANY = 8
LITTLE = 0.5  # Of an index object: with less than that left it is written again.
POLL_S = 0.2

Drops = Callable[[Entry, int], bool]


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed: contents, and bytes of packs, those that were written anew already taken off."""

    contents: int = 0
    packs: int = 0
    rewritten: int = 0
    freed_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Change:
    """A new index object, and the names of those that it stands for."""

    pieces: list[Piece]
    contents: list[Entry]
    gone: dict[str, Gone | None]
    replaced: set[str]


@dataclass(slots=True)
class _Plan:
    """What is left, and which packs hold none of it or little."""

    contents: list[Entry]
    pieces: dict[bytes, Piece]
    gone: set[str]
    thin: set[str]


def collect(
    place: Place, root: Root, indexes: Indexes, drops: Drops, *, young_ms: int, patience_s: float, is_ordered: bool
) -> Collected:
    """Remove the contents that `drops` says, given each and the time of the place, and the bytes nobody needs then.

    With `is_ordered` they go although somebody was told of them or is pushing; then only the bytes wait for the next
    time. Raises Conflict where another collection runs, or writers do not end in time; Corrupt where an index is
    damaged, for nobody knows what that names.
    """
    with held(place, root, MARKS) as lease:
        now_ms = lease.now_ms()
        if len(living(place, MARKS, now_ms)) > 1:
            raise Conflict(
                f"something else is collecting or repairing in {place.url}", hint="try again when it is done"
            )
        sizes = {pack_name(found.key): found.size_bytes for found in place.found(PACKS)}
        first = _whole(place, indexes)
        kept = [entry for entry in first.contents.values() if not drops(entry, now_ms)]
        needed = first.needed(kept)
        lease.put(mark({(id_, piece.pack) for id_, piece in first.pieces.items() if id_ not in needed}))
        writers = {found.key for found in living(place, LEASES, now_ms)}
        are_done = _wait(place, lease, writers, patience_s)
        if not are_done and not is_ordered:
            raise Conflict(f"{len(writers)} are pushing to {place.url}", hint="collect again when they are done")
        last = _whole(place, indexes)
        told = set() if is_ordered else promised(place, root, 0 if writers else now_ms - young_ms)
        kept = [
            entry for entry in last.contents.values()
            if entry.digest not in first.contents or entry.digest in told or not drops(entry, now_ms)
        ]  # fmt: skip
        plan = _plan(last, kept, sizes, may_remove=are_done)
        return _carried_out(place, root, indexes, lease, last, plan, sizes)


def _whole(place: Place, indexes: Indexes) -> Catalog:
    catalog = indexes.load()
    if catalog.damaged:
        raise unreadable(place.url, catalog)
    return catalog


def _wait(place: Place, lease: Lease, writers: Collection[str], patience_s: float) -> bool:
    """Whether all writers that were there have ended."""
    end = time.monotonic() + patience_s
    pause = threading.Event()
    while writers:
        writers = {found.key for found in living(place, LEASES, lease.now_ms())} & set(writers)
        if writers and time.monotonic() >= end:
            return False
        if writers:
            pause.wait(POLL_S)
    return True


def _plan(catalog: Catalog, kept: list[Entry], sizes: dict[str, int], *, may_remove: bool) -> _Plan:
    needed = catalog.needed(kept) if may_remove else set(catalog.pieces)
    pieces = {id_: piece for id_, piece in catalog.pieces.items() if id_ in needed}
    live: dict[str, int] = {}
    for piece in pieces.values():
        live[piece.pack] = live.get(piece.pack, 0) + piece.stored
    if not may_remove:
        return _Plan(kept, pieces, set(), set())
    small = {name for name, stored in live.items() if stored < SMALL_BYTES}
    holed = {name for name, stored in live.items() if stored < (1 - HOLES) * sizes.get(name, 0)}
    # What was pushed meanwhile is not in `sizes`, and stays as it is.
    thin = (holed | (small if len(small) >= SMALL_MANY else set())) & sizes.keys()
    return _Plan(kept, pieces, sizes.keys() - live.keys(), thin)


def _carried_out(
    place: Place, root: Root, indexes: Indexes, lease: Lease, catalog: Catalog, plan: _Plan, sizes: dict[str, int]
) -> Collected:
    dropped = len(catalog.contents) - len(plan.contents)
    kept = {entry.digest for entry in plan.contents}
    if not (dropped or plan.gone or plan.thin or _merged(catalog.read) or _void(catalog)):
        return Collected()
    moved = repacked(place, root, [piece for piece in plan.pieces.values() if piece.pack in plan.thin])
    stay = {piece.pack for piece in plan.pieces.values() if piece.id not in moved}
    rewritten = plan.thin - stay
    plan.pieces.update(moved)
    change = _change(catalog, plan, kept, plan.gone | rewritten, is_whole=root.version < SEGMENTS)
    lease.check()
    indexes.add([*change.pieces, *moved.values()], change.contents, change.gone)
    lease.check()
    indexes.remove(change.replaced)
    place.delete(pack_key(name) for name in plan.gone | rewritten)
    freed = sum(sizes[name] for name in plan.gone | rewritten) - sum(piece.stored for piece in moved.values())
    return Collected(dropped, len(plan.gone), len(rewritten), max(0, freed))


def _change(catalog: Catalog, plan: _Plan, kept: set[str], gone_packs: set[str], *, is_whole: bool) -> _Change:
    """What a new index object says: of most others only what of them is gone; what is left of some, which it replaces.

    Those are the ones of which little is left, and many of about the same weight: so each entry is written again about
    as often as the number of entries has digits. With `is_whole`, in a store of the first version, it is all of them.
    """
    left: dict[str, Index] = {}
    gone: dict[str, Gone | None] = {}
    for name, told in catalog.read.items():
        lost = Gone({e.digest for e in told.contents} - kept, {p.pack for p in told.pieces} & gone_packs)
        left[name] = told.without(lost)
        if lost.digests or lost.packs:
            gone[name] = lost
    thin = {name for name, told in left.items() if told.weight < LITTLE * catalog.weights[name]}
    replaced = set(left) if is_whole else _merged(left) | thin | _void(catalog)
    for name in {name for one in replaced for name in left[one].gone} & left.keys():
        if (said := catalog.gone[name]) is not None:  # Whoever said so goes.
            gone[name] = said | (gone.get(name) or Gone(set(), set()))
    pieces, contents = dict[bytes, Piece](), dict[str, Entry]()
    for name in replaced:
        contents.update((entry.digest, entry) for entry in left[name].contents)
        at = {one.id: one for one in left[name].pieces if plan.pieces.get(one.id) == one}
        pieces.update(at)
    return _Change(
        list(pieces.values()), list(contents.values()), {} if is_whole else gone | dict.fromkeys(replaced), replaced
    )


def _void(catalog: Catalog) -> set[str]:
    """The index objects of which nothing counts any more, and which a collection that was killed left."""
    return {name for name in catalog.read if name in catalog.gone and catalog.gone[name] is None}


def _merged(told: Mapping[str, Index]) -> set[str]:
    """The index objects that are put together: many of about the same weight."""
    ranks: dict[int, set[str]] = {}
    for name, one in told.items():
        ranks.setdefault(one.weight.bit_length() // 3, set()).add(name)
    return {name for names in ranks.values() if len(names) >= INDEXES_MANY for name in names}


def repacked(place: Place, root: Root, pieces: list[Piece]) -> dict[bytes, Piece]:
    """Put stored pieces into new packs, as they are; returns where each is now. One that is damaged stays behind."""
    pieces = sorted(pieces, key=lambda piece: (piece.pack, piece.at))
    writer, reader = PackWriter(place, root), PackReader(place, root, pieces)
    try:
        for piece in pieces:
            try:
                data = reader.stored(piece)
            except (Corrupt, Denied, NotFound):
                continue  # fsck names it, and repair brings it back.
            writer.add(piece.id, piece.size, data, piece.form, depth=piece.depth, base=piece.base)
        return {piece.id: piece for piece in writer.flush()}
    finally:
        reader.end()
        writer.end()
