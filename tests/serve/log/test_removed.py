"""Journals that somebody removes under the process that writes them: what is said afterwards is kept, or refused."""

import os
import shutil
from pathlib import Path

import pytest

from taut.errors import Unavailable
from taut.serve.log import Policy, PredictionLog
from taut.serve.log.journal import Reading, journals_in
from taut.serve.log.said import unpack
from taut.serve.log.sealing_key import read_data_key
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
    (tmp_path / "predictions").touch()  # So that no folder can be made in its place.
    with pytest.raises(Unavailable):
        log.append(said("b"))
    others = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in "xy"]  # One gets the journal's number.
    for name in ("c", "d"):
        with pytest.raises(Unavailable):
            log.append(said(name))
    assert [os.fstat(other).st_size for other in others] == [0, 0]
    for other in others:
        os.close(other)
    for own in (False, True):
        with pytest.raises(Unavailable):
            log.append(said("e", given=own))
    log.close()


@pytest.mark.parametrize("policy", [Policy(), Policy(encrypt=True), Policy(delay_ms=1)])
def test_a_folder_that_was_removed_is_made_again_with_its_key_and_its_ids(tmp_path: Path, policy: Policy):
    log = PredictionLog.open(place(tmp_path), "late", policy)
    log.append(said("a", given=True))
    shutil.rmtree(tmp_path / "predictions")
    log.append(said("b", given=True))
    log.append(said("b", given=True))
    assert list(log.answered(["a", "b"])) == ["b"], "what was removed is not known any more"
    log.close()
    (path,) = journals_in(tmp_path / "predictions" / "late")
    reading = Reading(path, read_data_key(path.parent, tmp_path / "keys"))
    assert [unpack(record.body).ids for record in reading.records()] == [["b"]]
    reading.close()
    again = PredictionLog.open(place(tmp_path), "late", policy)
    assert list(again.answered(["a", "b"])) == ["b"]
    again.close()
