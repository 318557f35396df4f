"""Logged models as MLflow asks for them."""

from typing import Literal

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import Json, Pair, logged_model_shape, pairs_of
from taut.home import Home
from taut.runs import (
    DatasetRef,
    ModelOrder,
    create_logged_model,
    delete_logged_model,
    finish_logged_model,
    get_logged_model,
    log_model_params,
    search_logged_models,
    tag_logged_model,
)

STATUSES: dict[str, Literal["PENDING", "READY", "UPLOAD_FAILED"]] = {
    "LOGGED_MODEL_PENDING": "PENDING", "LOGGED_MODEL_READY": "READY",
    "LOGGED_MODEL_UPLOAD_FAILED": "UPLOAD_FAILED",
}  # fmt: skip


class Create(msgspec.Struct):
    """POST logged-models."""

    experiment_id: str
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[Pair] = []
    tags: list[Pair] = []


class ById(msgspec.Struct):
    """GET and DELETE logged-models/{model_id}."""

    model_id: str


class Finish(msgspec.Struct):
    """PATCH logged-models/{model_id}."""

    model_id: str
    status: str


class Params(msgspec.Struct):
    """POST logged-models/{model_id}/params."""

    model_id: str
    params: list[Pair] = []


class Tags(msgspec.Struct):
    """PATCH logged-models/{model_id}/tags."""

    model_id: str
    tags: list[Pair] = []


class TagKey(msgspec.Struct):
    """DELETE logged-models/{model_id}/tags/{tag_key}."""

    model_id: str
    tag_key: str


class Dataset(msgspec.Struct):
    """A dataset that metrics were measured on."""

    dataset_name: str
    dataset_digest: str | None = None


class OrderTerm(msgspec.Struct):
    """One term of the order of logged-models/search."""

    field_name: str
    ascending: bool | None = True
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Search(msgspec.Struct):
    """POST logged-models/search."""

    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[Dataset] = []
    max_results: int = 100
    order_by: list[OrderTerm] = []
    page_token: str = ""


def create(home: Home, asked: Create) -> Json:
    """Begin one, without files yet."""
    model = create_logged_model(
        home,
        asked.experiment_id,
        name=asked.name,
        model_type=asked.model_type,
        run_id=asked.source_run_id,
        params=pairs_of(asked.params, what="param"),
        tags=pairs_of(asked.tags, what="tag"),
    )
    return {"model": logged_model_shape(model)}


def get(home: Home, asked: ById) -> Json:
    """One by its id."""
    return {"model": logged_model_shape(get_logged_model(home, asked.model_id))}


def finish(home: Home, asked: Finish) -> Json:
    """Say that its files are there, or will not come."""
    if asked.status not in STATUSES:
        raise Invalid(f"the status of a logged model is one of {', '.join(STATUSES)}, not {asked.status!r}")
    return {"model": logged_model_shape(finish_logged_model(home, asked.model_id, STATUSES[asked.status]))}


def delete(home: Home, asked: ById) -> Json:
    """Hide one."""
    delete_logged_model(home, asked.model_id)
    return {}


def log_params(home: Home, asked: Params) -> Json:
    """Add params."""
    log_model_params(home, asked.model_id, pairs_of(asked.params, what="param"))
    return {}


def set_tags(home: Home, asked: Tags) -> Json:
    """Set tags."""
    tags: dict[str, str | None] = dict(pairs_of(asked.tags, what="tag"))
    return {"model": logged_model_shape(tag_logged_model(home, asked.model_id, tags))}


def delete_tag(home: Home, asked: TagKey) -> Json:
    """Take a tag away."""
    return {"model": logged_model_shape(tag_logged_model(home, asked.model_id, {asked.tag_key: None}))}


def search(home: Home, asked: Search) -> Json:
    """A page of those that meet a filter."""
    page = search_logged_models(
        home,
        asked.experiment_ids,
        filter=asked.filter,
        datasets=[_dataset(each.dataset_name, each.dataset_digest) for each in asked.datasets],
        order_by=[_order(term) for term in asked.order_by],
        max_results=asked.max_results,
        page_token=asked.page_token,
    )
    answer: Json = {"models": [logged_model_shape(model) for model in page.models]}
    return {**answer, "next_page_token": page.next_page} if page.next_page else answer


def _dataset(name: str, digest: str | None) -> DatasetRef:
    if not name:
        raise Invalid("a dataset is named by its dataset_name, and this one is empty")
    return DatasetRef(name, digest or "")


def _order(term: OrderTerm) -> ModelOrder:
    """A term as it is sent; a dataset's digest alone names none."""
    if term.dataset_digest and not term.dataset_name:
        raise Invalid(f"the order by {term.field_name[:80]!r} has a dataset_digest and no dataset_name")
    direction = "DESC" if term.ascending is False else "ASC"
    dataset = _dataset(term.dataset_name, term.dataset_digest) if term.dataset_name else None
    return ModelOrder(f"{term.field_name} {direction}", dataset)
