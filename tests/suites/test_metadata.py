"""One suite for every metadata store: what a transaction promises, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taut.errors import TautError
from taut.ground.meta import Insert, Metadata, connect_metadata
from taut.ground.meta.migrate import migrations

INSERT = "INSERT INTO step (plan, name, status, body, at_ms) VALUES (:plan, :name, 'done', '{}', 0)"
COUNT = "SELECT count(*) FROM step"


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a place that nobody has opened."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'meta.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def meta(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Metadata]:
    """An opened, empty store."""
    url = f"sqlite:///{tmp_path / 'meta.db'}"
    store = connect_metadata(url if request.param == "sqlite" else request.getfixturevalue("migrated_postgres_url"))
    yield store
    store.close()


def count(meta: Metadata) -> int:
    with meta.read() as tx:
        row = tx.row(COUNT)
    assert row is not None
    return int(str(row[0]))


def test_what_a_block_wrote_is_there_after_it(meta):
    with meta.transaction() as tx:
        assert tx.execute(INSERT, {"plan": "p", "name": "a"}) == 1
        assert tx.row(COUNT) == (1,)
    assert count(meta) == 1


def test_an_exception_undoes_its_block_and_no_other(meta):
    with meta.transaction() as tx:
        tx.execute(INSERT, {"plan": "p", "name": "kept"})
    with pytest.raises(ZeroDivisionError), meta.transaction() as tx:
        tx.execute(INSERT, {"plan": "p", "name": "lost"})
        raise ZeroDivisionError
    with meta.read() as tx:
        assert tx.rows("SELECT name FROM step") == [("kept",)]


def test_a_failed_statement_is_told_as_an_error_of_ours_and_undone(meta):
    with meta.transaction() as tx:
        tx.execute(INSERT, {"plan": "p", "name": "a"})
    with pytest.raises(TautError), meta.transaction() as tx:
        tx.execute(INSERT, {"plan": "p", "name": "b"})
        tx.execute(INSERT, {"plan": "p", "name": "a"})
    assert count(meta) == 1


def test_many_writers_at_once_lose_nothing_and_a_failing_one_hurts_only_itself(meta):
    start = threading.Barrier(16)

    def write(writer: int) -> bool:
        start.wait()
        try:
            for number in range(10):
                with meta.transaction() as tx:
                    tx.execute(INSERT, {"plan": str(writer), "name": str(number)})
                    if writer % 4 == 0 and number == 5:
                        raise ZeroDivisionError
        except ZeroDivisionError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        finished = list(pool.map(write, range(16)))
    assert finished.count(False) == 4
    assert count(meta) == 12 * 10 + 4 * 5


def test_a_read_sees_one_moment(meta):
    with meta.read() as tx:
        before = tx.row(COUNT)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_insert_one, meta).result()
        assert tx.row(COUNT) == before
    assert count(meta) == 1


def _insert_one(meta: Metadata) -> None:
    with meta.transaction() as tx:
        tx.execute(INSERT, {"plan": "p", "name": "late"})


def test_executemany_writes_each_row_once(meta):
    with meta.transaction() as tx:
        tx.executemany(INSERT, ({"plan": "p", "name": str(number)} for number in range(500)))
    assert count(meta) == 500


def test_percent_signs_and_casts_in_sql_are_taken_literally(meta):
    with meta.transaction() as tx:
        tx.execute(INSERT, {"plan": "50% off", "name": "a:b"})
    with meta.read() as tx:
        assert tx.row("SELECT name FROM step WHERE plan LIKE '50%' AND name = :name", {"name": "a:b"}) == ("a:b",)


def test_opening_again_migrates_nothing_twice_and_keeps_everything(new_url):
    first = connect_metadata(new_url)
    _insert_one(first)
    first.close()
    again = connect_metadata(new_url)
    with again.read() as tx:
        assert tx.rows("SELECT number FROM migration ORDER BY number") == [(m.number,) for m in migrations()]
    assert count(again) == 1
    again.close()


def test_a_home_of_a_newer_taut_is_left_alone(new_url):
    store = connect_metadata(new_url)
    with store.transaction() as tx:
        tx.execute("INSERT INTO migration (number, name) VALUES (9999, 'future')")
    store.close()
    with pytest.raises(TautError, match="newer taut") as caught:
        connect_metadata(new_url)
    assert "upgrade" in caught.value.hint


def test_two_that_open_a_new_place_at_once_both_find_it_whole(new_url):
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(connect_metadata, [new_url] * 4))
    for number, store in enumerate(stores):
        with store.transaction() as tx:
            tx.execute(INSERT, {"plan": "p", "name": str(number)})
    assert count(stores[0]) == 4
    for store in stores:
        store.close()


def test_the_url_that_is_shown_holds_no_password():
    from taut.ground.meta.postgres import PostgresMetadata

    store = object.__new__(PostgresMetadata)
    store._url = "postgresql://ada:secret@db.example.org/taut"
    assert store.url == "postgresql://ada@db.example.org/taut"


def test_rows_that_are_read_one_after_the_other_are_all_of_them_and_of_one_moment(meta):
    with meta.transaction() as tx:
        tx.executemany(INSERT, ({"plan": "p", "name": f"{number:05}"} for number in range(5000)))
    query = "SELECT name FROM step WHERE name < :below ORDER BY name"
    with meta.read() as tx:
        left, right = tx.each(query, {"below": "04000"}), tx.each(query, {"below": "03000"})
        assert next(left) == next(right) == ("00000",)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(write_one, meta).result()
        assert sum(1 for _ in left) == 3999
        assert sum(1 for _ in right) == 2999
        assert list(tx.each(query, {"below": ""})) == []
    assert count(meta) == 5001


def write_one(meta: Metadata) -> None:
    with meta.transaction() as tx:
        tx.execute(INSERT, {"plan": "p", "name": "00001x"})


def test_bytes_are_inserted_as_they_are(meta):
    into = Insert("ledger_state", (("seq", "BIGINT"), ("scope", "TEXT"), ("body", "BYTEA")))
    every = bytes(range(256))
    with meta.transaction() as tx:
        tx.insert(into, [(1, "a", every), (2, "b", b""), (3, "\\x00", b"\\x00")])
        assert tx.rows("SELECT seq, scope, body FROM ledger_state ORDER BY seq") == [
            (1, "a", every),
            (2, "b", b""),
            (3, "\\x00", b"\\x00"),
        ]
