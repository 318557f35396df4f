"""Raw REST: what MLflow's endpoints answer to missing, wrong, unknown and extreme fields, by code and by word."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.filterwarnings("ignore")
NO_RUN = "0" * 32
BAD, GONE, TWICE = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
STATUS = {BAD: 400, TWICE: 400, GONE: 404}
Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(shared_url: str) -> Ask:
    """Ask an endpoint below `/api/2.0/mlflow/`: a GET sends `fields` as its query, all else as a JSON body."""

    def call(method: str, path: str, fields: Any = None, *, root: str = "/api/2.0/mlflow/", **more: Any):
        sent = {"params": fields} if method == "GET" else {"json": fields}
        return requests.request(method, shared_url + root + path, timeout=30, **sent, **more)

    return call


def refused(answer: requests.Response, code: str, words: str = "") -> None:
    assert answer.status_code == STATUS[code], answer.text
    assert answer.json()["error_code"] == code, answer.text
    assert words in answer.json()["message"], answer.text


MISSING = [
    ("POST", "experiments/create", {}, "name"),
    ("GET", "experiments/get", {}, "experiment_id"),
    ("GET", "experiments/get-by-name", {}, "experiment_name"),
    ("POST", "experiments/delete", {}, "experiment_id"),
    ("POST", "experiments/restore", {}, "experiment_id"),
    ("POST", "experiments/update", {"new_name": "n"}, "experiment_id"),
    ("POST", "experiments/update", {"experiment_id": "0"}, "new_name"),
    ("POST", "experiments/set-experiment-tag", {"key": "k", "value": "v"}, "experiment_id"),
    ("POST", "experiments/set-experiment-tag", {"experiment_id": "0", "value": "v"}, "key"),
    ("GET", "runs/get", {}, "run_id"),
    ("POST", "runs/delete", {}, "run_id"),
    ("POST", "runs/restore", {}, "run_id"),
    ("POST", "runs/update", {"status": "FINISHED"}, "run_id"),
    ("POST", "runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}, "run_id"),
    ("POST", "runs/log-metric", {"run_id": NO_RUN, "value": 1, "timestamp": 1}, "key"),
    ("POST", "runs/log-metric", {"run_id": NO_RUN, "key": "m", "timestamp": 1}, "value"),
    ("POST", "runs/log-metric", {"run_id": NO_RUN, "key": "m", "value": 1}, "timestamp"),
    ("POST", "runs/log-metric", {"run_id": None, "key": "m", "value": 1, "timestamp": 1}, "run_id"),
    ("POST", "runs/log-metric", {"run_id": NO_RUN, "key": None, "value": 1, "timestamp": 1}, "key"),
    ("POST", "runs/log-parameter", {"run_id": NO_RUN, "value": "1"}, "key"),
    ("POST", "runs/log-parameter", {"key": "p", "value": "1"}, "run_id"),
    ("POST", "runs/set-tag", {"run_id": NO_RUN, "value": "1"}, "key"),
    ("POST", "runs/set-tag", {"run_id": "", "key": "k", "value": "1"}, "run_id"),
    ("POST", "runs/delete-tag", {"run_id": NO_RUN}, "key"),
    ("POST", "runs/log-batch", {"metrics": []}, "run_id"),
    ("POST", "runs/log-batch", {"run_id": NO_RUN, "metrics": [{"value": 1, "timestamp": 1}]}, "metrics[0].key"),
    ("POST", "runs/log-batch", {"run_id": NO_RUN, "metrics": [{"key": "m", "timestamp": 1}]}, "metrics[0].value"),
    ("POST", "runs/log-batch", {"run_id": NO_RUN, "metrics": [{"key": "m", "value": 1}]}, "metrics[0].timestamp"),
    ("POST", "runs/log-batch", {"run_id": NO_RUN, "params": [{"key": "a"}, {"value": "1"}]}, "params[1].key"),
    ("POST", "runs/log-batch", {"run_id": NO_RUN, "tags": [{"value": "1"}]}, "tags[0].key"),
    ("POST", "runs/log-inputs", {"datasets": []}, "run_id"),
    ("GET", "metrics/get-history", {"metric_key": "m"}, "run_id"),
    ("GET", "metrics/get-history", {"run_id": NO_RUN}, "metric_key"),
    ("GET", "artifacts/list", {}, "run_id"),
    ("POST", "registered-models/create", {}, "name"),
    ("GET", "registered-models/get", {}, "name"),
    ("POST", "registered-models/rename", {"new_name": "n"}, "name"),
    ("POST", "registered-models/rename", {"name": "n"}, "new_name"),
    ("DELETE", "registered-models/delete", {}, "name"),
    ("POST", "registered-models/set-tag", {"name": "n", "value": "v"}, "key"),
    ("POST", "registered-models/alias", {"name": "n", "version": "1"}, "alias"),
    ("POST", "registered-models/alias", {"name": "n", "alias": "a"}, "version"),
    ("POST", "registered-models/get-latest-versions", {}, "name"),
    ("POST", "model-versions/create", {"name": "n"}, "source"),
    ("POST", "model-versions/create", {"source": "s"}, "name"),
    ("GET", "model-versions/get", {"name": "n"}, "version"),
    ("GET", "model-versions/get-download-uri", {"version": "1"}, "name"),
    ("POST", "model-versions/set-tag", {"name": "n", "version": "1", "value": "v"}, "key"),
    ("POST", "model-versions/transition-stage", {"name": "n", "version": "1"}, "stage"),
    ("POST", "logged-models", {"name": "n"}, "experiment_id"),
]


@pytest.mark.parametrize(("method", "path", "fields", "name"), MISSING)
def test_a_field_that_has_to_be_there_is_missed_by_its_name(ask, method, path, fields, name):
    refused(ask(method, path, fields), BAD, f"Missing value for required parameter '{name}'")


WRONG = [
    ("experiments/create", {"name": 123}, "Invalid value 123 for parameter 'name' supplied"),
    (
        "experiments/create",
        {"name": "n", "artifact_location": 9.0},
        "Invalid value 9.0 for parameter 'artifact_location' supplied",
    ),
    ("experiments/create", {"name": "n", "tags": "5"}, "Invalid value \"5\" for parameter 'tags' supplied"),
    ("experiments/delete", {"experiment_id": 5}, "Invalid value 5 for parameter 'experiment_id' supplied"),
    ("runs/create", {"experiment_id": 123}, "Invalid value 123 for parameter 'experiment_id' supplied"),
    ("runs/create", {"experiment_id": "0", "start_time": "x"}, "Invalid value \"x\" for parameter 'start_time'"),
    ("runs/create", {"experiment_id": "0", "run_name": 7}, "Invalid value 7 for parameter 'run_name' supplied"),
    ("runs/update", {"run_id": NO_RUN, "end_time": "x"}, "Invalid value \"x\" for parameter 'end_time' supplied"),
    (
        "runs/log-metric",
        {"run_id": 31, "key": "m", "value": 1, "timestamp": 1},
        "Invalid value 31 for parameter 'run_id' supplied",
    ),
    (
        "runs/log-metric",
        {"run_id": NO_RUN, "key": 31, "value": 1, "timestamp": 1},
        "Invalid value 31 for parameter 'key' supplied",
    ),
    (
        "runs/log-metric",
        {"run_id": NO_RUN, "key": "m", "value": 1, "timestamp": 1, "step": "foo"},
        "Invalid value \"foo\" for parameter 'step' supplied",
    ),
    (
        "runs/log-metric",
        {"run_id": NO_RUN, "key": "m", "value": 1, "timestamp": "foo"},
        "Invalid value \"foo\" for parameter 'timestamp' supplied",
    ),
    ("runs/log-parameter", {"run_id": 31, "key": "p", "value": 41}, "Invalid value 31 for parameter 'run_id' supplied"),
    ("runs/log-parameter", {"run_id": NO_RUN, "key": 31, "value": 41}, "Invalid value 31 for parameter 'key' supplied"),
    ("runs/set-tag", {"run_id": NO_RUN, "key": "k", "value": 1}, "Invalid value 1 for parameter 'value' supplied"),
    ("runs/log-batch", {"run_id": NO_RUN, "metrics": "5"}, "Invalid value \"5\" for parameter 'metrics' supplied"),
    ("runs/search", {"experiment_ids": "x"}, "Invalid value \"x\" for parameter 'experiment_ids' supplied"),
    ("runs/search", {"experiment_ids": ["0"], "filter": 123}, "Invalid value 123 for parameter 'filter' supplied"),
    ("runs/search", {"experiment_ids": ["0"], "order_by": 2}, "Invalid value 2 for parameter 'order_by' supplied"),
    ("experiments/search", {"max_results": 10, "order_by": 2}, "Invalid value 2 for parameter 'order_by' supplied"),
    ("experiments/search", {"max_results": 10, "filter": 5}, "Invalid value 5 for parameter 'filter' supplied"),
    ("experiments/search", {"max_results": "x"}, "Invalid value \"x\" for parameter 'max_results' supplied"),
    ("registered-models/create", {"name": 5}, "Invalid value 5 for parameter 'name' supplied"),
    ("model-versions/create", {"name": "n", "source": 5}, "Invalid value 5 for parameter 'source' supplied"),
]


@pytest.mark.parametrize(("path", "fields", "words"), WRONG)
def test_a_field_of_the_wrong_type_is_shown_with_its_value(ask, path, fields, words):
    refused(ask("POST", path, fields), BAD, words)


UNKNOWN = [
    ("GET", "experiments/get", {"experiment_id": "999999"}),
    ("GET", "experiments/get-by-name", {"experiment_name": "nobody made this"}),
    ("POST", "experiments/delete", {"experiment_id": "999999"}),
    ("POST", "experiments/restore", {"experiment_id": "999999"}),
    ("POST", "experiments/update", {"experiment_id": "999999", "new_name": "n"}),
    ("POST", "experiments/set-experiment-tag", {"experiment_id": "999999", "key": "k", "value": "v"}),
    ("GET", "runs/get", {"run_id": NO_RUN}),
    ("POST", "runs/delete", {"run_id": NO_RUN}),
    ("POST", "runs/restore", {"run_id": NO_RUN}),
    ("POST", "runs/update", {"run_id": NO_RUN, "status": "FINISHED"}),
    ("POST", "runs/log-metric", {"run_id": NO_RUN, "key": "m", "value": 1, "timestamp": 1}),
    ("POST", "runs/log-parameter", {"run_id": NO_RUN, "key": "p", "value": "1"}),
    ("POST", "runs/set-tag", {"run_id": NO_RUN, "key": "k", "value": "1"}),
    ("POST", "runs/delete-tag", {"run_id": NO_RUN, "key": "k"}),
    ("POST", "runs/log-batch", {"run_id": NO_RUN, "params": [{"key": "p", "value": "1"}]}),
    ("GET", "artifacts/list", {"run_id": NO_RUN}),
    ("GET", "registered-models/get", {"name": "nobody made this"}),
    ("DELETE", "registered-models/delete", {"name": "nobody made this"}),
    ("POST", "registered-models/rename", {"name": "nobody made this", "new_name": "n"}),
    ("PATCH", "registered-models/update", {"name": "nobody made this", "description": "n"}),
    ("POST", "registered-models/set-tag", {"name": "nobody made this", "key": "k", "value": "v"}),
    ("GET", "model-versions/get", {"name": "nobody made this", "version": "1"}),
    ("GET", "logged-models/m-nobody", {}),
    ("DELETE", "logged-models/m-nobody", {}),
]


@pytest.mark.parametrize(("method", "path", "fields"), UNKNOWN)
def test_what_nobody_made_does_not_exist(ask, method, path, fields):
    refused(ask(method, path, fields), GONE)


BOUNDS = [
    ("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 50_000}, 200),
    ("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 50_001}, 400),
    ("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 1}, 200),
    ("POST", "experiments/search", {"max_results": 50_000}, 200),
    ("POST", "experiments/search", {"max_results": 50_001}, 400),
    ("POST", "experiments/search", {"max_results": 0}, 400),
    ("POST", "experiments/search", {"max_results": -1}, 400),
    ("GET", "registered-models/search", {"max_results": 1_000}, 200),
    ("GET", "registered-models/search", {"max_results": 1_001}, 400),
    ("GET", "model-versions/search", {"max_results": 200_000}, 200),
    ("GET", "model-versions/search", {"max_results": 200_001}, 400),
]


@pytest.mark.parametrize(("method", "path", "fields", "status"), BOUNDS)
def test_pages_have_bounds(ask, method, path, fields, status):
    answer = ask(method, path, fields)
    assert answer.status_code == status, answer.text
    if status == 400:
        refused(answer, BAD)


def log_batch(ask: Ask, run_id: str, *, metrics: int = 0, params: int = 0, tags: int = 0) -> requests.Response:
    return ask(
        "POST",
        "runs/log-batch",
        {
            "run_id": run_id,
            "metrics": [{"key": f"m{n}", "value": n, "timestamp": n, "step": n} for n in range(metrics)],
            "params": [{"key": f"p{n}", "value": str(n)} for n in range(params)],
            "tags": [{"key": f"t{n}", "value": str(n)} for n in range(tags)],
        },
    )


@pytest.mark.parametrize(
    ("sizes", "status"),
    [
        ({"metrics": 1000}, 200),
        ({"metrics": 1001}, 400),
        ({"params": 100}, 200),
        ({"params": 101}, 400),
        ({"tags": 100}, 200),
        ({"tags": 101}, 400),
        ({"metrics": 800, "params": 100, "tags": 100}, 200),
        ({"metrics": 801, "params": 100, "tags": 100}, 400),
    ],
)
def test_a_batch_has_bounds_and_past_them_nothing_of_it_is_kept(ask, client, run_id, sizes, status):
    answer = log_batch(ask, run_id, **sizes)
    assert answer.status_code == status, answer.text
    data = client.get_run(run_id).data
    kept = status == 200
    assert len(data.metrics) == (sizes.get("metrics", 0) if kept else 0)
    assert len(data.params) == (sizes.get("params", 0) if kept else 0)


def test_a_batch_past_its_bound_says_which(ask, run_id):
    refused(log_batch(ask, run_id, metrics=1001), BAD, "at most 1000")
    refused(log_batch(ask, run_id, params=101), BAD, "at most 100")


KEYS = [
    ("x" * 250, 200),
    ("x" * 251, 400),
    ("/lead", 400),
    ("a//b", 400),
    ("../up", 400),
    ("a/../b", 400),
    ("ok/deep", 200),
]


@pytest.mark.parametrize(("key", "status"), KEYS)
@pytest.mark.parametrize("kind", ["metric", "parameter", "tag"])
def test_keys_have_bounds_and_cannot_leave_their_folder(ask, run_id, kind, key, status):
    paths = {"metric": "runs/log-metric", "parameter": "runs/log-parameter", "tag": "runs/set-tag"}
    fields = {"run_id": run_id, "key": key, "value": 1 if kind == "metric" else "1", "timestamp": 1}
    if kind != "metric":
        del fields["timestamp"]
    answer = ask("POST", paths[kind], fields)
    assert answer.status_code == status, answer.text
    if status == 400:
        refused(answer, BAD)


def test_fields_that_nobody_knows_are_left_alone(ask, unique):
    made = ask("POST", "experiments/create", {"name": unique("more"), "colour": "red", "deep": {"a": [1]}})
    assert made.status_code == 200, made.text
    assert set(made.json()) == {"experiment_id"}


@pytest.mark.parametrize("prefix", ["/api/2.0/mlflow/", "/ajax-api/2.0/mlflow/"])
def test_the_old_prefix_of_the_pages_reaches_the_same_endpoints(ask, prefix, unique):
    made = ask("POST", "experiments/create", {"name": unique("ajax")}, root=prefix)
    found = ask("GET", "experiments/get", made.json(), root=prefix).json()["experiment"]
    assert (found["experiment_id"], found["lifecycle_stage"]) == (made.json()["experiment_id"], "active")


def test_64_bit_numbers_come_as_numbers_and_may_be_sent_as_text(ask, experiment):
    fields = {"experiment_id": experiment, "start_time": "1700000000000"}
    info = ask("POST", "runs/create", fields).json()["run"]["info"]
    assert info["start_time"] == 1_700_000_000_000
    assert info["run_id"] == info["run_uuid"]
    assert "end_time" not in info


@pytest.mark.parametrize(
    ("sent", "back"), [("NaN", "NaN"), ("Infinity", 1.7976931348623157e308), ("-Infinity", -1.7976931348623157e308)]
)
def test_numbers_that_json_has_no_word_for_are_sent_as_words(ask, run_id, sent, back):
    fields = {"run_id": run_id, "key": "m", "value": sent, "timestamp": 5, "step": 2}
    assert ask("POST", "runs/log-metric", fields).json() == {}
    metrics = ask("GET", "runs/get", {"run_id": run_id}).json()["run"]["data"]["metrics"]
    assert [(m["key"], m["value"], m["timestamp"], m["step"]) for m in metrics] == [("m", back, 5, 2)]


def test_a_run_may_be_named_by_its_old_field(ask, run_id):
    assert ask("GET", "runs/get", {"run_uuid": run_id}).json()["run"]["info"]["run_id"] == run_id
    fields = {"run_uuid": run_id, "key": "m", "value": 1, "timestamp": 1}
    assert ask("POST", "runs/log-metric", fields).status_code == 200
    assert ask("POST", "runs/log-parameter", {"run_uuid": run_id, "key": "p", "value": "1"}).status_code == 200
    data = ask("GET", "runs/get", {"run_id": run_id}).json()["run"]["data"]
    assert (len(data["metrics"]), len(data["params"])) == (1, 1)


def test_probes(shared_url, is_taut):
    health = requests.get(f"{shared_url}/health", timeout=10)
    version = requests.get(f"{shared_url}/version", timeout=10)
    assert (health.status_code, health.text) == (200, "OK")
    assert version.text.startswith("3.17.")
    assert version.text.partition("+")[2].startswith("taut") == is_taut


def test_a_body_that_is_no_json_object_is_told_as_such(ask, shared_url, is_taut):
    for body in ("[1]", "{", '"x"', "7"):
        answer = requests.post(
            f"{shared_url}/api/2.0/mlflow/experiments/create",
            data=body,
            headers={"Content-Type": "application/json"},
            timeout=10,
        )
        assert answer.status_code == 400 or not is_taut, (body, answer.text)


def test_an_endpoint_that_is_not_there_is_a_404(ask, is_taut):
    answer = ask("GET", "nothing/here")
    assert answer.status_code == 404
    assert not is_taut or answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"


def test_a_body_without_its_content_type_is_refused(shared_url, unique):
    place = f"{shared_url}/api/2.0/mlflow/experiments/create"
    body = json.dumps({"name": unique("typed")})
    plain = requests.post(place, data=body, headers={"Content-Type": "text/plain"}, timeout=10)
    assert plain.status_code == 400, plain.text
    assert "Content-Type" in plain.text
    said = requests.post(place, data=body, headers={"Content-Type": "application/json; charset=utf-8"}, timeout=10)
    assert said.status_code == 200, said.text


PAGES = "/ajax-api/2.0/mlflow/"
WORDS_OF_PAGES = [
    ("metrics/get-history-bulk", {"metric_key": "m"}, "GetMetricHistoryBulk request must specify at least one run_id"),
    (
        "metrics/get-history-bulk", {"metric_key": "m", "run_id": ["x"] * 1000},
        "GetMetricHistoryBulk request cannot specify more than",
    ),
    ("metrics/get-history-bulk", {"run_id": ["x"]}, "GetMetricHistoryBulk request must specify a metric_key"),
    ("metrics/get-history-bulk-interval", {"metric_key": "m"}, "Missing value for required parameter 'run_ids'."),
    (
        "metrics/get-history-bulk-interval", {"metric_key": "m", "run_ids": ["x"] * 101},
        "GetMetricHistoryBulkInterval request must specify at most 100 run_ids.",
    ),
    (
        "metrics/get-history-bulk-interval", {"metric_key": "m", "run_ids": ["x"], "max_results": 0},
        "max_results must be between 1 and 2500",
    ),
    (
        "metrics/get-history-bulk-interval", {"metric_key": "m", "run_ids": ["x"], "max_results": 2501},
        "max_results must be between 1 and 2500",
    ),
    ("metrics/get-history-bulk-interval", {"run_ids": ["x"]}, "Missing value for required parameter 'metric_key'"),
    (
        "metrics/get-history-bulk-interval", {"metric_key": "m", "run_ids": ["x"], "start_step": 2, "end_step": 1},
        "end_step must be greater than start_step. ",
    ),
    (
        "metrics/get-history-bulk-interval", {"metric_key": "m", "run_ids": ["x"], "start_step": 2},
        "If either start step or end step are specified, both must be specified.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "fields", "words"), WORDS_OF_PAGES)
def test_what_a_page_asks_wrongly_is_told_in_the_words_it_knows(ask, path, fields, words):
    refused(ask("GET", path, fields, root=PAGES), BAD, words)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (None, "SearchDatasets request must specify at least one experiment_id."),
        ([], "SearchDatasets request must specify at least one experiment_id."),
        (["0"] * 1000, "SearchDatasets request cannot specify more than"),
    ],
)
def test_a_search_of_datasets_names_one_experiment_to_twenty(ask, ids, words):
    fields = {} if ids is None else {"experiment_ids": ids}
    refused(ask("POST", "experiments/search-datasets", fields, root=PAGES), BAD, words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Request must specify run_uuid."), ({"run_uuid": True}, "Request must specify path."),
        ({"run_uuid": True, "path": ""}, "Request must specify path."),
        ({"run_uuid": True, "path": "../a.txt"}, "Invalid path"),
        ({"run_uuid": True, "path": "a.txt"}, "Request must specify data."),
    ],
)  # fmt: skip
def test_a_page_that_uploads_says_the_run_the_path_and_the_bytes(shared_url, run_id, fields, words):
    query = {**fields, **({"run_uuid": run_id} if "run_uuid" in fields else {})}
    place = f"{shared_url}{PAGES}upload-artifact"
    refused(requests.post(place, params=query, timeout=30), BAD, words)


@pytest.mark.parametrize("path", ["../path", "a/../../b", "%2E%2E/a"])
@pytest.mark.parametrize("place", ["/api/2.0/mlflow/artifacts/list", "/get-artifact"])
def test_a_path_that_leaves_its_root_is_invalid_at_every_place(shared_url, run_id, place, path):
    asked = requests.get(shared_url + place, params={"run_id": run_id, "path": path}, timeout=30)
    refused(asked, BAD, "Invalid path")


def test_a_run_that_was_deleted_is_told_to_be_active_first(ask, client, run_id):
    client.delete_run(run_id)
    for path, fields in (
        ("delete-tag", {"key": "a"}), ("log-parameter", {"key": "a", "value": "b"}),
        ("set-tag", {"key": "a", "value": "b"}), ("log-metric", {"key": "a", "value": 1, "timestamp": 1}),
        ("log-inputs", {"models": [{"model_id": "m-1"}]}),
    ):  # fmt: skip
        words = f"The run {run_id} must be in the 'active' state"
        refused(ask("POST", f"runs/{path}", {"run_id": run_id, **fields}), BAD, words)
