"""The workspace cache: whole or absent, read-only, verified; and every kind of link, never a writable one."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from taut.data.workspace.cache import Cache, link_out
from taut.data.workspace.digests import (
    PIECE_BYTES,
    SMALL_BYTES,
    copied_file,
    dos2unix_digest,
    file_digest,
    listing_bytes,
    md5_of,
)
from taut.errors import Conflict, Corrupt, NotFound

SIZES = [0, 1, 4096, SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1, SMALL_BYTES + 3 * PIECE_BYTES, 12_345_678]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", ["copy"])


def stored(cache: Cache, data: bytes) -> str:
    return cache.put_bytes(data)


def damage(cache: Cache, md5: str, data: bytes) -> Path:
    path = Path(cache.path_of(md5))
    path.chmod(0o644)
    path.write_bytes(data)
    return path


def files_in(cache: Cache) -> list[Path]:
    return [path for path in cache.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_has_the_digest_of_its_bytes_and_comes_back(cache: Cache, tmp_path: Path, size: int):
    data = os.urandom(size)
    (tmp_path / "source").write_bytes(data)
    md5 = cache.put(tmp_path / "source")
    assert md5 == hashlib.md5(data).hexdigest() == file_digest(str(tmp_path / "source")).md5
    assert cache.read(md5) == data
    assert Path(cache.path_of(md5)) == tmp_path / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    assert Path(cache.path_of(md5)).stat().st_mode & 0o777 == 0o444
    link_out(cache, md5, str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    assert files_in(cache) == [Path(cache.path_of(md5))]


def test_a_copy_that_is_stopped_ends_with_conflict_and_leaves_no_object(cache: Cache, tmp_path: Path):
    (tmp_path / "big").write_bytes(os.urandom(8 * SMALL_BYTES))
    with pytest.raises(Conflict, match="was interrupted"), cache.filling(1) as filling:
        filling.stop()
        filling.copy_in(str(tmp_path / "big"))
    assert files_in(cache) == []


def test_a_full_disk_is_told_by_the_thread_that_reads(tmp_path: Path):
    (tmp_path / "big").write_bytes(os.urandom(20 * SMALL_BYTES))
    with pytest.raises(OSError, match="No space left"):
        copied_file(str(tmp_path / "big"), "/dev/full")


def test_what_is_there_already_is_not_written_again(cache: Cache, tmp_path: Path):
    (tmp_path / "source").write_bytes(b"same")
    md5 = cache.put(tmp_path / "source")
    inode = Path(cache.path_of(md5)).stat().st_ino
    cache.verified.clear()  # As in the next process.
    assert cache.put(tmp_path / "source") == md5
    assert Path(cache.path_of(md5)).stat().st_ino == inode


@pytest.mark.parametrize("bad", [b"", b"sam", b"SAME", b"same!"])
def test_adding_content_again_heals_a_damaged_object(cache: Cache, tmp_path: Path, bad: bytes):
    (tmp_path / "source").write_bytes(b"same")
    md5 = cache.put(tmp_path / "source")
    damage(cache, md5, bad)
    with pytest.raises(Corrupt, match="is damaged"):
        cache.read(md5)
    assert cache.put(tmp_path / "source") == md5
    assert cache.read(md5) == b"same"
    assert Path(cache.path_of(md5)).stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink", "reflink"])
def test_no_kind_of_link_is_made_to_damaged_content(tmp_path: Path, kind: str):
    cache = Cache(tmp_path / "cache", [kind])
    md5 = stored(cache, b"content")
    damage(cache, md5, b"CONTENT")
    with pytest.raises(Corrupt, match="is damaged"):
        link_out(cache, md5, str(tmp_path / "target"))
    assert not (tmp_path / "target").exists()


def test_a_hardlink_is_read_only_and_an_empty_file_has_none(tmp_path: Path):
    cache = Cache(tmp_path / "cache", ["hardlink"])
    md5, empty = stored(cache, b"content"), stored(cache, b"")
    assert link_out(cache, md5, str(tmp_path / "a")) == "hardlink"
    assert (tmp_path / "a").stat().st_ino == Path(cache.path_of(md5)).stat().st_ino
    assert (tmp_path / "a").stat().st_mode & 0o222 == 0
    link_out(cache, empty, str(tmp_path / "b"))
    assert (tmp_path / "b").stat().st_nlink == 1


def test_an_object_that_somebody_made_writable_is_not_linked_as_such(tmp_path: Path):
    for kind in ("hardlink", "symlink"):
        cache = Cache(tmp_path / f"cache-{kind}", [kind])
        md5 = stored(cache, b"content")
        Path(cache.path_of(md5)).chmod(0o666)
        link_out(cache, md5, str(tmp_path / kind))
        assert (tmp_path / kind).stat().st_mode & 0o222 == 0


def test_a_file_that_may_be_run_is_a_copy_with_a_mode_of_its_own(tmp_path: Path):
    cache = Cache(tmp_path / "cache", ["hardlink"])
    md5 = stored(cache, b"#!/bin/sh\n")
    assert link_out(cache, md5, str(tmp_path / "run"), is_exec=True) == "copy"
    assert (tmp_path / "run").stat().st_mode & 0o100
    assert Path(cache.path_of(md5)).stat().st_mode & 0o777 == 0o444


def test_a_link_that_the_file_system_cannot_make_gives_way_to_the_next_kind(tmp_path: Path):
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to link across")
    cache = Cache(tmp_path / "cache", ["hardlink", "copy"])
    md5 = stored(cache, b"content")
    target = Path("/dev/shm") / f"taut-test-{os.getpid()}"
    try:
        assert link_out(cache, md5, str(target)) == "copy"
        assert target.read_bytes() == b"content"
        assert cache.types == ("copy",)
    finally:
        target.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["hardlink", "symlink"])
def test_a_file_linked_in_becomes_a_read_only_link_to_its_content(tmp_path: Path, kind: str):
    cache = Cache(tmp_path / "cache", [kind])
    (tmp_path / "one").write_bytes(b"content")
    (tmp_path / "two").write_bytes(b"content")
    with cache.filling(2) as filling:
        md5s = {filling.link_in(str(tmp_path / name)).md5 for name in ("one", "two")}
    (md5,) = md5s
    for name in ("one", "two"):
        assert (tmp_path / name).samefile(cache.path_of(md5))
        assert (tmp_path / name).read_bytes() == b"content"
        assert (tmp_path / name).stat().st_mode & 0o222 == 0


def test_what_is_missing_is_told_alike_for_few_and_for_many(cache: Cache):
    there = {stored(cache, str(number).encode()) for number in range(20)}
    gone = {md5_of(b"gone %d" % number) for number in range(1000)}
    assert cache.missing([*there, *list(gone)[:5]]) == set(list(gone)[:5])
    assert cache.missing([*there, *gone]) == gone


@pytest.mark.parametrize("name", ["", "abc", "../../../etc/passwd", "a" * 31, "A" * 32, "g" * 32, "a" * 32 + ".exe"])
def test_a_digest_of_a_stranger_that_is_none_is_refused(cache: Cache, name: str):
    with pytest.raises(Corrupt, match="is no digest"):
        cache.path_of(name)


def test_a_stream_is_kept_only_under_its_own_digest(cache: Cache):
    with cache.filling(2) as filling:
        assert filling.put_stream([b"con", b"tent"], md5_of(b"content"))
        assert not filling.put_stream([b"other"], md5_of(b"wanted"))
    assert cache.read(md5_of(b"content")) == b"content"
    with pytest.raises(NotFound):
        cache.read(md5_of(b"wanted"))


def test_verifying_reads_an_object_once_until_its_stamp_changes(cache: Cache):
    md5 = stored(cache, b"content")
    cache.verify(md5)
    path = damage(cache, md5, b"CONTENT")
    with pytest.raises(Corrupt):
        cache.verify(md5)
    path.unlink()
    with pytest.raises(NotFound):
        cache.verify(md5)


def test_staging_of_a_killed_process_is_cleared_away(cache: Cache, tmp_path: Path):
    (cache.folder / ".taut-999999999:1.dead+ab").mkdir(parents=True)
    stored(cache, b"x")
    assert [path.name for path in cache.folder.iterdir()] == ["files"]


KILLED = """
import os, signal, sys
from pathlib import Path
from taut.data.workspace.cache import Cache
steps = int(sys.argv[2])
def count(event, _):
    global steps
    if event in ("open", "os.rename", "os.mkdir", "os.chmod"):
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
cache = Cache(Path(sys.argv[1]) / "cache", ["copy"])
sys.addaudithook(count)
with cache.filling(50) as filling:
    for number in range(50):
        filling.put_bytes(b"%d" % number * 1000)
