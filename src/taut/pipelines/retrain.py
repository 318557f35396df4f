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
from taut.deploy import find_deployment, find_state, has_steps, list_revisions, newest_revision, roll_out, told
from taut.errors import Invalid, NotFound, Unavailable
from taut.ground import wire
from taut.ground.clock import duration_ms
from taut.ground.objects import read_object
from taut.home import Home
from taut.models import find_model, gate_model, promote_model, register_model
from taut.pipelines.inspection import inspect_rows
from taut.pipelines.outcome import move_champion, outcome_of
from taut.pipelines.policy import moment
from taut.pipelines.steps import Facts, Steps, close_plan, record_step
from taut.project import DeploymentSpec, ProjectFile, TriggerSpec
from taut.records import Alert, Deployment, GateResult
from taut.runs import get_run
from taut.serve import traffic
from taut.watch import export_labelled, find_reference, newest_window, record_source, renew_reference

ATTEMPTS = 3  # A training that fails three times needs a person, not a fourth.


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: its name, what it says before it begins, and the deed; None where its time has not come."""

    name: str
    says: str
    act: Callable[[Home, ProjectFile, TriggerSpec, Alert, Steps], Facts | None]


def is_refused(done: Steps) -> bool:
    """Whether the data were found broken, so that nothing is done but to say so."""
    return bool(done.get("inspect", {}).get("broken"))


def _export(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """Labelled predictions of closed windows: those that the trigger learns from, and the newest to judge by."""
    name = alert.deployment
    until_ms = newest_window(home, name).end_ms
    split_ms = until_ms - duration_ms(trigger.holdout_for)
    first_ms = traffic(home, name).first_event_ms
    from_ms = min(max(_learn_from(home, trigger, name, split_ms), first_ms or 0), split_ms)
    paths = home.project / trigger.labelled, home.project / trigger.holdout
    learn = export_labelled(home, name, paths[0], target=trigger.target, from_ms=from_ms, until_ms=split_ms)
    judge = export_labelled(home, name, paths[1], target=trigger.target, from_ms=split_ms, until_ms=until_ms)
    if not judge:
        raise Invalid(
            f"no label has come for the {trigger.holdout_for} before {alert.point}; nothing to judge a new model by",
            hint=f"taut watch status {name}",
        )
    begins, splits, ends = (moment(at_ms) for at_ms in (from_ms, split_ms, until_ms))
    reason = (
        f"{learn:,} labelled rows from {begins} to {splits} to learn from ({trigger.learn_from}), "
        f"{judge:,} from then to {ends} to judge by"
    )
    return {
        "learn": learn, "judge": judge, "learn_from": trigger.learn_from, "from_ms": from_ms, "split_ms": split_ms,
        "until_ms": until_ms, "reason": reason,
    }  # fmt: skip


def _learn_from(home: Home, trigger: TriggerSpec, deployment: str, split_ms: int) -> int:
    """The first moment to learn from, in the time of events."""
    if trigger.learn_from == "all":
        return 0
    if trigger.learn_from == "since-reference":
        return find_reference(home, deployment).from_ms
    return max(0, split_ms - duration_ms(trigger.learn_from))


def _inspect(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """Whether the exported rows are data at all, or what a broken source wrote."""
    return inspect_rows(home, alert, done["export"])


def _snapshot(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The two exports as dataset versions, with the arrows from the deployment that said them."""
    versions = [add_dataset(home, home.project / path) for path in (trigger.labelled, trigger.holdout)]
    for version in versions:
        record_source(home, version.name, version.number, alert.deployment)
    reason = f"{versions[0].point} to learn from, {versions[1].point} to judge by"
    return {"labelled": versions[0].point, "holdout": versions[1].point, "reason": reason}


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
    return {"run": get_run(home, run_id).id, "reason": f"run {run_id[:8]} finished: {trigger.run}"}


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
    reason = f"{version.name}@{version.number}, as run {run.id[:8]} made it"
    return {"model": version.name, "number": version.number, "reason": reason}


