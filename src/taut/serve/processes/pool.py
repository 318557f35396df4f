"""A pool of model processes: calls for those that are free, and only the guilty request pays for a hang or a crash."""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from taut.errors import Invalid, Unavailable
from taut.models import Signature
from taut.serve.processes.asks import Ask, Group, Outcome, Usual, Waiting
from taut.serve.processes.brood import Brood, Source
from taut.serve.processes.failures import ModelDied
from taut.serve.processes.floor import Floor
from taut.serve.processes.joining import Columns, join, likeness_of
from taut.serve.processes.lateness import may_ask_suspect, patience_with
from taut.serve.processes.member import Calling, Member
from taut.serve.processes.trust import Trust
from taut.serve.processes.wire import READ_REPLY, BadFrame, Call, unpack

ROWS_MAX, REQUESTS_MAX = 512, 256  # Of one call: past this a row gets hardly cheaper, and others wait for longer.
PULSE_S, IDLE_PULSE_S = 0.025, 0.5
# Whoever was answered is likely to ask again at once. A call waits for most of them for a part of the time that calls
# take, else a part of the callers goes with every other call: measured with 64 and 8 callers, that costs a third more.
GATHER_SHARE, GATHER_TIME_SHARE = 0.75, 0.5
ENDED = "has ended"
DEATHS = 2  # A process may be ended by somebody else once; twice on the same request is the request's doing.
NO_PARAMS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Sizes:
    """A pool at one moment: processes, those that are in a call, and requests that no process has."""

    processes: int
    busy: int
    waiting: int


