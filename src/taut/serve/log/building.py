"""Records of journals become the table of one segment, and what is recorded of it."""

import json
from collections.abc import Collection, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taut.errors import Invalid
from taut.serve.log.bloom import filter_of
from taut.serve.log.packed import Counts, Packed, Packing, array_of, cells_of, list_of, read_packed
from taut.serve.log.parquet import INPUT, JSON, KEY_COLUMNS, OUTPUT, About, Shape, is_json, with_about
from taut.serve.log.segments import Answering, SegmentFacts

CHUNK_ROWS = 65_536  # Of some columns as many cells are values of Python for a moment.
EMPTY = b"\x90"  # A list of nothing as MessagePack has it.
Count = Annotated[int, msgspec.Meta(ge=1)]
NUMBERS = frozenset({int, float})
OWN = {
    "id": pa.string(), "row": pa.int32(), "at_ms": pa.int64(), "event_ms": pa.int64(), "latency_us": pa.int64(),
    "revision": pa.int64(), "model": pa.string(), "number": pa.int64(), "role": pa.string(), "given": pa.bool_(),
    "digest": pa.binary(), "shape": pa.int16(),
}  # fmt: skip
"""The columns that are not of the model."""
KINDS = {"id": list[str], "given": list[bool], "event_ms": list[int], "latency_us": list[int]}


Version = tuple[int, str, int, str]  # The revision, the model, its number and the role.


class _Chunk:
    """Records of one shape, their lists as they are packed."""

    def __init__(self) -> None:
        self.rows = 0
        self._records: list[Packed] = []
        self._requests: list[int] = []
        self._rows: list[int] = []
        self._sizes: dict[bytes, tuple[int, int]] = {}
        self._versions: dict[Version, int] = {}
        self._version: list[int] = []

    def add(self, packed: Packed) -> int:
        """Take a record; returns its rows. Raises Invalid for counts that are none."""
        told = bytes(packed.counts)
        requests, rows = self._sizes.get(told) or self._sizes.setdefault(told, _sizes_of(packed.counts))
        version = (packed.revision, packed.model, packed.number, packed.role)
        self._version.append(self._versions.setdefault(version, len(self._versions)))
        self._records.append(packed)
        self._requests.append(requests)
        self._rows.append(rows)
        self.rows += rows
        return rows

    def table(self, shape: int) -> pa.Table:
        """The rows, a cell of the request in each of its own. Raises Invalid for lists that do not fit each other."""
        records = self._records
        rows, requests = np.array(self._rows), np.array(self._requests)
        made: dict[str, Any] = {
            "id": _each("id", [one.ids for one in records], requests),
            "given": _each("given", [one.given for one in records], requests),
            "event_ms": _each("event_ms", [one.event_ms for one in records], requests),
            "latency_us": _each("latency_us", [one.latency_us for one in records], requests),
            "digest": _digests(records, requests),
        }
        if (rows == requests).all():
            made["row"] = np.zeros(self.rows, np.int32)
        else:
            counts = np.array(list_of([one.counts for one in records], requests, list[int]))
            request = pa.array(np.repeat(np.arange(len(counts)), counts))
            made = {name: array.take(request) for name, array in made.items()}
            made["row"] = np.arange(self.rows) - np.repeat(np.cumsum(counts) - counts, counts)
        made["at_ms"] = np.repeat(np.array([one.at_ms for one in records]), rows)
        made["shape"] = np.full(self.rows, shape)
        which = pa.array(np.repeat(self._version, rows)) if len(self._versions) > 1 else None
        for name, values in zip(
            ("revision", "model", "number", "role"), zip(*self._versions, strict=True), strict=True
        ):
            kept = pa.array(values, OWN[name])
            made[name] = pa.repeat(kept[0], self.rows) if which is None else kept.take(which)
        columns = [(pa.field(name, kind), pa.array(made[name], kind)) for name, kind in OWN.items()]
        for prefix, of in ((INPUT, [one.inputs for one in records]), (OUTPUT, [one.outputs for one in records])):
            columns += [_packed_column(prefix + name, [given[name] for given in of], rows) for name in of[0]]
        return pa.table([array for _, array in columns], schema=pa.schema([one for one, _ in columns]))


