"""Attacks by holding: connections, answers that nobody reads, and the memory of all, in the hands of one."""

import json
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from taut.ground.settings import make_folder
from tests.attacks.target import WORD, Target, attacked
from tests.faces.speaking import POOL
from tests.parts import eventually

MIB = 1 << 20
CONNECTIONS, MEMORY_MIB = 40, 32


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with little of everything."""
    env = {"TAUT_CONNECTIONS": str(CONNECTIONS), "TAUT_MEMORY_MIB": str(MEMORY_MIB)}
    with attacked(tmp_path_factory.mktemp("held") / "home", env=env) as target:
        yield target


def head(target: Target, caller: str, method: bytes, place: bytes) -> bytes:
    """The first lines of a request."""
    named = target.headers(caller)["authorization"].encode()
    return b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: %s\r\n" % (method, place, named)


def verb(target: Target, caller: str, called: str, /, **said: object) -> tuple[int, dict[str, object]]:
    """What a verb answers."""
    headers = {**target.headers(caller), "content-type": "application/json"}
    place = f"{target.url}/api/taut/v1/verbs/{called}"
    answer = POOL.request("POST", place, body=json.dumps(said).encode(), headers=headers)
    return answer.status, json.loads(answer.data)


# Connections


def test_who_only_waits_makes_place_for_who_asks(target: Target):
    asked = head(target, "token-read", b"GET", b"/api/2.0/mlflow/runs/get?run_id=r") + b"Connection: close\r\n\r\n"
    with ExitStack() as lines:
        for beginning in (b"", b"GET /health HTTP/1.1\r\nX-A: "):
            for _ in range(3 * CONNECTIONS):
                line = lines.enter_context(target.connected())
                with suppress(ConnectionError):
                    line.sendall(beginning)
            for _ in range(5):
                assert target.raw(asked).startswith(b"HTTP/1.1 200")
        files = len(os.listdir(f"/proc/{target.pid}/fd"))
        assert files < 6 * CONNECTIONS


def test_where_every_connection_is_being_answered_a_new_one_hears_when_to_come_again(target: Target):
    begun = head(target, "token-log", b"POST", b"/api/2.0/mlflow/runs/log-batch")
    begun += b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    asked = head(target, "token-read", b"GET", b"/api/2.0/mlflow/runs/get?run_id=r") + b"Connection: close\r\n\r\n"
    POOL.clear()
    with ExitStack() as lines:
        for _ in range(CONNECTIONS):
            lines.enter_context(target.connected()).sendall(begun)
        eventually(lambda: target.raw(asked).startswith(b"HTTP/1.1 503"), what="every place to be taken")
        assert b"\r\nretry-after: 1\r\n" in target.raw(asked)
    eventually(lambda: target.raw(asked).startswith(b"HTTP/1.1 200"), what="a place")


# Memory


def test_one_caller_leaves_half_of_the_memory_to_others(target: Target):
    size = 8 * MIB
    begun = head(target, "token-log", b"POST", b"/api/2.0/mlflow/runs/log-batch")
    begun += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size + b" " * (size - 1)
    with ExitStack() as lines:
        for _ in range(6):
            line = lines.enter_context(target.connected())
            with suppress(ConnectionError):
                line.sendall(begun)
        body = b'{"filter": "", "x": "%s"}' % (b" " * size)
        headers = {"content-type": "application/json"}
        place = f"{target.url}/api/2.0/mlflow/runs/log-batch"
        theirs = POOL.request("POST", place, body=body, headers={**headers, **target.headers("token-log")})
        assert (theirs.status, b"your other requests" in theirs.data) == (503, True), theirs.data
        others = POOL.request("POST", place, body=body, headers={**headers, **target.headers("ada")})
        assert others.status == 400, others.data  # It was read.


@pytest.fixture(scope="module")
def large(target: Target) -> str:
    """A run of which the answer has megabytes."""
    ada = target.speaker("ada")
    run_id = ada.told("mlflow/runs/create", experiment_id="0")["run"]["info"]["run_id"]
    for batch in range(10):
        params = [{"key": f"p{batch}-{number}", "value": "x" * 5900} for number in range(100)]
        ada.told("mlflow/runs/log-batch", run_id=run_id, params=params)
    answer = POOL.request("GET", f"{target.url}/api/2.0/mlflow/runs/get?run_id={run_id}", headers=target.headers("ada"))
    assert len(answer.data) > 5 * MIB
    return str(run_id)


def test_answers_that_nobody_reads_count_until_they_are_read(target: Target, large: str):
    path = f"/api/2.0/mlflow/runs/get?run_id={large}"
    asked = head(target, "token-read", b"GET", path.encode()) + b"\r\n"
    before = target.memory_mib()
    with ExitStack() as lines:
        for _ in range(30):
            line = socket.socket()
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host, _, port = target.url.removeprefix("http://").partition(":")
            line.connect((host, int(port)))
            lines.enter_context(line).sendall(asked)
            time.sleep(0.02)
        place = target.url + path
        theirs = POOL.request("GET", place, headers=target.headers("token-read"))
        assert (theirs.status, theirs.headers.get("retry-after")) == (503, "1"), theirs.data[:200]
        assert POOL.request("GET", place, headers=target.headers("ada")).status == 200  # The other half.
        small = f"{target.url}/api/2.0/mlflow/runs/get?run_id=r"
        assert POOL.request("GET", small, headers=target.headers("token-read")).status == 200
        assert target.memory_mib() - before < 4 * MEMORY_MIB
    headers = target.headers("token-read")
    eventually(lambda: POOL.request("GET", place, headers=headers).status == 200, what="what was held to be given back")


# Names


def test_a_token_that_is_called_as_a_user_is_has_keys_of_its_own(target: Target):
    status, made = verb(target, "olga", "token.create", name="ada", scopes=["log"])
    assert status == 200, made
    body = b'{"experiment_id": "0", "run_name": "keyed"}'
    runs = []
    for named in (target.headers("ada"), {"authorization": f"Bearer {made['secret']}"}, target.headers("ada")):
        headers = {**named, "idempotency-key": "k-2", "content-type": "application/json"}
        answer = POOL.request("POST", f"{target.url}/api/2.0/mlflow/runs/create", body=body, headers=headers)
        runs.append(json.loads(answer.data)["run"]["info"]["run_id"])
    assert runs[0] == runs[2] != runs[1]


def test_nobody_approves_their_own_by_naming_another_as_its_user(target: Target):
    assert verb(target, "olga", "user.create", name="pat", password=WORD, role="ml-engineer")[0] == 200
    assert verb(target, "olga", "access.bind", user="pat", role="approver")[0] == 200
    target_of = Target(target.url, {**target.secrets, "pat": WORD}, target.folder, target.log, target.pid)
    pat, ada = target_of.speaker("pat"), target_of.speaker("ada")
    run_id = pat.told("mlflow/runs/create", experiment_id="0", user_id="olga")["run"]["info"]["run_id"]
    place = f"mlflow-artifacts/artifacts/0/{run_id}/artifacts/model/MLmodel"
    assert pat("PUT", place, b"flavors:\n  python_function:\n    loader_module: late\n").status == 200
    assert pat.post("mlflow/runs/set-tag", run_id=run_id, key="mlflow.user", value="olga").status == 200
    ada.told("mlflow/registered-models/create", name="late")
    ada.told("mlflow/model-versions/create", name="late", source=f"runs:/{run_id}/model", run_id=run_id)
    assert verb(target_of, "ada", "promotion.request", name="late", number=1)[0] == 200
    status, said = verb(target_of, "pat", "promotion.decide", name="late", number=1)
    assert status >= 400
    assert said["message"] == "pat cannot approve late@1: pat trained it"


# Logins


def test_a_session_ends_with_the_password_it_began_with(target: Target):
    assert verb(target, "olga", "user.create", name="sid", password=WORD, role="viewer")[0] == 200
    sid = Target(target.url, {"sid": WORD}, target.folder, target.log, target.pid)
    opened = verb(sid, "sid", "token.session")[1]
    session = {"authorization": f"Bearer {opened['secret']}"}
    place = f"{target.url}/api/2.0/mlflow/runs/get?run_id=r"
    assert POOL.request("GET", place, headers=session).status == 200
    assert verb(target, "olga", "user.password", name="sid", password=f"{WORD} 2")[0] == 200
    assert POOL.request("GET", place, headers=session).status == 401
    assert POOL.request("GET", place, headers=sid.headers("sid")).status == 401


# What time tells


@pytest.mark.slow
def test_what_is_anothers_takes_as_long_as_what_is_not_there(target: Target):
    assert verb(target, "olga", "project.create", name="third")[0] == 200

    def asking(workspace: str, run_id: str) -> Callable[[], None]:
        headers = {**target.headers("fred"), "x-mlflow-workspace": workspace}
        place = f"{target.url}/api/2.0/mlflow/runs/get?run_id={run_id}"

        def ask() -> None:
            assert POOL.request("GET", place, headers=headers).status == 404

        return ask

    pairs = ((asking("fraud", "r"), asking("fraud", "q")), (asking("third", "r"), asking("absent", "r")))
    for foreign, absent in pairs:
        assert any(0.9 < ratio(foreign, absent) < 1.1 for _ in range(4))  # Others work on this machine too.


def ratio(first: Callable[[], None], second: Callable[[], None]) -> float:
    """How much longer one takes than the other: medians of 200, in turns."""
    took: dict[Callable[[], None], list[float]] = {first: [], second: []}
    for number in range(200):
        for one in (first, second) if number % 2 else (second, first):
            began = time.perf_counter()
            one()
            took[one].append(time.perf_counter() - began)
    return statistics.median(took[first]) / statistics.median(took[second])


# Files


def test_a_new_folder_is_its_owners_alone_whatever_the_umask_is(tmp_path):
    before = os.umask(0)
    try:
        folder = make_folder(tmp_path / "new")
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
