"""Segments: what journals became. Each is an object, and a row that says what is in it, recorded before a journal goes.

The object is put first, then its row and how far the journals lie in it are stored together: whoever is killed in
between leaves an object that nothing names, and seals again. So every record is in a segment or in a journal's rest.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from taut.deploy.rights import of_deployment
from taut.errors import Conflict
from taut.ground import wire
from taut.ground.meta import Cell, Row, Tx
from taut.ground.objects import read_object
from taut.ground.sealed import Key, make_key, other_key, read_key
from taut.home import Home, verb
from taut.serve.log.bloom import Asked
from taut.serve.log.said import Role
from taut.serve.log.sealing_key import DataKey, new_data_key, open_key, seal_key
from taut.serve.log.spans import Span

FIELDS = (
    "deployment, number, oid, secret, size_bytes, requests, row_count, given, first_event_ms, last_event_ms,"
    " first_at_ms, last_at_ms, versions"
)
SELECT_SEGMENTS = f"SELECT {FIELDS} FROM prediction_segment WHERE deployment = :deployment ORDER BY number"  # noqa: S608  # Constants.
SELECT_ALL = f"SELECT {FIELDS} FROM prediction_segment ORDER BY deployment, number"  # noqa: S608
SELECT_DEPLOYMENTS = "SELECT DISTINCT deployment FROM prediction_segment ORDER BY deployment"
SELECT_FILTERS = "SELECT number, filter FROM prediction_segment WHERE deployment = :deployment ORDER BY number"
SELECT_NEWEST = "SELECT COALESCE(max(number), 0) FROM prediction_segment WHERE deployment = :deployment"
INSERT_SEGMENT = f"""
INSERT INTO prediction_segment ({FIELDS}, filter, at_ms)
VALUES (:deployment, :number, :oid, :secret, :size_bytes, :requests, :row_count, :given, :first_event_ms,
    :last_event_ms, :first_at_ms, :last_at_ms, :versions, :filter, :at_ms)
"""  # noqa: S608  # Constants.
DELETE_SEGMENT = "DELETE FROM prediction_segment WHERE deployment = :deployment AND number = :number"
SELECT_SEALED = "SELECT name, sealed FROM prediction_journal WHERE deployment = :deployment AND name IN [:names]"
SELECT_PROGRESS = "SELECT name, sealed FROM prediction_journal WHERE deployment = :deployment"
UPSERT_SEALED = """
INSERT INTO prediction_journal (deployment, name, sealed, at_ms) VALUES (:deployment, :name, :sealed, :at_ms)
ON CONFLICT (deployment, name) DO UPDATE SET sealed = excluded.sealed, at_ms = excluded.at_ms
"""
FORGET_SEALED = "DELETE FROM prediction_journal WHERE deployment = :deployment AND name IN [:names]"
SEALED = "prediction.sealed"


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answered, how much, and between which events."""

    revision: int
    model: str
    number: int
    role: Role
    requests: int
    rows: int
    first_event_ms: int
    last_event_ms: int
    last_at_ms: int


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """What is in a segment; `given` counts requests whose id the caller chose, `filter` knows all ids."""

    requests: int
    rows: int
    given: int
    first_event_ms: int
    last_event_ms: int
    first_at_ms: int
    last_at_ms: int
    versions: tuple[Answering, ...]
    filter: bytes = b""
    damaged: int = 0
    """Places of the journals that could not be read; a segment holds what was before and behind them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it is recorded: the object, and its key sealed by the home's (empty for none)."""

    deployment: str
    number: int
    oid: str
    secret: str
    size_bytes: int
    facts: SegmentFacts

    @property
    def point(self) -> str:
        """Its name in the ledger."""
        return point_of(self.deployment, self.number)


