"""Reading all of a store: each damaged object by its name, and what depends on it; and bringing that back."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from taut.data.store.catalog import DELTA, INDEX, RAW, ZSTD, Catalog, Entry, Indexes, Piece
from taut.data.store.codec import digest_of, shrunk
from taut.data.store.gc import repacked
from taut.data.store.leases import LEASES, MARKS, PROMISES, held, living
from taut.data.store.packs import PACKS, PackWriter, pack_key, pack_name
from taut.data.store.pieces import Pieces
from taut.data.store.places import GONE, Place
from taut.data.store.roots import SEGMENTS, Root
from taut.data.store.seal import unseal
from taut.errors import Conflict, Corrupt, Denied, NotFound
from taut.ground.progress import Progress

Source = Callable[[str], Path | None]


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged object, or a content that lacks one; `contents` are the digests that cannot be had because of it.

    Of a damaged index whose copy is damaged too nobody knows what it named.
    """

    object: str
    reason: str
    contents: tuple[str, ...] = ()


@dataclass(slots=True)
class Checked:
    """What a check read, and what it found.

    `unnamed` are packs that nothing names, which the next collection takes; `single` are indexes of which only the copy
    is there, as a kill leaves them: nothing is lost, and repair writes them again.
    """

    objects: int = 0
    contents: int = 0
    damages: list[Damage] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    single: list[str] = field(default_factory=list)
    bad_pieces: set[bytes] = field(default_factory=set)
    bad_packs: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did: objects written again, contents that are whole again, and those that are not there any more.

    Those are told to be missing from now on, so that a push stores them again.
    """

    mended: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def check(place: Place, root: Root, indexes: Indexes, bar: Progress) -> Checked:
    """Read and verify every object. Raises Unavailable or Denied where the place does not let us."""
    checked = Checked()
    _check_indexes(indexes, checked)
    _check_notes(place, root, checked)
    catalog = indexes.load()
    reasons = _check_packs(place, root, catalog, checked, bar)
    checked.contents = len(catalog.contents)
    broken = _broken(catalog, checked)
    for name, reason in sorted(reasons.items()):
        within = {id_ for id_, piece in catalog.pieces.items() if piece.pack == name and id_ in checked.bad_pieces}
        hit = [e.digest for e in broken if within & catalog.needed([e])]
        checked.damages.append(Damage(pack_key(name), reason, tuple(sorted(hit))))
    for entry in broken:
        unknown = catalog.needed([entry]) - catalog.pieces.keys()
        if unknown:
            reason = f"{len(unknown)} of its pieces are in no index"
            checked.damages.append(Damage(f"content {entry.digest}", reason, (entry.digest,)))
    return checked


def repair(place: Place, root: Root, indexes: Indexes, source: Source, bar: Progress) -> Repaired:
    """Write damaged objects again: from their copies, from what is whole in them, from files that `source` gives.

    A file is believed piece by piece, by the names of the pieces. Raises Conflict where a collection runs.
    """
    with held(place, root, MARKS) as lease:
        if len(living(place, MARKS, lease.now_ms())) > 1:
            raise Conflict(
                f"something else is collecting or repairing in {place.url}", hint="try again when it is done"
            )
        mended = [key for name in list(indexes.names()) for key in indexes.mend(name)]
        checked = check(place, root, indexes, bar)
        catalog = indexes.load()
        hopeless = list(catalog.damaged)
        broken = _broken(catalog, checked)
        if not (hopeless or broken or checked.bad_packs):
            return Repaired(tuple(mended))
        bad = checked.bad_pieces | (catalog.needed(broken) - catalog.pieces.keys())
        whole = [p for p in catalog.pieces.values() if p.pack in checked.bad_packs and p.id not in bad]
        pieces = {id_: piece for id_, piece in catalog.pieces.items() if id_ not in bad}
        pieces.update(repacked(place, root, whole))
        pieces.update(_restored(place, root, catalog, broken, bad, source))
        after = Catalog(pieces, catalog.contents)
        kept = [entry for entry in catalog.contents.values() if after.is_whole(entry)]
        lost = catalog.contents.keys() - {entry.digest for entry in kept}
        lease.check()
        old = [*catalog.read, *hopeless]
        indexes.add(list(pieces.values()), kept, dict.fromkeys(old) if root.version >= SEGMENTS else None)
        lease.check()
        indexes.remove(old)
        place.delete(pack_key(name) for name in checked.bad_packs)
        restored = sorted({entry.digest for entry in broken} - lost)
        mended += [pack_key(name) for name in sorted(checked.bad_packs)]
        return Repaired(tuple(mended), tuple(restored), (*sorted(lost), *(INDEX + name for name in hopeless)))


def _check_indexes(indexes: Indexes, checked: Checked) -> None:
    for name in indexes.names():
        (key, told, reason), (copy_key, copy, copy_reason) = indexes.copies(name)
        checked.objects += 2
        if told is None and reason == GONE and copy is not None:
            checked.single.append(key)
        elif told is None:
            checked.damages.append(Damage(key, reason))
        if copy is None:
            checked.damages.append(Damage(copy_key, copy_reason))


def _check_notes(place: Place, root: Root, checked: Checked) -> None:
    """Leases, marks and promises, some of which go while they are looked at."""
    for prefix in (LEASES, MARKS, PROMISES):
        for found in list(place.found(prefix)):
            try:
                unseal(root, found.key, place.read(found.key))
                checked.objects += 1
            except NotFound:
                continue
            except (Corrupt, Denied) as problem:
                checked.damages.append(Damage(found.key, _reason(problem)))


def _check_packs(place: Place, root: Root, catalog: Catalog, checked: Checked, bar: Progress) -> dict[str, str]:
    """What is wrong with which pack: each is read as a whole, then the deltas are put together, bases first."""
    named: dict[str, list[Piece]] = {}
    for piece in catalog.pieces.values():
        named.setdefault(piece.pack, []).append(piece)
    there = {pack_name(found.key) for found in place.found(PACKS)}
    checked.unnamed = sorted(pack_key(name) for name in there - named.keys())
    reasons: dict[str, str] = {}
    reader = Pieces(place, root, catalog)
    try:
        for name, pieces in sorted(named.items()):
            checked.objects += 1
            try:
                data = memoryview(unseal(root, pack_key(name), place.read(pack_key(name))))
            except NotFound:
                reasons[name] = GONE
            except (Corrupt, Denied) as problem:
                reasons[name] = _reason(problem)
            for piece in sorted(pieces, key=lambda piece: piece.at):
                try:
                    # Of a damaged pack each piece is tried for itself.
                    stored = reader.stored(piece) if name in reasons else data[piece.at : piece.at + piece.stored]
                    if piece.form != DELTA:
                        reader.grown(piece, stored)
                    bar.advance(piece.stored)
                except (Corrupt, NotFound, Denied) as problem:
                    checked.bad_pieces.add(piece.id)
                    reasons.setdefault(name, _reason(problem))
        for piece in sorted((p for p in catalog.pieces.values() if p.form == DELTA), key=lambda piece: piece.depth):
            if _closure(piece.id, catalog) & checked.bad_pieces:
                continue  # Told already, or not its own fault.
            try:
                reader.base(piece.id)
            except (Corrupt, NotFound, Denied) as problem:
                checked.bad_pieces.add(piece.id)
                reasons.setdefault(piece.pack, _reason(problem))
    finally:
        reader.end()
    checked.bad_packs |= reasons.keys()
    return reasons


def _broken(catalog: Catalog, checked: Checked) -> list[Entry]:
    """The contents that need a piece which is bad or unknown."""
    bad = checked.bad_pieces
    found = []
    for entry in catalog.contents.values():
        needed = catalog.needed([entry])
        if needed & bad or not needed <= catalog.pieces.keys():
            found.append(entry)
    return found


def _restored(
    place: Place, root: Root, catalog: Catalog, broken: list[Entry], bad: set[bytes], source: Source
) -> dict[bytes, Piece]:
    """The pieces of broken contents that the source's files have, stored again, whole."""
    writer = PackWriter(place, root)
    made: set[bytes] = set()
    try:
        for entry in broken:
            path = source(entry.digest)
            if path is None:
                continue
            for id_, data in _slices(path, entry, catalog):
                if id_ in made or not _closure(id_, catalog) & bad or digest_of(data, root.name_key) != id_:
                    continue
                made.add(id_)
                small = shrunk(data)
                writer.add(id_, len(data), data if small is None else small, RAW if small is None else ZSTD)
        return {piece.id: piece for piece in writer.flush()}
    finally:
        writer.end()


def _slices(path: Path, entry: Entry, catalog: Catalog) -> Iterator[tuple[bytes, bytes]]:
    """The pieces of a content as a file has them, as far as the sizes of the pieces are known."""
    try:
        with path.open("rb") as stream:
            for id_ in entry.pieces:
                if id_ not in catalog.pieces:
                    return
                yield id_, stream.read(catalog.pieces[id_].size)
    except OSError:
        return  # What cannot be read restores nothing, and the content is told as lost.


def _closure(id_: bytes, catalog: Catalog) -> set[bytes]:
    """A piece and all that it is a delta against."""
    return catalog.needed([Entry("", 0, (id_,))])


def _reason(problem: Corrupt | Denied | NotFound) -> str:
    return problem.message.partition(" is damaged: ")[2] or problem.message
