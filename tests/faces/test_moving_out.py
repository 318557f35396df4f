"""Moving out: an mlruns folder that MLflow's own file store reads, and a server that speaks its protocol."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.errors import Conflict, Unavailable
from taut.faces.moving.arriving import move_in
from taut.faces.moving.folder import FolderSource
from taut.faces.moving.leaving import move_out_to_folder, move_out_to_server
from taut.faces.moving.opening import open_source
from taut.faces.moving.report import Report
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.models import create_model, find_model, list_versions, model_files, register_folder, show_model
from taut.runs import (
    create_experiment,
    create_run,
    delete_run,
    find_experiment,
    get_run,
    list_experiments,
    log_batch,
    metric_history,
    put_artifact,
    run_root,
    search_runs,
)
from tests.faces.mlflow_described import described
from tests.faces.mlflow_store import FILES, database_in
from tests.faces.serving import served
from tests.parts import free_port

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")


@pytest.fixture
def full(project: Path, tmp_path: Path) -> Iterator[Home]:
    """A home into which a whole store was moved."""
    with open_home(project) as home:
        assert move_in(home, open_source(str(database_in(tmp_path / "there")))).is_whole
        yield home


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[Home, str]]:
    """Another home, and the URL where it speaks MLflow's protocol."""
    (tmp_path / "other").mkdir()
    make_folder(tmp_path / "other")
    with open_home(tmp_path / "other") as home, served(home) as url:
        yield home, url


def agreeing(report: Report) -> list[str]:
    """What does not agree, which shall be nothing."""
    return [f"{one.kind} {one.name}: {one.text}" for one in report.problems] + [
        line.kind for line in report.lines if not line.agrees
    ]


def test_a_folder_holds_what_a_client_sees_here(full: Home, tmp_path: Path):
    report = move_out_to_folder(full, tmp_path / "mlruns")
    assert agreeing(report) == []
    with served(full) as url:
        assert described(str(tmp_path / "mlruns")) == described(url)


def test_a_folder_again_is_left_as_it_is_and_grows(full: Home, tmp_path: Path):
    move_out_to_folder(full, tmp_path / "mlruns")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "mlruns").rglob("metrics/*")}
    create_run(full, experiment="flights", name="new")
    report = move_out_to_folder(full, tmp_path / "mlruns")
    assert (agreeing(report), report.moved) == ([], 1)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert list((tmp_path / "mlruns" / ".trash").glob(".*")) == []


def test_what_moved_out_moves_in_again_the_same(full: Home, tmp_path: Path):
    move_out_to_folder(full, tmp_path / "mlruns")
    (tmp_path / "third").mkdir()
    make_folder(tmp_path / "third")
    with open_home(tmp_path / "third") as third:
        assert agreeing(move_in(third, open_source(str(tmp_path / "mlruns")))) == []
        assert {run.id for run in search_runs(third)} == {run.id for run in search_runs(full)}
        assert show_model(third, "late-flights").aliases == show_model(full, "late-flights").aliases


def test_a_run_that_differs_there_is_told_and_not_replaced(full: Home, tmp_path: Path):
    move_out_to_folder(full, tmp_path / "mlruns")
    run = next(one for one in search_runs(full) if one.name == "child")
    log_batch(full, run.id, tags={"late": "1"})
    report = move_out_to_folder(full, tmp_path / "mlruns")
    assert agreeing(report) == [f"run {run.id}: tags: 3 in the source, 2 in the target", "tags"]


def test_a_folder_of_another_store_is_refused(full: Home, tmp_path: Path):
    move_out_to_folder(full, tmp_path / "mlruns")
    meta = tmp_path / "mlruns" / "1" / "meta.yaml"
    meta.write_text(meta.read_text().replace("name: flights", "name: ships"))
    with pytest.raises(Conflict, match="is the experiment 'ships' already, not 'flights'"):
        move_out_to_folder(full, tmp_path / "mlruns")


def test_an_empty_home_becomes_a_store_with_the_default_experiment(project: Path, tmp_path: Path):
    with open_home(project) as home:
        assert agreeing(move_out_to_folder(home, tmp_path / "mlruns")) == []
    assert [one.name for one in FolderSource(tmp_path / "mlruns").experiments()] == ["Default"]


def test_a_key_that_is_file_and_folder_at_once_is_told_by_its_run(full: Home, tmp_path: Path):
    run = create_run(full, name="odd")
    log_batch(full, run.id, params={"a": "1", "a/b": "2"})
    report = move_out_to_folder(full, tmp_path / "mlruns")
    assert {problem.name for problem in report.problems} == {run.id}


def test_a_server_gets_everything_and_says_by_tags_what_it_was_here(full: Home, other: tuple[Home, str]):
    there, url = other
    report = move_out_to_server(full, url)
    assert agreeing(report) == []
    first = next(run for run in search_runs(there) if run.name == "first ✈")
    ours = get_run(full, first.tags["taut.run_id"])
    assert (first.params, first.started_ms, first.ended_ms, first.status) == (
        ours.params, ours.started_ms, ours.ended_ms, ours.status,
    )  # fmt: skip
    assert metric_history(there, first.id, "loss") == metric_history(full, ours.id, "loss")
    child = next(run for run in search_runs(there) if run.name == "child")
    assert child.tags["mlflow.parentRunId"] == first.id
    assert {one.name: one.lifecycle for one in list_experiments(there)}["abandoned"] == "deleted"


