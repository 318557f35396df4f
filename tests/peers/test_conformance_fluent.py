"""The fluent API: runs that nest and resume, everything that `mlflow.log_*` and `mlflow.set_*` do, pandas, async."""

import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def chosen(mlflow, unique) -> str:
    """The id of an experiment that the fluent API logs to."""
    return str(mlflow.set_experiment(unique("fluent")).experiment_id)


def test_set_experiment_makes_an_experiment_once(mlflow, unique):
    name = unique("once")
    first, second = mlflow.set_experiment(name), mlflow.set_experiment(name)
    assert first.experiment_id == second.experiment_id
    assert mlflow.get_experiment_by_name(name).name == name
    assert mlflow.set_experiment(experiment_id=first.experiment_id).name == name


def test_set_experiment_refuses_a_deleted_one(mlflow, unique):
    made = mlflow.set_experiment(unique("gone"))
    mlflow.delete_experiment(made.experiment_id)
    with pytest.raises(mlflow.exceptions.MlflowException, match="deleted"):
        mlflow.set_experiment(made.name)


def test_no_experiment_of_a_name_is_none(mlflow, unique):
    assert mlflow.get_experiment_by_name(unique("nobody")) is None


def test_experiments_carry_tags(mlflow, chosen):
    mlflow.set_experiment_tag("team", "red")
    mlflow.set_experiment_tags({"a": "1", "ünï": "cödé ✈"})
    assert mlflow.get_experiment(chosen).tags.items() >= {"team": "red", "a": "1", "ünï": "cödé ✈"}.items()
    mlflow.delete_experiment_tag("a")
    assert "a" not in mlflow.get_experiment(chosen).tags


def test_a_run_ends_finished_and_a_failed_one_failed(mlflow, chosen):
    with mlflow.start_run() as good:
        pass
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as bad:
        _ = 1 / 0
    assert mlflow.get_run(good.info.run_id).info.status == "FINISHED"
    assert mlflow.get_run(bad.info.run_id).info.status == "FAILED"


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED", "SCHEDULED", "RUNNING"])
def test_a_run_ends_as_it_is_told(mlflow, chosen, status):
    run = mlflow.start_run()
    mlflow.end_run(status)
    assert mlflow.get_run(run.info.run_id).info.status == status


def test_a_run_has_the_name_that_it_is_given_or_one_of_its_own(mlflow, chosen):
    with mlflow.start_run(run_name="first ✈") as named, mlflow.start_run(nested=True) as other:
        pass
    assert mlflow.get_run(named.info.run_id).info.run_name == "first ✈"
    assert mlflow.get_run(named.info.run_id).data.tags["mlflow.runName"] == "first ✈"
    assert mlflow.get_run(other.info.run_id).info.run_name


def test_a_run_carries_tags_a_description_and_what_the_client_knows(mlflow, chosen):
    with mlflow.start_run(tags={"a": "1"}, description="**late** flights") as run:
        mlflow.set_tags({"b": 2, "c": "x"})
        mlflow.delete_tag("c")
    tags = mlflow.get_run(run.info.run_id).data.tags
    assert tags.items() >= {"a": "1", "b": "2", "mlflow.note.content": "**late** flights"}.items()
    assert "c" not in tags
    assert {"mlflow.user", "mlflow.source.name", "mlflow.source.type"} <= set(tags)


def test_children_name_their_parent(mlflow, client, chosen):
    with mlflow.start_run() as parent:
        for number in range(3):
            with mlflow.start_run(nested=True, run_name=f"child {number}") as child:
                mlflow.log_param("n", number)
    found = mlflow.search_runs([chosen], f"tags.mlflow.parentRunId = '{parent.info.run_id}'", output_format="list")
    assert {run.info.run_name for run in found} == {"child 0", "child 1", "child 2"}
    assert client.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id
    assert mlflow.get_parent_run(parent.info.run_id) is None


def test_a_child_may_name_its_parent_by_id(mlflow, chosen):
    with mlflow.start_run() as parent:
        pass
    with mlflow.start_run(parent_run_id=parent.info.run_id, nested=True) as child:
        pass
    assert mlflow.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id


