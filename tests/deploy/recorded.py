"""Scenes for deployments as records: a configuration, verdicts, and a target that does nothing."""

from types import ModuleType

from taut.deploy.targets import Step
from taut.errors import Unavailable
from taut.ground.clock import Clock
from taut.home import Home
from taut.models import record_gate
from taut.project import DeploymentSpec
from taut.records import Deployment, DeploymentState, GateCheck

CONFIG: dict[str, str | int | float | bool] = {
    "host": "127.0.0.1",
    "port": 0,
    "replicas": 1,
    "cpu": "1",
    "memory": "1Gi",
}


def judge(home: Home, number: int, *, passed: bool) -> str:
    """Record a verdict on a version of `late`; returns its id."""
    checks = [GateCheck("brier", passed, 0.1, 0.2, "a sentence")]
    return record_gate(home, "late", number, checks=checks).id


class Shelf(ModuleType):
    """A target that only puts deployments on a shelf, to see what is asked of targets and in which order."""

    def __init__(self, url: str = "http://shelf") -> None:
        super().__init__("tests.shelf")
        self.url = url
        self.clock: Clock | None = None
        self.asked: list[str] = []
        self.fails = False

    def plan(self, home: Home, deployment: Deployment, spec: DeploymentSpec) -> tuple[Step, ...]:
        return (Step("start", "box", f"revision {deployment.revision}"),)

    def apply(self, home: Home, deployment: Deployment, spec: DeploymentSpec) -> DeploymentState:
        self.asked.append(f"start {deployment.revision}")
        if self.fails:
            raise Unavailable("the shelf is full")
        at_ms = 1 if self.clock is None else self.clock.now_ms()
        return DeploymentState(deployment.name, deployment.revision, "running", self.url, "box", at_ms)

    def status(self, home: Home, state: DeploymentState) -> DeploymentState:
        return state

    def remove(self, home: Home, state: DeploymentState) -> None:
        self.asked.append(f"stop {state.revision}")

    def logs(self, home: Home, state: DeploymentState, *, lines: int = 100) -> str:
        return ""
