"""A file or folder as it was read: each file's digest, from the index where its stamp is known, else by reading it."""

import errno
import os
import time
from array import array
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from taut.data.workspace.bulk import bring
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import DIR, listing_bytes, md5_of
from taut.data.workspace.index import Index, Known, shards_now
from taut.data.workspace.packed import (
    CHANGED,
    STAMP_NUMBERS,
    TARGET,
    packed_digests,
    packed_names,
    unpacked_digests,
)
from taut.data.workspace.walk import FIELDS, ONE_FILE, Walk, walk
from taut.data.workspace.whole import changed, explained
from taut.errors import TautError
from taut.ground.progress import progress

if TYPE_CHECKING:
    from taut.data.workspace.ignore import Rules
    from taut.records import TreeFile


@dataclass(frozen=True)
class Snapshot:
    """What a walk found, with the digest of each file, and that of all of them as DVC names it."""

    place: Path
    found: Walk
    digests: bytes
    digest: str
    read: bytes = b""
    """The folder's list as DVC writes it; empty where nobody needed it."""

    @property
    def paths(self) -> list[str]:
        """Paths inside the folder, in the order of `md5s`."""
        return self.found.paths

    @cached_property
    def md5s(self) -> list[str]:
        """The digest of each file."""
        return unpacked_digests(self.digests)

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

        rows = sorted(zip(self.paths, self.md5s, self.found.column(0), strict=True))
        return tuple(TreeFile(path, md5=md5, size_bytes=size_bytes) for path, md5, size_bytes in rows)


def take_snapshot(index: Index, place: str, rules: "Rules | None" = None) -> Snapshot:
    """Digest a file or folder, reading only what the index does not know. Raises NotFound, Denied, Invalid."""
    found_ns = time.time_ns()
    found = walk(place, rules)
    known = index.known(place)
    if known is not None and known.is_of(found):
        return Snapshot(Path(place), found, known.md5s, known.digest)
    digests = _remembered(known, found)
    todo = _rest(found, digests)
    with progress("reading", todo.size_bytes, unit="B") as bar:
        base, names = _below(place, todo)
        read = bring(len(todo), base, names, advance=bar.advance)
    if (bad := read.failed()) is not None:
        raise _problem(_joined(place, todo.paths[bad]), read.code_list()[bad], "read")
    snapshot = _named(place, found, _merged(found, digests, todo, read.digests))
    index.keep(place, found, snapshot.digests, snapshot.digest, found_ns)
    return snapshot


def store_snapshot(index: Index, place: str, cache: Cache, rules: "Rules | None" = None) -> Snapshot:
    """The same, and all of its content is in the cache, on disk, when this returns.

    Each file is read once at most; one that the index knows and the cache has is not. Where the cache's first kind of
    link is a hardlink or symlink, the files become read-only links to it. Interrupted, it leaves at most content that
    nothing refers to. Raises NotFound, Denied, Unavailable, Invalid, Conflict where a file changes meanwhile.
    """
    found = walk(place, rules)
    known = index.known(place)
    digests = _remembered(known, found)
    if known is None or not (known.is_of(found) and index.is_cached(cache, known.digest)):
        if known is not None:
            index.load_verified(cache, known.digest, known.listed())
        absent = cache.missing(digests.values())
        digests = {path: md5 for path, md5 in digests.items() if md5 not in absent}
    todo = _rest(found, digests)
    is_linked = cache.types[0] in ("hardlink", "symlink") and not found.is_exec
    try:
        with (
            progress("adding", todo.size_bytes, unit="B") as bar,
            cache.filling(len(todo), bar) as filling,
        ):
            base, names = _below(place, todo)
            taken = filling.take_in(len(todo), base, names, is_linked=is_linked)
            if (bad := taken.failed()) is not None:
                raise _problem(_joined(place, todo.paths[bad]), taken.code_list()[bad], "read or stored")
            if (now := array("q", taken.stamps)[::STAMP_NUMBERS]) != todo.column(0):
                pairs = zip(todo.paths, now, todo.column(0), strict=True)
                raise changed(_joined(place, next(path for path, size, then in pairs if size != then)))
            snapshot = _named(place, found, _merged(found, digests, todo, taken.digests))
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
    before = snapshot.found
    is_hardlinked = cache.types[0] == "hardlink" and not any(after.column(2)) and after.has_same(before)
    if not is_hardlinked and (after.names != before.names or after.stamps != before.stamps):
        old = dict(zip(snapshot.paths, zip(*columns(before), snapshot.md5s, strict=True), strict=True))
        new = dict(zip(after.paths, zip(*columns(after), strict=True), strict=True))
        for path in sorted(old.keys() | new.keys()):
            if path not in old or path not in new or not _is_same(old[path], new[path], cache):
                raise changed(_joined(place, path))
        if after.names != before.names:
            return  # The folder tells its names in another order now; the next reading remembers it.
    index.keep(place, after, snapshot.digests, snapshot.digest, found_ns)
    index.keep_verified(cache, snapshot.digest, [md5 for _, md5 in snapshot.listed])
    if not cache.missing([*snapshot.md5s, snapshot.digest]):
        index.keep_cached(cache, snapshot.digest, shards)


