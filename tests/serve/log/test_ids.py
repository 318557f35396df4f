"""The file of callers' ids: what is in it is found, whoever writes beside; a file that is none is told."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from taut.errors import Corrupt, Unavailable
from taut.serve.log import ids as stages
from taut.serve.log.ids import FILE, Ids
from taut.serve.log.said import digests_of
from taut.serve.log.sealing_key import DataKey
from tests.serve.log.scenes import said

KEY = DataKey(b"k" * 32)


@pytest.fixture(params=[False, True])
def ids(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ids]:
    """An empty file, in the open and encrypted."""
    made = Ids(tmp_path, KEY, seals=request.param)
    yield made
    made.close()


def add(ids: Ids, *names: str, journal: str = "", until: int = 0, at_ms: int = 5_000, value: float = 0.25) -> None:
    batch = said(*names, given=True)
    outputs = {"probability": [value + place for place in range(len(names))]}
    digests = digests_of(batch.inputs, batch.counts)
    whole = msgspec.structs.replace(batch, outputs=outputs, digests=digests, at_ms=at_ms)
    with ids.turn():
        ids.add(whole, journal=journal, until=until)


def test_what_was_answered_is_found_by_its_id(ids: Ids):
    add(ids, "a", "b")
    found = ids.find(["b", "x", "a"])
    assert {name: one.outputs for name, one in found.items()} == {
        "a": {"probability": [0.25]},
        "b": {"probability": [1.25]},
    }
    assert (found["a"].revision, found["a"].model, found["a"].at_ms, found["a"].event_ms) == (1, "late", 5_000, 1_000)
    assert found["a"].digest != found["b"].digest
    assert ids.known(["a", "x"]) == {"a"}
    assert ids.find([]) == {}


@pytest.mark.parametrize("count", [1, 2, 8, 9, 64, 65, 512, 513, 1_100])
def test_any_number_of_ids_is_looked_up(ids: Ids, count: int):
    names = [f"id{number}" for number in range(count)]
    add(ids, *names)
    assert ids.known([*names, "other"]) == set(names)
    assert len(ids.find(names[:10])) == min(10, count)


def test_the_first_answer_to_an_id_stays(ids: Ids):
    add(ids, "a", value=1.0)
    add(ids, "b", "a", value=2.0)
    assert ids.find(["a"])["a"].outputs == {"probability": [1.0]}


def test_ids_of_ours_are_not_kept(ids: Ids):
    batch = said("ours", "theirs")
    with ids.turn():
        ids.add(msgspec.structs.replace(batch, given=[False, True]), journal="", until=0)
    assert ids.known(["ours", "theirs"]) == {"theirs"}
    assert ids.find(["theirs"])["theirs"].digest == b""


def test_how_far_a_journal_is_known_goes_with_what_was_read_of_it(ids: Ids):
    assert ids.reach_of("j") == 0
    add(ids, "a", journal="j", until=17)
    assert ids.reach_of("j") == 17
    with pytest.raises(KeyboardInterrupt), ids.turn():
        ids.reached("j", 99)
        raise KeyboardInterrupt
    assert ids.reach_of("j") == 17
    with ids.turn():
        ids.reached("j", 18)
    assert ids.reach_of("j") == 18


def test_what_is_older_is_forgotten_whole(ids: Ids):
    add(ids, "old", "older", at_ms=1_000)
    add(ids, "young", at_ms=2_000)
    ids.forget(2_000)
    assert ids.known(["old", "older", "young"]) == {"young"}


def test_one_answer_is_erased_and_its_neighbours_stay(ids: Ids, tmp_path: Path):
    add(ids, "a", "b", "c", value=1234.5)
    ids.erase("b")
    ids.erase("never")
    assert ids.known(["a", "b", "c"]) == {"a", "c"}
    assert [one.outputs["probability"] for one in ids.find(["a", "c"]).values()] == [[1234.5], [1236.5]]
    assert ids.find(["a"])["a"].digest != b""


def test_many_write_beside_each_other(tmp_path: Path):
    def write(number: int) -> None:
        mine = Ids(tmp_path, None, seals=False)
        for place in range(30):
            add(mine, f"{number}-{place}", "shared")
        mine.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Ids(tmp_path, None, seals=False)
    assert len(found.known([f"{number}-{place}" for number in range(4) for place in range(30)])) == 120
    assert found.known(["shared"]) == {"shared"}
    found.close()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"no database, but long enough to be taken for one" * 40, b"SQLite format 3\0" + b"\xff" * 4_000]
)
def test_a_file_that_is_no_database_is_told(tmp_path: Path, content: bytes):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises((Corrupt, Unavailable)):
        Ids(tmp_path, None, seals=False)


def test_a_file_that_lost_a_part_is_told(tmp_path: Path):
    ids = Ids(tmp_path, None, seals=False)
    add(ids, "a")
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("DELETE FROM batch")
    file.close()
    with pytest.raises(Corrupt, match="lacks the batch"):
        ids.find(["a"])
    ids.close()


def test_a_file_that_somebody_holds_for_too_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stages, "BUSY_S", 0.05)
    ids = Ids(tmp_path, None, seals=False)
    holder = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="cannot be used"):
        add(ids, "a")
    assert ids.known(["a"]) == set()  # Reading waits for nobody.
    holder.execute("ROLLBACK")
    holder.close()
    add(ids, "a")
    assert ids.known(["a"]) == {"a"}
    ids.close()


def test_what_was_sealed_needs_its_key(tmp_path: Path):
    ids = Ids(tmp_path, KEY, seals=True)
    add(ids, "a")
    ids.close()
    without = Ids(tmp_path, None, seals=False)
    assert without.known(["a"]) == {"a"}
    with pytest.raises(Unavailable):
        without.find(["a"])
    without.close()
    other = Ids(tmp_path, DataKey(b"o" * 32), seals=True)
    with pytest.raises(Corrupt):
        other.find(["a"])
    other.close()
