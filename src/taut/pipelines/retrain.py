"""The steps that answer an alert: new data, a new run, a new version, a verdict, and what the verdict asks for."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from taut.data import add_dataset
from taut.deploy import find_deployment, roll_out
from taut.errors import Invalid, NotFound, Unavailable
from taut.ground import wire
from taut.ground.clock import duration_ms
from taut.ground.objects import read_object
from taut.home import Home
from taut.models import find_model, gate_model, promote_model, register_model
from taut.pipelines.steps import Facts, close_plan, record_step
from taut.project import ProjectFile, TriggerSpec
from taut.records import Alert
from taut.runs import get_run
from taut.watch import export_labelled, newest_window, record_source, renew_reference

Steps = dict[str, Facts]
ATTEMPTS = 3  # A training that fails three times needs a person, not a fourth.


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: its name, what it says before it begins, and the deed."""

    name: str
    says: str
    act: Callable[[Home, ProjectFile, TriggerSpec, Alert, Steps], Facts]


def _export(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """Labelled predictions of all closed windows: all but the newest to learn from, the newest to judge by."""
    until_ms = newest_window(home, alert.deployment).end_ms
    split_ms = until_ms - duration_ms(trigger.holdout_for)
    learn = export_labelled(
        home, alert.deployment, home.project / trigger.labelled, target=trigger.target, from_ms=0, until_ms=split_ms
    )
    judge = export_labelled(
        home,
        alert.deployment,
        home.project / trigger.holdout,
        target=trigger.target,
        from_ms=split_ms,
        until_ms=until_ms,
    )
    if not judge:
        raise Invalid(
            f"no label has come for the {trigger.holdout_for} before {alert.point}; nothing to judge a new model by",
            hint=f"taut watch status {alert.deployment}",
        )
    return {"learn": learn, "judge": judge, "until_ms": until_ms}


def _snapshot(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The two exports as dataset versions, with the arrows from the deployment that said them."""
    versions = [add_dataset(home, home.project / path) for path in (trigger.labelled, trigger.holdout)]
    for version in versions:
        record_source(home, version.name, version.number, alert.deployment)
    return {"labelled": versions[0].point, "holdout": versions[1].point}


def _run(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """Train, in a process of its own. The run's id follows from the alert, so that no alert trains twice."""
    run_id = wire.digest(["retrain", alert.id])[:32]
    failed = [name for name in done if name.startswith("attempt")]
    if len(failed) >= ATTEMPTS:
        hint = f"taut runs show {run_id[:8]}"
        raise Unavailable(
            f"retraining for {alert.point} has failed {len(failed)} times; it waits for a person", hint=hint
        )
    command = [
        sys.executable, "-m", "taut", "run", "--run-id", run_id, "--name", f"retrain {alert.deployment}",
        "--cause", alert.point, "--", *shlex.split(trigger.run),
    ]  # fmt: skip
    ended = subprocess.run(
        command, cwd=home.project, env=_environment(home), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if ended.returncode != 0:
        if _goes_on(home, run_id):
            raise Unavailable(f"another loop is training for {alert.point}", hint=f"taut runs show {run_id[:8]}")
        record_step(home, alert.point, f"attempt {len(failed) + 1}", {"run": run_id, "exit": ended.returncode})
        last = _last_words(home, run_id, ended.stdout)
        raise Unavailable(f"retraining for {alert.point} failed: {last}", hint=f"taut runs show {run_id[:8]}")
    return {"run": get_run(home, run_id).id}


def _goes_on(home: Home, run_id: str) -> bool:
    """Whether the run was refused because somebody else has it under way: that is no failed attempt."""
    try:
        return get_run(home, run_id).status == "RUNNING"
    except NotFound:
        return False


def _last_words(home: Home, run_id: str, said: str) -> str:
    """The last line of what the training itself printed; of `taut run` where it never came to training."""
    try:
        output = get_run(home, run_id).capture.output
        own = read_object(home.objects, output).decode(errors="replace") if output else ""
    except NotFound:
        own = ""
    lines = (own.strip() or said.strip()).splitlines()
    return lines[-1] if lines else "it said nothing"


def _register(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The model that the run logged becomes the next version."""
    run = get_run(home, str(done["run"]["run"]))
    version = register_model(home, _model(project, trigger, alert), run_id=run.id)
    return {"model": version.name, "number": version.number}


def _gate(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The verdict, against the champion on the newest labelled rows."""
    name, number = str(done["register"]["model"]), int(str(done["register"]["number"]))
    verdict_id = wire.digest(["gate", alert.id])[:32]  # Asked twice after a kill, it is one verdict.
    result = gate_model(home, name, number, spec=project.gate_of(name), folder=home.project, gate_id=verdict_id)
    refusals = "; ".join(f"{check.name}: {check.text}" for check in result.checks if not check.passed)
    return {"gate": result.id, "passed": result.passed, "refusals": refusals}


def _promote(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The champion's name moves, if the gate said yes."""
    if not done["gate"]["passed"]:
        return {"promoted": False}
    name, number = str(done["register"]["model"]), int(str(done["register"]["number"]))
    promote_model(home, name, number, gated=True)
    return {"promoted": True}


def _rollout(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The new version serves, at once or by the first of its steps; the old one until it answers."""
    if not done["gate"]["passed"]:
        return {"revision": None}
    wanted = project.deployments[alert.deployment]
    model = f"{done['register']['model']}@{done['register']['number']}"
    state = roll_out(home, alert.deployment, spec=replace(wanted, model=model), cause=alert.point)
    return {"revision": state.revision, "url": state.url}


def _refer(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """Whoever serves now is held against the newest labelled rows from here on; the evidence begins anew."""
    serving = find_deployment(home, alert.deployment)
    model = find_model(home, f"{serving.model}@{serving.number}")
    reference = renew_reference(
        home,
        alert.deployment,
        model=model,
        spec=project.monitors[alert.deployment],
        gate=project.gate_of(model.name),
        from_ms=int(str(done["export"]["until_ms"])),
        cause=alert.point,
    )
    return {"reference": reference.number, "version": model.number}


def _close(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The alert is answered, one way or the other."""
    verdict = "retrained and rolled out" if done["gate"]["passed"] else "retrained; the gate refused the new version"
    return close_plan(home, alert.id, "close", verdict)


RETRAIN = (
    Step("export", "writing labelled predictions as training data", _export),
    Step("snapshot", "snapshotting them", _snapshot),
    Step("run", "training again", _run),
    Step("register", "registering the new version", _register),
    Step("gate", "asking the gate", _gate),
    Step("promote", "promoting what the gate let pass", _promote),
    Step("rollout", "rolling out", _rollout),
    Step("refer", "renewing the reference", _refer),
    Step("close", "closing the alert", _close),
)


def _environment(home: Home) -> dict[str, str]:
    """Ours, with the `python` that taut itself runs on first on the path: nobody activates a loop's environment."""
    ours = os.fspath(Path(sys.executable).parent)
    path = f"{ours}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "TAUT_HOME": home.place, "TAUT_PROJECT": home.project_name, "PATH": path}


def _model(project: ProjectFile, trigger: TriggerSpec, alert: Alert) -> str:
    if trigger.model:
        return trigger.model
    found = project.deployments.get(alert.deployment)
    if found is None:
        raise NotFound(
            f"taut.yaml has no deployment {alert.deployment!r}",
            hint=f"add deployments: {alert.deployment}: to taut.yaml",
        )
    return found.model.partition("@")[0]
