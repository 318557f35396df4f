"""An edit made before an upgrade is found after it: an anchor of an older schema is held against what it knew."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taut.govern import anchor_ledger, sign_checkpoint, upgrades, verify_home
from taut.govern.state import (
    ANCHORED,
    COLUMNS,
    Anchored,
    State,
    anchors_in,
    pack,
    state_now,
    states_at,
    tables_of,
    write_state,
)
from taut.govern.tables import EXEMPT, SCOPES
from taut.govern.upgrades import upgraded_since
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.ground.ledger import size_of
from taut.ground.ledger.keys import KEY_FILE
from taut.ground.meta import Tx, connect_metadata, migrate
from taut.ground.meta.migrate import Migration, migrations
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from taut.runs import create_run, log_batch
from tests.govern.filled import RUN, fill
from tests.govern.test_state import other_than

AT_MS = 1_700_000_000_000 + 5 * 3_600_000
FIRST = 15  # The schema of the first taut that anchored its tables.
LAST = migrations()[-1].number
# What no anchor of a schema can be held against: written anew by a later migration, or grouped by what it added.
LOST = {15: ("account", "grant_holder", "grant_row", "grant_set", "token"), 16: ("token",)}
# The migrations that write anew what was there, and the tables of which they do: think twice before you add one, for
# it takes what every anchor of before knew of that table.
REWRITES = {
    "series": {"metric", "metric_latest"},
    "points": {"point"},
    "merkle_log": {"ledger", "ledger_head"},
    "projects": {"account", "grant_set", "grant_row", "grant_holder"},
}


# What is read from migrations


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_every_migration_is_understood_and_one_that_writes_rows_anew_is_listed(migration, monkeypatch):
    monkeypatch.setattr(upgrades, "migrations", lambda: [migration])
    found = {dialect: upgraded_since(0, dialect) for dialect in ("sqlite", "postgresql")}
    assert found["sqlite"].rewritten | found["postgresql"].rewritten == REWRITES.get(migration.name, set())


def test_the_columns_and_tables_that_were_added_are_there_and_those_of_before_were_not(home: Home):
    with home.meta.read() as tx:
        found = upgraded_since(1, tx.dialect)
        for table, added in found.added.items():
            assert added <= set(columns(tx, table)), table
        assert "run" not in found.made
        assert found.made <= tables_of(tx)
    assert [upgraded_since(number, "sqlite").lost for number in range(FIRST, LAST + 1)] == [
        LOST.get(number, ()) for number in range(FIRST, LAST + 1)
    ]
    assert not upgraded_since(LAST, "sqlite").is_any


@pytest.mark.parametrize(
    ("statements", "added", "made", "rewritten"),
    [
        (["ALTER TABLE run ADD COLUMN a TEXT"], {"run": {"a"}}, set(), set()),
        (["ALTER TABLE run ADD COLUMN a TEXT", "UPDATE run SET a = f(b, ',') WHERE b"], {"run": {"a"}}, set(), set()),
        (["UPDATE run SET name = 'UPDATE x SET y'"], {}, set(), {"run"}),
        (["ALTER TABLE run ADD COLUMN a TEXT", "UPDATE run SET a = (1), name = 2"], {"run": {"a"}}, set(), {"run"}),
        (["INSERT INTO run (id) SELECT id FROM label"], {}, set(), {"run"}),
        (["DELETE FROM run"], {}, set(), {"run"}),
        (["ALTER TABLE run DROP COLUMN name"], {}, set(), {"run"}),
        (["ALTER TABLE run RENAME COLUMN name TO title"], {}, set(), {"run"}),
        (["ALTER TABLE run RENAME TO ran"], {}, {"ran"}, {"run"}),
        (["DROP TABLE run"], {}, set(), {"run"}),
        (["CREATE TABLE new (id TEXT)", "INSERT INTO new (id) SELECT 1", "UPDATE new SET b = 2"], {}, {"new"}, set()),
        (["CREATE TABLE new (id TEXT)", "ALTER TABLE new ADD COLUMN a TEXT", "DROP TABLE new"], {}, set(), set()),
        (["CREATE TABLE now (id TEXT)", "DROP TABLE run", "ALTER TABLE now RENAME TO run"], {}, set(), {"run"}),
        (["CREATE UNIQUE INDEX i ON run (a)", "DROP INDEX i", "CREATE INDEX i ON run (b)"], {}, set(), set()),
        (["ALTER TABLE run SET (fillfactor = 50)", "{only postgresql} DELETE FROM run"], {}, set(), set()),
    ],
)  # fmt: skip
def test_what_statements_do_to_tables(monkeypatch, statements, added, made, rewritten):
    monkeypatch.setattr(upgrades, "migrations", lambda: [Migration(5, "new", tuple(statements))])
    found = upgraded_since(4, "sqlite")
    assert (found.added, found.made, found.rewritten, found.is_any) == (added, made, rewritten, True)
    assert not upgraded_since(5, "sqlite").is_any


@pytest.mark.parametrize("statement", ["VACUUM", "{python other}", "ALTER TABLE run", "WITH a AS (SELECT 1) SELECT 1"])
def test_what_is_not_understood_is_an_error(monkeypatch, statement):
    monkeypatch.setattr(upgrades, "migrations", lambda: [Migration(5, "new", (statement,))])
    with pytest.raises(ValueError, match=r"nothing says|not understood"):
        upgraded_since(4, "sqlite")


# Upgrades of a home


@dataclass(frozen=True)
class Upgraded:
    """A home that was anchored at an older schema and upgraded, and what that schema had: columns by table."""

    home: Home
    note: str
    then: dict[str, list[str]]

    def flaws(self) -> list[str]:
        return [flaw.where for flaw in verify_home(self.home, anchors=[self.note]).flaws]


def columns(tx: Tx, table: str) -> list[str]:
    return [str(name) for name, *_ in tx.rows(COLUMNS[tx.dialect], {"table": table})]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home of this schema with a row in every table."""
    folder = tmp_path_factory.mktemp("filled") / "project"
    folder.mkdir()
    make_folder(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
        with open_home(folder, actor=Actor("ada", "owner"), clock=SetClock(AT_MS - 5 * 3_600_000)) as home:
            fill(home)
            yield home


def copy_rows(source: Tx, target: Tx, tables: Sequence[str]) -> None:
    """The rows of one store as one of an older schema had them; a role is what an account had of its own once."""
    for table in reversed(tables):
        target.execute(f"DELETE FROM {table}")
    for table in tables:
        there, here = columns(source, table), columns(target, table)
        names = [name for name in here if name in there]
        rows: list[dict[str, Any]] = [
            dict(zip(names, row, strict=True)) for row in source.rows(f"SELECT {', '.join(names)} FROM {table}")
        ]
        if "role" in here and table == "account":
            rows = [{**row, "role": "viewer"} for row in rows]
            names.append("role")
        bound = ", ".join(f":{name}" for name in names)
        target.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({bound})", rows)


def anchored_at(tx: Tx, schema: int, before: Mapping[str, State]) -> tuple[Anchored, dict[str, bytes]]:
    """What an anchor says of a store of an older schema, made as a taut of then made it."""
    there, lost = tables_of(tx), LOST.get(schema, ())
    scopes = [scope for scope in SCOPES if scope.table in there and scope.table not in lost]
    moment = Anchored(size_of(tx), schema, AT_MS, {})
    bodies = {one.called: pack(before.get(one.called, {}), state_now(tx, one, moment.bounds)) for one in scopes}
    hashes = {called: hashlib.sha256(body).hexdigest() for called, body in bodies.items() if body}
    return Anchored(moment.until, schema, AT_MS, hashes), {called: bodies[called] for called in hashes}


def upgraded_from(schema: int, filled: Home, folder: Path, url: str) -> Upgraded:
    """The rows of a filled home at that schema, anchored there, and opened by this version.

    No migration writes to the ledger, so an entry that is appended after the upgrade is the one of before it.
    """
    every = migrations()
    folder.mkdir()
    make_folder(folder, Settings(metadata=url))
    assert filled.folder is not None
    shutil.copy(filled.folder / KEY_FILE, folder / ".taut" / KEY_FILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrate, "migrations", lambda: every[:schema])
        old = connect_metadata(url)
    with filled.meta.read() as source, old.transaction() as tx:
        order = [str(name) for (name,) in source.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        there = tables_of(tx)
        copy_rows(source, tx, [name for name in order if name in there - {"migration"}])
        anchored, bodies = anchored_at(tx, schema, states_at(source, anchors_in(source)[-1][0]))
        then = {table: columns(tx, table) for table in there - EXEMPT.keys()}
    old.close()
    home = open_home(folder, actor=Actor("ada", "owner"), clock=SetClock(AT_MS + 100))
    with home.meta.transaction() as tx:
        home.append(tx, ANCHORED, subject="ledger:state", body=anchored)
        write_state(tx, size_of(tx), bodies)
    return Upgraded(home, sign_checkpoint(home).note, then)


class Editor:
    """Somebody with full access, whom no foreign key stops."""

    def __init__(self, url: str) -> None:
        self._mark = "?" if url.startswith("sqlite") else "%s"
        self.connection: Any
        if url.startswith("sqlite"):
            import sqlite3

            self.connection = sqlite3.connect(url.removeprefix("sqlite://"), isolation_level=None)
        else:
            import psycopg

            self.connection = psycopg.connect(url, autocommit=True)
            self.connection.execute("SET session_replication_role = replica")

    def run(self, query: str, values: Sequence[Any] = ()) -> Any:
        return self.connection.execute(query.replace("?", self._mark), values)

    def change(self, table: str, row: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
        """Make this row another one."""
        differ = [name for name in row if row[name] != changed[name]]
        assigned = ", ".join(f"{name} = ?" for name in differ)
        that = " AND ".join(f"{name} IS NOT DISTINCT FROM ?" for name in row)
        query = f"UPDATE {table} SET {assigned} WHERE {that}"
        assert self.run(query, [*(changed[name] for name in differ), *row.values()]).rowcount == 1


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'old.db'}"
    return str(request.getfixturevalue("postgres_url"))


def missed(upgraded: Upgraded, edit: Editor, tables: Sequence[str], *, at_once: bool) -> list[str]:
    """The fields of these tables of which an edit is not found; each is put back as it was.

    All fields that are the first of their table are edited `at_once`, then all that are the second, and so on.
    """
    rows = {}
    for table in tables:
        names = ", ".join(upgraded.then[table])
        rows[table] = dict(
            zip(upgraded.then[table], edit.run(f"SELECT {names} FROM {table} LIMIT 1").fetchone(), strict=True)
        )
    fields = [(place, table, name) for table in tables for place, name in enumerate(upgraded.then[table])]
    groups: dict[Any, list[tuple[str, str]]] = {}
    for place, table, name in fields:
        groups.setdefault(place if at_once else (table, name), []).append((table, name))
    found = []
    for group in groups.values():
        changed = {}
        for table, name in group:
            value = rows[table][name]
            changed[table] = {**rows[table], name: "1" if value is None else other_than(value)}
            edit.change(table, rows[table], changed[table])
        wheres = upgraded.flaws()
        found += [f"{table}.{name}" for table, name in group if table not in wheres]
        for table, row in changed.items():
            edit.change(table, row, rows[table])
    return found


SCHEMAS = [pytest.param(number, marks=[] if number == 17 else [pytest.mark.slow]) for number in range(FIRST, LAST)]


def every_edit_is_found(upgraded: Upgraded, schema: int, edit: Editor, *, at_once: bool) -> None:
    lost = LOST.get(schema, ())
    tables = sorted(upgraded.then.keys() - set(lost))
    assert len(tables) > 30
    assert missed(upgraded, edit, tables, at_once=at_once) == ([] if "token" in lost else ["token.used_ms"])
    assert upgraded.flaws() == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_field_that_an_anchor_of_an_older_schema_knew_and_somebody_edits_is_found(schema, filled, tmp_path, url):
    upgraded = upgraded_from(schema, filled, tmp_path / "project", url)
    edit = Editor(url)
    with upgraded.home as home:
        found = verify_home(home, anchors=[upgraded.note])
        told = ", ".join(("catalogue", *LOST.get(schema, ())))
        assert found.flaws == ()
        assert [f"changed {told}: not compared" in note for note in found.notes] == [True]
        assert found.state == anchors_of(home)[-1].until
        every_edit_is_found(upgraded, schema, edit, at_once=True)
        create_run(home, name="after")
        assert upgraded.flaws() == []
    edit.connection.close()


@pytest.mark.slow
def test_no_edit_is_found_only_by_the_flaw_of_another(filled, tmp_path, url):
    upgraded = upgraded_from(17, filled, tmp_path / "project", url)
    edit = Editor(url)
    with upgraded.home:
        every_edit_is_found(upgraded, 17, edit, at_once=False)
    edit.connection.close()


def anchors_of(home: Home) -> list[Anchored]:
    with home.meta.read() as tx:
        return [anchored for _, anchored in anchors_in(tx)]


def test_rows_that_somebody_adds_or_takes_out_after_an_upgrade_are_found_and_the_next_anchor_knows_all(
    filled, tmp_path
):
    url = f"sqlite://{tmp_path / 'old.db'}"
    upgraded = upgraded_from(FIRST, filled, tmp_path / "project", url)
    edit = Editor(url)
    with upgraded.home as home:
        edit.run("INSERT INTO param (run_id, key, value, experiment_id) VALUES ('b', 'depth', '4', '0')")
        edit.run("DELETE FROM label")
        assert sorted(upgraded.flaws()) == ["label", "param"]
        edit.run("UPDATE binding SET role = 'owner'")  # No anchor of then knew of bindings.
        assert sorted(upgraded.flaws()) == ["label", "param"]
        again = anchor_ledger(home)
        assert verify_home(home, anchors=[again.note]).notes == ()
        edit.run("UPDATE binding SET role = 'viewer'")
        found = verify_home(home, anchors=[upgraded.note, again.note])
        assert {flaw.where for flaw in found.flaws} == {"binding", "label", "param"}
    edit.connection.close()


def test_a_later_version_compares_what_its_migrations_left_alone_and_names_the_rest(home: Home, monkeypatch):
    run = create_run(home, run_id=RUN)
    log_batch(home, run.id, params={"depth": "3"}, tags={"who": "ada"})
    anchor = anchor_ledger(home)
    statements = (
        "ALTER TABLE param ADD COLUMN unit TEXT",
        "UPDATE param SET unit = 'm'",
        "UPDATE run_tag SET value = 'x'",
    )
    later = [*migrations(), Migration(LAST + 1, "later", statements)]
    for module in (migrate, upgrades):
        monkeypatch.setattr(module, "migrations", lambda: later)
    with home.meta.transaction() as tx:
        assert migrate.migrate(tx, tx.dialect) == 1
    found = verify_home(home, anchors=[anchor.note])
    assert found.flaws == ()
    assert [("catalogue, run_tag:" in note, "anchor again" in note) for note in found.notes] == [(True, True)]
    for table, wheres in (("run_tag", []), ("param", ["param"])):
        with home.meta.transaction() as tx:
            tx.execute(f"UPDATE {table} SET value = 'edited'")
        assert [flaw.where for flaw in verify_home(home, anchors=[anchor.note]).flaws] == wheres
