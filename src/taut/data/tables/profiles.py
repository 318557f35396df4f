"""Profiles of dataset versions: made in one pass over the files, kept with the version, bounded in size."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from taut.data.tables.kept import SELECT_PROFILE, insert_profile, profile_text, size_max
from taut.data.tables.parts import Part, Table, column_groups, open_table, over_batches, part_of
from taut.data.tables.profile import DISTINCT_MAX, profile_files
from taut.data.versions import find_dataset
from taut.errors import Invalid, NotFound, UsageError
from taut.ground import wire
from taut.ground.progress import Progress, progress
from taut.home import Home, verb
from taut.records import Column, ColumnProfile, TableProfile

if TYPE_CHECKING:
    import pyarrow as pa

    from taut.data.tables.columns import Tally


def profile_table(parts: Sequence[Part]) -> TableProfile:
    """Profile files as one table in one pass, a batch at a time, its columns on all cores.

    Raises Invalid where they are no table, UsageError without the packages of `taut[data]`.
    """
    table = open_table(parts)
    tallies: list[Tally] = []
    with progress("profiling", unit=" rows") as bar:
        for group in column_groups(table):
            tallies += over_batches(table, partial(_tallied, table, group, bar), group)
    return _as_profile(tallies)


def profiled(paths: Sequence[Path]) -> tuple[int | None, tuple[Column, ...], TableProfile | None]:
    """Rows and columns of files and their profile; without `taut[data]` only what a plain reading of CSV gives."""
    try:
        profile = profile_table([part_of(path) for path in paths])
    except Invalid:
        return None, (), None
    except UsageError:  # The packages are not there.
        return *profile_files(paths), None
    return profile.rows, columns_of(profile), profile


def columns_of(profile: TableProfile) -> tuple[Column, ...]:
    """The glance at each column that is listed with the version."""
    return tuple(
        Column(
            one.name,
            "number" if one.dtype in ("int", "float") else "empty" if one.dtype == "empty" else "text",
            one.missing,
            one.distinct,
            *((_number(one.low), _number(one.high), one.mean) if one.dtype in ("int", "float") else ()),
        )
        for one in profile.columns
    )


@verb("data.profile", needs="dataset:read")
def find_profile(home: Home, wanted: str) -> TableProfile:
    """The profile of the version `name@3`, or of the newest of `name`. Raises NotFound where it has none, Invalid."""
    version = find_dataset(home, wanted)
    with home.meta.read() as tx:
        row = tx.row(SELECT_PROFILE, {"name": version.name, "number": version.number})
    if row is None:
        raise NotFound(
            f"{version.name}@{version.number} has no profile: it is no table, or was added without taut[data]",
            hint=f"taut data add {version.path}",
        )
    found = wire.decode(str(row[0]), TableProfile, what=f"the profile of {version.name}@{version.number}")
    return replace(found, columns=tuple(_told_apart(column) for column in found.columns))


def _told_apart(column: ColumnProfile) -> ColumnProfile:
    """Profiles from before there were sketches stop at 100,000 distinct values, which is no more than a lower bound."""
    is_old = column.distinct == DISTINCT_MAX and column.top_error and not column.sketch and not column.distinct_error
    return replace(column, distinct_error=None) if is_old else column


@verb("data.record_profile", needs="dataset:write")
def record_profile(home: Home, name: str, number: int, profile: TableProfile) -> TableProfile:
    """Keep the profile of a version that has none; one that is there already stays.

    Raises NotFound where there is no such version, Invalid for a profile that is larger than a profile may be.
    """
    version = find_dataset(home, f"{name}@{number}")
    body = profile_text(profile, name)
    with home.meta.transaction() as tx:
        if insert_profile(tx, name, number, body):
            home.append(tx, "data.profiled", subject=version.point, body={"columns": len(profile.columns)})
    return profile


def _tallied(table: Table, group: Sequence[int], bar: Progress, batches: Iterator["pa.RecordBatch"]) -> "list[Tally]":
    from taut.data.tables.columns import Tally
    from taut.data.tables.frequencies import counters_of
    from taut.data.tables.quantiles import buffer_size

    size, counters = buffer_size(len(table.names)), counters_of(len(table.names))
    tallies = [Tally(table.names[place], table.types[place], size, counters) for place in group]
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        for batch in batches:
            for _ in workers.map(Tally.add, tallies, batch.columns):
                pass
            bar.advance(batch.num_rows if group[0] == 0 else 0)  # Each row once, though its columns come in groups.
    return tallies


def _as_profile(tallies: "list[Tally]") -> TableProfile:
    """The profile, as fine as its size allows."""
    from taut.data.tables.columns import FINENESS

    most, some = size_max(len(tallies)), tallies[:: len(tallies) // 50 + 1]
    for fineness in FINENESS:
        if _made(some, *fineness)[1] > most * 2 * len(some) // len(tallies) and fineness != FINENESS[-1]:
            continue  # Some columns are twice as large as all may be: not each need be made to see that.
        made, size = _made(tallies, *fineness)
        if size <= most:
            break
    return _named(made)


def _made(tallies: "Sequence[Tally]", points: int, top: int, precision: int) -> tuple[TableProfile, int]:
    """A profile and its bytes of JSON."""
    columns = tuple(tally.profile(points=points, top=top, precision=precision) for tally in tallies)
    made = TableProfile(tallies[0].rows, columns)
    return made, len(wire.encode(made))


def _named(profile: TableProfile) -> TableProfile:
    """Names as text that JSON can carry and a page can show."""
    return replace(profile, columns=tuple(replace(one, name=one.name[:1000]) for one in profile.columns))


def _number(value: float | str | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None
