"""Group commit in SQLite: who waits together is stored together, and each learns whether it was."""

import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from taut.errors import Conflict, Invalid, TautError, Unavailable
from taut.ground.meta.sqlite import GROUP_MAX, SqliteMetadata, connect
from tests.parts import eventually

INSERT = "INSERT INTO step (plan, name, status, body, at_ms) VALUES ('p', :name, 'done', '{}', 0)"
NAMES = "SELECT name FROM step ORDER BY name"


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[SqliteMetadata]:
    store = connect(f"sqlite:///{tmp_path / 'meta.db'}")
    yield store
    store.close()


def names(meta: SqliteMetadata) -> list[str]:
    with meta.read() as tx:
        return [str(name) for (name,) in tx.rows(NAMES)]


def write(meta: SqliteMetadata, name: str) -> None:
    with meta.transaction() as tx:
        tx.execute(INSERT, {"name": name})


def statements(meta: SqliteMetadata) -> Counter[str]:
    """How often each kind of statement has reached the database since."""
    seen: Counter[str] = Counter()
    meta._writer.set_trace_callback(lambda sql: seen.update([sql.split()[0]]))
    return seen


class Leader:
    """A writer that holds the turn until as many others wait as the test wants, so that a group forms for certain."""

    def __init__(self, meta: SqliteMetadata, members: int) -> None:
        self._meta, self._members = meta, members
        self._pool = ThreadPoolExecutor(members + 1)

    def run(self, member=write, spoil: str = "") -> list[Future[None]]:
        entered, go = threading.Event(), threading.Event()

        def lead() -> None:
            with self._meta.transaction() as tx:
                tx.execute(INSERT, {"name": "leader"})
                entered.set()
                assert go.wait(30)
                if spoil:
                    tx.execute(spoil)

        first = self._pool.submit(lead)
        assert entered.wait(30)
        rest = [self._pool.submit(member, self._meta, f"m{number:03}") for number in range(self._members)]
        eventually(lambda: self._meta._waiting == self._members, what="the members to wait")
        go.set()
        self._pool.shutdown()
        return [first, *rest]


def test_all_who_wait_together_share_one_commit(meta):
    seen = statements(meta)
    for future in Leader(meta, 20).run():
        future.result()
    # The first needs none: to undo it is to undo all that there is.
    assert (seen["BEGIN"], seen["COMMIT"], seen["SAVEPOINT"]) == (1, 1, 20)
    assert len(names(meta)) == 21


def test_where_the_first_of_a_group_fails_the_others_are_stored_by_the_next(meta):
    seen = statements(meta)
    first, *rest = Leader(meta, 5).run(spoil="INSERT INTO nowhere VALUES (1)")
    with pytest.raises(TautError, match="nowhere"):
        first.result()
    for future in rest:
        future.result()
    assert (seen["BEGIN"], seen["COMMIT"], seen["ROLLBACK"]) == (2, 1, 1)
    assert sorted(names(meta)) == [f"m{number:03}" for number in range(5)]


def test_a_group_ends_at_its_limit_so_that_the_first_does_not_wait_for_ever(meta):
    seen = statements(meta)
    for future in Leader(meta, GROUP_MAX + 10).run():
        future.result()
    assert (seen["BEGIN"], seen["COMMIT"]) == (2, 2)
    assert len(names(meta)) == GROUP_MAX + 11


def test_who_writes_alone_commits_alone(meta):
    seen = statements(meta)
    for number in range(3):
        write(meta, str(number))
    assert (seen["BEGIN"], seen["COMMIT"]) == (3, 3)


def test_a_member_that_fails_undoes_itself_and_the_group_is_stored(meta):
    def member(store: SqliteMetadata, name: str) -> None:
        with store.transaction() as tx:
            tx.execute(INSERT, {"name": name})
            if name.endswith("3"):
                raise ZeroDivisionError

    futures = Leader(meta, 10).run(member)
    failed = [number for number, future in enumerate(futures) if future.exception()]
    assert failed == [4]
    assert isinstance(futures[4].exception(), ZeroDivisionError)
    assert names(meta) == ["leader", *(f"m{number:03}" for number in range(10) if number != 3)]


def test_a_last_member_that_fails_still_commits_for_those_before_it(meta):
    def member(store: SqliteMetadata, name: str) -> None:
        with store.transaction():
            raise ZeroDivisionError

    leader, last = Leader(meta, 1).run(member)
    leader.result()
    assert isinstance(last.exception(), ZeroDivisionError)
    assert names(meta) == ["leader"]


