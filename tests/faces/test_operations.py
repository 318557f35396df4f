"""Running a server: ready or not, its log, its traces, its certificate and its end; real processes throughout."""

import contextlib
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from taut.home import open_home
from taut.runs import create_run
from tests.faces.shell import is_two_lines, taut
from tests.parts import eventually

POOL = urllib3.PoolManager(retries=False, timeout=10)


class Running:
    """A server process on a free port, what it wrote, and a client of it."""

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "taut", "server", "--port", "0", "--json", *options],
                cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(env or {})},
            )  # fmt: skip
        assert self.process.stdout is not None
        self.url = str(json.loads(self.process.stdout.readline() or self.log.read_text())["url"])

    def get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        """One answer, on a connection that may stay open."""
        return POOL.request("GET", self.url + path, headers=headers)

    def lines(self) -> list[dict[str, Any]]:
        """The log so far, where it is JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextlib.contextmanager
def running(folder: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    server = Running(folder, *options, env=env)
    try:
        if server.url.startswith("http://"):
            eventually(lambda: _status(server, "/health") == 200, what="the server")
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def _status(server: Running, path: str) -> int:
    try:
        return server.get(path).status
    except urllib3.exceptions.HTTPError:
        return 0


# Ready


def test_a_server_is_ready_while_its_stores_answer_and_alive_without_them(project: Path):
    with running(project) as server:
        assert (server.get("/health").status, server.get("/ready").status) == (200, 200)
        objects = project / ".taut" / "objects"
        objects.rename(project / "away")
        objects.write_bytes(b"")  # A file where the folder was: it cannot be looked into.
        told = server.get("/ready")
        assert (told.status, server.get("/health").status) == (503, 200)
        assert str(project).encode() not in told.data
        objects.unlink()
        (project / "away").rename(objects)
        assert server.get("/ready").status == 200


def test_after_sigterm_it_is_not_ready_answers_what_is_asked_and_ends(project: Path):
    with running(project, "--drain-s", "4") as server:
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.get("/ready").status == 503, within=3.0, what="not ready")
        made = POOL.request("POST", f"{server.url}/api/2.0/mlflow/runs/create", body=b'{"experiment_id": "0"}')
        assert made.status == 200
        assert server.process.wait(20) == 0
    with open_home(project) as home, home.meta.read() as tx:
        assert tx.rows("SELECT count(*) FROM run") == [(1,)]


def test_a_request_under_way_is_answered_and_a_second_signal_does_not_wait(project: Path):
    with open_home(project) as home:
        create_run(home, run_id="r")
    with running(project, "--drain-s", "60") as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as line:
            place = "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x"
            line.sendall(f"PUT {place} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nhello".encode())
            eventually(lambda: b"http_server_active_requests 2" in server.get("/metrics").data, what="the upload")
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: server.get("/ready").status == 503, what="not ready")
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: _status(server, "/health") == 0, what="no new connections")
            line.sendall(b"world")
            assert b"HTTP/1.1 200" in line.recv(65536)
        assert server.process.wait(20) == 0
    with open_home(project) as home:
        assert [file.path for file in _files(home)] == ["x"]


def _files(home: Any) -> Any:
    from taut.runs import all_artifacts

    return all_artifacts(home, "0/r/artifacts")


# The log


def test_the_log_is_json_with_the_ids_of_requests_where_that_is_asked_for(project: Path):
    with running(project, "--log-format", "json", "--log-level", "info") as server:
        server.get("/ready", **{"x-request-id": "mine-1"})
        told = server.get("/nowhere%0aFORGED").headers["x-request-id"]

        def lines() -> dict[str, Any]:
            return {line["request_id"]: line for line in server.lines() if "request_id" in line}

        eventually(lambda: told in lines(), what="the line of the last request")
        mine, other = lines()["mine-1"], lines()[told]
        assert (mine["method"], mine["path"], mine["status"], mine["level"]) == ("GET", "/ready", 200, "info")
        assert mine["duration_ms"] > 0 and mine["client"] == "127.0.0.1" and mine["time"].endswith("Z")
        assert (other["path"], other["status"]) == ("/nowhere\nFORGED", 404)


def test_the_log_for_people_has_one_line_a_request_and_none_where_nobody_asked(project: Path):
    with running(project, "--log-level", "info") as server:
        server.get("/nowhere%0aFORGED", **{"x-request-id": "mine-1"})
        eventually(lambda: "[mine-1]" in server.log.read_text(), what="its line")
        lines = server.log.read_text().splitlines()
        assert sum("[mine-1]" in line for line in lines) == 1
        assert not any(line.startswith("FORGED") for line in lines)
    with running(project) as server:
        for _ in range(3):
            server.get("/nowhere")
        assert server.log.read_text() == ""


def test_a_defect_is_written_down_under_the_id_that_the_client_was_told(project: Path):
    with running(project, "--log-format", "json") as server:
        with open_home(project) as home, home.meta.transaction() as tx:
            tx.execute("UPDATE experiment SET created_ms = 'nonsense'")
        answer = POOL.request("POST", f"{server.url}/api/2.0/mlflow/experiments/search", body=b'{"max_results": 1}')
        assert answer.status == 500
        assert b"Traceback" not in answer.data and b"nonsense" not in answer.data
        (line,) = [line for line in server.lines() if line["level"] == "error"]
        assert line["request_id"] == answer.headers["x-request-id"]
        assert "Traceback" in line["exception"] and "nonsense" in line["exception"]


# Traces


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A receiver of OTLP over HTTP: its URL, and what it was sent."""
    heard: list[ExportTraceServiceRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            heard.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{receiver.server_port}", heard
    receiver.shutdown()
    thread.join()
    receiver.server_close()


def test_traces_of_requests_go_where_opentelemetry_is_told(project: Path, collector):
    url, heard = collector
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with running(project, env={"OTEL_EXPORTER_OTLP_ENDPOINT": url}) as server:
        server.get("/ready", traceparent=f"00-{trace_id}-{parent_id}-01")
        server.get("/api/2.0/mlflow/runs/get?run_id=nobody")
        server.process.send_signal(signal.SIGTERM)  # What was not sent by then is sent at the end.
        assert server.process.wait(20) == 0
    resources = [resource for request in heard for resource in request.resource_spans]
    assert {a.value.string_value for r in resources for a in r.resource.attributes if a.key == "service.name"} == {
        "taut"
    }
    spans = {span.name: span for r in resources for scope in r.scope_spans for span in scope.spans}
    ready, get = spans["GET /ready"], spans["GET /api/2.0/mlflow/runs/get"]
    assert (ready.trace_id.hex(), ready.parent_span_id.hex()) == (trace_id, parent_id)
    assert ready.kind == 2 and ready.end_time_unix_nano > ready.start_time_unix_nano
    status = {a.key: a.value.int_value for a in get.attributes}
    assert status["http.response.status_code"] == 404 and not get.parent_span_id


def test_nothing_of_opentelemetry_is_imported_where_nobody_asks():
    code = (
        "import sys; import taut.faces.http.server; sys.exit(any(m.startswith('opentelemetry') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    issue(made, tmp_path)
    return made


def issue(authority: trustme.CA, folder: Path) -> None:
    made = authority.issue_cert("127.0.0.1", "localhost")
    made.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))


