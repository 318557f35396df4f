"""The story of an alert and of what came of it, from the records that the loop leaves, for those who may read them."""

import io

import pytest

from taut.deploy import record_deployment
from taut.errors import Denied, Invalid, NotFound
from taut.govern import tell_story
from taut.ground.access import Actor
from taut.ground.access.grants import Grants
from taut.home import Home
from taut.models import record_gate, record_model
from taut.pipelines.steps import close_plan, record_step
from taut.records import Alert, GateCheck, TreeFile
from taut.runs import create_run
from taut.watch import dismiss_alert
from taut.watch.alerts import raise_alert

RUN = "b" * 32
MLMODEL = b"flavors:\n  sklearn: {pickled_model: model.pkl}\n"


def raised(home: Home, name: str = "a1") -> Alert:
    evidence = {"labels": 214.5, "bound": 50.0}
    alert = Alert(name, "late", 1, 0, "ewin:labels", "page", "label:error", evidence, "open", home.clock.now_ms())
    with home.meta.transaction() as tx:
        raise_alert(home, tx, alert)
    return alert


@pytest.fixture
def line(home: Home) -> Home:
    """Version 1 serves; nothing has happened yet."""
    files = [TreeFile("MLmodel", home.objects.put(io.BytesIO(MLMODEL)), "", len(MLMODEL))]
    record_model(home, "late", files, source="test")
    record_gate(home, "late", 1, checks=[GateCheck("brier", True, 0.1, 0.2, "0.1000, wanted at most 0.2")])
    record_deployment(home, "late", "late", 1, "process", {}, "manual", reason="the first")
    return home


def test_an_alert_that_nobody_answered_has_one_chapter(line: Home):
    raised(line)
    story = tell_story(line, "alert:a1")
    (seen,) = story.chapters
    assert (story.point, story.alert, story.status) == ("alert:a1", "alert:a1", "open")
    assert (seen.what, seen.point, seen.facts) == ("alert", "alert:a1", {"labels": 214.5, "bound": 50.0})
    assert seen.text == (
        "page about version 1 of late: ewin:labels on label:error, evidence 214.5 over the bound 50, "
        "in the window from 1970-01-01 on"
    )


def test_what_it_waited_for_and_each_step_stand_in_order_with_their_points(line: Home):
    alert = raised(line)
    record_step(line, alert.point, "wait labels", {"reason": "3 labels have come, and 100 are wanted (labels:)"})
    record_step(line, alert.point, "export", {"learn": 10, "judge": 5})
    record_step(line, alert.point, "inspect", {"broken": False, "reason": "nothing is broken in 15 rows"})
    record_step(line, alert.point, "snapshot", {"labelled": "data:labelled@1", "holdout": "data:holdout@1"})
    record_step(line, alert.point, "attempt 1", {"run": RUN, "exit": 1})
    record_step(line, alert.point, "run", {"run": RUN})
    record_step(line, alert.point, "register", {"model": "late", "number": 2})
    record_step(line, alert.point, "gate", {"gate": "g1", "passed": False, "reason": "refused against late@1: brier"})
    record_step(line, alert.point, "rollout", {"revision": None, "reason": "the gate refused it"})
    close_plan(line, alert.id, "close", "retrained; the gate refused the new version: brier")
    story = tell_story(line, alert.point)
    assert [(one.what, one.point) for one in story.chapters] == [
        ("alert", "alert:a1"),
        ("wait labels", ""),
        ("export", ""),
        ("inspect", ""),
        ("snapshot", "data:labelled@1"),
        ("attempt 1", ""),
        ("run", f"run:{RUN}"),
        ("register", "model:late@2"),
        ("gate", "gate:g1"),
        ("rollout", ""),
        ("close", ""),
    ]
    texts = {one.what: one.text for one in story.chapters}
    assert texts["export"] == "judge 5, learn 10", "steps of before they said why"
    assert texts["gate"] == "refused against late@1: brier"
    assert texts["close"] == "retrained; the gate refused the new version: brier"
    assert story.status == "handled"


def test_a_persons_word_is_part_of_the_story(line: Home):
    dismiss_alert(line, raised(line).id, "the clock of the airport was wrong")
    story = tell_story(line, "alert:a1")
    assert (story.status, story.chapters[-1].what) == ("dismissed", "dismissed")
    assert story.chapters[-1].text == "the clock of the airport was wrong"


def test_what_no_alert_led_to_has_a_story_too(line: Home):
    for point in ("model:late@1", "deployment:late@1", "deployment:late"):
        story = tell_story(line, point)
        assert (story.point, story.alert, story.status) == (point, "", "")
        assert {one.what for one in story.chapters} == {"register", "gate", "revision"}
        texts = {one.what: one.text for one in story.chapters}
        assert texts["gate"] == "accepted: brier: 0.1000, wanted at most 0.2"
        assert texts["revision"].startswith("late, revision 1, late@1 (manual, by ")
        assert texts["revision"].endswith("): the first")


def test_a_run_by_hand_is_its_own_beginning(line: Home):
    create_run(line, experiment="Default", name="first", run_id=RUN)
    story = tell_story(line, f"run:{RUN[:6]}")
    (run,) = story.chapters
    assert (run.what, run.point, story.alert) == ("run", f"run:{RUN}", "")
    assert run.text.endswith("cause manual")


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ("alert:none", NotFound),
        ("run:ffffffff", NotFound),
        ("model:late@9", NotFound),
        ("deployment:late@9", NotFound),
        ("deployment:nowhere", NotFound),
        ("deployment:late@newest", Invalid),
        ("data:train@1", Invalid),
        ("late", Invalid),
        ("alert:", Invalid),
    ],
)
def test_what_is_not_there_is_told(line: Home, point: str, kind: type[Exception]):
    with pytest.raises(kind):
        tell_story(line, point)


def test_who_may_not_see_a_deployment_is_told_no_story_of_its_alerts(line: Home):
    raised(line)
    with pytest.raises(Denied):
        tell_story(line.as_actor(Actor("eve", "anonymous")), "alert:a1")
    kept_out = line.as_actor(Actor("vera", "viewer", Grants(7, [("deployment", "late", "NO_PERMISSIONS")])))
    for point in ("alert:a1", "deployment:late@1"):
        with pytest.raises(NotFound):
            tell_story(kept_out, point)
    assert [one.what for one in tell_story(kept_out, "model:late@1").chapters] == ["register", "gate"]
