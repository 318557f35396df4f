"""Experiments through MLflow's protocol, raw: made, named, tagged, found, deleted, restored."""

from collections.abc import Iterator

import pytest

from taut.home import Home
from taut.runs import find_experiment, list_experiments
from tests.faces.serving import served
from tests.faces.speaking import EXISTS, INVALID, NOT_FOUND, Speaker, tags_of

E = "mlflow/experiments"
NOW_MS = 1_700_000_000_000


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    with served(home) as url:
        yield Speaker(url)


@pytest.fixture
def made(ask: Speaker) -> str:
    """The id of an experiment called `late`."""
    return str(ask.told(f"{E}/create", name="late", tags=[{"key": "team", "value": "a"}])["experiment_id"])


def test_an_experiment_that_is_made_is_read_by_its_id_and_by_its_name(ask: Speaker, made: str):
    told = ask.get(f"{E}/get", experiment_id=made).body
    assert told == ask.get(f"{E}/get-by-name", experiment_name="late").body
    assert told["experiment"] == {
        "experiment_id": made, "name": "late", "lifecycle_stage": "active", "creation_time": NOW_MS,
        "last_update_time": NOW_MS, "artifact_location": f"mlflow-artifacts:/{made}",
        "tags": [{"key": "team", "value": "a"}], "workspace": "default",
    }  # fmt: skip


def test_an_experiment_that_is_not_there_is_told_so(ask: Speaker):
    assert ask.get(f"{E}/get", experiment_id="404").code == NOT_FOUND
    assert ask.get(f"{E}/get-by-name", experiment_name="nothing").code == NOT_FOUND
    for path in ("update", "delete", "restore", "set-experiment-tag", "delete-experiment-tag"):
        said = ask.post(f"{E}/{path}", experiment_id="404", new_name="x", key="k", value="v")
        assert said.code == NOT_FOUND, path
        assert "404" in said.message, path


def test_a_name_is_given_once_and_is_a_name(ask: Speaker, home: Home, made: str):
    assert ask.post(f"{E}/create", name="late").code == EXISTS
    assert ask.post(f"{E}/update", experiment_id=made, new_name="Default").code == EXISTS
    for name in ("", " ", "x" * 501):
        assert ask.post(f"{E}/create", name=name).code == INVALID, name
        assert ask.post(f"{E}/update", experiment_id=made, new_name=name).code == INVALID, name
    assert sorted(one.name for one in list_experiments(home)) == ["Default", "late"]


def test_a_name_of_any_letters_goes_in_and_out_whole(ask: Speaker):
    for name in ("Verspätung 2013 / März", "遅延", "a'b\"c;--", "100%", "x" * 500):
        number = ask.told(f"{E}/create", name=name)["experiment_id"]
        assert ask.get(f"{E}/get-by-name", experiment_name=name).body["experiment"]["experiment_id"] == number


def test_a_new_name_is_the_only_one(ask: Speaker, made: str):
    assert ask.told(f"{E}/update", experiment_id=made, new_name="later") == {}
    assert ask.get(f"{E}/get", experiment_id=made).body["experiment"]["name"] == "later"
    assert ask.get(f"{E}/get-by-name", experiment_name="late").code == NOT_FOUND
    assert ask.told(f"{E}/create", name="late")["experiment_id"] != made


def test_tags_are_set_changed_and_taken_away(ask: Speaker, made: str):
    for value in ("b", "c"):
        assert ask.told(f"{E}/set-experiment-tag", experiment_id=made, key="team", value=value) == {}
    assert tags_of(ask.get(f"{E}/get", experiment_id=made).body["experiment"]) == {"team": "c"}
    assert ask.told(f"{E}/delete-experiment-tag", experiment_id=made, key="team") == {}
    assert tags_of(ask.get(f"{E}/get", experiment_id=made).body["experiment"]) == {}
    for key in ("", "../up", "x" * 251):
        assert ask.post(f"{E}/set-experiment-tag", experiment_id=made, key=key, value="v").code == INVALID, key


def test_a_deleted_experiment_is_read_still_takes_no_run_and_comes_back(ask: Speaker, home: Home, made: str):
    assert ask.told(f"{E}/delete", experiment_id=made) == {}
    assert ask.get(f"{E}/get", experiment_id=made).body["experiment"]["lifecycle_stage"] == "deleted"
    assert ask.post("mlflow/runs/create", experiment_id=made).status == 400
    assert ask.told(f"{E}/restore", experiment_id=made) == {}
    assert find_experiment(home, "late").lifecycle == "active"
    assert ask.post(f"{E}/restore", experiment_id=made).code == NOT_FOUND
    assert ask.post("mlflow/runs/create", experiment_id=made).status == 200


def test_the_experiment_that_clients_log_to_unasked_stays(ask: Speaker, home: Home):
    assert ask.post(f"{E}/delete", experiment_id="0").code == INVALID
    assert [one.lifecycle for one in list_experiments(home)] == ["active"]


def test_a_tag_that_is_given_twice_with_two_values_is_refused_before_anything_is_made(ask: Speaker, home: Home):
    two = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]
    said = ask.post(f"{E}/create", name="late", tags=two)
    assert said.code == INVALID
    assert "'1'" in said.message and "'2'" in said.message
    assert [one.name for one in list_experiments(home)] == ["Default"]


def test_files_of_an_experiment_lie_here_or_it_is_not_made(ask: Speaker, home: Home):
    for place in ("s3://bucket/x", "file:///tmp/x", "/tmp/x", "dbfs:/x"):
        said = ask.post(f"{E}/create", name="late", artifact_location=place)
        assert said.code == INVALID
        assert "leave artifact_location out" in said.message
    assert [one.name for one in list_experiments(home)] == ["Default"]
    assert ask.post(f"{E}/create", name="late", artifact_location="mlflow-artifacts:/").status == 200


def test_a_search_by_query_is_the_search_by_body(ask: Speaker, made: str):
    asked = {"max_results": 5, "order_by": ["name DESC", "creation_time"], "filter": "name LIKE '%a%'"}
    by_query, by_body = ask.get(f"{E}/search", **asked).body, ask.post(f"{E}/search", **asked).body
    assert by_query == by_body
    assert [one["name"] for one in by_body["experiments"]] == ["late", "Default"]


@pytest.mark.parametrize(
    ("filter_", "found"),
    [
        ("name = 'late'", ["late"]), ("name != 'late'", ["Default"]), ("tags.team = 'a'", ["late"]),
        ("tags.team = 'b'", []), ("name ILIKE 'LA%'", ["late"]), ("tags.team = 'a' AND name = 'Default'", []),
        ("creation_time > 0", ["Default", "late"]), (f"creation_time < {NOW_MS}", []),
    ],
)  # fmt: skip
def test_a_filter_finds_what_it_says(ask: Speaker, made: str, filter_: str, found: list[str]):
    said = ask.told(f"{E}/search", max_results=9, filter=filter_, order_by=["name"])
    assert [one["name"] for one in said["experiments"]] == found


@pytest.mark.parametrize(
    "question",
    [
        {"filter": "name ="}, {"filter": "name = 'a"}, {"filter": "metrics.m > 1 OR 1"}, {"order_by": ["bad thing"]},
        {"order_by": ["tags.team"]}, {"page_token": "no token"}, {"view_type": "SOME"}, {"max_results": 0},
        {"max_results": "50001"}, {"max_results": -1},
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_read_is_refused(ask: Speaker, question: dict[str, object]):
    assert ask.post(f"{E}/search", **{"max_results": 5, **question}).code == INVALID
