"""What choosing a version costs, how often a good canary is rolled back, and how soon a bad one is.

    python bench/rollout.py [--streams 2000] [--looks 100] [--quick]

Routing: CPU microseconds a request, with a key and without, beside an empty method call. Judging: streams of looks of
200 requests each. Without a difference, and at the very edge of what the margin allows, the share of streams that ever
reach 1/alpha is held against alpha, 0.05; that of a plain test at each look (two proportions, p below alpha) is told
beside it, for that is what whoever looks often and corrects nothing does. With a difference: the canary's requests
until it is found, median and 90th percentile of 200 streams, with the default alpha of 0.01.
"""

import argparse
import json
import time
from collections.abc import Callable
from math import log, sqrt
from statistics import NormalDist

import numpy as np

from taut.records import Backend
from taut.serve.rollout.judging import Evidence, update
from taut.serve.rollout.routing import Router

ALPHA, CALLS, LOOK = 0.05, 200_000, 200
ROUTING_US_MAX = 0.3


class Empty:
    """A router that decides nothing."""

    def choose(self, key: str | None = None) -> str | None:
        """Give back the key."""
        return key


def microseconds(act: Callable[[], object]) -> float:
    """CPU time of one call, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(CALLS):
            act()
        best = min(best, (time.process_time() - began) / CALLS * 1e6)
    return best


def routing() -> dict[str, float]:
    """What a choice costs."""
    router = Router("late", [Backend("late", 3, 0.95, "live"), Backend("late", 4, 0.05, "canary")])
    empty = Empty()
    return {
        "with a key": microseconds(lambda: router.choose("customer-19231")),
        "without": microseconds(router.choose),
        "an empty call": microseconds(lambda: empty.choose("customer-19231")),
    }


def stream(
    chance: np.random.Generator, canary: float, live: float, *, weight: float, margin: float, looks: int, alpha: float
) -> tuple[int, bool]:
    """The canary's requests when the evidence reaches 1/alpha (0: never), and whether a plain test ever said so."""
    evidence, naive, answered, sums = Evidence(), False, 0, np.zeros(4)
    least = -NormalDist().inv_cdf(alpha)
    for _ in range(looks):
        m = int(chance.binomial(LOOK, weight))
        a, b = int(chance.binomial(m, canary)), int(chance.binomial(LOOK - m, live))
        evidence = update(evidence, margin, (a, m), (b, LOOK - m))
        answered += m
        sums += (a, m, b, LOOK - m)
        naive = naive or plain(*sums, margin) > least
        if evidence.log_e >= log(1 / alpha):
            return answered, naive
    return 0, naive


def plain(a: float, m: float, b: float, n: float, margin: float) -> float:
    """The z of two proportions; 0 where it has none."""
    if not m or not n:
        return 0.0
    spread = sqrt(a / m * (1 - a / m) / m + b / n * (1 - b / n) / n)
    return (a / m - b / n - margin) / spread if spread else 0.0


def false_rollbacks(streams: int, looks: int) -> list[dict[str, float]]:
    """Canaries that are as good as is allowed."""
    found = []
    for live, margin, allowed in ((0.01, 0.0, 0.0), (0.2, 0.0, 0.0), (0.01, 0.01, 0.01), (0.0, 0.02, 0.02)):
        for weight in (0.05, 0.5):
            chance = np.random.default_rng(7)
            ended = [
                stream(chance, live + allowed, live, weight=weight, margin=margin, looks=looks, alpha=ALPHA)
                for _ in range(streams)
            ]
            found.append({
                "live": live, "margin": margin, "weight": weight,
                "rolled back": sum(bool(at) for at, _ in ended) / streams,
                "a plain test": sum(naive for _, naive in ended) / streams,
            })  # fmt: skip
    return found


def found_within(streams: int) -> list[dict[str, float]]:
    """Canaries that are worse."""
    found = []
    for live, canary, weight in ((0.01, 0.06, 0.05), (0.0, 0.05, 0.05), (0.01, 0.06, 0.25), (0.0, 1.0, 0.05)):
        chance = np.random.default_rng(8)
        ended = [
            stream(chance, canary, live, weight=weight, margin=0.01, looks=3_000, alpha=0.005)[0]
            for _ in range(streams)
        ]
        found.append({
            "live": live, "canary": canary, "weight": weight, "found": sum(map(bool, ended)) / streams,
            "median": float(np.median(ended)), "p90": float(np.quantile(ended, 0.9)),
        })  # fmt: skip
    return found


def main() -> None:
    """Measure all of it and print it as JSON; ends with 1 where a bar is not met."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--streams", type=int, default=2_000)
    options.add_argument("--looks", type=int, default=100)
    options.add_argument("--quick", action="store_true", help="200 streams instead")
    asked = options.parse_args()
    streams = 200 if asked.quick else asked.streams
    costs, good, bad = routing(), false_rollbacks(streams, asked.looks), found_within(min(streams, 200))
    print(json.dumps({"routing_us": costs, "good canaries": good, "bad canaries": bad}, indent=2))
    within = max(costs["with a key"], costs["without"]) <= ROUTING_US_MAX
    raise SystemExit(0 if within and all(one["rolled back"] <= ALPHA for one in good) else 1)


if __name__ == "__main__":
    main()
