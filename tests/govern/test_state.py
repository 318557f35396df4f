"""The state under an anchor: who edits any field of any table of the database is found; taut itself is not."""

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taut.govern import (
    Signed,
    anchor_ledger,
    create_token,
    delete_user,
    delete_webhook,
    end_token,
    list_webhooks,
    set_user_role,
    verify_home,
)
from taut.govern.state import pack, state_now, tables_of
from taut.govern.tables import EXEMPT, SCOPES
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from taut.models import delete_alias, delete_model, record_model, rename_model, set_alias, tag_model
from taut.runs import (
    MetricPoint,
    create_logged_model,
    create_run,
    delete_experiment,
    delete_run,
    log_batch,
    restore_experiment,
    restore_run,
)
from taut.runs.traces import delete_traces
from taut.serve import log_labels, log_prediction
from tests.govern.filled import MLMODEL, TRACE, fill, put

# Of these a change is told of as one of the ledger as a whole.
OF_THE_LEDGER = {"ledger": "ledger", "ledger_tile": "ledger"}
# Rows that nothing is decided by; `EXEMPT` says why of each.
FREE = EXEMPT.keys() - {"ledger", "ledger_tile", "ledger_state"}


@pytest.fixture(scope="module")
def anchored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Signed]:
    """A filled home on SQLite, closed, and its anchor."""
    folder = tmp_path_factory.mktemp("anchored") / "project"
    folder.mkdir()
    make_folder(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
        with open_home(folder, actor=Actor("ada", "owner"), clock=SetClock(1_700_000_000_000)) as home:
            fill(home)
            signed = anchor_ledger(home)
    return folder, signed


@pytest.fixture
def copied(anchored: tuple[Path, Signed], tmp_path: Path) -> Iterator[tuple[Home, sqlite3.Connection, Signed]]:
    """An opened copy of it, and a connection of somebody with full access."""
    folder, signed = anchored
    shutil.copytree(folder, tmp_path / "project")
    edit = sqlite3.connect(tmp_path / "project/.taut/meta.db", isolation_level=None)
    with open_home(tmp_path / "project", actor=Actor("ada", "owner"), clock=SetClock(1_700_100_000_000)) as home:
        yield home, edit, signed
    edit.close()


def flaws(home: Home, signed: Signed) -> list[str]:
    return [flaw.where for flaw in verify_home(home, anchors=[signed.note], key=signed.key).flaws]


def columns(edit: sqlite3.Connection, table: str) -> list[str]:
    return [name for _, name, *_ in edit.execute(f"PRAGMA table_info({table})")]


def this_row(edit: sqlite3.Connection, table: str) -> str:
    """What holds of the row whose values are bound, in the order of the columns."""
    return " AND ".join(f"{name} IS ?" for name in columns(edit, table))


def other_than(value: Any) -> Any:
    """Another value of the same kind."""
    if value is None:
        return 1
    return value + (b"x" if isinstance(value, bytes) else "x" if isinstance(value, str) else 1000)


def test_every_table_is_digested_or_said_not_to_be(home: Home):
    with home.meta.read() as tx:
        known = {scope.table for scope in SCOPES}
        assert tables_of(tx) == known | EXEMPT.keys()
        assert known & EXEMPT.keys() == set()
        for scope in SCOPES:
            assert set(scope.instead) <= {"newest", "stood", "used_ms"}


def test_a_filled_home_has_a_row_in_every_scope_and_no_flaw(copied):
    home, _, signed = copied
    with home.meta.read() as tx:
        bounds = {"open_ms": 1_700_000_000_000 + 1_000_000, "until_ms": 2**62}
        assert [scope.called for scope in SCOPES if not state_now(tx, scope, bounds)] == []
    found = verify_home(home, anchors=[signed.note], key=signed.key)
    assert (found.flaws, found.notes, found.anchors) == ((), (), 1)
    assert found.size == signed.size
    assert found.state == signed.size - 1
    assert flaws(home, signed) == []


def test_every_field_of_every_table_that_somebody_edits_is_found(copied):
    home, edit, signed = copied
    with home.meta.read() as tx:
        tables = sorted(tables_of(tx) - FREE)
    missed = []
    for table in tables:
        names, that = columns(edit, table), this_row(edit, table)
        row = edit.execute(f"SELECT {', '.join(names)} FROM {table} LIMIT 1").fetchone()
        for place, column in enumerate(names):
            changed = (*row[:place], other_than(row[place]), *row[place + 1 :])
            edit.execute(f"UPDATE {table} SET {column} = ? WHERE {that}", (changed[place], *row))
            if OF_THE_LEDGER.get(table, table) not in flaws(home, signed):
                missed.append(f"{table}.{column}")
            edit.execute(f"UPDATE {table} SET {column} = ? WHERE {that}", (row[place], *changed))
    assert missed == ["token.used_ms"]  # No entry tells it.
    assert len(tables) > 40
    assert flaws(home, signed) == []


def test_a_row_that_somebody_takes_out_of_any_table_is_found(copied):
    home, edit, signed = copied
    with home.meta.read() as tx:
        tables = sorted(tables_of(tx) - FREE)
    missed = []
    for table in tables:
        names = ", ".join(columns(edit, table))
        *_, row = edit.execute(f"SELECT {names} FROM {table}")
        edit.execute(f"DELETE FROM {table} WHERE {this_row(edit, table)}", row)
        if OF_THE_LEDGER.get(table, table) not in flaws(home, signed):
            missed.append(table)
        edit.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", row)
    assert missed == []
    assert flaws(home, signed) == []


def test_a_row_that_somebody_adds_is_found(copied):
    home, edit, signed = copied
    edit.execute(
        "INSERT INTO run_tag (run_id, key, value, experiment_id) VALUES (?, 'reviewed', 'yes', '0')", ("a" * 32,)
    )
    edit.execute("INSERT INTO param (run_id, key, value, experiment_id) VALUES ('b', 'depth', '4', '0')")
    edit.execute(
        "INSERT INTO prediction SELECT deployment, 'early', revision, model, number, at_ms, event_ms, row_count,"
        " inputs, outputs FROM prediction WHERE id = 'r0'"
    )
    found = {(flaw.where, flaw.subject) for flaw in verify_home(home, anchors=[signed.note]).flaws}
    assert found == {("run_tag", f"run:{'a' * 32}"), ("param", "run:b"), ("prediction", "predictions:late")}


@pytest.mark.parametrize(
    ("edited", "where"),
    [
        ("CREATE TABLE hidden (id TEXT)", "hidden"),
        ("DROP TABLE step", "step"),
        ("CREATE TRIGGER quiet AFTER INSERT ON run BEGIN DELETE FROM param; END", "catalogue"),
        ("DROP INDEX param_by_value", "catalogue"),
        ("ALTER TABLE token ADD COLUMN also TEXT", "catalogue"),
    ],
)
def test_a_table_trigger_or_column_that_somebody_makes_or_drops_is_found(copied, edited, where):
    home, edit, signed = copied
    edit.execute(edited)
    assert where in flaws(home, signed)


def test_what_a_flaw_says_leads_to_the_row(copied):
    home, edit, signed = copied
    edit.execute("UPDATE model_version SET digest = 'other' WHERE name = 'late'")
    (flaw,) = verify_home(home, anchors=[signed.note]).flaws
    assert (flaw.where, flaw.subject) == ("model_version", "model:late")
    assert flaw.text == f"model_version (late) was changed after entry {signed.size - 1} and no entry says so"


def test_an_entry_behind_the_anchor_names_what_may_have_changed_and_nothing_else(copied):
    home, edit, signed = copied
    log_batch(home, "a" * 32, params={"width": "7"})
    edit.execute("UPDATE param SET value = 'edited'")  # Of a run that was logged to since, an anchor knows no more.
    assert flaws(home, signed) == []
    edit.execute("UPDATE binding SET role = 'owner'")
    assert flaws(home, signed) == ["binding"]
    again = anchor_ledger(home)
    assert flaws(home, again) == []
    edit.execute("UPDATE param SET value = 'edited again'")
    assert flaws(home, again) == ["param"]


def test_predictions_come_after_an_anchor_and_none_from_before_it_changes(copied):
    home, edit, signed = copied
    log_prediction(home, "late", "r2", 1, 3000, {"x": [0.5]}, {"probability": [0.7]})
    assert flaws(home, signed) == []
    again = anchor_ledger(home)
    log_prediction(home, "late", "r3", 1, 4000, {"x": [0.5]}, {"probability": [0.7]})
    assert flaws(home, signed) == flaws(home, again) == []
    for request in ("r0", "r1", "r2"):
        edit.execute("UPDATE prediction SET outputs = outputs || ' ' WHERE id = ?", (request,))
        assert flaws(home, again) == ["prediction"]
        assert flaws(home, signed) == ([] if request == "r2" else ["prediction"])
        edit.execute("UPDATE prediction SET outputs = trim(outputs) WHERE id = ?", (request,))


def test_states_of_several_anchors_are_kept_as_what_changed_between_them(copied):
    home, edit, signed = copied
    run = create_run(home, name="second")
    second = anchor_ledger(home)
    third = anchor_ledger(home)
    kept: dict[int, set[str]] = defaultdict(set)
    for seq, scope in edit.execute("SELECT seq, scope FROM ledger_state"):
        kept[seq].add(scope)
    assert len(kept[min(kept)]) > 30
    assert kept[signed.size] == {"ledger_kept"}
    # The predictions lie more than an hour back by now.
    predictions = {"prediction", "prediction of the last hour"}
    assert kept[second.size] == {"run", "run_tag", *predictions}
    assert third.size not in kept
    delete_run(home, run.id)
    edit.execute("UPDATE step SET body = 'edited'")
    found = verify_home(home, anchors=[signed.note, second.note, third.note])
    assert [flaw.where for flaw in found.flaws] == ["step"] * 3
    assert found.anchors == 3


def test_whoever_edits_what_is_kept_of_the_state_too_is_found(copied):
    home, edit, signed = copied
    edit.execute("UPDATE binding SET role = 'owner'")
    with home.meta.read() as tx:
        (scope,) = [scope for scope in SCOPES if scope.table == "binding"]
        body = pack({}, state_now(tx, scope, {}))
    edit.execute("UPDATE ledger_state SET body = ? WHERE scope = 'binding'", (body,))
    assert flaws(home, signed) == ["ledger_state"]
    edit.execute("UPDATE ledger_state SET body = 'words' WHERE scope = 'binding'")
    assert "ledger_state" in flaws(home, signed)


def lives_on(home: Home) -> None:
    """Much of what users do, each by its verb."""
    run = create_run(home, experiment="more", name="second")
    log_batch(home, run.id, metrics=[MetricPoint("loss", 0.1, 1, step) for step in range(50)], tags={"a": "1"})
    log_batch(home, "a" * 32, metrics=[MetricPoint("loss", 0.1, 9, 9000)])
    delete_run(home, run.id)
    restore_run(home, run.id)
    delete_experiment(home, run.experiment_id)
    restore_experiment(home, run.experiment_id)
    model = create_logged_model(home, "0", name="made", run_id="a" * 32)
    files = [put(home, MLMODEL, "MLmodel"), put(home, b"others", "model.pkl")]
    record_model(home, "fresh", files, source=f"models:/{model.id}")
    tag_model(home, "fresh", "team", "late")
    set_alias(home, "fresh", "candidate", 1)
    delete_alias(home, "fresh", "candidate")
    rename_model(home, "fresh", "fresher")
    delete_model(home, "fresher")
    log_labels(home, "late", {"r1.0": 0.0})
    delete_traces(home, "0", trace_ids=[TRACE])
    set_user_role(home, "bob", "ml-engineer")
    delete_user(home, "bob")
    end_token(home, create_token(home, "more", "viewer").token.id)
    for webhook in list_webhooks(home).webhooks:
        delete_webhook(home, webhook.id)


def test_nothing_that_taut_does_is_taken_for_an_edit(copied):
    home, _, signed = copied
    lives_on(home)
    again = anchor_ledger(home)
    create_run(home)
    assert verify_home(home, anchors=[signed.note, again.note]).flaws == ()


@pytest.mark.parametrize(
    ("table", "column"),
    [("param", "value"), ("point", "value"), ("chunk", "body"), ("account", "hash"), ("lineage", "at_ms")],
)
def test_on_postgresql_an_edit_is_found_and_taut_itself_is_not(
    migrated_postgres_url, tmp_path, monkeypatch, table, column
):
    monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
    (tmp_path / "project").mkdir()
    make_folder(tmp_path / "project", Settings(metadata=migrated_postgres_url))
    with open_home(tmp_path / "project", actor=Actor("ada", "owner"), clock=SetClock(1_700_000_000_000)) as home:
        fill(home)
        signed = anchor_ledger(home)
        create_run(home, name="after")
        assert flaws(home, signed) == []
        more = {"value": "|| 'x'", "hash": "|| 'x'", "body": "|| '\\x00'::bytea", "at_ms": "+ 1"}[column]
        with home.meta.transaction() as tx:
            tx.execute(f"UPDATE {table} SET {column} = {column} {'+ 1' if table == 'point' else more}")
        assert set(flaws(home, signed)) == {table}
