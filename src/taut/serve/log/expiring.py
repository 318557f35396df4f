"""Answers that leave for good: those that are older than the policy keeps them, and one that a person asks to erase.

Of segments that are old altogether only the rows go, and the objects with the next collection; one that is old in part
is written anew. What lies in a journal is sealed first. Labels go with what they are of.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from taut.errors import NotFound
from taut.ground.access import local_actor
from taut.ground.meta import Tx
from taut.home import Home, verb
from taut.serve.log.ids import FILE, Ids
from taut.serve.log.reading import need_arrow, open_log
from taut.serve.log.sealing import seal
from taut.serve.log.sealing_key import FILE as DATA_KEY
from taut.serve.log.sealing_key import read_data_key
from taut.serve.log.segments import Segment, parquet_of, segments_of, segments_with
from taut.serve.log.writing import log_place

SELECT_OLD = "SELECT id FROM prediction WHERE deployment = :deployment AND at_ms < :before_ms LIMIT :most"
COUNT_OLD = "SELECT count(*) FROM prediction WHERE deployment = :deployment AND at_ms < :before_ms"
DELETE_ROWS = "DELETE FROM prediction WHERE deployment = :deployment AND id IN [:ids]"
DELETE_LABELS = "DELETE FROM label WHERE deployment = :deployment AND id IN [:ids]"
MOST = 10_000  # Requests whose labels go in one transaction: others wait for it.
EXPIRED, ERASED = "prediction.expired", "prediction.erased"


@dataclass
class Expired:
    """What left: requests, and segments that went whole or were written anew."""

    requests: int = 0
    segments: int = 0


def expire(home: Home, deployment: str, *, before_ms: int, encrypt: bool | None = None) -> Expired:
    """Remove what was answered before a moment. Raises what sealing does; asked again, it goes on where it was."""
    _seal(home, deployment, encrypt=encrypt)
    done = Expired()
    while some := _old_rows(home, deployment, before_ms):
        done.requests += _remove_rows(home, deployment, some, EXPIRED)
    with home.meta.read() as tx:
        old = [one for one in segments_of(tx, deployment) if one.facts.first_at_ms < before_ms]
    for segment in old:
        done.requests += _expire_segment(home, segment, before_ms, encrypt=encrypt)
        done.segments += 1
    with _ids_of(home, deployment) as ids:
        if ids is not None:
            ids.forget(before_ms)
    return done


def count_expired(home: Home, deployment: str, before_ms: int) -> int:
    """How many requests `expire` would remove. Reads the segments that are old in part."""
    with open_log(home, deployment) as log:
        rows = log.tx.row(COUNT_OLD, {"deployment": deployment, "before_ms": before_ms})
        count = 0 if rows is None else int(str(rows[0]))
        count += sum(len(said.ids) for said in log.live.records(log.sealed) if said.at_ms < before_ms)
        for segment in log.segments:
            if segment.facts.last_at_ms < before_ms:
                count += segment.facts.requests
            elif segment.facts.first_at_ms < before_ms:
                count += _count_in(home, segment, before_ms)
    return count


@verb("prediction.erase", needs="privacy:admin")
def erase_prediction(home: Home, deployment: str, request_id: str, *, because: str) -> None:
    """Take an answer, what was asked and its labels away for good; when, by whom and why stays in the ledger.

    The journal of a serving process keeps its bytes until it is replaced, a minute at most after the next answer; so
    does the object until `taut gc`. Raises NotFound.
    """
    _seal(home, deployment, encrypt=None)
    with home.meta.read() as tx:
        found = segments_with(tx, segments_of(tx, deployment), [request_id])
    gone = _remove_rows(home, deployment, [request_id], ERASED, because=because)
    for segment, _ in found:
        gone += _erase_from(home, segment, request_id)
    with _ids_of(home, deployment) as ids:
        if ids is not None:
            ids.erase(request_id)
    if not gone:
        raise NotFound(f"deployment {deployment!r} never answered a request {request_id!r}")


def _seal(home: Home, deployment: str, *, encrypt: bool | None) -> None:
    """Seal all there is, as the machine does by itself: whoever lets answers go need not be let answer."""
    seal(home.as_actor(local_actor()), deployment, also_written=True, encrypt=encrypt)


def _count_in(home: Home, segment: Segment, before_ms: int) -> int:
    import pyarrow.compute as pc

    from taut.serve.log.parquet import tables_in

    firsts = (table.filter(pc.equal(table["row"], 0)) for table in tables_in(parquet_of(home, segment)))
    return sum(int(pc.sum(pc.less(table["at_ms"], before_ms)).as_py() or 0) for table in firsts)


def _expire_segment(home: Home, segment: Segment, before_ms: int, *, encrypt: bool | None) -> int:
    import pyarrow.compute as pc

    from taut.serve.log.rewriting import replace_segments, table_of

    need_arrow()
    leaving = table_of(home, [segment], lambda table: pc.less(table["at_ms"], before_ms))
    ids = sorted(set(leaving["id"].to_pylist()))
    left = table_of(home, [segment], lambda table: pc.greater_equal(table["at_ms"], before_ms))
    for start in range(0, len(ids), MOST):
        _remove_labels(home, segment.deployment, ids[start : start + MOST])
    replace_segments(home, [segment], left, EXPIRED, encrypt=encrypt)
    return (
        segment.facts.requests - pc.sum(pc.equal(left["row"], 0)).as_py() if left.num_rows else segment.facts.requests
    )


def _erase_from(home: Home, segment: Segment, request_id: str) -> int:
    """Write a segment anew without a request, where it has it; what its home's key is decides as before."""
    import pyarrow.compute as pc

    from taut.serve.log.rewriting import ids_are, replace_segments, table_of

    left = table_of(home, [segment], lambda table: pc.invert(ids_are(table, [request_id])))
    if left.num_rows == segment.facts.rows:
        return 0  # The filter only said that it may.
    replace_segments(home, [segment], left, ERASED, encrypt=bool(segment.secret))
    return 1


