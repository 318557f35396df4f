"""Projects of a folder, opened without a server: stores, folders and children of their own, by option or variable."""

import sys
from pathlib import Path

import pytest

from taut.deploy.running import run_folder
from taut.errors import NotFound, UsageError
from taut.govern import create_project, show_projects
from taut.home import Home, open_home
from taut.runs import create_run, search_runs
from taut.runs.recording import recordings
from tests.faces.shell import taut


def opened(home: Home, name: str) -> Home:
    return open_home(home.project, actor=home.actor, clock=home.clock, project=name)


def test_a_project_is_opened_beside_its_server_and_holds_its_own(home: Home):
    create_project(home, "churn")
    with opened(home, "churn") as churn:
        made = create_run(churn, name="inside")
        assert [run.id for run in search_runs(churn)] == [made.id]
        assert churn.meta.url != home.meta.url or home.meta.dialect == "postgresql"
        assert churn.objects.url != home.objects.url
    assert search_runs(home) == []
    with opened(home, "churn") as churn:
        assert [run.id for run in search_runs(churn)] == [made.id]
    with home.entered(show_projects(home)[0]) as again:
        assert [run.id for run in search_runs(again)] == [made.id]


def test_what_works_for_a_project_leaves_its_files_apart(home: Home):
    create_project(home, "churn")
    with opened(home, "churn") as churn:
        for place in (run_folder, recordings):
            assert place(churn) != place(home)


def test_every_project_is_walked_once_its_own_first(home: Home):
    for name in ("churn", "fraud"):
        create_project(home, name)
    assert [each.project_name for each in home.everywhere()] == ["default", "churn", "fraud"]


def test_a_project_that_is_not_there_is_not_made_by_naming_it(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAUT_PROJECT", "absent")
    with pytest.raises(NotFound):
        open_home(home.project)
    assert not (home.project / ".taut" / "projects").exists()


def test_a_url_names_at_most_one_project():
    for url, project, place in (
        ("http://h:1", "churn", "http://h:1/projects/churn"),
        ("http://h:1/", "default", "http://h:1/"),
        ("http://h:1/projects/churn", "churn", "http://h:1/projects/churn"),
        ("http://h:1/projects/churn", "default", "http://h:1/projects/churn"),
    ):
        with open_home(url, project=project) as far:
            assert far.place == place
    with pytest.raises(UsageError):
        open_home("http://h:1/projects/churn", project="fraud")


def test_a_command_in_a_project_logs_there_and_a_server_of_one_is_refused(project: Path):
    with open_home(project) as home:
        create_project(home, "churn")
    (project / "train.py").write_text("import mlflow; mlflow.log_metric('auc', 0.8)\n")
    assert taut(project, "--project", "churn", "run", "--", sys.executable, "train.py").status == 0
    assert len(taut(project, "--project", "churn", "runs", "list", "--json").json) == 1
    assert taut(project, "runs", "list", "--json").json == []
    assert taut(project, "--project", "churn", "server", "--port", "0").status == 2
    assert taut(project, "--project", "churn", "fsck").status == 0
