"""A deployment whose home is a server's URL: the same process, its model and its log at the other end of a wire."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from taut.deploy import deploy_model, find_state, reconcile_deployments, report_state, stop_deployment
from taut.deploy.running import run_folder, serving_now
from taut.errors import Conflict, Denied, Invalid
from taut.faces.http.embedded import embedded_server
from taut.ground.compute import stop_process
from taut.home import Home, open_home
from taut.serve import labelled_rows, list_predictions, log_labels, predict
from tests.parts import eventually
from tests.serve.scenes import ROWS, make_home, register


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """The home that the server keeps."""
    with make_home(tmp_path / "project") as made:
        register(made)
        yield made


@pytest.fixture
def remote(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """The same home, seen from a machine that has nothing but its URL."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with embedded_server(home) as url, open_home(url) as opened:
        yield opened
        for left in serving_now(run_folder(opened), "late"):
            stop_process(left.handle, grace_s=0.0)


@contextmanager
def overheard(host: str) -> Iterator[tuple[str, list[bytes]]]:
    """An address of a stranger, who refuses every request and keeps what it was sent."""
    heard: list[bytes] = []
    with socket.create_server((host, 0)) as door:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    line, _ = door.accept()
                    with line:
                        heard.append(line.recv(65_536))
                        line.sendall(b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"http://{host}:{door.getsockname()[1]}", heard
        door.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_a_token_goes_to_no_other_host_than_the_servers(home: Home, remote: Home, monkeypatch: pytest.MonkeyPatch):
    state = deploy_model(remote, "late", model="late@1")
    monkeypatch.setenv("TAUT_TOKEN", "of-an-owner")
    with overheard("127.0.0.2") as (url, heard):
        report_state(home, replace(state, url=url))
        with pytest.raises(Denied) as refused:
            predict(remote, "late", ROWS)
        assert refused.value.hint == "set TAUT_ENDPOINT_TOKEN to a token of the scope predict"
        assert heard and b"of-an-owner" not in heard[0]
        monkeypatch.setenv("TAUT_ENDPOINT_TOKEN", "predicts-alone")
        with pytest.raises(Denied):
            predict(remote, "late", ROWS)
        assert b"Bearer predicts-alone" in heard[1]
    report_state(home, state)


def test_a_server_far_from_its_home_answers_and_logs_there(home: Home, remote: Home):
    state = deploy_model(remote, "late", model="late@1")
    assert find_state(home, "late") == state
    answer = predict(remote, "late", ROWS, request_id="far-1", event_time="2013-04-01")
    assert answer.outputs["probability"] == [0.25 + 0.01, 0.4 + 0.02]
    (logged,) = eventually(lambda: list_predictions(home, "late"), within=60, what="a sealed journal")
    assert (logged.id, logged.inputs, logged.outputs) == ("far-1", ROWS, answer.outputs)
    assert predict(remote, "late", ROWS, request_id="far-1") == answer
    with pytest.raises(Conflict):
        predict(remote, "late", {**ROWS, "seats": [1, 1]}, request_id="far-1")
    assert log_labels(remote, "late", {"far-1.0": 1.0}).new == 1
    assert labelled_rows(remote, "late").labels == [1.0]
    with pytest.raises(Invalid, match="of no prediction"):
        log_labels(remote, "late", {"far-2.0": 1.0})
    assert [one.done for one in reconcile_deployments(remote)] == ["kept"]
    assert stop_deployment(remote, "late").status == "stopped"
    assert serving_now(run_folder(remote), "late") == []
