"""Model version -> deployment: the records of this stretch of the line."""

from dataclasses import dataclass
from typing import Any, Literal

Setting = str | int | float | bool | list[Any] | dict[str, Any] | None
"""A setting of a deployment, as YAML has it."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A version behind an endpoint. `weight` is its share of the requests, 0 to 1; a shadow answers nobody, with 0."""

    model: str
    number: int
    weight: float = 1.0
    role: Literal["live", "canary", "shadow"] = "live"

    @property
    def version(self) -> str:
        """The version as people name it: `late@3`."""
        return f"{self.model}@{self.number}"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What shall serve under a name: a model version on a target (`process`, `docker`, `kubernetes`).

    `model` and `number` are the live version's. `backends` begins with it; a canary and shadows may follow.
    """

    name: str
    revision: int
    model: str
    number: int
    target: str
    config: dict[str, Setting]
    cause: str
    at_ms: int
    actor: str
    backends: tuple[Backend, ...] = ()
    reason: str = ""

    def __post_init__(self) -> None:
        """One of which nothing else is said has its live version alone behind it."""
        if not self.backends:
            object.__setattr__(self, "backends", (Backend(self.model, self.number),))

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"deployment:{self.name}@{self.revision}"

    @property
    def canary(self) -> Backend | None:
        """The version that a part of the requests tries, where there is one."""
        return next((one for one in self.backends if one.role == "canary"), None)

    @property
    def shadows(self) -> tuple[Backend, ...]:
        """The versions that are asked along and answer nobody."""
        return tuple(one for one in self.backends if one.role == "shadow")


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """What does serve: the live revision, where it answers, and the target's own handle (a process id, a container)."""

    name: str
    revision: int
    status: Literal["starting", "running", "stopped", "failed"]
    url: str
    handle: str
    at_ms: int
