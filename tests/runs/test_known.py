"""The short way of a batch of many metrics ends where the long one does, whoever else has written meanwhile."""

import random
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import pytest

from taut.errors import Invalid
from taut.home import Home, open_home
from taut.runs import (
    MetricPoint,
    create_run,
    delete_run,
    log_batch,
    log_batches,
    metric_history,
    run_detail,
    unsound_series,
    update_run,
)
from taut.runs import series as long_way
from taut.runs.batches import Batch
from taut.runs.known import TAIL, KnownSeries, Outdated, known_series
from taut.runs.points import Triple, rank

MANY = 16
KEYS = [f"m{number:02}" for number in range(MANY + 4)]


def wide(step: int, *, keys: list[str] = KEYS, model: str = "") -> list[MetricPoint]:
    return [MetricPoint(key, step + number / 64, step, step, model) for number, key in enumerate(keys)]


def steps(home: Home, run_id: str, key: str = KEYS[0]) -> tuple[int, ...]:
    return metric_history(home, run_id, key).steps


@pytest.fixture
def run_id(home) -> str:
    """A run whose metrics move."""
    made = create_run(home).id
    for step in (1, 2):
        log_batch(home, made, metrics=wide(step))
    return made


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The runs whose series were looked at, each time the long way was taken."""
    seen: list[set[str]] = []
    read = long_way.read_series

    def noted(tx, runs, keys):
        seen.append(set(runs))
        return read(tx, runs, keys)

    monkeypatch.setattr(long_way, "read_series", noted)
    return seen


def test_the_third_wide_batch_looks_at_no_series_and_is_stored_like_the_others(home, run_id, looked):
    for step in (3, 4, 5):
        log_batch(home, run_id, metrics=wide(step), params={"p": "v"}, tags={"t": str(step)})
    assert looked == []
    for number, key in enumerate(KEYS):
        assert steps(home, run_id, key) == (1, 2, 3, 4, 5)
        assert metric_history(home, run_id, key).values[-1] == 5 + number / 64
    detail = run_detail(home, run_id)
    assert {point.step for point in detail.metrics} == {5}
    assert (detail.run.params, detail.run.tags["t"]) == ({"p": "v"}, "5")
    with home.meta.read() as tx:
        assert list(unsound_series(tx)) == []


OTHERWISE = {
    "the same again": wide(2),
    "an earlier step": wide(0),
    "one that is earlier": [*wide(3)[1:], MetricPoint(KEYS[0], 9.0, 1, 7)],
    "one key twice": [*wide(3), MetricPoint(KEYS[0], 9.0, 4, 4)],
    "one of a model": [*wide(3)[1:], MetricPoint(KEYS[0], 9.0, 3, 3, "m-1")],
    "one of a dataset": [*wide(3)[1:], MetricPoint(KEYS[0], 9.0, 3, 3, "", "rows", "d1")],
    "one that is new": [*wide(3), MetricPoint("new", 9.0, 3, 3)],
    "not-a-number": [MetricPoint(key, None, 3, 3) for key in KEYS],
}


@pytest.mark.parametrize("batch", OTHERWISE.values(), ids=OTHERWISE)
def test_what_cannot_go_the_short_way_goes_the_long_one(home, run_id, batch: list[MetricPoint]):
    held: dict[str, set[Triple]] = defaultdict(set)
    for point in (*wide(1), *wide(2), *batch):
        held[point.key].add((point.step, point.at_ms, point.value))
    for _ in range(2):
        log_batch(home, run_id, metrics=batch, params={"p": "v"})
    assert stored(home, run_id) == held
    latest = {point.key: (point.step, point.at_ms, point.value) for point in run_detail(home, run_id).metrics}
    assert latest == {key: max(points, key=rank) for key, points in held.items()}
    with home.meta.read() as tx:
        assert list(unsound_series(tx)) == []


def stored(home: Home, run_id: str) -> dict[str, set[Triple]]:
    """All points of a run, each of which must be there once."""
    found: dict[str, set[Triple]] = {}
    for point in run_detail(home, run_id).metrics:
        history = metric_history(home, run_id, point.key)
        points = list(zip(history.steps, history.at_ms, history.values, strict=True))
        found[point.key] = set(points)
        assert len(points) == len(found[point.key])
    return found


@pytest.fixture
def other(home) -> Iterator[Home]:
    """The same home in another process."""
    assert home.folder is not None
    with open_home(home.folder.parent) as opened:
        yield opened


def test_another_process_that_writes_makes_what_is_remembered_outdated(home, other, run_id, looked):
    log_batch(other, run_id, metrics=wide(4))
    log_batch(home, run_id, metrics=wide(3))
    assert looked == [{run_id}, {run_id}]
    assert steps(home, run_id) == steps(other, run_id) == (1, 2, 3, 4)
    log_batch(other, run_id, metrics=[MetricPoint(KEYS[0], 1.0, 9, 9, "m-1")])  # That is the latest of its metric now.
    log_batch(home, run_id, metrics=wide(5))
    latest = {point.key: point.step for point in run_detail(home, run_id).metrics}
    assert (latest[KEYS[0]], latest[KEYS[1]]) == (9, 5)
    with home.meta.read() as tx:
        assert list(unsound_series(tx)) == []


def test_what_has_settled_begins_to_move_again(home, run_id, looked):
    update_run(home, run_id, status="FINISHED")
    log_batch(home, run_id, metrics=wide(3))
    assert looked == [{run_id}]
    log_batch(home, run_id, metrics=wide(4))
    log_batch(home, run_id, metrics=wide(5))
    assert looked == [{run_id}, {run_id}]
    assert steps(home, run_id) == (1, 2, 3, 4, 5)


def test_an_outdated_batch_leaves_nothing_behind_before_it_is_stored(home, run_id):
    def entries() -> list[str]:
        with home.meta.read() as tx:
            return [str(row[0]) for row in tx.rows("SELECT kind FROM ledger ORDER BY seq")]

    gone, sound, wrong = create_run(home).id, create_run(home).id, create_run(home).id
    delete_run(home, gone)
    log_batch(home, wrong, params={"p": "one"})
    before = entries()
    batches = [
        Batch(run_id, home.actor, wide(1), {"p": "v"}, {}),  # Not behind what is there.
        Batch(gone, home.actor, wide(3), {}, {}),
        Batch(sound, home.actor, wide(3), {}, {"t": "u"}),
        Batch(wrong, home.actor, wide(3), {"p": "two"}, {}),
    ]
    problems = log_batches(home, batches)
    assert [type(problem) for problem in problems] == [type(None), Invalid, type(None), Invalid]
    assert entries() == [*before, "run.logged", "run.logged"]
    assert (steps(home, run_id), steps(home, sound), steps(home, wrong)) == ((1, 2), (3,), ())


def test_two_batches_of_one_run_in_one_group_are_both_stored(home, run_id):
    batches = [Batch(run_id, home.actor, wide(step), {}, {}) for step in (3, 4)]
    assert log_batches(home, batches) == [None, None]
    assert steps(home, run_id) == (1, 2, 3, 4)


def test_a_series_is_packed_when_its_rows_are_as_many_as_ever(home, run_id):
    for step in range(3, TAIL + 40):
        log_batch(home, run_id, metrics=wide(step, keys=KEYS[:MANY]))
    with home.meta.read() as tx:
        tails = tx.rows("SELECT tail, points FROM series WHERE run_id = :id AND key = 'm00'", {"id": run_id})
        assert [tuple(row) for row in tails] == [(39, TAIL + 39)]
        assert list(unsound_series(tx)) == []
    assert all(after == before + 1 for before, after in pairwise(steps(home, run_id)))


def test_a_random_course_ends_the_same(home, other):
    chance = random.Random(11)
    run_id = create_run(home).id
    held: dict[str, set[Triple]] = defaultdict(set)
    for now in range(60):
        step = now if chance.random() < 0.8 else chance.randrange(now + 1)
        batch = wide(step, keys=KEYS if chance.random() < 0.8 else chance.sample(KEYS, MANY))
        log_batch(home if chance.random() < 0.8 else other, run_id, metrics=batch)
        for point in batch:
            held[point.key].add((point.step, point.at_ms, point.value))
        if chance.random() < 0.1:
            update_run(home, run_id, status=chance.choice(["FINISHED", "RUNNING"]))
    # The same key at the same place may have another value, as a subset gives it another number.
    assert stored(home, run_id) == held
    with home.meta.read() as tx:
        assert list(unsound_series(tx)) == []


def test_what_is_remembered_is_no_truth(home, run_id):
    remembered = known_series(home.meta)
    assert remembered is known_series(home.meta)
    remembered.remember(run_id, {key: (10**6 + number, 2, 2, 2) for number, key in enumerate(KEYS)})
    with pytest.raises(Outdated), home.meta.transaction() as tx:
        remembered.write(tx, [(run_id, "0", wide(3))])
    fresh = KnownSeries()
    with home.meta.transaction() as tx:
        assert fresh.write(tx, [(run_id, "0", wide(3))]) == [(run_id, "0", wide(3))]
    assert steps(home, run_id) == (1, 2)
