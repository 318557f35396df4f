"""Records of evaluation datasets: what is asked, what should be answered, each question once however often it is sent.

Their JSON is Python's, in which MLflow's clients write not-a-number too; it is kept as it came.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from taut.errors import Invalid
from taut.ground.clock import new_id
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, verb
from taut.runs.evaluation import USER_TAG, evaluation_in, locked_evaluation
from taut.runs.pages import check_page_size, read_token, token_of

PAGE = 1000
SOURCES = ("UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE")
PARTS = ("inputs", "outputs", "expectations")

SELECT_KNOWN = """
SELECT input_hash, id, outputs, expectations, tags, updated_by FROM evaluation_record
WHERE dataset_id = :id AND input_hash IN [:hashes]
"""
SELECT_NEXT_NUMBER = "SELECT next_number FROM evaluation_dataset WHERE id = :id"
INSERT = """
INSERT INTO evaluation_record (id, dataset_id, number, input_hash, inputs, outputs, expectations, tags, source,
    created_ms, updated_ms, created_by, updated_by)
VALUES (:id, :dataset_id, :number, :hash, :inputs, :outputs, :expectations, :tags, :source, :at_ms, :at_ms, :by, :by)
"""
UPDATE = """
UPDATE evaluation_record SET outputs = :outputs, expectations = :expectations, tags = :tags, updated_ms = :at_ms,
    updated_by = :by
