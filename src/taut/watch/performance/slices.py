"""Where a version is worse than elsewhere: its rows cut by an input column, and evidence for each part at any time.

An error of a classifier is a wrong class; one of a regression is to be off by more than half of the first window's
rows were, which do not count then. In each window the share of errors in a slice is held against that of all other
rows, by the test that judges canaries (`taut.serve.rollout.judging`): under "no worse than the rest" its mean is at
most one, whatever the shares are and however they change. e-BH then names slices such that at most the share `alpha`
of the names is wrong on average, however the slices depend on each other.

Proven where rows are independent and windows are looked at when their labels have come; a label that comes later
changes a window that was bet on, and then it is approximate. Slices are cut by the inputs alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp

import numpy as np
from numpy.typing import NDArray

from taut.deploy.rights import of_deployment
from taut.errors import Invalid, NotFound
from taut.home import Home, verb
from taut.serve.log.spans import END_OF_TIME_MS
from taut.serve.rollout.judging import Evidence, update
from taut.watch.columns import Column, Words, categorical_counts, is_numeric, numeric_array
from taut.watch.detectors.ebh import discoveries
from taut.watch.events import TOP_LEVELS, order_cuts
from taut.watch.performance.figures import Figure, Kind, figures_of
from taut.watch.performance.measuring import Asking, chosen_kind, spans_of, window_length
from taut.watch.performance.rows import Rows, Wanted, rows_by_version, versions_named
from taut.watch.performance.sequences import Floats

NUMERIC_SLICES = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """Some rows of a version, by what an input is: its measures, and how sure it is that it errs more than the rest.

    `error_rate` is the share of errors among its labelled rows. The bounds of its figures miss with a chance of alpha
    for all slices together, each figure by itself.
    """

    name: str
    rows: int
    labelled: int
    error_rate: float | None
    e_value: float
    is_worse: bool
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True)
class Sliced:
    """The slices of a version by one column, those with the most evidence first."""

    version: str
    by: str
    kind: Kind
    alpha: float
    slices: tuple[Slice, ...]


@verb("watch.slices", needs="prediction:read", on=of_deployment)
def measure_slices(
    home: Home,
    deployment: str,
    by: str,
    number: int = 0,
    window: str = "7d",
    score: str = "probability",
    kind: Asking = "auto",
    alpha: float = 0.05,
    from_event_ms: int = -END_OF_TIME_MS,
    until_event_ms: int = END_OF_TIME_MS,
) -> Sliced:
    """Measure a version by what the input `by` was, and name the slices that it errs more in than in the rest.

    `number` 0 is the version that answered last. Numbers are cut at their quintiles, other values are their twelve
    most frequent levels and the rest. Raises NotFound for a deployment, version or column that never was.
    """
    found = rows_by_version(home, Wanted(deployment, score, from_event_ms, until_event_ms, by))
    of_number = {version: rows for version, rows in found.items() if number in (0, version[1])}
    if not of_number:
        asked = f"version {number} of deployment" if number else "deployment"
        known = versions_named(list(found)) or "nobody yet"
        raise NotFound(f"{asked} {deployment!r} answered nothing there; who did: {known}", hint="taut deployments")
    (model, chosen), rows = max(of_number.items(), key=lambda one: int(one[1].event_ms[-1]))
    if categorical_counts(rows.by)[1] == len(rows):
        raise NotFound(
            f"no request to {model}@{chosen} had a column {by!r}", hint=f"taut predictions query {deployment}"
        )
    looks = [rows.event_ms < end_ms for _, end_ms in list(spans_of(rows, 0, window_length(window)))[:-1]]
    ends = [int(np.count_nonzero(look)) for look in looks]
    return slices_of(f"{model}@{chosen}", by, rows, chosen_kind(kind, [rows]), alpha, ends)


def slices_of(version: str, by: str, rows: Rows, kind: Kind, alpha: float, ends: Sequence[int]) -> Sliced:
    """The slices of rows whose `by` is there; one look ends before each of the rows `ends`, the last with the last row.

    Raises Invalid where there is no row, or alpha is no chance.
    """
    if not 0.0 < alpha < 1.0 or not len(rows):
        raise Invalid(f"slices need rows and a chance between 0 and 1, found {len(rows)} rows and alpha {alpha}")
    names, places = cut(by, rows.by)
    wrong, counts = _errors(kind, rows, [*ends, len(rows)])
    evidence = {name: _evidence(places == place, wrong, counts, [*ends, len(rows)]) for place, name in enumerate(names)}
    worse = discoveries({name: one.log_e for name, one in evidence.items()}, fdr=alpha)
    slices = []
    for place, name in enumerate(names):
        inside = places == place
        figures = figures_of(kind, rows.labels[inside], rows.scores[inside], alpha / len(names))
        asked = inside & rows.known
        labelled = int(np.count_nonzero(asked))
        rate = float(np.count_nonzero(wrong & asked)) / labelled if labelled else None
        e_value = exp(min(evidence[name].log_e, 700.0))
        slices.append(Slice(name, int(np.count_nonzero(inside)), labelled, rate, e_value, name in worse, figures))
    return Sliced(version, by, kind, alpha, tuple(sorted(slices, key=lambda one: (-one.e_value, one.name))))


def cut(by: str, column: Column) -> tuple[list[str], NDArray[np.int64]]:
    """The names of the slices of a column, and the place of each row's slice among them, shape (rows,).

    >>> cut("plan", ["a", "b", "a", None])
    (['plan = a', 'plan = b', 'plan is missing'], array([0, 1, 0, 2]))
    """
    names, places = _by_size(by, numeric_array(column)) if is_numeric(column) else _by_level(by, column)
    seen, places = np.unique(places, return_inverse=True)
    return [names[place] for place in seen], places


def _by_size(by: str, values: Floats) -> tuple[list[str], NDArray[np.int64]]:
    cuts = order_cuts(values, NUMERIC_SLICES - 1)
    if not cuts:
        names = [f"{by} of any size"]
    else:
        between = [f"{by} in {low:.4g} to {high:.4g}" for low, high in pairwise(cuts)]
        names = [f"{by} <= {cuts[0]:.4g}", *between, f"{by} > {cuts[-1]:.4g}"]
    places = np.where(np.isnan(values), len(names), np.searchsorted(cuts, values, side="left"))
    return [*names, f"{by} is missing"], places.astype(np.int64)


def _by_level(by: str, column: Column) -> tuple[list[str], NDArray[np.int64]]:
    counts, _ = categorical_counts(column)
    top = sorted(counts, key=lambda level: (-counts[level], level))[:TOP_LEVELS]
    known = {level: place for place, level in enumerate(top)}
    cells = column.cells() if isinstance(column, Words) else column
    rest, missing = len(top), len(top) + 1
    places = [missing if cell is None or cell != cell else known.get(str(cell), rest) for cell in cells]  # noqa: PLR0124  # NaN
    names = [*(f"{by} = {level}" for level in top), f"{by} is another level", f"{by} is missing"]
    return names, np.asarray(places, dtype=np.int64)


def _errors(kind: Kind, rows: Rows, ends: Sequence[int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are errors, and which of the rows count."""
    known = rows.known
    if kind == "binary":
        return known & ((rows.scores >= 0.5) != (rows.labels >= 0.5)), known
    if kind == "classes":
        return known & (rows.scores != rows.labels), known
    off = np.abs(rows.scores - rows.labels)
    begin = next((end for end in ends if known[:end].any()), len(rows))
    first = off[:begin][known[:begin]]
    bound = float(np.median(first)) if len(first) else 0.0
    return known & (off > bound), known & (np.arange(len(rows)) >= begin)


def _evidence(
    inside: NDArray[np.bool_], wrong: NDArray[np.bool_], counts: NDArray[np.bool_], ends: Sequence[int]
) -> Evidence:
    """The evidence that a slice errs more than the rest, after all looks."""
    tallies = [
        np.concatenate([[0], np.cumsum(some & counts)]) for some in (inside & wrong, inside, wrong, inside | ~inside)
    ]
    found, before = Evidence(), 0
    for end in ends:
        bad, rows, all_bad, all_rows = (int(tally[end] - tally[before]) for tally in tallies)
        found = update(found, 0.0, (bad, rows), (all_bad - bad, all_rows - rows))
        before = end
    return found
