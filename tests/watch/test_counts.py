"""Counts of a window: an algebra that forgets nothing, whichever way the rows were split or arrived."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.ground import wire
from taut.watch.counts import NO_COUNTS, WindowCounts, count_labels, count_window
from taut.watch.events import ERROR, SCORE, TARGET
from taut.watch.profile import make_reference

AGES = st.lists(st.one_of(st.none(), st.floats(-100, 100)), max_size=30)
CHANCE = np.random.default_rng(5)
REFERENCE = make_reference(
    {"age": CHANCE.normal(size=200), "plan": CHANCE.choice(["a", "b", "c"], 200).tolist()},
    scores=CHANCE.random(200),
    targets=CHANCE.integers(0, 2, 200).astype(float),
)


def window(ages: list[float | None]) -> WindowCounts:
    """Counts of rows whose other columns follow from the age."""
    plans = [None if age is None else "abcd"[int(abs(age)) % 4] for age in ages]
    scores = [None if age is None else abs(age) / 100 for age in ages]
    seen = count_window(REFERENCE, {"age": ages, "plan": plans}, scores=scores)
    labels = count_labels(REFERENCE, scores, [None if age is None else float(age > 0) for age in ages])
    return WindowCounts(seen.rows, {**seen.hits, **labels.hits}, {**seen.trials, **labels.trials})


@given(AGES, AGES, AGES)
def test_addition_is_associative_and_commutes_and_has_a_zero(one, two, three):
    a, b, c = window(one), window(two), window(three)
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + NO_COUNTS == NO_COUNTS + a == a


@given(AGES, AGES)
def test_two_windows_add_up_to_the_window_of_both(one, two):
    assert window(one) + window(two) == window(one + two)


@given(AGES, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(ages, chance: random.Random):
    shuffled = list(ages)
    chance.shuffle(shuffled)
    assert window(shuffled) == window(ages)


@given(AGES)
def test_no_question_has_more_hits_than_it_was_asked(ages):
    counts = window(ages)
    assert counts.rows == len(ages)
    for name, hits in counts.hits.items():
        trials = counts.trials[name]
        assert len(hits) == len(trials)
        assert all(0 <= hit <= asked <= len(ages) for hit, asked in zip(hits, trials, strict=True))


@given(AGES)
def test_counts_are_plain_whole_numbers_that_travel_as_json(ages):
    counts = window(ages)
    assert wire.decode(wire.encode(counts), WindowCounts, what="counts") == counts


def test_addition_leaves_both_sides_as_they_were():
    one, two = window([1.0]), window([2.0, None])
    before = wire.encode([one, two])
    assert (one + two).rows == 3
    assert wire.encode([one, two]) == before


def test_a_window_without_scores_counts_no_score_and_one_with_scores_does():
    assert SCORE not in count_window(REFERENCE, {"age": [1.0]}).hits
    assert SCORE in count_window(REFERENCE, {"age": [1.0]}, scores=[0.5]).hits


def test_columns_and_scores_of_unequal_length_are_refused():
    with pytest.raises(Invalid, match="one length"):
        count_window(REFERENCE, {"age": [1.0, 2.0], "plan": ["a"]})
    with pytest.raises(Invalid, match="one length"):
        count_window(REFERENCE, {"age": [1.0]}, scores=[0.1, 0.2])
    with pytest.raises(Invalid, match="found 1 scores, 2 targets"):
        count_labels(REFERENCE, [0.5], [1.0, 0.0])


def test_labels_that_are_not_known_yet_are_not_asked_about():
    counts = count_labels(REFERENCE, [0.9, 0.9, None, float("nan")], [1.0, None, 1.0, 1.0])
    assert counts.rows == 1
    assert counts.trials[ERROR] == (1,)
    assert counts.hits[ERROR] == (0,)
    assert sum(counts.trials[TARGET]) == sum(counts.hits[TARGET]) == 1


def test_a_score_on_the_threshold_says_yes():
    assert count_labels(REFERENCE, [REFERENCE.threshold], [1.0]).hits[ERROR] == (0,)
    assert count_labels(REFERENCE, [REFERENCE.threshold], [0.0]).hits[ERROR] == (1,)


def test_a_reference_without_labels_asks_nothing_of_them():
    bare = make_reference({"age": [1.0, 2.0, 3.0]})
    assert count_labels(bare, [0.5], [1.0]).hits == {}
