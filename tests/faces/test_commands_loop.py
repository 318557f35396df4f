"""`taut up`, `plan`, `apply` and `ci`, typed: what taut.yaml wants, shown, made true, and written for a CI system."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taut.faces.cli.loop import told
from taut.pipelines.steps import StepDone
from tests.faces.line import PROJECT
from tests.faces.shell import as_typed, is_two_lines, taut
from tests.parts import eventually

# Whoever comes first tells the line that all share, and each test types real commands: a second or two apiece.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHANGE = {"action", "kind", "name", "text"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    taut(tmp_path, "init")
    return tmp_path


# Plan and apply


def test_a_plan_of_an_empty_file_is_that_all_is_well(project):
    for command in ("plan", "apply"):
        assert taut(project, command).out == "all is as taut.yaml wants it\n"
        assert taut(project, command, "--json").json == []


def test_a_plan_shows_what_would_be_done_and_does_nothing(line):
    before = taut(line.folder, "ledger", "show", "--limit", "1000", "--json").json
    (change,) = taut(line.folder, "plan", "--json").json
    assert change.keys() >= CHANGE
    assert (change["action"], change["kind"], change["name"]) == ("start", "deployment", "late")
    told = taut(line.folder, "plan").out.splitlines()
    assert told[0].split() == ["change", "what", "name", "to"]
    assert told[1].split()[:3] == ["start", "deployment", "late"]
    assert taut(line.folder, "ledger", "show", "--limit", "1000", "--json").json == before


@pytest.mark.slow
def test_apply_does_what_the_plan_said_and_then_nothing_is_left(own_line):
    planned = taut(own_line.folder, "plan", "--json").json
    try:
        assert taut(own_line.folder, "apply", "--json").json == planned
        assert taut(own_line.folder, "plan", "--json").json == []
        assert taut(own_line.folder, "apply").out == "all is as taut.yaml wants it\n"
        assert taut(own_line.folder, "deploy", "late", "--json").json["status"] == "running"
    finally:
        taut(own_line.folder, "deploy", "late", "--stop")


@pytest.mark.parametrize(
    ("written", "place", "says"),
    [
        ("models:\n  late: [\n", "taut.yaml:3:", ""),
        ("models:\n  late: {gaet: {}}\n", "taut.yaml:2:", "gaet"),
        ("deployments:\n  late: {model: late@1, target: moon}\n", "taut.yaml:2:", "moon"),
        ("deployments:\n  late: {model: late@1}\n  late: {model: late@2}\n", "taut.yaml:3:", "late"),
        ("monitors:\n  late:\n    alpha: much\n", "taut.yaml:3:", ""),
        ("modles: {}\n", "taut.yaml:1:", "modles"),
        ("- a\n- b\n", "taut.yaml:1:", ""),
        ("a: *b\n", "taut.yaml:1:", ""),
        ("a: !!python/object/apply:os.system ['touch x']\n", "taut.yaml:1:", ""),
        ("\ta: 1\n", "taut.yaml:1:", ""),
    ],
    ids=["open list", "misspelt", "no target", "twice", "no number", "section", "a list", "alias", "object", "tab"],
)
def test_a_mistake_in_the_file_is_two_lines_with_line_and_column(project, written, place, says):
    (project / "taut.yaml").write_text(written)
    for command in (("plan",), ("up", "--once")):
        said = taut(project, *command)
        assert (said.status, is_two_lines(said)) == (13, True), said
        assert said.lines[0].startswith(f"taut: {place}"), said.lines[0]
        assert says in said.lines[0]
    assert not (project / "x").exists()


def test_a_deployment_of_a_model_that_is_not_there_is_told_with_the_nearest_name(own_line):
    (own_line.folder / "taut.yaml").write_text(PROJECT.replace("model: late@champion", "model: lade@champion"))
    (change,) = taut(own_line.folder, "plan", "--json").json
    assert (change["action"], change["name"]) == ("blocked", "late")
    assert "did you mean 'late'?" in change["text"]
    said = taut(own_line.folder, "apply")
    assert (said.status, is_two_lines(said)) == (10, True), said
    assert "did you mean 'late'?" in said.lines[0]


def test_what_could_be_applied_is_shown_before_the_error_of_what_could_not(own_line):
    text = PROJECT.replace("deployments:\n", "deployments:\n  absent: {model: nobody@1}\n")
    (own_line.folder / "taut.yaml").write_text(text)
    try:
        said = taut(own_line.folder, "apply")
        assert said.status == 10, said
        assert [line.split()[:3] for line in said.out.splitlines()[1:] if line[0] != " "] == [
            ["start", "deployment", "late"]
        ]
        assert said.lines[0].startswith("taut: there is no model 'nobody'")
        assert len(said.lines) == 2
    finally:
        taut(own_line.folder, "deploy", "late", "--stop")


def test_a_project_without_the_file_is_told_so(project):
    (project / "taut.yaml").unlink()
    for command in ("plan", "apply", "up"):
        said = taut(project, command)
        assert (said.status, is_two_lines(said)) == (10, True)
        assert "taut.yaml" in said.lines[0]


# Up


def test_one_round_of_an_empty_project_finds_nothing_to_do(project):
    assert taut(project, "up", "--once").out == "nothing is due\n"
    assert taut(project, "up", "--once", "--json").json == []


@pytest.mark.slow
def test_a_round_starts_what_should_run_and_does_not(own_line):
    folder = own_line.folder
    try:
        handle = taut(folder, "deploy", "late", "--json").json["handle"]
        os.kill(int(handle.partition(":")[0]), signal.SIGKILL)
        steps = taut(folder, "up", "--once", "--json").json
        assert all(step.keys() == {"plan", "step", "facts"} for step in steps)
        done = [(step["plan"], step["step"]) for step in steps]
        assert done == [("deployment:late", "started"), ("deployment:late", "sealed")]
        when = ["--event-time", "2026-03-12T18:00:00Z"]
        asked = taut(folder, "predict", "late", "--input", "-", *when, stdin="delay,distance\n1,2\n")
        assert asked.status == 0, asked
        assert taut(folder, "up", "--once").out == "nothing is due\n"
    finally:
        taut(folder, "deploy", "late", "--stop")


def test_rounds_go_on_until_ctrl_c(project):
    running = subprocess.Popen(
        [sys.executable, "-m", "taut", "up", "--every", "0.05"],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    mapped = Path(f"/proc/{running.pid}/maps")
    eventually(lambda: "meta.db" in mapped.read_text(), what="the loop to have opened its home")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.strip() == "taut: interrupted; nothing is half done"


# CI


@pytest.mark.parametrize(
    ("system", "place", "words"),
    [
        ("github", ".github/workflows/taut.yml", ("jobs:", "taut audit .", "permissions:")),
        ("jenkins", "Jenkinsfile", ("pipeline {", "taut audit .", "stage(")),
    ],
)
def test_a_workflow_is_written_once_and_kept_until_forced(project, system, place, words):
    said = taut(project, "ci", system)
    assert (said.status, said.out) == (0, f"wrote {project / place}; commit it\n")
    written = (project / place).read_text()
    for word in words:
        assert word in written, word
    assert taut(project, "ci", system, "--json").json == {"path": str(project / place)}
    (project / place).write_text("mine\n")
    refused = taut(project, "ci", system)
    assert (refused.status, is_two_lines(refused)) == (11, True)
    assert refused.lines[1] == f"  try: taut ci {system} --force"
    assert (project / place).read_text() == "mine\n"
    assert taut(project, "ci", system, "--force").status == 0
    assert (project / place).read_text() == written


def test_a_workflow_is_written_at_the_top_of_the_project(project):
    (project / "deep").mkdir()
    assert taut(project / "deep", "ci", "jenkins").status == 0
    assert (project / "Jenkinsfile").is_file()


@pytest.mark.parametrize("words", [("github",), ("jenkins",)], ids=as_typed)
def test_a_workflow_without_the_file_is_told_so(tmp_path, words):
    said = taut(tmp_path, "ci", *words)
    assert (said.status, is_two_lines(said)) == (10, True)
    assert list(tmp_path.iterdir()) == []


def test_a_ci_system_that_taut_does_not_know_is_two_lines(project):
    said = taut(project, "ci", "gitlab")
    assert (said.status, is_two_lines(said)) == (2, True)
    assert "gitlab" in said.lines[0]


def test_a_step_is_told_by_its_reason_and_else_by_what_it_found():
    plan = "alert:1"
    assert told(StepDone(plan, "gate", {"passed": True, "reason": "accepted: brier: 0.1"})) == (
        "alert:1: gate: accepted: brier: 0.1"
    )
    rolled = StepDone(plan, "rollout", {"revision": 2, "url": "http://127.0.0.1:1", "reason": "revision 2"})
    assert told(rolled) == "alert:1: rollout: revision 2, at http://127.0.0.1:1"
    found = StepDone("deployment:late", "window", {"start_ms": 0, "rows": 3, "labels": 0.12345})
    assert told(found) == "deployment:late: window (start 1970-01-01, rows 3, labels 0.1235)"
    assert told(StepDone(plan, "close", {})) == "alert:1: close"
