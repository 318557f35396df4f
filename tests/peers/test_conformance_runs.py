"""`MlflowClient` on experiments, runs, params, metrics, tags and histories: what is kept, and what is refused."""

import math
import sys
import time
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
BAD, GONE, TWICE = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"
ODD_TEXTS = ["ünï cödé", "✈ 日本語 \U0001f680", "line\nline\ttab", "'quoted' \"twice\"", "a\\b%c_d", "x" * 5000]


def test_an_experiment_is_what_was_made(client, unique):
    name, before = unique("made"), int(time.time() * 1000)
    one = client.get_experiment(client.create_experiment(name, tags={"a": "1", "b": ""}))
    assert (one.name, one.lifecycle_stage, one.tags) == (name, "active", {"a": "1", "b": ""})
    assert before - 1000 <= one.creation_time <= one.last_update_time <= int(time.time() * 1000) + 1000
    assert one.artifact_location.endswith(f"/{one.experiment_id}")
    assert client.get_experiment_by_name(name).experiment_id == one.experiment_id


def test_names_of_experiments_are_taken_once_also_by_deleted_ones(client, unique, code_of):
    name = unique("taken")
    experiment = client.create_experiment(name)
    assert code_of(client.create_experiment, name) == TWICE
    client.delete_experiment(experiment)
    assert code_of(client.create_experiment, name) == TWICE


@pytest.mark.parametrize("name", ["", "x" * 501])
def test_some_names_of_experiments_are_refused(client, code_of, name):
    assert code_of(client.create_experiment, name) == BAD


@pytest.mark.parametrize("text", ODD_TEXTS[:5])
def test_experiments_have_names_and_tags_of_any_letters(client, unique, text):
    name = unique(text)
    one = client.get_experiment(client.create_experiment(name, tags={"k": text}))
    assert (one.name, one.tags["k"]) == (name, text)
    assert client.get_experiment_by_name(name).experiment_id == one.experiment_id


def test_an_experiment_is_renamed(client, unique, experiment, code_of):
    name, other = unique("renamed"), unique("other")
    client.rename_experiment(experiment, name)
    assert client.get_experiment(experiment).name == name
    client.create_experiment(other)
    assert code_of(client.rename_experiment, experiment, other) in {TWICE, "BAD_REQUEST"}


def test_an_experiment_is_deleted_and_restored_with_its_runs(client, experiment, run_id, code_of):
    client.delete_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "deleted"
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    client.restore_experiment(experiment)
    assert client.get_experiment(experiment).lifecycle_stage == "active"
    assert client.get_run(run_id).info.lifecycle_stage == "active"


def test_nothing_is_changed_in_a_deleted_experiment(client, experiment, run_id, code_of, is_taut):
    client.delete_experiment(experiment)
    assert code_of(client.create_run, experiment) == BAD
    assert code_of(client.log_metric, run_id, "m", 1) == BAD
    assert code_of(client.set_experiment_tag, experiment, "k", "v") == BAD
    assert code_of(client.rename_experiment, experiment, "x") == (BAD if is_taut else "INTERNAL_ERROR")


def test_a_metric_has_no_time_before_1970(client, run_id, code_of):
    assert code_of(client.log_metric, run_id, "m", 1, timestamp=-7) == BAD


def test_tags_of_experiments_come_change_and_go(client, experiment, code_of):
    client.set_experiment_tag(experiment, "k", "v")
    client.set_experiment_tag(experiment, "k", "ü" * 20_000)
    assert client.get_experiment(experiment).tags["k"] == "ü" * 20_000
    assert code_of(client.set_experiment_tag, experiment, "k", "x" * 20_001) == BAD
    client.delete_experiment_tag(experiment, "k")
    assert "k" not in client.get_experiment(experiment).tags
    assert code_of(client.delete_experiment_tag, experiment, "k") == GONE


@pytest.mark.parametrize("view", [1, 2, 3])
def test_experiments_are_seen_by_their_stage(client, unique, view):
    name = unique("view")
    kept, gone = client.create_experiment(f"{name} kept"), client.create_experiment(f"{name} gone")
    client.delete_experiment(gone)
    found = {one.experiment_id for one in client.search_experiments(view, filter_string=f"name LIKE '{name}%'")}
    assert found == {1: {kept}, 2: {gone}, 3: {kept, gone}}[view]


