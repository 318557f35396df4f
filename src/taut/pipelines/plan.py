"""`plan` and `apply`: what taut.yaml wants held against what is, and made so."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from taut.deploy import config_of, deploy_model, list_deployments, list_states
from taut.errors import NotFound
from taut.home import Home
from taut.models import find_model
from taut.project import DeploymentSpec, GateSpec, ProjectFile
from taut.records import Deployment, DeploymentState, ModelVersion
from taut.watch import list_references, renew_reference


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs: what would be done to which deployment or monitor, and why."""

    action: Literal["create", "update", "start", "watch", "blocked"]
    kind: Literal["deployment", "monitor"]
    name: str
    text: str


def plan_project(home: Home, project: ProjectFile) -> list[Change]:
    """What `apply_project` would do, in its order; empty where all is as taut.yaml wants it. Changes nothing."""
    existing = {one.name: one for one in list_deployments(home)}
    states = {one.name: one for one in list_states(home)}
    return [
        *_plan_deployments(home, project, existing, states),
        *_plan_monitors(home, project),
    ]


def apply_project(home: Home, project: ProjectFile) -> Iterator[Change]:
    """Do what the plan says; yields each change when it is done. Applying again changes nothing."""
    for change in plan_project(home, project):
        if change.action == "blocked":
            raise NotFound(f"{change.kind} {change.name}: {change.text}", hint="taut model list")
        if change.kind == "deployment":
            spec = project.deployments[change.name]
            deploy_model(home, change.name, model=spec.model, target=spec.target, cause="apply", spec=spec)
        else:
            begin_watching(home, project, change.name)
        yield change


def begin_watching(home: Home, project: ProjectFile, deployment: str) -> None:
    """Give a deployment its first reference: the gate's own rows, scored by the version that serves."""
    spec = project.deployments.get(deployment)
    if spec is None:
        raise NotFound(f"taut.yaml watches {deployment!r} but does not deploy it", hint="taut plan")
    model = find_model(home, spec.model)
    gate = _gate_of(project, model.name)
    if gate is None:
        raise NotFound(
            f"taut.yaml has no gate for model {model.name!r}, whose rows the monitor starts from", hint="taut plan"
        )
    renew_reference(
        home, deployment, model=model, spec=project.monitors[deployment], gate=gate, from_ms=None, cause="deployed"
    )


def _plan_deployments(
    home: Home, project: ProjectFile, existing: dict[str, Deployment], states: dict[str, DeploymentState]
) -> Iterator[Change]:
    for name, spec in project.deployments.items():
        try:
            version = find_model(home, spec.model)
        except NotFound as missing:
            yield Change("blocked", "deployment", name, missing.message)
            continue
        yield from _plan_one(name, spec, version, existing.get(name), states.get(name))


def _plan_one(
    name: str, spec: DeploymentSpec, version: ModelVersion, now: Deployment | None, state: DeploymentState | None
) -> Iterator[Change]:
    wanted = f"{version.name}@{version.number} on {spec.target}"
    if now is None:
        yield Change("create", "deployment", name, wanted)
    elif (now.model, now.number, now.target, now.config) != (
        version.name,
        version.number,
        spec.target,
        config_of(spec),
    ):
        yield Change("update", "deployment", name, f"{now.model}@{now.number} on {now.target} -> {wanted}")
    elif state is None or state.status != "running":
        yield Change("start", "deployment", name, f"{wanted} is {state.status if state else 'not started'}")


def _plan_monitors(home: Home, project: ProjectFile) -> Iterator[Change]:
    for name, spec in project.monitors.items():
        if name not in project.deployments:
            yield Change("blocked", "monitor", name, "there is no deployment of that name in taut.yaml")
        elif not list_references(home, name):
            yield Change("watch", "monitor", name, f"windows of {spec.window}, lifetime alpha {spec.alpha}")


def _gate_of(project: ProjectFile, model: str) -> GateSpec | None:
    found = project.models.get(model)
    return found.gate if found is not None else None
