"""The loop: windows close, an alert retrains, the gate decides, the rollout follows; each step once, whatever dies.

A plan is the answer to one alert; its steps are recorded as they are done. Whoever is killed between the deed and its
record does the deed again, and every deed here gives the same result when it is done twice: the same rows export to
the same file, the same file is the same dataset version, a run that has finished is not started again, the same model
is the same version, a version that serves already changes nothing.
"""

from collections.abc import Iterator

from taut.deploy import reconcile_deployments
from taut.errors import TautError, UsageError
from taut.home import Home
from taut.models import find_model
from taut.pipelines.policy import is_under_way, why_wait
from taut.pipelines.retrain import RETRAIN, is_refused
from taut.pipelines.rollout import follow_rollouts
from taut.pipelines.steps import Facts, StepDone, Told, list_answers, list_steps, record_step
from taut.project import ProjectFile, TriggerSpec
from taut.records import Alert
from taut.serve.log.keeping import keep_in_order
from taut.serve.log.live import live_deployments
from taut.watch import (
    close_windows,
    find_successor,
    list_alerts,
    renew_reference,
)
from taut.watch.telling import tell_receivers


def reconcile(home: Home, project: ProjectFile, *, told: Told = lambda _: None) -> Iterator[StepDone]:
    """One round: judge canaries, hold deployments against what is wanted, close windows, answer alerts.

    Yields each thing that was done, and ends when nothing is left to do. `told` hears a sentence before each step that
    takes a while. A deployment that cannot be helped raises at the end, after the others were.
    """
    problems: list[TautError] = []
    yield from follow_rollouts(home, problems, told)
    for deployment in reconcile_deployments(home):
        if deployment.done != "kept":
            yield StepDone(f"deployment:{deployment.deployment}", deployment.done, {"url": deployment.url})
    yield from _seal(home, told)
    for name in project.monitors:
        try:
            yield from _watch(home, project, name, told)
        except TautError as problem:
            problems.append(problem)
    yield from _tell(home, project)
    if problems:
        raise problems[0]


def _tell(home: Home, project: ProjectFile) -> Iterator[StepDone]:
    """Tell receivers what became of alerts."""
    for told in tell_receivers(home, project):
        facts: Facts = {"receiver": told.notice.receiver, "change": told.notice.change, "status": told.status}
        yield StepDone(f"alert:{told.notice.alert_id}", "told", facts)


def _seal(home: Home, told: Told) -> Iterator[StepDone]:
    """Seal what processes that are gone left in journals on this machine."""
    for name in live_deployments(home):
        try:
            done = keep_in_order(home, name)
        except UsageError as problem:  # Journals are read as they are where nothing can make Parquet of them.
            told(f"the prediction log of {name} is not sealed: {problem.message}; {problem.hint}")
            return
        if done.segments:
            yield StepDone(f"deployment:{name}", "sealed", {"segments": done.segments, "rows": done.rows})


def _watch(home: Home, project: ProjectFile, name: str, told: Told) -> Iterator[StepDone]:
    """Close windows, follow rollouts and answer pages in turn until none has anything new."""
    yield from _answer_open(home, project, name, told)
    while True:
        yield from _follow_rollout(home, project, name, told)
        closed = close_windows(home, name, project.monitors[name])
        if not closed:
            return
        for window in closed:
            facts: Facts = {"start_ms": window.start_ms, "rows": window.rows, **window.evidence}
            yield StepDone(f"deployment:{name}", "window", facts)
        yield from _tell(home, project)  # Before a retraining, which takes its time.
        yield from _answer_open(home, project, name, told)


def _follow_rollout(home: Home, project: ProjectFile, name: str, told: Told) -> Iterator[StepDone]:
    """Hold the deployment against the version that answers now, from the first window in which it did."""
    newer = find_successor(home, name, project.monitors[name])
    if newer is None:
        return
    told(f"renewing the reference of {name} for {newer.model}@{newer.version}")
    reference = renew_reference(
        home,
        name,
        model=find_model(home, f"{newer.model}@{newer.version}"),
        spec=project.monitors[name],
        gate=project.gate_of(newer.model),
        from_ms=newer.from_ms,
        cause=newer.point,
    )
    facts: Facts = {"number": reference.number, "version": reference.version, "from_ms": reference.from_ms}
    yield StepDone(f"deployment:{name}", "reference", facts)


def _answer_open(home: Home, project: ProjectFile, name: str, told: Told) -> Iterator[StepDone]:
    """Answer the alerts that the trigger asks for, what was begun first; who waits says why, once."""
    trigger = project.triggers.get(name)
    if trigger is None:
        return
    asking = [alert for alert in list_alerts(home, name, "open") if alert.severity == trigger.on]
    answers = list_answers(home, name) if asking else {}
    for alert in sorted(asking, key=lambda one: not is_under_way(answers.get(one.point, {}))):
        done = answers.get(alert.point, {})
        if "close" in done:
            continue  # Its data were broken, and it stays open for a person.
        wait = None if is_under_way(done) else why_wait(home, trigger, alert, answers, asking)
        if wait is None:
            yield from _answer(home, project, trigger, alert, told)
            answers = list_answers(home, name)
        elif wait.step not in done and record_step(home, alert.point, wait.step, {"reason": wait.reason}):
            yield StepDone(alert.point, wait.step, {"reason": wait.reason})


def _answer(home: Home, project: ProjectFile, trigger: TriggerSpec, alert: Alert, told: Told) -> Iterator[StepDone]:
    """Walk the plan of one alert from where it stands, as far as it goes now."""
    done = list_steps(home, alert.point)
    for step in RETRAIN:
        if step.name in done or (is_refused(done) and step.name != "close"):
            continue
        told(step.says)
        facts = step.act(home, project, trigger, alert, done)
        if facts is None:
            return
        record_step(home, alert.point, step.name, facts)
        done[step.name] = facts
        yield StepDone(alert.point, step.name, facts)
