"""Quality of what a deployment was asked, and of tables on the command line."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taut.errors import Denied, NotFound
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.home import Home
from taut.watch import close_windows, window_quality
from taut.watch.offline import check_table, profile_of
from tests.faces.shell import taut
from tests.watch.served import BEGIN_MS, DAY_MS, ROWS, SPEC, Rows, draw, serve, watched
from tests.watch.streams import draw as drawn


def closed(home: Home, *days: Rows | None) -> Home:
    """Days that were served, one window each."""
    watched(home)
    for day, rows in enumerate(days):
        serve(home, day, rows)
    serve(home, len(days))
    close_windows(home, "late", SPEC)
    return later(home, BEGIN_MS + len(days) * DAY_MS - home.clock.now_ms())


def later(home: Home, by_ms: int) -> Home:
    assert isinstance(home.clock, SetClock)
    home.clock.pass_ms(by_ms)
    return home


def broken() -> Rows:
    """Half of a column gone, a plan that nobody knew, and numbers in another unit."""
    rows = draw(7)
    rows.inputs["z"] = [1_000.0 * one for one in rows.inputs["z"]]
    rows.inputs["plan"] = [None, "gold"] * (ROWS // 2)
    return rows


def test_a_calm_window_has_nothing_to_be_said_of(home):
    found = window_quality(closed(home, None, None), "late")
    assert (found.start_ms, found.rows, found.is_broken, found.findings) == (BEGIN_MS + DAY_MS, ROWS, False, ())


def test_a_broken_window_is_told_and_the_newest_is_the_one_that_counts(home):
    found = window_quality(closed(home, None, broken()), "late")
    told = {(one.feature, one.check, one.severity) for one in found.findings}
    assert told == {("plan", "missing", "error"), ("plan", "new-level", "error"), ("z", "unit", "error")}
    assert found.is_broken
    serve(home, 3)
    close_windows(home, "late", SPEC)
    assert not window_quality(home, "late").is_broken


def test_rows_are_held_against_the_windows_before_and_the_clock_against_the_newest_event(home):
    closed(home, None, None, None, None, draw(5, 20))
    (found,) = window_quality(home, "late").findings
    assert found.text == "20 rows, where the 4 windows before had 200 to 200"
    later(home, 9 * DAY_MS)
    assert [one.check for one in window_quality(home, "late").findings] == ["staleness", "volume"]


def test_it_needs_a_closed_window_and_who_may_see_rows(home):
    with pytest.raises(NotFound, match="no closed window"):
        window_quality(watched(home), "late")
    reader = replace(home, actor=Actor("anna", "viewer"))
    with pytest.raises(Denied, match="prediction:read"):
        window_quality(reader, "late")


# Tables


def write(path: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def columns(seed: int, rows: int) -> dict[str, object]:
    return dict(drawn(np.random.default_rng(seed), rows).columns)


def test_a_table_of_many_parts_is_checked_as_a_whole(tmp_path: Path):
    reference = profile_of(write(tmp_path / "known.parquet", columns(0, 5_000)))
    calm = check_table(write(tmp_path / "calm.parquet", columns(1, 80_000)), reference)
    assert (calm.quality, calm.is_broken) == ((), False)
    once = columns(2, 40_000)
    table = pa.table(once)
    pq.write_table(pa.concat_tables([table, table]), tmp_path / "twice.parquet")
    twice = check_table(tmp_path / "twice.parquet", reference)
    assert [(one.check, one.hits, one.trials) for one in twice.quality] == [("duplicates", 40_000, 80_000)]
    assert twice.is_broken


def test_a_check_tells_quality_and_what_is_not_watched(tmp_path: Path):
    write(tmp_path / "known.parquet", columns(0, 2_000))
    now = columns(1, 1_000)
    now["age"] = np.asarray(now["age"]) * 1_000
    now["tags"] = [["a"]] * 1_000
    write(tmp_path / "now.parquet", now)
    told = taut(tmp_path, "watch", "check", "now.parquet", "--against", "known.parquet").out
    assert "not watched, for they hold neither numbers nor words: tags" in told
    assert "data quality: BROKEN, no data to learn from" in told
    (line,) = [one for one in told.splitlines() if one.startswith("error")]
    assert line.split()[:3] == ["error", "age", "unit"]
    assert line.endswith("the values look multiplied by 1,000 against the reference")
    shown = taut(tmp_path, "watch", "check", "now.parquet", "--against", "known.parquet", "--json").json
    assert (shown["is_broken"], shown["left_out"]) == (True, ["tags"])
    assert shown["quality"][0] == {
        "check": "unit", "feature": "age", "severity": "error", "hits": 1_000, "trials": 1_000,
        "text": "the values look multiplied by 1,000 against the reference",
    }  # fmt: skip
    calm = taut(tmp_path, "watch", "check", "known.parquet", "--against", "known.parquet").out
    assert calm.splitlines()[-1] == "data quality: nothing is wrong"


def test_a_table_without_rows_is_broken(tmp_path: Path):
    reference = profile_of(write(tmp_path / "known.parquet", columns(0, 500)))
    empty = pa.table(columns(0, 10)).slice(0, 0)
    pq.write_table(empty, tmp_path / "empty.parquet")
    assert [one.text for one in check_table(tmp_path / "empty.parquet", reference).quality] == ["there are no rows"]
