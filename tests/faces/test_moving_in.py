"""Moving in from real MLflow stores: an mlruns folder, a SQLite file and a server; all of it arrives, and once."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from taut.errors import Corrupt, Denied, NotFound, Unavailable, UsageError
from taut.faces.moving.arriving import move_in
from taut.faces.moving.opening import open_source
from taut.faces.moving.report import Report
from taut.faces.moving.survey import found_in, survey
from taut.govern import check_home
from taut.ground.access import Actor
from taut.ground.ledger import events
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.models import create_model, find_model, list_models, model_files, set_alias, show_model
from taut.runs import (
    all_moved,
    create_experiment,
    create_run,
    delete_tag,
    ensure_experiment,
    find_experiment,
    get_experiment,
    get_logged_model,
    get_run,
    list_experiments,
    log_batch,
    metric_history,
    run_detail,
    search_runs,
)
from tests.faces.mlflow_described import described
from tests.faces.mlflow_store import FILES, LOGGED_FILES, STEPS, database_in, fill_apart, store_in
from tests.faces.serving import served
from tests.marks import POSTGRESQL_SLOW
from tests.parts import free_port


@pytest.fixture(name="home", params=POSTGRESQL_SLOW)
def fast_home(home: Home) -> Home:
    """The home of all tests, in the fast run on SQLite alone."""
    return home


pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")

COUNTS = {
    "experiments": 3, "runs": 5, "params": 103, "tags": 11, "metric points": STEPS + 12, "inputs": 2, "outputs": 1,
    "logged models": 2, "registered models": 3, "model versions": 4, "version files": 8, "aliases": 2, "files": 8,
}  # fmt: skip
GET = "from mlflow import artifacts; artifacts.download_artifacts('models:/{name}', dst_path={place!r})"


@pytest.fixture(scope="session")
def mlruns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mlruns folder, filled by MLflow's own file store; not to be changed."""
    return store_in(tmp_path_factory.mktemp("folder"))


@pytest.fixture
def own_mlruns(mlruns: Path, tmp_path: Path) -> Path:
    """A copy of it, which says of its artifacts that they lie where they no longer need to be."""
    return shutil.copytree(mlruns, tmp_path / "moved" / "mlruns")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """An mlflow.db with its artifacts."""
    return database_in(tmp_path / "there")


def counts(report: Report) -> dict[str, tuple[int, int]]:
    return {line.kind: (line.source.number, line.target.number) for line in report.lines if line.kind != "bytes"}


def both(numbers: dict[str, int]) -> dict[str, tuple[int, int]]:
    return {kind: (number, number) for kind, number in numbers.items()}


def run_named(home: Home, name: str) -> str:
    found = search_runs(home, filter=f"attributes.run_name = '{name}'")
    assert len(found) == 1, (name, found)
    return found[0].id


# All of it arrives


def test_an_mlruns_folder_arrives_whole_and_its_clients_see_no_difference(home: Home, mlruns: Path):
    report = move_in(home, open_source(str(mlruns)))
    assert (report.problems, counts(report)) == ((), both(COUNTS))
    assert report.is_whole
    assert list(check_home(home).problems) == []
    with served(home) as url:
        assert described(url) == described(str(mlruns))


def test_a_sqlite_file_arrives_whole(home: Home, database: Path):
    report = move_in(home, open_source(f"sqlite:///{database}"))
    assert (report.problems, counts(report)) == ((), both(COUNTS))
    run = get_run(home, run_named(home, "first ✈"))
    assert (run.actor, run.status, run.started_ms, run.ended_ms) == (
        "ada",
        "FINISHED",
        1_700_000_000_000,
        1_700_000_300_000,
    )
    assert (run.params["text"], run.params["empty"], run.tags["a/b"]) == ("two\nlines, ünïcode", "", "c: d")
    assert find_experiment(home, "flights").id == "1"
    assert {e.name: e.lifecycle for e in list_experiments(home)} == {
        "Default": "active", "flights": "active", "abandoned": "deleted",
    }  # fmt: skip
    files = {file.path for file in model_files(home, "late-flights", 3)}
    assert files == {"MLmodel", "model.bin"}


def test_a_server_arrives_whole_over_its_protocol(tmp_path: Path, project: Path):
    there = tmp_path / "there"
    with open_home(_project(there)) as theirs, served(theirs) as url, open_home(project) as home:
        fill_apart(url, tmp_path / "files")
        report = move_in(home, open_source(url))
        named = COUNTS | {"tags": 15}  # A taut server names each of the 5 runs by a tag, as far as they have none.
        assert (report.problems, counts(report)) == ((), both(named))
        with served(home) as ours:
            assert described(ours) == described(url)