def _sizes_of(counts: msgspec.Raw) -> tuple[int, int]:
    """How many requests and rows a record has. Raises Invalid for counts that are none."""
    requests, _ = cells_of(counts)
    if not requests:
        raise Invalid("a record of the prediction log has no request")
    return requests, sum(list_of([counts], np.array([requests]), list[Count]))


class Builder:
    """Gathers records for one file."""

    def __init__(self) -> None:
        self.rows = 0
        self._shapes: dict[Shape, int] = {}
        self._chunks: dict[int, _Chunk] = {}
        self._tables: list[pa.Table] = []

    def add(self, record: bytes | memoryview) -> None:
        """Take one record, packed. Raises Invalid for what is none."""
        packed = read_packed(record)
        shape = self._shapes.setdefault(Shape(tuple(packed.inputs), tuple(packed.outputs)), len(self._shapes))
        chunk = self._chunks.setdefault(shape, _Chunk())
        self.rows += chunk.add(packed)
        if chunk.rows >= CHUNK_ROWS:
            self._flush(shape)

    def table(self) -> pa.Table:
        """All that was taken, sorted by event time and id, the rows of a request in their order. Raises Invalid."""
        self.flush()
        table = joined(self._tables)
        self._tables = []
        return with_about(sorted_rows(table), About(list(self._shapes)))

    def flush(self) -> None:
        """Turn what waits into columns."""
        for shape in list(self._chunks):
            self._flush(shape)

    def _flush(self, shape: int) -> None:
        try:
            self._tables.append(self._chunks.pop(shape).table(shape))
        except (TypeError, OverflowError, pa.ArrowInvalid) as problem:  # Nothing that a front writes.
            raise Invalid(f"a record of the prediction log holds what no column can: {problem}") from None


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
    keys = [*KEY_COLUMNS, "row"]
    # In one part they are sorted several times faster; all columns in one part would be all their memory once more.
    order = pc.sort_indices(table.select(keys).combine_chunks(), [(name, "ascending") for name in keys])
    return table.take(order)


def facts_of(table: pa.Table) -> SegmentFacts:
    """What is to be recorded of a table of answers that is not empty."""
    keys = ["revision", "model", "number", "role"]
    requests = table.select([*keys, "id", "event_ms", "at_ms", "given"])
    if pc.any(pc.not_equal(table["row"], 0)).as_py():
        requests = requests.filter(pc.equal(table["row"], 0))
    aggregates = [
        ("id", "count"), ("event_ms", "min"), ("event_ms", "max"), ("at_ms", "min"), ("at_ms", "max"),
        ("given", "sum"),
    ]  # fmt: skip
    by_version = requests.group_by(keys).aggregate(aggregates).to_pylist()
    rows = _counts(table.select([*keys, "id"]), keys)
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
        versions=versions, filter=filter_of(requests["id"]),
    )  # fmt: skip


def _counts(table: pa.Table, keys: list[str]) -> dict[tuple[Any, ...], int]:
    counted = table.group_by(keys).aggregate([("id", "count")]).to_pylist()
    return {tuple(one[key] for key in keys): one["id_count"] for one in counted}


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


def _packed_column(name: str, arrays: Sequence[Packing], counts: Counts) -> tuple[pa.Field, pa.Array]:
    array = array_of(arrays, counts)
    return column(name, list_of(arrays, counts)) if array is None else (pa.field(name, array.type), array)


def _each(name: str, arrays: Sequence[Packing], requests: Counts) -> pa.Array:
    """A cell for each request, of the type that its column has. Raises Invalid for others."""
    array = array_of(arrays, requests)
    if array is not None and array.type == OWN[name]:
        return array
    return pa.array(list_of(arrays, requests, KINDS[name]), OWN[name])


def _digests(records: Sequence[Packed], requests: Counts) -> pa.Array:
    """What callers of own ids asked; a record without any has none."""
    found = [one.digests for one in records]
    if all(bytes(one) == EMPTY for one in found):
        return pa.nulls(int(requests.sum()), OWN["digest"])
    counts = np.array([cells_of(one)[0] for one in found])
    if (counts[counts > 0] != requests[counts > 0]).any():
        raise Invalid("a record of the prediction log has not as many digests as requests")
    told = iter(list_of(found, counts, list[bytes]))
    return pa.array(
        [
            next(told) or None if has else None
            for has, count in zip(counts, requests, strict=True)
            for _ in range(count)
        ],
        OWN["digest"],
    )


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
