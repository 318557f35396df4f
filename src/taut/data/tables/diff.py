"""`taut data diff`: what changed from one dataset version to another: files, and the columns of tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from taut.data.tables.distances import Distance, distance
from taut.data.tables.parts import Part, open_table, parts_of, stored_parts
from taut.data.tables.profiles import find_profile, profile_table
from taut.data.tables.rows import RowDiff, row_diff
from taut.data.versions import find_dataset, read_tree
from taut.data.workspace.add import index_folder, workspace_at
from taut.data.workspace.index import open_index
from taut.data.workspace.snapshot import take_snapshot
from taut.data.workspace.status import compared_files
from taut.errors import Invalid, NotFound, UsageError
from taut.ground import wire
from taut.home import Home
from taut.records import Column, ColumnProfile, DatasetVersion, TableProfile

ROWS_MAX = 2_000_000_000  # Bytes of both sides' files, whose rows are compared without being asked for.
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column before and after; None where it was not there."""

    name: str
    old: Column | None
    new: Column | None


@dataclass(frozen=True, slots=True)
class Shift:
    """A column's profile before and after, None where it was not there, and how far its distribution moved."""

    name: str
    old: ColumnProfile | None
    new: ColumnProfile | None
    distance: Distance


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """From version `old` to version `new` of a dataset, 0 for the workspace; columns that tell the same are left out.

    `shifts` are of every column and `table` of the rows, where both are tables; `not_compared` says why they are not.
    `renamed` are columns that hold the very same under another name, as (before, after).
    """

    name: str
    old: int
    new: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    modified: tuple[str, ...]
    rows: tuple[int | None, int | None]
    size_bytes: tuple[int, int]
    columns: tuple[ColumnChange, ...]
    shifts: tuple[Shift, ...] = ()
    table: RowDiff | None = None
    not_compared: str = ""
    renamed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TableDiff:
    """What two tables differ in: the distribution of each column, and their rows."""

    old: TableProfile
    new: TableProfile
    shifts: tuple[Shift, ...] = field(default=())
    table: RowDiff | None = None
    renamed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RowsAsked:
    """How rows shall be compared: by which key, or one that is looked for (`auto`), and how near numbers are equal.

    `wanted` None compares those of up to 2 GB of files, which takes some minutes, and of larger ones only by a key.
    """

    key: tuple[str, ...] = ()
    wanted: bool | None = None
    tolerance: float = 0.0

    def why_not(self, size_bytes: int) -> str:
        """Why rows are not to be compared, empty where they are."""
        if self.wanted is False:
            return "they were not asked for"
        if self.wanted is None and not self.key and size_bytes > ROWS_MAX:
            return f"the files have {size_bytes / 1e9:.1f} GB; ask for them with --rows"
        return ""


def table_diff(
    old: Sequence[Part], new: Sequence[Part], asked: RowsAsked = RowsAsked(), *,
    profiles: tuple[TableProfile | None, TableProfile | None] = (None, None), rows: bool = True,
) -> TableDiff:  # fmt: skip
    """Compare files as two tables, with `rows` row by row; profiles that are known are not made again.

    Raises Invalid where one is no table or the key is none, UsageError without the packages of `taut[data]`.
    """
    before, after = open_table(old), open_table(new)
    one, other = profiles[0] or profile_table(old), profiles[1] or profile_table(new)
    renamed = _renamed(one, other)
    found = None
    if rows:
        names = dict(renamed)
        before = replace(before, names=tuple(names.get(name, name) for name in before.names))
        key = (_key_of(one, other),) if asked.key == (AUTO,) else tuple(names.get(name, name) for name in asked.key)
        found = row_diff(before, after, key, tolerance=asked.tolerance)
    return TableDiff(one, other, _shifts(one, other), found, renamed)


def workspace_diff(home: Home, name: str, old: int | None = None, *, asked: RowsAsked = RowsAsked()) -> DatasetDiff:
    """Compare a version, the newest where none is said, with what lies in the workspace now; that is number 0.

    Raises NotFound for an unknown version or where nothing lies there, Invalid as `dataset_diff`.
    """
    before = find_dataset(home, name if old is None else f"{name}@{old}")
    place = home.project / before.path
    workspace = workspace_at(home, place)
    with open_index(index_folder(home)) as index:
        files = take_snapshot(index, str(place), workspace.rules(str(place))).files
    earlier = read_tree(home, before.tree)
    lists = compared_files(earlier, files)
    parts = stored_parts(home, workspace.cache, earlier, _file_name(before)), parts_of(place, files)
    size = before.size_bytes + sum(file.size_bytes for file in files)
    found, why = _tables(parts, asked, size, (_profile_of(home, before), None))
    rows = None if found is None else found.new.rows
    return DatasetDiff(
        before.name, before.number, 0, *lists, (before.rows, rows),
        (before.size_bytes, sum(file.size_bytes for file in files)), (), *_told(found), why,
        () if found is None else found.renamed,
    )  # fmt: skip


