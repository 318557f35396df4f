"""`taut deploy`, `serve`, `predict` and `image`, typed: a model where it is asked, and what it answers."""

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

from tests.faces.line import Line, copy_line, deployed
from tests.faces.shell import as_typed, is_two_lines, taut
from tests.parts import free_port

# Whoever comes first tells the line that all share, and each test types real commands: a second or two apiece.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STATE = {"name", "revision", "status", "url", "handle", "at_ms"}
ANSWER = {"id", "model", "number", "revision", "rows", "outputs"}
ROWS = "delay,distance\n-2.5,300\n2.5,900\n"


@pytest.fixture(scope="module")
def live(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """A copy of the line whose deployment answers; for tests that only ask."""
    own = copy_line(line, tmp_path_factory.mktemp("live") / "line")
    with deployed(own.folder):
        yield own


def answered(url: str) -> bool:
    with urlopen(f"{url}/ready", timeout=5) as answer:
        return bool(answer.status == 200)


# Predict


def test_rows_of_csv_are_answered_one_line_a_prediction(live, tmp_path):
    (tmp_path / "rows.csv").write_text(ROWS)
    said = taut(live.folder, "predict", "late", "--input", str(tmp_path / "rows.csv"), "--id", "csv")
    assert said.status == 0, said
    first, second = said.out.splitlines()
    assert first.startswith("csv.0  prediction 0, probability 0.0")
    assert second.startswith("csv.1  prediction 1, probability 0.9")


@pytest.mark.parametrize(
    "body",
    [
        '{"delay": [-2.5, 2.5], "distance": [300, 900]}',
        '[{"delay": -2.5, "distance": 300}, {"delay": 2.5, "distance": 900}]',
    ],
    ids=["columns", "rows"],
)
def test_json_on_stdin_is_answered_as_the_same_rows_of_csv_are(live, body):
    from_json = taut(live.folder, "predict", "late", "--input", "-", "--json", stdin=body).json
    from_csv = taut(live.folder, "predict", "late", "--input", "-", "--json", stdin=ROWS).json
    assert from_json.keys() >= {"id", "rows", "outputs"}
    assert from_json["outputs"] == from_csv["outputs"]
    assert from_json["outputs"]["prediction"] == [0, 1]
    assert from_json["id"] != from_csv["id"]


def test_an_id_is_answered_once_and_the_same_for_ever(live):
    first, again = (
        taut(live.folder, "predict", "late", "--input", "-", "--id", "once", "--json", stdin=ROWS).out for _ in "ab"
    )
    assert first == again
    other = taut(live.folder, "predict", "late", "--input", "-", "--id", "once", stdin="delay,distance\n0,0\n")
    assert (other.status, is_two_lines(other)) == (11, True)
    assert "once" in other.lines[0]


def test_a_prediction_carries_when_it_happened_and_can_be_traced(live):
    words = ["--input", "-", "--id", "dated", "--event-time", "2026-05-01T06:00:00Z"]
    assert taut(live.folder, "predict", "late", *words, stdin=ROWS).status == 0
    told = taut(live.folder, "why", "dated.1").out
    assert "about 2026-05-01T06:00:00" in told
    assert "data:train@1" in told


@pytest.mark.parametrize(
    ("words", "rows", "status", "says"),
    [
        (("late",), "deley,distance\n1,2\n", 13, "deley"),
        (("late",), "delay\n1\n", 13, "distance"),
        (("late",), "delay,distance\nmuch,2\n", 13, "much"),
        (("late",), "delay,distance\n1\n", 13, ""),
        (("late",), "", 13, ""),
        (("late",), '{"delay": [1, 2], "distance": [1]}', 13, ""),
        (("late",), '{"delay": ', 13, ""),
        (("late", "--event-time", "yesterday"), ROWS, 13, "yesterday"),
        (("late", "--id", "a/b c\n"), ROWS, 13, ""),
        (("lat",), ROWS, 10, "did you mean 'late'?"),
    ],
    ids=as_typed,
)
def test_a_question_that_cannot_be_asked_is_two_lines(live, words, rows, status, says):
    before = taut(live.folder, "watch", "predictions", "late", "--limit", "1000", "--json").json
    said = taut(live.folder, "predict", *words, "--input", "-", stdin=rows)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]
    assert taut(live.folder, "watch", "predictions", "late", "--limit", "1000", "--json").json == before


def test_predict_without_rows_or_from_a_folder_is_two_lines(live):
    for words, status in (((), 2), (("--input", "nowhere.csv"), 10), (("--input", "data"), 13)):
        said = taut(live.folder, "predict", "late", *words)
        assert (said.status, is_two_lines(said)) == (status, True), said


# Deploy


def test_deploying_what_runs_already_changes_nothing(live):
    first, again = (taut(live.folder, "deploy", "late", "--json").json for _ in "ab")
    assert first == again
    assert first.keys() == STATE
    assert first["status"] == "running"
    assert answered(first["url"])
    told = taut(live.folder, "deploy", "late").out
    assert told == f"late@{first['revision']} running at {first['url']}\n"


