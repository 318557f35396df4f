"""Canaries and shadows behind a real endpoint: who is asked, what is written down, a bad one taken back by itself."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import msgspec
import numpy as np
import pytest
import urllib3

from taut.deploy import deploy_model, find_deployment, go_back, go_live, list_revisions, stop_deployment, try_model
from taut.home import Home
from taut.models import register_folder
from taut.project import DeploymentSpec
from taut.records import DeploymentState
from taut.serve import list_predictions
from taut.serve.http.board import REQUEST, Board, Labels
from taut.serve.supervising.judge import tally
from tests.parts import eventually
from tests.serve.scenes import Obedient, make_home, register, save_model, tensors


class Grumbling(Obedient):
    """Raises for one row in three."""

    def predict_proba(self, table: Any) -> Any:
        if any(int(seats) % 3 == 0 for seats in table["seats"]):
            raise RuntimeError("not this one")
        return super().predict_proba(table)


cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with make_home(tmp_path / "project") as made:
        register(made, factor=0.1)
        register(made, factor=0.2)
        yield made
        stop_deployment(made, "late")


def deployed(home: Home) -> DeploymentState:
    spec = DeploymentSpec(model="late@1", workers=1)
    return deploy_model(home, "late", model="late@1", spec=spec)


def ask(url: str, seats: int, *, key: str = "", path: str = "/v2/models/late/infer") -> tuple[int, dict[str, Any]]:
    """One row's status and answer."""
    body = msgspec.json.encode({"inputs": tensors({"delay": [1.0], "seats": [seats], "carrier": ["UA"]})})
    headers = {"x-routing-key": key} if key else {}
    answer = urllib3.request("POST", url + path, body=body, headers=headers, retries=False, timeout=30.0)
    return answer.status, msgspec.json.decode(answer.data)


def versions(url: str, requests: int, *, keys: bool = False) -> list[str]:
    """Which version answered each of so many requests."""
    return [ask(url, 10, key=f"k{place}" if keys else "")[1]["model_version"] for place in range(requests)]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_canary_answers_its_share_and_keys_stay_where_they_are(home: Home):
    deployed(home)
    url = try_model(home, "late", model="late@2", percent=25.0).url
    found = Counter(versions(url, 80))
    assert abs(found["2"] - 20) <= 2, found
    before = versions(url, 40, keys=True)
    assert before == versions(url, 40, keys=True)
    assert {"1", "2"} == {*before}
    assert ask(url, 10, path="/v2/models/late/versions/1/infer")[1]["model_version"] == "1"
    assert ask(url, 10, path="/v2/models/late/versions/2/infer")[1]["model_version"] == "2"
    url = try_model(home, "late", model="late@2", percent=60.0).url
    after = versions(url, 40, keys=True)
    assert all(new == "2" for old, new in zip(before, after, strict=True) if old == "2")
    assert {*versions(go_live_url(home), 10)} == {"2"}
    assert {*versions(go_back_url(home), 10)} == {"1"}
    exposed = urllib3.request("GET", f"{url}/metrics").data.decode()
    assert 'version="1"' in exposed


def go_live_url(home: Home) -> str:
    go_live(home, "late")
    return state_url(home)


def go_back_url(home: Home) -> str:
    go_back(home, "late", to=1)
    return state_url(home)


def state_url(home: Home) -> str:
    from taut.deploy import find_state

    state = find_state(home, "late")
    assert state is not None
    return state.url


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_shadow_answers_nobody_and_is_written_down(home: Home):
    deployed(home)
    url = try_model(home, "late", model="late@2").url
    assert {*versions(url, 12)} == {"1"}
    assert ask(url, 10, path="/v2/models/late/versions/2/infer")[0] == 404
    counted = eventually(lambda: _counted(url, "2") == 12 and _counted(url, "1") == 12, what="the shadow's answers")
    assert counted
    live = list_predictions(home, "late")
    assert [one.number for one in live] == [1] * 12


def _counted(url: str, version: str) -> int:
    lines = urllib3.request("GET", f"{url}/metrics").data.decode().splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines
               if line.startswith("taut_rows_total{") and f'version="{version}"' in line)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_canary_that_fails_is_taken_back_by_itself_while_requests_go_on(home: Home):
    deployed(home)
    register_folder(home, "late", save_model(home.project / "grumbling", Grumbling(0.3)))
    url = try_model(home, "late", model="late@3", percent=50.0).url
    begun, asked, statuses = time.monotonic(), 0, Counter[int]()
    while time.monotonic() - begun < 200 and find_deployment(home, "late").canary is not None:
        statuses[ask(url, asked % 9)[0]] += 1
        asked += 1
    newest = find_deployment(home, "late")
    assert newest.canary is None, (statuses, asked)
    assert statuses.keys() == {200, 500}
    assert "errors" in newest.reason or "fail" in newest.reason, newest.reason
    assert [one.revision for one in list_revisions(home, "late")] == [3, 2, 1]
    eventually(lambda: {ask(url, 3)[0] for _ in range(10)} == {200}, what="the live version alone")


def test_what_fronts_count_is_what_a_judge_reads():
    from taut.records import Backend, Deployment

    both = (Backend("late", 1, 0.5), Backend("late", 2, 0.5, "canary"))
    deployment = Deployment("late", 4, "late", 1, "process", {}, "manual", 1, "ada", both)
    board = Board([Labels("late", "late", str(one.number), "4") for one in both], fronts=2)
    for front in (0, 1):
        for status, seconds in ((200, 0.002), (500, 0.3), (400, 0.002), (503, 100.0)):
            board.meter(front, 1).answered(status, seconds)
        board.meter(front, 0).answered(200, 0.002)
    found = tally(board, deployment, "12:34")
    assert (found.source, found.revision, found.live.requests, found.live.errors) == ("12:34", 4, 2, 0)
    assert (found.canary.requests, found.canary.errors) == (8, 4)
    assert len(found.canary.latency) == len(found.bounds_ms) + 1
    assert found.canary.latency[-1] == 2
    assert int(np.sum(board.total(1)[REQUEST : REQUEST + len(found.canary.latency)])) == 8