def test_children_outlive_a_deleted_parent(mlflow, chosen):
    with mlflow.start_run() as parent, mlflow.start_run(nested=True) as child:
        pass
    mlflow.delete_run(parent.info.run_id)
    assert mlflow.get_run(parent.info.run_id).info.lifecycle_stage == "deleted"
    assert mlflow.get_run(child.info.run_id).info.lifecycle_stage == "active"
    assert [run.info.run_id for run in mlflow.search_runs([chosen], output_format="list")] == [child.info.run_id]


def test_a_run_is_resumed(mlflow, chosen):
    with mlflow.start_run() as run:
        mlflow.log_param("a", 1)
    with mlflow.start_run(run_id=run.info.run_id):
        assert mlflow.get_run(run.info.run_id).info.status == "RUNNING"
        mlflow.log_param("b", 2)
    seen = mlflow.get_run(run.info.run_id)
    assert (seen.data.params, seen.info.status) == ({"a": "1", "b": "2"}, "FINISHED")


def test_a_deleted_run_is_not_resumed(mlflow, chosen):
    with mlflow.start_run() as run:
        pass
    mlflow.delete_run(run.info.run_id)
    with pytest.raises(mlflow.exceptions.MlflowException, match="deleted"):
        mlflow.start_run(run_id=run.info.run_id)


def test_the_last_run_is_known_after_its_end(mlflow, chosen):
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1)
        assert mlflow.active_run().info.run_id == run.info.run_id
    assert mlflow.active_run() is None
    last = mlflow.last_active_run()
    assert (last.info.run_id, last.data.metrics) == (run.info.run_id, {"m": 1.0})


@pytest.mark.parametrize("now", [True, False], ids=["sync", "async"])
def test_params_metrics_and_tags_are_logged(mlflow, chosen, now):
    with mlflow.start_run() as run:
        waited = [
            mlflow.log_param("p", 1, synchronous=now),
            mlflow.log_params({"q": None, "r": [1, 2], "s": "ü"}, synchronous=now),
            mlflow.log_metric("m", 0.5, step=3, synchronous=now),
            mlflow.log_metrics({"n": 1, "o": 2}, step=4, synchronous=now),
            mlflow.set_tag("t", "x", synchronous=now),
            mlflow.set_tags({"u": "y"}, synchronous=now),
        ]
        if not now:
            for one in waited:
                one.wait()
    data = mlflow.get_run(run.info.run_id).data
    assert data.params == {"p": "1", "q": "None", "r": "[1, 2]", "s": "ü"}
    assert data.metrics == {"m": 0.5, "n": 1.0, "o": 2.0}
    assert data.tags.items() >= {"t": "x", "u": "y"}.items()


def test_many_points_arrive_though_nobody_waits(mlflow, client, chosen):
    with mlflow.start_run() as run:
        for step in range(500):
            mlflow.log_metric("loss", 1 / (step + 1), step=step, synchronous=False)
        mlflow.flush_async_logging()
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((m.step, m.value) for m in history) == [(step, 1 / (step + 1)) for step in range(500)]


def test_a_param_that_changes_is_refused_in_words_that_clients_know(mlflow, chosen):
    with mlflow.start_run():
        mlflow.log_param("p", 1)
        assert mlflow.log_param("p", 1) == 1
        with pytest.raises(mlflow.exceptions.MlflowException, match="Changing param values is not allowed"):
            mlflow.log_param("p", 2)
        with pytest.raises(mlflow.exceptions.MlflowException, match="Changing param values is not allowed"):
            mlflow.log_params({"x": 1, "p": 2})