def test_the_status_of_the_line_shows_where_it_answers(live):
    url = taut(live.folder, "deploy", "late", "--json").json["url"]
    stations = {one["name"]: one for one in taut(live.folder, "status", "--json").json["stations"]}
    assert stations["deploy"]["light"] == "ok"
    assert url in stations["deploy"]["fact"]


@pytest.mark.slow
def test_a_stopped_deployment_answers_nobody_and_says_so(own_line):
    with deployed(own_line.folder) as url:
        said = taut(own_line.folder, "deploy", "late", "--stop")
        assert (said.status, said.out) == (0, "late@1 stopped\n")
    asked = taut(own_line.folder, "predict", "late", "--input", "-", stdin=ROWS)
    assert (asked.status, is_two_lines(asked)) == (15, True)
    with pytest.raises(OSError, match="refused"):
        answered(url)


def test_stopping_twice_is_no_error(own_line):
    assert [taut(own_line.folder, "deploy", "late", "--stop").status for _ in "ab"] == [0, 0]


@pytest.mark.slow
def test_a_model_of_any_alias_is_deployed_on_a_port_that_is_asked_for(own_line):
    port = free_port()
    try:
        said = taut(own_line.folder, "deploy", "trial", "--model", "late@1", "--port", str(port), "--json")
        assert said.json["url"] == f"http://127.0.0.1:{port}"
        assert answered(said.json["url"])
    finally:
        taut(own_line.folder, "deploy", "trial", "--stop")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("other",), 10, "taut.yaml has no deployment 'other'"),
        (("late", "--model", "lat"), 10, "did you mean 'late'?"),
        (("late", "--model", "late@9"), 10, "it has 1 to 2"),
        (("late", "--target", "moon"), 2, "'moon'"),
        (("late", "--port", "99999"), 2, "99999"),
        (("lat", "--stop"), 10, "did you mean 'late'?"),
        (("a b", "--model", "late@1"), 13, "a b"),
        ((), 2, "missing argument"),
    ],
    ids=as_typed,
)
def test_a_mistake_in_deploy_is_two_lines(line, words, status, says):
    said = taut(line.folder, "deploy", *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]


# Serve


@contextmanager
def serving(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [sys.executable, "-m", "taut", "serve", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def test_serve_answers_in_this_terminal_until_ctrl_c(line):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(line.folder, "late@champion", "--port", str(port)) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        assert answered(url)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (first, out) == (f"serving late@champion at {url}\n", "")
    assert running.returncode in {0, 130}
    assert "Traceback" not in err


@pytest.mark.slow
def test_serve_says_where_it_listens_once_it_answers_there(line):
    with serving(line.folder, "late@1", "--port", "0", "--json") as running:
        assert running.stdout is not None
        told = json.loads(running.stdout.readline())
        assert told["serves"] == "late@1"
        assert answered(told["url"])


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ((), 2, "a MODEL, or a --deployment"),
        (("late@1", "--deployment", "late"), 2, "a MODEL, or a --deployment"),
        (("lat@1",), 10, "did you mean 'late'?"),
        (("--deployment", "lat"), 10, "did you mean 'late'?"),
        (("late@1", "--port", "http"), 2, "'http'"),
        (("late@1", "--port", "65536"), 2, "65536"),
        (("late@1", "--host", "no.such.host.invalid"), 13, "no address of this machine"),
    ],
    ids=as_typed,
)
def test_a_mistake_in_serve_ends_at_once(line, words, status, says):
    said = taut(line.folder, "serve", *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]


# Image


def test_an_image_is_written_as_a_folder_that_an_engine_builds(line, tmp_path):
    said = taut(line.folder, "image", "late@champion", "--out", str(tmp_path / "image"), "--no-build")
    assert said.status == 0, said
    dockerfile = (tmp_path / "image" / "Dockerfile").read_text()
    for words in ("python:3", "USER ", "HEALTHCHECK"):
        assert words in dockerfile, words
    assert "USER root" not in dockerfile
    assert (tmp_path / "image" / "model" / "MLmodel").is_file()


def test_an_image_is_told_in_json_and_can_be_written_again(line, tmp_path):
    words = ["image", "late@1", "--out", str(tmp_path / "image"), "--no-build", "--json"]
    first, again = (taut(line.folder, *words).json for _ in "ab")
    assert first == again
    assert first.keys() == {"folder", "tag", "model", "number", "digest", "engine", "id"}
    assert first["tag"].startswith("taut/late:1")
    assert (first["number"], first["engine"], first["id"]) == (1, "", "")


def test_an_image_never_replaces_a_folder_of_somebody_else(line, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    said = taut(line.folder, "image", "late@1", "--out", str(tmp_path / "mine"), "--no-build")
    assert (said.status, is_two_lines(said)) == (11, True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_an_image_of_a_misspelt_model_is_two_lines(line, tmp_path):
    said = taut(line.folder, "image", "lat", "--out", str(tmp_path / "image"), "--no-build")
    assert (said.status, is_two_lines(said)) == (10, True)
    assert not (tmp_path / "image").exists()
