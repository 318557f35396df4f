"""Whatever bytes of a store are damaged: it is named, no wrong byte is served, and what can be brought back is."""

import json
import os
import random
import tempfile
from pathlib import Path

import pytest

from taut.data.exchange.remote import Content
from taut.data.store import open_store
from taut.data.store.stores import files_of
from taut.errors import Corrupt, Denied, Invalid, NotFound, Unavailable
from tests.data.store.damages import NOBODY, WEIGHTS, Damager, give_to_nobody, read_all
from tests.data.store.scene import (
    BAR,
    MIB,
    again,
    content,
    contents,
    edited,
    fetched,
    flipped,
    key_in,
    new_store,
    noise,
    objects,
    overwrite,
    table,
)

TRIES = 250
MEND_EACH = 5
MEMORY = "/dev/shm"  # Where a sync costs nothing: what is under test is not the disk.


def filled(folder, *, is_plain=False):
    """A store with small contents, a cut one and a chain of deltas; and what was pushed."""
    store = new_store(folder, is_plain=is_plain)
    lines = table(400)
    first = content(folder / "files", b"".join(lines))
    second = content(folder / "files", b"".join(edited(lines, 0.02)), first.digest)
    third = content(folder / "files", b"".join(edited(lines, 0.02, seed=5)), second.digest)
    pushed = [*contents(folder / "files", [b"", b"a", noise(3000), b"words " * 500]), first, second, third]
    store.push(pushed[:4], BAR)
    store.push(pushed[4:5], BAR)  # A version after it is another push, and so other objects.
    store.push(pushed[5:], BAR)
    return store, pushed


def opened(folder, is_plain):
    return open_store(str(folder / "store")) if is_plain else again(folder)


def served(store, pushed, folder) -> int:
    """How many contents come; each that does is right."""
    came = 0
    for one in pushed:
        out = folder / "served"
        out.unlink(missing_ok=True)
        try:
            store.pull({one.digest: out}, BAR)
        except (Corrupt, NotFound, Denied):
            assert not out.exists()
            continue
        assert out.read_bytes() == one.path.read_bytes()
        came += 1
    return came


def look(store, kind, touched, pushed, folder, chance):
    """A damaged store: it is named, what comes is right, whole or in part, and of what has a copy all comes."""
    checked = store.fsck()
    named = {damage.object for damage in checked.damages} | {*checked.unnamed, *checked.single}
    # Old indexes in both places are good ones: they name what is gone only where no newer one tells of another place.
    assert named & set(touched) or kind == "replay_pair", (touched, named)
    came = served(store, pushed, folder)
    if not kind.startswith("replay") and not any(key.startswith("packs/") for key in touched):
        assert came == len(pushed), touched
    one = chance.choice(pushed)
    start, length = chance.randrange(one.size_bytes + 1), chance.randrange(1, 4000)
    try:
        with store.open_range(one.digest, start, length) as stream:
            assert stream.read() == one.path.read_bytes()[start : start + length]
    except (Corrupt, NotFound, Denied):
        assert came < len(pushed)


def mend(store, pushed, folder):
    """Bring a damaged store back from the files: then it is whole, and everything comes."""
    store.repair(lambda digest: folder / "files" / digest)
    assert store.fsck().damages == []
    assert served(store, pushed, folder) == len(pushed)


def aged(folder, *, is_plain):
    """A store that was collected and has a new key; what was pushed and kept, and its objects before all that."""
    store, pushed = filled(folder, is_plain=is_plain)
    store.push(contents(folder / "files", [noise(900, 5), b"more words " * 90]), BAR)
    older = read_all(folder / "store")
    store.gc([one.digest for one in pushed], young_s=0)
    later = contents(folder / "files", [noise(800, 6)])
    if not is_plain:
        (folder / "store.key").unlink()
        store.rotate(key_in(folder))
    store.push(later, BAR)
    return Damager(folder / "store", older), [*pushed, *later]


