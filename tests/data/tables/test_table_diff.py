"""Row- and column-level diff: by key and by content against a plain oracle, distances, and the page."""

import gzip
import math
import xml.etree.ElementTree as ET
from collections import Counter
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data import RowsAsked, add_dataset, dataset_diff, diff_page, workspace_diff
from taut.data.tables.diff import table_diff
from taut.data.tables.distances import distance
from taut.data.tables.parts import part_of
from taut.data.tables.profiles import profile_table
from taut.errors import Invalid
from taut.home import Home

ROWS = st.dictionaries(st.integers(0, 20), st.sampled_from(["a", "b", "", "x,y"]), max_size=15)


def table(place: Path, rows: list[tuple[object, ...]], header: str = "id,v") -> Path:
    place.write_text("\n".join([header, *(",".join(f'"{cell}"' for cell in row) for row in rows)]) + "\n")
    return place


def held(old: Path, new: Path, *key: str, tolerance: float = 0.0):
    asked = RowsAsked(key, tolerance=tolerance)
    found = table_diff([part_of(old)], [part_of(new)], asked).table
    assert found is not None
    return found


@given(ROWS, ROWS)
@settings(max_examples=15)
def test_rows_by_key_are_what_two_dictionaries_say(tmp_path_factory: pytest.TempPathFactory, old, new):
    folder = tmp_path_factory.mktemp("d")
    found = held(table(folder / "a.csv", [*old.items()]), table(folder / "b.csv", [*reversed(new.items())]), "id")
    changed = {key for key in old.keys() & new.keys() if old[key] != new[key]}
    assert (found.added, found.removed, found.changed) == (
        len(new.keys() - old.keys()), len(old.keys() - new.keys()), len(changed)
    )  # fmt: skip
    assert found.unchanged == len(old.keys() & new.keys()) - len(changed)
    assert found.changed_by_column == ({"v": len(changed)} if changed else {})
    assert {row.key["id"] for row in found.examples_changed} <= {str(key) for key in changed}
    assert all(old[int(row.key["id"])] == row.old["v"] for row in found.examples_changed)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12))
@settings(max_examples=15)
def test_rows_without_a_key_are_multisets(tmp_path_factory: pytest.TempPathFactory, old, new):
    folder = tmp_path_factory.mktemp("d")
    found = held(table(folder / "a.csv", [(1, v) for v in old]), table(folder / "b.csv", [(1, v) for v in new]))
    before, after = Counter(old), Counter(new)
    assert (found.added, found.removed) == ((after - before).total(), (before - after).total())
    assert found.unchanged == (before & after).total()


def test_a_key_that_stands_twice_or_nowhere_is_told(tmp_path: Path):
    one, other = table(tmp_path / "a.csv", [(1, "a"), (1, "b")]), table(tmp_path / "b.csv", [(1, "a")])
    with pytest.raises(Invalid, match="id=1 stands 2 times before"):
        held(one, other, "id")
    with pytest.raises(Invalid, match="no column 'nr'"):
        held(one, other, "nr")
    assert held(one, other, "id", "v").removed == 1


def test_csv_and_parquet_of_the_same_rows_are_equal(tmp_path: Path):
    one = table(tmp_path / "a.csv", [(1, "a"), (2, "b")])
    pq.write_table(pa.table({"id": [2, 1], "v": ["b", "a"]}), tmp_path / "b.parquet")
    assert held(one, tmp_path / "b.parquet", "id").unchanged == 2


@pytest.mark.slow
def test_a_million_rows_are_held_against_each_other(tmp_path: Path):
    count = 1_000_000
    ids, values = np.arange(count), np.zeros(count)
    pq.write_table(pa.table({"id": ids, "v": values}), tmp_path / "a.parquet")
    values[::1000] = 1.0
    pq.write_table(pa.table({"id": ids[:-5][::-1], "v": values[:-5][::-1]}), tmp_path / "b.parquet")
    found = held(tmp_path / "a.parquet", tmp_path / "b.parquet", "id")
    assert (found.added, found.removed, found.changed) == (0, 5, 1000)
    assert len(found.examples_changed) == 10


