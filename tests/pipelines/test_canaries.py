"""Canaries in the loop: step by step over real counters, back at a page or at errors, each step once whatever dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import msgspec
import pytest

from taut.deploy import (
    deploy_model,
    find_deployment,
    find_state,
    list_revisions,
    reconcile_deployments,
    roll_out,
    told,
    try_model,
)
from taut.deploy import targets as table
from taut.errors import Refused, TautError
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.home import Home, open_home
from taut.models import record_gate
from taut.pipelines.rollout import follow_rollouts
from taut.pipelines.steps import StepDone
from taut.project import DeploymentSpec, RollbackSpec, RolloutSpec
from taut.records import Alert, GateCheck
from taut.serve import log_labels
from taut.serve.log.said import Role
from taut.serve.rollout.canaries import judge_labels, show_standing
from taut.watch import list_alerts
from taut.watch.alerts import raise_alert
from tests.deploy.recorded import Shelf
from tests.parts import eventually
from tests.serve.log.scenes import said, say
from tests.serve.scenes import make_home, register

MINUTE_MS = 60_000
SPEC = DeploymentSpec(model="late@2", rollout=RolloutSpec(steps=(5, 25, 100), hold="10min", requests=100))


class Counters:
    """What the versions of an endpoint have counted, shown at `/metrics` of a real server, under any revision."""

    def __init__(self) -> None:
        self.revision = 0
        self.requests: dict[tuple[int, int], int] = {}
        self.errors: dict[tuple[int, int], int] = {}
        self.answers = True

    def count(self, version: int, requests: int, errors: int = 0) -> None:
        """Count requests of a version under the revision that runs."""
        key = (version, self.revision)
        self.requests[key] = self.requests.get(key, 0) + requests
        self.errors[key] = self.errors.get(key, 0) + errors

    def text(self) -> str:
        lines = []
        for (version, revision), requests in self.requests.items():
            labels = f'deployment="late",model="late",version="{version}",revision="{revision}"'
            errors = self.errors[version, revision]
            lines += [
                f'taut_requests_total{{{labels},code="200"}} {requests - errors}',
                f'taut_requests_total{{{labels},code="500"}} {errors}',
                f'taut_request_seconds_bucket{{{labels},le="0.1"}} {requests}',
                f'taut_request_seconds_bucket{{{labels},le="+Inf"}} {requests}',
            ]
        return "\n".join(lines) + "\n"


@pytest.fixture
def counters() -> Iterator[tuple[Counters, str]]:
    """Counters and the URL that shows them."""
    shown = Counters()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if shown.answers else 503)
            self.end_headers()
            self.wfile.write(shown.text().encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield shown, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(10)


class Scene:
    """An endpoint on a target that only notes, on a clock that is set, and its counters."""

    def __init__(self, home: Home, clock: SetClock, counters: Counters) -> None:
        self.home, self.clock, self.counters = home, clock, counters
        self.problems: list[TautError] = []

    def round(self, *, minutes: int = 0) -> list[StepDone]:
        """Let time pass, then what `taut up` does about rollouts and processes."""
        self.clock.pass_ms(minutes * MINUTE_MS)
        done = list(follow_rollouts(self.home, self.problems))
        reconcile_deployments(self.home)
        self.counters.revision = find_deployment(self.home, "late").revision
        return done

    def traffic(self, live: int, canary: int, *, errors: int = 0) -> None:
        """Requests to both versions under the revision that runs."""
        self.counters.count(1, live)
        self.counters.count(2, canary, errors)

    @property
    def behind(self) -> str:
        return told(find_deployment(self.home, "late").backends)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counters: tuple[Counters, str]) -> Iterator[Scene]:
    """Version 1 is live and 2 begins by the first of its steps."""
    shown, url = counters
    shelf = Shelf(url)
    monkeypatch.setitem(sys.modules, shelf.__name__, shelf)
    monkeypatch.setattr(table, "TARGETS", MappingProxyType({**table.TARGETS, "process": shelf.__name__}))
    with make_home(tmp_path / "project") as made:
        for factor in (0.1, 0.2, 0.3):
            register(made, factor=factor)
    clock = SetClock(1_700_000_000_000)
    with open_home(tmp_path / "project", actor=Actor("ada", "owner"), clock=clock) as home:
        shelf.clock = clock
        deploy_model(home, "late", model="late@1")
        roll_out(home, "late", spec=SPEC, cause="apply")
        shown.revision = 2
        yield Scene(home, clock, shown)


def test_a_canary_that_does_well_takes_over_by_its_steps(scene: Scene):
    assert scene.behind == "late@1 95 %, canary late@2 5 %"
    scene.traffic(1_900, 100)
    assert scene.round(minutes=9) == [], "the time is not up"
    (step,) = scene.round(minutes=1)
    assert (step.plan, step.step, step.facts) == (
        "deployment:late", "step", {"canary": "late@2", "percent": 25.0, "revision": 3},
    )  # fmt: skip
    assert scene.behind == "late@1 75 %, canary late@2 25 %"
    scene.traffic(297, 99)
    assert scene.round(minutes=60) == [], "one request is lacking"
    scene.traffic(3, 1)
    (step,) = scene.round()
    assert (step.facts["percent"], scene.behind) == (100.0, "late@2")
    assert scene.round(minutes=60) == []
    newest, step_25, *_ = list_revisions(scene.home, "late")
    assert (newest.cause, step_25.cause, step_25.reason) == (
        "promotion", "step", "5 % held for 10min and 100 requests; nothing speaks against it",
    )  # fmt: skip


def test_a_canary_that_fails_is_taken_back_and_stays_away(scene: Scene):
    scene.traffic(1_900, 100, errors=30)
    (step,) = scene.round()
    assert step.step == "rollback"
    assert "30 of 100 requests failed" in str(step.facts["because"])
    state = find_state(scene.home, "late")
    assert state is not None
    assert (scene.behind, state.revision) == ("late@1", 3)
    assert scene.round(minutes=60) == []
    with pytest.raises(Refused, match="was taken back"):
        roll_out(scene.home, "late", spec=SPEC, cause="apply")


HARMED = RolloutSpec(steps=(5, 25, 100), hold="10min", rollback=RollbackSpec(harm=0.05, lateness="1 s"))


def answered(scene: Scene, version: int, rows: int, *, begin_ms: int, wrong: float) -> None:
    """Rows that a version answered with 0.25, a second apart, with labels of which a share is 1."""
    for place in range(rows):
        name = f"{version}-{begin_ms}-{place}"
        role: Role = "canary" if version == 2 else "live"
        say(scene.home, said(name, number=version, role=role, event_ms=[begin_ms + 1000 * place]))
    ids = {f"{version}-{begin_ms}-{place}.0": float(place < wrong * rows) for place in range(rows)}
    log_labels(scene.home, "late", ids)


def test_a_canary_that_is_wrong_more_often_is_taken_back_by_its_labels(scene: Scene):
    try_model(scene.home, "late", model="late@2", percent=5, spec=msgspec.structs.replace(SPEC, rollout=HARMED))
    assert scene.round() == [], "nothing is labelled yet"
    answered(scene, 1, 150, begin_ms=0, wrong=0.0)
    answered(scene, 2, 60, begin_ms=0, wrong=0.9)
    assert scene.round() == [], "these are too few"
    judged = show_standing(scene.home, "late")
    assert judged.evidence["labels"] > 5
    assert scene.round() == [], "and no row counts twice"
    assert show_standing(scene.home, "late") == judged
    answered(scene, 1, 50, begin_ms=200_000, wrong=0.0)
    answered(scene, 2, 50, begin_ms=200_000, wrong=0.9)
    (step,) = scene.round()
    assert (step.step, scene.behind) == ("rollback", "late@1")
    assert "the mean loss of 108 labelled rows is 0.5208, where that of 198 rows of live is 0.063" in str(
        step.facts["because"]
    )
    newest = find_deployment(scene.home, "late")
    assert newest.cause == "rollback:labels"


def test_a_canary_that_is_as_often_wrong_goes_on_and_without_harm_no_label_is_looked_at(scene: Scene):
    try_model(scene.home, "late", model="late@2", percent=5, spec=msgspec.structs.replace(SPEC, rollout=HARMED))
    answered(scene, 1, 200, begin_ms=0, wrong=0.3)
    answered(scene, 2, 120, begin_ms=0, wrong=0.3)
    assert scene.round() == []
    assert show_standing(scene.home, "late").evidence["labels"] < 0
    answered(scene, 2, 120, begin_ms=500_000, wrong=1.0)
    assert scene.round() == [], "live has no labels of that time yet"
    try_model(scene.home, "late", model="late@3", percent=5, spec=SPEC)
    assert judge_labels(scene.home, "late").text == "its labels are not looked at"


def test_labels_are_waited_for_in_the_time_of_events(scene: Scene):
    try_model(scene.home, "late", model="late@2", percent=5, spec=msgspec.structs.replace(SPEC, rollout=HARMED))
    answered(scene, 1, 10, begin_ms=0, wrong=0.0)
    answered(scene, 2, 10, begin_ms=0, wrong=0.0)
    judge_labels(scene.home, "late")
    with scene.home.meta.read() as tx:
        found = tx.rows("SELECT state FROM rollout WHERE name = 'late' ORDER BY began DESC")
    assert msgspec.json.decode(str(found[0][0]))["labels_until_ms"] == 8_000
    log_labels(scene.home, "late", {"2-0-3.0": 1.0})  # Corrected after it was counted.
    assert judge_labels(scene.home, "late").taken_back is False


def test_an_endpoint_that_tells_no_counts_takes_no_step(scene: Scene):
    scene.traffic(1_900, 100)
    assert scene.round() == []
    scene.counters.answers = False
    assert scene.round(minutes=60) == [], "it was well, and may be no more"
    scene.counters.answers = True
    assert [one.step for one in scene.round()] == ["step"]


def test_a_revision_that_is_not_up_yet_is_neither_judged_nor_followed(scene: Scene):
    scene.traffic(1_900, 100, errors=100)
    try_model(scene.home, "late", model="late@2", percent=10, spec=SPEC)
    assert scene.round(minutes=60) == [], "its counters are of the revision before"


def page(home: Home, version: int = 2) -> Alert:
    alert = Alert("a1", "late", version, 0, "ewin", "page", "label:error", {"e": 900.0}, "open", 5)
    with home.meta.transaction() as tx:
        assert raise_alert(home, tx, alert)
    return alert


def test_a_page_about_the_canarys_version_takes_it_back_and_is_answered(scene: Scene):
    page(scene.home)
    (step,) = scene.round()
    assert (step.step, scene.behind) == ("rollback", "late@1")
    newest = find_deployment(scene.home, "late")
    assert (newest.cause, newest.reason) == ("rollback:alert:a1", "late@2: alert:a1 pages, ewin on label:error")
    assert [one.status for one in list_alerts(scene.home, "late")] == ["handled"]
    assert scene.round() == []


def test_a_page_about_the_live_version_is_left_to_its_trigger(scene: Scene):
    page(scene.home, version=1)
    assert scene.round() == []
    assert [one.status for one in list_alerts(scene.home, "late")] == ["open"]


def test_a_loop_that_was_killed_between_the_rollback_and_the_answer_answers_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    from taut.pipelines import rollout

    page(scene.home)
    with monkeypatch.context() as killed:
        killed.setattr(rollout, "handle_alert", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            scene.round()
    assert [one.status for one in list_alerts(scene.home, "late")] == ["open"]
    assert [one.step for one in scene.round()] == ["close"]
    assert [one.status for one in list_alerts(scene.home, "late")] == ["handled"]
    assert len(list_revisions(scene.home, "late")) == 3


def test_a_step_whose_process_was_not_started_any_more_is_started_by_the_next_round(scene: Scene):
    scene.traffic(1_900, 100)
    scene.clock.pass_ms(10 * MINUTE_MS)
    next(follow_rollouts(scene.home, scene.problems))  # Killed here: recorded, not started.
    state = find_state(scene.home, "late")
    assert state is not None
    assert (find_deployment(scene.home, "late").revision, state.revision) == (3, 2)
    assert scene.round(minutes=60) == []
    state = find_state(scene.home, "late")
    assert state is not None
    assert state.revision == 3


def test_two_loops_at_once_take_one_step(scene: Scene):
    scene.traffic(1_900, 100)
    scene.clock.pass_ms(10 * MINUTE_MS)
    begin = threading.Barrier(4)
    said: list[StepDone] = []

    def one_loop() -> None:
        begin.wait(10)
        said.extend(follow_rollouts(scene.home, scene.problems))

    threads = [threading.Thread(target=one_loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert scene.problems == []
    assert {one.facts["revision"] for one in said} == {3}
    assert len(list_revisions(scene.home, "late")) == 3
    assert scene.behind == "late@1 75 %, canary late@2 25 %"


def test_a_gate_that_has_come_to_refuse_keeps_the_canary_where_it_is_and_others_go_on(scene: Scene):
    scene.traffic(1_900, 100)
    scene.round(minutes=10)
    scene.traffic(300, 100)
    record_gate(scene.home, "late", 2, checks=[GateCheck("brier", False, 0.1, 0.2, "worse")])
    assert scene.round(minutes=10) == []
    assert [str(problem) for problem in scene.problems] == ["late@2 may not be deployed: the gate refused it"]
    assert scene.behind == "late@1 75 %, canary late@2 25 %"


LOOP = """
import sys
from types import MappingProxyType
from taut.deploy import reconcile_deployments, targets as table
from taut.home import open_home
from taut.pipelines.rollout import follow_rollouts
from tests.deploy.recorded import Shelf
from tests.parts import eventually
shelf = Shelf(sys.argv[1])
sys.modules[shelf.__name__] = shelf
table.TARGETS = MappingProxyType({**table.TARGETS, "process": shelf.__name__})
with open_home() as home:
    while True:
        list(follow_rollouts(home, []))
        reconcile_deployments(home)
