"""A pull into an empty place from a directory: each file is read once, checked, and lies in cache and place."""

import os
from pathlib import Path

import pytest

from taut.data.exchange import fresh
from taut.data.exchange.transfer import fetch, pull, push
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import listing_bytes, md5_of
from taut.data.workspace.overview import workspace_states
from taut.errors import Conflict, Corrupt, NotFound

FILES = {f"{number % 7}/{number}.txt": f"file {number}".encode() for number in range(30)}
FILES |= {"ä/☃.txt": b"3", "same/a": b"x", "same/b": b"x", "empty": b"", "large": bytes(range(256)) * 9_000}
LOST = "2/9.txt"


@pytest.fixture
def clone(with_store: Path, tmp_path: Path) -> Path:
    """A repository with a pointer to a folder that only the remote has."""
    added(with_store, "data", FILES)
    push(with_store)
    (with_store / ".dvc" / "cache").rename(tmp_path / "had")
    return with_store


def added(folder: Path, name: str, files: dict[str, bytes]) -> None:
    with cache_of(folder).filling(len(files)) as filling:
        listed = [(path, filling.put_bytes(data)) for path, data in files.items()]
        digest = filling.put_bytes(listing_bytes(listed), ".dir")
    (folder / f"{name}.dvc").write_text(f"outs:\n- md5: {digest}\n  hash: md5\n  path: {name}\n")


