"""The profile and its counts: exact integers, laws that hold, columns as they arrive from JSON."""

import json
import time
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, kstest

from taut.errors import Invalid
from taut.watch.columns import categorical_counts, is_numeric, numeric_array
from taut.watch.counts import NO_COUNTS, count_labels, count_window
from taut.watch.dispersion import dispersion
from taut.watch.events import ERROR, KNOWN_LEVELS_MAX, SCORE, TARGET, TOP_LEVELS, Reference
from taut.watch.profile import make_reference
from tests.watch import streams

numbers = st.lists(st.none() | st.floats(-5, 5) | st.integers(-3, 3), min_size=1, max_size=40)
levels = st.lists(st.none() | st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=40)


def events_of(reference: Reference, name: str):
    return next(feature.events for feature in reference.features if feature.name == name)


@given(numbers, numbers)
def test_numeric_counts_are_what_a_loop_over_the_rows_would_count(reference_values, values):
    reference = make_reference({"x": reference_values})
    counts = count_window(reference, {"x": values})
    present = [v for v in values if v is not None]
    (feature,) = reference.features
    for event, hits, trials in zip(feature.events, counts.hits["x"], counts.trials["x"], strict=True):
        expected = {
            "below": sum(v <= (event.at or 0.0) for v in present),
            "outside": sum(v < (feature.low or 0.0) or v > (feature.high or 0.0) for v in present),
            "missing": len(values) - len(present),
            "present": len(present),
        }[event.kind]
        assert hits == expected
        assert trials == (len(values) if event.kind in {"missing", "present"} else len(present))


@given(levels, levels)
def test_level_counts_are_what_a_loop_over_the_rows_would_count(reference_values, values):
    if not any(reference_values):
        reference_values = ["a"]
    reference = make_reference({"x": reference_values})
    counts = dict(
        zip((e.name for e in events_of(reference, "x")), count_window(reference, {"x": values}).hits["x"], strict=True)
    )
    seen = Counter(values)
    for level in "abcd":
        if f"x = {level}" in counts:
            assert counts[f"x = {level}"] == seen[level]
    assert counts["x is a new level"] == sum(seen[level] for level in "abcd" if level not in reference_values)
    assert counts["x is missing"] == seen[None]


@given(numbers, levels, st.integers(0, 40))
def test_two_halves_add_up_to_the_whole(values, names, at):
    rows = min(len(values), len(names))
    columns = {"x": values[:rows], "name": names[:rows]}
    reference = make_reference(columns)
    halves = [
        count_window(reference, {k: v[part] for k, v in columns.items()}) for part in (slice(at), slice(at, None))
    ]
    assert halves[0] + halves[1] == halves[1] + halves[0] == NO_COUNTS + count_window(reference, columns)


def test_the_reference_counted_over_itself_gives_its_own_hits():
    rows = streams.draw(np.random.default_rng(1), 3_000)
    reference = streams.profiled(rows)
    counts = streams.counted(reference, rows)
    for feature in reference.features:
        if feature.name != "shop":  # whose levels are estimated from every other row
            assert counts.hits[feature.name] == tuple(event.hits for event in feature.events)
            assert counts.trials[feature.name] == tuple(event.trials for event in feature.events)


def test_the_law_of_a_cut_is_exact_whatever_the_distribution():
    chance = np.random.default_rng(2)
    shares = []
    for _ in range(400):
        reference = make_reference({"x": chance.exponential(size=99)})
        event = events_of(reference, "x")[3]
        shares.append(float(beta(event.a, event.b).cdf(1 - np.exp(-event.at))))
    assert kstest(shares, "uniform").pvalue > 0.001


def test_the_most_frequent_of_many_equal_levels_are_not_flattered():
    chance = np.random.default_rng(3)
    excess = []
    for _ in range(40):
        reference = make_reference({"x": [f"l{i}" for i in chance.integers(0, 300, 3_000)]})
        top = [event for event in events_of(reference, "x") if event.kind == "level"]
        assert len(top) == TOP_LEVELS
        excess += [event.hits / event.trials * 300 - 1 for event in top]
    assert abs(np.mean(excess)) < 4 * np.std(excess) / np.sqrt(len(excess))


def test_a_new_level_is_expected_as_often_as_levels_were_seen_once():
    reference = make_reference({"x": ["a"] * 8 + ["b"] * 2 + ["c", "d"]})
    unseen = next(event for event in events_of(reference, "x") if event.kind == "unseen")
    assert (unseen.a, unseen.b, unseen.one_sided) == (3.0, 12.0, True)


def test_a_column_of_identifiers_asks_nothing_about_new_levels():
    reference = make_reference({"id": [f"row{i}" for i in range(KNOWN_LEVELS_MAX + 1)]})
    assert "unseen" not in {event.kind for event in events_of(reference, "id")}
    assert reference.features[0].known is None


