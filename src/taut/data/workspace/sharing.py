"""Content of datasets in a home that others share: stored by SHA-256 when it is added, fetched into a cache again."""

import hashlib
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, cast

from taut.data.workspace.cache import Cache, Filling
from taut.data.workspace.digests import HEX
from taut.data.workspace.index import Index
from taut.data.workspace.threads import in_threads
from taut.data.workspace.walk import ONE_FILE
from taut.errors import Conflict, Corrupt, NotFound
from taut.ground.objects.protocol import chunks
from taut.ground.progress import Progress, progress
from taut.home import Home
from taut.records import TreeFile

LOCAL = "file://"


def is_shared(home: Home) -> bool:
    """Whether others take data from the home: it is a server, or its bytes lie elsewhere than in this folder."""
    return home.remote is not None or not home.objects.url.startswith(LOCAL)


def share(home: Home, files: tuple[TreeFile, ...], index: Index, cache: Cache) -> tuple[TreeFile, ...]:
    """Store the content of files that are in the cache in the home; the files with the oids that it has there.

    What was stored from here before is not read again. Raises Corrupt where the cache is damaged, Unavailable.
    """
    sizes = {file.md5: file.size_bytes for file in files}
    oids = index.oids(set(sizes))
    absent = home.objects.claim(set(oids.values())) if oids else set()
    todo = [md5 for md5 in sizes if md5 not in oids or oids[md5] in absent]
    with progress("storing", sum(sizes[md5] for md5 in todo), unit="B") as bar:
        stop = threading.Event()
        stored = in_threads(lambda md5: _store(home, cache, md5, bar, stop), todo, stop.set)
    oids.update(zip(todo, stored, strict=True))
    index.keep_oids({md5: oids[md5] for md5 in todo})
    return tuple(TreeFile(file.path, oids[file.md5], file.md5, file.size_bytes) for file in files)


def fetch(home: Home, files: Iterable[TreeFile], cache: Cache, shown: str) -> None:
    """Bring content into the cache from the home. Raises NotFound where it has none, Corrupt where it is damaged."""
    todo = list({file.md5: file for file in files}.values())
    if not todo:
        return
    if lost := [file for file in todo if not file.oid]:
        where = shown if lost[0].path == ONE_FILE else f"{shown}/{lost[0].path}"
        raise NotFound(
            f"{len(lost)} files are neither in the cache {cache.folder} nor in {home.place}: {lost[0].md5[:12]}, which "
            f"is {where}",
            hint="taut data pull",
        )
    with progress("fetching", sum(file.size_bytes for file in todo), unit="B") as bar, cache.filling(len(todo)) as into:
        in_threads(lambda file: _fetch(home, file, into, shown, bar), todo, into.stop)


def _store(home: Home, cache: Cache, md5: str, bar: Progress, stop: threading.Event) -> str:
    path = Path(cache.path_of(md5))
    try:
        with path.open("rb", buffering=0) as stream:
            hashing = _Hashing(cast("BinaryIO", stream), bar, stop)
            oid = home.objects.put(cast("BinaryIO", hashing))  # A store only ever calls `read`.
    except FileNotFoundError:
        raise NotFound(f"the cache {cache.folder} has no {md5}", hint="taut data add, once more") from None
    if hashing.md5.hexdigest() != md5[:HEX]:
        raise Corrupt(f"the file {path} of the cache is damaged: its bytes have another digest", hint="taut fsck")
    return oid


def _fetch(home: Home, file: TreeFile, into: Filling, shown: str, bar: Progress) -> None:
    where = shown if file.path == ONE_FILE else f"{shown}/{file.path}"
    try:
        stream = home.objects.open(file.oid)
    except NotFound as problem:
        raise NotFound(f"{problem.message}, which is {where}", hint="taut fsck") from None
    with stream:
        if not into.put_stream(chunks(stream), file.md5):
            said = f"object {file.oid[:12]} in {home.objects.url}, which is {where}"
            raise Corrupt(f"{said}, is damaged: its bytes have another digest", hint="taut fsck")
    bar.advance(file.size_bytes)


class _Hashing:
    """A stream that hashes for DVC what passes through it."""

    def __init__(self, source: BinaryIO, bar: Progress, stop: threading.Event) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._source, self._bar, self._stop = source, bar, stop

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises Conflict where it was stopped."""
        if self._stop.is_set():
            raise Conflict("storing was interrupted")
        data = self._source.read(size)
        self.md5.update(data)
        self._bar.advance(len(data))
        return data
