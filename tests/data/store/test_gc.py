"""Collecting takes what nothing keeps and nothing else, beside writers, after kills, while others are told things."""

import json
import secrets
import threading
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from taut.data.store import create_store, leases, make_key_file, open_store, stores
from taut.data.store.bucket import Bucket
from taut.data.store.connecting import connect_place
from taut.data.store.formats import COPY, FORMAT, Format
from taut.data.store.seal import seal
from taut.errors import Conflict, Corrupt
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
    size_of,
    table,
)


@pytest.fixture
def store(tmp_path):
    return new_store(tmp_path)


def stray(folder, names=("leases/", "marks/", "tmp/")):
    return [key for key in objects(folder) if key.startswith(names)]


def lease_of(store):
    """A writer at work, as another process would look."""
    return leases.held(store._place, store._root, leases.LEASES)


def test_what_is_kept_stays_and_the_rest_goes_with_its_bytes(store, tmp_path):
    pushed = contents(tmp_path / "files", [noise(MIB, 1), noise(MIB, 2), b"small"])
    store.push(pushed, BAR)
    done = store.gc([pushed[0].digest], young_s=0)
    assert done.contents == 2
    assert done.freed_bytes > 0.9 * MIB
    assert size_of(tmp_path) < 1.1 * MIB
    assert set(store.listed()) == {pushed[0].digest}
    assert fetched(again(tmp_path), [pushed[0].digest], tmp_path / "out")
    assert store.fsck().damages == []
    assert stray(tmp_path) == []


def test_what_is_young_stays_whatever_is_kept(store, tmp_path):
    store.push(contents(tmp_path / "files", [b"young"]), BAR)
    assert store.gc([]).contents == 0
    assert len(list(store.listed())) == 1


def test_collecting_twice_does_nothing_the_second_time(store, tmp_path):
    pushed = contents(tmp_path / "files", [noise(MIB), b"small"])
    store.push(pushed, BAR)
    store.gc([pushed[0].digest], young_s=0)
    before = objects(tmp_path).keys()
    assert store.gc([pushed[0].digest], young_s=0).contents == 0
    assert objects(tmp_path).keys() == before


def test_an_empty_store_is_collected_too(store):
    assert store.gc([], young_s=0).contents == 0


def test_age_outlives_a_collection(store, tmp_path):
    one, two = contents(tmp_path / "files", [noise(1000, 1), noise(1000, 2)])
    store.push([one, two], BAR)
    store.delete([two.digest])
    assert store.gc([], young_s=3600).contents == 0
    assert set(store.listed()) == {one.digest}


def test_a_delta_keeps_the_bytes_of_its_ancestor_and_not_its_name(store, tmp_path):
    lines = table(5000)
    first = content(tmp_path / "files", b"".join(lines))
    second = content(tmp_path / "files", b"".join(edited(lines, 0.01)), first.digest)
    store.push([first], BAR)
    store.push([second], BAR)
    store.gc([second.digest], young_s=0)
    assert set(store.listed()) == {second.digest}
    assert fetched(store, [second.digest], tmp_path / "out")[second.digest] == second.path.read_bytes()
    store.gc([], young_s=0)
    assert [key for key in objects(tmp_path) if key.startswith("packs/")] == []


@pytest.mark.slow
def test_packs_with_holes_and_many_small_ones_are_written_again(store, tmp_path):
    pushed = contents(tmp_path / "files", [noise(50_000, at) for at in range(20)])
    for one in pushed:
        store.push([one], BAR)
    kept = [one.digest for one in pushed[::2]]
    done = store.gc(kept, young_s=0)
    assert (done.contents, done.packs, done.rewritten) == (10, 10, 10)
    packs = [key for key in objects(tmp_path) if key.startswith("packs/")]
    indexes = [key for key in objects(tmp_path) if key.startswith("index/")]
    assert (len(packs), len(indexes)) == (1, 1)
    assert set(fetched(again(tmp_path), kept, tmp_path / "out")) == set(kept)


