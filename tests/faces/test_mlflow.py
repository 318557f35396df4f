"""MLflow's protocol spoken raw: codes, shapes, limits; nothing that is sent breaks the server or leaves a root."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from taut.faces.mlflow.routes import ROUTES
from taut.govern import create_token
from taut.ground.access import ROLES
from taut.home import Home
from taut.runs import create_run, find_experiment, get_run, list_experiments
from tests.faces.serving import raw, served

POOL = urllib3.PoolManager(retries=False, timeout=30)
JSON = {"content-type": "application/json"}
Call = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        yield address


@pytest.fixture
def call(url: str) -> Call:
    """Sends one request below /api/2.0/mlflow; returns the status and the JSON."""

    def send(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        answer = POOL.request(method, f"{url}/api/2.0/mlflow/{path}", body=data, headers=JSON | headers)
        return answer.status, json.loads(answer.data)

    return send


def test_every_route_answers_below_both_prefixes_and_none_is_left_open(home, url):
    create_token(home, "ada", "viewer")
    for route in ROUTES:
        for place in route.places:
            answer = POOL.request(route.method, url + place.replace("{path:path}", "x"))
            assert (answer.status, json.loads(answer.data)["error_code"]) == (401, "UNAUTHENTICATED"), route


def test_no_role_passes_a_route_that_its_permissions_do_not_cover(home, url):
    secrets = {role: create_token(home, role, role).secret for role in ("viewer", "auditor", "serving")}
    for role, secret in secrets.items():
        for route in ROUTES:
            if route.needs in ROLES[role]:
                continue
            place = route.places[0].replace("{path:path}", "0/r/artifacts/x")
            answer = POOL.request(route.method, url + place, headers={"authorization": f"Bearer {secret}"})
            assert (answer.status, json.loads(answer.data)["error_code"]) == (403, "PERMISSION_DENIED"), (role, route)


def test_an_unknown_endpoint_is_told_in_json(call):
    assert call("GET", "nothing/here")[0] == 404
    assert call("POST", "runs/log-nothing", {})[1]["error_code"] == "ENDPOINT_NOT_FOUND"


def test_bad_bodies_are_the_callers_mistake_and_never_a_defect(call, home):
    bodies = [
        b"[]", b"[1, 2]", b'"text"', b"3", b"null", b"{", b"\xff\xfe", b'{"run_id": 3}', b'{"run_id": {"a": []}}',
        b'{"run_id": null}', b"{}", b"[" * 100_000, b'{"a":' * 50_000, b'{"run_id": "x", "metrics": {}}',
        b'{"run_id": "x", "metrics": [[]]}', b'{"run_id": "x", "metrics": [{"key": "a", "value": "one"}]}',
        b'{"run_id": "x", "metrics": [{"key": "a", "value": 1, "step": 99999999999999999999}]}',
        b'{"run_id": "x\\u0000y", "tags": [{"key": "a", "value": "\\u0000"}]}',
    ]  # fmt: skip
    for body in bodies:
        status, said = call("POST", "runs/log-batch", body)
        assert status in {400, 404}, (body[:40], status, said)
        assert said["error_code"] in {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}, body[:40]


def test_text_that_no_database_keeps_is_refused_not_half_stored(call, home):
    run = create_run(home)
    for body in ({"key": "a", "value": "x\x00y"}, {"key": "a", "value": "\ud800"}):
        status, _ = call("POST", "runs/set-tag", {"run_id": run.id, **body})
        assert status == 400
    assert "a" not in get_run(home, run.id).tags
    said = call("POST", "runs/set-tag", {"run_id": run.id, "key": "a", "value": r"the letters \u0000"})
    assert said == (200, {})
    assert call("GET", "experiments/get-by-name?experiment_name=%00")[0] == 400


def test_numbers_may_come_as_text_and_null_and_unknown_fields_mean_nothing(call, home):
    create_run(home, run_id="r")
    body = {"run_id": "r", "key": "m", "value": "NaN", "timestamp": "17", "step": "3", "dataset_name": None, "x": [1]}
    assert call("POST", "runs/log-metric", body) == (200, {})
    status, said = call("GET", "metrics/get-history?run_id=r&metric_key=m&max_results=10")
    assert (status, said["metrics"]) == (200, [{"key": "m", "value": "NaN", "timestamp": 17, "step": 3}])


def test_infinities_are_read_back_as_the_largest_numbers(call, home):
    create_run(home, run_id="r")
    for key, value in (("up", "Infinity"), ("down", "-Infinity")):
        assert call("POST", "runs/log-metric", {"run_id": "r", "key": key, "value": value, "timestamp": 1})[0] == 200
    said = call("GET", "runs/get?run_id=r")[1]["run"]["data"]["metrics"]
    assert {m["key"]: m["value"] for m in said} == {"up": 1.7976931348623157e308, "down": -1.7976931348623157e308}


def test_a_retried_batch_is_stored_once_and_a_torn_one_not_at_all(call, home):
    create_run(home, run_id="r")
    batch: dict[str, Any] = {
        "run_id": "r",
        "metrics": [{"key": "m", "value": 0.5, "timestamp": 1, "step": s} for s in range(3)],
        "params": [{"key": "p", "value": "1"}],
    }
    for _ in range(2):
        assert call("POST", "runs/log-batch", batch) == (200, {})
    torn = {**batch, "metrics": [{"key": "n", "value": 1, "timestamp": 1}], "params": [{"key": "p", "value": "2"}]}
    assert call("POST", "runs/log-batch", torn)[1]["error_code"] == "INVALID_PARAMETER_VALUE"
    run = get_run(home, "r")
    assert (run.metrics, run.params) == ({"m": 0.5}, {"p": "1"})
    assert len(call("GET", "metrics/get-history?run_id=r&metric_key=m")[1]["metrics"]) == 3


def test_a_batch_past_the_limits_is_refused_whole(call, home):
    create_run(home, run_id="r")
    metrics = [{"key": "m", "value": 1, "timestamp": 1, "step": step} for step in range(1001)]
    assert call("POST", "runs/log-batch", {"run_id": "r", "metrics": metrics})[0] == 400
    assert get_run(home, "r").metrics == {}


def test_experiments_are_found_by_view_and_page(call, home):
    ids = [call("POST", "experiments/create", {"name": f"e{n}"})[1]["experiment_id"] for n in range(4)]
    call("POST", "experiments/delete", {"experiment_id": ids[0]})
    assert find_experiment(home, "e0").lifecycle == "deleted"

    def names(**question: Any) -> list[str]:
        body = {"max_results": 100, "order_by": ["name ASC"], **question}
        return [one["name"] for one in call("POST", "experiments/search", body)[1]["experiments"]]

    assert names() == ["Default", "e1", "e2", "e3"]
    assert names(view_type="DELETED_ONLY") == ["e0"]
    assert len(names(view_type="ALL")) == len(list_experiments(home)) == 5
    first = call("POST", "experiments/search", {"max_results": 2, "order_by": ["name DESC"]})[1]
    rest = call("POST", "experiments/search", {
        "max_results": 9, "order_by": ["name DESC"], "page_token": first["next_page_token"],
    })[1]  # fmt: skip
    assert [one["name"] for one in first["experiments"] + rest["experiments"]] == ["e3", "e2", "e1", "Default"]
    assert "next_page_token" not in rest
    for bad in ({}, {"max_results": 0}, {"max_results": 50_001}, {"max_results": 1, "view_type": "SOME"}):
        assert call("POST", "experiments/search", bad)[0] == 400
    assert call("POST", "experiments/create", {"name": "far", "artifact_location": "s3://bucket"})[0] == 400


def test_a_file_travels_through_and_is_handed_out_as_a_download_only(home, url):
    create_run(home, run_id="r")
    place = f"{url}/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/a%20b/page.html"
    data = b"<script>1</script>" * 100_000
    assert POOL.request("PUT", place, body=data).status == 200
    answer = POOL.request("GET", place)
    assert answer.data == data
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
    listed = POOL.request("GET", f"{url}/api/2.0/mlflow-artifacts/artifacts?path=0/r/artifacts/a%20b")
    assert json.loads(listed.data) == {"files": [{"path": "page.html", "is_dir": False, "file_size": len(data)}]}
    assert POOL.request("DELETE", place).status == 200
    assert POOL.request("GET", place).status == 404


def test_no_form_of_a_path_leaves_the_artifacts(home, url):
    create_run(home, run_id="r")
    forms = [
        "0/r/artifacts/../../../x", "0/r/artifacts/%2e%2e/x", "0/r/artifacts/%252e%252e/x", "%2e%2e/%2e%2e/etc/passwd",
        "0/r/artifacts/..%2f..%2fx", "0/r/artifacts/..%5c..%5cx", "/etc/passwd", "0/r/artifacts//etc/passwd",
        "0/r/artifacts/a%00b", "0/r/artifacts/./x", "0/r/x", "0/nobody/artifacts/x", "C:%5cx", "0/r/artifacts/",
    ]  # fmt: skip
    host = url.removeprefix("http://")
    for form in forms:
        for method in ("PUT", "GET"):
            request = (
                f"{method} /api/2.0/mlflow-artifacts/artifacts/{form} HTTP/1.1\r\nHost: {host}\r\n"
                "Content-Length: 1\r\nConnection: close\r\n\r\nx"
            )
            answer = raw(url, request.encode())
            assert answer.split()[1] in {b"400", b"404"}, (method, form, answer[:200])


def test_a_page_of_another_site_changes_nothing(call, home):
    assert call("POST", "experiments/create", {"name": "evil"}, origin="https://evil.example")[0] == 403
    assert call("POST", "experiments/create", {"name": "evil"}, host="evil.example")[0] == 403
    assert [one.name for one in list_experiments(home)] == ["Default"]


def test_a_server_over_a_home_that_was_served_before_finds_the_default_again(home):
    for _ in range(2):
        with served(home):
            assert [one.id for one in list_experiments(home)] == ["0"]


def test_an_error_names_nothing_of_the_database(call, home):
    call("POST", "experiments/create", {"name": "a"})
    said = call("POST", "experiments/create", {"name": "a"})[1]
    assert said["error_code"] == "RESOURCE_ALREADY_EXISTS"
    said = call("POST", "runs/create", {"experiment_id": "404"})[1]
    assert said["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert "sql" not in json.dumps(said).lower()
