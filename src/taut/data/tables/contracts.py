"""Contracts: what a table must be, in YAML that people read; inferred from a version, and held against files."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from math import ceil, floor, isfinite, log10
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from taut.data.tables.parts import Part, Table, column_groups, open_table, over_batches
from taut.data.tables.rules import ColumnContract, Contract
from taut.errors import Invalid
from taut.ground.progress import Progress, progress
from taut.ground.yaml import read_yaml
from taut.home import Home, verb
from taut.records import ColumnProfile, TableProfile

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from taut.data.tables.cells import Cells

ACCEPTED_MAX = 20
UNIQUE_FROM = {"int": 10, "text": 100}  # What differs in a few rows is no key yet.
DTYPES_INFERRED = ("int", "float", "bool", "date", "timestamp")


@dataclass(frozen=True, slots=True)
class Breach:
    """A cell, or with row 0 the table, that breaks a rule; rows are counted from 1 below the header."""

    row: int
    column: str
    value: str | None
    rule: str


@dataclass(frozen=True, slots=True)
class ContractResult:
    """What was found: how often each rule was broken, and the first breaches of each."""

    passed: bool
    rows: int
    broken: dict[str, int] = field(default_factory=dict)
    breaches: tuple[Breach, ...] = ()


def infer_contract(profile: TableProfile) -> Contract:
    """The contract that a profiled table keeps: types, holes, ranges, levels, keys; rows between half and double.

    Meant for the next version as well: ranges are a quarter wider, and what differs in a few rows is no key.
    """
    columns = {column.name: _inferred(column, profile.rows) for column in profile.columns}
    return Contract(columns, row_count_min=profile.rows // 2, row_count_max=max(profile.rows * 2, 1))


@verb("data.contract", needs="dataset:read")
def dataset_contract(home: Home, wanted: str) -> str:
    """The contract inferred from the profile of the version `name@3`, as YAML. Raises NotFound where it has none."""
    from taut.data.tables.profiles import find_profile

    return contract_yaml(infer_contract(find_profile(home, wanted)))


def contract_yaml(contract: Contract) -> str:
    """A contract as people read and change it.

    >>> print(contract_yaml(Contract({"id": ColumnContract(dtype="int", unique=True)})), end="")
    columns:
      id:
        dtype: int
        unique: true
    """
    import yaml

    return yaml.safe_dump(msgspec.to_builtins(contract), sort_keys=False, allow_unicode=True, width=120)


def read_contract(path: Path) -> Contract:
    """Read a contract. Raises NotFound, Denied, UsageError without `taut[data]`, and Invalid for a mistake in it."""
    from taut.data.tables.parts import require_arrow

    contract = read_yaml(path, Contract)
    for name, column in contract.columns.items():
        if column.pattern is not None:
            require_arrow()
            from taut.data.tables.cells import compiled

            try:
                compiled(column.pattern)
            except Invalid as problem:
                raise Invalid(f"{path.name}: column {name!r}: {problem.message}") from None
        for bound in (column.min, column.max):
            _check_bound(path.name, name, column.dtype, bound)
    if absent := [name for name in contract.primary_key if name not in contract.columns]:
        raise Invalid(f"{path.name}: the primary key names {absent[0]!r}, which is no column of it")
    return contract


def check_table(parts: Sequence[Part], contract: Contract, *, examples: int = 10) -> ContractResult:
    """Hold a table against a contract, with the first `examples` breaches of each rule, in bounded memory.

    Raises Invalid where it is no table or a pattern is none, UsageError without the packages of `taut[data]`.
    """
    table = open_table(parts)
    found = _Found(examples)
    absent = [name for name in contract.columns if name not in table.names]
    extra = [name for name in table.names if name not in contract.columns] if contract.strict else []
    with progress("checking", unit=" rows") as bar:
        keys = _Keys(table, contract)
        for group in column_groups(table):
            rows, checkers = over_batches(table, partial(_checked, table, contract, examples, group, keys, bar), group)
            found.rows = rows
            for name, checker in checkers.items():
                found.take(name, checker)
        for key in keys.unsure():
            over_batches(table, partial(_check_key, found, table, key), [table.names.index(name) for name in key])
    for names, rule in ((absent, "column is there"), (extra, "column is known")):
        for name in names:
            found.note(Breach(0, name, None, rule), 1)
    low, high = contract.row_count_min, contract.row_count_max
    if (low is not None and found.rows < low) or (high is not None and found.rows > high):
        found.note(Breach(0, "", str(found.rows), f"row_count {low or 0} to {'any' if high is None else high}"), 1)
    return ContractResult(not found.broken, found.rows, dict(sorted(found.broken.items())), tuple(found.breaches))


class _Found:
    """What was found so far."""

    def __init__(self, examples: int) -> None:
        self.rows = 0
        self.broken: dict[str, int] = {}
        self.breaches: list[Breach] = []
        self.examples = examples

    def note(self, breach: Breach, times: int) -> None:
        """Show a breach, and count so many."""
        name = f"{breach.column}: {breach.rule}"
        self.broken[name] = self.broken.get(name, 0) + times
        self.breaches.append(breach)

    def take(self, name: str, cells: "Cells") -> None:
        """What was found in a column."""
        for rule, times in cells.broken.items():
            self.broken[f"{name}: {rule}"] = times
            self.breaches += [Breach(row, name, value, rule) for row, value in cells.shown[rule]]


class _Keys:
    """Which keys are surely unique, since their one column rises from row to row; the others are sought on disk."""

    def __init__(self, table: Table, contract: Contract) -> None:
        wanted: set[tuple[str, ...]] = {(name,) for name, column in contract.columns.items() if column.unique}
        wanted |= {tuple(contract.primary_key)} if contract.primary_key else set()
        self._wanted = sorted(key for key in wanted if all(name in table.names for name in key))
        self._last: dict[str, Any] = {}
        self._unsure = {key for key in self._wanted if len(key) > 1}

    def see(self, name: str, cells: "pa.Array") -> None:
        """Look at the next cells of a column."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if (name,) not in self._wanted or (name,) in self._unsure or not len(cells):
            return
        if not (pa.types.is_integer(cells.type) or pa.types.is_string(cells.type)) or cells.null_count:
            self._unsure.add((name,))
            return
        if pa.types.is_string(cells.type):
            try:
                cells = pc.cast(cells, pa.int64())  # As words 10 stands before 9, and what differs may be one number.
            except pa.ArrowInvalid:
                self._unsure.add((name,))
                return
        rises = pc.all(pc.greater(cells[1:], cells[:-1])).as_py() in (True, None)
        if not rises or (name in self._last and not self._last[name] < cells[0].as_py()):
            self._unsure.add((name,))
        self._last[name] = cells[-1].as_py()

    def unsure(self) -> list[tuple[str, ...]]:
        """The keys that have to be looked for."""
        return [key for key in self._wanted if key in self._unsure]


