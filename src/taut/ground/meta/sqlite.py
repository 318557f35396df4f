"""Metadata in one SQLite file: WAL, synced at every commit, one fsync for all writers that wait together."""

import re
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from taut.errors import Conflict, Corrupt, Denied, TautError, Unavailable
from taut.ground.folders import remove_folder
from taut.ground.meta.migrate import migrate
from taut.ground.meta.protocol import Cell, Figure, Insert, Parameters, Row, Tx, Update, Value, fitting
from taut.ground.meta.waiting import WouldWait, may_wait, must_go_on

GROUP_MAX = 64  # Members of one group commit: past this the wait of the first outweighs the fsyncs saved.
# Bytes of pages that a connection keeps at most. With SQLite's own 2 MB a large batch would be written to disk twice.
WRITER_CACHE, READER_CACHE = 64 << 20, 16 << 20
JSON = {"json_build_array(": "json_array(", "json_object_agg(": "json_group_object("}
# Pages of the log after which it is copied into the file, 32 MB. Commits touch the same pages again and again, and each
# is copied once: with SQLite's own 1,000 making a run takes twice as long. A restart reads the log in some 20 ms.
CHECKPOINT_PAGES = 8192
BUSY_TIMEOUT_S = 30.0  # Another process may hold the write lock for one group; this is far past any group.
BUSY_PAUSE_S = 0.001  # Between two looks whether it has let go; it grows to BUSY_PAUSE_MAX_S.
BUSY_PAUSE_MAX_S = 0.02
QUICK_S = 0.002  # A disk whose commits take no longer is none to wait for; each counts for an eighth of the mean.


def connect(url: str, space: str = "") -> "SqliteMetadata":
    """Open `sqlite:///path/to/file`, making the file where it is missing, and migrate it.

    That of a `space` has a folder of its own beside it: `projects/SPACE`. Raises Denied where the folder may not be
    written, Corrupt where the file is no database.
    """
    path = _path(url, space)
    if space:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise Denied(
                f"{path.parent} cannot be made: {problem.strerror}", hint=f"ls -ld {path.parents[2]}"
            ) from None
    return SqliteMetadata(path)


def remove(url: str, space: str) -> None:
    """Remove the folder of a space, see `meta.remove_metadata`. Whoever has its file open reads on, of what is gone."""
    remove_folder(_path(url, space).parent)


def _path(url: str, space: str) -> Path:
    path = Path(url.partition("://")[2])
    return path.parent / "projects" / space / path.name if space else path