def _old_rows(home: Home, deployment: str, before_ms: int) -> list[str]:
    with home.meta.read() as tx:
        found = tx.rows(SELECT_OLD, {"deployment": deployment, "before_ms": before_ms, "most": MOST})
    return [str(one) for (one,) in found]


def _remove_rows(home: Home, deployment: str, ids: list[str], kind: str, *, because: str = "") -> int:
    """Remove rows of the database, and labels of these requests wherever those lie; returns how many rows went."""
    with home.meta.transaction() as tx:
        gone = tx.execute(DELETE_ROWS, {"deployment": deployment, "ids": ids})
        _delete_labels(home, tx, deployment, ids)
        body = {"id": ids[0], "because": because} if kind == ERASED else {"requests": gone}
        home.append(tx, kind, subject=f"predictions:{deployment}", body=body)
    return gone


def _remove_labels(home: Home, deployment: str, ids: list[str]) -> None:
    with home.meta.transaction() as tx:
        _delete_labels(home, tx, deployment, ids)


def _delete_labels(home: Home, tx: Tx, deployment: str, ids: list[str]) -> None:
    gone = tx.execute(DELETE_LABELS, {"deployment": deployment, "ids": ids})
    if gone:
        home.append(tx, "label.removed", subject=f"deployment:{deployment}", body={"labels": gone})


@contextmanager
def _ids_of(home: Home, deployment: str) -> Iterator[Ids | None]:
    """The file of callers' ids on this machine, None where there is none."""
    place = log_place(home)
    folder = place.folder / deployment
    if not (folder / FILE).exists():
        yield None
        return
    ids = Ids(folder, read_data_key(folder, place.keys), seals=(folder / DATA_KEY).exists())
    try:
        yield ids
    finally:
        ids.close()
