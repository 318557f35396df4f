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


def test_a_search_by_datasets_is_refused_in_words_that_help(ask: Speaker):
    said = ask.post(f"{L}/search", experiment_ids=["0"], datasets=[{"dataset_name": "flights"}])
    assert said.code == INVALID
    assert "leave datasets out" in said.message
