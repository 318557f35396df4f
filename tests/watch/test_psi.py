"""The population stability index, from bins and from a window's stored counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.watch.counts import NO_COUNTS, count_window
from taut.watch.measures import psi, psi_of_feature
from taut.watch.profile import make_reference

counts = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=2, max_size=10)


@given(counts, st.randoms(use_true_random=False))
def test_psi_does_not_care_in_which_order_the_bins_stand(pairs, chance):
    moved = chance.sample(pairs, len(pairs))
    assert psi(*zip(*moved, strict=True)) == pytest.approx(psi(*zip(*pairs, strict=True)))


@given(counts)
def test_psi_is_never_negative_the_same_both_ways_and_nothing_for_equal_shares(pairs):
    one, other = zip(*pairs, strict=True)
    assert psi(one, other) >= 0
    assert psi(one, other) == pytest.approx(psi(other, one))
    assert psi(one, [3 * k for k in one]) == pytest.approx(0)


def test_an_empty_bin_costs_much_but_not_infinitely_much():
    assert 0.5 < psi([50, 50], [100, 0]) < 10


@pytest.mark.parametrize(("one", "other"), [([1, 2], [1]), ([0, 0], [1, 2]), ([], [])])
def test_samples_that_share_no_bins_are_refused(one, other):
    with pytest.raises(Invalid):
        psi(one, other)


def test_stored_counts_give_the_index_that_the_raw_rows_would_give():
    chance = np.random.default_rng(1)
    before, now = chance.normal(size=9_000), chance.normal(0.5, 1, size=5_000)
    reference = make_reference({"x": before})
    (feature,) = reference.features
    edges = [-np.inf, *(event.at or 0.0 for event in feature.events if event.kind == "below"), np.inf]
    raw = psi(np.histogram(before, edges)[0].tolist(), np.histogram(now, edges)[0].tolist())
    assert psi_of_feature(feature, count_window(reference, {"x": now})) == pytest.approx(raw, rel=0.02)


def test_missing_values_and_moved_levels_show():
    reference = make_reference({"plan": ["a", "b"] * 50, "age": [*range(0, 100, 2), *range(1, 100, 2)]})
    plan, age = reference.features
    same = count_window(reference, {"plan": ["b", "a"] * 5, "age": [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]})
    worse = count_window(reference, {"plan": ["a"] * 10, "age": [None] * 10})
    assert psi_of_feature(plan, same) == pytest.approx(0)
    assert (psi_of_feature(plan, worse) or 0) > 0.25
    assert (psi_of_feature(age, worse) or 0) > (psi_of_feature(age, same) or 0) > 0


def test_a_window_that_asked_nothing_has_no_index():
    (feature,) = make_reference({"x": [1.0, 2.0]}).features
    assert psi_of_feature(feature, NO_COUNTS) is None
