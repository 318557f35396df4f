"""The verbs of dataset versions: record one, list them, find one by name or by the files in it."""

import difflib
import re
from collections.abc import Iterable

from taut.data.tables.kept import insert_profile, profile_text
from taut.errors import Conflict, Invalid, NotFound
from taut.ground import wire
from taut.ground.ledger import take_turn
from taut.ground.meta import Row, Tx, Value
from taut.ground.objects import read_object
from taut.ground.whole import read_whole
from taut.home import Home, verb
from taut.records import Column, DatasetVersion, TableProfile, TreeFile

NAME_MAX = 100
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_MAX - 1}}}")
SELECT_NEWEST = """
SELECT name, number, tree, path, files, size_bytes, row_count, columns, at_ms, actor FROM dataset_version
WHERE name = :name ORDER BY number DESC LIMIT 1
"""
SELECT_VERSION = """
SELECT name, number, tree, path, files, size_bytes, row_count, columns, at_ms, actor FROM dataset_version
WHERE name = :name AND number = :number
"""
SELECT_ALL = """
SELECT name, number, tree, path, files, size_bytes, row_count, columns, at_ms, actor FROM dataset_version
WHERE (:name = '' OR name = :name) ORDER BY at_ms DESC, name, number DESC
"""
SELECT_NAMES = "SELECT DISTINCT name FROM dataset_version ORDER BY name"
SELECT_TREES = "SELECT name, number, tree FROM dataset_version ORDER BY at_ms DESC, number DESC"
INSERT_VERSION = """
INSERT INTO dataset_version (name, number, tree, path, files, size_bytes, row_count, columns, at_ms, actor)
VALUES (:name, :number, :tree, :path, :files, :size_bytes, :row_count, :columns, :at_ms, :actor)
"""


@verb("data.record", needs="dataset:write")
def record_dataset(
    home: Home, name: str, *, path: str, tree: str, rows: int | None = None, columns: list[Column] | None = None,
    profile: TableProfile | None = None,
) -> DatasetVersion:  # fmt: skip
    """Record the stored tree as the next version of `name`; the newest version itself where that has the same content.

    Its profile is recorded with it, or with the newest version where that has none: both or neither. Files without an
    oid lie in the workspace cache of who adds them, and nowhere in this home. Raises Invalid for a bad name, a profile
    that is too large or a tree that is no list of files, Conflict where one of its files is not stored.
    """
    if not NAME.fullmatch(name):
        raise Invalid(
            f"{name!r} is no name for a dataset: up to 100 letters, digits, '.', '_', '-'", hint="use --name NAME"
        )
    files = read_tree(home, tree)
    body = "" if profile is None else profile_text(profile, name)
    if absent := home.objects.claim({file.oid for file in files if file.oid}):
        raise Conflict(
            f"{len(absent)} files of the tree {tree[:12]} are not in {home.objects.url}", hint="add it again"
        )
    with home.meta.transaction() as tx:
        take_turn(tx)  # Two who record at once would count the same next number.
        newest = tx.row(SELECT_NEWEST, {"name": name})
        if newest is not None and (newest[2] == tree or _is_same(home, _version(newest), files)):
            same = _version(newest)
            if profile is not None and insert_profile(tx, name, same.number, body):
                home.append(tx, "data.profiled", subject=same.point, body={"columns": len(profile.columns)})
            return same
        version = DatasetVersion(
            name=name, number=1 if newest is None else int(str(newest[1])) + 1, tree=tree, path=path,
            files=len(files), size_bytes=sum(file.size_bytes for file in files), rows=rows,
            columns=tuple(columns or ()), at_ms=home.clock.now_ms(), actor=home.actor.name,
        )  # fmt: skip
        tx.execute(INSERT_VERSION, _values(version))
        told: dict[str, str | int] = {"tree": tree, "path": path}
        if profile is not None:
            insert_profile(tx, name, version.number, body)
            told["profiled_columns"] = len(profile.columns)
        home.append(tx, "data.recorded", subject=version.point, body=told)
    return version


@verb("data.list", needs="dataset:read")
def list_datasets(home: Home, name: str = "") -> list[DatasetVersion]:
    """All versions of all datasets, or of one, newest first. Raises NotFound for an unknown name."""
    with home.meta.read() as tx:
        rows = tx.rows(SELECT_ALL, {"name": name})
        if name and not rows:
            raise _unknown(tx, name)
    return [_version(row) for row in rows]


