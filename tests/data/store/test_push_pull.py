"""Contents go in and come out, in a directory and a bucket: whole, verified, stored once, later versions small."""

import io
import os
import stat
import sys

import pytest

from taut.data.exchange.remote import Content, Remote
from taut.data.store import create_store, open_store
from taut.data.store.deltas import DEPTH_MAX
from taut.data.store.packs import PACK_BYTES
from taut.errors import Conflict, Corrupt, Denied, NotFound, UsageError
from tests.data.store.scene import (
    BAR,
    MIB,
    Counted,
    again,
    content,
    contents,
    edited,
    fetched,
    key_in,
    md5,
    new_store,
    noise,
    objects,
    size_of,
    table,
)

SMALL = [b"", b"a", b"abc" * 1000, *(noise(200 * at, at) for at in range(1, 40))]


@pytest.fixture(params=["directory", "plain directory", "bucket"])
def store(request, tmp_path):
    if request.param == "bucket":
        return create_store(request.getfixturevalue("s3_url"), key_in(tmp_path))
    return new_store(tmp_path, is_plain=request.param == "plain directory")


def as_remote(store: Remote) -> Remote:
    """The type checker holds the store against the protocol here."""
    return store


def test_contents_come_back_as_they_were(store, tmp_path):
    pushed = contents(tmp_path / "files", [*SMALL, noise(3 * MIB + 5), b"line\n" * MIB])
    remote = as_remote(store)
    digests = {one.digest for one in pushed}
    assert remote.missing(digests) == digests
    bar = Counted()
    remote.push(pushed, bar)
    assert bar.done == sum(one.size_bytes for one in pushed)
    assert remote.missing(digests) == set()
    assert set(remote.listed()) == digests
    bar = Counted()
    remote.pull({one.digest: tmp_path / "out" / one.digest[:2] / one.digest for one in pushed}, bar)
    assert bar.done == sum(one.size_bytes for one in pushed)
    for one in pushed:
        assert (tmp_path / "out" / one.digest[:2] / one.digest).read_bytes() == one.path.read_bytes()
    assert list((tmp_path / "out").glob(".*")) == []


def test_a_range_is_read_without_the_rest(store, tmp_path):
    data = noise(9 * MIB)
    one = content(tmp_path / "files", data)
    store.push([one], BAR)
    for start, length in [
        (0, 1),
        (0, None),
        (5 * MIB, 100),
        (MIB - 1, 4 * MIB),
        (9 * MIB - 1, 10),
        (9 * MIB, 5),
        (0, 0),
    ]:
        with store.open_range(one.digest, start, length) as stream:
            assert stream.read() == data[start:][: len(data) if length is None else length]


def test_a_later_version_costs_its_changes(store, tmp_path):
    lines = table(60_000)
    first = content(tmp_path / "files", b"".join(lines))
    second = content(tmp_path / "files", b"".join(edited(lines, 0.01)), first.digest)
    store.push([first], BAR)
    store.push([second], BAR)
    assert fetched(store, [second.digest], tmp_path)[second.digest] == second.path.read_bytes()
    with store.open_range(second.digest, MIB, 1000) as stream:
        assert stream.read() == second.path.read_bytes()[MIB : MIB + 1000]


def test_what_is_removed_is_missing_and_the_rest_is_not(store, tmp_path):
    pushed = contents(tmp_path / "files", SMALL)
    store.push(pushed, BAR)
    store.delete([pushed[3].digest, "0" * 32])
    assert store.missing({one.digest for one in pushed}) == {pushed[3].digest}
    with pytest.raises(NotFound, match=pushed[3].digest):
        fetched(store, [pushed[3].digest], tmp_path / "out")
    kept = [one.digest for one in pushed if one is not pushed[3]]
    assert set(fetched(store, kept, tmp_path / "out")) == set(kept)


def test_a_store_is_made_once(tmp_path, s3_url):
    for url in (str(tmp_path / "store"), s3_url):
        create_store(url, None, is_plain=True)
        with pytest.raises(Conflict, match="there is a store at"):
            create_store(url, None, is_plain=True)


