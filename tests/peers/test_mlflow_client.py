"""The real, unchanged MLflow client (mlflow-skinny) against a real taut server on SQLite and PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.govern import create_token
from taut.ground.ledger import events
from taut.home import Home
from taut.models import find_model
from taut.runs import get_run, search_runs
from tests.faces.serving import served
from tests.peers.programs import Client, Programs

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        yield address


@pytest.fixture
def client(programs: Programs, url: str, tmp_path: Path) -> Client:
    """Runs a program with the client in a process of its own; returns what it put into `answers`."""
    return programs.client(url, tmp_path)


def test_a_run_is_logged_and_read_back_as_the_client_meant_it(client, home):
    said = client("""
import math, os
mlflow.set_experiment("late flights")
with mlflow.start_run(run_name="first", tags={"team": "red"}) as run:
    mlflow.log_params({"depth": 3, "ünï": "cödé ✈"})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"nan": math.nan, "inf": math.inf}, step=1)
    mlflow.set_tag("note", "x" * 100)
    mlflow.delete_tag("note")
seen = client.get_run(run.info.run_id)
answers["id"] = seen.info.run_id
answers["info"] = [seen.info.run_name, seen.info.status, seen.info.lifecycle_stage]
answers["ended"] = seen.info.end_time >= seen.info.start_time
answers["params"] = seen.data.params
answers["loss"] = seen.data.metrics["loss"]
answers["nan"] = math.isnan(seen.data.metrics["nan"])
answers["inf"] = seen.data.metrics["inf"] == sys.float_info.max
answers["history"] = [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")]
answers["tag"] = [seen.data.tags["team"], "note" in seen.data.tags]
answers["root"] = seen.info.artifact_uri
""")
    assert said["info"] == ["first", "FINISHED", "active"]
    assert said["ended"] and said["nan"] and said["inf"]
    assert said["params"] == {"depth": "3", "ünï": "cödé ✈"}
    assert (said["loss"], said["tag"]) == (0.2, ["red", False])
    assert said["history"] == [[step, 1 / (step + 1)] for step in range(5)]
    run = get_run(home, said["id"])
    assert (run.experiment, run.name, run.metrics["nan"]) == ("late flights", "first", None)
    assert said["root"] == f"mlflow-artifacts:/{run.experiment_id}/{run.id}/artifacts"


def test_a_run_without_an_experiment_goes_to_the_default_and_can_be_resumed(client, home):
    said = client("""
with mlflow.start_run() as run:
    mlflow.log_param("a", 1)
with mlflow.start_run(run_id=run.info.run_id):
    mlflow.log_param("b", 2)
    with mlflow.start_run(nested=True) as child:
        mlflow.log_metric("m", 1)
answers["id"], answers["experiment"] = run.info.run_id, run.info.experiment_id
answers["child"] = client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"]
with mlflow.start_run() as run:
    mlflow.log_metrics({"auc": 0.9}, step=1, synchronous=False)
    mlflow.flush_async_logging()
answers["later"] = client.get_run(run.info.run_id).data.metrics
""")
    assert said["experiment"] == "0"
    assert said["child"] == said["id"]
    assert said["later"] == {"auc": 0.9}
    assert get_run(home, said["id"]).params == {"a": "1", "b": "2"}


def test_runs_are_searched_filtered_ordered_and_paged(client):
    said = client("""
experiment = client.create_experiment("search")
for number in range(7):
    run = client.create_run(experiment, run_name=f"r{number}")
    client.log_metric(run.info.run_id, "auc", number / 10)
    client.log_param(run.info.run_id, "kind", "tree" if number % 2 else "line")
def names(**question):
    return [run.info.run_name for run in client.search_runs([experiment], **question)]
answers["filter"] = names(filter_string="metrics.auc > 0.2 AND params.kind = 'tree'", order_by=["metrics.auc DESC"])
answers["like"] = names(filter_string="attributes.run_name ILIKE 'R%' and tags.mlflow.runName != 'r1'", max_results=3)
pages, token = [], None
while True:
    page = client.search_runs([experiment], max_results=3, page_token=token, order_by=["attributes.start_time ASC"])
    pages.append(len(page))
    if not (token := page.token):
        break
answers["pages"] = pages
answers["fluent"] = len(mlflow.search_runs(experiment_names=["search"], output_format="list"))
client.delete_run(client.search_runs([experiment], max_results=1)[0].info.run_id)
answers["active"] = len(names())
answers["deleted"] = names(run_view_type=2)
answers["experiments"] = [e.name for e in client.search_experiments(filter_string="name LIKE 's%'")]
answers["all"] = sorted(e.name for e in mlflow.search_experiments(order_by=["name ASC"]))
""")
    assert said["filter"] == ["r5", "r3"]
    assert said["like"] == ["r6", "r5", "r4"]
    assert said["pages"] == [3, 3, 1]
    assert (said["fluent"], said["active"], said["deleted"]) == (7, 6, ["r6"])
    assert (said["experiments"], said["all"]) == (["search"], ["Default", "search"])


def test_artifacts_are_uploaded_listed_and_downloaded(client):
    said = client("""
import os, pathlib
folder = pathlib.Path("out/deep"); folder.mkdir(parents=True)
(folder / "b.bin").write_bytes(bytes(range(256)) * 20000)
pathlib.Path("out/ünï côdé.txt").write_text("ä")
with mlflow.start_run() as run:
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_dict({"a": 1}, "a.json")
    mlflow.log_artifacts("out", "many")
    answers["uri"] = mlflow.get_artifact_uri("notes")
run_id = run.info.run_id
answers["top"] = sorted((f.path, f.is_dir, f.file_size) for f in client.list_artifacts(run_id))
answers["many"] = sorted(f.path for f in client.list_artifacts(run_id, "many"))
answers["file"] = client.list_artifacts(run_id, "a.json")
os.makedirs("got")
got = pathlib.Path(client.download_artifacts(run_id, "", "got"))
answers["same"] = (got / "many/deep/b.bin").read_bytes() == bytes(range(256)) * 20000
answers["text"] = [mlflow.artifacts.load_text(f"runs:/{run_id}/notes/a.txt"), (got / "many/ünï côdé.txt").read_text()]
""")
    assert said["top"] == [["a.json", False, 12], ["many", True, None], ["notes", True, None]]
    assert said["many"] == ["many/deep", "many/ünï côdé.txt"]
    assert said["file"] == []
    assert said["same"] is True
    assert said["text"] == ["hello", "ä"]


AUTOLOG = """
import numpy, pandas
from sklearn.linear_model import LogisticRegression
mlflow.set_experiment("autolog")
mlflow.sklearn.autolog(registered_model_name="late")
rows = pandas.DataFrame({"a": numpy.arange(40.0), "b": numpy.arange(40.0) % 7})
with mlflow.start_run() as run:
    fitted = LogisticRegression(C=0.5).fit(rows, rows.a > 20)
seen = client.get_run(run.info.run_id)
answers["run"] = run.info.run_id
answers["params"] = seen.data.params["C"]
answers["metrics"] = sorted(seen.data.metrics)
answers["dataset"] = [(i.dataset.name, [t.value for t in i.tags]) for i in seen.inputs.dataset_inputs]
model_id = seen.outputs.model_outputs[0].model_id
logged = client.get_logged_model(model_id)
answers["model"] = [str(logged.status), logged.source_run_id == run.info.run_id, logged.params["C"]]
answers["on model"] = sorted(m.key for m in logged.metrics)
answers["found"] = [m.model_id for m in client.search_logged_models(["%s" % seen.info.experiment_id])] == [model_id]
version = client.get_model_version("late", "1")
answers["version"] = [version.status, version.run_id == run.info.run_id]
answers["model id"] = model_id
client.set_registered_model_alias("late", "champion", "1")
for place in (f"models:/{model_id}", "models:/late@champion", "models:/late/1", f"runs:/{run.info.run_id}/model"):
    loaded = mlflow.sklearn.load_model(place)
    answers[place.partition(":/")[0] + str(len(answers))] = bool((loaded.predict(rows) == fitted.predict(rows)).all())
answers["loads"] = mlflow.pyfunc.load_model("models:/late/latest").metadata.signature.inputs.input_names()
"""


def test_a_fit_logs_itself_with_its_model_and_data_and_the_model_loads_back_however_it_is_named(client, home):
    said = client(AUTOLOG)
    assert said["params"] == "0.5"
    assert {"training_accuracy_score", "training_roc_auc"} <= set(said["metrics"])
    assert said["dataset"] == [["dataset", ["train"]]]
    assert said["model"] == ["READY", True, "0.5"]
    assert "training_accuracy_score" in said["on model"]
    assert said["found"] is True
    assert said["version"] == ["READY", True]
    assert [value for key, value in said.items() if key.startswith(("models", "runs"))] == [True] * 4
    assert said["loads"] == ["a", "b"]
    champion = find_model(home, "late@champion")
    assert (champion.run_id, champion.model_id) == (said["run"], said["model id"])


REGISTRY = """
import pathlib
def model_in(folder):
    pathlib.Path(folder).mkdir()
    pathlib.Path(folder, "MLmodel").write_text("flavors:\\n  python_function:\\n    loader_module: nothing\\n")
    return folder
with mlflow.start_run() as run:
    mlflow.log_artifacts(model_in("m"), "model")
run_id = run.info.run_id
client.create_registered_model("late", tags={"t": "x"}, description="flights")
answers["twice"] = code_of(client.create_registered_model, "late")
for _ in range(2):
    version = client.create_model_version("late", f"runs:/{run_id}/model", run_id=run_id)
answers["version"] = [version.version, version.status, version.current_stage, version.source]
client.set_registered_model_alias("late", "best", "1")
answers["alias"] = client.get_model_version_by_alias("late", "best").version
answers["aliases"] = client.get_registered_model("late").aliases
answers["no alias"] = code_of(client.get_model_version_by_alias, "late", "worst")
answers["bad alias"] = code_of(client.set_registered_model_alias, "late", "v1", "1")
client.delete_registered_model_alias("late", "best")
client.set_model_version_tag("late", "2", "k", "v")
client.delete_model_version_tag("late", "1", "none")
client.set_registered_model_tag("late", "k", "v")
client.delete_registered_model_tag("late", "t")
answers["tags"] = [client.get_registered_model("late").tags, client.get_model_version("late", "2").tags]
client.update_model_version("late", "2", "second")
client.update_registered_model("late", "all flights")
described = (client.get_model_version("late", "2"), client.get_registered_model("late"))
answers["described"] = [one.description for one in described]
client.transition_model_version_stage("late", "2", "Production")
answers["latest"] = sorted((v.current_stage, v.version) for v in client.get_latest_versions("late"))
answers["uri"] = client.get_model_version_download_uri("late", "1").endswith(f"{run_id}/artifacts/model")
answers["search"] = [v.version for v in client.search_model_versions("name = 'late'")]
answers["tagged"] = [v.version for v in client.search_model_versions("tags.k = 'v'")]
answers["models"] = [m.name for m in client.search_registered_models("name LIKE 'la%'")]
client.rename_registered_model("late", "later")
answers["renamed"] = code_of(client.get_registered_model, "late")
client.delete_model_version("later", "1")
answers["gone"] = code_of(client.get_model_version, "later", "1")
client.delete_registered_model("later")
answers["left"] = len(client.search_registered_models())
for source in ("/etc", "file:///etc", "http://example.org/m", "mlflow-artifacts:/0/../../etc"):
    client.create_registered_model(f"m{len(answers)}")
    answers[source] = code_of(client.create_model_version, f"m{len(answers)}", source, run_id=run_id)
"""


def test_the_registry_keeps_versions_aliases_tags_stages_and_forgets_what_is_deleted(client):
    said = client(REGISTRY)
    assert said["twice"] == "RESOURCE_ALREADY_EXISTS"
    assert [str(said["version"][0]), *said["version"][1:3]] == ["2", "READY", "None"]
    assert str(said["alias"]) == "1"
    assert {alias: str(number) for alias, number in said["aliases"].items()} == {"best": "1"}
    assert (said["no alias"], said["bad alias"]) == ("INVALID_PARAMETER_VALUE", "INVALID_PARAMETER_VALUE")
    assert said["tags"] == [{"k": "v"}, {"k": "v"}]
    assert said["described"] == ["second", "all flights"]
    assert [(stage, str(number)) for stage, number in said["latest"]] == [("None", "1"), ("Production", "2")]
    assert said["uri"] is True
    assert [str(number) for number in said["search"]] == ["2", "1"]
    assert [str(number) for number in said["tagged"]] == ["2"]
    assert said["models"] == ["late"]
    assert (said["renamed"], said["gone"]) == ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_DOES_NOT_EXIST")
    assert said["left"] == 0
    sources = ("/etc", "file:///etc", "http://example.org/m", "mlflow-artifacts:/0/../../etc")
    assert {said[source] for source in sources} <= {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}


def test_mistakes_get_the_codes_that_clients_know_and_no_words_of_the_database(client):
    said = client("""
def of(name, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
        answers[name] = ["no error", ""]
    except MlflowException as problem:
        answers[name] = [problem.error_code, str(problem)]
client.create_experiment("there")
of("experiment twice", client.create_experiment, "there")
of("no experiment", client.create_run, "12345")
of("no run", client.get_run, "0" * 32)
of("no run to log to", client.log_metric, "0" * 32, "m", 1.0)
run_id = client.create_run("0").info.run_id
client.log_param(run_id, "p", "1")
of("param changed", client.log_param, run_id, "p", "2")
of("bad filter", client.search_runs, ["0"], "metrics.m = 'x' OR 1 = 1")
of("bad token", client.search_runs, ["0"], page_token="bm90IGEgdG9rZW4=")
client.delete_run(run_id)
of("deleted run", client.set_tag, run_id, "a", "b")
of("deleted experiment", client.delete_experiment, "999")
of("no model", client.get_registered_model, "nothing")
of("no logged model", client.get_logged_model, "m-nothing")
""")
    found = {name: code for name, (code, _) in said.items()}
    assert found == {
        "experiment twice": "RESOURCE_ALREADY_EXISTS",
        "no experiment": "RESOURCE_DOES_NOT_EXIST",
        "no run": "RESOURCE_DOES_NOT_EXIST",
        "no run to log to": "RESOURCE_DOES_NOT_EXIST",
        "param changed": "INVALID_PARAMETER_VALUE",
        "bad filter": "INVALID_PARAMETER_VALUE",
        "bad token": "INVALID_PARAMETER_VALUE",
        "deleted run": "INVALID_PARAMETER_VALUE",
        "deleted experiment": "RESOURCE_DOES_NOT_EXIST",
        "no model": "RESOURCE_DOES_NOT_EXIST",
        "no logged model": "RESOURCE_DOES_NOT_EXIST",
    }
    words = " ".join(text for _, text in said.values()).upper()
    assert not [word for word in ("SELECT ", "INSERT ", "UNIQUE", "CONSTRAINT", "SQLITE", "PSYCOPG") if word in words]


def test_the_ledger_names_the_holder_of_the_token_and_a_viewer_may_only_look(client, home):
    scientist, viewer = create_token(home, "sam", "data-scientist"), create_token(home, "vera", "viewer")
    client("client.log_param(client.create_run('0').info.run_id, 'p', '1')", MLFLOW_TRACKING_TOKEN=scientist.secret)
    said = client(
        """
answers["runs"] = len(client.search_runs(["0"]))
answers["code"] = code_of(client.create_run, "0")
""",
        MLFLOW_TRACKING_USERNAME="anybody",
        MLFLOW_TRACKING_PASSWORD=viewer.secret,
    )
    assert said == {"runs": 1, "code": "PERMISSION_DENIED"}
    assert client('answers["code"] = code_of(client.create_run, "0")') == {"code": "UNAUTHENTICATED"}
    with home.meta.read() as tx:
        assert [event.actor for event in events(tx, kind="run.created")] == ["sam"]
        assert [event.actor for event in events(tx, kind="access.denied")] == ["vera"]
    assert len(search_runs(home)) == 1
