"""The log as a machine: whatever is said, sealed, joined or erased in whatever order, readers see what is left."""

import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taut.errors import NotFound
from taut.ground.clock import SetClock
from taut.ground.meta import connect_metadata
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.serve import find_prediction, list_predictions, log_prediction, traffic
from taut.serve.log import Policy, PredictionLog, log_place
from taut.serve.log.compacting import compact
from taut.serve.log.expiring import count_expired, erase_prediction, expire
from taut.serve.log.journal import journals_in
from taut.serve.log.sealing import seal
from tests.serve.log.scenes import ids_in, said
from tests.serve.scenes import record, register

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000
EVENTS = st.integers(0, 20)


class LogMachine(RuleBasedStateMachine):
    """`known` is what must be there: the event time, the rows and the time of the answer by id, of the first answer."""

    @initialize(encrypt=st.booleans())
    def begin(self, encrypt: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="taut-log-"))
        folder = make_folder(self.folder)
        shutil.copy(_migrated(), folder / "meta.db")
        self.clock = SetClock(START_MS)
        self.home: Home = open_home(self.folder, clock=self.clock)
        self.encrypt = encrypt
        self.known: dict[str, tuple[int, int, int]] = {}
        self.logs: list[PredictionLog] = []
        self.own: set[str] = set()  # Ids that a caller chose: no others are ever sent twice.
        self.number = 0
        register(self.home)
        record(self.home)

    @rule()
    def start_a_front(self) -> None:
        if len(self.logs) < 3:
            policy = Policy(encrypt=self.encrypt)
            self.logs.append(PredictionLog.open(log_place(self.home), "late", policy))

    @precondition(lambda self: self.logs)
    @rule(
        which=st.integers(0, 2),
        own=st.booleans(),
        sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3),
        event=EVENTS,
    )
    def say(self, which: int, own: bool, sizes: list[int], event: int) -> None:
        names = [f"r{self.number + place}" for place in range(len(sizes))]
        self.number += len(sizes)
        self._append(which, names, own=own, sizes=sizes, event=event)

    @precondition(lambda self: self.logs and self.own & self.known.keys())
    @rule(which=st.integers(0, 2), data=st.data(), event=EVENTS)
    def say_an_id_again(self, which: int, data: st.DataObject, event: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.own & self.known.keys())))
        self._append(which, [name], own=True, sizes=[1], event=event)

    @rule(event=EVENTS)
    def log_a_row(self, event: int) -> None:
        name = f"r{self.number}"
        self.number += 1
        log_prediction(self.home, "late", name, 1, event, {"x": [1.0]}, {"probability": [0.5]})
        self.known[name] = (event, 1, self.clock.now_ms())

    @precondition(lambda self: self.logs)
    @rule(which=st.integers(0, 2))
    def end_a_front(self, which: int) -> None:
        self.logs.pop(which % len(self.logs)).close()

    @rule(also_written=st.booleans())
    def seal(self, also_written: bool) -> None:
        seal(self.home, "late", also_written=also_written, encrypt=self.encrypt)

    @rule()
    def join(self) -> None:
        compact(self.home, "late", encrypt=self.encrypt, at_least=1)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.known)))
        erase_prediction(self.home, "late", name, because="asked to")
        del self.known[name]

    @rule()
    def pass_an_hour(self) -> None:
        self.clock.pass_ms(HOUR_MS)

    @rule(hours=st.integers(1, 4))
    def expire(self, hours: int) -> None:
        before_ms = self.clock.now_ms() - hours * HOUR_MS
        leaving = {name for name, (_, _, at_ms) in self.known.items() if at_ms < before_ms}
        assert count_expired(self.home, "late", before_ms) == len(leaving)
        assert expire(self.home, "late", before_ms=before_ms, encrypt=self.encrypt).requests == len(leaving)
        self.known = {name: one for name, one in self.known.items() if name not in leaving}

    @invariant()
    def readers_see_what_is_left(self) -> None:
        wanted = sorted((event, name) for name, (event, _, _) in self.known.items())
        assert ids_in(self.home) == [name for _, name in wanted]
        found = traffic(self.home, "late")
        assert (found.requests, found.rows) == (len(wanted), sum(rows for _, rows, _ in self.known.values()))
        if wanted:
            event, name = wanted[len(wanted) // 2]
            assert find_prediction(self.home, name).event_ms == event
            page = list_predictions(self.home, "late", after=name, limit=3)
            assert [one.id for one in page] == [other for _, other in wanted[len(wanted) // 2 + 1 :]][:3]
        try:
            find_prediction(self.home, "never")
        except NotFound:
            return
        raise AssertionError("nobody ever answered it")

    def teardown(self) -> None:
        if hasattr(self, "home"):
            for log in self.logs:
                log.close()
            seal(self.home, "late", encrypt=self.encrypt)
            assert journals_in(log_place(self.home).folder / "late") == []
            self.readers_see_what_is_left()
            self.home.close()
            shutil.rmtree(self.folder)

    def _append(self, which: int, names: list[str], *, own: bool, sizes: list[int], event: int) -> None:
        log = self.logs[which % len(self.logs)]
        batch = said(*names, given=own, counts=sizes, event_ms=[event] * len(names))
        at_ms = self.clock.now_ms()
        answered = log.answered(names) if own else {}
        taken = log.append(msgspec.structs.replace(batch, at_ms=at_ms))
        assert taken == answered
        for name, size in zip(names, sizes, strict=True):
            if name not in taken and name not in self.known:
                self.known[name] = (event, size, at_ms)
                self.own |= {name} if own else set()


def _migrated() -> Path:
    """A database with all migrations, made once."""
    made = Path(tempfile.gettempdir()) / f"taut-log-machine-{id(LogMachine)}.db"
    if not made.exists():
        connect_metadata(f"sqlite://{made}").close()
    return made


LogMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None, derandomize=True)
TestLogMachine = pytest.mark.slow(LogMachine.TestCase)
