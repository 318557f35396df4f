"""The gate: a version and the champion score the same labelled rows once, and every question gets figures and a bound.

A question passes where the evidence does not show harm (`worse_by_at_most`) or does show a gain (`improves`); both ask
the 95 % interval of the paired difference, whole days resampled where the rows say when they happened.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from taut.data import datasets_of_file
from taut.errors import NotFound, TautError
from taut.home import Home
from taut.models.evidence import record_gate
from taut.models.package import fetch_model
from taut.models.predictor import Predictor, load_model
from taut.models.registry import find_model
from taut.models.rows import LabelledRows, read_rows
from taut.models.versions import CHAMPION
from taut.project import CheckSpec, GateSpec, Measure
from taut.records import GateCheck, GateResult, ModelVersion

ROWS_MIN = 100  # With fewer rows the interval of any measure is wider than what it is to decide.
RESAMPLES = 500
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Scored:
    """The rows of a gate with the scores of the candidate and, where there is one, the champion."""

    rows: LabelledRows
    candidate: list[float]
    champion: list[float] | None

    @property
    def days(self) -> list[int] | None:
        """The day of each row, None where the rows do not say."""
        return [at_ms // DAY_MS for at_ms in self.rows.event_ms] or None


def gate_model(home: Home, name: str, number: int, *, spec: GateSpec, folder: Path, seed: int = 0) -> GateResult:
    """Judge a version by the rows that `spec` names below `folder`, against the champion where it is another version.

    The verdict is stored with every figure, whichever way it goes; the same version on the same rows gets the same.
    A model that does not load or score is refused, not an error. Raises NotFound for an unknown version or file.
    """
    version = find_model(home, f"{name}@{number}")
    champion = _champion(home, version)
    checks: list[GateCheck] = []
    data: list[str] = []
    try:
        predictor = load_model(fetch_model(home, version), version.digest)
        checks.append(_said("loads", f"digest sha256:{version.digest[:12]} verified, model loaded"))
        rows = read_rows(folder / spec.data, predictor.signature, target=spec.target, time=spec.time)
        data = [dataset.point for dataset in datasets_of_file(home, rows.oid)]
        checks.append(_rows_check(rows))
        scores = scores_of(predictor, rows)
        checks.append(_said("answers", f"{len(scores)} rows scored, all finite"))
        checks += _judged(spec, Scored(rows, scores, _champion_scores(home, champion, rows)), seed)
    except NotFound:
        raise
    except TautError as problem:
        checks.append(GateCheck("scores", False, None, None, problem.message))
    held = None if champion is None else champion.number
    return record_gate(home, name, number, checks=checks, champion=held, data=data)


def scores_of(predictor: Predictor, rows: LabelledRows) -> list[float]:
    """The probability (else the prediction) of each row. Raises Invalid where one is not a finite number."""
    from taut.errors import Invalid

    outputs = predictor.predict(rows.columns)
    values = outputs.get("probability") or outputs["prediction"]
    scores = [float(value) for value in values if isinstance(value, int | float) and isfinite(value)]
    if len(scores) != len(values):
        raise Invalid(f"{len(values) - len(scores)} of {len(values)} answers are not finite numbers")
    return scores


def _champion(home: Home, version: ModelVersion) -> ModelVersion | None:
    """The version that holds the place now, None where nobody does or it is the candidate itself."""
    try:
        champion = find_model(home, f"{version.name}@{CHAMPION}")
    except NotFound:
        return None
    return None if champion.number == version.number else champion


def _champion_scores(home: Home, champion: ModelVersion | None, rows: LabelledRows) -> list[float] | None:
    if champion is None:
        return None
    return scores_of(load_model(fetch_model(home, champion), champion.digest), rows)


def _judged(spec: GateSpec, scored: Scored, seed: int) -> Iterator[GateCheck]:
    for check in spec.checks:
        if check.against == "champion":
            yield _compared(check, scored, seed)
        else:
            yield _bounded(check, scored)
    if spec.improves:
        yield _improved(spec.improves, scored, seed)


def _bounded(check: CheckSpec, scored: Scored) -> GateCheck:
    """A measure of the candidate alone, within its bounds."""
    from taut.models.measures import MEASURES

    found = float(MEASURES[check.measure](scored.rows.labels, scored.candidate))
    bounds = [("at least", check.at_least, check.at_least is None or found >= check.at_least)]
    bounds.append(("at most", check.at_most, check.at_most is None or found <= check.at_most))
    asked = [(words, bound, kept) for words, bound, kept in bounds if bound is not None]
    wanted = ", ".join(f"{words} {bound:g}" for words, bound, _ in asked) or "no bound is set"
    passed = isfinite(found) and all(kept for _, _, kept in asked)
    return GateCheck(check.measure, passed, found, asked[0][1] if asked else None, f"{found:.4f}, wanted {wanted}")


def _compared(check: CheckSpec, scored: Scored, seed: int) -> GateCheck:
    """Not shown worse than the champion by more than is allowed."""
    name = f"{check.measure} against champion"
    if scored.champion is None:
        return _said(name, "there is no champion yet")
    gain, low, high = _gain(check.measure, scored, seed)
    passed = high >= -check.worse_by_at_most
    allowed = f", up to {check.worse_by_at_most:g} worse is allowed" if check.worse_by_at_most else ""
    shown = "not shown worse" if passed else "shown worse"
    return GateCheck(name, passed, gain, -check.worse_by_at_most, f"{shown}: {_interval(gain, low, high)}{allowed}")


def _improved(measures: tuple[Measure, ...], scored: Scored, seed: int) -> GateCheck:
    """Shown better than the champion by at least one of the measures."""
    if scored.champion is None:
        return _said("improves", "there is no champion yet")
    gains = {measure: _gain(measure, scored, seed) for measure in measures}
    best = max(gains, key=lambda measure: gains[measure][1])
    passed = gains[best][1] > 0
    told = "; ".join(f"{measure} {_interval(*gain)}" for measure, gain in gains.items())
    shown = f"{best} is shown better" if passed else "no measure is shown better"
    return GateCheck("improves", passed, gains[best][0], 0.0, f"{shown}: {told}")


def _gain(measure: Measure, scored: Scored, seed: int) -> tuple[float, float, float]:
    """How much better the candidate is, with its interval: positive is better whichever way the measure runs."""
    from taut.models.measures import HIGHER_IS_BETTER, paired_bootstrap

    assert scored.champion is not None
    interval = paired_bootstrap(
        scored.rows.labels, scored.champion, scored.candidate, measure,
        resamples=RESAMPLES, seed=seed, blocks=scored.days,
    )  # fmt: skip
    if measure in HIGHER_IS_BETTER:
        return interval.difference, interval.low, interval.high
    return -interval.difference, -interval.high, -interval.low


def _interval(gain: float, low: float, high: float) -> str:
    return f"better by {gain:+.4f} [{low:+.4f}, {high:+.4f}]"


def _rows_check(rows: LabelledRows) -> GateCheck:
    count = len(rows.labels)
    text = f"{count} labelled rows of {rows.path.rpartition('/')[2]}, at least {ROWS_MIN} wanted"
    return GateCheck("rows", count >= ROWS_MIN, float(count), float(ROWS_MIN), text)


def _said(name: str, text: str) -> GateCheck:
    return GateCheck(name, True, None, None, text)
