"""The folder of a reproduction goes with it, and with the next one where it was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taut.runs.reproducing.scratch import ABANDONED_S, remove_orphans, scratch_folder

HOLD = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from taut.runs.reproducing.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "big").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_goes_with_its_block_whatever_was_made_in_it(place: Path):
    with scratch_folder() as folder:
        (folder / "locked" / "deep").mkdir(parents=True)
        (folder / "link").symlink_to("/nowhere")
        (folder / "locked").chmod(0o500)
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(place: Path):
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    folders = []
    for holder in holders:
        assert holder.stdout is not None
        folders.append(Path(holder.stdout.readline().decode().strip()))
    assert remove_orphans() == []
    holders[0].send_signal(signal.SIGKILL)
    holders[0].communicate()
    assert remove_orphans() == [folders[0].parent]
    assert not folders[0].exists()
    assert (folders[1] / "big").exists()
    holders[1].communicate()
    assert list(place.iterdir()) == []


def test_a_folder_that_nobody_has_locked_yet_is_left_for_a_day(place: Path):
    folder = place / "taut-reproduce-young"
    folder.mkdir()
    assert remove_orphans() == []
    old = folder.stat().st_mtime - ABANDONED_S - 1
    os.utime(folder, (old, old))
    assert remove_orphans() == [folder]


def test_a_link_of_that_name_is_left_alone(place: Path):
    (place / "mine").mkdir()
    (place / "taut-reproduce-link").symlink_to(place / "mine")
    assert remove_orphans() == []
    assert (place / "mine").is_dir()
