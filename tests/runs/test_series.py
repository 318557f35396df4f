"""Series: points that come in any order, early, late or again, are there once and in order, sealed or not."""

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Corrupt, Invalid, NotFound
from taut.runs import MetricPoint, chart_history, create_run, get_run, known, log_batch, metric_history
from taut.runs import series as stored
from taut.runs.points import (
    BLOCK,
    INT64_MAX,
    Triple,
    extremes_of,
    in_order,
    pack,
    rank,
    sampled,
    summarize,
    unpack,
)

WHOLE = st.integers(-INT64_MAX, INT64_MAX)
VALUES = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
TRIPLES = st.lists(st.tuples(WHOLE, WHOLE, VALUES), min_size=1, max_size=60)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few points, so that some hundreds meet every case that millions meet."""
    monkeypatch.setattr(stored, "TAIL", 8)
    monkeypatch.setattr(known, "TAIL", 8)
    monkeypatch.setattr(stored, "CHUNK", 32)


def logged(home, run_id: str, points: list[MetricPoint], size: int) -> None:
    for start in range(0, len(points), size):
        log_batch(home, run_id, metrics=points[start : start + size])


def whole(home, run_id: str, key: str = "m", size: int = 1000) -> list[MetricPoint]:
    """The history as its pages give it."""
    found: list[MetricPoint] = []
    token = ""
    while True:
        page = metric_history(home, run_id, key, max_results=size, page_token=token)
        found += page.points
        if not (token := page.next_page):
            return found


def in_rank(points: list[MetricPoint]) -> list[MetricPoint]:
    return sorted(points, key=lambda point: rank((point.step, point.at_ms, point.value)))


@given(TRIPLES)
def test_a_chunk_gives_back_what_was_packed_to_the_last_bit(triples: list[Triple]):
    points = in_order(triples)
    assert unpack(pack(points)) == points


def test_a_step_a_second_costs_about_ten_bytes_a_point():
    points: list[Triple] = [(step, 1_700_000_000_000 + step * 37, step / 7) for step in range(4096)]
    assert len(pack(points)) / len(points) < 11


@pytest.mark.parametrize(
    "damage", [b"", b"\x02", b"\x05\0\0\0b", b"\x02\0\0\0x" + bytes(40), b"\xff\xff\xff\xffq" + bytes(90)]
)
def test_bytes_that_are_no_chunk_are_told(damage: bytes):
    with pytest.raises(Corrupt, match="chunk of a metric"):
        unpack(damage)


def test_a_chunk_that_was_cut_off_is_told():
    data = pack([(step, step, 0.5) for step in range(100)])
    for cut in (1, 8, 100, len(data) - 5):
        with pytest.raises(Corrupt):
            unpack(data[:-cut])


@given(TRIPLES)
def test_extremes_are_points_of_the_lowest_and_highest_value(triples: list[Triple]):
    points = in_order(triples)
    numbers = [value for _, _, value in points if value is not None]
    found = extremes_of(points)
    assert set(found) <= set(points)
    assert len(found) <= 2
    if numbers:
        assert {value for _, _, value in found} == {min(numbers), max(numbers)}


@given(TRIPLES, st.integers(4, 30))
def test_a_sample_is_in_order_keeps_both_ends_and_the_extremes(triples: list[Triple], at_most: int):
    points = in_order(triples)
    found = sampled(points, at_most)
    assert found == in_order(found)
    assert len(found) <= at_most
    assert (found[0], found[-1]) == (points[0], points[-1])
    numbers = [value for _, _, value in points if value is not None]
    if numbers and len(points) > at_most:
        shown = [value for _, _, value in found if value is not None]
        assert {min(numbers), max(numbers)} <= set(shown)


def test_a_summary_holds_the_extremes_of_each_block():
    points: list[Triple] = [(step, 0, float(step % 100)) for step in range(3 * BLOCK)]
    assert sorted(value or 0.0 for _, _, value in unpack(summarize(points))) == [0.0] * 3 + [99.0] * 3


@pytest.mark.parametrize("order", ["forward", "backward", "random", "zigzag"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_points_in_any_order_are_all_there_once_and_in_order(home, order: str, size: int):
    chance = random.Random(f"{order}{size}")
    points = [MetricPoint("m", None if step % 50 == 3 else step / 3, step // 2, step % 5) for step in range(300)]
    sent = {
        "forward": points,
        "backward": points[::-1],
        "random": chance.sample(points, len(points)),
        "zigzag": [points[(number * 37) % len(points)] for number in range(len(points))],
    }[order]
    run_id = create_run(home).id
    logged(home, run_id, sent, size)
    wanted = in_rank(points)
    assert whole(home, run_id) == wanted
    assert whole(home, run_id, size=13) == wanted
    assert get_run(home, run_id).metrics == {"m": wanted[-1].value}


@pytest.mark.parametrize("size", [3, 50])
def test_points_that_are_sent_again_after_they_were_sealed_are_not_doubled(home, size: int):
    points = [MetricPoint("m", float(step), step, 5) for step in range(200)]
    run_id = create_run(home).id
    logged(home, run_id, points, 40)
    logged(home, run_id, points[30:130], size)
    logged(home, run_id, [*points[150:], MetricPoint("m", 9.5, 9, 5)], size)
    assert whole(home, run_id) == in_rank([*points, MetricPoint("m", 9.5, 9, 5)])


def test_many_points_of_one_moment_fill_several_chunks(home):
    points = [MetricPoint("m", float(value), 0, 0) for value in range(150)]
    run_id = create_run(home).id
    logged(home, run_id, points[::-1], 11)
    logged(home, run_id, points, 25)
    assert whole(home, run_id, size=17) == points


def test_old_points_are_packed_and_few_stay_rows(home):
    run_id = create_run(home).id
    logged(home, run_id, [MetricPoint("m", 0.5, step) for step in range(1000)], 1)
    with home.meta.read() as tx:
        ((rows,),) = tx.rows("SELECT COUNT(*) FROM point")
        ((chunks, points),) = tx.rows("SELECT COUNT(*), SUM(points) FROM chunk")
    assert rows < 8
    assert points + rows == 1000
    assert chunks <= 1000 / 32 * 1.5


def test_the_latest_of_a_metric_is_that_of_whichever_model_it_was_measured_on(home):
    run_id = create_run(home).id
    log_batch(home, run_id, metrics=[MetricPoint("m", 1.0, 5, 1, "m-a"), MetricPoint("m", 2.0, 4, 1, "m-b")])
    assert get_run(home, run_id).metrics == {"m": 1.0}
    log_batch(home, run_id, metrics=[MetricPoint("m", 3.0, 6, 1, "m-b")])
    assert get_run(home, run_id).metrics == {"m": 3.0}
    log_batch(home, run_id, metrics=[MetricPoint("m", 9.0, 2, 1)])
    assert get_run(home, run_id).metrics == {"m": 3.0}
    assert [(p.value, p.model_id) for p in whole(home, run_id, size=1)] == [
        (9.0, ""), (2.0, "m-b"), (1.0, "m-a"), (3.0, "m-b"),
    ]  # fmt: skip


def test_two_datasets_of_one_metric_are_two_series(home):
    run_id = create_run(home).id
    points = [MetricPoint("m", 1.0, 0, 0, "m-a", name, "d") for name in ("train", "test")]
    for _ in range(2):
        log_batch(home, run_id, metrics=points)
    assert len(whole(home, run_id)) == 2


def test_a_chart_shows_both_ends_and_every_extreme_of_a_long_series(home):
    run_id = create_run(home).id
    points = [
        MetricPoint("m", 1000.0 if step == 777 else -5.0 if step == 1234 else step % 10 / 10, step)
        for step in range(3000)
    ]
    logged(home, run_id, points, 100)
    chart = chart_history(home, run_id, "m", points_max=100)
    assert len(chart.steps) <= 100
    assert (chart.steps[0], chart.steps[-1]) == (0, 2999)
    assert {1000.0, -5.0} <= set(chart.values)
    assert list(chart.steps) == sorted(chart.steps)
    near = chart_history(home, run_id, "m", points_max=500, from_step=700, to_step=800)
    assert near.steps == tuple(range(700, 801))


def test_a_chart_read_from_summaries_begins_and_ends_where_the_series_does(home):
    run_id = create_run(home).id
    count = 24 * 1024  # More than are looked at one by one.
    values = [float(step * 7919 % 1009) for step in range(count)]
    values[0] = values[-1] = values[5000] = values[9000] = 500.5  # Ends that are no extremes of anything.
    values[12345] = 1e6
    for start in range(0, count, 1000):
        points = [MetricPoint("m", values[step], step, step) for step in range(start, min(start + 1000, count))]
        log_batch(home, run_id, metrics=points)
    chart = chart_history(home, run_id, "m", points_max=100)
    assert len(chart.steps) <= 100
    assert (chart.steps[0], chart.steps[-1]) == (0, count - 1)
    assert 1e6 in chart.values
    assert list(chart.steps) == sorted(set(chart.steps))
    between = chart_history(home, run_id, "m", points_max=100, from_step=200, to_step=count - 200)
    assert 200 <= between.steps[0] <= 200 + 256
    assert count - 200 - 256 <= between.steps[-1] <= count - 200


def test_a_chart_of_few_points_is_all_of_them_and_of_none_is_empty(home):
    run_id = create_run(home).id
    logged(home, run_id, [MetricPoint("m", 0.1, step) for step in range(20)], 20)
    assert chart_history(home, run_id, "m").steps == tuple(range(20))
    assert chart_history(home, run_id, "other").steps == ()
    with pytest.raises(NotFound, match="nobody"):
        chart_history(home, "nobody", "m")
    with pytest.raises(Invalid, match="max_results"):
        chart_history(home, run_id, "m", points_max=0)


def test_the_metrics_of_an_earlier_home_are_all_there_after_its_migration(home, tmp_path: Path, monkeypatch):
    from taut.ground.meta import connect_metadata, migrate

    every = migrate.migrations()
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: every[:2])
        connect_metadata(url).close()
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute("INSERT INTO experiment VALUES ('0', 'Default', 'active', 1, 1, '{}')")
        old.execute("INSERT INTO run VALUES ('r', '0', 'old', 'FINISHED', 'ada', 5, 6, 'active', 'manual', '{}')")
        old.execute("INSERT INTO param VALUES ('r', 'p', '1')")
        old.execute("INSERT INTO run_tag VALUES ('r', 't', 'x')")
        rows: list[tuple[str, str, int, int, float | None, str]] = [
            ("r", "m", step, 1, float(step), "") for step in range(100)
        ]
        rows += [("r", "n", 1, 1, None, ""), ("r", "n", 1, 1, 2.0, "m-a"), ("r", "n", 0, 9, 7.0, "m-a")]
        old.executemany("INSERT INTO metric VALUES (?, ?, ?, ?, ?, ?)", rows)
    old.close()
    from dataclasses import replace

    meta = connect_metadata(url)
    moved = replace(home, meta=meta)
    assert get_run(moved, "r").metrics == {"m": 99.0, "n": 2.0}
    assert get_run(moved, "r").params == {"p": "1"}
    assert [point.step for point in whole(moved, "r", size=7)] == list(range(100))
    assert [(p.value, p.model_id) for p in whole(moved, "r", "n")] == [(7.0, "m-a"), (None, ""), (2.0, "m-a")]
    logged(moved, "r", [MetricPoint("m", float(step), step, 1) for step in range(150)], 10)
    assert [point.step for point in whole(moved, "r")] == list(range(150))
    meta.close()
