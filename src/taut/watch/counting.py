"""The answered rows of a span of time as counts over a reference's events, read from the log by columns.

What is counted of a row depends on that row alone, so the counts of parts, processes and machines add up, bit for bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taut.project import MonitorSpec
from taut.serve import PredictionReader, Span
from taut.serve.log.parts import LoggedPart, logged_parts
from taut.watch.columns import Column, numeric_array
from taut.watch.counts import NO_COUNTS, WindowCounts, count_labels, count_window
from taut.watch.events import Feature, Reference

PREFIX = "input."  # So that no input is taken for a score.
SCORE, ANSWER = "score", "prediction"
PLAIN = (str, int, float, type(None))

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CountedRows:
    """What some rows say: their counts, how many they are, and the score and the label of those that have a label.

    `scores` and `targets` have shape (labelled,), in no order; a score that is no number is NaN.
    """

    counts: WindowCounts
    rows: int
    scores: Floats
    targets: Floats

    @property
    def labelled(self) -> int:
        """Rows whose label is known."""
        return len(self.targets)


def count_log(log: PredictionReader, span: Span, reference: Reference, spec: MonitorSpec) -> CountedRows:
    """Count all answers of a span that are in the log at this moment. Memory does not grow with the span.

    Of labelled rows 16 bytes each are kept. Costs tens of nanoseconds for a value, see `bench/counting.py`.
    """
    watched = _watched(reference, spec)
    names = {feature.name for feature in watched.features}
    return count_parts(logged_parts(log, span, inputs=names, outputs=(spec.score, ANSWER)), watched, spec)


def count_parts(parts: Iterable[LoggedPart], reference: Reference, spec: MonitorSpec) -> CountedRows:
    """The sum of the counts of some parts, in any order."""
    counts, rows = NO_COUNTS, 0
    scores, targets = [np.empty(0)], [np.empty(0)]
    watched = _watched(reference, spec)
    for part in parts:
        columns, score = _columns(part, watched, spec)
        known = ~np.isnan(part.labels)
        counted = count_window(watched, columns, scores=score)
        score_numbers = numeric_array(score)[known]
        labels = count_labels(reference, score_numbers, part.labels[known])
        some = replace(counted + labels, rows=counted.rows)
        counts, rows = counts + some, rows + part.rows
        scores.append(score_numbers)
        targets.append(part.labels[known])
    return CountedRows(counts, rows, np.concatenate(scores), np.concatenate(targets))


def _watched(reference: Reference, spec: MonitorSpec) -> Reference:
    """The reference without columns that the monitor no longer looks at: these are asked nothing, and not missing."""
    return replace(reference, features=tuple(one for one in reference.features if _is_watched(one, spec)))


def _is_watched(feature: Feature, spec: MonitorSpec) -> bool:
    return feature.kind in {"label", "score", "joint"} or not spec.features or feature.name in spec.features


def _columns(part: LoggedPart, reference: Reference, spec: MonitorSpec) -> tuple[dict[str, Column], Column]:
    """The inputs that the reference knows, and the scores. What no request of the part has is missing in every row."""
    given = {PREFIX + name: column for name, column in part.inputs().items()}
    given[SCORE] = part.output(spec.score, ANSWER)
    found: dict[str, Column] = {name: _plain(column) for name, column in given.items() if isinstance(column, list)}
    if typed := {name: column for name, column in given.items() if name not in found}:
        found |= _of_arrow(typed)
    missing = np.full(part.rows, np.nan)
    kinds = {"numeric", "categorical"}
    columns = {one.name: found.get(PREFIX + one.name, missing) for one in reference.features if one.kind in kinds}
    return columns, found.get(SCORE, missing)


def _of_arrow(typed: dict[str, Any]) -> dict[str, Column]:
    """Columns of Arrow as they are counted, without those of kinds that no event asks about."""
    import pyarrow as pa

    from taut.watch.tables import Names, frame_of

    frame = frame_of(pa.table(typed), Names())
    return frame.columns if frame.scores is None else {**frame.columns, SCORE: frame.scores}


def _plain(cells: list[Any]) -> Column:
    """The cells without nested ones, which no event asks about."""
    return [cell if isinstance(cell, PLAIN) else None for cell in cells]
