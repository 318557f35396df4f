"""Git: one patch that makes the commit into the work tree again, and a repository that nobody touched."""

import os
import subprocess
from pathlib import Path

import pytest

from taut.ground.objects import read_object
from taut.home import Home
from taut.runs.capture.git import UNTRACKED_BYTES_MAX, git_state

SETTINGS = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *SETTINGS, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(home: Home) -> Path:
    git(home.project, "init", "--quiet", "--initial-branch", "main")
    (home.project / "train.py").write_text("print(1)\n")
    (home.project / "old.bin").write_bytes(bytes(range(256)))
    git(home.project, "add", ".")
    git(home.project, "commit", "--quiet", "-m", "one")
    return home.project


def everything(folder: Path) -> dict[str, bytes]:
    """Every file of the repository, git's own included."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and ".taut" not in p.parts}


def test_a_clean_work_tree_is_its_commit_and_branch(home: Home, repository: Path):
    state, missing = git_state(home, repository)
    assert state is not None
    assert state.commit == git(repository, "rev-parse", "HEAD").strip()
    assert (state.branch, state.patch, state.changed, state.untracked, missing) == ("main", "", (), (), ())


def test_the_patch_makes_the_commit_into_the_work_tree_again(home: Home, repository: Path, tmp_path: Path):
    (repository / "train.py").write_text("print(2)\n")
    (repository / "old.bin").write_bytes(bytes(reversed(range(256))))
    (repository / "sub").mkdir()
    (repository / "sub" / "new ü.py").write_text("new\n")
    (repository / "new.bin").write_bytes(os.urandom(100))
    git(repository, "add", "new.bin")
    state, _ = git_state(home, repository / "sub")
    assert state is not None
    assert set(state.changed) == {"train.py", "old.bin", "new.bin"}
    assert state.untracked == ("sub/new ü.py",)
    (tmp_path / "patch").write_bytes(read_object(home.objects, state.patch))
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    git(tmp_path / "clone", "apply", str(tmp_path / "patch"))
    for name in ("train.py", "old.bin", "sub/new ü.py", "new.bin"):
        assert (tmp_path / "clone" / name).read_bytes() == (repository / name).read_bytes()


def test_the_repository_is_left_as_it_was(home: Home, repository: Path):
    (repository / "train.py").write_text("print(2)\n")
    (repository / "new.py").write_text("new\n")
    before = everything(repository)
    status = git(repository, "status", "--porcelain")
    before_status = everything(repository)
    git_state(home, repository)
    assert {k: v for k, v in everything(repository).items() if not k.endswith("index")} == {
        k: v for k, v in before.items() if not k.endswith("index")
    }
    assert everything(repository) == before_status
    assert git(repository, "status", "--porcelain") == status


def test_a_users_own_diff_settings_do_not_reach_the_patch(home: Home, repository: Path):
    for key, value in {"diff.noprefix": "true", "color.ui": "always", "diff.external": "false"}.items():
        git(repository, "config", key, value)
    (repository / "train.py").write_text("print(2)\n")
    state, _ = git_state(home, repository)
    assert state is not None
    assert read_object(home.objects, state.patch).startswith(b"diff --git a/train.py b/train.py\n")


def test_before_the_first_commit_the_patch_is_everything(home: Home):
    git(home.project, "init", "--quiet")
    (home.project / "train.py").write_text("print(1)\n")
    state, missing = git_state(home, home.project)
    assert state is not None
    assert (state.commit, state.untracked, missing) == ("", ("train.py",), ())
    assert b"+print(1)" in read_object(home.objects, state.patch)


def test_ignored_files_stay_out_and_a_large_one_is_named(home: Home, repository: Path):
    (repository / ".gitignore").write_text("*.csv\n")
    (repository / "data.csv").write_text("a\n")
    (repository / "huge.bin").write_bytes(bytes(UNTRACKED_BYTES_MAX + 1))
    state, missing = git_state(home, repository)
    assert state is not None
    assert state.untracked == (".gitignore",)
    assert missing == ("1 untracked files, too large or too many for a patch, as huge.bin",)


def test_outside_a_repository_it_says_so(home: Home):
    assert git_state(home, home.project) == (None, ("the code: not a git repository",))


def test_without_git_it_says_so(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(home.project))
    assert git_state(home, home.project) == (None, ("the code: git is not installed",))