def test_a_server_keeps_numbers_where_versions_were_deleted(full: Home, other: tuple[Home, str]):
    there, url = other
    move_out_to_server(full, url)
    assert [version.number for version in list_versions(there, "late-flights")] == [1, 3, 4]
    assert show_model(there, "late-flights").aliases == {"champion": 3, "challenger": 4}
    assert [v.stage for v in list_versions(there, "late-flights")] == ["Archived", "Production", "None"]
    files = {file.path: file.oid for file in model_files(there, "late-flights", 3)}
    assert files == {file.path: file.oid for file in model_files(full, "late-flights", 3)}


def test_a_server_again_gets_nothing_twice(full: Home, other: tuple[Home, str]):
    there, url = other
    first = move_out_to_server(full, url)
    runs, versions = search_runs(there, limit=1000), list_versions(there)
    second = move_out_to_server(full, url)
    assert (agreeing(second), second.moved, second.lines) == ([], 0, first.lines)
    assert ([run.id for run in search_runs(there, limit=1000)], list_versions(there)) == (
        [r.id for r in runs],
        versions,
    )


def test_what_was_begun_there_is_gone_on_with(full: Home, other: tuple[Home, str]):
    there, url = other
    move_out_to_server(full, url)
    first = next(run for run in search_runs(there) if run.name == "first ✈")
    log_batch(there, first.id, tags={"taut.whole": "half"})
    report = move_out_to_server(full, url)
    assert (agreeing(report), report.moved) == ([], 1)
    assert len(metric_history(there, first.id, "loss").points) == 130


def test_what_was_logged_here_since_comes_with_the_next_move(full: Home, other: tuple[Home, str]):
    there, url = other
    move_out_to_server(full, url)
    run = next(one for one in search_runs(full) if one.name == "child")
    log_batch(full, run.id, tags={"more": "1"})
    assert agreeing(move_out_to_server(full, url)) == []
    assert next(one for one in search_runs(there) if one.name == "child").tags["more"] == "1"


def test_a_version_that_no_run_logged_is_carried_by_a_run_of_its_own(
    project: Path, other: tuple[Home, str], tmp_path: Path
):
    there, url = other
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {x: {}}\n")
    (folder / "weights.bin").write_bytes(b"w" * 10)
    with open_home(project) as home:
        register_folder(home, "plain", folder)
        report = move_out_to_server(home, url)
        assert agreeing(report) == []
    assert {file.path for file in model_files(there, "plain", 1)} == {"MLmodel", "weights.bin"}
    carrier = find_model(there, "plain@1").run_id
    assert get_run(there, carrier).experiment == "taut models"


def test_a_model_of_that_name_that_is_not_ours_is_told(full: Home, other: tuple[Home, str], tmp_path: Path):
    there, url = other
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_text("flavors: {x: {}}\n")
    register_folder(there, "late-copied", tmp_path / "m")
    report = move_out_to_server(full, url)
    assert any(p.name == "late-copied" and "is not ours" in p.text for p in report.problems)
    assert len(list_versions(there, "late-copied")) == 1
    assert [version.number for version in list_versions(there, "late-flights")] == [1, 3, 4]


def test_an_experiment_that_is_deleted_there_is_told(full: Home, other: tuple[Home, str]):
    from taut.runs import delete_experiment

    there, url = other
    delete_experiment(there, create_experiment(there, "flights").id)
    report = move_out_to_server(full, url)
    assert any("exists there, deleted" in problem.text for problem in report.problems)
    assert get_run(there, next(r.id for r in search_runs(there))).experiment == "Default"


def test_what_is_there_already_stays(full: Home, other: tuple[Home, str]):
    there, url = other
    mine = create_run(there, experiment="flights", name="mine", tags={"a": "1"})
    create_model(there, "theirs")
    assert agreeing(move_out_to_server(full, url)) == []
    assert get_run(there, mine.id).name == "mine" and show_model(there, "theirs").newest == 0
    assert find_experiment(there, "flights").id == mine.experiment_id


def test_deleted_runs_are_deleted_there_too(project: Path, other: tuple[Home, str]):
    there, url = other
    with open_home(project) as home:
        run = create_run(home, experiment="e", name="gone")
        data = FILES["notes.txt"]
        put_artifact(home, run_root(run.experiment_id, run.id), "n.txt", home.objects.put(io.BytesIO(data)), len(data))
        delete_run(home, run.id)
        assert agreeing(move_out_to_server(home, url)) == []
        assert agreeing(move_out_to_server(home, url)) == []
    assert search_runs(there) == []


def test_a_server_that_does_not_answer_is_said(full: Home):
    with pytest.raises(Unavailable, match="does not answer"):
        move_out_to_server(full, f"http://127.0.0.1:{free_port()}")


def test_a_folder_half_written_by_a_killed_move_is_gone_the_next_time(full: Home, tmp_path: Path):
    move_out_to_folder(full, tmp_path / "mlruns")
    partial = tmp_path / "mlruns" / ".trash" / ".taut-partial" / "x"
    partial.mkdir(parents=True)
    run = next((tmp_path / "mlruns" / "1").glob("*/meta.yaml")).parent
    shutil.rmtree(run)
    report = move_out_to_folder(full, tmp_path / "mlruns")
    assert (agreeing(report), report.moved, partial.exists()) == ([], 1, False)
