"""Rows of a table that wait to be sent: claimed by one sender for a while, then ended, or due again later."""

from dataclasses import dataclass

CLAIM = """
UPDATE {table} SET claimed_until_ms = :until, attempts = attempts + 1
WHERE id = :id AND status = 'due' AND claimed_until_ms <= :now AND attempts = :attempts
"""
END = """
UPDATE {table} SET status = :status, claimed_until_ms = 0, ended_ms = :now, answer = :answer
WHERE id = :id AND status = 'due' AND attempts = :attempts
"""
TRY_LATER = """
UPDATE {table} SET claimed_until_ms = 0, due_ms = :next, answer = :answer
WHERE id = :id AND status = 'due' AND attempts = :attempts
"""

LEASE_MS = 60_000  # Far past the time-out of a delivery: only a dead sender's claim runs out.
RETRY_MS, RETRY_MAX_MS = 5_000, 3_600_000  # The first wait after a failure, doubled from there on up to the last.


@dataclass(frozen=True, slots=True)
class Queue:
    """The statements of a queue; each changes a row only for whoever has counted the same `attempts` of it."""

    claim: str
    end: str
    try_later: str


def queue_in(table: str) -> Queue:
    """The queue in a table with the columns id, status, attempts, due_ms, claimed_until_ms, ended_ms and answer."""
    return Queue(CLAIM.format(table=table), END.format(table=table), TRY_LATER.format(table=table))


def wait_ms(attempts: int) -> int:
    """How long to wait after so many attempts, from the first on.

    >>> [wait_ms(attempts) // 1000 for attempts in (1, 2, 3, 99)]
    [5, 10, 20, 3600]
    """
    return min(RETRY_MS << min(attempts - 1, 20), RETRY_MAX_MS)
