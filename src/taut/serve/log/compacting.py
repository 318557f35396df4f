"""Many small segments become one: reading a day should not mean opening a thousand objects."""

from taut.errors import Conflict
from taut.home import Home
from taut.serve.log.segments import Segment, segments_of

SMALL_ROWS, SMALL_BYTES = 100_000, 8 << 20
JOINED_ROWS, JOINED_BYTES = 500_000, 64 << 20  # Of one segment at most: some 200 MB while it is sorted.
TOGETHER = 16  # So many small ones are let stand.
JOINED = "prediction.joined"


def compact(home: Home, deployment: str, *, encrypt: bool | None = None, at_least: int = TOGETHER) -> int:
    """Join small segments of a deployment where there are more than `at_least`; returns how many went.

    Those that were sealed one after the other are joined. Whoever does the same meanwhile wins: then nothing is done.
    """
    with home.meta.read() as tx:
        small = [one for one in segments_of(tx, deployment) if _is_small(one)]
    if len(small) <= at_least:
        return 0
    from taut.serve.log.rewriting import replace_segments, table_of

    gone = 0
    for some in _groups(small):
        try:
            replace_segments(home, some, table_of(home, some), JOINED, encrypt=encrypt)
        except Conflict:
            return gone
        gone += len(some)
    return gone


def _is_small(one: Segment) -> bool:
    """Whether a segment is small; one of wide rows may be large with few."""
    return one.facts.rows < SMALL_ROWS and one.size_bytes < SMALL_BYTES


def _groups(small: list[Segment]) -> list[list[Segment]]:
    """Neighbours that fit into one segment; a single one stays as it is."""
    groups: list[list[Segment]] = [[]]
    rows = size_bytes = 0
    for one in small:
        rows, size_bytes = rows + one.facts.rows, size_bytes + one.size_bytes
        if groups[-1] and (rows > JOINED_ROWS or size_bytes > JOINED_BYTES):
            groups.append([])
            rows, size_bytes = one.facts.rows, one.size_bytes
        groups[-1].append(one)
    return [group for group in groups if len(group) > 1]
