"""The gate: a version and the champion score the same labelled rows once, and every question gets figures and a bound.

A question passes where the evidence does not show harm (`worse_by_at_most`) or does show a gain (`improves`); both ask
the 95 % interval of the paired difference, whole days resampled where the rows say when they happened.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path

from taut.data import check_table, digest_file, find_versions, part_of, read_contract
from taut.errors import Corrupt, Invalid, NotFound
from taut.home import Home
from taut.models.evidence import list_gates, record_gate
from taut.models.package import fetch_model
from taut.models.predictor import Predictor, load_model
from taut.models.registry import find_model
from taut.models.rows import LabelledRows, read_rows
from taut.models.versions import CHAMPION
from taut.project import CheckSpec, GateSpec, Measure
from taut.records import GateCheck, GateResult, ModelVersion, Sameness
from taut.runs import is_as_good, list_reproductions

ROWS_MIN = 100  # With fewer rows the interval of any measure is wider than what it is to decide.
RESAMPLES = 500
DAY_MS = 86_400_000
CONTRACT = "data: contract holds"
MAY_FAIL = ("loads", "signature", "answers")  # What a model that cannot be judged fails first, in this order.

GainOf = Callable[[Measure], tuple[float, float, float]]


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


def gate_model(
    home: Home, name: str, number: int, *, spec: GateSpec, folder: Path, seed: int = 0, gate_id: str = ""
) -> GateResult:
    """Judge a version by the rows that `spec` names below `folder`, against the champion where it is another version.

    The verdict is stored with every figure, whichever way it goes; the same version on the same rows gets the same.
    A model that is damaged, does not load, does not fit the rows or does not score is refused, not an error. With
    `gate_id` a verdict that was stored under it is returned and nothing is judged again.
    Raises NotFound for an unknown version or file, Invalid for a contract that is none, UsageError where a package is
    missing to load the model.
    """
    version = find_model(home, f"{name}@{number}")
    if gate_id and (stored := [gate for gate in list_gates(home, name, number) if gate.id == gate_id]):
        return stored[0]
    path = folder / spec.data
    if not path.is_file():
        raise NotFound(f"no file {path}", hint=f"look at models: {name}: gate: data: in taut.yaml")
    champion = _champion(home, version)
    checks: list[GateCheck] = [_keeps(path, folder / spec.contract)] if spec.contract else []
    try:
        # What was answered before an error stays in the list.
        checks.extend(_answered(home, version, champion, spec, path, seed))
    except (Corrupt, Invalid) as problem:
        asked = {check.name for check in checks}
        failed = next((name for name in MAY_FAIL if name not in asked), "measures")
        checks.append(GateCheck(failed, False, None, None, problem.message))
    held = None if champion is None else champion.number
    if spec.reproduced:
        checks.append(_reproduced(home, version, spec.reproduced))
    data = _data_points(home, path)
    return record_gate(home, name, number, checks=checks, champion=held, data=data, gate_id=gate_id)


def _answered(
    home: Home, version: ModelVersion, champion: ModelVersion | None, spec: GateSpec, path: Path, seed: int
) -> Iterator[GateCheck]:
    """Every check, in the order in which a later one needs the earlier ones; Corrupt or Invalid ends them."""
    predictor = load_model(fetch_model(home, version), version.digest)
    yield _said("loads", f"digest sha256:{version.digest[:12]} verified, model loaded")
    if predictor.signature.form == "any":
        raise Invalid("the model was saved without a signature, so no rows can be read for it")
    rows = read_rows(path, predictor.signature, target=spec.target, time=spec.time)
    yield _said("signature", f"{path.name} has the {len(predictor.signature.inputs)} columns that the model takes")
    yield _rows_check(rows)
    scores = scores_of(predictor, rows)
    yield _said("answers", f"{len(scores)} rows scored, all finite")
    if champion is not None:
        yield _differs(version, champion)
    yield from _judged(spec, Scored(rows, scores, _champion_scores(home, champion, rows)), seed)


def _keeps(path: Path, file: Path) -> GateCheck:
    """Whether the rows keep their contract; the first breach is named. Raises NotFound and Invalid for the contract."""
    contract = read_contract(file)
    try:
        found = check_table([part_of(path)], contract, examples=1)
    except Invalid as problem:
        return GateCheck(CONTRACT, False, None, 0.0, problem.message)
    broken = sum(found.broken.values())
    if found.passed:
        return GateCheck(CONTRACT, True, 0.0, 0.0, f"{found.rows} rows of {path.name} keep {file.name}")
    first = found.breaches[0]
    where = f"row {first.row}, column {first.column!r}" if first.row else f"column {first.column!r}"
    told = f"{broken} breaches of {len(found.broken)} rules of {file.name}; the first: {where}: {first.rule}"
    return GateCheck(CONTRACT, False, float(broken), 0.0, told)


def _reproduced(home: Home, version: ModelVersion, wanted: Sameness) -> GateCheck:
    """Whether the run that made the version was run again, and came out as much the same as is asked for."""
    if not version.run_id:
        return GateCheck("reproduced", False, None, None, "no run is known that made this version")
    try:
        newest = next(iter(list_reproductions(home, version.run_id)), None)
    except NotFound as problem:
        return GateCheck("reproduced", False, None, None, problem.message)
    if newest is None:
        text = f"run {version.run_id[:8]} was never run again; try: taut reproduce {version.run_id[:8]}"
        return GateCheck("reproduced", False, None, None, text)
    cause = f", for {newest.cause}" if newest.cause and newest.verdict != "content" else ""
    text = f"run {version.run_id[:8]} came out as {newest.verdict}{cause}; wanted {wanted} or better"
    return GateCheck("reproduced", is_as_good(newest.verdict, wanted), newest.gap, None, text)


def _data_points(home: Home, path: Path) -> list[str]:
    """The dataset versions that hold the very file."""
    md5 = digest_file(path).md5
    return [f"data:{version}" for version in find_versions(home, [md5]).get(md5, [])]


def _differs(version: ModelVersion, champion: ModelVersion) -> GateCheck:
    same = version.digest == champion.digest
    is_it = "byte for byte the champion, version" if same else "another model than the champion, version"
    return GateCheck("differs", not same, None, None, f"version {version.number} is {is_it} {champion.number}")


def scores_of(predictor: Predictor, rows: LabelledRows) -> list[float]:
    """The probability (else the prediction) of each row. Raises Invalid where one is not a finite number."""
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
    """The champion's scores of the same rows. Raises Invalid or Corrupt, in words that say it was the champion."""
    if champion is None:
        return None
    try:
        return scores_of(load_model(fetch_model(home, champion), champion.digest), rows)
    except (Corrupt, Invalid) as problem:
        who = f"champion {champion.number}"
        raise type(problem)(f"{who} could not score the rows: {problem.message}", hint=problem.hint) from None


