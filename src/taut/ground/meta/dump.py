"""All rows of a store as files that any other store can read: MessagePack, a block of rows after the other, gzipped.

The same on SQLite and on PostgreSQL, so that a backup of one may become the other. Text would not do: JSON has neither
bytes nor infinities.
"""

import gzip
import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from taut.errors import Conflict, Corrupt
from taut.ground.meta.protocol import Cell, Tx
from taut.ground.progress import Progress, Silent

ROWS = 5_000  # Of one block: some MiB in memory at most.
BLOCK_BYTES_MAX = 1 << 30
MIGRATIONS = "migration"
SINGLE = "one"  # The column of a table that has one row from the start.
BEGUN = frozenset({"project"})  # Tables that have one row from the start, and more later.

TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename",
}
COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info(:name) ORDER BY cid",
    "postgresql": """
SELECT column_name FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = :name ORDER BY ordinal_position
""",
}
ABOVE = {
    "sqlite": 'SELECT DISTINCT "table" FROM pragma_foreign_key_list(:name)',
    "postgresql": """
SELECT DISTINCT CAST(confrelid AS regclass)::text FROM pg_constraint
WHERE contype = 'f' AND conrelid = CAST(CAST(:name AS TEXT) AS regclass)
""",
}


@dataclass(frozen=True, slots=True)
class Table:
    """What a file of rows holds: the digest is that of the file as it lies there."""

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


def tables_in(tx: Tx, dialect: str) -> dict[str, tuple[str, ...]]:
    """Every table but that of the migrations with its columns, each after those that its rows refer to."""
    names = [str(name) for (name,) in tx.rows(TABLES[dialect]) if name != MIGRATIONS]
    above = {name: {str(one) for (one,) in tx.rows(ABOVE[dialect], {"name": name})} - {name} for name in names}
    return {
        name: tuple(str(column) for (column,) in tx.rows(COLUMNS[dialect], {"name": name}))
        for name in TopologicalSorter(above).static_order()
    }


def migration_of(tx: Tx) -> int:
    """The last migration that the store has had."""
    row = tx.row("SELECT MAX(number) FROM migration")
    assert row is not None, "a store is migrated when it is opened"
    return int(str(row[0]))


def count_rows(tx: Tx, name: str) -> int:
    """How many rows a table has; `name` is one of `tables_in`."""
    row = tx.row(f"SELECT COUNT(*) FROM {name}")  # noqa: S608  # A table of the store's own.
    assert row is not None, name
    return int(str(row[0]))


def dump_table(tx: Tx, name: str, columns: tuple[str, ...], file: Path, bar: Progress | Silent) -> Table:
    """Write all rows of a table, as the transaction sees them."""
    count = 0
    with file.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, filename="", mtime=0) as packed:
        every = tx.each(f"SELECT {', '.join(columns)} FROM {name}")  # noqa: S608  # The store's own names.
        while rows := list(islice(every, ROWS)):
            block = msgspec.msgpack.encode(rows)
            packed.write(struct.pack(">I", len(block)))
            packed.write(block)
            count += len(rows)
            bar.advance(len(rows))
    return Table(name, columns, count, sha256_of(file))


def load_table(tx: Tx, table: Table, file: Path, bar: Progress | Silent) -> None:
    """Put the rows of a file into an empty table. Raises Corrupt where it is not the file that was written."""
    if not file.is_file() or sha256_of(file) != table.sha256:
        raise Corrupt(f"{file.name} of the backup is missing or has other bytes than were written")
    bound = ", ".join(f":{column}" for column in table.columns)
    insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({bound})"  # noqa: S608  # As above.
    for rows in _blocks(file):
        tx.executemany(insert, [dict(zip(table.columns, row, strict=True)) for row in rows])
        bar.advance(len(rows))
    if (there := count_rows(tx, table.name)) != table.rows:
        raise Corrupt(f"{table.name} has {there} rows after it was restored, and had {table.rows}")


def empty_tables(tx: Tx, tables: Mapping[str, tuple[str, ...]]) -> None:
    """Take out what a new store begins with. Raises Conflict where it has more than that."""
    single = {name for name, columns in tables.items() if SINGLE in columns}
    for name in reversed(list(tables)):
        if name not in single and count_rows(tx, name) > (name in BEGUN):
            raise Conflict(f"there is something already: table {name} has rows", hint="restore into an empty place")
    for name in single | BEGUN:
        tx.execute(f"DELETE FROM {name}")  # noqa: S608  # As above.


def sha256_of(file: Path) -> str:
    """The digest of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _blocks(file: Path) -> Iterator[list[tuple[Cell, ...]]]:
    decoder = msgspec.msgpack.Decoder(list[tuple[Any, ...]])  # A cell is what its column takes, bytes too.
    with gzip.open(file) as packed:
        while head := packed.read(4):
            (length,) = struct.unpack(">I", head)
            if length > BLOCK_BYTES_MAX:
                raise Corrupt(f"{file.name} of the backup holds a block of {length} bytes")
            yield decoder.decode(packed.read(length))
