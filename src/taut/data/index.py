"""The index: which digests a file had when it was last read, so that an unchanged file costs one stat.

It is a cache in `.taut/index.db` and may be deleted at any time; nothing else refers to it.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from taut.data.tree import Found, Stamp
from taut.home import Home

FILE = "index.db"
# A file written this short a time before it was read may change again without its time moving on: file systems count
# in steps, of up to 2 s on FAT and some network mounts. Such a file is read again the next time.
RACY_NS = 2_000_000_000
BUSY_TIMEOUT_S = 10.0
IN_MEMORY = ":memory:"

CREATE = """
CREATE TABLE IF NOT EXISTS entry (
    path TEXT PRIMARY KEY, size_bytes INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, oid TEXT, md5 TEXT
) WITHOUT ROWID
"""
SELECT_ONE = "SELECT path, size_bytes, mtime_ns, ctime_ns, inode, oid, md5 FROM entry WHERE path = :path"
# '0' is the character after '/', so this is every path inside the folder.
SELECT_INSIDE = """
SELECT path, size_bytes, mtime_ns, ctime_ns, inode, oid, md5 FROM entry
WHERE path >= :path || '/' AND path < :path || '0'
"""
REPLACE = """
INSERT OR REPLACE INTO entry (path, size_bytes, mtime_ns, ctime_ns, inode, oid, md5) VALUES (?, ?, ?, ?, ?, ?, ?)
"""


class Digests(NamedTuple):
    """The two names of a file's content: taut's and DVC's."""

    oid: str
    md5: str


class Index:
    """Digests by place and stamp."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def known(self, place: Path, found: Iterable[Found]) -> dict[Path, Digests]:
        """Those of the files below `place` (or `place` itself) that still have the stamp they were read with."""
        rows = [
            row
            for query in (SELECT_ONE, SELECT_INSIDE)
            for row in self._connection.execute(query, {"path": str(place)})
        ]
        kept = {path: (Stamp(*stamp), Digests(oid, md5)) for path, *stamp, oid, md5 in rows}
        remembered = ((file, kept.get(str(file.place))) for file in found)
        return {file.place: entry[1] for file, entry in remembered if entry is not None and entry[0] == file.stamp}

    def keep(self, read: Mapping[Path, tuple[Stamp, Digests]]) -> None:
        """Remember what was read just now; a file that was written only just now is not trusted."""
        settled_ns = time.time_ns() - RACY_NS  # The machine's own clock: that of the file times it is held against.
        rows = [
            (str(path), stamp.size_bytes, stamp.mtime_ns, stamp.ctime_ns, stamp.inode, *digests)
            for path, (stamp, digests) in read.items()
            if stamp.mtime_ns < settled_ns
        ]
        if rows:
            with self._connection:
                self._connection.executemany(REPLACE, rows)


@contextmanager
def open_index(home: Home) -> Iterator[Index]:
    """The index of the project; where only a server's URL is known, an empty one that is forgotten.

    A damaged index is thrown away and begun anew, and a folder that cannot be written gets one in memory: it only
    saves time.
    """
    if home.folder is None or not os.access(home.folder, os.W_OK):
        connection = _connected(IN_MEMORY)
    else:
        connection = _opened(home.folder / FILE)
    with closing(connection):
        yield Index(connection)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _connected(str(path))
    except sqlite3.DatabaseError as problem:
        if isinstance(problem, sqlite3.OperationalError):  # Busy or unreadable, not damaged: leave it to its users.
            return _connected(IN_MEMORY)
        path.unlink()
        return _connected(str(path))


def _connected(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
    try:
        connection.execute("PRAGMA synchronous = OFF")  # Losing it costs a second read, nothing more.
        connection.execute(CREATE)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
