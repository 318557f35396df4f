"""Scenes for the tests of the prediction log: a deployment without a server, batches as a front says them."""

from pathlib import Path
from typing import Any

from taut.ground.clock import new_id
from taut.home import Home
from taut.serve.log import LogPlace, Policy, PredictionLog, Said, log_place, open_log
from taut.serve.log.said import Role
from taut.serve.log.spans import Span


def said(
    *ids: str,
    given: bool = False,
    counts: list[int] | None = None,
    event_ms: list[int] | None = None,
    number: int = 1,
    role: Role = "live",
    delay: float = 0.5,
    **columns: list,
) -> Said:
    """A batch of requests, one row each where nothing else is said; the input `delay` is `delay` plus its row."""
    names = list(ids) or [new_id()]
    sizes = counts or [1] * len(names)
    rows = sum(sizes)
    inputs = columns or {"delay": [delay + row for row in range(rows)], "carrier": ["UA"] * rows}
    return Said(
        names, [given] * len(names), sizes, event_ms or [1_000 + place for place in range(len(names))], 5_000,
        [120] * len(names), number, "late", number, role, inputs, {"probability": [0.25] * rows},
    )  # fmt: skip


def place(tmp_path: Path) -> LogPlace:
    """A place of logs without a home."""
    (tmp_path / "keys").mkdir(exist_ok=True)
    return LogPlace(tmp_path / "predictions", tmp_path / "keys")


def opened(home: Home, policy: Policy | None = None) -> PredictionLog:
    """The log of `late` in a home, as a front opens it."""
    return PredictionLog.open(log_place(home), "late", policy)


def say(home: Home, *batches: Said, policy: Policy | None = None) -> None:
    """Write batches to a journal of a process that is gone then."""
    log = opened(home, policy)
    for batch in batches:
        log.append(batch)
    log.close()


def ids_in(home: Home, **span: Any) -> list[str]:
    """The ids of the answers that readers see, in their order."""
    with open_log(home, "late") as log:
        return [one.id for one in log.requests(Span("late", **span))]
