"""The function by which PostgreSQL hands out turns at the ledger, and says how often access has changed by then."""

from taut.ground.meta.protocol import Tx

# The lock is one for the whole database: so what is written in a project is ordered against what is taken away from its
# members, which is written in the server's own schema. Each query of the function sees what is committed when it
# begins, which is after the lock was had.
TURN = """
CREATE FUNCTION ledger_turn(OUT last BIGINT, OUT version BIGINT) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7461755);
    SELECT COALESCE(MAX(seq), 0) INTO last FROM ledger;
    SELECT access_state.version INTO version FROM access_state WHERE one = 1;
END $$
"""


def apply(tx: Tx) -> None:
    """Make it; SQLite has one writer anyway."""
    if tx.dialect == "postgresql":
        tx.execute(TURN)
