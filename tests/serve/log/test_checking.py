"""`fsck`, `gc`, `backup` and `restore` with a log: damage is named, what is left is sealed, nothing is lost."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.errors import Unavailable
from taut.govern import back_up, check_home, restore
from taut.govern.collecting import collect
from taut.ground.access import Actor
from taut.ground.sealed import FILE as HOME_KEY
from taut.ground.sealed import make_key
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.serve import labelled_rows, log_labels
from taut.serve.log import keeping, log_place
from taut.serve.log.journal import HEAD, journals_in
from taut.serve.log.keeping import seal_until_now
from taut.serve.log.sealing import _alone, seal
from taut.serve.log.segments import segments_of
from tests.serve.log.scenes import ids_in, opened, said, say
from tests.serve.scenes import record, register


@pytest.fixture(params=["plain", "sealed"])
def late(request: pytest.FixtureRequest, project: Path) -> Iterator[Home]:
    """A home with the log of a deployment `late`, in the open or encrypted: a segment, and a journal."""
    with open_home(project, actor=Actor("ada", "owner")) as home:
        register(home)
        record(home, 1)
        if request.param == "sealed":
            make_key(own_folder(home))
        say(home, said("a", "b"))
        seal(home, "late")
        say(home, said("c"), said("d"))
        yield home


def own_folder(home: Home) -> Path:
    assert home.folder is not None
    return home.folder


def problems(home: Home, *, quick: bool = False) -> list[tuple[str, str]]:
    return sorted((one.kind, one.subject) for one in check_home(home, quick=quick).problems)


def journal(home: Home) -> Path:
    (path,) = journals_in(log_place(home).folder / "late")
    return path


def object_of(home: Home) -> Path:
    with home.meta.read() as tx:
        (segment,) = segments_of(tx, "late")
    (path,) = [
        one for one in (own_folder(home) / "objects").rglob("*") if segment.oid.endswith(one.name) and one.is_file()
    ]
    return path


# fsck


def test_a_whole_log_is_silent(late: Home):
    assert problems(late) == problems(late, quick=True) == []
    log = opened(late)
    log.append(said("e"))
    assert problems(late) == []  # While somebody writes.
    log.close()


def test_an_object_that_is_gone_or_damaged_is_told_once_of_its_segment(late: Home):
    path = object_of(late)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert problems(late) == [("damaged", "segment:late@1")]
    assert problems(late, quick=True) == []
    path.unlink()
    assert problems(late) == problems(late, quick=True) == [("missing", "segment:late@1")]


def test_a_place_of_a_journal_that_cannot_be_read_is_told(late: Home):
    path = journal(late)
    data = bytearray(path.read_bytes())
    data[HEAD.size + 3] ^= 1
    path.write_bytes(data)
    assert problems(late, quick=True) == [("damaged", f"journal:late/{path.name}")]
    assert sorted(ids_in(late)) == ["a", "b", "d"]
    seal(late, "late")
    assert problems(late) == [("damaged", f"journal:late/{path.stem}.damaged")]


def test_a_tail_that_a_kill_tore_is_no_damage(late: Home):
    path = journal(late)
    path.write_bytes(path.read_bytes()[:-5])
    assert problems(late) == []
    assert sorted(ids_in(late)) == ["a", "b", "c"]


def test_a_key_that_is_gone_is_told_of_all_that_it_opens(late: Home):
    key = own_folder(late) / HOME_KEY
    if not key.exists():
        pytest.skip("this log is in the open")
    key.rename(key.with_suffix(".away"))
    assert problems(late) == problems(late, quick=True) == [("damaged", "journals:late"), ("damaged", "segment:late@1")]


def test_rows_that_a_segment_does_not_have_are_told(late: Home):
    with late.meta.transaction() as tx:
        tx.execute("UPDATE prediction_segment SET row_count = 3")
    assert problems(late, quick=True) == []
    (found,) = check_home(late).problems
    assert (found.kind, found.subject, found.text) == (
        "damaged", "segment:late@1", "it has 2 rows, and 3 are recorded",
    )  # fmt: skip


def test_journals_of_a_deployment_that_never_was_are_told_and_left(late: Home):
    folder = log_place(late).folder
    (folder / "late").rename(folder / "other")
    found = problems(late, quick=True)
    assert ("orphan", "journals:other") in found
    assert collect(late).sealed == 0
    assert len(journals_in(folder / "other")) == 1


# gc


def test_gc_seals_journals_that_nobody_writes_and_keeps_each_answer(late: Home):
    log = opened(late)
    log.append(said("e"))
    assert collect(late, dry_run=True).sealed == 0
    assert collect(late, grace_ms=0).sealed == 2
    assert len(journals_in(log_place(late).folder / "late")) == 1
    log.close()
    assert (collect(late, grace_ms=0).sealed, collect(late, grace_ms=0).sealed) == (1, 0)
    assert journals_in(log_place(late).folder / "late") == []
    assert sorted(ids_in(late)) == ["a", "b", "c", "d", "e"]
    assert problems(late) == []


def test_gc_removes_an_object_that_no_segment_names(late: Home):
    with late.meta.transaction() as tx:
        tx.execute("DELETE FROM prediction_segment")
    assert collect(late, grace_ms=0).objects == 1
    assert sorted(ids_in(late)) == ["c", "d"]


# A backup


def test_a_home_moves_with_all_that_was_answered(late: Home, tmp_path: Path):
    log = opened(late)
    log.append(said("e"))
    log_labels(late, "late", {"a.0": 1.0, "e.0": 0.0})
    back_up(late, tmp_path / "backup")
    log.append(said("f"))
    log.close()
    folder = make_folder(tmp_path / "again")
    if (key := own_folder(late) / HOME_KEY).exists():
        (folder / HOME_KEY).write_bytes(key.read_bytes())
        (folder / HOME_KEY).chmod(0o600)
    with open_home(folder.parent, actor=Actor("ada", "owner")) as again:
        restore(again, tmp_path / "backup")
        assert sorted(ids_in(again)) == ["a", "b", "c", "d", "e"]
        assert sorted(labelled_rows(again, "late").ids) == ["a.0", "e.0"]
        assert problems(again) == []
        say(again, said("g"))
        seal(again, "late")
        assert sorted(ids_in(again)) == ["a", "b", "c", "d", "e", "g"]
    assert sorted(ids_in(late)) == ["a", "b", "c", "d", "e", "f"]


def test_a_backup_waits_for_whoever_seals(late: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keeping, "PAUSE_S", 0.001)
    with _alone(log_place(late).folder / "late") as is_ours:
        assert is_ours
        with pytest.raises(Unavailable, match="is not sealed after 0 s"):
            seal_until_now(late, patience_s=0.05)
        waits = threading.Thread(target=seal_until_now, args=(late,))
        waits.start()
        waits.join(0.1)
        assert waits.is_alive()
    waits.join(10.0)
    assert not waits.is_alive()
    with late.meta.read() as tx:
        assert sum(one.facts.rows for one in segments_of(tx, "late")) == 4
