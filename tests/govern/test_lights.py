"""Every light of `status`: what makes it go out, turn yellow or red, and the command that it names then."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from taut.deploy import record_deployment, report_state
from taut.deploy.running import Serving, publish, run_folder, serving_now
from taut.govern import Line, Station, show_line
from taut.ground.compute import handle_of, start_detached, stop_process
from taut.home import Home, open_home
from taut.models import promote_model, record_gate
from taut.records import DeploymentState, GateCheck
from taut.runs import create_run, log_batch, update_run
from tests.parts import eventually
from tests.serve.scenes import record, register, serving


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    with open_home(project) as opened:
        yield opened


def station(home: Home, name: str) -> Station:
    line: Line = show_line(home)
    return next(one for one in line.stations if one.name == name)


@pytest.mark.parametrize(
    ("status", "light"), [("FINISHED", "ok"), ("RUNNING", "ok"), ("FAILED", "warning"), ("KILLED", "warning")]
)
def test_the_light_of_runs_is_that_of_the_newest(home, status, light):
    run = create_run(home, name="first")
    update_run(home, run.id, status=status, ended_ms=None if status == "RUNNING" else 1)
    found = station(home, "run")
    assert found.light == light
    assert found.fact.startswith(f"first {status.lower()}")
    assert (found.next == f"taut runs show {run.id[:8]}") is (light == "warning")


def test_a_run_shows_a_metric_and_how_many_there_are(home):
    from taut.runs import MetricPoint

    create_run(home, name="older")
    run = create_run(home, name="newer", run_id="f" * 32)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE run SET started_ms = started_ms + 1000 WHERE id = :id", {"id": run.id})
    log_batch(home, run.id, metrics=[MetricPoint("auc", 0.75, 0, 0)])
    assert station(home, "run").fact == "newer running, auc 0.75 (2 in all)"


def test_a_model_without_a_champion_asks_for_the_gate(home):
    register(home)
    assert (station(home, "model").light, station(home, "model").next) == ("warning", "taut gate late@1")
    promote_model(home, "late", 1)
    assert (station(home, "model").light, station(home, "model").fact) == ("ok", "late@1, champion 1")


@pytest.mark.parametrize(("passed", "light", "said"), [(True, "ok", "passed"), (False, "warning", "was refused")])
def test_the_gate_shows_its_newest_verdict(home, passed, light, said):
    register(home)
    record_gate(home, "late", 1, checks=[GateCheck("brier", passed, 0.1, 0.2, "")])
    assert (station(home, "gate").light, station(home, "gate").fact) == (light, f"late@1 {said}")


def report(home: Home, status: Literal["running", "stopped", "failed"], handle: str = "") -> None:
    report_state(home, DeploymentState("late", 1, status, "http://127.0.0.1:9", handle, home.clock.now_ms()))


@pytest.mark.parametrize(
    ("status", "light", "next_"),
    [("stopped", "warning", "taut deploy late"), ("failed", "failing", "taut up --once")],
)
def test_what_was_reported_stopped_or_failed_is_shown_as_that(home, status, light, next_):
    register(home)
    record(home)
    report(home, status)
    found = station(home, "deploy")
    assert (found.light, found.next) == (light, next_)
    assert f"late@1 {status}" in found.fact
    assert "127.0.0.1" not in found.fact


def test_a_process_that_serves_is_green_and_one_that_was_killed_is_red(home):
    register(home)
    record(home)
    with serving(home) as server:
        report_state(
            home, DeploymentState("late", 1, "running", server.url, handle_of(server.process.pid), home.clock.now_ms())
        )
        found = station(home, "deploy")
        assert (found.light, found.next) == ("ok", "")
        assert found.fact == f"late@1 running at {server.url}"
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
        found = station(home, "deploy")
        assert (found.light, found.next) == ("failing", "taut up --once")
        assert show_line(home).next == "taut up --once"


def test_fronts_that_cannot_come_up_again_are_a_warning_with_their_reason(home):
    register(home)
    record(home)
    with serving(home) as server:
        (living,) = serving_now(run_folder(home), "late")
        report_state(home, DeploymentState("late", 1, "running", server.url, living.handle, home.clock.now_ms()))
        assert station(home, "deploy").light == "ok"
        publish(run_folder(home), replace(living, problem="front 0 ended: the model is damaged"))
        found = station(home, "deploy")
    assert (found.light, found.fact) == (
        "warning", f"late@1 running at {server.url}, but front 0 ended: the model is damaged"
    )  # fmt: skip
    assert found.next.startswith("tail ")


def test_another_process_with_the_number_of_the_dead_one_is_no_light(home, tmp_path):
    register(home)
    record(home)
    wait = "print('up', flush=True); import time; time.sleep(60)"
    handle = start_detached([sys.executable, "-c", wait], log=tmp_path / "log", folder=tmp_path, environment={})
    eventually(lambda: "up" in (tmp_path / "log").read_text(), what="the stranger")
    report(home, "running", handle.partition(":")[0] + ":1.elsewhere")
    assert station(home, "deploy").light == "failing"
    assert stop_process(handle)


def test_what_comes_first_is_what_fails_then_what_is_missing_in_the_order_of_the_line(home):
    assert show_line(home).next == "taut data add PATH"
    register(home)
    record_deployment(home, "late", "late", 1, "process", {}, "manual")
    report(home, "failed")
    assert show_line(home).next == "taut up --once"


def test_status_leaves_no_trace_of_having_looked(home):
    with home.meta.read() as tx:
        before = tx.rows("SELECT count(*) FROM ledger")
    show_line(home)
    with home.meta.read() as tx:
        assert tx.rows("SELECT count(*) FROM ledger") == before


def test_a_serving_file_of_a_dead_process_is_cleared_and_not_believed(home):
    register(home)
    record(home)
    (run_folder(home) / "late").mkdir(parents=True)
    publish(run_folder(home), Serving("late", 1, f"{os.getpid()}:1.dead", "http://127.0.0.1:9"))
    report(home, "running", f"{os.getpid()}:1.dead")
    assert station(home, "deploy").light == "failing"
