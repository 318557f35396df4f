"""The index: which digests files had when they were last read, so that an unchanged file costs one stat.

It is a cache in `.taut/index.db` and may be deleted at any time; nothing else refers to it. What is known of a whole
folder stands in one row as packed arrays, compared in bulk: 20,000 files cost some ms, not 20,000 rows.
"""

import os
import sqlite3
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from taut.data.workspace.packed import unpacked_digests, unpacked_names
from taut.data.workspace.walk import FIELDS, Walk

if TYPE_CHECKING:
    from taut.data.workspace.cache import Cache, Stamp

FILE = "index.db"
BUSY_TIMEOUT_S = 10.0
IN_MEMORY = ":memory:"
UNTRUSTED = -1  # Stands for the time of a file that may have changed again without its time moving on.
# File systems count time in steps: ticks of the kernel, up to 10 ms, where a time shows parts of a second; whole
# seconds, two of them on FAT, where it shows none. A file that young when it was found is read again the next time.
TICK_NS = 20_000_000
COARSE_NS = 2_000_000_000
STEP_NS = 1_000_000_000

CREATE = """
DROP TABLE IF EXISTS folder;
CREATE TABLE folder (
    place TEXT PRIMARY KEY, paths BLOB, stamps BLOB, md5s BLOB, digest TEXT, size_bytes INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cached (
    cache TEXT, digest TEXT, shards BLOB, stamps BLOB, PRIMARY KEY (cache, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS content (md5 TEXT PRIMARY KEY, oid TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pushed (
    number INTEGER PRIMARY KEY, remote TEXT NOT NULL, digest TEXT NOT NULL, UNIQUE (remote, digest)
);
DROP TABLE IF EXISTS entry;
"""
VERSION = 4  # Of this schema; an index of another is begun anew.
SELECT_FOLDER = "SELECT paths, stamps, md5s, digest, size_bytes FROM folder WHERE place = ?"
REPLACE_FOLDER = """
INSERT OR REPLACE INTO folder (place, paths, stamps, md5s, digest, size_bytes) VALUES (?, ?, ?, ?, ?, ?)
"""
SELECT_SHARDS = "SELECT shards FROM cached WHERE cache = ? AND digest = ?"
SELECT_STAMPS = "SELECT stamps FROM cached WHERE cache = ? AND digest = ?"
KEEP_SHARDS = """
INSERT INTO cached (cache, digest, shards, stamps) VALUES (?, ?, ?, x'')
ON CONFLICT (cache, digest) DO UPDATE SET shards = excluded.shards
"""
KEEP_STAMPS = """
INSERT INTO cached (cache, digest, shards, stamps) VALUES (?, ?, x'', ?)
ON CONFLICT (cache, digest) DO UPDATE SET stamps = excluded.stamps
"""
SELECT_OID = "SELECT oid FROM content WHERE md5 = ?"
REPLACE_OID = "INSERT OR REPLACE INTO content (md5, oid) VALUES (?, ?)"
SELECT_PUSHED = "SELECT digest FROM pushed WHERE remote = ? ORDER BY number DESC"
REPLACE_PUSHED = "INSERT OR REPLACE INTO pushed (remote, digest) VALUES (?, ?)"
FORGET_PUSHED = "DELETE FROM pushed WHERE remote = ?"