# Against pandas, and odd tables

VALUES = st.one_of(st.none(), st.floats(-5, 5).map(lambda n: round(n, 1)), st.just(float("inf")))
TABLES = st.dictionaries(
    st.integers(0, 15), st.tuples(VALUES, st.sampled_from(["a", "b,", 'c"', "ä\n", None])), max_size=12
)


def frame(rows: "dict[int, tuple[float | None, str | None]]") -> pa.Table:
    return pa.table(
        {"id": pa.array(rows, pa.int64()), "x": pa.array([x for x, _ in rows.values()], pa.float64()),
         "s": pa.array([s for _, s in rows.values()], pa.string())}
    )  # fmt: skip


@pytest.mark.slow
@given(TABLES, TABLES, st.sampled_from([0.0, 0.15]))
@settings(max_examples=25)
def test_rows_by_key_are_what_pandas_joins(tmp_path_factory: pytest.TempPathFactory, old, new, tolerance: float):
    folder = tmp_path_factory.mktemp("d")
    for name, rows in (("a", old), ("b", new)):
        pq.write_table(frame(rows), folder / f"{name}.parquet")
    found = held(folder / "a.parquet", folder / "b.parquet", "id", tolerance=tolerance)
    both = frame(old).to_pandas().merge(frame(new).to_pandas(), on="id", how="outer", indicator=True)
    pairs = both[both["_merge"] == "both"]
    far = ~(
        (pairs.x_x == pairs.x_y) | ((pairs.x_x - pairs.x_y).abs() <= tolerance) | (pairs.x_x.isna() & pairs.x_y.isna())
    )
    other = ~((pairs.s_x == pairs.s_y) | (pairs.s_x.isna() & pairs.s_y.isna()))
    assert (found.added, found.removed) == ((both._merge == "right_only").sum(), (both._merge == "left_only").sum())
    assert (found.changed, found.unchanged) == ((far | other).sum(), (~(far | other)).sum())
    assert found.changed_by_column == {name: n for name, n in (("x", far.sum()), ("s", other.sum())) if n}
    assert all(row.old.keys() == row.new.keys() != set() for row in found.examples_changed)


