"""The fronts of one revision: started together, filled up again one by one, ended together."""

import mmap
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from taut.deploy.control import Failure
from taut.deploy.running import FrontState
from taut.serve.http.rates import Rates
from taut.serve.supervising.children import Child, Line, Message, fork
from taut.serve.supervising.front import ENDED_WITHIN_S, HANG_S, Own, run_front
from taut.serve.supervising.sources import Recorded, Seat, Source

BEAT = struct.Struct("d")
SHARED_BYTES = 4 << 20  # For what the fronts count together.


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a supervisor waits for what, in seconds.

    A front that ends within `stable_s` ended early; from the second time in a row on, the next one is started after
    `pause_s`, then after twice that, up to `pause_max_s`.
    """

    load_s: float = 90.0
    hang_s: float = HANG_S
    drain_s: float = ENDED_WITHIN_S + 2.0
    seal_s: float = 10.0
    stable_s: float = 10.0
    pause_s: float = 0.5
    pause_max_s: float = 30.0


@dataclass(slots=True)
class Front:
    """A process that answers, or will, or did. By `until_s` it must have come one step further."""

    slot: int
    child: Child
    born_s: float
    until_s: float
    state: str = "loading"
    failure: Failure | None = None


@dataclass(slots=True)
class Place:
    """A place for a front, filled again whenever it falls empty; `due_s` says when."""

    front: Front | None = None
    restarts: int = 0
    early: int = 0
    due_s: float = 0.0
    problem: str = ""


@dataclass(slots=True)
class Fleet:
    """So many fronts of one revision on one socket; `let_go` closes in each what is the supervisor's alone."""

    name: str
    revision: int
    source: Source
    listener: socket.socket
    count: int
    let_go: Callable[[], None]
    patience: Patience = field(default_factory=Patience)
    rates: Rates = field(default_factory=Rates)
    """What each caller has asked, of a supervisor's fleets the same: a change of revision forgets none of it."""
    places: list[Place] = field(init=False)
    opened: bool = False
    """Whether its fronts may answer as soon as they can: they may once all of them could."""
    beats: mmap.mmap = field(init=False)
    memory: mmap.mmap = field(init=False)
    attendant: Child | None = None

    def __post_init__(self) -> None:
        self.places = [Place() for _ in range(self.count)]
        # Of no file, and shared with the forks; what nobody touches takes no room.
        self.beats = mmap.mmap(-1, (self.count + 1) * BEAT.size)  # The last one says that an heir has the socket.
        self.memory = mmap.mmap(-1, SHARED_BYTES)

    @property
    def host(self) -> str:
        """The address that is listened on."""
        return str(self.listener.getsockname()[0])

    @property
    def fronts(self) -> list[Front]:
        """The processes there are."""
        return [place.front for place in self.places if place.front is not None]

    @property
    def answers(self) -> bool:
        """Whether every place is filled by a front that answers."""
        return all(place.front is not None and place.front.state == "ready" for place in self.places)

    @property
    def is_warm(self) -> bool:
        """Whether every front is loaded and waits for the word."""
        return all(place.front is not None and place.front.state in {"warm", "ready"} for place in self.places)

    @property
    def problem(self) -> str:
        """What ails it, empty where nothing does."""
        return next((place.problem for place in self.places if place.problem), "")

    def states(self) -> list[FrontState]:
        """Its fronts, as the state file names them."""
        return [
            FrontState(
                one.slot, one.child.handle, self.revision, "ready" if one.state == "ready" else "loading",
                self.places[one.slot].restarts,
            )
            for one in self.fronts
        ]  # fmt: skip

    def start(self, slot: int) -> Front | None:
        """Fork a front for a place; None where the kernel has no process left for us, to be tried again."""
        now_s = time.monotonic()
        seat = Seat(slot, self.count, self.memory, self.rates, self.host)

        def work(line: Line) -> None:
            own = Own(line, lambda: self._beat(slot), self.patience.hang_s, lambda: self._beaten(self.count) > 0)
            run_front(self.source.opened(seat), self.listener, own)

        try:
            child = fork(work, let_go=self.let_go, death=signal.SIGTERM)
        except OSError as problem:
            self.places[slot].problem = f"front {slot} cannot be started: {problem}"
            self.places[slot].due_s = now_s + self.patience.pause_s
            return None
        front = Front(slot, child, now_s, now_s + self.patience.load_s)
        self.places[slot].front = front
        return front

    def start_attendant(self, handle: str) -> None:
        """Fork who does what is to be done beside the fronts; without one to fork, the loop of `taut up` does it."""
        source, seat = self.source, Seat(0, self.count, self.memory)
        if not isinstance(source, Recorded):
            return

        def work(line: Line) -> None:
            self.listener.close()  # It ends last: who comes once the fronts have left must be turned away.
            source.attend(seat, handle, line)

        try:
            child = fork(work, let_go=self.let_go, death=signal.SIGTERM)
        except OSError as problem:
            sys.stderr.write(f"{self.name} goes without an attendant: {problem}\n")
        else:
            self.attendant = child

    def without_attendant(self) -> list[Child]:
        """Give its attendant out of hand, where it has one: then `leave` does not end it."""
        given, self.attendant = self.attendant, None
        return [given] if given is not None else []

    def hear(self, front: Front, message: Message) -> None:
        """A front says how far it is; once all are loaded they are let loose together."""
        if message.failure is not None:
            front.failure = message.failure
        elif message.word == "warm":
            front.state = "warm"
            self.opened = self.opened or self.is_warm
            if self.opened:
                for one in self.fronts:
                    if one.state == "warm":
                        one.child.line.say(Message("go"))
        elif message.word == "ready":
            front.state = "ready"
            self._beat(front.slot)
            self.places[front.slot].problem = ""

    def ended(self, front: Front, status: int) -> str:
        """A front ended by itself or by force; returns why, and says when its place is filled again."""
        place = self.places[front.slot]
        now_s = time.monotonic()
        why = front.failure.message if front.failure is not None else _ending(status)
        place.front = None
        place.restarts += 1
        place.early = place.early + 1 if now_s - front.born_s < self.patience.stable_s else 0
        pause_s = self.patience.pause_s * 2.0 ** (place.early - 2) if place.early > 1 else 0.0
        pause_s = min(pause_s, self.patience.pause_max_s)
        place.due_s = now_s + pause_s
        place.problem = f"front {front.slot} ended: {why}"
        if place.early > 1:
            place.problem += f"; {place.early} in a row ended early, the next one comes {pause_s:g} s later"
        return why

    def keep(self) -> list[Front]:
        """Fill the empty places whose time has come, kill what hangs; returns the fronts that were started."""
        now_s = time.monotonic()
        for front in self.fronts:
            if front.state == "ready" and now_s - self._beaten(front.slot) > self.patience.hang_s:
                front.failure = Failure("Unavailable", f"its loop stood still for {self.patience.hang_s:g} s")
                front.child.signal(signal.SIGKILL)
            elif front.state != "ready" and now_s > front.until_s:
                front.failure = Failure("Unavailable", f"it was not ready within {self.patience.load_s:g} s")
                front.child.signal(signal.SIGKILL)
        empty = [slot for slot, place in enumerate(self.places) if place.front is None and place.due_s <= now_s]
        return [front for front in map(self.start, empty) if front is not None]

    def follow(self) -> None:
        """An heir has the socket: whatever becomes of us, it must let connections in."""
        self._beat(self.count)

    def next_s(self) -> float:
        """When the next empty place is to be filled; infinite where none is empty."""
        return min((place.due_s for place in self.places if place.front is None), default=float("inf"))

    def leave(self, *, retire: bool) -> list[Front]:
        """Tell all fronts to end, and give them out of hand; who answered nobody yet is killed.

        `retire` says that successors take what comes; else they answer all that has come.
        """
        leaving = self.fronts
        if self.attendant is not None:
            self.attendant.line.close()
        until_s = time.monotonic() + self.patience.drain_s
        for front in leaving:
            if front.state != "ready":
                front.child.signal(signal.SIGKILL)
            elif retire:
                front.child.line.say(Message("retire"))
            else:
                front.child.signal(signal.SIGTERM)
            front.state, front.until_s = "leaving", until_s
        self.places = [Place() for _ in range(self.count)]
        return leaving

    def _beat(self, slot: int) -> None:
        BEAT.pack_into(self.beats, slot * BEAT.size, time.monotonic())

    def _beaten(self, slot: int) -> float:
        beaten: tuple[float] = BEAT.unpack_from(self.beats, slot * BEAT.size)
        return beaten[0]


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"exit status {code}"