def test_packs_that_nothing_names_go(store, tmp_path):
    store.push(contents(tmp_path / "files", [b"named"]), BAR)
    stray_pack = tmp_path / "store" / "packs" / "ab" / ("c" * 30)
    stray_pack.parent.mkdir(exist_ok=True)
    stray_pack.write_bytes(b"of a push that was killed")
    assert store.fsck().unnamed == ["packs/ab/" + "c" * 30]
    store.gc(list(store.listed()))
    assert not stray_pack.exists()


def test_a_running_push_is_waited_for_or_told(store, tmp_path):
    store.push(contents(tmp_path / "files", [b"old"]), BAR)
    with lease_of(again(tmp_path)), pytest.raises(Conflict, match="1 are pushing"):
        store.gc([], young_s=0, patience_s=0.0)
    assert stray(tmp_path) == []
    assert store.gc([], young_s=0).contents == 1


def test_a_collection_ends_when_the_push_before_it_has(store, tmp_path):
    store.push(contents(tmp_path / "files", [b"old"]), BAR)
    released, held = threading.Event(), threading.Event()
    writer = again(tmp_path)

    def work():
        with lease_of(writer):
            held.set()
            released.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    assert held.wait(30)
    timer = threading.Timer(0.3, released.set)
    timer.start()
    try:
        assert store.gc([], young_s=0, patience_s=30).contents == 1
        assert released.is_set()
    finally:
        timer.join()
        thread.join()


def test_a_writer_that_comes_after_the_mark_stores_what_is_condemned_anew(store, tmp_path):
    one = content(tmp_path / "files", noise(5000))
    store.push([one], BAR)
    pieces = {(id_, piece.pack) for id_, piece in store._load().pieces.items()}
    with leases.held(store._place, store._root, leases.MARKS, leases.mark(pieces)):
        writer = again(tmp_path)
        assert writer.missing([one.digest]) == {one.digest}
        before = size_of(tmp_path)
        writer.push([one], BAR)
        assert size_of(tmp_path) - before > 5000
        assert again(tmp_path).missing([one.digest]) == set()  # Its new copy is condemned by nobody.
    assert again(tmp_path).missing([one.digest]) == set()


def test_what_somebody_was_told_to_be_there_stays(store, tmp_path):
    one, two = contents(tmp_path / "files", [b"told", b"untold"])
    store.push([one, two], BAR)
    index = next(path for key, path in objects(tmp_path).items() if key.startswith("index/"))
    mirror = next(path for key, path in objects(tmp_path).items() if key.startswith("mirror/"))
    import os

    for path in (index, mirror):
        os.utime(path, (1, 1))  # Pushed long ago, by the clock of the place.
    assert again(tmp_path).missing([one.digest]) == set()
    assert again(tmp_path).gc([]).contents == 1
    assert set(again(tmp_path).listed()) == {one.digest}


def test_a_machine_that_has_just_started_promises_too(store, tmp_path, monkeypatch):
    one = content(tmp_path / "files", b"told")
    store.push([one], BAR)
    monkeypatch.setattr(stores, "time", SimpleNamespace(monotonic=lambda: 7.0))  # Seconds since the start.
    assert store.missing([one.digest]) == set()
    assert stray(tmp_path, ("promises/",)) != []


def test_promises_are_forgotten_after_their_time(store, tmp_path):
    one = content(tmp_path / "files", b"told")
    store.push([one], BAR)
    store.missing([one.digest])
    assert stray(tmp_path, ("promises/",)) != []
    assert store.gc([], young_s=0).contents == 1
    assert stray(tmp_path, ("promises/",)) == []


def test_two_collections_at_once_are_told(store, tmp_path):
    store.push(contents(tmp_path / "files", [b"old"]), BAR)
    with (
        leases.held(store._place, store._root, leases.MARKS),
        pytest.raises(Conflict, match="something else is collecting"),
    ):
        again(tmp_path).gc([], young_s=0)
    with (
        leases.held(store._place, store._root, leases.MARKS),
        pytest.raises(Conflict, match="something else is collecting"),
    ):
        again(tmp_path).repair(lambda digest: None)


