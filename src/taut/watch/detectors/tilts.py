"""Bets on the whole shape of a numeric column: its mean has moved, its spread has changed, by one of several sizes.

The cuts of a column are nested questions, so the counts between them are those of a histogram. Given the reference, its
bins hold shares of a Dirichlet law: for a continuous column exactly, since the spacings of n order statistics under
their distribution function are Dirichlet(1, ..., 1) and sum up (Wilks, Mathematical Statistics, 1962, sec. 7.7). A bet
is another Dirichlet law of the same weight around tilted shares: if the reference's shares are those of a normal
variable, the tilted ones are those of one whose mean or spread differs. Any such law gives a fair bet, whatever the
column's distribution; columns that move so give a good one: all cuts speak together, where each alone sees two thirds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr, ndtri

from taut.watch.events import Feature

Floats = NDArray[np.float64]

SHIFTS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""By how many standard deviations the mean moves, up and down."""
SPREADS = (0.5, 0.8, 0.92, 1.08, 1.25, 2.0)
"""By what factor the spread changes."""
TILTS = (*((by, 1.0) for size in SHIFTS for by in (-size, size)), *((0.0, factor) for factor in SPREADS))
LEAST = 1e-9  # Rows that a bin is worth at least: a bet may think a bin all but impossible, never quite.


class Tilts:
    """The numeric features of a detector whose cuts make three bins or more, ready for counts of any start."""

    def __init__(self, features: Sequence[Feature]) -> None:
        """`features` as the detector has them: events in the order of the flat counts."""
        first = 0
        chosen: list[int] = []
        places: list[list[int]] = []
        deff: list[float] = []
        for number, feature in enumerate(features):
            cuts = [first + place for place, event in enumerate(feature.events) if event.kind == "below"]
            if len(cuts) >= 2:
                chosen.append(number)
                places.append(cuts)
                deff.append(max(event.deff for event in feature.events if event.kind == "below"))
            first += len(feature.events)
        most = max(map(len, places), default=0)
        self.features = np.array(chosen, dtype=np.intp)
        """Which features those are, by number."""
        self._at = np.array([cuts + cuts[-1:] * (most - len(cuts)) for cuts in places], dtype=np.intp)
        self._deff = np.array(deff)[:, None]

    def log_ratios(self, a: Floats, b: Floats, hits: Floats, misses: Floats) -> Floats:
        """Log of the mean bet against the null, shape (starts, features of ours).

        `a` and `b` are each event's Beta law with what came before the start, `hits` and `misses` the counts since,
        all of shape (starts, events).
        """
        at = self._at
        weight = (a + b)[:, at[:, :1]] / self._deff
        shares = a[:, at] / self._deff / weight
        law = _bins(shares) * weight
        counts = _bins_of_counts(hits[:, at], misses[:, at]) / self._deff
        is_bin = law > LEAST / 2
        law, counts = np.where(is_bin, law, 1.0), np.where(is_bin, counts, 0.0)
        null = _log_sequence(law, counts)
        scores = ndtri(np.clip(shares, 1e-12, 1.0 - 1e-12))
        bets = []
        for by, factor in TILTS:
            tilted = np.maximum(_bins(ndtr((scores - by) / factor)) * weight, LEAST)
            bets.append(_log_sequence(np.where(is_bin, tilted, 1.0), counts) - null)
        mixed: Floats = np.logaddexp.reduce(bets, axis=0) - np.log(len(bets))
        return mixed


def _bins(below: Floats) -> Floats:
    """Shares between cuts, of shares below each of them; one more than cuts, shape (..., bins)."""
    edges = np.concatenate([np.zeros_like(below[..., :1]), below, np.ones_like(below[..., :1])], axis=-1)
    return np.maximum(np.diff(edges, axis=-1), 0.0)


def _bins_of_counts(hits: Floats, misses: Floats) -> Floats:
    """Rows between cuts, of rows below each of them and the rows above the last."""
    edges = np.concatenate([np.zeros_like(hits[..., :1]), hits, (hits + misses)[..., -1:]], axis=-1)
    return np.diff(edges, axis=-1)


def _log_sequence(law: Floats, counts: Floats) -> Floats:
    """Log probability of a sequence with these counts when its shares are Dirichlet(`law`), without what depends on
    the sum of the law and the number of rows alone."""
    result: Floats = (gammaln(law + counts) - gammaln(law)).sum(axis=-1)
    return result
