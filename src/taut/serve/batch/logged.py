"""What a part answered as a segment of an endpoint's prediction log: the same columns and policy as of online answers.

Each row is a request of its own, `JOB.PART.ROW`: rows have their own event times, are sampled, kept and erased one by
one, and are read without the other thousands of their part.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taut.errors import Conflict, Invalid
from taut.ground.clock import SystemClock
from taut.home import Home
from taut.serve.batch.plan import Part, Plan
from taut.serve.batch.scoring import Answered
from taut.serve.log import END_OF_TIME_MS, Policy
from taut.serve.log.building import OWN, facts_of, sorted_rows
from taut.serve.log.parquet import INPUT, OUTPUT, About, Shape, with_about, written
from taut.serve.log.segments import Sealing, SegmentFacts, record_segment, sealing_progress
from taut.serve.requests.asked import event_time_of_header

TRIES = 5
TOGETHER = 500  # Parts that are asked for at once.


@dataclass(frozen=True, slots=True)
class LogTo:
    """The endpoint in whose log a job's answers stand, and by which policy; `revision` is the one asked for, or 0."""

    deployment: str
    revision: int
    policy: Policy


@dataclass(frozen=True, slots=True)
class PartLog:
    """The segment of a part, and what is to be recorded of it; None and no bytes where no row is kept."""

    data: bytes
    facts: SegmentFacts | None


class PartLogger:
    """Gathers what a part answered."""

    def __init__(self, to: LogTo, plan: Plan, part: Part) -> None:
        self._to, self._plan, self._part = to, plan, part
        self._tables: list[pa.Table] = []

    def take(self, batch: pa.RecordBatch, answered: Answered, *, first: int, at: int) -> None:
        """Take the answers to a batch of rows, of which the first is row `first` of its part and `at` of its file.

        Raises Invalid naming the row whose event time is none.
        """
        numbers = pa.array(answered.places + first).cast(pa.string())
        ids = pc.binary_join_element_wise(pa.scalar(f"{self._plan.job}.{self._part.number}."), numbers, "")
        columns = {"id": ids, "event_ms": self._event_ms(batch, answered, at)}
        hidden = self._to.policy.redact
        columns |= {INPUT + name: _plain(answered.inputs.column(name)) for name in answered.inputs.schema.names
                    if name not in hidden}  # fmt: skip
        columns |= {OUTPUT + name: _plain(cells) for name, cells in answered.outputs.items()}
        table = pa.table(columns)
        if self._to.policy.sample < 1.0:
            table = table.filter(pa.array([self._to.policy.keeps(one) for one in ids.to_pylist()], pa.bool_()))
        if table.num_rows:
            self._tables.append(table)

    def log(self) -> PartLog:
        """All that was taken and is kept, in the order of event times and ids."""
        if not self._tables:
            return PartLog(b"", None)
        told = pa.concat_tables(self._tables, promote_options="permissive")
        self._tables = []
        model, _, number = self._plan.model.rpartition("@")
        of_all = {
            "row": 0, "at_ms": SystemClock().now_ms(), "latency_us": 0, "revision": self._to.revision, "model": model,
            "number": int(number), "role": "batch", "given": False, "digest": None, "shape": 0,
        }  # fmt: skip
        own = {
            name: told[name] if name in told.schema.names else pa.repeat(pa.scalar(of_all[name], kind), told.num_rows)
            for name, kind in OWN.items()
        }
        rest = {name: told[name] for name in told.schema.names if name not in OWN}
        table = sorted_rows(pa.table({**own, **rest}))
        inputs, outputs = (
            tuple(name.removeprefix(kind) for name in rest if name.startswith(kind)) for kind in (INPUT, OUTPUT)
        )
        table = with_about(table, About([Shape(inputs, outputs)]))
        return PartLog(written(table), facts_of(table))

    def _event_ms(self, batch: pa.RecordBatch, answered: Answered, at: int) -> pa.Array:
        name = self._plan.options.event_time
        if not name:
            return pa.repeat(pa.scalar(self._plan.at_ms, pa.int64()), len(answered.places))
        cells = batch.column(name).take(pa.array(answered.places))
        if pa.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        rows = answered.places + at
        if cells.null_count:
            raise _no_moment(name, rows, cells.is_null(), "it is null")
        if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
            moments = cells.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        elif pa.types.is_uint64(cells.type):
            moments = pc.min_element_wise(cells, pa.scalar(END_OF_TIME_MS, pa.uint64())).cast(pa.int64())
        elif pa.types.is_integer(cells.type):
            moments = cells.cast(pa.int64())
        else:
            moments = _read_moments(name, rows, cells)
        past = pc.or_(pc.greater_equal(moments, END_OF_TIME_MS), pc.less(moments, -END_OF_TIME_MS))
        if pc.any(past).as_py():
            raise _no_moment(name, rows, past, "it is past the year 9999")
        return moments


