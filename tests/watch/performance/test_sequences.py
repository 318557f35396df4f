"""Confidence sequences: they cover at every look, in any order of the rows, and are narrow where much is known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.watch.performance.sequences import (
    LARGE,
    Range,
    asymptotic_bounds,
    log_e_above,
    mean_bounds,
    share_of_alpha,
)

STREAMS, LOOKS, ROWS = 300, 12, 40
ALPHA = 0.1

LAWS = {
    "rare": (lambda chance, n: (chance.random(n) < 0.03).astype(float), 0.03),
    "even": (lambda chance, n: (chance.random(n) < 0.5).astype(float), 0.5),
    "smooth": (lambda chance, n: chance.beta(2, 5, n), 2 / 7),
    "edge": (lambda chance, n: chance.random(n) ** 8, 1 / 9),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_mean_is_covered_at_every_look_of_nearly_all_streams(law: str):
    draw, mean = LAWS[law]
    missed = 0
    for seed in range(STREAMS):
        values = draw(np.random.default_rng(seed), LOOKS * ROWS)
        looks = (mean_bounds(values[: look * ROWS], ALPHA) for look in range(1, LOOKS + 1))
        missed += any(not low <= mean <= high for low, high in looks)
    assert missed <= STREAMS * ALPHA * 0.7, "the bound is 10 %, and such gamblers never need all of it"


def test_windows_are_covered_all_together_with_their_parts_of_alpha():
    missed = 0
    for seed in range(STREAMS):
        values = (np.random.default_rng(seed).random(LOOKS * ROWS) < 0.2).astype(float).reshape(LOOKS, ROWS)
        bounds = [mean_bounds(row, share_of_alpha(ALPHA, place)) for place, row in enumerate(values, 1)]
        missed += any(not low <= 0.2 <= high for low, high in bounds)
    assert missed <= STREAMS * ALPHA * 0.7
    assert sum(share_of_alpha(0.05, place) for place in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)


def test_a_naive_interval_misses_at_some_look_far_more_often():
    """What is guarded against: looking again and again at the interval of one look."""
    missed = 0
    for seed in range(STREAMS):
        values = np.random.default_rng(seed).random(LOOKS * ROWS)
        parts = (values[: look * ROWS] for look in range(1, LOOKS + 1))
        missed += any(abs(part.mean() - 0.5) > 1.645 * part.std() / np.sqrt(len(part)) for part in parts)
    assert missed > STREAMS * 0.2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter_and_the_mean_lies_between(values: list[float], chance):
    low, high = mean_bounds(np.array(values), 0.05)
    assert 0.0 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 1.0
    chance.shuffle(values)
    assert mean_bounds(np.array(values), 0.05) == pytest.approx((low, high), abs=1e-9)


def test_a_surer_interval_is_wider_and_more_rows_make_it_narrower():
    values = np.random.default_rng(0).random(2_000)
    widths = [high - low for low, high in (mean_bounds(values, alpha) for alpha in (0.2, 0.05, 0.001))]
    assert widths == sorted(widths)
    shrinking = [high - low for low, high in (mean_bounds(values[:rows], 0.05) for rows in (20, 200, 2_000))]
    assert all(later < 0.5 * before for before, later in pairwise(shrinking))


def test_it_is_less_than_twice_as_wide_as_the_interval_of_a_single_look():
    values = np.random.default_rng(1).beta(2, 3, 100_000)
    low, high = mean_bounds(values, 0.05)
    assert (high - low) / 2 < 2 * 1.96 * values.std() / np.sqrt(len(values))


def test_other_ranges_and_zeros_that_are_not_written_out_say_the_same():
    values = np.random.default_rng(2).random(500)
    low, high = mean_bounds(values, 0.05)
    assert mean_bounds(4 * values - 2, 0.05, Range(-2.0, 2.0)) == pytest.approx((4 * low - 2, 4 * high - 2), abs=1e-5)
    gaps = np.concatenate([values - 0.5, np.zeros(300)])
    within = Range(-1.0, 1.0)
    assert mean_bounds(values - 0.5, 0.05, within, zeros=300) == pytest.approx(mean_bounds(gaps, 0.05, within))


def test_without_rows_all_is_possible_and_constant_rows_have_one_open_side():
    assert mean_bounds(np.empty(0), 0.05) == (0.0, 1.0)
    assert mean_bounds(np.zeros(50), 0.05)[0] == 0.0
    assert mean_bounds(np.ones(50), 0.05)[1] == 1.0
    assert 0.8 < mean_bounds(np.ones(50), 0.05)[0] < 1.0
    low, high = mean_bounds(np.ones(1), 0.05)
    assert 0.0 < low < 0.05
    assert high == 1.0


def test_evidence_that_a_mean_is_larger_agrees_with_the_bound():
    values = np.random.default_rng(3).random(400)
    low, _ = mean_bounds(values, 0.05)
    assert log_e_above(values, low) >= np.log(2 / 0.05)
    assert log_e_above(values, low + 1e-3) < np.log(2 / 0.05)
    assert log_e_above(values, 0.6) < 0.0
    assert log_e_above(np.zeros(5), 0.0) == 0.0


def test_evidence_is_on_average_one_at_most_where_the_mean_is_what_is_held_against_it():
    e_values = [
        np.exp(log_e_above((np.random.default_rng(seed).random(30) < 0.3).astype(float), 0.3)) for seed in range(2_000)
    ]
    assert np.mean(e_values) < 1.15


def test_asymptotic_bounds_cover_errors_without_bounds():
    missed = 0
    for seed in range(STREAMS):
        values = np.random.default_rng(seed).standard_t(6, LOOKS * 4 * ROWS)
        looks = (asymptotic_bounds(values[: look * 4 * ROWS], ALPHA) for look in range(1, LOOKS + 1))
        missed += any(found is not None and not found[0] <= 0.0 <= found[1] for found in looks)
    assert missed <= STREAMS * ALPHA
    assert asymptotic_bounds(np.ones(LARGE - 1), 0.05) is None
    assert asymptotic_bounds(np.ones(LARGE), 0.05) == (1.0, 1.0)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_an_alpha_that_is_no_chance_is_told(alpha: float):
    with pytest.raises(Invalid, match="alpha is a chance"):
        mean_bounds(np.ones(3), alpha)
    with pytest.raises(Invalid, match="alpha is a chance"):
        asymptotic_bounds(np.ones(50), alpha)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_value_outside_of_its_range_is_told(value: float):
    with pytest.raises(Invalid, match="between 0 and 1"):
        mean_bounds(np.array([0.5, value]), 0.05)