def test_a_list_of_a_folder_keeps_its_name(store, tmp_path):
    data = b'[{"md5": "d41d8cd98f00b204e9800998ecf8427e", "relpath": "a"}]'
    one = content(tmp_path / "files", data)
    listing = Content(one.digest + ".dir", one.path, one.size_bytes)
    store.push([listing], BAR)
    assert set(store.listed()) == {listing.digest}
    assert fetched(store, [listing.digest], tmp_path / "out")[listing.digest] == data


# In a directory, where one can look


def test_a_file_that_is_not_its_digest_is_not_stored_and_the_others_are(tmp_path):
    store = new_store(tmp_path)
    pushed = contents(tmp_path / "files", [b"one", b"two", noise(3 * MIB)])
    wrong = [Content(md5(b"other"), pushed[0].path, 3), Content(md5(b"large"), pushed[2].path, 3 * MIB)]
    with pytest.raises(Corrupt) as told:
        store.push([*wrong, pushed[1]], BAR)
    assert wrong[0].digest in told.value.message
    assert wrong[1].digest in told.value.message
    assert set(store.listed()) == {pushed[1].digest}


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path):
    store = new_store(tmp_path)
    with pytest.raises(Exception, match="gone cannot be read"):
        store.push([Content("0" * 32, tmp_path / "gone", 3)], BAR)
    assert list(store.listed()) == []


def test_what_is_there_already_costs_nothing(tmp_path):
    store = new_store(tmp_path)
    pushed = contents(tmp_path / "files", [noise(MIB), b"small"])
    store.push(pushed, BAR)
    before = {key for key in objects(tmp_path) if key.startswith(("packs/", "index/"))}
    again(tmp_path).push(pushed, BAR)
    assert {key for key in objects(tmp_path) if key.startswith(("packs/", "index/"))} == before


def test_the_same_content_twice_in_one_push_is_one(tmp_path):
    store = new_store(tmp_path)
    one = content(tmp_path / "files", noise(MIB))
    store.push([one, one], BAR)
    assert size_of(tmp_path) < 1.1 * MIB


def test_nothing_is_pushed_and_pulled_too(tmp_path):
    store = new_store(tmp_path)
    store.push([], BAR)
    store.pull({}, BAR)
    assert store.missing([]) == set()
    assert list(store.listed()) == []


def test_hundreds_of_small_files_are_one_pack(tmp_path):
    store = new_store(tmp_path)
    pushed = contents(tmp_path / "files", (noise(2000, at) for at in range(500)))
    store.push(pushed, BAR)
    assert len([key for key in objects(tmp_path) if key.startswith("packs/")]) == 1
    assert size_of(tmp_path) < 1.2 * 500 * 2000
    assert len(fetched(store, [one.digest for one in pushed], tmp_path / "out")) == 500


def test_a_file_with_bytes_put_in_front_is_stored_once_without_an_ancestor(tmp_path):
    store = new_store(tmp_path)
    data = noise(32 * MIB)
    store.push([content(tmp_path / "files", data)], BAR)
    before = size_of(tmp_path)
    store.push([content(tmp_path / "files", b"a new head" + data)], BAR)
    assert size_of(tmp_path) - before < 12 * MIB  # A piece or two, and where they end is chance.


@pytest.mark.slow
def test_chains_of_deltas_end_in_a_whole_copy(tmp_path):
    store = new_store(tmp_path)
    lines, ancestor, grown, made = table(800), "", [], []
    for turn in range(DEPTH_MAX + 4):
        lines = edited(lines, 0.01, seed=turn)
        one = content(tmp_path / "files", b"".join(lines), ancestor)
        before = size_of(tmp_path)
        store.push([one], BAR)
        grown.append(size_of(tmp_path) - before)
        made.append(one)
        ancestor = one.digest
    whole = [at for at, size in enumerate(grown) if size > 0.3 * made[0].size_bytes]
    assert whole == [0, DEPTH_MAX + 1]
    assert {
        d: md5(data) for d, data in fetched(again(tmp_path), [m.digest for m in made], tmp_path / "out").items()
    } == {one.digest: one.digest for one in made}