def test_leases_and_marks_of_the_dead_are_no_obstacle(store, tmp_path):
    import os

    store.push(contents(tmp_path / "files", [b"old"]), BAR)
    for prefix in (leases.LEASES, leases.MARKS):
        key = prefix + secrets.token_hex(8)
        store._place.put(key, seal(store._root, key, b""))
        os.utime(tmp_path / "store" / key, (1, 1))
    assert store.gc([], young_s=0).contents == 1
    assert stray(tmp_path) == []


def test_a_writer_taken_for_dead_names_nothing(store, tmp_path, monkeypatch):
    one = content(tmp_path / "files", b"slow")
    writer = again(tmp_path)
    load = writer._load

    def load_and_sleep():
        catalog = load()
        for key in stray(tmp_path, ("leases/",)):
            (tmp_path / "store" / key).unlink()
        return catalog

    monkeypatch.setattr(writer, "_load", load_and_sleep)
    with pytest.raises(Conflict, match="stood still for so long"):
        writer.push([one], BAR)
    assert list(again(tmp_path).listed()) == []


def test_a_removal_beside_a_push_leaves_the_bytes_for_later(store, tmp_path):
    one = content(tmp_path / "files", noise(MIB))
    store.push([one], BAR)
    with lease_of(again(tmp_path)):
        store.delete([one.digest])
        assert store.missing([one.digest]) == {one.digest}
        assert size_of(tmp_path) > MIB
    store.gc([])
    assert size_of(tmp_path) < 10_000


def test_a_reader_who_read_the_index_before_reads_on_after(store, tmp_path):
    pushed = contents(tmp_path / "files", [noise(40_000, at) for at in range(12)])
    for one in pushed:
        store.push([one], BAR)
    reader = again(tmp_path)
    assert reader.missing([one.digest for one in pushed]) == set()
    store.gc([one.digest for one in pushed], young_s=0)
    assert len(fetched(reader, [one.digest for one in pushed], tmp_path / "out")) == 12


def test_where_an_index_is_damaged_nothing_is_collected(store, tmp_path):
    store.push(contents(tmp_path / "files", [b"one"]), BAR)
    for key, path in objects(tmp_path).items():
        if key.startswith(("index/", "mirror/")):
            overwrite(path, flipped(path.read_bytes(), 200))
    with pytest.raises(Corrupt, match=r"index/.* is damaged"):
        again(tmp_path).gc([], young_s=0)
    with pytest.raises(Corrupt, match=r"index/.* is damaged"):
        list(again(tmp_path).listed())
    assert [key for key in objects(tmp_path) if key.startswith("packs/")] != []


class StoreMachine(RuleBasedStateMachine):
    """Whatever is pushed, removed, collected and repaired: what should be there is there, with its bytes."""

    pushed = Bundle("pushed")

    @initialize()
    def open(self):
        import tempfile
        from pathlib import Path

        self.place = tempfile.TemporaryDirectory()
        self.folder = Path(self.place.name)
        self.store = new_store(self.folder)
        self.model: dict[str, bytes] = {}

    @rule(target=pushed, seed=st.integers(0, 30), size=st.sampled_from([0, 10, 3000, 70_000]))
    def push(self, seed, size):
        one = content(self.folder / "files", noise(size, seed))
        self.store.push([one], BAR)
        self.model[one.digest] = one.path.read_bytes()
        return one

    @rule(target=pushed, earlier=pushed, at=st.integers(0, 2999))
    def push_a_version(self, earlier, at):
        data = bytearray(earlier.path.read_bytes())
        data[at : at + 1] = b"!"
        one = content(self.folder / "files", bytes(data), earlier.digest)
        self.store.push([one], BAR)
        self.model[one.digest] = bytes(data)
        return one

    @rule(one=pushed)
    def remove(self, one):
        self.store.delete([one.digest])
        self.model.pop(one.digest, None)

    @rule(one=pushed)
    def collect(self, one):
        self.store.gc([one.digest], young_s=0)
        self.model = {digest: data for digest, data in self.model.items() if digest == one.digest}

    @rule()
    def open_again(self):
        self.store = again(self.folder)

    @rule()
    def repair(self):
        assert self.store.repair(lambda digest: None).lost == ()

    @invariant()
    def holds_what_it_should(self):
        if not hasattr(self, "model"):
            return
        assert set(self.store.listed()) == self.model.keys()
        out = self.folder / "out"
        assert fetched(self.store, self.model, out) == self.model
        assert self.store.fsck().damages == []

    def teardown(self):
        if hasattr(self, "place"):
            self.place.cleanup()


