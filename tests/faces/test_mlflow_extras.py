"""What MLflow's own pages and old clients ask, raw: downloads, histories in bulk, datasets, noted models, preview."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from taut.govern import create_token
from taut.ground.ledger import events
from taut.home import Home
from taut.runs import DatasetInput, MetricPoint, create_experiment, create_run, log_batch, log_inputs
from tests.faces.serving import served
from tests.faces.speaking import INVALID, NOT_FOUND, POOL, Speaker, tags_of

A = "mlflow-artifacts/artifacts"
L = "mlflow/logged-models"
BULK = "metrics/get-history-bulk"
PAGE = b"<script>alert(1)</script>"
MODEL = {"artifact_path": "model", "flavors": {}, "run_id": "r", "utc_time_created": "2026-01-01 00:00:00"}


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    """A server with the run `r`, which keeps a page and a model."""
    with served(home) as url:
        create_run(home, run_id="r")
        ask = Speaker(url)
        put(ask, "0/r/artifacts/plots/page.html", PAGE)
        put(ask, "0/r/artifacts/model/MLmodel", b"flavors:\n  python_function:\n    loader_module: late\n")
        yield ask


@pytest.fixture
def pages(ask: Speaker) -> Speaker:
    """Speaks as MLflow's own pages do."""
    return Speaker(ask.url, "/ajax-api/2.0/mlflow/")


def put(ask: Speaker, place: str, data: bytes) -> None:
    assert ask("PUT", f"{A}/{place}", data).status == 200


def fetched(ask: Speaker, place: str, **query: object) -> tuple[int, bytes, Any]:
    """What a GET answers: status, body, headers."""
    headers = {"authorization": f"Bearer {ask.secret}"} if ask.secret else {}
    answer = POOL.request("GET", f"{ask.url}{place}?{urlencode(query)}", headers=headers)
    return answer.status, answer.data, answer.headers


def must_be_saved(headers: Any, name: str) -> None:
    """A browser saves the file under its name, guesses nothing and runs nothing."""
    assert headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]


# Downloads


@pytest.mark.parametrize("called", ["run_id", "run_uuid"])
def test_a_file_of_a_run_is_a_download_under_either_name_of_the_run(ask: Speaker, called: str):
    status, body, headers = fetched(ask, "/get-artifact", path="plots/page.html", **{called: "r"})
    assert (status, body) == (200, PAGE)
    must_be_saved(headers, "page.html")


def test_a_name_with_quotes_and_line_ends_cannot_write_a_header(ask: Speaker):
    put(ask, "0/r/artifacts/a%22%3B%20b%C3%BC.txt", b"x")
    status, _, headers = fetched(ask, "/get-artifact", path='a"; bü.txt', run_id="r")
    assert status == 200
    must_be_saved(headers, "a%22%3B%20b%C3%BC.txt")


def test_a_file_of_a_version_is_the_one_that_was_registered(ask: Speaker):
    ask.told("mlflow/registered-models/create", name="late")
    ask.told("mlflow/model-versions/create", name="late", source="runs:/r/model", run_id="r")
    place = "/model-versions/get-artifact"
    status, body, headers = fetched(ask, place, name="late", version=1, path="MLmodel")
    assert status == 200
    assert body.startswith(b"flavors:")
    must_be_saved(headers, "MLmodel")
    put(ask, "0/r/artifacts/model/MLmodel", b"changed later")
    assert fetched(ask, place, name="late", version=1, path="MLmodel")[1] == body
    assert fetched(ask, place, name="late", version=1, path="nothing")[0] == 404
    assert fetched(ask, place, name="late", version=2, path="MLmodel")[0] == 404
    assert fetched(ask, place, name="other", version=1, path="MLmodel")[0] == 404
    for odd in ("one", "²", "-1", "9" * 30):
        assert fetched(ask, place, name="late", version=odd, path="MLmodel")[0] == 400, odd


