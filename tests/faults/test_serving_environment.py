"""What a server stands on gives way: its disk, its folders, its files, its clock; nothing acknowledged is lost."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.machine import cpu_seconds, processes_of
from taut.serve import list_predictions
from taut.serve.log import log_place
from tests.faults.serving_stand import Reply, Stand, Wire, post, rows, soon, taut_stand

CLOCK = """
import os, time
_back, _ns, _s = os.environ["CLOCK_BACK"], time.time_ns, time.time
time.time_ns = lambda: _ns() - (86_400_000_000_000 if os.path.exists(_back) else 0)
time.time = lambda: _s() - (86_400.0 if os.path.exists(_back) else 0.0)
"""


def asked(stand: Stand, name: str, size: int = 2) -> Reply:
    return stand.ask(rows([1.5, 10, "U" * size]), more=f"X-Request-Id: {name}\r\n")


def logged(stand: Stand) -> set[str]:
    assert stand.home is not None
    return {one.id for one in list_predictions(stand.home, "late", limit=100_000)}


def acknowledged(stand: Stand, name: str, times: int, size: int = 2) -> set[str]:
    """The ids of those of so many requests that were answered; all others were told when to come back."""
    good = set()
    for number in range(times):
        reply = asked(stand, f"{name}-{number}", size)
        if reply.status == 200:
            good.add(f"{name}-{number}")
        else:
            assert reply.status == 503, reply
            assert "retry-after" in reply.head.lower()
    return good


def test_a_full_disk_is_a_503_and_loses_nothing_that_was_acknowledged(tmp_path: Path):
    with taut_stand(tmp_path, log_disk="4m") as stand:
        assert stand.home is not None
        ballast = log_place(stand.home).folder / "ballast"
        ballast.write_bytes(bytes(2 << 20))
        before = acknowledged(stand, "before", 100, size=50_000)
        assert 0 < len(before) < 100
        assert asked(stand, "still", 50_000).status == 503
        ballast.unlink()
        assert soon(stand.is_right)
        after = acknowledged(stand, "after", 10)
        assert len(after) == 10
        assert before | after <= logged(stand)


def test_a_log_folder_that_is_removed_loses_nothing_that_is_acknowledged_afterwards(tmp_path: Path):
    with taut_stand(tmp_path) as stand:
        assert stand.home is not None
        acknowledged(stand, "before", 5)
        shutil.rmtree(log_place(stand.home).folder)
        after = acknowledged(stand, "after", 5)
        assert after <= logged(stand)


def test_a_clock_that_steps_back_a_day_mixes_nothing_up(tmp_path: Path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CLOCK)
    path = f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}"
    flag = tmp_path / "back"
    with taut_stand(tmp_path, PYTHONPATH=path, CLOCK_BACK=str(flag)) as stand:
        before = acknowledged(stand, "before", 5)
        flag.touch()
        after = acknowledged(stand, "after", 5)
        assert len(before | after) == 10
        assert before | after <= logged(stand)
        assert asked(stand, "before-1").status == 200
        assert stand.ask(rows([1.5, 11, "AA"]), more="X-Request-Id: before-1\r\n").status == 409


def test_a_server_without_files_left_answers_those_it_has_and_recovers(tmp_path: Path):
    limit = ["bash", "-c", 'ulimit -n 256; exec "$@"', "-"]
    with taut_stand(tmp_path, before=limit) as stand, Wire(stand.port) as kept:
        kept.send(post(rows([1.5, 1, "UA"])))
        assert kept.reply() is not None
        with contextlib.ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(Wire(stand.port))
            begun = cpu_seconds(stand.pid)
            for number in range(20):
                kept.send(post(rows([1.5, number, "UA"])))
                reply = kept.reply()
                assert reply is not None
                assert reply.status == 200, reply
            assert not soon(lambda: cpu_seconds(stand.pid) - begun > 1.5, 2.0)  # It does not try again and again.
        assert soon(stand.is_right)


@pytest.mark.slow
def test_a_machine_whose_temporary_folder_is_read_only(tmp_path: Path):
    if os.geteuid():
        pytest.skip("mounting takes root")
    words = 'mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp && exec "$@"'
    before = ["unshare", "-m", "sh", "-c", words, "-"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, taut_stand(Path(folder), before=before) as stand:
        assert len(acknowledged(stand, "a", 5)) == 5
        assert acknowledged(stand, "a", 5) <= logged(stand)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Stand]:
    with taut_stand(tmp_path, workers=2) as stand:
        yield stand


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_every_process_below_the_supervisor_may_be_lost(two: Stand, kind: signal.Signals):
    for pid in sorted(set(processes_of(two.pid)) - {two.pid}):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, kind)
        assert soon(lambda: two.is_right(3.0), 30.0), pid
    count = len(processes_of(two.pid))
    assert soon(lambda: all(two.is_right(3.0) for _ in range(20)), 30.0)
    assert len(processes_of(two.pid)) <= count + 2
