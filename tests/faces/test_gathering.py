"""What many log at once is written together: each is answered for itself, and nobody before it is on disk."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import NoReturn

import pytest

from taut.errors import Denied, Invalid, NotFound, TautError, Unavailable
from taut.faces.http import gathering
from taut.faces.http.gathering import ITEMS_AT_ONCE, Gathering
from taut.ground.access import Actor
from taut.ground.ledger import events, verify_ledger
from taut.home import Home
from taut.runs import Batch, MetricPoint, create_run, get_run, log_batches, metric_history


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def point(value: float, step: int = 0, key: str = "m") -> MetricPoint:
    return MetricPoint(key, value, step, step)


def logged(home: Home, threads: Executor, batches: list[Batch]) -> list[object]:
    """Log all of them at once; returns None or the error of each."""

    async def go() -> list[object]:
        gather = Gathering(home, threads)
        return await asyncio.gather(*(gather.log(batch) for batch in batches), return_exceptions=True)

    return asyncio.run(go())


def groups(home: Home) -> list[int]:
    """How many entries were appended by one transaction: those of one moment, for the clock stands still in a group."""
    with home.meta.read() as tx:
        return [event.seq for event in events(tx, kind="run.logged", limit=10_000)]


def test_a_hundred_clients_are_all_answered_and_all_is_there(home, threads):
    runs = [create_run(home).id for _ in range(10)]
    batches = [Batch(runs[number % 10], home.actor, [point(float(number), number // 10)]) for number in range(100)]
    assert logged(home, threads, batches) == [None] * 100
    for number, run in enumerate(runs):
        assert metric_history(home, run, "m").values == tuple(float(number + 10 * step) for step in range(10))
    with home.meta.read() as tx:
        assert list(verify_ledger(tx)) == []
    assert len(groups(home)) == 100


def test_what_waits_is_one_transaction(home, threads):
    run = create_run(home).id
    seen: list[int] = []
    whole = home.meta.transaction

    class Counted:
        def __getattr__(self, name: str) -> object:
            return getattr(home.meta, name)

        @contextlib.contextmanager
        def transaction(self) -> Iterator[object]:
            seen.append(1)
            with whole() as tx:
                yield tx

    counted = replace(home, meta=Counted())
    assert logged(counted, threads, [Batch(run, home.actor, [point(1.0, step)]) for step in range(50)]) == [None] * 50
    assert len(seen) <= 2  # The first comes alone, the rest together.


def test_what_is_wrong_with_one_is_told_to_it_alone(home, threads):
    run = create_run(home).id
    log_batches(home, [Batch(run, home.actor, params={"p": "1"})])
    batches = [
        Batch(run, home.actor, [point(1.0)]),
        Batch("nobody", home.actor, [point(2.0)]),
        Batch(run, home.actor, params={"p": "2"}),
        Batch(run, home.actor, [point(3.0, key="../up")]),
        Batch(run, Actor("vera", "viewer"), [point(4.0, 4)]),
        Batch(run, home.actor, [point(5.0, 5)], tags={"t": "x"}),
    ]
    found = logged(home, threads, batches)
    assert [type(one) for one in found] == [type(None), NotFound, Invalid, Invalid, Denied, type(None)]
    assert metric_history(home, run, "m").values == (1.0, 5.0)
    assert get_run(home, run).params == {"p": "1"}
    assert get_run(home, run).tags["t"] == "x"


def test_two_that_contradict_each_other_in_one_group_are_told_apart_by_their_order(home, threads):
    run = create_run(home).id
    said = [Batch(run, home.actor, params={"p": str(number % 2)}) for number in range(6)]
    found = logged(home, threads, said)
    assert [one is None for one in found] == [True, False, True, False, True, False]
    assert get_run(home, run).params == {"p": "0"}


def test_a_value_that_the_store_refuses_fails_alone(home, threads):
    run = create_run(home).id
    batches = [Batch(run, home.actor, tags={"good": "1"}), Batch(run, home.actor, tags={"bad": "\ud800"})]
    problems = log_batches(home, batches)
    assert problems[0] is None
    assert isinstance(problems[1], Invalid)
    assert get_run(home, run).tags["good"] == "1"
    assert "bad" not in get_run(home, run).tags


def test_a_commit_that_fails_is_told_to_all_of_its_group_and_the_next_group_is_written(home, threads, monkeypatch):
    run = create_run(home).id
    down = threading.Event()
    down.set()

    def failing(home: Home, batches: list[Batch]) -> list[TautError | None]:
        if down.is_set():
            raise Unavailable("the disk is full")
        return log_batches(home, batches)

    monkeypatch.setattr(gathering, "log_batches", failing)

    async def go() -> tuple[Sequence[object], Sequence[object]]:
        gather = Gathering(home, threads)
        first = await asyncio.gather(
            *(gather.log(Batch(run, home.actor, [point(1.0, n)])) for n in range(5)), return_exceptions=True
        )
        down.clear()
        later = await asyncio.gather(
            *(gather.log(Batch(run, home.actor, [point(2.0, n)])) for n in range(5)), return_exceptions=True
        )
        return first, later

    first, later = asyncio.run(go())
    assert [type(one) for one in first] == [Unavailable] * 5
    assert later == [None] * 5
    assert metric_history(home, run, "m").values == (2.0,) * 5


def test_a_defect_in_writing_reaches_those_who_wait_and_does_not_stop_the_next(home, threads, monkeypatch):
    run = create_run(home).id
    broken = [True]

    def breaking(home: Home, batches: list[Batch]) -> list[TautError | None]:
        if broken.pop() if broken else False:
            raise ZeroDivisionError
        return log_batches(home, batches)

    monkeypatch.setattr(gathering, "log_batches", breaking)

    async def go() -> Sequence[object]:
        gather = Gathering(home, threads)
        first = await asyncio.gather(gather.log(Batch(run, home.actor, [point(1.0)])), return_exceptions=True)
        with contextlib.suppress(ZeroDivisionError):
            await asyncio.sleep(0)
        await gather.log(Batch(run, home.actor, [point(2.0)]))
        return first

    with contextlib.suppress(ZeroDivisionError):
        assert isinstance(asyncio.run(go())[0], ZeroDivisionError)
    assert metric_history(home, run, "m").values == (2.0,)


def test_a_client_that_goes_away_takes_nobody_with_it(home, threads):
    run = create_run(home).id

    async def go() -> None:
        gather = Gathering(home, threads)
        going = asyncio.ensure_future(gather.log(Batch(run, home.actor, [point(1.0, 1)])))
        staying = asyncio.ensure_future(gather.log(Batch(run, home.actor, [point(2.0, 2)])))
        await asyncio.sleep(0)
        going.cancel()
        await staying
        with pytest.raises(asyncio.CancelledError):
            await going

    asyncio.run(go())
    assert 2.0 in metric_history(home, run, "m").values


def test_a_group_is_bounded_by_what_it_holds(home, threads, monkeypatch):
    run = create_run(home).id
    sizes: list[int] = []

    def sized(home: Home, batches: list[Batch]) -> list[TautError | None]:
        done = log_batches(home, batches)  # One that would wait is not done and comes again.
        sizes.append(len(batches))
        return done

    monkeypatch.setattr(gathering, "log_batches", sized)
    monkeypatch.setattr(gathering, "ITEMS_MAX", 25)
    batches = [Batch(run, home.actor, [point(1.0, 10 * n + step) for step in range(9)]) for n in range(8)]
    assert logged(home, threads, batches) == [None] * 8
    assert sum(sizes) == 8
    assert max(sizes) == 2
    sizes.clear()
    monkeypatch.setattr(gathering, "GROUP_MAX", 3)
    assert logged(home, threads, [Batch(run, home.actor, tags={f"t{n}": "1"}) for n in range(10)]) == [None] * 10
    assert max(sizes) <= 3


def test_no_batches_are_no_transaction(home):
    assert log_batches(home, []) == []
    assert log_batches(home, [Batch("nobody", Actor("vera", "viewer"))])[0] is not None


class Unused(Executor):
    """Threads that nobody may need."""

    def submit(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("a thread was used")


def test_a_small_group_is_written_on_the_loop_itself_and_a_large_one_in_a_thread(home, threads, monkeypatch):
    monkeypatch.setattr("taut.ground.meta.sqlite.QUICK_S", 10.0)  # Whatever else this machine does.
    run = create_run(home).id
    small = [Batch(run, home.actor, [point(float(step), step)]) for step in range(8)]
    large = [Batch(run, home.actor, [point(float(step), step, "wide") for step in range(ITEMS_AT_ONCE)])]
    if home.meta.dialect == "sqlite":
        assert logged(home, Unused(), small) == [None] * 8
        (problem,) = logged(home, Unused(), large)
        assert isinstance(problem, AssertionError)
    assert logged(home, threads, [*small, *large]) == [None] * 9
    assert metric_history(home, run, "wide").steps == tuple(range(ITEMS_AT_ONCE))


def test_while_another_process_writes_the_loop_goes_on_and_the_batch_is_logged_after_it(home, threads):
    if home.meta.dialect != "sqlite":
        pytest.skip("PostgreSQL holds rows, not the whole file")
    run = create_run(home).id
    other = sqlite3.connect(home.meta.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def go() -> int:
        logging = asyncio.ensure_future(Gathering(home, threads).log(Batch(run, home.actor, [point(1.0)])))
        turns = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            turns += not logging.done()
        other.execute("ROLLBACK")
        await logging
        return turns

    assert asyncio.run(go()) == 20
    other.close()
    assert metric_history(home, run, "m").values == (1.0,)
