"""The finer histogram beside the events: what the reference keeps of a column, and what a window counts over it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.ground import wire
from taut.watch.columns import Column
from taut.watch.counts import NO_COUNTS, WindowCounts, count_feature, count_window
from taut.watch.events import KEPT_LEVELS, Feature, Reference, categorical_feature, histogram, numeric_feature
from taut.watch.profile import make_reference

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True, width=32), st.integers(-3, 3).map(float))
COLUMNS = st.lists(NUMBERS, min_size=1, max_size=60)


def counted_by_hand(feature: Feature, values: list[float | None]) -> tuple[int, ...]:
    """The bins from their definition, a comparison a value."""
    edges, there = feature.edges, [value for value in values if value is not None and value == value]  # noqa: PLR0124
    if not edges:
        return ()
    bins = [0] * (len(edges) + 1)
    for value in there:
        if value < edges[0]:
            bins[0] += 1
        else:
            bins[next((place for place, edge in enumerate(edges) if place and value <= edge), len(edges))] += 1
    return tuple(bins)


@given(COLUMNS, COLUMNS)
def test_bins_are_what_a_comparison_a_value_says_and_hits_are_what_the_events_ask(known, now):
    feature = numeric_feature("x", known)
    assert feature.bins == counted_by_hand(feature, known)
    found = count_feature(feature, now)
    assert found.bins == counted_by_hand(feature, now)
    there = [value for value in now if value is not None and value == value]  # noqa: PLR0124
    for event, hits in zip(feature.events, found.hits, strict=True):
        if event.kind == "below":
            assert event.at is not None
            assert hits == sum(value <= event.at for value in there)
        elif event.kind == "outside":
            assert feature.low is not None and feature.high is not None
            assert hits == sum(not feature.low <= value <= feature.high for value in there)


@given(COLUMNS)
def test_edges_ascend_from_the_smallest_value_to_the_largest(known):
    feature = numeric_feature("x", known)
    edges = feature.edges
    assert bool(edges) is bool(feature.bins) is (feature.low is not None)
    assert list(edges) == sorted(edges) and len(edges) <= 32
    assert len(set(edges[1:])) == len(edges[1:])
    if edges and all(one is not None and abs(one) < np.inf for one in (feature.low, feature.high)):
        assert (edges[0], edges[-1]) == (feature.low, feature.high)
        assert feature.bins[0] == feature.bins[-1] == 0


@given(COLUMNS, COLUMNS, COLUMNS)
def test_windows_and_replicas_add_up_bit_for_bit_in_any_order(known, one, two):
    reference = make_reference({"x": known})
    a, b = (count_window(reference, {"x": part}) for part in (one, two))
    assert a + b == b + a == count_window(reference, {"x": [*one, *two]})
    assert a + NO_COUNTS == a


def test_a_bin_holds_a_twenty_seventh_and_the_tails_less():
    feature = numeric_feature("x", np.random.default_rng(0).normal(size=10_000))
    assert len(feature.edges) == 32 and sum(feature.bins) == 10_000
    assert max(feature.bins) == pytest.approx(10_000 / 27, rel=0.1)
    assert feature.bins[1] + feature.bins[2] == pytest.approx(100, abs=8)
    assert feature.sd == pytest.approx(1.0, abs=0.03) and feature.distinct == 10_000
    assert {event.at for event in feature.events if event.at is not None} <= set(feature.edges)


def test_a_constant_a_column_of_few_values_and_one_of_holes_have_bins_too():
    constant = numeric_feature("x", [3.0] * 10)
    assert (constant.edges, constant.bins, constant.distinct) == ((3.0, 3.0), (0, 10, 0), 1)
    coin = numeric_feature("x", [0.0, 1.0] * 500)
    assert (coin.edges, coin.bins, coin.distinct) == ((0.0, 0.0, 1.0), (0, 500, 500, 0), 2)
    holes = numeric_feature("x", [None, None])
    assert (holes.edges, holes.bins, holes.distinct) == ((), (), 0)


def test_infinite_values_have_no_edge_and_a_profile_with_them_is_read_again():
    reference = make_reference({"x": [3.0, float("-inf"), *map(float, range(50)), float("inf"), 2.0]})
    (feature,) = wire.decode(wire.encode(reference), Reference).features
    assert all(np.isfinite(feature.edges))
    found = count_window(replace(reference, features=(feature,)), {"x": [float("-inf"), 7.0, None, float("inf")]})
    assert (found.bins["x"][0], sum(found.bins["x"]), found.bins["x"][-1]) == (1, 3, 1)
    assert found.hits["x"][-2:] == (0, 1)


def test_the_most_frequent_levels_are_kept_then_the_rest_then_what_was_never_seen():
    words = [f"w{place}" for place in range(40) for _ in range(50 - place)]
    feature = categorical_feature("w", words)
    assert len(feature.levels) == KEPT_LEVELS and feature.levels[0] == "w0"
    assert feature.bins[0] == 50 and sum(feature.bins) == len(words) and feature.bins[-1] == 0
    found = count_feature(feature, ["w0", "w0", "w39", "new", None])
    assert (found.bins[0], found.bins[-2:], sum(found.bins)) == (2, (1, 1), 4)


def test_an_identifier_has_no_level_that_was_never_seen():
    feature = categorical_feature("id", [f"id{place}" for place in range(1_001)])
    assert feature.known is None
    assert count_feature(feature, ["new"]).bins[-2:] == (1, 0)


def test_profiles_and_counts_of_before_are_read_and_counted():
    """Written by the release before this one: no field of the histogram in them."""
    known = make_reference({"x": np.arange(100.0), "plan": ["a", "b"] * 50})
    plain = wire.plain(known)
    for feature in plain["features"]:
        for name in ("finer", "levels", "bins", "sd", "distinct"):
            del feature[name]
    old = wire.decode(json.dumps(plain), Reference, what="the old profile")
    rows: dict[str, Column] = {"x": [1.0, 500.0, None], "plan": ["a", "c", None]}
    before, now = count_window(old, rows), count_window(known, rows)
    assert (before.hits, before.trials, before.bins) == (now.hits, now.trials, {})
    assert all(feature.edges == () for feature in old.features)
    stored = {"rows": 3, "hits": {"x": [1]}, "trials": {"x": [3]}}
    assert wire.decode(json.dumps(stored), WindowCounts) == WindowCounts(3, {"x": (1,)}, {"x": (3,)}, {})


def test_what_hundreds_of_columns_keep_is_small(tmp_path: Path):
    chance = np.random.default_rng(1)
    columns = {f"n{place}": chance.normal(1e6, 1e3, size=5_000) for place in range(200)}
    with_bins = make_reference(columns)
    features = tuple(replace(one, finer=(), bins=(), sd=None, distinct=0) for one in with_bins.features)
    added = len(wire.encode(with_bins)) - len(wire.encode(replace(with_bins, features=features)))
    assert added < 200 * 400


def test_a_histogram_of_nothing_is_all_zeros():
    assert histogram(np.array([]), (0.0, 1.0)) == (0, 0, 0)
