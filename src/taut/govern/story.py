"""`why` of an alert and of all that came of it: what was seen, what was decided and by which policy, in order."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from taut.deploy import find_deployment, is_rollback, list_deployments, list_revisions, told
from taut.errors import Invalid, NotFound
from taut.ground import wire
from taut.ground.ledger import events
from taut.ground.whole import read_whole
from taut.home import Home, sight, verb
from taut.models import find_model, list_gates
from taut.pipelines.policy import moment
from taut.records import Alert, Deployment, ModelVersion, Run
from taut.runs import resolve_run
from taut.watch.alerts import find_alert

KINDS = ("alert", "run", "model", "deployment")
SELECT_STEPS = "SELECT name, body, at_ms FROM step WHERE plan = :plan"
SELECT_MADE = "SELECT name, number FROM model_version WHERE run_id = :run ORDER BY number"
POINTS = {
    "run": "run:{run}",
    "register": "model:{model}@{number}",
    "gate": "gate:{gate}",
    "snapshot": "{labelled}",
}

Facts = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Chapter:
    """One thing that happened: `what` (a step of the plan, an alert, a revision), in a sentence with its figures."""

    at_ms: int
    what: str
    text: str
    point: str = ""
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Story:
    """What led to a point and became of it, in order. `alert` is the one that all answers, empty where none does."""

    point: str
    alert: str
    status: str
    chapters: tuple[Chapter, ...]


@verb("loop.story", needs="pipeline:read")
def tell_story(home: Home, point: str) -> Story:
    """The story of `alert:ID`, or of the `run:ID`, `model:NAME@NUMBER` or `deployment:NAME@REVISION` that came of one.

    What no alert led to has a story too: the run, the version, its verdicts and its revisions. Raises NotFound where
    there is no such point, or none that the actor may see, Invalid where it is of another kind.
    """
    kind, _, name = point.partition(":")
    if kind not in KINDS or not name:
        raise Invalid(f"{point!r} has no story; {', '.join(KINDS)} do, as model:late@2", hint="taut why alert:ID")
    if kind == "alert":
        return _of_alert(home, point, name)
    run, version = _origin(home, kind, name)
    cause = "" if run is None else run.cause
    if cause.startswith("alert:"):
        return _of_alert(home, point, cause.partition(":")[2])
    return Story(point, "", "", tuple(_in_order(_of_version(home, run, version))))


def _origin(home: Home, kind: str, name: str) -> tuple[Run | None, ModelVersion | None]:
    """The run that a point goes back to, and the version that it is about."""
    if kind == "run":
        run = resolve_run(home, name)
        with home.meta.read() as tx:
            made = tx.row(SELECT_MADE, {"run": run.id})
        return run, None if made is None else find_model(home, f"{made[0]}@{made[1]}")
    if kind == "deployment":
        endpoint, _, revision = name.partition("@")
        if not sight(home, "deployment", "deployment:read").sees(endpoint):
            raise NotFound(f"there is no deployment {endpoint!r}", hint="taut deployments")
        number = read_whole(revision, what="the revision") if revision else 0
        name = _subject(home, find_deployment(home, endpoint, number))
    version = find_model(home, name)
    return (resolve_run(home, version.run_id) if version.run_id else None), version


def _subject(home: Home, deployment: Deployment) -> str:
    """The version that a revision is about: the one that came, or in a rollback the one that went."""
    if is_rollback(deployment) and deployment.revision > 1:
        deployment = find_deployment(home, deployment.name, deployment.revision - 1)
    return (deployment.canary or deployment.backends[0]).version


def _of_alert(home: Home, point: str, alert_id: str) -> Story:
    seen = sight(home, "deployment", "deployment:read")
    with home.meta.read() as tx:
        alert = find_alert(tx, alert_id)
        steps = tx.rows(SELECT_STEPS, {"plan": alert.point})
        entries = [one for one in events(tx, subject=alert.point, limit=1_000) if one.kind.startswith("alert.")]
    if not seen.sees(alert.deployment):
        raise NotFound(f"no alert {alert_id!r}", hint="taut watch alerts")
    chapters = [(alert.at_ms, 0, _seen(alert))]
    done: dict[str, Facts] = {}
    for name, body, at_ms in steps:
        facts = wire.decode(str(body), Facts, what="a stored step")
        done[str(name)] = facts
        chapters.append((int(str(at_ms)), _rank(str(name)), _step(str(name), int(str(at_ms)), facts, alert)))
    trial = _rank("canary") - 1
    chapters += [(one.at_ms, trial, _revision(one)) for one in _meanwhile(home, alert.deployment, done)]
    chapters += [
        (one.at_ms, _rank("") + 1, Chapter(one.at_ms, one.kind.partition(".")[2], _said(one.body)))
        for one in entries
        if one.kind != "alert.raised" and not (one.kind == "alert.handled" and "close" in done)
    ]
    ordered = sorted(chapters, key=lambda one: one[:2])
    return Story(point, alert.point, alert.status, tuple(chapter for *_, chapter in ordered))


def _seen(alert: Alert) -> Chapter:
    budget = alert.detector.partition(":")[2] or alert.detector
    found, bound = alert.evidence.get(budget), alert.evidence.get("bound")
    evidence = f", evidence {found:,.4g} over the bound {bound:,.4g}" if found is not None and bound is not None else ""
    text = f"{alert.severity} about version {alert.version} of {alert.deployment}: {alert.detector} on {alert.feature}"
    at = f" in the window from {moment(alert.window_start_ms)} on"
    return Chapter(alert.at_ms, "alert", f"{text}{evidence},{at}", alert.point, {**alert.evidence})


def _rank(step: str) -> int:
    """The place of a step in its plan, for those that were recorded in one millisecond; the last for what is none."""
    from taut.pipelines.retrain import RETRAIN

    places = {one.name: 10 * (place + 1) for place, one in enumerate(RETRAIN)}
    return 1 if step.startswith("wait ") else places.get(step, places["run"] if step.startswith("attempt") else 1_000)


def _step(name: str, at_ms: int, facts: Facts, alert: Alert) -> Chapter:
    told = facts.get("reason") or facts.get("verdict")
    text = str(told) if told else ", ".join(f"{fact} {value}" for fact, value in facts.items())
    if name in ("rollout", "canary"):
        point = f"deployment:{alert.deployment}@{facts['revision']}" if facts.get("revision") else ""
    else:
        shape = POINTS.get(name, "")
        point = shape.format(**facts) if shape else ""
    return Chapter(at_ms, name, text, point, facts)


def _meanwhile(home: Home, deployment: str, done: dict[str, Facts]) -> Iterator[Deployment]:
    """The revisions that followed the rollout of an answer until its canary was live or gone."""
    first = done.get("rollout", {}).get("revision")
    if not first:
        return
    last = done.get("canary", {}).get("revision")
    for one in list_revisions(home, deployment):
        if int(str(first)) < one.revision and (last is None or one.revision <= int(str(last))):
            yield one


def _revision(one: Deployment) -> Chapter:
    reason = f": {one.reason}" if one.reason else ""
    text = f"{one.name}, revision {one.revision}, {told(one.backends)} ({one.cause}, by {one.actor}){reason}"
    return Chapter(one.at_ms, "revision", text, one.point)


def _of_version(home: Home, run: Run | None, version: ModelVersion | None) -> Iterator[Chapter]:
    """A run, the version that it made, its verdicts and the revisions that it stood behind."""
    if run is not None:
        text = f"{run.name}, {run.status.lower()}, cause {run.cause}"
        yield Chapter(run.started_ms, "run", text, run.point)
    if version is None:
        return
    made = f"{version.name}@{version.number}, digest sha256:{version.digest[:12]}"
    yield Chapter(version.created_ms, "register", made, version.point)
    for gate in list_gates(home, version.name, version.number):
        said = "; ".join(
            f"{one.name}: {one.text}"
            for one in gate.checks
            if not one.passed or (gate.passed and one.found is not None)
        )
        yield Chapter(gate.at_ms, "gate", f"{'accepted' if gate.passed else 'refused'}: {said}", gate.point)
    for deployment in list_deployments(home):
        for one in list_revisions(home, deployment.name):
            if any((backend.model, backend.number) == (version.name, version.number) for backend in one.backends):
                yield _revision(one)


def _in_order(chapters: Iterator[Chapter]) -> list[Chapter]:
    """By time; what came in one millisecond in the order of the line."""
    return sorted(chapters, key=lambda one: one.at_ms)


def _said(body: str) -> str:
    """What an entry of the ledger says of an alert: its verdict, else all there is."""
    told = json.loads(body) or {}
    return str(told["verdict"]) if set(told) == {"verdict"} else ", ".join(f"{key} {told[key]}" for key in told)