def test_versions_of_one_push_are_deltas_too(tmp_path):
    store = new_store(tmp_path)
    lines = table(20_000)
    first = content(tmp_path / "files", b"".join(lines))
    second = content(tmp_path / "files", b"".join(edited(lines, 0.01)), first.digest)
    store.push([first, second], BAR)
    assert size_of(tmp_path) < 0.55 * first.size_bytes
    assert len(fetched(store, [first.digest, second.digest], tmp_path / "out")) == 2


def test_a_delta_that_saves_nothing_is_not_made(tmp_path):
    store = new_store(tmp_path)
    first, second = content(tmp_path / "files", noise(2 * MIB, 1)), content(tmp_path / "files", noise(2 * MIB, 2), "")
    store.push([first], BAR)
    store.push([Content(second.digest, second.path, second.size_bytes, first.digest)], BAR)
    store.gc([second.digest], young_s=0)
    assert size_of(tmp_path) < 2.2 * MIB


@pytest.mark.parametrize("earlier", [b"", b"abc", b"a" * 100])
def test_a_tiny_ancestor_is_no_trouble(tmp_path, earlier):
    store = new_store(tmp_path)
    first = content(tmp_path / "files", earlier)
    second = content(tmp_path / "files", noise(5000), first.digest)
    store.push([first, second], BAR)
    assert fetched(store, [second.digest], tmp_path / "out")[second.digest] == noise(5000)


def test_an_unknown_ancestor_is_no_trouble(tmp_path):
    store = new_store(tmp_path)
    one = content(tmp_path / "files", noise(5000), "0" * 32)
    store.push([one], BAR)
    assert store.missing([one.digest]) == set()


def test_a_local_ancestor_is_used_without_fetching_and_only_where_it_is_right(tmp_path):
    store = new_store(tmp_path)
    lines = table(20_000)
    first = content(tmp_path / "files", b"".join(lines))
    store.push([first], BAR)
    for name, path in [("right", first.path), ("wrong", tmp_path / "wrong"), ("gone", tmp_path / "gone")]:
        (tmp_path / "wrong").write_bytes(noise(first.size_bytes))
        new = b"".join(edited(lines, 0.01, seed=len(name)))
        second = content(tmp_path / "files", new, first.digest, path)
        before = size_of(tmp_path)
        store.push([second], BAR)
        assert size_of(tmp_path) - before < 0.02 * first.size_bytes, name
        assert fetched(store, [second.digest], tmp_path / f"out-{name}")[second.digest] == new


@pytest.mark.slow
def test_long_files_are_stored_stretch_by_stretch(tmp_path, monkeypatch):
    monkeypatch.setattr("taut.data.store.deltas.WHOLE_MAX", 2 * MIB)
    monkeypatch.setattr("taut.data.store.deltas.STRETCH_BYTES", 2 * MIB)
    monkeypatch.setattr("taut.data.store.deltas.BASE_BYTES_MAX", 12 * MIB)
    monkeypatch.setattr("taut.data.store.deltas.MARGIN_BYTES", MIB // 2)
    store = new_store(tmp_path)
    lines = table(500_000)
    first = content(tmp_path / "files", b"".join(lines))
    second = content(tmp_path / "files", b"".join(edited(lines[50_000:], 0.001)), first.digest)
    third = content(tmp_path / "files", noise(5 * MIB), second.digest)
    store.push([first], BAR)
    before = size_of(tmp_path)
    store.push([second], BAR)
    assert size_of(tmp_path) - before < 0.05 * first.size_bytes
    store.push([third], BAR)
    back = fetched(again(tmp_path), [first.digest, second.digest, third.digest], tmp_path / "out")
    assert {digest: md5(data) for digest, data in back.items()} == {digest: digest for digest in back}
    with store.open_range(second.digest, 7 * MIB, 500) as stream:
        assert stream.read() == second.path.read_bytes()[7 * MIB :][:500]


def test_a_content_larger_than_a_pack_comes_back(tmp_path):
    store = new_store(tmp_path)
    data = noise(PACK_BYTES + 3 * MIB)
    one = content(tmp_path / "files", data)
    store.push([one], BAR)
    assert len([key for key in objects(tmp_path) if key.startswith("packs/")]) == 2
    assert fetched(store, [one.digest], tmp_path / "out")[one.digest] == data


def test_neither_names_nor_bytes_of_a_store_tell_what_it_holds(tmp_path):
    store = new_store(tmp_path)
    data = b"the secret words " * 1000
    one = content(tmp_path / "files", data)
    store.push([one], BAR)
    assert store.is_encrypted
    for key, path in objects(tmp_path).items():
        assert one.digest not in key
        assert one.digest.encode() not in path.read_bytes()
        assert bytes.fromhex(one.digest) not in path.read_bytes()
        assert b"secret words" not in path.read_bytes()


def test_a_plain_store_is_asked_for(tmp_path):
    with pytest.raises(UsageError, match="it needs a key"):
        create_store(str(tmp_path / "store"), None)
    with pytest.raises(UsageError, match="it needs a key"):
        create_store(str(tmp_path / "store"), key_in(tmp_path), is_plain=True)
    assert not new_store(tmp_path / "other", is_plain=True).is_encrypted
    assert not open_store(str(tmp_path / "other" / "store")).is_encrypted


def test_a_place_without_a_store_is_told(tmp_path):
    with pytest.raises(NotFound, match="there is no store at"):
        open_store(str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/x", "no store is at ftp://"),
        ("s3://bucket/x?colour=red", "no option 'colour'"),
        ("gs://bucket/x?colour=red", "takes no options"),
    ],
)
def test_a_url_of_another_kind_is_told(url, words):
    with pytest.raises(UsageError, match=words):
        open_store(url)


