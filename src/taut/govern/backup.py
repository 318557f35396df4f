"""`backup` and `restore`: everything a home holds in a folder, of one moment, while others write; and back again.

Rows are read in one transaction; then the objects that they name are copied, which were stored before their rows and
never change. The manifest is written last, and says what must be there: a folder without it is no backup yet.
"""

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from taut import __version__
from taut.data.workspace.cache import Cache, Filling
from taut.data.workspace.contents import cached_contents
from taut.data.workspace.opened import own_cache
from taut.errors import Conflict, Corrupt, Invalid, NotFound, UsageError
from taut.govern.referenced import objects_named
from taut.ground import wire
from taut.ground.access import DEFAULT, Project, list_projects
from taut.ground.ledger import events
from taut.ground.meta import Tx
from taut.ground.meta.dump import (
    Table,
    count_rows,
    dump_table,
    empty_tables,
    load_table,
    migration_of,
    sha256_of,
    tables_in,
)
from taut.ground.objects import Objects, connect_objects
from taut.ground.objects.disk import sync_directory
from taut.ground.progress import progress
from taut.home import Home, open_project, require
from taut.serve.log.keeping import seal_until_now

FORMAT = 1
RESTORED = "home.restored"
COPIES = 4  # At once: a bucket answers each after milliseconds, a disk is kept busy by as many.
MANIFEST, OBJECTS_LIST = "manifest.json", "objects.txt"
CACHED = "cache"
OWN = frozenset({MANIFEST + ".part", OBJECTS_LIST, CACHED, "rows", "objects", "projects"})


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `objects_sha256` is the digest of the list of oids, each of which is a digest itself."""

    format: int
    taut: str
    migration: int
    at_ms: int
    events: int
    tables: tuple[Table, ...]
    objects: int
    size_bytes: int
    objects_sha256: str
    projects: tuple[str, ...] = ()
    """Ids of the projects that lie beside it, each a backup of its own below `projects/`."""
    cached: int = 0
    """Files of datasets from the home's own workspace cache, below `cache/`, named by MD5."""
    elsewhere: int = 0
    """Files of datasets that are not in it: they lie in the cache of a DVC repository, which is DVC's to keep."""

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables)


def back_up(home: Home, destination: Path) -> Manifest:
    """Copy a home into a new folder, as it is at one moment; writers go on meanwhile.

    A server's home takes its projects along, each as it is when its turn comes. A backup that was interrupted is begun
    anew and keeps the objects that it has. Raises Conflict where there is something else, UsageError for a server's
    URL, Corrupt where an object that rows name is gone or damaged, and what sealing the prediction log does.
    """
    _must_be_here(home)
    require(home, "server:admin", verb="home.backup")
    if (destination / MANIFEST).exists():
        raise Conflict(f"{destination} holds a backup already", hint="name another folder")
    if destination.exists() and any(one.name not in OWN for one in destination.iterdir()):
        raise Conflict(f"{destination} holds other things", hint="name another folder")
    shutil.rmtree(destination / "projects", ignore_errors=True)  # Those of one that was interrupted.
    rows = destination / "rows"
    shutil.rmtree(rows, ignore_errors=True)
    rows.mkdir(parents=True)
    os.chmod(destination, 0o700)  # Rows hold the hashes of passwords.
    seal_until_now(home)  # Journals are no part of a backup; what they hold is.
    with home.meta.transaction() as tx:
        home.append(tx, "home.backed-up", subject="home", body={"taut": __version__})
    at_ms, missing, unreadable = home.clock.now_ms(), list[str](), list[tuple[str, str]]()
    with home.meta.read() as tx:
        tables = tables_in(tx, home.meta.dialect)
        total = sum(count_rows(tx, name) for name in tables)
        with progress("saving rows", total, unit="row") as bar:
            saved = tuple(dump_table(tx, name, columns, rows / name, bar) for name, columns in tables.items())
        named = sorted(objects_named(home, tx, unreadable, missing=missing))
        migration, entries = migration_of(tx), count_rows(tx, "ledger")
        beside = [] if home.in_project is not None else [one for one in list_projects(tx) if one.id != DEFAULT]
    if missing or unreadable:
        raise Corrupt(f"{(missing or [unreadable[0][0]])[0]} cannot be read whole", hint="taut fsck")
    size_bytes = _copy(home.objects, connect_objects(f"file://{destination.absolute() / 'objects'}"), named, "saving")
    (destination / OBJECTS_LIST).write_text("".join(f"{oid}\n" for oid in named))
    digest = sha256_of(destination / OBJECTS_LIST)
    cached, elsewhere = _copy_cached(home, Cache(destination / CACHED))
    for project in beside:
        with home.entered(project) as inner:
            back_up(inner, destination / "projects" / project.id)
    made = Manifest(
        FORMAT, __version__, migration, at_ms, entries, saved, len(named), size_bytes, digest,
        tuple(project.id for project in beside), cached, elsewhere,
    )  # fmt: skip
    _finish(destination, made)
    return made


