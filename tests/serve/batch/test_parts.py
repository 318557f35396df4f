"""A part: its rows read from each kind of file, checked as a server checks, and written once under their ids."""

import gzip
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from taut.errors import Conflict, Invalid
from taut.home import Home
from taut.serve.batch.plan import parts_of
from taut.serve.batch.reading import open_reader, survey
from tests.serve.batch.scenes import JOB, scored, session, table, willing


def parquet(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, row_group_size=30)


def giant_group(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path)


def csv(rows: pa.Table, path: Path) -> None:
    pyarrow.csv.write_csv(rows, path)


def csv_gz(rows: pa.Table, path: Path) -> None:
    with gzip.open(path, "wb") as file:
        pyarrow.csv.write_csv(rows, file)


def csv_zst(rows: pa.Table, path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "zstd") as file:
        pyarrow.csv.write_csv(rows, file)


def arrow(rows: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, rows.schema) as file:
        file.write_table(rows, max_chunksize=35)


def arrow_lz4(rows: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
        file.write_table(rows)


def stream(rows: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, rows.schema) as file:
        file.write_table(rows, max_chunksize=35)


FORMS: list[tuple[Callable[[pa.Table, Path], None], str]] = [
    (parquet, "rows.parquet"), (giant_group, "rows.pq"), (csv, "rows.csv"), (csv_gz, "rows.csv.gz"),
    (csv_zst, "rows.csv.zst"), (arrow, "rows.arrow"), (arrow_lz4, "rows.feather"), (stream, "rows.arrows"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "name"), FORMS, ids=[name for _, name in FORMS])
def test_every_format_is_read_in_any_order_of_its_parts(home: Home, tmp_path: Path, write: Any, name: str):
    willing(home)
    write(table(100), tmp_path / name)
    made, plan = session(home, tmp_path / name, tmp_path / "out", part_rows=40, keep=("key", "seats"))
    parts = list(parts_of(plan))
    assert sum(part.stop - part.start for part in parts) == 100 and len(parts) > 2
    for part in [*parts[1:], parts[0], parts[1]]:
        done = made.write(part).done
        assert (done.rows, done.nulled, done.skipped, done.said) == (part.stop - part.start, 0, 0, "")
        found = pq.read_table(tmp_path / "out" / part.name)
        rows = range(part.start, part.stop)
        assert found["prediction"].to_pylist() == [2.0 * row for row in rows]
        assert found["key"].to_pylist() == [f"k{row}" for row in rows]
        assert [int(seats) for seats in found["seats"].to_pylist()] == list(rows)
        assert found["id"].to_pylist() == [f"{JOB}.{part.number}.{n}" for n in range(len(rows))]
        assert set(found["model_version"].to_pylist()) == {"late@1"}
        told = msgspec.json.decode(pq.read_schema(tmp_path / "out" / part.name).metadata[b"taut"])
        assert (told["file"], told["first_row"], told["outputs"]) == (str(tmp_path / name), part.start, ["prediction"])
    made.close()


def test_the_ids_may_be_a_column_of_the_input(home: Home, tmp_path: Path):
    willing(home)
    giant_group(table(5), tmp_path / "rows.parquet")
    out = scored(home, tmp_path / "rows.parquet", tmp_path / "out", id_column="key")
    assert out["id"].to_pylist() == [f"k{row}" for row in range(5)]
    assert out.column_names == ["id", "prediction", "model_version"]


def test_an_id_that_is_missing_is_an_error_however_errors_are_taken(home: Home, tmp_path: Path):
    willing(home)
    giant_group(table(50, key={41: None}), tmp_path / "rows.parquet")
    with pytest.raises(Invalid, match="row 41: column 'key' is the id; it is null"):
        scored(home, tmp_path / "rows.parquet", tmp_path / "out", id_column="key", part_rows=20, on_error="null")


WRONG = [
    ({"seats": {70: None}}, "row 70: column 'seats' takes long; it is null"),
    ({"delay": {70: float("inf")}, "seats": {71: None}}, "row 70: column 'delay' takes double; it is float inf"),
    ({"carrier": {70: "raise"}}, "row 70: the model failed: RuntimeError: told to"),
    ({"carrier": {70: "raise", 71: "raise"}, "seats": {65: None}}, "row 65: column 'seats' takes long; it is null"),
]


@pytest.mark.parametrize(("cells", "said"), WRONG)
def test_the_first_row_that_is_wrong_stops_a_job_and_is_named(home: Home, tmp_path: Path, cells: Any, said: str):
    willing(home)
    giant_group(table(100, **cells), tmp_path / "rows.parquet")
    with pytest.raises(Invalid) as stopped:
        scored(home, tmp_path / "rows.parquet", tmp_path / "out", part_rows=50)
    assert str(stopped.value) == f"{tmp_path / 'rows.parquet'}, {said}"
    assert stopped.value.hint == "--on-error null, or --on-error skip"
    assert [path.name for path in (tmp_path / "out").glob("*.parquet")] == ["part-00000.parquet"]
    assert list((tmp_path / "out" / "_taut" / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
@pytest.mark.parametrize(("cells", "said"), WRONG[1:])
def test_wrong_rows_have_no_prediction_but_their_reason(home: Home, tmp_path: Path, name: str, cells: Any, said: str):
    willing(home)
    (csv if name.endswith(".csv") else giant_group)(table(100, **cells), tmp_path / name)
    made, plan = session(home, tmp_path / name, tmp_path / "out", on_error="null", keep=("key",))
    (part,) = parts_of(plan)
    with closing(made):
        done = made.write(part).done
    wrong = {row for rows in cells.values() for row in rows}
    assert (done.nulled, done.skipped, done.said) == (len(wrong), 0, f"{tmp_path / name}: {said}")
    found = pq.read_table(tmp_path / "out" / part.name)
    assert found["key"].to_pylist() == [f"k{row}" for row in range(100)]
    assert found["prediction"].to_pylist() == [None if row in wrong else 2.0 * row for row in range(100)]
    assert {row for row, error in enumerate(found["error"].to_pylist()) if error} == wrong
    assert found["error"][min(wrong)].as_py() == said.partition(": ")[2]


def test_wrong_rows_are_left_out_and_the_others_keep_their_ids(home: Home, tmp_path: Path):
    willing(home)
    giant_group(table(10, seats={3: None}, carrier={4: "raise"}), tmp_path / "rows.parquet")
    found = scored(home, tmp_path / "rows.parquet", tmp_path / "out", on_error="skip")
    kept = [row for row in range(10) if row not in (3, 4)]
    assert found["id"].to_pylist() == [f"{JOB}.0.{row}" for row in kept]
    assert found["prediction"].to_pylist() == [2.0 * row for row in kept]


@pytest.mark.parametrize("mode", ["null", "skip"])
def test_a_part_of_which_every_row_is_wrong_is_a_part_still(home: Home, tmp_path: Path, mode: str):
    willing(home)
    giant_group(table(3, carrier=dict.fromkeys(range(3), "raise")), tmp_path / "rows.parquet")
    found = scored(home, tmp_path / "rows.parquet", tmp_path / "out", on_error=mode)
    assert found["prediction"].to_pylist() == ([None] * 3 if mode == "null" else [])


def test_a_word_that_is_no_number_is_told_as_it_stands(home: Home, tmp_path: Path):
    willing(home)
    (tmp_path / "rows.csv").write_text("delay,seats,carrier\n1.5,2,UA\nsoon,3,UA\n")
    with pytest.raises(Invalid, match=r"rows.csv, row 1: column 'delay' takes double; it is str 'soon'"):
        scored(home, tmp_path / "rows.csv", tmp_path / "out")


def test_a_file_that_changes_under_way_is_refused(home: Home, tmp_path: Path):
    willing(home)
    source = tmp_path / "rows.parquet"
    giant_group(table(100), source)
    made, plan = session(home, source, tmp_path / "out", part_rows=50)
    first, second = parts_of(plan)
    made.write(first)
    giant_group(table(100, first=7), source)
    with closing(made), pytest.raises(Conflict, match="was changed while it was scored"):
        made.write(second)
    assert not (tmp_path / "out" / second.name).exists()
    with pytest.raises(Conflict):
        open_reader(str(source), plan.inputs[0], None)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("rows.txt", b"x\n1\n", "a batch reads .parquet, .pq, .arrow"),
        ("rows.parquet.gz", b"x", "a batch reads .parquet"),
        ("rows.parquet", b"PAR1 no more", "rows.parquet cannot be read: "),
        ("rows.arrow", b"ARROW1\0\0 no more", "rows.arrow cannot be read: "),
        ("rows.arrows", b"no stream at all", "rows.arrows cannot be read: "),
        ("rows.csv.gz", b"no gzip", "rows.csv.gz cannot be read: "),
        ("rows.csv.gz", gzip.compress(b"x,y\n1,2\n" * 99, mtime=0)[:-9], "rows.csv.gz cannot be read: "),
        ("rows.csv", b'x\n"1\n', "rows.csv: it ends within quotes"),
    ],
)
def test_what_is_no_table_is_told_with_its_name(tmp_path: Path, name: str, data: bytes, said: str):
    from taut.serve.batch.places import find_files

    (tmp_path / name).write_bytes(data)
    (found,) = find_files(str(tmp_path / name))
    with pytest.raises(Invalid) as refused:
        survey(str(tmp_path / name), found, 10)
    assert name in str(refused.value) and said in str(refused.value)


def test_a_ragged_line_stops_a_job(home: Home, tmp_path: Path):
    willing(home)
    (tmp_path / "rows.csv").write_text("delay,seats,carrier\n1.5,2,UA\n1.5,3\n")
    with pytest.raises(Invalid, match=r"rows.csv cannot be read: .*Expected 3 columns, got 2"):
        scored(home, tmp_path / "rows.csv", tmp_path / "out")
