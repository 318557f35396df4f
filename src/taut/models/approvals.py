"""Separation of duties: a version goes live when enough people who did not make it agreed to these very bytes."""

from dataclasses import dataclass

from taut.errors import Invalid, NotFound, Refused
from taut.ground import wire
from taut.ground.access import list_tokens
from taut.ground.clock import new_id
from taut.ground.ledger import draw_arrow
from taut.ground.meta import Row, Tx, Value
from taut.home import Home, verb
from taut.models.evidence import newest_gate_in
from taut.models.rights import of_model
from taut.models.versions import lock_model, model_in, version_in
from taut.records import GateResult, ModelVersion

NEEDED_MAX = 9

SELECT_POLICY = "SELECT needed, asked, asked_by FROM approval_policy WHERE model = :model"
SET_POLICY = """
INSERT INTO approval_policy (model, needed, asked, asked_by) VALUES (:model, :needed, :asked, :asked_by)
ON CONFLICT (model) DO UPDATE SET needed = excluded.needed, asked = excluded.asked, asked_by = excluded.asked_by
"""
PROMOTION = "id, model, number, digest, gate, evidence, actor, reason, at_ms"
INSERT_PROMOTION = """
INSERT INTO promotion (id, model, number, digest, gate, evidence, actor, reason, at_ms)
VALUES (:id, :model, :number, :digest, :gate, :evidence, :actor, :reason, :at_ms)
"""
SELECT_NEWEST = f"""SELECT {PROMOTION} FROM promotion WHERE model = :model AND number = :number
ORDER BY at_ms DESC, id DESC LIMIT 1"""  # noqa: S608  # Constants only.
SELECT_ACTOR_OF_RUN = "SELECT actor FROM run WHERE id = :run_id"
DECIDE = """
INSERT INTO decision (promotion, person, actor, approves, reason, at_ms)
VALUES (:promotion, :person, :actor, :approves, :reason, :at_ms)
ON CONFLICT (promotion, person) DO UPDATE
SET approves = excluded.approves, reason = excluded.reason, at_ms = excluded.at_ms
"""
SELECT_DECISIONS = "SELECT actor, approves, reason, at_ms FROM decision WHERE promotion = :id ORDER BY at_ms, actor"


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """How many people have to approve a version of a model; `asked` is what somebody wants it lowered to."""

    model: str
    needed: int
    asked: int | None = None
    asked_by: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one person said of a request."""

    actor: str
    approves: bool
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Promotion:
    """A request that a version go live, for these bytes (`digest`) and this report of the gate (`evidence`)."""

    id: str
    model: str
    number: int
    digest: str
    gate: str
    evidence: str
    actor: str
    reason: str
    at_ms: int
    decisions: tuple[Decision, ...] = ()

    @property
    def point(self) -> str:
        """Its name in the lineage."""
        return f"promotion:{self.id}"


@verb("approval.policy", needs="model:read", on=of_model)
def approval_policy(home: Home, name: str) -> ApprovalPolicy:
    """How many people have to approve a version of a model: none where nobody said. Raises NotFound."""
    with home.meta.read() as tx:
        model_in(tx, name)
        return _policy(tx, name)


@verb("approval.require", needs="policy:write")
def require_approvals(home: Home, name: str, needed: int) -> ApprovalPolicy:
    """Ask for so many approvals from now on. Fewer than before is only asked for, until an approver agrees to it.

    Raises NotFound for no model, Invalid past nine.
    """
    if not 0 <= needed <= NEEDED_MAX:
        raise Invalid(f"a version is approved by 0 to {NEEDED_MAX} people, not by {needed}")
    with home.meta.transaction() as tx:
        lock_model(tx, name, home.clock.now_ms())
        before = _policy(tx, name)
        if needed >= before.needed:
            changed, kind = ApprovalPolicy(name, needed), "approval.required"
        else:
            changed, kind = ApprovalPolicy(name, before.needed, needed, home.actor.name), "approval.asked_lower"
        _store(tx, changed)
        home.append(tx, kind, subject=f"model:{name}", body={"before": before.needed, "wanted": needed})
        return changed


@verb("approval.lower", needs="policy:weaken")
def lower_approvals(home: Home, name: str) -> ApprovalPolicy:
    """Agree that fewer approvals be asked for, as somebody else wants. Raises NotFound where nobody does, Refused."""
    _person(home)
    makers = _makers(home)
    with home.meta.transaction() as tx:
        lock_model(tx, name, home.clock.now_ms())
        before = _policy(tx, name)
        if before.asked is None:
            raise NotFound(f"nobody asked for fewer approvals of {name!r}", hint=f"taut model approvals {name} 1")
        if home.actor.name in {before.asked_by, *makers.get(before.asked_by, ())}:
            raise Refused(f"{before.asked_by} asked for it; somebody else has to agree")
        changed = ApprovalPolicy(name, before.asked)
        _store(tx, changed)
        body = {"before": before.needed, "needed": changed.needed, "asked_by": before.asked_by}
        home.append(tx, "approval.lowered", subject=f"model:{name}", body=body)
        return changed


@verb("promotion.request", needs="model:request", on=of_model)
def request_promotion(home: Home, name: str, number: int, *, reason: str = "") -> Promotion:
    """Ask that a version go live, with the newest verdict of its gate as evidence. Raises NotFound."""
    with home.meta.transaction() as tx:
        lock_model(tx, name, home.clock.now_ms())
        version, gate = version_in(tx, name, number), newest_gate_in(tx, name, number)
        before = _newest(tx, name, number)
        at_ms = max(home.clock.now_ms(), 0 if before is None else before.at_ms + 1)  # Of two of one moment one is last.
        made = Promotion(
            new_id(), name, number, version.digest, "" if gate is None else gate.id, _evidence(gate), home.actor.name,
            reason, at_ms,
        )  # fmt: skip
        tx.execute(INSERT_PROMOTION, {
            "id": made.id, "model": name, "number": number, "digest": made.digest, "gate": made.gate,
            "evidence": made.evidence, "actor": made.actor, "reason": reason, "at_ms": made.at_ms,
        })  # fmt: skip
        body = {"promotion": made.id, "digest": made.digest, "gate": made.gate, "evidence": made.evidence}
        home.append(tx, "promotion.requested", subject=version.point, body=body)
        return made


@verb("promotion.decide", needs="model:approve", on=of_model)
def decide_promotion(home: Home, name: str, number: int, *, approves: bool = True, reason: str = "") -> Promotion:
    """Approve or reject the newest request for a version; a person decides once, and may change their mind before it.

    Raises NotFound where nobody asked, Refused for who made the version, trained it or asked for it, for machines, and
    where the version or its evidence is no longer what was asked for.
    """
    person, makers = _person(home), _makers(home)
    with home.meta.transaction() as tx:
        lock_model(tx, name, home.clock.now_ms())
        version, asked = version_in(tx, name, number), _newest(tx, name, number)
        if asked is None:
            raise NotFound(f"nobody asked that {name}@{number} go live", hint=f"taut model request {name}@{number}")
        if approves:
            _must_be_another(tx, home.actor.name, makers, version, asked)
        _must_be_the_same(tx, version, asked)
        at_ms = home.clock.now_ms()
        tx.execute(DECIDE, {
            "promotion": asked.id, "person": person, "actor": home.actor.name, "approves": int(approves),
            "reason": reason, "at_ms": at_ms,
        })  # fmt: skip
        draw_arrow(tx, asked.point, "decided", version.point, at_ms=at_ms)
        body = {"promotion": asked.id, "digest": asked.digest, "evidence": asked.evidence, "reason": reason}
        home.append(tx, "promotion.approved" if approves else "promotion.rejected", subject=version.point, body=body)
        found = _newest(tx, name, number)
        assert found is not None
        return found


@verb("promotion.show", needs="model:read", on=of_model)
def find_promotion(home: Home, name: str, number: int) -> Promotion:
    """The newest request for a version, with who decided what. Raises NotFound where nobody asked."""
    with home.meta.read() as tx:
        version_in(tx, name, number)
        found = _newest(tx, name, number)
    if found is None:
        raise NotFound(f"nobody asked that {name}@{number} go live", hint=f"taut model request {name}@{number}")
    return found


def must_be_approved(tx: Tx, name: str, number: int) -> None:
    """Raise Refused unless as many people approved these very bytes and this very verdict as the model asks for."""
    needed = _policy(tx, name).needed
    if not needed:
        return
    version = version_in(tx, name, number)
    named, hint = f"{version.name}@{version.number}", f"taut model request {version.name}@{version.number}"
    asked = _newest(tx, version.name, version.number)
    if asked is None:
        raise Refused(f"{named} needs {needed} approvals and nobody asked for them", hint=hint)
    _must_be_the_same(tx, version, asked)
    if against := next((one for one in asked.decisions if not one.approves), None):
        raise Refused(f"{against.actor} rejected {named}", hint=hint)
    if len(asked.decisions) < needed:
        raise Refused(f"{named} has {len(asked.decisions)} of {needed} approvals", hint=f"taut model approve {named}")


def _person(home: Home) -> str:
    """Who decides: an account, whichever of its tokens is shown, or the folder's owner. Raises Refused for machines."""
    actor = home.actor
    if actor.grants is not None:
        return f"account:{actor.grants.account_id}"
    if actor.token:
        raise Refused(f"{actor.name} is a machine's token; people decide what goes live")
    return f"local:{actor.name}"


