"""GraphQL raw: what is wrong with a request, who may read what, and what a query may cost, on both databases."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from taut.errors import Unavailable
from taut.faces.mlflow import graphql
from taut.govern import create_token, create_user
from taut.ground.meta import Tx
from taut.home import Home
from taut.models.versions import versions_in
from taut.records import ModelVersion
from taut.runs import create_experiment, create_run, log_batch
from tests.faces.serving import served
from tests.faces.speaking import INVALID, Said, Speaker, denials
from tests.marks import POSTGRESQL_SLOW


@pytest.fixture(name="home", params=POSTGRESQL_SLOW)
def fast_home(home: Home) -> Home:
    """The home of all tests, in the fast run on SQLite alone."""
    return home


WORD = "correct horse battery"
U, E, M, V = "mlflow/users", "mlflow/experiments", "mlflow/registered-models", "mlflow/model-versions"
GET_EXPERIMENT = "query A($id: String) { mlflowGetExperiment(input: {experimentId: $id}) { experiment { name } } }"
GET_RUN = """query A($id: String) {
  mlflowGetRun(input: {runId: $id}) { run { info { runId } experiment { name } modelVersions { name version } } }
}"""
SEARCH = """query A($ids: [String]) {
  mlflowSearchRuns(input: {experimentIds: $ids}) { runs { info { runId } modelVersions { name } } }
}"""
VERSIONS = "{ mlflowSearchModelVersions(input: {}) { modelVersions { name } } }"
As = Callable[..., Speaker]


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    """A server, asked from its root."""
    with served(home) as url:
        yield Speaker(url, "/")


@pytest.fixture
def speak(home: Home) -> Iterator[As]:
    """Speaks as a user of that name; vera is one who may read."""
    create_user(home, "admin", WORD, role="owner")
    create_user(home, "vera", WORD, role="viewer")
    with served(home) as url:
        yield lambda name="admin", prefix="/": Speaker(url, prefix, WORD, name)


def told(said: Said) -> list[str]:
    """The errors of an answer that went well as such."""
    assert said.status == 200, said
    return list(said.body["errors"] or [])


def queried(ask: Speaker, query: str, **variables: Any) -> Said:
    return ask.post("graphql", query=query, variables=variables)


# Requests


def test_a_query_is_asked_by_get_too(ask: Speaker):
    said = ask.get(
        "graphql", query=GET_EXPERIMENT, variables=json.dumps({"id": "0"}), operationName="A", extensions="{}"
    )
    assert said.body == {"data": {"mlflowGetExperiment": {"experiment": {"name": "Default"}}}, "errors": None}


def test_one_of_several_operations_is_chosen_by_its_name(ask: Speaker):
    query = 'query A { test(inputString: "a") { output } } query B { test(inputString: "b") { output } }'
    assert ask.post("graphql", query=query, operationName="B").body["data"] == {"test": {"output": "b"}}
    assert "operation name" in told(ask.post("graphql", query=query))[0]
    assert "Unknown operation" in told(ask.post("graphql", query=query, operationName="C"))[0]


def test_a_mutation_says_again_what_it_is_told(ask: Speaker):
    said = queried(ask, 'mutation { testMutation(inputString: "a") { output } }')
    assert said.body == {"data": {"testMutation": {"output": "a"}}, "errors": None}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "Missing value for required parameter 'query'"),
        ({"query": ""}, "Missing value for required parameter 'query'"),
        ({"query": 5}, "Invalid value 5 for parameter 'query' supplied"),
        ({"query": "{ __typename }", "variables": [1]}, "parameter 'variables' supplied"),
        ({"query": "{ __typename }", "variables": "[1]"}, "the variables must be a JSON object"),
        ({"query": "{ __typename }", "variables": "{"}, "the variables must be a JSON object"),
        ({"query": "#" * (graphql.QUERY_MAX + 1)}, "at most 50000 characters"),
        ([{"query": "{ __typename }"}], "must be a JSON object"),
    ],
)
def test_a_request_without_a_query_that_can_be_read_is_refused(ask: Speaker, body: object, words: str):
    said = ask("POST", "graphql", body)
    assert said.code == INVALID
    assert words in said.message


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("{ a", "Syntax Error"),
        ("nonsense", "Syntax Error"),
        ("#", "Syntax Error"),
        ("{ __typename } fragment", "Syntax Error"),
        ("fragment a on Query { __typename }", "Fragment 'a' is never used"),
        ("{ ...a } fragment a on Query { ...a }", "Cannot spread fragment 'a' within itself"),
        ("subscription { a }", "Schema is not configured to execute subscription operation"),
        ("{ a" * 5000, "nested too deeply"),
        ("{ test(inputString: " + "[" * 20000 + ") }", "nested too deeply"),
        ("{ mlflowSearchModelVersions(input: {maxResults: 1.5}) { nextPageToken } }", "a LongString is a whole number"),
        (
            '{ mlflowSearchModelVersions(input: {maxResults: "9223372036854775808"}) { nextPageToken } }',
            "a LongString is a whole number",
        ),
        ("{ mlflowSearchModelVersions(input: {maxResults: 0}) { nextPageToken } }", "max_results"),
        ("{ mlflowGetRun { run { info { runId } } } }", "Missing value for required parameter 'run_id'"),
        ("{ mlflowGetRun(input: {runId: null}) { run { info { runId } } } }", "Missing value for required parameter"),
        ('{ mlflowGetExperiment(input: {experimentId: ""}) { experiment { name } } }', "Missing value for required"),
        ('{ mlflowSearchRuns(input: {experimentIds: ["0"], filter: "x ="}) { nextPageToken } }', "cannot be read"),
        ('{ mlflowSearchRuns(input: {experimentIds: ["0", null]}) { nextPageToken } }', "experiment_ids[1]"),
    ],
)
def test_what_is_wrong_with_a_query_stands_in_the_errors(ask: Speaker, query: str, words: str):
    said = queried(ask, query)
    assert any(words in problem for problem in told(said)), said
    assert not any((said.body["data"] or {}).values())


@pytest.mark.parametrize("value", ["x", 1.5, True, "9" * 30, -(2**63) - 1, [1], {}])
def test_a_variable_that_is_no_long_is_told_so(ask: Speaker, value: object):
    query = """query A($most: LongString) {
      mlflowSearchModelVersions(input: {maxResults: $most}) { nextPageToken }
    }"""
    assert "a LongString is a whole number of 64 bits" in told(queried(ask, query, most=value))[0]


@pytest.mark.parametrize("value", [5, "5"])
def test_a_long_is_a_number_or_a_text(ask: Speaker, value: object):
    query = """query A($most: LongString) {
      mlflowSearchModelVersions(input: {maxResults: $most}) { modelVersions { name } }
    }"""
    said = queried(ask, query, most=value)
    assert said.body == {"data": {"mlflowSearchModelVersions": {"modelVersions": []}}, "errors": None}


def test_what_rest_leaves_out_is_empty_and_a_structure_null(ask: Speaker, home: Home):
    run = create_run(home, run_id="r", name="n")
    query = """query A($id: String) { mlflowGetRun(input: {runId: $id}) { apiError { code } run {
      info { endTime runName } inputs { datasetInputs { tags { key } } } data { metrics { key datasetName } } } } }"""
    log_batch(home, run.id, metrics=[])
    found = queried(ask, query, id="r").body["data"]["mlflowGetRun"]
    assert found == {
        "apiError": None,
        "run": {
            "info": {"endTime": "0", "runName": "n"}, "inputs": {"datasetInputs": []}, "data": {"metrics": []},
        },
    }  # fmt: skip


def test_a_store_that_does_not_answer_is_told_as_by_rest(ask: Speaker, monkeypatch: pytest.MonkeyPatch):
    from taut.faces.mlflow import graphql_schema

    def gone(*_: object) -> dict[str, object]:
        raise Unavailable("the database does not answer")

    takes = graphql_schema.ROOTS["mlflowGetRun"][0]
    monkeypatch.setitem(graphql_schema.ROOTS, "mlflowGetRun", (takes, gone))
    assert queried(ask, GET_RUN, id="r").code == (503, "TEMPORARILY_UNAVAILABLE")


# Rights


def test_nobody_asks_without_a_name(home: Home):
    create_user(home, "admin", WORD, role="owner")
    with served(home) as url:
        assert Speaker(url, "/").post("graphql", query="{ __typename }").code == (401, "UNAUTHENTICATED")


def test_who_may_read_no_run_asks_nothing(home: Home):
    token = create_token(home, "server", "serving")
    with served(home) as url:
        said = Speaker(url, "/", token.secret).post("graphql", query="{ __typename }")
    assert said.code == (403, "PERMISSION_DENIED")


def hide(speak: As, kind: str, name: str) -> None:
    """Hide an experiment or a model from vera."""
    path, field = (E, "experiment_id") if kind == "experiment" else (M, "name")
    body = {field: name, "username": "vera", "permission": "NO_PERMISSIONS"}
    speak(prefix="/api/2.0/").told(f"{path}/permissions/create", **body)


def test_an_experiment_that_the_caller_may_not_read_is_null_and_told(speak: As, home: Home):
    hidden = create_experiment(home, "hidden").id
    hide(speak, "experiment", hidden)
    said = queried(speak("vera"), GET_EXPERIMENT, id=hidden)
    assert said.body["data"] == {"mlflowGetExperiment": None}
    assert "vera (viewer) may not do experiment" in told(said)[0]
    assert "hidden" not in json.dumps(said.body)
    assert denials(home)[-1].subject == "actor:vera"
    assert queried(speak(), GET_EXPERIMENT, id=hidden).body["errors"] is None


@pytest.mark.parametrize(
    "query",
    [
        GET_RUN,
        "query A($id: String) { mlflowListArtifacts(input: {runId: $id}) { rootUri files { path } } }",
        """query A($id: String) {
          mlflowGetMetricHistoryBulkInterval(input: {runIds: ["open", $id], metricKey: "m"}) { metrics { value } }
        }""",
    ],
)
def test_a_run_of_a_hidden_experiment_is_null_by_every_way_to_it(speak: As, home: Home, query: str):
    create_run(home, run_id="open")
    hidden = create_experiment(home, "hidden").id
    create_run(home, run_id="secret", experiment_id=hidden)
    hide(speak, "experiment", hidden)
    said = queried(speak("vera"), query, id="secret")
    assert list(said.body["data"].values()) == [None]
    assert "may not do" in told(said)[0]
    assert queried(speak(), query, id="secret").body["errors"] is None


def test_searches_leave_out_what_the_caller_may_not_read(speak: As, home: Home):
    hidden = create_experiment(home, "hidden").id
    create_run(home, run_id="open")
    create_run(home, run_id="secret", experiment_id=hidden)
    hide(speak, "experiment", hidden)
    found = queried(speak("vera"), SEARCH, ids=["0", hidden]).body
    assert found["errors"] is None
    assert [run["info"]["runId"] for run in found["data"]["mlflowSearchRuns"]["runs"]] == ["open"]
    datasets = "mutation A($ids: [String]) { mlflowSearchDatasets(input: {experimentIds: $ids}) { %s } }"
    said = queried(speak("vera"), datasets % "datasetSummaries { name }", ids=[hidden])
    assert said.body["data"] == {"mlflowSearchDatasets": {"datasetSummaries": []}}


def test_versions_of_a_hidden_model_are_left_out_of_a_run_and_of_searches(speak: As, home: Home):
    create_run(home, run_id="r")
    admin = speak(prefix="/api/2.0/")
    mlmodel = b"flavors:\n  python_function:\n    loader_module: late\n"
    assert admin("PUT", "mlflow-artifacts/artifacts/0/r/artifacts/model/MLmodel", mlmodel).status == 200
    for name in ("open", "secret"):
        admin.told(f"{M}/create", name=name)
        admin.told(f"{V}/create", name=name, source="runs:/r/model", run_id="r")
    hide(speak, "model", "secret")
    for user, names in (("admin", {"open", "secret"}), ("vera", {"open"})):
        run = queried(speak(user), GET_RUN, id="r").body["data"]["mlflowGetRun"]["run"]
        assert {version["name"] for version in run["modelVersions"]} == names
        runs = queried(speak(user), SEARCH, ids=["0"]).body["data"]["mlflowSearchRuns"]["runs"]
        assert {version["name"] for version in runs[0]["modelVersions"]} == names
        found = queried(speak(user), VERSIONS).body["data"]["mlflowSearchModelVersions"]["modelVersions"]
        assert {version["name"] for version in found} == names


# Costs


def repeated(depth: int, times: int) -> str:
    """A query that names the same fields over and over on every level."""
    inside = "__typename"
    for name in ('mlflowGetRun(input: {runId: "r"})', "run", "experiment", "tags")[:depth][::-1]:
        inside = " ".join([f"{name} {{ {inside} }}"] * times)
    return "{" + inside + "}"


@pytest.mark.parametrize(
    "query",
    [
        repeated(1, 10), repeated(4, 4), repeated(4, 5),
        "{ test { " + "output " * 990 + "} }",
        "{ ...a " + "".join(f"...f{n} " for n in range(900)) + "}"
        + "fragment a on Query { __typename } " + "".join(f"fragment f{n} on Query {{ ...a }} " for n in range(900)),
        "{" + "... {" * 60 + "test { output }" + "}" * 60 + "}",
        "{ ...a } fragment a on Query { test { output } ...b } fragment b on Query { ...a test { output } }",
        "{ test { output } " + "# nothing\n" * 4900 + "}",
        "{ test(inputString: \"" + "a" * 49_000 + "\") { output } }",
        "{ test { " + " ".join(f"b{n}" for n in range(900)) + " } }",
        "{ __typename } fragment f on Query { " + "test { output } " * 3000 + "}",
        "{ __typename } fragment f on MlflowRunInfo { " + "runId " * 8000 + "}",
    ],
)  # fmt: skip
def test_a_query_made_to_cost_much_is_answered_soon(ask: Speaker, query: str):
    assert len(query) <= graphql.QUERY_MAX
    queried(ask, "{ __typename }")  # The schema is read.
    before = time.perf_counter()
    assert queried(ask, query).status == 200
    assert time.perf_counter() - before < 5


def test_fields_are_repeated_a_hundred_times_and_no_more(ask: Speaker):
    assert told(queried(ask, '{ test(inputString: "a") { ' + "output " * 101 + "} }")) == []
    refused = told(queried(ask, '{ test(inputString: "a") { ' + "output " * 102 + "} }"))
    assert refused == ["GraphQL queries should have at most 100 repeated fields, got 101 repeated fields."]


def test_a_fragment_that_nothing_uses_is_told_so_before_its_fields_are_compared(ask: Speaker):
    """Each pair of them would be: 3,000 took a second and a half."""
    query = "{ __typename } fragment f on Query { " + "test { output } " * 3000 + "}"
    assert told(queried(ask, query)) == ["Fragment 'f' is never used."]
    used = "{ ...f } fragment f on Query { test { ...g } } fragment g on Test { output }"
    assert told(queried(ask, used)) == []


def test_many_runs_cost_one_reading_of_experiments_and_versions(
    ask: Speaker, home: Home, monkeypatch: pytest.MonkeyPatch
):
    from taut.faces.mlflow import experiments, registry

    read = {"experiments": 0, "versions": 0}
    get, search = experiments.get, registry.search_all_versions

    def get_experiment(home: Home, asked: experiments.ById) -> dict[str, Any]:
        read["experiments"] += 1
        return get(home, asked)

    def search_versions(home: Home, asked: registry.SearchVersions) -> dict[str, Any]:
        read["versions"] += 1
        return search(home, asked)

    monkeypatch.setattr(experiments, "get", get_experiment)
    monkeypatch.setattr(registry, "search_all_versions", search_versions)
    for number in range(20):
        create_run(home, run_id=f"run{number}")
    query = """{ mlflowSearchRuns(input: {experimentIds: ["0"]}) {
      runs { experiment { name } modelVersions { name } } } }"""
    found = queried(ask, query).body["data"]["mlflowSearchRuns"]["runs"]
    assert found == [{"experiment": {"name": "Default"}, "modelVersions": []}] * 20
    assert read == {"experiments": 1, "versions": 1}


def test_versions_of_other_runs_are_not_read_for_a_query(speak: As, home: Home, monkeypatch: pytest.MonkeyPatch):
    """Of a registry with thousands, a page shows those of its runs."""
    read: list[int] = []

    def noted(tx: Tx, *names: str, run_ids: Sequence[str] | None = None) -> list[ModelVersion]:
        found = versions_in(tx, *names, run_ids=run_ids)
        read.append(len(found))
        return found

    monkeypatch.setattr("taut.models.registry.versions_in", noted)
    admin = speak(prefix="/api/2.0/")
    for name in ("mine", "other"):
        create_run(home, run_id=name)
        place = f"mlflow-artifacts/artifacts/0/{name}/artifacts/model/MLmodel"
        assert admin("PUT", place, b"flavors:\n  python_function:\n    loader_module: late\n").status == 200
        admin.told(f"{M}/create", name=name)
        admin.told(f"{V}/create", name=name, source=f"runs:/{name}/model", run_id=name)
    query = """{ mlflowSearchRuns(input: {experimentIds: ["0"], filter: "run_id = 'mine'"}) {
      runs { modelVersions { name } } } }"""
    read.clear()
    found = queried(speak(), query).body["data"]["mlflowSearchRuns"]["runs"]
    assert [[version["name"] for version in run["modelVersions"]] for run in found] == [["mine"]]
    assert read == [1]


def test_the_library_is_loaded_by_the_first_query_alone():
    program = "import sys, taut.faces.http.app; print('graphql' in sys.modules)"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "False"
