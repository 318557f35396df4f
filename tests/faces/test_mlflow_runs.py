"""Runs through MLflow's protocol, raw: what is asked, what answers, what is refused, on both databases."""

from collections.abc import Iterator
from typing import Any

import pytest

from taut.ground.ledger import events
from taut.home import Home
from taut.runs import create_run, get_run
from tests.faces.serving import served
from tests.faces.speaking import INT64_MAX, INVALID, NOT_FOUND, Speaker, tags_of

R = "mlflow/runs"
HISTORY = "mlflow/metrics/get-history"
NOW_MS = 1_700_000_000_000


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    with served(home) as url:
        yield Speaker(url)


@pytest.fixture
def run(home: Home) -> str:
    return create_run(home, run_id="r").id


def points(ask: Speaker, key: str = "m", **page: object) -> list[dict[str, Any]]:
    said = ask.get(HISTORY, run_id="r", metric_key=key, **page)
    assert said.status == 200, said
    found: list[dict[str, Any]] = said.body["metrics"]
    return found


def test_a_run_that_is_made_is_the_run_that_is_read(ask: Speaker):
    tag = {"key": "mlflow.source.name", "value": "train.py"}
    made = ask.told(f"{R}/create", experiment_id="0", run_name="first", user_id="ada", start_time="17", tags=[tag])
    info = made["run"]["info"]
    assert ask.get(f"{R}/get", run_id=info["run_id"]).body == made
    assert info["run_id"] == info["run_uuid"]
    assert (info["run_name"], info["user_id"], info["experiment_id"]) == ("first", "ada", "0")
    assert (info["status"], info["lifecycle_stage"], info["start_time"]) == ("RUNNING", "active", 17)
    assert "end_time" not in info
    assert info["artifact_uri"] == f"mlflow-artifacts:/0/{info['run_id']}/artifacts"
    assert tags_of(made["run"]["data"])["mlflow.source.name"] == "train.py"
    assert made["run"]["data"]["metrics"] == made["run"]["data"]["params"] == []


def test_a_run_without_a_word_begins_now_in_the_default_experiment(ask: Speaker):
    info = ask.told(f"{R}/create")["run"]["info"]
    assert (info["experiment_id"], info["start_time"], info["user_id"]) == ("0", NOW_MS, "ada")
    assert info["run_name"]


@pytest.mark.parametrize("path", ["delete", "restore", "update", "log-batch", "log-inputs", "outputs"])
def test_a_run_that_is_not_there_is_told_so(ask: Speaker, path: str):
    said = ask.post(f"{R}/{path}", run_id="nobody")
    assert said.code == NOT_FOUND
    assert "nobody" in said.message


@pytest.mark.parametrize("path", [f"{R}/get", HISTORY, "mlflow/artifacts/list"])
def test_nothing_is_read_of_a_run_that_is_not_there(ask: Speaker, path: str):
    assert ask.get(path, run_id="nobody", metric_key="m").code == NOT_FOUND


def test_one_point_param_or_tag_for_a_missing_run_is_told_so(ask: Speaker):
    assert ask.post(f"{R}/log-metric", run_id="nobody", key="m", value=1, timestamp=1).code == NOT_FOUND
    for path in ("log-parameter", "set-tag", "delete-tag"):
        assert ask.post(f"{R}/{path}", run_id="nobody", key="k", value="v").code == NOT_FOUND, path
    assert ask.post(f"{R}/create", experiment_id="404").code == NOT_FOUND


def test_an_end_is_written_down_and_an_unknown_status_is_not(ask: Speaker, run: str):
    said = ask.told(f"{R}/update", run_id=run, status="FINISHED", end_time=str(NOW_MS + 5), run_name="done")
    info = said["run_info"]
    assert (info["status"], info["end_time"], info["run_name"]) == ("FINISHED", NOW_MS + 5, "done")
    for status in ("DONE", "finished", "4"):
        assert ask.post(f"{R}/update", run_id=run, status=status).code == INVALID, status
    assert ask.get(f"{R}/get", run_id=run).body["run"]["info"] == info


@pytest.mark.parametrize("number", [INT64_MAX + 1, -INT64_MAX - 2, str(INT64_MAX + 1)])
def test_a_time_or_step_past_64_bits_is_refused_and_nothing_is_stored(ask: Speaker, home: Home, run: str, number: Any):
    before = get_run(home, run)
    assert ask.post(f"{R}/create", start_time=number).code == INVALID
    assert ask.post(f"{R}/update", run_id=run, end_time=number).code == INVALID
    assert ask.post(f"{R}/log-metric", run_id=run, key="m", value=1, timestamp=1, step=number).code == INVALID
    assert ask.post(f"{R}/log-metric", run_id=run, key="m", value=1, timestamp=number).code == INVALID
    assert ask.post(f"{R}/outputs", run_id=run, models=[{"model_id": "m-1", "step": number}]).code == INVALID
    assert get_run(home, run) == before
    assert ask.get(f"{R}/get", run_id=run).body["run"]["outputs"] == {"model_outputs": []}