def test_texts_dicts_tables_images_and_figures_become_artifacts(mlflow, client, chosen):
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    with mlflow.start_run() as run:
        mlflow.log_text("grüße ✈", "notes/a.txt")
        mlflow.log_dict({"a": [1, None], "ü": "ö"}, "d.json")
        mlflow.log_dict({"a": 1}, "d.yaml")
        mlflow.log_table({"in": ["a", "b"], "out": [1, 2]}, "t.json")
        mlflow.log_table(pandas.DataFrame({"in": ["c"], "out": [3]}), "t.json")
    root = f"runs:/{run.info.run_id}"
    assert mlflow.artifacts.load_text(f"{root}/notes/a.txt") == "grüße ✈"
    assert mlflow.artifacts.load_dict(f"{root}/d.json") == {"a": [1, None], "ü": "ö"}
    table = mlflow.load_table("t.json", run_ids=[run.info.run_id], extra_columns=["run_id"])
    assert list(table["out"]) == [1, 2, 3]
    assert set(table["run_id"]) == {run.info.run_id}
    assert numpy.array(table["in"]).tolist() == ["a", "b", "c"]
    assert json.loads(client.get_run(run.info.run_id).data.tags["mlflow.loggedArtifacts"])


def test_an_image_becomes_an_artifact(mlflow, chosen):
    numpy = pytest.importorskip("numpy")
    pytest.importorskip("PIL")
    with mlflow.start_run() as run:
        mlflow.log_image(numpy.zeros((4, 4, 3), dtype="uint8"), "dark.png")
        mlflow.log_image(numpy.zeros((4, 4, 3), dtype="uint8"), key="dark", step=1)
    names = [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)]
    assert names == ["dark.png", "images"]


def test_files_and_folders_are_uploaded_listed_and_fetched(mlflow, client, chosen, tmp_path):
    folder = tmp_path / "out"
    (folder / "deep").mkdir(parents=True)
    (folder / "ünï côdé.txt").write_text("ä")
    (folder / "deep" / "b.bin").write_bytes(bytes(range(256)) * 100)
    (folder / "empty").write_bytes(b"")
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(folder / "empty"))
        mlflow.log_artifacts(str(folder), "many")
        assert mlflow.get_artifact_uri("many").endswith(f"/{run.info.run_id}/artifacts/many")
    listed = {f.path: (f.is_dir, f.file_size or 0) for f in client.list_artifacts(run.info.run_id, "many")}
    assert listed == {"many/deep": (True, 0), "many/empty": (False, 0), "many/ünï côdé.txt": (False, 2)}
    got = Path(
        mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="many", dst_path=str(tmp_path / "got")
        )
    )
    assert (got / "deep" / "b.bin").read_bytes() == bytes(range(256)) * 100
    assert (got / "ünï côdé.txt").read_text() == "ä"
    assert (got / "empty").read_bytes() == b""
    assert [f.path for f in client.list_artifacts(run.info.run_id, "many/deep")] == ["many/deep/b.bin"]
    assert client.list_artifacts(run.info.run_id, "nothing/here") == []


def test_inputs_are_datasets_with_their_context(mlflow, chosen):
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"a": [1, 2, 3], "y": [0, 1, 0]})
    dataset = mlflow.data.from_pandas(rows, name="rows", targets="y")
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context="training", tags={"k": "v"})
        mlflow.log_input(dataset, context="training")
        mlflow.log_inputs([mlflow.data.from_pandas(rows, name="more")], contexts=["eval"], tags_list=[None])
    seen = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    names = {one.dataset.name: {tag.key: tag.value for tag in one.tags} for one in seen}
    assert names["rows"].items() >= {"mlflow.data.context": "training", "k": "v"}.items()
    assert names["more"] == {"mlflow.data.context": "eval"}
    assert len(seen) == 2
    first = next(one.dataset for one in seen if one.dataset.name == "rows")
    assert (first.digest, first.source_type) == (dataset.digest, dataset.source._get_source_type())
    assert json.loads(first.profile)["num_rows"] == 3
    found = mlflow.search_runs([chosen], "datasets.name = 'rows' AND datasets.context = 'training'")
    assert list(found["run_id"]) == [run.info.run_id]


