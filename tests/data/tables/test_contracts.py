"""Contracts: inferred from a version it is kept by that version; every rule names the rows that break it."""

import math
import time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data import add_dataset
from taut.data.tables.cells import KINDS_OF
from taut.data.tables.contracts import (
    Breach,
    check_table,
    contract_yaml,
    dataset_contract,
    infer_contract,
    read_contract,
)
from taut.data.tables.parts import part_of
from taut.data.tables.profiles import profile_table
from taut.data.tables.rules import ColumnContract, Contract
from taut.errors import Invalid
from taut.home import Home
from taut.records import ColumnProfile, TableProfile

GOOD = "id,fare,city,day\n1,2.5,Oslo,2024-01-01\n2,,Riga,2024-02-01\n3,4,Oslo,2024-03-01\n4,1,Riga,2024-03-02\n"


def written(folder: Path, text: str) -> Path:
    (folder / "t.csv").write_text(text)
    return folder / "t.csv"


def checked(folder: Path, text: str, **columns: ColumnContract):
    return check_table([part_of(written(folder, text))], Contract(columns))


def test_a_table_keeps_the_contract_that_was_inferred_from_it(tmp_path: Path):
    parts = [part_of(written(tmp_path, GOOD))]
    contract = infer_contract(profile_table(parts))
    assert contract.columns["id"] == ColumnContract("int", nullable=False, min=1, max=4)
    assert contract.columns["fare"] == ColumnContract("float", min=0.2, max=4.8)
    assert contract.columns["day"] == ColumnContract("date", nullable=False, min="2024-01-01")
    assert contract.columns["city"] == ColumnContract("text", nullable=False, accepted_values=["Oslo", "Riga"])
    (tmp_path / "c.yaml").write_text(contract_yaml(contract))
    assert read_contract(tmp_path / "c.yaml") == contract
    assert check_table(parts, contract).passed


@pytest.mark.parametrize(
    ("cell", "contract", "rule"),
    [
        ("x", ColumnContract("int"), "dtype int"),
        ("1.5", ColumnContract("int"), "dtype int"),
        ("", ColumnContract(nullable=False), "not null"),
        ("NA", ColumnContract(nullable=False), "not null"),
        ("0", ColumnContract("float", min=1), "min 1"),
        ("9.5", ColumnContract("float", max=9), "max 9"),
        ("2023-12-31", ColumnContract("date", min="2024-01-01"), "min 2024-01-01"),
        ("c", ColumnContract(accepted_values=["a", "b"]), "accepted_values"),
        ("ab1", ColumnContract(pattern="[a-z]+"), "pattern [a-z]+"),
        ("ab\n", ColumnContract(pattern="[a-z]+"), "pattern [a-z]+"),
        ("xab", ColumnContract(pattern="ab|b"), "pattern ab|b"),
        ("0x10", ColumnContract("int"), "dtype int"),
        ("INF", ColumnContract("float"), "dtype float"),
        ("2023-02-29", ColumnContract("date"), "dtype date"),
        ("2024-01-01T25:00", ColumnContract("timestamp"), "dtype timestamp"),
        ("yes", ColumnContract("bool"), "dtype bool"),
        ("b", ColumnContract(max="a"), "max a"),
        ("word", ColumnContract(min=3), "min 3"),
        (
            "2024-01-02T00:00:00+02:00",
            ColumnContract("timestamp", min="2024-01-01T22:00:01Z"),
            "min 2024-01-01T22:00:01Z",
        ),
    ],
)
def test_a_rule_that_is_broken_names_row_column_and_value(
    tmp_path: Path, cell: str, contract: ColumnContract, rule: str
):
    found = checked(tmp_path, f'k,a\n1,"{cell}"\n', k=ColumnContract(), a=contract)
    value = cell if cell not in ("", "NA") else None
    assert (found.passed, found.breaches) == (False, (Breach(1, "a", value, rule),))


def test_repeated_keys_are_named_where_they_repeat_and_holes_do_not(tmp_path: Path):
    found = checked(tmp_path, "id,b\n1,x\n,x\n2,x\n1,x\n,x\n1,x\n", id=ColumnContract(unique=True), b=ColumnContract())
    assert found.broken == {"id: unique": 2}
    assert [breach.row for breach in found.breaches] == [4, 6]