@pytest.mark.parametrize("number", [INT64_MAX, 2**53 + 1, 5, 0])
def test_a_number_of_64_bits_is_kept_to_the_last_digit_as_number_and_as_text(ask: Speaker, run: str, number: int):
    for key, sent in (("number", number), ("text", str(number))):
        ask.told(f"{R}/log-metric", run_id=run, key=key, value=0.5, step=sent, timestamp=sent)
        assert points(ask, key) == [{"key": key, "value": 0.5, "step": number, "timestamp": number}]


@pytest.mark.parametrize(("sent", "read"), [(0.1, 0.1), ("0.1", 0.1), ("1e-300", 1e-300), (7, 7.0), ("NaN", "NaN")])
def test_a_value_is_read_back_as_it_was_meant(ask: Speaker, run: str, sent: object, read: object):
    ask.told(f"{R}/log-metric", run_id=run, key="m", value=sent, timestamp=1)
    assert points(ask)[0]["value"] == read
    assert ask.get(f"{R}/get", run_id=run).body["run"]["data"]["metrics"][0]["value"] == read


@pytest.mark.parametrize("value", ["", "many", [1], {"a": 1}, True, 10**400])
def test_a_value_that_is_no_number_is_refused(ask: Speaker, run: str, value: object):
    assert ask.post(f"{R}/log-metric", run_id=run, key="m", value=value, timestamp=1).code == INVALID
    assert points(ask) == []


@pytest.mark.parametrize("key", ["", "../up", "/root", "a//b", "a/./b", "x" * 251, "a\nb", 'a"b'])
def test_a_key_that_could_leave_its_folder_is_refused_wherever_keys_are_taken(ask: Speaker, home: Home, key: str):
    create_run(home, run_id="r")
    assert ask.post(f"{R}/log-metric", run_id="r", key=key, value=1, timestamp=1).code == INVALID
    for path in ("log-parameter", "set-tag"):
        assert ask.post(f"{R}/{path}", run_id="r", key=key, value="v").code == INVALID, path
    assert (get_run(home, "r").params, get_run(home, "r").metrics) == ({}, {})


def test_a_param_is_written_once_and_its_retry_is_fine(ask: Speaker, home: Home, run: str):
    for _ in range(2):
        ask.told(f"{R}/log-parameter", run_id=run, key="depth", value="3")
    said = ask.post(f"{R}/log-parameter", run_id=run, key="depth", value="4")
    assert said.code == INVALID
    assert "'3'" in said.message and "'4'" in said.message
    assert get_run(home, run).params == {"depth": "3"}


def test_a_tag_is_set_changed_and_taken_away_and_no_second_time(ask: Speaker, home: Home, run: str):
    for value in ("a", "b"):
        ask.told(f"{R}/set-tag", run_id=run, key="team", value=value)
    assert get_run(home, run).tags["team"] == "b"
    ask.told(f"{R}/delete-tag", run_id=run, key="team")
    assert "team" not in get_run(home, run).tags
    assert ask.post(f"{R}/delete-tag", run_id=run, key="team").code == NOT_FOUND


@pytest.mark.parametrize(("field", "most"), [("metrics", 1000), ("params", 100), ("tags", 100)])
def test_a_batch_holds_as_much_as_mlflow_allows_and_one_more_is_refused_whole(
    ask: Speaker, home: Home, run: str, field: str, most: int
):
    value: object = 1 if field == "metrics" else "v"
    items = [{"key": f"k{place}", "value": value, "timestamp": 1} for place in range(most + 1)]
    assert ask.post(f"{R}/log-batch", run_id=run, **{field: items}).code == INVALID
    stored = get_run(home, run)
    assert not {f"k{place}" for place in range(most + 1)} & {*stored.metrics, *stored.params, *stored.tags}
    ask.told(f"{R}/log-batch", run_id=run, **{field: items[:most]})
    assert len([key for key in getattr(get_run(home, run), field) if key[0] == "k"]) == most


def test_a_batch_past_a_thousand_things_together_is_refused(ask: Speaker, home: Home, run: str):
    metrics = [{"key": f"m{place}", "value": 1, "timestamp": 1} for place in range(1000)]
    assert ask.post(f"{R}/log-batch", run_id=run, metrics=metrics, tags=[{"key": "t", "value": "v"}]).code == INVALID
    assert get_run(home, run).metrics == {}