def _read_moments(name: str, rows: NDArray[np.int64], cells: pa.Array) -> pa.Array:
    """Moments as the header of a request has them, each text read once."""
    coded = cells.dictionary_encode()
    read = list[int]()
    for code, text in enumerate(coded.dictionary.to_pylist()):
        try:
            found = event_time_of_header(text)
        except Invalid as problem:
            raise _no_moment(name, rows, pc.equal(coded.indices, code), problem.message) from None
        if found is None:
            raise _no_moment(name, rows, pc.equal(coded.indices, code), "it is empty")
        read.append(found)
    return pa.array(read, pa.int64()).take(coded.indices)


def _no_moment(name: str, rows: NDArray[np.int64], wrong: pa.Array, why: str) -> Invalid:
    """What is said of the first of the rows that are wrong."""
    row = rows[int(wrong.to_numpy(zero_copy_only=False).argmax())]
    return Invalid(f"row {row}: column {name!r} is the event time; {why}", hint="leave out --event-time, or the row")


def must_be_moments(schema: pa.Schema, name: str) -> None:
    """Raise Invalid where a column cannot say when something happened."""
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_integer, pa.types.is_timestamp, pa.types.is_date, pa.types.is_string, pa.types.is_large_string)
    if not any(is_it(kind) for is_it in tests):
        raise Invalid(f"column {name!r} is the event time; it is of type {kind}, no moment, ISO 8601 or milliseconds")


def logged_parts(home: Home, to: LogTo, job: str, parts: Collection[int]) -> set[int]:
    """Those of the parts that stand in the log."""
    found = set[int]()
    asked = sorted(parts)
    for start in range(0, len(asked), TOGETHER):
        names = {_name(job, part): part for part in asked[start : start + TOGETHER]}
        found |= {names[name] for name in sealing_progress(home, to.deployment, list(names)).sealed}
    return found


def log_part(home: Home, to: LogTo, job: str, part: Part, log: PartLog) -> None:
    """Put a part into the log, once however often it is asked.

    Raises Conflict where others seal so often that there is no turn, and what storing does.
    """
    name = _name(job, part.number)
    for tries in range(TRIES):
        progress = sealing_progress(home, to.deployment, [name])
        if name in progress.sealed:
            return
        whole = [Sealing(name, 0, part.stop - part.start)]
        try:
            record_segment(home, to.deployment, log.data, log.facts, whole, progress.newest, to.policy.encrypt)
        except Conflict:
            if tries == TRIES - 1:
                raise
        else:
            return


def _name(job: str, part: int) -> str:
    """A part among the journals: it lies in segments whole, or not at all."""
    return f"{job}.{part}"


def _plain(cells: pa.Array) -> pa.Array:
    """Cells in the types that online answers have in a segment."""
    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells = cells.dictionary_decode()
        kind = cells.type
    if pa.types.is_uint64(kind):
        fits = not pc.any(pc.greater(cells, pa.scalar(2**63 - 1, pa.uint64()))).as_py()
        return cells.cast(pa.int64() if fits else pa.float64(), safe=False)
    if pa.types.is_integer(kind):
        return cells.cast(pa.int64())
    if pa.types.is_floating(kind):
        return cells.cast(pa.float64())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        zone = "Z" if pa.types.is_timestamp(kind) and kind.tz else ""
        return pc.strftime(cells.cast(pa.timestamp("us"), safe=False), f"%Y-%m-%dT%H:%M:%S{zone}")
    return cells if pa.types.is_boolean(kind) or pa.types.is_null(kind) else cells.cast(pa.string())
