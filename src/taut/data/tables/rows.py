"""Which rows of a table came, went and changed from one state to another: joined on disk where memory ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from taut.data.tables.parts import Table, over_batches
from taut.errors import Invalid

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY = "512MB"
CELL_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row by its key, or by all its cells where no key was named; `old` and `new` are the cells that differ."""

    key: dict[str, str | None]
    old: dict[str, str | None]
    new: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class RowDiff:
    """How many rows came, went and changed, and the first of each. Without a key a changed row went and came.

    `changed_by_column` says in how many of the changed rows each column differs.
    """

    key: tuple[str, ...]
    added: int
    removed: int
    changed: int
    unchanged: int
    changed_by_column: dict[str, int]
    examples_added: tuple[RowChange, ...]
    examples_removed: tuple[RowChange, ...]
    examples_changed: tuple[RowChange, ...]


def row_diff(old: Table, new: Table, key: Sequence[str] = (), *, examples: int = 10) -> RowDiff:
    """Compare two tables row by row over the columns that both have, cells by how they are written.

    With a key each row is found by it; without, rows are counted as multisets. In 512 MB of memory and as much disk as
    the tables take. Raises Invalid where a key column is missing, or a key stands twice in a table.
    """
    shared = [name for name in new.names if name in old.names]
    for table in (old, new):
        if len(set(table.names)) < len(table.names):
            raise Invalid("two columns have one name, so rows cannot be compared", hint="rename one of them")
    if absent := [name for name in key if name not in shared]:
        raise Invalid(f"no column {absent[0]!r} in both; there are {', '.join(shared[:20])}", hint="--key COLUMN")
    if not shared:
        raise Invalid("the two have no column in common, so no rows can be compared")
    with TemporaryDirectory(prefix="taut-diff-") as folder, _opened(Path(folder)) as database:
        as_text = {name for name in shared if _type(old, name) != _type(new, name)}
        for side, table in (("old", old), ("new", new)):
            over_batches(table, partial(_load, database, side, table, shared, as_text))
        if key:
            return _by_key(database, shared, tuple(key), examples)
        return _by_content(database, shared, examples)


