"""PostgreSQL databases with all migrations, which tests borrow one after the other: emptied in between, not made anew.

Making one takes 0.3 s of the server's time and copying one half of it, nearly all for the files of its tables; emptying
one takes a twentieth. What a test gets cannot be told from a database that was made for it: no row, no session and no
name is left of the test before, and a database whose tables were changed or which grew large is thrown away.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from taut.ground.meta import connect_metadata

GROWN_BYTES = 4 << 20  # Past this, what deleted rows leave in the tables would slow down the tests that come after.
GONE_WITHIN_S = 10.0  # A session ends within milliseconds of its end being asked for.

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
# Which transaction wrote each row of the catalogue about what is not the server's own.
SHAPE = """
SELECT md5(string_agg(said, ' ' ORDER BY said)), pg_database_size(current_database())
FROM (
    SELECT concat_ws('.', oid, xmin) AS said FROM pg_class WHERE oid >= 16384
    UNION ALL SELECT concat_ws('.', attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid >= 16384
    UNION ALL SELECT concat_ws('.', oid, xmin) FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT concat_ws('.', oid, xmin) FROM pg_trigger WHERE oid >= 16384
    UNION ALL SELECT concat_ws('.', oid, xmin) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT concat_ws('.', oid, xmin) FROM pg_namespace WHERE oid >= 16384
) AS catalogue
"""
END_SESSIONS = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"


class Databases:
    """Lends databases of one server; used by one process and one test at a time."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._maintenance = psycopg.connect(server, autocommit=True)
        self._template = self._name()
        self._order("CREATE DATABASE {}", self._template)
        connect_metadata(self.url(self._template)).close()
        with psycopg.connect(self.url(self._template), autocommit=True) as template:
            tables = [str(name) for (name,) in template.execute(TABLES)]
            first = {name: rows for name in tables if (rows := _rows(template, name))}
            sequences = template.execute("SELECT count(*) FROM pg_sequences").fetchone()
            assert sequences == (0,), "emptying a table does not set its sequence back"
            self._shape, self._size = _shape(template)
        self._empty = _emptying(tables, first)
        self._idle: list[str] = []

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of a database that looks as if it had just been made and migrated, taken back at the end."""
        name = self.lend()
        try:
            yield self.url(name)
        finally:
            self.take_back(name)

    def lend(self) -> str:
        """The name of a database that looks as if it had just been made and migrated."""
        if self._idle:
            return self._idle.pop()
        name = self._name()
        self._order("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, self._template)
        return name

    def take_back(self, name: str) -> bool:
        """End the sessions of a lent database and empty it for the next test; False where it was thrown away instead.

        It goes on under another name, so that a process which outlived its test finds it no more.
        """
        self._order(
            "ALTER DATABASE {} ALLOW_CONNECTIONS false", name
        )  # Else who is ended comes back before the rename.
        self._end_sessions(name)
        renamed = self._name()
        self._order("ALTER DATABASE {} RENAME TO {}", name, renamed)
        self._order("ALTER DATABASE {} ALLOW_CONNECTIONS true", renamed)
        with psycopg.connect(self.url(renamed), autocommit=True) as lent:
            shape, size = _shape(lent)
            fits = shape == self._shape and size < self._size + GROWN_BYTES
            if fits:
                lent.execute(self._empty)
        if fits:
            self._idle.append(renamed)
        else:
            self._order("DROP DATABASE {} WITH (FORCE)", renamed)
        return fits

    def url(self, name: str) -> str:
        """The URL of a database of this server."""
        return urlsplit(self._server)._replace(path=f"/{name}").geturl()

    def close(self) -> None:
        """Drop every database that is not lent."""
        for name in [*self._idle, self._template]:
            self._order("DROP DATABASE {} WITH (FORCE)", name)
        self._maintenance.close()

    def _name(self) -> str:
        return f"taut_{uuid.uuid4().hex}"

    def _order(self, command: Any, *names: str) -> None:
        self._maintenance.execute(sql.SQL(command).format(*map(sql.Identifier, names)))

    def _end_sessions(self, name: str) -> None:
        end = time.monotonic() + GONE_WITHIN_S
        while self._maintenance.execute(END_SESSIONS, [name]).fetchone() != (0,):
            assert time.monotonic() < end, f"sessions of {name} do not end"
            time.sleep(0.001)  # A rename waits 0.1 s for a session that is about to end.


def _rows(database: psycopg.Connection[Any], table: str) -> str:
    """The rows of a table as one JSON list, an empty text where it has none."""
    found = database.execute(sql.SQL("SELECT json_agg(told)::text FROM {} AS told").format(sql.Identifier(table)))
    (rows,) = found.fetchone() or ("",)
    return str(rows or "")


def _shape(database: psycopg.Connection[Any]) -> tuple[str, int]:
    found = database.execute(SHAPE).fetchone()
    assert found
    shape, size = found
    return str(shape), int(size)


def _emptying(tables: list[str], first: dict[str, str]) -> sql.Composed:
    """One transaction of statements that leaves only the rows which migrations wrote; no key is checked on the way."""
    steps: list[sql.Composable] = [sql.SQL("SET session_replication_role = replica")]
    steps += [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in tables]
    steps += [
        sql.SQL("INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, {rows})").format(
            table=sql.Identifier(name), rows=sql.Literal(rows)
        )
        for name, rows in first.items()
    ]
    return sql.SQL("; ").join(steps)