def test_a_commit_that_fails_reaches_every_member_and_leaves_nothing(meta):
    write(meta, "before")
    # A deferred foreign key is looked at by COMMIT alone: the member that breaks it has long left its block.
    with meta.transaction() as tx:
        tx.execute("CREATE TABLE child (id BIGINT PRIMARY KEY REFERENCES child (id) DEFERRABLE INITIALLY DEFERRED)")
        tx.execute("CREATE TABLE parent (id BIGINT PRIMARY KEY)")
        tx.execute("CREATE TABLE broken (id BIGINT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
    futures = Leader(meta, 5).run(spoil="INSERT INTO broken (id) VALUES (7)")
    told = [future.exception() for future in futures]
    assert [type(error) for error in told] == [Conflict] * 6
    assert all("FOREIGN KEY" in str(error) for error in told)
    assert names(meta) == ["before"]


def test_after_a_failed_commit_the_next_writer_begins_afresh(meta):
    with meta.transaction() as tx:
        tx.execute("CREATE TABLE parent (id BIGINT PRIMARY KEY)")
        tx.execute("CREATE TABLE broken (id BIGINT REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(TautError), meta.transaction() as tx:
        tx.execute("INSERT INTO broken (id) VALUES (7)")
    write(meta, "after")
    assert names(meta) == ["after"]


def test_nobody_returns_before_the_commit(meta, tmp_path):
    """What another process sees is what was acknowledged: nothing while the group still gathers."""
    other = sqlite3.connect(tmp_path / "meta.db")
    entered, go, left = threading.Event(), threading.Event(), []

    def lead() -> None:
        with meta.transaction() as tx:
            tx.execute(INSERT, {"name": "leader"})
            entered.set()
            assert go.wait(30)
        left.append(other_sees(tmp_path))

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lead)
        assert entered.wait(30)
        assert other.execute(NAMES).fetchall() == []
        go.set()
        first.result()
    assert left == [["leader"]]
    other.close()


def other_sees(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / "meta.db")
    try:
        return [name for (name,) in connection.execute(NAMES)]
    finally:
        connection.close()


class Interrupted(BaseException):
    """What Ctrl-C is, under a name that pytest leaves to us."""


@pytest.fixture
def interrupt() -> Iterator[int]:
    """A signal that interrupts this thread as Ctrl-C would."""

    def handler(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.main_thread().ident
    assert main is not None
    yield main
    signal.signal(signal.SIGUSR1, before)


def test_who_is_interrupted_in_the_queue_leaves_the_others_commit_to_nobody_else(meta, interrupt):
    entered = threading.Event()

    def lead() -> None:
        with meta.transaction() as tx:
            tx.execute(INSERT, {"name": "leader"})
            entered.set()
            eventually(lambda: meta._waiting == 1, what="the queue")
            signal.pthread_kill(interrupt, signal.SIGUSR1)
            eventually(lambda: meta._waiting == 0, what="the interrupted one to go")

    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(lead)
        assert entered.wait(30)
        with pytest.raises(Interrupted):
            write(meta, "interrupted")
        leader.result(30)
    assert names(meta) == ["leader"]


def test_the_one_a_group_was_handed_to_commits_it_though_interrupted(meta):
    """The leader has left, trusting the next in the queue; the next is interrupted before it gets its turn."""

    class Turn:
        """The store's lock, whose next waiter is interrupted at the moment it would get it."""

        def __init__(self, lock: threading.Lock) -> None:
            self.lock, self.armed = lock, False

        def acquire(self) -> bool:
            if not self.armed:
                return self.lock.acquire()
            self.armed = False
            with self.lock:
                raise Interrupted

        def release(self) -> None:
            self.lock.release()

        def __enter__(self) -> bool:
            return self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    turn = Turn(meta._turn)
    meta._turn = turn

    def member(store: SqliteMetadata, name: str) -> None:
        turn.armed = True
        with pytest.raises(Interrupted):
            write(store, name)

    for future in Leader(meta, 1).run(member):
        future.result(30)
    assert names(meta) == ["leader"]
    write(meta, "next")
    assert names(meta) == ["leader", "next"]


def test_an_interrupt_while_another_process_holds_the_lock_does_not_lock_us_out(meta, interrupt, tmp_path):
    other = sqlite3.connect(tmp_path / "meta.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def poke() -> None:
        eventually(meta._turn.locked, what="our turn")
        signal.pthread_kill(interrupt, signal.SIGUSR1)  # It is heard when SQLite gives the thread back to Python.
        other.execute("ROLLBACK")

    with ThreadPoolExecutor(1) as pool:
        poked = pool.submit(poke)
        with pytest.raises(Interrupted):
            write(meta, "interrupted")
        poked.result()
    other.close()
    assert not meta._turn.locked()
    write(meta, "after")
    assert names(meta) == ["after"]


def test_nesting_is_a_defect_that_is_told_and_not_a_silent_stop(meta):
    with pytest.raises(AssertionError, match="never nested"), meta.transaction(), meta.transaction():
        pass
    write(meta, "after")
    assert names(meta) == ["after"]


def test_a_read_inside_a_read_sees_the_same_moment(meta):
    with meta.read() as outer:
        assert outer.rows(NAMES) == []
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write, meta, "late").result()
        with meta.read() as inner:
            assert inner.rows(NAMES) == []
    assert names(meta) == ["late"]


def test_a_reader_cannot_write(meta):
    with pytest.raises(TautError), meta.read() as tx:
        tx.execute(INSERT, {"name": "sneaked in"})
    assert names(meta) == []


def test_readers_of_threads_that_ended_give_their_connections_back(meta):
    def read() -> None:
        assert names(meta) == []

    for _ in range(30):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert len(meta._reader_connections) <= 2


def test_a_lock_that_another_process_keeps_is_unavailable_and_not_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("taut.ground.meta.sqlite.BUSY_TIMEOUT_S", 0.05)
    store = connect(f"sqlite:///{tmp_path / 'meta.db'}")
    other = sqlite3.connect(tmp_path / "meta.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        write(store, "blocked")
    other.execute("ROLLBACK")
    other.close()
    write(store, "free")
    assert names(store) == ["free"]
    store.close()


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "half \ud800 a character"])
def test_a_value_that_fits_no_column_is_invalid_and_undoes_its_block(meta, value):
    with pytest.raises(Invalid, match="does not fit"), meta.transaction() as tx:
        tx.execute(INSERT, {"name": "first"})
        tx.execute("UPDATE step SET at_ms = :value", {"value": value})
    with pytest.raises(Invalid), meta.transaction() as tx:
        tx.executemany(INSERT.replace("0)", ":value)"), [{"name": "x", "value": value}])
    assert names(meta) == []