def _must_be_another(tx: Tx, who: str, makers: dict[str, set[str]], version: ModelVersion, asked: Promotion) -> None:
    """Raise Refused for who made the version, trained it or asked for it, or whose token did."""
    trainer = tx.row(SELECT_ACTOR_OF_RUN, {"run_id": version.run_id})
    involved = {version.actor: "registered it", asked.actor: "asked for it"}
    if trainer is not None:
        involved[str(trainer[0])] = "trained it"
    for name, did in involved.items():
        if who in {name, *makers.get(name, ())}:
            raise Refused(f"{who} cannot approve {version.name}@{version.number}: {name} {did}")


def _must_be_the_same(tx: Tx, version: ModelVersion, asked: Promotion) -> None:
    gate = newest_gate_in(tx, version.name, version.number)
    if (version.digest, "" if gate is None else gate.id, _evidence(gate)) != (asked.digest, asked.gate, asked.evidence):
        raise Refused(
            f"{version.name}@{version.number} or its evidence is not what was asked for any more",
            hint=f"taut model request {version.name}@{version.number}",
        )


def _makers(home: Home) -> dict[str, set[str]]:
    """Who made the tokens of this project, by their names; read ahead, for they stand in another store."""
    found: dict[str, set[str]] = {}
    with home.root.meta.read() as tx:
        for token in list_tokens(tx, project=home.project_id):
            found.setdefault(token.name, set()).add(token.made_by)
    return found