def test_keys_that_are_missing_join_and_twice_they_are_no_key(tmp_path: Path):
    one, other = table(tmp_path / "a.csv", [(1, "a")]), table(tmp_path / "b.csv", [(1, "a")])
    pq.write_table(pa.table({"id": [1, None], "v": ["a", "b"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": [None, 1], "v": ["c", "a"]}), tmp_path / "b.parquet")
    found = held(tmp_path / "a.parquet", tmp_path / "b.parquet", "id")
    assert (found.changed, found.examples_changed[0].key, found.examples_changed[0].new) == (
        1,
        {"id": None},
        {"v": "c"},
    )
    pq.write_table(pa.table({"id": pa.array([None, None], pa.int64()), "v": ["c", "a"]}), tmp_path / "b.parquet")
    with pytest.raises(Invalid, match="id=None stands 2 times after"):
        held(tmp_path / "a.parquet", tmp_path / "b.parquet", "id")
    assert held(one, other, "id", "id").unchanged == 1


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        (pa.array([1, 2], pa.int32()), pa.array([1, 2], pa.int64()), 0),
        (pa.array([1, 2], pa.int64()), pa.array([1.0, 2.5]), 1),
        (pa.array([1, 2], pa.int64()), pa.array(["1", "2.0"]), 0),
        (pa.array([0.1, 2.0], pa.float64()), pa.array(["0.10", "zwei"]), 1),
        (pa.array([Decimal("1.10"), Decimal("2.00")]), pa.array([1.1, 2.0]), 0),
        (pa.array(["a", "b"]).dictionary_encode(), pa.array(["a", "b"]), 0),
        (pa.array([0, 86_400_000], pa.timestamp("ms", "UTC")), pa.array([0, 86_400_000], pa.timestamp("ms", "UTC")), 0),
        (pa.array([[1], [2]]), pa.array([[1], [3]]), 1),
        (pa.array([{"a": 1}, {"a": 2}]), pa.array([{"a": 1}, {"a": None}]), 1),
        (pa.array([math.nan, 1.0]), pa.array([math.nan, 1.0]), 0),
    ],
    ids=str,
)  # fmt: skip
def test_a_column_of_another_type_is_compared_by_what_it_means(
    tmp_path: Path, old: pa.Array, new: pa.Array, changed: int
):
    for name, cells in (("a", old), ("b", new)):
        pq.write_table(pa.table({"id": [1, 2], "x": cells}), tmp_path / f"{name}.parquet")
    found = held(tmp_path / "a.parquet", tmp_path / "b.parquet", "id")
    assert (found.changed, found.unchanged) == (changed, 2 - changed)
    is_same = str(old.type).startswith(("list", "struct", "timestamp")) or old.type == new.type
    assert found.retyped == (() if is_same or pa.types.is_dictionary(old.type) else ("x",))


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfid,v\r\n1,a\r\n2,b\r\n", "id,v\n1,a\n2,b\n".encode("utf-16"), b"id;v\n2;b\n1;a\n",
     b'"id"\t"v"\n"1"\t"a"\n2\tb', b"id,v\n1,a\n\n2,b,more\n"],
)  # fmt: skip
def test_however_a_table_is_written_its_rows_are_the_same(tmp_path: Path, content: bytes):
    (tmp_path / "a.csv").write_bytes(b"id,v\n1,a\n2,b\n")
    (tmp_path / "b.csv").write_bytes(content)
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(content))
    for name in ("b.csv", "b.csv.gz"):
        assert held(tmp_path / "a.csv", tmp_path / name, "id").unchanged == 2


def test_tables_without_rows_or_columns_are_compared_or_say_why_not(tmp_path: Path):
    (tmp_path / "a.csv").write_text("id,v\n")
    full = table(tmp_path / "b.csv", [(1, "a")])
    assert (held(tmp_path / "a.csv", full, "id").added, held(full, tmp_path / "a.csv").removed) == (1, 1)
    assert held(tmp_path / "a.csv", tmp_path / "a.csv", "id", tolerance=1.0).unchanged == 0
    (tmp_path / "none.csv").write_text("")
    pq.write_table(pa.table({}), tmp_path / "none.parquet")
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(Invalid, match="no header"):
            held(tmp_path / name, full)


@pytest.mark.parametrize(("key", "tolerance"), [((), 0.1), (("id",), -1.0), (("id",), math.nan), (("id",), math.inf)])
def test_a_tolerance_that_means_nothing_is_refused(tmp_path: Path, key: tuple[str, ...], tolerance: float):
    place = table(tmp_path / "a.csv", [(1, "a")])
    with pytest.raises(Invalid, match="tolerance"):
        held(place, place, *key, tolerance=tolerance)


def test_rows_are_left_out_where_nobody_wants_them(home: Home):
    add(home, "id,v\n1,a\n2,b\n")
    add(home, "id,v\n1,a\n2,c\n")
    found = dataset_diff(home, "t", asked=RowsAsked(wanted=False))
    assert (found.table, found.not_compared, len(found.shifts)) == (None, "they were not asked for", 2)
    assert RowsAsked().why_not(3_000_000_000) == "the files have 3.0 GB; ask for them with --rows"
    assert RowsAsked(("id",)).why_not(3_000_000_000) == RowsAsked(wanted=True).why_not(3_000_000_000) == ""


