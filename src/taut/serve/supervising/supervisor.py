"""The supervisor: one small thread that forks the fronts, fills their places again, and changes them for others.

It answers no request and opens no home. What it shares with the fronts is the listening socket, and the memory of
what it had imported before it forked.
"""

import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from taut.deploy.control import Asked, Failure
from taut.deploy.running import FrontState, Serving, publish
from taut.serve.http.rates import Rates
from taut.serve.supervising.children import Child
from taut.serve.supervising.cores import cores
from taut.serve.supervising.doors import Doors, Visitor
from taut.serve.supervising.fleet import Fleet, Front, Patience
from taut.serve.supervising.listening import turn_away_newcomers, url_of
from taut.serve.supervising.signals import ENDINGS, Signals
from taut.serve.supervising.sources import Recorded, Source

WAKE_S = 1.0  # How often fronts are looked after while nothing happens.

Told = Callable[[str], None]


class SupportsClose(Protocol):
    """Whatever is open."""

    def close(self) -> None:
        """Give it back."""


class Supervisor:
    """Keeps the fronts of one source answering on a socket until a signal says otherwise.

    With a `folder` it says in the file of `mine` how it is, and opens its doors there. Nothing in it may block for
    long, and it starts no thread: it goes on forking as long as it lives.
    """

    def __init__(
        self,
        source: Source,
        mine: Serving,
        listener: socket.socket,
        *,
        workers: int,
        folder: Path | None,
        told: Told,
        patience: Patience,
    ) -> None:
        self._mine = mine
        self._workers = workers  # As many as the newest fronts were asked for.
        self._listener = listener
        self._url = url_of(listener)
        self._folder = folder
        self._told = told
        self._patience = patience
        self._selector = selectors.DefaultSelector()
        self._doors: Doors | None = None
        self._signals = Signals()
        self._rates = Rates()
        self._current: Fleet | None = None
        self._coming: Fleet | None = self._fleet(source, mine.revision, workers)
        self._leaving: list[Front] = []
        self._attendants: list[Child] = []  # Of fronts that leave: they end last, and seal what those wrote.
        self._sealed_by_s = 0.0  # Until when they may; 0 while fronts are left.
        self._asked: deque[tuple[Visitor, Asked]] = deque()
        self._served: Visitor | None = None
        self._failure: Failure | None = None
        self._ends = False
        self._published: Serving | None = None
        self._is_silent = False

    def run(self) -> None:
        """Serve until SIGTERM, Ctrl-C or a closed terminal. Raises what kept the fronts from coming up."""
        with closing(self), self._signals.heard(self._selector):
            if self._folder is not None:
                self._doors = Doors(self._selector, self._folder, self._mine, self._listener, self._hear)
            self._publish()
            while not self._is_over():
                for key, _ in self._selector.select(self._wait_s()):
                    key.data()
                self._obey()
                self._reap()
                self._step()
        if self._failure is not None:
            raise self._failure.error

    def close(self) -> None:
        """Give back what is open; the fronts have ended by then, or die with this process."""
        self._let_go()
        self._listener.close()

    def _is_over(self) -> bool:
        return self._current is None and self._coming is None and not self._leaving and not self._attendants

    def _step(self) -> None:
        """Whatever has become due."""
        for fleet in (self._current, self._coming):
            if fleet is None:
                continue
            for front in fleet.keep():
                self._watch(fleet, front)
            if self._doors is not None and self._doors.given:
                fleet.follow()
        if self._coming is not None and self._coming.problem:
            self._give_up(Failure("Unavailable", self._coming.problem))
        for front in self._leaving:
            if time.monotonic() > front.until_s:
                front.child.signal(signal.SIGKILL)
        if self._attendants and not self._leaving:
            self._see_out()
        if self._coming is not None and self._coming.answers:
            self._promote(self._coming)
        if self._coming is None and not self._leaving:
            self._take_next()
        self._publish()

    def _see_out(self) -> None:
        """All fronts have ended: so may the attendants, which have so long for their last round."""
        if not self._sealed_by_s:
            self._sealed_by_s = time.monotonic() + self._patience.seal_s
            for one in self._attendants:
                one.line.close()
        elif time.monotonic() > self._sealed_by_s:
            for one in self._attendants:
                one.signal(signal.SIGKILL)

    def _promote(self, fleet: Fleet) -> None:
        """All of it answer: what was there before may go."""
        before, self._current, self._coming = self._current, fleet, None
        self._mine = replace(self._mine, revision=fleet.revision, url=self._url, workers=self._workers)
        sys.stderr.write(f"{fleet.name} answers at {self._url}\n")
        if before is None:
            self._publish()  # Who hears of it finds it there, and that line in the log.
            self._told(self._url)
        else:
            self._leaving += before.leave(retire=True)
        fleet.start_attendant(self._mine.handle)

    def _give_up(self, failure: Failure) -> None:
        """The coming fronts do not come up: the current ones stay, or this is the end."""
        assert self._coming is not None
        sys.stderr.write(f"{self._coming.name} did not come up\n" if self._current is not None else "")
        self._leaving += self._coming.leave(retire=True)
        self._coming = None
        if self._current is None:
            self._failure = failure
        elif self._served is not None:
            self._served.answer(self._state(), failure)
            self._served = None

    def _take_next(self) -> None:
        """The last change is done: say so, and begin with the next one that was asked for."""
        if self._served is not None:
            self._publish()  # Who hears of it finds it so in the file.
            self._served.answer(self._state())
            self._served = None
        if not self._asked or self._current is None:
            return
        visitor, asked = self._asked.popleft()
        source = self._current.source
        if asked.revision < self._current.revision or not isinstance(source, Recorded):
            newer = f"revision {self._current.revision} is served already" if isinstance(source, Recorded) else "no"
            visitor.answer(self._state(), Failure("Conflict", newer, "taut status"))
        elif (asked.revision, asked.workers) == (self._current.revision, self._mine.workers):
            visitor.answer(self._state())
        else:
            self._served = visitor
            self._workers = asked.workers
            self._coming = self._fleet(source.at(asked.revision), asked.revision, asked.workers)

    def _hear(self, visitor: Visitor, asked: Asked) -> None:
        if asked.do == "look":
            visitor.answer(self._state())
        elif self._ends:
            visitor.answer(self._state(), Failure("Unavailable", "the supervisor is about to end"))
        else:
            self._asked.append((visitor, asked))

    # -- processes

    def _fleet(self, source: Source, revision: int, workers: int) -> Fleet:
        name = f"{self._mine.deployment}@{revision}" if revision else self._mine.deployment
        return Fleet(
            name, revision, source, self._listener, workers or cores(), self._let_go, self._patience, self._rates
        )

    def _watch(self, fleet: Fleet, front: Front) -> None:
        self._selector.register(front.child.line.end, selectors.EVENT_READ, lambda: self._listen_to(fleet, front))

    def _listen_to(self, fleet: Fleet, front: Front) -> None:
        """Hear a front out; the line of one that is gone is closed when it is reaped."""
        while True:
            try:
                message = front.child.line.hear()
            except BlockingIOError:
                return
            if message is None:
                self._forget(front)
                return
            fleet.hear(front, message)

    def _forget(self, front: Front) -> None:
        if front.child.line.end.fileno() >= 0:
            self._selector.unregister(front.child.line.end)
            front.child.line.close()

    def _reap(self) -> None:
        """Take the exit status of whoever ended, of strangers too: the first process of a container inherits them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._bury(pid, status)

    def _bury(self, pid: int, status: int) -> None:
        for fleet in (self._current, self._coming):
            for front in fleet.fronts if fleet is not None else ():
                if front.child.pid != pid:
                    continue
                assert fleet is not None
                if front.child.line.end.fileno() >= 0:
                    self._listen_to(fleet, front)  # Its last words.
                self._forget(front)
                why = fleet.ended(front, status)
                if fleet is self._coming:
                    self._give_up(front.failure or Failure("Unavailable", f"a front ended while it loaded: {why}"))
                else:
                    sys.stderr.write(f"{fleet.name}: {fleet.problem}\n")
                return
        self._attendants = [one for one in self._attendants if one.pid != pid]
        for front in [one for one in self._leaving if one.child.pid == pid]:
            self._forget(front)
            self._leaving.remove(front)

    # -- signals and the end

    def _obey(self) -> None:
        for kind in self._signals.take():
            if kind in ENDINGS and self._ends:
                for child in [*(front.child for front in self._leaving), *self._attendants]:
                    child.signal(signal.SIGKILL)  # Asked twice: who waits is not waited for.
            elif kind in ENDINGS:
                self._end()

    def _end(self) -> None:
        """Let every front answer what was accepted and end; nobody new is let in."""
        self._ends = True
        followed = self._doors is not None and self._doors.given
        if self._doors is not None:
            self._doors.shut()
        if not followed:
            turn_away_newcomers(self._listener)
        for fleet in (self._current, self._coming):
            if fleet is not None:
                self._attendants += fleet.without_attendant()
                self._leaving += fleet.leave(retire=followed)
        self._current = self._coming = None
        self._listener.close()
        for visitor, _ in ([(self._served, None)] if self._served else []) + list(self._asked):
            visitor.answer(self._state(), Failure("Unavailable", "the supervisor was told to end"))
        self._asked.clear()
        self._served = None

    def _wait_s(self) -> float:
        """How long nothing is due."""
        if self._signals.waiting:
            return 0.0
        due_s = [fleet.next_s() - time.monotonic() for fleet in (self._current, self._coming) if fleet is not None]
        return max(0.0, min([WAKE_S, *due_s]))

    def _let_go(self) -> None:
        """Close what is ours alone; in a fork this leaves our own ends open."""
        lines = [front.child.line for fleet in (self._current, self._coming) if fleet for front in fleet.fronts]
        lines += [front.child.line for front in self._leaving]
        lines += [one.line for one in self._attendants]
        lines += [fleet.attendant.line for fleet in (self._current, self._coming) if fleet and fleet.attendant]
        waiting = [visitor.line for visitor, _ in self._asked] + ([self._served.line] if self._served else [])
        doors = [self._doors] if self._doors is not None else []
        open_: list[SupportsClose] = [self._selector, *self._signals.ends, *lines, *waiting, *doors]
        for one in open_:
            one.close()

    # -- what others see

    def _state(self) -> Serving:
        """How it is now."""
        serving, leaving = self._current, self._leaving
        fronts = [state for fleet in (serving, self._coming) if fleet is not None for state in fleet.states()]
        fronts += [FrontState(one.slot, one.child.handle, 0, "leaving") for one in leaving]
        return replace(
            self._mine, revision=serving.revision if serving is not None else self._mine.revision,
            fronts=tuple(fronts), problem=serving.problem if serving is not None else "",
        )  # fmt: skip

    def _publish(self) -> None:
        state = self._state()
        if self._folder is None or state == self._published:
            return
        try:
            publish(self._folder, state)
        except OSError as problem:  # A full disk is no reason to answer nobody; the next round tries again.
            if not self._is_silent:
                sys.stderr.write(f"{self._folder} did not take the state of {self._mine.deployment}: {problem}\n")
            self._is_silent = True
        else:
            self._published, self._is_silent = state, False