def test_a_column_that_is_gone_counts_as_missing_and_a_new_one_is_left_out():
    reference = make_reference({"age": [1.0, 2.0, 3.0], "plan": ["a", "b", "a"]})
    counts = count_window(reference, {"age": [2.0, 2.5], "extra": [1, 2]})
    assert counts.hits["plan"][-1] == counts.trials["plan"][-1] == 2
    assert set(counts.hits) == {"age", "plan"}


def test_a_column_of_nothing_but_holes_asks_whether_it_fills():
    reference = make_reference({"x": [None, None]})
    assert [event.kind for event in events_of(reference, "x")] == ["present"]
    assert count_window(reference, {"x": [None, 3.0]}).hits["x"] == (1,)


def test_labels_count_errors_and_targets_within_each_score_bin():
    scores, targets = np.linspace(0, 1, 100), (np.arange(100) % 2).astype(float)
    reference = make_reference({"x": scores}, scores=scores, targets=targets)
    counts = count_labels(reference, [0.1, 0.9, 0.9, None, 0.5], [1, 1, None, 0, 0])
    assert counts.rows == 3
    assert counts.hits[ERROR] == (2,)
    assert counts.trials[TARGET] == (1, 0, 1, 0, 1)
    assert counts.hits[TARGET] == (1, 0, 0, 0, 1)
    assert next(f.kind for f in reference.features if f.name == SCORE) == "score"


def test_a_reference_is_small_and_comes_back_from_json_as_it_was():
    rows = streams.draw(np.random.default_rng(4), 20_000)
    reference = streams.profiled(rows)
    stored = msgspec.json.encode(reference)
    assert msgspec.convert(json.loads(stored), Reference) == reference
    assert len(stored) < 100_000


def test_independent_days_are_hardly_over_dispersed_and_moody_days_are():
    chance = np.random.default_rng(5)
    days = np.repeat(np.arange(32), 200)
    calm = chance.normal(size=days.size)
    moody = calm + np.repeat(chance.normal(size=32), 200)
    reference = make_reference({"calm": calm, "moody": moody}, blocks=list(days))
    assert max(event.deff for event in events_of(reference, "calm")) < 5
    middle = events_of(reference, "moody")[4]
    assert middle.deff > 20
    outside = next(event for event in events_of(reference, "moody") if event.kind == "outside")
    assert outside.deff == max(event.deff for event in events_of(reference, "moody"))


def test_what_moves_slowly_shows_in_longer_blocks():
    season = np.repeat([30, 70], 16)
    daily = np.tile([30, 70], 16)
    asked = np.full(32, 100)
    assert dispersion(np.column_stack([season, asked])) > 3 * dispersion(np.column_stack([daily, asked]))
    assert dispersion(np.array([[0, 10], [0, 10]])) == 1.0


@pytest.mark.parametrize("columns", [{"a": [1.0], "b": [1.0, 2.0]}, {"a": []}])
def test_columns_of_unequal_or_no_length_are_refused(columns):
    with pytest.raises(Invalid, match="one length"):
        make_reference(columns)


def test_labels_without_their_scores_are_refused():
    reference = make_reference({"x": [1.0, 2.0]})
    with pytest.raises(Invalid, match="one score for each target"):
        count_labels(reference, [0.5], [1, 0])


def test_counts_of_different_references_do_not_add():
    one = count_window(make_reference({"x": [1.0, 2.0, 3.0]}), {"x": [1.0]})
    other = count_window(make_reference({"x": ["a"]}), {"x": ["a"]})
    with pytest.raises(Invalid, match="not one reference"):
        one + other


@pytest.mark.parametrize(
    ("column", "numeric"),
    [
        ([1, 2.5, None], True),
        ([np.float64(1), np.int64(2)], True),
        (np.array([1, 2]), True),
        (["1", 2], False),
        ([True, False], False),
        (np.array([True]), False),
        (np.array(["a", None], dtype=object), False),
    ],
)
def test_a_column_is_numeric_when_all_that_is_there_are_numbers(column, numeric):
    assert is_numeric(column) is numeric


def test_a_string_among_numbers_is_a_hole_and_a_number_among_strings_a_level():
    assert np.isnan(numeric_array([1.0, "two"])[1])
    assert categorical_counts(["a", 1, float("nan"), None]) == ({"a": 1, "1": 1}, 2)


def test_counting_numbers_costs_little_processor_time_a_value():
    rows = {f"x{i}": np.random.default_rng(i).normal(size=100_000) for i in range(5)}
    reference = make_reference(rows)
    begun = time.process_time()
    count_window(reference, rows)
    assert (time.process_time() - begun) / 500_000 < 500e-9  # About 15 ns; the bound only catches a loop over rows.
