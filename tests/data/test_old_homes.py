"""Versions of before content was named by MD5: their bytes are in the home, by SHA-256; they stay what they were."""

import hashlib
import io
import shutil
from pathlib import Path

import pytest

from taut.data import (
    add_dataset,
    checkout_dataset,
    dataset_diff,
    dataset_status,
    find_versions,
    list_datasets,
    record_dataset,
)  # fmt: skip
from taut.data.workspace.tree import tree_bytes
from taut.errors import Corrupt
from taut.home import Home
from taut.records import DatasetVersion, TreeFile

FILES = {"a": b"a1", "sub/b": b"b1"}


def add_as_before(home: Home, name: str, files: dict[str, bytes]) -> DatasetVersion:
    """What `add` did: the bytes into the home, both digests into the tree."""
    listed = []
    for path, data in files.items():
        (home.project / name / path).parent.mkdir(parents=True, exist_ok=True)
        (home.project / name / path).write_bytes(data)
        oid = home.objects.put(io.BytesIO(data))
        listed.append(TreeFile(path, oid, hashlib.md5(data).hexdigest(), len(data)))
    tree = home.objects.put(io.BytesIO(tree_bytes(listed)))
    return record_dataset(home, name, path=name, tree=tree)


@pytest.fixture
def old(home: Home) -> DatasetVersion:
    return add_as_before(home, "tree", FILES)


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_its_tree_has_the_name_that_it_always_had(old: DatasetVersion):
    listed = ",".join(
        f'{{"path":"{path}","oid":"{hashlib.sha256(data).hexdigest()}","md5":"{hashlib.md5(data).hexdigest()}",'
        f'"size_bytes":{len(data)}}}'
        for path, data in FILES.items()
    )
    assert old.tree == hashlib.sha256(f"[{listed}]".encode()).hexdigest()


def test_the_same_content_again_is_that_version(home: Home, old: DatasetVersion):
    assert add_dataset(home, home.project / "tree") == old
    assert list_datasets(home) == [old]
    assert dataset_status(home, home.project)[0].state == "unchanged"


def test_it_comes_back_from_the_home_though_no_cache_has_it(home: Home, old: DatasetVersion):
    shutil.rmtree(home.project / "tree")
    checkout_dataset(home, "tree", 1)
    assert read(home.project / "tree") == FILES


def test_it_is_compared_with_a_newer_one_and_found_by_either_digest(home: Home, old: DatasetVersion):
    (home.project / "tree" / "a").write_text("a2")
    assert add_dataset(home, home.project / "tree").number == 2
    assert dataset_diff(home, "tree", 1, 2).modified == ("a",)
    digests = [hashlib.md5(b"a1").hexdigest(), hashlib.sha256(b"a1").hexdigest(), hashlib.md5(b"b1").hexdigest()]
    found = find_versions(home, digests)
    assert {digest: set(found[digest]) for digest in digests} == {
        digests[0]: {"tree@1"}, digests[1]: {"tree@1"}, digests[2]: {"tree@1", "tree@2"},
    }  # fmt: skip
    checkout_dataset(home, "tree", 1)
    assert read(home.project / "tree") == FILES
    checkout_dataset(home, "tree", 2)
    assert read(home.project / "tree") == {**FILES, "a": b"a2"}


def test_what_the_home_keeps_of_it_may_be_overwritten_in_the_workspace(home: Home, old: DatasetVersion):
    other = add_as_before(home, "tree", {"a": b"a2", "sub/b": b"b1"})
    assert other.number == 2
    checkout_dataset(home, "tree", 1)  # Its "a2" is in no cache, but in the home.
    assert read(home.project / "tree") == FILES


def test_a_damaged_object_of_it_is_named_and_a_damaged_cache_is_healed_from_it(home: Home, old: DatasetVersion):
    oid, md5 = hashlib.sha256(b"a1").hexdigest(), hashlib.md5(b"a1").hexdigest()
    checkout_dataset(home, "tree", 1, home.project / "copy")
    for place in (home.project / ".taut" / "cache" / "files" / "md5" / md5[:2] / md5[2:],):
        place.chmod(0o644)
        place.write_bytes(b"XX")
    checkout_dataset(home, "tree", 1, home.project / "second")
    assert read(home.project / "second") == FILES
    shutil.rmtree(home.project / ".taut" / "cache")
    stored = home.project / ".taut" / "objects" / oid[:2] / oid[2:]
    stored.chmod(0o644)
    stored.write_bytes(b"XX")
    with pytest.raises(Corrupt, match=f"object {oid[:12]} in .*third/a, is damaged"):
        checkout_dataset(home, "tree", 1, home.project / "third")
    assert not (home.project / "third").exists()
