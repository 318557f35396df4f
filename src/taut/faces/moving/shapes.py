"""MLflow's numbers and names for states, and points, as taut has them; what several readers share."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from taut.models import RegisteredModel
from taut.records import ModelVersion
from taut.runs import MetricPoint

Status = Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
LoggedStatus = Literal["PENDING", "READY", "UPLOAD_FAILED", "DELETED"]

RUN_STATUSES: dict[int, Status] = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
LOGGED_STATUSES: dict[int, LoggedStatus] = {0: "PENDING", 1: "PENDING", 2: "READY", 3: "UPLOAD_FAILED"}


def point_of(key: str, value: float | str, step: int, at_ms: int, model_id: str = "") -> MetricPoint:
    """A point; not-a-number comes as a word, a number or NaN. Raises ValueError for anything else.

    >>> point_of("loss", "nan", 0, 0).value is None
    True
    """
    number = float(value)
    return MetricPoint(key, None if math.isnan(number) else number, step, at_ms, model_id)


def rank(point: MetricPoint) -> tuple[int, int, bool, float]:
    """The order of the points of one metric; the last is the latest."""
    return point.step, point.at_ms, point.value is not None, point.value or 0.0


def sorted_points(points: Iterable[MetricPoint]) -> Iterator[MetricPoint]:
    """Points of one metric in order, none twice: an infinity and the largest number are the same here."""
    last = None
    for point in sorted(points, key=lambda one: (*rank(one), one.model_id)):
        if point != last:
            yield point
        last = point


def latest_of(measured: Iterable[tuple[str, MetricPoint]]) -> tuple[MetricPoint, ...]:
    """The latest point of each metric of a logged model, by key."""
    latest: dict[str, MetricPoint] = {}
    for _, point in measured:
        if point.key not in latest or rank(point) >= rank(latest[point.key]):
            latest[point.key] = point
    return tuple(latest[key] for key in sorted(latest))


def version_of(model: RegisteredModel, said: Any, tags: dict[str, str], *, user: str) -> ModelVersion:
    """A version as a reader found it: `said` has MLflow's own fields, as attributes."""
    number = int(said.version)
    return ModelVersion(
        model.name, number, said.source or "", said.run_id or "", getattr(said, "model_id", "") or "", "", "",
        said.current_stage or "None", said.status or "READY", said.description or "", user,
        said.creation_timestamp, said.last_updated_timestamp or said.creation_timestamp,
        tuple(alias for alias, pointed in model.aliases.items() if pointed == number), tags,
    )  # fmt: skip
