"""Which rows of a table came, went and changed from one state to another: joined on disk where memory ends."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from taut.data.tables.parts import Table, over_batches
from taut.errors import Invalid
from taut.ground.progress import Progress, progress

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

    `changed_by_column` says in how many of the changed rows each column differs; `retyped` are the columns whose
    stored type is another, whose cells are compared as numbers where both are, else by how they are written.
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
    retyped: tuple[str, ...] = ()
    tolerance: float = 0.0


def row_diff(old: Table, new: Table, key: Sequence[str] = (), *, examples: int = 10, tolerance: float = 0.0) -> RowDiff:
    """Compare two tables row by row over the columns that both have.

    With a key each row is found by it; without, rows are counted as multisets. With a key numbers that lie no further
    apart than `tolerance` are equal. In 512 MB of memory and as much disk as the tables take. Raises Invalid where a
    key column is missing, a key stands twice in a table, or the tolerance is none or there is no key for it.
    """
    shared = [name for name in new.names if name in old.names]
    for table in (old, new):
        if len(set(table.names)) < len(table.names):
            raise Invalid("two columns have one name, so rows cannot be compared", hint="rename one of them")
    if absent := [name for name in key if name not in shared]:
        raise Invalid(f"no column {absent[0]!r} in both; there are {', '.join(shared[:20])}", hint="--key COLUMN")
    if not shared:
        raise Invalid("the two have no column in common, so no rows can be compared")
    if not (isfinite(tolerance) and tolerance >= 0):
        raise Invalid(f"a tolerance is a number from 0 on, and not {tolerance}")
    if tolerance and not key:
        raise Invalid("without a key rows are equal or not: a tolerance needs one", hint="--key COLUMN")
    retyped = tuple(name for name in shared if _type(old, name) != _type(new, name))
    with (
        TemporaryDirectory(prefix="taut-diff-") as folder,
        opened(Path(folder)) as database,
        progress("comparing", unit=" rows") as bar,
    ):
        casts = {name: _common(_type(old, name), _type(new, name)) for name in retyped}
        for side, table in (("old", old), ("new", new)):
            places = [table.names.index(name) for name in shared]
            over_batches(table, partial(_load, database, side, table, shared, casts, bar), places)
        join = _Join(database, shared, tuple(dict.fromkeys(key)), examples, tolerance, retyped)
        return join.by_key() if key else join.by_content()


def opened(folder: Path) -> "duckdb.DuckDBPyConnection":
    """A database for one comparison, in a folder of its own: past its memory it goes on there."""
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={"memory_limit": MEMORY, "temp_directory": str(folder), "preserve_insertion_order": False,
                "autoinstall_known_extensions": False, "autoload_known_extensions": False},
    )  # fmt: skip


def _type(table: Table, name: str) -> "pa.DataType":
    import pyarrow as pa

    kind = table.types[table.names.index(name)]
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _common(old: "pa.DataType", new: "pa.DataType") -> str:
    """The database's type in which cells of two types are compared."""
    import pyarrow as pa

    for is_such, word in ((pa.types.is_integer, "HUGEINT"), (pa.types.is_floating, "DOUBLE")):
        if is_such(old) and is_such(new):
            return word
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) for kind in (old, new)):
        return "DOUBLE"
    texts = pa.types.is_string, pa.types.is_large_string
    number = (
        pa.types.is_integer(old) or pa.types.is_integer(new),
        pa.types.is_floating(old) or pa.types.is_floating(new),
    )
    if any(number) and any(is_text(kind) for is_text in texts for kind in (old, new)):
        return "NUMBER"  # A CSV beside Parquet: 1 and 1.0, 2.50 and 2.5 are the same number.
    return "VARCHAR"


