"""Logged models: made, finished, found, tagged, measured, loaded by every URI; what autologging leaves behind."""

import json
import os

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
BAD, GONE = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"


@pytest.fixture
def made(client, experiment, run_id):
    """A logged model, not finished yet."""
    return client.create_logged_model(
        experiment, name="late", source_run_id=run_id, tags={"t": "x"}, params={"depth": "3"}, model_type="Agent"
    )


def test_a_logged_model_is_what_was_made(client, made, experiment, run_id):
    for one in (made, client.get_logged_model(made.model_id)):
        assert one.model_id.startswith("m-")
        assert (one.name, one.experiment_id, one.source_run_id) == ("late", experiment, run_id)
        assert (str(one.status), one.model_type) == ("PENDING", "Agent")
        assert (one.params, one.tags["t"]) == ({"depth": "3"}, "x")
        assert one.artifact_location.endswith(f"/models/{one.model_id}/artifacts")
        assert one.creation_timestamp == one.last_updated_timestamp > 1_600_000_000_000


@pytest.mark.parametrize("status", ["READY", "FAILED"])
def test_a_logged_model_is_finished(client, made, mlflow, status):
    assert str(client.finalize_logged_model(made.model_id, status).status) == status
    assert str(client.get_logged_model(made.model_id).status) == status


def test_a_logged_model_without_a_name_gets_one(client, experiment):
    assert client.create_logged_model(experiment).name


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b"])
def test_some_names_of_logged_models_are_refused(client, experiment, code_of, name):
    assert code_of(client.create_logged_model, experiment, name=name) == BAD


def test_tags_of_logged_models_come_change_and_go(client, made, mlflow):
    client.set_logged_model_tags(made.model_id, {"t": "y", "ü": "ö", "empty": ""})
    assert client.get_logged_model(made.model_id).tags.items() >= {"t": "y", "ü": "ö", "empty": ""}.items()
    client.delete_logged_model_tag(made.model_id, "t")
    assert "t" not in client.get_logged_model(made.model_id).tags
    with pytest.raises(mlflow.exceptions.MlflowException, match="No tag with key") as told:
        client.delete_logged_model_tag(made.model_id, "t")
    assert told.value.error_code == GONE


def test_a_logged_model_names_the_versions_made_of_it(client, made, unique, mlflow, tmp_path):
    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    client.log_model_artifacts(made.model_id, str(tmp_path))
    client.finalize_logged_model(made.model_id, "READY")
    names = [unique("one"), unique("two")]
    for name in names:
        client.create_registered_model(name)
        client.create_model_version(name, f"models:/{made.model_id}", model_id=made.model_id)
    told = json.loads(client.get_logged_model(made.model_id).tags["mlflow.modelVersions"])
    assert [(one["name"], int(one["version"])) for one in told] == [(name, 1) for name in names]


def test_params_of_logged_models_are_added(client, made):
    client.log_model_params(made.model_id, {"width": "4"})
    assert client.get_logged_model(made.model_id).params == {"depth": "3", "width": "4"}


def test_a_deleted_logged_model_is_gone(client, made, experiment, code_of, mlflow, is_taut):
    client.delete_logged_model(made.model_id)
    with pytest.raises(mlflow.exceptions.MlflowException, match="not found") as told:
        client.get_logged_model(made.model_id)
    assert told.value.error_code == GONE
    assert client.search_logged_models([experiment]) == []
    assert code_of(client.delete_logged_model, made.model_id) == GONE or not is_taut


def test_metrics_are_logged_on_a_model_and_a_dataset(client, made, run_id):
    client.log_metric(
        run_id, "auc", 0.9, step=1, timestamp=5, model_id=made.model_id, dataset_name="rows", dataset_digest="d1"
    )
    client.log_metric(run_id, "auc", 0.8, step=2, timestamp=6, model_id=made.model_id)
    metrics = client.get_logged_model(made.model_id).metrics
    assert {(m.key, m.value, m.step, m.dataset_name, m.dataset_digest) for m in metrics} == {
        ("auc", 0.9, 1, "rows", "d1"),
        ("auc", 0.8, 2, None, None),
    }
    assert {m.model_id for m in metrics} == {made.model_id}
    assert {m.run_id for m in metrics} == {run_id}


