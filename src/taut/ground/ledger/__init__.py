"""What was done, by whom: the ledger of events as a Merkle log, and the lineage between points of the line."""

from taut.ground.ledger.events import (
    UNASKED,
    Asked,
    Event,
    Happening,
    Turn,
    append_event,
    append_events,
    events,
    next_events,
    take_turn,
)
from taut.ground.ledger.lineage import Arrow, downstream, draw_arrow, upstream
from taut.ground.ledger.tiles import Tree, size_of
from taut.ground.ledger.verify import Walk, verify_ledger

__all__ = [
    "UNASKED",
    "Arrow",
    "Asked",
    "Event",
    "Happening",
    "Tree",
    "Turn",
    "Walk",
    "append_event",
    "append_events",
    "downstream",
    "draw_arrow",
    "events",
    "next_events",
    "size_of",
    "take_turn",
    "upstream",
    "verify_ledger",
]
