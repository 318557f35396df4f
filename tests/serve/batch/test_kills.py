"""The whole tree of a batch is killed at random moments and begun again: every row is in the output once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.machine import processes_of
from taut.home import Home
from taut.serve.batch.job import run_batch
from taut.serve.batch.jobs import find_batch
from taut.serve.batch.plan import Options
from tests.marks import some
from tests.parts import eventually
from tests.serve.batch.scenes import read_parts, table, willing

ROWS, PART_ROWS = 1200, 20


def begin(home: Home, source: Path, output: Path, *more: str) -> "subprocess.Popen[bytes]":
    """`taut batch` in a process of its own, with two workers."""
    words = ["batch", "late@1", str(source), str(output), "--workers", "2", "--part-rows", str(PART_ROWS), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "taut", "--home", home.place, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def kill_tree(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for it and all that came from it, as near to one moment as a loop is."""
    for pid in processes_of(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=30)


def parts_there(output: Path) -> int:
    return len(list(output.glob("part-*.parquet")))


def finish(home: Home, source: Path, output: Path, first: dict[str, float], rows: int = ROWS) -> None:
    """Go on to the end, and hold what is there against every row, and against what was there before."""
    options = Options(part_rows=PART_ROWS, keep=("key",))
    result = run_batch(home, "late@1", str(source), str(output), options=options, workers=2)
    found = read_parts(output)
    assert result.scored == rows == found.num_rows
    assert Counter(found["key"].to_pylist()) == Counter(f"k{row}" for row in range(rows))
    assert len(set(found["id"].to_pylist())) == rows
    said = dict(zip(found["key"].to_pylist(), found["prediction"].to_pylist(), strict=True))
    assert said == {f"k{row}": 2.0 * row for row in range(rows)}
    assert first.items() <= dict(zip(found["id"].to_pylist(), found["prediction"].to_pylist(), strict=True)).items()
    assert find_batch(home, result.job).status == "FINISHED"
    assert sorted(path.name for path in output.glob("*.parquet")) == [
        f"part-{number:05d}.parquet" for number in range(rows // PART_ROWS)
    ]


def rows_of(output: Path) -> dict[str, float]:
    """Each id that is there now; a file with a part's name is whole, whenever it is looked at."""
    seen: dict[str, float] = {}
    for path in output.glob("part-*.parquet"):
        found = pq.read_table(path)
        seen |= dict(zip(found["id"].to_pylist(), found["prediction"].to_pylist(), strict=True))
    return seen


def torment(home: Home, tmp_path: Path, times: int, *, seed: int, rows: int = ROWS) -> None:
    willing(home)
    source, output, chance = tmp_path / "rows.parquet", tmp_path / "out", random.Random(seed)
    pq.write_table(table(rows), source, row_group_size=500)
    kills = 0
    seen: dict[str, float] = {}
    while kills < times:
        before = parts_there(output)
        process = begin(home, source, output, "--keep", "key")
        if chance.random() < 0.7:  # While parts are written, else wherever it is: while it starts, plans or verifies.
            wanted = before + chance.randrange(1, 4)
            eventually(lambda: parts_there(output) >= wanted or process.poll() is not None, what="parts")  # noqa: B023
            time.sleep(chance.random() * 0.05)
        else:
            time.sleep(chance.random() * 1.5)
        kill_tree(process)
        kills += 1
        now = rows_of(output)
        assert seen.items() <= now.items(), "what was there is gone or another"
        seen = now
        if parts_there(output) >= rows // PART_ROWS - 6:  # Nearly done: the end itself, and then from the beginning.
            finish(home, source, output, seen, rows)
            output = output.with_name(f"out{kills}")
            seen = {}
    finish(home, source, output, seen, rows)


def test_a_tree_that_is_killed_leaves_every_row_once(home: Home, tmp_path: Path):
    torment(home, tmp_path, 1, seed=1, rows=200)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_tree_that_is_killed_again_and_again_leaves_every_row_once(home: Home, tmp_path: Path):
    """Ten times; fifty with ALL_ROWS."""
    torment(home, tmp_path, len(some(range(50), 5)), seed=2)


@pytest.mark.slow
def test_a_single_file_that_is_killed_while_it_is_gathered_is_whole_or_not_there(home: Home, tmp_path: Path):
    willing(home)
    source, output = tmp_path / "rows.parquet", tmp_path / "scored.csv"
    pq.write_table(table(ROWS), source)
    work, chance = tmp_path / ".scored.csv.taut", random.Random(3)
    for _ in range(6):
        process = begin(home, source, output)
        eventually(lambda: parts_there(work) >= ROWS // PART_ROWS or process.poll() is not None, what="parts")  # noqa: B023
        time.sleep(chance.random() * 0.1)
        kill_tree(process)
        if output.exists():
            assert len(output.read_text().splitlines()) == ROWS + 1
    process = begin(home, source, output)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    lines = output.read_text().splitlines()
    assert len(lines) == ROWS + 1 and len(set(lines)) == ROWS + 1


@pytest.mark.slow
def test_ctrl_c_ends_all_of_it_and_the_same_command_goes_on(home: Home, tmp_path: Path):
    willing(home)
    source, output = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(ROWS), source)
    process = begin(home, source, output, "--keep", "key")
    eventually(lambda: parts_there(output) > 3, what="parts")
    family = processes_of(process.pid)
    assert len(family) == 3
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and b"interrupted" in told and b"Traceback" not in told
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), what="the workers to end")
    finish(home, source, output, rows_of(output))


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(home: Home, tmp_path: Path):
    willing(home)
    source, output = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(ROWS), source)
    process = begin(home, source, output, "--keep", "key")
    eventually(lambda: parts_there(output) > 3, what="parts")
    family = processes_of(process.pid)
    process.kill()
    process.communicate(timeout=30)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), what="the workers to end")
    finish(home, source, output, rows_of(output))
