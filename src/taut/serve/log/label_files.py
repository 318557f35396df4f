"""Files of labels: CSV, JSON lines or Parquet with the columns `id`, `label` and, where there are several, `row`.

An `id` without a `row` may be that of a prediction, REQUEST.ROW; so what was printed or exported is labelled as it is.
"""

import csv
import io
from array import array
from collections.abc import Iterable, Iterator
from typing import IO, Any

import msgspec

from taut.errors import Invalid, UsageError
from taut.serve.log.labelling import Labels
from taut.serve.log.reading import ROW_DIGITS_MAX

WORDS = {"true": 1.0, "false": 0.0}
Line = tuple[int, Any, Any, Any]
"""Where a label stands, its id, row (None: none is said) and value."""


def read_labels(file: IO[bytes], *, name: str) -> Labels:
    """The labels of a file, its form told by its first bytes; lines are counted from 1, rows of Parquet too.

    Raises Invalid with the line of the first label that is none; UsageError for Parquet without pyarrow.
    """
    begin = file.read(4)
    if begin == b"PAR1":
        return _labels(_of_parquet(file, begin, name), name)
    text = io.TextIOWrapper(io.BufferedReader(_Again(begin, file)), encoding="utf-8-sig", newline="")
    try:
        is_json = begin.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"
        return _labels(_of_json(text, name) if is_json else _of_csv(text, name), name)
    except UnicodeDecodeError as problem:
        raise Invalid(f"{name} is no UTF-8: {problem.reason}") from None


def _labels(lines: Iterable[Line], name: str) -> Labels:
    ids: list[str] = []
    rows, values, numbers = array("q"), array("d"), array("q")
    for line, request_id, row, value in lines:
        found = _prediction(request_id, row)
        if found is None:
            raise Invalid(f"{name}, line {line}: id {request_id!r} and row {row!r} name no prediction, as 7f3a and 0")
        label = _number(value)
        if label is None:
            raise Invalid(f"{name}, line {line}: label {value!r} is no finite number")
        ids.append(found[0])
        rows.append(found[1])
        values.append(label)
        numbers.append(line)
    return Labels(ids, rows, values, numbers)


def _prediction(request_id: Any, row: Any) -> tuple[str, int] | None:
    """A request and a row; None where these are none."""
    if not isinstance(request_id, str) or not request_id:
        return None
    if row is None or row == "":
        head, dot, tail = request_id.rpartition(".")
        is_row = bool(dot and head) and tail.isascii() and tail.isdecimal() and len(tail) < ROW_DIGITS_MAX
        return (head, int(tail)) if is_row else (request_id, 0)
    if isinstance(row, bool) or not (isinstance(row, int) or (isinstance(row, str) and _is_row(row))):
        return None
    return (request_id, int(row)) if int(row) >= 0 else None


def _is_row(row: str) -> bool:
    return row.isascii() and row.isdecimal() and len(row) < ROW_DIGITS_MAX


def _number(value: Any) -> float | None:
    """A label as a number; a truth value is 1 or 0."""
    if isinstance(value, str):
        text = value.strip().lower()
        try:
            value = WORDS[text] if text in WORDS else float(text)
        except ValueError:
            return None
    if not isinstance(value, bool | int | float):
        return None
    try:
        label = float(value)
    except OverflowError:
        return None
    return label if abs(label) < float("inf") else None


def _of_csv(text: IO[str], name: str) -> Iterator[Line]:
    rows = csv.reader(text, strict=True)
    try:
        heading = [word.strip() for word in next(rows, [])]
        at_id, at_row, at_label = _places(heading, name)
        for cells in rows:
            if not cells:
                continue
            if len(cells) != len(heading):
                raise Invalid(f"{name}, line {rows.line_num}: {len(cells)} cells, where {len(heading)} columns are")
            yield rows.line_num, cells[at_id], cells[at_row] if at_row is not None else None, cells[at_label]
    except csv.Error as problem:
        raise Invalid(f"{name}, line {rows.line_num}: {problem}") from None


def _of_json(text: IO[str], name: str) -> Iterator[Line]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            found = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError as problem:
            raise Invalid(f"{name}, line {number}: {problem}") from None
        if missing := {"id", "label"} - found.keys():
            raise Invalid(f"{name}, line {number}: has no {min(missing)!r}; it needs id and label")
        yield number, found["id"], found.get("row"), found["label"]


def _of_parquet(file: IO[bytes], begin: bytes, name: str) -> Iterator[Line]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError(f"{name} is Parquet", hint="pip install 'taut[data]'") from None
    try:
        table = pq.ParquetFile(file if file.seekable() else pa.BufferReader(begin + file.read()))
        at_id, at_row, at_label = _places(table.schema_arrow.names, name)
        names = [table.schema_arrow.names[at] for at in (at_id, at_label, at_row) if at is not None]
        number = 0
        for batch in table.iter_batches(columns=names):
            rows = batch["row"].to_pylist() if at_row is not None else [None] * len(batch)
            for request_id, row, value in zip(batch["id"].to_pylist(), rows, batch["label"].to_pylist(), strict=True):
                number += 1
                yield number, request_id, row, value
    except pa.ArrowException as problem:
        raise Invalid(f"{name} cannot be read: {problem}") from None


def _places(names: list[str], name: str) -> tuple[int, int | None, int]:
    """Where the columns are: id, row, label."""
    for wanted in ("id", "label"):
        if names.count(wanted) != 1:
            found = ", ".join(map(repr, names[:8])) or "nothing"
            raise Invalid(f"{name} needs one column {wanted!r}; it has {found}")
    return names.index("id"), names.index("row") if "row" in names else None, names.index("label")


class _Again(io.RawIOBase):
    """A stream whose first bytes were read already, from the start."""

    def __init__(self, begin: bytes, rest: IO[bytes]) -> None:
        self._begin = begin
        self._rest = rest

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer."""
        found = self._begin[: len(buffer)] or self._rest.read(len(buffer))
        self._begin = self._begin[len(found) :]
        buffer[: len(found)] = found
        return len(found)
