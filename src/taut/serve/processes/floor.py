"""The processes of a pool and what waits for them: who is parted from, divided, added and let go as time passes."""

import time

from taut.errors import Unavailable
from taut.serve.processes.asks import Waiting
from taut.serve.processes.brood import Brood
from taut.serve.processes.lateness import is_given_up, wanted_members
from taut.serve.processes.member import Calling, Member

SILENT_S = 1.5  # Replacing a process takes some ms; without any for so long the model does not answer.


class Floor:
    """Where processes meet requests. `look_after` is called again and again, for time passes without an event."""

    def __init__(self, name: str, brood: Brood, waiting: Waiting, *, least: int, most: int, idle_s: float) -> None:
        self.brood = brood
        self.waiting = waiting
        self.least = least
        self.most = max(least, most)
        self.free: list[Member] = []
        self._name = name
        self._idle_s = idle_s
        self._usable_s = 0.0

    @property
    def hangs(self) -> bool:
        """Whether for a while no process was there that could take a call or was in one of the usual length."""
        return time.monotonic() - self._usable_s > SILENT_S

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits and every process is free."""
        return not self.waiting and all(member.state == "free" for member in self.brood.members.values())

    def welcome(self, member: Member) -> None:
        """A process is free."""
        self._usable_s = time.monotonic()
        self.free.append(member)

    def look_after(self, now_s: float) -> None:
        """Deadlines, calls that hang, processes that are too few or too many."""
        self.waiting.expire(now_s)
        for member in list(self.brood.members.values()):
            self._look_at(member, now_s)
        self.brood.end_slow(now_s)
        members = self.brood.members.values()
        if any(member.state == "free" or (member.calling and not member.is_late(now_s)) for member in members):
            self._usable_s = now_s
        elif self.brood.problem:
            self.waiting.refuse(lambda: Unavailable(f"{self._name} does not come up: {self.brood.problem}"))
        self._fit(now_s)

    def _look_at(self, member: Member, now_s: float) -> None:
        """See after a call: deadlines that are past, and others who wait since it takes longer than usual.

        A late call goes on while its requests are asked elsewhere, each alone: it may be slow and not hang, and
        whichever is first tells them. It is given up once nothing can come of it, or its place is needed.
        """
        calling = member.calling
        if calling is None:
            return
        expired = [ask for ask in calling.asks if not ask.is_over and ask.deadline_s <= now_s]
        for ask in expired:
            ask.tell(TimeoutError())
        is_late = calling.is_late(now_s)
        if len(calling.asks) == 1:
            calling.asks[0].hangs = is_late
        elif is_late:
            self.divide(calling)
        if expired or is_given_up(calling, self.brood.members.values(), self.waiting, self.most, now_s):
            self.divide(calling)
            self._part(member)

    def divide(self, calling: Calling) -> None:
        """Have its requests asked alone, unless they are already."""
        if not calling.is_divided:
            calling.is_divided = True
            self.waiting.suspect(calling.asks)

    def _fit(self, now_s: float) -> None:
        """Have as many processes as the moment asks for."""
        members = self.brood.members
        wanted = wanted_members(members.values(), self.waiting, self.least, self.most, now_s)
        while len(members) < wanted and self.brood.grow():
            pass
        if len(members) > wanted:
            idle = [member for member in self.free if now_s - member.since_s > self._idle_s]
            for member in idle[: len(members) - wanted]:
                self._part(member)

    def _part(self, member: Member) -> None:
        member.calling = None
        self.drop(member)
        self.brood.end(member)

    def drop(self, member: Member) -> None:
        """It takes no more calls."""
        if member in self.free:
            self.free.remove(member)