@dataclass(frozen=True, slots=True)
class Sealing:
    """Bytes of a journal that a segment holds: from `start`, up to which it was sealed before, to `end`."""

    journal: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far journals were sealed, and the number of the newest segment."""

    sealed: dict[str, int]
    newest: int


@verb("prediction.progress", needs="deployment:predict", on=of_deployment)
def sealing_progress(home: Home, deployment: str, journals: list[str]) -> Progress:
    """Up to which byte each of these journals was sealed; those that nobody knows are left out."""
    with home.meta.read() as tx:
        found = tx.rows(SELECT_SEALED, {"deployment": deployment, "names": journals})
        return Progress({str(name): int(str(sealed)) for name, sealed in found}, newest_of(tx, deployment))


@verb("prediction.seal", needs="deployment:predict", on=of_deployment)
def record_segment(
    home: Home,
    deployment: str,
    data: bytes,
    facts: SegmentFacts | None,
    journals: list[Sealing],
    newest: int,
    encrypt: bool | None = None,
) -> int:
    """Store a segment, Parquet, and how far journals lie in it; returns its number, 0 for no data.

    It is encrypted where the home has a key, or as `encrypt` says. Raises Conflict where a journal was sealed further
    meanwhile, or another segment than `newest` is the newest: its ids may be among these.
    """
    made = None if facts is None else stored_segment(home, deployment, data, facts, number=newest + 1, encrypt=encrypt)
    at_ms = home.clock.now_ms()
    with home.meta.transaction() as tx:
        _must_be_next(tx, deployment, journals, newest)
        for one in journals:
            values: dict[str, Cell] = {
                "deployment": deployment, "name": one.journal, "sealed": one.end, "at_ms": at_ms,
            }  # fmt: skip
            tx.execute(UPSERT_SEALED, values)
        if made is not None:
            add_segment(home, tx, made, SEALED)
    return 0 if made is None else made.number


@verb("prediction.unsealed", needs="deployment:predict", on=of_deployment)
def forget_journals(home: Home, deployment: str, journals: list[str]) -> None:
    """Forget how far journals were sealed; for whoever has removed them."""
    with home.meta.transaction() as tx:
        tx.execute(FORGET_SEALED, {"deployment": deployment, "names": journals})


def point_of(deployment: str, number: int) -> str:
    """The name of a segment in the ledger, which its key belongs to."""
    return f"segment:{deployment}@{number}"


def segments_of(tx: Tx, deployment: str = "") -> list[Segment]:
    """The segments of a deployment, of all where none is said, without their filters."""
    rows = tx.rows(SELECT_SEGMENTS, {"deployment": deployment}) if deployment else tx.rows(SELECT_ALL)
    return [_segment(row) for row in rows]


def deployments_sealed(tx: Tx) -> list[str]:
    """The deployments that have segments."""
    return [str(name) for (name,) in tx.rows(SELECT_DEPLOYMENTS)]


def segments_with(tx: Tx, segments: Iterable[Segment], ids: Sequence[str]) -> list[tuple[Segment, list[str]]]:
    """Those of the segments that may hold some of the ids, each with these ids; of one deployment."""
    known = {one.number: one for one in segments}
    asked, found = Asked(ids), []
    for deployment in sorted({one.deployment for one in known.values()}):
        for number, known_ids in tx.each(SELECT_FILTERS, {"deployment": deployment}):
            segment = known.get(int(str(number)))
            if segment is not None and (held := asked.held_by(bytes(cast("bytes", known_ids)))):
                found.append((segment, held))
    return found


def sealed_in(tx: Tx, deployment: str) -> dict[str, int]:
    """Up to which byte the journals of all machines lie in segments."""
    return {str(name): int(str(sealed)) for name, sealed in tx.rows(SELECT_PROGRESS, {"deployment": deployment})}


def parquet_of(home: Home, segment: Segment) -> bytes:
    """The Parquet file that a segment is. Raises NotFound or Corrupt for the object, Unavailable without the key."""
    return opened_segment(segment, read_object(home.objects, segment.oid), segment_key(home, segment))


def segment_key(home: Home, segment: Segment) -> DataKey | None:
    """The key of a segment, None where it is in the open. Raises Unavailable where the home's is not the one."""
    if not segment.secret:
        return None
    assert home.folder is not None, "segments are read where the home's folder is"
    key = read_key(home.folder)
    if key is None:
        raise other_key(segment.secret.split(":")[2])
    return open_key(key, segment.secret, belongs_to=segment.point)


