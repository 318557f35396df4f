"""The window to close next: its span, the reference that it is held against, and who answered in it."""

from dataclasses import dataclass

from taut.deploy.rights import of_deployment
from taut.ground.clock import duration_ms
from taut.ground.meta import Tx, Value
from taut.ground.whole import read_whole
from taut.home import Home, verb
from taut.project import MonitorSpec
from taut.serve import PredictionReader, open_log
from taut.watch.references import MonitorReference, newest_reference

SELECT_LAST = "SELECT max(end_ms) FROM monitor_window WHERE deployment = :deployment"
# Clocks of two machines may disagree, so that a reference seems older than the rollout that it followed.
SELECT_REVISION = """
SELECT COALESCE(max(CASE WHEN at_ms <= :at_ms THEN revision END), max(revision), 0) FROM deployment
WHERE name = :deployment AND model = :model AND number = :version
"""


@dataclass(frozen=True, slots=True)
class Due:
    """A window that is to be closed next, and the reference in force."""

    reference: MonitorReference
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Successor:
    """A version that answered in the window from `from_ms` on and is not what the deployment is held against yet."""

    deployment: str
    revision: int
    model: str
    version: int
    from_ms: int

    @property
    def point(self) -> str:
        """Its revision's name in the lineage, which is the cause of its reference."""
        return f"deployment:{self.deployment}@{self.revision}"


@verb("watch.successor", needs="deployment:read", on=of_deployment)
def find_successor(home: Home, deployment: str, spec: MonitorSpec) -> Successor | None:
    """The version that a rollout brought and that answered in the window to close next; None where nothing changed.

    Until `renew_reference` has answered it, no window closes: held against the reference of the version before, it
    would count none of the rows that matter.
    """
    with open_log(home, deployment) as log:
        due = window_due(log, spec)
        return None if due is None else successor_in(log, due)


def window_due(log: PredictionReader, spec: MonitorSpec) -> Due | None:
    """The next window, if its time is up by the events seen so far; None also where nothing is watched yet."""
    following = window_after(log.tx, log.deployment, spec)
    if following is None:
        return None
    seen_ms = max((one.last_event_ms for one in log.versions()), default=-1)
    return following if seen_ms >= following.end_ms + duration_ms(spec.lateness) else None


def window_after(tx: Tx, deployment: str, spec: MonitorSpec) -> Due | None:
    """The window after those that were closed, whether its time is up or not; None where nothing is watched yet."""
    reference = newest_reference(tx, deployment)
    if reference is None:
        return None
    start_ms = _next_start(tx, reference)
    return Due(reference, start_ms, start_ms + duration_ms(spec.window))


def successor_in(log: PredictionReader, due: Due) -> Successor | None:
    """Who answered last in a window, where that is a later rollout of another version than the reference is about.

    What a canary or a shadow answers brings no other reference: it is on trial. A reference may be ahead of its rows,
    as after a retraining whose alert came late: what an older revision answers meanwhile takes nothing back.
    """
    held = due.reference
    revision = _revision_of(log.tx, held)
    newer = [one for one in log.versions(due.start_ms, due.end_ms) if one.revision > revision and one.role == "live"]
    if not newer or (newer[-1].model, newer[-1].number) == (held.model, held.version):
        return None
    last = newer[-1]
    return Successor(held.deployment, last.revision, last.model, last.number, due.start_ms)


def _revision_of(tx: Tx, reference: MonitorReference) -> int:
    """The rollout that a reference belongs to: the one that caused it, else the last of its version before it."""
    point, _, revision = reference.cause.rpartition("@")
    if point == f"deployment:{reference.deployment}" and revision.isdecimal():
        return read_whole(revision, what="the revision")
    known: dict[str, Value] = {
        "deployment": reference.deployment, "model": reference.model, "version": reference.version,
        "at_ms": reference.at_ms,
    }  # fmt: skip
    found = tx.row(SELECT_REVISION, known)
    return 0 if found is None else int(str(found[0]))


def _next_start(tx: Tx, reference: MonitorReference) -> int:
    """Where the reference begins, and never before the end of what was closed: no moment is counted twice."""
    last = tx.row(SELECT_LAST, {"deployment": reference.deployment})
    return reference.from_ms if last is None or last[0] is None else max(reference.from_ms, int(last[0]))
