"""Where deployments run: the protocol of a target, and the table from its name to the module that keeps it."""

from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import Literal, Protocol, cast

from taut.errors import UsageError
from taut.home import Home
from taut.project import DeploymentSpec
from taut.records import Deployment, DeploymentState

# Name in taut.yaml -> module with the four functions; imported when it is asked for.
TARGETS: MappingProxyType[str, str] = MappingProxyType(
    {
        "process": "taut.deploy.targets.process",
        "docker": "taut.deploy.targets.docker",
        "kubernetes": "taut.deploy.targets.kubernetes",
    }
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a target would do: to which process, container or object, and in one line what."""

    action: Literal["build", "start", "change", "end"]
    what: str
    text: str


class Target(Protocol):
    """What keeps one revision of a deployment answering; a module of four functions.

    A target changes the world outside, never the metadata: whoever calls it stores the state that it returns.
    Only a target reads the `handle` of a state.
    """

    def plan(self, home: Home, deployment: Deployment, spec: DeploymentSpec) -> tuple[Step, ...]:
        """What `apply` would do, in its order; empty where the revision answers already. Changes nothing.

        The revision need not be recorded yet. Raises UsageError where the target's program is missing, or for what
        the target cannot give.
        """
        ...

    def apply(self, home: Home, deployment: Deployment, spec: DeploymentSpec) -> DeploymentState:
        """Make this revision answer under the deployment's name, and end older revisions after it does.

        Calling it again while the revision runs changes nothing and returns the same state. It returns only when
        requests are answered; until then an older revision goes on. Raises Unavailable with the last words of what
        did not come up, UsageError where the target's program is missing.
        """
        ...

    def status(self, home: Home, state: DeploymentState) -> DeploymentState:
        """Look again: the same state with `status` as found now; `failed` where it died or does not answer."""
        ...

    def remove(self, home: Home, state: DeploymentState) -> None:
        """End every revision of the deployment, after the requests it had accepted; gone already is no error."""
        ...


class Logs(Protocol):
    """A fifth function beside the protocol, for people: no decision rests on what it returns."""

    def __call__(self, home: Home, state: DeploymentState, *, lines: int = 100) -> str:
        """The newest lines that the deployment wrote; empty where there are none."""
        ...


def load_target(name: str) -> Target:
    """The target of that name. Raises UsageError with those there are."""
    return cast(Target, _module(name))


def load_logs(name: str) -> Logs:
    """The function `logs` of the target of that name. Raises UsageError with those there are."""
    return cast(Logs, _module(name).logs)


def _module(name: str) -> ModuleType:
    if name not in TARGETS:
        raise UsageError(f"there is no target {name!r}; there are {', '.join(TARGETS)}")
    return import_module(TARGETS[name])
