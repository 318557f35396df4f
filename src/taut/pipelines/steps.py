"""A durable loop's memory: the steps of a plan, each recorded when it is done, so that none is done twice."""

from collections.abc import Callable
from dataclasses import dataclass

from taut.ground import wire
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, verb
from taut.watch.alerts import set_status

SELECT_STEPS = "SELECT name, body, at_ms FROM step WHERE plan = :plan ORDER BY at_ms, name"
SELECT_ANSWERS = """
SELECT step.plan, step.name, step.body FROM step JOIN alert ON step.plan = 'alert:' || alert.id
WHERE alert.deployment = :deployment ORDER BY step.at_ms, step.name
"""
SELECT_NEW_LABELS = "SELECT count(*) FROM label WHERE deployment = :deployment AND at_ms > :since_ms"
INSERT_STEP = """
INSERT INTO step (plan, name, status, body, at_ms) VALUES (:plan, :name, 'done', :body, :at_ms)
ON CONFLICT (plan, name) DO NOTHING
"""

Facts = dict[str, str | int | float | bool | None]
Steps = dict[str, Facts]
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StepDone:
    """Something the loop did: for which alert or deployment, which step, and what came of it."""

    plan: str
    step: str
    facts: Facts


@verb("loop.steps", needs="pipeline:read")
def list_steps(home: Home, plan: str) -> Steps:
    """The steps of a plan that are done, by name, with what each found."""
    with home.meta.read() as tx:
        return {str(name): _facts(body) for name, body, _ in tx.rows(SELECT_STEPS, {"plan": plan})}


@verb("loop.answers", needs="pipeline:read")
def list_answers(home: Home, deployment: str) -> dict[str, Steps]:
    """The steps of every plan that answers an alert of a deployment, by the alert's point; those begun alone."""
    found: dict[str, Steps] = {}
    with home.meta.read() as tx:
        for plan, name, body in tx.rows(SELECT_ANSWERS, {"deployment": deployment}):
            found.setdefault(str(plan), {})[str(name)] = _facts(body)
    return found


@verb("loop.labels", needs="pipeline:read")
def count_new_labels(home: Home, deployment: str, since_ms: int) -> int:
    """How many labels of a deployment came, or came to be another, after a moment of the clock."""
    with home.meta.read() as tx:
        found = tx.row(SELECT_NEW_LABELS, {"deployment": deployment, "since_ms": since_ms})
    return 0 if found is None else int(str(found[0]))


@verb("loop.record", needs="pipeline:run")
def record_step(home: Home, plan: str, name: str, facts: Facts) -> bool:
    """Record that a step is done; False where it was recorded before, whose facts then stand."""
    with home.meta.transaction() as tx:
        return _record(home, tx, plan, name, facts)


@verb("loop.close", needs="policy:write")
def close_plan(home: Home, alert_id: str, name: str, verdict: str) -> Facts:
    """Take the last step of a plan: its alert is handled and that is recorded, both or neither. Raises NotFound.

    What a kill left in between nobody would take up again: only open alerts are looked at.
    """
    facts: Facts = {"verdict": verdict}
    with home.meta.transaction() as tx:
        alert = set_status(home, tx, alert_id, "handled", verdict)
        _record(home, tx, alert.point, name, facts)
    return facts


def _record(home: Home, tx: Tx, plan: str, name: str, facts: Facts) -> bool:
    row: dict[str, Value] = {"plan": plan, "name": name, "body": wire.text(facts), "at_ms": home.clock.now_ms()}
    if not tx.execute(INSERT_STEP, row):
        return False
    reason = facts.get("reason") or facts.get("verdict")
    home.append(tx, "loop.step", subject=plan, body={"step": name, **({"reason": reason} if reason else {})})
    return True


def _facts(body: Row | str | int | float | None) -> Facts:
    return wire.decode(str(body), Facts, what="a stored step")
