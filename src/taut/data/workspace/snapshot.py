"""A file or folder as it was read: each file's digest, from the index where its stamp is known, else by reading it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import DIR, Hashed, file_digest, listing_bytes, md5_of
from taut.data.workspace.index import Index, shards_now
from taut.data.workspace.threads import in_threads
from taut.data.workspace.walk import FIELDS, ONE_FILE, Walk, walk
from taut.data.workspace.whole import explained
from taut.errors import Conflict
from taut.ground.progress import Progress, progress

if TYPE_CHECKING:
    from taut.data.workspace.ignore import Rules
    from taut.records import TreeFile


@dataclass(frozen=True)
class Snapshot:
    """What a walk found, with the digest of each file, and that of all of them as DVC names it."""

    place: Path
    found: Walk
    md5s: list[str]
    digest: str
    read: bytes = b""
    """The folder's list as DVC writes it; empty where nobody needed it."""

    @property
    def paths(self) -> list[str]:
        """Paths inside the folder, in the order of `md5s`."""
        return self.found.paths

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return self.found.size_bytes

    @property
    def is_one_file(self) -> bool:
        """Whether it is a single file and no folder."""
        return not self.digest.endswith(DIR)

    @property
    def is_exec(self) -> bool:
        """Whether it is a single file that its owner may run."""
        return self.found.is_exec

    @cached_property
    def listed(self) -> list[tuple[str, str]]:
        """Path and digest of each file, sorted by path."""
        return sorted(zip(self.paths, self.md5s, strict=True))

    @cached_property
    def files(self) -> "tuple[TreeFile, ...]":
        """The files, sorted by path."""
        from taut.records import TreeFile

        rows = sorted(zip(self.paths, self.md5s, self.found.stamps[::FIELDS], strict=True))
        return tuple(TreeFile(path, md5=md5, size_bytes=size_bytes) for path, md5, size_bytes in rows)


def take_snapshot(index: Index, place: str, rules: "Rules | None" = None) -> Snapshot:
    """Digest a file or folder, reading only what the index does not know. Raises NotFound, Denied, Invalid."""
    found_ns = time.time_ns()
    found = walk(place, rules)
    known = index.known(place)
    if known is not None and known.is_of(found):
        return Snapshot(Path(place), found, known.digests(), known.digest)
    digests = _remembered(index, place, found)
    todo = [path for path in found.paths if path not in digests]
    sizes = dict(zip(found.paths, found.stamps[::FIELDS], strict=True))
    with progress("reading", sum(sizes[path] for path in todo), unit="B") as bar:
        stop = threading.Event()
        hashed = in_threads(lambda path: _read(_joined(place, path), stop, bar), todo, stop.set)
    digests.update(zip(todo, (one.md5 for one in hashed), strict=True))
    snapshot = _named(place, found, digests)
    index.keep(place, found, snapshot.md5s, snapshot.digest, found_ns)
    return snapshot


def store_snapshot(index: Index, place: str, cache: Cache, rules: "Rules | None" = None) -> Snapshot:
    """The same, and all of its content is in the cache, on disk, when this returns.

    Each file is read once at most; one that the index knows and the cache has is not. Where the cache's first kind of
    link is a hardlink or symlink, the files become read-only links to it. Interrupted, it leaves at most content that
    nothing refers to. Raises NotFound, Denied, Unavailable, Invalid, Conflict where a file changes meanwhile.
    """
    found = walk(place, rules)
    digests = _remembered(index, place, found)
    known = index.known(place)
    if known is None or not (known.is_of(found) and index.is_cached(cache, known.digest)):
        if known is not None:
            index.load_verified(cache, known.digest, known.listed())
        absent = cache.missing(digests.values())
        digests = {path: md5 for path, md5 in digests.items() if md5 not in absent}
    todo = [path for path in found.paths if path not in digests]
    sizes = dict(zip(found.paths, found.stamps[::FIELDS], strict=True))
    is_linked = cache.types[0] in ("hardlink", "symlink") and not found.is_exec
    try:
        with (
            progress("adding", sum(sizes[path] for path in todo), unit="B") as bar,
            cache.filling(len(todo), bar) as filling,
        ):
            take = filling.link_in if is_linked else filling.copy_in
            hashed = in_threads(lambda path: _taken(take, place, path, sizes[path]), todo, filling.stop)
            digests.update(zip(todo, (one.md5 for one in hashed), strict=True))
            snapshot = _named(place, found, digests)
            if not snapshot.is_one_file:
                filling.put_bytes(snapshot.read, DIR)
    except OSError as problem:
        raise explained(problem, Path(problem.filename or place), "read or stored") from None
    return snapshot


