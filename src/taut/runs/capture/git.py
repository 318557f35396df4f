"""Where the code stood: commit, branch, and one patch of all that was not committed, untracked files included."""

import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taut.home import Home
from taut.records import GitState

# An untracked file is code, or data that somebody forgot to ignore: past this it is taken for the latter.
UNTRACKED_BYTES_MAX = 1 << 20
UNTRACKED_FILES_MAX = 1000
TIMEOUT_S = 60.0
# The user's own diff settings must not reach a patch that has to apply anywhere.
DIFF = (
    "diff", "--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Repository:
    """A work tree and git's view of it through an index of our own; `objects` takes what git would otherwise store."""

    top: Path
    environment: dict[str, str]

    def ask(self, *arguments: str, given: bytes = b"") -> bytes:
        """What git answers; empty where it fails, as it does when asked for the commit of a new repository."""
        done = subprocess.run(
            ["git", "-C", str(self.top), *arguments],
            input=given, capture_output=True, env=self.environment, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        return done.stdout if done.returncode == 0 else b""

    def names(self, *arguments: str) -> tuple[str, ...]:
        """The same for a list of paths that git ends with NUL each."""
        return tuple(os.fsdecode(name) for name in self.ask(*arguments).split(b"\0") if name)


def git_state(home: Home, folder: Path) -> tuple[GitState | None, tuple[str, ...]]:
    """The state of the repository around `folder`, its patch stored; and what could not be recorded of it.

    The repository is left as it was: index, objects and work tree. None outside a repository.
    """
    top = _top(folder)
    if isinstance(top, str):
        return None, (top,)
    with tempfile.TemporaryDirectory(prefix="taut-git-") as scratch:
        repository = _Repository(top, _environment(top, Path(scratch)))
        head = repository.ask("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
        branch = repository.ask("symbolic-ref", "--short", "--quiet", "HEAD").decode().strip()
        base = head or repository.ask("hash-object", "-t", "tree", "--stdin").decode().strip()
        changed = repository.names("diff", "--name-only", "-z", base)
        untracked = repository.names("ls-files", "--others", "--exclude-standard", "-z")
        kept, missing = _sifted(top, untracked)
        patch = _patch(repository, base, kept) if changed or kept else b""
    oid = home.objects.put(io.BytesIO(patch)) if patch else ""
    return GitState(head, branch, oid, changed, kept), missing


def _top(folder: Path) -> Path | str:
    """The work tree around the folder, or why there is none."""
    if shutil.which("git") is None:
        return "the code: git is not installed"
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--show-toplevel"],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode == 0 and done.stdout.strip():
        return Path(done.stdout.removesuffix("\n"))
    if "not a git repository" in done.stderr:
        return "the code: not a git repository"
    return f"the code: git said {(done.stderr.strip() or 'nothing').splitlines()[0]!r}"


def _environment(top: Path, scratch: Path) -> dict[str, str]:
    """Git with a copy of the index, and new objects kept away from the repository."""

    def path_of(name: str) -> Path:
        asked = ["git", "-C", str(top), "rev-parse", "--git-path", name]
        found = subprocess.run(asked, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
        return top / found.removesuffix("\n")

    index, objects = scratch / "index", scratch / "objects"
    objects.mkdir()
    if (own := path_of("index")).exists():
        shutil.copyfile(own, index)
    return {
        **os.environ,
        "GIT_INDEX_FILE": str(index),
        "GIT_OBJECT_DIRECTORY": str(objects),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(path_of("objects")),
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }


def _sifted(top: Path, untracked: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The untracked files that go into the patch, and a sentence about those that do not."""
    small = [name for name in untracked if _size(top / name) <= UNTRACKED_BYTES_MAX]
    kept = tuple(small[:UNTRACKED_FILES_MAX])
    left = [name for name in untracked if name not in set(kept)]
    if not left:
        return kept, ()
    return kept, (f"{len(left)} untracked files, too large or too many for a patch, as {left[0]}",)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # It went between the listing and the look; git will not find it either.


def _patch(repository: _Repository, base: str, untracked: Sequence[str]) -> bytes:
    """One patch, from the commit to the work tree; an intent to add makes untracked files part of it."""
    if untracked:
        names = b"\0".join(os.fsencode(name) for name in untracked)
        repository.ask("add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul", given=names)
    return repository.ask(*DIFF, base)