@pytest.mark.parametrize(
    ("ids", "rows"),
    [
        (["1", "2", "3"], []),
        (["1", "3", "2"], []),
        (["9", "10", "10"], [3]),
        (["1", "01", "2"], []),
        (["b", "a", "b"], [3]),
        (["2", "1", "2", "2"], [3, 4]),
    ],
)
def test_a_key_is_unique_whether_it_rises_or_not(tmp_path: Path, ids: list[str], rows: list[int]):
    found = checked(tmp_path, "id\n" + "\n".join(ids) + "\n", id=ColumnContract(unique=True))
    assert [breach.row for breach in found.breaches] == rows
    pq.write_table(pa.table({"id": ids}), tmp_path / "t.parquet")
    typed = check_table([part_of(tmp_path / "t.parquet")], Contract({"id": ColumnContract(unique=True)}))
    assert typed.broken == found.broken


def test_a_key_of_several_columns_is_unique_together(tmp_path: Path):
    parts = [part_of(written(tmp_path, "a,b\n1,x\n1,y\n,x\n,x\n1,y\n"))]
    contract = Contract({"a": ColumnContract(), "b": ColumnContract()}, primary_key=["a", "b"])
    assert check_table(parts, contract).breaches == (Breach(5, "a, b", "1, y", "unique"),)


def test_a_pattern_that_hangs_elsewhere_is_matched_at_once(tmp_path: Path):
    evil = ColumnContract(pattern="(a+)+b")
    begun = time.monotonic()
    found = checked(tmp_path, "a\n" + f"{'a' * 50_000}!\n" * 20, a=evil)
    assert found.broken == {"a: pattern (a+)+b": 20}
    assert time.monotonic() - begun < 20  # Backtracking would take longer than the universe is old.
    assert len(found.breaches[0].value or "") == 200


WORDS = st.sampled_from(
    ["", "NA", "1", "-2", " 3", "+4", "2.5", "1e3", "inf", "Infinity", "nan", "NAN", "0x1", "true", "FALSE", "yes",
     "2024-02-29", "2023-02-29", "2024-01-01 10:00", "2024-01-01T10:00:00.5+02:00", "x", "99999999999999999999"]
)  # fmt: skip


@given(st.lists(WORDS, min_size=1, max_size=12), st.sampled_from(["int", "float", "bool", "date", "timestamp"]))
@settings(max_examples=60)
def test_types_are_those_that_a_profile_counts(tmp_path_factory: pytest.TempPathFactory, cells: list[str], dtype: str):
    folder = tmp_path_factory.mktemp("c")
    text = "a\n" + "".join(f'"{cell}"\n' for cell in cells)
    found = checked(folder, text, a=ColumnContract(dtype))  # type: ignore[arg-type]  # One of them, as a plain word.
    kinds = profile_table([part_of(folder / "t.csv")]).columns[0].kinds
    assert found.broken.get(f"a: dtype {dtype}", 0) == sum(
        n for kind, n in kinds.items() if kind not in KINDS_OF[dtype]
    )


@given(st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=40), st.integers(-9, 9), st.integers(-9, 9))
@settings(max_examples=40)
def test_bounds_and_holes_are_those_of_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, cells: list[int | None], low: int, high: int
):
    folder = tmp_path_factory.mktemp("c")
    contract = Contract({"a": ColumnContract("int", nullable=False, min=low, max=high)})
    wanted = {
        "a: not null": sum(cell is None for cell in cells),
        f"a: min {low}": sum(cell is not None and cell < low for cell in cells),
        f"a: max {high}": sum(cell is not None and cell > high for cell in cells),
    }
    pq.write_table(pa.table({"a": pa.array(cells, pa.int32())}), folder / "t.parquet")
    (folder / "t.csv").write_text("a\n" + "".join(f"{'NA' if cell is None else cell}\n" for cell in cells))
    for name in ("t.parquet", "t.csv"):
        found = check_table([part_of(folder / name)], contract, examples=3)
        assert found.broken == {rule: times for rule, times in wanted.items() if times}
        assert all(
            len([b for b in found.breaches if f"a: {b.rule}" == rule]) == min(3, n) for rule, n in wanted.items()
        )