def _load(
    database: "duckdb.DuckDBPyConnection", side: str, table: Table, shared: list[str], casts: dict[str, str],
    bar: Progress, batches: Iterator["pa.RecordBatch"],
) -> None:  # fmt: skip
    """The shared columns as c0, c1, ... of a table in the database."""
    import duckdb
    import pyarrow as pa

    places = [table.names.index(name) for name in shared]
    schema = pa.schema([(str(place), table.types[place]) for place in places])
    problems = list[Exception]()
    incoming = pa.RecordBatchReader.from_batches(schema, _seen(batches, bar, problems))
    chosen = []
    for at, (place, name) in enumerate(zip(places, shared, strict=True)):
        source, cast = f'"{place}"', casts.get(name, "")
        if cast == "NUMBER":
            words = f"CAST({source} AS VARCHAR)"
            source = f"coalesce(CAST(TRY_CAST({words} AS DOUBLE) AS VARCHAR), {words})"
        chosen.append(f"CAST({source} AS {cast}) AS c{at}" if cast not in ("", "NUMBER") else f"{source} AS c{at}")
    database.register("incoming", incoming)
    try:
        database.execute(f'CREATE OR REPLACE TABLE "{side}" AS SELECT {", ".join(chosen)} FROM incoming')  # noqa: S608  # Names of ours alone.
    except duckdb.Error:
        if problems:  # What went wrong while reading, in its own words: a ragged table is then read the slow way.
            raise problems[0] from None
        raise
    database.unregister("incoming")


def _seen(batches: Iterator["pa.RecordBatch"], bar: Progress, problems: list[Exception]) -> Iterator["pa.RecordBatch"]:
    try:
        for batch in batches:
            yield batch
            bar.advance(batch.num_rows)
    except Exception as problem:
        problems.append(problem)
        raise