def _checked(
    table: Table, contract: Contract, examples: int, group: Sequence[int], keys: _Keys, bar: Progress,
    batches: Iterator["pa.RecordBatch"],
) -> tuple[int, dict[str, "Cells"]]:  # fmt: skip
    from taut.data.tables.cells import Cells

    named = {table.names[place]: at for at, place in enumerate(group) if table.names[place] in contract.columns}
    checkers = {name: Cells(contract.columns[name], examples) for name in named}
    rows = 0
    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        for batch in batches:
            columns = [batch.column(at) for at in named.values()]
            for _ in workers.map(Cells.add, checkers.values(), columns, repeat(rows + 1)):
                pass
            for name, cells in zip(named, columns, strict=True):
                keys.see(name, cells)
            rows += batch.num_rows
            bar.advance(batch.num_rows if group[0] == 0 else 0)
    return rows, checkers


def _check_key(found: _Found, table: Table, key: tuple[str, ...], batches: Iterator["pa.RecordBatch"]) -> None:
    """Rows whose key stood before, over all of the table, on disk where memory ends; holes are no duplicates."""
    import numpy as np
    import pyarrow as pa

    from taut.data.tables.cells import present_cells
    from taut.data.tables.rows import opened

    columns = [f"c{n}" for n in range(len(key))]
    rows = 0
    with TemporaryDirectory(prefix="taut-check-") as folder, opened(Path(folder)) as database:
        for batch in batches:
            numbers = pa.array(np.arange(rows + 1, rows + 1 + batch.num_rows))
            cells = [present_cells(column) for column in batch.columns]
            database.register("part", pa.table([numbers, *cells], names=["row", *columns]))
            made = "CREATE TABLE k AS" if not rows else "INSERT INTO k"
            database.execute(f"{made} SELECT * FROM part")  # noqa: S608  # Words of ours alone.
            database.unregister("part")
            rows += batch.num_rows
        if rows:
            _note_repeated(found, database, key, columns)


