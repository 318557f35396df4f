"""Evaluation datasets as MLflow asks for them; tags and records travel as JSON inside of JSON."""

import json
from typing import Any

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import Json
from taut.home import Home
from taut.runs import (
    EvaluationDataset,
    EvaluationRecord,
    create_evaluation,
    delete_evaluation,
    delete_records,
    get_evaluation,
    link_evaluation,
    list_experiments,
    list_records,
    merge_records,
    search_evaluations,
    tag_evaluation,
    unlink_evaluation,
)

PAGE = 1000


class Create(msgspec.Struct):
    """datasets/create."""

    name: str
    tags: str = ""
    experiment_ids: list[str] = []


class ById(msgspec.Struct):
    """GET and DELETE datasets/{dataset_id}, and its experiment-ids."""

    dataset_id: str


class Search(msgspec.Struct):
    """datasets/search."""

    experiment_ids: list[str] = []
    filter_string: str = ""
    max_results: int = PAGE
    order_by: list[str] = []
    page_token: str = ""


class Tags(msgspec.Struct):
    """PATCH datasets/{dataset_id}/tags."""

    dataset_id: str
    tags: str


class Tag(msgspec.Struct):
    """DELETE datasets/{dataset_id}/tags/{key}."""

    dataset_id: str
    key: str


class Upsert(msgspec.Struct):
    """POST datasets/{dataset_id}/records."""

    dataset_id: str
    records: str


class Records(msgspec.Struct):
    """GET datasets/{dataset_id}/records."""

    dataset_id: str
    max_results: int = PAGE
    page_token: str = ""


class Forget(msgspec.Struct):
    """DELETE datasets/{dataset_id}/records."""

    dataset_id: str
    dataset_record_ids: list[str] = []


class Experiments(msgspec.Struct):
    """datasets/{dataset_id}/add-experiments and remove-experiments."""

    dataset_id: str
    experiment_ids: list[str] = []


def create(home: Home, asked: Create) -> Json:
    """Make an empty dataset."""
    tags = {key: value for key, value in _tags(asked.tags).items() if value is not None}
    made = create_evaluation(home, asked.name, tags=tags, experiment_ids=asked.experiment_ids)
    return {"dataset": dataset_shape(made)}


def get(home: Home, asked: ById) -> Json:
    """One by its id."""
    return {"dataset": dataset_shape(get_evaluation(home, asked.dataset_id))}


def delete(home: Home, asked: ById) -> Json:
    """Take it away with its records."""
    delete_evaluation(home, asked.dataset_id)
    return {}


def search(home: Home, asked: Search) -> Json:
    """A page of those that meet a filter."""
    page = search_evaluations(
        home,
        _meant(home, asked.experiment_ids),
        filter=asked.filter_string,
        order_by=asked.order_by,
        max_results=asked.max_results,
        page_token=asked.page_token,
    )
    answer: Json = {"datasets": [dataset_shape(one) for one in page.datasets]}
    return {**answer, "next_page_token": page.next_page} if page.next_page else answer


def set_tags(home: Home, asked: Tags) -> Json:
    """Set tags; what has no value is left as it is."""
    tags = {key: value for key, value in _tags(asked.tags).items() if value is not None}
    return {"dataset": dataset_shape(tag_evaluation(home, asked.dataset_id, dict(tags)))}


def delete_tag(home: Home, asked: Tag) -> Json:
    """Take a tag away."""
    tag_evaluation(home, asked.dataset_id, {asked.key: None})
    return {}


def upsert(home: Home, asked: Upsert) -> Json:
    """Add records, or merge them into those with the same inputs."""
    records = _parsed(asked.records, what="records")
    if not isinstance(records, list):
        raise Invalid("records must be a JSON list")
    merged = merge_records(home, asked.dataset_id, records)
    return {"inserted_count": merged.inserted, "updated_count": merged.updated}


def records(home: Home, asked: Records) -> Json:
    """A page of records."""
    page = list_records(home, asked.dataset_id, max_results=asked.max_results or PAGE, page_token=asked.page_token)
    answer: Json = {"records": json.dumps([record_shape(one) for one in page.records])}
    return {**answer, "next_page_token": page.next_page} if page.next_page else answer


def forget(home: Home, asked: Forget) -> Json:
    """Take records away."""
    return {"deleted_count": delete_records(home, asked.dataset_id, asked.dataset_record_ids)}


def experiment_ids(home: Home, asked: ById) -> Json:
    """The experiments that it belongs to."""
    return {"experiment_ids": list(get_evaluation(home, asked.dataset_id).experiment_ids)}


def add_experiments(home: Home, asked: Experiments) -> Json:
    """Say that it belongs to further experiments."""
    return {"dataset": dataset_shape(link_evaluation(home, asked.dataset_id, asked.experiment_ids))}


def remove_experiments(home: Home, asked: Experiments) -> Json:
    """Say that it belongs to some experiments no more."""
    return {"dataset": dataset_shape(unlink_evaluation(home, asked.dataset_id, asked.experiment_ids))}


def dataset_shape(dataset: EvaluationDataset) -> Json:
    """A dataset without its records."""
    shape: Json = {
        "dataset_id": dataset.id, "name": dataset.name, "tags": json.dumps(dataset.tags), "digest": dataset.digest,
        "created_time": dataset.created_ms, "last_update_time": dataset.updated_ms, "created_by": dataset.created_by,
        "last_updated_by": dataset.updated_by, "experiment_ids": list(dataset.experiment_ids),
    }  # fmt: skip
    if dataset.columns:
        shape["schema"] = dataset.columns
    if dataset.row_count:
        shape["profile"] = json.dumps({"num_records": dataset.row_count})
    return shape


def record_shape(record: EvaluationRecord) -> Json:
    """A record, as it stands in the list that travels as a text."""
    shape: Json = {
        "dataset_record_id": record.id, "dataset_id": record.dataset_id, "inputs": record.inputs,
        "created_time": record.created_ms, "last_update_time": record.updated_ms, "created_by": record.created_by,
        "last_updated_by": record.updated_by, "tags": record.tags,
    }  # fmt: skip
    if record.outputs is not None:
        shape["outputs"] = record.outputs
    if record.expectations is not None:
        shape["expectations"] = record.expectations
    if record.source:
        data = record.source["source_data"]
        named = data.get("trace_id" if record.source["source_type"] == "TRACE" else "source_id")
        shape |= {"source": record.source, "source_type": record.source["source_type"]}
        shape |= {"source_id": named} if named is not None else {}
    return shape


def _meant(home: Home, experiment_ids: list[str]) -> list[str]:
    """The experiments that a client means: one that is given an id instead of a list of ids sends its characters.

    They are put together where they write the id of an experiment and not each of them is one itself.
    """
    together = "".join(experiment_ids)
    if len(together) != len(experiment_ids) or len(together) < 2:
        return experiment_ids
    known = {one.id for one in list_experiments(home)}
    return [together] if together in known and not known.issuperset(experiment_ids) else experiment_ids


def _tags(written: str) -> dict[str, str | None]:
    tags = _parsed(written, what="tags") if written else {}
    if not isinstance(tags, dict):
        raise Invalid("tags must be a JSON object")
    return {str(key): None if value is None else str(value) for key, value in tags.items()}


def _parsed(written: str, *, what: str) -> Any:
    try:
        return json.loads(written)
    except (ValueError, RecursionError) as problem:
        raise Invalid(f"{what} must be JSON, written as a text: {problem}") from None
