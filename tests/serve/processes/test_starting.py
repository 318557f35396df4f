"""Bringing a pool up: what is wrong with a model is told, and a model that cannot be forked answers all the same."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from taut.errors import Corrupt, Invalid, TautError, Unavailable
from taut.serve.processes import ModelProcesses, brood
from tests.parts import eventually
from tests.serve.processes.tricksters import Saved, Stand, Trickster, answer, children_of, lives, request, saved, stand
from tests.serve.scenes import save_model

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def problem_of(model: Saved, **options: Any) -> TautError:
    """What starting a pool raises, with nothing left behind."""
    before = set(children_of(os.getpid()))

    async def start() -> None:
        await ModelProcesses(model.folder, model.digest, **options).start()

    with pytest.raises(TautError) as caught:
        asyncio.run(start())
    assert set(children_of(os.getpid())) <= before
    return caught.value


def test_a_model_whose_bytes_are_others_is_not_loaded(trickster: Saved):
    assert isinstance(problem_of(Saved(trickster.folder, "0" * 64)), Corrupt)


class Unloadable:
    def __reduce__(self) -> Any:
        return (_blow_up, ())


def _blow_up() -> None:
    raise RuntimeError("not in this house")


def test_a_model_that_cannot_be_built_says_why(tmp_path: Path):
    problem = problem_of(saved(tmp_path / "model", Unloadable()))
    assert isinstance(problem, Invalid) and "RuntimeError: not in this house" in problem.message


class Deadly:
    def __reduce__(self) -> Any:
        return (_die, ())


def _die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.slow
def test_a_model_that_kills_who_loads_it_says_so(tmp_path: Path):
    problem = problem_of(saved(tmp_path / "model", Deadly()))
    assert isinstance(problem, Unavailable)
    assert problem.message == "the process that loads model was ended by SIGSEGV"


class Endless:
    def __reduce__(self) -> Any:
        return (time.sleep, (3600,))


@pytest.mark.slow
def test_a_model_that_hangs_while_it_is_loaded_says_so(tmp_path: Path):
    problem = problem_of(saved(tmp_path / "model", Endless()), load_s=1.0)
    assert isinstance(problem, Unavailable) and problem.message == "model did not load within 1 s"


class Threaded(Trickster):
    """A model that starts a thread as it is loaded."""

    def __setstate__(self, state: Any) -> None:
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()

    def __getstate__(self) -> Any:
        return {"a": 1}


@pytest.mark.slow
def test_a_model_that_starts_threads_as_it_is_loaded_is_loaded_by_each_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    with stand(saved(tmp_path / "model", Threaded())) as own:
        assert own.score(request(1), request(2)) == [answer(1), answer(2)]
        own.score(request(3, "exit:1"))
        assert own.score(request(4)) == [answer(4)]
    assert "loading it leaves threads behind" in capfd.readouterr().err


class Unforkable(Trickster):
    """A model that remembers the process that loaded it, and hangs in every other."""

    def __setstate__(self, state: Any) -> None:
        self.pid = os.getpid()

    def __getstate__(self) -> Any:
        return {"a": 1}

    def predict(self, table: Any) -> Any:
        while os.getpid() != self.pid:
            time.sleep(0.1)
        return super().predict(table)


@pytest.mark.slow
def test_a_model_that_hangs_in_a_forked_process_is_loaded_by_each_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(brood, "WARM_WITHIN_S", 1.5)
    with stand(saved(tmp_path / "model", Unforkable())) as own:
        assert own.score(request(1), request(2)) == [answer(1), answer(2)]


class Picky(Trickster):
    """A model that a made-up row kills, and rows of somebody who flies do not."""

    def predict(self, table: Any) -> Any:
        if (table["carrier"] == "").any():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(table)


@pytest.mark.slow
def test_a_model_that_a_made_up_row_kills_is_served_without_one(tmp_path: Path):
    with stand(saved(tmp_path / "model", Picky())) as own:
        assert own.score(request(1)) == [answer(1)]


class Fickle(Trickster):
    """A model that can be loaded as long as its file of permission is there."""

    def __init__(self, permission: Path) -> None:
        self.permission = str(permission)

    def __setstate__(self, state: Any) -> None:
        self.__dict__ = state
        if not os.path.exists(self.permission):
            raise RuntimeError("no longer")


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_again_is_unavailable_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(brood, "BACKOFF_S", 0.01)
    permission = tmp_path / "permission"
    permission.touch()
    with stand(saved(tmp_path / "model", Fickle(permission))) as own:
        permission.unlink()
        os.kill(own.pool.zygote_pid, signal.SIGKILL)
        eventually(lambda: own.pool._brood.problem, what="the pool to know that no process comes up")
        (outcome,) = own.score(request(1))
        assert isinstance(outcome, Unavailable) and "no longer" in outcome.message
        permission.touch()
        eventually(lambda: own.pool.sizes.processes == 1 and not own.pool._brood.problem, what="a process")
        assert own.score(request(1)) == [answer(1)]


@pytest.mark.slow
def test_threads_are_bounded_before_any_library_is_loaded(tmp_path: Path):
    class Curious(Trickster):
        def predict(self, table: Any) -> Any:
            import numpy as np

            return np.array([int(os.environ["OMP_NUM_THREADS"])] * len(table))

    with stand(saved(tmp_path / "model", Curious()), threads=3) as own:
        assert own.score(request(1)) == [{"prediction": [3]}]


def test_a_pool_that_was_closed_says_that_it_has_ended(trickster: Saved):
    with stand(trickster) as own:
        pids = [own.pool.zygote_pid, *own.processes()]
        waits = threading.Thread(target=own.score, args=(request(1, "hang"),))
        waits.start()
        eventually(lambda: own.pool.sizes.busy == 1, what="the call")
        own.close_pool()
        waits.join(10)
        assert not waits.is_alive()
        assert not any(map(lives, pids))
        (outcome,) = own.score(request(2))
        assert isinstance(outcome, Unavailable) and outcome.message == "trickster has ended"


def test_a_pool_that_is_not_started_says_so(trickster: Saved):
    async def ask() -> None:
        pool = ModelProcesses(trickster.folder, trickster.digest)
        (outcome,) = await pool.score([request(1)], time.monotonic() + 10)
        assert isinstance(outcome, Unavailable) and outcome.message == "model is not started"
        assert pool.hangs and pool.sizes.processes == 0 and pool.zygote_pid == 0

    asyncio.run(ask())


@pytest.mark.parametrize("after_s", [0.0, pytest.param(0.5, marks=pytest.mark.slow)])
def test_a_pool_that_is_closed_while_it_starts_leaves_nothing(trickster: Saved, after_s: float):
    before = set(children_of(os.getpid()))

    async def start() -> None:
        pool = ModelProcesses(trickster.folder, trickster.digest)
        starting = asyncio.ensure_future(pool.start())
        await asyncio.sleep(after_s)
        is_up = starting.done()  # On a quick machine it may be.
        pool.close()
        if not is_up:
            with pytest.raises(Unavailable, match="model is ended"):
                await starting

    asyncio.run(start())
    assert set(children_of(os.getpid())) <= before


def test_processes_that_come_and_go_leave_no_descriptor_behind(shared: Stand):
    def count() -> int:
        eventually(lambda: shared.pool.sizes.processes == 1 and not shared.pool.sizes.waiting, what="one process")
        return len(os.listdir("/proc/self/fd"))

    shared.run(_shrunk(shared.pool))
    before = count()
    for number in range(10):
        shared.score(request(number, "exit:1"))
    shared.run(_shrunk(shared.pool))
    assert count() <= before


async def _shrunk(pool: ModelProcesses) -> None:
    """The pool with one process at most, as after a long idle time."""
    floor = pool._floor
    for member in list(floor.free)[1:]:
        floor.drop(member)
        floor.brood.end(member)


SERVER = """
import asyncio, sys, time
from pathlib import Path
from taut.serve.processes import ModelProcesses

