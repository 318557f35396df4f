"""Traces, assessments and evaluation datasets: what the client and raw REST see of them, on both databases."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.filterwarnings("ignore")
BAD, GONE = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"
Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(shared_url: str) -> Ask:
    """Ask an endpoint below `/api/3.0/mlflow/` by a JSON body."""

    def call(method: str, path: str, body: Any = None) -> requests.Response:
        return requests.request(method, f"{shared_url}/api/3.0/mlflow/{path}", json=body, timeout=30)

    return call


@pytest.fixture
def trace(ask: Ask, experiment: str, unique: Callable[[str], str]) -> str:
    """The id of a trace without spans, in an experiment of its own."""
    trace_id = f"tr-{abs(hash(unique('trace'))):032x}"
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {
        "trace_id": trace_id, "trace_location": place, "request_time": "2026-01-02T03:04:05Z", "state": "OK",
        "execution_duration": "1.5s",
    }  # fmt: skip
    answer = ask("POST", "traces", {"trace": {"trace_info": info}})
    assert answer.status_code == 200, answer.text
    return trace_id


def test_traces_of_a_deleted_experiment_are_still_read_found_and_assessed(
    client: Any, mlflow: Any, trace: str, experiment: str, ask: Ask
):
    client.delete_experiment(experiment)
    assert ask("GET", f"traces/{trace}").json()["trace"]["trace_info"]["trace_id"] == trace
    found = client.search_traces(locations=[experiment], include_spans=False)
    assert [one.info.trace_id for one in found] == [trace]
    client.set_trace_tag(trace, "a", "b")
    assert mlflow.log_feedback(trace_id=trace, name="quality", value=1).name == "quality"
    client.restore_experiment(experiment)
    assert len(client.search_traces(locations=[experiment], include_spans=False)) == 1


def test_nothing_is_traced_into_a_deleted_experiment(client: Any, experiment: str, ask: Ask):
    client.delete_experiment(experiment)
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    info = {"trace_id": "tr-" + "a" * 32, "trace_location": place, "request_time": "2026-01-02T03:04:05Z"}
    answer = ask("POST", "traces", {"trace": {"trace_info": info}})
    assert (answer.status_code, answer.json()["error_code"]) == (400, BAD)
    assert "deleted" in answer.json()["message"]


@pytest.mark.parametrize("value", ["Paris", 3.5, True, [1, {"a": None}], {"capital": ["Paris", 1]}, []])
def test_an_expectation_of_any_value_is_kept_by_the_client(client: Any, mlflow: Any, trace: str, value: Any):
    made = mlflow.log_expectation(trace_id=trace, name="fact", value=value)
    assert mlflow.get_assessment(trace, made.assessment_id).value == value
    made.expectation.value = {"changed": [value]}
    changed = mlflow.update_assessment(trace, made.assessment_id, made)
    assert changed.value == {"changed": [value]}


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"value": "Paris"}, {"value": "Paris"}), ({"value": 3.5}, {"value": 3.5}),
        (
            {"value": {"a": [1]}}, {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": {"a": [1]}}},
        ),
        (
            {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": '["a"]'}},
            {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": ["a"]}},
        ),
        ({"serialized_value": {"serialization_format": "JSON_FORMAT", "value": '"b"'}}, {"value": "b"}),
    ],
)  # fmt: skip
def test_an_expectation_is_told_as_a_text_where_it_holds_several_values(
    ask: Ask, trace: str, sent: dict[str, Any], told: dict[str, Any]
):
    made = ask("POST", f"traces/{trace}/assessments", {"assessment": {"assessment_name": "fact", "expectation": sent}})
    said = made.json()["assessment"]["expectation"]
    if "serialized_value" in said:
        said["serialized_value"]["value"] = json.loads(said["serialized_value"]["value"])
    assert said == told


def test_an_expectation_in_an_unknown_form_is_refused(ask: Ask, trace: str):
    sent = {"serialized_value": {"serialization_format": "PICKLE", "value": "x"}}
    said = ask("POST", f"traces/{trace}/assessments", {"assessment": {"assessment_name": "a", "expectation": sent}})
    assert (said.status_code, said.json()["error_code"]) == (400, BAD)
    assert "Unknown serialization format" in said.json()["message"]


def test_a_trace_is_found_by_what_is_expected_of_it(client: Any, mlflow: Any, trace: str, experiment: str):
    mlflow.log_expectation(trace_id=trace, name="city", value="Paris")
    for city, number in (("Paris", 1), ("Rome", 0)):
        found = client.search_traces(
            locations=[experiment], filter_string=f"expectation.city = '{city}'", include_spans=False
        )
        assert len(found) == number


def test_evaluation_datasets_are_found_by_experiment_filter_and_order(client: Any, unique: Callable[[str], str]):
    first, second = (client.create_experiment(unique("evaluation")) for _ in range(2))
    mark = unique("mark")
    for name, places, team in (("a", [first], "ml"), ("b", [first, second], "data"), ("c", [second], "ml")):
        client.create_dataset(f"{mark} {name}", experiment_id=places, tags={"team": team, "mark": mark})

    def found(**question: Any) -> str:
        return "".join(one.name[-1] for one in client.search_datasets(**question) if one.name.startswith(mark))

    assert sorted(found()) == ["a", "b", "c"]
    assert sorted(found(experiment_ids=[first])) == ["a", "b"]
    assert sorted(found(experiment_ids=[first, second])) == ["a", "b", "c"]
    assert sorted(found(filter_string="tags.team = 'ml'")) == ["a", "c"]
    assert found(filter_string=f"tags.mark = '{mark}'", order_by=["name DESC"]) == "cba"
    assert found(experiment_ids=[second], filter_string=f"name LIKE '{mark}%'", order_by=["name ASC"]) == "bc"


def test_one_id_in_place_of_a_list_of_ids_names_that_experiment(
    client: Any, unique: Callable[[str], str], unlike_stock: Callable[[bool], None]
):
    unlike_stock(True)  # It looks in the experiments that each character names.
    place, other = (client.create_experiment(unique("evaluation")) for _ in range(2))
    name = unique("dataset")
    client.create_dataset(name, experiment_id=[place])
    client.create_dataset(unique("dataset"), experiment_id=[other])
    assert [one.name for one in client.search_datasets(experiment_ids=place)] == [name]
    assert list(client.search_datasets(experiment_ids=["1", "2"])) == []
    assert list(client.search_datasets(experiment_ids="0")) == list(client.search_datasets(experiment_ids=["0"]))


def test_an_evaluation_dataset_that_was_deleted_is_not_found(client: Any, experiment: str, code_of: Callable[..., str]):
    made = client.create_dataset("gone", experiment_id=[experiment])
    client.delete_dataset(made.dataset_id)
    assert code_of(client.get_dataset, made.dataset_id) == GONE
    with pytest.raises(Exception, match="not found"):
        client.get_dataset(made.dataset_id)
    assert list(client.search_datasets(experiment_ids=[experiment])) == []


@pytest.mark.parametrize("api", ["2.0", "3.0"])
def test_a_page_downloads_the_spans_of_a_trace_as_a_file(
    mlflow: Any, shared_url: str, unique: Callable[[str], str], api: str
):
    mlflow.set_experiment(unique("spans"))
    with mlflow.start_span(name="test") as span:
        span.set_attributes({"fruit": "apple"})
        span.add_event(mlflow.entities.SpanEvent("happened", timestamp=99_999, attributes={"a": "b"}))
    mlflow.flush_trace_async_logging()
    place = f"{shared_url}/ajax-api/{api}/mlflow/get-trace-artifact"
    answer = requests.get(place, params={"request_id": span.trace_id}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"] == "attachment; filename=traces.json"
    (read,) = mlflow.entities.TraceData.from_dict(answer.json()).spans
    assert read.to_dict() == span.to_dict()


def test_what_is_no_file_of_a_trace_is_not_found(shared_url: str, trace: str, is_taut: bool):
    place = f"{shared_url}/ajax-api/2.0/mlflow/get-trace-artifact"
    assert requests.get(place, params={"request_id": "tr-none"}, timeout=30).status_code == 404
    assert requests.get(place, timeout=30).status_code == 400
    asked = requests.get(place, params={"request_id": trace, "path": "a" * 8 + ".png"}, timeout=30)
    assert asked.status_code == 404 if is_taut else asked.status_code >= 400
