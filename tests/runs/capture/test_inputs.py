"""From what was observed to what is recorded: digests, dataset versions, links, and what changed meanwhile."""

import os
from pathlib import Path

import pytest

from taut.data import add_dataset
from taut.data.workspace.digests import md5_of
from taut.ground.objects import oid_of
from taut.home import Home
from taut.runs.capture.inputs import Files, Recording, files_of
from taut.runs.capture.observed import Observed, Stamp, stamp_of


def of(home: Home, seen: Observed, *, started_ns: int = 1 << 62) -> Files:
    return files_of(home, Recording(home.project, started_ns, home.project.parent / "kept"), seen, {})


def read(*paths: Path) -> Observed:
    """As if the run had read these files just now."""
    return Observed(reads={str(path): stamp_of(str(path)) for path in paths})


def test_nothing_read_and_written_is_nothing(home: Home):
    assert of(home, Observed()) == Files((), (), (), ())


def test_inputs_carry_digest_size_and_the_version_they_belong_to(home: Home):
    (home.project / "tree").mkdir()
    (home.project / "tree" / "x.csv").write_text("a\n1\n")
    (home.project / "params.yaml").write_text("depth: 4\n")
    add_dataset(home, home.project / "tree")
    files = of(home, read(home.project / "tree" / "x.csv", home.project / "params.yaml"))
    assert [(one.path, one.size_bytes, one.dataset) for one in files.inputs] == [
        ("params.yaml", 9, ""),
        ("tree/x.csv", 4, "tree@1"),
    ]
    assert [one.oid for one in files.inputs] == [oid_of(b"depth: 4\n"), md5_of(b"a\n1\n")]
    assert files.missing == ()


def test_of_several_versions_with_the_content_the_pointers_is_named(home: Home):
    (home.project / "tree").mkdir()
    (home.project / "tree" / "same").write_text("same")
    for text in ("1", "2"):
        (home.project / "tree" / "other").write_text(text)
        add_dataset(home, home.project / "tree")
    (home.project / "copy").write_text("same")
    add_dataset(home, home.project / "copy")
    files = of(home, read(home.project / "tree" / "same", home.project / "copy"))
    assert [(one.path, one.dataset) for one in files.inputs] == [("copy", "copy@1"), ("tree/same", "tree@2")]


def test_changed_data_is_no_version(home: Home):
    (home.project / "x").write_text("1")
    add_dataset(home, home.project / "x")
    (home.project / "x").write_text("2")
    (one,) = of(home, read(home.project / "x")).inputs
    assert one.dataset == ""


def test_other_data_outside_the_project_is_named_with_its_digest_and_version(home: Home, tmp_path: Path):
    (home.project / "x").write_text("known")
    add_dataset(home, home.project / "x")
    (tmp_path / "copy").write_text("known")
    (tmp_path / "other").write_text("unknown")
    files = of(home, read(tmp_path / "copy", tmp_path / "other"))
    assert [(one.path, one.dataset, one.oid) for one in files.inputs] == [
        (str(tmp_path / "copy"), "x@1", oid_of(b"known")),
        (str(tmp_path / "other"), "", oid_of(b"unknown")),
    ]


def test_what_went_or_belongs_to_tools_is_left_out(home: Home):
    (home.project / ".git").mkdir()
    (home.project / ".git" / "index").touch()
    gone = home.project / "gone"
    gone.touch()
    seen = read(gone, home.project / ".git" / "index", home.project / ".taut" / "settings.toml")
    gone.unlink()
    assert of(home, seen, started_ns=0) == Files((), (), (), ())


def test_an_input_that_was_there_before_the_run_and_is_gone_is_named_all_the_same(home: Home):
    gone = home.project / "gone"
    gone.write_text("x")
    seen = read(gone)
    gone.unlink()
    files = of(home, seen)
    assert [(one.path, one.oid, one.changed) for one in files.inputs] == [("gone", "", True)]
    assert files.missing == ("what gone held when it was read: it was removed during the run",)


