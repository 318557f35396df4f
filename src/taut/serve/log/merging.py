"""Sorted sources of answers as one sorted stream, each opened only when its first event is reached."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from taut.records import Prediction


@dataclass(frozen=True, slots=True)
class Source:
    """Answers in the order of event time and id; none lies before `first_ms`."""

    first_ms: int
    open: Callable[[], Iterator[Prediction]]


def merged(sources: Sequence[Source]) -> Iterator[Prediction]:
    """The answers of all sources in the order of event time and id; of two to one request only the first.

    A shadow's answer is one of its own.
    """
    waiting = sorted(enumerate(sources), key=lambda one: one[1].first_ms, reverse=True)
    heap: list[tuple[int, str, int, Prediction, Iterator[Prediction]]] = []
    last, known = (0, ""), set[tuple[str, int] | None]()
    while heap or waiting:
        while waiting and (not heap or waiting[-1][1].first_ms <= heap[0][0]):
            order, source = waiting.pop()
            _push(heap, order, source.open())
        if heap:
            _, _, order, found, left = heapq.heappop(heap)
            _push(heap, order, left)
            request, who = (found.event_ms, found.id), (found.model, found.number) if found.role == "shadow" else None
            if request != last:
                last, known = request, set()
            if who not in known:
                known.add(who)
                yield found


def _push(
    heap: list[tuple[int, str, int, Prediction, Iterator[Prediction]]], order: int, left: Iterator[Prediction]
) -> None:
    found = next(left, None)
    if found is not None:
        heapq.heappush(heap, (found.event_ms, found.id, order, found, left))
