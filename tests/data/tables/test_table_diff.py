"""Row- and column-level diff: by key and by content against a plain oracle, distances, and the page."""

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data import add_dataset, dataset_diff, diff_page, workspace_diff
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


def held(old: Path, new: Path, *key: str):
    found = table_diff([part_of(old)], [part_of(new)], key).table
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


def test_a_million_rows_are_held_against_each_other(tmp_path: Path):
    count = 1_000_000
    ids, values = np.arange(count), np.zeros(count)
    pq.write_table(pa.table({"id": ids, "v": values}), tmp_path / "a.parquet")
    values[::1000] = 1.0
    pq.write_table(pa.table({"id": ids[:-5][::-1], "v": values[:-5][::-1]}), tmp_path / "b.parquet")
    found = held(tmp_path / "a.parquet", tmp_path / "b.parquet", "id")
    assert (found.added, found.removed, found.changed) == (0, 5, 1000)
    assert len(found.examples_changed) == 10


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
    found = dataset_diff(home, "t", key=["id"])
    assert found.table is not None
    assert (found.table.added, found.table.removed, found.table.changed) == (1, 1, 5)
    city = next(one for one in found.shifts if one.name == "city")
    assert city.distance.psi is not None
    assert city.distance.psi > 0.25


def test_the_workspace_is_held_against_a_version(home: Home):
    add(home, "id,v\n1,a\n2,b\n")
    (home.project / "t.csv").write_text("id,v\n1,a\n2,c\n3,d\n")
    found = workspace_diff(home, "t", key=["id"])
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
    for part in page.split("<svg")[1:]:
        ET.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")
