"""The observer as a process: the command ends, is signalled and runs as without it, and what it cannot see it says."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taut.ground.objects import read_object
from taut.home import open_home
from taut.runs.capture.observed import CUT_SHORT, observed_by_kernel
from tests.parts import eventually
from tests.runs.capture.observing import launched, observe


@pytest.fixture
def folder(project: Path) -> Path:
    (project / "a").write_text("a")
    return project


class Started:
    """A command under the observer that goes on."""

    def __init__(self, folder: Path, *command: str, group: str = "own", **options: Any) -> None:
        self.recording = folder.parent / "recording"
        line = launched(folder, self.recording, *command)
        line[5] = group
        if group == "own":
            options["process_group"] = 0
        self.process = subprocess.Popen(line, cwd=folder, **options)

    def children(self) -> list[int]:
        return children_of(self.process.pid)


def children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def python(folder: Path, program: str, **options: Any) -> Started:
    started = Started(folder, sys.executable, "-S", "-c", program, **options)
    eventually((folder / "ready").exists, what="the command")
    return started


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -9 $$", -9),
        ("kill -TERM $$", -15),
        ("kill -SEGV $$", -11),
    ],
)
def test_it_ends_as_the_command_ends(folder: Path, program: str, status: int):
    assert observe(folder, "sh", "-c", program).status == status


def test_a_program_that_cannot_be_run_is_told_as_a_shell_does(folder: Path):
    (folder / "bad").write_text("#!/nowhere/interpreter\n")
    (folder / "bad").chmod(0o755)
    done = subprocess.run(launched(folder, folder.parent / "r", str(folder / "bad")), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (127, f"taut: {folder / 'bad'}: No such file or directory\n")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_its_children_once(folder: Path, sent: signal.Signals):
    program = (
        "import os, signal, time\nchild = os.fork()\n"
        f"def take(*_): open(f'got{{os.getpid()}}', 'a').write('x'); time.sleep(0.2); os._exit(7)\n"
        f"signal.signal({int(sent)}, take)\n"
        "if child: open('ready', 'w').close()\nwhile True: signal.pause()"
    )
    started = python(folder, program)
    time.sleep(0.1)  # For the child's handler; there is nothing of it that could be waited for.
    started.process.send_signal(sent)
    assert started.process.wait(30) == 7
    eventually(lambda: [file.read_text() for file in folder.glob("got*")] == ["x", "x"], what="both")


def test_no_zombie_and_no_process_is_left(folder: Path):
    started = Started(folder, "sh", "-c", "(true &) ; (true &) ; cat a >/dev/null")
    family = started.children()
    assert started.process.wait(30) == 0
    eventually(lambda: not any(map(lives, family)), what="the keeper to end")


def test_a_descendant_that_outlives_the_command_can_open_files_and_is_still_seen(folder: Path):
    started = Started(folder, "sh", "-c", "(sleep 2; cat a > late) >/dev/null 2>&1 & exit 4")
    assert started.process.wait(30) == 4
    eventually(lambda: (folder / "late").exists() and (folder / "late").read_text() == "a", what="the daemon")
    seen = eventually(lambda: observed_by_kernel(started.recording / "opened"), what="the record")
    eventually(
        lambda: str(folder / "late") in observed_by_kernel(started.recording / "opened").written, what="its opens"
    )
    assert seen.reason == ""


def test_an_observer_that_is_killed_ends_the_command_softly_and_breaks_none_of_its_calls(folder: Path):
    """The command gets SIGTERM as when `taut run` dies; what it opens from then on is let through, not refused."""
    program = (
        "import os, signal, sys\n"
        "def end(*_): open('cleaned', 'w').write(open('a').read()); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\nopen('ready', 'w').close()\nwhile True: signal.pause()"
    )
    started = python(folder, program)
    started.process.kill()
    started.process.wait()
    eventually(lambda: (folder / "cleaned").exists() and (folder / "cleaned").read_text() == "a", what="its clean-up")
    seen = observed_by_kernel(started.recording / "opened")
    assert seen.reason == CUT_SHORT
    assert seen.unseen == ["what it opened at the end: the observer was gone before the command, or could not write"]


def test_an_observer_killed_in_the_middle_of_many_opens_hangs_nobody(folder: Path):
    program = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('ready', 'w').close()\n"
        "for n in range(20000): open('a').close()\nopen('done', 'w').close()"
    )
    started = python(folder, program)
    started.process.kill()
    started.process.wait()
    eventually((folder / "done").exists, what="the command to go on")


def test_the_command_ends_when_who_asked_for_it_dies(folder: Path):
    line = launched(folder, folder.parent / "recording", "sh", "-c", "echo $$ > ready; exec sleep 600")
    program = (
        f"import os, subprocess, time; l = {line!r}; l[1] = str(os.getpid()); subprocess.Popen(l); time.sleep(600)"
    )
    asker = subprocess.Popen([sys.executable, "-c", program], cwd=folder)
    pid = int(eventually(lambda: (folder / "ready").read_text().strip(), what="the command"))
    asker.kill()
    asker.wait()
    eventually(lambda: not lives(pid), what="the command to end")


def test_ctrl_c_at_a_terminal_reaches_the_command_once(folder: Path):
    """In the foreground group of a terminal all get it from the terminal; the observer must not pass it on as well."""
    program = (
        "import signal, time\n"
        "def take(*_): open('got', 'a').write('x')\n"
        "signal.signal(signal.SIGINT, take)\nopen('ready', 'w').close()\n"
        "end = time.time() + 1\nwhile time.time() < end: time.sleep(0.05)"
    )
    ours, theirs = os.openpty()

    def own_terminal() -> None:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    started = python(folder, program, group="shared", stdin=theirs, preexec_fn=own_terminal)
    os.write(ours, b"\x03")
    assert started.process.wait(30) == 0
    assert (folder / "got").read_text() == "x"
    os.close(ours)
    os.close(theirs)


def test_without_any_privilege_it_sees_the_same(folder: Path):
    if os.getuid() != 0:
        pytest.skip("who runs this has no privilege to give up")
    for place in (folder, *folder.parents):
        if place.owner() == "root" and place.name.startswith(("pytest", "popen", "test_", "project")):
            place.chmod(0o777)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    (folder.parent / "open").mkdir(mode=0o777)
    line = launched(folder, folder.parent / "open", "sh", "-c", "cat a > o; grep NoNewPrivs /proc/self/status")
    for place in (folder.parent / "open", folder.parent / "open" / "kept"):
        place.chmod(0o777)
    # The one who watches the parent is setpriv itself, which becomes the observer and keeps its number.
    done = subprocess.run([*nobody, *line], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["NoNewPrivs:", "1"]
    seen = observed_by_kernel(folder.parent / "open" / "opened")
    assert (seen.reason, seen.unseen) == ("", [])
    assert str(folder / "a") in seen.reads
    assert str(folder / "o") in seen.written


WITHIN = "import os, subprocess as s\nenv = dict(os.environ, TAUT_WITHIN=os.environ['TAUT_WATCHED'])\n"


def within(line: list[str]) -> str:
    """A program that runs this as `taut run` within a run does."""
    return f"l = {line!r}; l[1] = str(os.getpid()); s.run(l, env=env, check=True)\n"


def test_a_run_within_a_run_is_seen_by_the_observer_around_it(folder: Path):
    """Both tell what the inner one touched, though the outer one saw it before; only the outer one tells the rest."""
    (folder / "b").write_text("b")
    shell = "cat a > o; (sleep 0.1; cat b > p) & wait"
    program = WITHIN + "open('a').read(); open('b').read()\n" + within(
        launched(folder, folder.parent / "inner", "sh", "-c", shell)
    ) + "open('q', 'w').write('x')"  # fmt: skip
    outer = observe(folder, sys.executable, "-S", "-c", program)
    inner = observed_by_kernel(folder.parent / "inner" / "opened")
    names = {os.path.basename(path) for path in inner.reads if path.startswith(str(folder))}
    assert (outer.status, outer.inputs, outer.outputs) == (0, {"a", "b"}, {"o", "p", "q"})
    assert (inner.reason, inner.unseen, names) == ("", [], {"a", "b"})
    assert set(inner.written) >= {str(folder / "o"), str(folder / "p")}
    assert str(folder / "q") not in inner.written


def test_an_orphan_of_a_run_within_a_run_is_still_of_it(folder: Path):
    shell = "(setsid sh -c 'sleep 0.3; cat a > o' >/dev/null 2>&1 &); while [ ! -s o ]; do sleep 0.05; done"
    program = WITHIN + within(launched(folder, folder.parent / "inner", "sh", "-c", shell))
    observe(folder, sys.executable, "-S", "-c", program)
    assert str(folder / "a") in observed_by_kernel(folder.parent / "inner" / "opened").reads


def test_runs_three_deep_and_beside_each_other_tell_each_its_own(folder: Path):
    for name in "bcd":
        (folder / name).write_text(name)
    deepest = launched(folder, folder.parent / "third", "cat", "c")
    second = WITHIN + "open('b').read()\n" + within(deepest)
    program = (
        WITHIN
        + within(launched(folder, folder.parent / "second", sys.executable, "-S", "-c", second))
        + within(launched(folder, folder.parent / "beside", "cat", "d"))
        + "open('a').read()"
    )
    first = observe(folder, sys.executable, "-S", "-c", program)
    found = {
        name: {Path(path).name for path in observed_by_kernel(folder.parent / name / "opened").reads if
               path.startswith(f"{folder}/")}
        for name in ("second", "third", "beside")
    }  # fmt: skip
    assert (first.status, first.inputs) == (0, {"a", "b", "c", "d"})
    assert found == {"second": {"b", "c"}, "third": {"c"}, "beside": {"d"}}


def test_what_a_run_within_a_run_is_about_to_change_is_kept_for_both(folder: Path):
    program = WITHIN + within(launched(folder, folder.parent / "inner", "sh", "-c", "cat a; echo bb > a"))
    outer = observe(folder, sys.executable, "-S", "-c", program)
    ((stamp, copy),) = observed_by_kernel(folder.parent / "inner" / "opened").kept.values()
    assert (stamp.size_bytes, Path(copy).read_text()) == (1, "a")
    assert [(read.path, read.kept) for read in outer.files.inputs] == [("a", True)]


def test_a_run_within_one_whose_observer_is_gone_says_that_nothing_was_seen(folder: Path):
    line = launched(folder, folder.parent / "inner", "cat", "a")
    program = (
        "import os, subprocess, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen('ready', 'w').close()\n"
        "while not os.path.exists('go'): pass\n"
        f"l = {line!r}; l[1] = str(os.getpid())\n"
        "subprocess.run(l, env=dict(os.environ, TAUT_WITHIN=os.environ['TAUT_WATCHED']))\nopen('done', 'w').close()"
    )
    started = python(folder, program)
    started.process.kill()
    started.process.wait()
    (folder / "go").touch()
    eventually((folder / "done").exists, what="the inner run")
    assert observed_by_kernel(folder.parent / "inner" / "opened").reason == (
        "the kernel refused: Device or resource busy"
    )


def test_what_a_file_held_is_kept_before_the_run_changes_it(folder: Path):
    seen = observe(folder, sys.executable, "-S", "-c", "open('a').read(); open('a', 'w').write('bb')")
    (read,) = seen.files.inputs
    (made,) = seen.files.outputs
    assert (read.changed, read.kept, read.size_bytes, made.size_bytes) == (True, True, 1, 2)
    with open_home(folder) as home:
        assert read_object(home.objects, read.oid) == b"a"


def test_the_same_bytes_written_again_are_no_change(folder: Path):
    seen = observe(folder, sys.executable, "-S", "-c", "open('a').read(); open('a', 'w').write('a')")
    assert [(read.path, read.changed) for read in seen.files.inputs] == [("a", False)]


def test_what_somebody_else_changed_during_the_run_is_named(folder: Path):
    program = (
        "import os, time; open('a').read(); open('ready', 'w').close()\n"
        "while not os.path.exists('go'): time.sleep(0.01)"
    )

    def change() -> None:
        eventually((folder / "ready").exists, what="the command")
        (folder / "a").write_text("another")
        (folder / "go").touch()

    other = threading.Thread(target=change)
    other.start()
    seen = observe(folder, sys.executable, "-S", "-c", program)
    other.join()
    assert [(read.path, read.oid, read.changed) for read in seen.files.inputs] == [("a", "", True)]
    assert seen.files.missing == ("what a held when it was read: it changed during the run",)


def test_what_is_too_large_to_keep_is_said(folder: Path):
    os.truncate(folder / "a", (256 << 20) + 1)
    seen = observe(folder, sys.executable, "-S", "-c", "open('a', 'r+b').write(b'x')")
    assert [(read.path, read.oid, read.changed) for read in seen.files.inputs] == [("a", "", True)]
    assert seen.files.missing == ("what a held when it was read: it changed during the run",)


def test_a_program_may_be_let_use_io_uring_and_then_that_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch):
    program = "import ctypes; raise SystemExit(ctypes.CDLL(None).syscall(425, 8, bytes(120)) < 0)"
    refused = observe(folder, sys.executable, "-S", "-c", program)
    assert (refused.status, refused.observed.unseen) == (1, [])
    monkeypatch.setenv("TAUT_IO_URING", "allow")
    seen = observe(folder, sys.executable, "-S", "-c", program)
    assert seen.observed.unseen == ["files opened through io_uring"]


def test_that_a_process_went_on_after_the_command_is_said(folder: Path):
    seen = observe(folder, "sh", "-c", "(while [ ! -e go ]; do sleep 0.1; done) >/dev/null 2>&1 & exit 0")
    (folder / "go").touch()
    assert seen.observed.unseen == ["what processes did that went on after the command"]


def test_a_process_that_ends_a_moment_after_the_command_is_seen_whole(folder: Path):
    seen = observe(folder, "sh", "-c", "(sleep 0.2; cat a > late) >/dev/null 2>&1 & exit 0")
    assert (seen.observed.unseen, seen.inputs, seen.outputs) == ([], {"a"}, {"late"})


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_connections_are_seen_and_other_sockets_are_not(folder: Path, port: int):
    program = (
        "import socket, contextlib\n"
        f"socket.create_connection(('127.0.0.1', {port}))\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))\n"
        "with contextlib.suppress(OSError): socket.socket(socket.AF_UNIX).connect('/nowhere')\n"
        "with contextlib.suppress(OSError): socket.create_connection(('::1', 9))"
    )
    seen = observe(folder, sys.executable, "-S", "-c", program)
    assert list(seen.observed.connections) == [f"127.0.0.1:{port}", "[::1]:9"]


def test_a_loop_over_the_same_files_is_written_down_once(folder: Path):
    seen = observe(folder, sys.executable, "-S", "-c", "for _ in range(3000): open('a').close()")
    (recording,) = folder.parent.glob("recording-*")
    assert seen.inputs == {"a"}
    assert (recording / "opened").stat().st_size < 60_000


def test_threads_that_open_at_once_lose_nothing(folder: Path):
    for number in range(400):
        (folder / f"f{number}").touch()
    program = (
        "from concurrent.futures import ThreadPoolExecutor as P\n"
        "with P(8) as pool: list(pool.map(lambda n: open(f'f{n}').close(), range(400)))"
    )
    assert len(observe(folder, sys.executable, "-S", "-c", program).inputs) == 400


def test_names_of_any_bytes_are_told_as_text(folder: Path):
    (folder / os.fsdecode(b"new\nline\xff")).write_text("x")
    seen = observe(folder, sys.executable, "-S", "-c", "open(b'new\\nline\\xff').read()")
    assert seen.inputs == {"new\nline\\xff"}


def test_a_timer_whose_handler_restarts_calls_does_not_make_an_open_fail(folder: Path):
    """Being stopped for a look must not show as EINTR, as it does for a call that waits for a slow device."""
    program = (
        "import ctypes, signal\nsignal.signal(signal.SIGALRM, lambda *_: None)\n"
        "signal.siginterrupt(signal.SIGALRM, False)\nsignal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "c = ctypes.CDLL(None)\nfailed = 0\n"
        "for _ in range(5000):\n    f = c.open(b'a', 0); failed += f < 0; c.close(f)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0); raise SystemExit(failed)"
    )
    assert observe(folder, sys.executable, "-S", "-c", program).status == 0


# A file system whose look-ups open a file first: FUSE as fuse(4) speaks it, no library needed. INIT is 26, LOOKUP 1.
SERVED_FROM_WITHIN = """
import ctypes, os, struct, sys
os.mkdir("mnt")
fuse, libc = os.open("/dev/fuse", os.O_RDWR), ctypes.CDLL(None)
if libc.mount(b"x", b"mnt", b"fuse", 0, f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()): sys.exit(9)
if os.fork() == 0:
    while True:
        try: _, kind, asked = struct.unpack_from("<IIQ", os.read(fuse, 1 << 17))
        except OSError: os._exit(0)
        body, error = b"", -38
        if kind == 26: body, error = struct.pack("<IIIIII", 7, 12, 65536, 0, 0, 65536), 0
        if kind == 1: open("a").close(); error = -2
        if kind not in (2, 42): os.write(fuse, struct.pack("<IiQ", 16 + len(body), error, asked) + body)
try: open("mnt/x")
except FileNotFoundError: open("answered", "w").close()
libc.umount2(b"mnt", 2)
os.wait()
"""


@pytest.mark.slow
def test_a_file_system_that_the_command_itself_serves_hangs_nobody_and_is_told(folder: Path):
    """The observer looks a path up, the server behind it waits for its own open: each would wait for the other."""
    seen = observe(folder, sys.executable, "-S", "-c", SERVED_FROM_WITHIN)
    if seen.status:
        pytest.skip("this user may not mount, or there is no FUSE")
    assert (folder / "answered").exists()  # Whether that was seen depends on when the keeper steps back.
    assert seen.observed.unseen == ["files opened while a file system did not answer"]
