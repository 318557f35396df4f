"""Whether a canary does worse than live by more than was allowed: evidence that may be looked at as often as one likes.

What is held against each other is the share of requests that failed, the share of those that took longer than a bound,
and where that is asked for the mean loss of rows whose label is known. Between two looks the canary had `a` hits in m
requests and live `b` in n. With a margin d the hypothesis is p_canary <= p_live + d. For an alternative (q, r) outside
of it let (q', r') be the point of the hypothesis that is next to it by m KL(q|q') + n KL(r|r'); it lies on the line
q' = r' + d. Then

    e = (q/q')^a ((1-q)/(1-q'))^(m-a) (r/r')^b ((1-r)/(1-r'))^(n-b)

has a mean of at most 1 under the hypothesis: by the inequality of means its mean is at most the (m+n)-th power of
1 + k (p_canary - p_live - d) with some k >= 0. The shares may be others in each look, as in an hour in which everybody
fails; only their difference counts. The product over the looks is a test supermartingale, and so is a mean of such
products with weights chosen beforehand: over alternatives, and over the look in which each product begins, so that a
canary that turns bad after a good week is found too. By Ville's inequality the mean ever reaches 1/alpha with a chance
of at most alpha, however often one looks, over all steps of a rollout.

A loss x between 0 and 1 takes the place of a hit by x q/q' + (1-x) (1-q)/(1-q'): its mean is that of a hit with the
same mean, so all of this holds for means as for shares.

r is what live's requests so far say; q lies above r + d by each step of `EXCESS`. Requests are taken to fail
independently of one another: one caller who fails each time, sticks to the canary and sends most of it is no chance.
Sources: Turner, Ly, Gruenwald, Generic E-variables for exact sequential k-sample tests that allow for optional
stopping, JSPI 230, 2024 (the e-variable and its margin); Ville, Etude critique de la notion de collectif, 1939.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import ceil, exp, floor, inf, log, log1p
from typing import Literal

from taut.errors import Invalid

EXCESS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""How much of what live does well beyond the margin a canary may spoil: what there is to be found."""
RATES = (1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6)
"""What live's share of hits may be, in as much as nothing is known of it yet."""
KNOWN_AFTER = 100  # Requests of live after which its own share is taken instead.
BOUND_AFTER = 200  # Requests of live after which a bound on the latency is taken from its 99th percentile: two beyond.
LEAST = 1e-6
LOSS_STEPS = 1000  # Losses are told apart by so many steps; a canary's are rounded down, live's up.

Kind = Literal["errors", "latency", "labels"]
Losses = Sequence[tuple[float, int]]
"""Losses from 0 to 1, each with how often it came."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a canary is allowed, see `rollback:` in taut.yaml; `bound_ms` 0 is `latency_factor` times live's p99."""

    errors: float = 0.01
    slower: float = 0.01
    bound_ms: float = 0.0
    latency_factor: float = 2.0
    alpha: float = 0.01
    min_requests: int = 100
    harm: float | None = None

    @property
    def tests(self) -> tuple["Kind", ...]:
        """What is looked at; each has its part of alpha."""
        return ("errors", "latency") if self.harm is None else ("errors", "latency", "labels")

    @property
    def enough(self) -> float:
        """How much evidence takes a canary back."""
        return len(self.tests) / self.alpha


@dataclass(frozen=True, slots=True)
class Counts:
    """What was answered by one version: requests, those that failed for a fault of ours, and how long all took.

    `latency` counts requests in each of the intervals whose upper bounds go with it, and beyond the last of them.
    """

    requests: int = 0
    errors: int = 0
    latency: tuple[int, ...] = ()

    def since(self, before: "Counts") -> "Counts":
        """What came after an earlier count of the same counters; all of it where they began anew in between."""
        if len(before.latency) != len(self.latency):
            return self
        requests, errors = self.requests - before.requests, self.errors - before.errors
        latency = tuple(now - then for now, then in zip(self.latency, before.latency, strict=True))
        return self if min(requests, errors, *latency, 0) < 0 else Counts(requests, errors, latency)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One test so far: its looks, what live did in them, and the log of each alternative's product."""

    looks: int = 0
    requests: int = 0
    hits: float = 0
    logs: tuple[float, ...] = ()

    @property
    def log_e(self) -> float:
        """The log of the evidence against the canary; 0 before the first look."""
        if not self.looks:
            return 0.0
        return _log_sum((_log_mean(self.logs), -log1p(self.looks)))


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is known of a canary: what it answered, its tests, and the bound on the latency once there is one."""

    answered: Counts = field(default_factory=Counts)
    errors: Evidence = field(default_factory=Evidence)
    latency: Evidence = field(default_factory=Evidence)
    bound_ms: float = 0.0
    live: tuple[int, ...] = ()
    slow: int = 0
    """Requests of the canary beyond the bound."""
    labels: Evidence = field(default_factory=Evidence)
    rows: int = 0
    """Rows of the canary whose label is known."""
    loss: float = 0.0
    """The sum of their losses."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a canary must go: which test, its evidence (1/alpha or more), and what was counted, in a sentence."""

    kind: Kind
    e_value: float
    text: str