def test_experiments_come_newest_first_and_in_pages(client, unique):
    name = unique("pages")
    made = []
    for number in range(5):
        made.append(client.create_experiment(f"{name} {number}"))
        time.sleep(0.005)  # Two of one moment have no order.
    seen, token = [], None
    while True:
        page = client.search_experiments(filter_string=f"name LIKE '{name}%'", max_results=2, page_token=token)
        seen += [one.experiment_id for one in page]
        if not (token := page.token):
            break
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["name"], "012"),
        (["name DESC"], "210"),
        (["creation_time ASC"], "012"),
        (["creation_time DESC", "name"], "210"),
        (["last_update_time ASC"], "201"),
    ],
)
def test_experiments_are_ordered(client, unique, order, expected):
    name, ids = unique("order"), []
    for number in range(3):
        ids.append(client.create_experiment(f"{name} {number}"))
        time.sleep(0.005)  # Two of one moment have no order.
    for number in (0, 1):
        client.rename_experiment(ids[number], f"{name} renamed {number}")
        time.sleep(0.005)
    found = [one.name[-1] for one in client.search_experiments(filter_string=f"name LIKE '{name}%'", order_by=order)]
    assert found == list(
        expected if order[0].startswith(("creation", "last")) else {"012": "201", "210": "102"}[expected]
    )


@pytest.mark.parametrize("filter", ["colour = 'red'", "name LIKE 5", "name =", "tags.k", "metrics.m > 1", "name = x"])
def test_bad_filters_of_experiments_are_refused(client, code_of, filter):
    assert code_of(client.search_experiments, filter_string=filter) == BAD


def test_a_run_is_what_was_made(client, experiment):
    run = client.create_run(experiment, start_time=456, run_name="my name", tags={"mlflow.user": "ada", "my": "tag"})
    for seen in (run, client.get_run(run.info.run_id)):
        info = seen.info
        assert (info.experiment_id, info.start_time, info.run_name, info.user_id) == (experiment, 456, "my name", "ada")
        assert (info.status, info.end_time, info.lifecycle_stage) == ("RUNNING", None, "active")
        assert info.artifact_uri.endswith(f"/{info.run_id}/artifacts")
        assert seen.data.tags == {"mlflow.user": "ada", "my": "tag", "mlflow.runName": "my name"}
        assert (seen.data.metrics, seen.data.params) == ({}, {})


def test_a_run_that_nobody_described_has_a_name_and_an_unknown_user(client, experiment):
    info = client.get_run(client.create_run(experiment).info.run_id).info
    assert info.run_name
    assert info.user_id == "unknown"


def test_a_name_and_a_name_tag_that_differ_are_refused(client, experiment, code_of):
    assert code_of(client.create_run, experiment, run_name="a", tags={"mlflow.runName": "b"}) == BAD


def test_a_run_is_renamed_by_its_field_and_by_its_tag(client, run_id):
    client.update_run(run_id, name="new")
    assert client.get_run(run_id).data.tags["mlflow.runName"] == client.get_run(run_id).info.run_name == "new"
    client.set_tag(run_id, "mlflow.runName", "newer")
    assert client.get_run(run_id).info.run_name == "newer"


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED", "SCHEDULED", "RUNNING"])
def test_a_run_is_updated(client, run_id, status):
    client.update_run(run_id, status=status)
    assert client.get_run(run_id).info.status == status


def test_a_run_is_terminated(client, run_id):
    client.set_terminated(run_id)
    info = client.get_run(run_id).info
    assert info.status == "FINISHED"
    assert info.start_time <= info.end_time <= int(time.time() * 1000) + 1000
    client.set_terminated(run_id, "FAILED", end_time=info.start_time + 5)
    assert client.get_run(run_id).info.end_time == info.start_time + 5