def test_a_batch_is_one_entry_of_the_ledger(ask: Speaker, home: Home, run: str):
    metrics = [{"key": "m", "value": step, "timestamp": 1, "step": step} for step in range(50)]
    ask.told(f"{R}/log-batch", run_id=run, metrics=metrics, params=[{"key": "p", "value": "1"}])
    with home.meta.read() as tx:
        assert len(events(tx, kind="run.logged")) == 1


def test_a_history_comes_in_pages_that_make_up_the_whole(ask: Speaker, run: str):
    sent = [{"key": "m", "value": step / 2, "step": step, "timestamp": step} for step in range(7)]
    ask.told(f"{R}/log-batch", run_id=run, metrics=sent)
    found, token = [], ""
    while page := ask.get(HISTORY, run_id=run, metric_key="m", max_results=3, page_token=token).body:
        found += page["metrics"]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert found == points(ask) == sent
    assert points(ask, "never") == []


@pytest.mark.parametrize("page", [{"max_results": -1}, {"max_results": 25_001}, {"page_token": "no token"}])
def test_a_page_of_a_history_that_cannot_be_is_refused(ask: Speaker, run: str, page: dict[str, object]):
    assert ask.get(HISTORY, run_id=run, metric_key="m", **page).code == INVALID


def test_what_a_run_read_and_made_is_told_with_it_once(ask: Speaker, run: str):
    dataset = {
        "name": "flights",
        "digest": "ab12",
        "source_type": "local",
        "source": "{}",
        "schema": "[]",
        "profile": "",
    }
    read = {"dataset": dataset, "tags": [{"key": "mlflow.data.context", "value": "training"}]}
    for _ in range(2):
        assert ask.told(f"{R}/log-inputs", run_id=run, datasets=[read], models=[{"model_id": "m-0"}]) == {}
        assert ask.told(f"{R}/outputs", run_id=run, models=[{"model_id": "m-1", "step": "2"}]) == {}
    told = ask.get(f"{R}/get", run_id=run).body["run"]
    assert told["inputs"] == {"dataset_inputs": [read], "model_inputs": [{"model_id": "m-0"}]}
    assert told["outputs"] == {"model_outputs": [{"model_id": "m-1", "step": 2}]}
    said = ask.post(f"{R}/log-inputs", run_id=run, datasets=[{"dataset": {"name": "flights"}}])
    assert said.code == INVALID
    assert "datasets[0].dataset.digest" in said.message
    assert ask.post(f"{R}/log-inputs", run_id=run, models=[{}]).message.startswith("Missing value for required")


def test_a_deleted_run_takes_nothing_and_comes_back_as_it_was(ask: Speaker, home: Home, run: str):
    ask.told(f"{R}/log-metric", run_id=run, key="m", value=1, timestamp=1)
    ask.told(f"{R}/delete", run_id=run)
    assert ask.get(f"{R}/get", run_id=run).body["run"]["info"]["lifecycle_stage"] == "deleted"
    for path in ("log-metric", "log-parameter", "set-tag"):
        assert ask.post(f"{R}/{path}", run_id=run, key="x", value="1", timestamp=1).code == INVALID, path
    ask.told(f"{R}/restore", run_id=run)
    restored = get_run(home, run)
    assert (restored.lifecycle, restored.metrics, restored.params) == ("active", {"m": 1.0}, {})


def test_runs_are_found_by_view_filter_order_and_page(ask: Speaker, home: Home):
    for place in range(4):
        create_run(home, run_id=f"r{place}")
        ask.told(f"{R}/log-metric", run_id=f"r{place}", key="auc", value=place / 10, timestamp=1)
    ask.told(f"{R}/delete", run_id="r0")

    def ids(**question: object) -> list[str]:
        said = ask.told(f"{R}/search", experiment_ids=["0"], order_by=["metrics.auc DESC"], **question)
        return [one["info"]["run_id"] for one in said["runs"]]

    assert ids() == ["r3", "r2", "r1"]
    assert ids(run_view_type="DELETED_ONLY") == ["r0"]
    assert ids(run_view_type="ALL", filter="metrics.auc < 0.15") == ["r1", "r0"]
    first = ask.told(f"{R}/search", experiment_ids=["0"], order_by=["metrics.auc DESC"], max_results="2")
    assert ids(page_token=first["next_page_token"]) == ["r1"]


@pytest.mark.parametrize(
    "question",
    [
        {"run_view_type": "SOME"}, {"max_results": 0}, {"max_results": 50_001}, {"filter": "metrics.m >"},
        {"filter": "'"}, {"order_by": ["nothing at all"]}, {"page_token": "no token"}, {"experiment_ids": "0"},
        {"filter": "params.a = 'x'; DROP TABLE run"},
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_read_is_refused(ask: Speaker, run: str, question: dict[str, object]):
    assert ask.post(f"{R}/search", **{"experiment_ids": ["0"], **question}).code == INVALID
    assert ask.get(f"{R}/get", run_id=run).status == 200
