"""Which answers are meant: those of a deployment, between two moments of the events, of one version, in some roles."""

from collections.abc import Iterator
from dataclasses import dataclass

from taut.records import Prediction
from taut.serve.log.said import Role, Said, columns_between

END_OF_TIME_MS = 253_402_300_800_000  # The year 10000: later than any date that ISO 8601 writes without a sign.
ANSWERED: tuple[Role, ...] = ("live", "canary", "batch")
"""The roles whose answers somebody got: those of a batch stand in its files."""


@dataclass(frozen=True, slots=True)
class Span:
    """`from_ms` belongs to it, `until_ms` does not; `number` 0 and an empty `model` mean any.

    `after` is the event time and the id of the last request that is not wanted any more, None where all are.
    """

    deployment: str
    from_ms: int = -END_OF_TIME_MS
    until_ms: int = END_OF_TIME_MS
    number: int = 0
    model: str = ""
    roles: tuple[Role, ...] = ANSWERED
    after: tuple[int, str] | None = None

    def holds(self, event_ms: int, request_id: str) -> bool:
        """Whether a request of the right version lies in it."""
        return self.from_ms <= event_ms < self.until_ms and (self.after is None or (event_ms, request_id) > self.after)

    def is_of(self, model: str, number: int, role: str) -> bool:
        """Whether these answers are meant."""
        return self.number in (0, number) and self.model in ("", model) and role in self.roles

    def meets(self, first_ms: int, last_ms: int) -> bool:
        """Whether events between these, both included, may lie in it."""
        return first_ms < self.until_ms and last_ms >= max(self.from_ms, self.after[0] if self.after else self.from_ms)


def requests_of(said: Said, span: Span) -> Iterator[Prediction]:
    """The requests of a record that lie in a span, in the order of the record."""
    if span.is_of(said.model, said.number, said.role):
        for place, start, end in said.spans():
            if span.holds(said.event_ms[place], said.ids[place]):
                yield request_at(said, place, start, end, span.deployment)


def request_at(said: Said, place: int, start: int, end: int, deployment: str) -> Prediction:
    """One request of a record, with the rows from `start` on."""
    return Prediction(
        deployment=deployment, id=said.ids[place], revision=said.revision, model=said.model, number=said.number,
        at_ms=said.at_ms, event_ms=said.event_ms[place], rows=end - start,
        inputs=columns_between(said.inputs, start, end), outputs=columns_between(said.outputs, start, end),
        role=said.role, latency_us=said.latency_us[place],
    )  # fmt: skip
