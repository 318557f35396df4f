"""Pieces come back: stored bytes grown, put together with what they are a delta against, held against their name."""

from collections import OrderedDict
from collections.abc import Iterable

from taut.data.store.catalog import DELTA, RAW, Catalog, Piece
from taut.data.store.codec import Bytes, digest_of, grown, joined, undelta, zstd
from taut.data.store.packs import PackReader, pack_key
from taut.data.store.places import Place
from taut.data.store.roots import Root
from taut.data.store.seal import damaged
from taut.errors import Corrupt

HELD_BYTES = 512 << 20  # Of pieces that deltas are against: neighbours of a long file share theirs.


class Pieces:
    """Reads pieces of one catalog; each is verified each time it comes from the store."""

    def __init__(self, place: Place, root: Root, catalog: Catalog, wanted: Iterable[bytes] = ()) -> None:
        """`wanted` are the pieces that will be asked for, in order: the packs they lie in are fetched ahead."""
        self._root, self._catalog = root, catalog
        self._packs = PackReader(place, root, self._with_bases(wanted))
        self._bases: OrderedDict[bytes, bytes] = OrderedDict()
        self._bases_bytes = 0

    def piece(self, id_: bytes) -> Bytes:
        """A piece, held against its name; valid until the next is asked for.

        Raises NotFound where its pack is gone, Corrupt where it is not itself.
        """
        piece = self._catalog.pieces.get(id_)
        if piece is None:
            raise Corrupt(f"no index names the piece {id_.hex()[:16]}")
        return self.grown(piece, self._packs.stored(piece))

    def stored(self, piece: Piece) -> Bytes:
        """What is stored of a piece. Raises as `piece`."""
        return self._packs.stored(piece)

    def grown(self, piece: Piece, data: Bytes) -> Bytes:
        """The piece that some stored bytes stand for, held against its name. Raises as `piece`."""
        try:
            if piece.form == DELTA:
                data = bytes(data)  # For what it lies in may be used again for a base.
                data = undelta(data, joined(self.base(one) for one in piece.base), piece.size)
            elif piece.form != RAW:
                data = grown(data, piece.size)
        except (ValueError, zstd.ZstdError) as problem:
            raise damaged(pack_key(piece.pack), f"the piece at {piece.at} does not decompress: {problem}") from None
        if len(data) != piece.size or digest_of(data, self._root.name_key) != piece.id:
            raise damaged(pack_key(piece.pack), f"the piece at {piece.at} is not what was stored")
        return data

    def base(self, id_: bytes) -> bytes:
        """A piece that a delta is against, held a while for the next. Raises as `piece`."""
        if (held := self._bases.get(id_)) is not None:
            self._bases.move_to_end(id_)
            return held
        data = bytes(self.piece(id_))
        self._bases[id_] = data
        self._bases_bytes += len(data)
        while self._bases_bytes > HELD_BYTES and len(self._bases) > 1:
            self._bases_bytes -= len(self._bases.popitem(last=False)[1])
        return data

    def end(self) -> None:
        """Let go of what was fetched."""
        self._packs.end()
        self._bases.clear()

    def _with_bases(self, wanted: Iterable[bytes]) -> Iterable[Piece]:
        """The pieces and all that they are deltas against, each once, bases first."""
        seen: set[bytes] = set()
        for one in wanted:
            chain = [one]
            found: list[Piece] = []
            while chain:
                id_ = chain.pop()
                if id_ not in seen and id_ in self._catalog.pieces:
                    seen.add(id_)
                    piece = self._catalog.pieces[id_]
                    found.append(piece)
                    chain.extend(reversed(piece.base))
            yield from reversed(found)
