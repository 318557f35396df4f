"""What a canary and the live version lost by the labels that came: from the log, each row once."""

from dataclasses import dataclass

from taut.ground.access import local_actor
from taut.ground.clock import duration_ms
from taut.home import Home
from taut.project import RollbackSpec
from taut.records import Backend, Deployment
from taut.serve.log import labelled_rows, open_log
from taut.serve.log.spans import ANSWERED


@dataclass(frozen=True, slots=True)
class Found:
    """The losses of live and of the canary, and up to which event they were looked for."""

    losses: tuple[list[float], list[float]]
    until_ms: int


def losses_since(
    home: Home, deployment: Deployment, began: int, since_ms: int | None, asked: RollbackSpec
) -> Found | None:
    """What both lost from `since_ms` on, else from the canary's first answer under the revision `began` or a later one.

    None while one of the two has no labelled row there, so that both are looked at later.
    """
    canary, live = deployment.canary, deployment.backends[0]
    assert canary is not None, deployment.point
    with open_log(home, deployment.name) as log:
        answered = [one for one in log.versions() if one.role in ANSWERED]
    firsts = [
        one.first_event_ms
        for one in answered
        if one.role == "canary" and one.revision >= began and (one.model, one.number) == (canary.model, canary.number)
    ]
    if not firsts:
        return None
    from_ms = min(firsts) if since_ms is None else since_ms
    until_ms = max(one.last_event_ms for one in answered) - duration_ms(asked.lateness)
    lost = tuple(_lost(home, deployment.name, one, (from_ms, until_ms), asked.score) for one in (live, canary))
    return Found((lost[0], lost[1]), until_ms) if all(lost) else None


def loss_of(score: object, label: float) -> float:
    """How far a score is off its label, squared, where both lie between 0 and 1; else whether it is another.

    >>> loss_of(0.5, 1.0), loss_of(3, 3.0), loss_of("late", 1.0), loss_of(None, 0.0)
    (0.25, 0.0, 1.0, 1.0)
    """
    if isinstance(score, int | float) and 0.0 <= score <= 1.0 and 0.0 <= label <= 1.0:
        return float(score - label) ** 2
    return float(score != label)


def _lost(home: Home, name: str, backend: Backend, span: tuple[int, int], score: str) -> list[float]:
    reader = home.as_actor(local_actor())  # Whoever may change a deployment need not see what it was asked.
    rows = labelled_rows(reader, name, *span, backend.number, backend.model)
    return [
        loss_of(given, label) for given, label in zip(rows.scores(score), rows.labels, strict=True) if label is not None
    ]
