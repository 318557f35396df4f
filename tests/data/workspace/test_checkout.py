"""Checkout: the very bytes back, verified, whole or not at all, and nobody's work overwritten."""

import os
from pathlib import Path

import pytest

from taut.data import add_dataset, checkout_dataset, dataset_status, find_dataset, read_tree
from taut.errors import Conflict, Corrupt, NotFound
from taut.home import Home


@pytest.fixture
def tree(home: Home) -> Path:
    folder = home.project / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("a1")
    (folder / "sub" / "b").write_text("b1")
    add_dataset(home, folder)
    (folder / "a").write_text("a2")
    (folder / "c").write_text("c2")
    add_dataset(home, folder)
    return folder


def cached(home: Home, md5: str) -> Path:
    return home.project / ".taut" / "cache" / "files" / "md5" / md5[:2] / md5[2:]


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_earlier_version_comes_back_whole_and_the_pointer_follows(home: Home, tree: Path):
    assert checkout_dataset(home, "tree", 1) == tree
    assert contents(tree) == {"a": "a1", "sub/b": "b1"}
    assert dataset_status(home, home.project)[0].number == 1
    checkout_dataset(home, "tree")
    assert contents(tree) == {"a": "a2", "c": "c2", "sub/b": "b1"}


def test_checked_out_elsewhere_it_leaves_the_project_as_it_is(home: Home, tree: Path, tmp_path: Path):
    checkout_dataset(home, "tree", 1, tmp_path / "deep" / "copy")
    assert contents(tmp_path / "deep" / "copy") == {"a": "a1", "sub/b": "b1"}
    assert dataset_status(home, home.project)[0].number == 2
    assert not (tmp_path / "deep" / "copy.dvc").exists()


def test_nothing_is_left_beside_the_data(home: Home, tree: Path):
    before = sorted(p.name for p in home.project.iterdir())
    checkout_dataset(home, "tree", 1)
    assert sorted(p.name for p in home.project.iterdir()) == before


@pytest.mark.parametrize("damage", [b"", b"XX", b"a1+"])
def test_a_damaged_object_is_named_with_its_file_and_nothing_is_written(home: Home, tree: Path, damage: bytes):
    stored = cached(home, read_tree(home, find_dataset(home, "tree@1").tree)[0].md5)
    stored.chmod(0o644)
    stored.write_bytes(damage)
    before = contents(home.project / "tree")
    with pytest.raises(Corrupt, match=f"{stored} of the cache is damaged.*, which is .*tree/a") as damaged:
        checkout_dataset(home, "tree", 1)
    assert damaged.value.hint == "taut fsck"
    assert contents(tree) == before
    assert [p.name for p in home.project.iterdir() if "taut-" in p.name] == []


def test_a_lost_object_is_named_with_its_file(home: Home, tree: Path):
    md5 = read_tree(home, find_dataset(home, "tree@1").tree)[0].md5
    cached(home, md5).unlink()
    with pytest.raises(NotFound, match=f"neither in the cache .* nor in .*: {md5[:12]}, which is .*tree/a"):
        checkout_dataset(home, "tree", 1)


def test_work_that_was_never_snapshot_is_not_overwritten_unless_forced(home: Home, tree: Path):
    (tree / "a").write_text("precious")
    with pytest.raises(Conflict, match="would be lost") as refused:
        checkout_dataset(home, "tree", 1)
    assert "taut data add" in refused.value.hint
    assert (tree / "a").read_text() == "precious"
    checkout_dataset(home, "tree", 1, force=True)
    assert (tree / "a").read_text() == "a1"


def test_what_is_there_already_is_not_written_again(home: Home, tree: Path):
    inode = (tree / "a").stat().st_ino
    checkout_dataset(home, "tree", 2)
    assert (tree / "a").stat().st_ino == inode


def test_a_file_gives_way_to_a_folder_and_back(home: Home):
    place = home.project / "thing"
    place.write_text("file")
    add_dataset(home, place)
    place.unlink()
    place.mkdir()
    (place / "x").write_text("x")
    add_dataset(home, place)
    checkout_dataset(home, "thing", 1)
    assert place.read_text() == "file"
    checkout_dataset(home, "thing", 2)
    assert contents(place) == {"x": "x"}


def test_a_reader_of_the_folder_sees_the_old_or_the_new(home: Home, tree: Path):
    held = os.open(tree, os.O_RDONLY)  # As a process that stands in the folder does.
    try:
        checkout_dataset(home, "tree", 1)
        assert (tree / "a").read_text() == "a1"
        assert os.listdir(held) == []  # The old folder was taken away whole, after the new one stood in its place.
    finally:
        os.close(held)


def test_staging_that_a_killed_checkout_left_is_cleared_away(home: Home, tree: Path):
    left = home.project / ".tree.taut-999999999:1.dead"
    left.mkdir()
    (left / "half").write_text("half")
    checkout_dataset(home, "tree", 1)
    assert not left.exists()
