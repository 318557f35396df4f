"""`taut project`, `taut access`, `taut login`: typed at a shell, on a folder and at a real server."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from taut.govern import bind_role, create_project, create_user
from taut.home import open_home
from taut.runs import create_experiment
from tests.faces.serving import served
from tests.faces.shell import is_two_lines, taut
from tests.faces.speaking import Speaker

WORD = "correct horse battery"
FILE = """\
server: {owner: [olga]}
projects:
  churn:
    roles: {ml-engineer: [ada], viewer: [ada, bob]}
"""


@pytest.fixture
def folder(project: Path) -> Path:
    """A project with an owner, two users and a project of its own."""
    with open_home(project) as home:
        create_user(home, "olga", WORD, role="owner")
        for name in ("ada", "bob"):
            create_user(home, name, WORD, role="")
        create_project(home, "churn")
        bind_role(home, "ada", "data-scientist", project="churn")
    return project


def test_projects_are_made_listed_entered_and_ended(folder: Path):
    made = taut(folder, "project", "create", "fraud", "--admin", "bob", "--json").json
    assert (made["name"], len(made["id"])) == ("fraud", 16)
    listed = taut(folder, "project", "list", "--json").json
    assert [one["name"] for one in listed] == ["churn", "default", "fraud"]
    assert taut(folder, "--project", "fraud", "model", "list", "--json").json == []
    assert taut(folder, "model", "list", "--json", TAUT_PROJECT="nowhere").status == 10
    (bound,) = taut(folder, "access", "list", "--project", "fraud", "--json").json
    assert bound == {"user": "bob", "project": "fraud", "role": "project-admin", "by": "hand"}
    assert taut(folder, "project", "delete", "fraud", "--yes").out == "project fraud is no more\n"
    assert taut(folder, "--project", "fraud", "model", "list").status == 10
    refused = taut(folder, "project", "delete", "default", "--yes")
    assert (refused.status, is_two_lines(refused)) == (3, True)


@pytest.mark.parametrize("name", ["Churn", "a", "-ab", "ab-", "api", "a_b", "x" * 64, "../up"])
def test_a_name_that_could_not_stand_in_a_url_names_no_project(folder: Path, name: str):
    refused = taut(folder, "project", "create", "--", name)
    assert (refused.status, is_two_lines(refused)) == (13, True)


def test_roles_are_bound_explained_and_unbound(folder: Path):
    assert taut(folder, "access", "bind", "bob", "dpo", "--project", "churn").out == "bob is dpo in churn\n"
    refused = taut(folder, "access", "bind", "bob", "project-admin", "--project", "churn")
    assert (refused.status, "cannot be its project-admin too" in refused.err) == (3, True)
    why = taut(folder, "access", "explain", "bob", "pii:read", "--project", "churn", "--json").json
    assert (why["allowed"], why["because"]) == (True, "the role dpo in churn, given by hand")
    why = taut(folder, "access", "explain", "bob", "run:read", "experiment:0", "--json").json
    assert (why["allowed"], why["because"]) == (False, "no role binds them to default")
    assert taut(folder, "access", "unbind", "bob", "dpo", "--project", "churn").status == 0
    assert taut(folder, "access", "unbind", "bob", "dpo", "--project", "churn").status == 10
    assert taut(folder, "access", "unbind", "olga", "owner").status == 3
    assert taut(folder, "access", "bind", "bob", "king").status == 13
    assert taut(folder, "access", "explain", "bob", "model:crown").status == 10


def test_the_matrix_is_printed_whole(folder: Path):
    found = taut(folder, "access", "matrix", "--json").json
    assert found["model:approve"]["approver"] == "+"
    assert found["model:approve"]["project-admin"] == "-"
    assert found["experiment:admin"]["data-scientist"] == "o"
    assert len(taut(folder, "access", "matrix").out.splitlines()) == len(found) + 1


def test_a_file_is_planned_then_made_so_then_true(folder: Path):
    (folder / "access.yaml").write_text(FILE)
    planned = taut(folder, "access", "plan", "access.yaml", "--json").json
    assert {(one["does"], one["user"], one["role"]) for one in planned} == {
        ("bind", "ada", "ml-engineer"), ("bind", "ada", "viewer"), ("bind", "bob", "viewer"),
        ("unbind", "ada", "data-scientist"),
    }  # fmt: skip
    assert taut(folder, "access", "apply", "access.yaml", stdin="n\n").status == 130
    assert taut(folder, "access", "apply", "access.yaml", "--yes", "--json").json == planned
    assert taut(folder, "access", "plan", "access.yaml").out == "nothing would change\n"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("projects: {churn: {roles: {king: [ada]}}}", 13),
        ("projects: {churn: {roles: {viewer: [nobody]}}}", 10),
        ("projects: {churn: {rolls: {viewer: [ada]}}}", 13),
        ("projects: {churn: {roles: {owner: [ada]}}}", 13),
        ("server: {owner: []}", 3),
        ("projects: {churn: {roles: {dpo: [ada], project-admin: [ada]}}}", 3),
        ("projects: {'Not One': {}}", 13),
    ],
)
def test_a_file_that_asks_for_what_cannot_be_changes_nothing(folder: Path, text: str, status: int):
    (folder / "access.yaml").write_text(text)
    before = taut(folder, "access", "list", "--project", "*", "--json").out
    refused = taut(folder, "access", "apply", "access.yaml", "--yes")
    assert (refused.status, is_two_lines(refused)) == (status, True), refused
    assert taut(folder, "access", "list", "--project", "*", "--json").out == before


def test_a_login_is_kept_where_nobody_else_reads_it_and_ended(folder: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    with open_home(folder) as home, served(home) as url:
        wrong = taut(folder, "login", url, "--user", "ada", "--password-stdin", stdin="not the password\n")
        assert (wrong.status, is_two_lines(wrong)) == (12, True)
        said = taut(folder, "login", url, "--user", "ada", "--password-stdin", "--json", stdin=f"{WORD}\n").json
        kept = Path(said["kept_in"])
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert WORD not in kept.read_text()
        assert taut(folder, "--home", url, "--project", "churn", "runs", "list", "--json").json == []
        assert taut(folder, "--home", url, "runs", "list").status == 10  # No member of `default`.
        assert [one["kind"] for one in taut(folder, "--home", url, "token", "list", "--own", "--json").json] == [
            "session"
        ]
        os.chmod(kept, 0o644)
        refused = taut(folder, "--home", url, "--project", "churn", "runs", "list")
        assert (refused.status, "chmod 600" in refused.err) == (12, True)
        os.chmod(kept, 0o600)
        (session,) = json.loads(kept.read_text()).values()
        assert taut(folder, *("logout", url)).out == f"logged out of {url}\n"
        assert json.loads(kept.read_text()) == {}
        again = taut(folder, "--home", f"{url}/projects/churn", "runs", "list", TAUT_TOKEN=session)
        assert (again.status, is_two_lines(again)) == (12, True)


def test_a_disabled_user_is_listed_as_one_and_comes_back(folder: Path):
    assert taut(folder, "user", "disable", "ada").out == "ada can log in no more\n"
    assert "disabled" in taut(folder, "user", "list").out
    assert taut(folder, "user", "disable", "olga").status == 3
    assert taut(folder, "user", "disable", "ada", "--undo").out == "ada can log in again\n"


def test_the_log_of_the_server_says_who_became_what_and_nothing_of_projects(folder: Path):
    with open_home(folder) as home:
        create_user(home, "sam", WORD, role="server-admin")
        create_experiment(home, "secret")
        with served(home) as url:
            said = Speaker(url, "/", WORD, "sam").post("api/taut/v1/verbs/access.log", limit=100)
            refused = Speaker(url, "/", WORD, "sam").post("api/taut/v1/verbs/ledger.show")
    assert (said.status, refused.status) == (200, 404)
    entries: Any = said.body
    told = [(one["kind"], one["subject"]) for one in entries]
    assert ("access.bound", "user:ada") in told and ("project.created", "project:churn") in told
    assert {kind.partition(".")[0] for kind, _ in told} == {"access", "project", "user"}
    typed = taut(folder, "access", "log", "--subject", "user:ada", "--json").json
    assert [one["kind"] for one in typed] == ["user.created", "access.bound"]
    assert taut(folder, "access", "log", "--after", str(typed[0]["seq"]), "--limit", "1", "--json").json[0]["seq"] > 0
