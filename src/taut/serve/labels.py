"""Labels: what turned out to be true, joined to predictions by their ids, at any later time and in any order."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.meta import Tx, Value
from taut.ground.whole import read_whole
from taut.home import Home, verb
from taut.serve.log import END_OF_TIME_MS, Columns

# Ids of one look-up. The statement is a constant, so it is prepared once; SQLite takes 32,766 parameters at most.
LOOKUP = 500
_IDS = ", ".join(f":id{place}" for place in range(LOOKUP))
SELECT_ROW_COUNTS = f"SELECT id, row_count FROM prediction WHERE deployment = :deployment AND id IN ({_IDS})"  # noqa: S608  # Names of parameters only.
SELECT_LABELS = f"SELECT id, row_index, value FROM label WHERE deployment = :deployment AND id IN ({_IDS})"  # noqa: S608  # Names of parameters only.
UPSERT = """
INSERT INTO label (deployment, id, row_index, value, at_ms) VALUES (:deployment, :id, :row, :value, :at_ms)
ON CONFLICT (deployment, id, row_index) DO UPDATE SET value = excluded.value, at_ms = excluded.at_ms
"""
SELECT_ROWS = """
SELECT id, number, event_ms, row_count, inputs, outputs FROM prediction
WHERE deployment = :deployment AND event_ms >= :from_ms AND event_ms < :until_ms AND (:number = 0 OR number = :number)
  AND (:model = '' OR model = :model)
ORDER BY event_ms, id
"""
SELECT_LABELS_BETWEEN = """
SELECT label.id, label.row_index, label.value FROM prediction
JOIN label ON label.deployment = prediction.deployment AND label.id = prediction.id
WHERE prediction.deployment = :deployment AND prediction.event_ms >= :from_ms AND prediction.event_ms < :until_ms
  AND (:number = 0 OR prediction.number = :number) AND (:model = '' OR prediction.model = :model)
"""
SELECT_TRAFFIC = """
SELECT count(*), sum(row_count), min(event_ms), max(event_ms),
       (SELECT count(*) FROM label WHERE label.deployment = :deployment)
FROM prediction WHERE deployment = :deployment
"""


@dataclass(frozen=True, slots=True)
class LabelsLogged:
    """What a call changed: labels that are `new`, that `changed` their value, and that were known already."""

    new: int
    changed: int
    known: int


@dataclass(frozen=True, slots=True)
class PredictedRows:
    """Predictions by columns, one place a row, in the order of event time.

    `ids` are `ID.ROW`, `labels` None where nothing is known yet, `numbers` the versions of the model that answered.
    A column that some requests did not have is None there.
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
def log_labels(home: Home, deployment: str, labels: dict[str, float]) -> LabelsLogged:
    """Store what turned out to be true of predictions, by `ID.ROW`; all of them or none.

    The same label again changes nothing; another value replaces the old one. Raises Invalid where an id is of no
    prediction of this deployment or a value is not finite; it says how many and names the first.
    """
    wanted = {_split(prediction_id): value for prediction_id, value in labels.items()}
    if wrong := [f"{key} = {value}" for key, value in labels.items() if not math.isfinite(value)]:
        raise Invalid(f"{len(wrong)} labels are not finite numbers, the first is {wrong[0]}")
    with home.meta.transaction() as tx:
        ids = {request_id for request_id, _ in wanted}
        rows = {str(a): int(str(b)) for a, b in _look_up(tx, SELECT_ROW_COUNTS, deployment, ids)}
        unknown = [f"{request_id}.{row}" for request_id, row in wanted if row >= rows.get(request_id, 0)]
        if unknown:
            raise Invalid(
                f"{len(unknown)} of {len(wanted)} labels are of no prediction of {deployment!r}, the first is"
                f" {unknown[0]!r}; nothing was stored",
                hint=f"taut why {unknown[0]}",
            )
        found = _look_up(tx, SELECT_LABELS, deployment, ids)
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
    return _read_rows(home, deployment, from_event_ms, until_event_ms, number, model, labelled_only=False)


@verb("prediction.labelled", needs="prediction:read")
def labelled_rows(
    home: Home, deployment: str, from_event_ms: int = 0, until_event_ms: int = END_OF_TIME_MS, number: int = 0
) -> PredictedRows:
    """The same, of those predictions alone whose label is known."""
    return _read_rows(home, deployment, from_event_ms, until_event_ms, number, "", labelled_only=True)


@verb("prediction.traffic", needs="prediction:read")
def traffic(home: Home, deployment: str) -> Traffic:
    """How many requests and rows a deployment answered, how many rows are labelled, and between which event times."""
    with home.meta.read() as tx:
        found = tx.row(SELECT_TRAFFIC, {"deployment": deployment})
    assert found is not None, "an aggregate has one row"
    requests, rows, first, last, labelled = (None if value is None else int(str(value)) for value in found)
    return Traffic(requests or 0, rows or 0, labelled or 0, first, last)


def _split(prediction_id: str) -> tuple[str, int]:
    request_id, _, row = prediction_id.rpartition(".")
    if not request_id or not row.isdecimal():
        raise Invalid(f"{prediction_id!r} is no id of a prediction; it is REQUEST.ROW, as 7f3a.0")
    return request_id, read_whole(row, what=f"the row of {request_id!r}")


def _look_up(tx: Tx, statement: str, deployment: str, ids: Iterable[str]) -> Iterator[tuple[Value, ...]]:
    """The rows of a statement for any number of ids; the last ones are filled up with one that is asked for anyway."""
    asked = sorted(ids)
    for start in range(0, len(asked), LOOKUP):
        some = asked[start : start + LOOKUP]
        some += some[-1:] * (LOOKUP - len(some))
        yield from tx.rows(
            statement, {"deployment": deployment, **{f"id{place}": one for place, one in enumerate(some)}}
        )


def _read_rows(
    home: Home, deployment: str, from_ms: int, until_ms: int, number: int, model: str, *, labelled_only: bool
) -> PredictedRows:
    chosen: dict[str, Value] = {
        "deployment": deployment, "from_ms": from_ms, "until_ms": until_ms, "number": number, "model": model,
    }  # fmt: skip
    with home.meta.read() as tx:
        answered = tx.rows(SELECT_ROWS, chosen)
        labelled = tx.rows(SELECT_LABELS_BETWEEN, chosen)
    labels: dict[str, dict[int, float]] = {}
    for request_id, row, value in labelled:
        labels.setdefault(str(request_id), {})[int(str(row))] = float(str(value))
    result = PredictedRows([], [], [], [], {}, {})
    for request_id, version, event_ms, count, inputs, outputs in answered:
        known = labels.get(str(request_id), {})
        rows = sorted(known) if labelled_only else range(int(str(count)))
        if rows:
            _extend(result.inputs, wire.decode(str(inputs), Columns), rows, len(result.ids))
            _extend(result.outputs, wire.decode(str(outputs), Columns), rows, len(result.ids))
            result.ids.extend(f"{request_id}.{row}" for row in rows)
            result.event_ms.extend([int(str(event_ms))] * len(rows))
            result.numbers.extend([int(str(version))] * len(rows))
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
