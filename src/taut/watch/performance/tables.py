"""The same of a file with the columns of a score and of a target: its rows in the order of time, no home needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from taut.errors import Invalid, NotFound
from taut.watch.columns import numeric_array
from taut.watch.performance.figures import Figure, Kind, figures_of
from taut.watch.performance.measuring import Asking, chosen_kind
from taut.watch.performance.rows import Rows
from taut.watch.performance.slices import Slice, slices_of
from taut.watch.tables import Names, read_frame

LOOKS = 20  # Parts of a file that are looked at one after the other.


@dataclass(frozen=True, slots=True)
class TablePerformance:
    """The measures of a file's rows, and those of its slices where it was cut by a column."""

    path: str
    kind: Kind
    rows: int
    labelled: int
    alpha: float
    figures: dict[str, Figure]
    by: str
    slices: tuple[Slice, ...]


def measure_table(
    path: Path, names: Names | None = None, *, by: str = "", kind: Asking = "auto", alpha: float = 0.05
) -> TablePerformance:
    """Measure a file, and its slices by a column where that is named. Raises NotFound, Invalid as reading does."""
    known = names or Names()
    frame = read_frame(path, known)
    if frame.scores is None or frame.targets is None:
        lacking = known.score if frame.scores is None else known.target
        raise Invalid(f"{path} has no column {lacking!r}", hint="name the columns with --score and --target")
    if by and by not in frame.columns:
        raise NotFound(f"{path} has no column {by!r}; it has {', '.join(frame.columns)}")
    times = np.arange(frame.rows)
    rows = Rows(times, numeric_array(frame.scores), numeric_array(frame.targets), frame.columns[by] if by else ())
    chosen = chosen_kind(kind, [rows])
    figures = figures_of(chosen, rows.labels, rows.scores, alpha)
    ends = sorted({frame.rows * look // LOOKS for look in range(1, LOOKS)} - {0})
    slices = slices_of(str(path), by, rows, chosen, alpha, ends).slices if by else ()
    labelled = int(np.count_nonzero(rows.known))
    return TablePerformance(str(path), chosen, frame.rows, labelled, alpha, figures, by, slices)
