"""A watched deployment for tests: answered rows a day at a time, with labels that agree with the scores or do not."""

import io
from dataclasses import dataclass

import numpy as np

from taut.home import Home
from taut.project import MonitorSpec
from taut.serve import PredictedRows, log_labels, log_prediction
from taut.watch import MonitorReference, set_reference
from taut.watch.detecting import profile_rows
from tests.serve.scenes import record, register

DAY_MS = 86_400_000
BEGIN_MS = 19_000 * DAY_MS  # A midnight in UTC: day 0.
ROWS = 200  # A day; enough for flipped labels to show within a few.
SPEC = MonitorSpec(window="1d", lateness="0 s", alpha=0.01)


@dataclass
class Rows:
    """Columns of served rows, and what turned out to be true of them."""

    inputs: dict[str, list]
    outputs: dict[str, list]
    labels: list[float]


def draw(seed: int, rows: int = ROWS, *, flipped: bool = False, shifted: bool = False) -> Rows:
    """Rows whose labels follow the scores; `flipped` turns every label around, `shifted` moves an input."""
    chance = np.random.default_rng(seed)
    z = chance.normal(size=rows)
    score = 1 / (1 + np.exp(1 - 2 * z))
    target = (chance.random(rows) < score) != flipped
    plans = chance.choice(["free", "plus"], size=rows).tolist()
    outputs = {"prediction": (score >= 0.5).astype(int).tolist(), "probability": score.tolist()}
    return Rows({"z": (z + 3 * shifted).tolist(), "plan": plans}, outputs, target.astype(float).tolist())


def profile(seed: int = 1_000, *, spec: MonitorSpec = SPEC) -> bytes:
    """The reference profile of 20 calm days."""
    rows = draw(seed, 20 * ROWS)
    days = [BEGIN_MS - (20 - place // ROWS) * DAY_MS for place in range(20 * ROWS)]
    ids = [str(place) for place in range(20 * ROWS)]
    return profile_rows(PredictedRows(ids, days, [1] * len(ids), list(rows.labels), rows.inputs, rows.outputs), spec)


def refer(home: Home, *, from_day: int = 0, cause: str = "deployed", version: int = 1) -> MonitorReference:
    """Hold `late` against calm days from a day on."""
    oid = home.objects.put(io.BytesIO(profile()))
    from_ms = BEGIN_MS + from_day * DAY_MS
    return set_reference(home, "late", model="late", version=version, from_ms=from_ms, oid=oid, cause=cause)


def deployed(home: Home) -> Home:
    """`late` with one version deployed, not watched yet."""
    register(home)
    record(home)
    return home


def watched(home: Home) -> Home:
    """`late` deployed and watched from day 0 on."""
    refer(deployed(home))
    return home


def serve(home: Home, day: float, rows: Rows | None = None, *, labels: bool = True, revision: int = 1) -> str:
    """Answer a request of rows about noon of a day, and say what was true of them; returns the request's id."""
    rows = rows or draw(int(day))
    event_ms = BEGIN_MS + round((day + 0.5) * DAY_MS)
    request = f"at-{event_ms}"
    log_prediction(home, "late", request, revision, event_ms, rows.inputs, rows.outputs)
    if labels:
        label(home, request, rows)
    return request


def label(home: Home, request: str, rows: Rows) -> None:
    """Say what was true of the rows of a request."""
    log_labels(home, "late", {f"{request}.{row}": value for row, value in enumerate(rows.labels)})
