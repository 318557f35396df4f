"""Over-dispersion: how much wilder the reference's own blocks are than independent rows would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from taut.watch.columns import Column
from taut.watch.counts import WindowCounts, count_labels, count_window
from taut.watch.events import Event, Feature, Reference

BLOCK_GROUPS_MIN = 8
"""Blocks are merged for the slower swings only while so many groups remain; fewer say too little."""

Pairs = NDArray[np.float64]
"""Hits and trials per block, shape (blocks, 2)."""


def with_dispersion(
    reference: Reference,
    columns: Mapping[str, Column],
    *,
    blocks: Sequence[object],
    scores: Column | None = None,
    targets: Column | None = None,
) -> Reference:
    """The reference with `deff` estimated per event from its own rows, in which equal `blocks` stand in a row.

    An event that never happened in the reference borrows the largest factor of its feature. The factor is an
    approximation that keeps quiet about swings the reference has seen; it proves nothing about those it has not.
    """
    counts = [
        _count_block(reference, columns, scores, targets, slice(start, end)) for start, end in block_bounds(blocks)
    ]
    return replace(reference, features=tuple(_dispersed(feature, counts) for feature in reference.features))


def dispersion(pairs: Pairs) -> float:
    """Variance of the block counts over that of independent rows, at least 1: Pearson's statistic per block.

    Neighbouring blocks are also merged to pairs, fours, ... while at least eight remain, and the largest factor counts:
    what moves slowly shows only in long blocks. `pairs` are (hits, trials) per block in time order, shape (blocks, 2).
    Source: McCullagh & Nelder, Generalized Linear Models, 1989, sec. 4.5.

    >>> dispersion(np.array([[50, 100]] * 16))
    1.0
    """
    worst = 1.0
    while len(pairs) >= 2:
        worst = max(worst, _pearson(pairs))
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


def _pearson(pairs: Pairs) -> float:
    """Mean squared standardised residual of the blocks that hold any row; 1 where it cannot be told."""
    asked = pairs[pairs[:, 1] > 0]
    share = asked[:, 0].sum() / asked[:, 1].sum() if len(asked) else 0.0
    if len(asked) < 2 or not 0.0 < share < 1.0:
        return 1.0
    squares = (asked[:, 0] - asked[:, 1] * share) ** 2 / (asked[:, 1] * share * (1.0 - share))
    return float(squares.sum() / (len(asked) - 1))


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


def _dispersed(feature: Feature, counts: Sequence[WindowCounts]) -> Feature:
    """The feature with the factor of each event."""
    factors = [_factor(feature, number, counts) for number in range(len(feature.events))]
    worst = max(factors)
    events = tuple(_with_factor(event, f, worst) for event, f in zip(feature.events, factors, strict=True))
    return replace(feature, events=events)


def _factor(feature: Feature, number: int, counts: Sequence[WindowCounts]) -> float:
    """The dispersion of one event over all blocks."""
    none = (0,) * len(feature.events)
    hits = [block.hits.get(feature.name, none)[number] for block in counts]
    trials = [block.trials.get(feature.name, none)[number] for block in counts]
    return dispersion(np.column_stack([hits, trials]).astype(np.float64))


def _with_factor(event: Event, own: float, worst: float) -> Event:
    """Events without a hit in the reference cannot tell their own factor."""
    return replace(event, deff=own if event.hits else worst)
