"""The log of a deployment as one: rows of the database, segments, and what lies in the journals of this machine.

An answer is in one of them, and readers see one moment: journals are opened first, then the database says how far they
lie in segments, so what is sealed meanwhile is neither missed nor seen twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from taut.errors import UsageError
from taut.ground.meta import Tx
from taut.home import Home
from taut.records import Prediction
from taut.serve.log.live import Live, live_deployments
from taut.serve.log.merging import Source, merged
from taut.serve.log.said import EVERY_ROLE
from taut.serve.log.segments import (
    Answering,
    Segment,
    deployments_sealed,
    meets,
    parquet_of,
    sealed_in,
    segments_of,
    segments_with,
)
from taut.serve.log.spans import Span
from taut.serve.log.table import deployments_in, row_by_id, row_counts, rows_in, versions_in

ROW_DIGITS_MAX = 19  # More digits may be past 64 bits: part of an id, then, and not a row.


@dataclass(frozen=True, slots=True)
class PredictionReader:
    """The log of one deployment at one moment, from `open_log`."""

    home: Home
    deployment: str
    tx: Tx
    live: Live
    sealed: dict[str, int]
    segments: tuple[Segment, ...]

    def requests(self, span: Span) -> Iterator[Prediction]:
        """The answers of a span in the order of event time and id; what is in segments a part of one at a time."""
        found = self.live.found(span, self.sealed)
        sources = [
            Source(span.from_ms, lambda: rows_in(self.tx, span)),
            *(self._source(one, span) for one in self.segments if meets(one, span)),
            Source(found[0].event_ms if found else span.until_ms, lambda: self.live.requests(found)),
        ]
        return merged(sources)

    def find(self, request_id: str) -> Prediction | None:
        """What was answered to a request; where no answer was sent, a shadow's; None where it is unknown."""
        found = row_by_id(self.tx, request_id, self.deployment)
        if found is not None:
            return found
        everywhere = Span(self.deployment, roles=EVERY_ROLE)
        found_live = [one for one in self.live.found(everywhere, self.sealed) if one.id == request_id]
        candidates = [*self._sealed_answers([request_id]), *self.live.requests(found_live)]
        return min(candidates, key=lambda one: (one.role == "shadow", one.at_ms), default=None)

    def row_counts(self, ids: Iterable[str], *, only_sealed: bool = False) -> dict[str, int]:
        """How many rows each of these requests has, of those that were answered.

        `only_sealed` leaves out what lies in the journals of this machine.
        """
        asked = set(ids)
        found = row_counts(self.tx, self.deployment, asked)
        if left := asked - found.keys():
            found |= self._sealed_counts(sorted(left))
        if not only_sealed and (left := asked - found.keys()):
            for said in self.live.records(self.sealed):
                found |= {name: n for name, n in zip(said.ids, said.counts, strict=True) if name in left}
        return found

    def versions(self, from_ms: int | None = None, until_ms: int | None = None) -> list[Answering]:
        """Who answered events between two moments, how much, and when first and last; in the order of revisions."""
        span = Span(self.deployment, roles=EVERY_ROLE)
        span = replace(
            span,
            from_ms=span.from_ms if from_ms is None else from_ms,
            until_ms=span.until_ms if until_ms is None else until_ms,
        )
        found = [*versions_in(self.tx, span), *self._live_versions(span)]
        for segment in self.segments:
            if meets(segment, span):
                found += self._versions_of(segment, span)
        return summed(found)

    def _live_versions(self, span: Span) -> Iterator[Answering]:
        for said in self.live.records(self.sealed):
            held = [p for p in range(len(said.ids)) if span.holds(said.event_ms[p], said.ids[p])]
            if held and span.is_of(said.model, said.number, said.role):
                times, rows = [said.event_ms[p] for p in held], sum(said.counts[p] for p in held)
                yield Answering(
                    said.revision,
                    said.model,
                    said.number,
                    said.role,
                    len(held),
                    rows,
                    min(times),
                    max(times),
                    said.at_ms,
                )

    def _source(self, segment: Segment, span: Span) -> Source:
        def opened() -> Iterator[Prediction]:
            from taut.serve.log.parquet import requests_in, tables_in

            return requests_in(tables_in(parquet_of(self.home, segment), span), self.deployment)

        return Source(max(segment.facts.first_event_ms, span.from_ms), opened)

    def _sealed_answers(self, ids: Sequence[str]) -> Iterator[Prediction]:
        for segment, held in segments_with(self.tx, self.segments, ids):
            need_arrow()
            from taut.serve.log.parquet import requests_in, tables_in

            tables = tables_in(parquet_of(self.home, segment), ids=held)
            yield from requests_in(tables, self.deployment)

    def _sealed_counts(self, ids: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for segment, held in segments_with(self.tx, self.segments, ids):
            from taut.serve.log.parquet import row_counts_in

            if left := [one for one in held if one not in found]:
                found |= row_counts_in(parquet_of(self.home, segment), left)
        return found

    def _versions_of(self, segment: Segment, span: Span) -> Iterator[Answering]:
        """From what is recorded, where the whole of a version lies in the span; else the file is counted."""
        touched = [one for one in segment.facts.versions if span.meets(one.first_event_ms, one.last_event_ms)]
        if all(span.from_ms <= one.first_event_ms and one.last_event_ms < span.until_ms for one in touched):
            yield from touched
            return
        need_arrow()
        from taut.serve.log.building import facts_of
        from taut.serve.log.parquet import tables_in

        for table in tables_in(parquet_of(self.home, segment), span):
            yield from facts_of(table).versions


@contextmanager
def open_log(home: Home, deployment: str) -> Iterator[PredictionReader]:
    """Open the log of a deployment for reading while the block runs; one that never answered is empty."""
    with opened([Live(home, deployment)]) as lives, home.meta.read() as tx:
        yield reader_in(home, tx, lives[0])


@dataclass(frozen=True, slots=True)
class PredictionReaders:
    """The logs of all deployments that ever answered, by name, at one moment, from `open_logs`."""

    tx: Tx
    logs: tuple[PredictionReader, ...]

    def find(self, prediction_id: str) -> tuple[Prediction, int] | None:
        """The request that `ID.ROW` or `ID` names, and the row; None where nobody answered it."""
        head, dot, row = prediction_id.rpartition(".")
        if dot and row.isdecimal() and len(row) < ROW_DIGITS_MAX:
            found = self._request(head)
            if found is not None and int(row) < found.rows:
                return found, int(row)
        found = self._request(prediction_id)
        return None if found is None else (found, 0)

    def _request(self, request_id: str) -> Prediction | None:
        return next((found for log in self.logs if (found := log.find(request_id)) is not None), None)


@contextmanager
def open_logs(home: Home, deployment: str = "") -> Iterator[PredictionReaders]:
    """Open the logs of all deployments for reading while the block runs; of one alone where it is named."""
    if deployment:
        with open_log(home, deployment) as log:
            yield PredictionReaders(log.tx, (log,))
        return
    live = {name: Live(home, name) for name in live_deployments(home)}
    with opened(live.values()), home.meta.read() as tx:
        names = {*live, *deployments_sealed(tx), *deployments_in(tx)}
        lives = [live.get(name) or Live(home, name, reads=False) for name in sorted(names)]
        yield PredictionReaders(tx, tuple(reader_in(home, tx, one) for one in lives))


@contextmanager
def opened(lives: Iterable[Live]) -> Iterator[list[Live]]:
    """Journals that are closed at the end of the block."""
    found = list(lives)
    try:
        yield found
    finally:
        for live in found:
            live.close()


def reader_in(home: Home, tx: Tx, live: Live) -> PredictionReader:
    """The log of a deployment as a transaction sees it, whose journals were opened before."""
    segments = segments_of(tx, live.deployment)
    if segments:
        need_arrow()
    return PredictionReader(home, live.deployment, tx, live, sealed_in(tx, live.deployment), tuple(segments))


def summed(found: Iterable[Answering]) -> list[Answering]:
    """The same versions added up, in the order of revisions."""
    by_version: dict[tuple[int, str, int, str], Answering] = {}
    for one in found:
        key = (one.revision, one.model, one.number, one.role)
        other = by_version.get(key)
        by_version[key] = one if other is None else Answering(
            one.revision, one.model, one.number, one.role, one.requests + other.requests, one.rows + other.rows,
            min(one.first_event_ms, other.first_event_ms), max(one.last_event_ms, other.last_event_ms),
            max(one.last_at_ms, other.last_at_ms),
        )  # fmt: skip
    return [by_version[key] for key in sorted(by_version)]


def need_arrow() -> None:
    """Raise UsageError where the library that reads and writes Parquet is missing."""
    try:
        import pyarrow  # noqa: F401  # Only whether it is there.
    except ImportError:
        raise UsageError("segments of the prediction log are Parquet", hint="pip install 'taut[data]'") from None
