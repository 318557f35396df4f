"""`taut data diff`: what changed from one dataset version to another: files, and the columns of tables."""

from dataclasses import dataclass

from taut.data.status import compared_files
from taut.data.versions import find_dataset, read_tree
from taut.errors import NotFound
from taut.home import Home
from taut.records import Column, DatasetVersion


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column before and after; None where it was not there."""

    name: str
    old: Column | None
    new: Column | None


@dataclass(frozen=True, slots=True)
class DatasetDiff:
    """From version `old` to version `new` of a dataset; columns that tell the same are left out."""

    name: str
    old: int
    new: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    modified: tuple[str, ...]
    rows: tuple[int | None, int | None]
    size_bytes: tuple[int, int]
    columns: tuple[ColumnChange, ...]


def dataset_diff(home: Home, name: str, old: int | None = None, new: int | None = None) -> DatasetDiff:
    """Compare two versions; `new` is the newest where not said, `old` the one before `new`.

    Raises NotFound where a version does not exist, and where there is none before the first.
    """
    after = find_dataset(home, name if new is None else f"{name}@{new}")
    if old is None and after.number == 1:
        raise NotFound(f"dataset {name!r} has no version before 1", hint=f"taut data log {name}")
    before = find_dataset(home, f"{name}@{after.number - 1 if old is None else old}")
    added, removed, modified = compared_files(read_tree(home, before.tree), read_tree(home, after.tree))
    return DatasetDiff(
        name, before.number, after.number, added, removed, modified,
        (before.rows, after.rows), (before.size_bytes, after.size_bytes), _columns(before, after),
    )  # fmt: skip


def _columns(before: DatasetVersion, after: DatasetVersion) -> tuple[ColumnChange, ...]:
    old, new = ({column.name: column for column in version.columns} for version in (before, after))
    names = [*new, *(name for name in old if name not in new)]
    return tuple(ColumnChange(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))