@pytest.fixture(scope="module")
def shelf(shared_url):
    """A client and an experiment of four finished logged models."""
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(shared_url, shared_url)
    experiment = client.create_experiment(f"models {id(client)}")
    run_id = client.create_run(experiment).info.run_id
    for number in range(4):
        model = client.create_logged_model(
            experiment,
            name=f"m{number}",
            source_run_id=run_id,
            params={"depth": str(number)},
            tags={"even": str(number % 2 == 0)},
        )
        client.log_metric(
            run_id,
            "auc",
            number / 10,
            step=1,
            timestamp=5,
            model_id=model.model_id,
            dataset_name="rows",
            dataset_digest="d",
        )
        client.finalize_logged_model(model.model_id, "READY")
    return client, experiment


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (None, "0123"),
        ("name = 'm1'", "1"),
        ("name LIKE 'm%' AND name != 'm1'", "023"),
        ("params.depth = '2'", "2"),
        ("tags.even = 'True'", "02"),
        ("metrics.auc > 0.1", "23"),
        ("metrics.auc <= 0.1 AND tags.even = 'True'", "0"),
        ("attributes.status = 'READY'", "0123"),
        ("name IN ('m0', 'm3')", "03"),
        ("creation_timestamp > 0", "0123"),
    ],
)
def test_logged_models_are_filtered(shelf, filter, expected, unlike_stock):
    unlike_stock("status" in (filter or ""))
    client, experiment = shelf
    found = client.search_logged_models([experiment], filter_string=filter)
    assert "".join(sorted(one.name[1:] for one in found)) == expected


def test_logged_models_are_ordered_by_a_metric_on_a_dataset(shelf, unlike_stock):
    unlike_stock()
    client, experiment = shelf
    order = [{"field_name": "metrics.auc", "ascending": False, "dataset_name": "rows"}]
    assert [one.name for one in client.search_logged_models([experiment], order_by=order)] == ["m3", "m2", "m1", "m0"]
    order = [{"field_name": "creation_timestamp", "ascending": True}]
    assert len(client.search_logged_models([experiment], order_by=order)) == 4
    datasets = [{"dataset_name": "rows"}]
    found = client.search_logged_models([experiment], datasets=datasets, filter_string="metrics.auc > 0.1")
    assert {one.name for one in found} == {"m2", "m3"}
    none = [{"dataset_name": "nothing"}]
    assert client.search_logged_models([experiment], datasets=none, filter_string="metrics.auc > 0.1") == []


def test_logged_models_are_paged_to_the_end(shelf):
    client, experiment = shelf
    seen, token = [], None
    while True:
        page = client.search_logged_models([experiment], max_results=3, page_token=token)
        seen += [one.name for one in page]
        if not (token := page.token):
            break
    assert sorted(seen) == ["m0", "m1", "m2", "m3"]


@pytest.mark.parametrize("filter", ["colours.x = 'y'", "metrics.auc = 'x'", "params.depth >", "name = m1"])
def test_bad_filters_of_logged_models_are_refused(shelf, code_of, filter, unlike_stock):
    unlike_stock(filter in {"metrics.auc = 'x'", "name = m1"})
    client, experiment = shelf
    assert code_of(client.search_logged_models, [experiment], filter_string=filter) == BAD


def test_the_files_of_a_logged_model_are_kept_and_fetched(client, mlflow, made, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "MLmodel").write_text("a: 1\n")
    (tmp_path / "in" / "deep" / "w.bin").write_bytes(bytes(1000))
    client.log_model_artifacts(made.model_id, str(tmp_path / "in"))
    client.finalize_logged_model(made.model_id, "READY")
    assert sorted(f.path for f in client.list_logged_model_artifacts(made.model_id)) == ["MLmodel", "deep"]
    mlflow.artifacts.download_artifacts(f"models:/{made.model_id}", dst_path=str(tmp_path / "out"))
    assert (tmp_path / "out" / "deep" / "w.bin").read_bytes() == bytes(1000)


