"""Names given to many files at once: whole folders where nothing is in the way, file by file where there is."""

import os
from pathlib import Path

import pytest

from taut.data.workspace import bulk
from taut.data.workspace.digests import md5_of
from taut.data.workspace.packed import DAMAGED, DONE, TARGET, packed_digests, packed_names
from taut.data.workspace.whole import clear_beside, move_shards, staged_beside

NAMES = ["ab1", "ab2", "cd3.dir"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in NAMES:
        place = tmp_path / "staging" / name[:2] / name[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def moved(root: Path, names: list[str]) -> set[str]:
    shards = move_shards(f"{root.parent}/staging", str(root), names)
    return {os.path.relpath(shard, root) for shard in shards}


def found(root: Path) -> dict[str, str]:
    return {path.parent.name + path.name: path.read_text() for path in root.glob("*/*")}


def test_folders_that_are_not_there_are_moved_whole(root):
    inode = (root.parent / "staging" / "ab").stat().st_ino
    assert moved(root, NAMES) == {"ab", "cd"}
    assert found(root) == {name: name for name in NAMES}
    assert (root / "ab").stat().st_ino == inode
    assert moved(root, []) == set()


def test_folders_that_are_there_keep_what_they_have(root):
    (root / "ab").mkdir()
    (root / "ab" / "0").write_text("ab0")
    (root / "cd").mkdir()
    assert moved(root, NAMES) == {"ab", "cd"}
    assert found(root) == {name: name for name in ["ab0", *NAMES]}


def test_a_folder_that_is_a_link_stays_one(root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (root / "ab").symlink_to(tmp_path / "elsewhere")
    moved(root, NAMES)
    assert (root / "ab").is_symlink()
    assert found(root) == {name: name for name in NAMES}


def test_what_is_staged_beside_goes_with_the_block_and_after_a_kill(tmp_path):
    target = tmp_path / "data[1]"
    with staged_beside(target) as staged:
        staged.mkdir()
        (staged / "file").write_text("half")
        clear_beside(target)
        assert staged.exists(), "its process lives"
    assert not staged.exists()
    left = tmp_path / ".data[1].taut-999999:1"
    left.mkdir()
    other = tmp_path / ".data1.taut-999999:1"
    other.mkdir()
    clear_beside(target)
    assert (left.exists(), other.exists()) == (False, True)


def test_a_store_that_is_not_whole_yet_is_written_to_directly(tmp_path, kind):
    contents = [b"", b"small", b"other", b"large" * 500_000, b"no folder"]
    md5s = [md5_of(data) for data in contents]
    for name in ("source", "store", "target"):
        (tmp_path / name).mkdir()
    for number, data in enumerate(contents):
        (tmp_path / "source" / str(number)).write_bytes(b"not" if number == 2 else data)
    for md5 in md5s[:4]:
        (tmp_path / "store" / md5[:2]).mkdir(exist_ok=True)
    names = packed_names(map(str, range(len(contents))))
    told = bulk.bring(
        len(contents), f"{tmp_path}/source", names, digests=packed_digests(md5s), stores=((f"{tmp_path}/store", None),),
        target_base=f"{tmp_path}/target", targets=names, go_on=True, threads=1,
    )  # fmt: skip
    codes = list(told.code_list())
    assert codes[:4] == [DONE, DONE, DAMAGED, DONE]
    assert codes[4] > TARGET
    assert dict(told.problems()) == {2: codes[2], 4: codes[4]}
    store = {path.parent.name + path.name: path.read_bytes() for path in (tmp_path / "store").glob("*/*")}
    assert store == {md5s[number]: contents[number] for number in (0, 1, 3)}
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == ["0", "1", "3"]
    kept = (tmp_path / "store" / md5s[1][:2] / md5s[1][2:]).stat()
    assert told.stamp_of(1) == (kept.st_size, kept.st_mtime_ns, kept.st_ino)
    with pytest.raises(ValueError, match="digests"):
        bulk.bring(1, f"{tmp_path}/source", b"0\0", stores=((f"{tmp_path}/store", None),))
