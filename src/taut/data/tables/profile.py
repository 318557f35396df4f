"""What a glance at a table tells: rows and, for each column, what it holds. One streaming pass over CSV files."""

import csv
import gzip
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from pathlib import Path

from taut.data.tables.dialect import read_text, unzipped
from taut.records import Column

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ROWS_AT_ONCE = 4096  # Columns of this many cells are worked on by C code; larger gains nothing measurable.
DISTINCT_MAX = 100_000  # Beyond it nobody reads the exact number, and memory would grow with the file.
# What pandas, R and databases write for a value that is not there.
MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "<NA>"})


def profile_files(paths: Sequence[Path]) -> tuple[int | None, tuple[Column, ...]]:
    """Rows and columns of CSV files with one header, taken as one table; (None, ()) where they are no such table.

    Plain or gzip (`.csv`, `.tsv`, `.csv.gz`, `.tsv.gz`), the first line naming the columns. `missing` counts empty
    cells, NA, NaN, null and None; `distinct` stops at 100,000. A column is of numbers if every other cell is one.
    """
    if not paths or not all(path.name.lower().endswith(SUFFIXES) for path in paths):
        return None, ()
    rows, columns = 0, list[_Tally]()
    try:
        for path in paths:
            with (
                path.open("rb") as file,
                unzipped(path.name, file) as stream,
                read_text(stream) as (dialect, lines),
            ):
                if not columns:
                    columns = [_Tally(name) for name in dialect.names]
                if not dialect.names or list(dialect.names) != [column.name for column in columns]:
                    return None, ()
                rows += sum(_tallied(columns, chunk) for chunk in _chunks(lines))
    except (csv.Error, gzip.BadGzipFile, zlib.error, EOFError):
        return None, ()  # It is called a table and is none: it is versioned as bytes, like any other file.
    return rows, tuple(column.summed() for column in columns)


def _chunks(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        yield chunk


def _tallied(columns: Sequence["_Tally"], rows: list[list[str]]) -> int:
    cells: Iterable[tuple[str, ...]]
    if all(len(row) == len(columns) for row in rows):
        cells = zip(*rows, strict=True)
    else:  # One more row as wide as the header, so that columns which no row reaches are counted as well.
        ruler = [""] * len(columns)
        cells = (values[:-1] for values in zip_longest(*rows, ruler, fillvalue=""))
    for column, values in zip(columns, cells, strict=False):
        column.add(values)
    return len(rows)


class _Tally:
    """What is known of a column so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._seen: set[str] = set()
        self._cells = self._missing = 0
        self._is_number = True
        self._sum, self._low, self._high = 0.0, math.inf, -math.inf

    def add(self, values: Sequence[str]) -> None:
        """Count some more cells."""
        self._cells += len(values)
        present = [value for value in values if value not in MISSING]
        self._missing += len(values) - len(present)
        if len(self._seen) < DISTINCT_MAX:
            self._seen.update(present)
        if self._is_number and present:
            self._add_numbers(present)

    def _add_numbers(self, present: Iterable[str]) -> None:
        try:
            numbers = list(map(float, present))
        except ValueError:
            self._is_number = False
            return
        self._sum += math.fsum(numbers)
        self._low, self._high = min(self._low, *numbers), max(self._high, *numbers)

    def summed(self) -> Column:
        """The column's summary."""
        present, distinct = self._cells - self._missing, min(len(self._seen), DISTINCT_MAX)
        if not present:
            return Column(self.name, "empty", self._missing, 0)
        if not self._is_number:
            return Column(self.name, "text", self._missing, distinct)
        low, high, mean = (_finite(value) for value in (self._low, self._high, self._sum / present))
        return Column(self.name, "number", self._missing, distinct, low, high, mean)


def _finite(value: float) -> float | None:
    """JSON has no infinities."""
    return value if math.isfinite(value) else None