def found(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cache_of(folder: Path) -> Cache:
    return Cache(folder / ".dvc" / "cache")


def in_store(clone: Path, data: bytes) -> Path:
    return Path(Cache(clone.parent / "store").path_of(md5_of(data)))


def left_over(clone: Path) -> list[Path]:
    return list(clone.rglob(".*taut-*"))


def test_a_folder_comes_whole_into_cache_and_place(clone, kind):
    moved = pull(clone)
    assert found(clone / "data") == FILES
    contents = set(FILES.values())
    assert (moved.files, moved.present, moved.paths) == (len(contents) + 1, 0, [str(clone / "data")])
    assert moved.size_bytes == sum(map(len, contents)) + len(cache_of(clone).read(pointer_digest(clone)))
    assert {path.read_bytes() for path in Path(cache_of(clone).root).glob("*/*") if path.suffix != ".dir"} == contents
    assert left_over(clone) == []
    again = pull(clone)
    assert (again.files, again.present) == (0, len(contents) + 1)


def pointer_digest(clone: Path) -> str:
    return (clone / "data.dvc").read_text().split()[3]


def test_files_are_the_users_own_and_objects_read_only(clone, kind):
    pull(clone)
    for path, data in FILES.items():
        place, kept = clone / "data" / path, Path(cache_of(clone).path_of(md5_of(data)))
        assert (place.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o666 & ~umask(), 0o444)
        assert (place.stat().st_nlink, kept.stat().st_nlink) == (1, 1)


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_was_pulled_is_known_and_a_change_of_it_seen(clone, kind):
    pull(clone)
    assert states(clone) == ["unchanged"]
    (clone / "data" / "empty").write_bytes(b"no more")
    assert states(clone) == ["modified"]


def states(clone: Path) -> list[str]:
    return [out.state for state in workspace_states(clone) for out in state.outs]


@pytest.mark.parametrize("damage", ["lost", "changed", "shorter"])
def test_what_the_remote_lost_or_damaged_is_told_and_goes_nowhere(clone, kind, damage):
    added(clone, "other", {f"{number}": f"other {number}".encode() for number in range(20)})
    push(clone, ["other"])
    (clone / ".dvc" / "cache").rename(clone.parent / "more")
    place = in_store(clone, FILES[LOST])
    place.chmod(0o644)
    place.unlink() if damage == "lost" else place.write_bytes(b"FILE 9" if damage == "changed" else b"")
    with pytest.raises((NotFound, Corrupt), match=md5_of(FILES[LOST])) as told:
        pull(clone)
    assert isinstance(told.value, NotFound if damage == "lost" else Corrupt)
    assert not (clone / "data").exists()
    assert len(found(clone / "other")) == 20, "the other data is not kept from its place"
    lacked = cache_of(clone).missing(map(md5_of, FILES.values()))
    assert lacked == {md5_of(FILES[LOST])}, "all but that one is in the cache"
    assert left_over(clone) == []
    place.unlink(missing_ok=True)
    place.write_bytes(FILES[LOST])
    assert pull(clone).files == 1
    assert found(clone / "data") == FILES


def test_what_the_cache_has_is_not_fetched_again(clone, kind):
    for data in list(FILES.values())[:10]:
        cache_of(clone).put_bytes(data)
        in_store(clone, data).unlink()
    moved = pull(clone)
    assert (moved.present, moved.files) == (10, len(set(FILES.values())) - 10 + 1)
    assert found(clone / "data") == FILES


def test_what_the_cache_has_damaged_does_not_come_into_the_place(clone, kind):
    md5 = cache_of(clone).put_bytes(FILES[LOST])
    kept = Path(cache_of(clone).path_of(md5))
    kept.chmod(0o644)
    kept.write_bytes(b"FILE 9")
    with pytest.raises(Corrupt, match=md5[2:]):
        pull(clone)
    assert not (clone / "data").exists()


def test_a_place_that_is_not_empty_is_not_overwritten(clone, kind):
    (clone / "data").mkdir()
    (clone / "data" / "mine").write_text("mine")
    with pytest.raises(Conflict):
        pull(clone)
    assert found(clone / "data") == {"mine": b"mine"}
    pull(clone, force=True)
    assert found(clone / "data") == FILES


def test_what_came_into_the_place_meanwhile_stays(clone, tmp_path):
    (clone / "data").mkdir()
    (clone / "data" / "mine").write_text("mine")
    (clone / "mine.txt").write_text("mine")
    for place in ("data", "mine.txt"):
        (tmp_path / "staged").mkdir(exist_ok=True)
        with pytest.raises(Conflict, match="while it was pulled"):
            fresh._put(tmp_path / "staged", clone / place)
    assert (found(clone / "data"), (clone / "mine.txt").read_text()) == ({"mine": b"mine"}, "mine")


def test_two_pointers_to_one_folder_put_it_once(clone, kind):
    (clone / "again.dvc").write_bytes((clone / "data.dvc").read_bytes())
    pull(clone)
    assert found(clone / "data") == FILES


def test_where_the_cache_says_links_there_are_links(clone, kind):
    with (clone / ".dvc" / "config").open("a") as config:
        config.write("[cache]\n    type = hardlink\n")
    pull(clone)
    path = clone / "data" / LOST
    assert (path.stat().st_nlink, path.stat().st_mode & 0o777) == (2, 0o444)


def test_a_fetch_fills_the_cache_alone(clone, kind):
    assert fetch(clone).files == len(set(FILES.values())) + 1
    assert not (clone / "data").exists()
    assert cache_of(clone).missing(map(md5_of, FILES.values())) == set()
    assert left_over(clone) == []


def test_a_list_that_leaves_the_folder_is_refused(clone, kind):
    cache = cache_of(clone)
    files = [(f"../{number}", cache.put_bytes(b"x")) for number in range(20)]
    digest = cache.put_bytes(listing_bytes(files), ".dir")
    (clone / "data.dvc").write_text(f"outs:\n- md5: {digest}\n  hash: md5\n  path: data\n")
    push_listed(clone, digest)
    with pytest.raises(Exception, match="not inside the folder"):
        pull(clone)
    assert not (clone / "0").exists()


def push_listed(clone: Path, digest: str) -> None:
    """Have a list in the store that no push would take."""
    place = Path(Cache(clone.parent / "store").path_of(digest))
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(cache_of(clone).read(digest))
