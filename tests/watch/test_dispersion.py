"""Over-dispersion: a factor of at least one that grows with the unrest of the reference's own blocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from taut.watch.dispersion import RUN_ROWS, RUNS, RUNS_MIN, block_bounds, dispersion, runs_of
from taut.watch.profile import make_reference

PAIRS = st.lists(
    st.integers(0, 50).flatmap(lambda asked: st.tuples(st.integers(0, asked), st.just(asked))), max_size=40
).map(lambda pairs: np.array(pairs, dtype=float).reshape(-1, 2))


@given(PAIRS)
def test_the_factor_is_finite_and_never_below_one(pairs):
    factor = dispersion(pairs)
    assert np.isfinite(factor) and factor >= 1.0


@given(PAIRS)
def test_yes_and_no_are_equally_wild(pairs):
    mirrored = np.column_stack([pairs[:, 1] - pairs[:, 0], pairs[:, 1]])
    assert dispersion(mirrored) == pytest.approx(dispersion(pairs))


@given(st.lists(st.integers(0, 3), max_size=30))
def test_the_bounds_of_blocks_cover_every_row_once_and_split_only_at_a_change(blocks):
    bounds = block_bounds(blocks)
    assert [row for start, end in bounds for row in range(start, end)] == list(range(len(blocks)))
    assert all(len(set(blocks[start:end])) == 1 for start, end in bounds)
    assert all(blocks[start - 1] != blocks[start] for start, _ in bounds[1:])


@pytest.mark.parametrize("pairs", [[], [[3, 10]], [[0, 10]] * 9, [[10, 10]] * 9, [[0, 0]] * 9])
def test_what_cannot_tell_is_taken_as_independent(pairs):
    assert dispersion(np.array(pairs, dtype=float).reshape(-1, 2)) == 1.0


def test_all_or_nothing_blocks_are_as_wild_as_their_size():
    pairs = np.array([[100, 100], [0, 100]] * 7, dtype=float)  # 14 blocks: merged pairs would be too few.
    assert dispersion(pairs) == pytest.approx(100 * 14 / 13)


def test_a_slow_swing_weighs_more_in_merged_blocks():
    slow = np.array(([[60, 100]] * 8 + [[40, 100]] * 8) * 2, dtype=float)
    fast = np.array([[60, 100], [40, 100]] * 16, dtype=float)
    assert dispersion(slow) > 2 * dispersion(fast)


def test_an_event_that_never_happened_borrows_the_largest_factor_of_its_feature():
    days = np.repeat(np.arange(20), 50)
    moody = np.where(days % 2 == 0, 0.0, 10.0) + np.random.default_rng(1).random(1000)
    (feature,) = make_reference({"x": moody}, blocks=days.tolist()).features
    worst = max(event.deff for event in feature.events)
    assert worst > 10
    assert all(event.deff == worst for event in feature.events if not event.hits)


# Where nobody says what a block is


def test_runs_of_independent_rows_are_taken_as_independent():
    """Of 600 events and eight lengths of runs, hardly one swings by chance so that it counts."""
    chance = np.random.default_rng(5)
    columns = {f"x{number}": chance.normal(size=10_000) for number in range(60)}
    reference = make_reference(columns, blocks=runs_of(10_000), sure=1e-4)
    factors = [event.deff for feature in reference.features for event in feature.events]
    assert sum(factor > 1 for factor in factors) <= 6
    assert max(factors) < 4


def test_runs_of_rows_that_move_together_swing():
    chance = np.random.default_rng(6)
    slow = np.repeat(chance.normal(size=100), 100) + chance.normal(size=10_000)
    (feature,) = make_reference({"x": slow}, blocks=runs_of(10_000), sure=1e-4).features
    assert min(event.deff for event in feature.events if event.kind == "below") > 5


def test_a_swing_counts_where_it_is_surely_none_by_chance():
    pairs = np.array([[60, 100], [40, 100]] * 8, dtype=float)
    assert dispersion(pairs, sure=1e-4) == pytest.approx(dispersion(pairs) * 15 / chi2.ppf(0.1, 15))
    mild = np.array([[55, 100], [45, 100]] * 8, dtype=float)
    assert (dispersion(mild, sure=1e-4), dispersion(mild) > 1) == (1.0, True)


def test_runs_are_of_one_length_and_few_rows_have_none():
    assert runs_of(RUNS_MIN * RUN_ROWS - 1) is None
    short, long = runs_of(RUNS_MIN * RUN_ROWS), runs_of(1_000_000)
    assert short is not None and len(block_bounds(short)) == RUNS_MIN
    assert long is not None and len(block_bounds(long)) == RUNS
