"""Profiles: what a glance at a table tells, and which files are no table."""

import gzip
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.data.tables.profile import ROWS_AT_ONCE, profile_files


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_numbers_text_and_empty_columns_are_told_apart(tmp_path: Path):
    rows, columns = profile_files([written(tmp_path, 'n,t,e\n1,x,\n-2.5,"a,b",NA\n,1,nan\n')])
    assert rows == 3
    assert [(c.name, c.kind, c.missing, c.distinct) for c in columns] == [
        ("n", "number", 1, 2),
        ("t", "text", 0, 3),
        ("e", "empty", 3, 0),
    ]
    assert (columns[0].low, columns[0].high, columns[0].mean) == (-2.5, 1.0, -0.75)


def test_a_gzip_table_reads_like_a_plain_one(tmp_path: Path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a\n1\n2\n"))
    assert profile_files([tmp_path / "t.csv.gz"]) == profile_files([written(tmp_path, "a\n1\n2\n")])


def test_files_with_one_header_are_one_table_and_others_none(tmp_path: Path):
    one, two = written(tmp_path, "a\n1\n", "1.csv"), written(tmp_path, "a\n3\n", "2.csv")
    rows, (column,) = profile_files([one, two])
    assert (rows, column.mean) == (2, 2.0)
    assert profile_files([one, written(tmp_path, "b\n1\n", "3.csv")]) == (None, ())
    assert profile_files([one, written(tmp_path, "a\n1\n", "readme.txt")]) == (None, ())


@pytest.mark.parametrize("text", ["", "a\n" + "x" * 200_000 + "\n"])
def test_what_only_looks_like_a_table_is_bytes(tmp_path: Path, text: str):
    assert profile_files([written(tmp_path, text)]) == (None, ())


def test_a_broken_archive_is_bytes(tmp_path: Path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a\n1\n2\n")[:-6])
    assert profile_files([tmp_path / "t.csv.gz"]) == (None, ())


def test_short_rows_lack_values_and_empty_lines_are_none(tmp_path: Path):
    rows, columns = profile_files([written(tmp_path, "a,b\n1,2\n\n3\n")])
    assert (rows, [column.missing for column in columns]) == (2, [0, 1])


def test_infinities_leave_no_mark_that_json_cannot_carry(tmp_path: Path):
    _, (column,) = profile_files([written(tmp_path, "a\ninf\n1\n")])
    assert (column.kind, column.low, column.high, column.mean) == ("number", 1.0, None, None)


def test_a_column_of_many_chunks_counts_every_row(tmp_path: Path):
    count = 2 * ROWS_AT_ONCE + 1
    rows, (column,) = profile_files([written(tmp_path, "a\n" + "\n".join(map(str, range(count))) + "\n")])
    assert (rows, column.distinct, column.low, column.high) == (count, count, 0.0, count - 1.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_the_mean_is_the_mean(tmp_path_factory: pytest.TempPathFactory, values: list[float]):
    folder = tmp_path_factory.mktemp("mean")
    _, (column,) = profile_files([written(folder, "a\n" + "\n".join(map(repr, values)) + "\n")])
    assert column.mean is not None
    assert math.isclose(column.mean, math.fsum(values) / len(values), rel_tol=1e-9, abs_tol=1e-9)
    assert (column.low, column.high) == (min(values), max(values))
