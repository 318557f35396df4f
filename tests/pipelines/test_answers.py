"""Answers that go another way: broken data are not learned from, a canary is followed to its end; each says why."""

import json
import re

import pytest

from taut.data import list_datasets
from taut.deploy import find_deployment, go_back, go_live
from taut.errors import Unavailable
from taut.govern import check_home, show_ledger, tell_story
from taut.home import Home
from taut.models import find_model
from taut.pipelines.loop import reconcile
from taut.pipelines.steps import StepDone, list_steps
from taut.project import read_project
from taut.records import Alert
from taut.runs import search_runs
from taut.serve import log_labels, log_prediction
from taut.watch import dismiss_alert, find_reference, list_alerts, list_references, newest_window
from tests.pipelines.scenes import DAY_MS, PROJECT, ROWS_A_DAY, day_of


@pytest.fixture
def home(alarmed: Home) -> Home:
    return alarmed


def the_alert(home: Home) -> Alert:
    (alert,) = list_alerts(home)
    return alert


def told(home: Home, old: str = "", new: str = "") -> list[StepDone]:
    """One round with taut.yaml changed so; what it says of the alert."""
    assert old in PROJECT
    (home.project / "taut.yaml").write_text(PROJECT.replace(old, new) if old else PROJECT)
    return [done for done in reconcile(home, read_project(home.project)) if done.plan.startswith("alert:")]


def break_the_newest_day(home: Home) -> None:
    """Someone sends seats in thousandths: as many rows again on the newest day that is closed."""
    end_ms, day = newest_window(home, "late").end_ms, day_of(99, drift_from=0)
    inputs = {**day.inputs, "seats": [1000 * seats for seats in day.inputs["seats"]]}
    log_prediction(home, "late", "bad", 1, end_ms - DAY_MS // 2, inputs, {"probability": [0.5] * ROWS_A_DAY})
    log_labels(home, "late", {f"bad.{row}": float(late) for row, late in enumerate(day.late)})


def test_data_that_are_broken_are_not_learned_from_and_the_alert_stays_for_a_person(home: Home):
    break_the_newest_day(home)
    export, inspect, close = told(home)
    assert [export.step, inspect.step, close.step] == ["export", "inspect", "close"]
    assert inspect.facts["broken"] is True
    assert re.search(r": seats .*(110 of 220|50\.0 %)", str(inspect.facts["reason"])), inspect.facts
    assert close.facts == {"verdict": f"refused: the data are broken: {inspect.facts['reason']}"}
    assert the_alert(home).status == "open"
    assert search_runs(home) == []
    assert list_datasets(home) == []
    assert len(list_references(home, "late")) == 1
    entries = [json.loads(entry.body) for entry in show_ledger(home, kind="loop.step")]
    assert entries[-1] == {"step": "close", "reason": close.facts["verdict"]}
    assert told(home) == [], "it was told"
    dismiss_alert(home, the_alert(home).id, "the sender is mended")
    assert (find_reference(home, "late").number, told(home)) == (2, [])


@pytest.mark.parametrize(
    ("asked", "days"), [("3d", 3), ("since-reference", None), ("all", None)]
)  # The reference began with the first day here, so the last two are one.
def test_what_is_learned_from_is_the_window_that_was_asked_for(home: Home, asked: str, days: int | None):
    with pytest.raises(Unavailable, match="nowhere"):
        told(home, "python train.py", f"python nowhere.py, learn_from: {asked}")
    facts = list_steps(home, the_alert(home).point)["export"]
    whole = (newest_window(home, "late").end_ms - DAY_MS - int(str(facts["from_ms"]))) // DAY_MS + (days is None)
    assert facts["learn"] == (days or whole) * ROWS_A_DAY
    assert f"to learn from ({asked})" in str(facts["reason"])


def test_an_alert_that_waits_for_labels_says_so_once_and_is_answered_when_they_came(home: Home):
    (wait,) = told(home, "cooldown: 20d", "cooldown: 20d, labels: 100000")
    assert wait.step == "wait labels"
    assert str(wait.facts["reason"]).endswith("labels have come, and 100,000 are wanted (labels:)")
    assert told(home, "cooldown: 20d", "cooldown: 20d, labels: 100000") == []
    assert the_alert(home).status == "open"
    assert list(list_steps(home, the_alert(home).point)) == ["wait labels"]
    break_the_newest_day(home)  # So that the answer is a short one.
    assert [done.step for done in told(home)] == ["export", "inspect", "close"]


STEPS = "deployments:\n  late: {model: late@champion, rollout: {steps: [20, 100], hold: 10min}}"


@pytest.mark.slow
def test_the_answer_goes_on_until_its_canary_is_live(home: Home):
    canary = ("deployments:\n  late: {model: late@champion}", STEPS)
    said = {done.step: done.facts for done in told(home, *canary)}
    assert list(said)[-2:] == ["promote", "rollout"]
    assert said["promote"] == {"promoted": False, "reason": "late@2 is a canary first"}
    assert "canary late@2 20 %; steps of 20, 100 %, each for 10min and 100 requests" in str(said["rollout"]["reason"])
    assert told(home, *canary) == [], "it is on trial"
    assert the_alert(home).status == "open"
    assert (find_model(home, "late@champion").number, find_deployment(home, "late").number) == (1, 1)
    go_live(home, "late", reason="it held")
    said = {done.step: done.facts for done in told(home, *canary)}
    assert list(said) == ["canary", "refer", "close"]
    assert (said["canary"]["outcome"], said["canary"]["champion"]) == ("promoted", True)
    assert said["canary"]["reason"] == (
        "late@2 answers everything since revision 3: it held; late@champion is version 2"
    )
    assert said["close"] == {"verdict": "retrained and rolled out"}
    assert (find_model(home, "late@champion").number, find_reference(home, "late").version) == (2, 2)
    assert the_alert(home).status == "handled"
    assert check_home(home).problems == ()
    story = tell_story(home, the_alert(home).point)
    assert [one.what for one in story.chapters] == [
        "alert", "export", "inspect", "snapshot", "run", "register", "gate", "promote", "rollout", "revision",
        "canary", "refer", "close",
    ]  # fmt: skip
    assert (story.status, all(one.text for one in story.chapters)) == ("handled", True)
    promoted = next(one for one in story.chapters if one.what == "revision")
    assert promoted.text == "late, revision 3, late@2 (promotion, by ada): it held"
    (run,) = search_runs(home)
    for point in (run.point, f"run:{run.id[:8]}", "model:late@2", "deployment:late@2", "deployment:late@3"):
        found = tell_story(home, point)
        assert (found.point, found.alert, found.chapters) == (point, story.alert, story.chapters), point


@pytest.mark.slow
def test_the_answer_goes_on_until_its_canary_is_gone(home: Home):
    canary = ("deployments:\n  late: {model: late@champion}", STEPS)
    told(home, *canary)
    go_back(home, "late", reason="pilots complain")
    said = {done.step: done.facts for done in told(home, *canary)}
    assert said["canary"]["outcome"] == "taken back"
    assert said["close"]["verdict"] == (
        "retrained; the new version was taken back: revision 3 brought late@1: pilots complain"
    )
    assert (find_model(home, "late@champion").number, find_deployment(home, "late").number) == (1, 1)
    assert (find_reference(home, "late").version, the_alert(home).status) == (1, "handled")
    assert told(home, *canary) == []
    assert tell_story(home, "deployment:late@3").alert == the_alert(home).point, "it is about the one that went"
    assert tell_story(home, "deployment:late@1").alert == ""