class ModelProcesses:
    """A model in processes of its own, behind the same `score` as any engine.

    While all are busy, what arrives is gathered into the next call. There are `least` processes, and up to `most`
    while calls hang or suspects are asked alone; those that were idle for `idle_s` end again. `memory_bytes` bounds
    what each may have, the model included; past it the model gets a MemoryError, and its process is replaced. `exact`
    joins requests only once the model was seen to answer them joined, down to the last bit, as it does one by one.
    """

    compiled = False

    def __init__(
        self,
        folder: Path,
        digest: str,
        *,
        trusted: Sequence[str] = (),
        threads: int = 1,
        least: int = 1,
        most: int = 16,
        name: str = "model",
        memory_bytes: int = 0,
        exact: bool = True,
        signature: Signature | None = None,
        load_s: float = 300.0,
        idle_s: float = 30.0,
    ) -> None:
        self._name = name
        self._signature = signature
        source = Source(name, str(folder), digest, tuple(trusted), threads, memory_bytes, load_s)
        self._brood = Brood(source, self)
        self._waiting = Waiting(rows_max=ROWS_MAX, requests_max=REQUESTS_MAX)
        self._floor = Floor(name, self._brood, self._waiting, least=least, most=most, idle_s=idle_s)
        self._likeness = likeness_of(None)
        self._usual = Usual()
        self._trust = Trust(exact=exact)
        self._suspect_last = False
        self._is_due = False
        self._why_not = "is not started"
        self._gather_until_s, self._gather = 0.0, 0
        self._pulse_at: asyncio.TimerHandle | None = None
        self._pulse_is_quick = False

    async def start(self) -> None:
        """Load the model and bring up its first process.

        Raises what `load_model` raises, and Unavailable where no process comes up.
        """
        await self._brood.open()
        self._likeness = likeness_of(self.signature)
        self._why_not = ""
        self._pulse()

    @property
    def signature(self) -> Signature:
        """What the model takes; known once it is started, unless it was said before."""
        signature = self._brood.signature or self._signature
        assert signature is not None, "the pool is not started"
        return signature

    @property
    def hangs(self) -> bool:
        """Whether for a while no process was there that could take a call or was in one of the usual length."""
        return self._floor.hangs

    @property
    def sizes(self) -> Sizes:
        """How large it is at this moment."""
        members = self._brood.members.values()
        return Sizes(len(members), sum(member.state == "busy" for member in members), len(self._waiting))

    @property
    def zygote_pid(self) -> int:
        """The process id of the zygote, whose children the model processes are; 0 while there is none."""
        return self._brood.zygote_pid

    async def score(
        self, requests: Sequence[Columns], deadline_s: float, *, params: Mapping[str, Any] = NO_PARAMS
    ) -> list[Outcome]:
        """One outcome a request, in their order, by `deadline_s` of the monotonic clock.

        An outcome is the outputs, or Invalid, ModelFailed, ModelDied, TimeoutError, Unavailable. Raises nothing.
        """
        if self._why_not:
            return [Unavailable(f"{self._name} {self._why_not}") for _ in requests]
        if not requests:
            return []
        group = Group(len(requests))
        for place, columns in enumerate(requests):
            self._waiting.fresh.append(Ask(group, place, columns, params, self._likeness(columns), deadline_s))
        self._soon()
        return await group.future

    def close(self) -> None:
        """End the processes; whoever waits gets Unavailable. Returns when they are gone."""
        if self._why_not == ENDED:
            return
        self._why_not = ENDED
        if self._pulse_at is not None:
            self._pulse_at.cancel()
        for member in self._brood.members.values():
            if member.calling is not None:
                self._waiting.suspect(member.calling.asks)
        self._waiting.refuse(lambda: Unavailable(f"{self._name} {ENDED}"))
        self._brood.close()

    async def __aenter__(self) -> "ModelProcesses":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def on_up(self, member: Member, warm_s: float) -> None:
        """Give a new process work."""
        if warm_s > 0:
            self._usual.learn(1, warm_s)
        self._floor.welcome(member)
        self._soon()

    def on_frame(self, member: Member, frame: bytes) -> None:
        """Tell the requests of a call what became of them."""
        now_s = time.monotonic()
        calling = member.calling
        try:
            if calling is None:
                raise BadFrame("an answer that nobody asked for")
            reply = unpack(frame, READ_REPLY)
            outcomes = calling.outcomes(reply)
        except BadFrame as problem:
            self._brood.lose(member, f"sent {problem}")
            return
        member.free(now_s)
        self._floor.welcome(member)
        for ask, outcome in zip(calling.asks, outcomes, strict=True):
            ask.tell(outcome)
        if calling.compare:
            self._compared(calling.compare, reply.same)
            alone = calling.rows // len(calling.asks)
            self._usual.learn(max(1, alone), (now_s - calling.began_s) / (1 + calling.compare))
        elif len(reply.parts) == 1:
            self._usual.learn(calling.rows, now_s - calling.began_s)
        self._gather_until_s = now_s + (now_s - calling.began_s) * GATHER_TIME_SHARE
        self._gather = int((len(calling.asks) + len(self._waiting.fresh)) * GATHER_SHARE)
        self._soon()

    def on_gone(self, member: Member, how: str) -> None:
        """Ask the requests of a process that ended again, each alone; who was there twice is told so."""
        self._floor.drop(member)
        sys.stderr.write(f"{self._name}: a process {how}\n")
        calling, member.calling = member.calling, None
        for ask in calling.asks if calling is not None else ():
            ask.deaths += 1
            if ask.deaths >= DEATHS:
                ask.tell(ModelDied(f"a process {how}", f"the process of the model {how}"))
        if calling is not None:
            self._floor.divide(calling)
        self._soon()

    def _compared(self, compared: int, same: bool | None) -> None:
        self._trust.learn(compared, same)
        if same is False:
            sys.stderr.write(
                f"{self._name}: says another thing of a row alone than beside others, so each request is asked alone\n"
            )

    def _soon(self) -> None:
        """Give out work once everything that arrives in this turn of the event loop has arrived."""
        if not self._is_due and not self._why_not:
            self._is_due = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._turn)
            if not self._pulse_is_quick and self._pulse_at is not None:
                self._pulse_at.cancel()
                self._pulse_in(PULSE_S)

    def _turn(self) -> None:
        self._is_due = False
        if self._why_not:
            return
        now_s = time.monotonic()
        if len(self._brood.members) < self._floor.least:
            self._brood.grow()
        wait_s = self._gather_until_s - now_s
        if wait_s > 0 and not self._waiting.suspects and 0 < len(self._waiting.fresh) < self._gather:
            asyncio.get_running_loop().call_later(wait_s, self._turn)
            return
        while self._floor.free and self._waiting:
            if not self._call(self._floor.free[-1], now_s):
                break

    def _call(self, member: Member, now_s: float) -> bool:
        """Give a free process the next call; False where there is none that it may have."""
        asks = self._next(now_s)
        if not asks:
            return False
        is_suspect, compare = self._suspect_last, self._trust.compare(len(asks))
        patience_s = patience_with(asks, self._usual, 1 + compare, now_s)
        try:
            call = Call(join([ask.columns for ask in asks]), [ask.rows for ask in asks], dict(asks[0].params), compare)
            member.call(Calling(asks, now_s, patience_s, is_suspect, compare), call)
        except (
            Invalid,
            TypeError,
            ValueError,
        ) as problem:  # Too large, or not plain: alone they show whose doing it is.
            if len(asks) == 1:
                asks[0].tell(problem if isinstance(problem, Invalid) else Invalid(str(problem)))
            self._waiting.suspect(asks)
            return True
        self._floor.free.pop()
        return True

    def _next(self, now_s: float) -> list[Ask]:
        """What is asked next: suspects and others in turn, and never so many suspects that no process is left."""
        may_suspect = may_ask_suspect(self._brood.members.values(), self._waiting, self._floor.most, now_s)
        self._suspect_last = may_suspect and not (self._suspect_last and self._waiting.fresh)
        if self._suspect_last and (asks := self._waiting.next_suspect(now_s)):
            return asks
        self._suspect_last = False
        return self._waiting.next_fresh(self._trust.requests_max, now_s)

    def _pulse_in(self, wait_s: float) -> None:
        self._pulse_is_quick = wait_s == PULSE_S
        self._pulse_at = asyncio.get_running_loop().call_later(wait_s, self._pulse)

    def _pulse(self) -> None:
        """Look after what takes its time, again and again."""
        self._pulse_in(PULSE_S)
        self._floor.look_after(time.monotonic())
        self._turn()
        if self._floor.is_idle:
            assert self._pulse_at is not None
            self._pulse_at.cancel()
            self._pulse_in(IDLE_PULSE_S)