def test_pulled_files_replace_what_was_there_and_leave_other_files(tmp_path):
    store = new_store(tmp_path)
    one = content(tmp_path / "files", b"new")
    store.push([one], BAR)
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_bytes(b"old")
    (out / "mine").write_bytes(b"mine")
    store.pull({one.digest: out / "old"}, BAR)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"old": b"new", "mine": b"mine"}


def test_one_that_is_not_there_does_not_keep_the_others_away(tmp_path):
    store = new_store(tmp_path)
    one = content(tmp_path / "files", b"here")
    store.push([one], BAR)
    with pytest.raises(NotFound, match="not fetched: " + "0" * 32):
        store.pull({"0" * 32: tmp_path / "out" / "no", one.digest: tmp_path / "out" / "yes"}, BAR)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["yes"]


def test_stored_objects_are_read_only(tmp_path):
    store = new_store(tmp_path)
    store.push([content(tmp_path / "files", b"here")], BAR)
    assert {stat.S_IMODE(path.stat().st_mode) for path in objects(tmp_path).values()} == {0o444}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_reader_who_may_not_write_reads_all_the_same(tmp_path):
    store = new_store(tmp_path)
    one = content(tmp_path / "files", b"here")
    store.push([one], BAR)
    for folder in [tmp_path / "store", *(p for p in (tmp_path / "store").rglob("*") if p.is_dir())]:
        folder.chmod(0o555)
    reader = again(tmp_path)
    assert reader.missing([one.digest]) == set()
    assert fetched(reader, [one.digest], tmp_path / "out")[one.digest] == b"here"
    with pytest.raises(Denied):
        reader.push([content(tmp_path / "files", b"more")], BAR)


def test_a_range_is_a_stream_that_is_read_in_parts(tmp_path):
    store = new_store(tmp_path)
    data = noise(4 * MIB)
    one = content(tmp_path / "files", data)
    store.push([one], BAR)
    with store.open_range(one.digest, 1000) as stream:
        assert isinstance(stream, io.BufferedReader)
        assert stream.read(10) == data[1000:1010]
        assert stream.read() == data[1010:]
    with pytest.raises(NotFound, match="0" * 32):
        store.open_range("0" * 32)


def test_opening_the_package_needs_none_of_its_libraries():
    import subprocess

    program = (
        "import sys\nfor name in ('blake3', 'numpy', 'backports.zstd', 'compression.zstd'): sys.modules[name] = None\n"
        "from taut.data.store import open_store\nfrom taut.errors import UsageError\n"
        "try: open_store('x')\nexcept UsageError as problem: print(problem.hint)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'taut[data]'"