def test_the_outputs_of_a_run_are_its_models(client, mlflow, made, run_id, is_taut):
    output = mlflow.entities.LoggedModelOutput(made.model_id, step=3)
    for _ in range(2 if is_taut else 1):
        client.log_outputs(run_id, [output])
    assert [(one.model_id, one.step) for one in client.get_run(run_id).outputs.model_outputs] == [(made.model_id, 3)]


def test_the_models_that_a_run_read_are_kept_and_told_once(client, mlflow, made, experiment, run_id):
    other = client.create_logged_model(experiment)
    for _ in range(2):
        client.log_inputs(run_id, models=[mlflow.entities.LoggedModelInput(made.model_id)])
    client.log_inputs(run_id, models=[mlflow.entities.LoggedModelInput(other.model_id)])
    inputs = client.get_run(run_id).inputs
    assert {one.model_id for one in inputs.model_inputs} == {made.model_id, other.model_id}
    assert (len(inputs.model_inputs), inputs.dataset_inputs) == (2, [])


def test_the_fluent_input_of_a_model_stands_in_its_run_and_in_searches(mlflow, client, experiment, is_taut):
    model = client.create_logged_model(experiment)
    rows = mlflow.data.meta_dataset.MetaDataset(mlflow.data.code_dataset_source.CodeDatasetSource({}), name="meta")
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_input(rows, context="eval", model=mlflow.entities.LoggedModelInput(model.model_id))
    found = [client.get_run(run.info.run_id)]
    found += client.search_runs([experiment], "dataset.name = 'meta'") if is_taut else []
    for one in found:
        assert [read.model_id for read in one.inputs.model_inputs] == [model.model_id]
        assert [read.dataset.name for read in one.inputs.dataset_inputs] == ["meta"]


def test_a_run_that_was_deleted_reads_no_model(client, mlflow, made, run_id, code_of):
    client.delete_run(run_id)
    assert code_of(client.log_inputs, run_id, models=[mlflow.entities.LoggedModelInput(made.model_id)]) == BAD


def test_a_metric_of_a_model_says_which_run_measured_it(client, made, experiment, run_id):
    other = client.create_run(experiment).info.run_id
    for run, key, value in ((run_id, "auc", 0.5), (other, "brier", 0.25)):
        client.log_metric(
            run, key, value, timestamp=5, step=1, dataset_name="flights", dataset_digest="1", model_id=made.model_id
        )
    metrics = {one.key: one for one in client.get_logged_model(made.model_id).metrics}
    assert {key: one.run_id for key, one in metrics.items()} == {"auc": run_id, "brier": other}
    assert (metrics["brier"].value, metrics["brier"].dataset_name, metrics["brier"].model_id) == (
        0.25,
        "flights",
        made.model_id,
    )
    unmade = client.create_logged_model(experiment)
    client.log_metric(run_id, "auc", 0.5, timestamp=5, step=1, model_id=unmade.model_id)
    assert [one.run_id for one in client.get_logged_model(unmade.model_id).metrics] == [run_id]


def test_a_version_of_a_logged_model(client, made, unique, run_id, tmp_path):
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: nothing\n")
    client.log_model_artifact(made.model_id, str(tmp_path / "MLmodel"))
    client.finalize_logged_model(made.model_id, "READY")
    name = client.create_registered_model(unique("logged")).name
    version = client.create_model_version(name, f"models:/{made.model_id}", run_id, model_id=made.model_id)
    assert (version.source, version.run_id) == (f"models:/{made.model_id}", run_id)
    assert client.get_model_version_download_uri(name, "1").endswith(f"{made.model_id}/artifacts")


