"""What each closed window counted, kept small: enough to let the detectors bet again, and to date an onset."""

import hashlib
import zlib
from dataclasses import dataclass
from typing import TypeVar, cast

import msgspec

from taut.errors import Corrupt
from taut.ground import wire
from taut.ground.meta import Tx, Value

T = TypeVar("T")

INSERT_COUNTS = """
INSERT INTO monitor_counts (deployment, start_ms, reference, counts, settings, checks, state)
VALUES (:deployment, :start_ms, :reference, :counts, :settings, :checks, :state)
"""
SELECT_COUNTS = """
SELECT start_ms, counts, settings, state FROM monitor_counts
WHERE deployment = :deployment AND reference = :reference ORDER BY start_ms
"""
SELECT_CHECKS = """
SELECT start_ms, checks FROM monitor_counts WHERE deployment = :deployment AND reference = :reference ORDER BY start_ms
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that the detectors of a window had; `per` is how many checks alpha is for, 0 for a life."""

    alpha: float
    tolerance: float
    per: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """A window's counts, packed, what its detectors were set to, how often each had looked, and what they remembered.

    `state` is a digest: the same counts and settings give the same bytes.
    """

    counts: bytes
    settings: Settings
    checks: dict[str, int]
    state: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one window."""

    start_ms: int
    counts: bytes
    settings: Settings
    state: str


def pack(counts: object) -> bytes:
    """Counts as compressed MessagePack: some hundred bytes for twenty features."""
    return zlib.compress(msgspec.msgpack.encode(counts), 9)


def unpack(packed: bytes, into: type[T]) -> T:
    """The counts again. Fields that came later take their defaults. Raises Corrupt for bytes that are none.

    >>> unpack(pack({"rows": 3}), dict[str, int])
    {'rows': 3}
    """
    try:
        return msgspec.msgpack.decode(zlib.decompress(packed), type=into)
    except (zlib.error, msgspec.DecodeError) as problem:
        raise Corrupt(f"the counts of a window cannot be read: {problem}", hint="taut fsck") from None


def digest_of(states: str) -> str:
    """What is kept of the detectors' memory, to be held against what a replay comes to."""
    return hashlib.sha256(states.encode()).hexdigest()


def keep_counts(tx: Tx, deployment: str, start_ms: int, reference: int, counted: Counted) -> None:
    """Keep what a window counted, inside the transaction that stores the window."""
    tx.execute(INSERT_COUNTS, {
        "deployment": deployment, "start_ms": start_ms, "reference": reference, "counts": counted.counts,
        "settings": wire.text(counted.settings), "checks": wire.text(counted.checks), "state": counted.state,
    })  # fmt: skip


def kept_counts(tx: Tx, deployment: str, reference: int) -> list[Kept]:
    """What is kept of the windows that were held against a reference, in order; older ones kept nothing."""
    found = tx.rows(SELECT_COUNTS, {"deployment": deployment, "reference": reference})
    return [
        Kept(int(str(start)), bytes(cast("bytes", packed)), wire.decode(str(settings), Settings), str(state))
        for start, packed, settings, state in found
    ]


def starts_of_checks(tx: Tx, deployment: str, reference: int, budget: str) -> list[int]:
    """For each check of a detector, from 0, the start of its window; one that asked it nothing was no check."""
    of: dict[str, Value] = {"deployment": deployment, "reference": reference}
    starts: list[int] = []
    for start_ms, written in tx.rows(SELECT_CHECKS, of):
        if wire.decode(str(written), dict[str, int]).get(budget, 0) > len(starts):
            starts.append(int(str(start_ms)))
    return starts