def test_points_keep_their_steps_times_and_what_is_no_number(home: Home, database: Path):
    move_in(home, open_source(str(database)))
    run_id = run_named(home, "first ✈")
    odd = [(point.value, point.step, point.at_ms) for point in metric_history(home, run_id, "train/odd").points]
    largest, start = 1.7976931348623157e308, 1_700_000_000_000
    assert odd == [
        (None, 3, start), (largest, 3, start + 1), (-largest, 3, start + 2), (0.30000000000000004, 3, start + 3),
        (5e-324, 3, start + 4), (0.0, 3, start + 5),
    ]  # fmt: skip
    assert [point.at_ms for point in metric_history(home, run_id, "late").points] == [start + 4, start + 5]
    assert len(metric_history(home, run_id, "loss").points) == STEPS


def test_what_judges_a_logged_model_still_does(home: Home, database: Path):
    move_in(home, open_source(str(database)))
    detail = run_detail(home, run_named(home, "first ✈"))
    ((made),) = detail.outputs
    model = get_logged_model(home, made.model_id)
    assert [read.model_id for read in detail.model_inputs] == [model.id]
    assert (model.name, model.status, model.run_id, model.params) == ("late", "READY", detail.run.id, {"depth": "4"})
    assert [(point.key, point.value, point.step) for point in model.metrics] == [("brier", 0.125, 7)]
    ((read),) = detail.inputs
    assert (read.name, read.digest, read.tags) == ("flights.csv", "ab12cd", {"mlflow.data.context": "training"})


def test_versions_keep_numbers_stages_aliases_and_their_run(home: Home, database: Path):
    move_in(home, open_source(str(database)))
    model = show_model(home, "late-flights")
    assert (model.aliases, model.tags, model.description) == (
        {"champion": 3, "challenger": 4}, {"owner": "ada"}, "Says whether a *flight* is late",
    )  # fmt: skip
    first, third, fourth = (find_model(home, f"late-flights@{number}") for number in (1, 3, 4))
    assert (first.stage, third.stage, fourth.stage) == ("Archived", "Production", "None")
    assert (third.description, third.tags, third.run_id) == ("version 3", {"n": "3"}, run_named(home, "first ✈"))
    assert fourth.model_id.startswith("m-")
    with pytest.raises(NotFound):
        find_model(home, "late-flights@2")
    with home.meta.read() as tx:
        arrows = tx.rows("SELECT source FROM lineage WHERE target = :point", {"point": third.point})
    assert arrows == [(f"run:{third.run_id}",)]


def test_models_moved_in_load_by_their_alias_with_an_unchanged_client(project: Path, own_mlruns: Path, tmp_path: Path):
    with open_home(project) as home:
        assert move_in(home, open_source(str(own_mlruns))).is_whole
        with served(home) as url:
            for name in ("late-flights@champion", "late-flights@challenger", "late-copied/1"):
                _python(GET.format(name=name, place=str(tmp_path / name)), url)
    assert (tmp_path / "late-flights@champion" / "model.bin").read_bytes() == FILES["model/model.bin"]
    assert (tmp_path / "late-copied/1" / "model.bin").read_bytes() == FILES["model/model.bin"]
    assert (tmp_path / "late-flights@challenger" / "trees.bin").read_bytes() == LOGGED_FILES["trees.bin"]


# Once, and on


def test_the_same_command_again_copies_nothing_and_agrees(home: Home, mlruns: Path):
    first = move_in(home, open_source(str(mlruns)))
    with home.meta.read() as tx:
        before = len(events(tx, limit=10_000))
    second = move_in(home, open_source(str(mlruns)))
    assert (second.moved, second.known, second.lines) == (0, first.moved, first.lines)
    with home.meta.read() as tx:
        assert len(events(tx, limit=10_000)) == before
    assert move_in(home, open_source(str(mlruns)), again=True).moved == first.moved


def test_what_was_added_there_since_comes_with_the_next_move(home: Home, own_mlruns: Path):
    move_in(home, open_source(str(own_mlruns)))
    run_id = run_named(home, "child")
    folder = next(own_mlruns.rglob(f"{run_id}/metrics"))
    with (folder / "auc").open("a") as file:
        file.write("1700000100002 0.8 1\n")
    report = move_in(home, open_source(str(own_mlruns)))
    assert (report.moved, report.is_whole) == (1, True)
    assert [point.value for point in metric_history(home, run_id, "auc").points] == [0.75, 0.8]