def look(limits: Limits, before: Standing, live: Counts, canary: Counts, bounds_ms: Sequence[float]) -> Standing:
    """Add what was answered since the last look. When to look must not depend on how the requests ended.

    A look without requests of both is to be put off until there are some. Raises Invalid where counts and bounds do
    not fit each other.
    """
    if not bounds_ms or any(not lower < upper for lower, upper in pairwise((0.0, *bounds_ms))):
        raise Invalid(f"bounds of a latency rise from above 0, not {list(bounds_ms)[:20]}")
    for one in (live, canary):
        if len(one.latency) != len(bounds_ms) + 1 or not 0 <= one.errors <= one.requests or min(one.latency) < 0:
            raise Invalid(f"{len(bounds_ms)} bounds and counts that do not fit them: {one}")
    bound_ms = before.bound_ms or _bound(limits, before.live, bounds_ms)
    answered = Counts(
        before.answered.requests + canary.requests,
        before.answered.errors + canary.errors,
        _added(before.answered.latency, canary.latency),
    )
    errors = update(before.errors, limits.errors, (canary.errors, canary.requests), (live.errors, live.requests))
    latency, slow = before.latency, before.slow
    if bound_ms:
        beyond = [(_beyond(one.latency, bounds_ms, bound_ms), sum(one.latency)) for one in (canary, live)]
        latency, slow = update(latency, limits.slower, *beyond), slow + beyond[0][0]
    return replace(
        before, answered=answered, errors=errors, latency=latency, bound_ms=bound_ms,
        live=_added(before.live, live.latency), slow=slow,
    )  # fmt: skip


def look_at_labels(limits: Limits, before: Standing, live: Sequence[float], canary: Sequence[float]) -> Standing:
    """Add the losses of rows whose labels came since the last look; each row is to be brought once.

    Raises Invalid for a loss that does not lie between 0 and 1.
    """
    if limits.harm is None or not live or not canary:
        return before
    labels = weigh(before.labels, limits.harm, canary, live)
    return replace(before, labels=labels, rows=before.rows + len(canary), loss=before.loss + sum(canary))


def verdict(limits: Limits, standing: Standing) -> Verdict | None:
    """Why the canary must go, None while nothing says so: each of the tests has its part of alpha."""
    for kind in limits.tests:
        test = _test(kind, standing)
        counted = standing.rows if kind == "labels" else standing.answered.requests
        if counted >= limits.min_requests and test.log_e >= log(limits.enough):
            return Verdict(kind, exp(min(test.log_e, 700.0)), _told(kind, limits, standing))
    return None


def update(before: Evidence, margin: float, canary: tuple[int, int], live: tuple[int, int]) -> Evidence:
    """One test after one more look; `canary` and `live` are hits and requests. Nothing is learnt where one has none."""
    return _updated(before, margin, _hits(*canary), _hits(*live)) if canary[1] and live[1] else before


def weigh(before: Evidence, margin: float, canary: Sequence[float], live: Sequence[float]) -> Evidence:
    """The same of losses from 0 to 1: evidence that the canary's mean is above live's by more than `margin`.

    Losses are told apart by thousandths, the canary's rounded down and live's up. Raises Invalid for one outside.
    """
    if not canary or not live:
        return before
    return _updated(before, margin, _rounded(canary, floor), _rounded(live, ceil))


def _updated(before: Evidence, margin: float, canary: Losses, live: Losses) -> Evidence:
    looks = before.looks + 1
    known = before.requests >= KNOWN_AFTER
    rates = ((before.hits + 0.5) / (before.requests + 1.0),) if known else RATES
    begins = -log(looks * (looks + 1.0))  # Weights 1/2, 1/6, 1/12 ... of beginning here, which sum up to 1.
    logs = before.logs or (-inf,) * len(EXCESS)
    after = tuple(
        _log_sum((so_far, begins)) + _log_mean([_log_e(margin, excess, rate, canary, live) for rate in rates])
        for so_far, excess in zip(logs, EXCESS, strict=True)
    )
    lost = sum(loss * count for loss, count in live)
    return Evidence(looks, before.requests + _size(live), before.hits + lost, after)


def log_e(margin: float, excess: float, rate: float, canary: tuple[int, int], live: tuple[int, int]) -> float:
    """The log of `e` for one alternative: live hits with `rate`, the canary with margin and excess on top of that."""
    return _log_e(margin, excess, rate, _hits(*canary), _hits(*live))


