"""`taut deploy` with its parts, `rollback` and `deployments`, typed: what is said, recorded and told as JSON."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taut.deploy import find_deployment, told
from taut.deploy import targets as table
from taut.errors import Conflict, Invalid, NotFound, Refused, TautError, UsageError
from taut.faces.cli.entry import taut
from taut.home import Home, open_home
from taut.models import set_alias
from tests.deploy.recorded import Shelf
from tests.serve.scenes import make_home, register

Typed = Callable[..., Result]
FILE = "deployments:\n  late: {model: late@champion, rollout: {steps: [5, 25, 100], by_key: carrier}}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with four versions of `late`, for tests to copy."""
    folder = tmp_path_factory.mktemp("rollout") / "project"
    with make_home(folder) as home:
        for factor in (0.1, 0.2, 0.3, 0.4):
            register(home, factor=factor)
        set_alias(home, "late", "champion", 1)
        set_alias(home, "late", "challenger", 4)
    return folder


@pytest.fixture
def typed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Types a command in such a project, whose first version is live on a target that only notes."""
    shelf = Shelf()
    monkeypatch.setitem(sys.modules, shelf.__name__, shelf)
    monkeypatch.setattr(table, "TARGETS", MappingProxyType({**table.TARGETS, "process": shelf.__name__}))
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")

    def type_(*words: str) -> Result:
        return CliRunner().invoke(taut, list(words))

    assert type_("deploy", "late", "late@champion").output == "late@1 running at http://shelf\n"
    return type_


def behind() -> str:
    with open_home() as home:
        return told(find_deployment(home, "late").backends)


def config() -> dict[str, Any]:
    with open_home() as home:
        return find_deployment(home, "late").config


def test_a_version_is_tried_promoted_and_rolled_back(typed: Typed):
    assert typed("deploy", "late", "late@4", "--canary", "5").output == "late@2 running at http://shelf\n"
    assert behind() == "late@1 95 %, canary late@4 5 %"
    assert typed("deploy", "late", "--canary", "25").output == "late@3 running at http://shelf\n"
    assert behind() == "late@1 75 %, canary late@4 25 %"
    assert typed("deploy", "late", "--promote", "--reason", "good").output == "late@4 is live; it was late@1\n"
    assert typed("deploy", "late", "--promote").output == "late@4 is live already, as deployment:late@4 says\n"
    said = typed("rollback", "late", "--reason", "too slow").output
    assert said == "late@4 is taken back; late@1 answers, as in revision 1\n"
    assert "is a rollback already: too slow" in typed("rollback", "late").output
    assert typed("rollback", "late", "--to", "3").output.endswith("answers, as in revision 3\n")
    assert behind() == "late@1 75 %, canary late@4 25 %"


@pytest.mark.parametrize(
    ("version", "found"), [("4", "late@4"), ("challenger", "late@4"), ("late", "late@4"), ("late@2", "late@2")]
)
def test_a_version_is_named_in_any_of_its_ways(typed: Typed, version: str, found: str):
    assert typed("deploy", "late", version).exit_code == 0
    assert behind() == found


def test_shadows_come_and_go(typed: Typed):
    typed("deploy", "late", "2", "--shadow")
    assert behind() == "late@1 100 %, shadow late@2"
    typed("deploy", "late", "2", "--drop")
    assert behind() == "late@1"


def test_the_key_is_kept_by_what_comes_after(typed: Typed):
    typed("deploy", "late", "2", "--canary", "5", "--by-key", "carrier")
    typed("deploy", "late", "2", "--canary", "10")
    rollout = config()["rollout"]
    assert rollout["by_key"] == "carrier"
    typed("deploy", "late", "--promote")
    typed("deploy", "late", "3")
    assert config()["rollout"]["by_key"] == "carrier"


def test_without_a_version_the_steps_of_taut_yaml_are_gone(typed: Typed):
    Path("taut.yaml").write_text(FILE)
    with open_home() as home:
        set_alias(home, "late", "champion", 2)
    assert typed("deploy", "late").exit_code == 0
    assert behind() == "late@1 95 %, canary late@2 5 %"
    typed("rollback", "late", "--reason", "it failed")
    refused = typed("deploy", "late").exception
    assert isinstance(refused, Refused)
    assert refused.hint == "taut deploy late late@2, to try it all the same"
    typed("deploy", "late", "late@2")
    assert behind() == "late@2"


def test_deployments_are_listed_with_their_shares_and_one_with_its_revisions(typed: Typed):
    typed("deploy", "late", "4", "--canary", "5", "--reason", "a\x1b[31m try")
    lines = typed("deployments").output.splitlines()
    assert lines[0].split() == ["deployment", "revision", "serves", "target", "status", "url"]
    assert "late@1 95 %, canary late@4 5 %" in lines[1]
    assert "running" in lines[1]
    history = typed("deployments", "late").output.splitlines()
    assert [line.split()[0] for line in history] == ["revision", "2", "1"]
    assert "a\\x1b[31m try" in history[1]
    assert len(typed("deployments", "late", "--limit", "1").output.splitlines()) == 2


def test_all_of_it_is_told_as_json(typed: Typed):
    state = json.loads(typed("deploy", "late", "4", "--canary", "5", "--json").output)
    assert state.keys() == {"name", "revision", "status", "url", "handle", "at_ms"}
    (one,) = json.loads(typed("deployments", "--json").output)
    assert one.keys() >= {"name", "revision", "backends", "target", "cause", "reason", "actor", "status", "url"}
    assert one["backends"][1] == {"model": "late", "number": 4, "weight": 0.05, "role": "canary"}
    assert [each["revision"] for each in json.loads(typed("deployments", "late", "--json").output)] == [2, 1]
    for words in (("deploy", "late", "--promote"), ("rollback", "late")):
        done = json.loads(typed(*words, "--json").output)
        assert done.keys() == {"deployment", "changed", "text"}
        assert done["changed"] is True


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        (("deploy", "late", "4", "--canary", "0"), UsageError, "more than 0 and less than 100 percent"),
        (("deploy", "late", "4", "--canary", "100"), UsageError, "not 100"),
        (("deploy", "late", "4", "--canary", "nan"), UsageError, "not nan"),
        (("deploy", "late", "--canary", "5"), UsageError, "--canary needs a version"),
        (("deploy", "late", "--shadow"), UsageError, "--shadow needs a version"),
        (("deploy", "late", "--drop"), UsageError, "--drop needs a version"),
        (("deploy", "late", "4", "--canary", "5", "--shadow"), UsageError, "--canary and --shadow do not go together"),
        (("deploy", "late", "--promote", "--stop"), UsageError, "--promote and --stop do not go together"),
        (("deploy", "late", "4", "--model", "late@4"), UsageError, "VERSION and --model do not go together"),
        (("deploy", "late", "--promote"), Conflict, "has no canary"),
        (("deploy", "late", "1", "--canary", "5"), Conflict, "late@1 stands behind 'late' already"),
        (("deploy", "late", "1", "--drop"), Conflict, "late@1 is live"),
        (("deploy", "late", "9"), NotFound, "it has 1 to 4"),
        (("deploy", "new", "4"), UsageError, "nothing says of which model '4' is"),
        (("deploy", "new", "late@4", "--canary", "5"), NotFound, "there is no deployment 'new'; there are late"),
        (("deploy", "late", "champoin"), NotFound, "champoin"),
        (("rollback", "lat"), NotFound, "did you mean 'late'?"),
        (("rollback", "late"), NotFound, "no earlier revision"),
        (("rollback", "late", "--to", "7"), NotFound, "has no revision 7; it has 1 to 1"),
        (("deployments", "lat"), NotFound, "did you mean 'late'?"),
        (("deploy", "late", "4", "--target", "docker", "--canary", "5"), UsageError, "target docker runs one version"),
        (("deploy", "late", "4", "--reason", "x" * 2_001), Invalid, "2000 characters at most"),
    ],
)
def test_a_mistake_is_told_with_the_next_command(
    typed: Typed, words: tuple[str, ...], kind: type[TautError], says: str
):
    problem = typed(*words).exception
    assert isinstance(problem, kind), problem
    assert says in problem.message
    assert behind() == "late@1"


def test_an_empty_home_has_no_deployments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    home: Home
    with make_home(tmp_path / "empty") as home:
        assert home.folder is not None
    monkeypatch.chdir(tmp_path / "empty")
    assert CliRunner().invoke(taut, ["deployments"]).output == "nothing is deployed\n"
