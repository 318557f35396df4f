"""Run -> model version -> gate: the records of this stretch of the line."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered model directory; `digest` is the oid of its tree, `source` where it came from."""

    name: str
    number: int
    source: str
    run_id: str
    model_id: str
    digest: str
    signature: str
    stage: str
    status: str
    description: str
    actor: str
    created_ms: int
    updated_ms: int
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"model:{self.name}@{self.number}"


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One question the gate asked: what was found, what was allowed, and a sentence for people."""

    name: str
    passed: bool
    found: float | None
    bound: float | None
    text: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """The verdict on one model version: every check with its evidence; `champion` is what it was held against."""

    id: str
    model: str
    number: int
    champion: int | None
    passed: bool
    checks: tuple[GateCheck, ...]
    at_ms: int
    actor: str

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"gate:{self.id}"


@dataclass(frozen=True, slots=True)
class Compilation:
    """Whether a model version may answer as a compiled graph: what both were asked, how far apart they were at most.

    `graph` is the oid of the ONNX graph, empty where the version answers itself, for `reason`. `rows` counts by aim
    what both were asked; `gap` and `tolerance` are absolute up to 1 and relative beyond; `digest` is of the version.
    """

    model: str
    number: int
    digest: str
    graph: str
    reason: str
    rows: dict[str, int]
    gap: float
    tolerance: float
    versions: dict[str, str]
    at_ms: int
    actor: str

    @property
    def is_used(self) -> bool:
        """Whether the version is served compiled."""
        return bool(self.graph)
