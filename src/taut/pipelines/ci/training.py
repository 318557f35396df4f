"""What any CI system does for a project: the trainings that taut.yaml names, and their commands."""

import re
import shlex
from dataclasses import dataclass

from taut.errors import Invalid
from taut.project import ProjectFile

# The packages that the project's own requirements.txt names, taut and pytest among them.
INSTALL = ("python3 -m venv .venv", ".venv/bin/python -m pip install --requirement requirements.txt")
KEY = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Training:
    """A model that CI trains: `key` names its deployment, in words that every CI system takes for an identifier."""

    key: str
    model: str
    command: str

    def run(self, run_id: str) -> str:
        """The command that trains. `run_id` is shell text; the same id again starts nothing twice."""
        return f"taut run --run-id {run_id} --name {shlex.quote(f'ci {self.key}')} -- {self.command}"

    def register(self, run_id: str) -> str:
        """The command that registers what the run made; the first word that it prints is the version, as `late@3`."""
        return f"taut model register {shlex.quote(self.model)} --run {run_id}"


def trainings_of(project: ProjectFile) -> tuple[Training, ...]:
    """Every training that a trigger of taut.yaml names: what an alert would start is what CI starts.

    Raises Invalid for a name or a command that a workflow file could not hold on one line.
    """
    found = []
    for key, trigger in sorted(project.triggers.items()):
        if not trigger.run:
            continue
        deployment = project.deployments.get(key)
        model = trigger.model or (deployment.model.partition("@")[0] if deployment is not None else key)
        if KEY.fullmatch(key) is None or not trigger.run.isprintable() or not model.isprintable():
            raise Invalid(
                f"taut.yaml's trigger {key!r} cannot be a step of a workflow: its name takes small letters, digits and"
                " hyphens, its command and model one line",
                hint="taut plan",
            )
        found.append(Training(key, model, trigger.run))
    return tuple(found)


def gated(project: ProjectFile, training: Training) -> bool:
    """Whether the model has a gate to ask."""
    spec = project.models.get(training.model)
    return spec is not None and spec.gate is not None


def deploys_anywhere(project: ProjectFile) -> bool:
    """Whether any machine may apply taut.yaml; a process or container comes up on the very machine that applies it."""
    return all(one.target == "kubernetes" for one in project.deployments.values())