@dataclass(frozen=True, slots=True)
class _Join:
    """Two loaded tables, and how their rows are told apart."""

    database: "duckdb.DuckDBPyConnection"
    shared: list[str]
    key: tuple[str, ...]
    examples: int
    tolerance: float
    retyped: tuple[str, ...]

    def by_key(self) -> RowDiff:
        """Each row beside the one of its key. The join is made once: what it finds to differ is kept, by its rows."""
        keys = [f"c{self.shared.index(name)}" for name in self.key]
        self._refuse_twice(keys)
        on = " AND ".join(f"o.{one} IS NOT DISTINCT FROM n.{one}" for one in keys)
        others = [place for place, name in enumerate(self.shared) if name not in self.key]
        differs = {place: self._differs(place) for place in others}
        flags = ", ".join(f"{said} AS d{place}" for place, said in differs.items())
        any_flag = " OR ".join(f"d{place}" for place in others) or "false"
        self.database.execute(
            f"CREATE TABLE changed AS SELECT * FROM (SELECT o.rowid AS before, n.rowid AS after"  # noqa: S608
            f"{', ' if flags else ''}{flags} "
            f'FROM "old" o JOIN "new" n ON {on}) WHERE {any_flag}'
        )
        both = self._one(f'SELECT count(*) FROM "old" o JOIN "new" n ON {on}')  # noqa: S608
        counted = self.database.execute(
            f"SELECT {', '.join(['count(*)', *(f'count(*) FILTER (d{place})' for place in others)])} FROM changed"  # noqa: S608
        ).fetchone()
        assert counted is not None
        olds, news = (self._one(f'SELECT count(*) FROM "{side}"') for side in ("old", "new"))  # noqa: S608
        return RowDiff(
            self.key, news - both, olds - both, counted[0], both - counted[0],
            {self.shared[place]: n for place, n in zip(others, counted[1:], strict=True) if n},
            self._alone("new", "old", keys), self._alone("old", "new", keys), self._changed(keys, others, on),
            self.retyped, self.tolerance,
        )  # fmt: skip

    def by_content(self) -> RowDiff:
        """Rows as multisets: equal ones of both sides go, what is left has come or gone."""
        columns = ", ".join(f"c{place}" for place in range(len(self.shared)))
        self.database.execute(
            f"""CREATE TABLE balance AS SELECT {columns}, sum(way)::BIGINT AS more FROM (
            SELECT {columns}, 1 AS way FROM "new" UNION ALL SELECT {columns}, -1 FROM "old"
            ) GROUP BY ALL HAVING sum(way) <> 0"""  # noqa: S608
        )
        added = self._one("SELECT coalesce(sum(more), 0)::BIGINT FROM balance WHERE more > 0")
        removed = -self._one("SELECT coalesce(sum(more), 0)::BIGINT FROM balance WHERE more < 0")
        shown = []
        for sign in (">", "<"):
            rows = self.database.execute(
                f"SELECT {columns} FROM balance WHERE more {sign} 0 ORDER BY ALL LIMIT {self.examples}"  # noqa: S608
            ).fetchall()
            shown.append([dict(zip(self.shared, map(_word, row), strict=True)) for row in rows])
        unchanged = self._one('SELECT count(*) FROM "new"') - added
        return RowDiff(
            (), added, removed, 0, unchanged, {},
            tuple(RowChange({}, {}, cells) for cells in shown[0]),
            tuple(RowChange({}, cells, {}) for cells in shown[1]), (), self.retyped,
        )  # fmt: skip

    def _refuse_twice(self, keys: list[str]) -> None:
        for side, words in (("old", "before"), ("new", "after")):
            twice = self.database.execute(
                f'SELECT {", ".join(keys)}, count(*) FROM "{side}" GROUP BY ALL HAVING count(*) > 1 '  # noqa: S608
                f"ORDER BY ALL LIMIT 1"
            ).fetchone()
            if twice is not None:
                named = ", ".join(f"{name}={_word(value)}" for name, value in zip(self.key, twice, strict=False))
                raise Invalid(
                    f"{named} stands {twice[-1]} times {words}: it is no key", hint="name more columns: --key A,B"
                )

    def _differs(self, place: int) -> str:
        """The condition that a column's cells are two; with a tolerance numbers have to lie further apart."""
        plain = f"o.c{place} IS DISTINCT FROM n.c{place}"
        if not self.tolerance:
            return plain
        old, new = (f"TRY_CAST({side}.c{place} AS DOUBLE)" for side in "on")
        # Equal infinities and NaNs were equal already; the difference of others is no number, which is not near.
        near = f"isfinite({old}) AND isfinite({new}) AND abs({old} - {new}) <= {self.tolerance!r}"
        return f"({plain} AND NOT coalesce({near}, false))" if self._is_numeric(place) else plain

    def _is_numeric(self, place: int) -> bool:
        """Whether cells can be numbers: moments and truths cannot, and a cast of theirs would be an error."""
        kind = str(self.database.execute(f'SELECT typeof(c{place}) FROM "old" LIMIT 1').fetchone() or "")  # noqa: S608
        return any(word in kind for word in ("INT", "DOUBLE", "FLOAT", "DECIMAL", "VARCHAR"))

    def _alone(self, side: str, other: str, keys: list[str]) -> tuple[RowChange, ...]:
        """The first rows of one side whose key the other has not."""
        on = " AND ".join(f"o.{one} IS NOT DISTINCT FROM n.{one}" for one in keys)
        rows = self.database.execute(
            f'SELECT n.* FROM "{side}" n ANTI JOIN "{other}" o ON {on} '  # noqa: S608
            f"ORDER BY {', '.join(keys)} LIMIT {self.examples}"
        ).fetchall()
        made = []
        for row in rows:
            cells = dict(zip(self.shared, map(_word, row), strict=True))
            key = {name: cells.pop(name) for name in self.key}
            made.append(RowChange(key, {} if side == "new" else cells, cells if side == "new" else {}))
        return tuple(made)

    def _changed(self, keys: list[str], others: list[int], on: str) -> tuple[RowChange, ...]:
        cells = [*(f"o.{one}" for one in keys), *(f"{side}.c{place}" for place in others for side in "on")]
        flags = [f"d{place}" for place in others]
        rows = self.database.execute(
            f"SELECT {', '.join([*cells, *flags])} FROM changed "  # noqa: S608
            f'JOIN "old" o ON o.rowid = before JOIN "new" n ON n.rowid = after '
            f"ORDER BY {', '.join(f'o.{one}' for one in keys)} LIMIT {self.examples}"
        ).fetchall()
        return tuple(self._change(row, others) for row in rows)

    def _change(self, row: Sequence[Any], others: list[int]) -> RowChange:
        width, many = len(self.key), len(others)
        words = list(map(_word, row[: width + 2 * many]))
        is_other = row[width + 2 * many :]
        named = [(self.shared[place], at) for at, place in enumerate(others) if is_other[at]]
        return RowChange(
            dict(zip(self.key, words, strict=False)),
            {name: words[width + 2 * at] for name, at in named},
            {name: words[width + 2 * at + 1] for name, at in named},
        )

    def _one(self, query: str) -> int:
        row = self.database.execute(query).fetchone()
        assert row is not None
        return int(row[0])


def _word(value: object) -> str | None:
    if value is None:
        return None
    word = str(value)
    return word if len(word) <= CELL_SHOWN else word[:CELL_SHOWN] + "…"
