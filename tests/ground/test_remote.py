"""The client of a server: whatever answers at the URL, the caller gets the result or one true error of ours."""

import http.server
import io
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from taut.errors import KINDS, Conflict, Corrupt, Denied, Invalid, NotFound, TautError, Unavailable, UsageError
from taut.govern import check_home, create_token, show_tokens
from taut.ground import wire
from taut.ground.objects import oid_of, read_object
from taut.ground.objects.local import LocalObjects
from taut.ground.objects.protocol import chunks
from taut.ground.remote import SPOOL_BYTES, Remote, RemoteMetadata, RemoteObjects, remote_token
from taut.home import Home, open_home
from taut.runs import create_run, get_run
from tests.faces.serving import served


@dataclass
class Script:
    """What the server answers to everything, and what it was asked."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    hang: threading.Event | None = None
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class Scene:
    script: Script
    remote: Remote


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A server on a real port that follows the script, and a client of it that holds a token."""
    script = Script()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append((self.command, self.path, dict(self.headers), body))
            if script.hang is not None:
                script.hang.wait(30)
                return
            said = script.body  # Once: the test may write the next answer before this one is out.
            self.send_response(script.status)
            self.send_header("Content-Length", str(len(said)))
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said[: script.cut_at])
            if script.cut_at is not None:
                self.close_connection = True

        do_GET = do_POST = answer  # The names that the library looks for.

        def log_message(self, *_: object) -> None:
            """Nothing on the tests' screen."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    remote = Remote(f"http://127.0.0.1:{server.server_address[1]}/", "taut_secret")
    yield Scene(script, remote)
    if script.hang is not None:
        script.hang.set()
    remote.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_verb_travels_as_its_name_its_arguments_and_the_token(scene):
    scene.script.body = b'"done"'
    assert scene.remote.call("greeting.say", {"name": "bob", "times": 2}) == b'"done"'
    ((method, path, headers, body),) = scene.script.asked
    assert (method, path) == ("POST", "/api/taut/v1/verbs/greeting.say")
    assert wire.decode(body, dict[str, object]) == {"name": "bob", "times": 2}
    assert headers["Authorization"] == "Bearer taut_secret"
    assert headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_of_error_arrives_as_itself(scene, kind):
    scene.script.status = KINDS[kind].http_status
    scene.script.body = wire.encode({"error": kind, "message": "no", "hint": "try yes"})
    with pytest.raises(KINDS[kind], match="no") as told:
        scene.remote.call("x.y", {})
    assert (type(told.value), told.value.hint) == (KINDS[kind], "try yes")


def test_an_error_of_a_newer_server_is_still_an_error_of_ours(scene):
    scene.script.status = 418
    scene.script.body = wire.encode({"error": "Teapot", "message": "short and stout", "more": [1]})
    with pytest.raises(TautError, match="short and stout") as told:
        scene.remote.call("x.y", {})
    assert type(told.value) is TautError


@pytest.mark.parametrize("body", [b"", b"<html>nginx</html>", b'{"detail":"x"}', b"[1]", b"\xff\xfe", b'{"error":3}'])
@pytest.mark.parametrize("status", [404, 500, 502])
def test_an_answer_that_no_taut_server_gives_is_told_with_its_status(scene, status, body):
    scene.script.status, scene.script.body = status, body
    with pytest.raises(Unavailable, match=f"answered {status}, not as a taut server") as told:
        scene.remote.call("x.y", {})
    assert "TAUT_HOME" in told.value.hint


def test_who_is_not_known_is_denied_with_what_to_set(scene):
    scene.script.status = 401
    for body, said in ((b"", "asks who you are"), (b'{"message":"token expired"}', "token expired")):
        scene.script.body = body
        with pytest.raises(Denied, match=said) as told:
            scene.remote.call("x.y", {})
        assert "TAUT_TOKEN" in told.value.hint


def test_a_long_page_of_an_error_is_cut(scene):
    scene.script.status, scene.script.body = 502, b"x" * 100_000
    with pytest.raises(Unavailable) as told:
        scene.remote.call("x.y", {})
    assert len(told.value.message) < 400


def test_a_redirect_is_not_followed_and_not_taken_for_an_answer(scene):
    scene.script.status, scene.script.headers = 302, {"Location": "http://127.0.0.1:9/login"}
    with pytest.raises(Unavailable, match="answered 302"):
        scene.remote.call("x.y", {})
    assert len(scene.script.asked) == 1


def test_a_server_that_says_nothing_is_unavailable_after_the_time_it_has(scene, monkeypatch):
    monkeypatch.setattr("taut.ground.remote.TIMEOUT_S", 0.2)
    scene.script.hang = threading.Event()
    impatient = Remote(scene.remote.url)
    with pytest.raises(Unavailable, match="timed out"):
        impatient.call("x.y", {})
    impatient.close()


def test_an_answer_that_breaks_off_is_unavailable(scene):
    scene.script.body, scene.script.cut_at = b'"' + b"x" * 10_000 + b'"', 500
    with pytest.raises(Unavailable):
        scene.remote.call("x.y", {})


def test_nobody_at_the_port_is_unavailable_with_the_url(free_port):
    remote = Remote(f"http://127.0.0.1:{free_port}")
    with pytest.raises(Unavailable, match=str(free_port)) as told:
        remote.call("x.y", {})
    assert "taut server" in told.value.hint
    remote.close()


@pytest.mark.parametrize("url", ["http://", "http://no such host/", "http://[::1", "http://127.0.0.1:99999"])
def test_a_url_that_is_none_is_an_error_of_ours(url):
    remote = Remote(url)
    with pytest.raises(TautError):
        remote.call("x.y", {})
    remote.close()


def test_a_captive_portal_that_answers_everything_is_not_taken_for_a_result(scene):
    scene.script.body = b"<html>welcome to the hotel</html>"
    with open_home(scene.remote.url) as home, pytest.raises(Invalid, match=r"the answer of run\.get"):
        get_run(home, "a" * 32)
    with pytest.raises(Invalid, match="the server's answer"):
        RemoteObjects(scene.remote).missing(["a" * 64])


def test_bytes_that_are_not_the_object_are_corrupt(scene):
    scene.script.body = b"other bytes"
    with pytest.raises(Corrupt, match=oid_of(b"wanted")[:12]):
        RemoteObjects(scene.remote).open(oid_of(b"wanted")).read()


def test_a_token_comes_from_the_environment_ours_before_others(monkeypatch):
    assert remote_token() == ""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "theirs")
    assert remote_token() == "theirs"
    monkeypatch.setenv("TAUT_TOKEN", "ours")
    assert remote_token() == "ours"


def test_rows_of_a_server_are_reached_by_verbs_alone():
    meta = RemoteMetadata("http://db.example.org")
    for refuse in (meta.transaction, meta.read):
        with pytest.raises(UsageError, match="own folder") as told:
            refuse()
        assert "--home" in told.value.hint
    meta.close()


@pytest.fixture
def local(project: Path) -> Iterator[Home]:
    with open_home(project) as home:
        yield home


@pytest.fixture
def far(local: Home) -> Iterator[Home]:
    """The same home, through a real server of taut."""
    with served(local) as url, open_home(url) as home:
        yield home


def test_objects_travel_both_ways_whole_and_in_ranges(far, local):
    data = bytes(range(256)) * 1000
    oid = far.objects.put(io.BytesIO(data))
    assert oid == oid_of(data)
    assert read_object(local.objects, oid) == read_object(far.objects, oid) == data
    assert far.objects.open(oid, start=10, length=5).read() == data[10:15]
    assert far.objects.open(oid, start=len(data) - 3).read() == data[-3:]
    assert far.objects.missing([oid, oid_of(b"gone")]) == {oid_of(b"gone")}
    assert list(far.objects.list()) == [oid]
    with pytest.raises(NotFound):
        far.objects.open(oid_of(b"gone"))
    with pytest.raises(UsageError, match="on the server"):
        far.objects.delete([oid])
    assert far.objects.url.endswith("/objects")


def test_an_object_larger_than_the_spool_travels_through_a_file(far, local):
    data = b"0123456789abcdef" * (SPOOL_BYTES // 16 + 1)
    assert far.objects.put(io.BytesIO(data)) == oid_of(data)
    assert local.objects.missing([oid_of(data)]) == set()


class Zeros(io.RawIOBase):
    """A stream of zeros that nobody can hold whole, and that cannot be sought."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        given = min(self.left, size if size and size > 0 else self.left)
        self.left -= given
        return bytes(given)


