"""Streams of mixed columns with scores and labels, stationary or broken in one known way."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from taut.watch.counts import WindowCounts, count_labels, count_window
from taut.watch.detectors import Ewin, EwinState, ewin_of, is_alarm, start, update
from taut.watch.detectors.ewin import Budget
from taut.watch.events import Reference
from taut.watch.profile import make_reference

SHOPS = np.array([f"shop{i}" for i in range(300)], dtype=object)
PLANS = np.array(["free", "plus", "pro"], dtype=object)
ZIPF = 1 / np.arange(1, 301)
Broken = Callable[[dict[str, np.ndarray], np.ndarray, np.ndarray, np.random.Generator], None]


@dataclass
class Rows:
    """Columns, scores and targets of the same rows."""

    columns: dict[str, np.ndarray]
    scores: np.ndarray
    targets: np.ndarray


def draw(chance: np.random.Generator, rows: int, broken: Broken | None = None) -> Rows:
    """Ties, holes, a closed set, 300 levels of which many are rare, and a constant; `broken` changes them in place."""
    z = chance.normal(size=rows)
    amount = np.exp(chance.normal(size=rows))
    amount[chance.random(rows) < 0.05] = np.nan
    columns = {
        "age": np.round(chance.normal(40, 12, rows)),
        "z": z,
        "amount": amount,
        "plan": PLANS[chance.integers(0, 3, rows)],
        "shop": SHOPS[chance.choice(300, rows, p=ZIPF / ZIPF.sum())],
        "constant": np.ones(rows),
    }
    scores = 1 / (1 + np.exp(1 - z))
    targets = (chance.random(rows) < scores).astype(float)
    if broken is not None:
        broken(columns, scores, targets, chance)
    return Rows(columns, scores, targets)


def counted(reference: Reference, rows: Rows) -> WindowCounts:
    """The counts of all events, labels included."""
    seen = count_window(reference, rows.columns, scores=rows.scores)
    return seen + count_labels(reference, rows.scores, rows.targets)


def profiled(rows: Rows) -> Reference:
    """The reference of the rows."""
    return make_reference(rows.columns, scores=rows.scores, targets=rows.targets)


def watched(seed: int, *, rows: int, window: int, windows: int, alpha: float = 0.01) -> list[tuple[Ewin, EwinState]]:
    """Both detectors after a stationary stream of so many windows."""
    chance = np.random.default_rng(seed)
    reference = profiled(draw(chance, rows))
    detectors = [ewin_of(reference, "features", alpha=alpha), ewin_of(reference, "labels", alpha=alpha)]
    states = [start(detector) for detector in detectors]
    for _ in range(windows):
        counts = counted(reference, draw(chance, window))
        states = [update(detector, state, counts) for detector, state in zip(detectors, states, strict=True)]
    return list(zip(detectors, states, strict=True))


def rows_until_alarm(seed: int, budget: Budget, broken: Broken, *, window: int = 200, rows: int = 10_000) -> int | None:
    """Rows after the onset until the alarm, after 3,000 calm rows; None beyond 6,000. An early alarm fails."""
    chance = np.random.default_rng(seed)
    reference = profiled(draw(chance, rows))
    detector = ewin_of(reference, budget)
    state = start(detector)
    for _ in range(3_000 // window):
        state = update(detector, state, counted(reference, draw(chance, window)))
    assert not is_alarm(detector, state), "alarm before the onset"
    for number in range(1, 6_000 // window + 1):
        state = update(detector, state, counted(reference, draw(chance, window, broken)))
        if is_alarm(detector, state):
            return number * window
    return None
