"""GraphQL as the pages of MLflow 3.17 ask it: their fields and variables, on both databases or a stock server."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
import requests

pytestmark = pytest.mark.filterwarnings("ignore")

INFO = "info { runName status runUuid experimentId artifactUri endTime lifecycleStage startTime userId }"
EXPERIMENT = "experiment { experimentId name tags { key value } artifactLocation lifecycleStage lastUpdateTime }"
DATA = "data { metrics { key value step timestamp } params { key value } tags { key value } }"
INPUTS = """inputs {
  datasetInputs { dataset { digest name profile schema source sourceType } tags { key value } }
  modelInputs { modelId }
}"""
OUTPUTS = "outputs { modelOutputs { modelId step } }"
ERROR = "apiError { helpUrl code message }"
RUN = f"{INFO} {EXPERIMENT} {DATA} {INPUTS} {OUTPUTS}"
GET_RUN = f"""query GetRun($data: MlflowGetRunInput!) @component(name: "MLflow.ExperimentRunTracking") {{
  mlflowGetRun(input: $data) {{ {ERROR} run {{ {RUN} modelVersions {{ status version name source }} }} __typename }}
}}"""
SEARCH_RUNS = f"""query SearchRuns($data: MlflowSearchRunsInput!) {{
  mlflowSearchRuns(input: $data) {{
    {ERROR} runs {{ {RUN} modelVersions {{ version name creationTimestamp status source }} }} nextPageToken
  }}
}}"""
GET_EXPERIMENT = """query Named($input: MlflowGetExperimentInput!) @component(name: "MLflow.ExperimentRunTracking") {
  mlflowGetExperiment(input: $input) {
    apiError { code message }
    experiment {
      artifactLocation creationTime effectiveTraceArchivalRetention experimentId lastUpdateTime lifecycleStage name
      tags { key value }
    }
  }
}"""
CHART = """query Chart($data: MlflowGetMetricHistoryBulkIntervalInput!) {
  mlflowGetMetricHistoryBulkInterval(input: $data) {
    __typename metrics { timestamp step runId key value } apiError { code message }
  }
}"""
MLMODEL = b"flavors:\n  python_function:\n    loader_module: nothing\n"
Answer = dict[str, Any]
Ask = Callable[..., Answer]


@pytest.fixture
def ask(shared_url: str) -> Ask:
    """Send a query with its variables as a page does; returns the whole answer."""

    def call(query: str, **variables: Any) -> Answer:
        answer = requests.post(f"{shared_url}/graphql", json={"query": query, "variables": variables}, timeout=30)
        assert answer.status_code == 200, answer.text
        body: Answer = answer.json()
        return body

    return call


def pairs(shapes: list[dict[str, str]]) -> dict[str, str]:
    return {one["key"]: one["value"] for one in shapes}


@pytest.fixture
def told_run(client: Any, mlflow: Any, experiment: str, shared_url: str, unique: Callable[[str], str]) -> Answer:
    """A run with something of each kind, and a version that was made of it."""
    from mlflow.entities import (
        Dataset,
        DatasetInput,
        InputTag,
        LoggedModelInput,
        LoggedModelOutput,
        Metric,
        Param,
        RunTag,
    )

    client.set_experiment_tag(experiment, "team", "red")
    run_id = client.create_run(experiment, run_name="told", start_time=1_700_000_000_000).info.run_id
    points = [Metric("loss", float("nan"), 5, 0), Metric("auc", 0.5, 6, 0), Metric("auc", 0.75, 2**40, 3)]
    client.log_batch(run_id, points, [Param("depth", "3")], [RunTag("note", "ü")])
    dataset = Dataset("flights", "abc", "local", "{}", '{"a": 1}', "{}")
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    model = client.create_logged_model(experiment, name="late", source_run_id=run_id)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 3)])
    client.log_inputs(run_id, models=[LoggedModelInput(model.model_id)])
    place = f"{shared_url}/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run_id}/artifacts/model/MLmodel"
    assert requests.put(place, data=MLMODEL, timeout=30).status_code == 200
    name = unique("model")
    client.create_registered_model(name)
    version = client.create_model_version(name, f"runs:/{run_id}/model", run_id)
    client.set_terminated(run_id, end_time=1_700_000_001_000)
    return {"run": run_id, "experiment": experiment, "model": model.model_id, "name": name, "source": version.source}


def test_the_page_of_a_run_gets_all_that_it_shows(ask: Ask, told_run: Answer, client: Any):
    answer = ask(GET_RUN, data={"runId": told_run["run"]})
    assert answer["errors"] is None
    found = answer["data"]["mlflowGetRun"]
    assert (found["apiError"], found["__typename"]) == (None, "MlflowGetRunResponse")
    run = found["run"]
    expected = client.get_run(told_run["run"]).info
    assert run["info"] == {
        "runName": "told", "status": "FINISHED", "runUuid": told_run["run"], "experimentId": told_run["experiment"],
        "artifactUri": expected.artifact_uri, "startTime": "1700000000000", "endTime": "1700000001000",
        "lifecycleStage": "active", "userId": run["info"]["userId"],
    }  # fmt: skip
    assert run["experiment"]["experimentId"] == told_run["experiment"]
    assert pairs(run["experiment"]["tags"])["team"] == "red"
    assert int(run["experiment"]["lastUpdateTime"]) > 1_700_000_000_000
    metrics = {one.pop("key"): one for one in run["data"]["metrics"]}
    assert metrics == {
        "loss": {"value": None, "step": "0", "timestamp": "5"},
        "auc": {"value": 0.75, "step": "3", "timestamp": str(2**40)},
    }
    assert pairs(run["data"]["params"]) == {"depth": "3"}
    assert pairs(run["data"]["tags"])["note"] == "ü"
    (read,) = run["inputs"]["datasetInputs"]
    assert read["dataset"] == {
        "digest": "abc", "name": "flights", "profile": "{}", "schema": "{\"a\": 1}", "source": "{}",
        "sourceType": "local",
    }  # fmt: skip
    assert pairs(read["tags"]) == {"mlflow.data.context": "training"}
    assert run["inputs"]["modelInputs"] == [{"modelId": told_run["model"]}]
    assert run["outputs"]["modelOutputs"] == [{"modelId": told_run["model"], "step": "3"}]
    version = {"status": "READY", "version": "1", "name": told_run["name"], "source": told_run["source"]}
    assert run["modelVersions"] == [version]


def test_the_older_name_of_a_run_names_it_too(ask: Ask, run_id: str):
    asked = "query A($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { info { runId status } } } }"
    answer = ask(asked, data={"runUuid": run_id})
    assert answer["data"]["mlflowGetRun"]["run"]["info"] == {"runId": run_id, "status": "RUNNING"}


@pytest.mark.parametrize("operation", ["query", "mutation"])
def test_runs_are_searched_by_what_the_evaluation_page_asks(ask: Ask, told_run: Answer, client: Any, operation: str):
    client.create_run(told_run["experiment"])
    asked = {"experimentIds": [told_run["experiment"]], "filter": f'attributes.run_id = "{told_run["run"]}"'}
    answer = ask(SEARCH_RUNS.replace("query", operation, 1), data=asked)
    assert answer["errors"] is None
    (run,) = answer["data"]["mlflowSearchRuns"]["runs"]
    assert run["info"]["runName"] == "told"
    (version,) = run["modelVersions"]
    assert version["name"] == told_run["name"]
    assert int(version["creationTimestamp"]) > 1_700_000_000_000


def test_a_search_of_runs_goes_on_behind_a_page(
    ask: Ask, client: Any, experiment: str, unlike_stock: Callable[[bool], None]
):
    unlike_stock(True)  # It cannot read a view.
    made = {client.create_run(experiment).info.run_id for _ in range(3)}
    asked: Answer = {"experimentIds": [experiment], "maxResults": 2, "runViewType": "ACTIVE_ONLY"}
    first = ask(SEARCH_RUNS, data=asked)["data"]["mlflowSearchRuns"]
    second = ask(SEARCH_RUNS, data={**asked, "pageToken": first["nextPageToken"]})["data"]["mlflowSearchRuns"]
    assert [len(first["runs"]), len(second["runs"])] == [2, 1]
    assert {run["info"]["runUuid"] for run in first["runs"] + second["runs"]} == made
    assert not second["nextPageToken"]


def test_runs_that_were_deleted_are_found_by_the_view_that_shows_them(
    ask: Ask, client: Any, experiment: str, unlike_stock: Callable[[bool], None]
):
    unlike_stock(True)  # The same.
    gone = client.create_run(experiment).info.run_id
    client.create_run(experiment)
    client.delete_run(gone)
    asked = """query A($ids: [String]) {
      mlflowSearchRuns(input: { experimentIds: $ids, runViewType: DELETED_ONLY }) {
        runs { info { runId lifecycleStage } }
      }
    }"""
    found = ask(asked, ids=[experiment])["data"]["mlflowSearchRuns"]["runs"]
    assert found == [{"info": {"runId": gone, "lifecycleStage": "deleted"}}]


def test_the_page_of_an_experiment_gets_all_that_it_shows(ask: Ask, client: Any, experiment: str):
    client.set_experiment_tag(experiment, "team", "red")
    answer = ask(GET_EXPERIMENT, input={"experimentId": experiment})
    assert answer["errors"] is None
    found, expected = answer["data"]["mlflowGetExperiment"]["experiment"], client.get_experiment(experiment)
    assert (found["name"], found["artifactLocation"]) == (expected.name, expected.artifact_location)
    assert (found["experimentId"], found["lifecycleStage"]) == (experiment, "active")
    assert (found["creationTime"], found["lastUpdateTime"]) == (
        str(expected.creation_time),
        str(expected.last_update_time),
    )
    assert not found["effectiveTraceArchivalRetention"]
    assert pairs(found["tags"])["team"] == "red"


def test_a_chart_gets_the_points_of_several_runs(
    ask: Ask, client: Any, experiment: str, unlike_stock: Callable[[bool], None]
):
    unlike_stock(True)  # It heeds no bounds here.
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    for run_id in runs:
        for step in range(5):
            client.log_metric(run_id, "auc", step / 8, timestamp=1000 + step, step=step)
    asked = {"runIds": runs, "metricKey": "auc", "startStep": 1, "endStep": 3, "maxResults": 10}
    answer = ask(CHART, data=asked)
    assert answer["errors"] is None
    found = answer["data"]["mlflowGetMetricHistoryBulkInterval"]
    expected = [
        {"timestamp": str(1000 + step), "step": str(step), "runId": run_id, "key": "auc", "value": step / 8}
        for run_id in runs
        for step in (1, 2, 3)
    ]
    assert sorted(found["metrics"], key=str) == sorted(expected, key=str)
    assert found["__typename"] == "MlflowGetMetricHistoryBulkIntervalResponse"


def test_a_point_that_is_not_a_number_leaves_the_others_of_a_chart(ask: Ask, client: Any, run_id: str, is_taut: bool):
    if not is_taut:
        pytest.skip("the stock server then answers no points at all")
    client.log_metric(run_id, "loss", float("nan"), timestamp=1, step=0)
    client.log_metric(run_id, "loss", float("inf"), timestamp=2, step=1)
    found = ask(CHART, data={"runIds": [run_id], "metricKey": "loss"})["data"]["mlflowGetMetricHistoryBulkInterval"]
    assert [point["value"] for point in found["metrics"]] == [None, pytest.approx(1.797e308, rel=0.001)]


def test_artifacts_are_listed_with_their_sizes(ask: Ask, told_run: Answer, client: Any):
    asked = """query A($data: MlflowListArtifactsInput!) {
      mlflowListArtifacts(input: $data) { rootUri files { path isDir fileSize } }
    }"""
    root = ask(asked, data={"runId": told_run["run"]})["data"]["mlflowListArtifacts"]
    assert root["rootUri"] == client.get_run(told_run["run"]).info.artifact_uri
    assert [(one["path"], one["isDir"]) for one in root["files"]] == [("model", True)]
    below = ask(asked, data={"runId": told_run["run"], "path": "model"})["data"]["mlflowListArtifacts"]
    assert below["files"] == [{"path": "model/MLmodel", "isDir": False, "fileSize": str(len(MLMODEL))}]


def test_versions_of_a_run_are_searched(ask: Ask, told_run: Answer, client: Any):
    client.set_model_version_tag(told_run["name"], "1", "kind", "tree")
    client.set_registered_model_alias(told_run["name"], "best", "1")
    asked = """query A($data: MlflowSearchModelVersionsInput!) {
      mlflowSearchModelVersions(input: $data) {
        modelVersions { name version runId status aliases tags { key value } currentStage lastUpdatedTimestamp }
      }
    }"""
    answer = ask(asked, data={"filter": f"run_id='{told_run['run']}'", "maxResults": 5})
    (version,) = answer["data"]["mlflowSearchModelVersions"]["modelVersions"]
    assert int(version.pop("lastUpdatedTimestamp")) > 1_700_000_000_000
    assert version.pop("tags") == [{"key": "kind", "value": "tree"}]
    assert version == {
        "name": told_run["name"], "version": "1", "runId": told_run["run"], "status": "READY",
        "aliases": version["aliases"], "currentStage": "None",
    }  # fmt: skip


def test_datasets_of_an_experiment_are_searched_by_a_mutation(ask: Ask, told_run: Answer):
    asked = """mutation A($data: MlflowSearchDatasetsInput!) {
      mlflowSearchDatasets(input: $data) { datasetSummaries { experimentId name digest context } }
    }"""
    answer = ask(asked, data={"experimentIds": [told_run["experiment"]]})
    summary = {"experimentId": told_run["experiment"], "name": "flights", "digest": "abc", "context": "training"}
    assert answer["data"]["mlflowSearchDatasets"]["datasetSummaries"] == [summary]


def test_a_run_that_is_not_there_is_null_and_told_in_the_errors(ask: Ask):
    answer = ask(GET_RUN, data={"runId": "0" * 32})
    assert answer["data"] == {"mlflowGetRun": None}
    assert len(answer["errors"]) == 1
    assert "not found" in answer["errors"][0]


def test_an_experiment_that_is_not_there_is_null_and_told_in_the_errors(ask: Ask):
    answer = ask(GET_EXPERIMENT, input={"experimentId": "123456789"})
    assert answer["data"] == {"mlflowGetExperiment": None}
    assert "123456789" in answer["errors"][0]


def test_what_can_be_answered_of_a_query_is_answered(ask: Ask, experiment: str):
    answer = ask(
        """query A($there: MlflowGetExperimentInput, $not: MlflowGetExperimentInput) {
          one: mlflowGetExperiment(input: $there) { experiment { experimentId } }
          other: mlflowGetExperiment(input: $not) { experiment { experimentId } }
        }""",
        there={"experimentId": experiment},
        **{"not": {"experimentId": "123456789"}},
    )
    assert answer["data"] == {"one": {"experiment": {"experimentId": experiment}}, "other": None}
    assert len(answer["errors"]) == 1


def test_the_test_field_says_again_what_it_is_told(ask: Ask):
    assert ask('{ test(inputString: "abc") { output } }') == {"data": {"test": {"output": "abc"}}, "errors": None}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'"),
        ("{ test(inputString: 5) { output } }", "String cannot represent a non string value: 5"),
        ("query A($data: Nothing) { test { output } }", "Unknown type 'Nothing'"),
        ("{ mlflowGetRun { run } }", "must have a selection of subfields"),
        ("{ ...gone }", "Unknown fragment 'gone'"),
    ],
)
def test_a_query_that_does_not_fit_the_schema_is_told_so(ask: Ask, query: str, words: str):
    answer = ask(query)
    assert answer["data"] is None
    assert any(words in problem for problem in answer["errors"])


@pytest.mark.parametrize(("number", "is_fine"), [(10, True), (11, False)])
def test_a_query_has_at_most_ten_root_fields(ask: Ask, number: int, is_fine: bool):
    answer = ask("{" + "__typename " * number + "}")
    told = "GraphQL queries should have at most 10 root fields, got 11 root fields"
    assert (answer["errors"] is None) == is_fine
    assert is_fine or told in answer["errors"][0]


@pytest.mark.parametrize("spread", ["a{n}: name", "... on MlflowExperiment {{ a{n}: name }}", "...f{n}"])
def test_a_selection_has_at_most_ten_aliases_however_they_are_put(ask: Ask, experiment: str, spread: str):
    def asked(number: int) -> Answer:
        inside = " ".join(spread.format(n=n) for n in range(number))
        fragments = " ".join(f"fragment f{n} on MlflowExperiment {{ a{n}: name }}" for n in range(number))
        parts = f'{{ mlflowGetExperiment(input: {{experimentId: "{experiment}"}}) {{ experiment {{ {inside} }} }} }}'
        return ask(parts + (fragments if "...f" in spread else ""))

    assert asked(10)["errors"] is None
    assert "at most 10 aliases, got 11 aliases" in asked(11)["errors"][0]


def test_a_query_is_at_most_ten_deep(ask: Ask):
    def deep(levels: int) -> str:
        return '{ __type(name: "Query") { fields { type ' + "{ ofType " * levels + "{ name }" + "}" * levels + " } } }"

    assert ask(deep(6))["errors"] is None
    assert "Query exceeds maximum depth of 10" in ask(deep(7))["errors"][0]


def test_a_query_selects_at_most_a_thousand_fields(ask: Ask):
    answer = ask('{ test(inputString: "a") { ' + "output " * 1000 + "} }")
    assert "Query exceeds maximum total selections of 1000" in answer["errors"][0]


def test_a_body_that_is_a_list_is_no_batch(shared_url: str, unlike_stock: Callable[[bool], None]):
    unlike_stock(True)
    answer = requests.post(f"{shared_url}/graphql", json=[{"query": "{ __typename }"}], timeout=30)
    assert answer.status_code == 400


def test_the_stock_page_finds_its_types(ask: Ask):
    kinds = ask("{ __schema { types { name kind } mutationType { name } directives { name } } }")["data"]["__schema"]
    names = {one["name"] for one in kinds["types"]}
    assert {"MlflowRunExtension", "MlflowMetricExtension", "LongString", "MlflowModelVersion", "ApiError"} <= names
    assert "component" in {one["name"] for one in kinds["directives"]}


def test_a_page_token_of_another_search_is_refused_in_the_errors(ask: Ask, experiment: str):
    token = base64.b64encode(b'{"offset": "x"}').decode()
    answer = ask(SEARCH_RUNS, data={"experimentIds": [experiment], "pageToken": token})
    assert answer["data"] == {"mlflowSearchRuns": None}
    assert answer["errors"]