def test_a_module_of_the_project_that_was_loaded_from_its_cache_is_an_input(home: Home):
    (home.project / "__pycache__").mkdir()
    for name in ("helper.py", "__pycache__/helper.cpython-311.pyc", "__pycache__/gone.cpython-311.pyc"):
        (home.project / name).write_text("x = 1")
    seen = read(*(home.project / "__pycache__").iterdir())
    assert [(one.path, one.role) for one in of(home, seen).inputs] == [("helper.py", "code")]


def test_without_stamps_a_file_younger_than_the_run_is_named_as_changed(home: Home):
    (home.project / "x").write_text("x")
    files = of(home, Observed(reads={str(home.project / "x"): None}), started_ns=0)
    assert [(one.path, one.oid, one.changed) for one in files.inputs] == [("x", "", True)]
    assert files.missing == ("what x held when it was read: it changed during the run",)


def test_a_time_set_back_after_a_change_hides_nothing_that_the_run_wrote(home: Home):
    place = home.project / "x"
    place.write_text("1")
    before = stamp_of(str(place))
    assert before is not None
    seen = Observed(reads={str(place): before}, written={str(place): before})
    place.write_text("2")
    os.utime(place, ns=(before.mtime_ns, before.mtime_ns))
    files = of(home, seen)
    assert [(one.path, one.changed) for one in files.inputs] == [("x", True)]
    assert [one.path for one in files.outputs] == ["x"]


def test_a_copy_of_something_else_than_was_read_proves_nothing(home: Home):
    """Somebody changed the file between the run's reading and the run's writing: the copy is of what they left."""
    place = home.project / "x"
    place.write_text("3")
    (home.project.parent / "kept").mkdir()
    (home.project.parent / "kept" / "0").write_text("2")
    then, later = Stamp(1, 2, 1, 4, 5, 0o100644), Stamp(1, 2, 1, 9, 9, 0o100644)
    files = of(home, Observed(reads={str(place): then}, kept={str(place): (later, "0")}))
    assert [(one.path, one.oid, one.changed, one.kept) for one in files.inputs] == [("x", "", True, False)]


def test_a_link_is_named_with_what_it_points_to_and_the_file_too(home: Home):
    (home.project / "x").write_text("x")
    (home.project / "l").symlink_to("x")
    seen = read(home.project / "x")
    seen.typed[str(home.project / "l")] = str(home.project / "x")
    files = of(home, seen)
    assert [(one.path, one.link, one.oid) for one in files.inputs] == [
        ("l", "x", oid_of(b"x")), ("x", "", oid_of(b"x")),
    ]  # fmt: skip


def test_a_file_reached_through_a_linked_folder_has_its_name_in_the_project(home: Home, tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x").write_text("x")
    (home.project / "data").symlink_to(tmp_path / "store")
    seen = read(tmp_path / "store" / "x")
    seen.typed[str(home.project / "data" / "x")] = str(tmp_path / "store" / "x")
    assert "data/x" in [one.path for one in of(home, seen).inputs]


def test_a_link_into_the_cache_is_the_file_and_the_cache_is_none(home: Home):
    cache = home.project / ".dvc" / "cache" / "files" / "md5" / "ab"
    cache.mkdir(parents=True)
    (cache / "cd").write_text("x")
    (home.project / "x").symlink_to(cache / "cd")
    seen = read(cache / "cd")
    seen.typed[str(home.project / "x")] = str(cache / "cd")
    assert [(one.path, one.oid) for one in of(home, seen).inputs] == [("x", oid_of(b"x"))]


def test_many_files_keep_their_order_and_none_is_lost(home: Home):
    paths = [home.project / f"{number:04}" for number in range(600)]
    for path in paths:
        path.write_text(path.name)
    files = of(home, read(*paths))
    assert [one.path for one in files.inputs] == [path.name for path in paths]
    assert [one.oid for one in files.inputs] == [oid_of(path.name.encode()) for path in paths]


def test_a_file_that_cannot_be_read_is_said(home: Home):
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    (home.project / "x").write_text("x")
    (home.project / "x").chmod(0)
    files = of(home, read(home.project / "x"))
    assert files.inputs == ()
    assert files.missing[0].startswith("the digest of x: ")
