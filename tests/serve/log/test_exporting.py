"""The log as files: columns of one type over all parts, memory for a part alone, whole or not there at all."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taut.errors import Conflict, Denied
from taut.serve.log import exporting
from taut.serve.log.exporting import Exported, export_rows
from taut.serve.log.label_files import read_labels
from taut.serve.log.querying import PredictedRow


def row(number: int, *, label: float | None = None, **inputs: Any) -> PredictedRow:
    columns = inputs or {"delay": number / 2, "carrier": "UA"}
    return PredictedRow(
        f"r.{number}.0", 1_000 * number, 5_000, "late", 1, 3, "live", 120, columns, {"p": 0.25}, label
    )  # fmt: skip


@pytest.fixture(params=[2, 1_000])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two rows and files of four, or all in one."""
    monkeypatch.setattr(exporting, "PART_ROWS", request.param)
    monkeypatch.setattr(exporting, "FILE_ROWS", 2 * request.param)


def read(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path).to_pylist()


@pytest.mark.usefixtures("small")
def test_a_parquet_file_has_typed_columns_and_each_row_once(tmp_path: Path):
    target = tmp_path / "new" / "all.parquet"
    done = export_rows((row(number, label=1.0 if number == 3 else None) for number in range(7)), target)
    assert done == Exported(str(target), 7, 1, 1, target.stat().st_size)
    found = pq.read_table(target)
    assert found.column_names == [
        "id", "row", "event_time", "answered_at", "model", "version", "revision", "role", "latency_us",
        "input.delay", "input.carrier", "output.p", "label",
    ]  # fmt: skip
    assert found["input.delay"].type == pa.float64()
    assert found["event_time"].type == pa.timestamp("ms", tz="UTC")
    assert found["id"].to_pylist() == [f"r.{number}" for number in range(7)]
    assert found["label"].to_pylist() == [None] * 3 + [1.0] + [None] * 3
    assert [path.name for path in target.parent.iterdir()] == ["all.parquet"]


@pytest.mark.usefixtures("small")
def test_types_hold_for_all_rows_whichever_came_first(tmp_path: Path):
    target = tmp_path / "all.parquet"
    cells: list[dict[str, Any]] = [
        {"a": None, "b": 1, "c": 1, "d": 2**60, "e": [1.0]}, {"a": None, "b": 1, "c": 1, "d": 1, "e": [2.0]},
        {"a": "x", "b": 0.5, "c": "x", "d": 0.5, "f": True}, {"a": "y", "b": 2, "c": None, "d": None, "f": None},
    ]  # fmt: skip
    export_rows([row(number, **one) for number, one in enumerate(cells)], target)
    found = pq.read_table(target)
    assert found["input.a"].to_pylist() == [None, None, "x", "y"]
    assert found["input.b"].to_pylist() == [1.0, 1.0, 0.5, 2.0]
    assert [None if one is None else json.loads(one) for one in found["input.c"].to_pylist()] == [1, 1, "x", None]
    assert [None if one is None else json.loads(one) for one in found["input.d"].to_pylist()] == [2**60, 1, 0.5, None]
    assert found["input.e"].to_pylist() == [[1.0], [2.0], None, None]
    assert found["input.f"].to_pylist() == [None, None, True, None]


@pytest.mark.usefixtures("small")
def test_a_csv_file_is_read_by_whatever_reads_csv(tmp_path: Path):
    target = tmp_path / "all.csv"
    names = ['say "x"', "a,b", "ä\n"]
    export_rows([row(at, name=name, list=[1, None], none=None) for at, name in enumerate(names)], target)
    with target.open(newline="", encoding="utf-8") as text:
        found = list(csv.DictReader(text))
    assert [one["input.name"] for one in found] == names
    assert [json.loads(one["input.list"]) for one in found] == [[1, None]] * 3
    assert {one["input.none"] for one in found} == {""}
    assert found[1]["event_time"] == "1970-01-01 00:00:01.000Z"


@pytest.mark.usefixtures("small")
def test_a_folder_gets_files_of_bounded_size(tmp_path: Path):
    target = tmp_path / "all"
    target.mkdir()  # An empty one is as good as none.
    done = export_rows((row(number) for number in range(9)), target)
    names = sorted(path.name for path in target.iterdir())
    assert len(names) == done.files == (3 if exporting.PART_ROWS == 2 else 1)
    assert [one["id"] for name in names for one in read(target / name)] == [f"r.{number}" for number in range(9)]
    assert done.size_bytes == sum(path.stat().st_size for path in target.iterdir())


@pytest.mark.parametrize("name", ["all.parquet", "all.csv", "all"])
def test_no_rows_are_a_file_with_no_rows(tmp_path: Path, name: str):
    assert export_rows([], tmp_path / name).rows == 0
    path = tmp_path / name
    if path.suffix == ".csv":
        assert path.read_text().count("\n") == 1
    else:
        assert pq.read_table(path).num_rows == 0


@pytest.mark.parametrize("name", ["all.parquet", "all"])
def test_what_ends_in_between_leaves_what_was_there(tmp_path: Path, name: str):
    target = tmp_path / name
    if target.suffix:
        target.write_text("before")

    def rows() -> Iterator[PredictedRow]:
        yield row(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_rows(rows(), target)
    assert [path.read_text() for path in tmp_path.iterdir()] == (["before"] if target.suffix else [])


def test_a_file_is_replaced_and_a_folder_is_not(tmp_path: Path):
    export_rows([row(1)], tmp_path / "all.parquet")
    export_rows([row(2)], tmp_path / "all.parquet")
    assert [one["id"] for one in read(tmp_path / "all.parquet")] == ["r.2"]
    export_rows([row(1)], tmp_path / "all")
    with pytest.raises(Conflict, match="is there already"):
        export_rows([row(2)], tmp_path / "all")
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(Conflict, match="is a folder"):
        export_rows([row(2)], tmp_path / "x.csv")
    (tmp_path / "plain").write_text("mine")
    with pytest.raises(Conflict):
        export_rows([row(2)], tmp_path / "plain")
    with pytest.raises(Denied, match="cannot be written"):
        export_rows([row(2)], tmp_path / "plain" / "all.parquet")


@pytest.mark.parametrize("name", ["all.parquet", "all.csv"])
def test_what_was_exported_is_labelled_as_it_is(tmp_path: Path, name: str):
    export_rows([row(number, label=number % 2) for number in range(3)], tmp_path / name)
    with (tmp_path / name).open("rb") as file:
        found = read_labels(file, name=name)
    assert (found.ids, list(found.rows), list(found.values)) == (["r.0", "r.1", "r.2"], [0, 0, 0], [0.0, 1.0, 0.0])
