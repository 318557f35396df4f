"""Packs: stored pieces one after another in sealed objects of some MiB, written in the background, read by range."""

import secrets
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from taut.data.store.catalog import Piece
from taut.data.store.codec import Bytes
from taut.data.store.places import Place
from taut.data.store.roots import Root
from taut.data.store.seal import (
    FRAME_BYTES,
    HEADER_BYTES,
    Header,
    damaged,
    frames_around,
    open_frames,
    read_header,
    seal_into,
    sealed_size,
    unseal_into,
)
from taut.errors import Corrupt

PACKS = "packs/"
PACK_BYTES = 32 << 20  # One request and one sync each: a file of 2 GB is 64 of them, 20,000 small files are 3.
BUFFERS = 2  # One is filled while the other is sealed and written.
WHOLE_SHARE = 4  # Of a pack of which a quarter is needed, all is fetched in one request.
PACKS_HELD = 3


def pack_key(name: str) -> str:
    """Where a pack lies. Its name is chance: it tells nothing."""
    return f"{PACKS}{name[:2]}/{name[2:]}"


def pack_name(key: str) -> str:
    """The name of the pack at a key."""
    return key.removeprefix(PACKS).replace("/", "")


class PackWriter:
    """Collects stored pieces and writes packs; a failure in the background is raised by the next call."""

    def __init__(self, place: Place, root: Root) -> None:
        self._place, self._root = place, root
        self._pool = ThreadPoolExecutor(1, "taut-pack")
        self._free: SimpleQueue[tuple[bytearray, bytearray]] = SimpleQueue()
        self._made = 0
        self._buffers: tuple[bytearray, bytearray] | None = None
        self._name, self._filled = "", 0
        self._held: list[Piece] = []
        self._waiting: list[tuple[Future[None], list[Piece]]] = []
        self._done: list[Piece] = []

    def add(
        self, id_: bytes, size: int, data: Bytes, form: int, *, depth: int = 0, base: tuple[bytes, ...] = ()
    ) -> Piece:
        """Take a stored piece; what it lies in may be used again when this returns."""
        length = len(data)
        if self._filled and self._filled + length > PACK_BYTES:
            self._close()
        if self._buffers is None:
            self._buffers = self._buffer(length)
            self._name = secrets.token_hex(16)
        plain = self._buffers[0]
        if len(plain) < length:  # One large delta has a pack for itself.
            plain.extend(bytes(length - len(plain)))
        with memoryview(plain) as view:  # Of a slice of the array itself a copy would be made first.
            view[self._filled : self._filled + length] = data
        piece = Piece(id_, size, self._name, self._filled, length, form, depth, base)  # type: ignore[arg-type]  # One of the three.
        self._held.append(piece)
        self._filled += length
        return piece

    def flush(self) -> list[Piece]:
        """Have all packs on disk; returns the pieces that came there since the last time."""
        self._close()
        for future, pieces in self._waiting:
            future.result()
            self._done += pieces
        self._waiting = []
        done, self._done = self._done, []
        return done

    def end(self) -> None:
        """Let go of the worker; what was not flushed is no part of the store."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _close(self) -> None:
        if self._buffers is not None:
            future = self._pool.submit(self._write, self._name, self._buffers, self._filled)
            self._waiting.append((future, self._held))
        self._buffers, self._held, self._filled = None, [], 0
        while self._waiting and self._waiting[0][0].done():
            future, pieces = self._waiting.pop(0)
            future.result()
            self._done += pieces

    def _buffer(self, length: int) -> tuple[bytearray, bytearray]:
        if self._made < BUFFERS:
            self._made += 1
            return bytearray(max(PACK_BYTES, length)), bytearray(sealed_size(PACK_BYTES))
        return self._free.get()

    def _write(self, name: str, buffers: tuple[bytearray, bytearray], filled: int) -> None:
        plain, sealed = buffers
        try:
            if len(sealed) < sealed_size(filled):
                sealed.extend(bytes(sealed_size(filled) - len(sealed)))
            with memoryview(plain) as source, memoryview(sealed) as out:
                key = pack_key(name)
                length = seal_into(self._root, key, source[:filled], out)
                self._place.put(key, out[:length])
        finally:
            if len(plain) > PACK_BYTES:
                buffers = bytearray(PACK_BYTES), bytearray(sealed_size(PACK_BYTES))
            self._free.put(buffers)


class PackReader:
    """Reads stored pieces: whole packs, the next fetched ahead, where much of them is needed, else frames of them."""

    def __init__(self, place: Place, root: Root, wanted: Iterable[Piece] = ()) -> None:
        """`wanted` are the pieces that will be asked for, in about their order."""
        self._place, self._root = place, root
        needed: dict[str, int] = {}
        for piece in wanted:
            needed[piece.pack] = needed.get(piece.pack, 0) + piece.stored
        self._order = [name for name, stored in needed.items() if stored >= PACK_BYTES // WHOLE_SHARE]
        self._turn = {name: turn for turn, name in enumerate(self._order)}
        self._held: OrderedDict[str, Future[tuple[bytearray, memoryview]]] = OrderedDict()
        self._sealed: bytearray | None = None
        self._spare: list[bytearray] = []
        self._headers: dict[str, Header] = {}
        self._pool = ThreadPoolExecutor(1, "taut-fetch")

    def stored(self, piece: Piece) -> memoryview:
        """What was stored of a piece, verified. Raises NotFound or Corrupt.

        It lies in memory that is used again: it is valid until some more pieces are asked for.
        Of a pack that is damaged somewhere else the piece still comes, by its frames alone.
        """
        if piece.pack in self._turn:
            try:
                found = self._whole(piece.pack)[piece.at : piece.at + piece.stored]
            except Corrupt:
                found = self._range(piece)
        else:
            found = self._range(piece)
        if len(found) != piece.stored:
            raise damaged(pack_key(piece.pack), f"it ends before {piece.at + piece.stored} bytes")
        return found

    def end(self) -> None:
        """Let go of the worker."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _whole(self, name: str) -> memoryview:
        turn = self._turn[name]
        for one in self._order[turn : turn + 2]:  # The next comes while this one is used.
            if one not in self._held:
                self._held[one] = self._pool.submit(self._fetch, one)
        future = self._held[name]
        self._held.move_to_end(name)
        while len(self._held) > PACKS_HELD:
            _, used = self._held.popitem(last=False)
            if used.done() and not used.exception():
                self._spare.append(used.result()[0])
        return future.result()[1]

    def _fetch(self, name: str) -> tuple[bytearray, memoryview]:
        key = pack_key(name)
        if self._sealed is None:
            self._sealed = bytearray(sealed_size(PACK_BYTES))
        sealed = self._place.read(key, into=self._sealed)
        buffer = self._spare.pop() if self._spare else bytearray(PACK_BYTES)
        return buffer, unseal_into(self._root, key, sealed, buffer)

    def _range(self, piece: Piece) -> memoryview:
        key = pack_key(piece.pack)
        header = self._headers.get(key)
        if header is None:
            head = self._place.read(key, 0, HEADER_BYTES)
            header = self._headers[key] = read_header(self._root, key, head)
        if piece.at + piece.stored > header.size_bytes:
            raise damaged(key, f"it holds {header.size_bytes} bytes and should hold more")
        first, start, end = frames_around(header, piece.at, piece.stored)
        sealed = memoryview(self._place.read(key, start, end - start))
        if len(sealed) != end - start:
            raise damaged(key, f"it ends before {end} bytes")
        out = memoryview(bytearray(len(sealed)))
        done = open_frames(header, first, sealed, out)
        begin = piece.at - first * FRAME_BYTES
        return out[begin : min(done, begin + piece.stored)]