def serial_of(url: str, trusted: Path) -> str:
    host, _, port = url.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cafile=trusted)
    line = socket.create_connection((host, int(port)), timeout=10)
    with context.wrap_socket(line, server_hostname=host) as secured:
        certificate = secured.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_over_tls_a_real_client_is_served_old_versions_are_not_and_a_new_certificate_is_read(
    project: Path, tmp_path: Path, authority: trustme.CA
):
    options = ["--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem")]
    with running(project, *options) as server:
        assert server.url.startswith("https://")
        trusting = urllib3.PoolManager(retries=False, timeout=10, ca_certs=str(tmp_path / "ca.pem"))
        ask = lambda: trusting.request("GET", f"{server.url}/health", headers={"connection": "close"}).status  # noqa: E731
        eventually(lambda: _secured(ask) == 200, what="the server")
        with pytest.raises(urllib3.exceptions.SSLError):
            urllib3.PoolManager(retries=False).request("GET", f"{server.url}/health")
        data = os.urandom(9 << 20)  # Beyond what is received around uvicorn, which an encrypted body must not be.
        with open_home(project) as home:
            create_run(home, run_id="r")
        place = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x"
        assert trusting.request("PUT", place, body=data).status == 200
        assert trusting.request("GET", place).data == data
        old = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(urllib3.exceptions.HTTPError):
            urllib3.PoolManager(retries=False, ssl_context=old).request("GET", f"{server.url}/health")
        before = serial_of(server.url, tmp_path / "ca.pem")
        issue(authority, tmp_path)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: serial_of(server.url, tmp_path / "ca.pem") != before, what="the new certificate")
        (tmp_path / "cert.pem").write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "was not changed" in server.log.read_text(), what="the refusal")
        assert ask() == 200


def _secured(ask: Any) -> int:
    try:
        return int(ask())
    except urllib3.exceptions.HTTPError:
        return 0


def test_a_certificate_without_its_key_or_none_at_all_starts_nothing(project: Path, tmp_path: Path, authority):
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    alone = taut(project, "server", "--port", "0", "--tls-cert", certificate)
    assert (alone.status, is_two_lines(alone)) == (2, True)
    (tmp_path / "cert.pem").write_text("nonsense")
    wrong = taut(project, "server", "--port", "0", "--tls-cert", certificate, "--tls-key", key)
    assert (wrong.status, is_two_lines(wrong)) == (13, True)


# What it costs


def test_guards_and_counts_cost_microseconds(project: Path):
    """Loose, for any machine; what it is on ours stands in the commit."""
    import asyncio

    from taut.faces.http.guard import Guard
    from taut.faces.http.metrics import Requests
    from taut.faces.http.observed import Observed
    from taut.ground.browsers import LOOPBACK

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Any:
        raise AssertionError

    async def send(_: Any) -> None:
        pass

    async def spent(one: Any) -> float:
        headers = [(b"host", b"127.0.0.1:5000"), (b"accept", b"*/*"), (b"origin", b"http://127.0.0.1:5000")]
        began = time.process_time()
        for _ in range(5_000):
            await one({"type": "http", "method": "POST", "path": "/x", "headers": headers}, receive, send)
        return (time.process_time() - began) / 5_000

    async def cost() -> float:
        guarded = Observed(Guard(app, LOOPBACK), Requests())
        return min([await spent(guarded) for _ in range(5)]) - min([await spent(app) for _ in range(5)])

    assert asyncio.run(cost()) < 50e-6