def test_a_run_is_deleted_and_restored(client, run_id, experiment, code_of):
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    for call in (
        lambda: client.log_metric(run_id, "m", 1),
        lambda: client.log_param(run_id, "p", 1),
        lambda: client.set_tag(run_id, "t", 1),
        lambda: client.update_run(run_id, status="FINISHED"),
    ):
        assert code_of(call) == BAD
    assert client.search_runs([experiment]) == []
    client.restore_run(run_id)
    client.log_param(run_id, "p", 1)
    assert client.get_run(run_id).data.params == {"p": "1"}


@pytest.mark.parametrize("value", ODD_TEXTS)
def test_params_and_tags_hold_any_text(client, run_id, value):
    client.log_param(run_id, "p", value)
    client.set_tag(run_id, "t", value)
    data = client.get_run(run_id).data
    assert (data.params["p"], data.tags["t"]) == (value, value)


@pytest.mark.parametrize("value", ["", None, 0, False, 1.5, [1, "a"], {"a": 1}])
def test_params_and_tags_are_kept_as_text(client, run_id, value):
    client.log_param(run_id, "p", value)
    client.set_tag(run_id, "t", value)
    data = client.get_run(run_id).data
    assert (data.params["p"], data.tags["t"]) == (str(value), str(value))


@pytest.mark.parametrize("key", ["plain", "with space", "a/b/c", "dots.and-dashes_1", "ünï", "colon:key", "日本"])
def test_keys_of_many_letters(client, run_id, key):
    client.log_param(run_id, key, 1)
    client.set_tag(run_id, key, 1)
    client.log_metric(run_id, key, 1)
    data = client.get_run(run_id).data
    assert (data.params[key], data.tags[key], data.metrics[key]) == ("1", "1", 1.0)
    assert [point.value for point in client.get_metric_history(run_id, key)] == [1.0]


@pytest.mark.parametrize("key", ["a#b", "a?b", "a$b", "a=b", "", " /x", "a\nb", "🚀"])
def test_keys_that_are_refused(client, run_id, code_of, key):
    expected = BAD if key != " /x" else "no error"
    assert code_of(client.log_metric, run_id, key, 1) == expected
    assert code_of(client.log_param, run_id, key, 1) == expected


def test_long_values_are_cut_to_what_is_kept(client, run_id):
    client.log_param(run_id, "p", "x" * 7000)
    client.set_tag(run_id, "t", "y" * 9000)
    data = client.get_run(run_id).data
    assert (data.params["p"], data.tags["t"]) == ("x" * 6000, "y" * 8000)


def test_tags_change_and_go(client, run_id, code_of, mlflow):
    client.set_tag(run_id, "t", "1")
    client.set_tag(run_id, "t", "2")
    assert client.get_run(run_id).data.tags["t"] == "2"
    client.delete_tag(run_id, "t")
    assert "t" not in client.get_run(run_id).data.tags
    with pytest.raises(mlflow.exceptions.MlflowException, match="No tag with name: t") as told:
        client.delete_tag(run_id, "t")
    assert told.value.error_code == GONE
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"Run .+ not found"):
        client.delete_tag("0" * 32, "t")


@pytest.mark.parametrize(
    "value", [0.0, -1.5, 1e300, 5e-324, 1, True, math.pi, sys.float_info.max, -sys.float_info.max, 2**53]
)
def test_metrics_keep_their_value_to_the_last_bit(client, run_id, value):
    client.log_metric(run_id, "m", value)
    assert client.get_run(run_id).data.metrics["m"] == float(value)
    assert client.get_metric_history(run_id, "m")[0].value == float(value)


def test_numbers_that_are_none_keep_their_place(client, run_id):
    for step, value in enumerate((float("nan"), float("inf"), float("-inf"))):
        client.log_metric(run_id, "m", value, timestamp=step, step=step)
    nan, high, low = (point.value for point in client.get_metric_history(run_id, "m"))
    assert math.isnan(nan)
    assert (high, low) == (sys.float_info.max, -sys.float_info.max)
    assert client.get_run(run_id).data.metrics["m"] == -sys.float_info.max


@pytest.mark.parametrize(("step", "timestamp"), [(-5, 1), (0, 0), (2**53, 2**53), (2**62, 1)])
def test_steps_and_times_are_64_bit(client, run_id, step, timestamp):
    client.log_metric(run_id, "m", 1, timestamp=timestamp, step=step)
    (point,) = client.get_metric_history(run_id, "m")
    assert (point.step, point.timestamp) == (step, timestamp)


