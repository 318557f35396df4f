"""Canaries in the loop: taken back where pages, labels or counters speak against them, else given their next share.

Each change is a revision made on the one that was looked at, so that no step is taken twice, whoever else looks, and
whatever is killed: what is recorded is started by the same round or by the next.
"""

from collections.abc import Iterator

from taut.deploy import (
    find_state,
    is_gated,
    is_rollback,
    list_deployments,
    promote_canary,
    record_deployment,
    roll_back,
    spec_of,
    with_canary,
)
from taut.errors import Conflict, TautError
from taut.ground.clock import duration_ms
from taut.home import Home
from taut.pipelines.steps import Facts, StepDone, Told
from taut.project import RolloutSpec
from taut.records import Alert, Backend, Deployment
from taut.serve.rollout.canaries import Judged, judge_labels, judge_rollout
from taut.serve.rollout.counted import read_tally
from taut.watch import handle_alert, list_alerts


def follow_rollouts(home: Home, problems: list[TautError], told: Told = lambda _: None) -> Iterator[StepDone]:
    """Look at the canary of each deployment once; what keeps one from its step goes to `problems`, the others go on."""
    for deployment in list_deployments(home):
        try:
            yield from _settled(home, deployment)
            if deployment.canary is not None:
                yield from _follow(home, deployment, deployment.canary)
        except Conflict as problem:
            told(f"{problem.message}; the next round looks again")
        except TautError as problem:
            problems.append(problem)


def _follow(home: Home, deployment: Deployment, canary: Backend) -> Iterator[StepDone]:
    for alert in _pages(home, deployment):
        if alert.version == canary.number and canary.model == deployment.model:
            yield from _paged(home, deployment, canary, alert)
            return
    judged = judge_labels(home, deployment.name)
    if judged.taken_back:
        yield _gone(deployment, canary, judged)
        return
    state = find_state(home, deployment.name)
    if state is None or state.status != "running" or state.revision != deployment.revision:
        return
    tally = read_tally(state.url, deployment, state.handle)
    if tally is None:
        return  # Who does not say how it does is given nothing more.
    judged = judge_rollout(home, deployment.name, tally)
    if judged.taken_back:
        yield _gone(deployment, canary, judged)
    elif judged.revision == deployment.revision:
        held_ms = home.clock.now_ms() - state.at_ms
        yield from _stepped(home, deployment, canary, judged, held_ms)


def _gone(deployment: Deployment, canary: Backend, judged: Judged) -> StepDone:
    facts: Facts = {"canary": canary.version, "revision": judged.revision, "because": judged.text}
    return StepDone(f"deployment:{deployment.name}", "rollback", facts)


def _paged(home: Home, deployment: Deployment, canary: Backend, alert: Alert) -> Iterator[StepDone]:
    """A page about the canary's own version takes it back; what was done about it answers the page."""
    reason = f"{canary.version}: {alert.point} pages, {alert.detector} on {alert.feature}"
    done = roll_back(
        home, deployment.name, cause=f"rollback:{alert.point}", reason=reason, after=deployment.revision,
        evidence={**alert.evidence},
    )  # fmt: skip
    handle_alert(home, alert.id, done.text)
    facts: Facts = {"canary": canary.version, "revision": done.deployment.revision, "because": reason}
    yield StepDone(f"deployment:{deployment.name}", "rollback", facts)


def _settled(home: Home, deployment: Deployment) -> Iterator[StepDone]:
    """The answer to a page that somebody took a canary back for, and was killed before it was written down."""
    cause = deployment.cause.partition(":")[2] if is_rollback(deployment) else ""
    if not cause.startswith("alert:"):
        return
    for alert in _pages(home, deployment):
        if alert.point == cause:
            handle_alert(home, alert.id, deployment.reason)
            yield StepDone(alert.point, "close", {"verdict": deployment.reason})


def _stepped(home: Home, deployment: Deployment, canary: Backend, judged: Judged, held_ms: int) -> Iterator[StepDone]:
    """The next share, once this one was held long enough; past the last one the canary is live."""
    asked = spec_of(deployment).rollout or RolloutSpec()
    if not asked.steps or held_ms < duration_ms(asked.hold) or judged.at_this_share < asked.requests:
        return
    percent = next((step for step in asked.steps if step > 100 * canary.weight + 1e-9), 100.0)
    reason = f"{100 * canary.weight:g} % held for {asked.hold} and {judged.at_this_share} requests; {judged.text}"
    gated = any(is_gated(home, one.model) for one in deployment.backends)
    if percent >= 100.0:
        done = promote_canary(home, deployment.name, reason=reason, gated=gated, after=deployment.revision)
        if not done.changed:
            return  # Another loop was faster.
        made = done.deployment
    else:
        others = with_canary(deployment.backends, Backend(canary.model, canary.number, percent / 100, "canary"))
        made = record_deployment(
            home, deployment.name, deployment.model, deployment.number, deployment.target, deployment.config, "step",
            gated, others, reason, deployment.revision,
        )  # fmt: skip
    facts: Facts = {"canary": canary.version, "percent": percent, "revision": made.revision}
    yield StepDone(f"deployment:{deployment.name}", "step", facts)


def _pages(home: Home, deployment: Deployment) -> list[Alert]:
    return [alert for alert in list_alerts(home, deployment.name, "open") if alert.severity == "page"]
