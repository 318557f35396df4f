"""`taut data gc`: what nothing names leaves, and what a version, a pointer or a kept commit names never does."""

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from taut.data.exchange.prune import Kept, prune
from taut.data.exchange.transfer import pull, push
from taut.data.remotes.config import add_remote, places_of
from taut.data.remotes.folder import FolderRemote
from taut.data.workspace.add import add_dataset
from taut.data.workspace.cache import Cache
from taut.data.workspace.opened import Workspace
from taut.data.workspace.repository import repository_of
from taut.errors import NotFound, Refused
from taut.ground.settings import make_folder
from taut.home import open_home


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of git and DVC with a file and a folder, and a remote; no taut project."""
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level))
    folder = tmp_path / "repository"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("")
    (folder / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    add_remote(places_of(str(folder), ""), "store", str(tmp_path / "store"), default=True)
    return folder


def keep(folder: Path, name: str, *contents: str) -> None:
    """Have a folder `name` with these files in cache and pointer, as DVC's add leaves it."""
    from taut.data.workspace.digests import listing_bytes

    cache = Cache(folder / ".dvc" / "cache")
    files = [(f"{at}.txt", cache.put_bytes(text.encode())) for at, text in enumerate(contents)]
    md5 = cache.put_bytes(listing_bytes(files), ".dir")
    pointer = f"outs:\n- md5: {md5}\n  size: 1\n  nfiles: {len(files)}\n  hash: md5\n  path: {name}\n"
    (folder / f"{name}.dvc").write_text(pointer)


def commit(folder: Path) -> None:
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "more")


def held(folder: Path) -> int:
    return len(list(FolderRemote(folder).listed()))


def test_what_commits_name_stays_as_far_as_it_is_asked(repository, tmp_path):
    cache = repository / ".dvc" / "cache"
    for number, tag in ((1, ""), (2, "v2"), (3, "")):
        keep(repository, "data", "same", f"version {number}")
        commit(repository)
        if tag:
            git(repository, "tag", tag)
    git(repository, "branch", "old", "HEAD~2")
    keep(repository, "data", "same", "version 4")
    push(repository)
    assert held(cache) == 1 + 4 * 2
    plan = prune(None, repository, Kept(), dry_run=True)
    assert (plan.files, plan.kept, held(cache)) == (6, 3, 9)
    assert prune(None, repository, Kept(all_commits=True)).files == 0
    assert prune(None, repository, Kept(all_branches=True, all_tags=True)).files == 0
    assert prune(None, repository, Kept(all_branches=True)).files == 2
    assert prune(None, repository, Kept()).files == 4
    assert held(cache) == 3
    assert (pull(repository).files, (repository / "data" / "1.txt").read_text()) == (0, "version 4")


def test_a_remote_is_cleaned_only_when_it_is_named(repository, tmp_path):
    keep(repository, "data", "one")
    push(repository)
    keep(repository, "data", "two")
    push(repository)
    prune(None, repository, Kept())
    assert held(tmp_path / "store") == 4
    assert prune(None, repository, Kept(), cloud=True, dry_run=True).remote_files == 2
    pruned = prune(None, repository, Kept(), cloud=True)
    assert (pruned.remote, pruned.remote_files, held(tmp_path / "store")) == ("store", 2, 2)
    assert push(repository).files == 0


def test_a_list_that_is_nowhere_stops_it_and_one_on_the_remote_is_fetched(repository, tmp_path):
    keep(repository, "data", "one", "two")
    push(repository)
    cache = Cache(repository / ".dvc" / "cache")
    listing = next(name for name in FolderRemote(cache.folder).listed() if name.endswith(".dir"))
    for cloud in (True, False):
        os.unlink(cache.path_of(listing))
        assert prune(None, repository, Kept(), cloud=cloud).files == 0
        assert cache.has(listing)
    os.unlink(cache.path_of(listing))
    FolderRemote(tmp_path / "store").delete([listing])
    with pytest.raises(NotFound, match=listing):
        prune(None, repository, Kept())
    assert held(cache.folder) == 2
    assert prune(None, repository, Kept(), skip_lost=True).files == 2


