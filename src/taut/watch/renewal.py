"""A new reference: the version that serves scores the gate's rows, and their profile is what it is held against.

The rows must be such that the version was not trained on them, or its errors in service would look like drift.
"""

import io

from taut.errors import Invalid
from taut.home import Home
from taut.models import LabelledRows, fetch_model, load_model, read_rows
from taut.project import GateSpec, MonitorSpec
from taut.records import ModelVersion
from taut.serve import PredictedRows, traffic
from taut.watch.references import MonitorReference, set_reference

DAY_MS = 86_400_000


def renew_reference(
    home: Home,
    deployment: str,
    *,
    model: ModelVersion,
    spec: MonitorSpec,
    gate: GateSpec,
    from_ms: int | None,
    cause: str,
) -> MonitorReference:
    """Profile the gate's rows as `model` scores them, and hold the deployment against that from `from_ms` on.

    None for `from_ms` begins with the day after the last of those rows, or with the first prediction where the rows
    do not say when they happened. Raises NotFound, Invalid or Corrupt where rows or model cannot be read.
    """
    from taut.watch.detecting import profile_rows

    predictor = load_model(fetch_model(home, model), model.digest)
    rows = read_rows(home.project / gate.data, predictor.signature, target=gate.target, time=gate.time)
    outputs = predictor.predict(rows.columns)
    if spec.score not in outputs:
        raise Invalid(
            f"{model.name}@{model.number} answers {', '.join(outputs)}, not {spec.score!r}, which its monitor watches",
            hint=f"set monitors: {deployment}: score: in taut.yaml",
        )
    profile = profile_rows(_as_predicted(rows, outputs, model.number), spec)
    begin_ms = _begin(home, deployment, rows) if from_ms is None else from_ms
    return set_reference(
        home,
        deployment,
        model=model.name,
        version=model.number,
        from_ms=begin_ms,
        oid=home.objects.put(io.BytesIO(profile)),
        cause=cause,
    )


def _as_predicted(
    rows: LabelledRows, outputs: dict[str, list[str | float | int | bool | None]], number: int
) -> PredictedRows:
    count = len(rows.labels)
    return PredictedRows(
        ids=[str(place) for place in range(count)],
        event_ms=rows.event_ms or list(range(count)),
        numbers=[number] * count,
        labels=list(rows.labels),
        inputs=rows.columns,
        outputs=outputs,
    )


def _begin(home: Home, deployment: str, rows: LabelledRows) -> int:
    if rows.event_ms:
        return (max(rows.event_ms) // DAY_MS + 1) * DAY_MS
    first_ms = traffic(home, deployment).first_event_ms
    return home.clock.now_ms() if first_ms is None else first_ms
