"""Columns two by two: a link that changes is seen where each column stays as it was; one that moves is told alone."""

import numpy as np
import pytest

from taut.watch.columns import Column
from taut.watch.counts import count_window
from taut.watch.detectors import ewin_of, is_alarm, start, suspects, update
from taut.watch.detectors.evidence import named_columns
from taut.watch.events import PAIRS, Event
from taut.watch.pairs import PAIRS_MAX, agreements, count_pairs, medians
from taut.watch.profile import make_reference

ROWS = 10_000


def linked(chance: np.random.Generator, rows: int, link: float, columns: int = 6) -> dict[str, np.ndarray]:
    """Normal columns; the first two with a correlation."""
    drawn = {f"x{place}": chance.normal(size=rows) for place in range(columns)}
    drawn["x1"] = link * drawn["x0"] + np.sqrt(1 - link**2) * drawn["x1"]
    return drawn


def of(event: Event) -> tuple[str, str]:
    assert event.of is not None
    return event.of


def rows_until_alarm(seed: int, before: float, after: float, columns: int = 6) -> tuple[int, list[str]] | None:
    chance = np.random.default_rng(seed)
    reference = make_reference(linked(chance, ROWS, before, columns))
    detector = ewin_of(reference, "features")
    state = start(detector)
    for number in range(1, 31):
        state = update(detector, state, count_window(reference, linked(chance, 500, after, columns)))
        if is_alarm(detector, state):
            return number * 500, suspects(detector, state)
    return None


@pytest.mark.parametrize(("before", "after"), [(0.7, -0.7), (0.8, 0.0), (0.0, 0.5)])
def test_a_link_that_changes_is_seen_though_each_column_stays_as_it_was(before, after):
    found = [rows_until_alarm(seed, before, after) for seed in range(4)]
    assert all(one is not None and one[0] <= 2_000 and one[1] == [PAIRS] for one in found)


def test_a_link_that_stays_is_no_news():
    assert [rows_until_alarm(seed, 0.7, 0.7) for seed in range(8)] == [None] * 8


def test_a_column_that_moves_is_named_and_not_its_pairs():
    chance = np.random.default_rng(2)
    reference = make_reference(linked(chance, ROWS, 0.9))
    detector = ewin_of(reference, "features")
    now = linked(chance, 4_000, 0.9)
    now["x1"] = now["x1"] + 1.0
    state = update(detector, start(detector), count_window(reference, now))
    assert state.log_e[PAIRS] > 5
    assert suspects(detector, state) == ["x1"]


def test_counts_are_those_of_rows_and_missing_ones_are_not_asked():
    chance = np.random.default_rng(3)
    columns = linked(chance, 70_000, 0.4, 3)
    columns["x2"][chance.random(70_000) < 0.3] = np.nan
    reference = make_reference({name: values[:5_000] for name, values in columns.items()})
    cuts = medians(reference.features)
    (feature,) = [one for one in reference.features if one.kind == "joint"]
    hits, trials = count_pairs(feature, reference.features, columns)
    for event, k, n in zip(feature.events, hits, trials, strict=True):
        one, other = of(event)
        both = ~(np.isnan(columns[one]) | np.isnan(columns[other]))
        same = (columns[one] <= cuts[one]) == (columns[other] <= cuts[other])
        assert [k, n] == [int(np.count_nonzero(both & same)), int(np.count_nonzero(both))], event.name


def test_counts_add_up_and_an_absent_column_was_asked_nothing():
    chance = np.random.default_rng(4)
    reference = make_reference(linked(chance, 2_000, 0.0, 3))
    rows = linked(chance, 900, 0.0, 3)
    whole = count_window(reference, rows)
    parts = [
        count_window(reference, {name: values[part] for name, values in rows.items()})
        for part in (slice(0, 100), slice(100, 101), slice(101, None))
    ]
    assert parts[2] + parts[0] + parts[1] == whole
    rows.pop("x2")
    events = next(one.events for one in reference.features if one.kind == "joint")
    asked = count_window(reference, rows).trials[PAIRS]
    assert [n for event, n in zip(events, asked, strict=True) if "x2" in of(event)] == [0, 0]
    assert max(asked) == 900


def test_of_many_columns_the_pairs_that_hang_together_are_kept():
    chance = np.random.default_rng(5)
    reference = make_reference(linked(chance, 4_000, 0.8, 40))
    events = next(one.events for one in reference.features if one.kind == "joint")
    assert len(events) == PAIRS_MAX
    assert events[0].of == ("x0", "x1")
    assert events[0].trials == 2_000


def test_columns_without_a_middle_take_no_part():
    chance = np.random.default_rng(6)
    columns: dict[str, Column] = {
        "flag": (chance.random(500) < 0.1).astype(float),
        "constant": np.ones(500),
        "word": ["a", "b"] * 250,
    }
    reference = make_reference({**columns, "x": chance.normal(size=500)})
    assert list(medians(reference.features)) == ["x"]
    assert PAIRS not in {feature.name for feature in reference.features}


def test_no_rows_agree_on_nothing():
    agree, both = agreements({"a": 0.0, "b": 1.0}, {"a": [], "b": []})
    assert agree.tolist() == both.tolist() == [[0, 0], [0, 0]]


def test_the_two_columns_of_the_pair_are_named_after_it():
    chance = np.random.default_rng(7)
    reference = make_reference(linked(chance, ROWS, 0.8))
    detector = ewin_of(reference, "features")
    state = start(detector)
    for _ in range(3):
        state = update(detector, state, count_window(reference, linked(chance, 1_000, -0.8)))
    assert named_columns(detector, state) == [PAIRS, "x0", "x1"]
    calm = update(detector, start(detector), count_window(reference, linked(chance, 1_000, 0.8)))
    assert named_columns(detector, calm) == []
