"""What a deployment is held against: the reference profile of the version that serves, renewed by number."""

from dataclasses import dataclass

from taut.deploy.rights import of_deployment
from taut.errors import Invalid, NotFound
from taut.ground.meta import Row, Tx
from taut.home import Home, verb
from taut.watch.alerts import supersede_alerts

SELECT_NEWEST = """
SELECT deployment, number, model, version, from_ms, oid, cause, at_ms FROM monitor_reference
WHERE deployment = :deployment ORDER BY number DESC LIMIT 1
"""
SELECT_ALL = """
SELECT deployment, number, model, version, from_ms, oid, cause, at_ms FROM monitor_reference
WHERE deployment = :deployment ORDER BY number
"""
SELECT_OF_CAUSE = """
SELECT deployment, number, model, version, from_ms, oid, cause, at_ms FROM monitor_reference
WHERE deployment = :deployment AND cause = :cause
"""
INSERT = """
INSERT INTO monitor_reference (deployment, number, model, version, from_ms, oid, cause, at_ms)
VALUES (:deployment, :number, :model, :version, :from_ms, :oid, :cause, :at_ms)
"""


@dataclass(frozen=True, slots=True)
class MonitorReference:
    """Reference number `number` of a deployment: what `model@version` says from `from_ms` on is held against `oid`.

    `oid` is the object of a profile, see `taut.watch.profile`. `cause` is `deployed`, the alert that it answers, or
    the revision that began to answer.
    """

    deployment: str
    number: int
    model: str
    version: int
    from_ms: int
    oid: str
    cause: str
    at_ms: int


@verb("watch.refer", needs="policy:write")
def set_reference(
    home: Home, deployment: str, *, model: str, version: int, from_ms: int, oid: str, cause: str
) -> MonitorReference:
    """Hold a deployment against a new profile from a moment on, with all evidence begun anew.

    Doing it again for the same alert changes nothing, nor for a revision while it is what the deployment is held
    against. Open alerts that it leaves nothing of are superseded, see `supersede_alerts`. Raises Invalid where the
    profile is not stored.
    """
    if home.objects.claim([oid]):
        raise Invalid(f"the profile {oid[:12]} of {deployment} is not stored")
    with home.meta.transaction() as tx:
        known = _of_cause(tx, deployment, cause)
        if known is not None:
            return known
        made = insert_reference(home, tx, deployment, model, version, from_ms, oid, cause)
        supersede_alerts(home, tx, deployment, cause, made.number)
    return made


@verb("watch.references", needs="deployment:read", on=of_deployment)
def list_references(home: Home, deployment: str) -> list[MonitorReference]:
    """Every reference that a deployment was held against, in order."""
    with home.meta.read() as tx:
        return [_reference(row) for row in tx.rows(SELECT_ALL, {"deployment": deployment})]


@verb("watch.reference", needs="deployment:read", on=of_deployment)
def find_reference(home: Home, deployment: str) -> MonitorReference:
    """What a deployment is held against now. Raises NotFound where it is not watched yet."""
    with home.meta.read() as tx:
        found = newest_reference(tx, deployment)
    if found is None:
        raise NotFound(f"deployment {deployment!r} is not watched yet", hint="taut apply")
    return found


def insert_reference(
    home: Home, tx: Tx, deployment: str, model: str, version: int, from_ms: int, oid: str, cause: str
) -> MonitorReference:
    """The next reference of a deployment, with its event, inside the caller's transaction."""
    before = newest_reference(tx, deployment)
    number = 1 if before is None else before.number + 1
    made = MonitorReference(deployment, number, model, version, from_ms, oid, cause, home.clock.now_ms())
    tx.execute(INSERT, {name: getattr(made, name) for name in MonitorReference.__slots__})
    body = {"number": number, "version": f"{model}@{version}", "cause": cause}
    home.append(tx, "watch.reference", subject=f"deployment:{deployment}", body=body)
    return made


def newest_reference(tx: Tx, deployment: str) -> MonitorReference | None:
    """The reference in force, None before the first."""
    found = tx.row(SELECT_NEWEST, {"deployment": deployment})
    return None if found is None else _reference(found)


def _of_cause(tx: Tx, deployment: str, cause: str) -> MonitorReference | None:
    """The reference that a cause has led to already. A version may come back, and then its revision asks anew."""
    if cause == "deployed":
        return None
    if cause.startswith("deployment:"):
        newest = newest_reference(tx, deployment)
        return newest if newest is not None and newest.cause == cause else None
    known = tx.row(SELECT_OF_CAUSE, {"deployment": deployment, "cause": cause})
    return None if known is None else _reference(known)


def _reference(row: Row) -> MonitorReference:
    deployment, number, model, version, from_ms, oid, cause, at_ms = row
    return MonitorReference(
        str(deployment), int(str(number)), str(model), int(str(version)), int(str(from_ms)), str(oid), str(cause),
        int(str(at_ms)),
    )  # fmt: skip
