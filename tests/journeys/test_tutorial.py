"""The line by hand: what a newcomer with rows and a trainer types in one shell, from the first command to the last."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.line import PROJECT, ask_all_days, write_project
from tests.faces.shell import taut

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Six verbs make the line; the rest is looking. `$RUN` is what a reader copies from the line above.
TYPED = """\
taut init
cp ../taut.yaml .
git init --quiet --initial-branch main && git add train.py taut.yaml && git commit --quiet -m begin
taut data add data/train.csv
taut data add data/holdout.csv
taut run --name first -- python train.py
RUN=$(taut runs list --json | python -c 'import json, sys; print(json.load(sys.stdin)[0]["id"][:8])')
taut model register late --run $RUN
taut gate late@1
taut model promote late@1
taut deploy late
printf 'delay,distance\\n-2.5,300\\n2.5,900\\n' | taut predict late --input - --id mine
taut why mine.1
taut status
"""


def typed(folder: Path, script: str) -> str:
    """Type lines in one bash, with the taut of this environment first on PATH; returns all that was shown."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-eu", "-o", "pipefail"],
        cwd=folder, env={**os.environ, "PATH": path}, input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder in which all was typed, and all that was shown; the deployment answers until the end."""
    base = tmp_path_factory.mktemp("tutorial")
    (base / "taut.yaml").write_text(PROJECT)
    folder = base / "flights"
    write_project(folder)
    try:
        yield folder, typed(folder, TYPED)
    finally:
        taut(folder, "deploy", "late", "--stop")


def test_every_command_tells_what_a_newcomer_wants_to_know(session):
    _, shown = session
    story = (
        r"A taut project in .*",
        r"Next: taut data add PATH",
        r"train@1: 1 files, \d+ bytes, 600 rows, sha256:\w{12}",
        r"holdout@1: 1 files, \d+ bytes, 400 rows, sha256:\w{12}",
        r"trained",
        r"run \w{8} finished \(first\); data read: holdout@1, train@1",
        r"  accuracy 0\.\d+",
        r"late@1 sha256:\w{12} from run \w{8}",
        r"✓ roc_auc: 0\.8\d+, wanted at least 0\.6",
        r"passed",
        r"late@champion is version 1 now",
        r"late@1 running at http://127\.0\.0\.1:\d+",
        r"mine\.0  prediction 0, probability 0\.0\d+",
        r"mine\.1  prediction 1, probability 0\.9\d+",
        r"prediction:mine\.1",
        r"└─ deployment:late@1",
        r"└─ run:\w{32}",
        r"└─ data:train@1",
        r"The same data reached 1 other predictions:",
    )
    at = 0
    for line in story:
        found = re.compile(f"^{line}", re.MULTILINE).search(shown, at)
        assert found is not None, f"{line!r} is not shown after: {shown[max(0, at - 300) : at]}"
        at = found.end()


def test_what_was_typed_is_found_again_from_each_end(session):
    folder, _ = session
    chain = [link["point"] for link in taut(folder, "why", "mine.0", "--json").json["chain"]]
    run = next(point for point in chain if point.startswith("run:")).removeprefix("run:")
    assert taut(folder, "model", "show", "late@champion", "--json").json["run_id"] == run
    inputs = taut(folder, "runs", "show", run, "--json").json["capture"]["inputs"]
    read = {one["dataset"] for one in inputs if one["role"] == "data"}
    assert {point.removeprefix("data:") for point in chain if point.startswith("data:")} == read
    commit = taut(folder, "runs", "show", run, "--json").json["capture"]["git"]["commit"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
    assert commit == head.stdout.strip()


def test_the_lights_are_green_as_far_as_the_line_was_typed(session):
    folder, _ = session
    stations = {one["name"]: one["light"] for one in taut(folder, "status", "--json").json["stations"]}
    for name in ("data", "run", "model", "gate", "deploy", "predict"):
        assert stations[name] == "ok", stations


def test_a_second_training_of_the_same_code_and_data_compares_as_the_same(session):
    folder, _ = session
    typed(folder, "taut run --name second -- python train.py\n")
    newest, first = (run["id"] for run in taut(folder, "runs", "list", "--limit", "2", "--json").json)
    runs = [taut(folder, "runs", "show", run, "--json").json for run in (first, newest)]
    assert runs[0]["metrics"] == runs[1]["metrics"]
    assert runs[0]["capture"]["environment"] == runs[1]["capture"]["environment"]
    assert [one["oid"] for one in runs[0]["capture"]["inputs"]] == [one["oid"] for one in runs[1]["capture"]["inputs"]]


def test_days_of_traffic_become_windows_and_a_drift_a_page_and_a_picture(session):
    folder, _ = session
    typed(folder, "taut apply\n")
    ask_all_days(taut(folder, "deploy", "late", "--json").json["url"])
    shown = typed(folder, "taut up --once\ntaut watch status late\ntaut watch alerts late\ntaut watch report late\n")
    assert "deployment:late: window (start 2026-03-01" in shown
    assert re.search(r"^\w{12}\s+page\s+late\s+2026-03-09\s+ewin:labels", shown, re.MULTILINE)
    assert "the picture is in late.html" in shown
    assert (folder / "late.html").read_text().count("<svg") >= 1
    assert "1 pages open" in taut(folder, "status").out


def test_at_the_end_nothing_is_lost_torn_or_altered(session):
    folder, _ = session
    health = taut(folder, "fsck", "--json")
    assert (health.status, health.json["problems"]) == (0, [])
