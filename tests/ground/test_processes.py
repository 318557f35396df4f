"""Processes: a handle means one process for good, whoever has its number later."""

import os
import signal
import sys

from taut.ground.compute import handle_of, is_alive, start_detached, stop_process
from tests.parts import eventually

WAIT = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAIT


def start(tmp_path, code: str) -> str:
    log = tmp_path / "log"
    handle = start_detached([sys.executable, "-c", code], log=log, folder=tmp_path, environment={"TAUT_X": "1"})
    eventually(lambda: "up" in log.read_text(), what="the process to speak")
    return handle


def test_a_started_process_lives_in_a_session_of_its_own_until_it_is_stopped(tmp_path):
    handle = start(tmp_path, WAIT)
    pid = int(handle.partition(":")[0])
    assert is_alive(handle)
    assert os.getsid(pid) == pid
    assert stop_process(handle)
    assert not is_alive(handle)


def test_one_that_will_not_go_is_ended(tmp_path):
    handle = start(tmp_path, STUBBORN)
    assert not stop_process(handle, grace_s=0.2)
    assert not is_alive(handle)


def test_a_process_that_was_killed_is_not_alive_though_nobody_has_waited_for_it(tmp_path):
    handle = start(tmp_path, WAIT)
    os.kill(int(handle.partition(":")[0]), signal.SIGKILL)
    eventually(lambda: not is_alive(handle), what="the process to end")
    assert stop_process(handle)


def test_another_process_with_the_same_number_is_not_ours_and_not_stopped():
    mine = handle_of(os.getpid())
    stranger = f"{os.getpid()}:1.elsewhere"
    assert is_alive(mine)
    assert not is_alive(stranger)
    assert stop_process(stranger)
    assert not is_alive("")
    assert not is_alive("abc:1")
