"""What a bucket is asked for: lists of folders that it was seen to have, and what is new; on a real S3 server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from taut.data.exchange.transfer import fetch, pull, push
from taut.data.remotes.config import add_remote, find_remote, places_of, set_option
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import listing_bytes
from taut.errors import NotFound
from tests.data.remotes.test_remotes import bucket_of, keys_of
from tests.faces.shell import taut
from tests.parts import S3Server
from tests.relay import Passed, relayed

FILES = 40


@pytest.fixture
def passed(s3_server: S3Server) -> Iterator[Passed]:
    """What passes on the way to the S3 server."""
    with relayed(s3_server.endpoint) as passed:
        yield passed


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_url: str, s3_server: S3Server, passed) -> Path:
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level))
    return repository_at(tmp_path / "repository", s3_url.partition("?")[0], s3_server, passed.endpoint)


def repository_at(folder: Path, url: str, server: S3Server, endpoint: str) -> Path:
    """A repository with a folder of files in its cache, and a bucket."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("")
    places = places_of(str(folder), "")
    add_remote(places, "store", url, default=True)
    for name, value in (
        ("endpointurl", endpoint),
        ("access_key_id", server.access_key_id),
        ("secret_access_key", server.secret_access_key),
        ("region", server.region),
    ):
        set_option(places, "store", name, value, local=True)
    added(folder, *(f"file {number}" for number in range(FILES)))
    return folder


def added(folder: Path, *texts: str) -> str:
    """Have a folder of such files, as if it had been added; returns its digest."""
    with Cache(folder / ".dvc" / "cache").filling(FILES) as filling:
        files = [(f"{number}.txt", filling.put_bytes(text.encode())) for number, text in enumerate(texts)]
        digest = filling.put_bytes(listing_bytes(files), ".dir")
    (folder / "data.dvc").write_text(f"outs:\n- md5: {digest}\n  hash: md5\n  path: data\n")
    return digest


def clone_of(repository: Path) -> Path:
    other = repository.with_name("clone")
    shutil.copytree(repository, other, ignore=shutil.ignore_patterns("cache", "tmp", "data"))
    return other


def removed(repository: Path, digest: str) -> None:
    """Take an object from the bucket behind everybody's back."""
    obstore.delete(bucket_of(find_remote(places_of(str(repository), ""), "")), key_of(digest))


def key_of(digest: str) -> str:
    return f"files/md5/{digest[:2]}/{digest[2:]}"


def asked(passed: Passed, repository: Path, *, recheck: bool = False) -> tuple[dict[str, int], int]:
    """The requests of a push, and how many files it sent."""
    passed.forget()
    moved = push(repository, recheck=recheck)
    return dict(passed.requests), moved.files


def test_a_folder_that_was_pushed_costs_one_question(repository, passed):
    assert asked(passed, repository) == ({"HEAD": FILES + 1, "PUT": FILES + 1}, FILES + 1)
    assert asked(passed, repository) == ({"HEAD": 1}, 0)
    assert asked(passed, repository, recheck=True) == ({"HEAD": FILES + 1}, 0)


def test_of_a_later_version_what_is_new_is_asked_for(repository, passed):
    push(repository)
    added(repository, *(f"file {number}" for number in range(1, FILES + 2)))
    # The list of each version, and two files.
    assert asked(passed, repository) == ({"HEAD": 4, "PUT": 3}, 3)


def test_where_a_list_is_gone_everything_is_asked_for_again(repository, passed):
    first = added(repository, "a", "b")
    push(repository)
    removed(repository, first)
    assert asked(passed, repository) == ({"HEAD": 3, "PUT": 1}, 1)
    assert asked(passed, repository)[0] == {"HEAD": 1}


def test_what_a_colleague_lacks_is_sent_when_it_is_asked_for(repository, passed):
    push(repository)
    lost = Cache(repository / ".dvc" / "cache").put_bytes(b"file 7")
    removed(repository, lost)
    assert asked(passed, repository)[1] == 0
    with pytest.raises(NotFound, match=lost) as told:
        pull(clone_of(repository))
    assert "--recheck" in told.value.hint
    sent = taut(repository, "data", "push", "--recheck", "--json").json
    assert (sent["files"], key_of(lost) in keys_of(find_remote(places_of(str(repository), ""), ""))) == (1, True)


def test_a_fetch_that_finds_something_missing_trusts_nothing_any_more(repository, passed):
    push(repository)
    cache = Cache(repository / ".dvc" / "cache")
    lost = cache.put_bytes(b"file 7")
    removed(repository, lost)
    Path(cache.path_of(lost)).unlink()
    with pytest.raises(NotFound, match=lost):
        fetch(repository)
    cache.put_bytes(b"file 7")
    assert asked(passed, repository)[1] == 1


def test_a_clone_knows_what_it_fetched(repository, passed):
    push(repository)
    other = clone_of(repository)
    assert fetch(other).files == FILES + 1
    assert asked(passed, other) == ({"HEAD": 1}, 0)


def test_a_part_of_a_folder_is_no_whole(repository, passed):
    push(repository, ["data/1.txt"])
    assert asked(passed, repository) == ({"HEAD": FILES + 1, "PUT": FILES - 1}, FILES - 1)


def test_an_empty_bucket_is_listed_at_once_and_a_full_one_by_folders(repository, passed, monkeypatch):
    monkeypatch.setattr("taut.data.remotes.bucket.ASKED_MAX", 3)
    assert asked(passed, repository)[0] == {"GET": 2, "HEAD": 1, "PUT": FILES + 1}
    monkeypatch.setattr("taut.data.remotes.bucket.PAGE", 0)
    stored = (repository / ".dvc" / "cache" / "files" / "md5").glob("*/*")
    shards = {path.parent.name for path in stored if path.suffix != ".dir"}
    assert asked(passed, repository, recheck=True) == ({"GET": len(shards), "HEAD": 1}, 0)


def test_so_many_requests_are_on_their_way_as_jobs(repository, passed):
    push(repository, jobs=4)
    assert 1 < passed.at_once_max <= 4
    other = clone_of(repository)
    passed.forget()
    fetch(other, jobs=4)
    assert 1 < passed.at_once_max <= 4
    assert passed.requests == {"GET": FILES + 1}