def settled(index: Index, snapshot: Snapshot, cache: Cache, rules: "Rules | None" = None) -> None:
    """Hold every stamp against its file once more, and remember them. Raises Conflict where one changed, came or went.

    A file that has become a link to the cache has the stamp of what it links to.
    """
    place, shards = str(snapshot.place), shards_now(cache)
    found_ns = time.time_ns()
    after = walk(place, rules)
    if after.paths != snapshot.paths or after.stamps != snapshot.found.stamps:
        old = dict(zip(snapshot.paths, zip(*columns(snapshot.found), snapshot.md5s, strict=True), strict=True))
        new = dict(zip(after.paths, zip(*columns(after), strict=True), strict=True))
        for path in sorted(old.keys() | new.keys()):
            if path not in old or path not in new or not _is_same(old[path], new[path], cache):
                raise _changed(_joined(place, path))
        if after.paths != snapshot.paths:
            return  # The folder tells its names in another order now; the next reading remembers it.
    index.keep(place, after, snapshot.md5s, snapshot.digest, found_ns)
    index.keep_verified(cache, snapshot.digest, [md5 for _, md5 in snapshot.listed])
    if not cache.missing([*snapshot.md5s, snapshot.digest]):
        index.keep_cached(cache, snapshot.digest, shards)


def _remembered(index: Index, place: str, found: Walk) -> dict[str, str]:
    """Digests of the files whose stamps the index knows."""
    known = index.known(place)
    if known is None:
        return {}
    if known.is_of(found):
        return dict(zip(found.paths, known.digests(), strict=True))
    before = known.by_path()
    now = zip(found.paths, zip(*columns(found), strict=True), strict=True)
    return {path: before[path][1] for path, stamp in now if path in before and before[path][0] == stamp}


def columns(found: Walk) -> list[list[int]]:
    """The stamps of a walk, number by number: all sizes, all mtimes, all ctimes, all inodes."""
    return [found.stamps[number::FIELDS] for number in range(FIELDS)]


def _named(place: str, found: Walk, digests: dict[str, str]) -> Snapshot:
    md5s = [digests[path] for path in found.paths]
    if found.paths == [ONE_FILE]:
        return Snapshot(Path(place), found, md5s, md5s[0])
    listing = listing_bytes(zip(found.paths, md5s, strict=True))
    return Snapshot(Path(place), found, md5s, md5_of(listing) + DIR, listing)


def _joined(place: str, path: str) -> str:
    return place if path == ONE_FILE else f"{place}/{path}"


def _read(path: str, stop: threading.Event, bar: Progress) -> Hashed:
    try:
        return file_digest(path, stop, bar)
    except FileNotFoundError:
        raise _changed(path) from None
    except OSError as problem:
        raise explained(problem, Path(path), "read") from None


def _taken(take: Callable[[str], Hashed], place: str, path: str, size_bytes: int) -> Hashed:
    source = _joined(place, path)
    try:
        hashed = take(source)
    except FileNotFoundError as problem:
        if problem.filename == source:
            raise _changed(source) from None
        raise
    if hashed.size_bytes != size_bytes:
        raise _changed(source)
    return hashed


def _is_same(old: tuple[object, ...], new: tuple[int, ...], cache: Cache) -> bool:
    """Whether a file is as it was, or is now a link to its own content."""
    *stamp, md5 = old
    if tuple(stamp) == new:
        return True
    if tuple(stamp[:2]) == new[:2] and stamp[3] == new[3] and new[2] == 0:  # It has a second name, in the cache.
        return cache.types[0] == "hardlink"
    return cache.verified.get(str(md5)) == (new[0], new[1], new[3])


def _changed(path: str) -> Conflict:
    return Conflict(f"{path} changed while it was read", hint="wait until nothing writes there, then try again")
