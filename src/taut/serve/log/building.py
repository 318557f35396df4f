"""Records of journals become the table of one segment, and what is recorded of it."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from taut.serve.log.bloom import filter_of
from taut.serve.log.parquet import INPUT, JSON, KEY_COLUMNS, OUTPUT, About, Shape, is_json, with_about
from taut.serve.log.said import Said, plain_list
from taut.serve.log.segments import Answering, SegmentFacts

CHUNK_ROWS = 32_768  # Rows that wait as Python's values before they become columns.
NUMBERS = frozenset({int, float})
OWN = {
    "id": pa.string(), "row": pa.int32(), "at_ms": pa.int64(), "event_ms": pa.int64(), "latency_us": pa.int64(),
    "revision": pa.int64(), "model": pa.string(), "number": pa.int64(), "role": pa.string(), "given": pa.bool_(),
    "digest": pa.binary(), "shape": pa.int16(),
}  # fmt: skip
"""The columns that are not of the model."""


@dataclass
class _Chunk:
    rows: int = 0
    columns: dict[str, list[Any]] = field(default_factory=dict)


class Builder:
    """Gathers records for one file."""

    def __init__(self) -> None:
        self.rows = 0
        self._shapes: dict[Shape, int] = {}
        self._chunks: dict[int, _Chunk] = {}
        self._tables: list[pa.Table] = []

    def add(self, said: Said) -> None:
        """Take one record."""
        shape = self._shapes.setdefault(Shape(tuple(said.inputs), tuple(said.outputs)), len(self._shapes))
        chunk = self._chunks.setdefault(shape, _Chunk())
        rows = sum(said.counts)
        single = rows == len(said.ids) and all(count == 1 for count in said.counts)
        digests = [one or None for one in said.digests] if said.digests else [None] * len(said.ids)
        by_request: dict[str, list[Any]] = {
            "id": said.ids, "event_ms": said.event_ms, "latency_us": said.latency_us, "given": said.given,
            "digest": digests,
        }  # fmt: skip
        of_all = {
            "at_ms": said.at_ms, "revision": said.revision, "model": said.model, "number": said.number,
            "role": said.role, "shape": shape,
        }  # fmt: skip
        columns = chunk.columns
        for name, values in by_request.items():
            columns.setdefault(name, []).extend(values if single else _repeated(values, said.counts))
        columns.setdefault("row", []).extend([0] * rows if single else [r for n in said.counts for r in range(n)])
        for name, value in of_all.items():
            columns.setdefault(name, []).extend([value] * rows)
        for prefix, given in ((INPUT, said.inputs), (OUTPUT, said.outputs)):
            for name, values in given.items():
                columns.setdefault(prefix + name, []).extend(plain_list(values))
        chunk.rows += rows
        self.rows += rows
        if chunk.rows >= CHUNK_ROWS:
            self._flush(shape)

    def table(self) -> pa.Table:
        """All that was taken, sorted by event time and id, the rows of a request in their order."""
        self.flush()
        table = joined(self._tables)
        self._tables = []
        return with_about(sorted_rows(table), About(list(self._shapes)))

    def flush(self) -> None:
        """Turn what waits as Python's values into columns."""
        for shape in list(self._chunks):
            self._flush(shape)

    def _flush(self, shape: int) -> None:
        columns = self._chunks.pop(shape).columns
        made = [_own(name, values) if name in OWN else column(name, values) for name, values in columns.items()]
        self._tables.append(pa.table([array for _, array in made], schema=pa.schema([one for one, _ in made])))


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one below the other; a column that they have in types that do not go together becomes JSON."""
    fields: dict[str, list[pa.Field]] = {}
    for table in tables:
        for one in table.schema:
            fields.setdefault(one.name, []).append(one)
    apart = {name for name, found in fields.items() if not go_together(found)}
    try:
        return pa.concat_tables([as_json(table, apart) for table in tables], promote_options="permissive")
    except pa.ArrowInvalid:  # Whole numbers that no float holds, and floats in another table.
        apart |= {name for name, found in fields.items() if len({one.type for one in found} - {pa.null()}) > 1}
        return pa.concat_tables([as_json(table, apart) for table in tables], promote_options="permissive")


def sorted_rows(table: pa.Table) -> pa.Table:
    """The rows in the order that files have."""
    return table.take(pc.sort_indices(table, [(name, "ascending") for name in (*KEY_COLUMNS, "row")]))


def facts_of(table: pa.Table) -> SegmentFacts:
    """What is to be recorded of a table of answers that is not empty."""
    requests = table.filter(pc.equal(table["row"], 0))
    aggregates = [
        ("id", "count"), ("event_ms", "min"), ("event_ms", "max"), ("at_ms", "min"), ("at_ms", "max"),
        ("given", "sum"),
    ]  # fmt: skip
    keys = ["revision", "model", "number", "role"]
    by_version = requests.group_by(keys).aggregate(aggregates).to_pylist()
    rows = _counts(table, keys)
    versions = tuple(
        Answering(
            one["revision"], one["model"], one["number"], one["role"], one["id_count"],
            rows[tuple(one[key] for key in keys)], one["event_ms_min"], one["event_ms_max"], one["at_ms_max"],
        )
        for one in sorted(by_version, key=lambda one: [one[key] for key in keys])
    )  # fmt: skip
    return SegmentFacts(
        requests=requests.num_rows, rows=table.num_rows, given=sum(one["given_sum"] for one in by_version),
        first_event_ms=min(one["event_ms_min"] for one in by_version),
        last_event_ms=max(one["event_ms_max"] for one in by_version),
        first_at_ms=min(one["at_ms_min"] for one in by_version),
        last_at_ms=max(one["at_ms_max"] for one in by_version),
        versions=versions, filter=filter_of(requests["id"].to_pylist()),
    )  # fmt: skip


def _counts(table: pa.Table, keys: list[str]) -> dict[tuple[Any, ...], int]:
    counted = table.group_by(keys).aggregate([("id", "count")]).to_pylist()
    return {tuple(one[key] for key in keys): one["id_count"] for one in counted}


def _repeated(values: Iterable[Any], counts: Sequence[int]) -> list[Any]:
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def column(name: str, values: list[Any]) -> tuple[pa.Field, pa.Array]:
    """The cells as one column; as JSON where they are of several kinds, or past what Arrow can hold."""
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) <= 1 or kinds <= NUMBERS:
        try:
            array = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            pass  # Nested lists of several kinds, or whole numbers that no float holds among floats.
        else:
            return pa.field(name, array.type), array
    return _json_column(name, values)


def _own(name: str, values: list[Any]) -> tuple[pa.Field, pa.Array]:
    return pa.field(name, OWN[name]), pa.array(values, OWN[name])


def _json_column(name: str, values: list[Any]) -> tuple[pa.Field, pa.Array]:
    texts = [None if value is None else json.dumps(value) for value in values]  # With Infinity and NaN.
    return pa.field(name, pa.string(), metadata=JSON), pa.array(texts, pa.string())


def go_together(found: Sequence[pa.Field]) -> bool:
    """Whether columns can stand below each other as they are."""
    kinds = {one.type for one in found} - {pa.null()}
    numbers = kinds <= {pa.int64(), pa.float64()}
    return (len(kinds) <= 1 or numbers) and len({is_json(one) for one in found}) == 1


def as_json(table: pa.Table, apart: Collection[str]) -> pa.Table:
    """The table with these columns as JSON, where they are not yet."""
    for place, one in enumerate(table.schema):
        if one.name in apart and not is_json(one):
            table = table.set_column(place, *_json_column(one.name, table[one.name].to_pylist()))
    return table
