"""The index: which digests files had when they were last read, so that an unchanged file costs one stat.

It is a cache in `.taut/index.db` and may be deleted at any time; nothing else refers to it. What is known of a whole
folder stands in one row as packed arrays, compared in bulk: 20,000 files cost some ms, not 20,000 rows.
"""

import os
import sqlite3
import time
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from taut.data.workspace.packed import unpacked_digests, unpacked_names
from taut.data.workspace.walk import FIELDS, Walk

if TYPE_CHECKING:
    from taut.data.workspace.cache import Cache, Stamp

FILE = "index.db"
BUSY_TIMEOUT_S = 10.0
IN_MEMORY = ":memory:"
CRC_BYTES = 4
DAMAGED = (sqlite3.DatabaseError, UnicodeDecodeError)  # The second of an error that quotes a damaged name.
BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_READONLY")  # Not damaged: as it always was.
UNTRUSTED = -1  # Stands for the time of a file that may have changed again without its time moving on.
# File systems count time in steps: ticks of the kernel, up to 10 ms, where a time shows parts of a second; whole
# seconds, two of them on FAT, where it shows none. A file that young when it was found is read again the next time.
TICK_NS = 20_000_000
COARSE_NS = 2_000_000_000
STEP_NS = 1_000_000_000

# Each row carries a checksum: SQLite has none, and a digest with one bit changed would be believed.
CREATE = """
BEGIN IMMEDIATE;
DROP TABLE IF EXISTS folder;
DROP TABLE IF EXISTS cached;
DROP TABLE IF EXISTS content;
DROP TABLE IF EXISTS pushed;
DROP TABLE IF EXISTS entry;
CREATE TABLE folder (
    place TEXT PRIMARY KEY, paths BLOB, stamps BLOB, md5s BLOB, digest TEXT, size_bytes INTEGER, crc INTEGER
) WITHOUT ROWID;
CREATE TABLE cached (
    cache TEXT, digest TEXT, shards BLOB, stamps BLOB, PRIMARY KEY (cache, digest)
) WITHOUT ROWID;
CREATE TABLE content (md5 TEXT PRIMARY KEY, oid TEXT, crc INTEGER) WITHOUT ROWID;
CREATE TABLE pushed (
    number INTEGER PRIMARY KEY, remote TEXT NOT NULL, digest TEXT NOT NULL, crc INTEGER, UNIQUE (remote, digest)
);
PRAGMA user_version = 5;
COMMIT;
"""
VERSION = 5  # As this schema sets it; an index of another is begun anew.
SELECT_FOLDER = "SELECT paths, stamps, md5s, digest, size_bytes, crc FROM folder WHERE place = ?"
REPLACE_FOLDER = """
INSERT OR REPLACE INTO folder (place, paths, stamps, md5s, digest, size_bytes, crc) VALUES (?, ?, ?, ?, ?, ?, ?)
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
SELECT_OID = "SELECT oid, crc FROM content WHERE md5 = ?"
REPLACE_OID = "INSERT OR REPLACE INTO content (md5, oid, crc) VALUES (?, ?, ?)"
SELECT_PUSHED = "SELECT digest, crc FROM pushed WHERE remote = ? ORDER BY number DESC"
REPLACE_PUSHED = "INSERT OR REPLACE INTO pushed (remote, digest, crc) VALUES (?, ?, ?)"
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

    def __init__(self, connection: sqlite3.Connection, path: str = "") -> None:
        self._connection, self._path = connection, path

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def known(self, place: str) -> Known | None:
        """What is known of a folder or file; None where nothing is."""
        row = self._row(SELECT_FOLDER, (place,))
        return Known(*row[:-1]) if row is not None and row[-1] == _crc(place, *row[:-1]) else None

    def keep(self, place: str, found: Walk, md5s: bytes, digest: str, found_ns: int) -> None:
        """Remember what was read. What was written only just before it was found at `found_ns` is not trusted."""
        stamps = found.stamps
        if max(found.column(1), default=0) >= found_ns - COARSE_NS:
            stamps = stamps[:]
            for at in range(1, len(stamps), FIELDS):
                if _is_young(stamps[at], found_ns):
                    stamps[at] = UNTRUSTED
        row = place, found.names, stamps.tobytes(), md5s, digest, found.size_bytes
        self._change(REPLACE_FOLDER, [(*row, _crc(*row))])

    def is_cached(self, cache: "Cache", digest: str) -> bool:
        """Whether all of a digest's objects are known to be in the cache, and none has come or gone since."""
        kept = self._packed(SELECT_SHARDS, cache, digest)
        return kept != b"" and kept == _shards(cache, 0)

    def keep_cached(self, cache: "Cache", digest: str, shards: bytes) -> None:
        """Remember that all of them were there; `shards` was asked for before they were looked for."""
        if shards:
            self._change(KEEP_SHARDS, [(cache.root, digest, _sealed(shards, cache.root, digest))])

    def load_verified(self, cache: "Cache", digest: str, md5s: list[str]) -> None:
        """Tell the cache which of these objects, in the order of a folder's list, were verified, with which stamp."""
        stamps = array("q", self._packed(SELECT_STAMPS, cache, digest))
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
        self._change(KEEP_STAMPS, [(cache.root, digest, _sealed(stamps.tobytes(), cache.root, digest))])

    def oids(self, md5s: set[str]) -> dict[str, str]:
        """The SHA-256 of content that was stored in a home from here."""
        found = ((md5, self._row(SELECT_OID, (md5,))) for md5 in md5s)
        return {md5: str(row[0]) for md5, row in found if row is not None and row[1] == _crc(md5, row[0])}

    def keep_oids(self, oids: dict[str, str]) -> None:
        """Remember them."""
        self._change(REPLACE_OID, [(md5, oid, _crc(md5, oid)) for md5, oid in oids.items()])

    def pushed(self, remote: str) -> list[str]:
        """The lists of folders that a remote was seen to have with all that they list, those seen last first."""
        try:
            rows = self._connection.execute(SELECT_PUSHED, (remote,)).fetchall()
        except DAMAGED as problem:
            self._begin_anew(problem)
            return []
        return [str(digest) for digest, crc in rows if crc == _crc(remote, digest)]

    def keep_pushed(self, remote: str, digests: Iterable[str]) -> None:
        """Remember some."""
        self._change(REPLACE_PUSHED, [(remote, digest, _crc(remote, digest)) for digest in sorted(digests)])

    def forget_pushed(self, remote: str) -> None:
        """Trust nothing of a remote any more."""
        self._change(FORGET_PUSHED, [(remote,)])

    def _packed(self, sql: str, cache: "Cache", digest: str) -> bytes:
        row = self._row(sql, (cache.root, digest))
        data = bytes(row[0]) if row is not None and isinstance(row[0], bytes) else b""
        return data[CRC_BYTES:] if data == _sealed(data[CRC_BYTES:], cache.root, digest) else b""

    def _row(self, sql: str, parameters: tuple[object, ...]) -> tuple[Any, ...] | None:
        """The row that is asked for; none where the index turns out to be damaged, which begins it anew."""
        try:
            row: tuple[Any, ...] | None = self._connection.execute(sql, parameters).fetchone()
        except DAMAGED as problem:
            self._begin_anew(problem)
            return None
        return row

    def _change(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        try:
            with self._connection:
                self._connection.executemany(sql, rows)
        except DAMAGED as problem:
            self._begin_anew(problem)

    def _begin_anew(self, problem: sqlite3.DatabaseError | UnicodeDecodeError) -> None:
        if not self._path or getattr(problem, "sqlite_errorname", "") in BUSY:
            raise problem
        self._connection.close()
        self._connection = _begun(self._path)


def _crc(*fields: object) -> int:
    found = 0
    for field in fields:
        found = zlib.crc32(field if isinstance(field, bytes) else f"{field}\0".encode(errors="replace"), found)
    return found


def _sealed(data: bytes, *fields: str) -> bytes:
    return _crc(data, *fields).to_bytes(CRC_BYTES, "big") + data


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
    path = f"{folder}/{FILE}"
    with closing(Index(_opened(path), path) if is_kept else Index(_connected(IN_MEMORY))) as index:
        yield index


def _opened(path: str) -> sqlite3.Connection:
    try:
        return _connected(path)
    except DAMAGED as problem:
        if isinstance(problem, sqlite3.OperationalError):  # Busy or unreadable, not damaged: leave it to its users.
            return _connected(IN_MEMORY)
        return _begun(path)


def _begun(path: str) -> sqlite3.Connection:
    """An empty index in the place of a damaged one, and nothing of that one's journal."""
    for name in (path, f"{path}-journal"):
        with suppress(FileNotFoundError):
            os.unlink(name)
    return _connected(path)


def _connected(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        connection.execute("PRAGMA synchronous = OFF")  # Losing it costs a second read, nothing more.
        if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
            connection.executescript(CREATE)
    except (sqlite3.Error, UnicodeDecodeError):
        connection.close()
        raise
    return connection
