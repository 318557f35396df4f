"""Series leave the index of values when they are written to again, and come back as a run ends or where many move."""

import threading

import pytest

from taut.home import Home
from taut.records import Capture
from taut.runs import MetricPoint, create_run, finish_run, log_batch, page_of_runs, settling, unsound_series, update_run
from taut.runs.settling import MOVING, OLDER, SETTLED
from tests.parts import eventually


def states(home: Home, run_id: str) -> dict[str, list[int]]:
    with home.meta.read() as tx:
        rows = tx.rows("SELECT key, newest FROM series WHERE run_id = :id ORDER BY key, id", {"id": run_id})
    found: dict[str, list[int]] = {}
    for key, newest in rows:
        found.setdefault(str(key), []).append(int(str(newest)))
    return found


def log(home: Home, run_id: str, step: int, *keys: str, model: str = "") -> None:
    log_batch(home, run_id, metrics=[MetricPoint(key, step / 2, step, step, model) for key in keys])


def test_what_is_written_moves_until_its_run_ends_and_again_where_it_is_written_to_again(home):
    run_id = create_run(home).id
    log(home, run_id, 1, "a", "b")
    assert states(home, run_id) == {"a": [MOVING], "b": [MOVING]}
    update_run(home, run_id, status="FINISHED")
    assert states(home, run_id) == {"a": [SETTLED], "b": [SETTLED]}
    log(home, run_id, 2, "a")
    log(home, run_id, 1, "b")  # It is there already.
    assert states(home, run_id) == {"a": [MOVING], "b": [SETTLED]}


def test_of_a_metric_of_several_models_one_series_holds_the_latest(home):
    run_id = create_run(home).id
    log(home, run_id, 1, "a")
    log(home, run_id, 2, "a", model="m-1")
    assert states(home, run_id) == {"a": [OLDER, MOVING]}
    log(home, run_id, 3, "a")
    assert states(home, run_id) == {"a": [MOVING, OLDER]}
    log(home, run_id, 2, "a", model="m-2")
    assert states(home, run_id) == {"a": [MOVING, OLDER, OLDER]}
    log(home, run_id, 4, "a", model="m-2")
    assert states(home, run_id) == {"a": [OLDER, OLDER, MOVING]}
    with home.meta.read() as tx:
        assert list(unsound_series(tx)) == []


@pytest.mark.parametrize("end", ["updated", "finished"])
def test_the_end_of_a_run_settles_it(home, end: str):
    run_id = create_run(home).id
    for step in (1, 2):
        log(home, run_id, step, "a")
    update_run(home, run_id, name="renamed")
    assert states(home, run_id) == {"a": [MOVING]}
    if end == "updated":
        update_run(home, run_id, status="FAILED")
    else:
        finish_run(home, run_id, Capture(), "FINISHED", 1)
    assert states(home, run_id) == {"a": [SETTLED]}
    log(home, run_id, 3, "a")  # Nobody forbids that.
    assert states(home, run_id) == {"a": [MOVING]}


@pytest.fixture
def few_move(monkeypatch: pytest.MonkeyPatch) -> int:
    """As if three were many."""
    for name in ("COUNT_MOVING", "SELECT_OLDEST"):
        text = getattr(settling, name)
        fewer = text.replace(f"LIMIT {settling.MOVING_MAX + 1}", "LIMIT 4")
        monkeypatch.setattr(settling, name, fewer.replace(f"LIMIT {settling.SETTLED_AT_ONCE}", "LIMIT 2"))
    monkeypatch.setattr(settling, "MOVING_MAX", 3)
    return 3


def moving(home: Home, runs: list[str]) -> list[int]:
    return [number for number, run_id in enumerate(runs) if [MOVING] in states(home, run_id).values()]


def test_where_too_many_move_the_oldest_settle_whole(home, few_move):
    runs = [create_run(home).id for _ in range(6)]
    for run_id in runs:
        log(home, run_id, 1, "a", "b")
    for number, run_id in enumerate(runs):
        log(home, run_id, 2, "a", "b")
        assert len(moving(home, runs[: number + 1])) <= few_move
    assert moving(home, runs) == [4, 5]
    page = page_of_runs(home, ["0"], order_by=["metrics.a DESC"], filter="metrics.b = 1.0")
    assert {detail.run.id for detail in page.runs} == set(runs)
    with home.meta.read() as tx:
        assert list(unsound_series(tx)) == []


def test_a_run_that_somebody_else_holds_is_not_waited_for(home, few_move):
    if home.meta.dialect != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    runs = [create_run(home).id for _ in range(4)]
    for run_id in runs:
        log(home, run_id, 1, "a")
    update_run(home, runs[3], status="FINISHED")
    for run_id in runs[:3]:
        log(home, run_id, 2, "a")
    with home.meta.transaction() as tx:
        tx.row("SELECT id FROM run WHERE id = :id FOR UPDATE", {"id": runs[0]})
        other = threading.Thread(target=log, args=(home, runs[3], 2, "a"))
        other.start()
        other.join(20)
        assert not other.is_alive()
    assert moving(home, runs) == [0, 2, 3]


def test_a_point_of_what_moves_touches_no_index_of_postgresql(home):
    if home.meta.dialect != "postgresql":
        pytest.skip("SQLite writes to an index only what changes there")

    def counted() -> tuple[int, int]:
        with home.meta.read() as tx:
            row = tx.row("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'series'")
        assert row is not None
        return int(str(row[0])), int(str(row[1]))

    before = counted()
    run_id = create_run(home).id
    for step in range(60):
        log(home, run_id, step, *(f"m{number}" for number in range(40)))
    # A connection tells what it counted when it has been idle for a second or so.
    eventually(lambda: counted()[0] - before[0] >= 59 * 40, what="the statistics")
    updated, alone = (after - earlier for after, earlier in zip(counted(), before, strict=True))
    # With an index on what changes there were none; of the rest it is up to PostgreSQL when it cleans a page.
    assert alone > updated / 4
