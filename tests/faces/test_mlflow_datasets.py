"""Evaluation datasets through MLflow's protocol, raw: made, found, filled, each question once, on both databases."""

import itertools
import json
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from taut.govern import create_token
from taut.ground.ledger import events
from taut.home import Home
from taut.runs import create_experiment, list_records, merge_records
from tests.faces.serving import served
from tests.faces.speaking import INVALID, NOT_FOUND, Speaker

D = "mlflow/datasets"


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    with served(home) as url:
        yield Speaker(url, "/api/3.0/")


def made(ask: Speaker, name: str = "questions", **said: object) -> dict[str, Any]:
    """Make a dataset; returns it."""
    dataset: dict[str, Any] = ask.told(f"{D}/create", name=name, **said)["dataset"]
    return dataset


def place(dataset: dict[str, Any]) -> str:
    return f"{D}/{dataset['dataset_id']}"


def again(ask: Speaker, dataset: dict[str, Any]) -> dict[str, Any]:
    """The dataset as it is now."""
    said: dict[str, Any] = ask.get(place(dataset)).body["dataset"]
    return said


def sent(ask: Speaker, dataset: dict[str, Any], *records: object) -> tuple[int, int]:
    """Send records; returns how many were new and how many merged."""
    said = ask.told(f"{place(dataset)}/records", records=json.dumps(records))
    return said["inserted_count"], said["updated_count"]


def kept(ask: Speaker, dataset: dict[str, Any]) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(ask.get(f"{place(dataset)}/records").body["records"])
    return records


def asked(text: str, **more: object) -> dict[str, Any]:
    return {"inputs": {"question": text}, **more}


# Datasets


def test_a_dataset_that_is_made_is_the_one_that_is_read(ask: Speaker, home: Home):
    other = create_experiment(home, "other").id
    dataset = made(ask, tags=json.dumps({"team": "red", "mlflow.user": "bea"}), experiment_ids=["0", other])
    assert dataset == {
        "dataset_id": dataset["dataset_id"], "name": "questions", "digest": dataset["digest"],
        "tags": json.dumps({"mlflow.user": "bea", "team": "red"}), "created_time": 1_700_000_000_000,
        "last_update_time": 1_700_000_000_000, "created_by": "bea", "last_updated_by": "bea",
        "experiment_ids": ["0", other],
    }  # fmt: skip
    assert dataset["dataset_id"].startswith("d-")
    assert again(ask, dataset) == dataset
    assert ask.get(f"{place(dataset)}/experiment-ids").body == {"experiment_ids": ["0", other]}


def test_a_dataset_that_nobody_signed_is_the_callers(ask: Speaker):
    assert made(ask)["created_by"] == "ada"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""}, {"name": "  "}, {"name": "x" * 256}, {"tags": "{"}, {"tags": "[]"},
        {"tags": '{"a": "' + "x" * 5001 + '"}'}, {"tags": '{"": "b"}'}, {"tags": "[" * 100_000},
    ],
)  # fmt: skip
def test_what_is_no_dataset_is_refused(ask: Speaker, wrong: dict[str, str]):
    assert ask.post(f"{D}/create", **{"name": "questions", **wrong}).code == INVALID
    assert ask.get(f"{D}/search").body["datasets"] == []


def test_a_dataset_of_an_experiment_that_is_not_there_is_refused_whole(ask: Speaker):
    assert ask.post(f"{D}/create", name="q", experiment_ids=["0", "404"]).code == NOT_FOUND
    assert ask.get(f"{D}/search").body["datasets"] == []


def test_a_dataset_is_linked_to_experiments_and_unlinked(ask: Speaker, home: Home):
    dataset, other = made(ask), create_experiment(home, "other").id
    for _ in range(2):
        said = ask.told(f"{place(dataset)}/add-experiments", experiment_ids=["0", other])["dataset"]
        assert said["experiment_ids"] == ["0", other]
    for _ in range(2):
        said = ask.told(f"{place(dataset)}/remove-experiments", experiment_ids=["0", "404"])["dataset"]
        assert said["experiment_ids"] == [other]
    assert ask.post(f"{place(dataset)}/add-experiments", experiment_ids=["404"]).code == NOT_FOUND
    for action in ("add", "remove"):
        assert ask.post(f"{D}/d-none/{action}-experiments", experiment_ids=["0"]).code == NOT_FOUND