def test_what_dvc_counts_is_kept_and_no_more(repository, tmp_path):
    """Digests of dependencies, of stages that are gone and of outs without a cache keep nothing; imports are kept."""
    cache = Cache(repository / ".dvc" / "cache")
    made = {name: cache.put_bytes(name.encode()) for name in ("dep", "out", "gone", "uncached", "import")}
    (repository / "dvc.yaml").write_text("stages:\n  one: {cmd: x, outs: [out, {uncached: {cache: false}}]}\n")
    entry = "  - {{path: {0}, hash: md5, md5: {1}}}\n"
    outs = "".join(f"    {entry.format(name, made[name])}" for name in ("out", "uncached"))
    (repository / "dvc.lock").write_text(
        f"schema: '2.0'\nstages:\n  one:\n    cmd: x\n"
        f"    deps:\n    {entry.format('dep', made['dep'])}    outs:\n{outs}"
        f"  old:\n    cmd: x\n    outs:\n    {entry.format('gone', made['gone'])}"
    )
    (repository / "i.dvc").write_text(
        "deps:\n- path: i\n  repo: {url: /nowhere, rev_lock: abc}\n"
        f"outs:\n- {{md5: {made['import']}, hash: md5, path: i}}\n"
    )
    assert prune(None, repository, Kept()).files == 3
    assert cache.missing(made.values()) == {made[name] for name in ("dep", "gone", "uncached")}
    (repository / "broken.dvc").write_text(f"outs: {made['out']}\n")
    stray = cache.put_bytes(b"named by what cannot be read")
    (repository / "broken.dvc").write_text(f"outs: {made['out']} {stray}\n")
    assert prune(None, repository, Kept()).files == 0
    (repository / "broken.dvc").unlink()
    assert prune(None, repository, Kept()).files == 1


def test_each_remote_keeps_what_belongs_there(repository, tmp_path):
    add_remote(places_of(str(repository), ""), "own", str(tmp_path / "own"))
    for name in ("here", "there"):
        keep(repository, name, f"of {name}")
    push(repository)
    push(repository, remote="own")
    with (repository / "there.dvc").open("a") as stream:
        stream.write("  remote: OWN\n")
    pruned = prune(None, repository, Kept(), cloud=True)
    assert (pruned.files, pruned.remote_files) == (0, 4)
    assert [held(tmp_path / name) for name in ("store", "own")] == [2, 2]
    assert push(repository).files == 0


def test_a_cache_of_several_projects_is_left_alone_until_they_are_named(repository, tmp_path):
    shared = tmp_path / "shared"
    with (repository / ".dvc" / "config").open("a") as stream:
        stream.write(f"[cache]\ndir = {shared}\n")
    found = repository_of(str(repository))
    assert found is not None
    stray = found.cache().put_bytes(b"of another project")
    with pytest.raises(Refused):
        prune(None, repository, Kept())
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.dvc").write_text(f"outs:\n- md5: {stray}\n  path: x\n")
    assert prune(None, repository, Kept(projects=(other,))).files == 0
    (other / "x.dvc").unlink()
    assert prune(None, repository, Kept(projects=(other,))).files == 0  # It is young: somebody may be about to name it.


def test_versions_of_the_home_are_kept_without_a_pointer(tmp_path, migrated_sqlite):
    folder = tmp_path / "project"
    folder.mkdir()
    make_folder(folder)
    with open_home(folder) as home:
        (folder / "data").mkdir()
        for number in range(3):
            (folder / "data" / "x.txt").write_text(str(number))
            add_dataset(home, folder / "data")
        stray = Cache(folder / ".taut" / "cache").put_bytes(b"nobody's")
        (folder / "data.dvc").unlink()
        pruned = prune(home, folder, Kept())
        assert (pruned.files, pruned.kept) == (1, 6)
        assert not Cache(folder / ".taut" / "cache").has(stray)


def test_it_waits_for_an_add_that_is_under_way(tmp_path):
    make_folder(tmp_path)
    cache = Cache(tmp_path / ".taut" / "cache")
    workspace = Workspace(str(tmp_path), None, cache)
    digest, done = cache.put_bytes(b"about to be named"), threading.Event()

    def collect() -> None:
        prune(None, tmp_path, Kept())
        done.set()

    thread = threading.Thread(target=collect)
    with workspace.locked(tmp_path):
        thread.start()
        assert not done.wait(0.2)
        (tmp_path / "x.dvc").write_text(f"outs:\n- md5: {digest}\n  hash: md5\n  path: x\n")
    thread.join(30)
    assert done.is_set()
    assert cache.has(digest)


@pytest.mark.slow
def test_a_gc_that_is_killed_leaves_all_that_is_named(repository):
    """Whatever was removed before, it is whole: lists go first, and the repeated command ends it."""
    for number in range(20):
        keep(repository, "data", *(f"{number} {at}" for at in range(50)))
    program = (
        "import os, sys, pathlib\n"
        "from taut.data.exchange import prune\n"
        "left = [int(sys.argv[1])]\n"
        "real = prune._unlink\n"
        "def unlink(path):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0: os.kill(os.getpid(), 9)\n"
        "    real(path)\n"
        "prune._unlink = unlink\n"
        "prune.prune(None, pathlib.Path.cwd(), prune.Kept())\n"
    )
    import sys

    for after in (5, 100):
        died = subprocess.run([sys.executable, "-c", program, str(after)], cwd=repository, check=False)
        assert died.returncode == -9
        for name in [name for name in FolderRemote(repository / ".dvc" / "cache").listed() if name.endswith(".dir")]:
            assert name in (repository / "data.dvc").read_text() or after == 5
    assert prune(None, repository, Kept()).files > 0
    assert held(repository / ".dvc" / "cache") == 51
    started = time.monotonic()
    pull(repository)
    assert len(list((repository / "data").iterdir())) == 50, started
