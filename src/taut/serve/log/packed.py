"""Records read as they are packed: what a segment is made of, without an object of Python for each cell.

A column of a record is an array of MessagePack, whose cells one behind the other are the cells of a longer array. Where
all of these have the same length, as floats have, times, short words and ids of ours, numpy reads them as they lie.
Through other numbers and words, and where some are missing, it walks in all arrays at once.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taut.errors import Invalid
from taut.serve.log.said import Role

NIL, FALSE, TRUE = 0xC0, 0xC2, 0xC3
FLOAT64, UINT64, INT64, STR8 = 0xCB, 0xCF, 0xD3, 0xD9
SMALLEST = -32  # Of the whole numbers that are a byte.
FIXSTR, FIXSTR_MAX = 0xA0, 31
FIXMAP, FIXARRAY, ARRAY16, ARRAY32 = 0x80, 0x90, 0xDC, 0xDD
ARRAY16_FROM, ARRAY32_FROM = 16, 1 << 16

WHOLE = {
    0xCC: ">u1", 0xCD: ">u2", 0xCE: ">u4", UINT64: ">u8", 0xD0: ">i1", 0xD1: ">i2", 0xD2: ">i4", INT64: ">i8",
}  # fmt: skip
"""Whole numbers that stand behind a tag."""

LENGTHS = np.zeros(256, np.int64)
"""How many bytes a cell has that begins so; 0 for what holds others, or says it later."""
LENGTHS[:FIXMAP] = LENGTHS[SMALLEST % 256 :] = LENGTHS[[NIL, FALSE, TRUE]] = 1
LENGTHS[FLOAT64] = 9
LENGTHS[list(WHOLE)] = [1 + np.dtype(kind).itemsize for kind in WHOLE.values()]
LENGTHS[FIXSTR : FIXSTR + FIXSTR_MAX + 1] = np.arange(1, FIXSTR_MAX + 2)
WALKED_MAX = 1024  # Cells of an array: a step through it costs as much for one array as for some hundred.

Packing = msgspec.Raw | bytes
"""An array of MessagePack."""

Counts = NDArray[np.int64]
"""How many cells each of some arrays has."""


class Packed(msgspec.Struct, array_like=True, frozen=True):
    """A `Said` whose lists are not read yet."""

    ids: msgspec.Raw
    given: msgspec.Raw
    counts: msgspec.Raw
    event_ms: msgspec.Raw
    at_ms: int
    latency_us: msgspec.Raw
    revision: int
    model: str
    number: int
    role: Role
    inputs: dict[str, msgspec.Raw]
    outputs: dict[str, msgspec.Raw]
    digests: msgspec.Raw = msgspec.Raw(b"\x90")


def read_packed(record: bytes | memoryview) -> Packed:
    """A record, of which only the lists' places were looked for. Raises Invalid for bytes that are none."""
    try:
        return _decoder.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"a record of the prediction log cannot be read: {problem}") from None


def own_ids(record: bytes | memoryview) -> list[str]:
    """The ids in a record that callers chose; none of a shadow, which nobody was answered by."""
    packed = read_packed(record)
    if packed.role == "shadow" or TRUE not in bytes(packed.given):
        return []
    count = np.array([cells_of(packed.ids)[0]])
    ids, given = list_of([packed.ids], count, list[str]), list_of([packed.given], count, list[bool])
    return [name for name, is_given in zip(ids, given, strict=True) if is_given]


def cells_of(packed: Packing) -> tuple[int, memoryview]:
    """How many cells an array has, and these one behind the other. Raises Invalid for what is no array."""
    data = memoryview(packed)
    first = data[0]
    if first & 0xF0 == FIXARRAY:
        return first & 0x0F, data[1:]
    if first == ARRAY16:
        return int.from_bytes(data[1:3], "big"), data[3:]
    if first == ARRAY32:
        return int.from_bytes(data[1:5], "big"), data[5:]
    raise Invalid("a record of the prediction log cannot be read: a column is no array")


