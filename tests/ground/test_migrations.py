"""Migrations: split as SQLite itself splits, applied once and whole or not at all, on homes of every earlier schema."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from taut.errors import TautError
from taut.govern import create_user, list_permissions, show_tokens, show_users
from taut.ground import wire
from taut.ground.ledger import Tree, append_event, events, verify_ledger
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


CHAINED = 12  # The last schema whose ledger is a hash chain.


def chained(url: str, count: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """A home of that schema with a ledger as it was written then; returns what it says."""
    every = migrations()
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: every[:CHAINED])
        old = connect_metadata(url)
    previous, said = "", []
    with old.transaction() as tx:
        for seq in range(1, count + 1):
            fields: list[Any] = [
                seq,
                1_700_000_000_000 + seq,
                "ada",
                "thing.done",
                f"thing:{seq % 7}",
                f'{{"number":{seq}}}',
            ]
            digest = wire.digest([*fields, previous])
            tx.execute(
                "INSERT INTO ledger (seq, at_ms, actor, kind, subject, body, previous, digest) VALUES"
                " (:seq, :at_ms, :actor, :kind, :subject, :body, :previous, :digest)",
                {
                    **dict(zip(("seq", "at_ms", "actor", "kind", "subject", "body"), fields, strict=True)),
                    "previous": previous,
                    "digest": digest,
                },
            )
            said.append((*fields, digest))
            previous = digest
        tx.execute("UPDATE ledger_head SET seq = :seq, digest = :digest", {"seq": count, "digest": previous})
    old.close()
    return said


def test_a_hash_chain_becomes_a_merkle_log_of_the_same_entries_with_their_digests(url, monkeypatch):
    said = chained(url, 600, monkeypatch)
    meta = connect_metadata(url)
    with meta.transaction() as tx:
        append_event(tx, "thing.done", subject="thing:new", actor="ada", at_ms=1)
        rows: Sequence[Any] = tx.rows(
            "SELECT seq, at_ms, actor, kind, subject, body, salt FROM ledger WHERE seq <= 600 ORDER BY seq"
        )
        assert [(*row[:6], row[6][16:].hex()) for row in rows] == said
        assert [event.seq for event in events(tx, subject="thing:new")] == [601]
        assert tx.row("SELECT COUNT(*) FROM ledger_tile") == (3,)
        assert Tree(tx).root(601)
        assert list(verify_ledger(tx)) == []
    meta.close()


@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("DELETE FROM ledger WHERE seq = 3", [4]),
        ("UPDATE ledger SET actor = 'eve' WHERE seq = 3", [3]),
        ("UPDATE ledger SET digest = 'x' WHERE seq = 5", [5]),
        ("DELETE FROM ledger WHERE seq = 5", []),
    ],
)  # fmt: skip
def test_what_was_done_to_a_hash_chain_is_still_told_of_it_as_a_merkle_log(url, monkeypatch, tampering, found):
    chained(url, 5, monkeypatch)
    every = migrations()
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: every[:CHAINED])
        old = connect_metadata(url)
        with old.transaction() as tx:
            tx.execute(tampering)
        old.close()
    meta = connect_metadata(url)
    with meta.read() as tx:
        assert list(verify_ledger(tx)) == [
            f"ledger entry {seq} (thing.done) was changed after it was written" for seq in found
        ]
        missing = [(event.seq, event.subject, event.body) for event in events(tx, kind="ledger.missing")]
        assert len(events(tx)) == 5
    gone = int(tampering[-1])
    assert missing == ([(gone, f"entry:{gone}", "null")] if tampering.startswith("DELETE") else [])
    meta.close()


UPGRADER = """
import os, sys
from taut.ground.meta import connect_metadata
from taut.ground.meta.steps import merkle_log
write = merkle_log.write_tiles
def slowly(tx, before, after):
    write(tx, before, after)
    os.write(1, b"filled\\n")
    sys.stdin.read()
merkle_log.write_tiles = slowly
connect_metadata(sys.argv[1])
"""


def test_an_upgrade_killed_in_the_middle_leaves_the_chain_as_it_was_and_the_next_one_converts_it(url, monkeypatch):
    said = chained(url, 300, monkeypatch)
    killed = subprocess.Popen([sys.executable, "-c", UPGRADER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert killed.stdin is not None
    assert killed.stdout is not None
    with killed.stdin, killed.stdout:
        assert killed.stdout.readline() == b"filled\n"
        killed.kill()
        assert killed.wait(30) == -signal.SIGKILL
    meta = connect_metadata(url)
    with meta.read() as tx:
        assert [event.body for event in events(tx)] == [row[5] for row in said]
        assert list(verify_ledger(tx)) == []
        assert tx.row("SELECT MAX(number) FROM migration") == (len(migrations()),)
    assert not tables(meta) & {"ledger_chain", "ledger_head"}
    meta.close()


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
