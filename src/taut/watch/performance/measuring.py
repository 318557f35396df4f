"""How good each version was, window by window and to date: computed from the log whenever somebody asks.

Nothing of it is stored, so a label that came late is in the figures of the window that its event lies in. Bounds of a
version's life have `alpha`; those of its windows have it together, window k a part of 1/(k (k+1)).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from taut.deploy.rights import of_deployment
from taut.errors import Invalid
from taut.ground import wire
from taut.ground.clock import duration_ms
from taut.ground.objects import read_object
from taut.home import Home, verb
from taut.serve.log.spans import END_OF_TIME_MS
from taut.watch.events import Reference
from taut.watch.performance.estimates import Calibration, Estimates, Learned, calibration_of, estimates_of
from taut.watch.performance.figures import Figure, Kind, figures_of, kind_of
from taut.watch.performance.rows import Rows, Wanted, rows_by_version
from taut.watch.performance.sequences import share_of_alpha
from taut.watch.references import list_references

Asking = Literal["auto", "binary", "classes", "regression"]
WINDOWS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows of a version between two moments of their events, and its measures by the labels known now.

    The bounds of `figures` miss with a chance of `alpha` each. `estimates` are what the scores alone let one expect,
    None where there is nothing to expect it from.
    """

    version: str
    start_ms: int
    end_ms: int
    rows: int
    labelled: int
    alpha: float
    figures: dict[str, Figure]
    estimates: Estimates | None = None


@dataclass(frozen=True, slots=True)
class Performance:
    """A deployment's versions to date, and their windows in the order of time."""

    deployment: str
    kind: Kind
    score: str
    window_ms: int
    versions: tuple[Measured, ...]
    windows: tuple[Measured, ...]


@verb("watch.performance", needs="deployment:read", on=of_deployment)
def measure_performance(
    home: Home,
    deployment: str,
    window: str = "7d",
    score: str = "probability",
    kind: Asking = "auto",
    alpha: float = 0.05,
    from_event_ms: int = -END_OF_TIME_MS,
    until_event_ms: int = END_OF_TIME_MS,
) -> Performance:
    """Measure each version of a deployment on the labels that are known by now, per window and to date.

    Windows lie as those of the monitor where one watches the deployment, else they begin at whole multiples of their
    length since 1970. `score` is the output that is measured, `prediction` where there is none of that name. Without
    answers both lists are empty. Raises NotFound for a deployment that never was, Invalid for a duration, a kind or an
    alpha that is none.
    """
    if not 0.0 < alpha < 1.0:
        raise Invalid(f"alpha is a chance between 0 and 1, not {alpha}")
    length_ms = window_length(window)
    found = rows_by_version(home, Wanted(deployment, score, from_event_ms, until_event_ms))
    references = list_references(home, deployment)
    begin_ms = references[-1].from_ms if references else 0
    chosen = chosen_kind(kind, list(found.values()))
    versions: list[Measured] = []
    windows: list[Measured] = []
    for (model, number), rows in found.items():
        oid = next((one.oid for one in reversed(references) if (one.model, one.version) == (model, number)), "")
        known = _calibration(home, oid) if chosen == "binary" and oid else None
        name = f"{model}@{number}"
        spans = list(spans_of(rows, begin_ms, length_ms))
        versions.append(_measured(name, (spans[0][0], spans[-1][1]), rows, chosen, alpha))
        windows += _windows(name, spans, rows, chosen, alpha, known)
    windows.sort(key=lambda one: (one.start_ms, one.version))
    return Performance(deployment, chosen, score, length_ms, tuple(versions), tuple(windows))


def window_length(window: str) -> int:
    """A duration above nothing, in milliseconds. Raises Invalid."""
    length_ms = duration_ms(window)
    if not length_ms:
        raise Invalid(f"a window of {window!r} holds nothing", hint="--window 7d")
    return length_ms


def spans_of(rows: Rows, begin_ms: int, length_ms: int) -> Iterator[tuple[int, int]]:
    """The windows that hold rows, in order: each `length_ms` long, one of them beginning at `begin_ms`.

    Raises Invalid for more than 10,000 of them.
    """
    numbers = np.unique((rows.event_ms - begin_ms) // length_ms)
    if len(numbers) > WINDOWS_MAX:
        raise Invalid(f"{len(numbers)} windows are more than anybody reads", hint="--window 7d")
    for number in numbers.tolist():
        yield begin_ms + number * length_ms, begin_ms + (number + 1) * length_ms


def chosen_kind(asked: Asking, found: list[Rows]) -> Kind:
    """The kind that was asked for, else the one that fits all rows; one answer far off decides for all."""
    if asked != "auto":
        return asked
    kinds = {kind_of(rows.labels, rows.scores) for rows in found}
    return next((kind for kind in ("regression", "classes") if kind in kinds), "binary")


def _windows(
    name: str, spans: list[tuple[int, int]], rows: Rows, kind: Kind, alpha: float, known: Calibration | None
) -> Iterator[Measured]:
    """A version's windows; what earlier ones taught is what the next is expected to do."""
    learned = Learned()
    first_ms, until_ms = spans[0]
    for span in spans:
        inside = rows.between(*span)
        calibration = (learned.calibration() or known) if kind == "binary" else None
        place = 1 + (span[0] - first_ms) // (until_ms - first_ms)
        yield _measured(name, span, inside, kind, share_of_alpha(alpha, place), calibration)
        if kind == "binary":
            learned.add(inside.labels[inside.known], inside.scores[inside.known])


def _measured(
    name: str, span: tuple[int, int], rows: Rows, kind: Kind, alpha: float, calibration: Calibration | None = None
) -> Measured:
    figures = figures_of(kind, rows.labels, rows.scores, alpha)
    estimates = None if calibration is None else estimates_of(rows.scores, calibration)
    return Measured(name, *span, len(rows), int(np.count_nonzero(rows.known)), alpha, figures, estimates)


def _calibration(home: Home, oid: str) -> Calibration | None:
    profile = wire.decode(read_object(home.objects, oid), Reference, what="the reference profile")
    return calibration_of(profile)
