"""Bytes -> dataset version: the records of this stretch of the line."""

from dataclasses import dataclass, field
from typing import Literal

MD5_DIGITS = 32


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of a tree: its path inside (POSIX, relative; `.` for a dataset of one file), its content, its size.

    `oid` is empty where a home holds none of its bytes, but only the workspace cache, by `md5`; a model's file has no
    `md5`.
    """

    path: str
    oid: str = ""
    md5: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """A column of tabular data, with what a glance at it tells; `low` and `high` are of numbers only."""

    name: str
    kind: Literal["number", "text", "empty"]
    missing: int
    distinct: int
    low: float | None = None
    high: float | None = None
    mean: float | None = None


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What one pass saw of a column: counts exactly, ranks within `rank_error` rows.

    `dtype` is `int`, `float`, `bool`, `date`, `timestamp`, `categorical`, `text`, `empty`, or Parquet's name of a
    nested type; `stored` is how the file has it. `kinds` counts the cells of each kind: a mixed column is seen as one.
    `points` are numbers in order (of dates: milliseconds since 1970), each with how many rows lie at or below it.
    `top` are the most frequent values; a count of them may be short by `top_error`. `distinct` is exact where
    `distinct_error` is 0, else an estimate of that relative standard error, or with None no more than a lower bound;
    `sketch` are the registers (HyperLogLog, packed, in base64) by which the distinct values of two profiles add up.
    """

    name: str
    dtype: str
    stored: str
    rows: int
    missing: int
    distinct: int
    kinds: dict[str, int] = field(default_factory=dict)
    low: int | float | str | None = None
    high: int | float | str | None = None
    mean: float | None = None
    std: float | None = None
    points: tuple[tuple[float, int], ...] = ()
    rank_error: int = 0
    top: tuple[tuple[str, int], ...] = ()
    top_error: int = 0
    length_max: int | None = None
    distinct_error: float | None = 0.0
    sketch: str = ""


@dataclass(frozen=True, slots=True)
class TableProfile:
    """A table in some kilobytes: its rows, and each column; what `diff`, contracts and monitoring start from."""

    rows: int
    columns: tuple[ColumnProfile, ...]


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A tree of files that was snapshot; `tree` is the oid of its list of files and so the digest of all."""

    name: str
    number: int
    tree: str
    path: str
    files: int
    size_bytes: int
    rows: int | None
    columns: tuple[Column, ...]
    at_ms: int
    actor: str

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"data:{self.name}@{self.number}"
