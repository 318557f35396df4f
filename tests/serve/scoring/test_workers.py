"""Threads that work in order, hand on what goes wrong, and never keep a process from ending."""

import subprocess
import sys
import threading
from concurrent.futures import Future
from functools import partial

import pytest

from taut.serve.scoring.workers import Workers


def test_work_is_done_in_the_order_it_comes():
    workers, done = Workers[None](1, "test"), list[int]()
    futures: list[Future[None]] = [workers.submit(partial(done.append, number)) for number in range(20)]
    for future in futures:
        future.result(5)
    assert done == list(range(20))
    workers.close()


def test_what_goes_wrong_reaches_who_waits_and_the_thread_goes_on():
    workers = Workers[int](1, "test")
    with pytest.raises(ZeroDivisionError):
        workers.submit(lambda: 1 // 0).result(5)
    assert workers.submit(lambda: 7).result(5) == 7
    workers.close()


def test_work_that_was_cancelled_in_the_queue_is_never_begun():
    workers, gate, begun = Workers[None](1, "test"), threading.Event(), threading.Event()
    first = workers.submit(lambda: _pass(gate))
    second = workers.submit(begun.set)
    assert second.cancel()
    gate.set()
    first.result(5)
    workers.submit(lambda: None).result(5)
    assert not begun.is_set()
    workers.close()


def _pass(gate: threading.Event) -> None:
    assert gate.wait(5)


def test_as_many_work_at_once_as_there_are_threads():
    workers, together = Workers[int](3, "test"), threading.Barrier(3)
    assert sorted(one.result(5) for one in [workers.submit(lambda: together.wait(5)) for _ in range(3)]) == [0, 1, 2]
    workers.close()


def test_a_thread_that_hangs_does_not_keep_the_process():
    program = (
        "import threading; from taut.serve.scoring.workers import Workers; begun = threading.Event()\n"
        "Workers(1, 'test').submit(lambda: (begun.set(), threading.Event().wait())); begun.wait(10)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=20).returncode == 0
