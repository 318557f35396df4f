"""What many clients log at once, written together: while one group is being committed, the next gathers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor

from taut.errors import TautError
from taut.home import Home
from taut.runs import Batch, log_batches

GROUP_MAX = 256  # Batches of one commit: beyond it the first would wait longer than an fsync for the last.
ITEMS_MAX = 20_000  # Points, params and tags of one commit, for the same reason.


class Gathering:
    """Takes batches on an event loop and answers each when it is durable; one group is written at a time."""

    def __init__(self, home: Home, threads: Executor, groups: Callable[[float], None] = lambda _: None) -> None:
        self._home = home
        self._threads = threads
        self._groups = groups
        self._waiting: list[tuple[Batch, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def log(self, batch: Batch) -> None:
        """Log a batch; returns when it is on disk. Raises what `log_batches` says of it."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((batch, done))
        if self._writer is None:
            self._writer = loop.create_task(self._write())
        await done

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group = self._next()
                self._groups(len(group))
                try:
                    batches = [batch for batch, _ in group]
                    problems = await loop.run_in_executor(self._threads, log_batches, self._home, batches)
                except TautError as failed:  # The commit failed: nothing of the group is stored, and all are told so.
                    problems = [failed] * len(group)
                except BaseException as defect:
                    for _, done in group:
                        if not done.done():
                            done.set_exception(defect)
                    raise
                for (_, done), problem in zip(group, problems, strict=True):
                    if done.done():  # Its client has gone.
                        continue
                    if problem is None:
                        done.set_result(None)
                    else:
                        done.set_exception(problem)
        finally:
            self._writer = None

    def _next(self) -> list[tuple[Batch, "asyncio.Future[None]"]]:
        count, items = 0, 0
        for batch, _ in self._waiting[:GROUP_MAX]:
            items += 1 + len(batch.metrics) + len(batch.params) + len(batch.tags)
            if count and items > ITEMS_MAX:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        return group
