"""Contracts: what a table must be, in YAML that people read; inferred from a version, and held against files."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from taut.data.tables.parts import Part, Table, open_table, over_batches
from taut.data.tables.profile import MISSING
from taut.errors import Invalid
from taut.ground.yaml import read_yaml
from taut.home import Home, verb
from taut.records import ColumnProfile, TableProfile

if TYPE_CHECKING:
    import pyarrow as pa

DTypes = Literal["int", "float", "bool", "date", "timestamp", "text", "any"]
ACCEPTED_MAX = 20
UNIQUE_FROM = {"int": 2, "text": 100}  # Words that differ in a few rows are no key yet.
KINDS_OF: dict[str, tuple[str, ...]] = {
    "int": ("int",),
    "float": ("int", "float"),
    "bool": ("bool",),
    "date": ("date",),
    "timestamp": ("date", "timestamp"),
}


class ColumnContract(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What each cell of a column must be; what is not said is not asked."""

    dtype: DTypes = "any"
    nullable: bool = True
    unique: bool = False
    min: int | float | str | None = None
    max: int | float | str | None = None
    accepted_values: list[str] | None = None
    pattern: str | None = None


class Contract(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a table must be: its columns, others only where `strict` is false, and how many rows it has."""

    columns: dict[str, ColumnContract]
    strict: bool = True
    row_count_min: int | None = None
    row_count_max: int | None = None
    primary_key: list[str] = []


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
    """The contract that a profiled table keeps: types, holes, ranges, levels, keys; rows between half and double."""
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
    """Read a contract. Raises NotFound, Denied, and Invalid for a mistake in it."""
    contract = read_yaml(path, Contract)
    for name, column in contract.columns.items():
        try:
            re.compile(column.pattern or "")
        except re.error as problem:
            raise Invalid(f"{path.name}: the pattern of {name!r} is none: {problem}") from None
    if absent := [name for name in contract.primary_key if name not in contract.columns]:
        raise Invalid(f"{path.name}: the primary key names {absent[0]!r}, which is no column of it")
    return contract


def check_table(parts: Sequence[Part], contract: Contract, *, examples: int = 10) -> ContractResult:
    """Hold a table against a contract in one pass, with the first `examples` breaches of each rule.

    Raises Invalid where it is no table, UsageError without the packages of `taut[data]`.
    """
    table = open_table(parts)
    absent = [name for name in contract.columns if name not in table.names]
    extra = [name for name in table.names if name not in contract.columns] if contract.strict else []
    found = over_batches(table, partial(_checked, table, contract, examples))
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
        self._shown: dict[str, int] = {}
        self._most = examples

    def wants(self, column: str, rule: str) -> int:
        """How many more breaches of a rule are shown."""
        return self._most - self._shown.get(f"{column}: {rule}", 0)

    def note(self, breach: Breach, times: int) -> None:
        """Show a breach, and count so many."""
        name = f"{breach.column}: {breach.rule}"
        self.broken[name] = self.broken.get(name, 0) + times
        self._shown[name] = self._shown.get(name, 0) + 1
        self.breaches.append(breach)


def _checked(table: Table, contract: Contract, examples: int, batches: Iterator["pa.RecordBatch"]) -> _Found:
    import duckdb
    import pyarrow as pa

    found = _Found(examples)
    keys = {(name,) for name, column in contract.columns.items() if column.unique} | {tuple(contract.primary_key)}
    wanted = sorted(key for key in keys if key and all(name in table.names for name in key))
    with (
        TemporaryDirectory(prefix="taut-check-") as folder,
        duckdb.connect(
            str(Path(folder) / "keys.db"), config={"memory_limit": "512MB", "temp_directory": folder}
        ) as database,
    ):
        for batch in batches:
            for name, column in contract.columns.items():
                if name in table.names:
                    _check_cells(found, name, column, batch.column(table.names.index(name)))
            for place, key in enumerate(wanted):
                cells = [_present(batch.column(table.names.index(name))) for name in key]
                rows = pa.array(range(found.rows + 1, found.rows + 1 + batch.num_rows))
                part = pa.table([rows, *cells], names=["row", *(f"c{n}" for n in range(len(key)))])
                database.register("part", part)
                database.execute(f"CREATE TABLE IF NOT EXISTS k{place} AS SELECT * FROM part LIMIT 0")  # noqa: S608
                database.execute(f"INSERT INTO k{place} SELECT * FROM part")  # noqa: S608
                database.unregister("part")
            found.rows += batch.num_rows
        if found.rows:
            for place, key in enumerate(wanted):
                _check_key(found, database, place, key)
    return found


def _present(cells: "pa.Array") -> "pa.Array":
    """Cells with null for each that is missing: holes are no duplicates of each other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(cells.type):
        return cells
    return pc.if_else(pc.is_in(cells, value_set=pa.array(sorted(MISSING))), None, cells)


def _check_cells(found: _Found, name: str, contract: ColumnContract, cells: "pa.Array") -> None:
    """Each distinct value is looked at once; rows are sought only for those that break a rule."""
    import numpy as np
    import pyarrow as pa

    encoded = cells if pa.types.is_dictionary(cells.type) else _present(cells).dictionary_encode()
    nulls = np.flatnonzero(encoded.indices.is_null().to_numpy(zero_copy_only=False))
    if len(nulls) and not contract.nullable:
        _note(found, name, "not null", [(int(row), None) for row in nulls[: found.wants(name, "not null")]], len(nulls))
    values = encoded.dictionary.to_pylist()
    broken: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        for rule in _rules_broken(contract, value):
            broken.setdefault(rule, []).append(place)
    indices = encoded.indices.fill_null(-1).to_numpy()
    for rule, places in broken.items():
        rows = np.flatnonzero(np.isin(indices, places))
        shown = [(int(row), str(values[indices[row]])[:200]) for row in rows[: found.wants(name, rule)]]
        _note(found, name, rule, shown, len(rows))


def _note(found: _Found, name: str, rule: str, shown: Sequence[tuple[int, str | None]], times: int) -> None:
    for row, value in shown:
        found.note(Breach(found.rows + row + 1, name, value, rule), 1)
    if times > len(shown):
        found.broken[f"{name}: {rule}"] = found.broken.get(f"{name}: {rule}", 0) + times - len(shown)


def _rules_broken(contract: ColumnContract, value: Any) -> Iterator[str]:
    """The rules that one value breaks; of a wrong type only that."""
    word = str(value).lower() if isinstance(value, bool) else str(value)
    kind = _kind(value)
    if contract.dtype in KINDS_OF and kind not in KINDS_OF[contract.dtype]:
        yield f"dtype {contract.dtype}"
        return
    for bound, sign in ((contract.min, -1), (contract.max, 1)):
        if bound is not None and _is_past(contract.dtype, word, bound, sign):
            yield f"{'min' if sign < 0 else 'max'} {bound}"
    if contract.accepted_values is not None and word not in contract.accepted_values:
        yield "accepted_values"
    if contract.pattern is not None and not re.fullmatch(contract.pattern, word):
        yield f"pattern {contract.pattern}"


def _kind(value: Any) -> str:
    from taut.data.tables.columns import PATTERNS

    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    return next((kind for kind, pattern in PATTERNS.items() if re.match(pattern, str(value))), "text")


def _is_past(dtype: str, word: str, bound: float | str, sign: int) -> bool:
    from taut.data.tables.columns import moment_ms

    if dtype in ("date", "timestamp"):
        at, edge = moment_ms(word), moment_ms(str(bound))
        return at is None or edge is None or (at - edge) * sign > 0
    if isinstance(bound, str):
        return word > bound if sign > 0 else word < bound
    try:
        return (float(word) - bound) * sign > 0
    except ValueError:
        return True


def _check_key(found: _Found, database: Any, place: int, key: tuple[str, ...]) -> None:
    columns = ", ".join(f"c{n}" for n in range(len(key)))
    there = " AND ".join(f"c{n} IS NOT NULL" for n in range(len(key)))
    repeated = f"""SELECT row, {columns} FROM k{place} WHERE {there}
        QUALIFY row_number() OVER (PARTITION BY {columns} ORDER BY row) > 1"""  # noqa: S608
    (times,) = database.execute(f"SELECT count(*) FROM ({repeated})").fetchone()  # noqa: S608
    name, most = ", ".join(key), found.wants(", ".join(key), "unique")
    rows = database.execute(f"{repeated} ORDER BY row LIMIT {most}").fetchall()
    for row, *cells in rows:
        found.note(Breach(row, name, ", ".join(map(str, cells)), "unique"), 1)
    if times > len(rows):
        found.broken[f"{name}: unique"] = found.broken.get(f"{name}: unique", 0) + times - len(rows)


def _inferred(column: ColumnProfile, rows: int) -> ColumnContract:
    present = column.rows - column.missing
    is_known = column.dtype in KINDS_OF
    is_small = column.dtype == "categorical" and len(column.top) == column.distinct <= ACCEPTED_MAX
    return ColumnContract(
        dtype=column.dtype if is_known else "text" if column.kinds.get("text") else "any",  # type: ignore[arg-type]  # One of them: just asked.
        nullable=column.missing > 0 or rows == 0,
        unique=present == column.distinct
        and present >= UNIQUE_FROM.get(column.dtype, present + 1)
        and not column.top_error,
        min=column.low if is_known else None,
        max=column.high if is_known else None,
        accepted_values=sorted(level for level, _ in column.top) if is_small else None,
    )
