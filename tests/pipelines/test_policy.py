"""The policy of a trigger: what an alert waits for, with the figures that say so, and what taut.yaml may ask."""

import io
from dataclasses import dataclass

import pytest

from taut.deploy import record_deployment
from taut.errors import Invalid
from taut.ground.clock import duration_ms
from taut.home import Home
from taut.models import record_model
from taut.pipelines.policy import Wait, is_under_way, moment, why_wait
from taut.pipelines.steps import Steps, count_new_labels, list_answers, record_step
from taut.project import BudgetSpec, TriggerSpec, read_project
from taut.records import Alert, TreeFile
from taut.serve import log_labels, log_prediction
from taut.watch import list_alerts
from taut.watch.alerts import raise_alert
from taut.watch.references import insert_reference

DAY_MS = 86_400_000
WINDOW = """
INSERT INTO monitor_window
    (deployment, start_ms, end_ms, reference, version, row_count, labelled, measures, evidence, at_ms)
VALUES ('late', :start_ms, :end_ms, 1, 1, 0, 0, '{}', '{}', 0)
"""


@dataclass(frozen=True)
class Scene:
    """A deployment, closed windows up to some day, and alerts that were raised there."""

    home: Home

    def windows_until(self, day: int) -> None:
        with self.home.meta.transaction() as tx:
            tx.execute(WINDOW, {"start_ms": (day - 1) * DAY_MS, "end_ms": day * DAY_MS})

    def alert(self, name: str) -> Alert:
        alert = Alert(name, "late", 1, 0, "ewin:labels", "page", "late", {}, "open", 0)
        with self.home.meta.transaction() as tx:
            raise_alert(self.home, tx, alert)
        return alert

    def answered(self, day: int, cause: str) -> None:
        with self.home.meta.transaction() as tx:
            insert_reference(self.home, tx, "late", "late", 1, day * DAY_MS, "0" * 64, cause)

    def retrained(self, name: str, day: int, *steps: str) -> None:
        self.alert(name)
        record_step(self.home, f"alert:{name}", "export", {"until_ms": day * DAY_MS})
        for step in steps:
            record_step(self.home, f"alert:{name}", step, {})

    def labels(self, count: int, name: str = "day") -> None:
        rows = {"delay": list[str | float | int | bool | None](range(count))}
        log_prediction(self.home, "late", name, 1, 1000, rows, {"probability": [0.5] * count})
        log_labels(self.home, "late", {f"{name}.{row}": 1.0 for row in range(count)})

    def wait(self, alert: Alert, trigger: TriggerSpec) -> Wait | None:
        return why_wait(self.home, trigger, alert, list_answers(self.home, "late"), list_alerts(self.home, "late"))


@pytest.fixture
def scene(home: Home) -> Scene:
    record_deployment(home, "late", "late", make_version(home), "process", {}, "manual")
    return Scene(home)


def make_version(home: Home) -> int:
    """A version of which only the name matters."""
    flavour = b"flavors:\n  sklearn: {pickled_model: model.pkl}\n"
    files = [TreeFile("MLmodel", home.objects.put(io.BytesIO(flavour)), "", len(flavour))]
    return record_model(home, "late", files, source="test").number


def test_who_has_nothing_to_wait_for_is_answered(scene: Scene):
    scene.windows_until(20)
    scene.labels(100)
    assert scene.wait(scene.alert("a"), TriggerSpec()) is None


def test_the_cool_down_counts_from_the_last_answer_in_the_time_of_events(scene: Scene):
    alert = scene.alert("b")
    scene.answered(10, "alert:a")
    scene.windows_until(23)
    wait = scene.wait(alert, TriggerSpec(labels=0))
    said = "the last answer is of 1970-01-11, and its cool-down of 14d runs until 1970-01-25"
    assert wait == Wait("cooldown", said)
    assert wait.step == "wait cooldown"
    scene.windows_until(24)
    assert scene.wait(alert, TriggerSpec(labels=0)) is None


@pytest.mark.parametrize("cause", ["deployed", "deployment:late@2", "alert:b"])
def test_a_reference_that_answers_no_other_alert_begins_no_cool_down(scene: Scene, cause: str):
    alert = scene.alert("b")
    scene.answered(10, cause)
    scene.windows_until(11)
    assert scene.wait(alert, TriggerSpec(labels=0)) is None


def test_an_alert_waits_for_as_many_labels_as_were_asked_for(scene: Scene):
    scene.windows_until(20)
    alert = scene.alert("a")
    scene.labels(99)
    assert scene.wait(alert, TriggerSpec()) == Wait("labels", "99 labels have come, and 100 are wanted (labels:)")
    assert scene.wait(alert, TriggerSpec(labels=99)) is None
    scene.labels(1, "another")
    assert scene.wait(alert, TriggerSpec()) is None


