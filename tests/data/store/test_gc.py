"""Collecting takes what nothing keeps and nothing else, beside writers, after kills, while others are told things."""

import secrets
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from taut.data.store import leases
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
