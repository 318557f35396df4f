"""Making it so: what is recorded is started, what died is started again, what must not run is stopped."""

from dataclasses import dataclass, replace
from typing import Literal

from taut.deploy.backends import Backends, with_canary, with_shadow, without
from taut.deploy.deployments import config_of, find_deployment, list_deployments, record_deployment, spec_of
from taut.deploy.rollouts import Changed, promote_canary, roll_back, taken_back
from taut.deploy.states import find_state, report_state
from taut.deploy.targets import Step, load_logs, load_target
from taut.errors import Conflict, NotFound, Refused, TautError
from taut.ground import wire
from taut.home import Home
from taut.models import find_model
from taut.project import FILE, DeploymentSpec, read_project
from taut.records import Backend, Deployment, DeploymentState, ModelVersion


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
    reason: str = "",
) -> DeploymentState:
    """Put a model version (`late@3`, `late@champion`, `late`) behind a name, and return when it answers there.

    It answers everything, in place of whatever stood there; where it is live already, a canary and shadows stay. A
    revision that runs already changes nothing. Until the new one answers, the old one does; what was killed in between
    is finished by the next call or by `reconcile_deployments`. `spec` says host, port and size, and then also the
    target. Raises Refused where the gate did not let the version pass.
    """
    asked = spec or _spec(model, target)
    load_target(asked.target)  # A misspelt target must not become a recorded wish.
    version = find_model(home, model)
    live = Backend(version.name, version.number)
    newest = newest_revision(home, name)
    stays = newest if newest is not None and newest.backends[0].version == live.version else None
    others = () if stays is None else stays.backends[1:]
    return start_deployment(home, _recorded(home, name, live, others, asked, cause, reason, stays))


def try_model(
    home: Home,
    name: str,
    *,
    model: str,
    percent: float = 0.0,
    cause: str = "manual",
    spec: DeploymentSpec | None = None,
    reason: str = "",
) -> DeploymentState:
    """Let a version answer `percent` of the requests as a canary, or all of them as a shadow, whom nobody hears, for 0.

    A canary takes the place of the one before; called with another share it gets that share. `spec` is the
    configuration, else it stays as it is. Raises NotFound where nothing serves under the name, Invalid, Conflict and
    Refused as `record_deployment` does.
    """
    newest = find_deployment(home, name)
    version = find_model(home, model)
    if percent:
        tried = Backend(version.name, version.number, percent / 100, "canary")
        others = with_canary(newest.backends, tried)
    else:
        others = with_shadow(newest.backends, Backend(version.name, version.number, 0.0, "shadow"))
    asked = spec or spec_of(newest)
    return start_deployment(home, _recorded(home, name, newest.backends[0], others, asked, cause, reason, newest))


def drop_model(home: Home, name: str, *, model: str, reason: str = "") -> DeploymentState:
    """Take a canary or a shadow away from an endpoint; one that is not there changes nothing.

    Raises NotFound for an unknown deployment or version, Conflict for the live version.
    """
    newest = find_deployment(home, name)
    version = find_model(home, model)
    gone = f"{version.name}@{version.number}"
    if gone == newest.backends[0].version:
        raise Conflict(f"{gone} is live; another one has to take over first", hint=f"taut rollback {name}")
    others = without(newest.backends, gone)
    asked = spec_of(newest)
    return start_deployment(home, _recorded(home, name, newest.backends[0], others, asked, "manual", reason, newest))


def go_live(home: Home, name: str, *, reason: str = "") -> Changed:
    """Let the canary of an endpoint answer everything, and return when it does. Raises as `promote_canary`."""
    seen = find_deployment(home, name)
    gated = seen.canary is not None and any(is_gated(home, one.model) for one in seen.backends)
    return _made_so(home, promote_canary(home, name, reason=reason, gated=gated, after=seen.revision))


def go_back(home: Home, name: str, *, to: int = 0, reason: str = "") -> Changed:
    """Take back what came last, or go to a revision, and return when that answers. Raises as `roll_back`."""
    return _made_so(home, roll_back(home, name, to=to, reason=reason))


