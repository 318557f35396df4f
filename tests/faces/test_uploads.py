"""Uploads through a real server: whole or not at all, whatever dies, lies, breaks off or fills up in the middle."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from taut.errors import NotFound
from taut.faces.http.bodies import BLOCK_BYTES
from taut.faces.http.intake import LEAST_BYTES
from taut.govern import check_home
from taut.ground.objects import oid_of
from taut.ground.objects.local import LocalObjects
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.runs import all_artifacts, create_run, find_artifact
from tests.faces.serving import raw, served
from tests.faces.speaking import POOL
from tests.faults.disks import small_disk
from tests.marks import POSTGRESQL_SLOW
from tests.parts import eventually, free_port


@pytest.fixture(name="home", params=POSTGRESQL_SLOW)
def fast_home(home: Home) -> Home:
    """The home of all tests, in the fast run on SQLite alone."""
    return home


ROOT = "0/r/artifacts"
PLACE = f"/api/2.0/mlflow-artifacts/artifacts/{ROOT}"
LARGE = LEAST_BYTES + 3 * BLOCK_BYTES + 12345
SIZES = [0, 1, 70_000, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 1, LEAST_BYTES, LARGE, 4 * LARGE]


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        create_run(home, run_id="r")
        yield address


@dataclass
class Upload:
    """A request that a test sends piece by piece."""

    line: socket.socket

    def send(self, data: bytes) -> None:
        self.line.sendall(data)

    def answer(self) -> tuple[int, bytes]:
        """The status and the rest of what comes until the connection closes or the answer is whole."""
        said = b""
        while not said.endswith((b"}", b"\r\n\r\n")) and (part := self.line.recv(65536)):
            said += part
        return int(said.split()[1]) if said else 0, said


@contextmanager
def upload(url: str, path: str, length: int | None, *, more: str = "") -> Iterator[Upload]:
    """Open a connection and say what comes: so many bytes, or chunks for None."""
    host, _, port = url.removeprefix("http://").partition(":")
    said = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(f"PUT {PLACE}/{path} HTTP/1.1\r\nHost: {host}\r\n{said}\r\n{more}\r\n".encode())
        yield Upload(line)


def unfinished(home: Home) -> list[Path]:
    assert isinstance(home.objects, LocalObjects)
    return list((Path(home.objects.url.removeprefix("file://")) / "tmp").iterdir())


def paths(home: Home) -> list[str]:
    return [file.path for file in all_artifacts(home, ROOT)]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_of_any_size_is_stored_as_it_was_sent_and_the_server_goes_on(home, url, size):
    data = os.urandom(size)
    for name in ("a", "b"):
        answer = POOL.request("PUT", f"{url}{PLACE}/{name}", body=data)
        assert (answer.status, answer.json()) == (200, {})
        kept = find_artifact(home, ROOT, name)
        assert (kept.oid, kept.size_bytes) == (oid_of(data), size)
    assert POOL.request("GET", f"{url}{PLACE}/b").data == data
    assert unfinished(home) == []


@pytest.mark.parametrize("size", [1, 70_000, LARGE])
def test_a_body_in_chunks_of_any_size_is_stored_as_it_was_sent(home, url, size):
    data = os.urandom(size)
    pieces = [data[start : start + 1 + size // 7] for start in range(0, size, 1 + size // 7)]
    answer = POOL.request("PUT", f"{url}{PLACE}/a", body=iter(pieces))
    assert answer.status == 200
    assert find_artifact(home, ROOT, "a").oid == oid_of(data)


def test_a_large_body_is_received_past_the_parser_and_its_connection_closed(url):
    """What only the speed tells would break unseen: with another server, or something around its requests."""
    for size, closes in ((LEAST_BYTES // 2, False), (LARGE, True)):
        headers = POOL.request("PUT", f"{url}{PLACE}/a", body=bytes(size)).headers
        assert (headers.get("connection") == "close") is closes


def test_a_large_body_that_comes_a_little_at_a_time_is_whole(home, url):
    data = os.urandom(LARGE)
    with upload(url, "a", len(data)) as slow:
        for start in range(0, len(data), 100_003):
            slow.send(data[start : start + 100_003])
        assert slow.answer()[0] == 200
    assert find_artifact(home, ROOT, "a").oid == oid_of(data)


def test_a_client_that_waits_to_be_told_to_go_on_is_told(home, url):
    data = os.urandom(LARGE)
    with upload(url, "a", len(data), more="Expect: 100-continue\r\n") as patient:
        assert patient.line.recv(100).startswith(b"HTTP/1.1 100")
        patient.send(data)
        assert patient.answer()[0] == 200
    assert find_artifact(home, ROOT, "a").oid == oid_of(data)


@pytest.mark.parametrize("sent", [0, 1000, BLOCK_BYTES + 1, LARGE - 1])
@pytest.mark.parametrize("length", [LARGE, None], ids=["said", "chunks"])
def test_a_body_that_breaks_off_leaves_nothing(home, url, sent, length):
    with upload(url, "a", length) as broken:
        broken.send(bytes(sent) if length else b"%x\r\n" % LARGE + bytes(sent))
    eventually(lambda: not unfinished(home) and POOL.request("GET", f"{url}/health").status == 200)
    assert paths(home) == []
    assert list(home.objects.list()) == []


def test_what_comes_after_the_body_is_not_of_it(home, url):
    data = os.urandom(LARGE)
    with upload(url, "a", len(data)) as long:
        long.send(data + b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert long.answer()[0] == 200
    assert find_artifact(home, ROOT, "a").oid == oid_of(data)


@pytest.mark.parametrize("length", ["-1", "x", "1x", "99999999999999999999999"])
def test_a_length_that_is_none_is_refused(home, url, length):
    request = f"PUT {PLACE}/a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\nx"
    assert raw(url, request.encode()).split()[1:2] == [b"400"]
    assert paths(home) == []


@pytest.mark.parametrize("size", [100, LARGE])
def test_a_file_for_no_run_is_refused_and_no_object_is_kept_of_a_large_one(home, url, size):
    answer = POOL.request("PUT", f"{url}{PLACE.replace('/r/', '/nobody/')}/a", body=os.urandom(size))
    assert (answer.status, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert unfinished(home) == []
    assert list(home.objects.list()) == [] or size < BLOCK_BYTES


def test_two_uploads_of_one_path_at_once_are_one_of_the_two(home, url):
    bodies = [os.urandom(LARGE), os.urandom(LARGE)]
    with upload(url, "a", LARGE) as first, upload(url, "a", LARGE) as second:
        for start in range(0, LARGE, 1 << 20):
            first.send(bodies[0][start : start + (1 << 20)])
            second.send(bodies[1][start : start + (1 << 20)])
        assert (first.answer()[0], second.answer()[0]) == (200, 200)
    assert find_artifact(home, ROOT, "a").oid in {oid_of(body) for body in bodies}
    assert sorted(home.objects.list()) == sorted(oid_of(body) for body in bodies)
    assert unfinished(home) == []


def test_a_sender_that_waits_keeps_nobody_else_waiting(home, url):
    with upload(url, "slow", LARGE) as slow:
        slow.send(bytes(BLOCK_BYTES + 1))
        for number in range(20):
            assert POOL.request("PUT", f"{url}{PLACE}/quick/{number}", body=b"x").status == 200
        slow.send(bytes(LARGE - BLOCK_BYTES - 1))
        assert slow.answer()[0] == 200


def test_a_full_disk_is_told_to_who_still_sends_and_the_server_goes_on(tmp_path):
    with small_disk(tmp_path / "disk", "24m") as disk:
        make_folder(disk)
        with open_home(disk) as home, served(home) as url:
            create_run(home, run_id="r")
            for length in (64 << 20, None):
                body: Any = bytes(64 << 20) if length else iter([bytes(1 << 20)] * 64)
                answer = POOL.request("PUT", f"{url}{PLACE}/big", body=body)
                assert (answer.status, answer.json()["error_code"]) == (507, "RESOURCE_EXHAUSTED")
                assert "No space left" in answer.json()["message"]
            assert unfinished(home) == []
            assert POOL.request("PUT", f"{url}{PLACE}/small", body=b"fits").status == 200
            assert POOL.request("GET", f"{url}{PLACE}/small").data == b"fits"
            assert paths(home) == ["small"]
            assert check_home(home).problems == ()


@pytest.fixture
def project_with_run(project: Path) -> Path:
    with open_home(project) as home:
        create_run(home, run_id="r")
    return project


@contextmanager
def server_process(project: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`taut server` in a process that a test may kill."""
    port = free_port()
    command = [sys.executable, "-m", "taut", "--home", str(project), "server", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(is_up, what="the server")
        yield url, process
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.parametrize("sent", [BLOCK_BYTES + 1, LARGE // 2, LARGE - 1])
def test_a_server_killed_in_the_middle_of_an_upload_has_lost_nothing_else(project_with_run, sent):
    with server_process(project_with_run) as (url, process):
        assert POOL.request("PUT", f"{url}{PLACE}/kept", body=b"kept" * 100_000).status == 200
        with upload(url, "half", LARGE) as half:
            half.send(os.urandom(sent))
            with open_home(project_with_run) as home:
                eventually(lambda: unfinished(home), what="bytes on the disk")
            process.send_signal(signal.SIGKILL)
            process.wait(30)
    with open_home(project_with_run) as home:
        assert paths(home) == ["kept"]
        assert list(home.objects.list()) == [oid_of(b"kept" * 100_000)]
        assert check_home(home).problems == ()
        for left in unfinished(home):
            os.utime(left, (0, 0))
    with open_home(project_with_run) as home:
        assert unfinished(home) == []


def test_what_was_answered_is_there_after_a_kill(project_with_run):
    bodies = {f"f{number}": os.urandom(size) for number, size in enumerate((0, 10, 100_000, LARGE))}
    for name, body in bodies.items():
        with server_process(project_with_run) as (url, process), upload(url, name, len(body)) as sending:
            sending.send(body)
            assert sending.answer()[0] == 200
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        with open_home(project_with_run) as home, home.objects.open(find_artifact(home, ROOT, name).oid) as stream:
            assert stream.read() == body
    with open_home(project_with_run) as home:
        assert paths(home) == sorted(bodies)
        assert check_home(home).problems == ()


def test_a_server_that_is_asked_to_end_takes_the_upload_under_way(project_with_run):
    data = os.urandom(LARGE)
    with server_process(project_with_run) as (url, process), upload(url, "a", len(data)) as last:
        last.send(data[: LARGE // 2])
        with open_home(project_with_run) as home:
            eventually(lambda: unfinished(home), what="bytes on the disk")
        process.send_signal(signal.SIGTERM)
        last.send(data[LARGE // 2 :])
        assert last.answer()[0] == 200
        assert process.wait(30) in (0, -signal.SIGTERM)
    with open_home(project_with_run) as home:
        assert find_artifact(home, ROOT, "a").oid == oid_of(data)


def test_many_uploads_at_once_are_all_whole(home, url):
    bodies = [os.urandom(size) for size in SIZES]
    statuses: list[int] = []

    def put(number: int) -> None:
        statuses.append(POOL.request("PUT", f"{url}{PLACE}/{number}", body=bodies[number]).status)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * len(bodies)
    assert [find_artifact(home, ROOT, str(number)).oid for number in range(len(bodies))] == [*map(oid_of, bodies)]
    with pytest.raises(NotFound):
        find_artifact(home, ROOT, "none")
