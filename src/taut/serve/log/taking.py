"""Records of journals become a segment: of this machine's, or of one far away, which so needs no Arrow.

A front in a container has a small image and little memory, and its home's server has Arrow anyway.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from taut.deploy.rights import of_deployment
from taut.errors import Conflict, Invalid
from taut.home import Home, verb
from taut.serve.log.compacting import compact
from taut.serve.log.journal import GIVEN
from taut.serve.log.reading import need_arrow
from taut.serve.log.rows import known_requests
from taut.serve.log.said import Said, check_lengths, picked, unpack
from taut.serve.log.segments import Sealing, SegmentFacts, record_segment, sealing_progress

if TYPE_CHECKING:
    import pyarrow as pa

TRIES = 5

Records = Callable[[int], Iterable[Said]]
"""The records with one of these flags of journals, all for 0; asked as often as they are needed."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The segment that was made, 0 for none, and the rows in it."""

    number: int
    rows: int


@verb("prediction.take", needs="deployment:predict", on=of_deployment)
def take_records(
    home: Home,
    deployment: str,
    records: list[bytes],
    journals: list[Sealing],
    damaged: int = 0,
    encrypt: bool | None = None,
) -> Taken:
    """Make a segment of records, opened, that lay in these parts of journals; once however often it is asked.

    Raises Invalid for what is no record, Conflict where a journal was sealed further meanwhile, or where others seal so
    often that there is no turn, and UsageError without pyarrow.
    """
    need_arrow()
    said = [_checked(unpack(one)) for one in records]

    def those(flags: int) -> Iterable[Said]:
        return (one for one in said if any(one.given)) if flags == GIVEN else said

    for tries in range(TRIES):
        progress = sealing_progress(home, deployment, [one.journal for one in journals])
        if any(progress.sealed.get(one.journal, 0) != one.start for one in journals):
            raise Conflict(f"these answers of {deployment!r} were sealed already", hint="ask for the progress")
        try:
            data, facts = _made(home, deployment, those, damaged)
            number = record_segment(home, deployment, data, facts, journals, progress.newest, encrypt)
        except Conflict:
            if tries == TRIES - 1:
                raise
        else:
            break
    if facts is None:
        return Taken(0, 0)
    compact(home, deployment, encrypt=encrypt)
    return Taken(number, facts.rows)


def made_of(home: Home, deployment: str, records: Records) -> "pa.Table | None":
    """The table of a segment: the first answer to each of callers' own ids, and all to ids of ours; None for none."""
    from taut.serve.log.building import Builder

    builder = Builder()
    for said in _first_answers(home, deployment, records):
        builder.add(said)
    return builder.table() if builder.rows else None


def _made(home: Home, deployment: str, records: Records, damaged: int) -> tuple[bytes, SegmentFacts | None]:
    """A segment's bytes and facts; none where all was answered before."""
    import pyarrow as pa

    from taut.serve.log.building import facts_of
    from taut.serve.log.parquet import written

    try:
        table = made_of(home, deployment, records)
    except (TypeError, OverflowError, pa.ArrowInvalid) as problem:  # Nothing that a front writes; somebody else may.
        raise Invalid(f"the records hold what no column can: {problem}") from None
    return (b"", None) if table is None else (written(table), replace(facts_of(table), damaged=damaged))


def _first_answers(home: Home, deployment: str, records: Records) -> Iterator[Said]:
    """The records, without requests of callers' own ids that were answered before: of those the first answer counts."""
    own = {
        name
        for said in records(GIVEN)
        for name, given in zip(said.ids, said.given, strict=True)
        if given and said.role != "shadow"
    }
    seen = set(known_requests(home, deployment, sorted(own), only_sealed=True)) if own else set()
    for said in records(0):
        if said.role == "shadow" or not any(said.given):
            yield said
            continue
        left = []
        for place, name in enumerate(said.ids):
            if not (said.given[place] and name in seen):
                left.append(place)
            if said.given[place]:
                seen.add(name)
        if left:
            yield picked(said, left)


def _checked(said: Said) -> Said:
    check_lengths(said)
    if said.digests and len(said.digests) != len(said.ids):
        raise Invalid(f"{len(said.digests)} digests for {len(said.ids)} requests")
    return said
