"""Profiles of tables: types that do not depend on order, ranks within their bound, odd files, and a bounded size."""

import csv
import gzip
import io
import math
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data import add_dataset, find_profile, list_datasets, record_dataset
from taut.data.tables.columns import Tally, typed_as
from taut.data.tables.kept import size_max
from taut.data.tables.merging import merged
from taut.data.tables.parts import part_of
from taut.data.tables.profile import profile_files
from taut.data.tables.profiles import profile_table, profiled, record_profile
from taut.data.tables.quantiles import Quantiles, buffer_size
from taut.data.workspace.tree import tree_bytes
from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.ledger import events
from taut.home import Home
from taut.records import ColumnProfile, TableProfile
from tests.data.test_trees_and_profiles import tables, written

LARGE = ColumnProfile("x" * 200_000, "int", "string", 1, 0, 1)
FLOATS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400)


def profile(*paths: Path) -> TableProfile:
    return profile_table([part_of(path) for path in paths])


def text(folder: Path, content: str | bytes, name: str = "t.csv") -> TableProfile:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return profile(folder / name)


def tallied(values: list[float], size: int = 256) -> ColumnProfile:
    tally = Tally("x", pa.float64(), size)
    for start in range(0, len(values), 100):
        tally.add(pa.array(values[start : start + 100], pa.float64()))
    return tally.profile()


# Types


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["1", "-2", "+3"], "int"),
        (["1", "2.5"], "float"),
        (["1e3", ".5", "inf"], "float"),
        (["true", "False"], "bool"),
        (["2024-02-29", "1999-01-01"], "date"),
        (["2024-02-29", "2024-02-29T10:00:00Z"], "timestamp"),
        (["2024-01-01 10:00", "2024-01-01T10:00:00.5+02:00"], "timestamp"),
        (["2023-02-29", "2024-01-01"], "text"),
        (["1", "x"], "text"),
        (["a", "b", "a", "b"], "categorical"),
        (["a", "b", "c"], "text"),
        (["0x10", "5"], "text"),
        (["99999999999999999999", "1"], "int"),
    ],
)
def test_a_type_holds_every_cell_in_whichever_order_they_come(tmp_path: Path, cells: list[str], dtype: str):
    for order in (cells, cells[::-1]):
        (column,) = text(tmp_path, "a\n" + "\n".join([*order, "NA"]) + "\n").columns
        assert (column.dtype, column.missing, sum(column.kinds.values())) == (dtype, 1, len(cells))


def test_a_mixed_column_says_how_many_cells_are_of_which_kind(tmp_path: Path):
    (column,) = text(tmp_path, "a\n1\n2\n2.5\nx\n2024-01-01\ntrue\n\n").columns
    assert column.dtype == "text"
    assert column.kinds == {"bool": 1, "date": 1, "float": 1, "int": 2, "text": 1}
    assert (column.low, column.high, column.length_max) == ("x", "x", 1)


def test_numbers_past_what_fits_are_told_and_end_nothing(tmp_path: Path):
    (column,) = text(tmp_path, f"a\n1e400\n{'9' * 400}\n5\n").columns
    assert (column.dtype, column.low, column.high, column.mean) == ("float", 5.0, None, None)
    wire.encode(column)


@given(st.permutations(["int", "float", "bool", "date", "timestamp", "text"]), st.integers(0, 6))
def test_the_type_of_kinds_does_not_depend_on_their_order(kinds: list[str], many: int):
    assert typed_as(kinds[:many]) == typed_as(sorted(kinds[:many]))


# Against the plain reading


@given(tables())
@settings(max_examples=25)
def test_the_fast_reading_sees_what_the_plain_one_sees(tmp_path_factory: pytest.TempPathFactory, table):
    place = written(tmp_path_factory.mktemp("p") / "t.csv", *table)
    rows, columns = profile_files([place])
    found_rows, found, _ = profiled([place])
    assert found_rows == rows
    for one, other in zip(found, columns, strict=True):
        assert (one.name, one.kind, one.missing, one.distinct, one.low, one.high) == (
            other.name, other.kind, other.missing, other.distinct, other.low, other.high
        )  # fmt: skip
        assert one.mean == (None if other.mean is None else pytest.approx(other.mean, rel=1e-9, abs=1e-9))


