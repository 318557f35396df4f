"""A rollout by hand: the loop holds the version that answers against its own reference, and watches it as any other."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from taut.deploy import config_of, deploy_model, find_deployment, record_deployment, stop_deployment
from taut.errors import NotFound
from taut.ground.objects import read_object
from taut.home import Home
from taut.models import find_model, gate_model, register_folder
from taut.pipelines.loop import reconcile
from taut.pipelines.plan import apply_project, begin_watching
from taut.pipelines.steps import StepDone
from taut.project import read_project
from taut.watch import find_reference, list_alerts, list_references, list_windows
from tests.pipelines.scenes import BEGIN_MS, DAY_MS, PROJECT, ROWS_A_DAY, Simulated, day_of, fitted, simulated
from tests.serve.scenes import save_model

WATCH_ONLY = PROJECT[: PROJECT.index("triggers:")]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Simulated]:
    """Version 1 serves and is watched, version 2 has passed its gate; no process runs, the days are answered here."""
    with simulated(tmp_path / "project", drift_from=9, text=WATCH_ONLY) as scene:
        second_model(scene.home)
        put_out(scene.home, 1)
        begin_watching(scene.home, scene.project, "late")
        yield scene


def second_model(home: Home) -> None:
    days = [day_of(number, drift_from=10**9) for number in range(-60, -40)]
    columns = np.array([row for day in days for row in zip(day.inputs["delay"], day.inputs["seats"], strict=True)])
    model = fitted(columns, np.array([late for day in days for late in day.late]))
    version = register_folder(home, "late", save_model(home.project / "second", model))
    assert gate_model(
        home, "late", version.number, spec=read_project(home.project).gate_of("late"), folder=home.project
    ).passed


def put_out(home: Home, number: int) -> None:
    """Record a rollout by hand; its process is one that was stopped, for nobody needs it here."""
    wanted = read_project(home.project).deployments["late"]
    record_deployment(home, "late", "late", number, "process", config_of(wanted), "manual", True)
    stop_deployment(home, "late")


def pass_days(scene: Simulated, days: int) -> list[StepDone]:
    said = []
    for _ in range(days):
        scene.pass_day()
        said += list(reconcile(scene.home, scene.project))
    return said


def counted(home: Home) -> list[tuple[int, int, int]]:
    """Reference, version and rows of each closed window."""
    return [(one.reference, one.version, one.rows) for one in list_windows(home, "late")]


def test_the_days_of_each_version_are_held_against_its_own_reference(scene):
    pass_days(scene, 2)
    put_out(scene.home, 2)
    said = pass_days(scene, 3)
    assert counted(scene.home) == [(1, 1, ROWS_A_DAY)] * 2 + [(2, 2, ROWS_A_DAY)] * 2
    first, second = list_references(scene.home, "late")
    assert (second.version, second.cause, second.from_ms) == (2, "deployment:late@2", BEGIN_MS + 2 * DAY_MS)
    assert read_object(scene.home.objects, first.oid) != read_object(scene.home.objects, second.oid)
    (done,) = [done for done in said if done.step == "reference"]
    assert (done.plan, done.facts["version"]) == ("deployment:late", 2)


def test_however_late_the_loop_comes_each_day_is_held_against_who_answered(scene):
    for number in (1, 2, 1, 2):
        put_out(scene.home, number)
        scene.pass_day()
    scene.pass_day()
    list(reconcile(scene.home, scene.project))
    assert [version for _, version, _ in counted(scene.home)] == [1, 2, 1, 2]
    assert {rows for _, _, rows in counted(scene.home)} == {ROWS_A_DAY}
    assert list(reconcile(scene.home, scene.project)) == []


def test_what_drifts_after_a_rollout_by_hand_is_found(scene):
    pass_days(scene, 2)
    put_out(scene.home, 2)
    pass_days(scene, 28)
    (alert,) = [alert for alert in list_alerts(scene.home, "late") if alert.severity == "page"]
    assert alert.version == 2
    assert alert.window_start_ms >= BEGIN_MS + 9 * DAY_MS


def test_a_model_without_a_gate_is_told_and_no_window_is_counted_against_the_wrong_one(scene):
    pass_days(scene, 2)
    put_out(scene.home, 2)
    scene.pass_day()
    scene.pass_day()
    text = WATCH_ONLY[WATCH_ONLY.index("deployments:") :]
    (scene.home.project / "taut.yaml").write_text(text)
    with pytest.raises(NotFound, match="no gate for model 'late'"):
        list(reconcile(scene.home, scene.project))
    assert counted(scene.home) == [(1, 1, ROWS_A_DAY)] * 2
    (scene.home.project / "taut.yaml").write_text(WATCH_ONLY)
    list(reconcile(scene.home, scene.project))
    assert counted(scene.home)[2:] == [(2, 2, ROWS_A_DAY)]


@pytest.mark.slow
def test_with_real_processes_a_rollout_by_hand_is_followed_at_the_next_round(tmp_path):
    with simulated(tmp_path / "project", text=WATCH_ONLY) as scene:
        list(apply_project(scene.home, scene.project))
        second_model(scene.home)
        pass_days(scene, 2)
        deploy_model(scene.home, "late", model="late@2", spec=scene.project.deployments["late"])
        pass_days(scene, 3)
        assert (find_deployment(scene.home, "late").number, find_reference(scene.home, "late").version) == (2, 2)
        assert find_model(scene.home, "late@champion").number == 1
        assert counted(scene.home) == [(1, 1, ROWS_A_DAY)] * 2 + [(2, 2, ROWS_A_DAY)] * 2