def test_a_key_is_found_where_one_column_tells_rows_apart(home: Home):
    add(home, "v,id\n1,a\n1,b\n")
    add(home, "v,id\n1,a\n2,b\n")
    found = dataset_diff(home, "t", asked=RowsAsked(("auto",))).table
    assert found is not None
    assert (found.key, found.changed_by_column) == (("id",), {"v": 1})
    add(home, "v,id\n1,a\n1,a\n")
    with pytest.raises(Invalid, match="no column tells every row apart"):
        dataset_diff(home, "t", asked=RowsAsked(("auto",)))


def test_a_column_that_only_changed_its_name_is_known_again(home: Home):
    add(home, "id,price,x,y\n1,2.5,0,0\n2,3.5,1,1\n")
    add(home, "id,cost,x2,y2\n1,2.5,0,0\n2,3.5,1,1\n")
    found = dataset_diff(home, "t", asked=RowsAsked(("id",)))
    assert found.renamed == (("price", "cost"),)  # x and y are alike: nobody can tell which is which.
    assert found.table is not None
    assert (found.table.unchanged, found.table.changed) == (2, 0)


def profile(place: Path, values: "np.ndarray"):
    pq.write_table(pa.table({"x": values}), place)
    return profile_table([part_of(place)]).columns[0]


def test_distances_are_those_of_the_shift(tmp_path: Path):
    chance = np.random.default_rng(1)
    base = chance.normal(size=20_000)
    old, new = profile(tmp_path / "a.parquet", base), profile(tmp_path / "b.parquet", base + 0.5)
    found = distance(old, new)
    assert found.wasserstein == pytest.approx(0.5, rel=0.03)
    assert found.ks == pytest.approx(0.197, abs=0.015)  # 2 * Phi(0.25) - 1
    assert found.psi is not None
    assert found.psi > 0.2
    assert distance(old, old) == distance(old, old).__class__(0.0, 0.0, 0.0, 0.0)


def add(home: Home, text: str) -> None:
    (home.project / "t.csv").write_text(text)
    add_dataset(home, home.project / "t.csv")


def test_a_diff_of_versions_names_rows_and_moved_columns(home: Home):
    add(home, "id,city\n" + "".join(f"{n},Oslo\n" for n in range(10)))
    add(home, "id,city\n" + "".join(f"{n},{'Riga' if n % 2 else 'Oslo'}\n" for n in range(1, 11)))
    found = dataset_diff(home, "t", asked=RowsAsked(("id",)))
    assert found.table is not None
    assert (found.table.added, found.table.removed, found.table.changed) == (1, 1, 5)
    city = next(one for one in found.shifts if one.name == "city")
    assert city.distance.psi is not None
    assert city.distance.psi > 0.25


def test_the_workspace_is_held_against_a_version(home: Home):
    add(home, "id,v\n1,a\n2,b\n")
    (home.project / "t.csv").write_text("id,v\n1,a\n2,c\n3,d\n")
    found = workspace_diff(home, "t", asked=RowsAsked(("id",)))
    assert (found.new, found.modified, found.rows) == (0, (".",), (2, 3))
    assert found.table is not None
    assert (found.table.added, found.table.changed) == (1, 1)


def test_what_is_no_table_says_why_rows_are_not_compared(home: Home):
    for data in (b"\0", b"\1"):
        (home.project / "a.bin").write_bytes(data)
        add_dataset(home, home.project / "a.bin")
    found = dataset_diff(home, "a")
    assert found.table is None
    assert found.not_compared.startswith("no table")


def test_the_page_is_well_formed_and_shows_hostile_names_as_text(home: Home):
    add(home, 'id,"<script>alert(1)</script>"\n1,a\n2,b\n')
    add(home, 'id,"<script>alert(1)</script>"\n1,a\n3,"</svg>"\n')
    page = diff_page(dataset_diff(home, "t"))
    assert "<script>" not in page
    assert page.count("<figure>") == 2
    assert "http" not in page.replace("http-equiv", "")
    assert 'name="viewport"' in page
    for part in page.split("<svg")[1:]:
        ET.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")
