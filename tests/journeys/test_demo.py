"""The demo, as a newcomer runs it: to its end, again, and killed again and again on the way."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from taut.deploy import find_deployment
from taut.faces.demo.year import told_alert
from taut.govern import check_home, show_ledger
from taut.ground.clock import iso
from taut.home import Home, open_home
from taut.models import list_gates, list_versions
from taut.pipelines.retrain import RETRAIN
from taut.pipelines.steps import list_steps
from taut.records import Alert
from taut.runs import search_runs
from taut.serve import Span, open_log
from taut.watch import list_alerts
from tests.faces.shell import taut
from tests.parts import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = 20
HARM = "brier against champion: shown worse: worse by "
DEMO = [sys.executable, "-m", "taut", "demo", "--keep"]


def told(folder: Path) -> str:
    """Run the demo to its end."""
    ended = subprocess.run([*DEMO, str(folder)], capture_output=True, text=True, check=False, timeout=900)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout


def check_the_story(folder: Path) -> None:
    """Nothing is lost, nothing is done twice, and the loop has closed."""
    with open_home(folder) as home:
        assert check_home(home).problems == ()
        with open_log(home, "late") as log:
            rows = Counter({one.id: one.rows for one in log.requests(Span("late"))})
            requests = sum(one.requests for one in log.versions())
        assert requests == len(rows)
        assert rows.total() == 198_861  # Every flight from June to December that the package holds, once.
        pages = [alert for alert in list_alerts(home, "late") if alert.severity == "page"]
        handled = [alert for alert in pages if alert.status == "handled"]
        assert handled
        assert not [alert for alert in pages if alert.status == "open"]
        causes = Counter(run.cause for run in search_runs(home) if run.status == "FINISHED")
        assert causes == Counter({"manual": 1} | {alert.point: 1 for alert in handled})
        verdicts = [list_gates(home, "late", version.number)[0].passed for version in list_versions(home, "late")]
        assert True in verdicts[1:], "some retraining is accepted"
        assert False in verdicts[1:], "the gate can say no"
        for alert in handled:
            assert {"export", "inspect", "run", "gate", "refer", "close"} <= list_steps(home, alert.point).keys()
        check_the_verdicts(home, handled)


def check_the_verdicts(home: Home, handled: list[Alert]) -> None:
    """The summer's retraining is accepted and one that would hurt in September refused, with figures, in the ledger."""
    said: dict[str, str] = {}
    for event in show_ledger(home, kind="loop.step", limit=1_000):
        body = json.loads(event.body)
        if body["step"] == "gate":
            said[event.subject] = body["reason"]
    of_alert = {alert.point: iso(alert.window_start_ms)[5:7] for alert in handled}
    accepted = [point for point, reason in said.items() if reason.startswith("accepted against late@1: ")]
    assert {of_alert[point] for point in accepted} <= {"06", "07", "08"}
    assert accepted, said
    steps = list_steps(home, accepted[0])
    gate = list_gates(home, "late", int(str(steps["register"]["number"])))[0]
    gained = {check.name: check.found for check in gate.checks if check.found is not None and check.passed}
    assert gained["roc_auc against champion"] > 0.02, "a real gain"
    assert find_deployment(home, "late", int(str(steps["rollout"]["revision"]))).cause == accepted[0]

    harmful = [point for point, reason in said.items() if reason.startswith("refused against ") and HARM in reason]
    assert "09" in {of_alert[point] for point in harmful}, said
    steps = list_steps(home, next(point for point in harmful if of_alert[point] == "09"))
    gate = list_gates(home, "late", int(str(steps["register"]["number"])))[0]
    lost = next(check for check in gate.checks if check.name == "brier against champion")
    assert not lost.passed
    assert lost.found is not None
    assert lost.found < 0, "the candidate's Brier score is worse"
    assert (steps["promote"]["promoted"], steps["rollout"]["revision"]) == (False, None)
    assert HARM in str(steps["close"]["verdict"])


def test_the_demo_reaches_its_end_closes_the_loop_and_can_be_told_again(tmp_path):
    folder = tmp_path / "flights"
    first = told(folder)
    for words in (
        "$ taut run --name first",
        "$ taut gate late@1",
        "gate: accepted against late@1: roc_auc: ",
        "rolled out as revision 2",
        "gate: refused against late@2: ",
        HARM,
        "$ taut why flights-",
        "$ taut why alert:",
        "is handled",
        "taut runs list",
    ):
        assert words in first
    check_the_story(folder)
    page = (folder / "late.html").read_text()
    assert len(page) < 600_000
    for words in ("Accepted", "Refused", HARM):
        assert words in page, words
    why = taut(folder, "why", "flights-2013-07-04-06h.5", "--json").json
    assert [link["point"].partition(":")[0] for link in why["chain"]][:4] == [
        "prediction",
        "deployment",
        "model",
        "gate",
    ]
    assert any(link["point"].startswith("data:") for link in why["chain"])
    assert why["rows_reached"] > 1000
    with open_home(folder) as home:
        alert = told_alert(home)
    story = taut(folder, "why", alert, "--json").json
    assert [one["what"] for one in story["chapters"]] == ["alert", *(step.name for step in RETRAIN)]
    assert HARM in next(one["text"] for one in story["chapters"] if one["what"] == "gate")
    told(folder)
    check_the_story(folder)


def test_a_demo_killed_at_twenty_random_points_goes_on_and_does_nothing_twice(tmp_path):
    folder = tmp_path / "flights"
    chance = random.Random(2013)
    answered: set[str] = set()
    kills = 0
    while kills < KILLS:
        running = subprocess.Popen(
            [*DEMO, str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            running.wait(chance.uniform(1.0, 12.0))
            break  # It came to its end between two kills.
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            kills += 1
        answered = check_nothing_lost(folder, answered)
    told(folder)
    assert len(check_nothing_lost(folder, answered)) > 800  # Four requests a day, from June on.
    check_the_story(folder)
    assert kills >= KILLS // 2


def check_nothing_lost(folder: Path, before: set[str]) -> set[str]:
    """Every answer that was logged before the kill is still there; returns all there are now."""
    if not (folder / ".taut" / "meta.db").exists():
        return before
    with open_home(folder) as home, open_log(home, "late") as log:
        now = {one.id for one in log.requests(Span("late"))}
    assert before <= now
    health = taut(folder, "fsck", "--json")
    assert json.loads(health.out)["problems"] == []
    return now


def test_the_demo_without_keep_leaves_only_its_picture(tmp_path):
    ended = subprocess.run(DEMO[:-1], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert [path.name for path in tmp_path.iterdir()] == ["taut-demo.html"]
    eventually(lambda: "late" in (tmp_path / "taut-demo.html").read_text(), what="the picture")
