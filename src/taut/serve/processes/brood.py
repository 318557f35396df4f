"""The processes of one model: brought up in the manner that the model stands, replaced, and ended."""

import asyncio
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Protocol

from taut.errors import TautError, Unavailable, error_of
from taut.models.signature import Signature, parse_signature
from taut.serve.processes.failures import death
from taut.serve.processes.link import Link
from taut.serve.processes.member import Member
from taut.serve.processes.nursery import Nursery
from taut.serve.processes.wire import READ_NEWS, BadFrame, Ended, Failed, Load, Up, unpack

WARM_WITHIN_S = 10.0  # A made-up row takes some ms, with the first use of a large library some seconds.
BACKOFF_S, BACKOFF_MAX_S = 0.1, 5.0
FAILURES = 3  # So many in a row are no accident, and whoever waits is told.

# Load once and fork; where that does not stand, each process loads for itself; where a made-up row is too much for the
# model, it is not asked one.
MANNERS = ((True, True), (False, True), (False, False))


class NotUp(Exception):
    """The first process did not come up in this manner."""


class Keeper(Protocol):
    """Who gives the processes work."""

    def on_up(self, member: Member, warm_s: float) -> None:
        """It takes calls from now on; a made-up row took so long, 0 where none was asked."""

    def on_frame(self, member: Member, frame: bytes) -> None:
        """It answered."""

    def on_gone(self, member: Member, how: str) -> None:
        """It ended, and nobody had told it to."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which model, and what each process of it may take. `memory_bytes` is 0 for no bound."""

    name: str
    folder: str
    digest: str
    trusted: tuple[str, ...]
    threads: int
    memory_bytes: int
    load_s: float


