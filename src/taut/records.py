"""The frozen data classes that flow along the line: what one room hands to the next, and what every face shows."""

from dataclasses import dataclass, field
from typing import Any, Literal

MD5_DIGITS = 32
Setting = str | int | float | bool | list[Any] | dict[str, Any] | None
"""A setting of a deployment, as YAML has it."""

# -- bytes -> dataset version


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of a tree: its path inside (POSIX, relative; `.` for a dataset of one file), its content, its size.

    `oid` is empty where a home holds none of its bytes, but only the workspace cache, by `md5`; a model's file has no
    `md5`.
    """

    path: str
    oid: str = ""
    md5: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """A column of tabular data, with what a glance at it tells; `low` and `high` are of numbers only."""

    name: str
    kind: Literal["number", "text", "empty"]
    missing: int
    distinct: int
    low: float | None = None
    high: float | None = None
    mean: float | None = None


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What one pass saw of a column: counts exactly, ranks within `rank_error` rows.

    `dtype` is `int`, `float`, `bool`, `date`, `timestamp`, `categorical`, `text`, `empty`, or Parquet's name of a
    nested type; `stored` is how the file has it. `kinds` counts the cells of each kind: a mixed column is seen as one.
    `points` are numbers in order (of dates: milliseconds since 1970), each with how many rows lie at or below it.
    `top` are the most frequent values; a count of them may be short by `top_error`. `distinct` is exact where
    `distinct_error` is 0, else an estimate of that relative standard error, or with None no more than a lower bound;
    `sketch` are the registers (HyperLogLog, packed, in base64) by which the distinct values of two profiles add up.
    """

    name: str
    dtype: str
    stored: str
    rows: int
    missing: int
    distinct: int
    kinds: dict[str, int] = field(default_factory=dict)
    low: int | float | str | None = None
    high: int | float | str | None = None
    mean: float | None = None
    std: float | None = None
    points: tuple[tuple[float, int], ...] = ()
    rank_error: int = 0
    top: tuple[tuple[str, int], ...] = ()
    top_error: int = 0
    length_max: int | None = None
    distinct_error: float | None = 0.0
    sketch: str = ""


@dataclass(frozen=True, slots=True)
class TableProfile:
    """A table in some kilobytes: its rows, and each column; what `diff`, contracts and monitoring start from."""

    rows: int
    columns: tuple[ColumnProfile, ...]


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """A tree of files that was snapshot; `tree` is the oid of its list of files and so the digest of all."""

    name: str
    number: int
    tree: str
    path: str
    files: int
    size_bytes: int
    rows: int | None
    columns: tuple[Column, ...]
    at_ms: int
    actor: str

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"data:{self.name}@{self.number}"


# -- dataset version -> run


@dataclass(frozen=True, slots=True)
class GitState:
    """Where the code stood: commit (empty before the first), branch, the oid of a patch of what was not committed."""

    commit: str
    branch: str
    patch: str
    changed: tuple[str, ...]
    untracked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InputRead:
    """A file that a run read: the dataset version it belongs to where one is known, else only its digest.

    `path` is relative to the project, or absolute outside of it. `oid` is the digest of what the file held when it was
    first read: its SHA-256, or, of a dataset's file, the MD5 by which versions know it; empty where that is not known.
    `changed` says that it held something else when the run ended. `link` is what the
    path points to where it is a symbolic link. With `kept` these bytes are in the object store, for the run itself
    overwrote them.
    """

    path: str
    oid: str
    size_bytes: int
    dataset: str
    role: Literal["data", "code"] = "data"
    changed: bool = False
    link: str = ""
    kept: bool = False

    @property
    def digest(self) -> str:
        """The digest with its algorithm in front, empty where there is none."""
        return f"{'md5' if len(self.oid) == MD5_DIGITS else 'sha256'}:{self.oid}" if self.oid else ""


@dataclass(frozen=True, slots=True)
class OutputWritten:
    """A file that a run wrote and that stood when it ended; `link` where it is a symbolic link that the run made.

    With `kept` its bytes are in the object store, to be held against those of a repetition.
    """

    path: str
    oid: str
    size_bytes: int
    link: str = ""
    executable: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True)
class OutsideReads:
    """Files outside the project that are not told one by one: how many, and whose they are.

    `names` are distributions for `packages`, the files themselves for `settings`, folders for the others.
    """

    area: Literal["packages", "system", "cache", "settings"]
    files: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoteRead:
    """A place beyond this machine's files that a run may have read, secrets cut out of its address.

    A `connection` is one that no URL and no database explains: an input that nobody named.
    """

    kind: Literal["url", "database", "connection"]
    address: str


@dataclass(frozen=True, slots=True)
class Library:
    """What lies below the packages and changes numbers: `kind` is blas, openmp, libc, cuda, driver or gpu.

    `threads` 0: not known. A GPU has its model as the name and its firmware as the version.
    """

    kind: str
    name: str
    version: str
    path: str = ""
    threads: int = 0
    kernel: str = ""


