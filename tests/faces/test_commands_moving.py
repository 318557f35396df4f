"""`taut import` and `taut export` as they are typed: tables, JSON, exit statuses, errors in two lines, from afar."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taut.home import open_home
from taut.runs import delete_tag, search_runs
from tests.faces.mlflow_store import database_in
from tests.faces.serving import served
from tests.faces.shell import is_two_lines, taut
from tests.parts import eventually


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return database_in(tmp_path / "there")


def test_an_import_shows_what_agrees(project: Path, database: Path):
    said = taut(project, "import", "mlflow", str(database))
    assert said.status == 0, said.err
    assert said.err == ""
    rows = {line.split("  ")[0]: line.split()[-1] for line in said.out.splitlines()[1:-1]}
    assert rows["runs"] == rows["metric points"] == rows["model versions"] == "yes"
    assert said.out.splitlines()[-1].endswith("11 copied, 0 known: all of it is there, and the same")


def test_an_import_answers_in_json(project: Path, database: Path):
    said = taut(project, "import", "mlflow", str(database), "--json")
    lines = {line["kind"]: line for line in said.json["lines"]}
    assert (said.json["whole"], said.json["moved"], said.json["problems"]) == (True, 11, [])
    assert lines["runs"]["source"] == lines["runs"]["target"] and lines["runs"]["agrees"]
    assert lines["metric points"]["source"]["number"] == 142


def test_a_dry_run_shows_what_would_come(project: Path, database: Path):
    said = taut(project, "import", "mlflow", str(database), "--dry-run", "--json")
    assert {one["kind"]: one["there"] for one in said.json}["runs"] == 5
    assert "deleted runs" in taut(project, "import", "mlflow", str(database), "--dry-run").out
    assert taut(project, "runs", "list", "--json").json == []


def test_what_does_not_agree_ends_with_status_3_and_is_named(project: Path, database: Path):
    taut(project, "import", "mlflow", str(database))
    with open_home(project) as home:
        run = next(one for one in search_runs(home) if one.name == "child")
        delete_tag(home, run.id, "mlflow.parentRunId")
    said = taut(project, "import", "mlflow", str(database))
    assert said.status == 3
    assert f"problem: run {run.id}: tags: 2 in the source, 1 in the target" in said.out
    assert said.out.splitlines()[-1].endswith("not all of it is there as it was")


def test_an_export_to_a_folder_shows_what_agrees(project: Path, database: Path, tmp_path: Path):
    taut(project, "import", "mlflow", str(database))
    said = taut(project, "export", "mlflow", str(tmp_path / "out" / "mlruns"))
    assert said.status == 0, said.err
    assert said.out.splitlines()[-1].endswith("11 copied, 0 known: all of it is there, and the same")
    again = taut(project, "export", "mlflow", f"file://{tmp_path}/out/mlruns", "--json")
    assert (again.json["whole"], again.json["moved"], again.json["known"]) == (True, 0, 11)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("import", "mlflow", "nowhere"), 10, "there is no MLflow store nowhere"),
        (("import", "mlflow", "mysql://host/db"), 2, "is read through its MLflow server"),
        (("import", "mlflow", "http://127.0.0.1:9"), 15, "does not answer"),
        (("import", "mlflow", ".", "--artifacts", "nowhere"), 10, "there is no folder of artifacts nowhere"),
        (("export", "mlflow", "mlflow.db"), 2, "an MLflow database belongs to its own MLflow"),
        (("export", "mlflow", "sqlite:///x"), 2, "an MLflow database belongs to its own MLflow"),
        (("export", "mlflow", "http://127.0.0.1:9"), 15, "does not answer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_mistakes_are_two_lines(project: Path, words: tuple[str, ...], status: int, message: str):
    said = taut(project, *words)
    assert said.status == status and is_two_lines(said), said
    assert message in said.err


def test_an_import_works_into_a_home_behind_a_server(project: Path, database: Path, tmp_path: Path):
    with open_home(project) as home, served(home) as url:
        said = taut(tmp_path, "--home", url, "import", "mlflow", str(database))
        assert said.status == 0, said.out + said.err
        assert len(search_runs(home)) == 3
        again = taut(tmp_path, "--home", url, "import", "mlflow", str(database), "--json")
        assert (again.json["moved"], again.json["whole"]) == (0, True)


def test_ctrl_c_ends_what_is_under_way_and_the_same_command_goes_on(project: Path, database: Path):
    pipe = database.parent / "mlruns" / "1"
    slow = next(pipe.glob("*/artifacts")) / "slow.bin"  # A file that does not come before somebody writes it.
    os.mkfifo(slow)
    command = subprocess.Popen(
        [sys.executable, "-m", "taut", "import", "mlflow", str(database), "--jobs", "1"],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    writer = eventually(lambda: _opened(slow), within=60, what="the import to read it")
    command.send_signal(signal.SIGINT)
    assert writer is not None
    os.close(writer)
    _, told = command.communicate(timeout=60)
    assert (command.returncode, told.strip()) == (130, "taut: interrupted; nothing is half done")
    with open_home(project) as home:
        assert [run.status for run in search_runs(home) if run.status == "RUNNING"] == []
    slow.unlink()
    said = taut(project, "import", "mlflow", str(database))
    assert said.status == 0, said.out


def _opened(pipe: Path) -> int | None:
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # Nobody reads yet.
        return None
