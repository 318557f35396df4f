"""e-BH: which of many features have drifted, with a bound on the share of wrong names."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, log


def discoveries(log_e: Mapping[str, float], *, fdr: float) -> list[str]:
    """The names whose e-values are large together, largest first: the e-BH procedure at false discovery rate `fdr`.

    `log_e` are natural logarithms of e-values. Of F names, the k largest are reported for the largest k with
    e_(k) >= F / (k fdr). At most the share `fdr` of them is wrong on average, however the features
    depend on each other. Source: Wang & Ramdas, False discovery rate control with e-values, JRSS-B 2022.

    >>> discoveries({"age": 9.0, "plan": 0.1, "city": 4.0}, fdr=0.01)
    ['age']
    """
    ordered = sorted(log_e, key=lambda name: (-log_e[name], name))
    passed = 0
    for k, name in enumerate(ordered, start=1):
        needed = log(len(ordered) / (k * fdr)) if fdr > 0 else inf
        if log_e[name] >= needed:
            passed = k
    return ordered[:passed]