def read_manifest(source: Path) -> Manifest:
    """What a backup says of itself. Raises NotFound where there is none, or none that was finished."""
    try:
        written = (source / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{source} is no backup, or one that was never finished") from None
    made = wire.decode(written, Manifest, what=f"the manifest of {source}")
    if made.format != FORMAT:
        raise Invalid(f"{source} has the format {made.format}, which this taut does not know")
    return made


def restore(home: Home, source: Path) -> Manifest:
    """Fill an empty home from a backup, everything held against its manifest; rows last, all or none.

    Interrupted, it leaves an empty home with some objects and projects that nothing names, and may be begun again.
    Raises Conflict where something is there or the backup is another version's, Corrupt where the backup is damaged,
    NotFound where there is none.
    """
    _must_be_here(home)
    made = read_manifest(source)
    with home.meta.read() as tx:
        _check_fits(tx, made)
    for project_id in made.projects:
        with closing(open_project(home, Project(project_id, project_id, "", 0))) as inner:
            if not _is_restored(inner, read_manifest(source / "projects" / project_id)):
                restore(inner, source / "projects" / project_id)
    named = _listed(source, made)
    _copy(connect_objects(f"file://{source.absolute() / 'objects'}"), home.objects, named, "restoring")
    _restore_cached(home, source, made)
    with home.meta.transaction() as tx, progress("restoring rows", made.rows, unit="row") as bar:
        _check_fits(tx, made)
        empty_tables(tx, _tables(tx, home, made))
        for table in made.tables:
            load_table(tx, table, source / "rows" / table.name, bar)
        home.append(tx, RESTORED, subject="home", body={"taken_ms": made.at_ms, "events": made.events})
    return made


def _is_restored(home: Home, made: Manifest) -> bool:
    """Whether a restore that was interrupted has filled this project already, from this very backup."""
    with home.meta.read() as tx:
        if count_rows(tx, "ledger") != made.events + 1:
            return False
        (last,) = events(tx, after=made.events)
    return last.kind == RESTORED and wire.decode(last.body, dict[str, int]).get("taken_ms") == made.at_ms


def _check_fits(tx: Tx, made: Manifest) -> None:
    if (here := migration_of(tx)) != made.migration:
        raise Conflict(
            f"the backup was made by taut {made.taut} (migration {made.migration}, here {here})",
            hint=f"pip install taut=={made.taut}, restore, then upgrade",
        )
    if count_rows(tx, "ledger"):
        raise Conflict("there is something already: its ledger has entries", hint="restore into an empty place")


def _tables(tx: Tx, home: Home, made: Manifest) -> Mapping[str, tuple[str, ...]]:
    """The tables here, which must be those of the backup, column by column."""
    here = tables_in(tx, home.meta.dialect)
    theirs = {table.name: table.columns for table in made.tables}
    if {name: sorted(columns) for name, columns in here.items()} != {n: sorted(c) for n, c in theirs.items()}:
        raise Invalid("the backup has other tables than this taut")
    return here


def _listed(source: Path, made: Manifest) -> list[str]:
    file = source / OBJECTS_LIST
    if not file.is_file() or sha256_of(file) != made.objects_sha256:
        raise Corrupt(f"{OBJECTS_LIST} of the backup is missing or has other bytes than were written")
    return file.read_text().split()


def _copy(source: Objects, target: Objects, oids: list[str], what: str) -> int:
    """Copy objects, some at once, each held against its name; returns how many bytes all of them have."""

    def one(oid: str) -> int:
        try:
            with source.open(oid) as stream:
                copied, size_bytes = target.put(stream), stream.tell()
        except NotFound:
            raise Corrupt(f"object {oid[:12]} is not in {source.url}", hint="taut fsck") from None
        if copied != oid:
            raise Corrupt(f"object {oid[:12]} in {source.url} has other bytes than were stored", hint="taut fsck")
        bar.advance()
        return size_bytes

    with progress(f"{what} objects", len(oids), unit="obj") as bar, ThreadPoolExecutor(COPIES) as pool:
        try:
            return sum(pool.map(one, oids))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _copy_cached(home: Home, into: Cache) -> tuple[int, int]:
    """Copy what versions need of the home's own cache, each file verified; and count what lies elsewhere."""
    contents = list(cached_contents(home))
    own = [one for one in contents if one.is_own]
    if own:
        with progress("saving the cache", len(own), unit="file") as bar, into.filling(len(own)) as filling:
            for one in own:
                _copy_content(filling, one.cache.path_of(one.md5), one.md5)
                bar.advance()
    return len(own), len(contents) - len(own)


def _restore_cached(home: Home, source: Path, made: Manifest) -> None:
    """Put the files of a backup's cache into the home's own."""
    saved = Cache(source / CACHED)
    found = [shard.name + file.name for shard in Path(saved.root).glob("*") for file in shard.iterdir()]
    if len(found) != made.cached:
        raise Corrupt(f"the backup has {len(found)} files of datasets, and had {made.cached}")
    if found:
        assert home.folder is not None, "a home that is restored into has a folder"
        with own_cache(str(home.folder)).filling(len(found)) as filling:
            for md5 in found:
                _copy_content(filling, saved.path_of(md5), md5)


def _copy_content(filling: Filling, path: str, md5: str) -> None:
    try:
        copied = filling.copy_in(path).md5
    except FileNotFoundError:
        raise Corrupt(f"the cache has no file {path}", hint="taut fsck") from None
    if copied != md5:
        raise Corrupt(f"the file {path} has other bytes than were stored", hint="taut fsck")


def _finish(destination: Path, made: Manifest) -> None:
    """Have all of it on disk, then the manifest under its name."""
    for file in (*(destination / "rows").iterdir(), destination / OBJECTS_LIST):
        _sync(file)
    sync_directory(destination / "rows")
    part = destination / (MANIFEST + ".part")
    part.write_bytes(wire.encode(made))
    _sync(part)
    part.rename(destination / MANIFEST)
    sync_directory(destination)


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _must_be_here(home: Home) -> None:
    if home.remote is not None:
        raise UsageError(f"{home.place} is a server", hint="run it there, with --home FOLDER")
