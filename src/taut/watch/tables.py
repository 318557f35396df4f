"""Files as columns to be counted: Parquet, CSV and Arrow, whole or a part at a time, no object of Python a cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taut.errors import Invalid, NotFound
from taut.watch.columns import Column, numeric_array
from taut.watch.order import is_sorted

PART_ROWS = 32_768
DAYS = {
    "s": 86_400.0, "ms": 86_400e3, "us": 86_400e6, "ns": 86_400e9, "date32[day]": 1.0, "date64[ms]": 86_400e3,
}  # fmt: skip
SUFFIXES = (".parquet", ".csv", ".arrow", ".feather")


class Levels:
    """A column of words or of truth values, shape (rows,); a slice of it is one too."""

    def __init__(self, values: pa.Array) -> None:
        self._values = values
        self._coded: tuple[list[str], NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, chosen: slice) -> Levels:
        return Levels(self._values.take(pa.array(np.arange(len(self._values))[chosen])))

    def cells(self) -> list[str | bool | None]:
        """The values, row by row."""
        cells: list[str | bool | None] = self._values.to_pylist()
        return cells

    def level_counts(self) -> tuple[dict[str, int], int]:
        """How often each level occurs, and how many values are missing."""
        words, codes = self.codes()
        counts = np.bincount(codes + 1, minlength=len(words) + 1).tolist()
        return dict(zip(words, counts[1:], strict=True)), counts[0]

    def codes(self) -> tuple[list[str], NDArray[np.int64]]:
        """The distinct words, and the place of each row's word among them, -1 where it is missing."""
        if self._coded is None:
            coded = self._values.dictionary_encode()
            found = coded.indices.fill_null(-1) if coded.null_count else coded.indices
            places = found.to_numpy(zero_copy_only=False).astype(np.int64)
            self._coded = [str(word) for word in coded.dictionary.to_pylist()], places
        return self._coded

    def numbers(self) -> NDArray[np.float64]:
        """The words that are numbers as floats, NaN for all else."""
        if pa.types.is_boolean(self._values.type):  # As in a column that has numbers beside them.
            return np.asarray(self._values.cast(pa.float64()).to_numpy(zero_copy_only=False))
        words, codes = self.codes()
        return np.array([*map(_number, words), np.nan])[codes]


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of a table: the inputs by name, and the model's scores and the true labels where the table has them."""

    rows: int
    columns: dict[str, Column]
    scores: Column | None = None
    targets: Column | None = None
    blocks: list[Any] | None = None
    left_out: tuple[str, ...] = ()
    """Columns of kinds that are not watched: nested, binary."""
    days: float | None = None
    """The time that the rows cover, where a column of times rises all along; None without one."""


@dataclass(frozen=True, slots=True)
class Names:
    """Which columns are no inputs: the score, the target, and the block of a row, as its day; where they are there."""

    score: str = "score"
    target: str = "target"
    block: str = ""


def read_frame(path: Path, names: Names | None = None) -> Frame:
    """A whole file. Raises NotFound, Invalid for another kind of file or one that cannot be read."""
    with _opened(path) as table:
        return frame_of(table.read(), names or Names())


def frames_of(path: Path, names: Names | None = None) -> Iterator[Frame]:
    """The same a part at a time, so that memory does not grow with the file."""
    with _opened(path) as table:
        for part in table.parts():
            yield frame_of(part, names or Names())


def frame_of(table: pa.Table, names: Names) -> Frame:
    """The columns of a table of Arrow. Raises Invalid where two have the same name."""
    if twice := [name for name in table.column_names if table.column_names.count(name) > 1]:
        raise Invalid(f"two columns are called {twice[0]!r}")
    columns: dict[str, Column] = {}
    left_out = []
    for name in table.column_names:
        if name != names.block:
            found = _column(table[name])
            if found is None:
                left_out.append(name)
            else:
                columns[name] = found
    blocks = table[names.block].to_pylist() if names.block and names.block in table.column_names else None
    scores, targets = (columns.pop(name, None) for name in (names.score, names.target))
    return Frame(table.num_rows, columns, scores, targets, blocks, tuple(left_out), _days(table, columns))


def _days(table: pa.Table, columns: dict[str, Column]) -> float | None:
    """The days from the first to the last moment of the first column of times by which the rows are sorted."""
    for field in table.schema:
        if (pa.types.is_timestamp(field.type) or pa.types.is_date(field.type)) and field.name in columns:
            moments = numeric_array(columns[field.name])
            if is_sorted(moments):
                unit = DAYS[field.type.unit if pa.types.is_timestamp(field.type) else str(field.type)]
                return float(np.nanmax(moments) - np.nanmin(moments)) / unit
    return None


def _column(values: pa.ChunkedArray) -> Column | None:
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
        kind = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        values = values.cast(pa.int32() if pa.types.is_date32(kind) or pa.types.is_time32(kind) else pa.int64())
        kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers: NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy()
        return numbers
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Levels(values.combine_chunks() if values.num_chunks != 1 else values.chunk(0))
    return None


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return float("nan")


class _Table:
    """A file that is open: read whole, or part by part."""

    def __init__(self, path: Path, source: pa.NativeFile) -> None:
        self._path = path
        self._source = source

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, *_: object) -> None:
        self._source.close()

    def read(self) -> pa.Table:
        """All of it, a part at a time, so that what a reader holds beside it stays small."""
        parts = list(self.parts())
        return pa.concat_tables(parts)

    def parts(self) -> Iterator[pa.Table]:
        """Parts of some rows; one without rows for a file that has none."""
        try:
            yield from self._parts()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as problem:
            raise Invalid(f"{self._path} cannot be read: {str(problem).splitlines()[0][:300]}") from None

    def _parts(self) -> Iterator[pa.Table]:
        if self._path.suffix == ".parquet":
            import pyarrow.parquet as pq

            # Else all columns of a part of the file, often the whole of it, wait in memory for their first row.
            file = pq.ParquetFile(self._source, pre_buffer=False, buffer_size=1 << 18)
            batches, schema = file.iter_batches(batch_size=PART_ROWS), file.schema_arrow
        elif self._path.suffix == ".csv":
            from pyarrow import csv

            # Words and numbers in one column are words; the kinds of all rows count, not those of the first part.
            table = csv.read_csv(self._source)
            batches, schema = iter(table.to_batches(max_chunksize=PART_ROWS)), table.schema
        else:
            opened = pa.ipc.open_file(self._source)
            batches, schema = (opened.get_batch(i) for i in range(opened.num_record_batches)), opened.schema
        is_empty = True
        for batch in batches:
            is_empty = False
            yield pa.Table.from_batches([batch], schema)
        if is_empty:
            yield schema.empty_table()


def _opened(path: Path) -> _Table:
    if path.suffix not in SUFFIXES:
        raise Invalid(f"{path} is no table: its name ends in none of {', '.join(SUFFIXES)}")
    try:
        return _Table(path, pa.OSFile(str(path)))
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", hint=f"ls {path.parent}") from None
    except OSError as problem:
        raise Invalid(f"{path} cannot be read: {problem}") from None
