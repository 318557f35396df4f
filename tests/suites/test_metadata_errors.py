"""What a metadata store says when it cannot: the kind tells whether to wait, to change the value, or to ask anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.errors import Conflict, Denied, Invalid, TautError, Unavailable, UsageError
from taut.ground.meta import Metadata, connect_metadata

INSERT = "INSERT INTO step (plan, name, status, body, at_ms) VALUES ('p', :name, 'done', '{}', :at_ms)"


@pytest.fixture(params=["sqlite", "postgresql"])
def meta(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Metadata]:
    url = f"sqlite:///{tmp_path / 'meta.db'}"
    store = connect_metadata(url if request.param == "sqlite" else request.getfixturevalue("migrated_postgres_url"))
    yield store
    store.close()


def insert(meta: Metadata, name: str, at_ms: int = 0) -> None:
    with meta.transaction() as tx:
        tx.execute(INSERT, {"name": name, "at_ms": at_ms})


def test_a_row_that_is_there_already_is_a_conflict(meta):
    insert(meta, "a")
    with pytest.raises(Conflict):
        insert(meta, "a")


def test_a_row_that_refers_to_nothing_is_a_conflict(meta):
    with pytest.raises(Conflict), meta.transaction() as tx:
        tx.execute("INSERT INTO param (run_id, key, value) VALUES ('nowhere', 'k', 'v')")


@pytest.mark.parametrize("at_ms", [2**63, -(2**63) - 1, 10**30])
def test_a_number_beyond_64_bits_is_invalid(meta, at_ms):
    with pytest.raises(Invalid, match="does not fit"):
        insert(meta, "a", at_ms)


@pytest.mark.parametrize("at_ms", [2**63 - 1, -(2**63), 0])
def test_the_largest_and_the_smallest_number_come_back_exactly(meta, at_ms):
    insert(meta, "a", at_ms)
    with meta.read() as tx:
        assert tx.row("SELECT at_ms FROM step") == (at_ms,)


def test_half_a_character_is_an_error_of_ours(meta):
    with pytest.raises(TautError):
        insert(meta, "half \ud800")


@pytest.mark.parametrize("text", ["", "'; DROP TABLE step; --", "%s %(name)s :name", "naïve 🛫", "a\nb\tc", '{"a": 1}'])
def test_any_text_comes_back_as_it_was(meta, text):
    insert(meta, text)
    with meta.read() as tx:
        assert tx.row("SELECT name FROM step WHERE name = :name", {"name": text}) == (text,)


def test_percent_signs_mean_the_same_with_parameters_and_without(meta):
    insert(meta, "50% off")
    with meta.read() as tx:
        assert tx.row("SELECT count(*) FROM step WHERE name = '50% off'") == (1,)
        assert tx.row("SELECT 7 % 4") == (3,)
        assert tx.row("SELECT 7 % :by", {"by": 4}) == (3,)


def test_a_mistake_in_sql_is_an_error_of_ours_and_the_store_goes_on(meta):
    with pytest.raises(TautError), meta.read() as tx:
        tx.rows("SELEC 1")
    with pytest.raises(TautError), meta.transaction() as tx:
        tx.execute("INSERT INTO nowhere (id) VALUES (1)")
    insert(meta, "after")


def test_a_block_that_swallowed_an_error_does_not_store_half(meta):
    """On PostgreSQL the block is lost with its failed statement; on SQLite the statement alone. Neither stores it."""
    insert(meta, "a")
    try:
        with meta.transaction() as tx:
            try:
                tx.execute(INSERT, {"name": "a", "at_ms": 9})
            except Exception:  # noqa: BLE001  # Whatever the driver calls it.
                assert True
    except TautError:
        assert meta.dialect == "postgresql"
    with meta.read() as tx:
        assert tx.rows("SELECT name, at_ms FROM step") == [("a", 0)]


@pytest.mark.parametrize("url", ["", "mysql://db/taut", "meta.db", "http://db"])
def test_a_scheme_nobody_knows_is_told_with_those_that_are(url):
    with pytest.raises(UsageError, match="postgresql, sqlite"):
        connect_metadata(url)


def test_a_postgresql_that_is_not_there_is_unavailable_and_its_password_is_not_shown(free_port, monkeypatch):
    monkeypatch.setattr("taut.ground.meta.postgres.CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(Unavailable) as told:
        connect_metadata(f"postgresql://ada:secret@127.0.0.1:{free_port}/taut")
    assert "secret" not in str(told.value)
    assert str(free_port) in str(told.value)
    assert str(free_port) not in told.value.message


def test_a_database_that_is_not_there_is_unavailable(postgres_server, monkeypatch):
    monkeypatch.setattr("taut.ground.meta.postgres.CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(Unavailable, match="nowhere"):
        connect_metadata(postgres_server.rsplit("/", 1)[0] + "/nowhere")


def test_a_folder_that_is_not_there_is_denied(tmp_path):
    with pytest.raises(Denied, match="cannot be written") as told:
        connect_metadata(f"sqlite:///{tmp_path / 'nowhere' / 'meta.db'}")
    assert "ls -ld" in told.value.hint


def test_a_folder_that_went_away_is_denied_to_a_new_reader(tmp_path):
    import threading

    folder = tmp_path / "here"
    folder.mkdir()
    meta = connect_metadata(f"sqlite:///{folder / 'meta.db'}")
    folder.rename(tmp_path / "gone")
    told: list[BaseException] = []

    def read() -> None:
        try:
            with meta.read() as tx:
                tx.rows("SELECT 1")
        except TautError as error:
            told.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert [type(error) for error in told] == [Denied]
    meta.close()
