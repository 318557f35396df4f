"""Status: what changed since the snapshot, at the price of one stat a file."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from taut.data import add_dataset, checkout_dataset, dataset_status
from taut.data.workspace.bulk import bring
from taut.data.workspace.index import UNTRUSTED, open_index
from taut.errors import Invalid
from taut.home import Home

LONG_AGO_NS = 1_600_000_000_000_000_000


@pytest.fixture
def tree(home: Home) -> Path:
    folder = home.project / "tree"
    (folder / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (folder / name).write_text(name)
        os.utime(folder / name, ns=(LONG_AGO_NS, LONG_AGO_NS))
    return folder


def test_right_after_adding_nothing_has_changed(home: Home, tree: Path):
    add_dataset(home, tree)
    (state,) = dataset_status(home, home.project)
    assert (state.path, state.dataset, state.state, state.newest) == ("tree", "tree@1", "unchanged", 1)


def test_every_file_that_came_went_or_changed_is_named(home: Home, tree: Path):
    add_dataset(home, tree)
    (tree / "a").write_text("A")
    (tree / "sub" / "c").unlink()
    (tree / "new").write_text("new")
    (state,) = dataset_status(home, home.project)
    assert (state.state, state.added, state.removed, state.modified) == ("modified", ("new",), ("sub/c",), ("a",))


def test_a_change_that_keeps_size_and_time_is_seen(home: Home, tree: Path):
    add_dataset(home, tree)
    (tree / "a").write_text("A")
    os.utime(tree / "a", ns=(LONG_AGO_NS, LONG_AGO_NS))
    (state,) = dataset_status(home, home.project)
    assert state.modified == ("a",)


def test_a_file_with_the_stamp_of_its_last_reading_is_not_read_again(home: Home, tree: Path, monkeypatch):
    add_dataset(home, tree)
    read: list[bytes] = []

    def noted(count, base, names, **rest):
        read.append(names)
        return bring(count, base, names, **rest)

    monkeypatch.setattr("taut.data.workspace.snapshot.bring", noted)
    assert dataset_status(home, home.project)[0].state == "unchanged"
    assert read == []
    (tree / "b").write_text("changed")
    assert dataset_status(home, home.project)[0].modified == ("b",)
    assert read == [b"b\0"]


def test_a_file_written_only_just_now_is_not_trusted_by_its_time(home: Home, tree: Path):
    now_ns = time.time_ns()
    for name, age_ns in {"a": 0, "b": 5_000_000, "sub/c": now_ns % 1_000_000_000}.items():
        os.utime(tree / name, ns=(now_ns, now_ns - age_ns))
    add_dataset(home, tree)
    assert home.folder is not None
    with open_index(str(home.folder)) as index:
        known = index.known(str(tree))
    assert known is not None
    young = {path for path, (stamp, _) in known.by_path().items() if stamp[1] == UNTRUSTED}
    assert young >= {"sub/c"}  # Of whole seconds: such a file system may count in steps of two.
    (tree / "a").write_text("b")
    os.utime(tree / "a", ns=(now_ns, now_ns))
    assert dataset_status(home, home.project)[0].modified == ("a",)


@pytest.mark.parametrize("damage", [b"", b"not a database at all" * 100])
def test_a_damaged_index_costs_time_and_nothing_else(home: Home, tree: Path, damage: bytes):
    add_dataset(home, tree)
    assert home.folder is not None
    (home.folder / "index.db").write_bytes(damage)
    assert dataset_status(home, home.project)[0].state == "unchanged"


def test_missing_data_and_an_older_version_are_told(home: Home, tree: Path):
    add_dataset(home, tree)
    (tree / "a").write_text("2")
    add_dataset(home, tree)
    checkout_dataset(home, "tree", 1)
    (state,) = dataset_status(home, home.project)
    assert (state.state, state.number, state.newest) == ("unchanged", 1, 2)
    for path in (tree / "a", tree / "b", tree / "sub" / "c"):
        path.unlink()
    (tree / "sub").rmdir()
    tree.rmdir()
    (state,) = dataset_status(home, home.project)
    assert (state.state, state.removed) == ("deleted", ("a", "b", "sub/c"))


def test_what_came_into_an_empty_folder_is_named(home: Home):
    folder = home.project / "none"
    folder.mkdir()
    add_dataset(home, folder)
    (folder / "new").touch()
    (state,) = dataset_status(home, home.project)
    assert (state.state, state.added) == ("modified", ("new",))


def test_a_pointer_of_dvc_alone_is_held_against_its_md5(home: Home):
    (home.project / "x").write_text("x")
    pointer = home.project / "x.dvc"
    pointer.write_text("outs:\n- md5: 9dd4e461268c8034f5c8564e155c67a6\n  size: 1\n  hash: md5\n  path: x\n")
    (state,) = dataset_status(home, home.project)
    assert (state.state, state.name, state.number, state.newest) == ("unchanged", "", 0, 0)
    (home.project / "x").write_text("y")
    assert dataset_status(home, home.project)[0].state == "modified"
    pointer.write_text("outs:\n- etag: 9dd4e461\n  path: x\n")
    assert dataset_status(home, home.project)[0].state == "unknown"


def test_a_pointer_of_dvc_2_is_held_against_the_digest_with_line_ends_changed(home: Home):
    pointer = home.project / "x.dvc"
    for text, digest in {b"a\r\nb": b"a\nb", b"\0\r\n": b"\0\r\n", b"": b""}.items():
        (home.project / "x").write_bytes(text)
        pointer.write_text(f"outs:\n- md5: {hashlib.md5(digest).hexdigest()}\n  path: x\n")
        assert dataset_status(home, home.project)[0].state == "unchanged", text
        (home.project / "x").write_bytes(text + b"!")
        assert dataset_status(home, home.project)[0].state == "modified", text


@pytest.mark.parametrize(("text", "said"), [("outs: [\n", r"x\.dvc:2:1"), ("outs: []\n", "points at nothing")])
def test_a_broken_pointer_is_named(home: Home, text: str, said: str):
    (home.project / "x.dvc").write_text(text)
    with pytest.raises(Invalid, match=said):
        dataset_status(home, home.project)


def test_virtual_environments_and_hidden_stores_are_not_searched(home: Home):
    for folder in (".git", ".dvc", "env"):
        (home.project / folder).mkdir()
        (home.project / folder / "x.dvc").write_text("outs: [")
    (home.project / "env" / "pyvenv.cfg").touch()
    assert dataset_status(home, home.project) == []