def test_labels_from_before_the_last_answer_are_old_ones(scene: Scene):
    scene.labels(120)
    scene.answered(0, "alert:a")
    since_ms = scene.home.clock.now_ms()
    scene.windows_until(30)
    found = count_new_labels(scene.home, "late", since_ms)
    wait = scene.wait(scene.alert("b"), TriggerSpec(labels=500))
    assert found == 0
    assert wait is not None
    assert wait.reason.endswith("labels have come since the last answer, and 500 are wanted (labels:)")


def test_a_budget_that_is_spent_names_the_day_when_it_is_not(scene: Scene):
    for name, day in (("a", 10), ("b", 20), ("c", 30)):
        scene.retrained(name, day, "run", "close")
    scene.windows_until(39)
    alert = scene.alert("d")
    wait = scene.wait(alert, TriggerSpec(labels=0))
    assert wait is not None
    assert wait.reason == (
        "the budget of 3 retrainings in 30d is spent until 1970-02-10; it waits for a person: taut watch dismiss d, "
        "or a larger budget"
    )
    assert wait.step == "wait budget"
    assert scene.wait(alert, TriggerSpec(labels=0, budget=BudgetSpec(runs=4))) is None
    assert scene.wait(alert, TriggerSpec(labels=0, budget=BudgetSpec(per="19d"))) is None
    scene.windows_until(40)
    assert scene.wait(alert, TriggerSpec(labels=0)) is None


def test_a_training_that_failed_is_a_run_spent_and_a_refusal_of_the_data_is_none(scene: Scene):
    scene.retrained("a", 10, "attempt 1", "close")
    scene.retrained("b", 20, "inspect", "close")
    scene.windows_until(21)
    alert = scene.alert("c")
    assert scene.wait(alert, TriggerSpec(labels=0, budget=BudgetSpec(runs=2))) is None
    wait = scene.wait(alert, TriggerSpec(labels=0, budget=BudgetSpec(runs=1)))
    assert wait is not None
    assert wait.name == "budget"


def test_one_answer_is_given_at_a_time(scene: Scene):
    scene.retrained("a", 10)
    scene.windows_until(11)
    alert = scene.alert("b")
    wait = scene.wait(alert, TriggerSpec(labels=0))
    assert wait == Wait("answer", "the answer to alert:a is under way, and one is given at a time")
    record_step(scene.home, "alert:a", "close", {})
    assert scene.wait(alert, TriggerSpec(labels=0)) is None


def test_an_answer_is_under_way_from_its_export_to_its_close():
    steps: list[Steps] = [{}, {"wait labels": {}}, {"export": {}}]
    assert [is_under_way(one) for one in steps] == [False, False, True]
    assert not is_under_way({"export": {}, "close": {}})


def test_a_midnight_is_a_day_and_another_moment_has_its_minute():
    assert [moment(at_ms) for at_ms in (0, DAY_MS, 90_061_001)] == ["1970-01-01", "1970-01-02", "1970-01-02 01:01"]


def test_a_trigger_has_defaults_that_bound_what_it_does():
    trigger = TriggerSpec()
    assert (trigger.cooldown, trigger.labels, trigger.learn_from) == ("14d", 100, "all")
    assert (trigger.budget.runs, trigger.budget.per) == (3, "30d")
    assert duration_ms(TriggerSpec(learn_from="90d").learn_from) == 90 * DAY_MS


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("cooldown: soon", "cooldown: 'soon' is no duration"),
        ("holdout_for: 14 days", "holdout_for: '14 days' is no duration"),
        ("labels: -1", "labels is a count of new labels, 0 at least"),
        ("learn_from: yesterday", "learn_from is all, since-reference or a duration, as 90d; not 'yesterday'"),
        ("learn_from: 0d", "learn_from is all"),
        ("budget: {runs: 0}", "a budget has 1 run at least"),
        ("budget: {per: month}", "per: 'month' is no duration"),
        ("budget: {times: 3}", "times"),
    ],
)
def test_what_no_policy_can_be_is_told_with_its_place(tmp_path, written: str, told: str):
    (tmp_path / "taut.yaml").write_text(f"triggers:\n  late:\n    run: python train.py\n    {written}\n")
    with pytest.raises(Invalid) as problem:
        read_project(tmp_path)
    assert told in problem.value.message
    assert "taut.yaml" in problem.value.message