class SqliteMetadata:
    """A store whose writers share a connection and, when several wait, one commit.

    Each transaction runs alone, all but the first inside a savepoint. Who leaves while others wait hands the open
    database transaction on; the last one commits for all, and only then does any of them return. A failure inside one
    block undoes that block alone; a failure of the commit reaches everyone in the group. A thread that must not wait
    (see `waiting.py`) writes only where nobody else does and the disk is quick, and commits by itself.
    """

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._waiting = 0
        self._owner = self._members = self._commits = 0
        self._group: _Group | None = None
        self._commit_s = 0.0
        self._readers = threading.local()
        self._reader_connections: dict[threading.Thread, sqlite3.Connection] = {}
        try:
            self._writer = self._connection()
            self._writer.execute("PRAGMA busy_timeout = 0")  # See `_begin`.
            with self.transaction() as tx:
                migrate(tx, self.dialect)
        except UnicodeDecodeError:  # SQLite quotes a damaged name of the schema, and the driver cannot decode that.
            raise _explained(sqlite3.DatabaseError("malformed database schema"), path) from None
        except sqlite3.Error as problem:
            raise _explained(problem, path) from None

    @property
    def url(self) -> str:
        """Where the file is."""
        return f"sqlite:///{self._path}"

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Run the block alone, then wait until it is on disk. Raises WouldWait in a thread that must not."""
        assert self._owner != threading.get_ident(), "transactions are never nested"
        self._await_turn()
        group = self._enter()
        try:
            with self._undone() if group.members == 1 else self._savepoint():
                yield _Tx(self._writer)
        except sqlite3.Error as problem:
            raise _explained(problem, self._path) from problem
        finally:
            self._leave(group)
        group.wait(self._path)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """Queries of one moment on this thread's own connection."""
        try:
            connection = self._reader()
            if connection.in_transaction:  # A read inside a read sees the same moment.
                yield _Tx(connection)
                return
            connection.execute("BEGIN")
            try:
                yield _Tx(connection)
            finally:
                connection.execute("COMMIT")
        except sqlite3.Error as problem:
            raise _explained(problem, self._path) from problem

    def ask(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        """One query on this thread's own connection."""
        try:
            return _Tx(self._reader()).rows(sql, parameters)
        except sqlite3.Error as problem:
            raise _explained(problem, self._path) from problem

    def figures(self) -> Mapping[str, Figure]:
        """How many transactions were committed, and with how many commits: the rest waited for another's."""
        return {
            "taut_db_transactions_total": ("counter", "Transactions committed.", self._members),
            "taut_db_commits_total": ("counter", "Commits, each of one or more transactions.", self._commits),
            "taut_db_connections": ("gauge", "Open connections.", 1 + len(self._reader_connections)),
        }

    def close(self) -> None:
        """Close all connections of this process."""
        with self._turn:
            self._writer.close()
            for connection in self._reader_connections.values():
                connection.close()

    def _reader(self) -> sqlite3.Connection:
        """This thread's own connection; those of threads that have ended are closed, for a server's come and go."""
        known: sqlite3.Connection | None = getattr(self._readers, "connection", None)
        if known is not None:
            return known
        made = self._readers.connection = self._connection(read_only=True)
        with self._count:
            for ended in [thread for thread in self._reader_connections if not thread.is_alive()]:
                self._reader_connections.pop(ended).close()
            self._reader_connections[threading.current_thread()] = made
        return made

    def _connection(self, *, read_only: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=512
        )
        _turn_to_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        # Copies of pages behind a savepoint would be written to a file.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA cache_size = -{(READER_CACHE if read_only else WRITER_CACHE) // 1024}")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        return connection

    def _await_turn(self) -> None:
        """Queue up; who is interrupted in the queue must not leave the others' commit to nobody."""
        if not may_wait():
            if self._commit_s > QUICK_S or not self._turn.acquire(blocking=False):
                raise WouldWait
            return
        with self._count:
            self._waiting += 1
        try:
            self._turn.acquire()
        except BaseException:
            with self._count:
                self._waiting -= 1
            with self._turn:
                if self._group is not None and not self._waiting:
                    self._commit(self._group)
            raise
        with self._count:
            self._waiting -= 1

    def _enter(self) -> "_Group":
        """Our turn has come: begin a database transaction, or join the one handed on."""
        if self._group is None:
            try:
                self._begin()
            except BaseException as problem:  # Also Ctrl-C, while another process holds the lock: the turn goes on.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                self._turn.release()
                if isinstance(problem, sqlite3.Error):
                    raise _explained(problem, self._path) from problem
                raise
            self._group = _Group()
        self._group.members += 1
        self._owner = threading.get_ident()
        return self._group

    def _begin(self) -> None:
        """Take the write lock of the file. We wait for it on our own: who must not wait has to know at once."""
        end, pause_s = time.monotonic() + BUSY_TIMEOUT_S, BUSY_PAUSE_S
        while True:
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as problem:
                if not _is_busy(problem) or time.monotonic() > end:
                    raise
                if not may_wait():
                    raise WouldWait from problem
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, BUSY_PAUSE_MAX_S)
            else:
                return

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """For the first of a group: nobody else's work is lost with the whole transaction where ours goes wrong.

        A savepoint costs a copy of each page that is changed behind it.
        """
        try:
            yield
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        self._writer.execute("SAVEPOINT member")
        try:
            yield
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK TO member")
                self._writer.execute("RELEASE member")
            raise
        self._writer.execute("RELEASE member")

    def _leave(self, group: "_Group") -> None:
        """Hand the transaction to the next who waits, or commit it for all members."""
        self._owner = 0
        try:
            is_last = not self._waiting or group.members >= GROUP_MAX or not self._writer.in_transaction
            if is_last or not may_wait():
                self._commit(group)
        finally:
            self._turn.release()

    def _commit(self, group: "_Group") -> None:
        self._group = None
        try:
            if not self._writer.in_transaction:  # A full disk makes SQLite undo everything on its own.
                raise sqlite3.OperationalError("the transaction was undone, the disk may be full")
            begun = time.perf_counter()
            self._writer.execute("COMMIT")
            self._commit_s += (time.perf_counter() - begun - self._commit_s) / 8
            must_go_on()
            self._commits += 1
            self._members += group.members
        except sqlite3.Error as problem:
            group.problem = problem
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
        finally:
            group.done.set()


