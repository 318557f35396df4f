"""What was done, by whom: the hash-linked ledger of events, and the lineage between points of the line."""

from taut.ground.ledger.events import (
    Event,
    Happening,
    append_event,
    append_events,
    digest_of_event,
    events,
    next_events,
    verify_ledger,
)
from taut.ground.ledger.lineage import Arrow, downstream, draw_arrow, upstream

__all__ = [
    "Arrow",
    "Event",
    "Happening",
    "append_event",
    "append_events",
    "digest_of_event",
    "downstream",
    "draw_arrow",
    "events",
    "next_events",
    "upstream",
    "verify_ledger",
]
