"""Logged models through MLflow's protocol, raw: begun, finished, tagged, found, hidden."""

from collections.abc import Iterator
from typing import Any

import pytest

from taut.home import Home
from taut.runs import create_run
from tests.faces.serving import served
from tests.faces.speaking import INVALID, NOT_FOUND, Speaker, tags_of

L = "mlflow/logged-models"


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    with served(home) as url:
        yield Speaker(url)


def made(ask: Speaker, **said: object) -> dict[str, Any]:
    """Begin a logged model; returns it."""
    model: dict[str, Any] = ask.told(L, **{"experiment_id": "0", **said})["model"]
    return model


def place(model: dict[str, Any]) -> str:
    return f"{L}/{model['info']['model_id']}"


def test_a_logged_model_that_is_begun_is_the_one_that_is_read(ask: Speaker, home: Home):
    run = create_run(home)
    pair = [{"key": "a", "value": "1"}]
    model = made(ask, name="late", model_type="sklearn", source_run_id=run.id, params=pair, tags=pair)
    assert ask.get(place(model)).body == {"model": model}
    info = model["info"]
    assert (info["name"], info["model_type"], info["source_run_id"]) == ("late", "sklearn", run.id)
    assert (info["experiment_id"], info["status"]) == ("0", "LOGGED_MODEL_PENDING")
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/models/{info['model_id']}/artifacts"
    assert model["data"] == {"params": pair, "metrics": []}
    assert info["tags"] == pair


def test_a_logged_model_of_nothing_that_is_there_is_refused(ask: Speaker):
    assert ask.post(L, experiment_id="404").code == NOT_FOUND
    assert ask.post(L, experiment_id="0", source_run_id="nobody").code == NOT_FOUND
    for name in ("a/b", "a:b", "a.b", "a%b", "x" * 257):
        assert ask.post(L, experiment_id="0", name=name).code == INVALID, name
    two = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]
    assert ask.post(L, experiment_id="0", params=two).code == INVALID
    assert ask.told(f"{L}/search", experiment_ids=["0"]) == {"models": []}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None), ("PATCH", "", {"status": "LOGGED_MODEL_READY"}), ("DELETE", "", None),
        ("POST", "/params", {"params": []}), ("PATCH", "/tags", {"tags": []}), ("DELETE", "/tags/a", None),
    ],
)  # fmt: skip
def test_a_logged_model_that_is_not_there_is_told_so(ask: Speaker, method: str, path: str, body: object):
    said = ask(method, f"{L}/m-nobody{path}", body)
    assert said.code == NOT_FOUND
    assert "m-nobody" in said.message


@pytest.mark.parametrize("status", ["READY", "UPLOAD_FAILED", "PENDING"])
def test_a_status_is_taken_in_mlflows_words_alone(ask: Speaker, status: str):
    model = made(ask)
    said = ask("PATCH", place(model), {"status": f"LOGGED_MODEL_{status}"})
    assert said.body["model"]["info"]["status"] == f"LOGGED_MODEL_{status}"
    assert ask("PATCH", place(model), {"status": status}).code == INVALID
    assert ask("PATCH", place(model), {"status": 2}).code == INVALID
    assert ask.get(place(model)).body["model"]["info"]["status"] == f"LOGGED_MODEL_{status}"


def test_the_path_says_which_model_is_meant_whatever_the_body_says(ask: Speaker):
    one, other = made(ask, name="one"), made(ask, name="other")
    body = {"model_id": other["info"]["model_id"], "status": "LOGGED_MODEL_READY"}
    said = ask("PATCH", f"{place(one)}?model_id={other['info']['model_id']}", body)
    assert said.body["model"]["info"]["name"] == "one"
    assert ask.get(place(other)).body["model"]["info"]["status"] == "LOGGED_MODEL_PENDING"


def test_a_param_of_a_logged_model_is_written_once(ask: Speaker):
    model = made(ask, params=[{"key": "a", "value": "1"}])
    for _ in range(2):
        ask.told(f"{place(model)}/params", params=[{"key": "a", "value": "1"}, {"key": "b", "value": "2"}])
    said = ask.post(f"{place(model)}/params", params=[{"key": "c", "value": "3"}, {"key": "a", "value": "9"}])
    assert said.code == INVALID
    assert tags_of(ask.get(place(model)).body["model"]["data"], "params") == {"a": "1", "b": "2"}


