"""The entries of the hash chain as entries of the Merkle log, under the same numbers, with their digests of then."""

import re
from collections.abc import Iterator

from taut.ground.ledger.entries import commitment_of, leaf_of, new_salt
from taut.ground.ledger.tiles import write_tiles
from taut.ground.meta.protocol import Cell, Insert, Row, Tx

PAGE = 10_000
SELECT_CHAIN = """
SELECT seq, at_ms, actor, kind, subject, body, digest FROM ledger_chain WHERE seq > :after ORDER BY seq LIMIT :limit
"""
SELECT_HEAD = "SELECT seq FROM ledger_head WHERE one = 1"
INSERT = Insert(
    "ledger",
    (
        ("seq", "BIGINT"), ("at_ms", "BIGINT"), ("actor", "TEXT"), ("kind", "TEXT"), ("subject", "TEXT"),
        ("body", "TEXT"), ("salt", "BYTEA"), ("leaf", "BYTEA"),
    ),
)  # fmt: skip
# The lock is any number that nobody else uses. The end is read by a statement of its own, so that it is the end at the
# moment when the lock was given, not when it was asked for.
TAKE_END = """
CREATE FUNCTION ledger_end() RETURNS BIGINT LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7461755);
    RETURN (SELECT COALESCE(MAX(seq), 0) FROM ledger);
END $$
"""


def apply(tx: Tx) -> None:
    """Fill the new table from the old one.

    An entry that somebody took out of the chain leaves a hole in its numbers, and a tree has none: another says so.
    """
    last, at_ms = 0, 0
    while page := tx.rows(SELECT_CHAIN, {"after": last, "limit": PAGE}):
        rows: list[tuple[Cell, ...]] = []
        for old in page:
            seq, at_ms = int(str(old[0])), int(str(old[1]))
            rows += _missing(last + 1, seq, at_ms)
            rows.append(_entry(old))
            last = seq
        tx.insert(INSERT, rows)
    head = tx.row(SELECT_HEAD)
    end = max(last, int(str(head[0]))) if head is not None else last
    tx.insert(INSERT, list(_missing(last + 1, end + 1, at_ms)))
    write_tiles(tx, 0, end)
    if tx.dialect == "postgresql":
        tx.execute(TAKE_END)


def _entry(old: Row) -> tuple[Cell, ...]:
    seq, at_ms, actor, kind, subject, body, digest = old
    return _row(int(str(seq)), int(str(at_ms)), str(actor), str(kind), str(subject), str(body), str(digest))


def _missing(first: int, end: int, at_ms: int) -> Iterator[tuple[Cell, ...]]:
    for seq in range(first, end):
        yield _row(seq, at_ms, "taut", "ledger.missing", f"entry:{seq}", "null", "")


def _row(seq: int, at_ms: int, actor: str, kind: str, subject: str, body: str, digest: str) -> tuple[Cell, ...]:
    salt = new_salt() + (bytes.fromhex(digest) if re.fullmatch("[0-9a-f]{64}", digest) else digest.encode())
    leaf = leaf_of(seq, at_ms, actor, kind, subject, commitment_of(salt, body))
    return seq, at_ms, actor, kind, subject, body, salt, leaf
