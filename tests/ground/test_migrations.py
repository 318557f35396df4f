"""Migrations: split as SQLite itself splits, applied once and whole or not at all, on homes of every earlier schema."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taut.errors import TautError
from taut.govern import create_user, list_permissions, show_tokens, show_users
from taut.ground.ledger import verify_ledger
from taut.ground.meta import connect_metadata, migrate
from taut.ground.meta.migrate import Migration, migrations
from taut.ground.settings import Settings, make_folder
from taut.home import open_home
from taut.runs import create_run, search_runs

FOLDER = Path(migrate.__file__).parent / "migrations"
ONE_SIDED = r"\b(AUTOINCREMENT|SERIAL|JSONB|DATETIME|BOOLEAN|RETURNING|PRAGMA)\b"
TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table'",
    "postgresql": "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'meta.db'}"
    return str(request.getfixturevalue("postgres_url"))


def tables(meta) -> set[str]:
    with meta.read() as tx:
        return {str(name) for (name,) in tx.rows(TABLES[meta.dialect])}


def test_numbers_start_at_one_and_have_no_gap():
    assert [migration.number for migration in migrations()] == list(range(1, len(migrations()) + 1))
    assert len(list(FOLDER.glob("*.sql"))) == len(migrations())


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_our_splitting_finds_the_statements_that_sqlite_finds(migration):
    script = (FOLDER / f"{migration.number:04}_{migration.name}.sql").read_text()
    found, rest = [], ""
    for line in script.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    assert rest.strip() == ""
    assert len(migration.statements) == len(found)
    assert all(sqlite3.complete_statement(f"{statement};") for statement in migration.statements)


def test_comments_between_and_inside_statements_are_left_out():
    script = "-- one; two\nCREATE TABLE a (\n    -- a column; really\n    b TEXT\n);\n\n-- the end\n;;\nDROP TABLE a;\n"
    split = list(migrate._statements(script))
    assert [" ".join(statement.split()) for statement in split] == ["CREATE TABLE a ( b TEXT )", "DROP TABLE a"]


def test_no_migration_uses_what_only_one_of_the_databases_knows():
    for migration in migrations():
        for statement in migration.statements:
            words = re.sub(r"'[^']*'", "", statement).upper()
            assert not re.search(r"\b(AUTOINCREMENT|SERIAL|JSONB|DATETIME|BOOLEAN|RETURNING|PRAGMA)\b", words), (
                statement
            )


def test_a_migration_that_fails_leaves_the_home_as_it_was(url, monkeypatch):
    connect_metadata(url).close()
    good = migrations()
    bad = Migration(9000, "bad", ("CREATE TABLE half (id BIGINT)", "CREATE TABLE half (id BIGINT)"))
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: [*good, bad])
        with pytest.raises(TautError):
            connect_metadata(url)
    meta = connect_metadata(url)
    assert "half" not in tables(meta)
    with meta.read() as tx:
        assert tx.rows("SELECT number FROM migration ORDER BY number") == [(one.number,) for one in good]
    meta.close()


@pytest.mark.parametrize("earlier", [migration.number for migration in migrations()][:-1])
def test_a_home_of_each_earlier_schema_is_brought_up_with_all_that_is_in_it(url, tmp_path, monkeypatch, earlier):
    every = migrations()
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: every[:earlier])
        old = connect_metadata(url)
        with old.transaction() as tx:
            tx.execute(
                "INSERT INTO experiment (id, name, lifecycle, created_ms, updated_ms, tags)"
                " VALUES ('7', 'old', 'active', 1, 1, '{}')"
            )
        old.close()
    folder = tmp_path / "project"
    folder.mkdir()
    make_folder(folder, Settings(metadata=url))
    with open_home(folder) as home:
        made = create_run(home, experiment="old", name="new")
        assert made.experiment_id == "7"
        assert [run.id for run in search_runs(home)] == [made.id]
        with home.meta.read() as tx:
            assert tx.rows("SELECT number FROM migration ORDER BY number") == [(one.number,) for one in every]
            assert list(verify_ledger(tx)) == []


def test_the_one_role_of_a_user_becomes_a_binding_and_what_was_granted_stays(url, tmp_path, monkeypatch):
    """As of 0012: accounts with a role for the whole home, sets of grants that refer to them, tokens with a role."""
    rows = [
        "INSERT INTO account (id, name, hash, role, created_ms, updated_ms) VALUES (1, 'olga', 'h', 'owner', 1, 2)",
        "INSERT INTO account (id, name, hash, role, created_ms, updated_ms) VALUES (2, 'vera', 'h', 'auditor', 3, 4)",
        "INSERT INTO grant_set (id, name, description, account_id) VALUES (3, '__user_2__', NULL, 2)",
        "INSERT INTO grant_row (id, set_id, kind, resource, level) VALUES (4, 3, 'model', 'churn', 'EDIT')",
        "INSERT INTO grant_holder (id, set_id, account_id) VALUES (5, 3, 2)",
        "INSERT INTO token (id, name, hash, role, created_ms) VALUES ('a', 'ci', 'x', 'viewer', 5)",
        "INSERT INTO token (id, name, hash, role, created_ms) VALUES ('b', 'root', 'y', 'owner', 6)",
        "UPDATE access_state SET version = 9, logins = 4 WHERE one = 1",
    ]
    good = [one for one in migrations() if one.number <= 12]
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: good)
        old = connect_metadata(url)
        with old.transaction() as tx:
            for row in rows:
                tx.execute(row)
        old.close()
    folder = tmp_path / "project"
    folder.mkdir()
    make_folder(folder, Settings(metadata=url))
    with open_home(folder) as home:
        users = {user.name: (user.id, user.role, user.created_ms, user.disabled) for user in show_users(home)}
        assert users == {"olga": (1, "owner", 1, False), "vera": (2, "auditor", 3, False)}
        assert [(one.kind, one.resource, one.level) for one in list_permissions(home, "vera")] == [
            ("model", "churn", "EDIT")
        ]
        tokens = {token.name: (token.id, token.role, token.project, token.kind) for token in show_tokens(home)}
        assert tokens == {
            "ci": ("a", "viewer", "default", "service"),
            "root": ("b", "owner", "*", "service"),
        }
        made = create_user(home, "dora", "correct horse battery")
        assert made.id > 9


def test_both_databases_get_the_same_tables(tmp_path, postgres_url):
    stores = [connect_metadata(f"sqlite:///{tmp_path / 'meta.db'}"), connect_metadata(postgres_url)]
    assert tables(stores[0]) == tables(stores[1])
    for store in stores:
        store.close()


def test_replicas_that_start_together_apply_a_new_migration_once(url, monkeypatch):
    connect_metadata(url).close()
    good = migrations()
    new = Migration(len(good) + 1, "new", ("CREATE TABLE fresh (id BIGINT)", "INSERT INTO fresh (id) VALUES (1)"))
    monkeypatch.setattr(migrate, "migrations", lambda: [*good, new])
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(connect_metadata, [url] * 4))
    with stores[0].read() as tx:
        assert tx.rows("SELECT id FROM fresh") == [(1,)]
    for store in stores:
        store.close()


def test_new_sqlite_files_are_opened_by_several_at_once(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        for number in range(60):  # It went wrong once in two hundred times.
            stores = list(pool.map(connect_metadata, [f"sqlite://{tmp_path / str(number)}"] * 4))
            for store in stores:
                with store.read() as tx:
                    assert tx.row("SELECT COUNT(*) FROM migration") == (len(migrations()),)
                store.close()
