"""Answers as Parquet: a row for each predicted row, typed columns `input.NAME` and `output.NAME`, sorted by event time.

A column whose cells are of kinds that no Arrow type holds together is kept as JSON, and the file says so. Which columns
a request had, and in which order, is its `shape`, one of those that the file lists.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from taut.records import Prediction
from taut.serve.log.said import plain_cells
from taut.serve.log.spans import Span

INPUT, OUTPUT = "input.", "output."
ABOUT = b"taut"  # Where a file's own words stand in its metadata, and a column's.
JSON = {ABOUT: b"json"}
GROUP_ROWS = 16_384  # All columns of so many rows are read for one of them.
COUNTED = ("event_ms", "at_ms", "model", "number", "role", "revision")
"""The columns of which a file knows the least and the greatest of each part, for whoever looks for some of it."""
KEY_COLUMNS = ("event_ms", "id", "role", "model", "number")
"""What tells a request from every other; rows with the same stand together."""


class Shape(msgspec.Struct, frozen=True):
    """The columns of a request, in their order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class About(msgspec.Struct):
    """What a file says of itself: the shapes of its requests."""

    shapes: list[Shape]


def is_json(column: pa.Field) -> bool:
    """Whether a column is kept as JSON."""
    return (column.metadata or {}).get(ABOUT) == JSON[ABOUT]


def with_about(table: pa.Table, about: About) -> pa.Table:
    """The table with a file's own words."""
    return table.replace_schema_metadata({ABOUT: msgspec.json.encode(about)})


def about_of(table: pa.Table | pa.Schema) -> About:
    """A file's own words."""
    schema = table if isinstance(table, pa.Schema) else table.schema
    return msgspec.json.decode(schema.metadata[ABOUT], type=About)


def written(table: pa.Table) -> bytes:
    """The table as a Parquet file, compressed with zstd."""
    out = io.BytesIO()
    # Ids never come twice, and numbers seldom enough that looking for it costs more than it saves.
    words = [one.name for one in table.schema if pa.types.is_string(one.type) and one.name != "id"]
    pq.write_table(
        table, out, compression="zstd", row_group_size=GROUP_ROWS, use_dictionary=words, write_statistics=list(COUNTED)
    )
    return out.getvalue()


def tables_in(data: bytes, span: Span | None = None, ids: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The rows of a file that lie in a span or are of these ids, a part of the file at a time."""
    file = pq.ParquetFile(pa.BufferReader(data))
    place = file.schema_arrow.get_field_index("event_ms")
    wanted = None if ids is None else pa.array(sorted(ids), pa.string())
    for number in range(file.num_row_groups):
        seen = file.metadata.row_group(number).column(place).statistics
        if span is not None and not span.meets(seen.min, seen.max):
            continue
        held = None if wanted is None else pc.is_in(file.read_row_group(number, columns=["id"])["id"], wanted)
        if held is not None and not pc.any(held).as_py():
            continue
        table = file.read_row_group(number)
        if held is not None:
            table = table.filter(held)
        if span is not None:
            table = table.filter(mask_of(table, span))
        if table.num_rows:
            yield table


def row_counts_in(data: bytes, ids: Sequence[str]) -> dict[str, int]:
    """How many rows each of these requests has in a file; two of its columns are read for it."""
    table = pq.read_table(pa.BufferReader(data), columns=["id", "row"])
    found = table.filter(pc.is_in(table["id"], pa.array(ids, pa.string()))).group_by("id").aggregate([("row", "max")])
    return {name: row + 1 for name, row in zip(found["id"].to_pylist(), found["row_max"].to_pylist(), strict=True)}


def mask_of(table: pa.Table, span: Span) -> pa.ChunkedArray:
    """Which rows lie in a span."""
    event_ms = table["event_ms"]
    mask = pc.and_(pc.greater_equal(event_ms, span.from_ms), pc.less(event_ms, span.until_ms))
    mask = pc.and_(mask, pc.is_in(table["role"], pa.array(span.roles, pa.string())))
    if span.number:
        mask = pc.and_(mask, pc.equal(table["number"], span.number))
    if span.model:
        mask = pc.and_(mask, pc.equal(table["model"], span.model))
    if span.after is not None:
        at_ms, after = span.after
        later = pc.and_(pc.equal(event_ms, at_ms), pc.greater(table["id"], after))
        mask = pc.and_(mask, pc.or_(pc.greater(event_ms, at_ms), later))
    return mask


def requests_in(tables: Iterator[pa.Table], deployment: str) -> Iterator[Prediction]:
    """The requests of tables that follow each other in a file; the rows of one may lie in two of them."""
    begun: Prediction | None = None
    for table in tables:
        for found in _requests(table, deployment):
            if begun is not None and _key(begun) == _key(found):
                begun = _longer(begun, found)
            else:
                if begun is not None:
                    yield begun
                begun = found
    if begun is not None:
        yield begun


def given_in(tables: Iterator[pa.Table], deployment: str) -> Iterator[tuple[Prediction, bytes]]:
    """The requests whose id the caller chose, each with the digest of what it asked, empty where there is none."""
    digests: dict[str, bytes] = {}

    def remembered() -> Iterator[pa.Table]:
        for table in tables:
            given = table.filter(table["given"])
            found = zip(given["id"].to_pylist(), given["digest"].to_pylist(), strict=True)
            digests.update({name: digest for name, digest in found if digest})
            yield given

    for one in requests_in(remembered(), deployment):
        yield one, digests.pop(one.id, b"")


def cells(table: pa.Table, name: str) -> list[Any]:
    """A column as Python's values; one that is kept as JSON is read."""
    values = table[name].to_pylist()
    if is_json(table.schema.field(name)):
        return [None if value is None else json.loads(value) for value in values]
    return plain_cells(values)


def _requests(table: pa.Table, deployment: str) -> Iterator[Prediction]:
    about = about_of(table)
    columns = {name: cells(table, name) for name in table.column_names if name != "digest"}
    keys = list(zip(*(columns[name] for name in KEY_COLUMNS), strict=True))
    start = 0
    while start < len(keys):
        end = start + 1
        while end < len(keys) and keys[end] == keys[start]:
            end += 1
        shape = about.shapes[columns["shape"][start]]
        event_ms, request_id, role, model, number = keys[start]
        yield Prediction(
            deployment=deployment, id=request_id, revision=columns["revision"][start], model=model, number=number,
            at_ms=columns["at_ms"][start], event_ms=event_ms, rows=end - start,
            inputs={name: columns[INPUT + name][start:end] for name in shape.inputs},
            outputs={name: columns[OUTPUT + name][start:end] for name in shape.outputs},
            role=role, latency_us=columns["latency_us"][start],
        )  # fmt: skip
        start = end


def _key(one: Prediction) -> tuple[object, ...]:
    return one.event_ms, one.id, one.role, one.model, one.number


def _longer(one: Prediction, more: Prediction) -> Prediction:
    return replace(
        one,
        rows=one.rows + more.rows,
        inputs={name: [*values, *more.inputs[name]] for name, values in one.inputs.items()},
        outputs={name: [*values, *more.outputs[name]] for name, values in one.outputs.items()},
    )
