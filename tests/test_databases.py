"""A database that another test has used cannot be told from one that was made for this test."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql

from taut.ground.access import Actor
from taut.ground.settings import Settings, make_folder
from taut.home import open_home
from taut.runs import create_run
from tests.databases import TABLES, Databases

COLUMNS = """
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
"""
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences"
VALUES: dict[str, object] = {"text": "x", "bigint": 7, "integer": 7, "double precision": 0.5, "bytea": b"x"}


@pytest.fixture(scope="module")
def databases(postgres_server: str) -> Iterator[Databases]:
    made = Databases(postgres_server)
    yield made
    made.close()


def content(databases: Databases, name: str) -> dict[str, list[Any]]:
    with psycopg.connect(databases.url(name)) as connection:
        tables = [table for (table,) in connection.execute(TABLES)]
        rows = {
            table: connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))) for table in tables
        }
        return {table: sorted(map(repr, found)) for table, found in rows.items()} | {
            "": connection.execute(SEQUENCES).fetchall()
        }


def fill(url: str) -> None:
    """Write a row into each table, whatever its keys ask for, and change those that migrations wrote."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        for (table,) in connection.execute(TABLES).fetchall():
            columns = connection.execute(COLUMNS, [table]).fetchall()
            into = sql.SQL("INSERT INTO {} VALUES ({})").format(
                sql.Identifier(table), sql.SQL(", ").join(sql.Literal(VALUES[kind]) for _, kind in columns)
            )
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
            connection.execute(into)


def test_every_table_is_as_in_a_new_database_after_a_test_that_wrote_into_all(databases):
    used, new = databases.lend(), databases.lend()
    fill(databases.url(used))
    assert all(rows != content(databases, new)[table] for table, rows in content(databases, used).items() if table)
    assert databases.take_back(used)
    assert content(databases, databases.lend()) == content(databases, new)
    databases.take_back(new)


def test_a_home_in_a_used_database_is_as_empty_as_one_in_a_new_database(databases, tmp_path):
    make_folder(tmp_path, Settings(metadata=databases.url(name := databases.lend())))
    with open_home(tmp_path, actor=Actor("ada", "owner")) as home:
        create_run(home)
    assert databases.take_back(name)
    new, used = databases.lend(), databases.lend()
    assert content(databases, used) == content(databases, new)
    databases.take_back(used)
    databases.take_back(new)


def test_a_session_that_outlives_its_test_is_ended_and_does_not_find_the_database_again(databases):
    name = databases.lend()
    with psycopg.connect(databases.url(name)) as left:
        left.execute("SELECT ledger_turn()")
        assert databases.take_back(name)
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(databases.url(name))


def test_a_process_that_opens_session_after_session_does_not_hold_the_database(databases):
    name, over = databases.lend(), threading.Event()

    def insist() -> None:
        while not over.is_set():
            try:
                with psycopg.connect(databases.url(name)) as mine:
                    mine.execute("SELECT pg_sleep(60)")
            except psycopg.OperationalError:
                pass  # Ended, refused, or not found.

    with ThreadPoolExecutor(2) as pool:
        insisting = [pool.submit(insist) for _ in range(2)]
        try:
            assert databases.take_back(name)
        finally:
            over.set()
        for one in insisting:
            one.result(10)


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE mine (n int)",
        "DROP TABLE label CASCADE",
        "ALTER TABLE label ADD COLUMN mine int",
        "ALTER TABLE label ALTER COLUMN at_ms DROP NOT NULL",
        "CREATE INDEX mine ON label (at_ms)",
        "CREATE SEQUENCE mine",
        "CREATE VIEW mine AS SELECT 1",
        "ALTER TABLE label ADD CHECK (at_ms > 0)",
        "ALTER TABLE run DISABLE TRIGGER ALL",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "TRUNCATE label CASCADE",
    ],
)  # fmt: skip
def test_a_database_whose_tables_were_changed_is_thrown_away(databases, change):
    name = databases.lend()
    with psycopg.connect(databases.url(name)) as connection:
        connection.execute(change)
    assert not databases.take_back(name)


def test_a_database_that_grew_large_is_thrown_away(databases):
    name = databases.lend()
    with psycopg.connect(databases.url(name)) as connection:
        connection.execute("INSERT INTO migration SELECT n, repeat('name', 20) FROM generate_series(1000, 60000) AS n")
    assert not databases.take_back(name)