def _judged(spec: GateSpec, scored: Scored, seed: int) -> Iterator[GateCheck]:
    gain_of = cache(lambda measure: _gain(measure, scored, seed))  # Several questions may ask about one measure.
    for check in spec.checks:
        if check.against == "champion":
            yield _compared(check, scored, gain_of)
        if check.against != "champion" or check.at_least is not None or check.at_most is not None:
            yield _bounded(check, scored)
    if spec.improves:
        yield _improved(spec.improves, scored, gain_of)


def _bounded(check: CheckSpec, scored: Scored) -> GateCheck:
    """A measure of the candidate alone, within its bounds."""
    from taut.models.measures import MEASURES

    found = float(MEASURES[check.measure](scored.rows.labels, scored.candidate))
    if not isfinite(found):
        text = f"it has no value on these {len(scored.candidate)} rows: all labels are of one class"
        return GateCheck(check.measure, False, None, None, text)
    kept = (check.at_least is None or found >= check.at_least) and (check.at_most is None or found <= check.at_most)
    bounds = [("at least", check.at_least), ("at most", check.at_most)]
    wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
    bound = check.at_least if check.at_least is not None else check.at_most
    return GateCheck(check.measure, kept, found, bound, f"{found:.4f}, wanted {wanted or 'to be known'}")


def _compared(check: CheckSpec, scored: Scored, gain_of: GainOf) -> GateCheck:
    """Not shown worse than the champion by more than is allowed."""
    name = f"{check.measure} against champion"
    if scored.champion is None:
        return _said(name, "there is no champion yet")
    gain, low, high = gain_of(check.measure)
    passed = high >= -check.worse_by_at_most
    allowed = f", up to {check.worse_by_at_most:g} worse is allowed" if check.worse_by_at_most else ""
    shown = "not shown worse" if passed else "shown worse"
    return GateCheck(name, passed, gain, -check.worse_by_at_most, f"{shown}: {_interval(gain, low, high)}{allowed}")


def _improved(measures: tuple[Measure, ...], scored: Scored, gain_of: GainOf) -> GateCheck:
    """Shown better than the champion by at least one of the measures."""
    if scored.champion is None:
        return _said("improves", "there is no champion yet")
    gains = {measure: gain_of(measure) for measure in measures}
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
    """The difference in words; adding 0.0 takes the sign from a negative zero."""
    which = "better" if gain >= 0 else "worse"
    return f"{which} by {abs(gain):.4f}, 95 % interval of the gain [{low + 0.0:+.4f}, {high + 0.0:+.4f}]"


def _rows_check(rows: LabelledRows) -> GateCheck:
    """Enough rows, and labels that are 0 or 1 with some of each."""
    count, found = len(rows.labels), set(rows.labels)
    text = f"{count} labelled rows of {rows.path.rpartition('/')[2]}, at least {ROWS_MIN} wanted"
    if strange := found - {0.0, 1.0}:
        text += f"; labels must be 0 or 1, found {min(strange):g}"
    elif len(found) < 2:
        text += f"; all are labelled {found.pop():g}"
    passed = count >= ROWS_MIN and set(rows.labels) == {0.0, 1.0}
    return GateCheck("rows", passed, float(count), float(ROWS_MIN), text)


def _said(name: str, text: str) -> GateCheck:
    return GateCheck(name, True, None, None, text)
