"""Tables: CSV by the standard library, Parquet, Arrow and Feather by pyarrow where it is installed."""

import csv
import io
from collections.abc import Iterable
from math import isclose

from taut.runs.comparing.leaves import Leaves, Rows, Unreadable, of_plain

OF_WRITERS = frozenset({b"pandas", b"ARROW:schema"})  # What libraries say again of the schema, and of themselves.
DIGITS = 9  # Sums whose rows came in another order agree in so many digits.


def csv_leaves(data: bytes, separator: str = ",") -> Leaves:
    """The header and the rows of a CSV file. Raises Unreadable where it is no text or its rows are ragged."""
    try:
        rows = list(csv.reader(io.StringIO(data.decode()), delimiter=separator))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise Unreadable(f"no table: {problem}") from None
    if not rows or len({len(row) for row in rows}) > 1:
        raise Unreadable("no table: its rows are of several widths")
    return {"": Rows(tuple(rows[0]), tuple(map(tuple, rows[1:])))}


def parquet_leaves(data: bytes) -> Leaves:
    """The rows of a Parquet file. Raises Unreadable, also where pyarrow is not installed."""
    try:
        import pyarrow as pa
        from pyarrow import parquet as pq
    except ImportError:
        raise Unreadable("pyarrow is not installed to read it") from None
    try:
        return _arrow(pq.read_table(io.BytesIO(data)))
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise Unreadable(f"no Parquet file: {problem}") from None


def arrow_leaves(data: bytes) -> Leaves:
    """The rows of an Arrow (Feather) file. Raises Unreadable, also where pyarrow is not installed."""
    try:
        import pyarrow as pa
    except ImportError:
        raise Unreadable("pyarrow is not installed to read it") from None
    try:
        with pa.ipc.open_file(io.BytesIO(data)) as reader:
            return _arrow(reader.read_all())
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise Unreadable(f"no Arrow file: {problem}") from None


def _arrow(table: object) -> Leaves:
    """Rows of a pyarrow.Table; every value as text, a missing one told from an empty one."""
    import pyarrow as pa

    assert isinstance(table, pa.Table), type(table)
    columns = [[repr(value) for value in column.to_pylist()] for column in table.columns]
    schema = {field.name: str(field.type) for field in table.schema}
    names = tuple(field.name for field in table.schema)  # Two columns may be of one name.
    said = {
        key.decode("utf-8", "backslashreplace"): value.decode("utf-8", "backslashreplace")
        for key, value in (table.schema.metadata or {}).items()
        if key not in OF_WRITERS
    }
    rows = Rows(names, tuple(zip(*columns, strict=True)))
    return {"": rows, **of_plain(schema, ".schema"), **of_plain(said, ".metadata")}


def same_rows(one: Rows, other: Rows) -> float | None:
    """Whether two tables hold the same rows in whatever order: the largest difference of a number, None for other rows.

    Rows are matched by what they say with numbers rounded, so a sum that differs in its last digits still matches.

    >>> same_rows(Rows(("a",), (("1",), ("2",))), Rows(("a",), (("2",), ("1",))))
    0.0
    """
    if one.columns != other.columns or len(one.rows) != len(other.rows):
        return None
    if sorted(one.rows) == sorted(other.rows):
        return 0.0
    largest = 0.0
    for first, second in zip(_matched(one.rows), _matched(other.rows), strict=True):
        gap = row_difference(first, second)
        if gap is None:
            return None
        largest = max(largest, gap)
    return largest


def row_difference(first: Iterable[str], second: Iterable[str]) -> float | None:
    """The largest difference of two rows' numbers where they agree to nine digits and all else is the same."""
    largest = 0.0
    for before, after in zip(first, second, strict=True):
        if before == after:
            continue
        numbers = _number(before), _number(after)
        if numbers[0] is None or numbers[1] is None or not isclose(numbers[0], numbers[1], rel_tol=10.0**-DIGITS):
            return None
        largest = max(largest, abs(numbers[0] - numbers[1]))
    return largest


def _matched(rows: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return sorted(rows, key=lambda row: tuple(map(_rounded, row)))


def _rounded(cell: str) -> str:
    number = _number(cell)
    return cell if number is None else f"{number:.{DIGITS - 2}g}"


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
