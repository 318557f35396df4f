"""SIGKILL in the middle of commits and of puts: each acknowledged row and object is there, no unfinished one is."""

import io
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from taut.govern import check_home
from taut.ground.ledger import events, verify_ledger
from taut.ground.objects import connect_objects, oid_of, read_object
from taut.home import open_home
from taut.runs import create_run

# Threads that write runs, and say each id only after the verb has returned.
WRITER = """
import os, sys, threading
from taut.home import open_home
from taut.runs import create_run
home = open_home(sys.argv[1])
def write(thread):
    for number in range(100_000):
        made = create_run(home, name=f"{thread}-{number}")
        os.write(1, (made.id + "\\n").encode())
for thread in range(int(sys.argv[2])):
    threading.Thread(target=write, args=(thread,)).start()
"""
# Puts of many sizes, each said after it was acknowledged.
PUTTER = """
import io, os, sys
from taut.ground.objects import connect_objects
objects = connect_objects(sys.argv[1])
for number in range(100_000):
    data = (str(number) * (1 + number % 7 * 50_000)).encode()
    os.write(1, (objects.put(io.BytesIO(data)) + "\\n").encode())
"""


def killed_after(program: str, arguments: list[str], answers: int) -> list[str]:
    """Run a program, kill it when it has said so many lines; returns all whole lines it ever said."""
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said:
        lines = [said.readline().decode().strip() for _ in range(answers)]
        process.send_signal(signal.SIGKILL)
        rest = said.read().decode()
    assert process.wait(30) == -signal.SIGKILL
    return lines + rest.split("\n")[:-1]


@pytest.mark.parametrize(("threads", "answers"), [(1, 1), (1, 40), (8, 7), (8, 200), (16, 90)])
def test_every_acknowledged_run_survives_and_the_chain_is_whole(project: Path, threads: int, answers: int):
    acknowledged = set(killed_after(WRITER, [str(project), str(threads)], answers))
    with open_home(project) as home, home.meta.read() as tx:
        stored = {str(id) for (id,) in tx.rows("SELECT id FROM run")}
        assert acknowledged <= stored
        # What was stored and not yet said is at most what each thread had under way.
        assert len(stored - acknowledged) <= threads
        assert list(verify_ledger(tx)) == []
        told = {event.subject.removeprefix("run:") for event in events(tx, kind="run.created", limit=100_000)}
        assert told == stored


def test_the_file_itself_is_sound_after_a_kill(project: Path):
    killed_after(WRITER, [str(project), "8"], 100)
    connection = sqlite3.connect(project / ".taut" / "meta.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_killed_again_and_again_a_home_keeps_all_it_ever_said(project: Path):
    acknowledged: set[str] = set()
    for answers in (5, 25, 60):
        acknowledged |= set(killed_after(WRITER, [str(project), "4"], answers))
    with open_home(project) as home:
        after = create_run(home, name="after")
        with home.meta.read() as tx:
            stored = {str(id) for (id,) in tx.rows("SELECT id FROM run")}
        assert acknowledged | {after.id} <= stored
        assert check_home(home).problems == ()


def test_one_process_killed_in_a_commit_does_not_block_the_other(project: Path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(project), "4"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as said, open_home(project) as home:
        said.readline()
        mine = [create_run(home, name=f"mine-{number}").id for number in range(5)]
        process.kill()
        process.wait(30)
        mine += [create_run(home, name=f"later-{number}").id for number in range(5)]
        with home.meta.read() as tx:
            assert set(mine) <= {str(id) for (id,) in tx.rows("SELECT id FROM run")}
            assert list(verify_ledger(tx)) == []


def test_processes_that_write_at_once_make_one_chain(project: Path):
    program = WRITER.replace("100_000", "20")
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(project), "3"], stdout=subprocess.PIPE) for _ in range(3)
    ]
    said = [writer.communicate(timeout=120)[0].decode().split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    with open_home(project) as home, home.meta.read() as tx:
        chain = events(tx, kind="run.created", limit=1000)
        assert {event.subject.removeprefix("run:") for event in chain} == {id for ids in said for id in ids}
        assert len(chain) == 3 * 3 * 20
        assert list(verify_ledger(tx)) == []


@pytest.mark.parametrize("answers", [1, 6, 40])
def test_a_put_killed_in_the_middle_leaves_no_half_object(tmp_path: Path, answers: int):
    place = tmp_path / "objects"
    acknowledged = killed_after(PUTTER, [f"file://{place}"], answers)
    objects = connect_objects(f"file://{place}")
    stored = set(objects.list())
    assert set(acknowledged) <= stored
    assert len(stored) - len(acknowledged) <= 1
    for oid in stored:
        assert oid_of(read_object(objects, oid)) == oid
    # What was under way may have left one file, where no reader ever looks.
    assert len(list((place / "tmp").iterdir())) <= 1


KILLED_PUT = """
import io, os, signal, sys
from taut.ground.objects import connect_objects
objects = connect_objects(sys.argv[1])
steps = int(sys.argv[2])
def count(event, arguments):
    global steps
    if event in ("open", "os.mkdir", "os.listdir", "os.scandir", "os.rename"):
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
objects.put(io.BytesIO(b"whole" * 100_000))
"""


@pytest.mark.parametrize("step", range(1, 7))
def test_a_put_killed_before_each_of_its_steps_is_whole_or_absent_and_can_be_done_again(tmp_path: Path, step: int):
    url = f"file://{tmp_path / 'objects'}"
    ended = subprocess.run([sys.executable, "-c", KILLED_PUT, url, str(step)])
    assert ended.returncode == -signal.SIGKILL
    data = b"whole" * 100_000
    objects = connect_objects(url)
    assert set(objects.list()) <= {oid_of(data)}
    for oid in objects.list():
        assert read_object(objects, oid) == data
    assert read_object(objects, objects.put(io.BytesIO(data))) == data


def test_a_torn_write_ahead_log_costs_at_most_what_was_not_acknowledged(project: Path, tmp_path: Path):
    """Power that fails while a frame is written: SQLite drops the torn frame and keeps each whole commit before it."""
    with open_home(project) as home:
        first = create_run(home, name="first").id
        log = project / ".taut" / "meta.db-wal"
        whole = log.stat().st_size
        create_run(home, name="second")
        torn = (log.stat().st_size + whole) // 2
        copy = tmp_path / "copy" / ".taut"
        copy.mkdir(parents=True)
        for name in ("meta.db", "meta.db-wal"):
            (copy / name).write_bytes((project / ".taut" / name).read_bytes())
    os.truncate(copy / "meta.db-wal", torn)
    with open_home(copy.parent) as home, home.meta.read() as tx:
        assert [str(id) for (id,) in tx.rows("SELECT id FROM run")] == [first]
        assert list(verify_ledger(tx)) == []