class Known(NamedTuple):
    """A folder or file as it was last read, packed: paths, stamps and digests in the order of the walk."""

    paths: bytes
    stamps: bytes
    md5s: bytes
    digest: str
    size_bytes: int

    def is_of(self, found: Walk) -> bool:
        """Whether nothing at all has changed since."""
        return self.paths == found.names and self.stamps == found.stamps.tobytes()

    def digests(self) -> list[str]:
        """The digests, in the order of the walk."""
        return unpacked_digests(self.md5s)

    def listed(self) -> list[str]:
        """The digests in the order of a folder's list, which is that of the paths."""
        return [md5 for _, md5 in sorted(zip(self._paths(), self.digests(), strict=True))]

    def by_path(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Stamp and digest of each file."""
        fields = iter(array("q", self.stamps))
        stamps = zip(*[fields] * FIELDS, strict=True)
        return dict(zip(self._paths(), zip(stamps, self.digests(), strict=True), strict=True))

    def _paths(self) -> list[str]:
        return unpacked_names(self.paths)


class Index:
    """What is known of the files of a workspace and of the objects in its cache."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def known(self, place: str) -> Known | None:
        """What is known of a folder or file; None where nothing is."""
        row = self._connection.execute(SELECT_FOLDER, (place,)).fetchone()
        return None if row is None else Known(*row)

    def keep(self, place: str, found: Walk, md5s: bytes, digest: str, found_ns: int) -> None:
        """Remember what was read. What was written only just before it was found at `found_ns` is not trusted."""
        stamps = found.stamps
        if max(found.column(1), default=0) >= found_ns - COARSE_NS:
            stamps = stamps[:]
            for at in range(1, len(stamps), FIELDS):
                if _is_young(stamps[at], found_ns):
                    stamps[at] = UNTRUSTED
        row = place, found.names, stamps.tobytes(), md5s, digest, found.size_bytes
        with self._connection:
            self._connection.execute(REPLACE_FOLDER, row)

    def is_cached(self, cache: "Cache", digest: str) -> bool:
        """Whether all of a digest's objects are known to be in the cache, and none has come or gone since."""
        row = self._connection.execute(SELECT_SHARDS, (cache.root, digest)).fetchone()
        return row is not None and row[0] != b"" and row[0] == _shards(cache, 0)

    def keep_cached(self, cache: "Cache", digest: str, shards: bytes) -> None:
        """Remember that all of them were there; `shards` was asked for before they were looked for."""
        if shards:
            with self._connection:
                self._connection.execute(KEEP_SHARDS, (cache.root, digest, shards))

    def load_verified(self, cache: "Cache", digest: str, md5s: list[str]) -> None:
        """Tell the cache which of these objects, in the order of a folder's list, were verified, with which stamp."""
        row = self._connection.execute(SELECT_STAMPS, (cache.root, digest)).fetchone()
        stamps = array("q", b"" if row is None else row[0])
        if len(stamps) == 3 * len(md5s):
            fields = iter(stamps)
            for md5, stamp in zip(md5s, zip(fields, fields, fields, strict=True), strict=True):
                cache.verified.setdefault(md5, stamp)

    def keep_verified(self, cache: "Cache", digest: str, md5s: list[str]) -> None:
        """Remember what the cache verified of these objects."""
        nothing: Stamp = (UNTRUSTED, UNTRUSTED, UNTRUSTED)
        stamps = array("q")
        for md5 in md5s:
            stamps.extend(cache.verified.get(md5, nothing))
        with self._connection:
            self._connection.execute(KEEP_STAMPS, (cache.root, digest, stamps.tobytes()))

    def oids(self, md5s: set[str]) -> dict[str, str]:
        """The SHA-256 of content that was stored in a home from here."""
        found = ((md5, self._connection.execute(SELECT_OID, (md5,)).fetchone()) for md5 in md5s)
        return {md5: str(row[0]) for md5, row in found if row is not None}

    def keep_oids(self, oids: dict[str, str]) -> None:
        """Remember them."""
        with self._connection:
            self._connection.executemany(REPLACE_OID, oids.items())

    def pushed(self, remote: str) -> list[str]:
        """The lists of folders that a remote was seen to have with all that they list, those seen last first."""
        return [str(row[0]) for row in self._connection.execute(SELECT_PUSHED, (remote,))]

    def keep_pushed(self, remote: str, digests: Iterable[str]) -> None:
        """Remember some."""
        with self._connection:
            self._connection.executemany(REPLACE_PUSHED, [(remote, digest) for digest in sorted(digests)])

    def forget_pushed(self, remote: str) -> None:
        """Trust nothing of a remote any more."""
        with self._connection:
            self._connection.execute(FORGET_PUSHED, (remote,))


def shards_now(cache: "Cache") -> bytes:
    """The times of the 256 folders of a cache, to be kept if nothing in them is found missing after this.

    Empty where one changed so short a time ago that it may again without its time moving on.
    """
    return _shards(cache, time.time_ns())


def _shards(cache: "Cache", now_ns: int) -> bytes:
    times = array("q")
    for number in range(256):
        try:
            mtime_ns = os.stat(f"{cache.root}/{number:02x}").st_mtime_ns
        except FileNotFoundError:
            mtime_ns = UNTRUSTED
        if now_ns and _is_young(mtime_ns, now_ns):
            return b""
        times.append(mtime_ns)
    return times.tobytes()


def _is_young(mtime_ns: int, now_ns: int) -> bool:
    """Whether it may change again without its time moving on."""
    return mtime_ns >= now_ns - (COARSE_NS if mtime_ns % STEP_NS == 0 else TICK_NS)


@contextmanager
def open_index(folder: str) -> Iterator[Index]:
    """The index in a folder; where there is none, or it cannot be written, one in memory that is forgotten.

    A damaged index is thrown away and begun anew: it only saves time.
    """
    is_kept = bool(folder) and os.access(folder, os.W_OK)
    connection = _opened(f"{folder}/{FILE}") if is_kept else _connected(IN_MEMORY)
    with closing(connection):
        yield Index(connection)


def _opened(path: str) -> sqlite3.Connection:
    try:
        return _connected(path)
    except sqlite3.DatabaseError as problem:
        if isinstance(problem, sqlite3.OperationalError):  # Busy or unreadable, not damaged: leave it to its users.
            return _connected(IN_MEMORY)
        os.unlink(path)
        return _connected(path)


def _connected(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        connection.execute("PRAGMA synchronous = OFF")  # Losing it costs a second read, nothing more.
        if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
            connection.executescript(CREATE)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
