"""The shares behind a picture: they add up, they agree with the measures, and what moved is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from taut.watch.counts import NO_COUNTS, WindowCounts, count_labels, count_window
from taut.watch.events import ERROR, TARGET, Feature
from taut.watch.measures.psi import psi, psi_of_feature
from taut.watch.picture.named import told_event
from taut.watch.picture.shares import loudest_event, shares_of
from taut.watch.profile import make_reference
from tests.watch.drawn import column as watched_column

NUMBERS = st.one_of(st.none(), st.integers(-5, 5), st.floats(-1e6, 1e6))
LEVELS = st.one_of(st.none(), st.sampled_from("abcdefghijklmnopqrst"))


def window(column, now) -> tuple[Feature, WindowCounts]:
    """The feature of a column, and a window counted over it."""
    one = watched_column("x", column, now)
    return one.feature, one.counts


def shares(column, now) -> dict[str, tuple[float, float]]:
    return {one.name: (one.then, one.now) for one in shares_of(*window(column, now))}


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.lists(NUMBERS, min_size=1, max_size=60))
def test_shares_of_numbers_add_up_on_both_sides_whatever_they_are(then, now):
    found = shares_of(*window(np.array(then, dtype=float), np.array(now, dtype=float)))
    present = [any(value is not None for value in side) for side in (then, now)]
    if all(present):
        assert sum(one.then for one in found) == pytest.approx(1)
        assert sum(one.now for one in found) == pytest.approx(1)
    assert all(0 <= share <= 1 for one in found for share in (one.then, one.now))


@given(st.lists(LEVELS, min_size=1, max_size=60), st.lists(LEVELS, min_size=1, max_size=60))
def test_shares_of_levels_add_up_to_all_rows_that_have_one(then, now):
    if all(value is None for value in then):
        return
    found = shares_of(*window(np.array(then, dtype=object), np.array(now, dtype=object)))
    assert sum(one.now for one in found) == pytest.approx(1)
    assert all(0 <= one.now <= 1 for one in found)


def test_numbers_are_parted_by_the_cuts_of_the_reference():
    found = shares_of(*window(np.arange(1.0, 10.0), np.array([1.0, 1.0, 9.0, np.nan])))
    assert [(one.name, one.kind) for one in found[:2]] == [("up to 1", "part"), ("above 1 to 2", "part")]
    assert found[-2].name == "above 8"
    assert (found[0].now, found[-2].now, found[-1].now) == (0.5, 0.25, 0.25)
    assert [one.then for one in found[:-1]] == pytest.approx([1 / 9] * 9)
    assert (found[0].low, found[0].high, found[1].low, found[-2].high) == (None, 1.0, 1.0, None)


def test_levels_stand_by_name_and_new_ones_together():
    found = shares(["a"] * 6 + ["b"] * 4, ["a", "c", "d", None])
    assert found == {"a": (0.6, 0.25), "b": (0.4, 0.0), "new levels": (0.0, 0.5), "missing": (0.0, 0.25)}


def test_a_column_of_one_level_or_one_number_is_a_whole():
    assert shares(["a"] * 4, ["a", "a", "b", "b"]) == {
        "a": (1.0, 0.5), "new levels": (0.0, 0.5), "missing": (0.0, 0.0),
    }  # fmt: skip
    assert shares(np.ones(4), np.ones(3)) == {"any number": (1.0, 1.0), "missing": (0.0, 0.0)}


def test_levels_beyond_the_most_frequent_are_one_part():
    column = [level for place in range(20) for level in [f"l{place:02d}"] * (200 - 8 * place)]
    np.random.default_rng(0).shuffle(column)
    found = shares(column, ["l00", "l19", "l18", "new"])
    assert len(found) == 12 + 3
    assert found["l00"][1] == 0.25
    assert found["all other levels"][1] == pytest.approx(0.5)
    assert found["new levels"][1] == 0.25


def test_a_column_of_holes_that_has_values_now_says_so():
    assert shares(np.full(4, np.nan), np.array([1.0, np.nan])) == {"missing": (1.0, 0.5)}


def test_what_was_not_asked_has_no_shares():
    reference = make_reference({"x": [1.0, 2.0, 3.0]})
    assert shares_of(reference.features[0], NO_COUNTS) == ()
    assert shares_of(reference.features[0], count_window(reference, {"x": []})) == ()
    assert loudest_event(reference.features[0], NO_COUNTS) is None


def test_labels_are_told_as_rates():
    scores = np.linspace(0, 1, 100)
    reference = make_reference({"x": scores}, scores=scores, targets=(scores > 0.5).astype(float))
    counts = count_labels(reference, scores, (scores < 0.5).astype(float))
    by_name = {feature.name: feature for feature in reference.features}
    (wrong,) = shares_of(by_name[ERROR], counts)
    assert (wrong.name, wrong.kind, wrong.then, wrong.now) == ("wrong", "rate", 0.0, 1.0)
    bins = shares_of(by_name[TARGET], counts)
    assert [one.name for one in bins][::4] == ["up to 0.192", "above 0.798"]
    assert (bins[0].then, bins[0].now, bins[-1].now) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (np.arange(900.0), np.arange(500.0)),
        (np.array([0.0, 1.0, np.nan] * 50), np.array([1.0] * 9 + [np.nan])),
        (np.array(["a", "b", "b", None] * 20, dtype=object), np.array(["a", "a", "b", None], dtype=object)),
    ],
)
def test_shares_agree_with_the_population_stability_index(then, now):
    feature, counts = window(then, now)
    found = shares_of(feature, counts)
    assert psi([one.then for one in found], [one.now for one in found]) == pytest.approx(
        psi_of_feature(feature, counts)
    )


# The loudest event


def loudest(then, now) -> str:
    feature, counts = window(then, now)
    found = loudest_event(feature, counts)
    return "" if found is None else told_event(feature, *found)


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (np.arange(900.0), ""),
        (np.arange(450.0, 900.0), "at or below 399, its 4th cut of 8: 0 % now, 44 % then"),
        (np.where(np.arange(900) % 10, np.arange(900.0), np.nan), "missing: 10 % now, 0 % then"),
        (np.where(np.arange(900) % 5, np.arange(900.0), 1e6), "outside 0 to 899, all that the reference had: 20 % now"),
    ],
)
def test_the_loudest_event_of_numbers_is_the_one_that_moved(now, says):
    assert loudest(np.arange(900.0), now).startswith(says)
    assert bool(says) == bool(loudest(np.arange(900.0), now))


def test_the_loudest_event_of_levels_names_the_level_or_says_that_it_is_new():
    then = ["a", "b", "c"] * 100
    assert loudest(then, ["a", "a", "a", "b", "c"] * 20) == "is a: 60 % now, 33 % then"
    assert loudest(then, ["a", "b", "c", "new"] * 25) == "a level that the reference never had: 25 % now, 0 % then"


def test_fewer_of_what_may_only_grow_is_no_event():
    """The reference has no hole: that there is none now says nothing, and all else is as it was."""
    assert loudest(np.arange(90.0), np.arange(90.0)) == ""


def test_rows_that_move_together_count_less():
    feature, counts = window(np.arange(900.0), np.arange(200.0, 900.0))
    found = loudest_event(feature, counts)
    assert found is not None
    wild = [e if e != found[0] else type(e)(**{name: getattr(e, name) for name in e.__slots__} | {"deff": 1e9})
            for e in feature.events]  # fmt: skip
    other = loudest_event(Feature(feature.name, feature.kind, tuple(wild), feature.low, feature.high), counts)
    assert other is not None and other[0].name != found[0].name


@pytest.mark.parametrize(("hits", "asked"), [(10, 100), (50, 100), (0, 100), (100, 100)])
def test_how_sure_a_change_is_agrees_with_the_likelihood_ratio_test(hits, asked):
    from taut.watch.picture.shares import _g_squared

    table = [[20, 280], [hits, asked - hits]]
    expected = chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    assert _g_squared(20, 300, hits, asked) == pytest.approx(expected)