def opened_segment(segment: Segment, data: bytes, key: DataKey | None) -> bytes:
    """The Parquet file in the bytes of an object. Raises Corrupt."""
    return data if key is None else key.open(data, belongs_to=_belongs(segment.deployment))


def meets(segment: Segment, span: Span) -> bool:
    """Whether a segment may hold answers of a span."""
    return span.meets(segment.facts.first_event_ms, segment.facts.last_event_ms) and any(
        span.is_of(one.model, one.number, one.role) for one in segment.facts.versions
    )


def stored_segment(
    home: Home, deployment: str, data: bytes, facts: SegmentFacts, *, number: int, encrypt: bool | None
) -> Segment:
    """The bytes of a segment as an object, encrypted or not, and what is to be recorded of it."""
    key, secret = _key(home, encrypt), ""
    if key is None:
        oid = home.objects.put(io.BytesIO(data))
    else:
        made = new_data_key()
        oid = home.objects.put(io.BytesIO(made.seal(data, belongs_to=_belongs(deployment))))
        secret = seal_key(key, made, belongs_to=point_of(deployment, number))
    return Segment(deployment, number, oid, secret, len(data), facts)


def _key(home: Home, encrypt: bool | None) -> Key | None:
    assert home.folder is not None, "segments are stored where the home's folder is"
    key = read_key(home.folder)
    return None if encrypt is False else make_key(home.folder) if key is None and encrypt else key


def _must_be_next(tx: Tx, deployment: str, journals: Sequence[Sealing], newest: int) -> None:
    names = [one.journal for one in journals]
    found = tx.rows(SELECT_SEALED, {"deployment": deployment, "names": names})
    sealed = {str(name): int(str(until)) for name, until in found}
    if newest_of(tx, deployment) != newest or any(sealed.get(one.journal, 0) != one.start for one in journals):
        raise Conflict(f"somebody else sealed answers of {deployment!r} in the meantime", hint="seal again")


def add_segment(home: Home, tx: Tx, made: Segment, kind: str) -> None:
    """Record a segment, with an entry of this kind."""
    facts = made.facts
    values: dict[str, Cell] = {
        "deployment": made.deployment, "number": made.number, "oid": made.oid, "secret": made.secret,
        "size_bytes": made.size_bytes, "requests": facts.requests, "row_count": facts.rows, "given": facts.given,
        "first_event_ms": facts.first_event_ms, "last_event_ms": facts.last_event_ms,
        "first_at_ms": facts.first_at_ms, "last_at_ms": facts.last_at_ms, "versions": wire.text(facts.versions),
        "filter": facts.filter, "at_ms": home.clock.now_ms(),
    }  # fmt: skip
    tx.execute(INSERT_SEGMENT, values)
    told: dict[str, int | str] = {"requests": facts.requests, "rows": facts.rows, "oid": made.oid}
    home.append(tx, kind, subject=made.point, body={**told, "damaged": facts.damaged} if facts.damaged else told)


def newest_of(tx: Tx, deployment: str) -> int:
    """The number of the newest segment, 0 where there is none."""
    row = tx.row(SELECT_NEWEST, {"deployment": deployment})
    return 0 if row is None else int(str(row[0]))


def _segment(row: Row) -> Segment:
    deployment, number, oid, secret, size, requests, rows, given, *times, versions = row
    first_event, last_event, first_at, last_at = (int(str(one)) for one in times)
    facts = SegmentFacts(
        int(str(requests)), int(str(rows)), int(str(given)), first_event, last_event, first_at, last_at,
        wire.decode(str(versions), tuple[Answering, ...], what="the versions of a segment"),
    )  # fmt: skip
    return Segment(str(deployment), int(str(number)), str(oid), str(secret), int(str(size)), facts)


def _belongs(deployment: str) -> str:
    return f"predictions:{deployment}"
