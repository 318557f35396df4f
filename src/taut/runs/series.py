"""The points of metrics in the store: the newest of a series as rows, the older packed into chunks, latest beside.

A series is one metric of one run, measured on one logged model and dataset where these were named. New points are rows
until there are `TAIL`; then they are sealed into chunks of at most `CHUNK`, in order and without overlap, however late
a point comes. So a point costs one small row when it is logged and about 10 bytes for good.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, cast

import msgspec

from taut.ground.meta import Insert, Kind, Row, Tx, Update, Value
from taut.runs.known import INSERT_NEXT, INSERT_POINTS, TAIL, KnownSeries, Logged, Moving
from taut.runs.points import Place, Triple, in_order, pack, rank, sampled, summarize, unpack
from taut.runs.settling import MOVING, OLDER, begin_moving

CHUNK = 4096  # Points of a chunk: 40 kB, read in less than a millisecond.
REWRITE = 8  # A late point may make at most so many others be packed again.
SEAL_MAX = 1 << 16  # Rows that are sealed at once; only a home of an earlier version can have more waiting.
NO_LIMIT = 2**62

COLUMNS = """id, run_id, key, model_id, dataset_name, dataset_digest, step, at_ms, value, newest, points, tail,
    sealed_step, sealed_ms"""
SELECT_SERIES = f"SELECT {COLUMNS} FROM series WHERE run_id IN [:runs] AND key IN [:keys]"  # noqa: S608  # Constants.
SELECT_HIGHEST = "SELECT COALESCE(MAX(id), 0) FROM series"
STATE: tuple[tuple[str, Kind], ...] = (
    ("id", "BIGINT"), ("step", "BIGINT"), ("at_ms", "BIGINT"), ("value", "DOUBLE PRECISION"), ("newest", "BIGINT"),
    ("points", "BIGINT"), ("tail", "BIGINT"), ("sealed_step", "BIGINT"), ("sealed_ms", "BIGINT"),
)  # fmt: skip
NAME: tuple[tuple[str, Kind], ...] = (
    ("run_id", "TEXT"), ("key", "TEXT"), ("model_id", "TEXT"), ("dataset_name", "TEXT"), ("dataset_digest", "TEXT"),
    ("experiment_id", "TEXT"),
)  # fmt: skip
INSERT_SERIES = Insert("series", (*STATE, ("stood", "DOUBLE PRECISION"), *NAME))
UPDATE_SERIES = Update("series", STATE)
SELECT_TAIL = """
SELECT step, at_ms, value FROM point WHERE series = :series AND (step > :step OR (step = :step AND at_ms >= :at_ms))
ORDER BY step, at_ms, value NULLS FIRST LIMIT :limit
"""
SELECT_SPAN = """
SELECT step, at_ms, value FROM point
WHERE series = :series AND (step > :step OR (step = :step AND at_ms >= :at_ms))
    AND (step < :to_step OR (step = :to_step AND at_ms <= :to_ms))
"""
SELECT_SPANS = SELECT_SPAN.replace("SELECT step", "SELECT series, step").replace(
    "series = :series", "series IN [:series]"
)
DELETE_TAIL = "DELETE FROM point WHERE series = :series AND (step < :step OR (step = :step AND at_ms <= :at_ms))"
# Chunks whose last point is not before one place and whose first is not behind another.
SELECT_CHUNKS = """
SELECT first_step, first_ms, part, points, body FROM chunk
WHERE series = :series AND (last_step > :step OR (last_step = :step AND last_ms >= :at_ms))
    AND (first_step < :to_step OR (first_step = :to_step AND first_ms <= :to_ms))
