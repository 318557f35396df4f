"""Requests under a key of their caller's: what was answered once is answered again for a day, and not done twice."""

from dataclasses import dataclass

from taut.errors import Conflict, Invalid
from taut.ground.meta import Tx

KEPT_MS = 24 * 3600 * 1000
KEY_MAX = 255

FORGET = "DELETE FROM answered WHERE at_ms < :before"
# Whoever asks under the same key at the same time waits here until the first is committed, or undone.
CLAIM = """
INSERT INTO answered (actor, key, digest, body, at_ms) VALUES (:actor, :key, :digest, '', :at_ms)
ON CONFLICT (actor, key) DO NOTHING
"""
KEEP = "UPDATE answered SET body = :body WHERE actor = :actor AND key = :key"
SELECT = "SELECT digest, body FROM answered WHERE actor = :actor AND key = :key"


class OtherRequest(Conflict):
    """The key was used for another request."""

    http_status = 422


@dataclass(frozen=True, slots=True)
class Keyed:
    """A request that must be done once: who asks, under which key, and the digest of what."""

    actor: str
    key: str
    digest: str

    def __post_init__(self) -> None:
        if not (0 < len(self.key) <= KEY_MAX and self.key.isascii() and self.key.isprintable()):
            raise Invalid(f"an Idempotency-Key is 1 to {KEY_MAX} printable ASCII characters")


def claim_key(tx: Tx, asked: Keyed, *, at_ms: int) -> str | None:
    """The answer that was given under this key within a day; None, and the key is taken, where there was none.

    Raises OtherRequest where the answer was to something else.
    """
    forget_answers(tx, at_ms=at_ms)
    names = {"actor": asked.actor, "key": asked.key}
    if tx.execute(CLAIM, {**names, "digest": asked.digest, "at_ms": at_ms}):
        return None
    row = tx.row(SELECT, names)
    assert row is not None, "it is forgotten in this transaction or not at all"
    if row[0] != asked.digest:
        raise OtherRequest(
            f"the Idempotency-Key {asked.key!r} was used for another request", hint="take a new key for each request"
        )
    return str(row[1])


def forget_answers(tx: Tx, *, at_ms: int) -> None:
    """Forget what was answered longer ago than it is kept."""
    tx.execute(FORGET, {"before": at_ms - KEPT_MS})


def keep_answer(tx: Tx, asked: Keyed, body: str) -> None:
    """Keep the answer to a request whose key was claimed in this transaction."""
    tx.execute(KEEP, {"actor": asked.actor, "key": asked.key, "body": body})