def test_a_dry_run_counts_and_changes_nothing(home: Home, database: Path):
    source = open_source(str(database))
    found = {one.kind: (one.there, one.moved) for one in found_in(survey(source), {})}
    assert (found["runs"], found["deleted runs"], found["model versions"]) == ((5, 0), (2, 0), (4, 0))
    assert list_models(home) == [] and all_moved(home, source.name) == {}
    move_in(home, source)
    known = {key: one.mark for key, one in all_moved(home, source.name).items()}
    assert {one.kind: one.moved for one in found_in(survey(source), known)}["runs"] == 5


# Conflicts


def test_a_name_that_is_taken_gets_another_and_is_told(home: Home, database: Path):
    ours = create_experiment(home, "flights")
    create_model(home, "late-flights")
    report = move_in(home, open_source(str(database)))
    assert report.is_whole
    assert get_experiment(home, "1").name == "flights (MLflow's 1)"
    assert search_runs(home, experiments=["flights"]) == [] and ours.id != "1"
    assert "experiment 'flights' is \"flights (MLflow's 1)\" here" in " ".join(report.notes)
    assert show_model(home, "late-flights").newest == 0
    assert show_model(home, "late-flights-mlflow").aliases == {"champion": 3, "challenger": 4}
    assert "model 'late-flights' is 'late-flights-mlflow' here: its name was taken" in report.notes


def test_an_id_that_is_taken_gets_another_and_keeps_it(home: Home, database: Path, tmp_path: Path):
    move_in(home, open_source(str(database)))
    other = database_in(tmp_path / "other")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE experiments SET name = name || ' of others' WHERE experiment_id > 0")
        for table in ("runs", "metrics", "latest_metrics", "params", "tags"):
            connection.execute(f"UPDATE {table} SET run_uuid = 'b' || substr(run_uuid, 2)")
        connection.execute("DELETE FROM logged_models")
        connection.execute("DELETE FROM model_versions")
        connection.execute("DELETE FROM registered_models")
    report = move_in(home, open_source(str(other), artifacts=str(other.parent / "mlruns")))
    theirs = find_experiment(home, "flights of others")
    assert theirs.id not in {"0", "1", "2"}
    assert any(f"has the id {theirs.id} here: 1 was taken" in note for note in report.notes)
    assert get_experiment(home, "1").name == "flights"
    again = move_in(home, open_source(str(other)))
    assert (again.moved, find_experiment(home, "flights of others").id) == (0, theirs.id)


def test_the_default_experiment_is_ours(home: Home, database: Path):
    ensure_experiment(home)
    mine = create_run(home, name="mine")
    assert move_in(home, open_source(str(database))).is_whole
    assert {run.name for run in search_runs(home, experiments=["Default"])} == {"mine", "in the default experiment"}
    assert get_run(home, mine.id).cause == "manual"


def test_an_alias_that_was_moved_here_stays_and_is_told(home: Home, database: Path):
    move_in(home, open_source(str(database)))
    set_alias(home, "late-flights", "champion", 1)
    report = move_in(home, open_source(str(database)), again=True)
    assert find_model(home, "late-flights@champion").number == 1
    assert not report.is_whole
    assert any("'champion' points at version 3 there and stays at version 1 here" in p.text for p in report.problems)


def test_what_was_changed_here_is_named_by_what_differs(home: Home, database: Path):
    move_in(home, open_source(str(database)))
    run_id = run_named(home, "child")
    delete_tag(home, run_id, "mlflow.parentRunId")
    log_batch(home, run_id, params={"new": "1"})
    report = move_in(home, open_source(str(database)))
    assert not report.is_whole
    assert {(p.kind, p.name, p.text) for p in report.problems} == {
        ("run", run_id, "tags: 2 in the source, 1 in the target"),
        ("run", run_id, "params: 0 in the source, 1 in the target"),
    }


# What cannot be had


def test_files_out_of_reach_are_told_and_come_once_they_are_back(home: Home, database: Path):
    hidden = database.parent / "elsewhere"
    (database.parent / "mlruns").rename(hidden)
    report = move_in(home, open_source(str(database)))
    assert not report.is_whole
    told = [(problem.kind, problem.text) for problem in report.problems]
    assert any(kind == "run" and "are not within reach" in text for kind, text in told)
    assert any(kind == "model version" and "none of its files can be reached" in text for kind, text in told) or any(
        kind == "model version" and "are not within reach" in text for kind, text in told
    )
    assert counts(report)["model versions"] == (4, 4) and model_files(home, "late-flights", 3) == []
    report = move_in(home, open_source(str(database), artifacts=str(hidden)))
    assert (report.problems, counts(report)) == ((), both(COUNTS))
    assert len(model_files(home, "late-flights", 3)) == 2