def test_parquet_of_every_type_is_held_against_bounds_levels_and_patterns(tmp_path: Path):
    table = pa.table(
        {
            "i": pa.array([1, 20], pa.int8()),
            "f": pa.array([0.5, math.nan]),
            "d": pa.array([Decimal("1.10"), Decimal("9.20")]),
            "day": pa.array([0, 365], pa.date32()),
            "at": pa.array([0, 86_400_000], pa.timestamp("ms", "UTC")),
            "b": pa.array([True, False]),
            "s": pa.array(["x", "y"]).dictionary_encode(),
            "l": pa.array([[1], [2]]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    rules = {
        "i": ColumnContract("int", max=9, accepted_values=["1", "20"]),
        "f": ColumnContract("float", nullable=False, pattern=r"0\.5"),
        "d": ColumnContract("float", max=9, accepted_values=["1.10", "9.20"]),
        "day": ColumnContract("timestamp", max="1970-06-01"),
        "at": ColumnContract("date"),
        "b": ColumnContract("bool", accepted_values=["true"]),
        "s": ColumnContract("text", accepted_values=["x"]),
        "l": ColumnContract(pattern=r"\[1\]"),
    }
    assert check_table([part_of(tmp_path / "t.parquet")], Contract(rules)).broken == {
        "i: max 9": 1, "f: not null": 1, "d: max 9": 1, "day: max 1970-06-01": 1, "at: dtype date": 2,
        "b: accepted_values": 1, "s: accepted_values": 1, r"l: pattern \[1\]": 1,
    }  # fmt: skip


def test_a_wide_table_is_checked_in_all_of_its_columns(tmp_path: Path):
    pq.write_table(pa.table({f"x{n}": [n] for n in range(150)}), tmp_path / "t.parquet")
    contract = Contract({f"x{n}": ColumnContract("int", max=147) for n in range(150)})
    found = check_table([part_of(tmp_path / "t.parquet")], contract)
    assert (found.rows, found.broken) == (1, {"x148: max 147": 1, "x149: max 147": 1})


@pytest.mark.parametrize("text", ["a\n", "a\n\n", "a,a\n1,2\n"])
def test_empty_tables_and_names_that_stand_twice_are_checked(tmp_path: Path, text: str):
    contract = ColumnContract("int", nullable=False, unique=True, min=0, pattern=".*", accepted_values=["1", "2"])
    assert checked(tmp_path, text, a=contract).passed


@pytest.mark.parametrize(
    ("low", "high", "wanted"), [(0.0, 10.0, (0.0, 13.0)), (-8.0, -4.0, (-9.0, -3.0)), (5.5, 5.5, (4.0, 7.0))]
)
def test_an_inferred_range_leaves_room_for_the_next_version(low: float, high: float, wanted: tuple[float, float]):
    column = ColumnProfile("x", "float", "double", 500, 0, 400, {"float": 500}, low, high)
    found = infer_contract(TableProfile(500, (column,))).columns["x"]
    assert (found.min, found.max) == wanted


def test_a_column_that_counts_the_rows_may_go_on(tmp_path: Path):
    text = "id,stars\n" + "".join(f"{n},{n % 5 + 1}\n" for n in range(200))
    contract = infer_contract(profile_table([part_of(written(tmp_path, text))]))
    assert contract.columns["id"] == ColumnContract("int", nullable=False, unique=True, min=0)
    assert contract.columns["stars"] == ColumnContract("int", nullable=False, min=1, max=5)


def test_breaches_are_counted_all_and_shown_at_first(tmp_path: Path):
    found = checked(tmp_path, "a\n" + "x\n" * 1000 + "1\n", a=ColumnContract("int"))
    assert (found.rows, found.broken, len(found.breaches)) == (1001, {"a: dtype int": 1000}, 10)


def test_columns_and_row_counts_are_part_of_it(tmp_path: Path):
    parts = [part_of(written(tmp_path, "a,b\n1,2\n"))]
    found = check_table(parts, Contract({"a": ColumnContract(), "c": ColumnContract()}, row_count_min=5))
    assert set(found.broken) == {"c: column is there", "b: column is known", ": row_count 5 to any"}
    assert check_table(parts, Contract({"a": ColumnContract()}, strict=False)).passed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("columns: {a: {dtyp: int}}", "dtyp"),
        ("columns: {a: {pattern: '['}}", "column 'a': the pattern '\\['"),
        ("columns: {a: {pattern: '(?=b)'}}", "none of RE2's syntax"),
        ("columns: {a: {pattern: '(b)\\1'}}", "none of RE2's syntax"),
        ("columns: {a: {dtype: date, min: soon}}", "'soon' is no date"),
        ("columns: {a: {dtype: int, max: '9'}}", "'9' is no number"),
        ("columns: {a: {}}\nprimary_key: [b]", "primary key names 'b'"),
    ],
)
def test_a_mistake_in_a_contract_is_told(tmp_path: Path, text: str, said: str):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(Invalid, match=said):
        read_contract(tmp_path / "c.yaml")


def test_a_version_gives_its_contract(home: Home):
    add_dataset(home, written(home.project, GOOD))
    assert "accepted_values:" in dataset_contract(home, "t@1")
