"""One statement for many rows, and one for a list of any length: the same on every metadata store."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.errors import Conflict, Invalid
from taut.ground.meta import Insert, Metadata, Update, connect_metadata

THINGS = Insert("thing", (("id", "BIGINT"), ("name", "TEXT"), ("size", "DOUBLE PRECISION"), ("kind", "TEXT")))
KEPT = Insert(THINGS.table, THINGS.columns, "ON CONFLICT (id) DO UPDATE SET name = excluded.name")
SIZES = Update("thing", (("id", "BIGINT"), ("size", "DOUBLE PRECISION"), ("kind", "TEXT")))
ALL = "SELECT id, name, size, kind FROM thing ORDER BY id"
AWKWARD = [
    "",
    "it's",
    'say "no"',
    "back\\slash",
    "a\nb\tc",
    "grün 雪 🧵",
    "%s %(a)s :name ?",
    "[1, 2]",
    "null",
    "x" * 70_000,
]


@pytest.fixture(params=["sqlite", "postgresql"])
def meta(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Metadata]:
    url = (
        f"sqlite:///{tmp_path / 'm.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("migrated_postgres_url")
    )
    store = connect_metadata(str(url))
    with store.transaction() as tx:
        tx.execute("CREATE TABLE thing (id BIGINT PRIMARY KEY, name TEXT NOT NULL, size DOUBLE PRECISION, kind TEXT)")
    yield store
    store.close()


def test_rows_arrive_as_they_were_whatever_their_text(meta: Metadata):
    rows = [(number, text, number / 7, None) for number, text in enumerate(AWKWARD)]
    with meta.transaction() as tx:
        tx.insert(THINGS, rows)
    assert list(meta.ask(ALL)) == rows


@pytest.mark.parametrize(
    "size", [0.0, -0.0, 0.1, 1 / 3, 1e-308, 5e-324, -1.7976931348623157e308, 123456789.12345679, None]
)
def test_numbers_arrive_to_the_last_bit(meta: Metadata, size: float | None):
    with meta.transaction() as tx:
        tx.insert(THINGS, [(1, "a", size, "k")])
    ((found,),) = meta.ask("SELECT size FROM thing")
    assert found == size
    assert size is None or math.copysign(1.0, float(found or 0.0)) == math.copysign(1.0, size) or found == 0.0


@pytest.mark.parametrize("number", [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1])
def test_whole_numbers_of_64_bits_arrive(meta: Metadata, number: int):
    with meta.transaction() as tx:
        tx.insert(THINGS, [(number, "a", None, None)])
    assert meta.ask("SELECT id FROM thing WHERE id IN [:ids]", {"ids": [number]}) == [(number,)]


def test_a_number_past_64_bits_is_refused_and_leaves_nothing(meta: Metadata):
    with pytest.raises(Invalid), meta.transaction() as tx:
        tx.insert(THINGS, [(1, "a", None, None), (2**63, "b", None, None)])
    assert list(meta.ask(ALL)) == []


def test_thousands_of_rows_are_one_statement_and_no_rows_are_none(meta: Metadata):
    with meta.transaction() as tx:
        tx.insert(THINGS, [])
        tx.update(SIZES, [])
        tx.insert(THINGS, [(number, f"n{number}", None, "old") for number in range(5000)])
        tx.update(SIZES, [(number, number / 2, "new") for number in range(0, 5000, 2)])
    assert meta.ask("SELECT COUNT(*), SUM(size) FROM thing WHERE kind = 'new'") == [(2500, sum(range(0, 5000, 2)) / 2)]
    assert meta.ask("SELECT COUNT(*) FROM thing WHERE kind = 'old' AND size IS NULL") == [(2500,)]


def test_a_row_that_is_there_already_is_a_conflict_and_undoes_the_others(meta: Metadata):
    with meta.transaction() as tx:
        tx.insert(THINGS, [(1, "a", None, None)])
    with pytest.raises(Conflict), meta.transaction() as tx:
        tx.insert(THINGS, [(2, "b", None, None), (1, "again", None, None)])
    assert list(meta.ask(ALL)) == [(1, "a", None, None)]


def test_a_clause_says_what_a_conflict_does(meta: Metadata):
    with meta.transaction() as tx:
        tx.insert(KEPT, [(1, "a", 1.0, "x"), (2, "b", 2.0, "x")])
        tx.insert(KEPT, [(2, "c", 9.0, "y"), (3, "d", 3.0, "y")])
    assert list(meta.ask(ALL)) == [(1, "a", 1.0, "x"), (2, "c", 2.0, "x"), (3, "d", 3.0, "y")]


def test_an_update_of_rows_that_are_not_there_changes_nothing(meta: Metadata):
    with meta.transaction() as tx:
        tx.insert(THINGS, [(1, "a", 1.0, "x")])
        tx.update(SIZES, [(1, None, None), (7, 7.0, "z")])
    assert list(meta.ask(ALL)) == [(1, "a", None, None)]


@pytest.mark.parametrize(
    "wanted", [[], ["a"], ["a", "a", "c"], ["it's", "none"], [f"n{number}" for number in range(3000)]]
)
def test_a_list_of_any_length_is_held_against_a_column(meta: Metadata, wanted: list[str]):
    names = ["a", "b", "c", "it's", "n7", "n2999"]
    with meta.transaction() as tx:
        tx.insert(THINGS, [(number, name, None, None) for number, name in enumerate(names)])
        found = [
            str(row[0])
            for row in tx.rows("SELECT name FROM thing WHERE name IN [:names] ORDER BY id", {"names": wanted})
        ]
        others = [
            str(row[0])
            for row in tx.rows("SELECT name FROM thing WHERE name NOT IN [:names] ORDER BY id", {"names": wanted})
        ]
    assert found == [name for name in names if name in wanted]
    assert others == [name for name in names if name not in wanted]


def test_two_lists_and_a_value_stand_in_one_statement(meta: Metadata):
    with meta.transaction() as tx:
        tx.insert(THINGS, [(number, "ab"[number % 2], None, "xyz"[number % 3]) for number in range(12)])
        rows = tx.rows(
            "SELECT id FROM thing WHERE name IN [:names] AND kind IN [:kinds] AND id > :least ORDER BY id",
            {"names": ["a"], "kinds": ["x", "z"], "least": 3},
        )
    assert [row[0] for row in rows] == [6, 8]


def test_a_single_question_sees_what_was_committed_and_nothing_else(meta: Metadata):
    with meta.transaction() as tx:
        tx.insert(THINGS, [(1, "a", None, None)])
        if meta.dialect == "sqlite":  # A thread of PostgreSQL's pool would do the same.
            assert meta.ask("SELECT COUNT(*) FROM thing") == [(0,)]
    assert meta.ask("SELECT COUNT(*) FROM thing") == [(1,)]


def test_bytes_come_back_as_they_were(meta: Metadata):
    body = bytes(range(256)) * 300
    with meta.transaction() as tx:
        tx.execute("CREATE TABLE blob_of (id BIGINT PRIMARY KEY, body BYTEA NOT NULL)")
        tx.execute("INSERT INTO blob_of (id, body) VALUES (:id, :body)", {"id": 1, "body": body})
    ((found,),) = meta.ask("SELECT body FROM blob_of")
    assert bytes(found) == body  # type: ignore[arg-type]  # A column of bytes gives bytes.
