"""A canary's evidence: false rollbacks are as rare as promised, counted out and simulated, and a bad one is found."""

from math import comb, exp, isfinite, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.serve.rollout.judging import (
    EXCESS,
    RATES,
    Counts,
    Evidence,
    Limits,
    Standing,
    log_e,
    look,
    update,
    verdict,
)

BOUNDS_MS = (1.0, 5.0, 10.0, 50.0)


def likely(hits: int, requests: int, share: float) -> float:
    return comb(requests, hits) * share**hits * (1 - share) ** (requests - hits)


@pytest.mark.parametrize(("canary", "live"), [(1, 1), (3, 9), (5, 20), (8, 2)])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.2])
def test_evidence_has_a_mean_of_one_at_most_wherever_the_canary_is_as_allowed(canary: int, live: int, margin: float):
    """Every outcome of a look, each with its chance: no simulation, so nothing is left to luck."""
    most = 0.0
    for excess in (EXCESS[0], EXCESS[4], EXCESS[-1]):
        for rate in (RATES[0], 0.05, RATES[-1]):
            e = {
                (a, b): exp(log_e(margin, excess, rate, (a, canary), (b, live)))
                for a in range(canary + 1)
                for b in range(live + 1)
            }
            for share in (0.0, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.8, 1.0):
                for more in (-0.1, 0.0, margin / 2, margin):
                    mine = min(max(share + more, 0.0), 1.0)
                    mean = sum(likely(a, canary, mine) * likely(b, live, share) * one for (a, b), one in e.items())
                    most = max(most, mean)
    assert 0.99 < most < 1 + 1e-9, "below one it would be safe and blind"


def test_shares_that_change_within_a_look_break_nothing():
    """Each request has a share of its own; the shares of both have the same mean, and evidence one below one."""
    canary, live = (0.0, 0.6), (0.5, 0.1)
    chances = np.array([[1 - share, share] for share in (*canary, *live)])
    for excess in EXCESS:
        mean = sum(
            np.prod([chances[place][hit] for place, hit in enumerate(hits)])
            * exp(log_e(0.0, excess, 0.1, (hits[0] + hits[1], 2), (hits[2] + hits[3], 2)))
            for hits in np.ndindex(2, 2, 2, 2)
        )
        assert mean <= 1 + 1e-9


def stream(
    canary: float, live: float, *, weight: float, margin: float, looks: int, seed: int, each: int = 100
) -> tuple[float, int]:
    """The most evidence that was ever seen, and how many requests the canary had answered by then."""
    chance = np.random.default_rng(seed)
    evidence, answered, most, at = Evidence(), 0, 0.0, 0
    for _ in range(looks):
        mine = int(chance.binomial(each, weight))
        theirs = each - mine
        hits = int(chance.binomial(mine, canary)), int(chance.binomial(theirs, live))
        evidence = update(evidence, margin, (hits[0], mine), (hits[1], theirs))
        answered += mine
        if evidence.log_e > most:
            most, at = evidence.log_e, answered
        if most >= log(200):
            break
    return most, at


@pytest.mark.parametrize(("live", "margin", "weight"), [(0.02, 0.0, 0.05), (0.01, 0.02, 0.25)])
def test_canaries_as_good_as_is_allowed_are_seldom_rolled_back(live: float, margin: float, weight: float):
    """At the very edge of what is allowed, looked at all the time; with alpha a tenth, so that there is one to see."""
    most = [stream(live + margin, live, weight=weight, margin=margin, looks=40, seed=seed)[0] for seed in range(150)]
    assert sum(one >= log(10) for one in most) <= 0.1 * 150


@pytest.mark.parametrize(
    ("canary", "live", "margin", "weight", "within"),
    [
        (0.06, 0.01, 0.01, 0.05, 1_000),
        (0.05, 0.0, 0.01, 0.05, 500),
        (0.06, 0.01, 0.0, 0.25, 700),
        (1.0, 0.0, 0.01, 0.05, 15),
        (0.35, 0.3, 0.0, 0.5, 5_000),
    ],
)
def test_a_canary_that_does_worse_is_found_soon(canary, live, margin, weight, within):
    for seed in range(5):
        most, at = stream(canary, live, weight=weight, margin=margin, looks=1_000, seed=seed)
        assert most >= log(200)
        assert at <= within, seed


def test_a_canary_that_turns_bad_after_a_good_week_is_found_as_soon():
    evidence = Evidence()
    for _ in range(500):
        evidence = update(evidence, 0.01, (0, 50), (10, 950))
    good = evidence.log_e
    looks = 0
    while evidence.log_e < log(200):
        evidence = update(evidence, 0.01, (5, 50), (10, 950))
        looks += 1
    assert good < 0
    assert looks < 12, "all that it did well before counts for nothing"