def _gate(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The verdict, against the champion on the newest labelled rows."""
    name, number = str(done["register"]["model"]), int(str(done["register"]["number"]))
    verdict_id = wire.digest(["gate", alert.id])[:32]  # Asked twice after a kill, it is one verdict.
    result = gate_model(home, name, number, spec=project.gate_of(name), folder=home.project, gate_id=verdict_id)
    refusals = "; ".join(f"{check.name}: {check.text}" for check in result.checks if not check.passed)
    return {"gate": result.id, "passed": result.passed, "refusals": refusals, "reason": _verdict(result, refusals)}


def _verdict(result: GateResult, refusals: str) -> str:
    """A verdict in figures: what refused the version, else each measure that spoke for it."""
    against = f" against {result.model}@{result.champion}" if result.champion is not None else ""
    told = [check for check in result.checks if check.found is not None and check.name != "rows"]
    measured = "; ".join(f"{check.name}: {check.text}" for check in told)
    return f"accepted{against}: {measured}" if result.passed else f"refused{against}: {refusals}"


def _promote(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The champion's name moves, if the gate said yes; where a canary comes first, only once that has held."""
    if not done["gate"]["passed"]:
        return {"promoted": False, "reason": "the gate refused it"}
    name, number = str(done["register"]["model"]), int(str(done["register"]["number"]))
    if _comes_by_steps(home, _wanted(project, alert), alert, f"{name}@{number}"):
        return {"promoted": False, "reason": f"{name}@{number} is a canary first"}
    promote_model(home, name, number, gated=True)
    return {"promoted": True, "reason": f"{name}@champion is version {number}"}


def _rollout(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The new version serves, at once or by the first of its steps; the old one until it answers."""
    if not done["gate"]["passed"]:
        return {"revision": None, "reason": "the gate refused it"}
    wanted = _wanted(project, alert)
    model = f"{done['register']['model']}@{done['register']['number']}"
    made = next((one for one in list_revisions(home, alert.deployment) if one.cause == alert.point), None)
    if made is None or made.revision == find_deployment(home, alert.deployment).revision:
        state = roll_out(home, alert.deployment, spec=replace(wanted, model=model), cause=alert.point)
        made, url = find_deployment(home, alert.deployment, state.revision), state.url
    else:  # A kill came before this was recorded, and what it led to is recorded already.
        known = find_state(home, alert.deployment)
        url = "" if known is None else known.url
    return {"revision": made.revision, "url": url, "reason": f"revision {made.revision}: {_shares(made, wanted)}"}


def _shares(made: Deployment, wanted: DeploymentSpec) -> str:
    """Who answers which share under a revision, and what comes after it."""
    if made.canary is None or wanted.rollout is None:
        return f"{told(made.backends)} answers everything"
    asked = wanted.rollout
    steps = ", ".join(f"{step:g}" for step in asked.steps)
    return f"{told(made.backends)}; steps of {steps} %, each for {asked.hold} and {asked.requests} requests at least"


def _canary(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts | None:
    """What became of the version: its plan rests here until a canary is live or gone. One that held is champion now."""
    if not done["gate"]["passed"]:
        return {"outcome": "none", "reason": "the gate refused it"}
    name, number = str(done["register"]["model"]), int(str(done["register"]["number"]))
    found = outcome_of(home, alert.deployment, f"{name}@{number}", int(str(done["rollout"]["revision"])))
    if found is None or found["outcome"] != "promoted" or done["promote"]["promoted"]:
        return found
    moved, said = move_champion(home, name, number)
    return {**found, "champion": moved, "reason": f"{found['reason']}; {said}"}


def _refer(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """Whoever serves now is held against the newest labelled rows from here on; the evidence begins anew."""
    serving = find_deployment(home, alert.deployment)
    model = find_model(home, f"{serving.model}@{serving.number}")
    from_ms = int(str(done["export"]["until_ms"]))
    reference = renew_reference(
        home,
        alert.deployment,
        model=model,
        spec=project.monitors[alert.deployment],
        gate=project.gate_of(model.name),
        from_ms=from_ms,
        cause=alert.point,
    )
    reason = f"{model.name}@{model.number} is held against reference {reference.number} from {moment(from_ms)} on"
    return {"reference": reference.number, "version": model.number, "reason": reason}


def _close(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, done: Steps) -> Facts:
    """The alert is answered, one way or the other; where the data are broken it stays open, for a person."""
    if is_refused(done):
        return {"verdict": f"refused: the data are broken: {done['inspect']['reason']}"}
    return close_plan(home, alert.id, "close", _ending(done))


def _ending(done: Steps) -> str:
    """The whole answer in a sentence."""
    if not done["gate"]["passed"]:
        return f"retrained; the gate refused the new version: {done['gate']['refusals']}"
    ended = done["canary"]
    if ended["outcome"] in ("live", "promoted"):
        return "retrained and rolled out"
    return f"retrained; the new version was {ended['outcome']}: {ended['reason']}"


RETRAIN = (
    Step("export", "writing labelled predictions as training data", _export),
    Step("inspect", "holding them against the reference", _inspect),
    Step("snapshot", "snapshotting them", _snapshot),
    Step("run", "training again", _run),
    Step("register", "registering the new version", _register),
    Step("gate", "asking the gate", _gate),
    Step("promote", "promoting what the gate let pass", _promote),
    Step("rollout", "rolling out", _rollout),
    Step("canary", "looking what became of it", _canary),
    Step("refer", "renewing the reference", _refer),
    Step("close", "closing the alert", _close),
)


def _environment(home: Home) -> dict[str, str]:
    """Ours, with the `python` that taut itself runs on first on the path: nobody activates a loop's environment."""
    ours = os.fspath(Path(sys.executable).parent)
    path = f"{ours}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "TAUT_HOME": home.place, "TAUT_PROJECT": home.project_name, "PATH": path}


def _comes_by_steps(home: Home, wanted: DeploymentSpec, alert: Alert, version: str) -> bool:
    """Whether a version will be a canary first: there are steps, and another version that answers meanwhile."""
    newest = newest_revision(home, alert.deployment)
    return has_steps(wanted) and newest is not None and newest.backends[0].version != version


def _model(project: ProjectFile, trigger: TriggerSpec, alert: Alert) -> str:
    return trigger.model or _wanted(project, alert).model.partition("@")[0]


def _wanted(project: ProjectFile, alert: Alert) -> DeploymentSpec:
    found = project.deployments.get(alert.deployment)
    if found is None:
        raise NotFound(
            f"taut.yaml has no deployment {alert.deployment!r}",
            hint=f"add deployments: {alert.deployment}: to taut.yaml",
        )
    return found
