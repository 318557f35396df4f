"""Requests on their way to a model process: who waits for them, how long they may, and which go together."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

from taut.serve.processes.joining import Columns, count_rows

Outcome = Columns | Exception


class Group:
    """Requests that were asked at once and are answered at once."""

    __slots__ = ("_left", "_outcomes", "future")

    def __init__(self, size: int) -> None:
        self.future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._outcomes: list[Outcome] = [TimeoutError()] * size
        self._left = size

    def tell(self, place: int, outcome: Outcome) -> None:
        """Note what became of one of them; the last one ends the wait."""
        self._outcomes[place] = outcome
        self._left -= 1
        if not self._left and not self.future.done():
            self.future.set_result(self._outcomes)


class Ask:
    """One request. `deaths` counts the processes that ended on it; it `hangs` where a call for it alone is late."""

    __slots__ = ("_group", "_place", "columns", "deadline_s", "deaths", "hangs", "likeness", "params", "rows", "told")

    def __init__(
        self,
        group: Group,
        place: int,
        columns: Columns,
        params: Mapping[str, Any],
        likeness: Hashable,
        deadline_s: float,
    ) -> None:
        self._group = group
        self._place = place
        self.columns = columns
        self.params = params
        self.rows = count_rows(columns)
        self.likeness = likeness
        self.deadline_s = deadline_s
        self.deaths = 0
        self.hangs = False
        self.told = False

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.told or self._group.future.done()

    def tell(self, outcome: Outcome) -> None:
        """Its outcome; a second one is of no use to anybody."""
        if not self.told:
            self.told = True
            self._group.tell(self._place, outcome)


class Waiting:
    """Requests that no process has: fresh ones, which may go together, and suspects, which go alone.

    A suspect was in a call that hung or ended its process, so it is asked where it can harm nobody else.
    """

    def __init__(self, *, rows_max: int, requests_max: int) -> None:
        self._rows_max = rows_max
        self._requests_max = requests_max
        self.fresh: deque[Ask] = deque()
        self.suspects: deque[Ask] = deque()

    def __len__(self) -> int:
        return len(self.fresh) + len(self.suspects)

    def suspect(self, asks: Sequence[Ask]) -> None:
        """Take requests back, to be asked alone."""
        self.suspects.extend(ask for ask in asks if not ask.is_over)

    def next_suspect(self, now_s: float) -> list[Ask]:
        """The suspect that waits longest, alone; empty where none does."""
        while self.suspects:
            if not self._is_late(ask := self.suspects.popleft(), now_s):
                return [ask]
        return []

    def next_fresh(self, requests_max: int, now_s: float) -> list[Ask]:
        """The request that waits longest, and those like it as far as a call holds them; empty where none waits."""
        found: list[Ask] = []
        left: deque[Ask] = deque()
        rows, most = 0, min(requests_max, self._requests_max)
        while self.fresh and len(found) < most and rows < self._rows_max:
            ask = self.fresh.popleft()
            if self._is_late(ask, now_s):
                continue
            if not found or (
                ask.likeness is not None
                and ask.likeness == found[0].likeness
                and rows + ask.rows <= self._rows_max
                and ask.params == found[0].params
            ):
                found.append(ask)
                rows += ask.rows
                if ask.likeness is None:
                    break
            else:
                left.append(ask)
        self.fresh.extendleft(reversed(left))
        return found

    def expire(self, now_s: float) -> None:
        """Tell those whose time is up, and forget them and those for whom nobody waits."""
        for lane in (self.fresh, self.suspects):
            if any(ask.deadline_s <= now_s or ask.is_over for ask in lane):
                kept = [ask for ask in lane if not self._is_late(ask, now_s)]
                lane.clear()
                lane.extend(kept)

    def refuse(self, problem: Callable[[], Exception]) -> None:
        """Tell all of them that nobody will answer."""
        for ask in self._drained():
            ask.tell(problem())

    def _drained(self) -> Iterator[Ask]:
        for lane in (self.suspects, self.fresh):
            while lane:
                yield lane.popleft()

    @staticmethod
    def _is_late(ask: Ask, now_s: float) -> bool:
        """Whether nobody waits for it any more; whoever waits for one whose time is up is told so."""
        if not ask.is_over and ask.deadline_s <= now_s:
            ask.tell(TimeoutError())
        return ask.is_over


class Usual:
    """How long calls take by their number of rows, learnt from those that came back."""

    def __init__(self) -> None:
        self._took_s: dict[int, float] = {}

    def learn(self, rows: int, took_s: float) -> None:
        """A call of so many rows came back after so long."""
        size = rows.bit_length()
        known_s = self._took_s.get(size)
        self._took_s[size] = took_s if known_s is None else known_s + (took_s - known_s) / 8

    def expected_s(self, rows: int) -> float:
        """What a call of so many rows takes at most, if time grows no faster than rows; 0 before any came back."""
        size = rows.bit_length()
        if not self._took_s:
            return 0.0
        near = max((known for known in self._took_s if known <= size), default=min(self._took_s))
        return self._took_s[near] * 2.0 ** max(0, size - near)