def test_the_latest_value_is_that_of_the_highest_step_then_time_then_value(client, run_id):
    points = [(5, 1, 0.1), (3, 9, 0.2), (5, 2, 0.3), (5, 2, 0.25)]
    for step, timestamp, value in points:
        client.log_metric(run_id, "m", value, timestamp=timestamp, step=step)
    assert client.get_run(run_id).data.metrics["m"] == 0.3


def test_a_point_that_is_sent_twice_is_kept_once(client, run_id):
    for _ in range(3):
        client.log_metric(run_id, "m", 1, timestamp=5, step=1)
    client.log_metric(run_id, "m", 2, timestamp=5, step=1)
    assert sorted(point.value for point in client.get_metric_history(run_id, "m")) == [1, 2]


def test_no_history_of_what_was_not_logged(client, run_id):
    assert client.get_metric_history(run_id, "nothing") == []


def test_a_history_of_thousands_comes_whole_and_in_pages(client, mlflow, run_id):
    metric = mlflow.entities.Metric
    for start in range(0, 5000, 1000):
        points = [metric("loss", step / 7, step, step) for step in range(start, start + 1000)]
        client.log_batch(run_id, metrics=points)
    history = client.get_metric_history(run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(step, step / 7) for step in range(5000)]
    seen, token, pages = [], None, 0
    store = client._tracking_client.store
    while True:
        page = store.get_metric_history(run_id, "loss", max_results=700, page_token=token)
        seen += [one.step for one in page]
        pages += 1
        if not (token := page.token):
            break
    assert (seen, pages) == (list(range(5000)), 8)


def test_a_batch_is_kept_whole_or_not_at_all(client, mlflow, run_id, code_of):
    e = mlflow.entities
    client.log_batch(run_id, [e.Metric("m", 1, 1, 1)], [e.Param("p", "1")], [e.RunTag("t", "1")])
    assert code_of(client.log_batch, run_id, [e.Metric("n", 1, 1, 1)], [e.Param("p", "2")]) == BAD
    data = client.get_run(run_id).data
    assert (data.metrics, data.params, data.tags["t"]) == ({"m": 1.0}, {"p": "1"}, "1")


def test_a_batch_with_one_param_twice(client, mlflow, run_id, code_of):
    param = mlflow.entities.Param
    assert code_of(client.log_batch, run_id, params=[param("p", "1"), param("p", "2")]) == BAD
    assert client.get_run(run_id).data.params == {}


def test_an_empty_batch_is_fine(client, run_id):
    client.log_batch(run_id)
    assert client.get_run(run_id).data.metrics == {}


def test_logged_datasets_keep_all_their_parts(client, mlflow, run_id):
    e = mlflow.entities
    dataset = e.Dataset("rows", "abc123", "local", "file:///x", schema='{"a": "ü"}', profile='{"rows": 1}')
    client.log_inputs(run_id, [e.DatasetInput(dataset, [e.InputTag("mlflow.data.context", "train")])])
    client.log_inputs(run_id, [e.DatasetInput(dataset, [])])
    (one,) = client.get_run(run_id).inputs.dataset_inputs
    assert one.dataset == dataset
    assert [(tag.key, tag.value) for tag in one.tags] == [("mlflow.data.context", "train")]


def test_histories_of_several_runs_at_once(client, mlflow, experiment, shared_url):
    import requests

    ids = [client.create_run(experiment).info.run_id for _ in range(3)]
    for number, one in enumerate(ids):
        client.log_batch(one, [mlflow.entities.Metric("m", number, step, step) for step in range(4)])
    place = f"{shared_url}/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    asked: dict[str, Any] = {"run_id": ids, "metric_key": "m", "max_results": 1000}
    points = requests.get(place, params=asked, timeout=10).json()["metrics"]
    assert {(p["run_id"], p["step"], p["value"]) for p in points} == {
        (i, s, n) for n, i in enumerate(ids) for s in range(4)
    }
    place = f"{shared_url}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    asked = {"run_ids": ids, "metric_key": "m", "max_results": 10}
    assert len(requests.get(place, params=asked, timeout=10).json()["metrics"]) == 12