def test_artifacts_of_a_server_that_lie_beside_its_file_are_found(home: Home, database: Path):
    (database.parent / "mlruns").rename(database.parent / "mlartifacts")
    with closing(sqlite3.connect(database)) as connection, connection:
        old = f"{database.parent}/mlruns"
        for table, column in (
            ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"), ("model_versions", "source"),
        ):  # fmt: skip
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, 'mlflow-artifacts:')", (old,))
    report = move_in(home, open_source(str(database)))
    assert (report.problems, counts(report)) == ((), both(COUNTS))


def test_one_broken_run_does_not_keep_the_others(home: Home, own_mlruns: Path):
    broken = next(path for path in own_mlruns.rglob("meta.yaml") if "run_name: child" in path.read_text())
    broken.write_text("{: no yaml")
    report = move_in(home, open_source(str(own_mlruns)))
    assert report.is_whole and counts(report)["runs"] == (4, 4)
    assert any(broken.parent.name in note and "cannot be read" in note for note in report.notes)


def test_a_key_that_is_refused_is_named_and_the_rest_of_its_batch_comes(home: Home, database: Path):
    with closing(sqlite3.connect(database)) as connection, connection:
        ((run_id,),) = connection.execute("SELECT run_uuid FROM runs WHERE name = 'first ✈'")
        connection.execute("INSERT INTO params VALUES ('a{b}', 'x', ?)", (run_id,))
    report = move_in(home, open_source(str(database)))
    assert not report.is_whole and len(get_run(home, run_id).params) == 102
    texts = [problem.text for problem in report.problems]
    assert len(texts) == 2 and texts[0].startswith("param refused: 'a{b}' cannot be the key of a param")
    assert texts[1] == "params: 103 in the source, 102 in the target"


def test_bytes_that_are_lost_here_are_seen(home: Home, database: Path):
    move_in(home, open_source(str(database)))
    (oid,) = {file.oid for file in model_files(home, "late-flights", 3) if file.path == "model.bin"}
    home.objects.delete([oid])
    report = move_in(home, open_source(str(database)))
    assert not report.is_whole
    assert any(problem.text.startswith("files: 6 in the source, 5 in the target") for problem in report.problems)


def test_an_older_database_without_later_tables_arrives(home: Home, database: Path):
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for table in (
            "logged_model_metrics", "logged_model_params", "logged_model_tags", "logged_models", "input_tags", "inputs",
            "datasets", "registered_model_aliases", "model_version_tags", "registered_model_tags", "experiment_tags",
            "latest_metrics",
        ):  # fmt: skip
            connection.execute(f"DROP TABLE {table}")
        connection.execute("DELETE FROM model_versions WHERE source LIKE 'models:/m-%'")
    report = move_in(home, open_source(str(database)))
    assert (report.problems, counts(report)["runs"], counts(report)["metric points"]) == ((), (5, 5), (142, 142))


# What is no store


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda place: place, NotFound, "is no MLflow store: no folder in it is an experiment"),
        (lambda place: place / "nothing", NotFound, "there is no MLflow store"),
        (lambda place: _written(place / "x.db", b"no database" * 100), Corrupt, "cannot be read as a SQLite file"),
        (lambda place: _written(place / "empty.db", b""), NotFound, "it has no table experiments"),
        (lambda place: "postgresql://host/db", UsageError, "is read through its MLflow server"),
        (lambda place: f"http://127.0.0.1:{free_port()}", Unavailable, "does not answer"),
    ],
    ids=["empty folder", "nothing", "no database", "empty file", "postgresql", "nobody"],
)  # fmt: skip
def test_what_is_no_store_is_said(tmp_path: Path, make: Callable[[Path], object], kind: type[Exception], words: str):
    with pytest.raises(kind, match=words):
        open_source(str(make(tmp_path)))


def test_who_may_not_import_is_refused_before_anything_is_written(home: Home, database: Path):
    theirs = home.as_actor(Actor("eve", "data-scientist"))
    with pytest.raises(Denied, match=r"experiment\.import"):
        move_in(theirs, open_source(str(database)))
    assert list_experiments(home) == []


def _project(folder: Path) -> Path:
    folder.mkdir()
    make_folder(folder)
    return folder


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _python(program: str, url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "MLFLOW_TRACKING_URI": url}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
