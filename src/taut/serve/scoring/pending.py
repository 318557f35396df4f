"""A request on its way through a backend: who waits for it, since when, and who asked under the same id meanwhile."""

import asyncio
import sys
import time
import traceback
from collections.abc import Callable

from taut.errors import Conflict
from taut.ground import wire
from taut.ground.clock import new_id
from taut.records import Prediction
from taut.serve.requests import Request
from taut.serve.scoring.joining import Columns, plain_lists

Result = Prediction | Exception
Tell = Callable[[Result], None]


class RequestFailed(Exception):
    """The model failed on a request; by `request_id` the log of the process tells more."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"the model failed on request {request_id}; the server's log says how")
        self.request_id = request_id


class TimedOut(TimeoutError):
    """A request was not answered in time; what the model says of it later is kept under `request_id`."""

    def __init__(self, request_id: str) -> None:
        super().__init__(f"request {request_id} was not answered in time")
        self.request_id = request_id


class Pending:
    """One accepted request; `tell` is called once, at the deadline at the latest. Then it may still be under way."""

    __slots__ = (
        "_is_told", "_over", "_tell", "_timer", "arrived_s", "caller", "followers", "given", "id", "is_over",
        "request", "rows",
    )  # fmt: skip

    def __init__(self, request: Request, rows: int, caller: str, tell: Tell, over: "Callable[[Pending], None]") -> None:
        self.request = request
        self.rows = rows
        self.caller = caller
        self._tell = tell
        self._over = over  # Called once, when nothing is done for it any more.
        self._is_told = False
        self.is_over = False
        self.arrived_s = time.monotonic()
        self.id = request.id
        self.given = bool(request.id)
        self.followers: list[Pending] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wait_until(self, deadline_s: float) -> None:
        """Let whoever waits go at the deadline, with a TimeoutError; only the first deadline counts."""
        if self._timer is None:
            left_s = max(0.0, deadline_s - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(left_s, self._give_up)

    def named(self) -> str:
        """Its id; it gets one where it has none."""
        self.id = self.id or new_id()
        return self.id

    def resolve(self, result: Result) -> None:
        """Tell whoever still waits; the request is over."""
        self.is_over = True
        self._over(self)
        if self._timer is not None:
            self._timer.cancel()
        self._say(result)

    @property
    def columns(self) -> Columns:
        """What is written down of what it asks: its columns, and the params for the model, the same in each row."""
        asked = self.request
        if not asked.params:
            return asked.columns
        return {**asked.columns, **{f"params.{name}": [value] * self.rows for name, value in asked.params.items()}}

    def asks_like(self, other: "Pending") -> bool:
        """Whether both ask about the same rows; their columns may stand in another order."""
        return wire.encode(plain_lists(self.columns)) == wire.encode(plain_lists(other.columns))

    def _give_up(self) -> None:
        self._say(TimedOut(self.named()))

    def _say(self, result: Result) -> None:
        if self._is_told:
            return
        self._is_told = True
        try:
            self._tell(result)
        except Exception:  # noqa: BLE001  # Others of the same batch still wait for theirs.
            sys.stderr.write(f"request {self.id}: its answer could not be told\n{traceback.format_exc()}")


class Ids:
    """Ids that callers chose and that are under way at an endpoint: one request leads, others follow.

    So no id is answered twice, however many ask under it at once.
    """

    def __init__(self) -> None:
        self._leaders: dict[str, Pending] = {}

    def leads(self, pending: Pending) -> bool:
        """Whether it is the only one under way with its id; else it waits for what the first one gets."""
        leader = self._leaders.setdefault(pending.id, pending)
        if leader is pending:
            return True
        leader.followers = [*(leader.followers or ()), pending]
        return False

    def resolve(self, pending: Pending, result: Result) -> list[Pending]:
        """Tell the request and who asked the same. Returns those who asked other things, and got no answer by this."""
        pending.resolve(result)
        if not pending.given or self._leaders.get(pending.id) is not pending:
            return []
        del self._leaders[pending.id]
        left = []
        for follower in pending.followers or ():
            if follower.asks_like(pending):
                follower.resolve(result)
            elif isinstance(result, Prediction):
                follower.resolve(_conflict(result.id))
            else:
                left.append(follower)
        pending.followers = None
        return left


def _conflict(request_id: str) -> Conflict:
    return Conflict(
        f"request id {request_id!r} is used for other inputs at this moment; an id names one request for good",
        hint="send the request with a new id, or without one",
    )
