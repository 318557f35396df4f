"""Labelled rows from a CSV file, read by a model's signature: what a gate judges by and a monitor starts from."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from taut.errors import Invalid, NotFound
from taut.ground.clock import moment_ms
from taut.models.inputs import Cell
from taut.models.predictor import Columns
from taut.models.signature import NUMBERS, Signature, SignatureColumn

MISSING = frozenset({"", "NA", "NaN", "nan", "null", "None"})
TRUTH = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows by columns with their labels, in the order of the file; `event_ms` is empty where no time was named."""

    path: str
    oid: str
    columns: Columns
    labels: list[float]
    event_ms: list[int]


def read_rows(path: Path, signature: Signature, *, target: str, time: str = "") -> LabelledRows:
    """Read the columns that the signature takes, the label and the time; rows without a label are left out.

    Raises NotFound where there is no file; Invalid names file, line and column of what cannot be read.
    """
    _must_be_table(signature)
    data, read = _opened(path)
    wanted = [*signature.names, target, *([time] if time else [])]
    read.must_have(wanted)
    kept = [place for place, value in enumerate(read.cells(target)) if value not in MISSING]
    labels = [float(str(value)) for value in read.column(target, _label, kept)]
    if not labels:
        raise Invalid(f"{path} has no row with a label in {target!r}")
    columns = {column.name: read.column(column.name, _parser(column), kept) for column in signature.inputs}
    moments = [moment_ms(str(value)) for value in read.column(time, str, kept)] if time else []
    return LabelledRows(str(path), hashlib.sha256(data).hexdigest(), columns, labels, moments)


def read_inputs(path: Path, signature: Signature, *, rows: int) -> Columns:
    """The first rows of the columns that the signature takes. Raises as `read_rows` does."""
    _must_be_table(signature)
    _, read = _opened(path)
    read.must_have(signature.names)
    kept = list(range(min(rows, len(read.rows))))
    return {column.name: read.column(column.name, _parser(column), kept) for column in signature.inputs}


@dataclass(frozen=True, slots=True)
class _Reader:
    """The cells of a file, by column."""

    path: Path
    rows: list[list[str]]
    lines: list[int]
    places: dict[str, int]

    def must_have(self, wanted: Sequence[str]) -> None:
        """Raise Invalid for the first column that the file lacks."""
        if absent := [name for name in wanted if name not in self.places]:
            raise Invalid(f"{self.path} has no column {absent[0]!r}; it has {', '.join(list(self.places)[:20])}")

    def cells(self, name: str) -> list[str]:
        place = self.places[name]
        try:
            return [row[place] for row in self.rows]
        except IndexError:
            line = next(line for line, row in zip(self.lines, self.rows, strict=True) if len(row) <= place)
            raise Invalid(f"{self.path}:{line}: the line has no column {name!r}") from None

    def column(self, name: str, parse: Callable[[str], Cell], kept: list[int]) -> list[Cell]:
        cells = self.cells(name)
        parsed: list[Cell] = []
        for place in kept:
            try:
                parsed.append(None if cells[place] in MISSING else parse(cells[place]))
            except (ValueError, KeyError, OverflowError):
                at = f"{self.path}:{self.lines[place]}"
                raise Invalid(f"{at}: column {name!r} cannot be {cells[place]!r:.60}") from None
        return parsed


def _must_be_table(signature: Signature) -> None:
    """Raise Invalid for a model of tensors or of nested values, whose rows no CSV file holds."""
    if not signature.is_table:
        odd = next((c for c in signature.inputs if c.shape or c.kind in ("array", "object", "map", "any")), None)
        what = f"column {odd.name!r} of the model is no plain value" if odd else f"the model takes {signature.form}"
        raise Invalid(f"{what}, so rows for it cannot be read from CSV")


def _opened(path: Path) -> tuple[bytes, _Reader]:
    """The bytes of a CSV file, plain or gzipped, and its cells."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"no file {path}", hint="look at models: … gate: data: in taut.yaml") from None
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as problem:
        raise Invalid(f"{path} cannot be read: {problem}") from None
    return data, _read_table(path, text)


def _read_table(path: Path, text: str) -> _Reader:
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(reader, [])
        numbered = [(reader.line_num, row) for row in reader if row]
    except csv.Error as problem:
        raise Invalid(f"{path}:{reader.line_num}: {problem}") from None
    if not numbered:
        raise Invalid(f"{path} holds no rows")
    places = {name: place for place, name in enumerate(header)}
    return _Reader(path, [row for _, row in numbered], [line for line, _ in numbered], places)


def _parser(column: SignatureColumn) -> Callable[[str], Cell]:
    if column.kind in ("long", "integer"):
        return _whole
    if column.kind in NUMBERS:
        return _number
    return (lambda written: TRUTH[written.lower()]) if column.kind == "boolean" else str


def _number(written: str) -> float:
    value = float(written)
    if not isfinite(value):
        raise ValueError(written)
    return value


def _label(written: str) -> float:
    return float(TRUTH[written.lower()]) if written.lower() in TRUTH else _number(written)


def _whole(written: str) -> int:
    value = float(written)
    if not value.is_integer():
        raise ValueError(written)
    return int(value)
