"""What only a bucket can refuse: wrong keys, no such bucket, nobody there; and uploads larger than memory's spool."""

import hashlib
import http.server
import io
import os
import threading
import tracemalloc

import obstore
import pytest

from taut.errors import Denied, NotFound, Unavailable, UsageError
from taut.ground.objects import Objects, connect_objects, oid_of, read_object
from taut.ground.objects.protocol import chunks
from taut.ground.objects.s3 import S3Objects
from taut.ground.objects.s3_streams import HELD_BYTES


def test_wrong_keys_are_denied_with_what_to_set(s3_url):
    objects = connect_objects(s3_url.replace("tautsecret", "guessed"))
    for act in (
        lambda: objects.put(io.BytesIO(b"x")),
        lambda: objects.open(oid_of(b"x")),
        lambda: list(objects.list()),
    ):
        with pytest.raises(Denied, match="credentials") as told:
            act()
        assert "AWS_SECRET_ACCESS_KEY" in told.value.hint
        assert "guessed" not in told.value.message


class NoBucket(http.server.BaseHTTPRequestHandler):
    """A server that answers as AWS does for a bucket that is not there; the one of the tests would make it."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = answer

    def log_message(self, *_: object) -> None:
        """Nothing on the tests' screen."""


def test_a_bucket_that_is_not_there_is_named_and_not_taken_for_a_missing_object():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoBucket) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        port = server.server_address[1]
        objects = connect_objects(
            f"s3://nowhere/x?endpoint=http://127.0.0.1:{port}&access_key_id=a&secret_access_key=b&region=x"
        )
        with pytest.raises(NotFound, match="no bucket at s3://nowhere/x"):
            objects.put(io.BytesIO(b"x"))
        server.shutdown()
        thread.join()


def test_nobody_there_is_unavailable(free_port):
    objects = connect_objects(
        f"s3://bucket/prefix?endpoint=http://127.0.0.1:{free_port}&access_key_id=a&secret_access_key=b&region=x"
    )
    with pytest.raises(Unavailable, match="did not answer"):
        objects.missing([oid_of(b"x")])


def test_an_object_larger_than_the_spool_comes_back_whole(s3_url):
    data = b"0123456789abcdef" * (HELD_BYTES // 16 + 1)
    objects = connect_objects(s3_url)
    oid = objects.put(io.BytesIO(data))
    assert oid == oid_of(data)
    with objects.open(oid) as stream:
        assert oid_of(stream.read()) == oid


def keys_in(objects: Objects) -> list[str]:
    """Every key below the prefix, those that are no objects included."""
    assert isinstance(objects, S3Objects)
    return [entry["path"] for batch in obstore.list(objects._store) for entry in batch]


def large() -> bytes:
    return os.urandom(1 << 20) * (HELD_BYTES // (1 << 20) + 3)


def test_a_large_upload_leaves_its_object_and_nothing_else(s3_url):
    objects, data = connect_objects(s3_url), large()
    for _ in range(2):
        oid = objects.put(io.BytesIO(data))
        assert keys_in(objects) == [f"{oid[:2]}/{oid[2:]}"]


def test_a_large_upload_that_breaks_off_leaves_nothing(s3_url):
    objects = connect_objects(s3_url)
    with pytest.raises(ZeroDivisionError), objects.sink() as sink:
        sink.write(large())
        raise ZeroDivisionError
    assert keys_in(objects) == []


def test_what_is_too_large_for_one_copy_is_sent_part_by_part(s3_url, monkeypatch):
    monkeypatch.setattr("taut.ground.objects.s3_streams.COPIED_BYTES_MAX", HELD_BYTES)
    objects, data = connect_objects(s3_url), large()
    oid = objects.put(io.BytesIO(data))
    assert read_object(objects, oid) == data
    assert keys_in(objects) == [f"{oid[:2]}/{oid[2:]}"]


def test_a_large_object_is_read_in_little_memory(s3_url):
    objects, data = connect_objects(s3_url), large()
    oid = objects.put(io.BytesIO(data))
    hashed = hashlib.sha256()
    tracemalloc.start()
    with objects.open(oid) as stream:
        for chunk in chunks(stream):
            hashed.update(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert hashed.hexdigest() == oid
    assert peak < 4 << 20  # Of Python's; the ranges themselves are the library's, two of 4 MiB.


def test_what_an_upload_left_below_tmp_is_no_object(s3_url):
    objects = connect_objects(s3_url)
    assert isinstance(objects, S3Objects)
    obstore.put(objects._store, "tmp/left", b"half")
    assert list(objects.list()) == []


def test_prefixes_of_one_bucket_do_not_see_each_other(s3_url):
    first, second = (connect_objects(s3_url.replace("?", f"-{name}?")) for name in ("a", "b"))
    oid = first.put(io.BytesIO(b"mine"))
    assert second.missing([oid]) == {oid}
    assert list(second.list()) == []


def test_an_option_nobody_knows_is_told_and_no_secret_is_in_the_url(s3_url):
    with pytest.raises(UsageError, match="regoin"):
        connect_objects(s3_url.replace("region", "regoin"))
    assert "tautsecret" not in connect_objects(s3_url).url