ORDER BY first_step, first_ms, part LIMIT :limit OFFSET :skip
"""
COUNT_CHUNKS = SELECT_CHUNKS.replace("first_step, first_ms, part, points, body", "COALESCE(SUM(points), 0)").partition(
    "ORDER BY"
)[0]
SELECT_BEFORE = """
SELECT first_step, first_ms, part, points, body FROM chunk
WHERE series = :series AND (first_step < :step OR (first_step = :step AND first_ms < :at_ms))
ORDER BY first_step DESC, first_ms DESC, part DESC LIMIT 1
"""
DELETE_CHUNK = """
DELETE FROM chunk WHERE series = :series AND first_step = :first_step AND first_ms = :first_ms AND part = :part
"""
INSERT_CHUNK = """
INSERT INTO chunk (series, first_step, first_ms, part, last_step, last_ms, points, summary, body)
VALUES (:series, :first_step, :first_ms, :part, :last_step, :last_ms, :points, :summary, :body)
"""
# Of the first and the last of them the bodies too: a line begins and ends with points that need be no extremes.
SELECT_SUMMARIES = """
SELECT summary FROM chunk WHERE series = :series AND (last_step > :step OR (last_step = :step AND last_ms >= :at_ms))
    AND (first_step < :to_step OR (first_step = :to_step AND first_ms <= :to_ms))
