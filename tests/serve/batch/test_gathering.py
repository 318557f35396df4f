"""The parts of a batch as one file: in their order, with their types, whole or not there."""

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taut.serve.batch.gathering import gather_parts

SCHEMA = pa.schema([
    ("id", pa.string()), ("prediction", pa.int64()), ("share", pa.float64()), ("error", pa.string()),
    ("model_version", pa.dictionary(pa.int32(), pa.string())),
])  # fmt: skip
NAMES = ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Three parts in a folder, the second of them without rows."""
    folder = tmp_path / "work"
    folder.mkdir()
    for place, name in enumerate(NAMES):
        rows = [] if place == 1 else [place * 10 + row for row in range(3)]
        columns = {
            "id": [f"j.{place}.{row}" for row in rows],
            "prediction": [None if row % 3 == 2 else row for row in rows],
            "share": [row / 10 for row in rows],
            "error": ['it is "odd", and\nlong' if row % 3 == 2 else None for row in rows],
            "model_version": ["late@1"] * len(rows),
        }
        table = pa.table(columns, schema=SCHEMA.with_metadata({"taut": f"part {place}"}))
        pq.write_table(table, folder / name)
    return folder


def test_one_table_has_the_rows_of_all_parts_in_order(parts: Path, tmp_path: Path):
    gather_parts(parts, NAMES, tmp_path / "all.parquet")
    found = pq.read_table(tmp_path / "all.parquet")
    assert found.schema.equals(SCHEMA) and b"taut" not in (found.schema.metadata or {})
    assert found["id"].to_pylist() == ["j.0.0", "j.0.1", "j.0.2", "j.2.20", "j.2.21", "j.2.22"]
    assert found["prediction"].to_pylist() == [0, 1, None, None, 21, 22]


def test_a_csv_says_the_same_and_nothing_is_left_beside(parts: Path, tmp_path: Path):
    gather_parts(parts, NAMES, tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(newline="") as file:
        heading, *rows = list(csv.reader(file))
    assert heading == SCHEMA.names
    assert [row[0] for row in rows] == ["j.0.0", "j.0.1", "j.0.2", "j.2.20", "j.2.21", "j.2.22"]
    assert [row[1] for row in rows] == ["0", "1", "", "", "21", "22"]
    assert [row[3] for row in rows] == ["", "", 'it is "odd", and\nlong', 'it is "odd", and\nlong', "", ""]
    assert {row[4] for row in rows} == {"late@1"}
    assert list((parts / "_taut" / "tmp").iterdir()) == []


def test_an_earlier_file_is_replaced_whole(parts: Path, tmp_path: Path):
    (tmp_path / "all.csv").write_text("of yesterday\n" * 1000)
    gather_parts(parts, NAMES[:1], tmp_path / "all.csv")
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 5  # One cell has two lines.


def test_a_part_that_is_missing_leaves_the_earlier_file(parts: Path, tmp_path: Path):
    (tmp_path / "all.csv").write_text("of yesterday\n")
    (parts / NAMES[2]).unlink()
    with pytest.raises(FileNotFoundError):
        gather_parts(parts, NAMES, tmp_path / "all.csv")
    assert (tmp_path / "all.csv").read_text() == "of yesterday\n"
