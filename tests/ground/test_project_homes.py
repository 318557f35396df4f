"""Projects of a folder, opened without a server: stores, folders and children of their own, by option or variable."""

import sys
from pathlib import Path

import pytest
import urllib3

from taut.deploy.running import run_folder
from taut.errors import NotFound, UsageError
from taut.govern import create_project, create_user, show_projects
from taut.home import Home, open_home
from taut.runs import create_run, search_runs
from taut.runs.capture.recording import recordings
from tests.faces.serving import served
from tests.faces.shell import taut
from tests.faces.speaking import POOL


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


def test_a_project_that_a_lesser_hand_opened_first_is_open_to_its_members(home: Home):
    """A server's admin binds somebody in a project that nobody has asked for since the server began."""
    word = "correct horse battery"
    create_user(home, "sam", word, role="server-admin")
    create_user(home, "ada", word, role="")
    create_project(home, "churn")
    with open_home(home.project, clock=home.clock) as again, served(again) as url:
        sam, ada = (urllib3.make_headers(basic_auth=f"{name}:{word}") for name in ("sam", "ada"))
        body = b'{"user": "ada", "role": "viewer", "project": "churn"}'
        bound = POOL.request("POST", f"{url}/api/taut/v1/verbs/access.bind", body=body, headers=sam)
        assert bound.status == 200, bound.data
        place = f"{url}/projects/churn/api/2.0/mlflow/experiments/search?max_results=5"
        assert POOL.request("GET", place, headers=ada).status == 200