ORDER BY first_step, first_ms, part
"""
SELECT_FIRST_BODY = SELECT_SUMMARIES.replace("summary", "body") + "LIMIT 1"
SELECT_LAST_BODY = SELECT_FIRST_BODY.replace(
    "first_step, first_ms, part\n", "first_step DESC, first_ms DESC, part DESC\n"
)
FIRST: Place = (-(2**63), -(2**63))
LAST: Place = (2**63 - 1, 2**63 - 1)
Name = tuple[str, str, str, str, str]
"""Run, key, logged model, name and digest of the dataset."""


class Series(msgspec.Struct):
    """A row of `series`; what is logged changes it in memory before it is written."""

    id: int
    run_id: str
    key: str
    model_id: str
    dataset_name: str
    dataset_digest: str
    step: int = FIRST[0]
    at_ms: int = FIRST[1]
    value: float | None = None
    newest: int = 0
    points: int = 0
    tail: int = 0
    sealed_step: int | None = None
    sealed_ms: int | None = None

    @property
    def latest(self) -> Triple:
        """Its point of highest rank."""
        return self.step, self.at_ms, self.value

    @property
    def sealed(self) -> Place:
        """The place of the last point that is in a chunk."""
        return FIRST if self.sealed_step is None or self.sealed_ms is None else (self.sealed_step, self.sealed_ms)


def write_points(tx: Tx, dialect: str, logged: Sequence[Logged], remembered: KnownSeries) -> None:
    """Store points of runs; those that are there already are not doubled.

    Whoever calls holds the rows of the runs, and the ledger's head where series may be new: their numbers follow on.
    Raises Outdated where what was remembered of a run's series is so no longer.
    """
    logged = remembered.write(tx, logged)
    given: dict[Name, list[Triple]] = {}
    for run_id, _, points in logged:
        for point in points:
            name = (run_id, point.key, point.model_id, point.dataset_name, point.dataset_digest)
            triple = (point.step, point.at_ms, point.value)
            if name in given:
                given[name].append(triple)
            else:
                given[name] = [triple]
    if not given:
        return
    experiments = {run_id: experiment for run_id, experiment, _ in logged}
    known = {name_of(series): series for series in read_series(tx, {n[0] for n in given}, {n[1] for n in given})}
    if not known and len({name[:2] for name in given}) == len(given) and all(len(new) == 1 for new in given.values()):
        _begin(tx, dialect, {name: new[0] for name, new in given.items()}, experiments, remembered)
        return
    made = _made(tx, known, given)
    known |= made
    changed = dict[int, Series]()
    rows: list[tuple[Value, ...]] = []
    for series, new, there in _new(tx, [(known[name], in_order(triples)) for name, triples in given.items()]):
        rows += _log(tx, series, new, there)
        changed[series.id] = series
    numbers = {one.id for one in made.values()}
    are_alone = len({name[:2] for name in known}) == len(known)
    begun = _mark_alone(changed.values()) if are_alone else _mark_newest(known, given, changed)
    tx.insert(INSERT_POINTS, rows)
    tx.insert(INSERT_SERIES, [(*_row(one), one.value, *name, experiments[name[0]]) for name, one in made.items()])
    tx.update(UPDATE_SERIES, [_row(one) for one in changed.values() if one.id not in numbers])
    if are_alone:
        _remember(remembered, changed.values())
    if begun:
        begin_moving(tx, dialect, [(one.run_id, one.id) for one in begun], experiments)


def _begin(
    tx: Tx, dialect: str, given: dict[Name, Triple], experiments: dict[str, str], remembered: KnownSeries
) -> None:
    """The short way of the first points of metrics, each one series: there is nothing to hold them against."""
    first = _next_number(tx)
    new = [(number, name, point) for number, (name, point) in enumerate(given.items(), first)]
    tx.insert(INSERT_NEXT, [(number, *point) for number, _, point in new])
    tx.insert(INSERT_SERIES, [
        (number, *point, MOVING, 1, 1, None, None, point[2], *name, experiments[name[0]]) for number, name, point in new
    ])  # fmt: skip
    begin_moving(tx, dialect, [(name[0], number) for number, name, _ in new], experiments)
    moving: dict[str, dict[str, Moving]] = {run_id: {} for run_id in experiments}
    for number, (run_id, key, *measured_on), (step, at_ms, _) in new:
        if not any(measured_on):
            moving[run_id][key] = (number, step, at_ms, 1)
    for run_id, series in moving.items():
        remembered.remember(run_id, series)


def read_series(tx: Tx, runs: Iterable[str], keys: Iterable[str]) -> list[Series]:
    """The series of these metrics of these runs."""
    rows: Sequence[Any] = tx.rows(SELECT_SERIES, {"runs": list(runs), "keys": list(keys)})
    return [Series(*row) for row in rows]


def points_from(tx: Tx, series: Series, start: Place, count: int) -> list[Triple]:
    """Up to `count` points in order, from the first at or behind a place."""
    found: list[Triple] = []
    at = {"series": series.id, "step": start[0], "at_ms": start[1]}
    bounds = {**at, "to_step": LAST[0], "to_ms": LAST[1], "limit": count // CHUNK + 2}
    skip = 0
    while len(found) < count and series.sealed >= start:
        chunks = tx.rows(SELECT_CHUNKS, {**bounds, "skip": skip})
        for *_, body in chunks:
            points = unpack(cast("bytes", body))
            found += points if points[0][:2] >= start else [point for point in points if point[:2] >= start]
        skip += len(chunks)
        if len(chunks) < bounds["limit"]:
            break
    tail = [_triple(row) for row in tx.rows(SELECT_TAIL, {**at, "limit": count})] if series.tail else []
    if not found or not tail or rank(tail[0]) > rank(found[-1]):
        return (found + tail)[:count]
    return list(heapq.merge(found, tail, key=rank))[:count]


def chart_points(tx: Tx, series: Series, at_most: int, from_step: int, to_step: int) -> list[Triple]:
    """Points that show the course of a series between two steps, both ends, lowest and highest preserved."""
    bounds = {"series": series.id, "step": from_step, "at_ms": FIRST[1], "to_step": to_step, "to_ms": LAST[1]}
    counted = tx.row(COUNT_CHUNKS, bounds) if series.sealed_step is not None else None
    in_chunks = int(str(counted[0])) if counted else 0
    tail = [_triple(row) for row in tx.rows(SELECT_SPAN, bounds)] if series.tail else []
    if in_chunks <= max(at_most, CHUNK * 4):  # Few enough to look at each.
        bodies = tx.rows(SELECT_CHUNKS, {**bounds, "limit": NO_LIMIT, "skip": 0}) if in_chunks else []
        sealed = [point for row in bodies for point in unpack(cast("bytes", row[-1]))]
    else:
        sealed = [point for row in tx.rows(SELECT_SUMMARIES, bounds) for point in unpack(cast("bytes", row[0]))]
        for query in (SELECT_FIRST_BODY, SELECT_LAST_BODY):
            body = [point for row in tx.rows(query, bounds) for point in unpack(cast("bytes", row[0]))]
            inside = [point for point in body if from_step <= point[0] <= to_step]
            sealed += [*inside[:1], *inside[-1:]]
    points = in_order([point for point in (*sealed, *tail) if from_step <= point[0] <= to_step])
    return sampled(points, at_most)


def name_of(series: Series) -> Name:
    """What tells a series from others."""
    return series.run_id, series.key, series.model_id, series.dataset_name, series.dataset_digest


def _made(tx: Tx, known: dict[Name, Series], given: Iterable[Name]) -> dict[Name, Series]:
    """The series that are not there yet, numbered behind the highest, so that a run's series lie together."""
    new = [name for name in given if name not in known]
    if not new:
        return {}
    return {name: Series(number, *name) for number, name in enumerate(new, _next_number(tx))}