def test_files_of_a_logged_model_are_listed_and_downloaded(ask: Speaker):
    model_id = ask.told(L, experiment_id="0", name="m", source_run_id="r")["model"]["info"]["model_id"]
    for path in ("MLmodel", "data/a.bin", "data/deep/b.bin"):
        put(ask, f"0/models/{model_id}/artifacts/{path}", path.encode())
    top = ask.get(f"{L}/{model_id}/artifacts/directories").body
    assert top["root_uri"] == f"mlflow-artifacts:/0/models/{model_id}/artifacts"
    assert top["files"] == [
        {"path": "MLmodel", "is_dir": False, "file_size": 7},
        {"path": "data", "is_dir": True},
    ]
    below = ask.get(f"{L}/{model_id}/artifacts/directories", artifact_directory_path="data").body["files"]
    assert [one["path"] for one in below] == ["data/a.bin", "data/deep"]
    place = f"/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files"
    status, body, headers = fetched(ask, place, artifact_file_path="data/deep/b.bin")
    assert (status, body) == (200, b"data/deep/b.bin")
    must_be_saved(headers, "b.bin")
    assert ask.get(f"{L}/m-none/artifacts/directories").code == NOT_FOUND
    assert ask.get(f"{L}/{model_id}/artifacts/directories", artifact_directory_path="../..").code == INVALID


@pytest.mark.parametrize("path", ["../page.html", "/etc/passwd", "plots/../../x", "a%2e%2e/%2e%2e/b", "a\x00b", ""])
def test_no_path_leaves_the_files_of_a_run(ask: Speaker, path: str):
    status, body, _ = fetched(ask, "/get-artifact", path=path, run_id="r")
    assert status == 400
    assert json.loads(body)["error_code"] == "INVALID_PARAMETER_VALUE"


def test_a_file_or_run_that_is_not_there_is_told_as_missing(ask: Speaker):
    assert fetched(ask, "/get-artifact", path="plots/none.html", run_id="r")[0] == 404
    assert fetched(ask, "/get-artifact", path="plots/page.html", run_id="none")[0] == 404
    assert fetched(ask, "/get-artifact", path="plots/page.html")[0] == 400


def test_downloads_ask_for_the_permission_to_read_artifacts(ask: Speaker, home: Home):
    auditor = Speaker(ask.url, "/", create_token(home, "audit", "auditor").secret)
    viewer = Speaker(ask.url, "/", create_token(home, "vera", "viewer").secret)
    assert fetched(auditor, "/get-artifact", path="plots/page.html", run_id="r")[0] == 403
    assert fetched(viewer, "/get-artifact", path="plots/page.html", run_id="r")[0] == 200
    assert fetched(Speaker(ask.url, "/"), "/get-artifact", path="plots/page.html", run_id="r")[0] == 401


def test_a_page_uploads_a_small_file(ask: Speaker, pages: Speaker):
    assert pages("POST", "upload-artifact?run_uuid=r&path=notes/a.md", b"# note").status == 200
    assert fetched(ask, "/get-artifact", path="notes/a.md", run_id="r")[1] == b"# note"
    assert pages("POST", "upload-artifact?run_uuid=r&path=empty", b"").code == INVALID
    assert pages("POST", "upload-artifact?run_uuid=r", b"x").code == INVALID
    assert pages("POST", "upload-artifact?path=a", b"x").code == INVALID
    assert pages("POST", "upload-artifact?run_uuid=none&path=a", b"x").code == NOT_FOUND
    assert pages("POST", "upload-artifact?run_uuid=r&path=../a", b"x").code == INVALID
    assert pages("POST", "upload-artifact?run_uuid=r&path=large", b"x" * ((10 << 20) + 1)).code == INVALID


# Histories


def test_histories_of_several_runs_come_run_by_run_in_order_of_time(pages: Speaker, home: Home):
    create_run(home, run_id="q")
    log_batch(home, "r", metrics=[MetricPoint("loss", 1.0, 5, 10), MetricPoint("loss", float("nan"), 1, 20)])
    log_batch(home, "q", metrics=[MetricPoint("loss", 3.0, 0, 5)])
    said = pages.get(BULK, run_id=["r", "q"], metric_key="loss").body
    assert said["metrics"] == [
        {"key": "loss", "value": 3.0, "timestamp": 5, "step": 0, "run_id": "q"},
        {"key": "loss", "value": 1.0, "timestamp": 10, "step": 5, "run_id": "r"},
        {"key": "loss", "value": "NaN", "timestamp": 20, "step": 1, "run_id": "r"},
    ]
    assert len(pages.get(BULK, run_id=["r", "q"], metric_key="loss", max_results=2).body["metrics"]) == 2
    assert pages.get(BULK, run_id=["r"], metric_key="never").body == {"metrics": []}


def test_a_question_about_histories_names_between_one_and_a_hundred_runs(pages: Speaker):
    assert pages.get(BULK, metric_key="loss").code == INVALID
    assert pages.get(BULK, metric_key="loss", run_id=[f"r{n}" for n in range(101)]).code == INVALID
    assert pages.get(BULK, metric_key="loss", run_id=["none"]).code == NOT_FOUND
    assert pages.get(BULK, metric_key="loss", run_id=["r"], max_results=0).code == INVALID