def _turn_to_wal(connection: sqlite3.Connection) -> None:
    """Set the log, which a new file has none of; SQLite waits for nobody who does the same in that moment."""
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as problem:
            if not _is_busy(problem) or time.monotonic() > end:
                raise
            time.sleep(0.005)
        else:
            return


def _is_busy(problem: sqlite3.OperationalError) -> bool:
    """Whether somebody else holds the lock."""
    return problem.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


class _Group:
    """The transactions that one commit will make durable."""

    def __init__(self) -> None:
        self.members = 0
        self.done = threading.Event()
        self.problem: sqlite3.Error | None = None

    def wait(self, path: Path) -> None:
        self.done.wait()
        if self.problem is not None:
            raise _explained(self.problem, path) from self.problem


class _Tx:
    """One transaction on a SQLite connection."""

    dialect = "sqlite"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Mapping[str, Cell | Sequence[str] | Sequence[int]] | None = None) -> int:
        with fitting():
            return self._connection.execute(*_bound(sql, parameters)).rowcount

    def executemany(self, sql: str, parameters: Iterable[Mapping[str, Cell]]) -> None:
        with fitting():
            self._connection.executemany(sql, parameters)

    def insert(self, into: Insert, rows: Sequence[tuple[Cell, ...]]) -> None:
        if rows:
            with fitting():
                self._connection.executemany(_insert(into), rows)

    def update(self, of: Update, rows: Sequence[tuple[Value, ...]]) -> int:
        if not rows:
            return 0
        with fitting():
            return self._connection.executemany(_update(of), rows).rowcount

    def rows(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        with fitting():
            return self._connection.execute(*_bound(sql, parameters)).fetchall()

    def each(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        yield from self._connection.execute(*_bound(sql, parameters))

    def row(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        with fitting():
            found: Row | None = self._connection.execute(*_bound(sql, parameters)).fetchone()
        return found


def _bound(sql: str, parameters: Mapping[str, Any] | None) -> tuple[str, Mapping[str, Any]]:
    """A statement and its values for the driver; a list travels as JSON, so that its length leaves the text alone."""
    if parameters is None:
        return _translated(sql), {}
    if "[" not in sql:
        return _translated(sql), parameters
    packed = {
        name: msgspec.json.encode(value).decode() if isinstance(value, list | tuple) else value
        for name, value in parameters.items()
    }
    return _translated(sql), packed


@lru_cache(maxsize=1024)
def _translated(sql: str) -> str:
    """The statement in SQLite's words."""
    for common, ours in JSON.items():
        sql = sql.replace(common, ours)
    return re.sub(r"\[:([a-z_][a-z0-9_]*)\]", r"(SELECT value FROM json_each(:\1))", sql)


@lru_cache(maxsize=64)
def _insert(into: Insert) -> str:
    holes = ", ".join("?" * len(into.columns))
    return f"INSERT INTO {into.table} ({into.names}) VALUES ({holes}) {into.conflict}"  # noqa: S608  # Constants only.


@lru_cache(maxsize=64)
def _update(of: Update) -> str:
    sent = {name: f"?{number}" for number, (name, _) in enumerate((*of.columns, *of.compared), 1)}
    (name, _), *columns = of.columns
    changed = ", ".join([*(f"{column} = {sent[column]}" for column, _ in columns), *([of.also] if of.also else [])])
    met = f" AND {of.where}".format(**sent) if of.where else ""
    return f"UPDATE {of.table} AS it SET {changed.format(**sent)} WHERE it.{name} = {sent[name]}{met}"  # noqa: S608


def _explained(problem: sqlite3.Error, path: Path) -> TautError:
    """The kind of error a user can act on."""
    words = str(problem)
    if isinstance(problem, sqlite3.IntegrityError):
        return Conflict("the metadata refused a row", private=f"{words} in {path}")
    if "readonly" in words or "unable to open" in words:
        return Denied("the metadata cannot be written", private=f"{words} in {path}", hint=f"ls -ld {path.parent}")
    if "not a database" in words or "malformed" in words:
        return Corrupt("the metadata is damaged or no database", private=f"{words} in {path}", hint="taut fsck")
    # SQLite's own shared memory is a file beside the database, and a disk without room for it is an I/O error to it.
    if "full" in words or getattr(problem, "sqlite_errorname", "") == "SQLITE_IOERR_SHMSIZE":
        return Unavailable("no room left for the metadata", private=f"{words} in {path}", hint=f"df -h {path.parent}")
    return Unavailable("the metadata did not answer", private=f"{words} in {path}")