def test_an_object_of_any_size_travels_in_little_memory(far, local):
    size = 40 << 20
    tracemalloc.start()
    oid = far.objects.put(Zeros(size))
    with far.objects.open(oid) as stream:
        read = sum(map(len, chunks(stream)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (oid, read) == (oid_of(bytes(size)), size)
    assert peak < size // 2  # The server is in this process, and counts too.


def test_a_source_that_cannot_be_read_is_told_as_that_and_leaves_nothing(far, local):
    class Broken(Zeros):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.left <= 0:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(Unavailable, match=r"cannot be read.*Input/output error"):
        far.objects.put(Broken(5 << 20))
    assert list(local.objects.list()) == []
    assert far.objects.put(io.BytesIO(b"goes on")) == oid_of(b"goes on")


def test_an_error_of_ours_in_a_source_stays_itself(far, local):
    class Changed(Zeros):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.left <= 0:
                raise Conflict("the file changed while it was read")
            return super().read(size)

    with pytest.raises(Conflict, match="changed while"):
        far.objects.put(Changed(5 << 20))
    assert list(local.objects.list()) == []


def test_a_server_that_stored_something_else_is_not_believed(scene):
    scene.script.body = wire.encode(oid_of(b"other bytes"))
    with pytest.raises(Corrupt, match="other bytes than were sent"):
        RemoteObjects(scene.remote).put(io.BytesIO(b"bytes"))


def test_an_object_is_read_in_pieces_and_held_against_its_name_at_the_end(scene):
    for body, is_whole in ((b"0123456789", True), (b"012345678X", False)):
        scene.script.body = body
        with RemoteObjects(scene.remote).open(oid_of(b"0123456789")) as stream:
            assert [stream.read(4), stream.read(4), stream.read(4)] == [body[:4], body[4:8], body[8:]]
            if is_whole:
                assert stream.read(4) == b""
            else:
                with pytest.raises(Corrupt, match="its 10 bytes have another digest"):
                    stream.read(4)


def test_an_object_that_breaks_off_is_unavailable(scene):
    scene.script.body, scene.script.cut_at = bytes(3 << 20), 1 << 20
    with RemoteObjects(scene.remote).open(oid_of(bytes(3 << 20))) as stream, pytest.raises(Unavailable):
        stream.read()


def test_ranges_at_the_edges_are_what_slices_are(far, local):
    data = bytes(range(200))
    oid = far.objects.put(io.BytesIO(data))
    for start, length in ((0, 0), (0, 1), (199, 1), (199, 10), (200, None), (500, 5), (0, 200), (0, None), (1, None)):
        with far.objects.open(oid, start=start, length=length) as stream:
            assert stream.read() == data[start : None if length is None else start + length], (start, length)


def test_a_server_that_knows_no_ranges_is_not_taken_at_its_word(scene):
    scene.script.body = b"everything"
    with pytest.raises(Unavailable, match="answered 200"):
        RemoteObjects(scene.remote).open(oid_of(b"everything"), start=3)


def test_an_object_written_in_pieces_is_on_the_server_after_its_commit_and_not_before(far, local):
    with far.objects.sink() as sink:
        for piece in (b"a" * 100_000, b"b"):
            sink.write(piece)
        assert list(local.objects.list()) == []
        assert sink.commit() == oid_of(b"a" * 100_000 + b"b")
    with far.objects.sink() as forgotten:
        forgotten.write(b"never sent")
    assert list(local.objects.list()) == [oid_of(b"a" * 100_000 + b"b")]


def test_an_object_damaged_on_the_server_is_corrupt_here(far, local):
    oid = far.objects.put(io.BytesIO(b"as it was"))
    assert isinstance(local.objects, LocalObjects)
    place = Path(local.objects.url.removeprefix("file://")) / oid[:2] / oid[2:]
    place.chmod(0o644)
    place.write_bytes(b"as it is!")
    with pytest.raises(Corrupt, match=oid[:12]):
        read_object(far.objects, oid)


def test_a_verb_gives_the_same_result_here_and_there(far, local):
    made = create_run(far, name="from afar")
    assert get_run(local, made.id) == get_run(far, made.id)


def test_an_error_is_the_same_here_and_there(far, local):
    told = []
    for home in (local, far):
        with pytest.raises(NotFound) as caught:
            get_run(home, "f" * 32)
        told.append((caught.value.message, caught.value.hint, caught.value.exit_status))
    assert told[0] == told[1]


def test_fsck_from_afar_looks_at_the_servers_own_home(far, local):
    create_run(far, name="from afar")
    assert check_home(far) == check_home(local)
    with local.meta.transaction() as tx:
        tx.execute("UPDATE ledger SET actor = 'eve' WHERE seq = 1")
    assert [problem.kind for problem in check_home(far).problems] == ["ledger"]


def test_once_there_is_a_token_nobody_passes_without_one(local, monkeypatch):
    secret = create_token(local, "ci", "viewer").secret
    with served(local) as url:
        with open_home(url) as nobody, pytest.raises(Denied):
            show_tokens(nobody)
        monkeypatch.setenv("TAUT_TOKEN", secret)
        with open_home(url) as viewer:
            with pytest.raises(Denied, match="token:admin"):
                show_tokens(viewer)
            with pytest.raises(Denied):
                viewer.objects.put(io.BytesIO(b"x"))
            assert viewer.objects.missing([]) == set()
