"""Many clients at once, in threads and in processes: nothing is lost, doubled or told wrong."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


def together(work, count: int) -> list:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def test_one_run_is_written_by_many_threads(client, run_id, unlike_stock):
    unlike_stock()

    def work(number: int) -> None:
        for step in range(10):
            client.log_metric(run_id, "shared", number * 100 + step, step=step, timestamp=number)
            client.log_param(run_id, f"p{number}.{step}", step)
            client.set_tag(run_id, "last", number)

    together(work, 6)
    data = client.get_run(run_id).data
    assert len(data.params) == 60
    assert data.tags["last"] in {str(number) for number in range(6)}
    points = {(one.step, one.value) for one in client.get_metric_history(run_id, "shared")}
    assert points == {(step, number * 100 + step) for number in range(6) for step in range(10)}
    assert data.metrics["shared"] == 509.0


def test_of_many_who_make_one_experiment_one_does(client, unique, code_of):
    name = unique("race")
    codes = together(lambda _: code_of(client.create_experiment, name), 6)
    assert sorted(codes) == ["RESOURCE_ALREADY_EXISTS"] * 5 + ["no error"]


def test_of_many_who_register_one_name_one_does(client, unique, code_of):
    name = unique("race")
    codes = together(lambda _: code_of(client.create_registered_model, name), 6)
    assert sorted(codes) == ["RESOURCE_ALREADY_EXISTS"] * 5 + ["no error"]


def test_versions_made_at_once_have_numbers_of_their_own(client, unique, run_id, tmp_path):
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: nothing\n")
    client.log_artifact(run_id, str(tmp_path / "MLmodel"), "model")
    name = client.create_registered_model(unique("race")).name
    made = together(lambda _: client.create_model_version(name, f"runs:/{run_id}/model", run_id).version, 6)
    assert sorted(int(one) for one in made) == [1, 2, 3, 4, 5, 6]


def test_of_many_who_write_one_param_one_does(client, run_id, code_of):
    codes = together(lambda number: code_of(client.log_param, run_id, "p", number), 6)
    assert sorted(codes) == ["INVALID_PARAMETER_VALUE"] * 5 + ["no error"]
    assert client.get_run(run_id).data.params["p"] in {str(number) for number in range(6)}


def test_runs_made_at_once_are_all_there(client, experiment):
    made = together(lambda number: client.create_run(experiment, run_name=f"r{number}").info.run_id, 8)
    assert {run.info.run_id for run in client.search_runs([experiment])} == set(made)
    assert len(set(made)) == 8


def test_pages_show_each_run_once_while_others_write(client, experiment, is_taut):
    first = [client.create_run(experiment).info.run_id for _ in range(6)]
    page = client.search_runs([experiment], max_results=3)
    together(lambda _: client.create_run(experiment), 4)
    rest = client.search_runs([experiment], max_results=3, page_token=page.token)
    seen = [run.info.run_id for run in [*page, *rest]]
    if is_taut:  # Pages of the stock server are counted off, so that new runs shift them.
        assert sorted(seen) == sorted(first)


PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
import mlflow
with mlflow.start_run(experiment_id=sys.argv[1], run_name=sys.argv[2]):
    for step in range(20):
        mlflow.log_metrics({"a": step, "b": -step}, step=step)
    mlflow.log_text(sys.argv[2], "name.txt")
"""


def test_processes_log_side_by_side(client, mlflow, experiment, shared_url, tmp_path):
    environment = {**os.environ, "MLFLOW_TRACKING_URI": shared_url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, experiment, f"p{number}"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    for one in started:
        said, _ = one.communicate(timeout=120)
        assert one.returncode == 0, said
    runs = client.search_runs([experiment])
    assert {run.info.run_name for run in runs} == {"p0", "p1", "p2"}
    for run in runs:
        assert run.info.status == "FINISHED"
        assert [point.value for point in client.get_metric_history(run.info.run_id, "a")] == list(range(20))
        assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/name.txt") == run.info.run_name
