"""Contents go into a store: read once, hashed, cut or stored against what was there before, packed, and then named."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

from taut.data.exchange.remote import Content
from taut.data.store.catalog import DELTA, RAW, ZSTD, Catalog, Entry, Indexes, Piece
from taut.data.store.codec import Bytes, digest_of, shrunk
from taut.data.store.leases import Lease
from taut.data.store.legacy import is_named
from taut.data.store.packs import PackWriter
from taut.data.store.pieces import Pieces
from taut.data.store.places import Place
from taut.data.store.roots import Root
from taut.data.workspace.whole import explained
from taut.errors import Conflict, Corrupt, TautError
from taut.ground.progress import Progress

if TYPE_CHECKING:
    from taut.data.store.chunks import Cutter

SMALL_BYTES = 1 << 20  # The least that is cut: up to here a file is one piece.
BUFFER_BYTES = 16 << 20
AHEAD = 2  # Buffers whose pieces are being hashed and compressed while the next is read.
COMMIT_BYTES = 1 << 30  # So much is named at a time: a push that is killed goes on from there.
TOLD_MAX = 3

Encoded = list[tuple[bytes, int, Bytes | None, int]]


class Push:
    """One push: what it adds is there when `end` returns, or after every COMMIT_BYTES."""

    def __init__(self, place: Place, root: Root, indexes: Indexes, catalog: Catalog, lease: Lease) -> None:
        self._place, self._root, self._indexes, self._lease = place, root, indexes, lease
        self._catalog = catalog
        self._writer = PackWriter(place, root)
        self._workers = ThreadPoolExecutor(os.cpu_count() or 1, "taut-encode")
        self._hashing = ThreadPoolExecutor(1, "taut-md5")
        self._entries: list[Entry] = []
        self._uncommitted = 0
        self._are_readable = True
        self._cutter: Cutter | None = None

    def run(self, contents: Sequence[Content], bar: Progress) -> None:
        """Store contents. Raises Corrupt at the end for those that are not what their digests say."""
        wrong: list[str] = []
        try:
            for content in contents:
                if content.digest in self._catalog.contents:
                    bar.advance(content.size_bytes)
                    continue
                if not self._store(content, bar):
                    wrong.append(f"{content.path} is not {content.digest}")
                if self._uncommitted >= COMMIT_BYTES:
                    self._commit()
            self._commit()
        finally:
            self._hashing.shutdown(wait=True, cancel_futures=True)
            self._workers.shutdown(wait=True, cancel_futures=True)
            self._writer.end()
        if wrong:
            more = f", and {len(wrong) - TOLD_MAX} more" if len(wrong) > TOLD_MAX else ""
            raise Corrupt(f"not stored: {', '.join(wrong[:TOLD_MAX])}{more}")

    def _store(self, content: Content, bar: Progress) -> bool:
        """Whether the file was what its digest says; then its pieces are stored and it will be named."""
        try:
            with content.path.open("rb", buffering=0) as stream:
                size = os.fstat(stream.fileno()).st_size
                hashed = hashlib.md5(usedforsecurity=False)
                pieces = list(self._pieces(content, stream, size, hashed, bar))
            if not is_named(str(content.path), hashed.hexdigest(), content.digest):
                return False
        except OSError as problem:
            raise explained(problem, content.path, "read") from None
        entry = Entry(content.digest, sum(piece.size for piece in pieces), tuple(piece.id for piece in pieces))
        self._entries.append(entry)
        self._catalog.contents[entry.digest] = entry
        return True

    def _pieces(
        self, content: Content, stream: BinaryIO, size: int, hashed: "hashlib._Hash", bar: Progress
    ) -> Iterator[Piece]:
        entry = self._catalog.contents.get(content.ancestor)
        if entry is not None and size and entry.size and self._catalog.is_whole(entry):
            yield from self._from_ancestor(content, entry, stream, size, hashed, bar)
        elif size <= SMALL_BYTES:
            data = stream.read()
            hashed.update(data)
            if data:
                yield self._whole(data)
            bar.advance(len(data))
        else:
            yield from self._cut(stream, hashed, bar)

    def _whole(self, data: bytes) -> Piece:
        """A piece of its own."""
        return self._add(*_encoded(data, self._root.name_key, self._catalog))

    def _cut(self, stream: BinaryIO, hashed: "hashlib._Hash", bar: Progress) -> Iterator[Piece]:
        """Pieces cut by what is in the file. Reading, MD5, hashing, compressing and writing overlap."""
        buffers = [bytearray(BUFFER_BYTES) for _ in range(AHEAD + 1)]
        pending: list[tuple[Future[Encoded], Future[None]]] = []
        left = b""
        for turn in range(1 << 62):
            if len(pending) > AHEAD - 1:
                yield from self._taken(*pending.pop(0), bar)
            buffer = buffers[turn % len(buffers)]
            buffer[: len(left)] = left
            filled = len(left) + _read_into(stream, memoryview(buffer)[len(left) :])
            fresh, is_end = len(left), filled < BUFFER_BYTES
            view = memoryview(buffer)[:filled]
            hashing = self._hashing.submit(hashed.update, view[fresh:])
            ends = list(self._cuts(view, is_end=is_end))
            parts = [view[start:end] for start, end in zip([0, *ends], ends, strict=False)]
            pending.append((self._workers.submit(self._all_encoded, parts), hashing))
            left = bytes(view[ends[-1] if ends else 0 :])
            if is_end:
                break
        for encoding, hashing in pending:
            yield from self._taken(encoding, hashing, bar)

    def _from_ancestor(
        self, content: Content, entry: Entry, stream: BinaryIO, size: int, hashed: "hashlib._Hash", bar: Progress
    ) -> Iterator[Piece]:
        from taut.data.store.deltas import Ancestor, against, stretches

        self._make_readable()
        pieces = Pieces(self._place, self._root, self._catalog)
        try:
            ancestor = Ancestor(entry, content.ancestor_path, self._catalog, pieces, self._root)
            for data, base in stretches(stream, size, ancestor, self._cut_by()):
                hashing = self._hashing.submit(hashed.update, data)
                found = against(data, ancestor, base, self._root, self._workers)
                if found is not None:
                    yield self._add(found.id, len(data), found.data, DELTA, depth=found.depth, base=found.base)
                elif len(data) <= SMALL_BYTES:
                    yield self._whole(data)
                else:
                    ends = list(self._cuts(data, is_end=True))
                    view = memoryview(data)
                    parts = [view[start:end] for start, end in zip([0, *ends], ends, strict=False)]
                    for one in self._all_encoded(parts):
                        yield self._add(*one)
                hashing.result()
                bar.advance(len(data))
        finally:
            pieces.end()

    def _taken(self, encoding: Future[Encoded], hashing: Future[None], bar: Progress) -> Iterator[Piece]:
        """The pieces of a buffer, packed; it may be filled again after this."""
        for one in encoding.result():
            yield self._add(*one)
            bar.advance(one[1])
        hashing.result()

    def _add(
        self, id_: bytes, size: int, data: Bytes | None, form: int, *, depth: int = 0, base: tuple[bytes, ...] = ()
    ) -> Piece:
        known = self._catalog.pieces.get(id_)
        if known is not None:
            return known
        assert data is not None, id_
        piece = self._writer.add(id_, size, data, form, depth=depth, base=base)
        self._catalog.pieces[id_] = piece
        self._uncommitted += len(data)
        self._are_readable = False
        return piece

    def _all_encoded(self, parts: list[memoryview]) -> Encoded:
        return [_encoded(part, self._root.name_key, self._catalog) for part in parts]

    def _cuts(self, data: Bytes, *, is_end: bool) -> Iterator[int]:
        return self._cut_by().cuts(data, is_end=is_end)

    def _cut_by(self) -> "Cutter":
        if self._cutter is None:
            from taut.data.store.chunks import Cutter

            self._cutter = Cutter(self._root.cut_key)
        return self._cutter

    def _make_readable(self) -> None:
        """Have on disk what a delta may be against."""
        if not self._are_readable:
            self._commit()

    def _commit(self) -> None:
        """Name what is stored. Raises Conflict where this process stood still and a collection may have run."""
        pieces = self._writer.flush()
        entries, self._entries = self._entries, []
        self._uncommitted, self._are_readable = 0, True
        if not pieces and not entries:
            return
        self._lease.check()
        made = self._indexes.add(pieces, entries)
        try:
            self._lease.check()
        except Conflict:
            with suppress(TautError):
                self._indexes.remove(made)
            raise


def _encoded(data: Bytes, key: bytes, catalog: Catalog) -> tuple[bytes, int, Bytes | None, int]:
    """A piece as it is stored, None where the store has it already."""
    id_ = digest_of(data, key)
    if id_ in catalog.pieces:
        return id_, len(data), None, RAW
    small = shrunk(data)
    return (id_, len(data), small, ZSTD) if small is not None else (id_, len(data), data, RAW)


def _read_into(stream: BinaryIO, buffer: memoryview) -> int:
    done = 0
    while done < len(buffer) and (count := stream.readinto(buffer[done:])):  # type: ignore[attr-defined]  # A raw file.
        done += count
    return done
