"""A canary judged by what was counted: its standing is kept, and it is taken back once the evidence says so.

Whoever has the counters calls `judge_rollout`, as often as they like: the serving side, or the loop that reads them off
`/metrics`. Counts that were seen are not counted again, whoever brings them.
"""

from dataclasses import asdict, dataclass, field, replace

from taut.deploy import canary_since_in, find_deployment, roll_back, spec_of
from taut.deploy.rights import of_deployment
from taut.errors import Conflict
from taut.ground import wire
from taut.ground.ledger import take_turn
from taut.ground.meta import Tx, Value
from taut.home import Home, verb
from taut.project import RollbackSpec, RolloutSpec
from taut.records import Deployment
from taut.serve.rollout.judging import Counts, Limits, Standing, Verdict, look, look_at_labels, verdict
from taut.serve.rollout.losses import losses_since

SOURCES_MAX = 16  # Sets of counters that are remembered: a process that began again is another one.

SELECT_MEMORY = "SELECT state FROM rollout WHERE name = :name AND began = :began"
UPSERT_MEMORY = """
INSERT INTO rollout (name, began, state, at_ms) VALUES (:name, :began, :state, :at_ms)
ON CONFLICT (name, began) DO UPDATE SET state = excluded.state, at_ms = excluded.at_ms
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """What one set of counters says since it began: `source` tells it from every other, also from one before a restart.

    It is the handle of the serving process, as the state of its deployment has it: whoever else reads the same counters
    must call them the same.
    It counts what was answered under `revision`, and nothing from before that. `bounds_ms` are the upper bounds of both
    histograms.
    """

    source: str
    revision: int
    bounds_ms: tuple[float, ...]
    live: Counts
    canary: Counts


@dataclass(frozen=True, slots=True)
class Judged:
    """How a canary stands: what it has answered in all and since its newest share, and the evidence of both tests.

    `canary` is empty where there is none. `revision` is the newest one, that of the rollback where it was `taken_back`.
    """

    deployment: str
    revision: int
    canary: str = ""
    answered: int = 0
    at_this_share: int = 0
    evidence: dict[str, float] = field(default_factory=dict)
    taken_back: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    live: Counts
    canary: Counts


@dataclass(frozen=True, slots=True)
class _Memory:
    """What is kept of a canary: `before` is what it had answered when `revision` gave it another share."""

    standing: Standing = field(default_factory=Standing)
    seen: dict[str, _Seen] = field(default_factory=dict)
    revision: int = 0
    before: int = 0
    labels_until_ms: int | None = None
    """Up to which event the labels were looked at."""


@verb("deployment.judge", needs="deployment:write", on=of_deployment)
def judge_rollout(home: Home, deployment: str, tally: Tally) -> Judged:
    """Add what was counted to what is known of an endpoint's canary, and take it back where that is too bad.

    The rollback is a revision of its own, with the evidence in the ledger; whoever keeps the endpoint running has it
    made so. Killed between the two, the next call finds the same evidence. A tally of another revision than the newest
    is not counted, for its shares were others. Raises NotFound for an unknown deployment, Invalid for counts that
    cannot be.
    """
    newest = find_deployment(home, deployment)
    canary = newest.canary
    if canary is None:
        return Judged(deployment, newest.revision, text="it has no canary")
    asked = (spec_of(newest).rollout or RolloutSpec()).rollback
    limits = limits_of(asked)
    with home.meta.transaction() as tx:
        (ended,) = home.ended(take_turn(tx), [home.actor])
        if ended is not None:
            raise ended
        began = canary_since_in(tx, newest)
        memory = _counted(_memory(tx, deployment, began), newest, tally, limits)
        tx.execute(UPSERT_MEMORY, _state(home, deployment, began, memory))
    return _concluded(home, newest, asked, memory)


@verb("deployment.judge_labels", needs="deployment:write", on=of_deployment)
def judge_labels(home: Home, deployment: str) -> Judged:
    """Look at the labels that came, each row once, and take an endpoint's canary back where it is too often wrong.

    Rows count by the time of their events, from the canary's first on; those whose label comes later than `lateness`
    are left out. Nothing is looked at where the policy asks for no `harm`. Raises NotFound for an unknown deployment.
    """
    newest = find_deployment(home, deployment)
    asked = (spec_of(newest).rollout or RolloutSpec()).rollback
    if newest.canary is None or asked.harm is None:
        return Judged(deployment, newest.revision, text="its labels are not looked at")
    limits = limits_of(asked)
    with home.meta.read() as tx:
        began = canary_since_in(tx, newest)
        memory = _memory(tx, deployment, began)
    found = losses_since(home, newest, began, memory.labels_until_ms, asked)
    if found is not None:
        seen_ms, (live, canary) = memory.labels_until_ms, found.losses
        with home.meta.transaction() as tx:
            memory = _memory(tx, deployment, began)
            if memory.labels_until_ms == seen_ms:  # Else somebody else has counted them.
                standing = look_at_labels(limits, memory.standing, live, canary)
                memory = replace(memory, standing=standing, labels_until_ms=found.until_ms)
                tx.execute(UPSERT_MEMORY, _state(home, deployment, began, memory))
    return _concluded(home, newest, asked, memory)


@verb("deployment.standing", needs="deployment:read", on=of_deployment)
def show_standing(home: Home, deployment: str) -> Judged:
    """How the canary of an endpoint stands by all that was counted so far; changes nothing. Raises NotFound."""
    newest = find_deployment(home, deployment)
    if newest.canary is None:
        return Judged(deployment, newest.revision, text="it has no canary")
    with home.meta.read() as tx:
        memory = _memory(tx, deployment, canary_since_in(tx, newest))
    if memory.revision != newest.revision:  # Nothing was counted since its share changed.
        memory = replace(memory, revision=newest.revision, before=memory.standing.answered.requests)
    limits = limits_of((spec_of(newest).rollout or RolloutSpec()).rollback)
    return _judged(newest, memory, verdict(limits, memory.standing))


def limits_of(asked: RollbackSpec) -> Limits:
    """What taut.yaml allows a canary."""
    return Limits(
        errors=asked.errors, slower=asked.slower, bound_ms=asked.latency_ms, latency_factor=asked.latency_factor,
        alpha=asked.alpha, min_requests=asked.min_requests, harm=asked.harm,
    )  # fmt: skip


def _memory(tx: Tx, deployment: str, began: int) -> _Memory:
    found = tx.row(SELECT_MEMORY, {"name": deployment, "began": began})
    return _Memory() if found is None else wire.decode(str(found[0]), _Memory, what="what is known of a canary")


def _state(home: Home, deployment: str, began: int, memory: _Memory) -> dict[str, Value]:
    return {"name": deployment, "began": began, "state": wire.text(memory), "at_ms": home.clock.now_ms()}


def _counted(memory: _Memory, newest: Deployment, tally: Tally, limits: Limits) -> _Memory:
    """The memory after one more look; a look without requests of both is put off until there are some."""
    if memory.revision != newest.revision:
        memory = replace(memory, revision=newest.revision, before=memory.standing.answered.requests)
    if tally.revision != newest.revision:
        return memory
    source = f"{tally.source}@{tally.revision}"
    seen = memory.seen.get(source, _Seen(Counts(), Counts()))
    live, canary = tally.live.since(seen.live), tally.canary.since(seen.canary)
    if not live.requests or not canary.requests:
        return memory
    standing = look(limits, memory.standing, live, canary, tally.bounds_ms)
    others = [(name, one) for name, one in memory.seen.items() if name != source]
    kept = dict([*others[1 - SOURCES_MAX :], (source, _Seen(tally.live, tally.canary))])
    return replace(memory, standing=standing, seen=kept)


def _judged(newest: Deployment, memory: _Memory, found: Verdict | None) -> Judged:
    standing, canary = memory.standing, newest.canary
    answered = standing.answered.requests
    evidence = {"errors": standing.errors.log_e, "latency": standing.latency.log_e, "bound_ms": standing.bound_ms}
    if standing.rows:
        evidence["labels"] = standing.labels.log_e
    text = found.text if found is not None else "nothing speaks against it"
    version = "" if canary is None else canary.version
    return Judged(newest.name, newest.revision, version, answered, answered - memory.before, evidence, text=text)


def _concluded(home: Home, newest: Deployment, asked: RollbackSpec, memory: _Memory) -> Judged:
    """How the canary stands after a look, and what follows from it."""
    found = verdict(limits_of(asked), memory.standing)
    judged = _judged(newest, memory, found)
    if found is None or not asked.automatic:
        return judged
    return _taken_back(home, newest, judged, found, memory.standing)


def _taken_back(home: Home, newest: Deployment, judged: Judged, found: Verdict, standing: Standing) -> Judged:
    evidence: dict[str, str | float] = {
        "canary": judged.canary, "kind": found.kind, "e_value": found.e_value, "bound_ms": standing.bound_ms,
        "requests": standing.answered.requests, "errors": standing.answered.errors, "slow": standing.slow,
        **{f"{test}_{name}": value for test, one in (("error", standing.errors), ("latency", standing.latency))
           for name, value in asdict(one).items() if name != "logs"},
        **({"rows": standing.rows, "loss": standing.loss, "live_rows": standing.labels.requests,
            "live_loss": standing.labels.hits} if standing.rows else {}),
    }  # fmt: skip
    try:
        done = roll_back(
            home, newest.name, cause=f"rollback:{found.kind}", reason=f"{judged.canary}: {found.text}",
            after=newest.revision, evidence=evidence,
        )  # fmt: skip
    except Conflict:
        return replace(judged, text="somebody changed the endpoint meanwhile")  # The next look is at what is there now.
    return replace(judged, revision=done.deployment.revision, taken_back=True)
