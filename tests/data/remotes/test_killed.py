"""Push, fetch and pull killed at any moment, or on a full disk: cache, remote and workspace stay whole."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taut.data.exchange.transfer import pull, push
from taut.data.remotes.folder import FolderRemote
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import HEX, file_digest, listing_bytes
from taut.errors import Unavailable
from tests.faults.disks import small_disk

PROGRAM = """
import os, pathlib, sys
from taut.data.exchange import transfer
from taut.data.workspace import bulk
bulk.native = None  # What the C module calls is not seen here.
name, after = sys.argv[1], int(sys.argv[2])
calls = [0]
def count(frame, event, function):
    if event == "c_call" and getattr(function, "__name__", "") in ("rename", "write", "open", "mkdir"):
        calls[0] += 1
        if calls[0] == after:
            os.kill(os.getpid(), 9)
import threading
threading.setprofile(count)
sys.setprofile(count)
getattr(transfer, name)(pathlib.Path.cwd())
"""


@pytest.fixture
def repository(with_store: Path) -> Path:
    folder = with_store
    cache = Cache(folder / ".dvc" / "cache")
    files = [(f"{at:02}.txt", cache.put_bytes(f"file {at}".encode() * 100)) for at in range(40)]
    md5 = cache.put_bytes(listing_bytes(files), ".dir")
    (folder / "data.dvc").write_text(f"outs:\n- md5: {md5}\n  nfiles: 40\n  hash: md5\n  path: data\n")
    return folder


def require_whole(folder: Path) -> None:
    """Every name has the bytes that it promises."""
    names = Cache(folder)
    for digest in FolderRemote(folder).listed():
        assert file_digest(names.path_of(digest)).md5 == digest[:HEX]


def killed(folder: Path, name: str, after: int) -> bool:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name, str(after)], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode in (0, -9), done.stderr.decode()
    return done.returncode == -9


@pytest.mark.slow
def test_a_push_that_is_killed_anywhere_is_ended_by_the_next(repository, tmp_path):
    died = sum(killed(repository, "push", after) for after in (3, 60, 110, 150, 170))
    assert died >= 3
    require_whole(tmp_path / "store")
    push(repository)
    require_whole(tmp_path / "store")
    assert len(list(FolderRemote(tmp_path / "store").listed())) == 41
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["files"]


@pytest.mark.slow
def test_a_pull_that_is_killed_anywhere_is_ended_by_the_next(repository, tmp_path):
    push(repository)
    cache = repository / ".dvc" / "cache"
    subprocess.run(["rm", "-r", str(cache)], check=True)
    died = sum(killed(repository, "pull", after) for after in (3, 40, 60, 90, 110, 130))
    assert died >= 3
    require_whole(cache)
    pull(repository)
    require_whole(cache)
    assert len(list((repository / "data").iterdir())) == 40
    assert sorted(name for name in os.listdir(repository) if "taut" in name) == []


def seen(folder: Path) -> int:
    """How many files lie in what is staged in or beside a folder, at this moment."""
    return sum(len(names) for left in folder.glob(".*taut-*") for _, _, names in os.walk(left))


def stopped(repository: Path, name: str, staged: Path, files: int, how: signal.Signals) -> int:
    """Push or pull, with the C module, and be stopped when so many files are staged; the exit status."""
    command = [sys.executable, "-m", "taut", "data", name]
    with subprocess.Popen(command, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and seen(staged) < files:
            pass
        process.send_signal(how)
        return process.wait(60)


def filled(repository: Path, files: int) -> None:
    """Have that many files in the cache, as a folder."""
    cache = Cache(repository / ".dvc" / "cache")
    with cache.filling(files) as filling:
        listed = [(f"{at % 10}/{at}.txt", filling.put_bytes(f"file {at}".encode() * 100)) for at in range(files)]
        md5 = filling.put_bytes(listing_bytes(listed), ".dir")
    (repository / "data.dvc").write_text(f"outs:\n- md5: {md5}\n  nfiles: {files}\n  hash: md5\n  path: data\n")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_push_and_a_pull_by_the_c_module_are_stopped_anywhere(repository, tmp_path, how):
    files, store, cache = 2_000, tmp_path / "store", repository / ".dvc" / "cache"
    filled(repository, files)
    ends = set[int]()
    for at in (1, 900, 1_900):
        ends.add(stopped(repository, "push", store, at, how))
        require_whole(store)
    push(repository)
    require_whole(store)
    assert len(list(FolderRemote(store).listed())) == files + 1
    assert [path.name for path in store.iterdir()] == ["files"]
    subprocess.run(["rm", "-r", str(cache)], check=True)
    for place, at in ((repository, 1), (cache, 900), (repository, 1_900)):
        ends.add(stopped(repository, "pull", place, at, how))
        require_whole(cache)
    pull(repository)
    require_whole(cache)
    assert sum(len(names) for _, _, names in os.walk(repository / "data")) == files
    assert [name for name in (*os.listdir(repository), *os.listdir(cache)) if "taut-" in name] == []
    assert ends & {-how, 130}, "none was stopped on its way"


def test_a_full_remote_is_told_and_has_no_half(repository, tmp_path, kind):
    with small_disk(tmp_path / "store", "100k"):
        with pytest.raises(Unavailable, match="No space left"):
            push(repository)
        require_whole(tmp_path / "store")
        assert [name for name in os.listdir(tmp_path / "store") if name.startswith(".taut")] == []
        subprocess.run(["mount", "-o", "remount,size=3m", str(tmp_path / "store")], check=True)
        push(repository)
        require_whole(tmp_path / "store")
        assert len(list(FolderRemote(tmp_path / "store").listed())) == 41


def test_a_full_workspace_is_told_and_the_next_pull_ends_it(repository, tmp_path, kind):
    push(repository)
    with small_disk(tmp_path / "small", "200k") as disk:
        subprocess.run(["cp", "-r", f"{repository}/data.dvc", f"{repository}/.dvc", str(disk)], check=False)
        subprocess.run(["rm", "-r", f"{disk}/.dvc/cache"], check=True)
        with pytest.raises(Unavailable, match="No space left"):
            pull(disk)
        assert not (disk / "data").exists()
        assert list(disk.rglob(".*taut-*")) == []
        require_whole(disk / ".dvc" / "cache")
        subprocess.run(["mount", "-o", "remount,size=3m", str(disk)], check=True)
        pull(disk)
        assert len(list((disk / "data").iterdir())) == 40
        require_whole(disk / ".dvc" / "cache")
