"""An alert replayed: the detectors bet again on the stored counts, and must come to the same answer, bit for bit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taut.errors import NotFound
from taut.ground import wire
from taut.ground.access import ANY
from taut.ground.objects import read_object
from taut.home import Home, verb
from taut.records import Alert, Window
from taut.watch.detail import seen_alert
from taut.watch.kept import Kept, digest_of, kept_counts, unpack
from taut.watch.windows import windows_of_reference

if TYPE_CHECKING:
    from taut.watch.detectors import EwinState

SELECT_OID = "SELECT oid FROM monitor_reference WHERE deployment = :deployment AND number = :number"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replay came to another answer: in which window, in what, and both answers."""

    window_start_ms: int
    what: str
    stored: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay of an alert came to. `is_same` where each window gave the same evidence, memory and alarm."""

    alert: str
    windows: int
    is_same: bool
    e_value: float
    window_start_ms: int | None
    differences: tuple[Difference, ...]


@verb("watch.replay", needs="deployment:read", on=ANY)
def replay_alert(home: Home, alert_id: str) -> Replay:
    """Let the detectors bet again, from the reference profile and the counts of every window that it was held against.

    Each window has the settings that it had. Held against what is stored are the evidence of each window, the digest
    of what the detectors remembered after it, the window in which the alert was opened, its story and its peak.
    Raises NotFound where there is no such alert, or its windows were closed by a taut that kept no counts.
    """
    from taut.watch.counts import WindowCounts
    from taut.watch.detecting import bet
    from taut.watch.events import Reference

    with home.meta.read() as tx:
        alert = seen_alert(home, tx, alert_id)
        named = tx.row(SELECT_OID, {"deployment": alert.deployment, "number": alert.reference})
        kept = kept_counts(tx, alert.deployment, alert.reference)
        windows = windows_of_reference(tx, alert.deployment, alert.reference)
    if named is None or not kept:
        raise NotFound(
            f"no counts are kept of the windows of {alert.point}: they were closed by an older taut",
            hint=f"taut watch status {alert.deployment}",
        )
    profile = wire.decode(read_object(home.objects, str(named[0])), Reference, what="the reference profile")
    differences = _missing(windows, kept)
    stored = {window.start_ms: window for window in windows}
    state: dict[str, EwinState] = {}
    opened: int | None = None
    peak = 0.0
    for one in kept:
        found = bet(profile, one.settings, state, unpack(one.counts, WindowCounts))
        state = found.after
        differences += _differences(one, stored.get(one.start_ms), found.evidence, digest_of(wire.text(state)))
        if alert.budget in found.alarms:
            opened = one.start_ms if opened is None else opened
            if one.start_ms <= alert.last_ms:
                peak = max(peak, found.evidence[alert.budget])
    differences += _of_alert(alert, opened, peak)
    last = stored[kept[-1].start_ms].evidence if kept[-1].start_ms in stored else {}
    return Replay(alert.id, len(kept), not differences, last.get(alert.budget, 0.0), opened, tuple(differences))


def _missing(windows: list[Window], kept: list[Kept]) -> list[Difference]:
    """Windows of which no counts are kept; what follows them cannot come out the same."""
    known = {one.start_ms for one in kept}
    return [
        Difference(window.start_ms, "counts", "none are kept", f"{window.rows} rows")
        for window in windows
        if window.start_ms not in known
    ]


def _differences(one: Kept, window: Window | None, evidence: dict[str, float], state: str) -> list[Difference]:
    found = []
    if window is None or window.evidence != evidence:
        told = "no window" if window is None else wire.text(window.evidence)
        found.append(Difference(one.start_ms, "evidence", told, wire.text(evidence)))
    if one.state != state:
        found.append(Difference(one.start_ms, "memory", one.state[:12], state[:12]))
    return found


def _of_alert(alert: Alert, opened: int | None, peak: float) -> list[Difference]:
    found = []
    if opened != alert.window_start_ms:
        found.append(
            Difference(alert.window_start_ms, "first window in alarm", str(alert.window_start_ms), str(opened))
        )
    if peak != alert.peak:
        found.append(Difference(alert.last_ms, "peak", repr(alert.peak), repr(peak)))
    return found
