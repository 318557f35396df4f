"""Models that do as their rows tell them, and pools of processes around them."""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle
import uvloop

from taut.models.tree import digest_of, tree_of_folder
from taut.serve.processes import ModelProcesses
from taut.serve.processes.asks import Outcome
from tests.parts import eventually
from tests.serve.scenes import save_model

T = TypeVar("T")

PATIENT_S = 60.0  # For requests that must be answered, however busy the machine is.


class Trickster:
    """A regressor that answers twice the seats, unless a carrier tells it to do what a model should not."""

    def predict(self, table: Any) -> Any:
        for carrier in table["carrier"]:
            word, _, rest = carrier.partition(":")
            if word in TRICKS:
                odd = TRICKS[word](rest)
                if odd is not None:
                    return odd
        return table["seats"].to_numpy() * 2


def _raise(_: str) -> None:
    raise RuntimeError("told to")


def _exit(status: str) -> None:
    os._exit(int(status))


def _leave(_: str) -> None:
    sys.exit(3)


def _signal(number: str) -> None:
    os.kill(os.getpid(), int(number))


def _hang(_: str) -> None:
    time.sleep(3600)


def _spin(_: str) -> None:
    while True:
        pass


def _spin_in_c(_: str) -> None:
    import re

    re.match(r"(a+)+$", "a" * 60 + "b")  # It holds the interpreter's lock for longer than anybody lives.


def _wait(seconds: str) -> None:
    time.sleep(float(seconds))


def _eat(size_bytes: str) -> None:
    import numpy as np

    np.ones(int(size_bytes), dtype="uint8")


def _few(_: str) -> Any:
    import numpy as np

    return np.zeros(0)


def _object(_: str) -> Any:
    import numpy as np

    return np.array([threading.Lock()], dtype=object)


def _print(words: str) -> None:
    print(words)
    print(words, file=sys.stderr)


def _chdir(folder: str) -> None:
    os.chdir(folder)


def _fork(file: str) -> None:
    if os.fork() == 0:
        Path(file).write_text(str(os.getpid()))
        time.sleep(3600)
    while not Path(file).exists() or not Path(file).read_text():
        time.sleep(0.01)


def _thread(seconds: str) -> None:
    threading.Thread(target=time.sleep, args=(float(seconds),), daemon=False).start()


def _close(_: str) -> None:
    os.closerange(3, 1000)


def _garble(_: str) -> None:
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(number, b"\x05\0\0\0nonsense")


TRICKS: dict[str, Any] = {
    "raise": _raise, "exit": _exit, "leave": _leave, "signal": _signal, "hang": _hang, "spin": _spin,
    "spin-in-c": _spin_in_c, "wait": _wait, "eat": _eat, "few": _few, "object": _object, "print": _print,
    "chdir": _chdir, "fork": _fork, "thread": _thread, "close": _close, "garble": _garble,
}  # fmt: skip

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@dataclass(frozen=True)
class Saved:
    """A model on disk."""

    folder: Path
    digest: str


def saved(folder: Path, estimator: Any) -> Saved:
    """A model directory with this estimator."""
    save_model(folder, estimator)
    return Saved(folder, digest_of(tree_of_folder(folder)))


def request(seats: int | Sequence[int], carrier: str = "UA") -> dict[str, list[Any]]:
    """Rows that the trickster answers with twice the seats."""
    rows = [seats] if isinstance(seats, int) else list(seats)
    return {"delay": [0.5] * len(rows), "seats": rows, "carrier": [carrier] * len(rows)}


def answer(seats: int | Sequence[int]) -> dict[str, list[Any]]:
    """What it answers to these."""
    return {"prediction": [2 * one for one in ([seats] if isinstance(seats, int) else seats)]}


class Stand:
    """A pool in an event loop of its own thread, so that tests that are no coroutines can share it."""

    def __init__(self, model: Saved, **options: Any) -> None:
        self._loop = uvloop.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.pool = self.run(self._started(model, options))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine in that loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENT_S * 2)

    def score(self, *requests: Any, within_s: float = PATIENT_S) -> list[Outcome]:
        """The outcomes of requests, all asked at once."""
        return self.run(self.pool.score(requests, time.monotonic() + within_s))

    def score_each(self, asked: Sequence[tuple[Any, float]]) -> list[Outcome]:
        """The outcomes of requests with a time each, asked at once by as many callers."""

        async def all_of_them() -> list[Outcome]:
            now_s = time.monotonic()
            found = await asyncio.gather(*(self.pool.score([one], now_s + within_s) for one, within_s in asked))
            return [outcome for outcomes in found for outcome in outcomes]

        return self.run(all_of_them())

    def processes(self) -> list[int]:
        """The process ids of the model processes."""
        return children_of(self.pool.zygote_pid)

    def close_pool(self) -> None:
        """End the pool."""

        async def closed() -> None:
            self.pool.close()

        self.run(closed())

    def close(self) -> None:
        """End the pool and the loop."""
        self.close_pool()
        self._loop.call_soon_threadsafe(self._loop.stop)
        eventually(lambda: not self._loop.is_running(), what="the end of the loop")
        self._loop.close()

    @staticmethod
    async def _started(model: Saved, options: dict[str, Any]) -> ModelProcesses:
        pool = ModelProcesses(model.folder, model.digest, name="trickster", **options)
        await pool.start()
        return pool


@contextlib.contextmanager
def stand(model: Saved, **options: Any) -> Iterator[Stand]:
    """A pool for a while."""
    made = Stand(model, **options)
    try:
        yield made
    finally:
        made.close()


def children_of(pid: int) -> list[int]:
    """The processes that a process is the parent of."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
