"""Experiments as MLflow asks for them."""

from functools import partial

import msgspec

from taut.errors import Invalid
from taut.faces.mlflow.shapes import SCHEME, Json, Pair, experiment_shape, pairs_of
from taut.home import Home
from taut.runs import (
    Experiment,
    Found,
    create_experiment,
    delete_experiment,
    find_experiment,
    get_experiment,
    holds,
    list_experiments,
    lookup,
    page_of,
    parse_filter,
    parse_order,
    rename_experiment,
    restore_experiment,
    tag_experiment,
)

VIEWS = {"ACTIVE_ONLY": {"active"}, "DELETED_ONLY": {"deleted"}, "ALL": {"active", "deleted"}}


class Create(msgspec.Struct):
    """experiments/create."""

    name: str
    artifact_location: str = ""
    tags: list[Pair] = []


class ById(msgspec.Struct):
    """experiments/get, delete, restore."""

    experiment_id: str


class ByName(msgspec.Struct):
    """experiments/get-by-name."""

    experiment_name: str


class Update(msgspec.Struct):
    """experiments/update."""

    experiment_id: str
    new_name: str


class Tag(msgspec.Struct):
    """experiments/set-experiment-tag and delete-experiment-tag."""

    experiment_id: str
    key: str
    value: str = ""


class Search(msgspec.Struct):
    """experiments/search."""

    max_results: int
    filter: str = ""
    order_by: list[str] = []
    page_token: str = ""
    view_type: str = "ACTIVE_ONLY"


def create(home: Home, asked: Create) -> Json:
    """Make an experiment. Its files lie in this home; a place elsewhere is refused, not silently ignored."""
    if asked.artifact_location and not asked.artifact_location.startswith(SCHEME):
        raise Invalid(
            f"this server keeps the artifacts of its experiments itself, not at {asked.artifact_location[:80]!r}",
            hint="leave artifact_location out",
        )
    return {"experiment_id": create_experiment(home, asked.name, tags=pairs_of(asked.tags, what="tag")).id}


def get(home: Home, asked: ById) -> Json:
    """One by its id."""
    return {"experiment": experiment_shape(get_experiment(home, asked.experiment_id))}


def get_by_name(home: Home, asked: ByName) -> Json:
    """One by its name."""
    return {"experiment": experiment_shape(find_experiment(home, asked.experiment_name))}


def update(home: Home, asked: Update) -> Json:
    """Rename one."""
    rename_experiment(home, asked.experiment_id, asked.new_name)
    return {}


def delete(home: Home, asked: ById) -> Json:
    """Mark one deleted."""
    delete_experiment(home, asked.experiment_id)
    return {}


def restore(home: Home, asked: ById) -> Json:
    """Bring one back."""
    restore_experiment(home, asked.experiment_id)
    return {}


def set_tag(home: Home, asked: Tag) -> Json:
    """Set a tag."""
    tag_experiment(home, asked.experiment_id, asked.key, asked.value)
    return {}


def delete_tag(home: Home, asked: Tag) -> Json:
    """Take a tag away."""
    tag_experiment(home, asked.experiment_id, asked.key, None)
    return {}


def search(home: Home, asked: Search) -> Json:
    """A page of those that meet a filter, newest first where no order is said."""
    if asked.view_type not in VIEWS:
        raise Invalid(f"view_type is one of {', '.join(VIEWS)}, not {asked.view_type!r}")
    conditions, orders = parse_filter(asked.filter), parse_order(asked.order_by)
    chosen = [
        one
        for one in list_experiments(home)
        if one.lifecycle in VIEWS[asked.view_type]
        and all(holds(each, partial(lookup, attributes=_attributes(one), tags=one.tags)) for each in conditions)
    ]
    for order in reversed(orders):
        if order.key not in _attributes(Experiment("", "", "active", 0, 0)):
            raise Invalid(f"experiments cannot be ordered by {order.key!r}")
        chosen.sort(key=partial(_sortable, order.key), reverse=order.descending)
    page, token = page_of(chosen, asked.page_token, asked.max_results, key=lambda one: one.id)
    answer: Json = {"experiments": [experiment_shape(one) for one in page]}
    return {**answer, "next_page_token": token} if token else answer


def _sortable(key: str, experiment: Experiment) -> tuple[float, str]:
    value = _attributes(experiment)[key]
    return (0.0, value) if isinstance(value, str) else (value or 0.0, "")


def _attributes(experiment: Experiment) -> dict[str, Found]:
    return {
        "name": experiment.name, "experiment_id": experiment.id, "creation_time": float(experiment.created_ms),
        "last_update_time": float(experiment.updated_ms),
    }  # fmt: skip
