"""What a batch job will do, written down before it does anything; the same plan again goes on where it stopped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from taut.errors import Conflict
from taut.ground import wire

Format = Literal["parquet", "csv", "arrow", "stream"]
OnError = Literal["stop", "null", "skip"]
PART_ROWS = 250_000  # About a second of a worker's time, some megabytes of output.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Input:
    """A file and where its parts begin: `cuts` counts rows, and ends with the number of them.

    Of text `offsets` says the same in bytes, unpacked, and `delimiter` and `names` are its own. `digest` is of its
    bytes, or the entity tag of an object; `mark` changes with the file, and saves reading it for its digest.
    """

    name: str
    format: Format
    size_bytes: int
    digest: str
    mark: str
    cuts: tuple[int, ...]
    offsets: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    delimiter: str = ""

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.cuts[-1]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one input that become one file of output: `number` counts over all inputs, `place` within its own."""

    number: int
    input: int
    place: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The file that it becomes."""
        return f"part-{self.number:05d}.parquet"


@dataclass(frozen=True, slots=True)
class Options:
    """What of a job its caller chooses: what wrong rows lead to, the column of ids, columns that go along.

    `log` is the endpoint in whose prediction log the answers stand too, `event_time` the column that says when what a
    row speaks of happened; empty for none.
    """

    on_error: OnError = "stop"
    id_column: str = ""
    keep: tuple[str, ...] = ()
    part_rows: int = PART_ROWS
    log: str = ""
    event_time: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A job: `model` is a version as `late@3` whose bytes have the digest; `graph` is its compiled form, or empty.

    `deployment` says by whose name the version was chosen, as `late@2`, empty where it was named itself.
    """

    job: str
    at_ms: int
    model: str
    digest: str
    graph: str
    deployment: str
    options: Options
    source: str
    inputs: tuple[Input, ...]

    @property
    def rows(self) -> int:
        """How many there are in all inputs."""
        return sum(one.rows for one in self.inputs)


@dataclass(frozen=True, slots=True)
class DonePart:
    """A part whose file is there: rows read, and of these how many have no prediction, or were left out."""

    number: int
    rows: int
    nulled: int
    skipped: int
    size_bytes: int
    digest: str
    mark: str
    said: str = ""
    """What was wrong with the first row that was nulled or skipped."""


def parts_of(plan: Plan) -> Iterator[Part]:
    """All parts in the order of their rows."""
    number = 0
    for place, one in enumerate(plan.inputs):
        for cut in range(len(one.cuts) - 1):
            yield Part(number, place, cut, one.cuts[cut], one.cuts[cut + 1])
            number += 1


def cuts_of(groups: Sequence[int], part_rows: int) -> tuple[int, ...]:
    """Where parts begin in a file of groups of rows: at groups where they can, within one that is too large.

    >>> cuts_of([10, 10, 10, 100], 40)
    (0, 30, 64, 97, 130)
    >>> cuts_of([], 40)
    (0,)
    """
    cuts, at, waiting = [0], 0, 0
    for rows in groups:
        if waiting and waiting + rows > part_rows:
            cuts.append(at)
            waiting = 0
        if rows > part_rows:
            pieces = -(-rows // part_rows)
            cuts += [at + (rows * (piece + 1) + pieces - 1) // pieces for piece in range(pieces)]
        else:
            waiting += rows
        at += rows
    return tuple(dict.fromkeys([*cuts, at]))


def plan_bytes(plan: Plan) -> bytes:
    """A plan as it is written beside its output."""
    return wire.encode(plan)


def read_plan(written: bytes, *, where: str) -> Plan:
    """A plan that was written. Raises Invalid."""
    return wire.decode(written, Plan, what=f"the plan of the batch at {where}")


def must_be_same(before: Plan, now: Plan, *, where: str) -> Plan:
    """The plan to go on with, or Conflict that says in what the two differ."""
    differences = [
        f"{field.name} is {_shown(getattr(now, field.name))}, and was {_shown(getattr(before, field.name))}"
        for field in fields(Plan)
        if field.name not in ("job", "at_ms", "inputs") and getattr(before, field.name) != getattr(now, field.name)
    ]
    differences += list(_of_inputs(before.inputs, now.inputs))
    if differences:
        more = f", and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise Conflict(
            f"{where} belongs to another job: {'; '.join(differences[:SHOWN])}{more}",
            hint="name another output, or remove this one to begin anew",
        )
    return replace(before, inputs=now.inputs)  # The marks are those of today.


def _of_inputs(before: Sequence[Input], now: Sequence[Input]) -> Iterator[str]:
    old, new = ({one.name: one for one in inputs} for inputs in (before, now))
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in new:
            yield f"{name} is gone"
        elif name not in old:
            yield f"{name} is new"
        elif (old[name].digest, old[name].size_bytes) != (new[name].digest, new[name].size_bytes):
            yield f"{name} has other content"
        elif replace(old[name], mark="") != replace(new[name], mark=""):
            yield f"{name} is cut into other parts"


def _shown(value: object) -> str:
    return wire.text(value) if isinstance(value, Options) else repr(value)
