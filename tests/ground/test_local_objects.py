"""Objects in a folder: what a writer that died left is swept, what is there is not written again, room is asked for."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from taut.errors import Invalid, Unavailable, error_of
from taut.ground import wire
from taut.ground.objects import NoRoom, connect_objects, oid_of, read_object
from taut.ground.objects.disk import ABANDONED_S, kept_free
from taut.ground.objects.local import EARLY_BYTES, RESERVED_BYTES, LocalObjects
from tests.faults.disks import small_disk

# Says when bytes are on their way to the disk, and waits.
WRITER = """
import sys
from taut.ground.objects import connect_objects
sink = connect_objects(sys.argv[1]).sink(size_bytes=4 << 20)
sink.write(bytes(2 << 20))
print("writing", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def objects(root: Path) -> LocalObjects:
    return LocalObjects(root)


def age(path: Path) -> None:
    """Make a file as old as one that nobody can be just making."""
    then = time.time() - 2 * ABANDONED_S
    os.utime(path, (then, then))


def unfinished(root: Path) -> list[Path]:
    return list((root / "tmp").iterdir())


def test_what_a_killed_writer_left_is_swept_and_what_a_living_one_writes_is_not(root):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, f"file://{root}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None and writer.stdin is not None
    with writer.stdout, writer.stdin:
        assert writer.stdout.readline() == b"writing\n"
        (file,) = unfinished(root)
        age(file)
        LocalObjects(root)
        assert unfinished(root) == [file]
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(30) == -signal.SIGKILL
    assert list(LocalObjects(root).list()) == []
    assert unfinished(root) == []


def test_what_was_left_only_just_is_not_swept_yet(root, objects):
    (root / "tmp" / "new").touch()
    LocalObjects(root)
    assert [file.name for file in unfinished(root)] == ["new"]


@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_an_object_that_is_there_keeps_its_file_and_is_young_again(root, objects, size):
    data = os.urandom(size)
    oid = objects.put(io.BytesIO(data))
    place = root / oid[:2] / oid[2:]
    os.utime(place, (0, 0))
    before = place.stat()
    assert LocalObjects(root).put(io.BytesIO(data)) == oid
    after = place.stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert after.st_mtime > time.time() - 60
    assert unfinished(root) == []


def test_an_object_that_lost_a_part_is_whole_once_it_is_put_again(root, objects):
    oid = objects.put(io.BytesIO(b"whole"))
    place = root / oid[:2] / oid[2:]
    place.chmod(0o644)
    os.truncate(place, 2)
    assert objects.put(io.BytesIO(b"whole")) == oid
    assert read_object(objects, oid) == b"whole"


def test_an_object_can_be_written_by_nobody(root, objects):
    oid = objects.put(io.BytesIO(b"read me"))
    assert (root / oid[:2] / oid[2:]).stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("said", [0, 1 << 20, 100 << 20])
def test_room_that_was_asked_for_and_not_used_is_given_back(root, objects, said):
    """Nobody said how much would come, or too little, or too much."""
    data = os.urandom(EARLY_BYTES + 12345)
    with objects.sink(size_bytes=said) as sink:
        for start in range(0, len(data), 1 << 20):
            sink.write(data[start : start + (1 << 20)])
        oid = sink.commit()
    found = (root / oid[:2] / oid[2:]).stat()
    assert found.st_size == len(data)
    assert found.st_blocks * 512 < len(data) + RESERVED_BYTES // 8
    assert read_object(objects, oid) == data


def test_many_small_pieces_make_one_object(objects):
    data = os.urandom(100_000)
    with objects.sink() as sink:
        for start in range(0, len(data), 10):
            sink.write(data[start : start + 10])
        assert sink.commit() == oid_of(data)
    assert read_object(objects, oid_of(data)) == data


def test_what_was_said_and_has_no_room_is_refused_with_the_first_bytes_and_the_rest_still_fits(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        objects = connect_objects(f"file://{disk / 'objects'}")
        with pytest.raises(NoRoom, match="No space left") as told, objects.sink(size_bytes=1 << 30) as sink:
            sink.write(bytes(1 << 20))
        assert "df -h" in told.value.hint
        assert unfinished(disk / "objects") == []
        assert objects.put(io.BytesIO(bytes(1 << 20))) == oid_of(bytes(1 << 20))


def test_no_room_travels_as_unavailable_and_answers_that_storage_is_insufficient():
    told = NoRoom("full", hint="df -h")
    assert (told.kind, told.http_status, told.exit_status) == ("Unavailable", 507, Unavailable.exit_status)
    assert type(error_of(told.kind, told.message)) is Unavailable
    assert wire.encode(told.kind) == b'"Unavailable"'


def test_the_last_of_a_disk_is_left_to_others(tmp_path, monkeypatch):
    with small_disk(tmp_path / "disk", "16m") as disk:
        objects = connect_objects(f"file://{disk / 'objects'}")
        monkeypatch.setenv("TAUT_DISK_RESERVE_MIB", "6")
        with pytest.raises(NoRoom), objects.sink(size_bytes=12 << 20) as sink:  # Refused with its first bytes.
            sink.write(bytes(1 << 20))
        with pytest.raises(NoRoom), objects.sink() as sink:  # Nobody said how much would come.
            for _ in range(12):
                sink.write(bytes(1 << 20))
        assert unfinished(disk / "objects") == []
        free = os.statvfs(disk)
        assert free.f_bavail * free.f_frsize > 15 << 20
        assert objects.put(io.BytesIO(bytes(8 << 20)))
        monkeypatch.setenv("TAUT_DISK_RESERVE_MIB", "some")
        with pytest.raises(Invalid, match="TAUT_DISK_RESERVE_MIB"):
            objects.put(io.BytesIO(bytes(1 << 20)))


def test_of_a_small_disk_a_hundredth_is_kept_and_of_a_large_one_a_gibibyte():
    assert kept_free(100 << 20) == 1 << 20
    assert kept_free(100 << 40) == 1 << 30


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user for a moment")
def test_an_object_of_another_user_is_here_though_its_time_is_not_ours_to_set():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        objects = connect_objects(f"file://{folder}/objects")
        oid = objects.put(io.BytesIO(b"theirs"))
        os.seteuid(65534)
        try:
            assert objects.claim([oid, "0" * 64]) == {"0" * 64}
        finally:
            os.seteuid(0)