@dataclass(frozen=True, slots=True)
class Seeding:
    """A seed that was set: by which function or variable, and to what; `value` is empty where it was drawn anew."""

    by: str
    value: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run ran on, beyond its packages: all that may change what it computes.

    `interpreter` is the path, `origin` how it came there: venv, conda, pyenv, uv or system. `lock` is the oid of a
    `pylock.toml` (PEP 751). `variables` are those of the command that matter, secrets redacted.
    """

    interpreter: str = ""
    implementation: str = ""
    version: str = ""
    build: str = ""
    origin: str = ""
    lock: str = ""
    unlocked: tuple[str, ...] = ()
    libraries: tuple[Library, ...] = ()
    cpu: str = ""
    cpu_flags: tuple[str, ...] = ()
    cores: int = 0
    locale: str = ""
    encoding: str = ""
    timezone: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    seeds: tuple[Seeding, ...] = ()


Level = Literal["off", "basic", "seeded", "strict"]


@dataclass(frozen=True, slots=True)
class Determinism:
    """What was set for a run so that it repeats; what it found is in its `Surroundings`.

    `variables` are those that were set, `fixed_addresses` whether memory lay where it always does, `cores` those that
    it was kept to (empty for all).
    """

    level: Level = "off"
    seed: int | None = None
    variables: dict[str, str] = field(default_factory=dict)
    fixed_addresses: bool = False
    cores: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run cost: wall and CPU seconds, cores there were, the largest memory of one of its processes, in bytes."""

    wall_s: float
    cpu_s: float
    cores: int
    memory_bytes_max: int


@dataclass(frozen=True, slots=True)
class Capture:
    """How a run came about; `missing` says what could not be recorded.

    `environment` is the oid of the list of installed packages with their versions, `output` that of what it printed.
    `coverage` is `full` where every file that the command and its children opened was seen, `partial` where only
    Python's own were, for the reason in `coverage_reason`; empty for a run that nobody watched.
    """

    command: tuple[str, ...] = ()
    folder: str = ""
    git: GitState | None = None
    environment: str = ""
    python: str = ""
    platform: str = ""
    inputs: tuple[InputRead, ...] = ()
    output: str = ""
    exit_status: int | None = None
    usage: Usage | None = None
    missing: tuple[str, ...] = ()
    outputs: tuple[OutputWritten, ...] = ()
    outside: tuple[OutsideReads, ...] = ()
    remote: tuple[RemoteRead, ...] = ()
    coverage: Literal["", "full", "partial"] = ""
    coverage_reason: str = ""
    surroundings: Surroundings | None = None
    determinism: Determinism | None = None

    @property
    def data(self) -> tuple[InputRead, ...]:
        """What was read, without the code."""
        return tuple(read for read in self.inputs if read.role == "data")


@dataclass(frozen=True, slots=True)
class Run:
    """One execution. `cause` is `manual` or the point that asked for it, as `alert:ab12`."""

    id: str
    experiment_id: str
    experiment: str
    name: str
    status: Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
    actor: str
    started_ms: int
    ended_ms: int | None
    lifecycle: Literal["active", "deleted"]
    cause: str
    capture: Capture
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float | None] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"run:{self.id}"


Sameness = Literal["bytes", "content", "predictions", "metrics", "different"]
"""How far a repetition agreed with its run, the best first."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of running a run again: how far both agree, where they first differ, and why as far as it was found.

    `cause` is one of a few words (`seed missing`, `hash order`, `data`, ...), `evidence` the sentence that shows it.
    `gap` is the largest difference of predictions or metrics. `notes` say what was not as it was, or not compared.
    """

    id: str
    run_id: str
    verdict: Sameness
    at_ms: int
    actor: str
    outputs: int = 0
    first: str = ""
    cause: str = ""
    evidence: str = ""
    gap: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"reproduction:{self.id}"


# -- run -> model version -> gate


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


# -- model version -> deployment


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


# -- deployment -> prediction


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered request of `rows` rows, kept by columns. Row `i` of it is the prediction `ID.i`.

    `event_ms` is when what it speaks of happened (the caller may say; else when it was asked), `at_ms` when it was
    answered, `latency_us` how long that took (0: not known). The answer of a `shadow` was never sent.
    """

    deployment: str
    id: str
    revision: int
    model: str
    number: int
    at_ms: int
    event_ms: int
    rows: int
    inputs: dict[str, list[str | float | int | bool | None]]
    outputs: dict[str, list[str | float | int | bool | None]]
    role: Literal["live", "canary", "shadow"] = "live"
    latency_us: int = 0


BatchStatus = Literal["RUNNING", "FINISHED", "FAILED"]


@dataclass(frozen=True, slots=True)
class BatchJob:
    """Rows of files scored by a model version: `rows` were planned, `scored`, `nulled` and `skipped` it came to.

    `data` are the dataset versions that hold files it read. `plan` and `manifest` are digests of the plan and of the
    list of the parts that were written; `ended_ms` is 0 while nothing has been said of an end.
    """

    id: str
    model: str
    number: int
    deployment: str
    source: str
    output: str
    plan: str
    files: int
    rows: int
    data: tuple[str, ...]
    status: BatchStatus
    parts: int
    scored: int
    nulled: int
    skipped: int
    manifest: str
    started_ms: int
    ended_ms: int
    actor: str

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"batch:{self.id}"


# -- prediction -> window -> alert


@dataclass(frozen=True, slots=True)
class Window:
    """Predictions of one deployment between two moments; `start_ms` belongs to it, `end_ms` to the next.

    `measures` are plain numbers (brier, roc_auc, error_rate, ...), `evidence` the e-values gathered so far.
    """

    deployment: str
    start_ms: int
    end_ms: int
    reference: int
    version: int
    rows: int
    labelled: int
    measures: dict[str, float | None]
    evidence: dict[str, float]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Alert:
    """A detector crossed its bound: in which window, by which feature, with what evidence.

    A `page` asks for action, a `ticket` for a look.
    """

    id: str
    deployment: str
    version: int
    window_start_ms: int
    detector: str
    severity: Literal["page", "ticket"]
    feature: str
    evidence: dict[str, float]
    status: Literal["open", "handled", "dismissed"]
    at_ms: int

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"alert:{self.id}"
