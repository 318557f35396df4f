"""Confidence sequences: intervals for a mean that hold at all times at once, however often somebody looks.

Bounded values are bet on. Whoever bets a share f of their capital that values lie above a mean m multiplies it by
1 + f (x/m - 1) with each value x from 0 to 1, which on average gains nothing where the mean is m or less. The capital
of several such gamblers, each with a share f of their own that never changes, is averaged; by Ville's inequality it
ever reaches 1/alpha with a chance of at most alpha. All m whose gamblers became that rich are ruled out.

The shares stay the same, so the capital is a product that does not care in which order its factors come. That is what
late labels need: rows that are read in the order of events give what they would have given in the order in which their
labels came. Proven, whatever the distribution, where each value has the same mean given those before it; where means
drift, each single look still holds for their average (the inequality of means), all looks together do not. Which rows
have a label must not depend on what it says.

Sources: Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, JRSS-B 86, 2024 (the capital
process, mixtures of bets); Ville, Etude critique de la notion de collectif, 1939; Waudby-Smith, Arbour, Sinha, Kennedy
& Ramdas, Time-uniform central limit theory and asymptotic confidence sequences, Annals of Statistics 52, 2024.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from taut.errors import Invalid

Floats = NDArray[np.float64]

STAKES = np.array([0.99, *(2.0**-k for k in range(1, 15))])
"""Shares that are staked: halves down to what fits ten million values; one in between loses a ninth at most."""
STEPS, STEPS_OF_MANY, MANY = 1 << 12, 1 << 14, 1 << 16
"""Values are told apart by so many steps of their range, and rounded against the bet; finer where there are many."""
NEAR = 1e-7  # How near to the bound the root is looked for; it is then moved outwards by twice that.
LARGE = 30  # Values from which on a central limit theorem is believed.
TUNED_FOR = 1_000.0  # Values at which an asymptotic interval is as narrow as can be.


@dataclass(frozen=True, slots=True)
class Range:
    """Where values lie: from `low` to `high`, both included."""

    low: float = 0.0
    high: float = 1.0

    def share(self, values: Floats) -> Floats:
        """The values between 0 and 1. Raises Invalid for one that lies outside, or is none."""
        shares: Floats = (values - self.low) / (self.high - self.low)
        if len(shares) and not (shares.min() >= 0.0 and shares.max() <= 1.0):
            raise Invalid(f"values were to lie between {self.low:g} and {self.high:g}")
        return shares

    def value(self, share: float) -> float:
        """A share of the range as a value."""
        return self.low + share * (self.high - self.low)


UNIT = Range()


def mean_bounds(values: Floats, alpha: float, within: Range = UNIT, *, zeros: int = 0) -> tuple[float, float]:
    """The interval that the mean of bounded values lies in, at all times at once with a chance of 1 - `alpha`.

    `values` have shape (rows,), in any order; so many `zeros` besides are not among them. All of the range where there
    are none. Raises Invalid for values outside of it, or an `alpha` that is no chance.

    >>> low, high = mean_bounds(np.array([0.0, 1.0] * 500), 0.05)
    >>> round(low, 2), round(high, 2)
    (0.44, 0.56)
    """
    _check(alpha)
    if not len(values) + zeros:
        return within.low, within.high
    shares = within.share(values)
    low, high = (
        _lowest(*_steps(some, zero, zeros), alpha / 2.0)
        for zero in [float(within.share(np.zeros(1))[0]) if zeros else 0.0]
        for some, zero in ((shares, zero), (1.0 - shares, 1.0 - zero))
    )
    return within.value(low), within.value(1.0 - high)


def log_e_above(values: Floats, mean: float, within: Range = UNIT) -> float:
    """The log of the evidence that the mean of bounded values lies above `mean`: an e-value at any time; 0 for none.

    >>> round(log_e_above(np.array([1.0] * 20), 0.5), 1), log_e_above(np.array([]), 0.5)
    (11.1, 0.0)
    """
    if not len(values):
        return 0.0
    at = float(within.share(np.array([mean]))[0])
    return _capital(*_steps(within.share(values)))(at) if at > 0.0 else 0.0


def asymptotic_bounds(values: Floats, alpha: float) -> tuple[float, float] | None:
    """The same for values without bounds, in the limit of many: an asymptotic confidence sequence; None for below 30.

    Approximate: the chance holds for looks from some number of rows on, where means of so many are nearly normal.

    >>> low, high = asymptotic_bounds(np.array([-1.0, 1.0] * 500), 0.05)
    >>> round(low, 3), round(high, 3)
    (-0.096, 0.096)
    """
    _check(alpha)
    rows = len(values)
    if rows < LARGE:
        return None
    tuned = -2.0 * log(alpha)
    spread = (tuned + log(tuned + 1.0)) / TUNED_FOR
    grown = rows * spread + 1.0
    radius = float(np.std(values)) * sqrt(2.0 * grown / (rows * rows * spread) * log(sqrt(grown) / alpha))
    mean = float(np.mean(values))
    return mean - radius, mean + radius


def share_of_alpha(alpha: float, place: int) -> float:
    """The part of `alpha` that window `place` (1 for the first) has, so that all windows ever have `alpha` together."""
    return alpha / (place * (place + 1.0))


def _lowest(found: Floats, counts: Floats, alpha: float) -> float:
    """The lower bound of the mean of values from 0 to 1: the largest mean that is ruled out from above."""
    mean = float(found @ counts / counts.sum())
    if mean <= 0.0:
        return 0.0
    capital, enough = _capital(found, counts), -log(alpha)
    rows = float(counts.sum())
    deviation = sqrt(max(float((found - mean) ** 2 @ counts) / rows, 0.0))
    apart = 4.0 * deviation / sqrt(rows) + 8.0 / rows
    high = mean
    while True:
        low = mean - apart
        if low <= mean * 1e-9:
            low = mean * 1e-9
            if capital(low) < enough:
                return 0.0
            break
        if capital(low) >= enough:
            break
        high, apart = low, apart * 2.0
    root = brentq(lambda at: capital(at) - enough, low, high, xtol=NEAR, rtol=1e-12)
    return max(0.0, float(root) - 2.0 * NEAR)


def _steps(shares: Floats, zero: float = 0.0, zeros: int = 0) -> tuple[Floats, Floats]:
    """Values that occur, rounded down, and how often; the bet that they are large loses by the rounding."""
    steps = STEPS if len(shares) + zeros < MANY else STEPS_OF_MANY
    counts = np.bincount((shares * steps).astype(np.int32), minlength=steps + 1)
    counts[int(zero * steps)] += zeros
    found = np.flatnonzero(counts)
    return found / steps, counts[found].astype(np.float64)


def _capital(found: Floats, counts: Floats) -> Callable[[float], float]:
    """The log of the mean capital of all gamblers against a mean of at most m, as a function of m; it falls with m."""

    def log_capital(mean: float) -> float:
        logs = np.log1p(np.multiply.outer(STAKES, found / mean - 1.0)) @ counts
        top = float(logs.max())
        return top + log(float(np.exp(logs - top).mean()))

    return log_capital


def _check(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise Invalid(f"alpha is a chance between 0 and 1, not {alpha}")
