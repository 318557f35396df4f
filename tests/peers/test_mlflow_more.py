"""More of the real, unchanged MLflow client against a real taut server: webhooks, evaluation datasets, old clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.govern import tell_webhooks
from taut.home import Home
from tests.faces.receiving import Receiver, receiving
from tests.faces.serving import served
from tests.peers.programs import Client, Programs

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")


@pytest.fixture
def client(programs: Programs, home: Home, tmp_path: Path) -> Iterator[Client]:
    """Runs a program with the client in a process of its own; returns what it put into `answers`."""
    with served(home) as url:
        yield programs.client(url, tmp_path)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as one:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
        yield one


def test_webhooks_are_made_changed_tried_and_told(client: Client, home: Home, receiver: Receiver):
    said = client(
        """
from mlflow.entities.webhook import WebhookEvent, WebhookStatus
import os
made = client.create_webhook(
    "hook", os.environ["HOOK"], ["registered_model.created", WebhookEvent("model_version_tag", "set")],
    description="what for", secret="hush",
)
answers["made"] = [made.name, made.url, made.description, str(made.status), sorted(map(str, made.events)), made.secret]
answers["same"] = repr(client.get_webhook(made.webhook_id)) == repr(made)
other = client.create_webhook("other", "https://example.org", ["prompt.created"], status="DISABLED")
answers["listed"] = [one.name for one in client.list_webhooks()]
first = client.list_webhooks(max_results=1)
answers["paged"] = [one.name for one in client.list_webhooks(max_results=1, page_token=first.token)]
tried = client.test_webhook(made.webhook_id)
answers["tried"] = [tried.success, tried.response_status, tried.response_body, tried.error_message]
tried = client.test_webhook(made.webhook_id, event="model_version_tag.set")
changed = client.update_webhook(other.webhook_id, name="changed", events=["model_version.created"], status="ACTIVE")
answers["changed"] = [changed.name, str(changed.status), [str(one) for one in changed.events], changed.url]
client.delete_webhook(other.webhook_id)
answers["gone"] = code_of(client.get_webhook, other.webhook_id)
answers["private"] = code_of(client.create_webhook, "a", "https://10.0.0.1/", ["prompt.created"])
client.create_registered_model("late", tags={"owner": "ada"}, description="how late")
""",
        HOOK=receiver.url,
    )
    events = ["model_version_tag.set", "registered_model.created"]
    assert said["made"] == ["hook", receiver.url, "what for", "ACTIVE", events, None]
    assert said["same"]
    assert sorted(said["listed"]) == ["hook", "other"]
    assert len(said["paged"]) == 1
    assert said["tried"] == [True, 200, "thanks", None]
    assert said["changed"] == ["changed", "ACTIVE", ["model_version.created"], "https://example.org"]
    assert (said["gone"], said["private"]) == ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
    tell_webhooks(home)
    assert receiver.events() == ["registered_model.created", "model_version_tag.set", "registered_model.created"]
    assert receiver.heard[2].told["data"] == {"name": "late", "tags": {"owner": "ada"}, "description": "how late"}


def test_evaluation_datasets_are_made_filled_and_searched(client: Client):
    said = client("""