def test_tags_are_set_and_taken_away(ask: Speaker):
    dataset = made(ask, tags=json.dumps({"a": "1"}))
    said = ask("PATCH", f"{place(dataset)}/tags", {"tags": json.dumps({"b": 2, "c": None})})
    assert json.loads(said.body["dataset"]["tags"]) == {"a": "1", "b": "2"}
    for _ in range(2):
        assert ask("DELETE", f"{place(dataset)}/tags/a").body == {}
    assert json.loads(again(ask, dataset)["tags"]) == {"b": "2"}
    assert ask("PATCH", f"{D}/d-none/tags", {"tags": "{}"}).code == NOT_FOUND


def test_a_dataset_that_is_deleted_is_gone_with_its_records(ask: Speaker, home: Home):
    dataset = made(ask, experiment_ids=["0"])
    sent(ask, dataset, asked("a"))
    for _ in range(2):
        assert ask("DELETE", place(dataset)).body == {}
    for path in ("", "/records", "/experiment-ids"):
        assert ask.get(place(dataset) + path).code == NOT_FOUND, path
    assert ask.post(f"{place(dataset)}/records", records="[]").code == NOT_FOUND
    with home.meta.read() as tx:
        (event,) = events(tx, kind="evaluation.deleted")
        assert tx.row("SELECT count(*) FROM evaluation_record") == (0,)
    assert json.loads(event.body) == {"records": 1}


# Found


def names(ask: Speaker, **query: object) -> list[str]:
    said = ask.post(f"{D}/search", **query)
    assert said.status == 200, said
    assert ask.get(f"{D}/search", **query).body == said.body
    return [dataset["name"] for dataset in said.body["datasets"]]


def test_datasets_are_found_by_name_times_people_tags_and_experiments(ask: Speaker, home: Home):
    other = create_experiment(home, "other").id
    made(ask, "alpha", tags=json.dumps({"team": "red"}), experiment_ids=["0"])
    home.clock.pass_ms(10)  # type: ignore[attr-defined]
    made(ask, "beta", tags=json.dumps({"team": "blue", "mlflow.user": "bea"}), experiment_ids=[other])
    home.clock.pass_ms(10)  # type: ignore[attr-defined]
    made(ask, "gamma", experiment_ids=["0", other])
    assert names(ask) == ["gamma", "beta", "alpha"]
    assert names(ask, experiment_ids=["0"]) == ["gamma", "alpha"]
    assert names(ask, experiment_ids=["0", other]) == ["gamma", "beta", "alpha"]
    assert names(ask, experiment_ids=["404"]) == []
    assert names(ask, filter_string="name LIKE '%a%' AND tags.team = 'red'") == ["alpha"]
    assert names(ask, filter_string="name IN ('alpha', 'gamma')") == ["gamma", "alpha"]
    assert names(ask, filter_string="tags.team != 'red'") == ["beta"]
    assert names(ask, filter_string="created_by = 'bea'") == ["beta"]
    assert names(ask, filter_string="created_time > 1700000000000") == ["gamma", "beta"]
    assert names(ask, order_by=["name ASC"]) == ["alpha", "beta", "gamma"]
    assert names(ask, order_by=["created_time DESC"]) == ["gamma", "beta", "alpha"]
    for wrong in ({"filter_string": "digest = 'a'"}, {"order_by": ["created_by"]}, {"filter_string": "name > 3"}):
        assert ask.post(f"{D}/search", **wrong).code == INVALID, wrong


def test_pages_of_a_search_hold_each_dataset_once(ask: Speaker):
    for number in range(7):
        made(ask, f"d{number}")
    found: list[str] = []
    token = ""
    while True:
        said = ask.post(f"{D}/search", max_results=3, page_token=token).body
        found += [dataset["name"] for dataset in said["datasets"]]
        token = said.get("next_page_token", "")
        if not token:
            break
    assert sorted(found) == [f"d{number}" for number in range(7)]
    assert ask.post(f"{D}/search", max_results=0).code == INVALID
    assert ask.post(f"{D}/search", page_token="none").code == INVALID


# Records


