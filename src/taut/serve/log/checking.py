"""What `fsck` asks of a log: that journals can be read, that keys open what they sealed, that files hold what rows say.

Whether the object of a segment is there with the bytes that were stored is asked with all other objects.
"""

from collections.abc import Iterator
from pathlib import Path

from taut.deploy import list_deployments
from taut.errors import Corrupt, NotFound, TautError
from taut.ground.access import local_actor
from taut.ground.objects import read_object
from taut.home import Home
from taut.serve.log.journal import Reading, journals_in
from taut.serve.log.live import live_deployments
from taut.serve.log.sealing import DAMAGED
from taut.serve.log.sealing_key import read_data_key
from taut.serve.log.segments import Segment, opened_segment, segment_key, segments_of
from taut.serve.log.writing import log_place

Trouble = tuple[str, str, str]
"""What kind of problem it is, what it hurts, and what is so."""


def unsound_logs(home: Home, *, deep: bool) -> Iterator[Trouble]:
    """What is wrong with the logs of a home: in the journals of this machine, and with its segments.

    `deep` reads the segments, too, where pyarrow is there.
    """
    known = {one.name for one in list_deployments(home.as_actor(local_actor()))}
    for deployment in live_deployments(home):
        yield from _journals(home, deployment, is_known=deployment in known)
    with home.meta.read() as tx:
        segments = segments_of(tx)
    for segment in segments:
        yield from _segment(home, segment, deep=deep)


def _journals(home: Home, deployment: str, *, is_known: bool) -> Iterator[Trouble]:
    place = log_place(home)
    folder = place.folder / deployment
    journals = journals_in(folder)
    if journals and not is_known:
        yield "orphan", f"journals:{deployment}", f"{folder} has answers of a deployment that was never recorded"
    try:
        key = read_data_key(folder, place.keys)
    except TautError as problem:
        yield "damaged", f"journals:{deployment}", f"they cannot be opened: {problem.message}"
        return
    for path in journals:
        yield from _journal(path, Reading(path, key), deployment)
    for path in sorted(folder.glob(f"*{DAMAGED}")):
        yield "damaged", f"journal:{deployment}/{path.name}", "parts of it could not be read, so it was put aside"


def _journal(path: Path, reading: Reading, deployment: str) -> Iterator[Trouble]:
    subject = f"journal:{deployment}/{path.name}"
    try:
        for _ in reading.records():
            pass
    except TautError as problem:
        yield "damaged", subject, problem.message
    else:
        if reading.damaged:
            yield "damaged", subject, f"{reading.damaged} places of it cannot be read"
    finally:
        reading.close()


def _segment(home: Home, segment: Segment, *, deep: bool) -> Iterator[Trouble]:
    try:
        key = segment_key(home, segment)
    except TautError as problem:
        yield "damaged", segment.point, f"it cannot be opened: {problem.message}"
        return
    if not deep:
        return
    try:
        data = read_object(home.objects, segment.oid)
    except (NotFound, Corrupt):
        return  # Told of the object.
    try:
        rows = _rows_in(opened_segment(segment, data, key))
    except TautError as problem:
        yield "damaged", segment.point, problem.message
        return
    if rows is not None and rows != segment.facts.rows:
        yield "damaged", segment.point, f"it has {rows} rows, and {segment.facts.rows} are recorded"


def _rows_in(data: bytes) -> int | None:
    """How many rows a file has; None where nothing is there to read it."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        return None
    try:
        return int(pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows)
    except pa.ArrowException as problem:
        raise Corrupt(f"it is no Parquet: {problem}") from None
