"""What lies in the journals of this machine and in no segment yet: read as it is, so an answer is there at once."""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from taut.deploy.running import NAME
from taut.home import Home
from taut.records import Prediction
from taut.serve.log.journal import Body, Reading, journals_in
from taut.serve.log.said import Said, unpack
from taut.serve.log.sealing_key import read_data_key
from taut.serve.log.spans import Span, request_at
from taut.serve.log.writing import log_place

RECORDS_KEPT = 256  # Of 64 requests each: some 10 MB.


class Found(NamedTuple):
    """A request in a journal: its record, its place in it, and its rows."""

    event_ms: int
    id: str
    journal: int
    begin: int
    end: int
    place: int
    first: int
    last: int


class Live:
    """The journals of a deployment, open: what is in them stays readable when they are sealed and removed meanwhile."""

    def __init__(self, home: Home, deployment: str, *, reads: bool = True) -> None:
        self.deployment = deployment
        place = log_place(home)
        folder = place.folder / deployment
        self._readings: list[Reading] = []
        try:
            # Readers ask for anything; only what a deployment can be called has a folder.
            paths = journals_in(folder) if reads and NAME.fullmatch(deployment) else []
            key = read_data_key(folder, place.keys) if paths else None
            for path in paths:
                self._readings.append(Reading(path, key))
        except BaseException:
            self.close()
            raise

    @property
    def is_empty(self) -> bool:
        """Whether there is no journal."""
        return not self._readings

    def records(self, sealed: Mapping[str, int]) -> Iterator[Said]:
        """The records behind what was sealed of each journal, those of a process in their order."""
        for body in self.bodies(sealed):
            yield unpack(body)

    def bodies(self, sealed: Mapping[str, int], *, only: int = 0) -> Iterator[Body]:
        """The same as they are packed; `only` those with one of these flags, all for 0."""
        for reading in self._readings:
            for record in reading.records(sealed.get(reading.path.name, 0), only=only):
                yield record.body

    def found(self, span: Span, sealed: Mapping[str, int]) -> list[Found]:
        """Where the requests of a span are, in the order of event time and id."""
        found = []
        for number, reading in enumerate(self._readings):
            for record in reading.records(sealed.get(reading.path.name, 0)):
                said = unpack(record.body)
                if span.is_of(said.model, said.number, said.role):
                    found += [
                        Found(
                            said.event_ms[place], said.ids[place], number, record.start, record.end, place, start, end
                        )
                        for place, start, end in said.spans()
                        if span.holds(said.event_ms[place], said.ids[place])
                    ]
        found.sort()
        return found

    def requests(self, found: Iterable[Found]) -> Iterator[Prediction]:
        """The requests at these places. Records are read again, and some kept: neighbours in time are in one mostly."""

        @lru_cache(maxsize=RECORDS_KEPT)
        def said_at(journal: int, begin: int, end: int) -> Said:
            return unpack(self._readings[journal].body_at(begin, end))

        for one in found:
            said = said_at(one.journal, one.begin, one.end)
            yield request_at(said, one.place, one.first, one.last, self.deployment)

    def close(self) -> None:
        """Let go of the files."""
        for reading in self._readings:
            reading.close()


def live_deployments(home: Home) -> list[str]:
    """The deployments that this machine has a log of."""
    folder = log_place(home).folder
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