def _note_repeated(
    found: _Found, database: "duckdb.DuckDBPyConnection", key: tuple[str, ...], columns: list[str]
) -> None:
    named = ", ".join(columns)
    there = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    database.execute(
        f"CREATE TABLE twice AS SELECT {named}, min(row) AS first, count(*) AS times FROM k WHERE {there} "  # noqa: S608
        "GROUP BY ALL HAVING count(*) > 1"
    )
    counted = database.execute("SELECT coalesce(sum(times - 1), 0)::BIGINT FROM twice").fetchone()
    assert counted is not None
    if not counted[0]:
        return
    chosen = ", ".join(f"k.{column}" for column in columns)
    shown = database.execute(
        f"SELECT k.row, {chosen} FROM k JOIN twice USING ({named}) WHERE k.row > twice.first "  # noqa: S608
        f"ORDER BY k.row LIMIT {found.examples}"
    ).fetchall()
    name = ", ".join(key)
    found.broken[f"{name}: unique"] = int(counted[0])
    found.breaches += [Breach(row, name, ", ".join(map(str, cells))[:200], "unique") for row, *cells in shown]


def _check_bound(file: str, name: str, dtype: str, bound: float | str | None) -> None:
    """A bound that no cell can be held against would break every cell."""
    from taut.data.tables.moments import moment_ms

    if bound is None:
        return
    is_moment = dtype in ("date", "timestamp")
    if is_moment and moment_ms(str(bound)) is None:
        raise Invalid(f"{file}: column {name!r}: {bound!r} is no {dtype}", hint="write it as 2026-01-31")
    if dtype in ("int", "float") and isinstance(bound, str):
        raise Invalid(f"{file}: column {name!r}: {bound!r} is no number", hint="write it without quotes")


def _inferred(column: ColumnProfile, rows: int) -> ColumnContract:
    present = column.rows - column.missing
    is_known = column.dtype in DTYPES_INFERRED
    is_small = column.dtype == "categorical" and len(column.top) == column.distinct <= ACCEPTED_MAX
    unique = present == column.distinct and present >= UNIQUE_FROM.get(column.dtype, present + 1)
    is_unique = unique and not column.top_error and not column.distinct_error
    low, high = _widened(column)
    return ColumnContract(
        dtype=column.dtype if is_known else "text" if column.kinds.get("text") else "any",  # type: ignore[arg-type]  # One of them: just asked.
        nullable=column.missing > 0 or rows == 0,
        unique=is_unique,
        min=low,
        max=None if is_unique else high,
        accepted_values=sorted(level for level, _ in column.top) if is_small else None,
    )


def _widened(column: ColumnProfile) -> tuple[int | float | str | None, int | float | str | None]:
    """A range that the next version is likely to keep: a quarter wider, of one sign as before; of dates the least only.

    Days go on, and so do numbers that count the rows. Of a few whole numbers (codes, stars, 0 or 1) the range itself.
    """
    low, high = column.low, column.high
    if column.dtype in ("date", "timestamp"):
        return low, None
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return None, None
    if (column.dtype == "int" and column.distinct <= ACCEPTED_MAX) or not isfinite(high - low):
        return low, high
    wide = (high - low) / 4 or abs(high) / 4 or 1.0
    step = 10.0 ** floor(log10(wide))
    least, most = floor((low - wide) / step) * step, ceil((high + wide) / step) * step
    least, most = max(least, 0.0) if low >= 0 else least, min(most, 0.0) if high <= 0 else most
    if column.dtype == "int":
        return floor(least), ceil(most)
    return float(f"{least:.12g}"), float(f"{most:.12g}")
