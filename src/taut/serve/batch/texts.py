"""CSV as a batch reads it: where its rows end, and cells of text in the kinds of a signature, a column at a time."""

import bz2
import gzip
import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taut.data.tables.dialect import read_text
from taut.errors import Invalid
from taut.models.arrow import Mask
from taut.models.signature import SignatureColumn
from taut.serve.requests.text import MISSING, TRUTHS, reader_of

SUFFIXES = (".csv", ".tsv")
PACKED = (".gz", ".bz2", ".zst")
BLOCK = 4 << 20  # Bytes of text that are looked at once.
QUOTE, NEWLINE, RETURN = ord('"'), ord("\n"), ord("\r")
BOM = b"\xef\xbb\xbf"


class Texts(NamedTuple):
    """A text table: its columns, how they are told apart, and rows and bytes at which parts begin."""

    names: tuple[str, ...]
    delimiter: str
    cuts: tuple[int, ...]
    offsets: tuple[int, ...]


def unpacked(name: str, file: BinaryIO) -> BinaryIO:
    """The text in a file, by the ending of its name."""
    packed = name.lower()
    if packed.endswith(".gz"):
        return cast("BinaryIO", gzip.open(file))
    if packed.endswith(".bz2"):
        return cast("BinaryIO", bz2.open(file))
    if packed.endswith(".zst"):
        return cast("BinaryIO", pa.CompressedInputStream(file, "zstd"))
    return file


def survey_text(text: BinaryIO, part_rows: int, seen: Callable[[bytes], None]) -> Texts:
    """Read a text table once, without taking its cells apart. `seen` hears every byte of it.

    A quote is one where a cell begins with it. Raises Invalid for a table without a header, in UTF-16, or with a cell
    that has a quote in its midst and does not begin with one: such a row ends where each reader thinks it does.
    """
    head = text.read(BLOCK)
    seen(head)
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Invalid("it is written in UTF-16; a batch reads UTF-8")
    with read_text(io.BytesIO(head.removeprefix(BOM))) as (dialect, _):
        if not dialect.names:
            raise Invalid("it has no header")
    rows = _Rows(ord(dialect.delimiter), part_rows)
    chunk = head
    at = 0
    while chunk:
        rows.add(np.frombuffer(chunk, np.uint8), at)
        at += len(chunk)
        chunk = text.read(BLOCK)
        seen(chunk)
    cuts, offsets = rows.end(at)
    return Texts(dialect.names, dialect.delimiter, cuts, offsets)


