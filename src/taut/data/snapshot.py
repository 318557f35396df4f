"""Bytes to digests: every file of a tree read once, by several threads, hashed both ways and stored on the way."""

import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from taut.data.index import Digests, open_index
from taut.data.tree import Found, Stamp, stamp_of, walk_tree
from taut.data.whole import explained
from taut.errors import Conflict, Invalid
from taut.ground.objects.protocol import chunks
from taut.ground.progress import Progress, progress
from taut.home import Home
from taut.records import TreeFile

# Hashing lets other threads run, so one a core computes; the second one of each waits for the disk.
WORKERS = 2 * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A tree as it was read: its files, and the stamp of each when it was read."""

    place: Path
    files: tuple[TreeFile, ...]
    stamps: tuple[Stamp, ...]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)


def take_snapshot(home: Home, place: Path, *, store: bool) -> Snapshot:
    """Read a file or folder; with `store`, every file's bytes are in the object store when this returns.

    Files that the index knows are not read, unless the store lacks them. Interrupted, it leaves at most objects that
    nothing refers to. Raises NotFound, Denied, Invalid for an empty folder, Conflict where a file changes meanwhile.
    """
    found = walk_tree(place)
    if not found:
        raise Invalid(f"the folder {place} has no files", hint=f"ls -la {place}")
    with open_index(home) as index:
        digests = index.known(place, found)
        absent = home.objects.claim({known.oid for known in digests.values()}) if store and digests else set()
        todo = [file for file in found if file.place not in digests or digests[file.place].oid in absent]
        read = dict(_read_all(home, todo, store))
        index.keep({file.place: (file.stamp, read[file.place]) for file in todo})
    digests.update(read)
    files = tuple(TreeFile(file.path, *digests[file.place], file.stamp.size_bytes) for file in found)
    return Snapshot(place, files, tuple(file.stamp for file in found))


def require_unchanged(snapshot: Snapshot) -> None:
    """Hold every stamp against its file once more. Raises Conflict where one changed, came or went."""
    before = {file.path: stamp for file, stamp in zip(snapshot.files, snapshot.stamps, strict=True)}
    after = {found.path: found.stamp for found in walk_tree(snapshot.place)}
    if before != after:
        changed = min(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        raise _changed(snapshot.place / changed)


def digest_file(path: Path) -> Digests:
    """Read one file for its digests. Raises Denied or Unavailable."""
    return _digests_of(None, path, threading.Event(), None)


def _read_all(home: Home, todo: list[Found], store: bool) -> Iterator[tuple[Path, Digests]]:
    total = sum(file.stamp.size_bytes for file in todo)
    stop = threading.Event()
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="snapshot")
    with progress("snapshot" if store else "reading", total, unit="B") as bar:
        try:
            yield from pool.map(lambda file: _read_one(home if store else None, file, stop, bar), todo)
        finally:  # After Ctrl-C or a failure nobody waits for gigabytes that are still to be read.
            stop.set()
            pool.shutdown(cancel_futures=True)


def _read_one(home: Home | None, file: Found, stop: threading.Event, bar: Progress) -> tuple[Path, Digests]:
    digests = _digests_of(home, file.place, stop, bar)
    try:
        unchanged = stamp_of(file.place) == file.stamp
    except OSError:
        unchanged = False
    if not unchanged:
        raise _changed(file.place)
    return file.place, digests


def _digests_of(home: Home | None, path: Path, stop: threading.Event, bar: Progress | None) -> Digests:
    try:
        stream = path.open("rb", buffering=0)
    except OSError as problem:
        raise explained(problem, path, "read") from None
    with stream:
        hashing = _Hashing(cast("BinaryIO", stream), path, stop, bar)
        source = cast("BinaryIO", hashing)  # A store only ever calls `read`.
        if home is not None:
            return Digests(home.objects.put(source), hashing.md5.hexdigest())
        sha256 = hashlib.sha256()
        for chunk in chunks(source):
            sha256.update(chunk)
        return Digests(sha256.hexdigest(), hashing.md5.hexdigest())


class _Hashing:
    """A stream that hashes for DVC what passes through it."""

    def __init__(self, source: BinaryIO, path: Path, stop: threading.Event, bar: Progress | None) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._source, self._path, self._stop, self._bar = source, path, stop, bar

    def read(self, size: int = -1) -> bytes:
        if self._stop.is_set():
            raise Conflict(f"reading {self._path} was interrupted")
        try:
            data = self._source.read(size)
        except OSError as problem:
            raise explained(problem, self._path, "read") from None
        self.md5.update(data)
        if self._bar is not None:
            self._bar.advance(len(data))
        return data


def _changed(path: Path) -> Conflict:
    return Conflict(f"{path} changed while it was read", hint="wait until nothing writes there, then try again")
