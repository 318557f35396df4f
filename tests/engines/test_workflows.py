"""Generated CI files executed: a GitHub Actions runner and Groovy take a project from its commit to a live model."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taut.deploy import find_state
from taut.home import open_home
from taut.models import find_model, newest_gate
from taut.runs import get_run
from tests.engines.project import Project, run, team_project
from tests.parts import program

# Each job makes a virtual environment, and a run of the whole line takes about a minute.
pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(900)]
STUB = Path(__file__).with_name("declarative.groovy")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The team's project; what its workflow deploys on this machine is stopped at the end."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with team_project(tmp_path) as made:
        yield made
        with open_home(made.home) as home:
            if find_state(home, "late") is not None:
                made.taut("deploy", "late", "--stop")


def on_github(project: Project, tmp_path: Path) -> str:
    """Push main to a GitHub Actions runner that works on this machine itself; returns what it printed."""
    project.taut("ci", "github")
    commit(project)
    command = [
        str(program("act")), "push", "-P", "ubuntu-latest=-self-hosted", "-P", "self-hosted=-self-hosted",
        "--var", f"TAUT_HOME={project.url}", "--env", f"XDG_STATE_HOME={tmp_path / 'state'}",
        "--cache-server-addr", "127.0.0.1", "--artifact-server-addr", "127.0.0.1", "--action-cache-path",
        str(tmp_path / "actions"), "--container-daemon-socket", "-",
    ]  # fmt: skip
    return run(command, project.folder, {})


def on_jenkins(project: Project, tmp_path: Path, *, branch: str = "main") -> str:
    """Run the Jenkinsfile under Groovy, with a stand-in of 50 lines for Jenkins' own words."""
    if shutil.which("groovy") is None:
        pytest.skip("groovy is not installed")
    project.taut("ci", "jenkins")
    commit(project)
    environment = {"TAUT_HOME": project.url, "JOB_NAME": "late/main", "BUILD_NUMBER": "1", **java()}
    return run(["groovy", str(STUB), "Jenkinsfile", branch], project.folder, environment)


def java() -> dict[str, str]:
    """Where the Java is that `java` runs; Debian's groovy looks for another."""
    found = shutil.which("java")
    return {"JAVA_HOME": str(Path(found).resolve().parent.parent)} if found else {}


def commit(project: Project) -> None:
    for words in (["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "A workflow"]):
        run(["git", *words], project.folder, {})


@pytest.mark.parametrize("system", [on_github, on_jenkins])
def test_a_push_to_main_trains_gates_and_deploys(
    project: Project, tmp_path: Path, system: Callable[[Project, Path], str]
):
    said = system(project, tmp_path)
    with open_home(project.home) as home:
        champion = find_model(home, "late@champion")
        verdict = newest_gate(home, champion.name, champion.number)
        made_by = get_run(home, champion.run_id)
        live = find_state(home, "late")
    assert verdict is not None
    assert verdict.passed
    assert made_by.status == "FINISHED"
    assert made_by.capture.git is not None
    assert made_by.capture.git.commit == run(["git", "rev-parse", "HEAD"], project.folder, {}).strip()
    assert {read.dataset for read in made_by.capture.data} == {"train@1"}, said
    assert live is not None
    assert live.status == "running"
    (project.folder / "rows.csv").write_text("a,b\n2,2\n")
    assert "prediction 1" in project.taut("predict", "late", "--input", "rows.csv")


def test_a_branch_trains_and_gates_and_deploys_nothing(project: Project, tmp_path: Path):
    said = on_jenkins(project, tmp_path, branch="a-change")
    assert said.splitlines()[-1] == "skipped"
    with open_home(project.home) as home:
        assert find_model(home, "late").number == 1
        assert find_model(home, "late").aliases == ()
        assert find_state(home, "late") is None


def test_a_gate_that_says_no_ends_the_pipeline(project: Project, tmp_path: Path):
    file = project.folder / "taut.yaml"
    file.write_text(file.read_text().replace("at_least: 0.9", "at_most: 0.5"))
    with pytest.raises(AssertionError, match="ended with 3"):
        on_jenkins(project, tmp_path)
    with open_home(project.home) as home:
        assert find_model(home, "late").aliases == ()


def test_a_failing_command_ends_a_jenkinsfile_with_its_status(tmp_path: Path):
    if shutil.which("groovy") is None:
        pytest.skip("groovy is not installed")
    (tmp_path / "Jenkinsfile").write_text("pipeline { stages { stage('A') { steps { sh 'exit 4' } } } }")
    done = subprocess.run(["groovy", str(STUB), "Jenkinsfile", "main"], cwd=tmp_path, env={**os.environ, **java()})
    assert done.returncode == 4
