"""Journals: what is appended is read again, whole, whatever happened to the end of the file or to its middle."""

import os
from pathlib import Path

import pytest

from taut.errors import Corrupt, Unavailable
from taut.serve.log.journal import GIVEN, Journal, Reading, is_written, journals_in, sweep_parts
from taut.serve.log.sealing_key import DataKey
from tests.faults.disks import fill, small_disk

KEY = DataKey(b"k" * 32)
BODIES = [b"first", b"", b"third" * 8]


def written(folder: Path, key: DataKey | None = None) -> Path:
    journal = Journal(folder, key, fsync=True)
    for place, body in enumerate(BODIES):
        journal.append(body, flags=GIVEN * (place == 1))
    journal.close()
    return journal.path


def read(path: Path, key: DataKey | None = None, start: int = 0) -> list[bytes]:
    reading = Reading(path, key)
    try:
        return [bytes(record.body) for record in reading.records(start)]
    finally:
        reading.close()


@pytest.mark.parametrize("key", [None, KEY])
def test_records_are_read_as_they_were_appended(tmp_path: Path, key: DataKey | None):
    path = written(tmp_path, key)
    assert read(path, key) == BODIES
    reading = Reading(path, key)
    first, given, _ = list(reading.records())
    assert [record.body for record in reading.records(only=GIVEN)] == [b""]
    assert [reading.opened(one) for one in reading.found(first.end, given.end - first.end)] == [b""]
    assert reading.reach(0, first.end + 1) == given.end
    reading.close()
    assert (path.stat().st_mode & 0o777, journals_in(tmp_path)) == (0o600, [path])


@pytest.mark.parametrize("key", [None, KEY])
def test_a_file_torn_at_any_byte_of_its_last_record_holds_all_others(tmp_path: Path, key: DataKey | None):
    path = written(tmp_path, key)
    data = path.read_bytes()
    last = Reading(path, key)
    begin = [record.start for record in last.records()][-1]
    last.close()
    for end in range(begin, len(data)):
        path.write_bytes(data[:end])
        assert read(path, key) == BODIES[:-1], end
    for place in range(begin, len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        assert read(path, key) == BODIES[:-1], place


def test_damage_before_the_end_is_skipped_and_counted(tmp_path: Path):
    path = written(tmp_path)
    data = path.read_bytes()
    for place in range(16 + len(BODIES[0])):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        reading = Reading(path, None)
        assert [record.body for record in reading.records()] == BODIES[1:], place
        assert (reading.damaged, reading.end) == (1, len(data))
        assert (reading.reach(0, 1 << 30), reading.damaged) == (len(data), 1)
        reading.close()


def test_a_mark_inside_of_a_record_is_not_taken_for_one(tmp_path: Path):
    journal = Journal(tmp_path, None, fsync=False)
    journal.append(b"tlog" * 20)
    journal.append(b"tlog")
    journal.close()
    assert read(journal.path) == [b"tlog" * 20, b"tlog"]


def test_what_is_sealed_opens_in_its_own_file_with_its_own_key_alone(tmp_path: Path):
    path = written(tmp_path, KEY)
    assert b"third" not in path.read_bytes()
    with pytest.raises(Unavailable):
        read(path)
    with pytest.raises(Corrupt):
        read(path, DataKey(b"o" * 32))
    other = path.rename(path.with_name("0-other.journal"))
    assert read(other, KEY) == []


def test_what_a_request_holds_is_no_record_even_where_its_own_is_torn(tmp_path: Path):
    path = written(tmp_path)
    record = path.read_bytes()
    forging = Journal(tmp_path, None, fsync=False)
    forging.append(record * 3 + b"tail")
    forging.close()
    forging.path.write_bytes(forging.path.read_bytes()[:-1])
    assert read(forging.path) == []


def test_a_file_that_was_not_locked_yet_is_no_journal_and_goes_when_it_is_old(tmp_path: Path):
    part = tmp_path / "0-1-x.part"
    part.touch()
    assert journals_in(tmp_path) == []
    sweep_parts(tmp_path)
    assert part.exists()
    os.utime(part, (1, 1))
    sweep_parts(tmp_path)
    assert not part.exists()


def test_a_journal_is_written_by_one_process_until_that_lets_go(tmp_path: Path):
    journal = Journal(tmp_path, None, fsync=False)
    assert is_written(journal.path)
    journal.close()
    assert not is_written(journal.path)
    assert not is_written(tmp_path / "gone.journal")
    assert read(tmp_path / "gone.journal") == []


def test_what_was_opened_is_read_though_it_is_removed_meanwhile(tmp_path: Path):
    path = written(tmp_path)
    reading = Reading(path, None)
    path.unlink()
    assert [record.body for record in reading.records()] == BODIES
    reading.close()


def test_a_full_disk_takes_nothing_of_a_record_and_goes_on_when_there_is_room(tmp_path: Path):
    with small_disk(tmp_path / "disk") as disk:
        journal = Journal(disk, None, fsync=True)
        journal.append(b"before")
        ballast = fill(disk)
        with pytest.raises(Unavailable):
            journal.append(os.urandom(100_000))
        assert read(journal.path) == [b"before"]
        ballast.unlink()
        journal.append(b"after")
        journal.close()
        assert read(journal.path) == [b"before", b"after"]
