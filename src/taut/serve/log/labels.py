"""Labels: what turned out to be true, joined to predictions by their ids, at any later time and in any order."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from taut.errors import Invalid
from taut.ground.meta import Tx
from taut.ground.whole import read_whole
from taut.home import Home, verb
from taut.serve.log.batch_ids import prediction_id, requests_named
from taut.serve.log.live import Live
from taut.serve.log.reading import open_log, opened, reader_in
from taut.serve.log.said import Columns
from taut.serve.log.spans import ANSWERED, END_OF_TIME_MS, Span

SELECT_LABELS = "SELECT id, row_index, value FROM label WHERE deployment = :deployment AND id IN [:ids]"
SELECT_LABELLED = "SELECT count(*) FROM label WHERE deployment = :deployment"
UPSERT = """
INSERT INTO label (deployment, id, row_index, value, at_ms) VALUES (:deployment, :id, :row, :value, :at_ms)
ON CONFLICT (deployment, id, row_index) DO UPDATE SET value = excluded.value, at_ms = excluded.at_ms
"""


TOGETHER = 500  # Requests whose labels are looked up at once.


@dataclass(frozen=True, slots=True)
class LabelsLogged:
    """What a call changed: labels that are `new`, that `changed` their value, and that were known already."""

    new: int
    changed: int
    known: int


@dataclass(frozen=True, slots=True)
class PredictedRows:
    """Predictions by columns, one place a row, in the order of event time.

    `ids` are `ID.ROW`, of a batch `JOB.PART.ROW`; `labels` None where nothing is known yet, `numbers` the versions of
    the model that answered. A column that some requests did not have is None there.
    """

    ids: list[str]
    event_ms: list[int]
    numbers: list[int]
    labels: list[float | None]
    inputs: Columns
    outputs: Columns


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much a deployment answered, and the range of its event times; None where it never did."""

    requests: int
    rows: int
    labelled: int
    first_event_ms: int | None
    last_event_ms: int | None


@verb("label.log", needs="feedback:write")
def log_labels(home: Home, deployment: str, labels: dict[str, float], early: bool = False) -> LabelsLogged:
    """Store what turned out to be true of predictions, by `ID.ROW`, of a batch by `JOB.PART.ROW`; all of them or none.

    The same label again changes nothing; another value replaces the old one. With `early` labels are kept though their
    prediction is not here yet, as one that another machine has not sealed. Raises Invalid where an id is of no
    prediction of this deployment or a value is not finite; it says how many and names the first.
    """
    split = [_split(one) for one in labels]
    if wrong := [f"{key} = {value}" for key, value in labels.items() if not math.isfinite(value)]:
        raise Invalid(f"{len(wrong)} labels are not finite numbers, the first is {wrong[0]}")
    with opened([Live(home, deployment)]) as (live,), home.meta.transaction() as tx:
        wanted = dict(zip(requests_named(tx, split), labels.values(), strict=True))
        ids = sorted({request_id for request_id, _ in wanted})
        rows = {} if early else reader_in(home, tx, live).row_counts(ids)
        unknown = [f"{request_id}.{row}" for request_id, row in wanted if row >= rows.get(request_id, 0)]
        if unknown and not early:
            raise Invalid(
                f"{len(unknown)} of {len(wanted)} labels are of no prediction of {deployment!r}, the first is"
                f" {unknown[0]!r}; nothing was stored",
                hint=f"taut why {unknown[0]}",
            )
        found = tx.rows(SELECT_LABELS, {"deployment": deployment, "ids": ids})
        before = {(str(a), int(str(b))): float(str(c)) for a, b, c in found}
        due = {key: value for key, value in wanted.items() if before.get(key) != value}
        at_ms = home.clock.now_ms()
        tx.executemany(
            UPSERT,
            (
                {"deployment": deployment, "id": request_id, "row": row, "value": value, "at_ms": at_ms}
                for (request_id, row), value in due.items()
            ),
        )
        new = sum(key not in before for key in due)
        logged = LabelsLogged(new, len(due) - new, len(wanted) - len(due))
        if due:
            home.append(tx, "label.logged", subject=f"deployment:{deployment}", body=logged)
    return logged


