"""The HTTP face: the same verbs, the same errors, the same checks; and nothing for whoever should not ask."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from taut.errors import Conflict, Denied, Invalid, NotFound, UsageError
from taut.faces.http.reading import BODY_BYTES_MAX
from taut.govern import create_token, show_line
from taut.ground.access import Actor
from taut.ground.ledger import events
from taut.ground.objects import oid_of, read_object
from taut.home import Home, open_home
from taut.models import create_model, list_models
from tests.faces.serving import raw, served
from tests.faces.shell import is_two_lines, taut
from tests.marks import slow_on_postgresql
from tests.parts import eventually

pytestmark = slow_on_postgresql

POOL = urllib3.PoolManager(retries=False, timeout=10)


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        yield address


@pytest.fixture
def far(url: str) -> Iterator[Home]:
    """The same home, from afar."""
    with open_home(url) as opened:
        yield opened


def post(url: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    answer = POOL.request("POST", url + path, body=json.dumps(body or {}).encode(), headers=headers)
    return answer.status, json.loads(answer.data)


def test_a_verb_answers_from_afar_as_it_does_here(home, far):
    made = create_model(far, "late", description="flights")
    assert list_models(home) == list_models(far) == [made]
    assert show_line(far) == show_line(home)


def test_errors_keep_their_kind_and_their_hint(far):
    create_model(far, "late")
    with pytest.raises(Conflict, match="exists already") as caught:
        create_model(far, "late")
    assert caught.value.hint == "taut model show late"


def test_the_ledger_names_the_holder_of_the_token(home, url, monkeypatch):
    made = create_token(home, "ci", "ml-engineer")
    monkeypatch.setenv("TAUT_TOKEN", made.secret)
    with open_home(url) as far:
        create_model(far, "late")
    with home.meta.read() as tx:
        assert [event.actor for event in events(tx, kind="model.created")] == ["ci"]


def test_a_home_with_tokens_asks_for_one_and_a_role_is_a_role_from_afar(home, url, monkeypatch):
    viewer = create_token(home, "vera", "viewer")
    status, said = post(url, "/api/taut/v1/verbs/model.list")
    assert (status, said["message"]) == (401, "this server asks for a token")
    assert post(url, "/api/taut/v1/verbs/model.list", authorization="Bearer taut_wrong")[0] == 401
    monkeypatch.setenv("TAUT_TOKEN", viewer.secret)
    with open_home(url) as far:
        assert list_models(far) == []
        with pytest.raises(Denied, match="needs model:write"):
            create_model(far, "late")
    with home.meta.read() as tx:
        assert [event.actor for event in events(tx, kind="access.denied")] == ["vera"]


def test_a_token_may_come_as_the_password_of_basic(home, url):
    made = create_token(home, "ci", "viewer")
    headers = urllib3.make_headers(basic_auth=f"anybody:{made.secret}")
    assert post(url, "/api/taut/v1/verbs/model.list", authorization=headers["authorization"]) == (200, [])
    assert post(url, "/api/taut/v1/verbs/model.list", authorization="Basic !!!")[0] == 401


def test_unknown_verbs_and_wrong_arguments_are_told_as_such(url):
    assert post(url, "/api/taut/v1/verbs/home.destroy")[0] == 404
    for body in ({"nmae": "x"}, {"name": 3}, {}):
        status, said = post(url, "/api/taut/v1/verbs/model.create", body)
        assert (status, said["error"]) == (400, "Invalid")
    answer = POOL.request("POST", f"{url}/api/taut/v1/verbs/model.create", body=b"[" * 50_000)
    assert answer.status == 400


def test_objects_travel_whole_and_by_range(home, far):
    data = os.urandom(3_000_000)
    oid = far.objects.put(io.BytesIO(data))
    assert oid == oid_of(data)
    assert read_object(far.objects, oid) == data == read_object(home.objects, oid)
    with far.objects.open(oid, start=100, length=50) as stream:
        assert stream.read() == data[100:150]
    assert far.objects.missing([oid, oid_of(b"gone")]) == {oid_of(b"gone")}
    assert list(far.objects.list()) == [oid]
    with pytest.raises(NotFound):
        far.objects.open(oid_of(b"gone"))
    with pytest.raises(UsageError):
        far.objects.delete([oid])


@pytest.mark.parametrize("oid", ["..%2f..%2fmeta.db", "%2e%2e", "a" * 63, "meta.db", "%00"])
def test_no_name_of_an_object_reaches_another_file(url, oid):
    answer = POOL.request("GET", f"{url}/api/taut/v1/objects/{oid}")
    assert answer.status in (400, 404)
    assert b"SQLite" not in answer.data


def test_rows_are_not_reached_around_the_verbs(far):
    with pytest.raises(UsageError, match="own folder"), far.meta.transaction():
        pass
    with pytest.raises(UsageError), far.meta.read():
        pass


def test_health_and_version_need_no_token_and_readiness_asks_the_store(home, url):
    create_token(home, "ci", "viewer")
    for path in ("/health", "/version", "/ready"):
        assert POOL.request("GET", url + path).status == 200


def test_answers_are_counted_for_whoever_may_look(home, url):
    POOL.request("GET", f"{url}/health")
    post(url, "/api/taut/v1/verbs/home.destroy")
    POOL.request("GET", f"{url}/nowhere")
    counted = POOL.request("GET", f"{url}/metrics").data.decode()
    families = {family.name: family for family in text_string_to_metric_families(counted)}
    answered = {
        (
            one.labels["http_request_method"],
            one.labels["http_route"],
            one.labels["http_response_status_code"],
        ): one.value
        for one in families["http_server_request_duration_seconds"].samples
        if one.name.endswith("_count")
    }
    assert answered == {
        ("GET", "/health", "200"): 1, ("POST", "/api/taut/v1/verbs/{name}", "404"): 1, ("GET", "", "404"): 1,
    }  # fmt: skip
    assert families["process_resident_memory_bytes"].samples[0].value > 1 << 20
    assert families["taut_db_transactions"].samples[0].value > 0
    assert families["http_server_active_requests"].samples[0].value == 1
    viewer = create_token(home, "ci", "viewer")
    assert POOL.request("GET", f"{url}/metrics").status == 401
    assert POOL.request("GET", f"{url}/metrics", headers={"authorization": f"Bearer {viewer.secret}"}).status == 403


def test_calls_that_are_logged_together_are_counted_as_a_group(url):
    made = json.loads(POOL.request("POST", f"{url}/api/2.0/mlflow/runs/create", body=b'{"experiment_id": "0"}').data)
    body = json.dumps({"run_id": made["run"]["info"]["run_id"], "key": "k", "value": "v"}).encode()
    assert POOL.request("POST", f"{url}/api/2.0/mlflow/runs/set-tag", body=body).status == 200
    told = POOL.request("GET", f"{url}/metrics").data.decode()
    assert 'taut_log_group_size_bucket{le="1"} 1' in told and "taut_log_group_size_count 1" in told


def test_a_request_has_an_id_its_own_or_the_one_it_came_with(url):
    first, second = (POOL.request("GET", f"{url}/health").headers["x-request-id"] for _ in range(2))
    assert first != second and len(first) == len(second) == 20
    for given, kept in (("abc-1.2_3", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("", False)):
        for place in ("/health", "/nowhere", "/api/2.0/mlflow/runs/get"):
            told = POOL.request("GET", url + place, headers={"x-request-id": given}).headers["x-request-id"]
            assert (told == given) == kept, (place, given, told)


def test_a_foreign_host_or_origin_is_refused_before_any_route(url):
    assert POOL.request("GET", f"{url}/health", headers={"host": "evil.example"}).status == 403
    status, said = post(url, "/api/taut/v1/verbs/model.list", origin="https://evil.example")
    assert (status, said["error"]) == (403, "Denied")
    assert post(url, "/api/taut/v1/verbs/model.list", origin=url)[0] == 200


def test_answers_cannot_be_sniffed_framed_or_kept(url):
    headers = POOL.request("GET", f"{url}/health").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_a_body_past_the_limit_is_refused_before_it_is_read_whole(url):
    length = f"Content-Length: {BODY_BYTES_MAX * 4}"
    head = f"POST /api/taut/v1/verbs/model.create HTTP/1.1\r\nHost: 127.0.0.1\r\n{length}\r\n\r\n"
    answer = raw(url, head.encode() + b"x" * 65536)
    assert answer.split()[1] == b"413"


@pytest.mark.parametrize(
    "request_bytes", [b"\x00" * 64, b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_request_ends_its_connection_and_nothing_else(url, request_bytes):
    answer = raw(url, request_bytes)
    assert answer.split()[1:2] in ([b"400"], [b"403"])
    assert POOL.request("GET", f"{url}/health").status == 200


def test_the_command_line_works_on_a_server_as_on_a_folder(home, url, tmp_path):
    create_model(home, "late")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    here = taut(home.project, "status", "--json")
    there = taut(elsewhere, "--home", url, "status", "--json")
    assert here.status == there.status == 0
    assert [s["fact"] for s in here.json["stations"]] == [s["fact"] for s in there.json["stations"]]
    lost = taut(elsewhere, "--home", url, "model", "show", "layte")
    assert (lost.status, is_two_lines(lost)) == (10, True)
    assert "'late'" in lost.err
    assert list(elsewhere.iterdir()) == []


def test_a_project_may_name_its_server_once(home, url, tmp_path):
    project = tmp_path / "laptop"
    assert taut(tmp_path, "init", str(project), "--server", url).status == 0
    (project / "rows.csv").write_text("a\n1\n")
    made = taut(project, "data", "add", "rows.csv", "--json")
    assert made.status == 0, made.err
    assert [version["name"] for version in taut(home.project, "data", "log", "--json").json] == ["rows"]
    (project / "rows.csv").unlink()
    assert taut(project, "data", "checkout", "rows@1").status == 0
    assert (project / "rows.csv").read_text() == "a\n1\n"


def test_the_server_ends_orderly_when_asked(home, free_port):
    running = subprocess.Popen(
        [sys.executable, "-m", "taut", "server", "--port", str(free_port), "--json"],
        cwd=home.project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{free_port}"
    eventually(lambda: _is_up(address), what="the server to answer")
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=30)
    assert json.loads(out)["url"] == address
    assert "Traceback" not in err


def test_beyond_loopback_without_tokens_nothing_listens(home, free_port):
    said = taut(home.project, "server", "--host", "0.0.0.0", "--port", str(free_port))
    assert (said.status, is_two_lines(said)) == (12, True)
    assert "taut user create" in said.err


def test_whoever_is_nobody_is_in_the_ledger_of_no_change(home):
    with pytest.raises(Denied):
        create_model(home.as_actor(Actor("anonymous", "anonymous")), "late")
    with pytest.raises(Invalid):
        create_model(home, "")
    assert list_models(home) == []


def _is_up(address: str) -> bool:
    try:
        return POOL.request("GET", f"{address}/health").status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_an_answer_comes_in_one_piece(home):
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served(home) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=5) as line:
            for _ in range(50):
                line.sendall(request)
                assert line.recv(65536).endswith(b"\r\n\r\nOK")
            line.sendall(request * 3)  # Asked for at once, answered one after the other.
            answers = b""
            while answers.count(b"HTTP/1.1 200") < 3 or not answers.endswith(b"OK"):
                answers += line.recv(65536)
            assert answers.count(b"\r\n\r\nOK") == 3
