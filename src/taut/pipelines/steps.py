"""A durable loop's memory: the steps of a plan, each recorded when it is done, so that none is done twice."""

from collections.abc import Callable
from dataclasses import dataclass

from taut.ground import wire
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, verb
from taut.watch.alerts import set_status

SELECT_STEPS = "SELECT name, body, at_ms FROM step WHERE plan = :plan ORDER BY at_ms, name"
INSERT_STEP = """
INSERT INTO step (plan, name, status, body, at_ms) VALUES (:plan, :name, 'done', :body, :at_ms)
ON CONFLICT (plan, name) DO NOTHING
"""

Facts = dict[str, str | int | float | bool | None]
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StepDone:
    """Something the loop did: for which alert or deployment, which step, and what came of it."""

    plan: str
    step: str
    facts: Facts


@verb("loop.steps", needs="pipeline:read")
def list_steps(home: Home, plan: str) -> dict[str, Facts]:
    """The steps of a plan that are done, by name, with what each found."""
    with home.meta.read() as tx:
        return {str(name): _facts(body) for name, body, _ in tx.rows(SELECT_STEPS, {"plan": plan})}


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
    home.append(tx, "loop.step", subject=plan, body={"step": name})
    return True


def _facts(body: Row | str | int | float | None) -> Facts:
    return wire.decode(str(body), Facts, what="a stored step")