@verb("prediction.rows", needs="prediction:read")
def predicted_rows(
    home: Home,
    deployment: str,
    from_event_ms: int = 0,
    until_event_ms: int = END_OF_TIME_MS,
    number: int = 0,
    model: str = "",
) -> PredictedRows:
    """All predictions with event times in a range, row by row, with their labels where they are known.

    `from_event_ms` belongs to the range, `until_event_ms` does not; `model` picks one model, `number` one version
    of it, 0 all.
    """
    span = Span(deployment, from_event_ms, until_event_ms, number, model)
    return _read_rows(home, span, labelled_only=False)


@verb("prediction.labelled", needs="prediction:read")
def labelled_rows(
    home: Home, deployment: str, from_event_ms: int = 0, until_event_ms: int = END_OF_TIME_MS, number: int = 0
) -> PredictedRows:
    """The same, of those predictions alone whose label is known."""
    return _read_rows(home, Span(deployment, from_event_ms, until_event_ms, number), labelled_only=True)


@verb("prediction.traffic", needs="prediction:read")
def traffic(home: Home, deployment: str) -> Traffic:
    """How many requests and rows a deployment answered, how many rows are labelled, and between which event times."""
    with open_log(home, deployment) as log:
        sent = [one for one in log.versions() if one.role in ANSWERED]
        found = log.tx.row(SELECT_LABELLED, {"deployment": deployment})
    return Traffic(
        sum(one.requests for one in sent),
        sum(one.rows for one in sent),
        0 if found is None else int(str(found[0])),
        min((one.first_event_ms for one in sent), default=None),
        max((one.last_event_ms for one in sent), default=None),
    )


def _split(prediction_id: str) -> tuple[str, int]:
    request_id, _, row = prediction_id.rpartition(".")
    if not request_id or not row.isdecimal():
        raise Invalid(f"{prediction_id!r} is no id of a prediction; it is REQUEST.ROW, as 7f3a.0")
    return request_id, read_whole(row, what=f"the row of {request_id!r}")


def _labels_of(tx: Tx, deployment: str, ids: list[str]) -> dict[str, dict[int, float]]:
    labels: dict[str, dict[int, float]] = {}
    for request_id, row, value in tx.rows(SELECT_LABELS, {"deployment": deployment, "ids": ids}):
        labels.setdefault(str(request_id), {})[int(str(row))] = float(str(value))
    return labels


def _read_rows(home: Home, span: Span, *, labelled_only: bool) -> PredictedRows:
    result = PredictedRows([], [], [], [], {}, {})
    with open_log(home, span.deployment) as log:
        answered = log.requests(span)
        while some := list(islice(answered, TOGETHER)):
            labels = _labels_of(log.tx, span.deployment, [one.id for one in some])
            for one in some:
                known = labels.get(one.id, {})
                rows = [row for row in sorted(known) if row < one.rows] if labelled_only else range(one.rows)
                if rows:
                    _extend(result.inputs, one.inputs, rows, len(result.ids))
                    _extend(result.outputs, one.outputs, rows, len(result.ids))
                    result.ids.extend(prediction_id(one, row) for row in rows)
                    result.event_ms.extend([one.event_ms] * len(rows))
                    result.numbers.extend([one.number] * len(rows))
                    result.labels.extend(known.get(row) for row in rows)
    return result


def _extend(columns: Columns, more: Columns, rows: Iterable[int], height: int) -> None:
    """Add some rows of some columns below `height` rows of ours; what either side lacks is None."""
    chosen = list(rows)
    for name in more.keys() - columns.keys():
        columns[name] = [None] * height
    for name, values in columns.items():
        found = more.get(name)
        values.extend([None] * len(chosen) if found is None else [found[row] for row in chosen])
