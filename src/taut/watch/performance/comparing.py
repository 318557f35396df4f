"""Two versions of a deployment by the labels that came: which one loses less, and how sure that is at any time.

A loss lies between 0 and 1: what `taut.serve.rollout.losses` says of a canary, which is the squared distance of a
probability from its label, else whether it is another; of a regression e/(e+c), where e is how far it is off and c the
median of that over both versions in the first window, whose rows do not count then.

Where both answered the same requests, one as the other's shadow, the differences of a row's losses are bet on as
`sequences` does: proven, in whatever order labels come. Else the two are held against each other as a canary is against
live, window by window, by the test in `taut.serve.rollout.judging`: proven where a window is looked at when its labels
have come. The interval then is that of each mean with half of alpha: proven, and wider than a test needs. Whose share
of the requests depends on what is asked has to be compared as pairs, or it is not the same rows that are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from taut.deploy.rights import of_deployment
from taut.errors import Invalid, NotFound
from taut.home import Home, verb
from taut.serve import open_log
from taut.serve.log.spans import END_OF_TIME_MS
from taut.serve.rollout.judging import Evidence, weigh
from taut.serve.rollout.losses import loss_of
from taut.watch.performance.figures import Kind
from taut.watch.performance.measuring import Asking, chosen_kind, spans_of, window_length
from taut.watch.performance.rows import Rows, Wanted, rows_of_two, versions_named
from taut.watch.performance.sequences import Floats, Range, log_e_above, mean_bounds

How = Literal["pairs", "arms"]
LOSSES: dict[Kind, str] = {
    "binary": "squared distance of the score from its label",
    "classes": "whether the prediction is wrong",
    "regression": "error / (error + median error of the first window)",
}
DIFFERENCES = Range(-1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Arm:
    """One of two versions: its labelled rows that were compared, and their mean loss; None without any."""

    version: str
    rows: int
    loss: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions held against each other; `difference` is the mean loss of the second less that of the first.

    It lies between `low` and `high` at all times at once with a chance of 1 - `alpha`. `e_worse` is the evidence that
    the second loses more, `e_better` that it loses less; either is enough at 2/`alpha`.
    """

    deployment: str
    how: How
    kind: Kind
    loss: str
    one: Arm
    other: Arm
    difference: float | None
    low: float
    high: float
    e_worse: float
    e_better: float
    alpha: float
    text: str


@verb("watch.compare", needs="deployment:read", on=of_deployment)
def compare_versions(
    home: Home,
    deployment: str,
    one: int = 0,
    other: int = 0,
    window: str = "1d",
    score: str = "probability",
    kind: Asking = "auto",
    alpha: float = 0.05,
    from_event_ms: int = -END_OF_TIME_MS,
    until_event_ms: int = END_OF_TIME_MS,
) -> Comparison:
    """Hold two versions of a deployment against each other by the labels known now, as often as one likes.

    Without numbers, the two that were rolled out last among those that answered. They are compared as pairs where at
    least as many rows were answered by both as by either alone. Raises NotFound where a version never answered, Invalid
    where both are the same or alpha is no chance.
    """
    first, second = _versions(home, deployment, one, other)
    said = rows_of_two(home, Wanted(deployment, score, from_event_ms, until_event_ms), first, second)
    paired, alone = (int(np.count_nonzero(_known_in(*rows))) for rows in (said.both, _shorter(said.alone)))
    how: How = "pairs" if paired and paired >= alone else "arms"
    rows = said.both if how == "pairs" else said.alone
    names = f"{first[0]}@{first[1]}", f"{second[0]}@{second[1]}"
    chosen = chosen_kind(kind, [*rows])
    return compare_rows(deployment, names, how, rows, chosen, alpha, window_length(window))


def compare_rows(
    deployment: str, names: tuple[str, str], how: How, rows: tuple[Rows, Rows], kind: Kind, alpha: float, length_ms: int
) -> Comparison:
    """The same of rows; pairs are the same rows in the same order. Raises Invalid for an alpha that is none."""
    if not 0.0 < alpha < 1.0:
        raise Invalid(f"alpha is a chance between 0 and 1, not {alpha}")
    known = _known_in(*rows) if how == "pairs" else None
    times, lost = _losses(tuple(_chosen(some, known) for some in rows), kind, length_ms)
    arms = tuple(
        Arm(name, len(losses), float(losses.mean()) if len(losses) else None)
        for name, losses in zip(names, lost, strict=True)
    )
    difference = None if arms[0].loss is None or arms[1].loss is None else arms[1].loss - arms[0].loss
    if how == "pairs":
        apart = lost[1] - lost[0]
        low, high = mean_bounds(apart, alpha, DIFFERENCES)
        logs = log_e_above(apart, 0.0, DIFFERENCES), log_e_above(-apart, 0.0, DIFFERENCES)
    else:
        (low_one, high_one), (low_other, high_other) = (mean_bounds(losses, alpha / 2.0) for losses in lost)
        low, high = low_other - high_one, high_other - low_one
        logs = _evidence(times, lost, length_ms)
    e_worse, e_better = (exp(min(one, 700.0)) for one in logs)
    text = _told(arms, logs, alpha)
    return Comparison(
        deployment, how, kind, LOSSES[kind], arms[0], arms[1], difference, low, high, e_worse, e_better, alpha, text
    )


