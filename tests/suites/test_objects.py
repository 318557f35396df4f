"""One suite for every object store: what was put comes back whole, by name, in any range; nothing else does."""

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taut.errors import Corrupt, NotFound
from taut.ground.objects import Objects, connect_objects, oid_of, read_object
from taut.ground.objects.protocol import CHUNK_BYTES


@pytest.fixture(params=["file", "memory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Objects]:
    if request.param == "s3":
        yield connect_objects(request.getfixturevalue("s3_url"))
    else:
        yield connect_objects(f"{request.param}://{tmp_path / 'objects'}")


def put(objects: Objects, data: bytes) -> str:
    return objects.put(io.BytesIO(data))


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_was_put_comes_back_under_its_digest(objects, size):
    data = os.urandom(size)
    oid = put(objects, data)
    assert oid == oid_of(data)
    assert read_object(objects, oid) == data


def test_putting_twice_is_putting_once(objects):
    assert put(objects, b"twice") == put(objects, b"twice")
    assert list(objects.list()) == [oid_of(b"twice")]


def test_a_range_is_what_a_slice_of_the_whole_is(objects):
    data = os.urandom(1000)
    oid = put(objects, data)
    for start, length in ((0, 10), (990, 10), (500, 100), (0, 1000)):
        with objects.open(oid, start=start, length=length) as stream:
            assert stream.read() == data[start : start + length]
    with objects.open(oid, start=700) as stream:
        assert stream.read() == data[700:]


def test_missing_names_those_and_only_those(objects):
    here, gone = put(objects, b"here"), oid_of(b"gone")
    assert objects.missing([here, gone]) == {gone}
    assert objects.missing([]) == set()


def test_claiming_names_what_is_missing_and_only_that(objects):
    here, gone = put(objects, b"here"), oid_of(b"gone")
    assert objects.claim([here, gone]) == {gone}
    assert objects.claim([]) == set()


@pytest.mark.parametrize("objects", ["file", "memory"], indirect=True)  # A bucket cannot: see decision 0019.
def test_what_was_claimed_is_young_again_and_not_collected(objects):
    oid = put(objects, b"old and unnamed")
    time.sleep(0.01)
    before_ms = time.time_ns() // 1_000_000
    assert [stored.oid for stored in objects.older(before_ms)] == [oid]
    time.sleep(0.01)  # The clock of files runs some milliseconds behind.
    assert objects.claim([oid]) == set()
    assert objects.delete([oid], before_ms=before_ms) == set()
    assert read_object(objects, oid) == b"old and unnamed"


def test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error(objects):
    oid = put(objects, b"short life")
    objects.delete([oid])
    objects.delete([oid])
    assert objects.missing([oid]) == {oid}
    with pytest.raises(NotFound):
        objects.open(oid)


def test_what_was_never_put_is_not_found(objects):
    with pytest.raises(NotFound):
        read_object(objects, oid_of(b"never"))


@pytest.mark.parametrize("sizes", [[], [0], [10, 70_000, 1], [1 << 20] * 5, [3 << 20, 17 << 20, 1]])
def test_an_object_written_in_pieces_is_there_after_its_commit_and_not_before(objects, sizes):
    data = [os.urandom(size) for size in sizes]
    oid = oid_of(b"".join(data))
    with objects.sink(size_bytes=sum(sizes)) as sink:
        for piece in data:
            sink.write(piece)
        assert objects.missing([oid]) == {oid}
        assert sink.commit() == oid
    assert read_object(objects, oid) == b"".join(data)


def test_what_was_written_from_a_buffer_is_what_was_in_it_then(objects):
    buffer = bytearray(1 << 20)
    with objects.sink() as sink:
        for fill in range(20):
            buffer[:] = bytes([fill]) * len(buffer)
            sink.write(memoryview(buffer))
            sink.write(memoryview(buffer)[:100])
            buffer[:] = b"\xff" * len(buffer)
        oid = sink.commit()
    assert read_object(objects, oid) == b"".join(bytes([fill]) * (len(buffer) + 100) for fill in range(20))


@pytest.mark.parametrize("size", [100, 1 << 20, 20 << 20])
def test_what_is_not_committed_was_never_there(objects, size):
    data = os.urandom(size)
    with pytest.raises(ZeroDivisionError), objects.sink() as sink:
        sink.write(data)
        raise ZeroDivisionError
    sink.abort()
    assert objects.missing([oid_of(data)]) == {oid_of(data)}
    assert list(objects.list()) == []


def test_a_stream_can_seek_and_be_read_in_pieces(objects):
    data = os.urandom(9 << 20)
    with objects.open(put(objects, data)) as stream:
        assert stream.seek(0, io.SEEK_END) == len(data)
        assert stream.seek(5 << 20) == 5 << 20
        assert stream.read(1000) == data[5 << 20 :][:1000]
        stream.seek(0)
        assert b"".join(iter(lambda: stream.read(1 << 20), b"")) == data
        assert stream.read(10) == b""
    with objects.open(oid_of(data), start=100, length=50) as stream:
        assert stream.seek(0, io.SEEK_END) == 50
        stream.seek(10)
        assert (stream.read(), stream.read(5)) == (data[110:150], b"")
    for start, length in ((len(data), None), (len(data) + 5, 10), (7, 0)):
        with objects.open(oid_of(data), start=start, length=length) as stream:
            assert stream.read() == b""


def test_the_empty_object_is_there_only_once_it_was_put(objects):
    with pytest.raises(NotFound):
        objects.open(oid_of(b""))
    with objects.open(put(objects, b"")) as stream:
        assert (stream.seek(0, io.SEEK_END), stream.read()) == (0, b"")


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "ab", "/" * 64, "." * 64, "a" * 62 + "/."])
def test_a_name_that_is_no_oid_reaches_no_file(tmp_path, name):
    objects = connect_objects(f"file://{tmp_path / 'objects'}")
    with pytest.raises(NotFound):
        objects.open(name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=4096))
def test_any_bytes_survive_a_folder(tmp_path, data):
    objects = connect_objects(f"file://{tmp_path / 'objects'}")
    assert read_object(objects, put(objects, data)) == data


def test_bytes_changed_on_disk_are_never_served_as_whole(tmp_path):
    objects = connect_objects(f"file://{tmp_path / 'objects'}")
    oid = put(objects, b"as it was")
    place = tmp_path / "objects" / oid[:2] / oid[2:]
    place.chmod(0o644)
    place.write_bytes(b"as it is!")
    with pytest.raises(Corrupt, match=oid[:12]):
        read_object(objects, oid)


def test_a_source_that_breaks_off_leaves_nothing(tmp_path):
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            raise ConnectionResetError("gone")

    objects = connect_objects(f"file://{tmp_path / 'objects'}")
    with pytest.raises(Exception, match=r"gone|did not take"):
        objects.put(io.BufferedReader(Broken()))
    assert list(objects.list()) == []
    assert list((tmp_path / "objects" / "tmp").iterdir()) == []


def test_stored_files_cannot_be_written_by_accident(tmp_path):
    oid = put(connect_objects(f"file://{tmp_path / 'objects'}"), b"constant")
    assert (tmp_path / "objects" / oid[:2] / oid[2:]).stat().st_mode & 0o222 == 0
