"""Quality of data: calm where nothing changed, and what is broken is named with its figures."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.ground import wire
from taut.watch.columns import Column
from taut.watch.counts import count_window
from taut.watch.events import Reference
from taut.watch.profile import make_reference
from taut.watch.quality import Facts, Finding, facts_of, is_broken, quality_of, quality_of_rows, staleness_of, volume_of
from taut.watch.tables import Levels
from tests.watch.streams import draw

ROWS = 2_000
Columns = dict[str, np.ndarray]
KNOWN = draw(np.random.default_rng(0), 10_000).columns
REFERENCE = make_reference(KNOWN)


def window(seed: int = 1, rows: int = ROWS) -> Columns:
    return draw(np.random.default_rng(seed), rows).columns


def found_in(columns: Columns, reference: Reference = REFERENCE) -> list[tuple[str, str, str]]:
    return [(one.check, one.feature, one.severity) for one in quality_of_rows(reference, dict(columns))]


def mixed(chance: np.random.Generator, rows: int) -> Columns:
    """More kinds of columns than the streams have: few values, a long tail, an identifier, holes alone."""
    drawn = draw(chance, rows).columns
    drawn["weekday"] = chance.integers(0, 7, rows).astype(float)
    drawn["tail"] = chance.standard_cauchy(rows)
    drawn["id"] = np.array([f"{number:x}" for number in chance.integers(0, 1 << 40, rows)], dtype=object)
    drawn["rare"] = np.where(chance.random(rows) < 0.01, chance.normal(size=rows), np.nan)
    drawn["holes"] = np.full(rows, np.nan)
    return drawn


@pytest.mark.parametrize("known", [30, 100, 1_000, 5_000])
@pytest.mark.parametrize("rows", [1, 20, 200, 3_000])
def test_stationary_rows_of_any_number_yield_no_error_and_next_to_no_warning(known: int, rows: int):
    """16 x 16 samples of 11 mixed columns."""
    told: list[Finding] = []
    for seed in range(16):
        chance = np.random.default_rng(1_000 * seed + known + rows)
        told += quality_of_rows(make_reference(mixed(chance, known)), dict(mixed(chance, rows)))
    assert not is_broken(told), [one for one in told if one.severity == "error"]
    assert [one for one in told if one.severity == "warning"] == []


def test_what_drifts_is_not_broken():
    moved = window()
    moved["z"] = moved["z"] + 1.0
    moved["age"] = moved["age"] * 1.3
    moved["plan"] = np.where(np.arange(ROWS) % 4 > 0, "free", moved["plan"]).astype(object)
    assert not is_broken(quality_of_rows(REFERENCE, dict(moved)))


def without(columns: Columns) -> None:
    del columns["z"]
    columns["extra"] = np.ones(ROWS)


def holes(columns: Columns) -> None:
    columns["age"][: ROWS * 6 // 10] = np.nan
    columns["z"][:80] = np.nan
    columns["amount"] = np.abs(np.nan_to_num(columns["amount"], nan=1.0))


def words(columns: Columns) -> None:
    columns["z"] = np.array(["n/a", "1,5"] * (ROWS // 2), dtype=object)
    columns["age"] = columns["age"].astype(str).astype(object)
    columns["plan"] = np.arange(float(ROWS))


def levels(columns: Columns) -> None:
    columns["plan"][:300] = "gold"
    columns["shop"] = np.array([f"store {place % 300}" for place in range(ROWS)], dtype=object)


def stuck(columns: Columns) -> None:
    columns["z"][:] = 0.25
    columns["age"][:] = 40.0
    columns["plan"][:] = "free"


def beyond(columns: Columns) -> None:
    columns["z"][:100] = 99.0
    columns["z"][100:110] = -99.0


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (without, [("schema", "z", "error"), ("schema", "extra", "info")]),
        (holes, [("missing", "age", "error"), ("missing", "z", "warning"), ("missing", "amount", "info")]),
        (words, [("kind", "plan", "error"), ("kind", "z", "error"), ("kind", "age", "info")]),
        (levels, [("new-level", "shop", "error"), ("new-level", "plan", "warning")]),
        (
            stuck,
            [
                ("constant", "z", "error"),
                ("duplicates", "", "warning"),
                ("constant", "age", "warning"),
                ("constant", "plan", "warning"),
            ],
        ),
        (beyond, [("range", "z", "warning")]),
    ],
)
def test_what_is_broken_is_named(broken: Callable[[Columns], None], told: list[tuple[str, str, str]]):
    columns = window()
    broken(columns)
    assert found_in(columns) == told


def test_a_finding_says_what_was_found_against_what_was_expected():
    columns = window()
    levels(columns)
    beyond(columns)
    by_feature = {one.feature: one for one in quality_of_rows(REFERENCE, dict(columns))}
    plan, z = by_feature["plan"], by_feature["z"]
    assert plan.text == "15 % are levels that the reference has not: 'gold' (300)"
    assert (plan.hits, plan.trials) == (300, ROWS)
    assert z.text.startswith("5.55 % outside -3.89942 to 3.4") and z.text.endswith("; 10 below, 101 above")
    assert by_feature["shop"].text.endswith(" and 97 more")


def test_a_mixed_column_is_told_by_how_much_of_it_is_no_number():
    columns = window()
    columns["z"] = np.array(["n/a"] * 100 + [str(one) for one in columns["z"][100:]], dtype=object)
    arrow: dict[str, Column] = {**columns, "z": Levels(pa.array(columns["z"].tolist()))}
    (found,) = quality_of_rows(REFERENCE, arrow)
    assert (found.check, found.severity, found.hits) == ("unread", "warning", 100)
    assert found.text == "5 % of the values are no numbers, as all are in the reference"


def test_words_that_were_numbers_may_come_as_numbers():
    reference = make_reference({"zone": np.array(["1", "2", "3", "A"] * 50, dtype=object)})
    assert found_in({"zone": np.array([1.0, 2.0, 3.0] * 40)}, reference) == []


def test_an_optional_column_may_be_absent():
    chance = np.random.default_rng(3)
    reference = make_reference({"a": chance.normal(size=100), "rare": np.where(np.arange(100) < 90, np.nan, 1.0)})
    assert found_in({"a": chance.normal(size=50)}, reference) == [("schema", "rare", "warning")]


def test_values_where_the_reference_had_only_holes_are_worth_a_line():
    reference = make_reference({"a": np.full(100, np.nan), "b": np.arange(100.0)})
    found = found_in({"a": np.ones(60), "b": np.arange(60.0)}, reference)
    assert found == [("missing", "a", "info")]


# Rows that are there twice


def test_a_batch_that_came_twice_is_broken_and_a_few_repeats_are_odd():
    once = window(rows=ROWS // 2)
    twice = {name: np.concatenate([column, column]) for name, column in once.items()}
    assert found_in(twice) == [("duplicates", "", "error")]
    some = {name: np.concatenate([column, column[:100]]) for name, column in once.items()}
    assert found_in(some) == [("duplicates", "", "warning")]


@pytest.mark.parametrize("rows", [100, 1_000, 20_000])
def test_rows_of_few_values_repeat_as_those_of_the_reference_do(rows: int):
    chance = np.random.default_rng(4)

    def coarse(count: int) -> Columns:
        return {"a": chance.integers(0, 30, count).astype(float), "b": chance.integers(0, 30, count).astype(float)}

    reference = make_reference(coarse(1_000))
    assert reference.duplicates is not None and reference.duplicates.again > 300
    assert found_in(coarse(rows), reference) == []


def test_holes_and_zeros_of_both_signs_are_equal_and_the_kind_of_array_does_not_matter():
    reference = make_reference({"a": np.random.default_rng(5).permutation(np.arange(200.0)), "b": ["x", "y"] * 100})
    numbers = [0.0, -0.0, None] * 20
    plain = quality_of_rows(reference, {"a": numbers, "b": ["x"] * 60})
    arrow = quality_of_rows(reference, {"a": np.array(numbers, dtype=float), "b": Levels(pa.array(["x"] * 60))})
    assert plain == arrow
    assert next(one for one in plain if one.check == "duplicates").hits == 58


def test_profiles_of_before_are_checked_for_what_they_know():
    plain = wire.plain(REFERENCE)
    del plain["duplicates"]
    for feature in plain["features"]:
        for name in ("finer", "levels", "bins", "sd", "distinct"):
            del feature[name]
    old = wire.convert(plain, Reference)
    columns = window()
    holes(columns)
    columns["z"][100:] *= 1_000
    assert ("missing", "age", "error") in found_in(columns, old)
    assert ("range", "z", "warning") in found_in(columns, old)
    assert found_in(window(), old) == []


# Facts


@given(
    st.lists(st.tuples(st.floats(width=32), st.sampled_from(["free", "new", "other"])), max_size=40), st.integers(0, 40)
)
def test_facts_of_parts_add_up_to_those_of_all(rows, cut):
    def facts(part) -> Facts:
        columns = {"age": np.array([one for one, _ in part]), "plan": np.array([two for _, two in part], dtype=object)}
        return facts_of(REFERENCE, columns, rows=len(part))

    whole, parts = facts(rows), facts(rows[:cut]) + facts(rows[cut:])
    assert (parts.rows, parts.sizes["age"], parts.fresh) == (whole.rows, whole.sizes["age"], whole.fresh)
    assert parts.spans == whole.spans and parts.hashes.tolist() == whole.hashes.tolist()
    if rows:
        assert parts.kinds == whole.kinds


def test_a_column_of_lists_where_numbers_were_is_broken():
    facts = facts_of(REFERENCE, {name: column for name, column in window().items() if name != "z"}, rows=ROWS,
                     others=["z", "tags"])  # fmt: skip
    counts = count_window(REFERENCE, dict(window()))
    found = quality_of(REFERENCE, counts, facts)
    assert [(one.feature, one.severity) for one in found] == [("z", "error"), ("tags", "info")]
    assert found[1].text == "the reference has no such column; of its kind none is watched"


def test_no_rows_are_an_error():
    (found,) = quality_of_rows(REFERENCE, {name: column[:0] for name, column in KNOWN.items()})
    assert (found.check, found.severity, found.text) == ("volume", "error", "there are no rows")


# Volume and staleness


@pytest.mark.parametrize(
    ("rows", "severities"), [(100, []), (30, []), (420, []), (20, ["warning"]), (600, ["warning"]), (0, ["error"])]
)
def test_rows_are_held_against_the_windows_before(rows: int, severities: list[str]):
    assert [one.severity for one in volume_of(rows, [90, 100, 110, 120])] == severities
    assert volume_of(rows, [100, 100, 100]) == ()


def test_windows_that_are_usually_empty_say_nothing():
    assert volume_of(0, [0, 0, 0, 0]) == volume_of(5, [0, 0, 0, 0]) == volume_of(0, [0, 5, 9, 9]) == ()


def test_silence_for_more_than_three_windows_is_a_warning():
    day = 86_400_000
    assert staleness_of(day, 4 * day, day) == ()
    (found,) = staleness_of(day, 6 * day, day)
    assert (found.severity, found.text) == ("warning", "the newest event is 5 d old, more than 3 windows")


def test_a_column_that_only_counts_the_time_is_known_and_not_looked_at():
    reference = make_reference({"a": np.random.default_rng(6).normal(size=300), "at": np.arange(300.0)})
    assert reference.clocks == ("at",)
    assert found_in({"a": np.random.default_rng(7).normal(size=300), "at": np.arange(300.0, 600.0)}, reference) == []
