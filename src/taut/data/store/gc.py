"""What nothing keeps is removed beside running writers, and packs that are mostly holes are written again.

1. A mark is put that condemns the pieces which only unkept contents need. Writers that come after it store them anew.
2. The writers that were there before are waited for; what they added, or were told to be there, is kept.
3. One new index names what is left; then the old ones go, then the packs. A kill anywhere leaves the old or the new.
"""

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from taut.data.store.catalog import Catalog, Entry, Indexes, Piece, unreadable
from taut.data.store.leases import LEASES, MARKS, Lease, held, living, mark, promised
from taut.data.store.packs import PACK_BYTES, PACKS, PackReader, PackWriter, pack_key, pack_name
from taut.data.store.places import Place
from taut.data.store.roots import Root
from taut.errors import Conflict, Corrupt, Denied, NotFound

HOLES = 0.3  # Of a pack: more than that, and what is left of it is packed again.
SMALL_BYTES = PACK_BYTES // 8  # Packs below that are put together where there are some of them.
SMALL_MANY = 8
INDEXES_MANY = 8
POLL_S = 0.2

Drops = Callable[[Entry, int], bool]


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection removed: contents, and bytes of packs, those that were written anew already taken off."""

    contents: int = 0
    packs: int = 0
    rewritten: int = 0
    freed_bytes: int = 0


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
    if not (dropped or plan.gone or plan.thin or len(catalog.read) >= INDEXES_MANY):
        return Collected()
    moved = repacked(place, root, [piece for piece in plan.pieces.values() if piece.pack in plan.thin])
    stay = {piece.pack for piece in plan.pieces.values() if piece.id not in moved}
    rewritten = plan.thin - stay
    plan.pieces.update(moved)
    lease.check()
    indexes.add(list(plan.pieces.values()), plan.contents)
    lease.check()
    indexes.remove(list(catalog.read))
    place.delete(pack_key(name) for name in plan.gone | rewritten)
    freed = sum(sizes[name] for name in plan.gone | rewritten) - sum(piece.stored for piece in moved.values())
    return Collected(dropped, len(plan.gone), len(rewritten), max(0, freed))


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
