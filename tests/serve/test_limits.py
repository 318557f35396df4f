"""What bounds a server: bodies, slow clients, full queues, and models that raise or hang."""

import resource
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from taut.home import Home
from taut.models import fetch_model, find_model, load_model
from taut.serve import traffic
from taut.serve.http.application import Application
from taut.serve.log import PredictionLog, log_place
from taut.serve.scoring.limits import Limits
from taut.serve.supervising import Server
from tests.parts import eventually
from tests.serve.scenes import ROWS, make_home, record, register, tensors
from tests.serve.threaded import backend_of

Ask = Callable[..., urllib3.BaseHTTPResponse]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        register(made)
        record(made)
        yield made


@contextmanager
def limited(home: Home, limits: Limits) -> Iterator[tuple[str, int]]:
    """A server in a thread of this process, with these limits; its host and port."""
    version = find_model(home, "late@1")
    predictor = load_model(fetch_model(home, version), version.digest)
    log = PredictionLog.open(log_place(home), "late")
    application = Application(home, [backend_of(predictor)], limits, log=log)
    ready = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
        server = Server(application, listener, ready.set)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(10)
            yield address
        finally:
            server.should_exit = True
            thread.join(30)


def infer(address: tuple[str, int], carrier: str = "UA", request_id: str = "") -> tuple[int, Any, Any]:
    """One inference request on a connection of its own: status, answer, headers."""
    body = {"inputs": tensors({**ROWS, "carrier": [carrier, "AA"]}), "id": request_id}
    with urllib3.HTTPConnectionPool(address[0], address[1], retries=False, timeout=20.0) as pool:
        answer = pool.request("POST", "/v2/models/late/infer", body=msgspec.json.encode(body))
        return answer.status, msgspec.json.decode(answer.data), answer.headers


def ready(address: tuple[str, int]) -> int:
    with urllib3.HTTPConnectionPool(address[0], address[1], retries=False, timeout=20.0) as pool:
        return pool.request("GET", "/v2/health/ready").status


def exchange(address: tuple[str, int], *parts: bytes) -> bytes:
    """Send bytes as they are, return what comes back until the first answer is whole or the connection ends."""
    with socket.create_connection(address, timeout=20) as line:
        for part in parts:
            line.sendall(part)
        return line.recv(65_536)


def head(*headers: str) -> bytes:
    return "\r\n".join(["POST /v2/models/late/infer HTTP/1.1", "Host: here", *headers, "", ""]).encode()


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(home: Home):
    with limited(home, Limits(body_bytes=1000)) as address:
        assert exchange(address, head("Content-Length: 1001")).startswith(b"HTTP/1.1 413 ")
        assert infer(address)[0] == 200


def test_a_body_that_grows_too_large_is_refused_when_it_does(home: Home):
    with limited(home, Limits(body_bytes=1000)) as address:
        chunk = b"258\r\n" + b" " * 600 + b"\r\n"
        assert exchange(address, head("Transfer-Encoding: chunked"), chunk, chunk).startswith(b"HTTP/1.1 413 ")
        assert infer(address)[0] == 200


def test_a_body_that_does_not_arrive_is_not_waited_for(home: Home):
    with limited(home, Limits(body_s=0.2)) as address:
        assert exchange(address, head("Content-Length: 10"), b"{").startswith(b"HTTP/1.1 408 ")
        assert infer(address)[0] == 200


def test_clients_that_vanish_do_no_harm(home: Home):
    with limited(home, Limits()) as address:
        for _ in range(50):
            with socket.create_connection(address, timeout=5) as line:
                line.sendall(head("Content-Length: 10") + b"{")
        assert infer(address)[0] == 200


def test_a_model_that_raises_is_a_500_with_an_id_and_the_log_tells_the_rest(
    home: Home, capfd: pytest.CaptureFixture[str]
):
    with limited(home, Limits()) as address:
        status, answer, _ = infer(address, "raise", "bad-1")
        assert status == 500
        assert "bad-1" in answer["error"]
        assert "told to" not in answer["error"]
        assert infer(address)[0] == 200
    written = capfd.readouterr().err
    assert "request bad-1: the model failed" in written
    assert "RuntimeError: told to" in written
    assert traffic(home, "late").requests == 1


def test_a_model_that_hangs_is_a_504_and_the_server_says_it_is_not_ready(home: Home, tmp_path: Path):
    gate = tmp_path / "open"
    with limited(home, Limits(answer_s=0.3)) as address:
        status, answer, _ = infer(address, f"hang:{gate}")
        assert status == 504
        assert "0.3 s" in answer["error"]
        assert infer(address)[0] == 504  # There is one model, and it is busy.
        assert ready(address) == 503
        gate.touch()
        eventually(lambda: ready(address) == 200, what="the model to come back")
        assert infer(address)[0] == 200


def test_what_was_answered_too_late_is_the_answer_to_the_next_try(home: Home, tmp_path: Path):
    gate = tmp_path / "open"
    with limited(home, Limits(answer_s=0.3)) as address:
        assert infer(address, f"hang:{gate}", "slow-1")[0] == 504
        gate.touch()
        eventually(lambda: traffic(home, "late").requests == 1, what="the late answer")
        status, answer, _ = infer(address, f"hang:{gate}", "slow-1")
        assert (status, answer["id"]) == (200, "slow-1")
        assert traffic(home, "late").requests == 1


def test_a_full_queue_sends_away_and_says_when_to_come_back(home: Home, tmp_path: Path):
    gate = tmp_path / "open"
    with limited(home, Limits(waiting=2)) as address, ThreadPoolExecutor(2) as clients:
        held = [clients.submit(infer, address, f"hang:{gate}") for _ in range(2)]
        eventually(lambda: waiting(address) == 2, what="a full queue")
        status, answer, headers = infer(address)
        assert (status, headers["Retry-After"]) == (503, "1")
        assert "wait already" in answer["error"]
        gate.touch()
        assert [one.result()[0] for one in held] == [200, 200]
        assert infer(address)[0] == 200


def waiting(address: tuple[str, int]) -> int:
    with urllib3.HTTPConnectionPool(address[0], address[1], retries=False, timeout=20.0) as pool:
        lines = pool.request("GET", "/metrics").data.decode().splitlines()
    return int(next(line.rpartition(" ")[2] for line in lines if line.startswith("taut_requests_waiting{")))


def test_answers_never_mix_though_many_ask_at_once(home: Home):
    def ask(seats: int) -> bool:
        body = {"inputs": tensors({"delay": [0.0], "seats": [seats], "carrier": ["UA"]}), "id": f"mixed-{seats}"}
        with urllib3.HTTPConnectionPool(address[0], address[1], retries=False, timeout=20.0) as pool:
            answer = msgspec.json.decode(
                pool.request("POST", "/v2/models/late/infer", body=msgspec.json.encode(body)).data
            )
        return bool(answer["id"] == f"mixed-{seats}" and answer["outputs"][1]["data"] == [seats / 1000])

    with limited(home, Limits()) as address, ThreadPoolExecutor(16) as clients:
        assert all(clients.map(ask, range(200)))
    assert traffic(home, "late").requests == 200


def test_a_log_that_cannot_be_written_keeps_the_answer_back_and_goes_on_once_it_can(home: Home):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with limited(home, Limits()) as address:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
        try:
            status, answer, _ = infer(address)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (status, "outputs" in answer) == (503, False)
        assert infer(address)[0] == 200
    assert traffic(home, "late").requests == 1
