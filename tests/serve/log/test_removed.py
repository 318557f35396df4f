"""Journals that somebody removes under the process that writes them: what is said afterwards is kept, or refused."""

import os
import shutil
from pathlib import Path

import pytest

from taut.errors import Unavailable
from taut.serve.log import PredictionLog
from taut.serve.log.journal import Reading, journals_in
from taut.serve.log.said import unpack
from tests.serve.log.scenes import place, said


def ids_of(folder: Path) -> list[str]:
    """The ids in all journals there."""
    found = []
    for path in journals_in(folder):
        reading = Reading(path, None)
        found += [name for record in reading.records() for name in unpack(record.body).ids]
        reading.close()
    return found


def test_a_journal_that_was_removed_is_followed_by_another(tmp_path: Path):
    log = PredictionLog.open(place(tmp_path), "late")
    log.append(said("a"))
    for path in journals_in(tmp_path / "predictions" / "late"):
        path.unlink()
    log.append(said("b"))
    log.append(said("c"))
    assert ids_of(tmp_path / "predictions" / "late") == ["b", "c"]
    log.close()


def test_where_no_journal_can_be_opened_nothing_is_said_and_no_other_file_is_touched(tmp_path: Path):
    log = PredictionLog.open(place(tmp_path), "late")
    log.append(said("a"))
    shutil.rmtree(tmp_path / "predictions")
    with pytest.raises(Unavailable):
        log.append(said("b"))
    others = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in "xy"]  # One gets the journal's number.
    for name in ("c", "d"):
        with pytest.raises(Unavailable):
            log.append(said(name))
    assert [os.fstat(other).st_size for other in others] == [0, 0]
    for other in others:
        os.close(other)
    log.close()