def test_records_come_back_as_they_were_sent_in_their_order(ask: Speaker):
    dataset = made(ask)
    source = {"source_type": "trace", "source_data": {"trace_id": "tr-1"}}
    expected = {"expectations": {"answer": 42, "odd": math.nan}, "outputs": ["a", 1]}
    assert sent(
        ask, dataset, asked("b ünï ✈\x00", source=source, tags={"mlflow.user": "bea"}, **expected), asked("a")
    ) == (2, 0)
    first, second = kept(ask, dataset)
    assert first["inputs"] == {"question": "b ünï ✈\x00"}
    assert (first["outputs"], first["expectations"]["answer"]) == (["a", 1], 42)
    assert math.isnan(first["expectations"]["odd"])
    assert first["source"] == {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}
    assert (first["source_type"], first["source_id"]) == ("TRACE", "tr-1")
    assert (first["created_by"], first["last_updated_by"]) == ("bea", "bea")
    assert second == {
        "dataset_record_id": second["dataset_record_id"], "dataset_id": dataset["dataset_id"],
        "inputs": {"question": "a"}, "outputs": {}, "tags": {}, "created_time": 1_700_000_000_000,
        "last_update_time": 1_700_000_000_000, "created_by": "ada", "last_updated_by": "ada",
    }  # fmt: skip
    assert second["dataset_record_id"].startswith("dr-")


def test_the_same_inputs_are_one_record_into_which_the_rest_is_merged(ask: Speaker, home: Home):
    dataset = made(ask)
    inputs = {"inputs": {"a": 1, "b": [1, 2]}}
    sent(ask, dataset, {**inputs, "expectations": {"x": 1}, "tags": {"t": "1", "mlflow.user": "bea"}, "outputs": "old"})
    home.clock.pass_ms(5)  # type: ignore[attr-defined]
    swapped = {"inputs": {"b": [1, 2], "a": 1}}
    assert sent(ask, dataset, {**swapped, "expectations": {"y": 2}, "tags": {"u": "2"}}) == (0, 1)
    (record,) = kept(ask, dataset)
    assert (record["expectations"], record["outputs"]) == ({"x": 1, "y": 2}, "old")
    assert record["tags"] == {"t": "1", "u": "2", "mlflow.user": "bea"}
    assert (record["created_time"], record["last_update_time"]) == (1_700_000_000_000, 1_700_000_000_005)
    assert record["last_updated_by"] == "bea"
    assert sent(ask, dataset, {**swapped, "outputs": None, "tags": {"mlflow.user": "cem"}}) == (0, 1)
    (record,) = kept(ask, dataset)
    assert "outputs" not in record
    assert (record["created_by"], record["last_updated_by"]) == ("bea", "cem")
    assert sent(ask, dataset, {"inputs": {"a": 1, "b": [2, 1]}}) == (1, 0)


def test_a_question_that_is_twice_in_what_is_sent_is_one_record(ask: Speaker):
    dataset = made(ask)
    twice = [asked("a", expectations={"x": 1}), asked("b"), asked("a", expectations={"y": 2}, outputs="o")]
    assert sent(ask, dataset, *twice) == (2, 1)
    first, _ = kept(ask, dataset)
    assert (first["expectations"], first["outputs"]) == ({"x": 1, "y": 2}, "o")
    assert sent(ask, dataset, asked("a", expectations={"x": 3}), asked("a", tags={"t": "1"})) == (0, 2)
    first, _ = kept(ask, dataset)
    assert (first["expectations"], first["tags"]) == ({"x": 3, "y": 2}, {"t": "1"})


def test_a_dataset_says_what_its_records_hold_and_how_many_there_are(ask: Speaker):
    dataset = made(ask)
    assert "schema" not in dataset
    assert "profile" not in dataset
    sent(
        ask,
        dataset,
        {"inputs": {"s": "x", "i": 1, "f": 0.5, "b": True, "n": None, "l": [], "d": {}}, "outputs": "text"},
    )
    sent(ask, dataset, {"inputs": {"s": 3, "more": 1}, "expectations": {"answer": "a"}})
    said = again(ask, dataset)
    kinds = {"s": "string", "i": "integer", "f": "float", "b": "boolean", "n": "null", "l": "array", "d": "object"}
    schema = json.loads(said["schema"])
    assert schema["inputs"] == {**kinds, "more": "integer"}
    assert (schema["outputs"], schema["expectations"]) == ("string", {"answer": "string"})
    assert schema["version"] == "1.0"
    assert json.loads(said["profile"]) == {"num_records": 2}


def test_every_change_moves_the_digest(ask: Speaker):
    dataset = made(ask)
    digests = [dataset["digest"]]
    for text in ("a", "b", "a"):
        sent(ask, dataset, asked(text))
        digests.append(again(ask, dataset)["digest"])
    ask("PATCH", f"{place(dataset)}/tags", {"tags": '{"a": "b"}'})
    digests.append(again(ask, dataset)["digest"])
    assert again(ask, dataset)["digest"] == digests[-1]
    assert len(set(digests)) == 5


