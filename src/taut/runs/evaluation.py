"""Evaluation datasets: names, tags and experiments of the records that applications are judged by."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.clock import new_id
from taut.ground.meta import Row, Tx
from taut.home import Home, verb
from taut.runs.experiments import read_experiment
from taut.runs.filters import Comparison, Found, Order, holds, lookup, parse_filter, parse_order
from taut.runs.pages import page_of

NAME_MAX = 255
TAG_KEY_MAX, TAG_VALUE_MAX = 250, 5000
PAGE = 1000
USER_TAG = "mlflow.user"
ORDERS = ("name", "created_time", "last_update_time")

INSERT = """
INSERT INTO evaluation_dataset
    (id, name, tags, columns, changes, next_number, created_ms, updated_ms, created_by, updated_by)
VALUES (:id, :name, :tags, '', 0, 0, :at_ms, :at_ms, :by, :by)
"""
SELECT = """
SELECT id, name, tags, columns, changes, created_ms, updated_ms, created_by, updated_by,
    (SELECT count(*) FROM evaluation_record WHERE dataset_id = evaluation_dataset.id)
FROM evaluation_dataset
"""
BY_ID = f"{SELECT} WHERE id = :id"  # Constants only.
# Whoever changes a dataset takes its row first, so that two who do so at once keep both.
LOCK = "UPDATE evaluation_dataset SET changes = changes + 1, updated_ms = :at_ms WHERE id = :id"
SET_TAGS = "UPDATE evaluation_dataset SET tags = :tags WHERE id = :id"
SELECT_LINKS = "SELECT dataset_id, experiment_id FROM evaluation_experiment WHERE :id = '' OR dataset_id = :id"
LINK = """
INSERT INTO evaluation_experiment (dataset_id, experiment_id) VALUES (:id, :experiment_id)
ON CONFLICT (dataset_id, experiment_id) DO NOTHING
"""
UNLINK = "DELETE FROM evaluation_experiment WHERE dataset_id = :id AND experiment_id = :experiment_id"
DELETES = (
    "DELETE FROM evaluation_record WHERE dataset_id = :id",
    "DELETE FROM evaluation_experiment WHERE dataset_id = :id",
    "DELETE FROM evaluation_dataset WHERE id = :id",
)


@dataclass(frozen=True, slots=True)
class EvaluationDataset:
    """A dataset without its records: `columns` says what they hold, as JSON, and is empty before there was one."""

    id: str
    name: str
    columns: str
    digest: str
    created_ms: int
    updated_ms: int
    created_by: str
    updated_by: str
    row_count: int
    tags: dict[str, str] = field(default_factory=dict)
    experiment_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """Evaluation datasets; `next_page` is empty on the last page."""

    datasets: tuple[EvaluationDataset, ...]
    next_page: str = ""


@verb("evaluation.create", needs="dataset:write")
def create_evaluation(
    home: Home, name: str, *, tags: dict[str, str] | None = None, experiment_ids: list[str] | None = None
) -> EvaluationDataset:
    """Make an empty dataset; a name may be given twice, as MLflow has it. Raises NotFound for an experiment."""
    if not name.strip() or len(name) > NAME_MAX:
        raise Invalid(f"the name of an evaluation dataset has 1 to {NAME_MAX} characters, this has {len(name)}")
    _check_tags(tags or {})
    dataset_id = f"d-{new_id()}"
    with home.meta.transaction() as tx:
        tx.execute(INSERT, {
            "id": dataset_id, "name": name, "tags": wire.text(tags or {}), "at_ms": home.clock.now_ms(),
            "by": (tags or {}).get(USER_TAG, home.actor.name),
        })  # fmt: skip
        _link(tx, dataset_id, experiment_ids or [])
        home.append(tx, "evaluation.created", subject=f"evaluation:{dataset_id}", body={"name": name})
        return evaluation_in(tx, dataset_id)


@verb("evaluation.get", needs="dataset:read")
def get_evaluation(home: Home, dataset_id: str) -> EvaluationDataset:
    """One by its id. Raises NotFound."""
    with home.meta.read() as tx:
        return evaluation_in(tx, dataset_id)


@verb("evaluation.delete", needs="dataset:write")
def delete_evaluation(home: Home, dataset_id: str) -> None:
    """Take it away with its records; one that is not there is no error, as for MLflow's clients."""
    with home.meta.transaction() as tx:
        gone = [tx.execute(statement, {"id": dataset_id}) for statement in DELETES]
        if gone[-1]:
            home.append(tx, "evaluation.deleted", subject=f"evaluation:{dataset_id}", body={"records": gone[0]})


@verb("evaluation.search", needs="dataset:read")
def search_evaluations(
    home: Home,
    experiment_ids: list[str] | None = None,
    *,
    filter: str = "",
    order_by: list[str] | None = None,
    max_results: int = PAGE,
    page_token: str = "",
) -> EvaluationPage:
    """A page of those of some experiments, of all where none is said, that meet a filter; newest first."""
    conditions, orders = parse_filter(filter), parse_order(order_by or [])
    wanted = set(experiment_ids or [])
    with home.meta.read() as tx:
        links = _links(tx)
        found = [_dataset(row, links) for row in tx.rows(SELECT)]
    chosen = [one for one in found if not wanted or wanted & set(one.experiment_ids)]
    chosen = [one for one in chosen if all(holds(each, partial(_found, one)) for each in conditions)]
    chosen.sort(key=lambda one: (-one.created_ms, one.id))
    for order in reversed(orders):
        chosen.sort(key=lambda one, order=order: _value(order, one), reverse=order.descending)  # type: ignore[misc]
    page, token = page_of(chosen, page_token, max_results, key=lambda one: one.id)
    return EvaluationPage(tuple(page), token)


