"""The answers of a span by columns, a part at a time: tables of Arrow, with no object of Python for a cell.

The same rows as the requests that readers see, from the same places at the same moment: rows of the database, segments,
and journals, of which a repeated id counts as it will once they are sealed. They come in no order.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from taut.ground.meta import Tx
from taut.records import Prediction
from taut.serve.log.building import Builder, column
from taut.serve.log.labelling import SELECT_LABELS
from taut.serve.log.packed import read_packed
from taut.serve.log.parquet import INPUT, OUTPUT, About, Shape, about_of, cells, is_json, mask_of, with_about
from taut.serve.log.reading import PredictionReader
from taut.serve.log.segments import meets, parquet_of
from taut.serve.log.spans import Span
from taut.serve.log.table import rows_in
from taut.serve.log.taking import first_answers

PART_ROWS = 32_768
TOGETHER = 10_000  # Requests whose labels are looked up at once.
SELECT_ANY_LABEL = "SELECT 1 FROM label WHERE deployment = :deployment LIMIT 1"
ROWS_MAX = 2**31  # Of one request.

Cells: TypeAlias = "pa.ChunkedArray | list[Any]"
"""A column: of Arrow, or, where its cells are of kinds that no type of Arrow holds together, a list."""


@dataclass(frozen=True, slots=True)
class ArrowPart:
    """Some answered rows by columns, and what turned out to be true of them: NaN where nobody said, shape (rows,)."""

    table: pa.Table
    labels: NDArray[np.float64]

    @property
    def rows(self) -> int:
        """How many."""
        return int(self.table.num_rows)

    def inputs(self) -> dict[str, Cells]:
        """The inputs by name; where a request had none of a name, its rows have nothing there."""
        names = [name for name in self.table.column_names if name.startswith(INPUT)]
        return {name.removeprefix(INPUT): _cells(self.table, name) for name in names}

    def output(self, *names: str) -> Cells:
        """For each row what was answered as the first of these outputs that its request has; nothing for none."""
        shapes = about_of(self.table).shapes
        firsts = [next((name for name in names if name in shape.outputs), "") for shape in shapes]
        used = sorted(set(firsts) - {""})
        if not used:
            return pa.chunked_array([pa.nulls(self.rows)])
        if set(firsts) == {used[0]}:
            return _cells(self.table, OUTPUT + used[0])
        which = pa.array(firsts, pa.string()).take(self.table["shape"].combine_chunks())
        answered = [cells(self.table, OUTPUT + name) for name in used]
        of = {name: place for place, name in enumerate(used)}
        return [
            None if not name else answered[of[name]][row] for row, name in enumerate(which.to_pylist())
        ]  # fmt: skip  # Versions that answer different outputs in one span; there is hardly ever one.


def arrow_parts(
    log: PredictionReader, span: Span, *, inputs: Collection[str] | None = None, outputs: Sequence[str] = ()
) -> Iterator[ArrowPart]:
    """The answered rows of a span, each once, a part in memory at a time.

    `inputs` are those that are wanted, None for all; `outputs` those whose values are. Costs some nanoseconds for a
    cell in a segment, five microseconds for a row that has a label, and a microsecond for each cell in rows of the
    database, which no endpoint writes.
    """
    is_labelled = log.tx.row(SELECT_ANY_LABEL, {"deployment": log.deployment}) is not None
    wanted = _Wanted(None if inputs is None else frozenset(inputs), tuple(outputs))
    found = chain(_rows(log, span), _sealed(log, span, wanted, with_ids=is_labelled), _live(log, span))
    for table in found:
        chosen = table.select([name for name in table.column_names if wanted.takes(name, with_ids=is_labelled)])
        none = np.full(chosen.num_rows, np.nan)
        yield ArrowPart(chosen, _labels(log.tx, log.deployment, chosen) if is_labelled else none)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which columns are read."""

    inputs: frozenset[str] | None
    outputs: tuple[str, ...]

    def takes(self, name: str, *, with_ids: bool) -> bool:
        if name.startswith(INPUT):
            return self.inputs is None or name.removeprefix(INPUT) in self.inputs
        if name.startswith(OUTPUT):
            return name.removeprefix(OUTPUT) in self.outputs
        return name == "shape" or (with_ids and name in {"id", "row"})


def _rows(log: PredictionReader, span: Span) -> Iterator[pa.Table]:
    """Those of the database, which are JSON there."""
    found: dict[Shape, list[Prediction]] = {}
    waiting = 0
    for one in rows_in(log.tx, span):
        found.setdefault(Shape(tuple(one.inputs), tuple(one.outputs)), []).append(one)
        waiting += one.rows
        if waiting >= PART_ROWS:
            yield from (_table_of(shape, some) for shape, some in found.items())
            found, waiting = {}, 0
    yield from (_table_of(shape, some) for shape, some in found.items())