StoreMachine.TestCase.settings = settings(max_examples=6, stateful_step_count=8, deadline=None)
TestStoreMachine = StoreMachine.TestCase


# Index objects


def index_names(folder):
    return {key.removeprefix("index/") for key in objects(folder) if key.startswith("index/")}


def test_what_is_removed_is_said_and_nothing_else_is_written_again(store, tmp_path):
    pushed = contents(tmp_path / "files", [noise(200, at) for at in range(300)])
    store.push(pushed, BAR)
    before = {key: data.read_bytes() for key, data in objects(tmp_path).items()}
    store.delete([pushed[0].digest, pushed[7].digest])
    after = {key: data.read_bytes() for key, data in objects(tmp_path).items()}
    assert {key: after.get(key) for key in before} == before
    written = sum(len(after[key]) for key in after.keys() - before.keys())
    assert written < sum(len(data) for key, data in before.items() if key.startswith("index/")) / 10
    there = {one.digest for one in pushed} - {pushed[0].digest, pushed[7].digest}
    assert set(again(tmp_path).listed()) == there
    store.push([pushed[7]], BAR)
    assert set(again(tmp_path).listed()) == there | {pushed[7].digest}
    store.delete([pushed[7].digest])
    assert set(again(tmp_path).listed()) == there
    assert again(tmp_path).fsck().damages == []


@pytest.mark.slow
def test_index_objects_stay_few_and_each_entry_is_written_again_seldom(store, tmp_path, monkeypatch):
    from taut.data.store import catalog

    written: list[int] = []
    encoded = catalog._encoded

    def counted(told):
        written.append(told.weight)
        return encoded(told)

    monkeypatch.setattr(catalog, "_encoded", counted)
    kept, most = [], 0
    for turn in range(40):
        kept += contents(tmp_path / "files", [noise(30, 100 * turn + at) for at in range(10)])
        store.push(kept[-10:], BAR)
        if turn % 3 == 2:
            gone = kept.pop(turn % len(kept))
            store.gc([one.digest for one in kept], young_s=0)
            assert gone.digest not in set(store.listed())
        most = max(most, len(index_names(tmp_path)))
    assert most <= 16
    assert sum(written) < 6 * 2 * len(kept)
    assert set(again(tmp_path).listed()) == {one.digest for one in kept}
    assert set(fetched(again(tmp_path), [one.digest for one in kept], tmp_path / "out")) == {one.digest for one in kept}


def test_an_index_of_which_little_is_left_is_written_again(store, tmp_path):
    pushed = contents(tmp_path / "files", [noise(200, at) for at in range(50)])
    store.push(pushed, BAR)
    first = index_names(tmp_path)
    for at in range(0, 40, 10):
        store.delete([one.digest for one in pushed[at : at + 10]])
    assert not first & index_names(tmp_path)
    assert set(again(tmp_path).listed()) == {one.digest for one in pushed[40:]}
    assert again(tmp_path).fsck().damages == []


