"""Rows that a model and its graph must agree on: a sample, and what lies at the edges of what a request can hold.

A table of rows alone proves little, for where two programs disagree no recorded row may lie: within the last bit of a
threshold, at a time in seconds that float32 cannot hold, at a text that nobody sent yet.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taut.models.inputs import Cell
from taut.models.signature import NUMBERS, Kind, Signature, SignatureColumn

Columns = dict[str, list[Cell]]
Predict = Callable[[Columns], Mapping[str, Sequence[Cell]]]

ROWS_MAX = 2_000  # Of a sample; edges are derived from its first rows.
BASES = 16  # Rows that edges are tried on.
HALVINGS = 66  # From any two doubles of one sign to two neighbours takes 64.
INT_MAX: dict[Kind, int] = {"long": 2**63 - 1, "integer": 2**31 - 1}
# Small, whole, past float32's and float64's whole numbers, times in seconds and in milliseconds, and past float32.
MAGNITUDES = (
    0.0, -0.0, 1.0, -1.0, 0.1, 1e-12, -1e-12, 1e-300, 16_777_217.0, 1_700_000_001.0, -1_700_000_001.0,
    1_700_000_000_123.0, 9_007_199_254_740_993.0, 1e9 + 0.5, 1e15, -1e15, 1e38, 3.5e38, -3.5e38, 1e300,
)  # fmt: skip
STRANGE = ("", " ", "taut-never-seen", "ö", "\u0130", "0", "nan", "None", "a" * 1_000)


@dataclass(frozen=True, slots=True)
class Probe:
    """Rows by columns, and what they are to find out."""

    aim: str
    columns: Columns


def sample_of(signature: Signature, texts: Mapping[str, Sequence[str]], *, rows: int, seed: int) -> Columns:
    """Made-up rows where none were recorded: numbers of several widths, the texts that a model knows."""
    import numpy as np

    chance = np.random.default_rng(seed)
    made: Columns = {}
    for column in signature.inputs:
        if column.kind == "string":
            known = list(texts.get(column.name, ())) or ["a"]
            made[column.name] = [known[place] for place in chance.integers(0, len(known), rows)]
        elif column.kind == "boolean":
            made[column.name] = [bool(value) for value in chance.integers(0, 2, rows)]
        else:
            wide = chance.standard_normal(rows) * 10.0 ** chance.integers(-1, 4, rows)
            made[column.name] = [_as_kind(column.kind, value) for value in wide.tolist()]
    return made


def probes(
    signature: Signature, sample: Columns, texts: Mapping[str, Sequence[str]], predict: Predict, *, seed: int = 0
) -> Iterator[Probe]:
    """The sample and its edges; `predict` is the model itself, asked where its answers jump.

    `sample` has at least one row; `texts` are the texts by column that the model knows.
    """
    import numpy as np

    rows = len(next(iter(sample.values())))
    chance = np.random.default_rng(seed)
    yield Probe("sample", {name: values[:ROWS_MAX] for name, values in sample.items()})
    yield Probe("mixed", {n: [v[p] for p in chance.integers(0, rows, min(rows, ROWS_MAX))] for n, v in sample.items()})
    bases = {name: [values[place] for place in chance.integers(0, rows, BASES)] for name, values in sample.items()}
    first = {name: values[:1] for name, values in bases.items()}
    for column in signature.inputs:
        if column.kind == "string":
            tried: list[Cell] = [*texts.get(column.name, ()), *STRANGE]
            yield Probe("unseen", _with(first, column.name, tried))
        elif column.kind in NUMBERS:
            yield Probe("magnitude", _with(first, column.name, _magnitudes(column)))
        yield Probe("missing", _with(bases, column.name, [None] * BASES))
    yield Probe("missing", {column.name: [None] for column in signature.inputs})
    edges = boundaries(signature, bases, predict, chance)
    if edges is not None:
        yield Probe("boundary", edges)


def boundaries(signature: Signature, bases: Columns, predict: Predict, chance: Any) -> Columns | None:
    """Rows on both sides of where the model's answer jumps: two neighbouring doubles in one column, all else equal.

    Between two values of a column with different answers one half has different answers at its ends; halving leads to
    two neighbours. All rows and columns are halved at once. None where no column of numbers changes any answer.
    """
    import numpy as np

    places = [column for column in signature.inputs if column.kind in ("double", "float")]
    count = len(next(iter(bases.values())))
    if not places:
        return None
    columns = {name: values * len(places) for name, values in bases.items()}
    moved = {column.name: slice(at * count, (at + 1) * count) for at, column in enumerate(places)}
    numbers = np.array([[np.nan if v is None else float(v) for v in bases[column.name]] for column in places])
    low = numbers.ravel()
    high = np.concatenate([row[chance.permutation(count)] for row in numbers])

    def asked(values: Any) -> Any:
        given = {name: list(cells) for name, cells in columns.items()}
        for name, span in moved.items():
            given[name][span] = [None if np.isnan(v) else v for v in values[span].tolist()]
        return _as_numbers(predict(given))

    try:
        at_low, at_high = asked(low), asked(high)
        searched = ~np.isnan(low) & ~np.isnan(high) & (at_low != at_high).any(axis=1)
        for _ in range(HALVINGS):
            middle = np.where(searched, _between(low, high), low)
            at_middle = asked(middle)
            same = (at_middle == at_low).all(axis=1)
            low, at_low = (
                np.where(searched & same, middle, low),
                np.where((searched & same)[:, None], at_middle, at_low),
            )
            high = np.where(searched & ~same, middle, high)
    except Exception:  # noqa: BLE001  # A model that refuses these rows is asked the same of the other probes.
        return None
    if not searched.any():
        return None
    chosen = np.flatnonzero(searched)
    made: Columns = {name: [cells[place] for place in chosen] * 2 for name, cells in columns.items()}
    for name, span in moved.items():
        for at, place in enumerate(chosen):
            if span.start <= place < span.stop:
                made[name][at], made[name][at + len(chosen)] = float(low[place]), float(high[place])
    return made


def _between(low: Any, high: Any) -> Any:
    """Half way between doubles by their order, not by their size, so that 66 steps lead anywhere."""
    import numpy as np

    def ordered(values: Any) -> Any:
        bits = values.view(np.int64)
        return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)

    first, second = ordered(np.ascontiguousarray(low)), ordered(np.ascontiguousarray(high))
    middle = (first >> 1) + (second >> 1) + (first & second & 1)
    return np.where(middle < 0, np.int64(-(2**63)) - middle, middle).view(np.float64)


def _as_numbers(answer: Mapping[str, Sequence[Cell]]) -> Any:
    """What decides whether two answers are the same [rows, outputs]; a label counts by its place among the labels."""
    import numpy as np

    made = []
    for values in answer.values():
        if all(isinstance(value, int | float) for value in values):
            made.append(np.array(values, dtype=np.float64))
        else:
            made.append(
                np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)[1].astype(np.float64)
            )
    return np.column_stack(made)


def _with(rows: Columns, name: str, values: list[Cell]) -> Columns:
    """As many rows as there are values, one column of them replaced."""
    count = len(next(iter(rows.values())))
    return {
        each: list(values) if each == name else [cells[place % count] for place in range(len(values))]
        for each, cells in rows.items()
    }


def _magnitudes(column: SignatureColumn) -> list[Cell]:
    if column.kind in INT_MAX:
        most = INT_MAX[column.kind]
        return [_as_kind(column.kind, value) for value in MAGNITUDES if abs(value) < most] + [most, -most]
    return [_as_kind(column.kind, value) for value in MAGNITUDES if column.kind != "float" or abs(value) < 3.4e38]


def _as_kind(kind: Kind, value: float) -> Cell:
    return int(value) if kind in INT_MAX else value
