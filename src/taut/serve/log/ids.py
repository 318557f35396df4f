"""Request ids that callers chose, and what was answered to them: one small SQLite file a deployment and machine.

All serving processes of the machine share it, so an id is answered once whichever of them is asked. It is written
without a sync: a kill loses nothing of it, and what a crash of the machine loses is read again from the journals.
"""

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from taut.errors import Corrupt, Unavailable
from taut.serve.log.said import Columns, Said, columns_between, pack, unpack
from taut.serve.log.sealing_key import DataKey

FILE = "ids.db"
BUSY_S = 5.0  # Another process holds the lock for a fraction of a millisecond.
SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, sealed INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS id (id TEXT PRIMARY KEY, batch INTEGER NOT NULL, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (name TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
"""
SELECT_BATCH = "SELECT sealed, body FROM batch WHERE number = ?"
INSERT_BATCH = "INSERT INTO batch (at_ms, sealed, body) VALUES (?, ?, ?)"
UPDATE_BATCH = "UPDATE batch SET sealed = ?, body = ? WHERE number = ?"
DELETE_ID = "DELETE FROM id WHERE id = ?"
INSERT_ID = "INSERT OR IGNORE INTO id (id, batch, place) VALUES (?, ?, ?)"
SELECT_JOURNAL = "SELECT until FROM journal WHERE name = ?"
UPSERT_JOURNAL = "INSERT OR REPLACE INTO journal (name, until) VALUES (?, ?)"
FORGET_IDS = "DELETE FROM id WHERE batch IN (SELECT number FROM batch WHERE at_ms < ?)"
FORGET_BATCHES = "DELETE FROM batch WHERE at_ms < ?"
SELECT_IDS = {  # By how many are asked for at once: a statement of each size is prepared once.
    size: f"SELECT id, batch, place FROM id WHERE id IN ({', '.join('?' * size)})"  # noqa: S608  # Marks only.
    for size in (1, 8, 64, 512)
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What was answered to a request before. `digest` is of what it asked, empty where that is not known any more."""

    digest: bytes
    revision: int
    model: str
    number: int
    at_ms: int
    event_ms: int
    rows: int
    outputs: Columns


class Ids:
    """The file, opened by this process. Raises Corrupt where it is none.

    `key` opens what was sealed; with `seals` it seals what is added.
    """

    def __init__(self, folder: Path, key: DataKey | None, *, seals: bool) -> None:
        self._path = folder / FILE
        self._key = key
        self._seals = key if seals else None
        try:
            self._file = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = OFF")
            self._file.executescript(SCHEMA)
            self._path.chmod(0o600)
        except sqlite3.Error as problem:
            raise self._explained(problem) from None

    def find(self, ids: Sequence[str]) -> dict[str, Stored]:
        """What was answered to those of the ids that were used before."""
        try:
            return {name: self._stored(batch, place) for name, batch, place in self._held(ids)}
        except sqlite3.Error as problem:
            raise self._explained(problem) from None

    def known(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that were used before."""
        try:
            return {name for name, _, _ in self._held(ids)}
        except sqlite3.Error as problem:
            raise self._explained(problem) from None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A block that no other process of this machine writes beside; undone where it fails."""
        try:
            self._file.execute("BEGIN IMMEDIATE")
            yield
            self._file.execute("COMMIT")
        except BaseException as problem:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            if isinstance(problem, sqlite3.Error):
                raise self._explained(problem) from None
            raise

    def add(self, said: Said, *, journal: str, until: int) -> None:
        """Remember the callers' own ids of a batch, in a turn; one that is known stays what it is.

        `journal` is empty for a batch that was not written to one.
        """
        body = self._packed(msgspec.structs.replace(said, ids=[], given=[], latency_us=[], inputs={}))
        number = self._file.execute(INSERT_BATCH, (said.at_ms, self._seals is not None, body)).lastrowid
        own = [(name, number, place) for place, name in enumerate(said.ids) if said.given[place]]
        self._file.executemany(INSERT_ID, own)
        if journal:
            self.reached(journal, until)

    def reached(self, journal: str, until: int) -> None:
        """Note that everything in a journal up to a place is known here, in a turn."""
        self._file.execute(UPSERT_JOURNAL, (journal, until))

    def reach_of(self, journal: str) -> int:
        """Up to where a journal is known here."""
        row = self._file.execute(SELECT_JOURNAL, (journal,)).fetchone()
        return 0 if row is None else int(row[0])

    def forget(self, before_ms: int) -> None:
        """Forget what was answered before a moment."""
        with self.turn():
            self._file.execute(FORGET_IDS, (before_ms,))
            self._file.execute(FORGET_BATCHES, (before_ms,))

    def erase(self, request_id: str) -> None:
        """Forget an id and what was answered to it, which others of the batch do not need."""
        with self.turn():
            for name, batch, place in list(self._held([request_id])):
                said = self._batch(batch)
                starts = [0, *itertools.accumulate(said.counts)]
                blank = range(starts[place], starts[place + 1])
                outputs = {
                    column: [None if row in blank else value for row, value in enumerate(values)]
                    for column, values in said.outputs.items()
                }
                digests = [b"" if other == place else one for other, one in enumerate(said.digests)]
                body = self._packed(msgspec.structs.replace(said, outputs=outputs, digests=digests))
                self._file.execute(UPDATE_BATCH, (self._seals is not None, body, batch))
                self._file.execute(DELETE_ID, (name,))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _held(self, ids: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        start = 0
        while left := len(ids) - start:
            size = next((size for size in SELECT_IDS if size >= left), max(SELECT_IDS))
            some = list(ids[start : start + size])
            some += [""] * (size - len(some))  # No id is empty.
            for name, batch, place in self._file.execute(SELECT_IDS[size], some):
                yield str(name), int(batch), int(place)
            start += min(size, left)

    def _packed(self, said: Said) -> bytes:
        body = pack(said)
        return body if self._seals is None else self._seals.seal(body, belongs_to=FILE)

    def _batch(self, batch: int) -> Said:
        row = self._file.execute(SELECT_BATCH, (batch,)).fetchone()
        if row is None:
            raise Corrupt(f"{self._path} lacks the batch {batch}", hint=f"rm {self._path}")
        sealed, body = row
        if sealed and self._key is None:
            raise Unavailable(f"{self._path} is encrypted, and its key is not here", hint=f"ls {self._path.parent}")
        return unpack(self._key.open(body, belongs_to=FILE) if sealed and self._key is not None else body)

    def _stored(self, batch: int, place: int) -> Stored:
        said = self._batch(batch)
        start = sum(said.counts[:place])
        rows = said.counts[place]
        return Stored(
            said.digests[place] if said.digests else b"", said.revision, said.model, said.number, said.at_ms,
            said.event_ms[place], rows, columns_between(said.outputs, start, start + rows),
        )  # fmt: skip

    def _explained(self, problem: sqlite3.Error) -> Exception:
        if isinstance(problem, sqlite3.OperationalError):  # Locked for too long, or the disk is full.
            return Unavailable(f"{self._path} cannot be used: {problem}", hint=f"df -h {self._path.parent}")
        return Corrupt(f"{self._path} is damaged: {problem}", hint=f"rm {self._path}")