def test_a_void_index_that_a_kill_left_stays_void_and_goes(store, tmp_path):
    pushed = contents(tmp_path / "files", [noise(200, at) for at in range(20)])
    store.push(pushed, BAR)
    before = {
        key: path.read_bytes() for key, path in objects(tmp_path).items() if key.startswith(("index/", "mirror/"))
    }
    store.gc([pushed[0].digest], young_s=0)
    for key, data in before.items():  # As if the collection had been killed before it removed what it replaced.
        (tmp_path / "store" / key).write_bytes(data)
    late = again(tmp_path)
    assert set(late.listed()) == {pushed[0].digest}
    assert late.fsck().damages == []
    late.gc([pushed[0].digest])
    assert not {key.partition("/")[2] for key in before} & index_names(tmp_path)
    assert set(again(tmp_path).listed()) == {pushed[0].digest}
    assert fetched(again(tmp_path), [pushed[0].digest], tmp_path / "out")


def test_a_store_of_the_first_version_stays_one_that_its_makers_read(tmp_path):
    new_store(tmp_path)
    for name in (FORMAT, COPY):
        path = tmp_path / "store" / name
        told = msgspec.json.decode(path.read_bytes(), type=Format)
        overwrite(path, msgspec.json.encode(msgspec.structs.replace(told, version=1).checked()))
    store = again(tmp_path)
    pushed = contents(tmp_path / "files", [noise(200, at) for at in range(30)])
    store.push(pushed, BAR)
    store.delete([pushed[0].digest])
    store.gc([one.digest for one in pushed[1:]], young_s=0)
    later = again(tmp_path)
    later.delete([pushed[1].digest])
    assert all(told.gone == {} for told in later._load().read.values())
    assert set(again(tmp_path).listed()) == {one.digest for one in pushed[2:]}
    later.rotate(make_key_file(tmp_path / "new"))
    assert json.loads((tmp_path / "store" / "store.json").read_bytes())["version"] == 1


def test_index_objects_of_a_bucket_are_read_once_on_a_machine(tmp_path, s3_url, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    key = key_in(tmp_path)
    store = create_store(s3_url, key)
    pushed = contents(tmp_path / "files", [noise(200, at) for at in range(20)])
    store.push(pushed[:10], BAR)
    assert set(open_store(s3_url, key).listed()) == {one.digest for one in pushed[:10]}
    kept = tmp_path / "cache" / "taut" / "indexes"
    assert len(list(kept.glob("*/*"))) == 1
    reads: list[str] = []
    real = Bucket.read

    def read(self, key, *rest, **more):
        reads.append(key)
        return real(self, key, *rest, **more)

    monkeypatch.setattr(Bucket, "read", read)

    def read_anew():
        reads.clear()
        found = set(open_store(s3_url, key).listed())
        return found, [one for one in reads if one.startswith(("index/", "mirror/"))]

    assert read_anew() == ({one.digest for one in pushed[:10]}, [])
    store.push(pushed[10:], BAR)
    found, fetched_names = read_anew()
    assert (found, len(fetched_names)) == ({one.digest for one in pushed}, 1)
    for path in kept.glob("*/*"):
        assert pushed[0].digest.encode() not in path.read_bytes()
        path.write_bytes(flipped(path.read_bytes(), 150))
    found, fetched_names = read_anew()
    assert (found, len(fetched_names)) == ({one.digest for one in pushed}, 2), "what is damaged here is fetched again"
    store.gc([one.digest for one in pushed[:3]], young_s=0)
    assert read_anew()[0] == {one.digest for one in pushed[:3]}
    there = {one.key.removeprefix("index/") for one in connect_place(s3_url).found("index/")}
    assert {path.name for path in kept.glob("*/*")} == there
    kept.rename(tmp_path / "aside")
    (tmp_path / "cache" / "taut").rmdir()
    (tmp_path / "cache" / "taut").write_text("no folder")
    assert read_anew()[0] == {one.digest for one in pushed[:3]}, "where nothing can be kept all is read"