"""


@pytest.mark.slow
def test_loops_that_are_killed_at_any_moment_take_each_step_once(
    scene: Scene, counters: tuple[Counters, str], tmp_path: Path
):
    """Real processes, SIGKILL; hundreds of steps by tenths of a percent, each from the one before."""
    steps = tuple(round(5 + place / 10, 1) for place in range(900))
    spec = DeploymentSpec(model="late@2", rollout=RolloutSpec(steps=steps, hold="0 s", requests=0))
    try_model(scene.home, "late", model="late@2", percent=5, spec=spec)
    for scene.counters.revision in range(3, 950):
        scene.traffic(19, 1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TAUT_HOME": scene.home.place}
    reached = 3
    for turn in range(12):
        running = subprocess.Popen([sys.executable, "-c", LOOP, counters[1]], cwd=scene.home.project, env=environment)
        eventually(lambda: find_deployment(scene.home, "late").revision > reached + 2, what="steps", within=60)  # noqa: B023
        time.sleep(0.007 * turn)  # Anywhere in a round: there is nothing to wait for.
        running.send_signal(signal.SIGKILL)
        assert running.wait(10) == -signal.SIGKILL
        reached = find_deployment(scene.home, "late").revision
    revisions = list(reversed(list_revisions(scene.home, "late", 2_000)))[2:]
    shares = [round(100 * one.canary.weight, 6) for one in revisions if one.canary is not None]
    assert len(shares) > 30
    assert shares == list(steps[: len(shares)])
