"""Sixty days from a seed, on a clock that is set: traffic, labels, drift from day 30, and the loop that answers it.

No real second is waited for; the one thing that takes time is real as well: a training process and a serving process.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from taut.data import find_dataset
from taut.deploy import find_deployment, find_state
from taut.govern import check_home, show_ledger, show_line, trace_prediction
from taut.ground.compute import is_alive
from taut.models import find_model, list_gates
from taut.pipelines.loop import reconcile
from taut.pipelines.plan import apply_project, plan_project
from taut.pipelines.retrain import RETRAIN
from taut.pipelines.steps import StepDone
from taut.runs import get_run, search_runs
from taut.watch import list_alerts, list_references, list_windows
from tests.pipelines.scenes import BEGIN_MS, DAY_MS, ROWS_A_DAY, Simulated, simulated

pytestmark = pytest.mark.slow
DAYS, DRIFT_FROM = 60, 30


@dataclass(frozen=True)
class Year:
    """The project after its sixty days, and what the loop said it did on each."""

    scene: Simulated
    said: list[tuple[int, StepDone]]

    @property
    def home(self):
        return self.scene.home

    @property
    def answered_on(self) -> int:
        return next(day for day, done in self.said if done.step == "close")


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    with simulated(tmp_path_factory.mktemp("year") / "project", drift_from=DRIFT_FROM) as scene:
        list(apply_project(scene.home, scene.project))
        said: list[tuple[int, StepDone]] = []
        for _ in range(DAYS):
            scene.pass_day()
            said += [(scene.day, done) for done in reconcile(scene.home, scene.project)]
        yield Year(scene, said)


def test_an_alert_retrains_once(year):
    (alert,) = list_alerts(year.home)
    assert [run.cause for run in search_runs(year.home)] == [alert.point]
    assert (alert.status, alert.severity) == ("handled", "page")


def test_the_alert_comes_after_the_drift_and_not_before(year):
    (alert,) = list_alerts(year.home)
    day = (alert.window_start_ms - BEGIN_MS) // DAY_MS
    assert DRIFT_FROM <= day <= DRIFT_FROM + 12
    assert alert.evidence["labels"] >= alert.evidence["bound"] > 1


def test_each_step_of_the_answer_was_taken_once_and_in_order(year):
    steps = [done.step for _, done in year.said if done.plan.startswith("alert:")]
    assert steps == [step.name for step in RETRAIN]
    told = [json.loads(event.body) for event in show_ledger(year.home, kind="loop.step", limit=100)]
    assert [entry["step"] for entry in told] == steps
    assert all(entry["reason"] for entry in told), "each says why"


def test_every_day_but_the_last_was_counted_once(year):
    windows = list_windows(year.home, "late")
    assert [window.start_ms for window in windows] == [BEGIN_MS + day * DAY_MS for day in range(DAYS - 1)]
    # The day of the answer was still asked of the old version: nobody's evidence, and so an empty window.
    empty = [window.start_ms for window in windows if window.rows == 0]
    assert empty == [BEGIN_MS + (year.answered_on - 1) * DAY_MS]
    assert all(window.labelled == window.rows == ROWS_A_DAY for window in windows if window.rows)


def test_the_new_version_serves_since_the_answer_and_the_old_until_then(year):
    deployment, state = find_deployment(year.home, "late"), find_state(year.home, "late")
    assert (deployment.revision, deployment.model, deployment.number) == (2, "late", 2)
    assert state is not None
    assert (state.revision, state.status) == (2, "running")
    assert is_alive(state.handle)
    windows = list_windows(year.home, "late")
    served = [window.version for window in windows]
    old = year.answered_on - 1  # The day of the answer was asked of the old version, and is not counted yet.
    assert served == [1] * old + [2] * (len(windows) - old)


def test_the_new_version_is_better_where_it_counts(year):
    """The gate said so before; the days after must show it: the Brier score falls where the drift had raised it."""
    windows = list_windows(year.home, "late")

    def brier(version: int, first_day: int) -> float:
        scores = [
            window.measures["brier"]
            for window in windows
            if window.version == version and window.start_ms >= BEGIN_MS + first_day * DAY_MS
        ]
        return sum(score for score in scores if score is not None) / len(scores)

    assert brier(2, 0) < brier(1, DRIFT_FROM)


def test_the_verdict_was_given_on_rows_that_the_new_version_never_saw(year):
    (verdict,) = list_gates(year.home, "late", 2)
    assert verdict.passed
    assert verdict.champion == 1
    export = next(done.facts for _, done in year.said if done.step == "export")
    assert export["judge"] == ROWS_A_DAY
    assert export["learn"] == (year.answered_on - 2) * ROWS_A_DAY


def test_the_evidence_begins_anew_after_the_answer(year):
    first, second = list_references(year.home, "late")
    (alert,) = list_alerts(year.home)
    assert (first.cause, first.version) == ("deployed", 1)
    assert (second.cause, second.version) == (alert.point, 2)
    after = [window for window in list_windows(year.home, "late") if window.reference == 2]
    assert after[0].start_ms == second.from_ms
    assert max(window.evidence["labels"] for window in after) < 50


def test_a_prediction_after_the_answer_is_traced_through_the_alert_to_the_rows_it_was_learned_from(year):
    trace = trace_prediction(year.home, f"day{DAYS - 1}.7")
    (alert,) = list_alerts(year.home)
    (run,) = search_runs(year.home)
    points = [link.point for link in trace.chain]
    assert points[:3] == [f"prediction:day{DAYS - 1}.7", "deployment:late@2", "model:late@2"]
    assert points[3].startswith("gate:")
    assert {run.point, alert.point, "data:labelled@1"} <= set(points)
    assert not any(point.startswith("deployment:late@1") for point in points)
    facts = {link.point: " ".join(link.facts) for link in trace.chain}
    assert f"cause {alert.point}" in facts[run.point]
    assert "python train.py" in facts[run.point]
    assert find_dataset(year.home, "labelled@1").tree in facts["data:labelled@1"]
    assert [one.model for one in trace.reached] == ["late@2"]
    assert trace.rows_reached == (DAYS - year.answered_on) * ROWS_A_DAY - 1


def test_a_prediction_before_the_answer_is_traced_to_the_first_version_alone(year):
    trace = trace_prediction(year.home, "day0.0")
    assert [one.model for one in trace.reached] == ["late@1"]
    assert "deployment:late@1" in [link.point for link in trace.chain]
    assert not any(link.point.startswith(("run:", "alert:")) for link in trace.chain)


def test_the_run_says_what_it_read_and_how_it_ended(year):
    (found,) = search_runs(year.home)
    run = get_run(year.home, found.id)
    assert (run.status, run.capture.exit_status) == ("FINISHED", 0)
    assert "labelled@1" in {read.dataset for read in run.capture.data}
    assert run.params["rows"] == str(2 * ROWS_A_DAY)


def test_all_lights_are_green_and_nothing_is_due(year):
    lights = {station.name: station.light for station in show_line(year.home).stations}
    assert lights == dict.fromkeys(lights, "ok")
    assert plan_project(year.home, year.scene.project) == []
    assert list(reconcile(year.home, year.scene.project)) == []


def test_nothing_is_damaged_after_all_of_it(year):
    assert check_home(year.home).problems == ()
    assert find_model(year.home, "late@champion").number == 2
