"""A store and a DVC remote in a container of Azure, on a real server of its protocol."""

import uuid

import pytest

from taut.data.remotes.config import RemoteSpec
from taut.data.remotes.connect import open_remote
from taut.data.store import create_store, open_store
from taut.data.store.connecting import connect_place
from taut.errors import Conflict, Denied, NotFound
from tests.data.store.scene import (
    BAR,
    MIB,
    content,
    contents,
    edited,
    fetched,
    flipped,
    key_in,
    noise,
    table,
)
from tests.data.store.servers import ACCOUNT, azurite

pytestmark = pytest.mark.slow
CONTAINER = "taut-tests"


@pytest.fixture(scope="module")
def server():
    with azurite(CONTAINER) as address:
        yield address


@pytest.fixture
def url(server, monkeypatch):
    """An empty place in the container, whose server the usual variables name."""
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
    monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", server)
    return f"az://{CONTAINER}/{uuid.uuid4().hex}"


def test_a_place_keeps_its_promises(url):
    place = connect_place(url)
    assert place.create("a/b", b"one")
    assert not place.create("a/b", b"two")
    place.put("a/c", b"")
    place.put("a/large", noise(40 * MIB))  # In parts.
    assert {one.key: one.size_bytes for one in place.found("a/")} == {"a/b": 3, "a/c": 0, "a/large": 40 * MIB}
    assert bytes(place.read("a/b")) == b"one"
    assert bytes(place.read("a/large", 10 * MIB, 100)) == noise(40 * MIB)[10 * MIB :][:100]
    with pytest.raises(NotFound, match="no object a/none"):
        place.read("a/none")


def test_what_is_gone_keeps_nothing_from_being_removed(url):
    place = connect_place(url)
    keys = [f"many/{at}" for at in range(300)]  # More than one request takes.
    for key in keys:
        place.put(key, b"x")
    place.delete(["many/none", *keys[:200], "many/no", *keys[200:]])
    assert list(place.found("many/")) == []


def test_contents_go_in_and_come_out(url, tmp_path):
    store = create_store(url, key := key_in(tmp_path))
    lines = table(20_000)
    first = content(tmp_path / "files", b"".join(lines))
    second = content(tmp_path / "files", b"".join(edited(lines, 0.01)), first.digest)
    pushed = [*contents(tmp_path / "files", [b"", b"a", noise(40 * MIB)]), first]
    store.push(pushed, BAR)
    store.push([second], BAR)
    store = open_store(url.replace("az://", "azure://"), key)
    digests = [one.digest for one in (*pushed, second)]
    assert fetched(store, digests, tmp_path / "out").keys() == set(digests)
    assert store.fsck().damages == []
    with store.open_range(second.digest, 1000, 50) as stream:
        assert stream.read() == second.path.read_bytes()[1000:1050]
    assert store.gc([second.digest], young_s=0).contents == len(pushed)
    assert set(store.listed()) == {second.digest}
    with pytest.raises(Conflict, match="there is a store"):
        create_store(url, key)


def test_damage_is_named_and_mended(url, tmp_path):
    store = create_store(url, key_in(tmp_path))
    pushed = contents(tmp_path / "files", [noise(5000, at) for at in range(5)])
    store.push(pushed, BAR)
    place = connect_place(url)
    (pack,) = place.found("packs/")
    place.put(pack.key, flipped(bytes(place.read(pack.key)), 3000))
    assert [damage.object for damage in store.fsck().damages] == [pack.key]
    assert store.repair(lambda digest: tmp_path / "files" / digest).lost == ()
    assert store.fsck().damages == []


def test_a_container_that_is_not_there_and_wrong_keys_are_told(url, tmp_path, monkeypatch):
    with pytest.raises(NotFound, match="there is no bucket at az://elsewhere"):
        create_store(url.replace(CONTAINER, "elsewhere"), key_in(tmp_path))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    with pytest.raises(Denied, match="refused the credentials") as told:
        create_store(url, key_in(tmp_path / ".."))
    assert "AZURE_STORAGE_ACCOUNT_KEY" in told.value.hint


def test_a_remote_of_dvc_s_format_keeps_and_gives_back(url, tmp_path):
    pushed = contents(tmp_path / "files", [noise(300, at) for at in range(20)])
    remote = open_remote(RemoteSpec("team", url.replace("az://", "azure://"), {}, "", is_default=True))
    digests = {one.digest for one in pushed}
    assert remote.missing(digests) == digests
    remote.push(pushed, BAR)
    assert (remote.missing(digests), set(remote.listed())) == (set(), digests)
    remote.pull({one.digest: tmp_path / "out" / one.digest for one in pushed}, BAR)
    assert all((tmp_path / "out" / one.digest).read_bytes() == one.path.read_bytes() for one in pushed)
    remote.delete([pushed[0].digest])
    assert remote.missing(digests) == {pushed[0].digest}