@pytest.mark.parametrize(
    "records",
    [
        "{", "{}", "3", '"text"', "[3]", "[[]]", "[{}]", '[{"inputs": 3}]', '[{"inputs": null}]',
        '[{"inputs": {}, "expectations": []}]', '[{"inputs": {}, "tags": "a"}]', '[{"inputs": {}, "source": "x"}]',
        '[{"inputs": {}, "source": {"source_type": "RUMOUR"}}]', "[" * 100_000,
        '[{"inputs": {}, "source": {"source_type": "CODE", "source_data": 3}}]',
        '[{"inputs": {"a": 1}}, {"inputs": 3}]',
    ],
)  # fmt: skip
def test_what_are_no_records_is_refused_whole(ask: Speaker, records: str):
    dataset = made(ask)
    assert ask.post(f"{place(dataset)}/records", records=records).code == INVALID
    assert kept(ask, dataset) == []
    assert again(ask, dataset)["digest"] == dataset["digest"]


def test_records_come_in_pages_that_hold_each_once_while_others_come_and_go(ask: Speaker):
    dataset = made(ask)
    sent(ask, dataset, *(asked(str(number)) for number in range(25)))
    page = ask.get(f"{place(dataset)}/records", max_results=10).body
    found = [record["inputs"]["question"] for record in json.loads(page["records"])]
    first = json.loads(page["records"])[0]["dataset_record_id"]
    ask("DELETE", f"{place(dataset)}/records", {"dataset_record_ids": [first]})
    sent(ask, dataset, asked("late"))
    while token := page.get("next_page_token", ""):
        page = ask.get(f"{place(dataset)}/records", max_results=10, page_token=token).body
        found += [record["inputs"]["question"] for record in json.loads(page["records"])]
    assert found == [*(str(number) for number in range(25)), "late"]
    assert ask.get(f"{place(dataset)}/records", page_token="none").code == INVALID


def test_records_are_deleted_by_their_ids_and_counted(ask: Speaker):
    dataset, other = made(ask), made(ask, "other")
    sent(ask, dataset, asked("a"), asked("b"))
    sent(ask, other, asked("c"))
    ids = [record["dataset_record_id"] for record in kept(ask, dataset) + kept(ask, other)]
    said = ask("DELETE", f"{place(dataset)}/records", {"dataset_record_ids": [ids[0], ids[2], "dr-none"]})
    assert said.body == {"deleted_count": 1}
    assert [record["inputs"]["question"] for record in kept(ask, dataset)] == ["b"]
    assert len(kept(ask, other)) == 1
    assert json.loads(again(ask, dataset)["profile"]) == {"num_records": 1}
    assert sent(ask, dataset, asked("a")) == (1, 0)
    assert ask("DELETE", f"{D}/d-none/records", {"dataset_record_ids": ids}).code == NOT_FOUND


def test_many_records_are_merged_in_one_call(ask: Speaker, home: Home):
    dataset = made(ask)["dataset_id"]
    merged = merge_records(home, dataset, [asked(str(number)) for number in range(2500)])
    assert (merged.inserted, merged.updated) == (2500, 0)
    merged = merge_records(home, dataset, [asked(str(number)) for number in range(1000, 3000)])
    assert (merged.inserted, merged.updated) == (500, 1500)
    assert len(list_records(home, dataset, max_results=50_000).records) == 3000


def test_two_who_send_the_same_questions_at_once_make_each_of_them_one_record(ask: Speaker):
    dataset = made(ask)
    counts: list[tuple[int, int]] = []
    records = [asked(str(number)) for number in range(50)]
    threads = [threading.Thread(target=lambda: counts.append(sent(ask, dataset, *records))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == [(0, 50), (0, 50), (0, 50), (50, 0)]
    numbers = [int(record["inputs"]["question"]) for record in kept(ask, dataset)]
    assert all(later == earlier + 1 for earlier, later in itertools.pairwise(numbers))


def test_what_stands_in_records_needs_a_permission_of_its_own(ask: Speaker, home: Home):
    dataset = made(ask)
    viewer = Speaker(ask.url, ask.prefix, create_token(home, "vera", "viewer").secret)
    assert viewer.get(place(dataset)).status == 200
    assert viewer.get(f"{place(dataset)}/records").code == (403, "PERMISSION_DENIED")
    assert viewer.post(f"{place(dataset)}/records", records="[]").code == (403, "PERMISSION_DENIED")
    scientist = Speaker(ask.url, ask.prefix, create_token(home, "sid", "data-scientist").secret)
    assert scientist.get(f"{place(dataset)}/records").status == 200
