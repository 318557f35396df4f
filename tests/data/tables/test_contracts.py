"""Contracts: inferred from a version it is kept by that version; every rule names the rows that break it."""

from pathlib import Path

import pytest

from taut.data import add_dataset
from taut.data.tables.contracts import (
    Breach,
    ColumnContract,
    Contract,
    check_table,
    contract_yaml,
    dataset_contract,
    infer_contract,
    read_contract,
)
from taut.data.tables.parts import part_of
from taut.data.tables.profiles import profile_table
from taut.errors import Invalid
from taut.home import Home

GOOD = "id,fare,city,day\n1,2.5,Oslo,2024-01-01\n2,,Riga,2024-02-01\n3,4,Oslo,2024-03-01\n4,1,Riga,2024-03-02\n"


def written(folder: Path, text: str) -> Path:
    (folder / "t.csv").write_text(text)
    return folder / "t.csv"


def checked(folder: Path, text: str, **columns: ColumnContract):
    return check_table([part_of(written(folder, text))], Contract(columns))


def test_a_table_keeps_the_contract_that_was_inferred_from_it(tmp_path: Path):
    parts = [part_of(written(tmp_path, GOOD))]
    contract = infer_contract(profile_table(parts))
    assert contract.columns["id"] == ColumnContract("int", nullable=False, unique=True, min=1, max=4)
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
    ],
)
def test_a_rule_that_is_broken_names_row_column_and_value(
    tmp_path: Path, cell: str, contract: ColumnContract, rule: str
):
    found = checked(tmp_path, f"k,a\n1,{cell}\n", k=ColumnContract(), a=contract)
    value = cell if cell not in ("", "NA") else None
    assert (found.passed, found.breaches) == (False, (Breach(1, "a", value, rule),))


def test_repeated_keys_are_named_where_they_repeat_and_holes_do_not(tmp_path: Path):
    found = checked(tmp_path, "id,b\n1,x\n,x\n2,x\n1,x\n,x\n1,x\n", id=ColumnContract(unique=True), b=ColumnContract())
    assert found.broken == {"id: unique": 2}
    assert [breach.row for breach in found.breaches] == [4, 6]


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
        ("columns: {a: {pattern: '['}}", "pattern of 'a'"),
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
