"""Attacks on a server process that two databases stand behind, one row each: add yours to the table that it fits.

Framing, hosts, paths of files and slow senders are attacked in `tests/faces/test_hardening.py`, permissions in
`test_matrix.py`. Here is what takes a team and a process of its own: what many ask at once, what one may choose for
others, and what stays in logs.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
import urllib3

from taut.ground.objects import oid_of
from tests.attacks.target import WORD, Target, attacked
from tests.databases import Databases
from tests.faces.speaking import POOL
from tests.marks import POSTGRESQL_SLOW
from tests.parts import eventually

WITHIN_S = 5.0  # Each takes some milliseconds alone; this machine does other things too.
GROWTH_MIB = 300
DAY_S = 86_400


@pytest.fixture(scope="module", params=POSTGRESQL_SLOW)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server for all rows of this file: none may leave it in another state for the next."""
    with ExitStack() as opened:
        url = ""
        if request.param == "postgresql":
            databases: Databases = request.getfixturevalue("postgres_databases")
            url = opened.enter_context(databases.lent())
        yield opened.enter_context(attacked(tmp_path_factory.mktemp(request.param) / "home", url))


# What a question costs

LIKE = "%a" * 20  # More than the text has letters would be told apart by its length alone.
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "200,000 values": ("runs/search", {"filter": f"params.a IN ({','.join(['1'] * 200_000)})".replace("1", "'b'")}),
    "100,000 ids": ("runs/search", {"filter": f"run_id IN ({','.join(repr(str(i)) for i in range(100_000))})"}),
    "5,000 conditions": ("runs/search", {"filter": " AND ".join(["params.a = 'b'"] * 5000)}),
    "500 conditions": ("runs/search", {"filter": " AND ".join(f"metrics.m{i} > 1" for i in range(500))}),
    "500 ways": ("runs/search", {"filter": " OR ".join(f"NOT tags.t{i} LIKE '%a'" for i in range(500))}),
    "5,000 values": ("runs/search", {"filter": f"params.a IN ({','.join(repr(str(i)) for i in range(5000))})"}),
    "a megabyte": ("runs/search", {"filter": f"params.a = '{'x' * 1_000_000}'"}),
    "a megabyte of nothing": ("runs/search", {"filter": " " * 1_000_000 + "x"}),
    "quotes": ("runs/search", {"filter": "'" * 1_000_001}),
    "NOT": ("runs/search", {"filter": "NOT " * 10_000}),
    "1,000 orders": ("runs/search", {"order_by": [f"params.a{i}" for i in range(1000)]}),
    "50 orders": ("runs/search", {"order_by": [f"metrics.a{i} DESC" for i in range(50)]}),
    "100,000 experiments": ("runs/search", {"experiment_ids": [str(i) for i in range(100_000)]}),
    "LIKE on a name": ("runs/search", {"filter": f"run_name LIKE '{LIKE}b'"}),
    "LIKE on an experiment": ("experiments/search", {"max_results": 9, "filter": f"name LIKE '{LIKE}b'"}),
    "ILIKE on a tag": ("experiments/search", {"max_results": 9, "filter": f"tags.long ILIKE '{LIKE}b'"}),
    "LIKE on a model": ("registered-models/search?filter=" + f"name LIKE '{LIKE}b'".replace("%", "%25"), {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def long_names(target: Target) -> None:
    """What patterns are held against: a model and an experiment with names on which a regular expression would hang."""
    ada = target.speaker("ada")
    ada.told("mlflow/registered-models/create", name="a" * 200)
    ada.told("mlflow/experiments/create", name="a" * 200, tags=[{"key": "long", "value": "a" * 4000}])


@pytest.mark.usefixtures("long_names")
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_costly_question_is_answered_or_refused_soon(target: Target, name: str):
    path, asked = QUESTIONS[name]
    ada, began = target.speaker("ada"), time.monotonic()
    said = (
        ada.get(f"mlflow/{path}") if "?" in path else ada.post(f"mlflow/{path}", **{"experiment_ids": ["0"], **asked})
    )
    took_s = time.monotonic() - began
    assert said.status in (200, 400, 413), said
    assert took_s < WITHIN_S
    assert len(said.message) < 1000  # Nobody's megabyte comes back in an error.


def test_a_path_that_is_decoded_again_and_again_is_refused_soon(target: Target):
    """Each turn takes two characters away: of 200,000 it took half a minute."""
    path, began = "%" + "25" * 500_000, time.monotonic()
    body = json.dumps({"root": "0/r/artifacts", "path": path}).encode()
    headers = {**target.headers("ada"), "content-type": "application/json"}
    for verb in ("artifact.find", "artifact.list", "artifact.delete"):
        answer = POOL.request("POST", f"{target.url}/api/taut/v1/verbs/{verb}", body=body, headers=headers)
        assert answer.status == 400, answer.data[:200]
        assert len(answer.data) < 1000
    said = target.speaker("ada").get("mlflow/artifacts/list", run_id="r", path=path[:20_000])
    assert said.status == 400
    assert time.monotonic() - began < WITHIN_S


BODIES = {
    "a number past all": b'{"max_results": 1e999}',
    "ten million digits": b'{"max_results": ' + b"9" * 10_000_000 + b"}",
    "ten million decimals": b'{"max_results": 1.' + b"9" * 10_000_000 + b"}",
    "a key twice": b'{"max_results": 1, "max_results": "a"}',
    "half a character": b'{"filter": "\\udc00"}',
    "another encoding": '{"max_results": 1}'.encode("utf-16"),
    "a million keys": b"{" + b",".join(b'"k%d":1' % i for i in range(1_000_000)) + b"}",
    "millions of objects": b'{"x": [' + b"{}," * 5_000_000 + b"{}]}",
    "a million nulls": b'{"experiment_ids": [' + b"null," * 1_000_000 + b"null]}",
}
PLACES = ["mlflow/runs/search", "mlflow/runs/log-batch", "mlflow/runs/create?x=1", "taut"]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_odd_body_is_answered_soon_in_little_memory(target: Target, body: bytes, place: str):
    path = "/api/taut/v1/verbs/run.search" if place == "taut" else f"/api/2.0/{place}"
    before, began = target.memory_mib(), time.monotonic()
    headers = {**target.headers("ada"), "content-type": "application/json"}
    answer = POOL.request("POST", target.url + path, body=body, headers=headers)
    assert answer.status in (200, 400, 413), answer.data[:200]
    assert time.monotonic() - began < WITHIN_S
    assert target.memory_mib() - before < GROWTH_MIB


# What one may choose for others


class Chosen(NamedTuple):
    """A request with fields that are not the client's to choose, where the thing stands in the answer, and its own."""

    path: str
    said: dict[str, Any]
    at: tuple[str, ...]
    never: dict[str, Any]


ASSIGNED = {
    "an experiment": Chosen(
        "experiments/create", {"name": "mine", "experiment_id": "77", "lifecycle_stage": "deleted", "creation_time": 1},
        (), {"experiment_id": "77"},
    ),
    "a run": Chosen(
        "runs/create", {"experiment_id": "0", "run_id": "r", "run_uuid": "r", "lifecycle_stage": "deleted",
                        "status": "FINISHED", "end_time": 9, "artifact_uri": "file:///etc"},
        ("run", "info"), {"run_id": "r", "lifecycle_stage": "deleted", "status": "FINISHED", "end_time": 9,
                          "artifact_uri": "file:///etc"},
    ),
    "a change of a run": Chosen(
        "runs/update", {"run_id": "r", "experiment_id": "77", "lifecycle_stage": "deleted", "start_time": 5,
                        "user_id": "mallory", "artifact_uri": "file:///etc"},
        ("run_info",), {"experiment_id": "77", "lifecycle_stage": "deleted", "start_time": 5, "user_id": "mallory",
                        "artifact_uri": "file:///etc"},
    ),
    "a model": Chosen(
        "registered-models/create", {"name": "m", "creation_timestamp": 1, "last_updated_timestamp": 1,
                                     "latest_versions": [{"version": "9"}],
                                     "aliases": [{"alias": "champion", "version": "1"}]},
        ("registered_model",), {"creation_timestamp": 1, "last_updated_timestamp": 1,
                                "latest_versions": [{"version": "9"}],
                                "aliases": [{"alias": "champion", "version": "1"}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ASSIGNED)
def test_fields_that_are_the_servers_own_are_not_taken_from_a_client(target: Target, name: str):
    path, said, at, never = ASSIGNED[name]
    thing = target.speaker("ada").told(f"mlflow/{path}", **said)
    for step in at:
        thing = thing[step]
    assert {field: thing[field] for field in never if thing.get(field) == never[field]} == {}


WORKSPACES = ["fraud", "FRAUD", "fraud ", "default,fraud", "fraud\t", "../fraud", "%66raud", "fraud/../default"]


@pytest.mark.parametrize("caller", ["ada", "vic", "nobody", "token-read", "token-log"])
@pytest.mark.parametrize("workspace", WORKSPACES)
def test_no_spelling_of_a_project_lets_in_who_is_no_member(target: Target, caller: str, workspace: str):
    headers = {**target.headers(caller), "x-mlflow-workspace": workspace, "content-type": "application/json"}
    body = b'{"max_results": 100}'
    answer = POOL.request("POST", f"{target.url}/api/2.0/mlflow/experiments/search", body=body, headers=headers)
    assert answer.status in (400, 404), answer.data


PROMOTED = {
    "an account": ("POST", "users/create", {"username": "eve", "password": WORD, "is_admin": True}),
    "oneself": ("PATCH", "users/update-admin", {"username": "ada", "is_admin": True}),
    "another's password": ("PATCH", "users/update-password", {"username": "olga", "password": f"{WORD} 2"}),
    "another's end": ("DELETE", "users/delete", {"username": "olga"}),
}


@pytest.mark.parametrize("caller", ["ada", "vic", "aud", "nobody", "token-log", "token-deploy", ""])
@pytest.mark.parametrize("name", PROMOTED)
def test_nobody_makes_more_of_themselves(target: Target, name: str, caller: str):
    method, path, body = PROMOTED[name]
    said = target.speaker(caller)(method, f"mlflow/{path}", body)
    assert said.status in (401, 403, 404), said


def test_two_names_of_a_caller_or_a_project_are_never_the_stronger_one(target: Target):
    search = b"POST /api/2.0/mlflow/experiments/create HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    body = b'Content-Length: 13\r\n\r\n{"name": "x"}'
    weak, strong = (b"Authorization: %s\r\n" % target.headers(one)["authorization"].encode() for one in ("vic", "olga"))
    assert target.raw(search + weak + strong + body).split(b" ")[1] == b"400"
    ours, theirs = b"X-Mlflow-Workspace: default\r\n", b"X-Mlflow-Workspace: fraud\r\n"
    ada = b"Authorization: %s\r\n" % target.headers("ada")["authorization"].encode()
    for first, second in ((ours, theirs), (theirs, ours)):
        answer = target.raw(search + ada + first + second + body)
        assert answer.split(b" ")[1] == b"400", answer


def test_the_key_of_a_request_is_its_callers_alone(target: Target):
    body = json.dumps({"experiment_id": "0", "run_name": "once"}).encode()
    made = []
    for caller in ("ada", "olga", "ada"):
        headers = {**target.headers(caller), "idempotency-key": "k-1", "content-type": "application/json"}
        answer = POOL.request("POST", f"{target.url}/api/2.0/mlflow/runs/create", body=body, headers=headers)
        made.append(json.loads(answer.data)["run"]["info"]["run_id"])
    assert made[0] == made[2] != made[1]


# What is told, and to whom


def test_no_secret_stands_in_the_log_wherever_a_client_puts_it(target: Target):
    token = target.secrets["token-log"]
    for path in (f"/api/2.0/mlflow/{token}/x", f"/api/2.0/mlflow/runs/get?run_id=r&token={token}", f"/{token}"):
        assert POOL.request("GET", target.url + path).status in (401, 404)
    POOL.request("GET", f"{target.url}/health", headers={"x-request-id": token[:64]})
    assert POOL.request("GET", f"{target.url}/version", headers=target.headers("token-log")).status == 200
    eventually(lambda: '"path": "/version"' in target.log.read_text(), what="the line of the last request")
    written = target.log.read_text()
    assert token not in written and token[:64] not in written and WORD not in written


def test_who_is_not_behind_our_proxy_does_not_choose_their_address(target: Target):
    """Else a thousand guesses at passwords come from a thousand addresses, and the log says so too."""
    statuses = []
    for number in range(40):
        headers = urllib3.make_headers(basic_auth=f"guess-{number}:wrong") | {"x-forwarded-for": f"10.9.8.{number}"}
        answer = POOL.request("GET", f"{target.url}/api/2.0/mlflow/experiments/search?max_results=1", headers=headers)
        statuses.append(answer.status)
    assert statuses[-1] == 429
    assert "10.9.8." not in target.log.read_text()
    # Those who showed a token, or logged in before, notice nothing.
    assert target.speaker("token-read").get("mlflow/experiments/search", max_results=1).status == 200
    assert target.speaker("ada").get("mlflow/experiments/search", max_results=1).status == 200


# What is there, and what is collected


def test_what_a_writer_is_told_is_here_is_young_again_and_a_reader_changes_nothing(target: Target):
    data = b"old and unnamed"
    oid = oid_of(data)
    headers = target.headers("token-log")
    assert POOL.request("POST", f"{target.url}/api/taut/v1/objects", body=data, headers=headers).status == 200
    place = next(target.folder.rglob(oid[2:]))
    long_ago = time.time() - 30 * DAY_S
    ask = json.dumps([oid, "0" * 64]).encode()
    ages = {}
    for caller in ("token-read", "token-log"):
        os.utime(place, (long_ago, long_ago))
        headers = {**target.headers(caller), "content-type": "application/json"}
        answer = POOL.request("POST", f"{target.url}/api/taut/v1/objects/missing", body=ask, headers=headers)
        assert json.loads(answer.data) == ["0" * 64]
        ages[caller] = time.time() - place.stat().st_mtime
    assert ages["token-read"] > 29 * DAY_S
    assert ages["token-log"] < 600


def test_one_question_is_not_about_a_million_objects(target: Target):
    ask = json.dumps(["0" * 64] * 10_001).encode()
    headers = {**target.headers("token-log"), "content-type": "application/json"}
    answer = POOL.request("POST", f"{target.url}/api/taut/v1/objects/missing", body=ask, headers=headers)
    assert answer.status == 400


# What many hold at once


@pytest.mark.parametrize("place", ["/api/2.0/mlflow/runs/log-batch", "/api/taut/v1/verbs/run.search"])
def test_bodies_that_are_not_ended_fill_a_budget_and_not_the_memory(tmp_path, place: str):
    """Twenty senders hold back the last byte of 8 MiB each, where 32 MiB is all that may be held."""
    size, budget_mib = 8 << 20, 32
    with attacked(tmp_path / "home", env={"TAUT_MEMORY_MIB": str(budget_mib)}) as target, ExitStack() as lines:
        ada = target.speaker("ada")
        assert ada.get("mlflow/experiments/search", max_results=1).status == 200
        before = target.memory_mib()
        head = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n" % place.encode()
        head += b"Authorization: %s\r\n" % target.headers("ada")["authorization"].encode()
        refused = []
        for _ in range(20):
            line = lines.enter_context(target.connected())
            try:
                line.sendall(head + b"Content-Length: %d\r\n\r\n" % size)
                line.sendall(b" " * (size - 1))
                line.settimeout(0.2)
                answer = line.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:  # Closed while we still sent: the kernel may drop the answer.
                answer = b""
            refused.append(answer)
        assert len(refused) >= 15
        told = [answer for answer in refused if answer]
        assert all(re.match(rb"HTTP/1.1 503 .*\r\nretry-after: 1\r\n", answer, re.DOTALL) for answer in told), told[:1]
        assert target.memory_mib() - before < 4 * budget_mib
        assert ada.get("mlflow/experiments/search", max_results=1).status == 200  # A small one has room.
        lines.close()
        body = b'{"filter": "", "x": "%s"}' % (b" " * size)
        headers = {**target.headers("ada"), "content-type": "application/json"}

        def answered() -> bool:
            return POOL.request("POST", target.url + place, body=body, headers=headers).status == 400

        eventually(answered, what="what was held to be given back")


def test_a_file_has_a_limit_where_one_is_set_and_leaves_nothing_behind(tmp_path):
    with attacked(tmp_path / "home", env={"TAUT_ARTIFACT_MIB": "3"}) as target:
        place = f"{target.url}/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x"
        headers = target.headers("ada")
        assert POOL.request("PUT", place, body=bytes(3 << 20), headers=headers).status == 200
        before = sorted(path for path in target.folder.rglob("*") if path.is_file() and "meta" not in path.name)
        for body in (bytes((3 << 20) + 1), iter([bytes(1 << 20)] * 4)):  # Its length is said, or it comes in chunks.
            answer = POOL.request("PUT", place, body=body, headers=headers)
            assert answer.status == 413, answer.data
            assert b"3 MiB" in answer.data
        after = sorted(path for path in target.folder.rglob("*") if path.is_file() and "meta" not in path.name)
        assert after == before


def test_files_leave_the_last_of_a_disk_to_the_rows(tmp_path):
    with attacked(tmp_path / "home", env={"TAUT_DISK_RESERVE_MIB": "999999999"}) as target:
        place = f"{target.url}/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/x"
        for size in (10, 1 << 20, 20 << 20):
            answer = POOL.request("PUT", place, body=bytes(size), headers=target.headers("ada"))
            assert answer.status == 507, answer.data
            assert str(target.folder).encode() not in answer.data
        assert target.speaker("ada").post("mlflow/runs/create", experiment_id="0").status == 200
