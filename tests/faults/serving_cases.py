"""All cases of a server under attack, and the verdict of each: its answers, then a healthy one, memory and files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tests.faults.serving_content import CONTENTS
from tests.faults.serving_harm import HARM
from tests.faults.serving_load import LOAD
from tests.faults.serving_stand import FDS_MORE, GROWN_MIB, Stand, soon
from tests.faults.serving_wire import WIRE


class Case(Protocol):
    """Does something to a server and says what was wrong with its answers, empty where nothing was."""

    @property
    def name(self) -> str: ...

    def __call__(self, stand: Stand) -> str: ...


@dataclass(frozen=True, slots=True)
class Named:
    """A case that is a function."""

    name: str
    work: Callable[[Stand], str]

    def __call__(self, stand: Stand) -> str:
        return self.work(stand)


CASES: list[Case] = [*CONTENTS, *WIRE]
SLOW: list[Case] = [Named(name, work) for name, work in {**LOAD, **HARM}.items()]


def judged(case: Case, stand: Stand) -> str:
    """What was wrong with a case, or with the server after it."""
    fds, memory = stand.fds(), stand.memory_mib()
    try:
        wrong = case(stand)
    except (AssertionError, OSError, ValueError) as problem:
        wrong = f"{type(problem).__name__}: {problem}"
    if wrong == "-":
        return wrong
    after = []
    if not soon(stand.is_right):
        return f"{wrong}; no healthy answer after it".removeprefix("; ")
    if not soon(lambda: stand.fds() <= fds + FDS_MORE):
        after.append(f"{stand.fds() - fds} more files are open after it")
    if not soon(lambda: stand.memory_mib() <= memory + GROWN_MIB):
        after.append(f"{stand.memory_mib() - memory:.0f} MiB more after it")
    return "; ".join([wrong, *after] if wrong else after)