def _log_e(margin: float, excess: float, rate: float, canary: Losses, live: Losses) -> float:
    rate = min(max(rate, LEAST), 1.0 - margin - 2 * LEAST)
    if rate <= 0.0:
        return 0.0  # The margin allows everything.
    high = min(rate + margin + excess * (1.0 - rate - margin), 1.0 - LEAST)
    low = _nearest(high, rate, margin, _size(canary), _size(live))
    return _log_ratio(high, low + margin, canary) + _log_ratio(rate, low, live)


def _hits(hits: int, requests: int) -> Losses:
    return ((1.0, hits), (0.0, requests - hits))


def _size(losses: Losses) -> int:
    return sum(count for _, count in losses)


def _rounded(losses: Sequence[float], towards: Callable[[float], int]) -> Losses:
    """The losses by steps: rounded against the evidence, they cost a look no more than there are steps."""
    if wrong := [loss for loss in losses if not 0.0 <= loss <= 1.0]:
        raise Invalid(f"a loss lies between 0 and 1, not {wrong[0]!r}")
    counts = Counter(towards(loss * LOSS_STEPS) for loss in losses)
    return tuple((step / LOSS_STEPS, count) for step, count in sorted(counts.items()))


def _nearest(high: float, rate: float, margin: float, m: int, n: int) -> float:
    """Live's share at the point of the hypothesis nearest to (high, rate): a root between rate and high - margin."""
    left, right = rate, high - margin
    at = (m * right + n * left) / (m + n)  # Where there is no margin, that is the root.
    for _ in range(100):
        top, spread = at + margin, at * (1.0 - at)
        wide = top * (1.0 - top)
        slope = m * (top - high) / wide + n * (at - rate) / spread
        if slope > 0.0:
            right = at
        else:
            left = at
        bend = m * (high * (1.0 - top) ** 2 + (1.0 - high) * top**2) / wide**2
        bend += n * (rate * (1.0 - at) ** 2 + (1.0 - rate) * at**2) / spread**2
        following = at - slope / bend
        if not left <= following <= right:
            following = (left + right) / 2
        if abs(following - at) <= 1e-15 * at:
            return following
        at = following
    return at


def _log_ratio(wanted: float, other: float, losses: Losses) -> float:
    """The log of how much more likely the losses are with one mean than with another."""
    apart = wanted - other
    return sum(count * log1p(apart * (loss / other - (1.0 - loss) / (1.0 - other))) for loss, count in losses)


def _bound(limits: Limits, live: tuple[int, ...], bounds_ms: Sequence[float]) -> float:
    """The bound of the histogram from which on a request is slow; 0 while too little is known of live."""
    wanted = limits.bound_ms
    if not wanted:
        total = sum(live)
        if total < BOUND_AFTER or len(live) != len(bounds_ms) + 1:
            return 0.0
        seen = 0
        for place, count in enumerate(live):
            seen += count
            if seen >= 0.99 * total:
                wanted = limits.latency_factor * bounds_ms[min(place, len(bounds_ms) - 1)]
                break
    return next((bound for bound in bounds_ms if bound >= wanted), bounds_ms[-1])


def _beyond(latency: Sequence[int], bounds_ms: Sequence[float], bound_ms: float) -> int:
    return sum(count for lower, count in zip((0.0, *bounds_ms), latency, strict=True) if lower >= bound_ms)


def _test(kind: Kind, standing: Standing) -> Evidence:
    return {"errors": standing.errors, "latency": standing.latency, "labels": standing.labels}[kind]


def _told(kind: Kind, limits: Limits, standing: Standing) -> str:
    requests, test = standing.answered.requests, _test(kind, standing)
    weighed = f"evidence {exp(min(test.log_e, 700.0)):.4g} against {limits.enough:.4g}"
    if kind == "labels":
        live = f"where that of {test.requests} rows of live is {test.hits / max(1, test.requests):.4g}"
        lost = f"the mean loss of {standing.rows} labelled rows is {standing.loss / max(1, standing.rows):.4g}"
        return f"{lost}, {live} and {limits.harm:.4g} more is allowed; {weighed}"
    hits, what, margin = (
        (standing.answered.errors, "failed", limits.errors)
        if kind == "errors"
        else (standing.slow, f"took longer than {standing.bound_ms:g} ms", limits.slower)
    )
    against = f"where {test.hits:g} of {test.requests} of live's did and {margin:.4g} more is allowed"
    return f"{hits} of {requests} requests {what}, {against}; {weighed}"


def _added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """Two histograms as one; after a change of the bounds the newer alone counts."""
    return tuple(a + b for a, b in zip(one, other, strict=True)) if len(one) == len(other) else other


def _log_sum(logs: Sequence[float]) -> float:
    top = max(logs)
    return top if top == -inf else top + log(sum(exp(one - top) for one in logs))


def _log_mean(logs: Sequence[float]) -> float:
    return _log_sum(logs) - log(len(logs))