def _next_number(tx: Tx) -> int:
    highest = tx.row(SELECT_HIGHEST)
    return int(str(highest[0] if highest else 0)) + 1


def _new(tx: Tx, given: list[tuple[Series, list[Triple]]]) -> Iterator[tuple[Series, list[Triple], Collection[Triple]]]:
    """What of the points in order each series does not hold: all behind its latest, and what is not found before it.

    Beside them stand points that it holds at the same places.
    """
    late: dict[int, tuple[Series, list[Triple]]] = {}
    for series, points in given:
        if not series.points or points[0][:2] > (series.step, series.at_ms):
            yield series, points, ()
        elif points != [series.latest]:  # The latest sent again is what clients do when an answer was lost.
            late[series.id] = (series, points)
    if not late:
        return
    first = min(points[0][:2] for _, points in late.values())
    last = max(points[-1][:2] for _, points in late.values())
    span = {"step": first[0], "at_ms": first[1], "to_step": last[0], "to_ms": last[1]}
    there: dict[int, set[Triple]] = {number: set() for number in late}
    for number, *point in tx.rows(SELECT_SPANS, {"series": list(late), **span}):
        there[cast("int", number)].add(_triple(point))
    for number, (series, points) in late.items():
        if series.sealed >= points[0][:2]:
            for *_, body in tx.rows(SELECT_CHUNKS, {**span, "series": number, "limit": NO_LIMIT, "skip": 0}):
                there[number].update(unpack(cast("bytes", body)))
        if new := [point for point in points if point not in there[number]]:
            yield series, new, there[number]


def _log(tx: Tx, series: Series, new: list[Triple], there: Collection[Triple]) -> list[tuple[Value, ...]]:
    """Take points into a series; returns those that become rows. `there` is what it holds at the same places."""
    series.points += len(new)
    last = new[-1]
    if last[:2] > (series.step, series.at_ms) or rank(last) > rank(series.latest):
        series.step, series.at_ms, series.value = last
    full = series.tail + len(new) >= TAIL or len(new) >= TAIL // 4  # Many at once need not be rows first.
    if full and _seal(tx, series, new):
        return []
    series.tail += len(new)
    number = series.id
    if len(new) == 1 and not there:
        return [(number, *new[0], 0)]
    held = Counter(point[:2] for point in there)
    rows: list[tuple[Value, ...]] = []
    for point in new:
        rows.append((number, *point, held[point[:2]]))
        held[point[:2]] += 1
    return rows


def _seal(tx: Tx, series: Series, new: list[Triple]) -> bool:
    """Pack the tail and new points into chunks; False where the new ones must become rows all the same."""
    tail: list[Triple] = []
    if series.tail:
        tail = [_triple(row) for row in tx.rows(SELECT_TAIL, {**_at(series, FIRST), "limit": SEAL_MAX})]
    if len(tail) < series.tail:  # Too many to pack at once: the oldest now, whole places only.
        cut = tail[-1][:2]
        oldest = sorted((point for point in tail if point[:2] < cut), key=rank)
        if oldest and _pack_in(tx, series, oldest):
            series.tail -= len(oldest)
            tx.execute(DELETE_TAIL, _at(series, oldest[-1][:2]))
        return False
    if not _pack_in(tx, series, sorted([*tail, *new], key=rank)):
        return False
    if series.tail:
        tx.execute(DELETE_TAIL, _at(series, LAST))
    series.tail = 0
    return True