from mlflow.tracking._tracking_service.utils import _get_store
store = _get_store()
other = client.create_experiment("other")
made = client.create_dataset("questions", experiment_id=["0"], tags={"team": "red"})
answers["made"] = [made.name, made.tags["team"], made.experiment_ids, made.dataset_id[:2], made.schema]
records = [
    {"inputs": {"question": "a"}, "expectations": {"answer": 1}, "source": {"source_type": "HUMAN", "source_data": {}}},
    {"inputs": {"question": "b"}, "outputs": {"answer": "x"}, "tags": {"mlflow.user": "bea"}},
]
answers["first"] = store.upsert_dataset_records(made.dataset_id, records)
answers["again"] = store.upsert_dataset_records(made.dataset_id, [records[0], {"inputs": {"question": "c"}}])
seen = client.get_dataset(made.dataset_id)
answers["records"] = [
    [one.inputs, one.outputs, one.expectations, one.source_type, one.last_updated_by] for one in seen.records
]
answers["profile"] = json.loads(seen.profile)
answers["digest moved"] = seen.digest != made.digest
page, token = store._load_dataset_records(made.dataset_id, max_results=2)
rest, end = store._load_dataset_records(made.dataset_id, max_results=2, page_token=token)
answers["pages"] = [len(page), len(rest), end]
answers["deleted"] = seen.delete_records([seen.records[0].dataset_record_id])
answers["left"] = len(client.get_dataset(made.dataset_id).records)
client.set_dataset_tags(made.dataset_id, {"stage": "gold"})
client.delete_dataset_tag(made.dataset_id, "team")
answers["tags"] = client.get_dataset(made.dataset_id).tags
client.add_dataset_to_experiments(made.dataset_id, [other])
answers["linked"] = sorted(client.get_dataset(made.dataset_id).experiment_ids) == sorted(["0", other])
client.remove_dataset_from_experiments(made.dataset_id, ["0"])
answers["unlinked"] = store.get_dataset_experiment_ids(made.dataset_id) == [other]
client.create_dataset("second")
find = lambda **said: [one.name for one in client.search_datasets(**said)]
answers["found"] = [
    find(filter_string="name LIKE 'quest%'"), find(experiment_ids=[other]), sorted(find()),
    find(filter_string="tags.stage = 'gold'"), find(order_by=["name DESC"], max_results=1),
]
client.delete_dataset(made.dataset_id)
answers["gone"] = code_of(client.get_dataset, made.dataset_id)
""")
    assert said["made"] == ["questions", "red", ["0"], "d-", None]
    assert (said["first"], said["again"]) == ({"inserted": 2, "updated": 0}, {"inserted": 1, "updated": 1})
    assert said["records"][0][:4] == [{"question": "a"}, {}, {"answer": 1}, "HUMAN"]
    assert said["records"][1] == [{"question": "b"}, {"answer": "x"}, None, None, "bea"]
    assert (said["profile"], said["digest moved"], said["pages"]) == ({"num_records": 3}, True, [2, 1, None])
    assert (said["deleted"], said["left"]) == (1, 2)
    assert said["tags"]["stage"] == "gold"
    assert "team" not in said["tags"]
    assert said["linked"]
    assert said["unlinked"]
    assert said["found"] == [["questions"], ["questions"], ["questions", "second"], ["questions"], ["second"]]
    assert said["gone"] == "RESOURCE_DOES_NOT_EXIST"


def test_merging_a_table_of_records_is_the_clients_own_business_and_works(client: Client):
    pytest.importorskip("pandas")
    said = client("""
from mlflow.genai.datasets import create_dataset, get_dataset
import pandas
made = create_dataset(name="table", experiment_id="0")
made.merge_records(pandas.DataFrame({"inputs": [{"q": 1}, {"q": 2}], "expectations": [{"a": 1}, {"a": 2}]}))
seen = get_dataset(dataset_id=made.dataset_id).to_df()
answers["rows"] = [[row.inputs, row.expectations, row.source_type] for row in seen.itertuples()]
""")
    assert said["rows"] == [[{"q": 1}, {"a": 1}, "HUMAN"], [{"q": 2}, {"a": 2}, "HUMAN"]]


def test_logged_models_are_searched_by_the_datasets_of_their_metrics(client: Client):
    said = client("""
from mlflow.entities import Metric
run = client.create_run("0")
for name, train, test in (("a", 0.9, 0.5), ("b", 0.8, 0.7)):
    model = client.create_logged_model("0", name=name, source_run_id=run.info.run_id)
    client.log_batch(run.info.run_id, metrics=[
        Metric("auc", value, 1, 0, model_id=model.model_id, dataset_name=dataset, dataset_digest="1")
        for dataset, value in (("train", train), ("test", test))
    ])
find = lambda **said: [one.name for one in client.search_logged_models(["0"], **said)]
best = lambda dataset: [{"field_name": "metrics.auc", "ascending": False, "dataset_name": dataset}]
answers["found"] = [
    find(filter_string="metrics.auc > 0.6", datasets=[{"dataset_name": "test"}]),
    find(datasets=[{"dataset_name": "test", "dataset_digest": "2"}]),
    find(order_by=best("train")), find(order_by=best("test")),
]
(seen,) = client.search_logged_models(["0"], filter_string="name = 'a'")
answers["metrics"] = sorted([one.dataset_name, one.dataset_digest, one.value] for one in seen.metrics)
""")
    assert said["found"] == [["b"], [], ["a", "b"], ["b", "a"]]
    assert said["metrics"] == [["test", "1", 0.5], ["train", "1", 0.9]]


def test_what_an_old_client_notes_of_its_model_is_read_back(client: Client):
    said = client("""
from mlflow.models import Model
run = client.create_run("0")
client._record_logged_model(run.info.run_id, Model(artifact_path="model", run_id=run.info.run_id))
tags = client.get_run(run.info.run_id).data.tags
answers["noted"] = [one["artifact_path"] for one in json.loads(tags["mlflow.log-model.history"])]
""")
    assert said["noted"] == ["model"]
