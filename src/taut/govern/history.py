"""The ledger as a verb: what was done, by whom, read by those who may."""

from taut.ground.ledger import Event, events
from taut.home import Home, verb


@verb("ledger.show", needs="audit:read")
def show_ledger(home: Home, *, kind: str = "", subject: str = "", after: int = 0, limit: int = 50) -> list[Event]:
    """Up to `limit` entries past number `after`, oldest first, of one kind or subject where named."""
    with home.meta.read() as tx:
        return events(tx, after=after, kind=kind, subject=subject, limit=limit)
