"""A thread that works in order, hands on what goes wrong, and never keeps a process from ending."""

import subprocess
import sys
import threading
from concurrent.futures import Future
from functools import partial

import pytest

from taut.serve.scoring.worker import Worker


def test_work_is_done_in_the_order_it_comes():
    worker, done = Worker[None]("test"), list[int]()
    futures: list[Future[None]] = [worker.submit(partial(done.append, number)) for number in range(20)]
    for future in futures:
        future.result(5)
    assert done == list(range(20))
    worker.close()


def test_what_goes_wrong_reaches_who_waits_and_the_thread_goes_on():
    worker = Worker[int]("test")
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 // 0).result(5)
    assert worker.submit(lambda: 7).result(5) == 7
    worker.close()


def test_work_that_was_cancelled_in_the_queue_is_never_begun():
    worker, gate, begun = Worker[None]("test"), threading.Event(), threading.Event()
    first = worker.submit(lambda: _pass(gate))
    second = worker.submit(begun.set)
    assert second.cancel()
    gate.set()
    first.result(5)
    worker.submit(lambda: None).result(5)
    assert not begun.is_set()
    worker.close()


def _pass(gate: threading.Event) -> None:
    assert gate.wait(5)


def test_a_thread_that_hangs_does_not_keep_the_process():
    program = (
        "import threading; from taut.serve.scoring.worker import Worker; begun = threading.Event()\n"
        "Worker('test').submit(lambda: (begun.set(), threading.Event().wait())); begun.wait(10)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=20).returncode == 0