AUTOLOG = """
import numpy, pandas
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
mlflow.set_experiment(NAME)
mlflow.sklearn.autolog(registered_model_name=NAME, max_tuning_runs=3)
rows = pandas.DataFrame({"a": numpy.arange(40.0), "b": numpy.arange(40.0) % 7})
with mlflow.start_run() as run:
    fitted = LogisticRegression(C=0.5).fit(rows, rows.a > 20)
    fitted.score(rows, rows.a > 20)
seen = client.get_run(run.info.run_id)
answers["param"], answers["metrics"] = seen.data.params["C"], sorted(seen.data.metrics)
answers["tags"] = [seen.data.tags["estimator_name"], seen.data.tags["estimator_class"]]
answers["files"] = sorted(f.path for f in client.list_artifacts(run.info.run_id))
answers["data"] = [(i.dataset.name, [t.value for t in i.tags]) for i in seen.inputs.dataset_inputs]
model_id = seen.outputs.model_outputs[0].model_id
model = client.get_logged_model(model_id)
answers["model"] = [str(model.status), model.source_run_id == run.info.run_id, model.params["C"]]
answers["measured"] = "training_score" in {m.key for m in model.metrics}
version = client.get_model_version(NAME, "1")
answers["version"] = [version.status, version.run_id == run.info.run_id, version.source == f'models:/{model_id}']
client.set_registered_model_alias(NAME, "best", "1")
uris = [f"models:/{place}" for place in (model_id, f"{NAME}@best", f"{NAME}/1", f"{NAME}/latest")]
uris.append(f"runs:/{run.info.run_id}/model")
answers["loads"] = [bool((mlflow.sklearn.load_model(u).predict(rows) == fitted.predict(rows)).all()) for u in uris]
answers["pyfunc"] = mlflow.pyfunc.load_model(uris[1]).predict(rows).shape[0]
answers["signature"] = mlflow.models.get_model_info(uris[0]).signature.inputs.input_names()
with mlflow.start_run() as search:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1, 10]}, cv=2).fit(rows, rows.a > 20)
parent = client.get_run(search.info.run_id)
answers["grid"] = ["best_cv_score" in parent.data.metrics, "best_logisticregression__C" in parent.data.params]
children = client.search_runs([search.info.experiment_id], f"tags.mlflow.parentRunId = '{search.info.run_id}'")
answers["children"] = sorted(run.data.params["logisticregression__C"] for run in children)
answers["scored"] = all("mean_test_score" in run.data.metrics for run in children)
answers["grid files"] = sorted(f.path for f in client.list_artifacts(search.info.run_id))
"""


@pytest.fixture(scope="module")
def fitted(programs, shared_url, tmp_path_factory):
    """What a program says whose fit and grid search were logged by themselves."""
    pytest.importorskip("sklearn")
    name = f"autolog {tmp_path_factory.getbasetemp().name}{os.getpid()}"
    return programs.client(shared_url, tmp_path_factory.mktemp("autolog"))(f"NAME = {name!r}\n{AUTOLOG}")


def test_a_fit_logs_its_params_metrics_and_tags(fitted):
    assert fitted["param"] == "0.5"
    assert {"training_accuracy_score", "training_roc_auc", "training_score"} <= set(fitted["metrics"])
    assert fitted["tags"][0] == "LogisticRegression"


def test_a_fit_logs_its_data_and_files(fitted):
    assert ["dataset", ["train"]] in fitted["data"]
    assert "estimator.html" in fitted["files"]


def test_a_fit_logs_and_registers_its_model(fitted):
    assert fitted["model"] == ["READY", True, "0.5"]
    assert fitted["measured"]
    assert fitted["version"] == ["READY", True, True]


def test_a_model_loads_by_every_uri(fitted):
    assert fitted["loads"] == [True] * 5
    assert (fitted["pyfunc"], fitted["signature"]) == (40, ["a", "b"])


def test_a_grid_search_logs_a_child_a_candidate(fitted):
    assert fitted["grid"] == [True, True]
    assert fitted["children"] == ["0.1", "1", "10"]
    assert fitted["scored"]
    assert "cv_results.csv" in fitted["grid files"]
