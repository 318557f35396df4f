"""The population stability index: how far a window's shares are from the reference's."""

from collections.abc import Sequence
from itertools import pairwise
from math import log

from taut.errors import Invalid
from taut.watch.counts import WindowCounts
from taut.watch.events import Feature


def psi(reference: Sequence[float], current: Sequence[float], *, floor: float = 1e-4) -> float:
    """Population stability index between two binned samples: 0 for equal shares, larger the further apart.

    Both are counts over the same bins, shape (bins,). Shares below `floor` are raised to it, so that an empty bin
    costs much but not infinitely much. Natural logarithm. By common use 0.1 is worth a look and 0.25 a worry. Raises
    Invalid where the lengths differ or a side is empty. Source: Siddiqi, Credit Risk Scorecards, 2006.

    >>> round(psi([50, 50], [90, 10]), 3)
    0.879
    """
    if len(reference) != len(current) or not sum(reference) or not sum(current):
        raise Invalid(f"psi needs two samples over the same bins, got {len(reference)} and {len(current)} bins")
    of, to = sum(reference), sum(current)
    shares = [(max(r / of, floor), max(c / to, floor)) for r, c in zip(reference, current, strict=True)]
    return sum((c - r) * log(c / r) for r, c in shares)


def psi_of_feature(feature: Feature, counts: WindowCounts) -> float | None:
    """The index of one input or score in a window, from its stored counts alone; None where they say nothing.

    Bins are the nine parts between the cuts of a numeric feature, or the top levels and all the rest of a categorical
    one; missing values are a bin of their own. Labels and pairs have no bins.
    """
    now = counts.hits.get(feature.name), counts.trials.get(feature.name)
    if feature.kind in {"label", "joint"} or now[0] is None or now[1] is None or not any(now[1]):
        return None
    before = tuple(e.hits for e in feature.events), tuple(e.trials for e in feature.events)
    return psi(_shares(feature, *before), _shares(feature, now[0], now[1]))


def _shares(feature: Feature, hits: Sequence[int], trials: Sequence[int]) -> list[float]:
    """The share of the rows in each bin of the feature."""
    parts = [k / n if n else 0.0 for k, n in zip(hits, trials, strict=True)]
    by_kind = list(zip((event.kind for event in feature.events), parts, strict=True))
    missing = sum(
        (1.0 - part if kind == "present" else part) for kind, part in by_kind if kind in {"missing", "present"}
    )
    below = [part for kind, part in by_kind if kind == "below"]
    levels = [part for kind, part in by_kind if kind == "level"]
    bins = _steps(below) if feature.kind != "categorical" else [*levels, max(1.0 - sum(levels), 0.0)]
    return [*(share * (1.0 - missing) for share in bins), missing]


def _steps(cumulative: Sequence[float]) -> list[float]:
    """The parts between cumulative shares, which begin at 0 and end at 1."""
    edges = [0.0, *cumulative, 1.0]
    return [max(high - low, 0.0) for low, high in pairwise(edges)]
