"""Diff: files that came, went and changed; columns before and after."""

import pytest

from taut.data import add_dataset, dataset_diff
from taut.errors import NotFound
from taut.home import Home


def add(home: Home, text: str) -> None:
    (home.project / "t.csv").write_text(text)
    add_dataset(home, home.project / "t.csv")


def test_columns_that_came_went_and_moved_are_told(home: Home):
    add(home, "same,gone,x\n1,a,1\n2,b,2\n")
    add(home, "same,x,new\n1,1,\n2,5,q\n")
    diff = dataset_diff(home, "t")
    assert (diff.old, diff.new, diff.modified, diff.rows) == (1, 2, (".",), (2, 2))
    changes = {change.name: (change.old, change.new) for change in diff.columns}
    assert set(changes) == {"gone", "x", "new"}
    assert changes["gone"][1] is None
    assert changes["new"][0] is None
    old, new = changes["x"]
    assert old is not None
    assert new is not None
    assert (old.mean, new.mean) == (1.5, 3.0)


def test_equal_versions_differ_in_nothing(home: Home):
    add(home, "a\n1\n")
    add(home, "a\n2\n")
    add(home, "a\n1\n")
    diff = dataset_diff(home, "t", 1, 3)
    assert (diff.added, diff.removed, diff.modified, diff.columns) == ((), (), (), ())


def test_a_folder_of_tables_is_compared_as_one_table(home: Home):
    (home.project / "d").mkdir()
    (home.project / "d" / "1.csv").write_text("a\n1\n")
    add_dataset(home, home.project / "d")
    (home.project / "d" / "2.csv").write_text("a\n3\n")
    add_dataset(home, home.project / "d")
    diff = dataset_diff(home, "d", 1, 2)
    assert (diff.added, diff.modified, diff.rows, diff.size_bytes) == (("2.csv",), (), (1, 2), (4, 8))
    assert [change.name for change in diff.columns] == ["a"]


def test_before_the_first_version_there_is_none(home: Home):
    add(home, "a\n1\n")
    with pytest.raises(NotFound, match="no version before 1"):
        dataset_diff(home, "t")
    with pytest.raises(NotFound, match="no version 5"):
        dataset_diff(home, "t", 1, 5)
