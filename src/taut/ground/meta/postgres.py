"""Metadata in PostgreSQL: a pool of connections, one database transaction a block, committed synchronously."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import urlsplit, urlunsplit

import msgspec

from taut.errors import Conflict, Invalid, TautError, Unavailable, UsageError
from taut.ground.meta.migrate import migrate
from taut.ground.meta.protocol import Cell, Figure, Insert, Kind, Parameters, Row, Tx, Update, Value, fitting

if TYPE_CHECKING:
    from psycopg import Connection

POOL_MAX = 16  # More than the worker threads of one server process; PostgreSQL's own default limit is 100.
SCHEMA_POOL_MAX = (
    4  # Of each project that is open: 16 of them and the server's own leave PostgreSQL a fifth of its 100.
)
IDLE_S = 600.0
MIGRATION_LOCK = 7_461_754  # An arbitrary key: replicas that start together migrate one after another.
CONNECT_TIMEOUT_S = 10.0
ROWS_AT_ONCE = 2000  # Of a query whose rows are read one after the other.
_NUMBERS = count()  # Two such queries may be read at the same time, and each has a name.


def connect(url: str, space: str = "") -> "PostgresMetadata":
    """Open `postgresql://user@host/database` and migrate it; that of a `space` is the schema `project_SPACE`.

    Raises UsageError where the driver is not installed, Unavailable where no server answers.
    """
    try:
        import psycopg_pool  # noqa: F401  # Only asked whether it is there.
    except ImportError:
        raise UsageError("PostgreSQL needs its driver", hint="pip install 'taut[postgres]'") from None
    return PostgresMetadata(url, f"project_{space}" if space else "")


def remove(url: str, space: str) -> None:
    """Drop the schema of a space, see `meta.remove_metadata`."""
    import psycopg
    from psycopg.sql import SQL, Identifier

    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=int(CONNECT_TIMEOUT_S)) as connection:
            connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(f"project_{space}")))
    except psycopg.Error as problem:
        raise _explained(problem, urlsplit(url).hostname or "") from problem


class PostgresMetadata:
    """A store on a PostgreSQL server; the server itself groups the commits of concurrent transactions."""

    dialect = "postgresql"

    def __init__(self, url: str, schema: str = "") -> None:
        from psycopg import Error
        from psycopg_pool import ConnectionPool, PoolTimeout

        def configure(connection: "Connection[Any]") -> None:
            """Whatever the server's default is, a commit of ours is on disk when it is acknowledged."""
            connection.execute("SET synchronous_commit = on")
            if schema:
                connection.execute(f"SET search_path = {schema}".encode())

        self._url = url
        self._pool: ConnectionPool[Connection[Any]] = ConnectionPool(
            url, min_size=0 if schema else 1, max_size=SCHEMA_POOL_MAX if schema else POOL_MAX, max_idle=IDLE_S,
            timeout=CONNECT_TIMEOUT_S, open=False, kwargs={"autocommit": True}, configure=configure,
        )  # fmt: skip
        try:
            self._pool.open(wait=True, timeout=CONNECT_TIMEOUT_S)
            with self.transaction() as tx:
                tx.rows("SELECT pg_advisory_xact_lock(:key)", {"key": MIGRATION_LOCK})
                if schema:
                    tx.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                migrate(tx, self.dialect)
        except (Error, PoolTimeout) as problem:
            self._pool.close()
            raise _explained(problem, self.url) from problem
        except TautError:
            self._pool.close()
            raise

    @property
    def url(self) -> str:
        """Where the database is, without the password."""
        parts = urlsplit(self._url)
        secret = f":{parts.password}@"
        return urlunsplit(parts._replace(netloc=parts.netloc.replace(secret, "@"))) if parts.password else self._url

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """One database transaction; it returns after the synchronous commit."""
        from psycopg import Error
        from psycopg_pool import PoolTimeout

        try:
            with self._pool.connection() as connection, connection.transaction():
                yield _Tx(connection)
        except (Error, PoolTimeout) as problem:
            raise _explained(problem, self.url) from problem

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A read-only transaction that sees one snapshot."""
        from psycopg import Error
        from psycopg_pool import PoolTimeout

        try:
            with self._pool.connection() as connection, connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                yield _Tx(connection)
        except (Error, PoolTimeout) as problem:
            raise _explained(problem, self.url) from problem

    def ask(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        """One query, which sees one moment without a transaction around it: one trip to the server instead of four."""
        from psycopg import Error
        from psycopg_pool import PoolTimeout

        try:
            with self._pool.connection() as connection:
                return _Tx(connection).rows(sql, parameters)
        except (Error, PoolTimeout) as problem:
            raise _explained(problem, self.url) from problem

    def figures(self) -> Mapping[str, Figure]:
        """How the pool is used."""
        found = self._pool.get_stats()
        size, idle = found.get("pool_size", 0), found.get("pool_available", 0)
        return {
            "taut_db_connections": ("gauge", "Open connections.", size),
            "taut_db_connections_max": ("gauge", "Connections that there may be.", POOL_MAX),
            "taut_db_connections_used": ("gauge", "Connections in use.", size - idle),
            "taut_db_connections_waiting": ("gauge", "Callers that wait for one.", found.get("requests_waiting", 0)),
            "taut_db_transactions_total": ("counter", "Blocks that had a connection.", found.get("requests_num", 0)),
        }

    def close(self) -> None:
        """Close the pool."""
        self._pool.close()


class _Tx:
    """One transaction on a PostgreSQL connection."""

    dialect = "postgresql"

    def __init__(self, connection: "Connection[Any]") -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Mapping[str, Cell | Sequence[str] | Sequence[int]] | None = None) -> int:
        with fitting():
            return self._connection.execute(_translated(sql), parameters or {}).rowcount

    def executemany(self, sql: str, parameters: Iterable[Mapping[str, Cell]]) -> None:
        with fitting(), self._connection.cursor() as cursor:
            cursor.executemany(_translated(sql), parameters)

    def insert(self, into: Insert, rows: Sequence[tuple[Cell, ...]]) -> None:
        with fitting():
            if len(rows) == 1:
                self._connection.execute(_insert_one(into), rows[0])
            elif rows:
                self._connection.execute(_insert(into), {"rows": _packed(into.columns, rows)})

    def update(self, of: Update, rows: Sequence[tuple[Value, ...]]) -> int:
        if not rows:
            return 0
        with fitting():
            if len(rows) == 1:
                names = (name for name, _ in (*of.columns, *of.compared))
                return self._connection.execute(_update_one(of), dict(zip(names, rows[0], strict=True))).rowcount
            return self._connection.execute(_update(of), {"rows": _packed((*of.columns, *of.compared), rows)}).rowcount

    def rows(self, sql: str, parameters: Parameters | None = None) -> Sequence[Row]:
        with fitting():
            return self._connection.execute(_translated(sql), parameters or {}, binary=True).fetchall()

    def each(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        with self._connection.cursor(name=f"each_{next(_NUMBERS)}", binary=True) as cursor:
            cursor.itersize = ROWS_AT_ONCE
            yield from cursor.execute(_translated(sql), parameters or {})

    def row(self, sql: str, parameters: Parameters | None = None) -> Row | None:
        with fitting():
            found: Row | None = self._connection.execute(_translated(sql), parameters or {}, binary=True).fetchone()
        return found


@lru_cache(maxsize=1024)
def _translated(sql: str) -> LiteralString:
    """`:name` to `%(name)s`, once per statement; the statements are constants, never text of a user."""
    listed = re.sub(r"\bNOT IN \[:([a-z_][a-z0-9_]*)\]", r"<> ALL (:\1)", sql.replace("%", "%%"))
    listed = re.sub(r"\bIN \[:([a-z_][a-z0-9_]*)\]", r"= ANY (:\1)", listed)
    return re.sub(r"(?<!:):([a-z_][a-z0-9_]*)", r"%(\1)s", listed)


def _packed(columns: tuple[tuple[str, Kind], ...], rows: Sequence[tuple[Cell, ...]]) -> str:
    """All rows as one parameter: the server takes JSON apart far faster than a driver writes thousands of values."""
    names = [name for name, _ in columns]
    packed: list[dict[str, Cell]] = [dict(zip(names, row, strict=True)) for row in rows]
    for name in [name for name, kind in columns if kind == "BYTEA"]:
        for row in packed:
            if isinstance(value := row[name], bytes):
                row[name] = f"\\x{value.hex()}"  # How PostgreSQL writes bytes as text.
    return msgspec.json.encode(packed).decode()


@lru_cache(maxsize=64)
def _insert(into: Insert) -> LiteralString:
    typed = ", ".join(f"{name} {kind}" for name, kind in into.columns)
    return (
        f"INSERT INTO {into.table} ({into.names}) SELECT {into.names} "  # noqa: S608  # Constants only.
        f"FROM json_to_recordset(%(rows)s::json) AS sent ({typed}) {into.conflict}"
    )


@lru_cache(maxsize=64)
def _insert_one(into: Insert) -> LiteralString:
    """For one row values as they are: to take JSON apart is dear where there is so little of it."""
    holes = ", ".join(f"%s::{kind}" for _, kind in into.columns)
    return f"INSERT INTO {into.table} ({into.names}) VALUES ({holes}) {into.conflict}"  # noqa: S608  # Constants only.


@lru_cache(maxsize=64)
def _update_one(of: Update) -> LiteralString:
    return _changing(of, {name: f"%({name})s::{kind}" for name, kind in (*of.columns, *of.compared)}, "")


@lru_cache(maxsize=64)
def _update(of: Update) -> LiteralString:
    columns = (*of.columns, *of.compared)
    typed = ", ".join(f"{name} {kind}" for name, kind in columns)
    sent = {name: f"sent.{name}" for name, _ in columns}
    return _changing(of, sent, f"FROM json_to_recordset(%(rows)s::json) AS sent ({typed})")


def _changing(of: Update, sent: Mapping[str, LiteralString], source: LiteralString) -> LiteralString:
    (name, _), *columns = of.columns
    changed = ", ".join([*(f"{column} = {sent[column]}" for column, _ in columns), *([of.also] if of.also else [])])
    met = f" AND {of.where}".format(**sent) if of.where else ""
    return f"UPDATE {of.table} AS it SET {changed.format(**sent)} {source} WHERE it.{name} = {sent[name]}{met}"  # noqa: S608  # Constants only.


def _explained(problem: Exception, url: str) -> TautError:
    """The kind of error a user can act on; only what the server itself could not do is worth another try."""
    from psycopg import DataError, IntegrityError

    words = str(problem).strip().splitlines()[0]
    if isinstance(problem, IntegrityError):
        return Conflict("the metadata refused a row", private=f"{words} at {url}")
    if isinstance(problem, DataError):
        return Invalid("a value does not fit the store", private=words)
    return Unavailable("the metadata did not answer", private=f"{words} at {url}")
