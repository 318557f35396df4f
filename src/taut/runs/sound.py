"""Whether the stored points of metrics are what their series say: each counted, in order, once, and readable."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

from taut.errors import Corrupt
from taut.ground.meta import Tx
from taut.runs.points import Triple, rank, unpack
from taut.runs.series import COLUMNS, FIRST, LAST, SELECT_SPAN, Series

PAGE = 500  # Series whose counts are asked at once.
CHUNKS = 64  # Chunks in memory at once: about 3 MB.

SELECT_PAGE = f"SELECT {COLUMNS} FROM series WHERE id > :after ORDER BY id LIMIT :limit"  # noqa: S608  # Constants.
COUNT_POINTS = "SELECT series, COUNT(*) FROM point WHERE series > :after AND series <= :last GROUP BY series"
COUNT_SEALED = "SELECT series, SUM(points) FROM chunk WHERE series > :after AND series <= :last GROUP BY series"
SELECT_TWINS = """
SELECT series, COUNT(*) FROM (
    SELECT series, step, at_ms, value FROM point WHERE series > :after AND series <= :last
    GROUP BY series, step, at_ms, value HAVING COUNT(*) > 1
) AS twins GROUP BY series
"""
SELECT_BODIES = """
SELECT first_step, first_ms, part, last_step, last_ms, points, body FROM chunk
WHERE series = :series AND (first_step > :step OR (first_step = :step AND (first_ms > :at_ms
    OR (first_ms = :at_ms AND part > :part))))
ORDER BY first_step, first_ms, part LIMIT :limit
"""
SELECT_DOUBTFUL = """
SELECT run_id, key, SUM(CASE WHEN newest > 0 THEN 1 ELSE 0 END) FROM series GROUP BY run_id, key
HAVING SUM(CASE WHEN newest > 0 THEN 1 ELSE 0 END) <> 1
"""
SELECT_MISFILED = """
SELECT run_id, key, stood, value FROM series
WHERE newest = 1 AND (stood <> value OR (stood IS NULL) <> (value IS NULL))
"""
SELECT_UNFOUND = """
SELECT DISTINCT run_id FROM series WHERE newest = 2 AND run_id NOT IN (SELECT run_id FROM moving_run)
"""
HIGHEST = 2**31 - 1  # Of the numbers of series.


def unsound_series(tx: Tx, *, deep: bool = True) -> Iterator[tuple[str, str]]:
    """What is wrong with the stored points, as (whom it hurts, a sentence); nothing for a whole store.

    `deep` reads every chunk; without it only what the index and the rows of chunks say is counted.
    """
    after = -1
    while page := [Series(*cast("Any", row)) for row in tx.rows(SELECT_PAGE, {"after": after, "limit": PAGE})]:
        yield from _counted(tx, page, after, page[-1].id)
        for series in page if deep else ():
            yield from ((_whom(series), said) for said in _read(tx, series))
        after = page[-1].id
    yield from _counted(tx, [], after, HIGHEST)
    for run_id, key, newest in tx.rows(SELECT_DOUBTFUL):
        yield f"run:{run_id} (metric {key})", f"{newest} of its series are said to hold the latest point"
    for run_id, key, stood, value in tx.rows(SELECT_MISFILED):
        yield f"run:{run_id} (metric {key})", f"searches find it at {stood}, its latest value is {value}"
    for (run_id,) in tx.rows(SELECT_UNFOUND):
        yield f"run:{run_id}", "its metrics move and searches do not know it"


def _whom(series: Series) -> str:
    return f"run:{series.run_id} (metric {series.key})"


def _counted(tx: Tx, page: Sequence[Series], after: int, last: int) -> Iterator[tuple[str, str]]:
    """Hold the counts of a range of series against what their rows say; also finds points that belong to none."""
    span = {"after": after, "last": last}
    rows, sealed, twins = (
        {int(str(series)): int(str(count)) for series, count in tx.rows(query, span)}
        for query in (COUNT_POINTS, COUNT_SEALED, SELECT_TWINS)
    )
    for series in page:
        tail, packed = rows.pop(series.id, 0), sealed.pop(series.id, 0)
        if tail != series.tail:
            yield _whom(series), f"it says that {series.tail} of its points are rows, {tail} are"
        if tail + packed != series.points:
            yield _whom(series), f"it says that it has {series.points} points, it has {tail + packed}"
        if (packed > 0) != (series.sealed_step is not None):
            yield _whom(series), f"{packed} of its points are packed, it says up to step {series.sealed_step}"
        if series.id in twins:
            yield _whom(series), f"{twins[series.id]} of its points are there more than once"
    for number in sorted(rows.keys() | sealed.keys()):
        yield f"series:{number}", f"{rows.get(number, 0) + sealed.get(number, 0)} points belong to no metric"


def _read(tx: Tx, series: Series) -> Iterator[str]:
    """Read all points of one series, a few chunks at a time, and hold them against its row and each other."""
    whole = {"series": series.id, "step": FIRST[0], "at_ms": FIRST[1], "to_step": LAST[0], "to_ms": LAST[1]}
    tail = {cast("Triple", tuple(row)) for row in tx.rows(SELECT_SPAN, whole)}
    latest, before = max(tail, key=rank, default=None), cast("Triple | None", None)
    at: dict[str, int] = {"series": series.id, "step": FIRST[0], "at_ms": FIRST[1], "part": -1}
    while chunks := cast("Sequence[Any]", tx.rows(SELECT_BODIES, {**at, "limit": CHUNKS})):
        for first_step, first_ms, part, last_step, last_ms, count, body in chunks:
            at |= {"step": first_step, "at_ms": first_ms, "part": part}
            try:
                points = unpack(body)
            except Corrupt as problem:
                yield f"the chunk at step {first_step}: {problem.message}"
                continue
            ends = (points[0][:2], points[-1][:2]) if points else ()
            if len(points) != count or ends != ((first_step, first_ms), (last_step, last_ms)):
                yield f"the chunk at step {first_step} does not hold what its row says"
            if any(rank(one) >= rank(two) for one, two in pairwise(points)):
                yield f"the chunk at step {first_step} is out of order or holds a point twice"
            if before is not None and points and rank(points[0]) <= rank(before):
                yield f"the chunk at step {first_step} overlaps the one before it"
            before = points[-1] if points else before
            if twice := tail.intersection(points):
                yield f"{len(twice)} points are both rows and in the chunk at step {first_step}"
    if before is not None and before[:2] != series.sealed:
        yield f"its chunks end at step {before[0]}, it says at step {series.sealed_step}"
    last = max((point for point in (latest, before) if point is not None), key=rank, default=None)
    if last != (series.latest if series.points else None):
        yield f"its latest point is {last}, it says {series.latest}"