@verb("data.show", needs="dataset:read")
def find_dataset(home: Home, wanted: str) -> DatasetVersion:
    """The version `name@3`, or the newest of `name`. Raises NotFound that suggests the nearest name, Invalid."""
    name, number = split_version(wanted)
    with home.meta.read() as tx:
        newest = tx.row(SELECT_NEWEST, {"name": name})
        if newest is None:
            raise _unknown(tx, name)
        found = newest if number is None else tx.row(SELECT_VERSION, {"name": name, "number": number})
    if found is None:
        raise NotFound(
            f"dataset {name!r} has no version {number}; it has 1 to {newest[1]}", hint=f"taut data log {name}"
        )
    return _version(found)


@verb("data.find", needs="dataset:read")
def find_versions(home: Home, digests: list[str]) -> dict[str, list[str]]:
    """For each digest (MD5, or SHA-256 where a home holds the bytes) that a file of any version has: those versions.

    As `name@3`, newest first.
    """
    wanted = set(digests)
    found: dict[str, list[str]] = {}
    with home.meta.read() as tx:
        trees = tx.rows(SELECT_TREES) if wanted else ()
    for name, number, tree in trees:
        held = {digest for file in read_tree(home, str(tree)) for digest in (file.md5, file.oid) if digest}
        for digest in held & wanted:
            found.setdefault(digest, []).append(f"{name}@{number}")
    return found


def read_tree(home: Home, tree: str) -> tuple[TreeFile, ...]:
    """The files of a stored tree, sorted by path. Raises NotFound, Corrupt, Invalid."""
    return wire.decode(read_object(home.objects, tree), tuple[TreeFile, ...], what=f"the tree {tree[:12]}")


def split_version(wanted: str) -> tuple[str, int | None]:
    """A name and a number, None where only a name is written. Raises Invalid.

    >>> split_version("flights@3"), split_version("flights")
    (('flights', 3), ('flights', None))
    """
    name, at, number = wanted.partition("@")
    if at and not number.isdecimal():
        raise Invalid(f"{wanted!r} names no version; write it as {name or 'NAME'}@3", hint=f"taut data log {name}")
    return name, read_whole(number, what=f"the version of {name!r}") if at else None


def _is_same(home: Home, newest: DatasetVersion, files: tuple[TreeFile, ...]) -> bool:
    """Whether a version has this very content, though its tree may list other digests of it, as older ones do."""
    if (newest.files, newest.size_bytes) != (len(files), sum(file.size_bytes for file in files)):
        return False
    pairs = zip(read_tree(home, newest.tree), sorted(files, key=lambda file: file.path), strict=True)
    return all(
        (old.path, old.md5) == (new.path, new.md5) and (old.oid == new.oid or not (old.oid and new.oid))
        for old, new in pairs
    )


def _unknown(tx: Tx, name: str) -> NotFound:
    names = [str(known) for (known,) in tx.rows(SELECT_NAMES)]
    if close := difflib.get_close_matches(name, names, n=1):
        return NotFound(f"there is no dataset {name!r}; did you mean {close[0]!r}?", hint=f"taut data log {close[0]}")
    return NotFound(
        f"there is no dataset {name!r}; known are {_listed(names)}", hint=f"taut data add PATH --name {name}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:10]) or "none yet"


def _values(version: DatasetVersion) -> dict[str, Value]:
    values: dict[str, Value] = {**wire.plain(version), "row_count": version.rows}
    values["columns"] = wire.text(version.columns)
    del values["rows"]
    return values


def _version(row: Row) -> DatasetVersion:
    name, number, tree, path, files, size_bytes, rows, columns, at_ms, actor = row
    return DatasetVersion(
        name=str(name), number=int(str(number)), tree=str(tree), path=str(path), files=int(str(files)),
        size_bytes=int(str(size_bytes)), rows=None if rows is None else int(str(rows)),
        columns=wire.decode(str(columns), tuple[Column, ...], what=f"the columns of {name}@{number}"),
        at_ms=int(str(at_ms)), actor=str(actor),
    )  # fmt: skip
