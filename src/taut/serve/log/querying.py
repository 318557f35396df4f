"""Rows of the log that are asked for: by range, version and id, and by what stands in their columns."""

import difflib
import operator
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.home import Home
from taut.serve.log.paging import Asked, Labelled, each_request, spans_backwards

Cell = Any
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
CONDITION = re.compile(r"\s*(?P<name>.+?)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
OWN = ("id", "event_ms", "at_ms", "model", "number", "revision", "role", "latency_us", "label")


@dataclass(frozen=True, slots=True)
class PredictedRow:
    """One prediction: what was asked, what was answered, and what turned out to be true, where that is known."""

    id: str
    event_ms: int
    at_ms: int
    model: str
    number: int
    revision: int
    role: str
    latency_us: int
    inputs: dict[str, Cell]
    outputs: dict[str, Cell]
    label: float | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What a row must meet: a column (`input.NAME`, `output.NAME`, or NAME where one has it) held against a value."""

    name: str
    sign: str
    value: Cell

    def holds(self, row: PredictedRow) -> bool:
        """Whether it does; a missing value equals null alone, and what cannot be compared does not hold."""
        cell = self._cell(row)
        if self.sign in {"=", "!="}:
            return OPERATORS[self.sign](cell, self.value)
        try:
            return cell is not None and OPERATORS[self.sign](cell, self.value)
        except TypeError:
            return False

    def is_known(self, row: PredictedRow) -> bool:
        """Whether a row has the column."""
        kind, _, name = self.name.partition(".")
        return (
            self.name in OWN or self.name in row.inputs or self.name in row.outputs
            or (kind == "input" and name in row.inputs) or (kind == "output" and name in row.outputs)
        )  # fmt: skip

    def _cell(self, row: PredictedRow) -> Cell:
        for columns, prefix in ((row.inputs, "input."), (row.outputs, "output.")):
            if self.name.startswith(prefix) and (name := self.name.removeprefix(prefix)) in columns:
                return columns[name]
        if self.name in OWN:
            return getattr(row, self.name)
        return row.outputs[self.name] if self.name in row.outputs else row.inputs.get(self.name)


def read_condition(written: str) -> Condition:
    """A condition as it is typed: `delay > 30`, `carrier = "UA"`, `label != null`; a bare word is text. Raises Invalid.

    >>> read_condition("input.delay >= 30"), read_condition("carrier = UA").value
    (Condition(name='input.delay', sign='>=', value=30), 'UA')
    """
    found = CONDITION.fullmatch(written)
    if found is None:
        signs = ", ".join(OPERATORS)
        raise Invalid(f"{written!r} is no condition; write a column, one of {signs}, and a value, as 'delay > 30'")
    try:
        value = msgspec.json.decode(found["value"])
    except msgspec.DecodeError:
        value = found["value"]
    if isinstance(value, list | dict):
        raise Invalid(f"{written!r}: a value is a number, text, true, false or null")
    return Condition(found["name"], found["sign"], value)


def query_rows(
    home: Home, asked: Asked, where: Sequence[Condition] = (), *, labelled: bool = False, newest: bool = False,
    limit: int = 0,
) -> Iterator[PredictedRow]:  # fmt: skip
    """The rows that are meant and meet all conditions, in the order of event time; at most `limit`, 0 for all.

    `newest` begins with the last and goes back. Of the log only some requests are in memory at a time, with `newest`
    as many as are asked for. Raises Invalid, at the end, for a column that no row had; see `each_request` besides.
    """
    kept = _Kept(where, labelled=labelled)
    rows = _newest(home, asked, kept, limit) if newest else kept.of(each_request(home, asked), asked.ids)
    yield from islice(rows, limit or None)
    kept.check()


class _Kept:
    """Which rows are kept; remembers which columns were never there."""

    def __init__(self, where: Sequence[Condition], *, labelled: bool) -> None:
        self._where = where
        self._labelled = labelled
        self._unknown = {one.name: one for one in where if one.name not in OWN}
        self._names: set[str] = set()

    def of(self, requests: Iterable[Labelled], ids: Sequence[str] = ()) -> Iterator[PredictedRow]:
        """The rows of requests that are kept; of named ones, the rows that were named."""
        for one in requests:
            for row in rows_of(one):
                if ids and not _is_named(row.id, ids):
                    continue
                if self._unknown:
                    self._names |= row.inputs.keys() | row.outputs.keys()
                    self._unknown = {name: seen for name, seen in self._unknown.items() if not seen.is_known(row)}
                if (not self._labelled or row.label is not None) and all(one.holds(row) for one in self._where):
                    yield row

    def check(self) -> None:
        """Raise Invalid for a column that was asked for and that no row had, where there were rows."""
        if self._unknown and self._names:
            name = min(self._unknown)
            close = difflib.get_close_matches(name.rpartition(".")[2], sorted(self._names), n=1)
            meant = f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(self._names))}"
            raise Invalid(f"none of the predictions has a column {name!r}{meant}")


def rows_of(one: Labelled) -> Iterator[PredictedRow]:
    """The rows of a request."""
    said = one.request
    for row in range(said.rows):
        yield PredictedRow(
            f"{said.id}.{row}", said.event_ms, said.at_ms, said.model, said.number, said.revision, said.role,
            said.latency_us, {name: values[row] for name, values in said.inputs.items()},
            {name: values[row] for name, values in said.outputs.items()}, one.labels[row],
        )  # fmt: skip


def _newest(home: Home, asked: Asked, kept: _Kept, limit: int) -> Iterator[PredictedRow]:
    if asked.ids:
        yield from reversed(list(kept.of(each_request(home, asked), asked.ids)))
        return
    left = limit
    for part in spans_backwards(home, asked):
        found = deque(kept.of(each_request(home, part)), maxlen=left if limit else None)
        yield from reversed(found)
        left -= len(found)
        if limit and left <= 0:
            return


def _is_named(row: str, ids: Sequence[str]) -> bool:
    """Whether a row was named, by itself or by its request."""
    return row in ids or row.rpartition(".")[0] in ids