WHERE id = :id
"""
SET_COLUMNS = """
UPDATE evaluation_dataset SET columns = :columns, next_number = :next, updated_by = :by WHERE id = :id
"""
SELECT_PAGE = """
SELECT number, id, inputs, outputs, expectations, tags, source, created_ms, updated_ms, created_by, updated_by
FROM evaluation_record WHERE dataset_id = :id AND number > :after ORDER BY number LIMIT :limit
"""
DELETE = "DELETE FROM evaluation_record WHERE dataset_id = :id AND id IN [:records]"


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One record. `source` says where it came from: `source_type` and `source_data`; empty where nobody said."""

    id: str
    dataset_id: str
    inputs: dict[str, Any]
    outputs: Any
    expectations: dict[str, Any] | None
    tags: dict[str, Any]
    source: dict[str, Any]
    created_ms: int
    updated_ms: int
    created_by: str
    updated_by: str


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records in the order in which they were added; `next_page` is empty on the last page."""

    records: tuple[EvaluationRecord, ...]
    next_page: str = ""


@dataclass(frozen=True, slots=True)
class Merged:
    """How many records were new, and how many of what was sent went into those that were there."""

    inserted: int
    updated: int


@verb("evaluation.merge", needs="dataset:write")
def merge_records(home: Home, dataset_id: str, records: list[dict[str, Any]]) -> Merged:
    """Add records, all or none; one whose inputs are there already is merged into it.

    Of what is merged, outputs take the place of the old ones; expectations and tags are added to them. Raises
    NotFound for the dataset, Invalid for what is no record, with its place in the list.
    """
    for place, record in enumerate(records):
        _check(record, place)
    at_ms = home.clock.now_ms()
    with home.meta.transaction() as tx:
        dataset = locked_evaluation(home, tx, dataset_id)
        new, changed = _merged(tx, dataset_id, records, default_by=home.actor.name)
        row = tx.row(SELECT_NEXT_NUMBER, {"id": dataset_id})
        assert row is not None, dataset_id
        first = cast("int", row[0])
        tx.executemany(INSERT, [
            {**one, "dataset_id": dataset_id, "number": first + place, "at_ms": at_ms} for place, one in enumerate(new)
        ])  # fmt: skip
        tx.executemany(UPDATE, [{**one, "at_ms": at_ms} for one in changed])
        by = next((str(tags[USER_TAG]) for one in reversed(records) if USER_TAG in (tags := one.get("tags") or {})), "")
        columns = _written(_columns(dataset.columns, records)) if records else dataset.columns
        tx.execute(SET_COLUMNS, {
            "id": dataset_id, "columns": columns, "next": first + len(new), "by": by or home.actor.name,
        })  # fmt: skip
        merged = Merged(len(new), len(records) - len(new))
        body = {"inserted": merged.inserted, "updated": merged.updated}
        home.append(tx, "evaluation.merged", subject=f"evaluation:{dataset_id}", body=body)
    return merged


@verb("evaluation.records", needs="dataset:content")
def list_records(home: Home, dataset_id: str, *, max_results: int = PAGE, page_token: str = "") -> RecordPage:
    """A page of the records of a dataset, in the order in which they were added. Raises NotFound."""
    check_page_size(max_results)
    (after,) = read_token(page_token, length=1) or [-1]
    if not isinstance(after, int):
        raise Invalid(f"{page_token[:40]!r} is no page token of this server")
    with home.meta.read() as tx:
        evaluation_in(tx, dataset_id)
        rows = tx.rows(SELECT_PAGE, {"id": dataset_id, "after": after, "limit": max_results + 1})
    page = rows[:max_results]
    records = tuple(_record(dataset_id, row) for row in page)
    return RecordPage(records, token_of([page[-1][0]]) if len(rows) > max_results else "")


@verb("evaluation.forget", needs="dataset:write")
def delete_records(home: Home, dataset_id: str, record_ids: list[str]) -> int:
    """Take records away; returns how many were there. Raises NotFound for the dataset."""
    with home.meta.transaction() as tx:
        locked_evaluation(home, tx, dataset_id)
        gone = tx.execute(DELETE, {"id": dataset_id, "records": record_ids})
        home.append(tx, "evaluation.forgot", subject=f"evaluation:{dataset_id}", body={"records": gone})
    return gone


def _merged(
    tx: Tx, dataset_id: str, records: Sequence[dict[str, Any]], *, default_by: str
) -> tuple[list[dict[str, Value]], list[dict[str, Value]]]:
    """Rows to insert and rows to update, each question once."""
    hashes = [hashlib.sha256(_written(record["inputs"]).encode()).hexdigest() for record in records]
    known = _known(tx, dataset_id, list(dict.fromkeys(hashes)))
    new: dict[str, dict[str, Value]] = {}
    changed: dict[str, dict[str, Value]] = {}
    for key, record in zip(hashes, records, strict=True):
        tags = record.get("tags") or {}
        old = new.get(key) or changed.get(key) or known.get(key)
        if old is None:
            new[key] = {
                "id": f"dr-{new_id()}", "hash": key, "by": str(tags.get(USER_TAG, default_by)),
                "outputs": _written(record.get("outputs", {})), "tags": _written(tags),
                **{part: _written(record.get(part)) for part in ("inputs", "expectations")},
                "source": _written(_source(record.get("source"))),
            }  # fmt: skip
            continue
        row = {
            **old, "outputs": _written(record["outputs"]) if "outputs" in record else old["outputs"],
            "expectations": _added(old["expectations"], record.get("expectations")),
            "tags": _added(old["tags"], tags), "by": str(tags.get(USER_TAG, old["by"])),
        }  # fmt: skip
        (new if key in new else changed)[key] = row
    return list(new.values()), list(changed.values())


def _known(tx: Tx, dataset_id: str, hashes: list[str]) -> dict[str, dict[str, Value]]:
    rows = tx.rows(SELECT_KNOWN, {"id": dataset_id, "hashes": hashes})
    return {
        str(key): {"id": record_id, "outputs": outputs, "expectations": expectations, "tags": tags, "by": by}
        for key, record_id, outputs, expectations, tags, by in rows
    }


def _added(old: Value, more: Mapping[str, Any] | None) -> Value:
    return _written({**(json.loads(str(old)) or {}), **more}) if more else old


def _check(record: object, place: int) -> None:
    if not isinstance(record, dict) or not isinstance(record.get("inputs"), dict):
        raise Invalid(f"record {place} must be an object with inputs, which are an object too")
    for part in ("expectations", "tags", "source"):
        if record.get(part) is not None and not isinstance(record[part], dict):
            raise Invalid(f"{part} of record {place} must be an object")
    source = record.get("source") or {}
    kind, data = source.get("source_type", "UNSPECIFIED"), source.get("source_data") or {}
    if str(kind).upper() not in SOURCES or not isinstance(data, dict):
        raise Invalid(f"the source of record {place} must have a source_type of {', '.join(SOURCES)} and source_data")
    try:
        _written(record)
    except RecursionError:
        raise Invalid(f"record {place} is nested too deeply") from None


def _source(said: Mapping[str, Any] | None) -> dict[str, Any]:
    if not said:
        return {}
    kind = str(said.get("source_type", "UNSPECIFIED")).upper()
    return {"source_type": kind, "source_data": said.get("source_data") or {}}


def _columns(written: str, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the records hold, as MLflow describes it: the kind that each field had when it was first seen."""
    columns: dict[str, Any] = json.loads(written) if written else {**{part: {} for part in PARTS}, "version": "1.0"}
    for record in records:
        for part in PARTS:
            value = record.get(part)
            if isinstance(value, dict) and isinstance(columns[part], dict):
                columns[part] = {**{name: _kind(one) for name, one in value.items()}, **columns[part]}
            elif value is not None and not columns[part]:
                columns[part] = _kind(value)
    return columns


def _kind(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", float: "float", str: "string", list: "array", dict: "object"}
    return "null" if value is None else kinds.get(type(value), "unknown")


def _written(value: object) -> str:
    """JSON in one form, in ASCII: whatever character a user wrote, every database can keep it."""
    return json.dumps(value, sort_keys=True)


def _record(dataset_id: str, row: Row) -> EvaluationRecord:
    _, record_id, inputs, outputs, expectations, tags, source, created_ms, updated_ms, created_by, updated_by = row
    read = {
        part: json.loads(str(written))
        for part, written in zip((*PARTS, "tags", "source"), (inputs, outputs, expectations, tags, source), strict=True)
    }
    return EvaluationRecord(
        id=str(record_id), dataset_id=dataset_id, created_ms=cast("int", created_ms),
        updated_ms=cast("int", updated_ms), created_by=str(created_by), updated_by=str(updated_by), **read,
    )  # fmt: skip