def array_of(arrays: Sequence[Packing], counts: Counts) -> pa.Array | None:
    """Arrays of so many cells as one; None where these are of kinds that do not go together, or of others.

    >>> array_of([msgspec.Raw(msgspec.msgpack.encode([0.5, None]))], np.array([2])).to_pylist()
    [0.5, None]
    """
    if not len(counts) or counts.min() < 1 or counts.max() >= ARRAY32_FROM:
        return None
    data = np.frombuffer(b"".join(arrays), np.uint8)
    heads = np.where(counts < ARRAY16_FROM, 1, 3)
    length = _length(data[heads[0] : heads[0] + 2])
    ends = np.cumsum(heads + length * counts)
    if length and ends[-1] == len(data):
        is_cell = _but_heads(data, ends - heads - length * counts, heads, counts)
        found = None if is_cell is None else _array_of_cells(data[is_cell].reshape(-1, length))
        if found is not None:
            return found
    if counts.max() > WALKED_MAX:
        return None
    ends = np.cumsum([len(memoryview(one)) for one in arrays])
    starts = np.concatenate([[0], ends[:-1]])
    if _but_heads(data, starts, heads, counts) is None:
        return None
    at = _walked(data, starts + heads, ends, counts)
    return None if at is None else _array_at(data, at)