def _opened(folder: Path) -> "duckdb.DuckDBPyConnection":
    import duckdb

    return duckdb.connect(
        str(folder / "rows.db"),
        config={"memory_limit": MEMORY, "temp_directory": str(folder), "preserve_insertion_order": False,
                "autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )  # fmt: skip


def _type(table: Table, name: str) -> str:
    return str(table.types[table.names.index(name)])


def _load(
    database: "duckdb.DuckDBPyConnection", side: str, table: Table, shared: list[str], as_text: set[str],
    batches: Iterator["pa.RecordBatch"],
) -> None:  # fmt: skip
    """The shared columns as c0, c1, ... of a table in the database."""
    import pyarrow as pa

    schema = pa.schema([(str(place), kind) for place, kind in enumerate(table.types)])
    incoming = pa.RecordBatchReader.from_batches(schema, batches)
    chosen = []
    for place, name in enumerate(shared):
        source = f'"{table.names.index(name)}"'
        chosen.append(f"CAST({source} AS VARCHAR) AS c{place}" if name in as_text else f"{source} AS c{place}")
    database.register("incoming", incoming)
    database.execute(f'CREATE OR REPLACE TABLE "{side}" AS SELECT {", ".join(chosen)} FROM incoming')  # noqa: S608  # Names of ours alone.
    database.unregister("incoming")


def _by_key(database: "duckdb.DuckDBPyConnection", shared: list[str], key: tuple[str, ...], examples: int) -> RowDiff:
    keys = [f"c{shared.index(name)}" for name in key]
    others = [place for place, name in enumerate(shared) if name not in key]
    for side, words in (("old", "before"), ("new", "after")):
        twice = database.execute(
            f'SELECT {", ".join(keys)}, count(*) FROM "{side}" GROUP BY ALL HAVING count(*) > 1 LIMIT 1'  # noqa: S608
        ).fetchone()
        if twice is not None:
            named = ", ".join(f"{name}={value}" for name, value in zip(key, twice, strict=False))
            raise Invalid(
                f"{named} stands {twice[-1]} times {words}: it is no key", hint="name more columns: --key A,B"
            )
    on = " AND ".join(f"o.{one} IS NOT DISTINCT FROM n.{one}" for one in keys)
    differs = [f"o.c{place} IS DISTINCT FROM n.c{place}" for place in others]
    any_differs = " OR ".join(differs) or "false"
    counted = "".join(f", count(*) FILTER ({one})" for one in differs)
    both = database.execute(
        f'SELECT count(*), count(*) FILTER ({any_differs}){counted} FROM "old" o JOIN "new" n ON {on}'  # noqa: S608
    ).fetchone()
    assert both is not None
    totals = [_one(database, f'SELECT count(*) FROM "{side}"') for side in ("old", "new")]  # noqa: S608
    by_column = {shared[place]: n for place, n in zip(others, both[2:], strict=True) if n}
    cells = [*(f"o.{one}" for one in keys), *(f"{side}.c{place}" for place in others for side in "on")]
    order = ", ".join(f"o.{one}" for one in keys)
    found = database.execute(
        f'SELECT {", ".join(cells)} FROM "old" o JOIN "new" n ON {on} '  # noqa: S608
        f"WHERE {any_differs} ORDER BY {order} LIMIT {examples}"
    ).fetchall()
    return RowDiff(
        key, totals[1] - both[0], totals[0] - both[0], both[1], both[0] - both[1], by_column,
        _alone(database, "new", "old", shared, keys, examples), _alone(database, "old", "new", shared, keys, examples),
        tuple(_changed(row, shared, key, others) for row in found),
    )  # fmt: skip


def _alone(
    database: "duckdb.DuckDBPyConnection", side: str, other: str, shared: list[str], keys: list[str], examples: int
) -> tuple[RowChange, ...]:
    """The first rows of one side whose key the other has not."""
    on = " AND ".join(f"o.{one} IS NOT DISTINCT FROM n.{one}" for one in keys)
    rows = database.execute(
        f'SELECT n.* FROM "{side}" n ANTI JOIN "{other}" o ON {on} ORDER BY {", ".join(keys)} LIMIT {examples}'  # noqa: S608
    ).fetchall()
    names = {shared[int(one[1:])] for one in keys}
    made = []
    for row in rows:
        cells = dict(zip(shared, map(_word, row), strict=True))
        key = {name: cells.pop(name) for name in shared if name in names}
        made.append(RowChange(key, {} if side == "new" else cells, cells if side == "new" else {}))
    return tuple(made)


def _changed(row: Sequence[Any], shared: list[str], key: tuple[str, ...], others: list[int]) -> RowChange:
    cells = list(map(_word, row))
    pairs = list(zip(cells[len(key) :: 2], cells[len(key) + 1 :: 2], strict=True))
    differing = [(shared[place], *pair) for place, pair in zip(others, pairs, strict=True) if pair[0] != pair[1]]
    return RowChange(
        dict(zip(key, cells, strict=False)),
        {name: old for name, old, _ in differing},
        {name: new for name, _, new in differing},
    )


def _by_content(database: "duckdb.DuckDBPyConnection", shared: list[str], examples: int) -> RowDiff:
    columns = ", ".join(f"c{place}" for place in range(len(shared)))
    database.execute(
        f"""CREATE TABLE balance AS SELECT {columns}, sum(way)::BIGINT AS more FROM (
        SELECT {columns}, 1 AS way FROM "new" UNION ALL SELECT {columns}, -1 FROM "old"
        ) GROUP BY ALL HAVING sum(way) <> 0"""  # noqa: S608
    )
    added = _one(database, "SELECT coalesce(sum(more), 0)::BIGINT FROM balance WHERE more > 0")
    removed = -_one(database, "SELECT coalesce(sum(more), 0)::BIGINT FROM balance WHERE more < 0")
    shown = []
    for sign in (">", "<"):
        rows = database.execute(
            f"SELECT {columns} FROM balance WHERE more {sign} 0 ORDER BY ALL LIMIT {examples}"  # noqa: S608
        ).fetchall()
        shown.append([dict(zip(shared, map(_word, row), strict=True)) for row in rows])
    unchanged = _one(database, 'SELECT count(*) FROM "new"') - added
    return RowDiff(
        (), added, removed, 0, unchanged, {},
        tuple(RowChange({}, {}, cells) for cells in shown[0]),
        tuple(RowChange({}, cells, {}) for cells in shown[1]), (),
    )  # fmt: skip


def _one(database: "duckdb.DuckDBPyConnection", query: str) -> int:
    row = database.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _word(value: object) -> str | None:
    if value is None:
        return None
    word = str(value)
    return word if len(word) <= CELL_SHOWN else word[:CELL_SHOWN] + "…"