def test_an_hour_in_which_everybody_fails_is_not_the_canarys_fault():
    evidence = Evidence()
    for share in (0, 0, 0, 40, 90, 100, 30, 0, 0):
        evidence = update(evidence, 0.01, (share // 2, 50), (share, 100))
    assert evidence.log_e < log(5)


@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 300), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5
    ),
    st.floats(0, 1),
)
def test_evidence_is_a_finite_number_whatever_was_counted(looks, margin):
    evidence = Evidence()
    for canary, live, mine, theirs in looks:
        evidence = update(evidence, margin, (int(canary * mine), canary), (int(live * theirs), live))
    assert isfinite(evidence.log_e)
    assert all(map(isfinite, evidence.logs))


def test_a_look_at_requests_of_one_alone_teaches_nothing():
    assert update(Evidence(), 0.0, (3, 3), (0, 0)) == update(Evidence(), 0.0, (0, 0), (3, 3)) == Evidence()
    assert Evidence().log_e == 0.0


def counts(requests: int, errors: int = 0, *, slow: int = 0) -> Counts:
    return Counts(requests, errors, (0, requests - slow, 0, 0, slow))


def seen(*looks: tuple[Counts, Counts], limits: Limits | None = None) -> Standing:
    standing = Standing()
    for live, canary in looks:
        standing = look(limits or Limits(), standing, live, canary, BOUNDS_MS)
    return standing


def test_failing_canaries_are_told_with_what_was_counted():
    found = verdict(Limits(), seen(*[(counts(950, 9), counts(50, 10))] * 3))
    assert found is not None
    assert (found.kind, found.e_value > 200) == ("errors", True)
    assert found.text.startswith("30 of 150 requests failed, where 27 of 2850 of live's did and 0.01 more is allowed;")


def test_no_verdict_falls_before_the_canary_has_answered_enough():
    standing = seen((counts(950), counts(50, 50)))
    assert verdict(Limits(), standing) is None
    assert verdict(Limits(min_requests=50), standing) is not None


def test_slow_canaries_are_found_by_a_bound_that_is_taken_from_live_once():
    good = [(counts(950, slow=5), counts(50))] * 2
    standing = seen(*good)
    assert standing.bound_ms == 10.0, "twice the 5 ms within which 99 % of live's first requests were answered"
    slower = seen(*good, *[(counts(950, slow=900), counts(50, slow=50))] * 3)
    assert slower.bound_ms == 10.0
    assert verdict(Limits(), slower) is None, "live is as slow"
    found = verdict(Limits(), seen(*good, *[(counts(950, slow=5), counts(50, slow=20))] * 3))
    assert found is not None
    assert found.kind == "latency"
    assert "60 of 250 requests took longer than 10 ms, where 20 of 3800 of live's did" in found.text


def test_a_bound_of_the_policys_own_counts_from_the_first_request_on():
    limits = Limits(bound_ms=20.0)
    found = verdict(limits, seen(*[(counts(950), counts(50, slow=20))] * 2, limits=limits))
    assert found is not None
    assert "40 of 100 requests took longer than 50 ms" in found.text, "the next bound that is counted by"
    far = Limits(bound_ms=60_000.0)
    assert seen((counts(950), counts(50)), limits=far).bound_ms == 50.0


@pytest.mark.parametrize(
    ("before", "now", "since"),
    [
        (Counts(), Counts(5, 1, (4, 1)), Counts(5, 1, (4, 1))),
        (Counts(5, 1, (4, 1)), Counts(7, 1, (5, 2)), Counts(2, 0, (1, 1))),
        (Counts(5, 1, (4, 1)), Counts(3, 0, (3, 0)), Counts(3, 0, (3, 0))),
        (Counts(5, 1, (4, 1)), Counts(6, 0, (6, 0)), Counts(6, 0, (6, 0))),
        (Counts(5, 1, (4, 1)), Counts(5, 1, (4, 1)), Counts(0, 0, (0, 0))),
        (Counts(5, 1, (4, 1)), Counts(9, 1, (4, 1, 4)), Counts(9, 1, (4, 1, 4))),
    ],
)
def test_counters_that_began_anew_are_counted_whole(before: Counts, now: Counts, since: Counts):
    assert now.since(before) == since


@pytest.mark.parametrize("bad", [Counts(1, 0, (1,)), Counts(1, 2, (0, 1, 0, 0, 0)), Counts(1, 0, (2, -1, 0, 0, 0))])
def test_counts_that_cannot_be_are_refused(bad: Counts):
    for live, canary in ((bad, counts(1)), (counts(1), bad)):
        with pytest.raises(Invalid, match="do not fit"):
            look(Limits(), Standing(), live, canary, BOUNDS_MS)


@pytest.mark.parametrize("bounds", [(), (5.0, 1.0), (1.0, 1.0), (0.0, 1.0), (1.0, float("nan"))])
def test_bounds_that_do_not_rise_are_refused(bounds: tuple[float, ...]):
    one = Counts(1, 0, (1,) + (0,) * len(bounds))
    with pytest.raises(Invalid, match="bounds of a latency rise"):
        look(Limits(), Standing(), one, one, bounds)
