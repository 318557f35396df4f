"""A canary's end, one way or the other: it becomes live, or what stood behind the endpoint before does so again.

Each is one transaction: the next revision, its entry in the ledger and its arrows, or nothing. What is recorded is a
wish as any other; whoever calls these has it made so (`taut.deploy.apply`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from taut.deploy.allowing import allowed_in
from taut.deploy.deployments import deployment_in, must_be_newest
from taut.deploy.revisions import following, revisions_in, write_revision
from taut.deploy.rights import of_deployment
from taut.errors import Conflict, NotFound
from taut.ground.ledger import events
from taut.ground.meta import Tx
from taut.home import Home, verb
from taut.records import Backend, Deployment, Setting

PROMOTION, ROLLBACK = "promotion", "rollback"
PAGE = 50  # Revisions that are read at a time on the way back.


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of an endpoint: its newest revision, whether that was made now, and what was done, in a sentence."""

    deployment: Deployment
    changed: bool
    text: str


@verb("deployment.promote", needs="deployment:write", on=of_deployment)
def promote_canary(
    home: Home, name: str, cause: str = PROMOTION, reason: str = "", gated: bool = False, after: int = 0
) -> Changed:
    """Let the canary answer everything; shadows stay. Called again it changes nothing.

    Raises NotFound for an unknown deployment, Conflict where it has no canary or a newer revision than `after`,
    Refused where the gate has come to say no.
    """
    with home.meta.transaction() as tx:
        newest = deployment_in(tx, name)
        canary = newest.canary
        if canary is None and newest.cause == PROMOTION:
            return Changed(newest, False, f"{newest.backends[0].version} is live already, as {newest.point} says")
        if canary is None:
            raise Conflict(f"{name!r} has no canary", hint=f"taut deploy {name} VERSION --canary 5")
        must_be_newest(name, newest, after)
        backends = (canary, *newest.shadows)
        gates = allowed_in(tx, backends, newest.config, gated=gated)
        made = write_revision(home, tx, following(home, newest, backends, cause, reason), gates)
    return Changed(made, True, f"{canary.version} is live; it was {newest.backends[0].version}")


@verb("deployment.rollback", needs="deployment:write", on=of_deployment)
def roll_back(
    home: Home,
    name: str,
    to: int = 0,
    cause: str = ROLLBACK,
    reason: str = "",
    after: int = 0,
    evidence: Mapping[str, Setting] | None = None,
) -> Changed:
    """Take back what came last: the canary, where there is one; else the live version, for the newest before it.

    That is the newest revision that came up, was not taken back itself, and has nothing of the version that goes.
    `to` names a revision instead. Called again it changes nothing. What is gone back to was allowed when it went live
    and is asked no second time: nobody waits for a judge while an endpoint fails. Raises NotFound where there is no
    such deployment, revision or way back, Conflict where there is a newer revision than `after`.
    """
    with home.meta.transaction() as tx:
        newest = deployment_in(tx, name)
        if not to and is_rollback(newest):
            said = f"{newest.point} is a rollback already: {newest.reason or 'by hand'}; --to REVISION goes further"
            return Changed(newest, False, said)
        must_be_newest(name, newest, after)
        gone = candidate(newest)
        if to:
            wanted = deployment_in(tx, name, to)
        elif newest.canary is not None:
            wanted = replace(newest, backends=(newest.backends[0], *newest.shadows))
        else:
            wanted = _last_good(tx, newest, gone)
        if (wanted.backends, wanted.target, wanted.config) == (newest.backends, newest.target, newest.config):
            return Changed(newest, False, f"{name!r} is as revision {to} was already")
        again = following(home, newest, wanted.backends, cause, reason)
        made = write_revision(home, tx, replace(again, target=wanted.target, config=wanted.config))
        body = {"to": made.revision, "as": wanted.revision, "gone": gone.version, "cause": cause, "reason": reason}
        body |= {"evidence": dict(evidence)} if evidence else {}
        home.append(tx, "deployment.rolled_back", subject=newest.point, body=body)
    as_of = "" if wanted.revision == newest.revision else f", as in revision {wanted.revision}"
    return Changed(made, True, f"{gone.version} is taken back; {made.backends[0].version} answers{as_of}")


@verb("deployment.taken_back", needs="deployment:read", on=of_deployment)
def taken_back(home: Home, name: str) -> Backend | None:
    """The version that the newest revision was a rollback from, None where it was none or there is no deployment.

    Until somebody deploys it by name again, nothing that only follows taut.yaml brings it back.
    """
    with home.meta.read() as tx:
        found = revisions_in(tx, name, *_last_two(tx, name))
    return candidate(found[1]) if len(found) == 2 and is_rollback(found[0]) else None


def is_rollback(deployment: Deployment) -> bool:
    """Whether a revision took one back, by hand or by itself."""
    return deployment.cause.partition(":")[0] == ROLLBACK


def candidate(deployment: Deployment) -> Backend:
    """The version whose doing a revision is: its canary, else the live one."""
    return deployment.canary or deployment.backends[0]


def _last_two(tx: Tx, name: str) -> tuple[int, int]:
    try:
        newest = deployment_in(tx, name).revision
    except NotFound:
        return 0, 0
    return newest - 1, newest


def _last_good(tx: Tx, newest: Deployment, gone: Backend) -> Deployment:
    last = newest.revision - 1
    while last > 0:
        for one in revisions_in(tx, newest.name, last - PAGE + 1, last):
            if all(other.version != gone.version for other in one.backends) and _served_well(tx, one):
                return one
        last -= PAGE
    raise NotFound(
        f"no earlier revision of {newest.name!r} served without {gone.version}",
        hint=f"taut deployments {newest.name}, then taut rollback {newest.name} --to REVISION",
    )


def _served_well(tx: Tx, one: Deployment) -> bool:
    came_up = events(tx, kind="deployment.running", subject=one.point, limit=1)
    return bool(came_up) and not events(tx, kind="deployment.rolled_back", subject=one.point, limit=1)
