"""Events of a feature: which questions are asked of a column, and the law that each answer follows."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.watch.events import (
    CUTS,
    KNOWN_LEVELS_MAX,
    SCORE_BINS,
    TOP_LEVELS,
    categorical_feature,
    label_features,
    numeric_feature,
    order_cuts,
)

NUMBERS = st.lists(st.one_of(st.none(), st.integers(-5, 5).map(float), st.floats(-1e6, 1e6)), min_size=1, max_size=60)
LEVELS = st.lists(st.one_of(st.none(), st.text("abcd", max_size=2)), min_size=1, max_size=60)


@given(NUMBERS)
def test_every_question_about_numbers_has_the_hits_that_a_loop_would_count(values):
    feature = numeric_feature("x", values)
    there = [value for value in values if value is not None]
    for event in feature.events:
        if event.kind == "below":
            assert event.at is not None
            assert (event.hits, event.trials) == (sum(value <= event.at for value in there), len(there))
        elif event.kind == "outside":
            assert (event.hits, event.trials) == (0, len(there))
        elif event.kind == "missing":
            assert (event.hits, event.trials) == (len(values) - len(there), len(values))
    assert (feature.low, feature.high) == ((min(there), max(there)) if there else (None, None))


@given(
    st.one_of(NUMBERS.map(lambda one: numeric_feature("x", one)), LEVELS.map(lambda one: categorical_feature("x", one)))
)
def test_every_law_is_a_beta_law_whose_mean_is_near_the_share_that_was_seen(feature):
    for event in feature.events:
        assert event.a > 0 and event.b > 0 and math.isfinite(event.a + event.b)
        assert event.deff == 1.0
        if event.kind not in {"outside", "unseen"}:
            assert abs(event.a / (event.a + event.b) - event.hits / max(event.trials, 1)) <= 1 / (event.trials + 1) + (
                0.5 if not event.trials else 0
            )


@given(NUMBERS)
def test_cuts_are_distinct_values_that_were_seen_and_never_the_largest(values):
    there = np.array([math.nan if value is None else value for value in values])
    cuts = order_cuts(there, CUTS)
    assert list(cuts) == sorted(set(cuts))
    assert len(cuts) <= CUTS
    assert all(cut in there and cut < np.nanmax(there) for cut in cuts)


@given(LEVELS)
def test_levels_of_a_small_set_partition_the_rows(values):
    feature = categorical_feature("x", values)
    there = [value for value in values if value is not None]
    named = [event for event in feature.events if event.kind == "level"]
    assert len(named) <= TOP_LEVELS
    assert all(event.hits == there.count(event.level) for event in named if len(set(there)) <= TOP_LEVELS)
    if len(set(there)) in range(2, TOP_LEVELS + 1):
        assert sum(event.hits for event in named) == len(there)


def test_nine_hundred_distinct_numbers_are_cut_at_the_ninths():
    feature = numeric_feature("x", [float(value) for value in range(1, 901)])
    assert [event.at for event in feature.events if event.kind == "below"] == [100.0 * part for part in range(1, 9)]
    first = feature.events[0]
    assert (first.a, first.b, first.name) == (100.0, 801.0, "x <= 100")


def test_a_tied_cut_follows_the_law_of_a_share():
    tied = numeric_feature("x", [0.0] * 50 + [1.0] * 50).events[0]
    assert (tied.at, tied.a, tied.b) == (0.0, 50.5, 50.5)


def test_a_constant_column_asks_only_whether_it_leaves_its_value_or_goes_missing():
    feature = numeric_feature("x", [7.0] * 20)
    assert [event.kind for event in feature.events] == ["outside", "missing"]
    assert all(event.one_sided for event in feature.events)


@pytest.mark.parametrize("make", [numeric_feature, categorical_feature])
def test_what_was_always_missing_asks_whether_it_appears(make):
    (event,) = make("x", [None, None, None]).events
    assert (event.kind, event.one_sided, event.hits, event.trials) == ("present", True, 0, 3)


def test_an_identifier_keeps_no_list_of_its_levels():
    assert categorical_feature("id", [f"u{n}" for n in range(KNOWN_LEVELS_MAX)]).known is not None
    feature = categorical_feature("id", [f"u{n}" for n in range(KNOWN_LEVELS_MAX + 1)])
    assert feature.known is None
    assert "unseen" not in {event.kind for event in feature.events}


def test_the_bins_of_labels_cover_every_score_and_are_named_in_words():
    scores = np.linspace(0, 1, 101)
    cuts = order_cuts(scores, SCORE_BINS - 1)
    error, target = label_features(scores, (scores >= 0.5).astype(float), cuts, 0.5)
    assert error.events[0].hits == 0
    assert [event.trials for event in target.events] and sum(event.trials for event in target.events) == 101
    assert "up to" in target.events[0].name and "above" in target.events[-1].name


def test_labels_that_are_all_unknown_ask_nothing():
    assert label_features(np.array([0.5]), np.array([math.nan]), (), 0.5) == []