def _remembered(known: Known | None, found: Walk) -> dict[str, str]:
    """Digests of the files whose stamps the index knows."""
    if known is None:
        return {}
    if known.is_of(found):
        return dict(zip(found.paths, known.digests(), strict=True))
    before = known.by_path()
    now = zip(found.paths, zip(*columns(found), strict=True), strict=True)
    return {path: before[path][1] for path, stamp in now if path in before and before[path][0] == stamp}


def columns(found: Walk) -> "list[array[int]]":
    """The stamps of a walk, number by number: all sizes, all mtimes, all ctimes, all inodes."""
    return [found.column(number) for number in range(FIELDS)]


def _rest(found: Walk, digests: dict[str, str]) -> Walk:
    """The files whose digests nobody knows."""
    if not digests:
        return found
    numbers = [number for number, path in enumerate(found.paths) if path not in digests]
    stamps = array("q")
    for number in numbers:
        stamps.extend(found.stamps[number * FIELDS : (number + 1) * FIELDS])
    return Walk(packed_names([found.paths[number] for number in numbers]), stamps)


def _merged(found: Walk, digests: dict[str, str], todo: Walk, fresh: bytes) -> bytes:
    """The digests of all files, of those that were known and those that were read."""
    if not digests:
        return fresh
    every = {**digests, **dict(zip(todo.paths, unpacked_digests(fresh), strict=True))}
    return packed_digests(every[path] for path in found.paths)


def _named(place: str, found: Walk, digests: bytes) -> Snapshot:
    if found.names == packed_names([ONE_FILE]):
        return Snapshot(Path(place), found, digests, digests.hex())
    listing = listing_bytes(zip(found.paths, unpacked_digests(digests), strict=True))
    return Snapshot(Path(place), found, digests, md5_of(listing) + DIR, listing)


def _below(place: str, found: Walk) -> tuple[str, bytes]:
    """A folder and the names in it; of one file its own folder."""
    if found.names == packed_names([ONE_FILE]):
        return os.path.dirname(place) or "/", packed_names([os.path.basename(place)])
    return place if len(found) else os.path.dirname(place), found.names


def _joined(place: str, path: str) -> str:
    return place if path == ONE_FILE else f"{place}/{path}"


def _problem(path: str, code: int, what: str) -> TautError:
    """What a code of `bring` means to a user."""
    if code in (CHANGED, errno.ENOENT):
        return changed(path)
    assert code > 0, (path, code)
    number = code % TARGET
    return explained(OSError(number, os.strerror(number)), Path(path), what)


def _is_same(old: tuple[object, ...], new: tuple[int, ...], cache: Cache) -> bool:
    """Whether a file is as it was, or is now a link to its own content."""
    *stamp, md5 = old
    if tuple(stamp) == new:
        return True
    if tuple(stamp[:2]) == new[:2] and stamp[3] == new[3] and new[2] == 0:  # It has a second name, in the cache.
        return cache.types[0] == "hardlink"
    return cache.verified.get(str(md5)) == (new[0], new[1], new[3])