def _evidence(gate: GateResult | None) -> str:
    return "" if gate is None else wire.digest([gate.id, gate.passed, gate.champion, wire.text(gate.checks)])


def _policy(tx: Tx, name: str) -> ApprovalPolicy:
    found = tx.row(SELECT_POLICY, {"model": name})
    if found is None:
        return ApprovalPolicy(name, 0)
    needed, asked, asked_by = found
    return ApprovalPolicy(name, int(str(needed)), None if asked is None else int(str(asked)), str(asked_by))


def _store(tx: Tx, policy: ApprovalPolicy) -> None:
    values: dict[str, Value] = {
        "model": policy.model,
        "needed": policy.needed,
        "asked": policy.asked,
        "asked_by": policy.asked_by,
    }
    tx.execute(SET_POLICY, values)


def _newest(tx: Tx, name: str, number: int) -> Promotion | None:
    row = tx.row(SELECT_NEWEST, {"model": name, "number": number})
    return None if row is None else _promotion(tx, row)


def _promotion(tx: Tx, row: Row) -> Promotion:
    id, model, number, digest, gate, evidence, actor, reason, at_ms = row
    decisions = tuple(
        Decision(str(who), bool(approves), str(why), int(str(when)))
        for who, approves, why, when in tx.rows(SELECT_DECISIONS, {"id": str(id)})
    )
    return Promotion(
        str(id), str(model), int(str(number)), str(digest), str(gate), str(evidence), str(actor), str(reason),
        int(str(at_ms)), decisions,
    )  # fmt: skip