"""


@pytest.mark.parametrize("step", [40, 75, 110])
def test_killed_anywhere_every_object_is_whole_or_absent(tmp_path: Path, step: int):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(step)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    objects = [path for path in (tmp_path / "cache" / "files").rglob("*") if path.is_file()]
    assert 0 < len(objects) < 50
    for path in objects:
        assert md5_of(path.read_bytes()) == path.parent.name + path.name


def test_threads_that_store_the_same_content_at_once_store_it_once(cache: Cache):
    with cache.filling(100) as filling:
        threads = [threading.Thread(target=filling.put_bytes, args=(b"same",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert files_in(cache) == [Path(cache.path_of(md5_of(b"same")))]


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"", b""),
        (b"a\r\nb\r\n", b"a\nb\n"),
        (b"a\rb", b"a\rb"),
        (b"\x00\r\n", b"\x00\r\n"),
        (b"\xff" * 31 + b"a" * 69 + b"\r\n", b"\xff" * 31 + b"a" * 69 + b"\r\n"),
        (b"\xff" * 30 + b"a" * 70 + b"\r\n", b"\xff" * 30 + b"a" * 70 + b"\n"),
    ],
)
def test_the_digest_of_dvc_2_reads_line_ends_of_text_as_one(tmp_path: Path, data: bytes, read: bytes):
    (tmp_path / "x").write_bytes(data)
    assert dos2unix_digest(str(tmp_path / "x")) == hashlib.md5(read).hexdigest()


def test_a_list_of_files_is_sorted_by_code_points_and_ascii():
    listed = listing_bytes([("ü", "b" * 32), ("a/b", "c" * 32), ("a-b", "a" * 32)])
    assert listed.index(b"a-b") < listed.index(b"a/b") < listed.index(b"\\u00fc")
    assert listed.isascii()
    assert listing_bytes([]) == b"[]"
