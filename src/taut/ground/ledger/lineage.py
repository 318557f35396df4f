"""Lineage: arrows between points of the line, drawn by the code that makes them true, walked in both directions."""

from dataclasses import dataclass

from taut.ground.meta import Tx

INSERT_ARROW = """
INSERT INTO lineage (source, relation, target, at_ms) VALUES (:source, :relation, :target, :at_ms)
ON CONFLICT (source, relation, target) DO NOTHING
"""
# UNION (not UNION ALL) ends the walk where arrows form a circle: a run caused by an alert on its own ancestor.
SELECT_UPSTREAM = """
WITH RECURSIVE above (source, relation, target) AS (
    SELECT source, relation, target FROM lineage WHERE target = :point
    UNION
    SELECT lineage.source, lineage.relation, lineage.target FROM lineage JOIN above ON lineage.target = above.source
) SELECT source, relation, target FROM above
"""
SELECT_DOWNSTREAM = """
WITH RECURSIVE below (source, relation, target) AS (
    SELECT source, relation, target FROM lineage WHERE source = :point
    UNION
    SELECT lineage.source, lineage.relation, lineage.target FROM lineage JOIN below ON lineage.source = below.target
) SELECT source, relation, target FROM below
"""


@dataclass(frozen=True, slots=True)
class Arrow:
    """`source` led to `target`; both are points written `kind:id`, as `data:flights@3`, `run:ab12…`."""

    source: str
    relation: str
    target: str


def draw_arrow(tx: Tx, source: str, relation: str, target: str, *, at_ms: int) -> None:
    """Record that `source` led to `target`; drawing it twice is drawing it once."""
    tx.execute(INSERT_ARROW, {"source": source, "relation": relation, "target": target, "at_ms": at_ms})


def upstream(tx: Tx, point: str) -> list[Arrow]:
    """Every arrow that leads to the point, however far back."""
    return [Arrow(str(a), str(b), str(c)) for a, b, c in tx.rows(SELECT_UPSTREAM, {"point": point})]


def downstream(tx: Tx, point: str) -> list[Arrow]:
    """Every arrow that starts from the point, however far on."""
    return [Arrow(str(a), str(b), str(c)) for a, b, c in tx.rows(SELECT_DOWNSTREAM, {"point": point})]