def _table_of(shape: Shape, found: Sequence[Prediction]) -> pa.Table:
    columns = [
        (pa.field("id", pa.string()), pa.array([one.id for one in found for _ in range(one.rows)], pa.string())),
        (pa.field("row", pa.int32()), pa.array([row for one in found for row in range(one.rows)], pa.int32())),
        (pa.field("shape", pa.int16()), pa.array([0] * sum(one.rows for one in found), pa.int16())),
        *(column(INPUT + name, [cell for one in found for cell in one.inputs[name]]) for name in shape.inputs),
        *(column(OUTPUT + name, [cell for one in found for cell in one.outputs[name]]) for name in shape.outputs),
    ]
    table = pa.table([array for _, array in columns], schema=pa.schema([one for one, _ in columns]))
    return with_about(table, About([shape]))


def _sealed(log: PredictionReader, span: Span, wanted: _Wanted, *, with_ids: bool) -> Iterator[pa.Table]:
    for segment in log.segments:
        if meets(segment, span):
            yield from _in_file(parquet_of(log.home, segment), span, wanted, with_ids=with_ids)


def _in_file(data: bytes, span: Span, wanted: _Wanted, *, with_ids: bool) -> Iterator[pa.Table]:
    """The rows of a file that lie in a span, a part at a time; what says so is read only where it is in doubt."""
    file = pq.ParquetFile(pa.BufferReader(data))
    names = [name for name in file.schema_arrow.names if wanted.takes(name, with_ids=with_ids)]
    for number in range(file.num_row_groups):
        bounds = _bounds(file, number)
        if not span.meets(*bounds["event_ms"]):
            continue
        if _is_within(bounds, span):
            yield file.read_row_group(number, columns=names)
            continue
        mask = mask_of(file.read_row_group(number, columns=[*TOLD, "id"]), span)
        if pc.any(mask).as_py():
            yield file.read_row_group(number, columns=names).filter(mask)


TOLD = ("event_ms", "role", "model", "number")


def _bounds(file: pq.ParquetFile, group: int) -> dict[str, tuple[Any, Any]]:
    """The least and the greatest of the columns that say whether a row lies in a span."""
    found = {}
    for name in TOLD:
        seen = file.metadata.row_group(group).column(file.schema_arrow.get_field_index(name)).statistics
        found[name] = (seen.min, seen.max)
    return found


def _is_within(bounds: dict[str, tuple[Any, Any]], span: Span) -> bool:
    """Whether all rows of a part lie in a span for sure."""
    first, last = bounds["event_ms"]
    (role, last_role), (model, last_model), (number, last_number) = (bounds[name] for name in TOLD[1:])
    is_of_one = (role, model, number) == (last_role, last_model, last_number)
    return bool(
        is_of_one and span.after is None and span.from_ms <= first and last < span.until_ms
        and span.is_of(model, number, role)
    )  # fmt: skip


def _live(log: PredictionReader, span: Span) -> Iterator[pa.Table]:
    """What lies in journals, as it will be sealed: of repeated ids of callers the first answer."""
    builder = Builder()
    bodies = first_answers(
        lambda flags: log.live.bodies(log.sealed, only=flags),
        lambda names: log.row_counts(names, only_sealed=True),
    )  # fmt: skip
    for body in bodies:
        packed = read_packed(body)
        if span.is_of(packed.model, packed.number, packed.role):
            builder.add(body)
            if builder.rows >= PART_ROWS:
                yield from _held(builder, span)
                builder = Builder()
    yield from _held(builder, span)


def _held(builder: Builder, span: Span) -> Iterator[pa.Table]:
    if builder.rows:
        table = builder.table()
        left = table.filter(mask_of(table, span))
        if left.num_rows:
            yield left


def _labels(tx: Tx, deployment: str, table: pa.Table) -> NDArray[np.float64]:
    """What is known of each row, NaN where nothing is."""
    labels = np.full(table.num_rows, np.nan)
    ids = table["id"].combine_chunks()
    asked = pc.unique(ids).to_pylist()
    found: list[tuple[object, ...]] = []
    for start in range(0, len(asked), TOGETHER):
        some = sorted(asked[start : start + TOGETHER])
        found += tx.rows(SELECT_LABELS, {"deployment": deployment, "ids": some})
    if not found:
        return labels
    names, rows, values = zip(*found, strict=True)
    known = pa.array(names, pa.string()).dictionary_encode()
    keys = known.indices.to_numpy().astype(np.int64) * ROWS_MAX + np.array(rows, np.int64)
    order = np.argsort(keys)
    place = pc.index_in(ids, value_set=known.dictionary).fill_null(-1).to_numpy(zero_copy_only=False)
    wanted = place.astype(np.int64) * ROWS_MAX + table["row"].to_numpy().astype(np.int64)
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    has = (place >= 0) & (keys[order][at] == wanted)
    labels[has] = np.array(values, np.float64)[order][at[has]]
    return labels


def _cells(table: pa.Table, name: str) -> Cells:
    return cells(table, name) if is_json(table.schema.field(name)) else table[name]
