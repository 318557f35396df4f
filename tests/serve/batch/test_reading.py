"""Rows are read from wherever a part begins, whatever was read before, and memory does not grow with a file."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from taut.errors import Invalid
from taut.serve.batch import reading
from taut.serve.batch.places import find_files
from taut.serve.batch.plan import Options as PlanOptions
from taut.serve.batch.plan import Part, Plan, parts_of
from taut.serve.batch.reading import open_reader, schema_of, survey

ROWS = 90
TABLE = pa.table({"row": range(ROWS), "word": [f"w{row % 7}" for row in range(ROWS)], "idle": [0.5] * ROWS})


def parquet(path: Path) -> None:
    pq.write_table(TABLE, path, row_group_size=20)


def arrow(path: Path) -> None:
    with pa.ipc.new_file(path, TABLE.schema) as file:
        for start, count in ((0, 5), (5, 0), (5, 60), (65, 25)):
            file.write_batch(TABLE.slice(start, count).combine_chunks().to_batches()[0] if count else empty())


def empty() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], TABLE.schema)


def stream(path: Path) -> None:
    with pa.ipc.new_stream(path, TABLE.schema) as file:
        file.write_table(TABLE, max_chunksize=13)


def csv(path: Path) -> None:
    pyarrow.csv.write_csv(TABLE, path)


def csv_gz(path: Path) -> None:
    with pa.CompressedOutputStream(str(path), "gzip") as file:
        pyarrow.csv.write_csv(TABLE, file)


FORMS: list[tuple[str, Callable[[Path], None]]] = [
    ("a.parquet", parquet), ("a.arrow", arrow), ("a.arrows", stream), ("a.csv", csv), ("a.csv.gz", csv_gz),
]  # fmt: skip


def planned(path: Path, part_rows: int) -> tuple[Plan, list[Part]]:
    source = survey(str(path), find_files(str(path))[0], part_rows)
    plan = Plan("j", 0, "late@1", "", "", "", PlanOptions(), str(path), (source,))
    return plan, list(parts_of(plan))


@pytest.mark.parametrize(("name", "write"), FORMS, ids=[name for name, _ in FORMS])
def test_parts_are_read_in_any_order_and_any_number_of_times(tmp_path: Path, name: str, write: Any):
    write(tmp_path / name)

    @settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(3, 40), st.integers(1, 30), st.lists(st.integers(0, 99), min_size=1, max_size=6))
    def same(part_rows: int, at_once: int, order: list[int]) -> None:
        plan, parts = planned(tmp_path / name, part_rows)
        before, reading.ROWS_AT_ONCE = reading.ROWS_AT_ONCE, at_once
        try:
            with closing(open_reader(str(tmp_path / name), plan.inputs[0], ["row", "word"], words=["word"])) as reader:
                for place in order:
                    part = parts[place % len(parts)]
                    found = pa.Table.from_batches(reader.read(part)).to_pydict()
                    assert [int(row) for row in found["row"]] == list(range(part.start, part.stop))
                    assert found["word"] == [f"w{row % 7}" for row in range(part.start, part.stop)]
                    assert "idle" not in found
        finally:
            reading.ROWS_AT_ONCE = before

    same()


@pytest.mark.parametrize(("name", "write"), FORMS, ids=[name for name, _ in FORMS])
def test_a_file_is_known_by_its_digest_and_its_columns(tmp_path: Path, name: str, write: Any):
    write(tmp_path / name)
    plan, parts = planned(tmp_path / name, 25)
    digest = subprocess.run(["md5sum", tmp_path / name], capture_output=True, text=True, check=True).stdout.split()[0]
    (source,) = plan.inputs
    assert (source.digest, source.rows) == (f"md5:{digest}", ROWS)
    assert source.size_bytes == (tmp_path / name).stat().st_size and sum(p.stop - p.start for p in parts) == ROWS
    schema = schema_of(str(tmp_path / name), source)
    assert schema.names == TABLE.column_names
    assert all(kind == pa.string() for kind in schema.types) == (source.format == "csv")


@pytest.mark.parametrize(("name", "write"), FORMS, ids=[name for name, _ in FORMS])
def test_a_reader_that_is_closed_in_the_midst_of_a_part_leaves_nothing_open(tmp_path: Path, name: str, write: Any):
    write(tmp_path / name)
    plan, parts = planned(tmp_path / name, 25)
    reader = open_reader(str(tmp_path / name), plan.inputs[0], None)
    next(iter(reader.read(parts[1])))
    rows = pa.Table.from_batches(reader.read(parts[2]))["row"].to_pylist()  # And whoever reads on is not misled.
    assert [int(row) for row in rows] == list(range(parts[2].start, parts[2].stop))
    reader.close()


def test_a_line_that_ends_as_on_old_machines_is_refused_and_not_cut(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"row\n1\r2\n3\n")
    plan, parts = planned(tmp_path / "a.csv", 10)
    with (
        closing(open_reader(str(tmp_path / "a.csv"), plan.inputs[0], None)) as reader,
        pytest.raises(Invalid, match=r"a.csv: 2 lines from row 0 on are 3 rows"),
    ):
        list(reader.read(parts[0]))


GIANT = """
import os, sys
import pyarrow as pa, pyarrow.parquet as pq
from taut.serve.batch.places import find_files
from taut.serve.batch.plan import Options, Plan, parts_of
from taut.serve.batch.reading import open_reader, survey
def peak():
    return max(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
path = sys.argv[1]
source = survey(path, find_files(path)[0], 100_000)
before = peak()
reader = open_reader(path, source, None)
rows = sum(batch.num_rows for part in parts_of(Plan("j", 0, "", "", "", "", Options(), path, (source,)))
           for batch in reader.read(part))
print(rows, (peak() - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_giant_group_of_rows_is_read_in_little_memory(tmp_path: Path, name: str):
    count = 2_000_000
    numbers = pa.RecordBatch.from_pydict({f"n{place}": pa.array(range(count), pa.float64()) for place in range(20)})
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_batches([numbers]), tmp_path / name, row_group_size=count, use_dictionary=False)
    else:
        with pa.ipc.new_file(tmp_path / name, numbers.schema) as file:
            file.write_batch(numbers)
    done = subprocess.run(
        [sys.executable, "-c", GIANT, str(tmp_path / name)], capture_output=True, text=True, check=True
    )
    rows, grown_mb = map(int, done.stdout.split())
    assert rows == count and grown_mb < 150  # The group itself takes 320 MB.