async def main():
    pool = ModelProcesses(Path(sys.argv[1]), sys.argv[2], least=3)
    await pool.start()
    asked = {"delay": [1.0], "seats": [1], "carrier": [f"fork:{sys.argv[3]}"]}
    await pool.score([asked], time.monotonic() + 60)
    hang = {"delay": [1.0], "seats": [1], "carrier": ["spin"]}
    calls = [asyncio.ensure_future(pool.score([hang], time.monotonic() + 600)) for _ in range(2)]
    await asyncio.sleep(0.2)
    print(pool.zygote_pid, flush=True)
    await asyncio.wait(calls)

asyncio.run(main())
"""


@contextlib.contextmanager
def server(model: Saved, file: Path) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A process with a pool whose model hangs in a call and has forked; and all processes below it."""
    command = [sys.executable, "-c", SERVER, str(model.folder), model.digest, str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        zygote = int(process.stdout.readline())
        yield process, [zygote, *children_of(zygote), int(file.read_text())]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("by", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_no_process_outlives_its_server(trickster: Saved, tmp_path: Path, by: signal.Signals):
    with server(trickster, tmp_path / "pid") as (process, below):
        assert len(below) >= 3 and all(map(lives, below))
        process.send_signal(by)
        process.wait(10)
        eventually(lambda: not any(map(lives, below)), what="the end of everything below the server")


def test_ctrl_c_is_for_the_server_alone(shared: Stand):
    assert shared.score(request(1)) == [answer(1)]
    before = {shared.pool.zygote_pid, *shared.processes()}
    for pid in before:
        os.kill(pid, signal.SIGINT)
    assert shared.score(request(2)) == [answer(2)]
    assert {shared.pool.zygote_pid, *shared.processes()} == before


@pytest.mark.slow
def test_a_model_folder_that_is_gone_is_told(tmp_path: Path):
    folder = save_model(tmp_path / "model", Trickster())
    problem = problem_of(Saved(folder / "nothing", "0" * 64))
    assert isinstance(problem, TautError)
