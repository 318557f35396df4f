"""Answers as rows of the database: those of earlier versions, and those that are logged one by one from elsewhere.

A row is its own record: it is never changed and never replaced. So there is no ledger entry for each, which would line
all writers up behind the ledger's end; anchors digest the rows themselves.
"""

from collections.abc import Iterable, Iterator

import msgspec

from taut.ground import wire
from taut.ground.meta import Row, Tx, Value
from taut.records import Prediction
from taut.serve.log.said import Columns
from taut.serve.log.segments import Answering
from taut.serve.log.spans import Span

FIELDS = "deployment, id, revision, model, number, at_ms, event_ms, row_count, inputs, outputs"
SELECT_ONE = f"SELECT {FIELDS} FROM prediction WHERE deployment = :deployment AND id = :id"  # noqa: S608  # Constants.
SELECT_BY_ID = f"SELECT {FIELDS} FROM prediction WHERE id = :id ORDER BY deployment LIMIT 1"  # noqa: S608
SELECT_SPAN = {
    dialect: f"""
SELECT {FIELDS} FROM prediction
WHERE deployment = :deployment AND event_ms >= :from_ms AND event_ms < :until_ms AND (:number = 0 OR number = :number)
  AND (:model = '' OR model = :model) AND (event_ms > :after_ms OR (event_ms = :after_ms AND id > :after_id{plain}))
ORDER BY event_ms, id{plain}
"""  # noqa: S608  # Constants.
    for dialect, plain in (("sqlite", ""), ("postgresql", ' COLLATE "C"'))
}
SELECT_COUNTS = "SELECT id, row_count FROM prediction WHERE deployment = :deployment AND id IN [:ids]"
SELECT_VERSIONS = """
SELECT revision, model, number, count(*), sum(row_count), min(event_ms), max(event_ms), max(at_ms)
FROM prediction WHERE deployment = :deployment AND event_ms >= :from_ms AND event_ms < :until_ms
GROUP BY revision, model, number
"""
SELECT_ANY = "SELECT 1 FROM prediction WHERE deployment = :deployment LIMIT 1"
SELECT_NEWEST = "SELECT max(at_ms) FROM prediction WHERE deployment = :deployment"
SELECT_DEPLOYMENTS = "SELECT DISTINCT deployment FROM prediction"
INSERT = """
INSERT INTO prediction (deployment, id, revision, model, number, at_ms, event_ms, row_count, inputs, outputs)
VALUES (:deployment, :id, :revision, :model, :number, :at_ms, :event_ms, :row_count, :inputs, :outputs)
ON CONFLICT (deployment, id) DO NOTHING
"""
LOOKUP = 10_000


def insert_row(tx: Tx, made: Prediction) -> bool:
    """Store an answer; False where the id has one already."""
    values: dict[str, Value] = {
        "deployment": made.deployment, "id": made.id, "revision": made.revision, "model": made.model,
        "number": made.number, "at_ms": made.at_ms, "event_ms": made.event_ms, "row_count": made.rows,
        "inputs": _text(made.inputs), "outputs": _text(made.outputs),
    }  # fmt: skip
    return bool(tx.execute(INSERT, values))


def row_by_id(tx: Tx, request_id: str, deployment: str) -> Prediction | None:
    """The answer to a request, of any deployment where none is said."""
    query = SELECT_ONE if deployment else SELECT_BY_ID
    found = tx.row(query, {"id": request_id, "deployment": deployment} if deployment else {"id": request_id})
    return None if found is None else _prediction(found)


def rows_in(tx: Tx, span: Span) -> Iterator[Prediction]:
    """The answers of a span in the order of event time and id, only some of them in memory."""
    if "live" in span.roles:
        after_ms, after_id = span.after or (span.from_ms - 1, "")
        chosen: dict[str, Value] = {
            "deployment": span.deployment, "from_ms": span.from_ms, "until_ms": span.until_ms, "number": span.number,
            "model": span.model, "after_ms": after_ms, "after_id": after_id,
        }  # fmt: skip
        yield from map(_prediction, tx.each(SELECT_SPAN[tx.dialect], chosen))


def deployments_in(tx: Tx) -> list[str]:
    """The deployments that have rows here."""
    return [str(name) for (name,) in tx.rows(SELECT_DEPLOYMENTS)]


def newest_row_ms(tx: Tx, deployment: str) -> int:
    """When the last row was answered, 0 where there is none."""
    row = tx.row(SELECT_NEWEST, {"deployment": deployment})
    return 0 if row is None or row[0] is None else int(str(row[0]))


def row_counts(tx: Tx, deployment: str, ids: Iterable[str]) -> dict[str, int]:
    """How many rows each of these requests has, of those that are here."""
    asked, found = sorted(ids), dict[str, int]()
    if len(asked) > LOOKUP and tx.row(SELECT_ANY, {"deployment": deployment}) is None:
        return found
    for start in range(0, len(asked), LOOKUP):
        some = asked[start : start + LOOKUP]
        rows = tx.rows(SELECT_COUNTS, {"deployment": deployment, "ids": some})
        found |= {str(name): int(str(count)) for name, count in rows}
    return found


def versions_in(tx: Tx, span: Span) -> list[Answering]:
    """Who answered events of a span, how much, and when."""
    chosen: dict[str, Value] = {"deployment": span.deployment, "from_ms": span.from_ms, "until_ms": span.until_ms}
    return [
        Answering(
            int(str(revision)), str(model), int(str(number)), "live", *(int(str(one)) for one in counts_and_times)
        )
        for revision, model, number, *counts_and_times in tx.rows(SELECT_VERSIONS, chosen)
    ]  # fmt: skip


def _text(columns: Columns) -> str:
    """JSON with the columns in the order they came in, so that a repeated answer is the first one to the byte."""
    return msgspec.json.encode(columns).decode()


def _prediction(row: Row) -> Prediction:
    deployment, request_id, revision, model, number, at_ms, event_ms, rows, inputs, outputs = row
    return Prediction(
        deployment=str(deployment), id=str(request_id), revision=int(str(revision)), model=str(model),
        number=int(str(number)), at_ms=int(str(at_ms)), event_ms=int(str(event_ms)), rows=int(str(rows)),
        inputs=wire.decode(str(inputs), Columns, what="stored inputs"),
        outputs=wire.decode(str(outputs), Columns, what="stored outputs"),
    )  # fmt: skip
