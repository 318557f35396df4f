"""`plan` and `apply`: what taut.yaml wants held against what is, and made so."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from taut.deploy import (
    check_deployment,
    config_of,
    has_steps,
    is_under_way,
    list_deployments,
    list_states,
    must_not_be_back,
    plan_deployment,
    roll_out,
    told,
)
from taut.deploy.targets import Step
from taut.errors import NotFound, TautError
from taut.home import Home
from taut.models import find_model
from taut.project import DeploymentSpec, ProjectFile
from taut.records import Deployment, DeploymentState, ModelVersion
from taut.watch import list_references, renew_reference


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs: what would be done to which deployment or monitor, and why, or why it cannot be.

    `steps` are what the target of a deployment would do for it: to which processes, containers or objects.
    """

    action: Literal["create", "update", "start", "watch", "blocked"]
    kind: Literal["deployment", "monitor"]
    name: str
    text: str
    steps: tuple[Step, ...] = ()


def plan_project(home: Home, project: ProjectFile) -> list[Change]:
    """What `apply_project` would do, in its order; empty where all is as taut.yaml wants it. Changes nothing.

    It knows what this home and folder hold (models, verdicts, the gate's rows) and what targets say of themselves.
    What only trying shows, as a port that is in use, is found when it is applied.
    """
    return [change for change, _ in _planned(home, project)]


def apply_project(home: Home, project: ProjectFile) -> Iterator[Change]:
    """Do what the plan says; yields each change when it is done. Applying again changes nothing.

    What is blocked or fails does not keep the rest from it; the first problem is raised at the end.
    """
    problems: dict[str, TautError] = {}
    for change, problem in _planned(home, project):
        if problem is not None:
            problems.setdefault(change.name, problem)
        elif change.name not in problems:  # Nobody watches what could not be deployed.
            try:
                _make(home, project, change)
            except TautError as failure:
                problems[change.name] = failure
            else:
                yield change
    for problem in problems.values():
        raise problem


def begin_watching(home: Home, project: ProjectFile, deployment: str) -> None:
    """Give a deployment its first reference: the gate's own rows, scored by the version that serves."""
    model = _check_monitor(home, project, deployment)
    renew_reference(
        home,
        deployment,
        model=model,
        spec=project.monitors[deployment],
        gate=project.gate_of(model.name),
        from_ms=None,
        cause="deployed",
    )


def _planned(home: Home, project: ProjectFile) -> Iterator[tuple[Change, TautError | None]]:
    """Each change, and what keeps it from being made."""
    existing = {one.name: one for one in list_deployments(home)}
    states = {one.name: one for one in list_states(home)}
    blocked: dict[str, TautError] = {}
    for name, spec in project.deployments.items():
        try:
            change = _plan_deployment(home, project, name, spec, existing.get(name), states.get(name))
        except TautError as problem:
            blocked[name] = problem
            yield Change("blocked", "deployment", name, problem.message), problem
        else:
            if change is not None:
                yield change, None
    for name, monitor in project.monitors.items():
        if list_references(home, name):
            continue
        try:
            if name in blocked:
                raise blocked[name]
            _check_monitor(home, project, name)
        except TautError as problem:
            text = "its deployment is blocked" if name in blocked else problem.message
            yield Change("blocked", "monitor", name, text), problem
        else:
            text = f"windows of {monitor.window}, lifetime alpha {monitor.alpha}"
            yield Change("watch", "monitor", name, text), None


def _plan_deployment(
    home: Home,
    project: ProjectFile,
    name: str,
    spec: DeploymentSpec,
    now: Deployment | None,
    state: DeploymentState | None,
) -> Change | None:
    """What is to be done to a deployment. Raises what `deploy_model` would, before it has begun."""
    version = find_model(home, spec.model)
    wanted = f"{version.name}@{version.number} on {spec.target}"
    if now is not None and _is_on_its_way(now, version, spec):
        if state is not None and state.status == "running":
            return None
        seen = state.status if state else "not started"
        what = f"{told(now.backends)} on {now.target} is {seen}"
        return Change("start", "deployment", name, what, plan_deployment(home, now))
    must_not_be_back(home, name, version)
    check_deployment(home, name, version.name, version.number, _has_gate(project, version.name))
    revision = 1 if now is None else now.revision + 1
    steps = plan_deployment(
        home,
        Deployment(
            name, revision, version.name, version.number, spec.target, config_of(spec), "apply", home.clock.now_ms(),
            home.actor.name,
        ),
    )  # fmt: skip
    if now is None:
        return Change("create", "deployment", name, wanted, steps)
    return Change("update", "deployment", name, f"{told(now.backends)} on {now.target} -> {wanted}", steps)


def _is_on_its_way(now: Deployment, version: ModelVersion, spec: DeploymentSpec) -> bool:
    """Whether a deployment is as it is wanted: the version is live, or the canary that the steps make live."""
    if (now.target, now.config) != (spec.target, config_of(spec)):
        return False
    is_live = (now.model, now.number) == (version.name, version.number)
    return is_live or (has_steps(spec) and is_under_way(now, version))


def _check_monitor(home: Home, project: ProjectFile, deployment: str) -> ModelVersion:
    """The version that a deployment is watched by. Raises NotFound for whatever its reference would be made of."""
    spec = project.deployments.get(deployment)
    if spec is None:
        raise NotFound(
            f"taut.yaml watches {deployment!r} but does not deploy it",
            hint=f"add deployments: {deployment}: to taut.yaml",
        )
    model = find_model(home, spec.model)
    gate = project.gate_of(model.name)  # Its rows are what the monitor starts from.
    if not (home.project / gate.data).is_file():
        raise NotFound(f"the gate of {model.name!r} has no file {gate.data}", hint="taut data checkout")
    return model


def _make(home: Home, project: ProjectFile, change: Change) -> None:
    if change.kind == "monitor":
        begin_watching(home, project, change.name)
        return
    spec = project.deployments[change.name]
    roll_out(home, change.name, spec=spec, cause="apply")


def _has_gate(project: ProjectFile, model: str) -> bool:
    wanted = project.models.get(model)
    return wanted is not None and wanted.gate is not None
