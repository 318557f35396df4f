"""The prediction log: one row for each answered request, written before the answer leaves, found again by its id.

The row is its own record: it names deployment, revision, model and version, is never changed and never replaced. So
there is no ledger entry for each, which would line all writers up behind the ledger's end and end group commit.
"""

import re

import msgspec

from taut.errors import Conflict, Invalid, NotFound
from taut.ground import wire
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, verb
from taut.records import Prediction

ROW_DIGITS_MAX = 19  # More digits may be past 64 bits: part of an id, then, and not a row.
Columns = dict[str, list[str | float | int | bool | None]]

# Ids travel in URLs, headers and `ID.ROW`; what they may not hold would make those ambiguous or unprintable.
REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
END_OF_TIME_MS = 253_402_300_800_000  # The year 10000: later than any date that ISO 8601 writes without a sign.
PAGE = 100

SELECT = "SELECT deployment, id, revision, model, number, at_ms, event_ms, row_count, inputs, outputs FROM prediction "
SELECT_ONE = SELECT + "WHERE deployment = :deployment AND id = :id"
SELECT_BY_ID = SELECT + "WHERE id = :id AND (:deployment = '' OR deployment = :deployment) ORDER BY deployment LIMIT 1"
SELECT_PAGE = (
    SELECT
    + """
WHERE deployment = :deployment AND event_ms >= :from_ms AND event_ms < :until_ms AND (:number = 0 OR number = :number)
  AND (event_ms > :after_ms OR (event_ms = :after_ms AND id > :after_id))
ORDER BY event_ms, id LIMIT :limit
"""
)
SELECT_EVENT = "SELECT event_ms FROM prediction WHERE deployment = :deployment AND id = :id"
SELECT_VERSION = "SELECT model, number FROM deployment WHERE name = :deployment AND revision = :revision"
INSERT = """
INSERT INTO prediction (deployment, id, revision, model, number, at_ms, event_ms, row_count, inputs, outputs)
VALUES (:deployment, :id, :revision, :model, :number, :at_ms, :event_ms, :row_count, :inputs, :outputs)
ON CONFLICT (deployment, id) DO NOTHING
"""


@verb("prediction.log", needs="deployment:predict")
def log_prediction(
    home: Home, deployment: str, request_id: str, revision: int, event_ms: int, inputs: Columns, outputs: Columns
) -> Prediction:
    """Write down what a revision answered; returns what is stored, which for a repeated id is the first answer.

    The columns of `inputs` and `outputs` are of one length, the number of rows. Raises NotFound for an unknown
    revision, Invalid for columns of different lengths, Conflict where the id was used for other inputs.
    """
    if REQUEST_ID.fullmatch(request_id) is None:
        raise Invalid(f"{request_id!r} cannot be a request id; take up to 128 letters, digits and ._:/+=@-")
    rows = _rows_of(inputs, outputs)
    with home.meta.transaction() as tx:
        version = tx.row(SELECT_VERSION, {"deployment": deployment, "revision": revision})
        if version is None:
            raise NotFound(f"deployment {deployment!r} has no revision {revision}", hint="taut status")
        made = Prediction(
            deployment, request_id, revision, str(version[0]), int(str(version[1])), home.clock.now_ms(), event_ms,
            rows, inputs, outputs,
        )  # fmt: skip
        if tx.execute(INSERT, _values(made)):
            return made
        stored = _one(tx, deployment, request_id)
    assert stored is not None, (deployment, request_id)
    return same_inputs(stored, inputs)


@verb("prediction.stored", needs="deployment:predict")
def find_answer(home: Home, deployment: str, request_id: str) -> Prediction | None:
    """What was answered to a request id before, None where it is new."""
    with home.meta.read() as tx:
        return _one(tx, deployment, request_id)


