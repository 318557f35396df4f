"""Whether a graph answers as its model does: on every probe the same label, numbers within a tolerance, no row more."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.models.compiled.probing import Columns, Probe
from taut.models.inputs import Cell

Answer = Mapping[str, Sequence[Cell]]
Predict = Callable[[Columns], Answer]
SHOWN_MAX = 1_000
TOLERANCE = 1e-9
"""How far two numbers may be apart: so much, or so much of the larger, whichever is more."""


class Compared(msgspec.Struct, frozen=True):
    """What was found: rows held against each other by aim, the largest gap, the first disagreement if there is one."""

    rows: dict[str, int]
    gap: float
    tolerance: float
    difference: str = ""

    @property
    def agree(self) -> bool:
        """Whether the graph may answer in the place of the model."""
        return not self.difference


def compare(model: Predict, graph: Predict, probes: Iterable[Probe], *, tolerance: float = TOLERANCE) -> Compared:
    """Ask both on all probes, up to the first disagreement."""
    rows: dict[str, int] = {}
    gap = 0.0
    for probe in probes:
        for part in _answerable(model, graph, probe.columns):
            if isinstance(part, str):
                return Compared(rows, gap, tolerance, f"{probe.aim}: {part}"[:SHOWN_MAX])
            if part is None:
                rows["refused"] = rows.get("refused", 0) + 1
                continue
            columns, said, answered = part
            found, where = _apart(said, answered, tolerance)
            gap = max(gap, found)
            if where is not None:
                at, output = where
                shown = {name: values[at] for name, values in columns.items()}
                told = f"{output} is {said[output][at]!r}, the graph says {answered[output][at]!r} of {shown}"
                return Compared(rows, gap, tolerance, f"{probe.aim}: {told}"[:SHOWN_MAX])
            rows[probe.aim] = rows.get(probe.aim, 0) + len(next(iter(said.values())))
    return Compared(rows, gap, tolerance)


def _answerable(
    model: Predict, graph: Predict, columns: Columns
) -> Iterable[tuple[Columns, Answer, Answer] | str | None]:
    """Both answers to all rows, or by halves where one of them refuses some.

    None for a row that both refuse, a text for one that only one of them does.
    """
    said, refusal = _asked(model, columns)
    answered, other = _asked(graph, columns)
    if said is not None and answered is not None:
        yield columns, said, answered
        return
    count = len(next(iter(columns.values())))
    if count == 1:
        if said is None and answered is None:
            yield None
            return
        who = "the model" if said is None else "the graph"
        row = {name: values[0] for name, values in columns.items()}
        yield f"only {who} refuses {row}: {refusal or other}"
        return
    for half in (slice(0, count // 2), slice(count // 2, count)):
        yield from _answerable(model, graph, {name: values[half] for name, values in columns.items()})


def _asked(predict: Predict, columns: Columns) -> tuple[Answer | None, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Edges are what libraries warn of.
            return predict(columns), ""
    except Invalid as problem:
        return None, problem.message
    except Exception as problem:  # noqa: BLE001  # A model is foreign code: whatever it raises is that it gave no answer.
        return None, f"{type(problem).__name__}: {problem}"


def _apart(said: Answer, answered: Answer, tolerance: float) -> tuple[float, tuple[int, str] | None]:
    """The largest gap of numbers, and the first place that is too far apart."""
    import numpy as np

    if said.keys() != answered.keys():
        return 0.0, (0, next(iter(said.keys() ^ answered.keys())))
    gap = 0.0
    shares = [name for name in said if name != "prediction"]
    for name in [*shares, "prediction"]:
        first, second = said[name], answered[name]
        if shares and name == "prediction":
            wrong = np.array([a != b for a, b in zip(first, second, strict=True)])
            wrong &= ~_tied(said, shares, tolerance)
        else:
            one, two = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
            with np.errstate(invalid="ignore", over="ignore"):
                apart = np.where(one == two, 0.0, np.abs(one - two))
                apart = np.where(np.isnan(one) & np.isnan(two), 0.0, apart)
                allowed = tolerance * np.maximum(1.0, np.maximum(np.abs(one), np.abs(two)))
                wrong = ~(apart <= allowed)
                relative = apart / np.maximum(1.0, np.abs(one))
            gap = max(gap, float(np.nanmax(relative, initial=0.0)))
        if wrong.any():
            return gap, (int(wrong.argmax()), name)
    return gap, None


def _tied(said: Answer, shares: Sequence[str], tolerance: float) -> Any:
    """Rows whose two largest shares are as good as equal: there either label is right."""
    import numpy as np

    if len(shares) == 1:
        second = np.array(said[shares[0]], dtype=np.float64)
        return np.abs(2.0 * second - 1.0) <= 2 * tolerance
    table = np.sort(np.column_stack([np.array(said[name], dtype=np.float64) for name in shares]), axis=1)
    return table[:, -1] - table[:, -2] <= 2 * tolerance
