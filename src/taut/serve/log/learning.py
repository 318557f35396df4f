"""Callers' ids that this machine did not answer itself, or whose file it lost: learnt from segments and from rows.

So an id that another machine answered is known here once that machine has sealed it and a round has passed here.
"""

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from taut.errors import Unavailable
from taut.home import Home
from taut.records import Prediction
from taut.serve.log.ids import FILE, Ids
from taut.serve.log.policy import Policy
from taut.serve.log.reading import need_arrow
from taut.serve.log.said import Said
from taut.serve.log.segments import Segment, parquet_of, segments_of
from taut.serve.log.spans import Span
from taut.serve.log.table import newest_row_ms, rows_in
from taut.serve.log.writing import PredictionLog, log_place

SEGMENTS, ROWS = "segments", "rows"  # How far these are known stands beside how far journals are.

TOGETHER = 512


def prepare(home: Home, deployment: str, policy: Policy) -> None:
    """Make the log of a deployment ready for its fronts: they know every id that was answered before.

    In a process of its own where there is something to learn, for the one that forks fronts imports no Arrow. Raises
    Unavailable where that fails.
    """
    place = log_place(home)
    PredictionLog.open(place, deployment, policy).close()
    if home.remote is None and _is_behind(home, deployment):
        done = subprocess.run(
            [*sealing_command(home, deployment), "--learn"], check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise Unavailable(f"the log of {deployment!r} cannot be made ready: {done.stderr.strip()}")


def sealing_command(home: Home, deployment: str) -> list[str]:
    """What starts the process that seals a deployment's log: until SIGTERM, or until whoever started it is gone."""
    command = [sys.executable, "-m", "taut.serve.log", "--deployment", deployment]
    return [*command, "--home", home.place, "--project", home.project_name]


def learn_answers(home: Home, deployment: str, policy: Policy) -> int:
    """Learn ids from what was sealed and logged elsewhere since the last time; returns how many there were."""
    if home.remote is not None or not (log_place(home).folder / deployment / FILE).exists():
        return 0  # A server reads its segments itself; and where nobody serves, nobody asks.
    log = PredictionLog.open(log_place(home), deployment, policy)
    try:
        return _learn_segments(home, deployment, log.ids) + _learn_rows(home, deployment, log)
    finally:
        log.close()


def _is_behind(home: Home, deployment: str) -> bool:
    """Whether a segment with callers' ids, or a row, is not known here."""
    log = PredictionLog.open(log_place(home), deployment, Policy(encrypt=False))
    try:
        with home.meta.read() as tx:
            newest = newest_row_ms(tx, deployment)
            return bool(_unknown(segments_of(tx, deployment), log.ids)) or newest > log.ids.reach_of(ROWS)
    finally:
        log.close()


def _unknown(segments: list[Segment], ids: Ids) -> list[Segment]:
    reach = ids.reach_of(SEGMENTS)
    return [one for one in segments if one.number > reach and one.facts.given]


def _learn_segments(home: Home, deployment: str, ids: Ids) -> int:
    with home.meta.read() as tx:
        found = segments_of(tx, deployment)
    count = 0
    for segment in _unknown(found, ids):
        need_arrow()
        with ids.turn():
            count += _add(ids, _given_in(home, segment))
            ids.reached(SEGMENTS, segment.number)
    return count


def _given_in(home: Home, segment: Segment) -> Iterator[Said]:
    """The requests of callers' own ids, one a record."""
    from taut.serve.log.parquet import given_in, tables_in

    for one, digest in given_in(tables_in(parquet_of(home, segment)), segment.deployment):
        if one.role != "shadow":
            yield _said(one, digest)


def _add(ids: Ids, answers: Iterator[Said]) -> int:
    """Remember those that are new, in a turn; returns how many that were."""
    count = 0
    while some := list(islice(answers, TOGETHER)):
        known = ids.known([said.ids[0] for said in some])
        for said in some:
            if said.ids[0] not in known:
                ids.add(said, journal="", until=0)
                count += 1
    return count


def _learn_rows(home: Home, deployment: str, log: PredictionLog) -> int:
    """Rows do not say whose ids they have; all are taken for the callers' own."""
    reach = log.ids.reach_of(ROWS)
    with home.meta.read() as tx:
        newest = newest_row_ms(tx, deployment)
        if newest <= reach:
            return 0
        found = (one for one in rows_in(tx, Span(deployment)) if one.at_ms >= reach)
        with log.ids.turn():
            count = _add(log.ids, (_said(one, log.digest(one.inputs, one.rows)) for one in found))
            log.ids.reached(ROWS, newest)
    return count


def _said(one: Prediction, digest: bytes) -> Said:
    inputs: dict[str, Any] = {}  # What was asked is not kept with ids; its digest is.
    return Said(
        [one.id], [True], [one.rows], [one.event_ms], one.at_ms, [one.latency_us], one.revision, one.model, one.number,
        one.role, inputs, dict(one.outputs), [digest],
    )  # fmt: skip
