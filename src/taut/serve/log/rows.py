"""The verbs of the prediction log: one answer logged from elsewhere, found again by its id, listed by event time."""

from itertools import islice

from taut.deploy.rights import of_deployment
from taut.errors import Conflict, Invalid, NotFound
from taut.ground import wire
from taut.ground.access import ANY
from taut.home import Home, sight, verb
from taut.records import Prediction
from taut.serve.log.live import Live
from taut.serve.log.reading import open_log, open_logs, opened, reader_in
from taut.serve.log.said import REQUEST_ID, Columns
from taut.serve.log.spans import END_OF_TIME_MS, Span
from taut.serve.log.table import insert_row, row_by_id

PAGE = 100

SELECT_VERSION = """
SELECT model, number, (SELECT count(*) FROM prediction_segment WHERE prediction_segment.deployment = :deployment)
FROM deployment WHERE name = :deployment AND revision = :revision
"""


@verb("prediction.log", needs="deployment:predict", on=of_deployment)
def log_prediction(
    home: Home, deployment: str, request_id: str, revision: int, event_ms: int, inputs: Columns, outputs: Columns
) -> Prediction:
    """Write down what a revision answered; returns what is stored, which for a repeated id is the first answer.

    For whoever answers a few requests away from the machine that serves: each is a row of the home's database. The
    columns of `inputs` and `outputs` are of one length, the number of rows. Raises NotFound for an unknown revision,
    Invalid for columns of different lengths, Conflict where the id was used for other inputs.
    """
    if REQUEST_ID.fullmatch(request_id) is None:
        raise Invalid(f"{request_id!r} cannot be a request id; take up to 128 letters, digits and ._:/+=@-")
    rows = _rows_of(inputs, outputs)
    with opened([Live(home, deployment)]) as (live,), home.meta.transaction() as tx:
        version = tx.row(SELECT_VERSION, {"deployment": deployment, "revision": revision})
        if version is None:
            raise NotFound(f"deployment {deployment!r} has no revision {revision}", hint="taut status")
        stored = None if live.is_empty and not version[2] else reader_in(home, tx, live).find(request_id)
        if stored is None:
            made = Prediction(
                deployment, request_id, revision, str(version[0]), int(str(version[1])), home.clock.now_ms(), event_ms,
                rows, inputs, outputs,
            )  # fmt: skip
            if insert_row(tx, made):
                return made
            stored = row_by_id(tx, request_id, deployment)
    assert stored is not None, (deployment, request_id)
    return same_inputs(stored, inputs)


@verb("prediction.stored", needs="deployment:predict", on=of_deployment)
def find_answer(home: Home, deployment: str, request_id: str) -> Prediction | None:
    """What was answered to a request id before, None where it is new."""
    with open_log(home, deployment) as log:
        return log.find(request_id)


@verb("prediction.known", needs="deployment:predict", on=of_deployment)
def known_requests(home: Home, deployment: str, ids: list[str], only_sealed: bool = False) -> dict[str, int]:
    """How many rows each of these requests has, of those that a deployment answered.

    `only_sealed` leaves out what lies in the journals of the home's machine, and so in no segment yet.
    """
    with open_log(home, deployment) as log:
        return log.row_counts(ids, only_sealed=only_sealed)


@verb("prediction.show", needs="prediction:read", on=ANY)
def find_prediction(home: Home, prediction_id: str, deployment: str = "") -> Prediction:
    """The answered request that `ID.ROW` or `ID` names, of any deployment where none is said. Raises NotFound."""
    with open_logs(home, deployment) as logs:
        found = logs.find(prediction_id)
    if found is None or not sight(home, "deployment", "prediction:read").sees(found[0].deployment):
        where = f" by deployment {deployment!r}" if deployment else ""
        raise NotFound(f"no prediction {prediction_id!r} was ever answered{where}", hint="taut status")
    return found[0]


@verb("prediction.list", needs="prediction:read", on=of_deployment)
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
    with open_log(home, deployment) as log:
        last = log.find(after) if after else None
        if after and last is None:
            raise NotFound(f"deployment {deployment!r} never answered a request {after!r}")
        begin = None if last is None else (last.event_ms, last.id)
        return list(islice(log.requests(Span(deployment, from_event_ms, until_event_ms, number, after=begin)), limit))


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
