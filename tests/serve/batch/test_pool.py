"""The processes of a batch: what they are told and tell, one after the other or all at once, and that none is left."""

import io
import os
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from bench.machine import processes_of
from taut.errors import Conflict, Corrupt, Invalid, NotFound, Unavailable
from taut.home import Home
from taut.serve.batch.parts import Setup
from taut.serve.batch.plan import Part, parts_of
from taut.serve.batch.pool import _error, cores, over_workers
from taut.serve.batch.worker import Told, receive, send
from tests.parts import eventually
from tests.serve.batch.scenes import read_parts, setup_of, table, willing


@pytest.fixture
def setup(home: Home, tmp_path: Path) -> Setup:
    """Four parts of a table, to be written by whoever is told."""
    willing(home)
    pq.write_table(table(40), tmp_path / "rows.parquet")
    return setup_of(home, tmp_path / "rows.parquet", tmp_path / "out", part_rows=10)


def test_messages_come_whole_or_not_at_all():
    stream = io.BytesIO()
    for value in (Part(1, 2, 3, 4, 5), Told("done", None, "Invalid", "no", "try")):
        send(stream, value)
    data = stream.getvalue()
    stream.seek(0)
    assert msgspec.msgpack.decode(receive(stream) or b"", type=Part) == Part(1, 2, 3, 4, 5)
    assert msgspec.msgpack.decode(receive(stream) or b"", type=Told).hint == "try"
    assert receive(stream) is None
    for cut in range(len(data) - 1, 0, -7):
        stream = io.BytesIO(data[:cut])
        while receive(stream) is not None:
            pass
        assert stream.read() == b""


@pytest.mark.slow
def test_a_worker_writes_what_it_is_told_and_ends_with_its_stdin(setup: Setup, tmp_path: Path):
    worker = subprocess.Popen(
        [sys.executable, "-m", "taut.serve.batch.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdin is not None and worker.stdout is not None
    with worker:
        send(worker.stdin, setup)
        assert msgspec.msgpack.decode(receive(worker.stdout) or b"", type=Told).what == "ready"
        for part in list(parts_of(setup.plan))[:2]:
            send(worker.stdin, part)
            told = msgspec.msgpack.decode(receive(worker.stdout) or b"", type=Told)
            assert told.done is not None and (told.done.done.number, told.done.done.rows) == (part.number, 10)
        worker.stdin.close()
        assert worker.wait(30) == 0
    assert len(list((tmp_path / "out").glob("part-*"))) == 2


@pytest.mark.slow
def test_parts_are_done_by_several_and_nobody_is_left(setup: Setup, tmp_path: Path):
    before = processes_of(os.getpid())
    done = list(over_workers(setup, list(parts_of(setup.plan)), 3))
    assert sorted(one.done.number for one in done) == [0, 1, 2, 3]
    assert read_parts(tmp_path / "out").num_rows == 40
    assert set(processes_of(os.getpid())) <= set(before)


@pytest.mark.slow
def test_workers_that_are_killed_idle_or_at_work_are_replaced(setup: Setup, tmp_path: Path):
    parts, killed = list(parts_of(setup.plan)), 0
    before = set(processes_of(os.getpid()))
    done = []
    with closing(over_workers(setup, parts, 1)) as running:
        for one in running:
            done.append(one)
            for pid in set(processes_of(os.getpid())) - before:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    assert killed >= 3 and {one.done.number for one in done} == {0, 1, 2, 3}
    assert sorted(read_parts(tmp_path / "out")["prediction"].to_pylist()) == [2.0 * row for row in range(40)]


@pytest.mark.slow
def test_whoever_stops_listening_leaves_no_worker(setup: Setup):
    before = set(processes_of(os.getpid()))
    running = over_workers(setup, list(parts_of(setup.plan)), 2)
    next(running)
    assert len(set(processes_of(os.getpid())) - before) == 2
    running.close()
    eventually(lambda: set(processes_of(os.getpid())) <= before, what="the workers to end")


@pytest.mark.slow
def test_workers_that_die_before_they_begin_end_the_job(setup: Setup, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with pytest.raises(Unavailable, match="2 workers ended with status 1 before they had anything to do"):
        list(over_workers(setup, list(parts_of(setup.plan)), 1))


@pytest.mark.slow
def test_a_model_that_does_not_load_is_told_as_what_it_is(setup: Setup, tmp_path: Path):
    broken = replace(setup, form=replace(setup.form, folder=str(tmp_path / "gone")))
    with pytest.raises(NotFound, match="there is no model folder"):
        list(over_workers(broken, list(parts_of(setup.plan)), 1))


def test_what_a_worker_raised_is_the_same_kind_here():
    error = _error(Told("failed", None, "Conflict", "was changed", "begin anew"))
    assert isinstance(error, Conflict) and (error.message, error.hint) == ("was changed", "begin anew")
    assert isinstance(_error(Told("failed", None, "Invalid", "no")), Invalid)
    for kind in ("", "KeyError", "annotations", "Mapping"):
        assert isinstance(_error(Told("failed", None, kind, "KeyError: 'x'")), Corrupt)


def test_cores_are_those_that_this_process_may_use():
    assert cores() == len(os.sched_getaffinity(0)) >= 1
