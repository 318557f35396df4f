"""The window that is still open: what was answered in it so far, and what the detectors would say if it closed now."""

from dataclasses import dataclass

from taut.deploy.rights import of_deployment
from taut.errors import NotFound
from taut.ground.clock import duration_ms
from taut.ground.objects import read_object
from taut.home import Home, verb
from taut.project import MonitorSpec
from taut.serve import Span, open_log
from taut.watch.due import window_after
from taut.watch.evidence import FeatureEvidence, features_of
from taut.watch.stored import states_of


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """The window to close next as it stands: advisory, for its rows and labels still come, and nothing is stored.

    `evidence`, `alarms` and `features`, strongest first, are what they would be if it closed now; the alarm that counts
    is the one at the close. `bound` is the e-value of an alarm. `newest_event_ms` is of all events seen, None for none.
    """

    deployment: str
    model: str
    version: int
    reference: int
    start_ms: int
    end_ms: int
    closes_ms: int
    """The event time that closes it: its end and the lateness."""
    newest_event_ms: int | None
    rows: int
    labelled: int
    measures: dict[str, float | None]
    evidence: dict[str, float]
    bound: float
    alarms: dict[str, str]
    features: tuple[FeatureEvidence, ...]


@verb("watch.open", needs="deployment:read", on=of_deployment)
def open_window(home: Home, deployment: str, spec: MonitorSpec) -> OpenWindow:
    """Count the window that is still open. Raises NotFound where the deployment is not watched yet."""
    from taut.watch.counting import count_log
    from taut.watch.detecting import reference_in, watch_rows

    with open_log(home, deployment) as log:
        due = window_after(log.tx, deployment, spec)
        if due is None:
            raise NotFound(f"deployment {deployment!r} is not watched yet", hint="taut apply")
        held = due.reference
        reference = reference_in(read_object(home.objects, held.oid))
        span = Span(deployment, due.start_ms, due.end_ms, held.version, held.model)
        counted = count_log(log, span, reference, spec)
        states = states_of(log.tx, held)
        newest_ms = max((one.last_event_ms for one in log.versions()), default=None)
    found = watch_rows(reference, counted, spec, states)
    return OpenWindow(
        deployment, held.model, held.version, held.number, due.start_ms, due.end_ms,
        due.end_ms + duration_ms(spec.lateness), newest_ms, found.rows, found.labelled, found.measures, found.evidence,
        1.0 / spec.alpha, {budget: story.suspects[0].name for budget, story in found.alarms.items()},
        features_of(found.states),
    )  # fmt: skip
