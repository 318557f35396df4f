"""`taut server`, `token`, `ledger` and `fsck`, typed; and every other command over a server as over a folder."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.faces.line import Line, copy_line
from tests.faces.shell import Said, as_typed, is_two_lines, taut
from tests.parts import eventually, free_port

# Whoever comes first tells the line that all share, and each test types real commands: a second or two apiece.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ENTRY = {"seq", "at_ms", "actor", "kind", "subject", "body"}
TOKEN = {"kind", "made_by", "project", "used_ms", "id", "name", "role", "created_ms", "expires_ms", "revoked_ms"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    taut(tmp_path, "init")
    return tmp_path


@contextmanager
def server_of(folder: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A `taut server` in a process of its own; yields its URL and the process."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    running = subprocess.Popen(
        [sys.executable, "-m", "taut", "server", "--port", str(port), *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        eventually(lambda: ready(url), what="the server", within=90)
        yield url, running
    finally:
        running.kill()
        running.communicate()


def ready(url: str) -> bool:
    with urlopen(f"{url}/ready", timeout=5) as answer:
        return bool(answer.status == 200)


@pytest.fixture(scope="module")
def served_line(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Line, str]]:
    """A copy of the line behind a server on loopback."""
    own = copy_line(line, tmp_path_factory.mktemp("served") / "line")
    with server_of(own.folder) as (url, _):
        yield own, url


# Server


def test_a_server_tells_where_it_is_and_ends_on_ctrl_c(project):
    with server_of(project) as (url, running):
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert out == f"taut serves {project} at {url}; MLFLOW_TRACKING_URI={url}\n"
    assert running.returncode in {0, 130}
    assert "Traceback" not in err


def test_a_server_takes_a_free_port_and_tells_which(project):
    command = [sys.executable, "-m", "taut", "server", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["url"]
        assert not url.endswith(":0")
        eventually(lambda: ready(url), what="the server", within=90)
        running.send_signal(signal.SIGINT)


def test_a_server_tells_where_it_is_in_json(project):
    with server_of(project, "--json") as (url, running):
        assert running.stdout is not None
        assert json.loads(running.stdout.readline()) == {"url": url, "home": str(project)}


def test_beyond_loopback_a_server_asks_for_a_token_first(project, free_port):
    said = taut(project, "server", "--host", "0.0.0.0", "--port", str(free_port))
    assert (said.status, is_two_lines(said)) == (12, True), said
    assert "taut user create" in said.lines[1]


def test_a_server_outside_of_a_project_is_two_lines(tmp_path):
    said = taut(tmp_path, "server")
    assert (said.status, is_two_lines(said)) == (10, True)


@pytest.mark.parametrize(
    "words",
    [
        ("data", "log"),
        ("data", "diff", "train", "1", "1"),
        ("runs", "list"),
        ("runs", "show", "GOOD"),
        ("runs", "compare", "GOOD", "WRONG"),
        ("model", "list"),
        ("model", "show", "late@champion"),
        ("model", "show", "late@1", "--card"),
        ("watch", "status", "late"),
        ("watch", "alerts"),
        ("watch", "predictions", "late", "--limit", "1"),
        ("why", "day-10.3"),
        ("why", "model:late@1"),
        ("ledger", "show", "--limit", "5"),
        ("ledger", "checkpoint"),
        ("token", "list"),
        ("fsck", "--quick"),
    ],
    ids=as_typed,
)
def test_a_command_answers_the_same_over_a_server(served_line, words, tmp_path):
    own, url = served_line
    typed = [{"GOOD": own.good, "WRONG": own.wrong}.get(word, word) for word in words]
    here = taut(own.folder, *typed, "--json")
    there = taut(tmp_path, *typed, "--json", TAUT_HOME=url)
    assert (there.status, there.err) == (0, ""), there
    if "diff" in words:  # Rows lie in the cache of whoever added them.
        assert "has no" in there.json["not_compared"]
        assert {**here.json, **dict.fromkeys(("table", "not_compared"))} == {
            **there.json, **dict.fromkeys(("table", "not_compared"))
        }  # fmt: skip
        return
    assert there.json == here.json


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("model", "show", "lat"), 10, "did you mean 'late'?"),
        (("model", "promote", "late@2"), 3, "late@2"),
        (("runs", "list", "--filter", "a ~ 1"), 13, "character"),
        (("why", "nobody.0"), 10, "nobody.0"),
        (("watch", "dismiss", "nothing"), 10, "nothing"),
    ],
    ids=as_typed,
)
def test_a_mistake_over_a_server_is_the_same_two_lines(served_line, words, status, says, tmp_path):
    own, url = served_line
    there, here = taut(tmp_path, "--home", url, *words), taut(own.folder, *words)
    assert (there.status, is_two_lines(there)) == (status, True), there
    assert there == here
    assert says in there.lines[0]


def test_a_home_that_is_a_server_is_named_once_at_init(served_line, tmp_path):
    _, url = served_line
    assert taut(tmp_path, "init", "--server", url).status == 0
    assert taut(tmp_path, "model", "list", "--json").json[0]["name"] == "late"


def test_data_is_put_and_got_through_a_server(served_line, tmp_path):
    own, url = served_line
    assert taut(tmp_path, "init", "--server", url).status == 0
    (tmp_path / "far.csv").write_text("a\n1\n")
    assert taut(tmp_path, "data", "add", "far.csv", "--json").json["number"] == 1
    (tmp_path / "far.csv").unlink()
    assert taut(tmp_path, "data", "checkout", "far@1").status == 0
    assert (tmp_path / "far.csv").read_text() == "a\n1\n"
    assert taut(own.folder, "data", "log", "far", "--json").json[0]["name"] == "far"


# Tokens


def test_a_token_is_shown_once_and_listed_without_its_secret(project):
    made = taut(project, "token", "create", "ci", "--role", "viewer", "--days", "3", "--json").json
    assert made["secret"].startswith("taut_")
    (listed,) = taut(project, "token", "list", "--json").json
    assert listed.keys() == TOKEN
    assert listed["expires_ms"] - listed["created_ms"] == 3 * 86_400_000
    assert made["secret"] not in taut(project, "token", "list").out
    assert made["secret"] not in taut(project, "ledger", "show", "--json").out


def test_a_token_is_told_to_people_on_two_lines(project):
    heading, secret = taut(project, "token", "create", "ci", "--role", "viewer").out.splitlines()
    assert heading.endswith("for ci (viewer); shown this once:")
    assert secret.startswith("taut_")


@pytest.mark.slow
def test_a_token_may_what_its_role_may_until_it_is_revoked(project):
    made = taut(project, "token", "create", "ada", "--role", "viewer", "--json").json
    with server_of(project) as (url, _):

        def asked(*words: str, token: str = made["secret"]) -> Said:
            return taut(project, "--home", url, *words, TAUT_TOKEN=token)

        assert asked("model", "list").status == 0
        denied = asked("token", "create", "eve", "--role", "owner")
        assert (denied.status, is_two_lines(denied)) == (12, True), denied
        assert asked("model", "list", token="").status == 12
        assert asked("model", "list", token="taut_" + "0" * 40).status == 12
        number = made["token"]["id"]
        assert taut(project, "token", "revoke", number).out == f"token {number} works no more\n"
        # Another process revoked it: the server sees that within a second.
        eventually(lambda: asked("model", "list").status == 12, within=1.0, what="the token to end")
    kinds = [entry["kind"] for entry in taut(project, "ledger", "show", "--kind", "access.denied", "--json").json]
    assert kinds
    assert set(kinds) == {"access.denied"}


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("create", "ci", "--role", "king"), 13, "king"),
        (("create", "ci"), 2, "--role"),
        (("create", "ci", "--role", "viewer", "--days", "0"), 2, "0"),
        (("revoke", "0123456789ab"), 10, "0123456789ab"),
        (("list", "all"), 2, "all"),
    ],
    ids=as_typed,
)
def test_a_mistake_in_token_is_two_lines(project, words, status, says):
    said = taut(project, "token", *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]


# Ledger and fsck


def test_the_ledger_tells_the_whole_story_in_order(line):
    entries = taut(line.folder, "ledger", "show", "--limit", "1000", "--json").json
    assert all(entry.keys() >= ENTRY for entry in entries)
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    kinds = [entry["kind"] for entry in entries]
    story = ["data.recorded", "run.created", "run.finished", "model.registered", "gate.passed", "gate.refused",
             "model.promoted", "deployment.recorded", "watch.reference", "label.logged", "window.closed"]  # fmt: skip
    firsts = [kinds.index(kind) for kind in story]
    assert firsts == sorted(firsts)


def test_the_ledger_is_asked_by_kind_subject_and_place(line):
    recorded = taut(line.folder, "ledger", "show", "--kind", "data.recorded", "--json").json
    assert [entry["subject"] for entry in recorded] == ["data:train@1", "data:holdout@1"]
    about = taut(line.folder, "ledger", "show", "--subject", "model:late@1", "--json").json
    assert {entry["kind"] for entry in about} >= {"model.registered", "model.promoted"}
    after = taut(line.folder, "ledger", "show", "--after", "3", "--limit", "2", "--json").json
    assert [entry["seq"] for entry in after] == [4, 5]
    assert taut(line.folder, "ledger", "show", "--kind", "no.such").out == "the ledger has no such entry\n"


def test_the_ledger_is_a_table_for_people(line):
    rows = taut(line.folder, "ledger", "show", "--limit", "3").out.splitlines()
    assert rows[0].split() == ["entry", "when", "who", "what", "about", "body", "token", "request", "from"]
    assert len(rows) == 4


def test_a_whole_line_is_clean(line):
    health = taut(line.folder, "fsck", "--json")
    assert health.status == 0
    assert health.json.keys() == {"events", "objects", "size_bytes", "problems"}
    assert health.json["problems"] == []
    assert health.json["objects"] > 10
    assert taut(line.folder, "fsck", "--quick").out.endswith(": no problems\n")


def test_a_missing_object_is_named_with_what_it_hurts(own_line):
    tree = taut(own_line.folder, "data", "log", "train", "--json").json[0]["tree"]
    (lost,) = [path for path in (own_line.folder / ".taut" / "objects").rglob("*") if path.name.endswith(tree[4:])]
    lost.chmod(0o644)
    lost.unlink()
    said = taut(own_line.folder, "fsck", "--quick")
    assert said.status == 14
    assert "missing: " in said.out
    assert "train@1" in said.out
    assert "Traceback" not in said.err
