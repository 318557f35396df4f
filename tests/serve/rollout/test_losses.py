"""The test of labels: means are held against each other as shares are, and rounding spares the canary."""

from itertools import product
from math import exp, isfinite, log, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.serve.rollout.judging import (
    EXCESS,
    LOSS_STEPS,
    Evidence,
    Limits,
    Losses,
    Standing,
    _log_e,
    log_e,
    look_at_labels,
    update,
    verdict,
)

LIMITS = Limits(harm=0.05, min_requests=50)
FOUND = (0.0, 0.3, 1.0)


def counted(losses: tuple[float, ...]) -> Losses:
    return tuple((loss, 1) for loss in losses)


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
def test_evidence_has_a_mean_of_one_at_most_where_mean_losses_are_as_allowed(margin: float):
    """Every outcome of two rows each, whose chances differ from row to row; no simulation."""
    chances = [np.array(one) / 10 for one in ((9, 1, 0), (5, 3, 2), (2, 2, 6), (0, 10, 0), (7, 0, 3))]
    means = [float(one @ FOUND) for one in chances]
    most = 0.0
    for excess, rate in product((EXCESS[1], EXCESS[5]), (0.01, 0.2, 0.5)):
        places = range(len(FOUND))
        e = {}
        for outcome in product(places, repeat=4):
            mine, theirs = (counted(tuple(FOUND[one] for one in part)) for part in (outcome[:2], outcome[2:]))
            e[outcome] = exp(_log_e(margin, excess, rate, mine, theirs))
        for rows in product(range(len(chances)), repeat=4):
            lost = means[rows[0]] + means[rows[1]], means[rows[2]] + means[rows[3]]
            if lost[0] / 2 <= lost[1] / 2 + margin:
                mean = sum(
                    one * prod(chances[row][place] for row, place in zip(rows, outcome, strict=True))
                    for outcome, one in e.items()
                )
                most = max(most, mean)
    assert 0.9 < most < 1 + 1e-9


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.integers(1, 30))
def test_losses_that_are_hits_weigh_as_hits(a: int, b: int, more_a: int, more_b: int):
    canary, live = (a, a + more_a), (b, b + more_b)
    standing = look_at_labels(LIMITS, Standing(), [1.0] * b + [0.0] * more_b, [1.0] * a + [0.0] * more_a)
    assert standing.labels.log_e == pytest.approx(update(Evidence(), 0.05, canary, live).log_e)
    assert isfinite(log_e(0.05, 0.1, 0.2, canary, live))


def test_rounding_spares_the_canary():
    exact = look_at_labels(LIMITS, Standing(), [0.25] * 40, [0.5] * 20).labels.log_e
    fine = 0.4 / LOSS_STEPS
    assert look_at_labels(LIMITS, Standing(), [0.25 - fine] * 40, [0.5 + fine] * 20).labels.log_e == exact
    assert look_at_labels(LIMITS, Standing(), [0.25] * 40, [0.5 - fine] * 20).labels.log_e < exact


def stream(canary: float, live: float, seed: int, looks: int = 60) -> Standing:
    """Squared errors of forecasts that are off by so much; ten rows of the canary a look."""
    chance = np.random.default_rng(seed)
    standing = Standing()
    for _ in range(looks):
        losses = [np.clip(chance.normal(off, 0.2, rows), 0, 1) ** 2 for off, rows in ((live, 90), (canary, 10))]
        standing = look_at_labels(LIMITS, standing, losses[0].tolist(), losses[1].tolist())
        if verdict(LIMITS, standing) is not None:
            break
    return standing


def test_a_canary_that_is_off_by_more_is_found_and_one_that_is_not_is_kept():
    assert [verdict(LIMITS, stream(0.3, 0.3, seed)) for seed in range(20)] == [None] * 20
    for seed in range(5):
        standing = stream(0.6, 0.3, seed)
        found = verdict(LIMITS, standing)
        assert found is not None and found.kind == "labels" and found.e_value >= 300
        assert standing.rows <= 200
        assert f"of {standing.rows} labelled rows" in found.text


def test_each_of_three_tests_has_a_third_of_alpha():
    assert Limits(alpha=0.01).enough == pytest.approx(200)
    assert Limits(alpha=0.01, harm=0.0).enough == pytest.approx(300)
    bad = look_at_labels(LIMITS, Standing(), [0.0] * 100, [1.0] * 49)
    assert bad.labels.log_e > log(300)
    assert verdict(LIMITS, bad) is None, "one row is lacking"


def test_without_harm_or_without_rows_of_both_nothing_is_learnt():
    assert look_at_labels(Limits(), Standing(), [0.0], [1.0]) == Standing()
    assert look_at_labels(LIMITS, Standing(), [], [1.0]) == look_at_labels(LIMITS, Standing(), [0.0], []) == Standing()
    with pytest.raises(Invalid, match="between 0 and 1"):
        look_at_labels(LIMITS, Standing(), [0.0], [1.5])
    with pytest.raises(Invalid, match="between 0 and 1"):
        look_at_labels(LIMITS, Standing(), [float("nan")], [1.0])