class Brood:
    """A zygote and the model processes that it forked."""

    def __init__(self, source: Source, keeper: Keeper) -> None:
        self.members: dict[int, Member] = {}
        self.signature: Signature | None = None
        self._source = source
        self._keeper = keeper
        self._nursery: Nursery | None = None
        self._manner = 0
        self._is_open = False
        self._numbers = 0
        self._first: asyncio.Future[None] | None = None
        self._failures = 0
        self._problem = ""
        self._not_before_s = 0.0
        self._reopening: asyncio.Task[None] | None = None

    @property
    def zygote_pid(self) -> int:
        """The process id of the zygote; 0 while there is none."""
        return self._nursery.pid if self._nursery is not None else 0

    @property
    def problem(self) -> str:
        """Why no process comes up, once that is no accident; empty while there is hope."""
        return self._problem if self._failures >= FAILURES else ""

    async def open(self) -> None:
        """Bring up the first process, in the first manner that stands.

        Raises what `load_model` raises, and Unavailable where no process comes up.
        """
        reason = ""
        for self._manner in range(len(MANNERS)):  # It is the manner of all that follows, too.
            try:
                await self._begin()
            except NotUp as problem:
                reason = str(problem)
                self._tell(reason)
            else:
                return
        raise Unavailable(f"{self._source.name} does not come up: {reason}")

    def grow(self) -> bool:
        """Fork another process, if one may be forked at this moment."""
        now_s = time.monotonic()
        if self._nursery is None or not self._is_open or now_s < self._not_before_s:
            return False
        try:
            self._fork(self._nursery, now_s)
        except OSError as problem:
            self._fail(f"no further process can be started: {problem}")
            return False
        return True

    def end(self, member: Member) -> None:
        """End a process now; its keeper is not told."""
        self._forget(member)
        if self._nursery is not None:
            self._nursery.kill(member.number)

    def lose(self, member: Member, how: str) -> None:
        """End a process that does what it must not, as if it had ended by itself."""
        self.end(member)
        self._gone(member, how)

    def end_slow(self, now_s: float) -> None:
        """End those that rise for longer than that may take."""
        for member in list(self.members.values()):
            if member.state == "rising" and now_s - member.since_s > self._rise_within_s:
                self.lose(member, f"was not up within {self._rise_within_s:g} s")

    def close(self) -> None:
        """End all of them; returns when they are gone."""
        if self._reopening is not None:
            self._reopening.cancel()
        if self._first is not None and not self._first.done():
            self._first.set_exception(Unavailable(f"{self._source.name} is ended"))
        self._end_zygote()

    @property
    def _rise_within_s(self) -> float:
        early, _ = MANNERS[self._manner]
        return WARM_WITHIN_S if early else WARM_WITHIN_S + self._source.load_s

    async def _begin(self) -> None:
        """Bring up a zygote and its first process, or leave nothing of them. Raises NotUp too."""
        source, (early, _) = self._source, MANNERS[self._manner]
        load = Load(source.folder, source.digest, list(source.trusted), early, source.memory_bytes)
        try:
            nursery = Nursery(source.name, threads=source.threads, ended=self._on_ended, lost=self._on_lost)
            self._nursery = nursery
            up = await nursery.load(load, within_s=source.load_s)
            if up.threads:
                raise NotUp(f"loading it leaves threads behind ({up.threads[0]}), so each process loads it for itself")
            first = self._first = asyncio.get_running_loop().create_future()
            self._fork(nursery, time.monotonic())
            await asyncio.wait_for(first, self._rise_within_s)
            self._is_open = True
        except TimeoutError:
            self._end_zygote()
            raise NotUp(f"a process was not up within {self._rise_within_s:g} s") from None
        except OSError as problem:
            self._end_zygote()
            raise Unavailable(f"no process can be started for {source.name}: {problem}") from None
        except BaseException:
            self._end_zygote()
            raise
        finally:
            self._first = None

    def _fork(self, nursery: Nursery, now_s: float) -> None:
        _, warm = MANNERS[self._manner]
        self._numbers += 1
        member = Member(self._numbers, now_s)
        ours = nursery.fork(member.number, warm=warm)
        # That it is gone is told by the zygote, with the reason; here only that it has closed its socket.
        member.link = Link(ours, lambda frame: self._hear(member, frame), lambda: self._on_closed(member))
        self.members[member.number] = member

    def _hear(self, member: Member, frame: bytes) -> None:
        if member.state != "rising":
            self._keeper.on_frame(member, frame)
            return
        try:
            news = unpack(frame, READ_NEWS)
        except BadFrame as problem:
            self.lose(member, f"sent {problem}")
            return
        if isinstance(news, Up):
            self._on_up(member, news)
        elif isinstance(news, Failed):
            self._not_up(member, error_of(news.kind, news.message, news.hint))

    def _on_up(self, member: Member, news: Up) -> None:
        self.signature = parse_signature(news.signature)
        self._failures, self._problem, self._not_before_s = 0, "", 0.0
        member.free(time.monotonic())
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        self._keeper.on_up(member, news.warm_s)

    def _not_up(self, member: Member, problem: TautError) -> None:
        self.end(member)
        if self._first is not None and not self._first.done():
            self._first.set_exception(problem)
        else:
            self._fail(problem.message)

    def _on_closed(self, member: Member) -> None:
        """Its end of the socket is closed, so it can answer no more, even if it lives."""
        if member.number in self.members and self._nursery is not None:
            self._nursery.kill(member.number)

    def _on_ended(self, news: Ended) -> None:
        member = self.members.get(news.number)
        if member is not None:
            self._forget(member)
            self._gone(member, death(news.status))

    def _gone(self, member: Member, how: str) -> None:
        if member.state != "rising":
            self._keeper.on_gone(member, how)
        elif self._first is not None and not self._first.done():
            self._first.set_exception(NotUp(f"a process {how} before it was up"))
        else:
            self._fail(f"a process {how} before it was up")

    def _fail(self, problem: str) -> None:
        """Another attempt came to nothing: wait for longer before the next."""
        self._problem = problem
        wait_s = min(BACKOFF_S * 2**self._failures, BACKOFF_MAX_S)
        self._failures += 1
        self._not_before_s = time.monotonic() + wait_s
        self._tell(f"{problem}; the next is tried in {wait_s:g} s")

    def _on_lost(self) -> None:
        """The zygote is gone, and with it all that it had forked."""
        if self._nursery is None:
            return
        self._nursery, self._is_open = None, False
        lost = list(self.members.values())
        for member in lost:
            self._forget(member)
        for member in lost:
            self._gone(member, death(None))
        if self._first is None and self._reopening is None and self.signature is not None:
            self._tell("the process that was forked is gone; it is started again")
            self._reopening = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._not_before_s - time.monotonic()))
            try:
                await self._begin()
            except (TautError, NotUp) as problem:
                self._fail(str(problem))
            except Exception:  # noqa: BLE001  # A defect must not end the attempts; it is written down.
                self._fail(traceback.format_exc())
            else:
                self._reopening = None
                return

    def _forget(self, member: Member) -> None:
        self.members.pop(member.number, None)
        member.link.close()

    def _end_zygote(self) -> None:
        nursery, self._nursery, self._is_open = self._nursery, None, False
        for member in list(self.members.values()):
            self._forget(member)
        if nursery is not None:
            nursery.close()

    def _tell(self, words: str) -> None:
        sys.stderr.write(f"{self._source.name}: {words}\n")
