"""The log read from front to end with labels beside it, a page at a time, wherever the home is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from taut.deploy import find_deployment
from taut.deploy.rights import of_deployment
from taut.errors import NotFound
from taut.ground.access import local_actor
from taut.home import Home, require, verb
from taut.records import Prediction
from taut.serve.log.labelling import labels_of
from taut.serve.log.labels import traffic
from taut.serve.log.reading import PredictionReader, PredictionReaders, open_log
from taut.serve.log.said import Role
from taut.serve.log.spans import ANSWERED, END_OF_TIME_MS, Span

PAGE, PAGE_MAX = 500, 5_000  # Requests.
FIRST_STEP_MS = 60_000


@dataclass(frozen=True, slots=True)
class Labelled:
    """An answered request and what turned out to be true of each of its rows, None where that is not known."""

    request: Prediction
    labels: list[float | None]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which answers are meant: of one deployment, with event times in a range, of one model or version.

    `from_event_ms` belongs to the range, `until_event_ms` does not; `number` 0 and an empty `model` mean any. Answers
    of a `shadow`, which nobody got, are there where `roles` has it. With `ids` only these predictions (ID.ROW, of which
    all rows of the request are found) or requests (ID).
    """

    deployment: str
    from_event_ms: int = -END_OF_TIME_MS
    until_event_ms: int = END_OF_TIME_MS
    number: int = 0
    model: str = ""
    ids: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ANSWERED


@verb("prediction.page", needs="prediction:read", on=of_deployment)
def page_predictions(
    home: Home,
    deployment: str,
    from_event_ms: int = -END_OF_TIME_MS,
    until_event_ms: int = END_OF_TIME_MS,
    number: int = 0,
    model: str = "",
    after_event_ms: int | None = None,
    after_id: str = "",
    limit: int = PAGE,
    roles: list[Role] | None = None,
) -> list[Labelled]:
    """A page of answered requests with their labels, in the order of event time and id, at most 5,000.

    `after_event_ms` and `after_id` are those of the last request of the page before; where shadows answered that too,
    all of its answers are on one page, however long that gets. `roles` are those that answered, without shadows where
    none are given. Raises NotFound for a deployment that never was.
    """
    asked = Asked(
        _known(home, deployment), from_event_ms, until_event_ms, number, model, roles=tuple(roles or ANSWERED)
    )  # fmt: skip
    after = None if after_event_ms is None else (after_event_ms, after_id)
    with open_log(home, asked.deployment) as log:
        return list(_labelled(log, _some(log.requests(_span(asked, after)), min(limit, PAGE_MAX))))


@verb("prediction.named", needs="prediction:read", on=of_deployment)
def named_predictions(home: Home, deployment: str, ids: list[str]) -> list[Labelled]:
    """The requests of these predictions, `ID.ROW` or `ID`, each once and in this order. Raises NotFound for others."""
    name = _known(home, deployment)
    with open_log(home, name) as log:
        logs, found = PredictionReaders(log.tx, (log,)), dict[str, Prediction]()
        for one in ids:
            known = logs.find(one)
            if known is None:
                raise NotFound(f"deployment {name!r} never answered {one!r}", hint=f"taut predictions query {name}")
            found[known[0].id] = known[0]
        return list(_labelled(log, found.values()))


def each_request(home: Home, asked: Asked) -> Iterator[Labelled]:
    """All answers that are meant, in the order of event time and id; a few of them in memory at a time.

    Raises NotFound for a deployment that never was, or an id that it never answered, and Denied.
    """
    if asked.ids:
        yield from named_predictions(home, asked.deployment, list(asked.ids))
        return
    if home.remote is None:
        require(home, "prediction:read", verb="prediction.page")
        name = _known(home, asked.deployment)
        with open_log(home, name) as log:
            yield from _labelled(log, log.requests(_span(asked)))
        return
    page: list[Labelled] = []
    while not page or len(page) >= PAGE:
        last = page[-1].request if page else None
        page = page_predictions(
            home, asked.deployment, asked.from_event_ms, asked.until_event_ms, asked.number, asked.model,
            None if last is None else last.event_ms, "" if last is None else last.id, PAGE, list(asked.roles),
        )  # fmt: skip
        yield from page
        if not page:
            return


def spans_backwards(home: Home, asked: Asked) -> Iterator[Asked]:
    """Ranges of time that follow each other from the newest answer back, each twice as long as the one before."""
    known = traffic(home, asked.deployment)
    if known.first_event_ms is None or known.last_event_ms is None:
        yield asked
        return
    begin = max(known.first_event_ms, asked.from_event_ms)
    until = min(known.last_event_ms + 1, asked.until_event_ms)
    step = FIRST_STEP_MS
    while until > begin:
        start = max(begin, until - step)
        yield replace(asked, from_event_ms=start, until_event_ms=until)
        until, step = start, step * 2


def _known(home: Home, deployment: str) -> str:
    """The name of a deployment that there is: whoever may read predictions need not see what is deployed."""
    return find_deployment(home.as_actor(local_actor()), deployment).name


def _span(asked: Asked, after: tuple[int, str] | None = None) -> Span:
    return Span(
        asked.deployment, asked.from_event_ms, asked.until_event_ms, asked.number, asked.model, asked.roles, after
    )  # fmt: skip


def _some(requests: Iterable[Prediction], limit: int) -> Iterator[Prediction]:
    """So many answers, and what else was answered to the request of the last."""
    last: tuple[int, str] | None = None
    for place, one in enumerate(requests):
        if place >= limit and (one.event_ms, one.id) != last:
            return
        last = one.event_ms, one.id
        yield one


def _labelled(log: PredictionReader, requests: Iterable[Prediction]) -> Iterator[Labelled]:
    left = iter(requests)
    while some := list(islice(left, PAGE)):
        labels = labels_of(log.tx, log.deployment, [one.id for one in some])
        for one in some:
            known = labels.get(one.id, {})
            yield Labelled(one, [known.get(row) for row in range(one.rows)])
