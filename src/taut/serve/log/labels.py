"""Labels: what turned out to be true, joined to predictions by their ids, at any later time and in any order."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from taut.deploy.rights import of_deployment
from taut.errors import Invalid
from taut.ground.whole import read_whole
from taut.home import Home, verb
from taut.serve.log.batch_ids import prediction_id
from taut.serve.log.labelling import Labels, labels_of, store_labels
from taut.serve.log.reading import open_log
from taut.serve.log.said import Columns
from taut.serve.log.spans import ANSWERED, END_OF_TIME_MS, Span

SELECT_LABELLED = "SELECT count(*) FROM label WHERE deployment = :deployment"
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

    def scores(self, name: str) -> list[str | float | int | bool | None]:
        """What was answered as an output, where there is none of that name as `prediction`; None for neither."""
        return self.outputs.get(name) or self.outputs.get("prediction") or [None] * len(self.ids)


@dataclass(frozen=True, slots=True)
class Traffic:
    """How much a deployment answered, and the range of its event times; None where it never did."""

    requests: int
    rows: int
    labelled: int
    first_event_ms: int | None
    last_event_ms: int | None


@verb("label.log", needs="feedback:write", on=of_deployment)
def log_labels(home: Home, deployment: str, labels: dict[str, float], early: bool = False) -> LabelsLogged:
    """Store what turned out to be true of predictions, by `ID.ROW`, of a batch by `JOB.PART.ROW`; all of them or none.

    The same label again changes nothing; another value replaces the old one. With `early` labels are kept though their
    prediction is not here yet, as one that another machine has not sealed. Raises Invalid where an id is of no
    prediction of this deployment or a value is not finite; it says how many and names the first.
    """
    wanted = [_split(prediction_id) for prediction_id in labels]
    named = Labels([one for one, _ in wanted], [row for _, row in wanted], list(labels.values()))
    added = store_labels(home, deployment, named, early=early)
    return LabelsLogged(added.new, added.changed, added.known)


@verb("prediction.rows", needs="prediction:read", on=of_deployment)
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


@verb("prediction.labelled", needs="prediction:read", on=of_deployment)
def labelled_rows(
    home: Home,
    deployment: str,
    from_event_ms: int = 0,
    until_event_ms: int = END_OF_TIME_MS,
    number: int = 0,
    model: str = "",
) -> PredictedRows:
    """The same, of those predictions alone whose label is known."""
    return _read_rows(home, Span(deployment, from_event_ms, until_event_ms, number, model), labelled_only=True)


@verb("prediction.traffic", needs="prediction:read", on=of_deployment)
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


def _read_rows(home: Home, span: Span, *, labelled_only: bool) -> PredictedRows:
    result = PredictedRows([], [], [], [], {}, {})
    with open_log(home, span.deployment) as log:
        answered = log.requests(span)
        while some := list(islice(answered, TOGETHER)):
            labels = labels_of(log.tx, span.deployment, [one.id for one in some])
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