def list_of(arrays: Sequence[Packing], counts: Counts, kind: type = list[Any]) -> Any:
    """Arrays of so many cells as one list of Python's values. Raises Invalid where these are of another kind."""
    found = [cells_of(one) for one in arrays]
    if [count for count, _ in found] != counts.tolist():
        raise Invalid("a record of the prediction log cannot be read: its columns differ in length")
    try:
        return msgspec.msgpack.decode(
            b"".join([_array_head(int(counts.sum())), *(cells for _, cells in found)]), type=kind
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(f"a record of the prediction log cannot be read: {problem}") from None


def _but_heads(data: NDArray[np.uint8], at: Counts, heads: Counts, counts: Counts) -> NDArray[np.bool_] | None:
    """Which bytes are of cells, where heads of arrays of so many stand at these places; None where they do not."""
    is_short = heads == 1
    short, long, wide = at[is_short], at[~is_short], counts[~is_short]
    if at[-1] + heads[-1] > len(data) or (data[short] != FIXARRAY | counts[is_short]).any():
        return None
    if len(long) and not (
        (data[long] == ARRAY16) & (data[long + 1] == wide >> 8) & (data[long + 2] == wide & 0xFF)
    ).all():  # fmt: skip
        return None
    is_cell = np.ones(len(data), bool)
    is_cell[np.concatenate([short, long, long + 1, long + 2])] = False
    return is_cell


def _walked(data: NDArray[np.uint8], starts: Counts, ends: Counts, counts: Counts) -> Counts | None:
    """Where each cell begins, of arrays whose cells begin and end there; None for kinds that hold others.

    A step goes from cell to cell in all arrays at once, those with most cells first, so that a step is for the first.
    """
    order = np.argsort(-counts, kind="stable")
    here, first = starts[order], (np.cumsum(counts) - counts)[order]
    left = len(counts) - np.searchsorted(np.sort(counts), np.arange(int(counts.max())), side="right")
    at = np.empty(int(counts.sum()), np.int64)
    for step, active in enumerate(left.tolist()):
        now = here[:active]
        at[first[:active] + step] = now
        tags = data[now]
        length = LENGTHS[tags]
        if (words := tags == STR8).any():
            length = np.where(words, 2 + data[np.where(words, now + 1, 0)].astype(np.int64), length)
        if not length.all():
            return None
        here[:active] += length
    return at if (here == ends[order]).all() else None


def _array_at(data: NDArray[np.uint8], at: Counts) -> pa.Array | None:
    """The cells that begin there as an array; None where they are of several kinds."""
    tags = data[at]
    kinds = np.flatnonzero(np.bincount(tags, minlength=256))
    held = None if NIL not in kinds else tags != NIL
    kinds = kinds[kinds != NIL]
    if not len(kinds):
        return pa.nulls(len(at))
    if (kinds == FLOAT64).all():
        return _masked(_read(data, at + 1, ">f8", held), pa.float64(), held)
    if all(kind in WHOLE or kind < FIXMAP or kind >= SMALLEST % 256 for kind in kinds):
        found = np.zeros(len(at), np.int64)
        for kind in kinds.tolist():
            if kind not in WHOLE:
                continue
            places = np.flatnonzero(tags == kind)
            read = _read(data, at[places] + 1, WHOLE[kind], None)
            if kind == UINT64 and int(read.max()) >= 1 << 63:
                return None
            found[places] = read
        is_byte = (tags < FIXMAP) | (tags >= SMALLEST % 256)
        return _masked(np.where(is_byte, tags.view(np.int8), found), pa.int64(), held)
    if ((kinds & 0xE0 == FIXSTR) | (kinds == STR8)).all():
        return _words_at(data, at, tags, held)
    return None


def _words_at(data: NDArray[np.uint8], at: Counts, tags: NDArray[np.uint8], held: NDArray[np.bool_] | None) -> pa.Array:
    heads = np.where(tags == STR8, 2, 1)
    lengths = np.where(tags == STR8, data[np.minimum(at + 1, len(data) - 1)], tags & FIXSTR_MAX).astype(np.int64)
    if held is not None:
        lengths = np.where(held, lengths, 0)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    place = np.arange(ends[-1]) + np.repeat(at + heads - ends[:-1], lengths)
    return _text(data[place], ends.astype(np.int32), held)


def _read(data: NDArray[np.uint8], at: Counts, kind: str, held: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Numbers that stand at these places, whatever they are aligned to; at the first where none is held."""
    wide = np.dtype(kind)
    windows = np.ndarray((len(data) - wide.itemsize + 1,), wide, data.data, strides=(1,))
    return windows[at if held is None else np.where(held, at, at[held.argmax()])].astype(wide.newbyteorder("="))


def _masked(values: NDArray[Any], kind: pa.DataType, held: NDArray[np.bool_] | None) -> pa.Array:
    bits = None if held is None else pa.py_buffer(np.packbits(held, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [bits, pa.py_buffer(np.ascontiguousarray(values))])


def _text(letters: NDArray[np.uint8], ends: NDArray[np.int32], held: NDArray[np.bool_] | None = None) -> pa.Array:
    """Words that end there. Raises Invalid for what is no text."""
    bits = None if held is None else pa.py_buffer(np.packbits(held, bitorder="little"))
    made = pa.Array.from_buffers(pa.string(), len(ends) - 1, [bits, pa.py_buffer(ends), pa.py_buffer(letters)])
    if len(letters) and int(letters.max()) >= 0x80:
        try:
            made.validate(full=True)
        except pa.ArrowInvalid as problem:
            raise Invalid(f"a record of the prediction log cannot be read: {problem}") from None
    return made


def _length(cell: NDArray[np.uint8]) -> int:
    """How long a cell is that begins so, 0 for what may be of any length."""
    if not len(cell):
        return 0
    first = int(cell[0])
    return 2 + int(cell[1]) if first == STR8 and len(cell) > 1 else int(LENGTHS[first])


def _array_of_cells(cells: NDArray[np.uint8]) -> pa.Array | None:
    """An array of cells [count, length], None where not all of them say that they are of one kind."""
    tags = np.ascontiguousarray(cells[:, 0])
    first, last = int(tags.min()), int(tags.max())
    if cells.shape[1] == 1:
        return _array_of_bytes(tags, first, last)
    if first != last:
        return None
    if first in (FLOAT64, UINT64, INT64):
        bits = cells[:, 1:].copy().view(">u8")[:, 0].astype(np.uint64)
        if first == FLOAT64:
            return pa.array(bits.view(np.float64))
        return None if first == UINT64 and int(bits.max()) >= 1 << 63 else pa.array(bits.view(np.int64))
    if first in WHOLE:
        return None  # Of fewer bits: few columns have them alone.
    if first == STR8 and (cells[:, 1] != cells[0, 1]).any():
        return None
    return _array_of_words(cells[:, 2 if first == STR8 else 1 :])


def _array_of_bytes(found: NDArray[np.uint8], first: int, last: int) -> pa.Array | None:
    """Truth values, small whole numbers, or nothing at all."""
    numbers = found.view(np.int8)
    if numbers.min() >= SMALLEST:
        return pa.array(numbers.astype(np.int64))
    if (first, last) == (FIXSTR, FIXSTR):
        return pa.repeat("", len(found))
    if (first, last) == (NIL, NIL):
        return pa.nulls(len(found))
    if first >= FALSE and last <= TRUE:
        return pa.array(found == TRUE)
    return None


def _array_of_words(letters: NDArray[np.uint8]) -> pa.Array | None:
    """Words of one length."""
    count, length = letters.shape
    if count * length >= 1 << 31:
        return None
    ends = np.arange(0, length * count + 1, max(length, 1), dtype=np.int32) if length else np.zeros(count + 1, np.int32)
    return _text(np.ascontiguousarray(letters), ends)


def _array_head(count: int) -> bytes:
    if count < ARRAY16_FROM:
        return bytes([FIXARRAY | count])
    if count < ARRAY32_FROM:
        return bytes([ARRAY16]) + count.to_bytes(2, "big")
    return bytes([ARRAY32]) + count.to_bytes(4, "big")


_decoder = msgspec.msgpack.Decoder(Packed)
