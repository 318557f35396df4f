"""Backups under load, restored elsewhere: whole, verified, all or nothing, between SQLite and PostgreSQL."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taut.data import add_dataset, checkout_dataset
from taut.errors import Conflict, Corrupt, Denied, NotFound, UsageError
from taut.govern import check_home, collect, create_project
from taut.govern.backup import MANIFEST, OBJECTS_LIST, back_up, read_manifest, restore
from taut.ground.access import Actor, Project
from taut.ground.ledger import events
from taut.ground.meta.dump import tables_in
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from taut.runs import MetricPoint, all_artifacts, create_run, delete_run, log_batch, put_artifact, run_root, search_runs
from tests.faces.shell import is_two_lines, taut
from tests.parts import eventually


def filled(home: Home, *, runs: int = 3, at: int = 0) -> None:
    """Some of everything that has bytes, odd numbers and odd letters."""
    for number in range(at, at + runs):
        run = create_run(home, run_id=f"run{number}", name="Zoë \U0001f600 'quoted'")
        for start in (0, 900):
            log_batch(
                home, run.id, metrics=[MetricPoint("loss", step / 7, step, step) for step in range(start, start + 900)]
            )
        points = [MetricPoint("odd", value, 0, 0) for value in (float("inf"), -float("inf"), 1e-310, 2.0**53 + 2)]
        points.append(MetricPoint("nan", None, 0, 0))
        log_batch(home, run.id, metrics=points, params={"p": "ü\n\t\\"}, tags={"t": str(number)})
        for name in ("a", "b/c"):
            data = f"{number} {name}".encode() * 1000
            put_artifact(home, run_root("0", run.id), name, home.objects.put(_file(data)), len(data))


def _file(data: bytes) -> io.BytesIO:
    return io.BytesIO(data)


def rows_of(home: Home) -> dict[str, list[str]]:
    """Every row of every table, in an order of their own, but for what a restore adds to the ledger."""
    found: dict[str, list[str]] = {}
    with home.meta.read() as tx:
        for name, columns in tables_in(tx, home.meta.dialect).items():
            if not name.startswith("ledger"):
                rows = tx.rows(f"SELECT {', '.join(sorted(columns))} FROM {name}")
                found[name] = sorted(repr([_plain(cell) for cell in row]) for row in rows)
    return found


def _plain(cell: object) -> object:
    return bytes(cell) if isinstance(cell, bytes | memoryview) else cell


@pytest.fixture
def empty(tmp_path: Path, postgres_database: Callable[[], str]) -> Iterator[Callable[[str], Home]]:
    """Makes an empty home of a dialect."""
    opened: list[Home] = []

    def make(dialect: str) -> Home:
        folder = tmp_path / f"empty{len(opened)}"
        folder.mkdir()
        make_folder(folder, Settings(metadata=postgres_database() if dialect == "postgresql" else ""))
        opened.append(open_home(folder))
        return opened[-1]

    yield make
    for home in opened:
        home.close()


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_what_is_restored_is_what_was_there_whatever_the_databases(home: Home, tmp_path: Path, empty, into: str):
    filled(home)
    made = back_up(home, tmp_path / "copy")
    other = empty(into)
    assert restore(other, tmp_path / "copy") == made == read_manifest(tmp_path / "copy")
    assert rows_of(other) == rows_of(home)
    assert set(other.objects.list()) == set(home.objects.list())
    assert check_home(other).problems == ()
    with other.meta.read() as tx, home.meta.read() as theirs:
        entries, before = events(tx), events(theirs)
    assert entries[: len(before)] == before
    assert [entry.kind for entry in entries[len(before) :]] == ["home.restored"]
    filled(other, at=3)  # It goes on where it was.
    assert check_home(other).problems == ()


def test_a_backup_under_load_is_of_one_moment_and_loses_nothing_that_was_told_before(home: Home, tmp_path: Path, empty):
    over, told, problems = threading.Event(), list[str](), list[BaseException]()

    def write(name: str) -> None:
        number = 0
        while not over.is_set():
            try:
                run = create_run(home, run_id=f"{name}{number}")
                data = os.urandom(2000)
                put_artifact(home, run_root("0", run.id), "x", home.objects.put(_file(data)), len(data))
                log_batch(home, run.id, metrics=[MetricPoint("m", 1.0, 0, 0)], params={"a": "b"})
            except BaseException as problem:  # noqa: BLE001  # The edge of this thread.
                problems.append(problem)
                return
            told.append(run.id)
            number += 1

    crowd = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for one in crowd:
        one.start()
    eventually(lambda: len(told) > 30 or problems, what="the writers")
    before = list(told)
    back_up(home, tmp_path / "copy")
    assert len(told) > len(before), "nobody wrote meanwhile"
    over.set()
    for one in crowd:
        one.join()
    assert problems == []
    other = empty("sqlite")
    restore(other, tmp_path / "copy")
    assert check_home(other).problems == ()
    for run in before:
        assert [file.path for file in all_artifacts(other, run_root("0", run))] == ["x"]
    with other.meta.read() as tx:
        halves = tx.rows("SELECT run_id FROM param WHERE run_id NOT IN (SELECT run_id FROM series)")
    assert halves == []


def test_nothing_is_restored_over_something_and_nothing_saved_over_another_backup(home: Home, tmp_path: Path, empty):
    filled(home, runs=1)
    back_up(home, tmp_path / "copy")
    for where in (home, empty("sqlite")):
        if where is not home:
            create_run(where)
        before = rows_of(where)
        with pytest.raises(Conflict, match="already"):
            restore(where, tmp_path / "copy")
        assert rows_of(where) == before
    with pytest.raises(Conflict, match="backup already"):
        back_up(home, tmp_path / "copy")
    with pytest.raises(Conflict, match="other things"):
        back_up(home, home.project)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a table": lambda copy: flip(copy / "rows" / "run"),
    "no table": lambda copy: (copy / "rows" / "param").unlink(),
    "an object": lambda copy: flip(next(file for file in (copy / "objects").rglob("*") if len(file.name) == 62)),
    "no object": lambda copy: next(file for file in (copy / "objects").rglob("*") if len(file.name) == 62).unlink(),
    "the list": lambda copy: (copy / OBJECTS_LIST).write_text(""),
}


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_backup_is_not_restored_in_part(home: Home, tmp_path: Path, empty, damage: Callable[[Path], object]):
    filled(home, runs=1)
    back_up(home, tmp_path / "copy")
    damage(tmp_path / "copy")
    other = empty(home.meta.dialect)
    with pytest.raises(Corrupt):
        restore(other, tmp_path / "copy")
    with other.meta.read() as tx:
        assert tx.rows("SELECT id FROM run") == [] and tx.rows("SELECT seq FROM ledger") == []


def test_what_is_no_backup_or_not_ours_to_take_is_told_so(home: Home, tmp_path: Path, empty):
    with pytest.raises(NotFound):
        restore(empty("sqlite"), tmp_path)
    for role in ("viewer", "data-scientist", "project-admin", "auditor"):
        with pytest.raises(Denied, match="server:admin"):
            back_up(home.as_actor(Actor("vera", role)), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    back_up(home, tmp_path / "copy")
    written = json.loads((tmp_path / "copy" / MANIFEST).read_text())
    (tmp_path / "copy" / MANIFEST).write_text(json.dumps({**written, "migration": 1, "taut": "0.0.1"}))
    with pytest.raises(Conflict) as other:
        restore(empty("sqlite"), tmp_path / "copy")
    assert "taut==0.0.1" in other.value.hint
    with open_home("http://127.0.0.1:1") as far, pytest.raises(UsageError):
        back_up(far, tmp_path / "far")


def killed(folder: Path, *words: str, when: Callable[[], bool]) -> None:
    """Run a command of taut and kill it in the middle."""
    process = subprocess.Popen([sys.executable, "-m", "taut", *words], cwd=folder, stderr=subprocess.PIPE)
    try:
        eventually(lambda: when() or process.poll() is not None, what="the middle")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL, "it was done before it could be killed"
    finally:
        process.kill()
        process.wait()


def test_a_backup_and_a_restore_that_were_killed_may_be_begun_again(project: Path, tmp_path: Path):
    with open_home(project) as home:
        filled(home)
        for number in range(1500):
            put_artifact(home, run_root("0", "run0"), f"n{number}", home.objects.put(_file(b"%d" % number)), 4)
    copy, again = tmp_path / "copy", tmp_path / "again"
    killed(project, "backup", str(copy), when=lambda: objects_in(copy / "objects") > 20)
    assert taut(tmp_path, "restore", str(copy), "--to", str(again)).status == 10
    assert not again.exists()
    assert taut(project, "backup", str(copy)).status == 0
    killed(tmp_path, "restore", str(copy), "--to", str(again), when=lambda: objects_in(again / ".taut/objects") > 20)
    with open_home(again) as home, home.meta.read() as tx:
        assert tx.rows("SELECT id FROM run") == []
    done = taut(tmp_path, "restore", str(copy), "--to", str(again), "--json")
    assert done.status == 0, done.err
    assert taut(again, "fsck").status == 0
    with open_home(again) as home:
        assert len(all_artifacts(home, run_root("0", "run0"))) == 1502
    over = taut(tmp_path, "restore", str(copy), "--to", str(again))
    assert (over.status, is_two_lines(over)) == (11, True)


def objects_in(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(len(list(one.iterdir())) for one in folder.iterdir() if len(one.name) == 2)
    return 0


def test_a_backup_goes_to_another_database_and_a_bucket_by_name(
    project: Path, tmp_path: Path, postgres_url: str, s3_url: str
):
    with open_home(project) as home:
        filled(home, runs=1)
    assert taut(project, "backup", str(tmp_path / "copy")).status == 0
    words = ["restore", str(tmp_path / "copy"), "--to", str(tmp_path / "big"), "--metadata", postgres_url]
    done = taut(tmp_path, *words, "--objects", s3_url)
    assert done.status == 0, done.err
    checked = taut(tmp_path / "big", "fsck", "--json")
    assert checked.status == 0 and checked.json["objects"] == 2
    assert not list((tmp_path / "big" / ".taut").rglob("meta.db"))


# Projects


AGES_MS = 10**13  # The clock of a test may stand long before the times of files.


@pytest.fixture
def projects(home: Home) -> dict[str, Project]:
    """Two projects with a run each, under the same name and id, and one in `default`."""
    made = {name: create_project(home, name) for name in ("churn", "fraud")}
    filled(home)
    for number, project in enumerate(made.values(), 1):
        with home.entered(project) as inner:
            filled(inner, runs=number)
    return made


def runs_of(home: Home) -> dict[str, int]:
    return {one.project_name: len(search_runs(one)) for one in home.everywhere()}


@pytest.mark.parametrize("to", ["sqlite", "postgresql"])
def test_projects_are_saved_and_restored_with_their_server(home, projects, to, tmp_path, empty):
    made = back_up(home, tmp_path / "saved")
    assert set(made.projects) == {project.id for project in projects.values()}
    again = empty(to)
    restore(again, tmp_path / "saved")
    assert runs_of(again) == runs_of(home) == {"default": 3, "churn": 1, "fraud": 2}
    found = check_home(again)
    assert found.problems == ()
    assert found.objects == check_home(home).objects == 12


def test_a_restore_that_ended_between_projects_may_be_begun_again(home, projects, tmp_path, empty):
    back_up(home, tmp_path / "saved")
    broken = tmp_path / "saved/projects" / projects["fraud"].id / "rows/run"
    whole = broken.read_bytes()
    broken.write_bytes(b"")
    again = empty("sqlite")
    with pytest.raises(Corrupt):
        restore(again, tmp_path / "saved")
    assert runs_of(again) == {"default": 0}
    broken.write_bytes(whole)
    restore(again, tmp_path / "saved")
    assert runs_of(again) == runs_of(home)
    assert check_home(again).problems == ()


def test_a_project_can_be_saved_alone(home, projects, tmp_path, empty):
    with home.entered(projects["churn"]) as inner:
        assert back_up(inner, tmp_path / "saved").projects == ()
    again = empty("sqlite")
    restore(again, tmp_path / "saved")
    assert runs_of(again) == {"default": 1}


def test_fsck_and_gc_look_at_every_project_and_say_in_which_something_is_wrong(home, projects):
    with home.entered(projects["fraud"]) as inner:
        delete_run(inner, "run0")
        (stored, *_) = [file.oid for file in all_artifacts(inner, run_root("0", "run1"))]
        inner.objects.delete([stored])
    assert [problem.subject.partition(":")[0] for problem in check_home(home).problems] == ["project fraud"]
    with home.entered(projects["churn"]) as inner:
        assert check_home(inner).problems == ()
    before = collect(home, older_than_ms=0, grace_ms=-AGES_MS, dry_run=True)
    gone = collect(home, older_than_ms=0, grace_ms=-AGES_MS)
    assert (before.runs, before.objects) == (gone.runs, gone.objects) == (1, 2)
    assert runs_of(home) == {"default": 3, "churn": 1, "fraud": 1}


def test_content_of_datasets_in_the_homes_own_cache_is_saved_and_restored(project: Path, tmp_path: Path):
    (project / "tree").mkdir()
    for name in ("a", "b"):
        (project / "tree" / name).write_text(name)
    with open_home(project) as home:
        add_dataset(home, project / "tree")
        made = back_up(home, tmp_path / "copy")
        assert (made.cached, made.elsewhere) == (2, 0)
    again = tmp_path / "again"
    make_folder(again)
    with open_home(again) as other:
        restore(other, tmp_path / "copy")
        assert check_home(other).problems == ()
        checkout_dataset(other, "tree")
        assert [(again / "tree" / name).read_text() for name in ("a", "b")] == ["a", "b"]


def test_a_backup_of_datasets_that_was_damaged_is_not_restored(project: Path, tmp_path: Path):
    (project / "x").write_text("x")
    with open_home(project) as home:
        add_dataset(home, project / "x")
        back_up(home, tmp_path / "copy")
    (saved,) = [path for path in (tmp_path / "copy" / "cache").rglob("*") if path.is_file()]
    flip(saved)
    for number, told in enumerate(("other bytes than were stored", "has 0 files of datasets, and had 1")):
        make_folder(tmp_path / str(number))
        with open_home(tmp_path / str(number)) as other, pytest.raises(Corrupt, match=told):
            restore(other, tmp_path / "copy")
        saved.unlink(missing_ok=True)
    with open_home(project) as home:
        (stored,) = [path for path in (project / ".taut" / "cache" / "files").rglob("*") if path.is_file()]
        stored.unlink()
        with pytest.raises(Corrupt, match="the cache has no file"):
            back_up(home, tmp_path / "second")


def test_content_in_the_cache_of_a_dvc_repository_is_counted_and_left_to_dvc(project: Path, tmp_path: Path):
    (project / ".dvc").mkdir()
    (project / ".dvc" / "config").touch()
    (project / "x").write_text("x")
    with open_home(project) as home:
        add_dataset(home, project / "x")
        made = back_up(home, tmp_path / "copy")
    assert (made.cached, made.elsewhere) == (0, 1)
    assert not (tmp_path / "copy" / "cache").exists()
