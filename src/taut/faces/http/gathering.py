"""What many clients log at once, written together: while one group is being committed, the next gathers."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from taut.ground.meta.waiting import WouldWait, without_waiting
from taut.home import Home
from taut.runs import Batch, log_batches

GROUP_MAX = 256  # Batches of one commit: beyond it the first would wait longer than an fsync for the last.
ITEMS_MAX = 20_000  # Points, params and tags of one commit, for the same reason.
ITEMS_AT_ONCE = 64  # What is written on the event loop itself: some milliseconds at most.

Group = list[tuple[Batch, "asyncio.Future[None]"]]


class Gathering:
    """Takes batches on an event loop and answers each when it is durable; one group is written at a time.

    What one wake-up of the loop brings is a group. A small one is written there and then where nothing holds it up, for
    to hand it to a thread and back costs more; any other is written in a thread, and meanwhile the next gathers.
    """

    def __init__(self, home: Home, threads: Executor, groups: Callable[[float], None] = lambda _: None) -> None:
        self._home = home
        self._threads = threads
        self._groups = groups
        self._waiting: Group = []
        self._is_writing = False
        self._writer: asyncio.Task[None] | None = None  # Held, for a loop itself does not hold its tasks.

    async def log(self, batch: Batch) -> None:
        """Log a batch; returns when it is on disk. Raises what `log_batches` says of it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((batch, done))
        if not self._is_writing:
            self._is_writing = True
            loop.call_soon(self._begin, loop)
        await done

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        group = self._next()
        self._groups(len(group))
        if self._home.meta.dialect == "sqlite" and sum(_items(batch) for batch, _ in group) <= ITEMS_AT_ONCE:
            try:
                with without_waiting():
                    problems = self._written(group)
            except WouldWait:
                pass
            else:
                _tell(group, problems)
                self._is_writing = bool(self._waiting)
                if self._waiting:
                    loop.call_soon(self._begin, loop)
                return
        self._writer = loop.create_task(self._write_in_thread(group))

    async def _write_in_thread(self, group: Group) -> None:
        loop = asyncio.get_running_loop()
        try:
            while group:
                _tell(group, await loop.run_in_executor(self._threads, self._written, group))
                group = self._next()
                if group:
                    self._groups(len(group))
        except BaseException as ended:  # The loop ends: what is being written has an answer that nobody will hear.
            _tell(group, [ended] * len(group))
            raise
        finally:
            self._is_writing = False

    def _written(self, group: Group) -> Sequence[BaseException | None]:
        """Write a group; what is wrong with each, with all of them where nothing of it could be stored."""
        try:
            return log_batches(self._home, [batch for batch, _ in group])
        except WouldWait:
            raise
        except Exception as problem:  # noqa: BLE001  # Also a defect of ours: all are told, and the next go on.
            return [problem] * len(group)

    def _next(self) -> Group:
        count, items = 0, 0
        for batch, _ in self._waiting[:GROUP_MAX]:
            items += _items(batch)
            if count and items > ITEMS_MAX:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group


def _items(batch: Batch) -> int:
    return 1 + len(batch.metrics) + len(batch.params) + len(batch.tags)


def _tell(group: Group, problems: Sequence[BaseException | None]) -> None:
    """Give each its answer; whose client has gone needs none."""
    for (_, done), problem in zip(group, problems, strict=True):
        if done.done():
            continue
        if problem is None:
            done.set_result(None)
        else:
            done.set_exception(problem)