def _versions(home: Home, deployment: str, one: int, other: int) -> list[tuple[str, int]]:
    """The two that are meant, among those that answered, oldest rollout first."""
    with open_log(home, deployment) as log:
        answered = log.versions()
    seen = list(dict.fromkeys((said.model, said.number) for said in reversed(answered)))[::-1]
    if one and one == other:
        raise Invalid(f"version {one} is the same as itself", hint=f"taut watch compare {deployment} --versions 1 2")
    chosen = []
    for number in (one, other):
        found = next((version for version in reversed(seen) if version[1] == number), None)
        if number and found is None:
            raise NotFound(
                f"version {number} of {deployment!r} answered nothing; who did: {versions_named(seen) or 'nobody yet'}",
                hint=f"taut deployments {deployment}",
            )
        if found is not None:
            chosen.append(found)
    left = [version for version in seen if version not in chosen]
    if len(chosen) + len(left) < 2:
        raise NotFound(
            f"{deployment!r} has answers of fewer than two versions: {versions_named(seen) or 'of none yet'}",
            hint=f"taut deployments {deployment}",
        )
    if len(chosen) == 2:
        return chosen
    return [*left[-1:], *chosen] if chosen else left[-2:]


def _shorter(rows: tuple[Rows, Rows]) -> tuple[Rows]:
    """Of two arms the one with fewer rows whose label is known."""
    return (min(rows, key=lambda some: int(np.count_nonzero(some.known))),)


def _known_in(*rows: Rows) -> NDArray[np.bool_]:
    """Which rows have a score of each and a label."""
    known: NDArray[np.bool_] = np.logical_and.reduce([some.known for some in rows])
    return known


def _chosen(rows: Rows, known: NDArray[np.bool_] | None) -> Rows:
    kept = rows.known if known is None else known
    return Rows(rows.event_ms[kept], rows.scores[kept], rows.labels[kept])


def _losses(
    rows: tuple[Rows, ...], kind: Kind, length_ms: int
) -> tuple[tuple[NDArray[np.int64], ...], tuple[Floats, ...]]:
    """Event times and losses of each, shape (rows,); of a regression without those of the first window."""
    if kind != "regression":
        lost = tuple(
            np.array([loss_of(s, y) for s, y in zip(some.scores.tolist(), some.labels.tolist(), strict=True)])
            for some in rows
        )
        return tuple(some.event_ms for some in rows), lost
    off = [np.abs(some.scores - some.labels) for some in rows]
    begins = [int(some.event_ms[0]) // length_ms for some in rows if len(some)]
    until_ms = (max(begins, default=0) + 1) * length_ms  # Where both have begun.
    before = [some.event_ms < until_ms for some in rows]
    first = np.concatenate([errors[early] for errors, early in zip(off, before, strict=True)])
    scale = float(np.median(first)) if len(first) else 0.0
    later = [~early for early in before]
    return (
        tuple(some.event_ms[late] for some, late in zip(rows, later, strict=True)),
        tuple(_saturated(errors[late], scale) for errors, late in zip(off, later, strict=True)),
    )


def _saturated(errors: Floats, scale: float) -> Floats:
    """e/(e+c): a half at the scale; with none, whether there is an error at all."""
    return np.divide(errors, errors + scale, out=np.zeros_like(errors), where=errors > 0.0)


def _evidence(times: tuple[NDArray[np.int64], ...], lost: tuple[Floats, ...], length_ms: int) -> tuple[float, float]:
    """The logs of the evidence that the second loses more, and that the first does, looked at in each window."""
    worse = better = Evidence()
    union = Rows(np.sort(np.concatenate(times)), np.empty(0), np.empty(0))
    for begin_ms, end_ms in spans_of(union, 0, length_ms):
        one, other = (
            losses[slice(*np.searchsorted(at, [begin_ms, end_ms]).tolist())].tolist()
            for at, losses in zip(times, lost, strict=True)
        )
        worse, better = weigh(worse, 0.0, other, one), weigh(better, 0.0, one, other)
    return worse.log_e, better.log_e


def _told(arms: Sequence[Arm], logs: tuple[float, float], alpha: float) -> str:
    one, other = arms
    if not one.rows or not other.rows:
        return (
            f"nothing can be said: {one.version} has {one.rows} labelled rows to compare, {other.version} {other.rows}"
        )
    enough = log(2.0 / alpha)
    if max(logs) < enough:
        return f"nothing shows that {other.version} loses more or less than {one.version}"
    return f"{other.version} loses {'more' if logs[0] > logs[1] else 'less'} than {one.version}"
