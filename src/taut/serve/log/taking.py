"""Records of journals become a segment: of this machine's, or of one far away, which so needs no Arrow.

A front in a container has a small image and little memory, and its home's server has Arrow anyway.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from taut.deploy.rights import of_deployment
from taut.errors import Conflict
from taut.home import Home, verb
from taut.serve.log.compacting import compact
from taut.serve.log.journal import GIVEN, Body
from taut.serve.log.reading import need_arrow
from taut.serve.log.rows import known_requests
from taut.serve.log.said import Said, pack, picked, unpack
from taut.serve.log.segments import Sealing, SegmentFacts, record_segment, sealing_progress

TRIES = 5

Records = Callable[[int], Iterable[Body]]
"""The records with one of these flags of journals, all for 0, opened; asked as often as they are needed."""


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
    for tries in range(TRIES):
        progress = sealing_progress(home, deployment, [one.journal for one in journals])
        if any(progress.sealed.get(one.journal, 0) != one.start for one in journals):
            raise Conflict(f"these answers of {deployment!r} were sealed already", hint="ask for the progress")
        try:
            data, facts = made_of(home, deployment, lambda _: records, damaged=damaged)
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


def made_of(home: Home, deployment: str, records: Records, *, damaged: int) -> tuple[bytes, SegmentFacts | None]:
    """A segment's bytes and facts: the first answer to each of callers' own ids, all to ids of ours.

    No facts where all was answered before. Raises Invalid for what is no record.
    """
    from taut.serve.log.building import Builder, facts_of
    from taut.serve.log.parquet import written

    builder = Builder()
    for record in first_answers(records, lambda names: known_requests(home, deployment, names, only_sealed=True)):
        builder.add(record)
    if not builder.rows:
        return b"", None
    table = builder.table()
    return written(table), replace(facts_of(table), damaged=damaged)


def first_answers(records: Records, known: Callable[[list[str]], Iterable[str]]) -> Iterator[Body]:
    """The records, without requests of callers' own ids that were answered before: of those the first answer counts.

    `known` says which of some ids have an answer elsewhere.
    """
    from taut.serve.log.packed import own_ids

    own = {name for record in records(GIVEN) for name in own_ids(record)}
    if not own:
        yield from records(0)
        return
    seen = set(known(sorted(own)))
    for record in records(0):
        names = own_ids(record)
        if seen.isdisjoint(names) and len(set(names)) == len(names):
            yield record
        else:
            yield from _without(unpack(record), seen)
        seen.update(names)


def _without(said: Said, seen: set[str]) -> Iterator[bytes]:
    """The record without requests of callers' own ids that were seen, in the record itself too."""
    left, here = [], set[str]()
    for place, name in enumerate(said.ids):
        if not (said.given[place] and (name in seen or name in here)):
            left.append(place)
        if said.given[place]:
            here.add(name)
    if left:
        yield pack(picked(said, left))