class _Rows:
    """Counts rows in pieces of text: line ends that stand in no quotes, of lines that are not empty."""

    def __init__(self, delimiter: int, part_rows: int) -> None:
        self._around = np.zeros(256, bool)
        self._around[[delimiter, NEWLINE, RETURN, QUOTE]] = True
        self._part_rows = part_rows
        self._is_inside = False
        self._last = NEWLINE  # The byte before this piece.
        self._line_start = 0
        self._rows = -1  # The header is none.
        self._cuts, self._offsets = list[int](), list[int]()

    def add(self, piece: Any, at: int) -> None:
        quotes = np.flatnonzero(piece == QUOTE)
        ends = np.flatnonzero(piece == NEWLINE)
        if len(quotes) or self._is_inside:
            self._check(piece, quotes, at)
            before = np.searchsorted(quotes, ends)
            ends = ends[(before % 2 == 0) ^ self._is_inside]
            self._is_inside ^= len(quotes) % 2 == 1
        if len(ends):
            starts = np.concatenate([[self._line_start - at], ends[:-1] + 1])
            lengths = ends - starts
            returns = np.where(ends > 0, piece[ends - 1], self._last) == RETURN
            self._count(ends[lengths - returns > 0] + at + 1)
            self._line_start = int(ends[-1]) + at + 1
        self._last = int(piece[-1])

    def end(self, size: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where parts begin, in rows and in bytes, with the number of rows and the size at the end."""
        if self._is_inside:
            raise Invalid("it ends within quotes")
        if self._line_start < size:
            self._count(np.array([size]))
        if self._rows not in self._cuts:
            self._cuts.append(max(self._rows, 0))
            self._offsets.append(size)
        else:
            self._offsets[self._cuts.index(self._rows)] = size
        return tuple(self._cuts), tuple(self._offsets)

    def _count(self, behind: Any) -> None:
        """Rows that end there; a part begins behind the header and behind every so many of them."""
        first = self._rows + 1
        self._rows += len(behind)
        wanted = range(-(-first // self._part_rows) * self._part_rows, self._rows + 1, self._part_rows)
        for row in wanted:
            self._cuts.append(row)
            self._offsets.append(int(behind[row - first]))

    def _check(self, piece: Any, quotes: Any, at: int) -> None:
        """A quote that opens stands where a cell begins or behind one that closed; so a pair of them is one letter."""
        opening = quotes[int(self._is_inside) :: 2]
        before = np.where(opening > 0, piece[opening - 1], self._last)
        wrong = opening[~self._around[before] & (opening + at > len(BOM))]
        if len(wrong):
            raise Invalid(f"byte {int(wrong[0]) + at} of its text is a quote within a cell that begins with none")


class Bounded(io.RawIOBase):
    """So many bytes of a stream, from where it stands."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left = stream, size

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: object, /) -> int:
        """Up to as much as there is room for."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # The caller's buffer.
        found = self._stream.read(min(len(view), self._left))
        view[: len(found)] = found
        self._left -= len(found)
        return len(found)


def text_batches(text: BinaryIO, size: int, names: tuple[str, ...], delimiter: str, only: set[str]) -> Iterator[Any]:
    """The next so many bytes of a table below its header as batches of text. Raises pa.ArrowInvalid."""
    import pyarrow.csv as reading

    wanted = [name for name in names if name in only]
    if not wanted:
        wanted = [names[0]]
    with reading.open_csv(
        io.BufferedReader(Bounded(text, size), BLOCK),
        read_options=reading.ReadOptions(use_threads=False, block_size=BLOCK, column_names=list(names)),
        parse_options=reading.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=reading.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, null_values=sorted(MISSING),
            strings_can_be_null=True, quoted_strings_can_be_null=True,
        ),
    ) as batches:  # fmt: skip
        yield from batches


def typed_text(column: SignatureColumn, cells: pa.Array) -> tuple[pa.Array, Mask | None]:
    """A column of text in the kind of the signature, and which texts are no value of it; those are null there."""
    if column.kind in ("string", "datetime"):
        return cells, None
    if column.kind == "boolean":
        places = pc.index_in(cells, value_set=pa.array(list(TRUTHS)))
        wrong = places.is_null().to_numpy(zero_copy_only=False) & ~cells.is_null().to_numpy(zero_copy_only=False)
        return pa.array(list(TRUTHS.values())).take(places), wrong if wrong.any() else None
    kind, read = (pa.int64() if column.kind in ("long", "integer") else pa.float64()), reader_of(column.kind)
    try:
        typed = cells.cast(kind)
    except pa.ArrowInvalid:
        return _slowly(cells, kind, read)
    # Arrow takes 0x10 for a number, and "nan(...)" for none: Python decides, as it does online.
    odd = pc.match_substring(cells, "x") if kind == pa.int64() else pc.is_nan(typed)
    return _slowly(cells, kind, read) if pc.any(odd).as_py() else (typed, None)


def _slowly(cells: pa.Array, kind: Any, read: Callable[[str], Any]) -> tuple[pa.Array, Mask | None]:
    """Word by word, as a server reads a CSV."""
    wrong = np.zeros(len(cells), bool)
    values: list[float | None] = []
    for place, word in enumerate(cells.to_pylist()):
        value = None if word is None else read(word)
        if isinstance(value, str):
            value = None
        if kind == pa.int64() and value is not None:
            value = int(value) if value == value // 1 and -(2**63) <= value < 2**63 else None
        wrong[place] = value is None and word is not None
        values.append(value)
    return pa.array(values, kind), wrong if wrong.any() else None
