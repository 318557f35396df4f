"""Segments in the place of others: joined, or without some of their answers; one commit does it."""

from collections.abc import Callable, Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from taut.errors import Conflict
from taut.home import Home
from taut.serve.log.building import facts_of, joined, sorted_rows
from taut.serve.log.parquet import About, Shape, about_of, tables_in, with_about, written
from taut.serve.log.segments import DELETE_SEGMENT, Segment, add_segment, newest_of, parquet_of, stored_segment


def table_of(home: Home, segments: Iterable[Segment], keeps: Callable[[pa.Table], pa.Array] | None = None) -> pa.Table:
    """The rows of segments as one table, those alone that `keeps` says; without columns for none."""
    shapes: dict[Shape, int] = {}
    parts = []
    for segment in segments:
        for table in tables_in(parquet_of(home, segment)):
            left = table if keeps is None else table.filter(keeps(table))
            if left.num_rows:
                parts.append(_renumbered(left, shapes))
    if not parts:
        return pa.table({})
    return with_about(sorted_rows(joined(parts)), About(list(shapes)))


def replace_segments(home: Home, old: Sequence[Segment], table: pa.Table, kind: str, *, encrypt: bool | None) -> int:
    """Store a table in the place of segments of one deployment, with an entry of this kind for each.

    Returns the number of the new one, 0 for no rows. Raises Conflict where others were stored or replaced meanwhile.
    """
    deployment = old[0].deployment
    with home.meta.read() as tx:
        newest = newest_of(tx, deployment)
    made = None
    if table.num_rows:
        data, facts = written(table), facts_of(table)
        made = stored_segment(home, deployment, data, facts, number=newest + 1, encrypt=encrypt)
    with home.meta.transaction() as tx:
        if newest_of(tx, deployment) != newest:
            raise Conflict(f"answers of {deployment!r} were sealed in the meantime", hint="ask again")
        for one in old:
            if not tx.execute(DELETE_SEGMENT, {"deployment": deployment, "number": one.number}):
                raise Conflict(f"{one.point} was replaced in the meantime", hint="ask again")
            home.append(tx, kind, subject=one.point, body={"by": "" if made is None else made.point})
        if made is not None:
            add_segment(home, tx, made, kind)
    return 0 if made is None else made.number


def ids_are(table: pa.Table, ids: Sequence[str]) -> pa.Array:
    """Which rows are of these requests."""
    return pc.is_in(table["id"], pa.array(ids, pa.string()))


def _renumbered(table: pa.Table, shapes: dict[Shape, int]) -> pa.Table:
    """The table with its shapes as places in `shapes`, which grows."""
    places = [shapes.setdefault(shape, len(shapes)) for shape in about_of(table).shapes]
    column = pa.array(places, pa.int16()).take(table["shape"].combine_chunks())
    place = table.schema.get_field_index("shape")
    return table.set_column(place, pa.field("shape", pa.int16()), column)
