"""Over-dispersion: how much wilder the reference's own blocks are than independent rows would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri

from taut.watch.columns import Column
from taut.watch.counts import WindowCounts, count_labels, count_window
from taut.watch.events import Event, Feature, Reference

BLOCK_GROUPS_MIN = 8
"""Blocks are merged for the slower swings only while so many groups remain; fewer say too little."""

RUN_ROWS, RUNS, RUNS_MIN = 50, 200, 16
"""Where nobody says what a block is: runs of so many rows at least, so many at most, and not fewer."""

UPPER = 0.9
"""How sure it is that a factor is no larger than the one that is used."""

Pairs = NDArray[np.float64]
"""Hits and trials per block, shape (blocks, 2)."""


def with_dispersion(
    reference: Reference,
    columns: Mapping[str, Column],
    *,
    blocks: Sequence[object],
    scores: Column | None = None,
    targets: Column | None = None,
    sure: float = 1.0,
) -> Reference:
    """The reference with `deff` estimated per event from its own rows, in which equal `blocks` stand in a row.

    An event that never happened in the reference borrows the largest factor of its feature. The factor is an
    approximation that keeps quiet about swings the reference has seen; it proves nothing about those it has not. With
    `sure` below 1 only swings count that independent rows show with so small a chance.
    """
    counts = [
        _count_block(reference, columns, scores, targets, slice(start, end)) for start, end in block_bounds(blocks)
    ]
    return replace(reference, features=tuple(_dispersed(feature, counts, sure) for feature in reference.features))


def runs_of(rows: int) -> list[int] | None:
    """Blocks for rows in time order of which nobody says what a block is: runs of one length; None for few rows.

    >>> runs_of(100), runs_of(1000)[49:51]
    (None, [0, 1])
    """
    size = _run_rows(rows)
    return None if rows < RUNS_MIN * size else [row // size for row in range(rows)]


def run_reach(rows: int) -> tuple[int, int] | None:
    """The rows of the shortest and of the longest runs that are compared, where `runs_of` makes the blocks.

    >>> run_reach(100), run_reach(10_000)
    (None, (50, 800))
    """
    size = _run_rows(rows)
    blocks = -(-rows // size)
    if blocks < RUNS_MIN:
        return None
    merged = 0
    while blocks >> (merged + 1) >= BLOCK_GROUPS_MIN:
        merged += 1
    return size, size << merged


def _run_rows(rows: int) -> int:
    return max(RUN_ROWS, -(-rows // RUNS))


def dispersion(pairs: Pairs, *, sure: float = 1.0) -> float:
    """Variance of the block counts over that of independent rows, at least 1: Pearson's statistic per block.

    Neighbouring blocks are also merged to pairs, fours, ... while at least eight remain, and the largest factor counts:
    what moves slowly shows only in long blocks. `pairs` are (hits, trials) per block in time order, shape (blocks, 2).
    With `sure` below 1 a factor is its upper limit of 90 %, since a dozen blocks tell it badly. Source: McCullagh &
    Nelder, Generalized Linear Models, 1989, sec. 4.5.

    >>> dispersion(np.array([[50, 100]] * 16))
    1.0
    """
    worst = 1.0
    while len(pairs) >= 2:
        worst = max(worst, _pearson(pairs, sure))
        if len(pairs) // 2 < BLOCK_GROUPS_MIN:
            break
        even = len(pairs) // 2 * 2
        pairs = pairs[0:even:2] + pairs[1:even:2]
    return worst


def block_bounds(blocks: Sequence[object]) -> list[tuple[int, int]]:
    """Where each run of equal blocks starts and ends.

    >>> block_bounds(["mon", "mon", "tue"])
    [(0, 2), (2, 3)]
    """
    starts = [i for i in range(len(blocks)) if i == 0 or blocks[i] != blocks[i - 1]]
    return list(zip(starts, [*starts, len(blocks)][1:], strict=True))


def _pearson(pairs: Pairs, sure: float) -> float:
    """Mean squared standardised residual of the blocks that hold any row; 1 where it cannot be told, or is chance."""
    asked = pairs[pairs[:, 1] > 0]
    share = asked[:, 0].sum() / asked[:, 1].sum() if len(asked) else 0.0
    if len(asked) < 2 or not 0.0 < share < 1.0:
        return 1.0
    squares = (asked[:, 0] - asked[:, 1] * share) ** 2 / (asked[:, 1] * share * (1.0 - share))
    total, freedom = float(squares.sum()), len(asked) - 1
    if sure >= 1.0:
        return total / freedom
    return total / float(chdtri(freedom, UPPER)) if chdtrc(freedom, total) < sure else 1.0


def _count_block(
    reference: Reference, columns: Mapping[str, Column], scores: Column | None, targets: Column | None, rows: slice
) -> WindowCounts:
    """The counts of one block of the reference's own rows."""
    part = {name: column[rows] for name, column in columns.items()}
    block_scores = None if scores is None else scores[rows]
    counts = count_window(reference, part, scores=block_scores)
    if block_scores is None or targets is None:
        return counts
    return counts + count_labels(reference, block_scores, targets[rows])


def _dispersed(feature: Feature, counts: Sequence[WindowCounts], sure: float) -> Feature:
    """The feature with the factor of each event."""
    factors = [_factor(feature, number, counts, sure) for number in range(len(feature.events))]
    worst = max(factors)
    events = tuple(_with_factor(event, f, worst) for event, f in zip(feature.events, factors, strict=True))
    return replace(feature, events=events)


def _factor(feature: Feature, number: int, counts: Sequence[WindowCounts], sure: float) -> float:
    """The dispersion of one event over all blocks."""
    none = (0,) * len(feature.events)
    hits = [block.hits.get(feature.name, none)[number] for block in counts]
    trials = [block.trials.get(feature.name, none)[number] for block in counts]
    return dispersion(np.column_stack([hits, trials]).astype(np.float64), sure=sure)


def _with_factor(event: Event, own: float, worst: float) -> Event:
    """Events without a hit in the reference cannot tell their own factor."""
    return replace(event, deff=own if event.hits else worst)