def _pack_in(tx: Tx, series: Series, points: list[Triple]) -> bool:
    """Put points in order into chunks; False where far more would have to be packed again, so that it can wait."""
    chunks: Sequence[Row] = []
    if series.sealed >= points[0][:2]:
        bounds = {**_at(series, points[0][:2]), "to_step": points[-1][0], "to_ms": points[-1][1]}
        counted = tx.row(COUNT_CHUNKS, bounds)
        if counted and int(str(counted[0])) > REWRITE * len(points):
            return False
        chunks = tx.rows(SELECT_CHUNKS, {**bounds, "limit": NO_LIMIT, "skip": 0})
    elif series.sealed_step is not None:
        last = tx.row(SELECT_BEFORE, _at(series, points[0][:2]))
        chunks = [last] if last is not None and int(str(last[3])) + len(points) <= CHUNK else []
    for first_step, first_ms, part, *_ in chunks:
        place = {"series": series.id, "first_step": first_step, "first_ms": first_ms, "part": part}
        tx.execute(DELETE_CHUNK, place)
    older = [point for row in chunks for point in unpack(cast("bytes", row[4]))]
    together = list(heapq.merge(older, points, key=rank)) if older else points
    _write_chunks(tx, series, together)
    series.sealed_step, series.sealed_ms = max(series.sealed, together[-1][:2])
    return True


def _write_chunks(tx: Tx, series: Series, points: list[Triple]) -> None:
    bounds = [*range(0, len(points), CHUNK), len(points)]
    before: Place | None = None
    part = 0
    for start, end in pairwise(bounds):
        body = points[start:end]
        first, last = body[0][:2], body[-1][:2]
        part = part + 1 if first == before else 0
        before = first
        tx.execute(INSERT_CHUNK, {
            "series": series.id, "first_step": first[0], "first_ms": first[1], "part": part, "last_step": last[0],
            "last_ms": last[1], "points": len(body), "summary": summarize(body), "body": pack(body),
        })  # fmt: skip


def _mark_newest(known: dict[Name, Series], given: Iterable[Name], changed: dict[int, Series]) -> list[Series]:
    """Mark of each metric the one series that holds its latest point; a sibling that no longer does has changed too.

    Returns the series that begin to move.
    """
    siblings: dict[tuple[str, str], list[Series]] = defaultdict(list)
    for series in known.values():
        siblings[series.run_id, series.key].append(series)
    before = {series.id: series.newest for series in known.values()}
    for metric in {name[:2] for name in given}:
        own = siblings[metric]
        best = max(own, key=lambda series: (rank(series.latest), -series.id))
        for series in own:
            if series is not best:
                series.newest = OLDER
            elif series.id in changed or series.newest == OLDER:
                series.newest = MOVING
            if series.newest != before[series.id]:
                changed[series.id] = series
    return [one for one in known.values() if one.newest == MOVING != before[one.id]]


def _mark_alone(changed: Iterable[Series]) -> list[Series]:
    """The same where each metric is one series, as nearly always."""
    begun = [series for series in changed if series.newest != MOVING]
    for series in begun:
        series.newest = MOVING
    return begun


def _remember(remembered: KnownSeries, changed: Iterable[Series]) -> None:
    """Keep what moves now, each of them the only series of its metric."""
    moving: dict[str, dict[str, Moving]] = defaultdict(dict)
    for one in changed:
        if one.newest == MOVING and not (one.model_id or one.dataset_name or one.dataset_digest):
            moving[one.run_id][one.key] = (one.id, one.step, one.at_ms, one.tail)
    for run_id, series in moving.items():
        remembered.remember(run_id, series)


def _row(series: Series) -> tuple[Value, ...]:
    return (
        series.id, series.step, series.at_ms, series.value, series.newest, series.points, series.tail,
        series.sealed_step, series.sealed_ms,
    )  # fmt: skip


def _at(series: Series, place: Place) -> dict[str, int]:
    return {"series": series.id, "step": place[0], "at_ms": place[1]}


def _triple(row: Sequence[Value]) -> Triple:
    return cast("Triple", tuple(row))
