"""The order of rows: what only counts the time is not watched, and what a reference cannot know is said."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taut.watch.columns import Column
from taut.watch.offline import check_table, profile_of
from taut.watch.order import Coverage, clocks_of, is_sorted, sorted_by
from taut.watch.profile import make_reference

DAY_US = 86_400_000_000
RUNS = "swings over 50 to 200 rows are known and no drift; daily, weekly and yearly ones would be"


def table(folder: Path, name: str, **columns: object) -> Path:
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("values", "sorted_"),
    [
        (range(100), True),
        (range(100, 0, -1), True),
        ([1] * 30 + [2] * 30, True),
        ([1.0, np.nan, 2.0] * 2, False),
        (list(range(10)), False),
        ([0] * 99 + [1], False),
        ([5] * 100, False),
        ([], False),
        ([np.nan] * 5, False),
        ([1, 2, 3] * 30, False),
    ],
)
def test_sorted_is_what_chance_would_not_sort(values, sorted_):
    assert is_sorted(np.asarray(values, dtype=float)) is sorted_


def test_clocks_are_whole_numbers_that_only_rise_or_fall():
    rising = np.arange(200)
    columns: dict[str, Column] = {
        "id": rising,
        "left": 500.0 - rising,
        "x": rising + 0.5,
        "word": [str(i) for i in rising],
        "no": rising % 7,
    }
    assert clocks_of(columns) == ("id", "left")
    assert sorted_by(columns, ("id", "left"), None) == "x"
    assert sorted_by({"no": columns["no"]}, (), (rising > 90).astype(float)) == "target"
    assert sorted_by({"no": columns["no"]}, (), None) == ""


def test_a_clock_is_not_watched_and_that_is_told(tmp_path):
    chance = np.random.default_rng(0)
    rows = np.arange(3_000)
    at = pa.array(rows * DAY_US // 100, pa.timestamp("us"))
    known = table(tmp_path, "known", id=rows, at=at, x=chance.normal(size=3_000))
    later = pa.array((rows + 3_000) * DAY_US // 100, pa.timestamp("us"))
    now = table(tmp_path, "now", id=rows + 3_000, at=later, x=chance.normal(size=3_000))
    reference = profile_of(known)
    found = check_table(now, reference)
    assert [feature.name for feature in reference.features] == ["x"]
    assert found.clocks == ("id", "at")
    assert found.alarms == {"features": False}
    assert found.unknown == ()
    assert (
        found.coverage
        == "the reference covers 30 days: daily and weekly cycles are known and no drift; yearly ones would be"
    )


@pytest.mark.parametrize(("kind", "days"), [("date32", 29.0), ("timestamp[s]", 29.0), ("timestamp[ns]", 29.0)])
def test_the_time_covered_is_in_days_whatever_the_unit(tmp_path, kind, days):
    moments = pa.array([date * 86_400 for date in range(30)], pa.int64()).cast(pa.timestamp("s"))
    target = {"date32": pa.date32(), "timestamp[s]": pa.timestamp("s"), "timestamp[ns]": pa.timestamp("ns")}[kind]
    path = table(tmp_path, "dates", day=moments.cast(target), x=list(range(15)) * 2)
    coverage = profile_of(path).coverage
    assert coverage is not None
    assert coverage.days == days


def test_rows_sorted_by_a_column_are_in_no_order_of_time(tmp_path):
    chance = np.random.default_rng(1)
    x = np.sort(chance.normal(size=2_000))
    reference = profile_of(table(tmp_path, "sorted", x=x, y=x + chance.normal(size=2_000)))
    assert {event.deff for feature in reference.features for event in feature.events} == {1.0}
    assert reference.coverage is not None
    assert (
        reference.coverage.told()
        == "the reference is sorted by x: its rows count as independent, and it knows no cycle"
    )


@pytest.mark.parametrize(
    ("coverage", "words"),
    [
        (Coverage(), "the reference is small: its rows count as independent, and it knows no cycle"),
        (
            Coverage((50, 200), days=0.035),
            f"the reference covers 50.4 minutes: {RUNS}",
        ),
        (
            Coverage((50, 200), days=1e-4),
            f"the reference covers 8.64 seconds: {RUNS}",
        ),
        (
            Coverage(days=1.5),
            "the reference covers 36 hours: it knows no cycle; daily, weekly and yearly ones would be",
        ),
        (
            Coverage(days=800.0),
            "the reference covers 800 days: daily, weekly and yearly cycles are known and no drift",
        ),
    ],
)
def test_what_a_reference_covers_in_words(coverage, words):
    assert coverage.told() == words


def test_a_reference_of_clocks_alone_has_nothing_to_watch():
    assert make_reference({"id": np.arange(100)}).features == ()
