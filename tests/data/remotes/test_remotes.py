"""What every remote promises, for a directory and a bucket on a real S3 server, in the layouts of DVC 2 and 3."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from taut.data.exchange.remote import Content, Remote
from taut.data.remotes.config import RemoteSpec
from taut.data.remotes.connect import open_remote
from taut.data.workspace.digests import md5_of
from taut.errors import Corrupt, Denied, Invalid, NotFound, Unavailable
from taut.ground.progress import Silent
from tests.parts import S3Server

WORDS = {"endpoint": "endpointurl", "region": "region"}


def spec_for(url: str, **options: str) -> RemoteSpec:
    """A remote of the config at a URL of the tests."""
    parts = urlsplit(url)
    told = {WORDS.get(name, name): value for name, value in parse_qsl(parts.query)}
    return RemoteSpec("store", parts._replace(query="").geturl() if "://" in url else url, told | options, "", True)


@pytest.fixture(params=["directory", "s3"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteSpec:
    url = request.getfixturevalue("s3_url") if request.param == "s3" else str(tmp_path / "store")
    return spec_for(url)


@pytest.fixture
def made(tmp_path: Path) -> Callable[[bytes, str], Content]:
    """Make a file to push."""

    def make(data: bytes, suffix: str = "") -> Content:
        digest = md5_of(data) + suffix
        path = tmp_path / "files" / digest
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return Content(digest, path, len(data))

    return make


def pulled(remote: Remote, folder: Path, *digests: str) -> dict[str, bytes]:
    remote.pull({digest: folder / "new" / digest for digest in digests}, Silent())
    return {digest: (folder / "new" / digest).read_bytes() for digest in digests}


def test_what_was_pushed_is_pulled_listed_and_deleted(spec, made, tmp_path):
    remote = open_remote(spec)
    contents = [made(b""), made(b"small"), made(b"[]", ".dir"), made(os.urandom(3 << 20))]
    digests = {content.digest for content in contents}
    assert remote.missing(digests) == digests
    assert list(remote.listed()) == []
    remote.push(contents, Silent())
    remote.push(contents, Silent())
    assert remote.missing({*digests, "0" * 32}) == {"0" * 32}
    assert set(remote.listed()) == digests
    assert pulled(remote, tmp_path, *digests) == {one.digest: one.path.read_bytes() for one in contents}
    remote.delete([contents[0].digest, "0" * 32])
    assert remote.missing(digests) == {contents[0].digest}


def test_many_names_are_asked_for_by_listing(spec, made, monkeypatch):
    monkeypatch.setattr("taut.data.remotes.bucket.ASKED_MAX", 3)
    monkeypatch.setattr("taut.data.workspace.cache.LISTED", 3)
    remote = open_remote(spec)
    contents = [made(str(number).encode()) for number in range(20)]
    remote.push(contents[::2], Silent())
    assert remote.missing({one.digest for one in contents}) == {one.digest for one in contents[1::2]}


def test_a_file_with_another_digest_is_not_stored_and_the_others_are(spec, made):
    remote = open_remote(spec)
    good, bad = made(b"good"), made(b"bad")
    bad.path.write_bytes(b"changed since")
    with pytest.raises(Corrupt, match=bad.digest):
        remote.push([bad, good], Silent())
    assert remote.missing({good.digest, bad.digest}) == {bad.digest}


def test_a_file_that_is_gone_is_named(spec, made):
    gone = made(b"gone")
    gone.path.unlink()
    with pytest.raises(NotFound, match=gone.digest):
        open_remote(spec).push([gone], Silent())


def test_what_is_lost_is_told_after_the_others_came(spec, made, tmp_path):
    remote = open_remote(spec)
    kept = made(b"kept")
    remote.push([kept], Silent())
    lost = "0" * 32
    with pytest.raises(NotFound, match=lost):
        pulled(remote, tmp_path, lost, kept.digest)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [kept.digest]


def test_what_is_damaged_is_told_and_leaves_no_file(spec, made, tmp_path):
    remote = open_remote(spec)
    damaged, kept = made(b"damaged"), made(b"kept")
    remote.push([damaged, kept], Silent())
    remote.delete([damaged.digest])
    put_raw(spec, f"files/md5/{damaged.digest[:2]}/{damaged.digest[2:]}", b"other")
    with pytest.raises(Corrupt, match=damaged.digest):
        pulled(remote, tmp_path, damaged.digest, kept.digest)
    assert [path.name for path in (tmp_path / "new").iterdir()] == [kept.digest]


def put_raw(spec: RemoteSpec, key: str, data: bytes) -> None:
    """Put an object as another tool, or a broken disk, would."""
    if "://" not in spec.url:
        path = Path(spec.url, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return
    import obstore

    obstore.put(bucket_of(spec), key, data)


def bucket_of(spec: RemoteSpec):
    from obstore.store import S3Store

    parts = urlsplit(spec.url)
    config: Any = {("endpoint" if name == "endpointurl" else name): value for name, value in spec.options.items()}
    return S3Store(parts.netloc, prefix=parts.path.strip("/"), config=config, client_options={"allow_http": True})


def keys_of(spec: RemoteSpec) -> set[str]:
    if "://" not in spec.url:
        return {str(path.relative_to(spec.url)) for path in Path(spec.url).rglob("*") if path.is_file()}
    import obstore

    return {str(entry["path"]) for batch in obstore.list(bucket_of(spec)) for entry in batch}


def test_the_layouts_are_those_of_dvc(spec, made):
    one = made(b"one")
    open_remote(spec).push([one], Silent())
    open_remote(spec, is_legacy=True).push([one], Silent())
    place = f"{one.digest[:2]}/{one.digest[2:]}"
    assert keys_of(spec) == {f"files/md5/{place}", place}
    assert list(open_remote(spec, is_legacy=True).listed()) == [one.digest]


def test_what_dvc_2_named_by_its_text_is_verified_so(spec, made, tmp_path):
    remote = open_remote(spec, is_legacy=True)
    path = tmp_path / "dos.txt"
    path.write_bytes(b"a\r\nb\r\n")
    digest = md5_of(b"a\nb\n")
    remote.push([Content(digest, path, 6)], Silent())
    assert pulled(remote, tmp_path, digest) == {digest: b"a\r\nb\r\n"}
    with pytest.raises(Corrupt):
        open_remote(spec).push([Content(digest, path, 6)], Silent())


def test_a_bucket_with_wrong_credentials_says_so(s3_url, made):
    remote = open_remote(spec_for(s3_url, secret_access_key="wrong"))
    with pytest.raises(Denied):
        remote.push([made(b"x")], Silent())


def test_a_bucket_that_does_not_answer_says_so(free_port, made):
    remote = open_remote(
        spec_for(f"s3://bucket/x?endpoint=http://127.0.0.1:{free_port}&access_key_id=a&secret_access_key=b")
    )
    with pytest.raises(Unavailable):
        remote.missing({"0" * 32})


def test_keys_come_from_the_profile_that_the_config_names(s3_server: S3Server, s3_url, tmp_path, made):
    keys = tmp_path / "credentials"
    keys.write_text(
        f"[team]\naws_access_key_id = {s3_server.access_key_id}\n"
        f"aws_secret_access_key = {s3_server.secret_access_key}\nregion = us-east-1\n"
    )
    place = urlsplit(s3_url)._replace(query="").geturl()
    options = {"endpointurl": s3_server.endpoint, "profile": "team", "credentialpath": str(keys)}
    remote = open_remote(RemoteSpec("store", place, options, "", True))
    one = made(b"one")
    remote.push([one], Silent())
    assert list(remote.listed()) == [one.digest]
    with pytest.raises(Invalid, match="nobody"):
        open_remote(RemoteSpec("store", place, {**options, "profile": "nobody"}, "", True))


@pytest.mark.parametrize(
    ("url", "options", "word"),
    [
        ("s3://bucket/x", {"version_aware": "true"}, "version_aware"),
        ("s3://bucket/x", {"worktree": "True"}, "worktree"),
        ("gdrive://folder", {}, "gdrive"),
        ("ssh://user@host/data", {}, "ssh"),
        ("/somewhere", {"jobs": "many"}, "many"),
    ],
)
def test_a_kind_that_taut_does_not_reach_is_refused_in_one_line(url, options, word):
    with pytest.raises(Invalid, match=word) as refused:
        open_remote(RemoteSpec("store", url, options, "", True))
    assert refused.value.hint


def test_a_directory_that_cannot_be_written_says_so(tmp_path, made):
    (tmp_path / "store").write_text("a file")
    with pytest.raises((Denied, Unavailable)):
        open_remote(spec_for(str(tmp_path / "store"))).push([made(b"x")], Silent())


def test_a_push_leaves_no_staging_and_sweeps_what_a_killed_one_left(tmp_path, made):
    store = tmp_path / "store"
    left = store / f".taut-{os.uname().nodename}+999999:1+00"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    open_remote(spec_for(str(store))).push([made(b"x")], Silent())
    assert [path.name for path in store.iterdir()] == ["files"]


def test_files_of_a_directory_are_read_only_copies(tmp_path, made):
    one = made(b"one")
    open_remote(spec_for(str(tmp_path / "store"))).push([one], Silent())
    path = next(path for path in (tmp_path / "store").rglob("*") if path.is_file())
    assert path.stat().st_mode & 0o777 == 0o444
    assert (path.stat().st_nlink, path.stat().st_ino != one.path.stat().st_ino) == (1, True)


def test_a_push_in_batches_is_whole(tmp_path, made, monkeypatch):
    monkeypatch.setattr("taut.data.remotes.folder.BATCH_FILES", 20)
    remote = open_remote(spec_for(str(tmp_path / "store")))
    contents = [made(f"{number}".encode()) for number in range(50)]
    remote.push(contents, Silent())
    assert remote.missing({one.digest for one in contents}) == set()