def dataset_diff(
    home: Home, name: str, old: int | None = None, new: int | None = None, *, asked: RowsAsked = RowsAsked()
) -> DatasetDiff:
    """Compare two versions; `new` is the newest where not said, `old` the one before `new`.

    Rows are compared where both are tables, by `key` where one is named. Raises NotFound where a version does not
    exist, and where there is none before the first; with a key also Invalid and UsageError where rows cannot be
    compared by it.
    """
    after = find_dataset(home, name if new is None else f"{name}@{new}")
    if old is None and after.number == 1:
        raise NotFound(f"dataset {name!r} has no version before 1", hint=f"taut data log {name}")
    before = find_dataset(home, f"{name}@{after.number - 1 if old is None else old}")
    trees = read_tree(home, before.tree), read_tree(home, after.tree)
    cache = workspace_at(home, home.project / after.path).cache
    parts = (
        stored_parts(home, cache, trees[0], _file_name(before)),
        stored_parts(home, cache, trees[1], _file_name(after)),
    )
    size = before.size_bytes + after.size_bytes
    found, why = _tables(parts, asked, size, (_profile_of(home, before), _profile_of(home, after)))
    return DatasetDiff(
        name, before.number, after.number, *compared_files(*trees),
        (before.rows, after.rows), (before.size_bytes, after.size_bytes), _columns(before, after), *_told(found), why,
        () if found is None else found.renamed,
    )  # fmt: skip


def _tables(
    parts: tuple[Sequence[Part], Sequence[Part]], asked: RowsAsked, size_bytes: int,
    profiles: tuple[TableProfile | None, TableProfile | None],
) -> tuple[TableDiff | None, str]:  # fmt: skip
    """The rows and columns of two tables, or why rows are not compared; whoever names a key asked for nothing else."""
    one, other = profiles
    why = asked.why_not(size_bytes)
    if why and one is not None and other is not None:
        return TableDiff(one, other, _shifts(one, other), None, _renamed(one, other)), why
    try:
        return table_diff(*parts, asked, profiles=profiles, rows=not why), why
    except (Invalid, NotFound, UsageError) as problem:  # What lies in a cache elsewhere cannot be read from here.
        if asked.key or asked.wanted:
            raise
        told = None if one is None or other is None else TableDiff(one, other, _shifts(one, other))
        return told, problem.message


def _told(found: TableDiff | None) -> tuple[tuple[Shift, ...], RowDiff | None]:
    return ((), None) if found is None else (found.shifts, found.table)


def _profile_of(home: Home, version: DatasetVersion) -> TableProfile | None:
    """The stored profile; None for a version from before there were any."""
    try:
        return find_profile(home, f"{version.name}@{version.number}")
    except NotFound:
        return None


def _file_name(version: DatasetVersion) -> str:
    return PurePosixPath(version.path).name


def _shifts(old: TableProfile, new: TableProfile) -> tuple[Shift, ...]:
    before, after = ({column.name: column for column in side.columns} for side in (old, new))
    made = []
    for name in [*after, *(name for name in before if name not in after)]:
        one, other = before.get(name), after.get(name)
        made.append(Shift(name, one, other, Distance() if one is None or other is None else distance(one, other)))
    return tuple(made)


def _renamed(old: TableProfile, new: TableProfile) -> tuple[tuple[str, str], ...]:
    """Columns that went while one that holds the very same came, and no other does."""
    gone, came = (
        [column for column in side.columns if column.name not in {one.name for one in other.columns}]
        for side, other in ((old, new), (new, old))
    )
    names: dict[str, list[str]] = {}
    for column in (*gone, *came):
        names.setdefault(_nameless(column), []).append(column.name)
    pairs = []
    for column in gone:
        alike = names[_nameless(column)]
        if len(alike) == 2 and alike[0] == column.name and column.distinct > 1:
            pairs.append((alike[0], alike[1]))
    return tuple(pairs)


def _nameless(column: ColumnProfile) -> str:
    """All that a profile tells but the name, as one word."""
    return wire.text(replace(column, name=""))


def _key_of(old: TableProfile, new: TableProfile) -> str:
    """The first column of both that tells every row apart. Raises Invalid where there is none."""
    before = {column.name: column for column in old.columns}
    for column in new.columns:
        if column.name in before and all(_tells_apart(one) for one in (before[column.name], column)):
            return column.name
    raise Invalid("no column tells every row apart in both", hint="--key A,B")


def _tells_apart(column: ColumnProfile) -> bool:
    """Whether no two rows have one value, or by an estimate most likely none have."""
    if column.missing or column.dtype not in ("int", "text", "date", "timestamp") or column.distinct_error is None:
        return False
    return abs(column.rows - column.distinct) <= 4 * column.distinct_error * column.rows


def _columns(before: DatasetVersion, after: DatasetVersion) -> tuple[ColumnChange, ...]:
    old, new = ({column.name: column for column in version.columns} for version in (before, after))
    names = [*new, *(name for name in old if name not in new)]
    return tuple(ColumnChange(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))