def test_tags_are_set_changed_and_taken_away(ask: Speaker):
    model = made(ask, tags=[{"key": "a", "value": "1"}])
    pairs = [{"key": "a", "value": "2"}, {"key": "b c", "value": ""}]
    said = ask("PATCH", f"{place(model)}/tags", {"tags": pairs})
    assert tags_of(said.body["model"]["info"]) == {"a": "2", "b c": ""}
    assert tags_of(ask("DELETE", f"{place(model)}/tags/b%20c").body["model"]["info"]) == {"a": "2"}
    assert ask("DELETE", f"{place(model)}/tags/b%20c").code == NOT_FOUND


def test_a_hidden_model_is_gone_for_every_question(ask: Speaker):
    model = made(ask, name="late")
    assert ask("DELETE", place(model)).body == {}
    assert ask.get(place(model)).code == NOT_FOUND
    assert ask("DELETE", place(model)).code == NOT_FOUND
    assert ask.told(f"{L}/search", experiment_ids=["0"]) == {"models": []}


def test_logged_models_are_found_by_filter_order_and_page(ask: Speaker):
    for name in ("b", "a", "c"):
        made(ask, name=name)

    def names(**question: object) -> list[str]:
        said = ask.told(f"{L}/search", experiment_ids=["0"], **question)
        return [one["info"]["name"] for one in said["models"]]

    by_name = [{"field_name": "name"}]
    assert names(order_by=by_name) == ["a", "b", "c"]
    assert names(order_by=[{"field_name": "name", "ascending": False}]) == ["c", "b", "a"]
    assert names(filter="name = 'b'") == ["b"]
    first = ask.told(f"{L}/search", experiment_ids=["0"], order_by=by_name, max_results="2")
    assert names(order_by=by_name, page_token=first["next_page_token"]) == ["c"]
    assert names(max_results=100, order_by=by_name) == ["a", "b", "c"]
    assert ask.told(f"{L}/search") == {"models": []}


@pytest.mark.parametrize(
    "question",
    [
        {"filter": "nonsense"}, {"max_results": 0}, {"max_results": 50_001}, {"page_token": "no token"},
        {"order_by": [{"field_name": "nothing"}]}, {"order_by": ["name"]}, {"order_by": [{}]},
    ],
)  # fmt: skip
def test_a_search_for_logged_models_that_cannot_be_read_is_refused(ask: Speaker, question: dict[str, object]):
    made(ask)
    assert ask.post(f"{L}/search", **{"experiment_ids": ["0"], **question}).code == INVALID


def measured(ask: Speaker, name: str, *points: tuple[str, float, str, str, int]) -> None:
    """A logged model and what was measured on it: metric, value, dataset, its digest, and when."""
    model_id = made(ask, name=name)["info"]["model_id"]
    run_id = ask.told("mlflow/runs/create", experiment_id="0")["run"]["info"]["run_id"]
    metrics = [
        {
            "key": key, "value": value, "dataset_name": dataset, "dataset_digest": digest, "timestamp": at_ms,
            "model_id": model_id,
        }
        for key, value, dataset, digest, at_ms in points
    ]  # fmt: skip
    ask.told("mlflow/runs/log-batch", run_id=run_id, metrics=metrics)


@pytest.fixture
def judged(ask: Speaker) -> Speaker:
    """A server with three models that were measured on datasets, and one that never was."""
    measured(ask, "a", ("auc", 0.9, "train", "1", 1), ("auc", 0.6, "test", "1", 2), ("auc", 0.5, "test", "2", 3))
    measured(ask, "b", ("auc", 0.8, "train", "1", 1), ("auc", 0.7, "test", "1", 2))
    measured(ask, "c", ("auc", 0.7, "train", "1", 1), ("loss", 0.1, "test", "1", 2))
    made(ask, name="d")
    return ask


