"""The classic measures of how far two binned samples are apart, each of counts over the same bins."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import isfinite, log2, sqrt

from taut.errors import Invalid

Counts = Sequence[float]


def kolmogorov_smirnov(reference: Counts, current: Counts) -> float:
    """The largest distance between two cumulative distributions, 0 to 1, over bins in ascending order, shape (bins,).

    What is lost by binning is at most the largest share that either sample has in a bin. Raises Invalid where the
    lengths differ or a side is empty. No convention says what is large. Source: Smirnov, Table for estimating the
    goodness of fit of empirical distributions, Annals of Mathematical Statistics, 1948.

    >>> kolmogorov_smirnov([5, 5, 0], [0, 5, 5])
    0.5
    """
    one, other = _shares(reference, current)
    return max(abs(a - b) for a, b in zip(accumulate(one), accumulate(other), strict=True))


def kolmogorov_smirnov_p(distance: float, reference: float, current: float) -> float:
    """The chance of so large a distance between samples of so many rows of one continuous distribution, at most.

    Kolmogorov's limit law, good from some 40 rows on; conservative where values are tied or were binned. It says how
    sure a difference is, not how large: of a million rows any is. For one look at one column: not for a pager.
    """
    from scipy.special import kolmogorov

    return float(kolmogorov(distance * sqrt(reference * current / (reference + current))))


def wasserstein(edges: Sequence[float], reference: Counts, current: Counts) -> float:
    """How far values must be moved on average to turn one sample into the other, in their unit: Wasserstein-1.

    `edges` ascend, shape (edges,); counts are below the first, between each two and above the last, shape (edges + 1,).
    Values lie evenly within their bin, and those beyond the edges at the nearest, so that the distance is a lower bound
    where there are any. What is lost between the edges is at most half of each bin's width times its two shares, in
    sum. Raises Invalid as the others do. Source: Vallender, Calculation of the Wasserstein distance between probability
    distributions on the line, Theory of Probability and its Applications, 1974.

    >>> wasserstein([0.0, 1.0, 2.0], [0, 10, 0, 0], [0, 0, 10, 0])
    1.0
    """
    one, other = _shares(reference, current)
    if len(edges) + 1 != len(one):
        raise Invalid(f"{len(edges)} edges make {len(edges) + 1} bins, got {len(one)}")
    apart = [a - b for a, b in zip(accumulate(one), accumulate(other), strict=True)]
    widths = [high - low for low, high in pairwise(edges)]
    return sum(
        width * _mean_size(before, after) for width, before, after in zip(widths, apart[:-2], apart[1:-1], strict=True)
    )


def jensen_shannon(reference: Counts, current: Counts) -> float:
    """The square root of the Jensen-Shannon divergence in bits: 0 for equal shares, 1 for samples that share no bin.

    A metric; the bins, shape (bins,), need no order. Raises Invalid as the others do. Tools alarm at 0.1, which chance
    alone reaches in small samples over many bins. Source: Endres & Schindelin, A new metric for probability
    distributions, IEEE Transactions on Information Theory, 2003.

    >>> jensen_shannon([5, 5], [5, 5]), jensen_shannon([5, 0], [0, 5])
    (0.0, 1.0)
    """
    one, other = _shares(reference, current)
    total = 0.0
    for a, b in zip(one, other, strict=True):
        total += sum(share * log2(2 * share / (a + b)) / 2 for share in (a, b) if share)
    return sqrt(max(total, 0.0))


def chi_squared(reference: Counts, current: Counts) -> tuple[float, int]:
    """Pearson's statistic of two samples over the same bins, and its degrees of freedom: both are samples.

    Bins that are empty in both are left out. The law needs some five expected in each bin: pool what is rare before.
    Raises Invalid as the others do. Source: Pearson, On the probability that two independent distributions of frequency
    are really samples from the same population, Biometrika, 1911.

    >>> chi_squared([10, 20], [20, 10])[1]
    1
    """
    _shares(reference, current)
    pairs = [(a, b) for a, b in zip(reference, current, strict=True) if a + b]
    of, to = sum(a for a, _ in pairs), sum(b for _, b in pairs)
    statistic = sum((a * to - b * of) ** 2 / (a + b) for a, b in pairs) / (of * to)
    return statistic, len(pairs) - 1


def chi_squared_p(statistic: float, freedom: int) -> float:
    """The chance of so large a statistic where nothing changed; 1 where there is but one bin."""
    from scipy.special import chdtrc

    return float(chdtrc(freedom, statistic)) if freedom else 1.0


def cramers_v(statistic: float, rows: float) -> float:
    """The effect size of a two-sample chi-squared, 0 to 1, of `rows` rows of both samples.

    0.1 is small, 0.3 medium, 0.5 large (Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, sec. 7.2,
    whose w it is for two samples). Source: Cramer, Mathematical Methods of Statistics, 1946, sec. 21.9.
    """
    return sqrt(statistic / rows)


def pooled(reference: Counts, current: Counts, *, least: float = 5.0) -> tuple[list[float], list[float]]:
    """Neighbouring bins put together until each sample expects at least so many values in every one.

    Source: Cochran, Some methods for strengthening the common chi-squared tests, Biometrics, 1954.

    >>> pooled([1, 9, 90], [1, 9, 90])
    ([10.0, 90], [10.0, 90])
    """
    of, to = sum(reference), sum(current)
    smaller = min(of, to) / (of + to) if of + to else 0.0
    made: list[tuple[float, float]] = []
    held = 0.0, 0.0
    for a, b in zip(reference, current, strict=True):
        held = held[0] + a, held[1] + b
        if sum(held) * smaller >= least:
            made.append(held)
            held = 0, 0
    if made and any(held):
        made[-1] = made[-1][0] + held[0], made[-1][1] + held[1]
    elif any(held):
        made.append(held)
    return [a for a, _ in made], [b for _, b in made]


def _shares(reference: Counts, current: Counts) -> tuple[list[float], list[float]]:
    of, to = sum(reference), sum(current)
    if len(reference) != len(current) or not of or not to or not isfinite(of + to):
        raise Invalid(f"two samples over the same bins are needed, got {len(reference)} and {len(current)} bins")
    return [count / of for count in reference], [count / to for count in current]


def _mean_size(before: float, after: float) -> float:
    """The mean of a line's distance from zero, between its values at two ends."""
    if before * after >= 0:
        return abs(before + after) / 2
    return (before**2 + after**2) / (2 * (abs(before) + abs(after)))