def test_runs_are_found_as_a_pandas_table(mlflow, chosen):
    pandas = pytest.importorskip("pandas")
    for number in range(3):
        with mlflow.start_run(run_name=f"r{number}"):
            mlflow.log_metric("auc", number / 10)
            mlflow.log_param("only", number) if number else None
    table = mlflow.search_runs([chosen], order_by=["metrics.auc DESC"])
    assert isinstance(table, pandas.DataFrame)
    assert list(table["tags.mlflow.runName"]) == ["r2", "r1", "r0"]
    assert list(table["metrics.auc"]) == [0.2, 0.1, 0.0]
    assert list(table["params.only"][:2]) == ["2", "1"]
    assert table["params.only"][2] is None or pandas.isna(table["params.only"][2])
    assert str(table["start_time"].dtype).startswith("datetime64")
    assert len(mlflow.search_runs([chosen], max_results=2)) == 2
    assert mlflow.search_runs([chosen], "metrics.auc > 5").empty


def test_runs_are_found_by_the_names_of_experiments_and_everywhere(mlflow, chosen):
    name = mlflow.get_experiment(chosen).name
    with mlflow.start_run(tags={"mark": chosen}):
        pass
    assert len(mlflow.search_runs(experiment_names=[name])) == 1
    assert len(mlflow.search_runs(search_all_experiments=True, filter_string=f"tags.mark = '{chosen}'")) == 1
    assert mlflow.search_runs(experiment_names=["nobody made this"]).empty


def test_experiments_are_found(mlflow, unique):
    name = unique("findme")
    for number in range(3):
        mlflow.create_experiment(f"{name}/{number}", tags={"number": str(number)})
    found = mlflow.search_experiments(filter_string=f"name LIKE '{name}%'", order_by=["name DESC"])
    assert [one.name[-1] for one in found] == ["2", "1", "0"]
    assert len(mlflow.search_experiments(filter_string=f"name LIKE '{name}%' AND tags.number = '1'")) == 1
    assert len(mlflow.search_experiments(filter_string=f"name ILIKE '{name.upper()}%'", max_results=2)) == 2


def test_threads_log_to_runs_of_their_own(mlflow, chosen):
    seen, problems = [], list[BaseException]()

    def work(number: int) -> None:
        try:
            with mlflow.start_run(run_name=f"t{number}") as run:
                mlflow.log_metric("n", number)
                seen.append(run.info.run_id)
        except BaseException as problem:  # noqa: BLE001  # It is told below, by the thread that may fail.
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert {mlflow.get_run(one).data.metrics["n"] for one in seen} == {0, 1, 2, 3, 4, 5}


def test_a_run_of_the_environment_is_taken_up(mlflow, client, chosen, monkeypatch):
    run = client.create_run(chosen)
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    with mlflow.start_run() as resumed:
        mlflow.log_param("p", 1)
    assert resumed.info.run_id == run.info.run_id
    assert client.get_run(run.info.run_id).data.params == {"p": "1"}


def test_system_metrics_are_logged(mlflow, client, chosen):
    pytest.importorskip("psutil")
    mlflow.set_system_metrics_sampling_interval(0.05)
    mlflow.set_system_metrics_samples_before_logging(1)
    try:
        with mlflow.start_run(log_system_metrics=True) as run:
            end = time.monotonic() + 20
            while time.monotonic() < end and not client.get_run(run.info.run_id).data.metrics:
                threading.Event().wait(0.05)
    finally:
        mlflow.set_system_metrics_sampling_interval(None)
        mlflow.set_system_metrics_samples_before_logging(None)
    metrics = client.get_run(run.info.run_id).data.metrics
    assert "system/cpu_utilization_percentage" in metrics


def test_numbers_that_are_none(mlflow, client, chosen):
    with mlflow.start_run() as run:
        mlflow.log_metrics({"nan": float("nan"), "inf": float("inf"), "low": float("-inf"), "tiny": 5e-324})
    metrics = client.get_run(run.info.run_id).data.metrics
    assert metrics["nan"] != metrics["nan"]  # What is not a number is not even itself.
    assert (metrics["inf"], metrics["low"]) == (sys.float_info.max, -sys.float_info.max)
    assert metrics["tiny"] == 5e-324


def test_the_environment_names_the_experiment(mlflow, client, unique, monkeypatch):
    name = unique("named outside")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", name)
    with mlflow.start_run() as run:
        pass
    assert client.get_experiment(run.info.experiment_id).name == name
    assert "MLFLOW_RUN_ID" not in os.environ
