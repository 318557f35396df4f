"""Making it so: what is recorded is started, what died is started again, what must not run is stopped."""

from dataclasses import dataclass, replace
from typing import Literal

from taut.deploy.deployments import config_of, find_deployment, list_deployments, record_deployment, spec_of
from taut.deploy.states import find_state, report_state
from taut.deploy.targets import Step, load_logs, load_target
from taut.errors import TautError
from taut.ground import wire
from taut.home import Home
from taut.models import find_model
from taut.project import FILE, DeploymentSpec, read_project
from taut.records import Deployment, DeploymentState


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was done about one deployment; `problem` says why it could not be done."""

    deployment: str
    revision: int
    done: Literal["kept", "started", "failed"]
    url: str
    problem: str = ""


def deploy_model(
    home: Home,
    name: str,
    *,
    model: str,
    target: str = "process",
    cause: str = "manual",
    spec: DeploymentSpec | None = None,
) -> DeploymentState:
    """Put a model version (`late@3`, `late@champion`, `late`) behind a name, and return when it answers there.

    A revision that runs already changes nothing. Until the new one answers, the old one does; what was killed in
    between is finished by the next call or by `reconcile_deployments`. `spec` says host, port and size, and then also
    the target. Raises Refused where the gate did not let the version pass.
    """
    asked = spec or _spec(model, target)
    load_target(asked.target)  # A misspelt target must not become a recorded wish.
    version = find_model(home, model)
    deployment = record_deployment(
        home, name, version.name, version.number, asked.target, config_of(asked), cause, _is_gated(home, version.name)
    )
    return _start(home, deployment)


def stop_deployment(home: Home, name: str) -> DeploymentState:
    """Stop serving under a name, after the requests that were accepted; it stays stopped until it is deployed again.

    Raises NotFound where there is no such deployment.
    """
    deployment = find_deployment(home, name)
    known = find_state(home, name)
    if known is None:
        known = DeploymentState(name, deployment.revision, "stopped", "", "", home.clock.now_ms())
    # The wish is stored first: whoever is killed between the two lines leaves something that reconciling will stop.
    stopped = report_state(
        home, replace(known, revision=deployment.revision, status="stopped", at_ms=home.clock.now_ms())
    )
    load_target(deployment.target).remove(home, known)
    return stopped


def plan_deployment(home: Home, deployment: Deployment) -> tuple[Step, ...]:
    """What a target would do to make a revision answer, recorded or not; empty where it does. Changes nothing.

    Raises UsageError where the target cannot be asked, or cannot give what the deployment wants.
    """
    return load_target(deployment.target).plan(home, deployment, spec_of(deployment))


def reconcile_deployments(home: Home) -> tuple[Reconciled, ...]:
    """Hold every deployment against what is recorded: adopt what lives, start what died, end what is stale.

    One that cannot be started does not keep the others from it; its `problem` says what was found.
    """
    return tuple(_reconciled(home, deployment) for deployment in list_deployments(home))


def deployment_logs(home: Home, name: str, *, lines: int = 100) -> str:
    """The newest lines that a deployment wrote. Raises NotFound where there is none of that name."""
    deployment = find_deployment(home, name)
    state = find_state(home, name)
    if state is None:
        state = DeploymentState(name, deployment.revision, "starting", "", "", deployment.at_ms)
    return load_logs(deployment.target)(home, state, lines=lines)


def _spec(model: str, target: str) -> DeploymentSpec:
    return wire.convert({"model": model, "target": target}, DeploymentSpec, what="the deployment")


def _is_gated(home: Home, model: str) -> bool:
    """Whether taut.yaml, where there is one, gives the model a gate."""
    if not (home.project / FILE).exists():
        return False
    wanted = read_project(home.project).models.get(model)
    return wanted is not None and wanted.gate is not None


def _start(home: Home, deployment: Deployment) -> DeploymentState:
    before = find_state(home, deployment.name)
    state = load_target(deployment.target).apply(home, deployment, spec_of(deployment))
    if before is not None and before.status != "stopped" and before.revision != deployment.revision:
        _leave(home, before, deployment.target)
    # Reported last: whoever is killed before this line leaves a state that makes the next one do it all again.
    return report_state(home, state)


def _leave(home: Home, before: DeploymentState, target: str) -> None:
    """Where a deployment moved to another target, end what it left behind on the old one."""
    old = find_deployment(home, before.name, before.revision).target
    if old != target:
        load_target(old).remove(home, before)


def _reconciled(home: Home, deployment: Deployment) -> Reconciled:
    known = find_state(home, deployment.name)
    try:
        if known is not None and known.status == "stopped" and known.revision == deployment.revision:
            load_target(deployment.target).remove(home, known)
            return Reconciled(deployment.name, deployment.revision, "kept", "")
        state = _start(home, deployment)
    except TautError as problem:
        return Reconciled(deployment.name, deployment.revision, "failed", "", problem.message)
    same = known is not None and (known.revision, known.handle) == (state.revision, state.handle)
    return Reconciled(deployment.name, deployment.revision, "kept" if same else "started", state.url)
