"""Streams of rows for `bench/watch.py`: calm ones, such that swing as their reference does, and such that change.

Each is drawn anew from its seed, with a reference of its own. 20 mixed columns (12 of numbers, 8 of words with 2 to 300
levels) a block, a score, and labels that follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

SHARES = (2, 3, 5, 10, 20, 50, 100, 300)
SWING, PERIOD_ROWS = 0.5, 2_000
Floats = NDArray[np.float64]


@dataclass
class Rows:
    """Columns, scores and targets of the same rows."""

    columns: dict[str, NDArray]
    scores: Floats
    targets: Floats


Change = Callable[[Rows, np.random.Generator, float], None]
"""Changes rows in place; the last argument is how many rows have passed since the onset."""


@dataclass
class Stream:
    """Rows from a seed, in order. `blocks` times 20 columns; `link` is the correlation of n7 and n8."""

    seed: int
    blocks: int = 1
    kind: str = "independent"
    link: float = 0.6
    chance: np.random.Generator = field(init=False)
    _passed: int = field(init=False, default=0)
    _last: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = np.random.default_rng(self.seed)

    def draw(self, rows: int) -> Rows:
        """The next rows: normal, skewed and rounded numbers, words by Zipf's law, 5 % of one column missing."""
        chance, columns, drives = self.chance, dict[str, NDArray](), np.zeros(rows)
        for block in range(self.blocks):
            end = "" if not block else f"_{block}"
            numbers = [self._numbers(f"{place}{end}", rows) for place in range(12)]
            numbers[8] = self.link * numbers[7] + np.sqrt(1 - self.link**2) * numbers[8]
            drives = drives if block else numbers[0]
            numbers[1], numbers[2] = np.exp(numbers[1]), np.round(10 * numbers[2])
            numbers[3][chance.random(rows) < 0.05] = np.nan
            columns |= {f"n{place}{end}": values for place, values in enumerate(numbers)}
            for place, levels in enumerate(SHARES):
                shares = 1 / np.arange(1, levels + 1)
                words = np.array([f"level{number}" for number in range(levels)], dtype=object)
                columns[f"c{place}{end}"] = words[chance.choice(levels, rows, p=shares / shares.sum())]
        self._passed += rows
        scores = 1 / (1 + np.exp(1 - drives))
        return Rows(columns, scores, (chance.random(rows) < scores).astype(float))

    def _numbers(self, name: str, rows: int) -> Floats:
        noise = self.chance.normal(size=rows)
        if self.kind == "seasonal":
            phase = phase_of(name) + 2 * np.pi * (self._passed + np.arange(rows)) / PERIOD_ROWS
            return noise + SWING * np.sin(phase)
        if self.kind == "autocorrelated":
            from scipy.signal import lfilter

            keep = 0.95
            before = self._last.get(name, 0.0)
            found, _ = lfilter([np.sqrt(1 - keep**2)], [1, -keep], noise, zi=[keep * before])
            self._last[name] = float(found[-1])
            values: Floats = found
            return values
        return noise


def phase_of(name: str) -> float:
    """A phase for a column, the same in every process."""
    return float(sum(map(ord, name)) % 7)


def moved(by: float) -> Change:
    """The mean of one column goes up by so many standard deviations."""

    def change(rows: Rows, _: np.random.Generator, __: float) -> None:
        rows.columns["n5"] += by

    return change


def scaled(rows: Rows, _: np.random.Generator, __: float) -> None:
    """One column spreads 1.3 times as far."""
    rows.columns["n5"] *= 1.3


def gradual(rows: Rows, _: np.random.Generator, passed: float) -> None:
    """The mean of one column goes up to half a standard deviation within 20,000 rows."""
    rows.columns["n5"] += 0.5 * min(passed / 20_000, 1.0)


def unit(rows: Rows, chance: np.random.Generator, _: float) -> None:
    """A column comes in a unit a thousand times smaller in 5 % of the rows."""
    rows.columns["n4"][chance.random(len(rows.scores)) < 0.05] *= 1000


def missing(rows: Rows, chance: np.random.Generator, _: float) -> None:
    """4 % more are missing."""
    rows.columns["n6"][chance.random(len(rows.scores)) < 0.04] = np.nan


def category(rows: Rows, chance: np.random.Generator, _: float) -> None:
    """1 % have a level that was never seen."""
    rows.columns["c2"][chance.random(len(rows.scores)) < 0.01] = "new"


def swapped(rows: Rows, chance: np.random.Generator, _: float) -> None:
    """5 % of the rows have the second level of a column in place of the one they had."""
    rows.columns["c3"][chance.random(len(rows.scores)) < 0.05] = "level1"


def rotated(rows: Rows, _: np.random.Generator, __: float) -> None:
    """Two columns that rose together fall against each other; each alone stays as it was."""
    rows.columns["n8"] *= -1


def concept(rows: Rows, _: np.random.Generator, __: float) -> None:
    """What the labels follow is turned round."""
    rows.targets = 1 - rows.targets


CHANGES: dict[str, Change] = {
    "0.1 sd": moved(0.1),
    "0.25 sd": moved(0.25),
    "0.5 sd": moved(0.5),
    "spread x1.3": scaled,
    "gradual to 0.5 sd": gradual,
    "swap 5 %": swapped,
    "unit x1000 in 5 %": unit,
    "missing +4 %": missing,
    "new category 1 %": category,
    "rotation": rotated,
    "concept": concept,
}
WINDOW_ROWS = {"0.1 sd": 500, "0.25 sd": 100, "0.5 sd": 50}
"""Rows of a window where the delay is below one of 1,000."""


def windows(stream: Stream, count: int, rows: int, since: int = 0, change: Change | None = None) -> Iterator[Rows]:
    """Windows of a stream, changed from number `since` on."""
    for number in range(count):
        now = stream.draw(rows)
        if change is not None and number >= since:
            change(now, stream.chance, (number - since + 0.5) * rows)
        yield now


def written(rows: Rows, path: Path) -> None:
    """As a Parquet file, with the columns `score` and `target`."""
    pq.write_table(pa.table({**rows.columns, "score": rows.scores, "target": rows.targets}), path)
