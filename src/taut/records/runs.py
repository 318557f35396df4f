"""Dataset version -> run: the records of this stretch of the line."""

from dataclasses import dataclass, field
from typing import Literal

from taut.records.data import MD5_DIGITS


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
