"""A thread that must not wait is told at once that it would have to, and nothing of what it wanted is done."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taut.ground.meta import sqlite
from taut.ground.meta.sqlite import SqliteMetadata, connect
from taut.ground.meta.waiting import WouldWait, may_wait, without_waiting

INSERT = "INSERT INTO step (plan, name, status, body, at_ms) VALUES ('p', :name, 'done', '{}', 0)"


@pytest.fixture
def meta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteMetadata]:
    """A store on a disk that is called quick, whatever else this machine does."""
    monkeypatch.setattr(sqlite, "QUICK_S", 10.0)
    store = connect(f"sqlite:///{tmp_path / 'meta.db'}")
    yield store
    store.close()


def write(meta: SqliteMetadata, name: str) -> None:
    with meta.transaction() as tx:
        tx.execute(INSERT, {"name": name})


def names(meta: SqliteMetadata) -> list[str]:
    return [str(name) for (name,) in meta.ask("SELECT name FROM step ORDER BY name")]


@contextmanager
def held_elsewhere(meta: SqliteMetadata) -> Iterator[None]:
    """Another process, as far as SQLite can tell, that writes."""
    other = sqlite3.connect(meta.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def held_by_a_thread(meta: SqliteMetadata) -> Iterator[None]:
    entered, go = threading.Event(), threading.Event()

    def hold() -> None:
        with meta.transaction() as tx:
            tx.execute(INSERT, {"name": "holder"})
            entered.set()
            assert go.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(30)
    try:
        yield
    finally:
        go.set()
        thread.join(30)


def test_where_nobody_holds_the_file_it_writes_at_once_and_durably(meta):
    seen: list[str] = []
    meta._writer.set_trace_callback(seen.append)
    with without_waiting():
        write(meta, "a")
        assert may_wait()  # Something is stored: what is left must be done too.
    assert seen[-1] == "COMMIT"
    assert names(meta) == ["a"]
    assert may_wait()


@pytest.mark.parametrize("held", [held_elsewhere, held_by_a_thread])
def test_where_somebody_writes_nothing_is_done_and_it_is_told_at_once(meta, held):
    with held(meta):
        began = time.monotonic()
        with without_waiting(), pytest.raises(WouldWait):
            write(meta, "a")
        assert time.monotonic() - began < 5
    assert "a" not in names(meta)
    with without_waiting():
        write(meta, "b")
    assert "b" in names(meta)


def test_who_may_wait_does_so_until_another_process_lets_go(meta):
    with held_elsewhere(meta):
        waiting = threading.Thread(target=write, args=(meta, "later"))
        waiting.start()
        waiting.join(0.1)
        assert waiting.is_alive()
        assert names(meta) == []
    waiting.join(30)
    assert names(meta) == ["later"]


def test_the_second_transaction_of_a_block_waits_like_any_other(meta):
    def late(lock: sqlite3.Connection) -> None:
        time.sleep(0.2)
        lock.execute("ROLLBACK")

    other = sqlite3.connect(meta.url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    with without_waiting():
        write(meta, "first")
        other.execute("BEGIN IMMEDIATE")
        letting_go = threading.Thread(target=late, args=(other,))
        letting_go.start()
        write(meta, "second")
    letting_go.join()
    other.close()
    assert names(meta) == ["first", "second"]


def test_a_slow_disk_is_waited_for_elsewhere_until_it_is_quick_again(meta, monkeypatch):
    monkeypatch.setattr(sqlite, "QUICK_S", 0.0)
    write(meta, "measured")
    with without_waiting(), pytest.raises(WouldWait):
        write(meta, "a")
    monkeypatch.setattr(sqlite, "QUICK_S", 10.0)
    with without_waiting():
        write(meta, "b")
    assert names(meta) == ["b", "measured"]


def test_a_block_that_fails_leaves_the_store_and_the_thread_as_they_were(meta):
    with without_waiting(), pytest.raises(ZeroDivisionError), meta.transaction() as tx:
        tx.execute(INSERT, {"name": "undone"})
        raise ZeroDivisionError
    assert may_wait()
    write(meta, "next")
    assert names(meta) == ["next"]


def test_many_threads_and_one_that_must_not_wait_lose_nothing(meta):
    told: list[str] = []

    def hasty() -> None:
        for number in range(200):
            name = f"hasty-{number:03}"
            try:
                with without_waiting():
                    write(meta, name)
            except WouldWait:
                write(meta, name)
            told.append(name)

    def patient(own: int) -> None:
        for number in range(100):
            write(meta, f"patient-{own}-{number:03}")
            told.append(f"patient-{own}-{number:03}")

    threads = [threading.Thread(target=hasty), *(threading.Thread(target=patient, args=(own,)) for own in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(told) == 500
    assert names(meta) == sorted(told)
