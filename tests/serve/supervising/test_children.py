"""Forked processes: what they say, how they end, and whom they do not outlive. Each scene is a program of its own, for
a process of the tests has threads and may not fork."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taut.errors import TautError, Unavailable, UsageError
from taut.ground.compute import is_alive
from taut.serve.supervising import Recorded, serve
from taut.serve.supervising.children import failure_of
from tests.parts import eventually

HEAD = """
import os, signal, sys, time
from taut.errors import NotFound
from taut.serve.supervising.children import Message, answer_of, fork
def said(child):
    child.line.end.setblocking(True)
    found = []
    while (message := child.line.hear()) is not None:
        found.append(message)
    return found
def nothing():
    pass
"""


def ran(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A program to its end."""
    return subprocess.run(
        [sys.executable, "-c", HEAD + program, *arguments], capture_output=True, text=True, timeout=60
    )


def test_a_child_says_words_and_ends():
    done = ran("""
def work(line):
    line.say(Message("warm"))
    line.say(Message("ready"))
child = fork(work, let_go=nothing, death=signal.SIGKILL)
print([message.word for message in said(child)], os.waitpid(child.pid, 0)[1])
""")
    assert (done.stdout, done.stderr) == ("['warm', 'ready'] 0\n", "")


@pytest.mark.slow
def test_an_error_of_ours_is_told_with_its_kind_and_its_exit_status():
    done = ran("""
def work(line):
    raise NotFound("no deployment 'lat'", hint="taut status")
child = fork(work, let_go=nothing, death=signal.SIGKILL)
(message,) = said(child)
print(message.failure.kind, message.failure.message, message.failure.hint, sep="|")
print(type(message.failure.error).__name__, os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]))
""")
    assert done.stdout.splitlines() == ["NotFound|no deployment 'lat'|taut status", "NotFound 10"]
    assert done.stderr == ""


def test_a_defect_is_told_by_its_name_and_written_down():
    done = ran("""
child = fork(lambda line: 1 / 0, let_go=nothing, death=signal.SIGKILL)
(message,) = said(child)
print(message.failure.message, os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]))
""")
    assert done.stdout == "ZeroDivisionError: division by zero 1\n"
    assert "Traceback" in done.stderr


@pytest.mark.slow
def test_what_is_the_parent_s_alone_is_closed_in_the_child():
    done = ran("""
mine = os.open("/dev/null", os.O_RDONLY)
def work(line):
    try:
        os.fstat(mine)
    except OSError:
        line.say(Message("warm"))
child = fork(work, let_go=lambda: os.close(mine), death=signal.SIGKILL)
print([message.word for message in said(child)], os.fstat(mine) is not None)
""")
    assert done.stdout == "['warm'] True\n"


@pytest.mark.slow
def test_handlers_of_the_parent_are_not_the_child_s():
    done = ran("""
signal.signal(signal.SIGTERM, lambda kind, frame: print("the parent's handler", flush=True))
def work(line):
    line.say(Message("ready"))
    time.sleep(60)
child = fork(work, let_go=nothing, death=signal.SIGKILL)
child.line.end.setblocking(True)
child.line.hear()
child.signal(signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]))
os.kill(os.getpid(), signal.SIGTERM)
""")
    assert done.stdout.splitlines() == ["-15", "the parent's handler"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGHUP])
def test_what_reaches_a_whole_terminal_ends_no_child(kind: signal.Signals):
    done = ran(
        """
def work(line):
    line.say(Message("ready"))
    time.sleep(0.2)
child = fork(work, let_go=nothing, death=signal.SIGKILL)
child.line.end.setblocking(True)
child.line.hear()
child.signal(signal.Signals(int(sys.argv[1])))
print(os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]))
""",
        str(int(kind)),
    )
    assert done.stdout == "0\n"


@pytest.mark.slow
@pytest.mark.parametrize("death", ["SIGTERM", "SIGKILL"])
def test_a_child_dies_with_its_parent(tmp_path: Path, death: str):
    told = tmp_path / "handle"
    program = f"""
from pathlib import Path
child = fork(lambda line: time.sleep(60), let_go=nothing, death=signal.{death})
Path({str(told)!r}).write_text(child.handle)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", HEAD + program])
    handle = eventually(lambda: told.exists() and told.read_text(), what="the child")
    assert is_alive(str(handle))
    parent.kill()
    parent.wait(10)
    eventually(lambda: not is_alive(str(handle)), what="its end")


def test_a_question_is_answered_or_raises_what_its_process_raised():
    done = ran("""
print(answer_of(lambda: str(os.getpid() != os.getppid())))
def failing():
    raise NotFound("no home", hint="taut init")
try:
    answer_of(failing)
except NotFound as problem:
    print(problem.message, problem.hint)
try:
    answer_of(lambda: os.kill(os.getpid(), 9))
except Exception as problem:
    print(type(problem).__name__, problem)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("nobody is left")
""")
    assert done.stdout.splitlines() == [
        "True", "no home taut init", "Unavailable the process that looked at the home was killed", "nobody is left",
    ]  # fmt: skip


def test_a_process_with_threads_does_not_serve():
    assert len(os.listdir("/proc/self/task")) > 1 or _with_a_thread()
    with pytest.raises(UsageError, match="single thread"):
        serve(Recorded("", "", "late"), "127.0.0.1", 0)


def _with_a_thread() -> bool:
    """A thread of our own, where nobody has started one yet."""
    import threading

    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return True


@pytest.mark.parametrize(
    ("problem", "kind", "message"),
    [
        (Unavailable("the store sleeps", hint="wait"), "Unavailable", "the store sleeps"),
        (ValueError("odd"), "TautError", "ValueError: odd"),
        (KeyboardInterrupt(), "TautError", "KeyboardInterrupt: "),
    ],
)
def test_any_error_has_a_form_for_the_road(problem: BaseException, kind: str, message: str):
    failure = failure_of(problem)
    assert (failure.kind, failure.message) == (kind, message)
    assert isinstance(failure.error, TautError)