@given(st.binary(max_size=200))
@settings(max_examples=25)
def test_any_bytes_are_a_table_or_none(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    folder = tmp_path_factory.mktemp("p")
    for name in ("t.csv", "t.csv.gz", "t.csv.zst", "t.parquet"):
        (folder / name).write_bytes(data)
        rows, columns, found = profiled([folder / name])
        assert (rows is None) == (columns == ()) == (found is None)


# Dialects and files


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_usual_delimiter_is_found(tmp_path: Path, delimiter: str):
    place = tmp_path / "t.csv"
    with place.open("w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([["a", "b"], ["1", f"x{delimiter}y\nz"], ["2", "z"]])
    found = profile(place)
    assert (found.rows, [column.dtype for column in found.columns]) == (2, ["int", "text"])


def test_packed_and_wide_encodings_read_like_the_plain_file(tmp_path: Path):
    plain = "ä,b\n1,ü\n2,\n"
    wanted = text(tmp_path, plain)
    assert text(tmp_path, gzip.compress(plain.encode()), "t.csv.gz") == wanted
    assert text(tmp_path, pa.compress(plain.encode(), codec="zstd", asbytes=True), "t.csv.zst") == wanted
    assert text(tmp_path, plain.encode("utf-16")) == wanted
    assert text(tmp_path, b"\xef\xbb\xbf" + plain.encode()) == wanted


def test_ragged_rows_and_odd_bytes_are_read_the_slow_way(tmp_path: Path):
    found = text(tmp_path, b"a,b\n1,2,99\n3\n\xff,\x00\n")
    assert (found.rows, [column.missing for column in found.columns]) == (3, [0, 1])
    assert found.columns[0].kinds == {"int": 2, "text": 1}


@pytest.mark.parametrize("content", [b"x" * (17 << 20), b"a\n" + b"x" * (17 << 20)], ids=["header", "row"])
def test_a_line_without_an_end_is_no_table_and_takes_no_memory_for_long(tmp_path: Path, content: bytes):
    with pytest.raises(Invalid, match="no table"):
        text(tmp_path, content)


@pytest.mark.slow
def test_ten_thousand_columns_are_a_table_whose_profile_is_coarse(tmp_path: Path):
    wide = 10_000
    header, row = ",".join(f"c{n}" for n in range(wide)), ",".join("1" * wide)
    found = text(tmp_path, f"{header}\n{row}\n{row}\n")
    assert (found.rows, len(found.columns)) == (2, wide)
    assert len(wire.encode(found)) <= size_max(wide)


def test_parquet_of_every_type_is_profiled(tmp_path: Path):
    table = pa.table(
        {
            "i": pa.array([1, None, 3], pa.int32()),
            "f": pa.array([1.5, math.nan, None]),
            "d": pa.array([Decimal("1.10"), None, Decimal("2.20")], pa.decimal128(9, 2)),
            "day": pa.array([0, 1, None], pa.date32()),
            "at": pa.array([0, 86_400_000, None], pa.timestamp("ms", "Europe/Riga")),
            "b": pa.array([True, False, None]),
            "s": pa.array(["x", None, "x"]).dictionary_encode(),
            "l": pa.array([[1], None, []], pa.list_(pa.int64())),
            "n": pa.nulls(3),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    columns = {column.name: column for column in profile(tmp_path / "t.parquet").columns}
    assert {name: column.dtype for name, column in columns.items()} == {
        "i": "int", "f": "float", "d": "float", "day": "date", "at": "timestamp", "b": "bool", "s": "categorical",
        "l": "list<element: int64>", "n": "empty",
    }  # fmt: skip
    assert [column.missing for column in columns.values()] == [1, 2, 1, 1, 1, 1, 1, 1, 3]
    assert (columns["d"].low, columns["day"].high, columns["at"].high) == (1.1, "1970-01-02", "1970-01-02T00:00:00Z")


def test_files_of_one_schema_are_one_table_and_others_none(tmp_path: Path):
    for name, table in (("a", {"x": [1]}), ("b", {"x": [2, 3]}), ("c", {"x": ["no"]})):
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
    assert profile(tmp_path / "a.parquet", tmp_path / "b.parquet").rows == 3
    with pytest.raises(Invalid, match=r"'c\.parquet' has other columns"):
        profile(tmp_path / "a.parquet", tmp_path / "c.parquet")


# Quantiles


@given(FLOATS)
def test_ranks_are_exact_while_the_numbers_fit(values: list[float]):
    kept = Quantiles(512)
    kept.add(np.array(values))
    assert kept.rank_error == 0
    assert all(rank == sum(value <= at for value in values) for at, rank in kept.points(65))


@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled", "equal"])
def test_ranks_are_within_the_bound_that_is_told(order: str):
    values = np.arange(200_000, dtype=float)
    if order == "reversed":
        values = values[::-1]
    elif order == "shuffled":
        values = np.random.default_rng(7).permutation(values)
    elif order == "equal":
        values = np.floor(values / 50_000)
    kept = Quantiles(256)
    for part in np.array_split(values, 77):
        kept.add(part)
    assert 0 < kept.rank_error < 0.05 * len(values)
    points = kept.points(65)
    assert points[-1][1] == len(values)
    assert max(abs(int((values <= at).sum()) - rank) for at, rank in points) <= kept.rank_error


def test_the_same_numbers_give_the_same_profile():
    values = [random.Random(3).gauss(0, 1) for _ in range(5_000)]
    assert tallied(values) == tallied(values)


def test_buffers_of_all_columns_together_stay_within_memory():
    assert all(buffer_size(columns) * 8 * 16 * columns <= 128 << 20 for columns in (1, 10, 100, 1_000, 4_000))


# Merging


@given(FLOATS, FLOATS)
def test_two_profiles_merge_to_that_of_both(one: list[float], other: list[float]):
    both, found = tallied([*one, *other]), merged(tallied(one), tallied(other))
    assert (found.rows, found.missing, found.kinds, found.low, found.high) == (
        both.rows, both.missing, both.kinds, both.low, both.high
    )  # fmt: skip
    assert found.mean == pytest.approx(both.mean, rel=1e-9, abs=1e-6)
    assert found.std == pytest.approx(both.std, rel=1e-6, abs=1e-3)
    every = [*one, *other]
    assert all(abs(sum(v <= at for v in every) - rank) <= found.rank_error for at, rank in found.points)
    assert found.points[-1][1] == len(every)


@given(st.lists(st.sampled_from("abc"), max_size=30), st.lists(st.sampled_from("bcde"), max_size=30))
def test_levels_merge_exactly_where_all_are_known(one: list[str], other: list[str]):
    def of(cells: list[str]) -> ColumnProfile:
        tally = Tally("s", pa.string(), 256)
        tally.add(pa.array(cells, pa.string()))
        return tally.profile()

    assert merged(of(one), of(other)) == of([*one, *other])


# With a version


def test_a_version_carries_the_profile_of_its_table(home: Home):
    place = home.project / "t.csv"
    place.write_text("id,city\n1,Oslo\n2,Oslo\n3,Riga\n4,Riga\n")
    add_dataset(home, place)
    found = find_profile(home, "t@1")
    assert found == profile(place)
    assert [column.dtype for column in found.columns] == ["int", "categorical"]
    assert found.columns[1].top == (("Oslo", 2), ("Riga", 2))


def test_what_is_no_table_has_no_profile_and_says_so(home: Home):
    (home.project / "a.bin").write_bytes(b"\0")
    add_dataset(home, home.project / "a.bin")
    with pytest.raises(NotFound, match="a@1 has no profile"):
        find_profile(home, "a")


def test_a_version_and_its_profile_are_recorded_together_or_not_at_all(home: Home):
    tree = home.objects.put(io.BytesIO(tree_bytes([])))
    with pytest.raises(Invalid, match="more than 100000"):
        record_dataset(home, "t", path="t.csv", tree=tree, profile=TableProfile(1, (LARGE,)))
    with pytest.raises(NotFound):
        list_datasets(home, "t")
    small = TableProfile(0, ())
    assert record_dataset(home, "t", path="t.csv", tree=tree).number == 1
    assert record_dataset(home, "t", path="t.csv", tree=tree, profile=small).number == 1  # The version had none.
    assert record_dataset(home, "t", path="t.csv", tree=tree, profile=TableProfile(9, ())).number == 1
    assert find_profile(home, "t") == small
    with home.meta.read() as tx:
        assert [event.kind for event in events(tx)][-2:] == ["data.recorded", "data.profiled"]


def test_a_profile_of_before_sketches_is_a_lower_bound(home: Home):
    (home.project / "a.bin").write_bytes(b"0")
    add_dataset(home, home.project / "a.bin")
    old = ColumnProfile("x", "text", "string", 500_000, 0, 100_000, top_error=7)
    record_profile(home, "a", 1, TableProfile(500_000, (old, replace(old, top_error=0))))
    assert [column.distinct_error for column in find_profile(home, "a").columns] == [None, 0.0]


def test_a_profile_that_is_there_stays_and_one_too_large_is_refused(home: Home):
    (home.project / "t.csv").write_text("a\n1\n")
    add_dataset(home, home.project / "t.csv")
    kept = find_profile(home, "t")
    record_profile(home, "t", 1, TableProfile(99, ()))
    assert find_profile(home, "t") == kept
    with pytest.raises(Invalid, match="more than 100000"):
        record_profile(home, "t", 1, TableProfile(1, (LARGE,)))


def test_a_hundred_columns_of_any_numbers_fit_in_a_hundred_kilobytes(tmp_path: Path):
    chance = random.Random(5)
    rows = [",".join(f"{chance.gauss(0, 1e9)!r}" for _ in range(100)) for _ in range(300)]
    found = text(tmp_path, ",".join(f"column_{n}" for n in range(100)) + "\n" + "\n".join(rows) + "\n")
    assert len(wire.encode(found)) <= 100_000
    assert len(found.columns[0].points) >= 9