def roll_out(home: Home, name: str, *, spec: DeploymentSpec, cause: str, again: bool = False) -> DeploymentState:
    """Bring about what taut.yaml says of a deployment: the version takes over at once, or by the first of its steps.

    A version on its way already goes on from where it stands. Raises Refused for one that was taken back last, unless
    `again`; and what `deploy_model` does.
    """
    version = find_model(home, spec.model)
    newest = newest_revision(home, name)
    if newest is None or not _steps(spec) or newest.backends[0].version == f"{version.name}@{version.number}":
        if not again:
            must_not_be_back(home, name, version)
        return deploy_model(home, name, model=spec.model, target=spec.target, cause=cause, spec=spec)
    if is_under_way(newest, version):
        canary = newest.canary
        assert canary is not None, newest
        return try_model(home, name, model=spec.model, percent=100 * canary.weight, cause=cause, spec=spec)
    if not again:
        must_not_be_back(home, name, version)
    return try_model(home, name, model=spec.model, percent=_steps(spec)[0], cause=cause, spec=spec)


def has_steps(spec: DeploymentSpec) -> bool:
    """Whether a new version takes over by steps, and not at once."""
    return bool(_steps(spec))


def is_under_way(newest: Deployment, version: ModelVersion) -> bool:
    """Whether a version is the canary of an endpoint."""
    canary = newest.canary
    return canary is not None and canary.version == f"{version.name}@{version.number}"


def must_not_be_back(home: Home, name: str, version: ModelVersion) -> None:
    """Raises Refused for a version that the newest revision was a rollback from."""
    gone = taken_back(home, name)
    if gone is not None and gone.version == f"{version.name}@{version.number}":
        newest = find_deployment(home, name)
        raise Refused(
            f"{gone.version} was taken back from {name!r} in revision {newest.revision}: {newest.reason or 'by hand'}",
            hint=f"taut deploy {name} {gone.version}, to try it all the same",
        )


def newest_revision(home: Home, name: str) -> Deployment | None:
    """The newest revision of a deployment, None where there is none of that name."""
    try:
        return find_deployment(home, name)
    except NotFound:
        return None


def start_deployment(home: Home, deployment: Deployment) -> DeploymentState:
    """Have a revision started by its target, end what it replaced elsewhere, and store what came of it."""
    before = find_state(home, deployment.name)
    state = load_target(deployment.target).apply(home, deployment, spec_of(deployment))
    if before is not None and before.status != "stopped" and before.revision != deployment.revision:
        _leave(home, before, deployment.target)
    # Reported last: whoever is killed before this line leaves a state that makes the next one do it all again.
    return report_state(home, state)


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


def _made_so(home: Home, changed: Changed) -> Changed:
    """Start what was decided, also where somebody was killed before; what was stopped since stays stopped."""
    state = find_state(home, changed.deployment.name)
    rests = state is not None and (state.status, state.revision) == ("stopped", changed.deployment.revision)
    if not rests:
        start_deployment(home, changed.deployment)
    return changed


def _steps(spec: DeploymentSpec) -> tuple[float, ...]:
    """The shares on the way to all requests, in percent."""
    return () if spec.rollout is None else tuple(step for step in spec.rollout.steps if step < 100.0)


def _recorded(
    home: Home, name: str, live: Backend, others: Backends, asked: DeploymentSpec, cause: str, reason: str,
    seen: Deployment | None = None,
) -> Deployment:  # fmt: skip
    gated = any(is_gated(home, one.model) for one in (live, *others))
    return record_deployment(
        home, name, live.model, live.number, asked.target, config_of(asked), cause, gated, others, reason,
        0 if seen is None else seen.revision,
    )  # fmt: skip


def is_gated(home: Home, model: str) -> bool:
    """Whether taut.yaml, where there is one, gives the model a gate."""
    if not (home.project / FILE).exists():
        return False
    wanted = read_project(home.project).models.get(model)
    return wanted is not None and wanted.gate is not None


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
        state = start_deployment(home, deployment)
    except TautError as problem:
        return Reconciled(deployment.name, deployment.revision, "failed", "", problem.message)
    same = known is not None and (known.revision, known.handle) == (state.revision, state.handle)
    return Reconciled(deployment.name, deployment.revision, "kept" if same else "started", state.url)
