"""The metrics of a real endpoint: beside what it counts itself, what whoever watches the deployment noted of it."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from taut.faces.http.embedded import TOKEN, embedded_server
from taut.home import open_home
from taut.watch import close_windows, newest_window
from tests.serve.scenes import Server, make_home, record, register, serving
from tests.watch.served import SPEC, refer, serve
from tests.watch.test_figures import Samples, read


def metrics(server: Server, token: str = "") -> Samples:
    answer = server.raw("GET", "/metrics", None, **({"authorization": f"Bearer {token}"} if token else {}))
    assert answer.status == 200
    assert "taut_requests_waiting" in answer.data.decode()
    return read(answer.data.decode())


def test_an_endpoint_tells_the_figures_of_its_deployment(tmp_path: Path):
    with make_home(tmp_path / "project") as home:
        register(home)
        record(home)
        with serving(home, workers=1) as server:
            assert metrics(server) == {("told",): 1}
            refer(home)
            for day in range(3):
                serve(home, day)
            close_windows(home, "late", SPEC)
            found = metrics(server)
        assert found["told",] == 1
        assert found["windows_closed_total", "1"] == 2
        assert found["window_end_timestamp_seconds", "1"] == newest_window(home, "late").end_ms / 1000
        assert found["evidence_bound", "1", "labels"] == pytest.approx(100)


def test_an_endpoint_whose_home_is_away_tells_what_it_counts_and_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with make_home(tmp_path / "project") as home:
        register(home)
        record(home)
        refer(home)
        serve(home, 0)
        close_windows(home, "late", SPEC)
        with ExitStack() as left:
            with embedded_server(home) as url, open_home(url) as remote:
                token = os.environ[TOKEN]
                server = left.enter_context(serving(remote, workers=1))
                near = metrics(server, token)
            assert (near["told",], near["open_alerts", "page"]) == (1, 0)
            assert metrics(server, token) == {("told",): 0}
