"""What the picture shows, read once: windows, alerts, the answers to them, verdicts, rollouts and totals."""

from dataclasses import dataclass, replace
from functools import cached_property

from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.meta import Row, Tx
from taut.home import Home
from taut.records import Alert, GateCheck, Window
from taut.serve import open_log
from taut.watch.alerts import list_alerts
from taut.watch.references import MonitorReference, list_references
from taut.watch.windows import list_windows

SELECT_ROLLOUTS = """
SELECT revision, model, number, cause FROM deployment WHERE name = :deployment ORDER BY revision
"""
SELECT_LABELLED = "SELECT count(*) FROM label WHERE deployment = :deployment"
SELECT_STEPS = """
SELECT alert.id, step.name, step.body FROM step JOIN alert ON step.plan = 'alert:' || alert.id
WHERE alert.deployment = :deployment ORDER BY step.at_ms, step.name
"""
SELECT_GATES = """
SELECT id, model, number, champion, passed, checks FROM gate_result
WHERE model IN (SELECT model FROM deployment WHERE name = :deployment) ORDER BY at_ms, id
"""

Facts = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate said of a version, with its checks; `champion` is the number that it was held against."""

    gate: str
    model: str
    number: int
    champion: int | None
    passed: bool
    checks: tuple[GateCheck, ...]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A revision and its version; `from_ms` is the first event that it answered, None where nobody has asked it."""

    revision: int
    model: str
    number: int
    cause: str
    from_ms: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """How far the answer to an alert came: `at_ms` in the time of events; what it has not reached is None or empty."""

    alert: str
    at_ms: int | None
    learnt: int | None
    judged: int | None
    run: str
    number: int | None
    verdict: Verdict | None
    revision: int | None


@dataclass(frozen=True)
class Year:
    """Everything that the picture of one deployment is drawn from, each list in the order of time."""

    deployment: str
    windows: list[Window]
    references: list[MonitorReference]
    alerts: list[Alert]
    answers: dict[str, Answer]
    verdicts: list[Verdict]
    rollouts: list[Rollout]
    predictions: int
    labelled: int
    period: tuple[int, int] | None = None

    @cached_property
    def span(self) -> tuple[int, int]:
        """From the first window's start to the last one's end. There must be a window."""
        return self.windows[0].start_ms, max(window.end_ms for window in self.windows)

    @cached_property
    def retrained(self) -> list[Answer]:
        """The answers that came to a finished run."""
        return [answer for answer in self.answers.values() if answer.run]

    @cached_property
    def bound(self) -> float | None:
        """Where evidence becomes an alarm, 1/alpha; known from the first alert on."""
        return next((alert.evidence["bound"] for alert in reversed(self.alerts) if "bound" in alert.evidence), None)

    def judged(self, *, passed: bool) -> int:
        """How many retrained versions the gate accepted, or refused."""
        return sum(1 for one in self.retrained if one.verdict is not None and one.verdict.passed == passed)


def read_year(home: Home, deployment: str) -> Year:
    """Read what there is of a deployment. Raises NotFound where it was never deployed."""
    with open_log(home, deployment) as log:
        tx, answering = log.tx, log.versions()
        first = {one.revision: one.first_event_ms for one in reversed(answering)}
        rollouts = [_rollout(row, first) for row in tx.rows(SELECT_ROLLOUTS, {"deployment": deployment})]
        if not rollouts:
            raise NotFound(f"no deployment {deployment!r}", hint="taut status")
        labelled = tx.row(SELECT_LABELLED, {"deployment": deployment})
        verdicts = [_verdict(row) for row in tx.rows(SELECT_GATES, {"deployment": deployment})]
        steps = _steps(tx, deployment)
    of_gate = {verdict.gate: verdict for verdict in verdicts}
    return Year(
        deployment,
        list_windows(home, deployment),
        list_references(home, deployment),
        list_alerts(home, deployment),
        {alert: _answer(alert, found, of_gate) for alert, found in steps.items()},
        verdicts,
        rollouts,
        sum(one.rows for one in answering if one.role != "shadow"),
        0 if labelled is None else int(str(labelled[0])),
    )


def in_period(year: Year, from_ms: int, until_ms: int) -> Year:
    """What of it began between two moments, of which the second does not belong to it; predictions are the windows'.

    Raises Invalid where the period has no length.
    """
    if from_ms >= until_ms:
        raise Invalid("a period ends after it began", hint=f"taut watch report {year.deployment}")
    windows = [one for one in year.windows if from_ms <= one.start_ms < until_ms]
    alerts = [one for one in year.alerts if from_ms <= one.window_start_ms < until_ms]
    return replace(
        year,
        windows=windows,
        alerts=alerts,
        answers={one.id: year.answers[one.id] for one in alerts if one.id in year.answers},
        predictions=sum(one.rows for one in windows),
        labelled=sum(one.labelled for one in windows),
        period=(from_ms, until_ms),
    )


def _steps(tx: Tx, deployment: str) -> dict[str, dict[str, Facts]]:
    """The steps that were done in answer to each alert, with what they found."""
    steps: dict[str, dict[str, Facts]] = {}
    for alert, name, body in tx.rows(SELECT_STEPS, {"deployment": deployment}):
        steps.setdefault(str(alert), {})[str(name)] = wire.decode(str(body), Facts, what="a stored step")
    return steps


def _answer(alert: str, steps: dict[str, Facts], of_gate: dict[str, Verdict]) -> Answer:
    exported = steps.get("export", {})
    return Answer(
        alert=alert,
        at_ms=_whole(exported.get("until_ms")),
        learnt=_whole(exported.get("learn")),
        judged=_whole(exported.get("judge")),
        run=str(steps.get("run", {}).get("run") or ""),
        number=_whole(steps.get("register", {}).get("number")),
        verdict=of_gate.get(str(steps.get("gate", {}).get("gate"))),
        revision=_whole(steps.get("rollout", {}).get("revision")),
    )


def _rollout(row: Row, first: dict[int, int]) -> Rollout:
    revision, model, number, cause = row
    return Rollout(int(str(revision)), str(model), int(str(number)), str(cause), first.get(int(str(revision))))


def _verdict(row: Row) -> Verdict:
    gate, model, number, champion, passed, checks = row
    found = wire.decode(str(checks), tuple[GateCheck, ...], what=f"gate {gate}")
    return Verdict(str(gate), str(model), int(str(number)), _whole(champion), bool(passed), found)


def _whole(value: str | float | None) -> int | None:
    return None if value is None else int(value)
