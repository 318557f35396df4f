"""The protocol of a metadata store: transactions that are whole and durable, and reads of one moment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from taut.errors import Invalid

Value = str | int | float | None
Cell = Value | bytes
Row = tuple[Value, ...]
Parameters = Mapping[str, Value | Sequence[str] | Sequence[int]]
Kind = Literal["TEXT", "BIGINT", "DOUBLE PRECISION", "BYTEA"]

Figure = tuple[Literal["counter", "gauge"], str, int]
"""What a number is, in words, and the number."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows for one table, written by one statement however many they are; `conflict` is the clause behind VALUES."""

    table: str
    columns: tuple[tuple[str, Kind], ...]
    conflict: str = ""

    @property
    def names(self) -> str:
        """The columns as SQL lists them."""
        return ", ".join(name for name, _ in self.columns)


@dataclass(frozen=True, slots=True)
class Update:
    """Rows of one table to be changed by one statement: the first column names the row, the others are set.

    `also` sets more, `where` is what a row must meet besides: `it` is the row, `{column}` stands for a value that was
    sent, and `compared` are columns that are sent for that alone.
    """

    table: str
    columns: tuple[tuple[str, Kind], ...]
    compared: tuple[tuple[str, Kind], ...] = ()
    also: str = ""
    where: str = ""


class Tx(Protocol):
    """One transaction, or one read of a single moment.

    SQL is in the common subset; parameters are `:name`, and `IN [:name]` holds a column against a list of any length.
    JSON is made by `json_build_array` and `json_object_agg`.
    """

    @property
    def dialect(self) -> str:
        """That of the store."""
        ...

    def execute(self, sql: str, parameters: Mapping[str, Cell | Sequence[str] | Sequence[int]] | None = None) -> int:
        """Run one statement; returns the number of rows it changed."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Mapping[str, Cell]]) -> None:
        """Run one statement for each set of parameters."""
        ...

    def insert(self, into: Insert, rows: Sequence[tuple[Cell, ...]]) -> None:
        """Write rows, their values in the order of the columns; nothing for no rows."""
        ...

    def update(self, of: Update, rows: Sequence[tuple[Value, ...]]) -> int:
        """Change rows, each named by its first value, and say how many were; nothing for no rows."""
        ...

    def rows(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        """All rows of a query."""
        ...

    def row(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        """The first row of a query, or None."""
        ...

    def each(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        """The rows of a query one after the other, however many: only some of them are in memory."""
        ...


class Metadata(Protocol):
    """Rows. `transaction` returns only after everything in its block is committed and synced to disk."""

    @property
    def url(self) -> str:
        """Where it is, without secrets."""
        ...

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`; for the few statements that must differ."""
        ...

    def transaction(self) -> AbstractContextManager[Tx]:
        """A block whose changes are all stored or none; an exception inside undoes them. Never nested."""
        ...

    def read(self) -> AbstractContextManager[Tx]:
        """A block of queries that see one moment and block no writer."""
        ...

    def ask(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        """All rows of one query, which is a moment by itself: cheaper than a block where one query is all."""
        ...

    def figures(self) -> Mapping[str, Figure]:
        """What may be told of it to whoever watches a server, by Prometheus' rules of names."""
        ...

    def close(self) -> None:
        """Give back connections; what was acknowledged stays."""
        ...


@contextmanager
def fitting() -> Iterator[None]:
    """What drivers say of an integer beyond 64 bits or half a character, told as Invalid: not theirs to explain."""
    try:
        yield
    except (OverflowError, UnicodeEncodeError) as problem:
        raise Invalid(f"a value does not fit the store: {problem}") from None