def found(ask: Speaker, **question: object) -> list[str]:
    """The names of the models that a search finds, in its order."""
    by_name = [{"field_name": "name"}]
    said = ask.told(f"{L}/search", **{"experiment_ids": ["0"], "order_by": by_name, **question})
    return [model["info"]["name"] for model in said["models"]]


TEST, TEST_1, TRAIN = (
    {"dataset_name": "test"},
    {"dataset_name": "test", "dataset_digest": "1"},
    {"dataset_name": "train"},
)


def test_models_are_found_by_what_was_measured_on_a_dataset(judged: Speaker):
    assert found(judged, datasets=[TEST]) == ["a", "b", "c"]
    assert found(judged, datasets=[{**TEST, "dataset_digest": "2"}]) == ["a"]
    assert found(judged, datasets=[{"dataset_name": "other"}]) == []
    assert found(judged, datasets=[TEST], filter="metrics.auc >= 0.6") == ["a", "b"]
    assert found(judged, datasets=[{**TEST, "dataset_digest": "2"}], filter="metrics.auc >= 0.6") == []
    assert found(judged, datasets=[TRAIN], filter="metrics.auc > 0.75 AND name != 'b'") == ["a"]
    assert found(judged, datasets=[TRAIN, TEST], filter="metrics.auc = 0.7") == ["b", "c"]
    assert found(judged, datasets=[TEST], filter="name LIKE '%'") == ["a", "b", "c"]
    assert found(judged, datasets=[{"dataset_name": "train", "dataset_digest": ""}], filter="metrics.loss < 1") == []


def test_without_a_dataset_any_of_the_measured_values_may_meet_a_filter(judged: Speaker):
    assert found(judged, filter="metrics.auc > 0.85") == ["a"]
    assert found(judged, filter="metrics.auc < 0.55") == ["a"]
    assert found(judged, filter="metrics.auc >= 0.5") == ["a", "b", "c"]
    assert found(judged, filter="metrics.auc < 0.1") == []


def test_models_are_ordered_by_a_metric_on_one_dataset_and_the_unmeasured_come_last(judged: Speaker):
    def ordered(ascending: bool, **dataset: str) -> list[str]:
        terms = [{"field_name": "metrics.auc", "ascending": ascending, **dataset}, {"field_name": "name"}]
        return found(judged, order_by=terms)

    assert ordered(True, dataset_name="train") == ["c", "b", "a", "d"]
    assert ordered(False, dataset_name="train") == ["a", "b", "c", "d"]
    assert ordered(False, **TEST_1) == ["b", "a", "c", "d"]
    assert ordered(False, **TEST) == ["b", "a", "c", "d"]
    assert ordered(True) == ["a", "b", "c", "d"]  # The latest of each, whatever it was measured on: 0.5, 0.7, 0.7.


def test_pages_of_models_that_were_measured_often_hold_each_once(judged: Speaker):
    question = {"datasets": [TRAIN, TEST], "order_by": [{"field_name": "metrics.auc", **TRAIN}], "max_results": 2}
    first = judged.told(f"{L}/search", experiment_ids=["0"], **question)
    second = judged.told(f"{L}/search", experiment_ids=["0"], page_token=first["next_page_token"], **question)
    names = [model["info"]["name"] for page in (first, second) for model in page["models"]]
    assert names == ["c", "b", "a"]
    assert "next_page_token" not in second


def test_what_was_measured_is_shown_with_its_dataset(judged: Speaker):
    (model,) = judged.told(f"{L}/search", experiment_ids=["0"], filter="name = 'b'")["models"]
    shown = {(m["dataset_name"], m["dataset_digest"]): m["value"] for m in model["data"]["metrics"]}
    assert shown == {("train", "1"): 0.8, ("test", "1"): 0.7}


@pytest.mark.parametrize(
    "wrong",
    [
        {"datasets": [{}]}, {"datasets": [{"dataset_name": ""}]}, {"datasets": [{"dataset_digest": "1"}]},
        {"datasets": ["test"]}, {"order_by": [{"field_name": "metrics.auc", "dataset_digest": "1"}]},
    ],
)  # fmt: skip
def test_a_dataset_without_a_name_is_refused(ask: Speaker, wrong: dict[str, object]):
    assert ask.post(f"{L}/search", experiment_ids=["0"], **wrong).code == INVALID
