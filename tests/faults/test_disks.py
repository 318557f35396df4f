"""Full and read-only disks, real ones: what was acknowledged stays, what was not is told, and room cures it."""

import io
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.data import add_dataset, list_datasets
from taut.errors import Denied, TautError, Unavailable
from taut.govern import check_home
from taut.ground.ledger import verify_ledger
from taut.ground.objects import connect_objects, oid_of, read_object
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.runs import create_run, search_runs
from tests.faults.disks import fill, make_read_only, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


def write_until_full(home: Home) -> int:
    """Create runs until the disk says no; returns how many were acknowledged."""
    made = 0
    with pytest.raises(Unavailable) as told:
        while made < 100_000:
            create_run(home, name="x" * 2000)
            made += 1
    assert "df -h" in told.value.hint
    return made


def test_a_full_disk_is_told_and_what_was_acknowledged_before_is_there(disk):
    make_folder(disk)
    with open_home(disk) as home:
        made = write_until_full(home)
        assert made > 0
        found = search_runs(home, limit=1)
        assert len(found) == 1
        with home.meta.read() as tx:
            assert tx.row("SELECT count(*) FROM run") == (made,)
            assert list(verify_ledger(tx)) == []


def test_room_made_is_enough_to_go_on(disk):
    make_folder(disk)
    with open_home(disk) as home:
        create_run(home, name="before")
        ballast = fill(disk)
        with pytest.raises(Unavailable):
            for _ in range(1000):
                create_run(home, name="x" * 2000)
        ballast.unlink()
        after = create_run(home, name="after")
        assert check_home(home).problems == ()
    with open_home(disk) as home:
        assert after.id in {run.id for run in search_runs(home, limit=2000)}


def test_an_object_that_does_not_fit_leaves_no_part_of_itself(disk):
    objects = connect_objects(f"file://{disk / 'objects'}")
    kept = objects.put(io.BytesIO(b"fits"))
    with pytest.raises(Unavailable, match="No space left") as told:
        objects.put(io.BytesIO(os.urandom(8 << 20)))
    assert "df -h" in told.value.hint
    assert list(objects.list()) == [kept]
    assert list((disk / "objects" / "tmp").iterdir()) == []
    assert read_object(objects, kept) == b"fits"
    again = os.urandom(1 << 20)
    assert read_object(objects, objects.put(io.BytesIO(again))) == again


def test_a_dataset_that_does_not_fit_is_no_version(disk):
    make_folder(disk)
    (disk / "big.csv").write_bytes(b"a,b\n" + b"1,2\n" * 400_000)
    with open_home(disk) as home:
        with pytest.raises(TautError):
            add_dataset(home, disk / "big.csv")
        assert list_datasets(home) == []
        assert check_home(home).problems == ()


def test_a_read_only_disk_is_denied_and_not_a_traceback(disk):
    make_folder(disk)
    with open_home(disk) as home:
        create_run(home, name="before")
    make_read_only(disk)
    with pytest.raises(Denied) as told:
        open_home(disk)
    assert "ls -ld" in told.value.hint


def test_a_disk_that_turned_read_only_takes_no_object_and_still_gives_them(disk):
    make_folder(disk)
    with open_home(disk) as home:
        create_run(home, name="before")
    # A disk cannot turn read-only under files that are open for writing, so the rows are closed before.
    objects = connect_objects(f"file://{disk / '.taut' / 'objects'}")
    oid = objects.put(io.BytesIO(b"before"))
    make_read_only(disk)
    with pytest.raises(Denied, match="Read-only file system"):
        objects.put(io.BytesIO(b"after"))
    assert read_object(objects, oid) == b"before"
    with pytest.raises(Denied):
        connect_objects(f"file://{disk / 'elsewhere'}")


LIMITED = """
import resource, sys
from taut.errors import TautError
from taut.home import open_home
from taut.runs import create_run
with open_home(sys.argv[1]) as home:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
    for number in range(100_000):
        try:
            print(create_run(home, name="x" * 2000).id, flush=True)
        except TautError as error:
            sys.exit(error.exit_status)
"""


def test_a_file_that_may_not_grow_is_unavailable_to_one_process_and_whole_for_the_next(project: Path):
    limit = str(1 << 20)
    ended = subprocess.run([sys.executable, "-c", LIMITED, str(project), limit], capture_output=True, text=True)
    assert ended.returncode == Unavailable.exit_status, ended.stderr
    acknowledged = set(ended.stdout.split())
    assert acknowledged
    with open_home(project) as home:
        with home.meta.read() as tx:
            assert {str(id) for (id,) in tx.rows("SELECT id FROM run")} == acknowledged
        assert check_home(home).problems == ()
        create_run(home, name="after")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody may look into, as those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


FORBIDDEN = """
import io, os, sys
from taut.errors import TautError
from taut.ground.objects import connect_objects, local, read_object
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    objects = connect_objects("file://" + sys.argv[1])
    if sys.argv[2] == "put":
        objects.put(io.BytesIO(b"new"))
    else:
        read_object(objects, sys.argv[2])
except TautError as error:
    print(error.kind, error.hint)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming somebody without permissions takes root")
@pytest.mark.parametrize("deed", ["put", "read"])
def test_a_store_of_somebody_else_is_denied(open_folder, deed):
    store = open_folder / "objects"
    oid = connect_objects(f"file://{store}").put(io.BytesIO(b"secret"))
    (store / oid[:2] / oid[2:]).chmod(0o400)
    word = "put" if deed == "put" else oid
    ended = subprocess.run([sys.executable, "-c", FORBIDDEN, str(store), word], capture_output=True, text=True)
    assert ended.stdout.startswith("Denied ls -l"), (ended.stdout, ended.stderr)
    assert list(connect_objects(f"file://{store}").list()) == [oid_of(b"secret")]


def test_a_limit_of_open_files_is_told_as_ours(project: Path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open_home(project) as home:
        highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        held = []
        try:
            while True:
                try:
                    held.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    break
            with pytest.raises(TautError):
                search_runs(home)
        finally:
            for descriptor in held:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert search_runs(home) == []