def damage_and_check(tries, *, is_plain, seed):
    """Damage a store so many times; a user who may not do everything looks, where this one may become that."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as name:
        folder = Path(name)
        damager, pushed = aged(folder, is_plain=is_plain)
        is_root = os.geteuid() == 0
        if is_root:
            opened(folder, is_plain).fsck()  # What is imported on the way is read before.
            served(opened(folder, is_plain), pushed, folder)
            (folder / "served").unlink()
            give_to_nobody(folder)
            os.seteuid(NOBODY)
        try:
            for turn in range(tries):
                (kind,) = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
                touched = damager.damage(kind, chance)
                if touched:
                    store = opened(folder, is_plain)
                    look(store, kind, touched, pushed, folder, chance)
                    if turn % MEND_EACH == 0 and kind != "make_folder":
                        mend(store, pushed, folder)
                damager.undo()
            assert opened(folder, is_plain).fsck().damages == []
        finally:
            if is_root:
                os.seteuid(0)


@pytest.mark.parametrize("is_plain", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["encrypted", "plain"])
def test_damage_anywhere_is_named_and_nothing_wrong_is_served(is_plain):
    damage_and_check(TRIES // 3, is_plain=is_plain, seed=is_plain)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("is_plain", [False, True], ids=["encrypted", "plain"])
def test_damage_anywhere_in_as_many_tries_as_are_asked_for(is_plain):
    """Ten thousand take some minutes: DAMAGE_TRIES=10000."""
    tries = int(os.environ.get("DAMAGE_TRIES", "300"))
    damage_and_check(tries // 2, is_plain=is_plain, seed=10 + is_plain)


def packs_of(folder):
    return {key: path for key, path in objects(folder).items() if key.startswith("packs/")}


def test_what_depends_on_a_damaged_pack_is_told_and_the_rest_is_served(tmp_path):
    store, pushed = filled(tmp_path)
    first = pushed[4]
    piece = store._load().contents[first.digest].pieces[0]
    path = tmp_path / "store" / "packs" / store._load().pieces[piece].pack[:2] / store._load().pieces[piece].pack[2:]
    overwrite(path, flipped(path.read_bytes(), 500))
    checked = again(tmp_path).fsck()
    assert [damage.object for damage in checked.damages] == [str(path.relative_to(tmp_path / "store"))]
    assert "does not verify" in checked.damages[0].reason
    assert set(checked.damages[0].contents) == {one.digest for one in pushed[4:]}
    assert served(again(tmp_path), pushed, tmp_path) == 4


def test_a_pack_that_is_gone_is_told(tmp_path):
    _, pushed = filled(tmp_path)
    for path in packs_of(tmp_path).values():
        path.unlink()
    checked = again(tmp_path).fsck()
    assert {damage.reason for damage in checked.damages} == {"it is gone"}
    assert served(again(tmp_path), pushed, tmp_path) == 1  # The empty one needs no pack.


@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_a_damaged_pack_comes_back_from_the_files(tmp_path, how):
    _, pushed = filled(tmp_path)
    for path in packs_of(tmp_path).values():
        if how == "gone":
            path.unlink()
        else:
            data = path.read_bytes()
            overwrite(path, flipped(data, len(data) - 5) if how == "flip" else data[: len(data) // 2])
    store = again(tmp_path)
    done = store.repair(lambda digest: tmp_path / "files" / digest)
    assert done.lost == ()
    assert set(done.restored) == {one.digest for one in pushed[1:]}
    assert again(tmp_path).fsck().damages == []
    assert served(again(tmp_path), pushed, tmp_path) == len(pushed)


def test_a_pack_comes_back_from_another_remote(tmp_path):
    store, pushed = filled(tmp_path / "one")
    other = new_store(tmp_path / "two")
    other.push(pushed, BAR)
    for path in packs_of(tmp_path / "one").values():
        path.unlink()
    (tmp_path / "fetched").mkdir()
    done = store.repair(files_of(other, tmp_path / "fetched"))
    assert done.lost == ()
    assert served(again(tmp_path / "one"), pushed, tmp_path) == len(pushed)


def test_a_later_version_comes_back_whole_where_its_ancestor_is_lost(tmp_path):
    _, pushed = filled(tmp_path)
    third = pushed[6]
    for path in packs_of(tmp_path).values():
        path.unlink()
    done = again(tmp_path).repair(lambda digest: third.path if digest == third.digest else None)
    assert done.restored == (third.digest,)
    store = again(tmp_path)
    assert set(store.listed()) == {third.digest, pushed[0].digest}
    assert fetched(store, [third.digest], tmp_path / "out")[third.digest] == third.path.read_bytes()
    assert store.fsck().damages == []


def test_what_cannot_be_brought_back_is_missing_and_pushed_anew(tmp_path):
    _, pushed = filled(tmp_path)
    for path in packs_of(tmp_path).values():
        path.unlink()
    done = again(tmp_path).repair(lambda digest: None)
    assert set(done.lost) == {one.digest for one in pushed[1:]}
    store = again(tmp_path)
    assert store.missing([one.digest for one in pushed]) == set(done.lost)
    store.push(pushed, BAR)
    assert served(store, pushed, tmp_path) == len(pushed)
    assert store.fsck().damages == []


def test_a_source_with_other_bytes_brings_nothing_back(tmp_path):
    _, pushed = filled(tmp_path)
    for path in packs_of(tmp_path).values():
        path.unlink()
    (tmp_path / "other").write_bytes(noise(50_000, seed=8))
    done = again(tmp_path).repair(lambda digest: tmp_path / "other")
    assert done.restored == ()
    assert set(again(tmp_path).listed()) == {pushed[0].digest}


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    store = new_store(tmp_path)
    pushed = contents(tmp_path / "files", [noise(1000)])
    (tmp_path / "store" / "packs").write_text("no folder")
    with pytest.raises(Unavailable, match="cannot be written"):
        store.push(pushed, BAR)
    (tmp_path / "store" / "packs").unlink()
    store.push(pushed, BAR)
    assert served(store, pushed, tmp_path) == 1


def test_one_damaged_frame_costs_only_what_lies_in_it(tmp_path):
    store = new_store(tmp_path)
    pushed = contents(tmp_path / "files", [noise(100_000, at) for at in range(20)])
    store.push(pushed, BAR)
    (path,) = packs_of(tmp_path).values()
    overwrite(path, flipped(path.read_bytes(), 1_000_000))
    (damage,) = again(tmp_path).fsck().damages
    assert 1 <= len(damage.contents) <= 4
    assert served(again(tmp_path), pushed, tmp_path) == 20 - len(damage.contents)
    done = again(tmp_path).repair(lambda digest: None)
    assert set(done.lost) == set(damage.contents)
    assert again(tmp_path).fsck().damages == []
    assert served(again(tmp_path), pushed, tmp_path) == 20 - len(damage.contents)


def test_copies_are_written_again_from_each_other(tmp_path):
    _, pushed = filled(tmp_path)
    named = set()
    for turn, (key, path) in enumerate(objects(tmp_path).items()):
        if key.startswith("index/") or key == "store.json":
            overwrite(path, flipped(path.read_bytes(), 30 + turn))
            named.add(key)
    assert {damage.object for damage in again(tmp_path).fsck().damages} == named
    assert set(again(tmp_path).repair(lambda digest: None).mended) == named
    assert again(tmp_path).fsck().damages == []
    assert served(again(tmp_path), pushed, tmp_path) == len(pushed)


def test_an_index_without_a_good_copy_is_told_and_its_contents_pushed_again(tmp_path):
    _, pushed = filled(tmp_path)
    for key, path in objects(tmp_path).items():
        if key.startswith(("index/", "mirror/")):
            overwrite(path, path.read_bytes()[:150])
    store = again(tmp_path)
    assert all(damage.object.startswith(("index/", "mirror/")) for damage in store.fsck().damages)
    with pytest.raises(Corrupt, match=f"not fetched: {pushed[1].digest}: index/"):
        store.pull({pushed[1].digest: tmp_path / "out"}, BAR)
    lost = store.repair(lambda digest: None).lost
    assert len(lost) == 4
    assert all(name.startswith("index/") for name in lost)
    store.push(pushed, BAR)
    assert served(again(tmp_path), pushed, tmp_path) == len(pushed)


def test_objects_that_change_places_are_found(tmp_path):
    _, pushed = filled(tmp_path)
    one, two, *_ = packs_of(tmp_path).values()
    first, second = one.read_bytes(), two.read_bytes()
    overwrite(one, second)
    overwrite(two, first)
    assert len(again(tmp_path).fsck().damages) == 2
    assert served(again(tmp_path), pushed, tmp_path) < len(pushed)


def test_an_older_state_of_an_object_does_not_pass_for_another_store_s(tmp_path):
    _, pushed = filled(tmp_path / "one")
    filled(tmp_path / "two")
    ours, theirs = packs_of(tmp_path / "one"), packs_of(tmp_path / "two")
    for path, other in zip(ours.values(), theirs.values(), strict=True):
        overwrite(path, other.read_bytes())
    assert served(again(tmp_path / "one"), pushed, tmp_path) == 1


def test_a_store_of_a_newer_version_is_told(tmp_path):
    new_store(tmp_path)
    for name in ("store.json", "store.copy.json"):
        path = tmp_path / "store" / name
        told = json.loads(path.read_bytes()) | {"version": 3, "something": "new"}
        overwrite(path, json.dumps(told).encode())
    with pytest.raises(Invalid, match="has a newer format") as error:
        again(tmp_path)
    assert error.value.hint == "update taut"


@pytest.mark.parametrize("data", [b"{}", b"", b'{"\xb4": 1}'], ids=["other", "empty", "no UTF-8"])
def test_a_format_without_a_good_copy_is_told(tmp_path, data):
    new_store(tmp_path)
    for name in ("store.json", "store.copy.json"):
        overwrite(tmp_path / "store" / name, data)
    with pytest.raises(Corrupt, match="is damaged, and so is its copy"):
        again(tmp_path)


def test_a_damaged_note_is_named(tmp_path):
    store, pushed = filled(tmp_path)
    store.missing([pushed[0].digest])
    key, path = next((key, path) for key, path in objects(tmp_path).items() if key.startswith("promises/"))
    overwrite(path, flipped(path.read_bytes(), 120))
    assert [damage.object for damage in again(tmp_path).fsck().damages] == [key]
    with pytest.raises(Corrupt, match="promises/"):
        again(tmp_path).gc([])
    assert served(again(tmp_path), pushed, tmp_path) == len(pushed)


def test_a_range_of_a_damaged_content_is_not_served(tmp_path):
    store = new_store(tmp_path)
    one = content(tmp_path / "files", noise(6 * MIB))
    store.push([one], BAR)
    (path,) = packs_of(tmp_path).values()
    overwrite(path, flipped(path.read_bytes(), 5 * MIB))
    with again(tmp_path).open_range(one.digest, 0, 1000) as stream:
        assert stream.read() == noise(6 * MIB)[:1000]
    with again(tmp_path).open_range(one.digest) as stream, pytest.raises(Corrupt, match=r"packs/.* is damaged"):
        stream.read()


def test_a_bucket_is_checked_and_repaired_too(tmp_path, s3_url):
    from taut.data.store import create_store
    from taut.data.store.connecting import connect_place

    store = create_store(s3_url, key_in(tmp_path))
    pushed = contents(tmp_path / "files", [noise(5000, at) for at in range(5)])
    store.push(pushed, BAR)
    place = connect_place(s3_url)
    (pack,) = place.found("packs/")
    place.put(pack.key, flipped(bytes(place.read(pack.key)), 3000))
    assert [damage.object for damage in store.fsck().damages] == [pack.key]
    assert store.repair(lambda digest: tmp_path / "files" / digest).lost == ()
    assert store.fsck().damages == []
    assert store.gc([pushed[0].digest], young_s=0).contents == 4
    assert set(store.listed()) == {pushed[0].digest}
    assert isinstance(pushed[0], Content)
