"""The ledger as a verb: what was done, by whom, read by those who may."""

from taut.errors import Invalid
from taut.ground.ledger import Event, events
from taut.home import Home, verb

LIMIT_MAX = 10_000  # A few megabytes of JSON: enough for a person, and no way to hold up a server.


@verb("ledger.show", needs="audit:read")
def show_ledger(home: Home, *, kind: str = "", subject: str = "", after: int = 0, limit: int = 50) -> list[Event]:
    """Up to `limit` entries past number `after`, oldest first, of one kind or subject where named. Raises Invalid."""
    if not 1 <= limit <= LIMIT_MAX:
        raise Invalid(f"a page of the ledger holds 1 to {LIMIT_MAX} entries, not {limit}", hint="go on with `after`")
    with home.meta.read() as tx:
        return events(tx, after=after, kind=kind, subject=subject, limit=limit)
