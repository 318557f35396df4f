"""The verbs of dataset versions: finding, misspelling, permissions, the way over the wire."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor

import pytest

from taut.data import add_dataset, find_dataset, find_versions, list_datasets, read_tree, record_dataset
from taut.errors import Conflict, Corrupt, Denied, Invalid, NotFound
from taut.ground import wire
from taut.ground.access import Actor
from taut.ground.objects import oid_of
from taut.home import Home
from taut.records import DatasetVersion, TreeFile


def added(home: Home, name: str, text: str) -> DatasetVersion:
    (home.project / name).write_text(text)
    return add_dataset(home, home.project / name)


def test_a_misspelt_name_is_answered_with_the_nearest(home: Home):
    added(home, "flights.csv", "a\n1\n")
    with pytest.raises(NotFound, match="no dataset 'fligths'; did you mean 'flights'") as missing:
        find_dataset(home, "fligths")
    assert missing.value.hint == "taut data log flights"


def test_a_name_like_no_other_is_answered_with_those_there_are(home: Home):
    with pytest.raises(NotFound, match="known are none yet"):
        list_datasets(home, "zzz")
    added(home, "flights.csv", "a\n1\n")
    with pytest.raises(NotFound, match="known are flights"):
        list_datasets(home, "zzz")


def test_a_number_that_is_not_there_is_answered_with_the_range(home: Home):
    added(home, "flights.csv", "a\n1\n")
    added(home, "flights.csv", "a\n2\n")
    with pytest.raises(NotFound, match="'flights' has no version 7; it has 1 to 2"):
        find_dataset(home, "flights@7")
    with pytest.raises(Invalid, match="names no version; write it as flights@3"):
        find_dataset(home, "flights@latest")
    assert find_dataset(home, "flights").number == 2


def test_a_files_digest_leads_to_every_version_that_holds_it(home: Home):
    (home.project / "tree").mkdir()
    (home.project / "tree" / "same.txt").write_text("same")
    (home.project / "tree" / "other.txt").write_text("1")
    add_dataset(home, home.project / "tree")
    (home.project / "tree" / "other.txt").write_text("2")
    home.clock.pass_ms(1)  # type: ignore[attr-defined]  # The fixture's clock is one that is set.
    add_dataset(home, home.project / "tree")
    same, two, nothing = (hashlib.md5(text).hexdigest() for text in (b"same", b"2", b"nothing"))
    assert find_versions(home, [same, two, nothing]) == {same: ["tree@2", "tree@1"], two: ["tree@2"]}
    assert find_versions(home, []) == {}


def test_a_tree_whose_files_are_not_stored_is_not_recorded(home: Home):
    files = [TreeFile(".", oid_of(b"elsewhere"), "0" * 32, 9)]
    tree = home.objects.put(io.BytesIO(wire.encode(files)))
    with pytest.raises(Conflict, match="1 files of the tree"):
        record_dataset(home, "lost", path="lost", tree=tree)
    assert list_datasets(home) == []


def test_an_object_that_is_no_list_of_files_is_no_tree(home: Home):
    tree = home.objects.put(io.BytesIO(b"hello"))
    with pytest.raises(Invalid, match=r"the tree .* cannot be read"):
        record_dataset(home, "hello", path="hello", tree=tree)


def test_a_damaged_tree_is_named_and_not_used(home: Home):
    version = added(home, "flights.csv", "a\n1\n")
    (stored,) = (home.folder / "objects").glob(f"{version.tree[:2]}/{version.tree[2:]}")  # type: ignore[operator]  # A local home has a folder.
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes()[:-1])
    with pytest.raises(Corrupt, match=version.tree[:12]):
        read_tree(home, version.tree)


@pytest.mark.parametrize(("role", "may_record"), [("viewer", False), ("auditor", False), ("data-scientist", True)])
def test_recording_needs_the_right_to_and_looking_another(home: Home, role: str, may_record: bool):
    tree = read_tree_oid(home)
    guest = home.as_actor(Actor("bo", role))
    if may_record:
        assert record_dataset(guest, "mine", path="mine", tree=tree).actor == "bo"
    else:
        with pytest.raises(Denied, match="dataset:write"):
            record_dataset(guest, "mine", path="mine", tree=tree)
    assert len(list_datasets(guest)) == 1 + may_record


def read_tree_oid(home: Home) -> str:
    return added(home, "seed.csv", "a\n1\n").tree


def test_the_same_arguments_as_json_give_the_same_version(home: Home):
    tree = read_tree_oid(home)
    answer = record_dataset.receive(home, wire.encode({"name": "copy", "path": "copy", "tree": tree, "rows": 1}))
    assert wire.decode(answer, DatasetVersion) == find_dataset(home, "copy@1")
    assert wire.decode(list_datasets.receive(home, b"{}"), list[DatasetVersion]) == list_datasets(home)


def test_versions_recorded_at_once_are_numbered_one_by_one(home: Home):
    trees = []
    for number in range(6):
        oid = home.objects.put(io.BytesIO(str(number).encode()))
        trees.append(home.objects.put(io.BytesIO(wire.encode([TreeFile(".", oid, "0" * 32, 1)]))))
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda tree: record_dataset(home, "busy", path="busy", tree=tree), trees))
    assert sorted(version.number for version in made) == [1, 2, 3, 4, 5, 6]
    assert {version.tree for version in list_datasets(home, "busy")} == set(trees)