@verb("evaluation.tag", needs="dataset:write")
def tag_evaluation(home: Home, dataset_id: str, tags: dict[str, str | None]) -> EvaluationDataset:
    """Set tags; None takes one away, and one that is not there is no error. Raises NotFound for the dataset."""
    _check_tags({key: value for key, value in tags.items() if value is not None})
    with home.meta.transaction() as tx:
        dataset = locked_evaluation(home, tx, dataset_id)
        merged = {key: value for key, value in {**dataset.tags, **tags}.items() if value is not None}
        tx.execute(SET_TAGS, {"id": dataset_id, "tags": wire.text(merged)})
        home.append(tx, "evaluation.tagged", subject=f"evaluation:{dataset_id}", body={"keys": sorted(tags)})
        return evaluation_in(tx, dataset_id)


@verb("evaluation.link", needs="dataset:write")
def link_evaluation(home: Home, dataset_id: str, experiment_ids: list[str]) -> EvaluationDataset:
    """Say that it belongs to further experiments. Raises NotFound for the dataset or an experiment."""
    with home.meta.transaction() as tx:
        locked_evaluation(home, tx, dataset_id)
        _link(tx, dataset_id, experiment_ids)
        home.append(tx, "evaluation.linked", subject=f"evaluation:{dataset_id}", body={"experiments": experiment_ids})
        return evaluation_in(tx, dataset_id)


@verb("evaluation.unlink", needs="dataset:write")
def unlink_evaluation(home: Home, dataset_id: str, experiment_ids: list[str]) -> EvaluationDataset:
    """Say that it belongs to these experiments no more; to which it never did is no error. Raises NotFound."""
    with home.meta.transaction() as tx:
        locked_evaluation(home, tx, dataset_id)
        tx.executemany(UNLINK, [{"id": dataset_id, "experiment_id": one} for one in experiment_ids])
        home.append(tx, "evaluation.unlinked", subject=f"evaluation:{dataset_id}", body={"experiments": experiment_ids})
        return evaluation_in(tx, dataset_id)


def evaluation_in(tx: Tx, dataset_id: str) -> EvaluationDataset:
    """The dataset of that id. Raises NotFound."""
    row = tx.row(BY_ID, {"id": dataset_id})
    if row is None:
        raise NotFound(f"Evaluation dataset with id {dataset_id[:80]!r} not found")
    return _dataset(row, _links(tx, dataset_id))


def locked_evaluation(home: Home, tx: Tx, dataset_id: str) -> EvaluationDataset:
    """The dataset, its row held until the transaction ends, its digest moved on. Raises NotFound."""
    tx.execute(LOCK, {"id": dataset_id, "at_ms": home.clock.now_ms()})
    return evaluation_in(tx, dataset_id)


def _link(tx: Tx, dataset_id: str, experiment_ids: Iterable[str]) -> None:
    for experiment_id in experiment_ids:
        read_experiment(tx, experiment_id)
        tx.execute(LINK, {"id": dataset_id, "experiment_id": experiment_id})


def _links(tx: Tx, dataset_id: str = "") -> dict[str, list[str]]:
    links: dict[str, list[str]] = defaultdict(list)
    for one, experiment_id in tx.rows(f"{SELECT_LINKS} ORDER BY experiment_id", {"id": dataset_id}):
        links[str(one)].append(str(experiment_id))
    return links


def _check_tags(tags: Mapping[str, str]) -> None:
    for key, value in tags.items():
        if not 1 <= len(key) <= TAG_KEY_MAX or len(value) > TAG_VALUE_MAX:
            raise Invalid(
                f"tag {key[:40]!r} does not fit: a key has up to {TAG_KEY_MAX} characters, a value {TAG_VALUE_MAX}"
            )


def _found(dataset: EvaluationDataset, wanted: Comparison) -> Found:
    return lookup(wanted, _attributes(dataset), dataset.tags)


def _value(order: Order, dataset: EvaluationDataset) -> Any:
    if order.entity != "attribute" or order.key not in ORDERS:
        raise Invalid(f"evaluation datasets are ordered by {', '.join(ORDERS)}, not by {order.key!r}")
    return _attributes(dataset)[order.key]


def _attributes(dataset: EvaluationDataset) -> dict[str, Found]:
    return {
        "name": dataset.name, "created_time": float(dataset.created_ms), "created_by": dataset.created_by or None,
        "last_update_time": float(dataset.updated_ms), "last_updated_by": dataset.updated_by or None,
    }  # fmt: skip


def _dataset(row: Row, links: Mapping[str, list[str]]) -> EvaluationDataset:
    dataset_id, name, tags, columns, changes, created_ms, updated_ms, created_by, updated_by, row_count = row
    digest = hashlib.sha256(f"{dataset_id}:{changes}".encode()).hexdigest()[:8]
    return EvaluationDataset(
        str(dataset_id), str(name), str(columns), digest, cast("int", created_ms), cast("int", updated_ms),
        str(created_by), str(updated_by), cast("int", row_count), wire.decode(str(tags), dict[str, str]),
        tuple(links.get(str(dataset_id), ())),
    )  # fmt: skip
