"""One suite for every object store: what was put comes back whole, by name, in any range; nothing else does."""

import io
import os
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
