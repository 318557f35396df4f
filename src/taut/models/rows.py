"""Labelled rows from a CSV file, read by a model's signature: what a gate judges by and a monitor starts from."""

import csv
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from taut.errors import Invalid, NotFound
from taut.ground.clock import moment_ms
from taut.models.predictor import Cell, Columns
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
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"no file {path}", hint="look at models: … gate: data: in taut.yaml") from None
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, UnicodeDecodeError) as problem:
        raise Invalid(f"{path} cannot be read: {problem}") from None
    header, *rows = csv.reader(text.splitlines())
    places = {name: place for place, name in enumerate(header)}
    wanted = [*signature.names, target, *([time] if time else [])]
    if absent := [name for name in wanted if name not in places]:
        raise Invalid(f"{path} has no column {absent[0]!r}; it has {', '.join(header[:20])}")
    read = _Reader(path, rows, places)
    kept = [place for place, value in enumerate(read.cells(target)) if value not in MISSING]
    labels = [float(str(value)) for value in read.column(target, _number, kept)]
    if not labels:
        raise Invalid(f"{path} has no row with a label in {target!r}")
    columns = {column.name: read.column(column.name, _parser(column), kept) for column in signature.inputs}
    moments = [moment_ms(str(value)) for value in read.column(time, str, kept)] if time else []
    return LabelledRows(str(path), hashlib.sha256(data).hexdigest(), columns, labels, moments)


@dataclass(frozen=True, slots=True)
class _Reader:
    """The cells of a file, by column."""

    path: Path
    rows: list[list[str]]
    places: dict[str, int]

    def cells(self, name: str) -> list[str]:
        place = self.places[name]
        try:
            return [row[place] for row in self.rows]
        except IndexError:
            line = next(number for number, row in enumerate(self.rows, 2) if len(row) <= place)
            raise Invalid(f"{self.path}:{line}: the line has no column {name!r}") from None

    def column(self, name: str, parse: Callable[[str], Cell], kept: list[int]) -> list[Cell]:
        cells = self.cells(name)
        parsed: list[Cell] = []
        for place in kept:
            try:
                parsed.append(None if cells[place] in MISSING else parse(cells[place]))
            except (ValueError, KeyError):
                raise Invalid(f"{self.path}:{place + 2}: column {name!r} cannot be {cells[place]!r:.60}") from None
        return parsed


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


def _whole(written: str) -> int:
    value = float(written)
    if not value.is_integer():
        raise ValueError(written)
    return int(value)