@verb("prediction.show", needs="prediction:read")
def find_prediction(home: Home, prediction_id: str, deployment: str = "") -> Prediction:
    """The answered request that `ID.ROW` or `ID` names, of any deployment where none is said. Raises NotFound."""
    head, dot, row = prediction_id.rpartition(".")
    with home.meta.read() as tx:
        if dot and row.isdecimal() and len(row) < ROW_DIGITS_MAX:
            found = tx.row(SELECT_BY_ID, {"id": head, "deployment": deployment})
            if found is not None and int(row) < int(str(found[7])):
                return _prediction(found)
        found = tx.row(SELECT_BY_ID, {"id": prediction_id, "deployment": deployment})
    if found is None:
        where = f" by deployment {deployment!r}" if deployment else ""
        raise NotFound(f"no prediction {prediction_id!r} was ever answered{where}", hint="taut status")
    return _prediction(found)


@verb("prediction.list", needs="prediction:read")
def list_predictions(
    home: Home,
    deployment: str,
    from_event_ms: int = 0,
    until_event_ms: int = END_OF_TIME_MS,
    number: int = 0,
    after: str = "",
    limit: int = PAGE,
) -> list[Prediction]:
    """A page of answered requests in the order of their event times, of one model version where `number` is not 0.

    `from_event_ms` belongs to the range, `until_event_ms` does not. `after` is the id of the last request of the page
    before. Raises NotFound where that id is unknown.
    """
    chosen: dict[str, Value] = {
        "deployment": deployment, "from_ms": from_event_ms, "until_ms": until_event_ms, "number": number,
        "after_ms": -END_OF_TIME_MS, "after_id": after, "limit": limit,
    }  # fmt: skip
    with home.meta.read() as tx:
        if after:
            last = tx.row(SELECT_EVENT, {"deployment": deployment, "id": after})
            if last is None:
                raise NotFound(f"deployment {deployment!r} never answered a request {after!r}")
            chosen["after_ms"] = last[0]
        return [_prediction(row) for row in tx.rows(SELECT_PAGE, chosen)]


def same_inputs(stored: Prediction, inputs: Columns) -> Prediction:
    """The stored answer, where it was given to these inputs; else Conflict. Columns may stand in another order."""
    if wire.text(stored.inputs) != wire.text(inputs):
        raise Conflict(
            f"request id {stored.id!r} was used for other inputs before; an id names one request for good",
            hint="send the request with a new id, or without one",
        )
    return stored


def _rows_of(inputs: Columns, outputs: Columns) -> int:
    lengths = {name: len(values) for name, values in (*inputs.items(), *outputs.items())}
    if not inputs or not outputs or len(set(lengths.values())) != 1:
        raise Invalid(f"inputs and outputs need columns of one length, got {lengths}")
    return next(iter(lengths.values()))


def _values(made: Prediction) -> dict[str, Value]:
    return {
        "deployment": made.deployment, "id": made.id, "revision": made.revision, "model": made.model,
        "number": made.number, "at_ms": made.at_ms, "event_ms": made.event_ms, "row_count": made.rows,
        "inputs": _text(made.inputs), "outputs": _text(made.outputs),
    }  # fmt: skip


def _text(columns: Columns) -> str:
    """JSON with the columns in the order they came in, so that a repeated answer is the first one to the byte."""
    return msgspec.json.encode(columns).decode()


def _one(tx: Tx, deployment: str, request_id: str) -> Prediction | None:
    found = tx.row(SELECT_ONE, {"deployment": deployment, "id": request_id})
    return None if found is None else _prediction(found)


def _prediction(row: Row) -> Prediction:
    deployment, request_id, revision, model, number, at_ms, event_ms, rows, inputs, outputs = row
    return Prediction(
        deployment=str(deployment), id=str(request_id), revision=int(str(revision)), model=str(model),
        number=int(str(number)), at_ms=int(str(at_ms)), event_ms=int(str(event_ms)), rows=int(str(rows)),
        inputs=wire.decode(str(inputs), Columns, what="stored inputs"),
        outputs=wire.decode(str(outputs), Columns, what="stored outputs"),
    )  # fmt: skip