# Datasets that runs read


@pytest.mark.parametrize("place", ["/ajax-api/2.0/mlflow/", "/ajax-api/2.0mlflow/", "/api/2.0/mlflow/"])
def test_datasets_of_experiments_are_told_once_with_each_context(ask: Speaker, home: Home, place: str):
    other = create_experiment(home, "other").id
    for number, context in enumerate(("train", "train", "test")):
        create_run(home, run_id=f"d{number}")
        log_inputs(
            home, f"d{number}", [DatasetInput("rows", "1", "local", "{}", tags={"mlflow.data.context": context})]
        )
    create_run(home, experiment_id=other, run_id="o")
    log_inputs(home, "o", [DatasetInput("plain", "2", "local", "{}")])
    said = Speaker(ask.url, place)("POST", "experiments/search-datasets", {"experiment_ids": ["0", other]})
    found = sorted(said.body["dataset_summaries"], key=str)
    assert found == [
        {"experiment_id": "0", "name": "rows", "digest": "1", "context": "test"},
        {"experiment_id": "0", "name": "rows", "digest": "1", "context": "train"},
        {"experiment_id": other, "name": "plain", "digest": "2"},
    ]


def test_datasets_are_asked_for_in_between_one_and_twenty_experiments(pages: Speaker):
    assert pages.post("experiments/search-datasets").code == INVALID
    assert pages.post("experiments/search-datasets", experiment_ids=["0"] * 21).code == INVALID
    assert pages.told("experiments/search-datasets", experiment_ids=["0"]) == {"dataset_summaries": []}


# What old clients say


def noted(ask: Speaker) -> list[Any]:
    """The models that the run `r` lists in its tag."""
    data = ask.get("mlflow/runs/get", run_id="r").body["run"]["data"]
    listed: list[Any] = json.loads(tags_of(data)["mlflow.log-model.history"])
    return listed


def test_a_model_that_an_old_client_notes_is_added_to_the_tag_of_its_run(ask: Speaker, home: Home):
    for path in ("one", "two"):
        ask.told("mlflow/runs/log-model", run_id="r", model_json=json.dumps({**MODEL, "artifact_path": path}))
    assert [one["artifact_path"] for one in noted(ask)] == ["one", "two"]
    with home.meta.read() as tx:
        assert [event.subject for event in events(tx, kind="run.noted_model")] == ["run:r", "run:r"]


@pytest.mark.parametrize("written", ["{", "[]", "3", "{}", "[" * 100_000, json.dumps({"artifact_path": "a"})])
def test_a_note_that_describes_no_model_is_refused(ask: Speaker, written: str):
    assert ask.post("mlflow/runs/log-model", run_id="r", model_json=written).code == INVALID


def test_a_note_never_cuts_what_was_noted_before(ask: Speaker):
    long = json.dumps({**MODEL, "flavors": {"x": "y" * 5000}})
    ask.told("mlflow/runs/log-model", run_id="r", model_json=long)
    assert ask.post("mlflow/runs/log-model", run_id="r", model_json=long).code == INVALID
    assert len(noted(ask)) == 1
    assert ask.post("mlflow/runs/log-model", run_id="none", model_json=json.dumps(MODEL)).code == NOT_FOUND


@pytest.mark.parametrize("prefix", ["/api/2.0/preview/", "/ajax-api/2.0/preview/"])
def test_the_paths_of_mlflow_1_lead_to_the_same_answers(ask: Speaker, prefix: str):
    old = Speaker(ask.url, prefix)
    run_id = old.told("mlflow/runs/create", experiment_id="0", run_name="old")["run"]["info"]["run_id"]
    assert old.get("mlflow/runs/get", run_id=run_id).body == ask.get("mlflow/runs/get", run_id=run_id).body
    assert old.get("mlflow/runs/nothing").code == (404, "ENDPOINT_NOT_FOUND")
    assert old.get("mlflow-artifacts/artifacts").code == (404, "ENDPOINT_NOT_FOUND")


def test_the_paths_of_mlflow_1_ask_for_the_same_permission(ask: Speaker, home: Home):
    viewer = create_token(home, "vera", "viewer").secret
    old = Speaker(ask.url, "/api/2.0/preview/", viewer)
    assert old.post("mlflow/runs/create", experiment_id="0").code == (403, "PERMISSION_DENIED")
    assert Speaker(ask.url, "/api/2.0/preview/").get("mlflow/runs/get", run_id="r").status == 401
