"""A pristine copy of a project, as a run found it or as it is now, and fresh copies of that for each execution."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taut.data import checkout_dataset, copy_content, digest_file, md5_by_pointer
from taut.errors import NotFound, TautError
from taut.ground.objects import read_object
from taut.home import Home
from taut.records import MD5_DIGITS, GitState, InputRead, Run

LEFT_BEHIND = frozenset({".git", ".taut", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
LINKED = frozenset({"node_modules"})  # And virtual environments: too large to copy, and no part of what is run.
TIMEOUT_S = 600.0
ABBREVIATED = 12


@dataclass(frozen=True, slots=True)
class Pristine:
    """A copy that nothing runs in: `root` holds the project at `project` and the folder of the command at `folder`.

    Both are relative to `root`; `original` is what `root` is a copy of. `lacks` says what it could not be given, first
    what matters most.
    """

    root: Path
    project: Path
    folder: Path
    original: Path
    lacks: tuple[str, ...] = ()

    def fresh(self, at: Path) -> "Pristine":
        """A copy of the copy, to be run in."""
        _copy(self.root, at, symlinked=True)
        return Pristine(at, self.project, self.folder, self.original, self.lacks)

    @property
    def cwd(self) -> Path:
        """Where the command runs."""
        return self.root / self.folder


def present_state(home: Home, folder: Path, at: Path) -> Pristine:
    """A copy of the project as it is now, with what git and `.gitignore` leave out.

    A repository comes along as a clone that borrows its objects, so that commit and patch are told as ever.
    """
    top = top_of(folder)
    root = _root(home.project if folder.is_relative_to(home.project) else folder, top)
    _copy(root, at)
    if top is not None:
        copied = at / top.relative_to(root)
        _git(copied, "init", "--quiet")
        _borrow(top, copied)
        if head := _asked(top, "rev-parse", "--verify", "--quiet", "HEAD"):
            _git(copied, "update-ref", "--no-deref", "HEAD", head)
            _git(copied, "reset", "--quiet")
    project = home.project if home.project.is_relative_to(root) else root
    return Pristine(at, project.relative_to(root), folder.relative_to(root), root)


def recorded_state(home: Home, run: Run, at: Path) -> Pristine:
    """The project as a run found it: commit, patch and the data that it read, each by its digest.

    What cannot be had is said in `lacks`; a run without recorded code gets the files as they are now, and that is said.
    """
    recorded = Path(run.capture.folder)
    git = run.capture.git
    if git is None or not (git.commit or git.patch):
        here = recorded if recorded.is_dir() else home.project
        pristine = present_state(home, here, at)
        lacks = ["code: no commit was recorded, so the files are those of now"]
    else:
        pristine = _checked_out(home, recorded, git, at)
        lacks = []
    lacks += [problem for read in run.capture.inputs if (problem := _bring(home, pristine, read))]
    return Pristine(pristine.root, pristine.project, pristine.folder, pristine.original, tuple(lacks))


def readable_elsewhere(run: Run, copy: Pristine) -> Iterator[str]:
    """What a repetition may read outside of its copy: what the run read there, and what the copy leads to.

    A file of the project itself is among it while it holds what the run read, for who names it by an absolute path.
    """
    for read in run.capture.inputs:
        place = copy.original / copy.project / read.path
        if not place.is_relative_to(copy.original) or (read.oid and _holds(place, read)):
            yield str(place)
    for area in run.capture.outside:
        if area.area in ("cache", "settings"):
            yield from area.names
    for alternates in copy.root.glob("**/.git/objects/info/alternates"):
        yield alternates.read_text().strip()
    for folder, names, files in os.walk(copy.root):
        for name in (*names, *files):
            if (link := Path(folder, name)).is_symlink() and not link.resolve().is_relative_to(copy.root):
                yield str(link.resolve())


def _checked_out(home: Home, recorded: Path, git: GitState, at: Path) -> Pristine:
    """The commit and the patch in a clone. Raises NotFound where no repository here holds the commit."""
    tops = dict.fromkeys(top for place in (recorded, home.project) if (top := top_of(place)) is not None)
    top = next((one for one in tops if not git.commit or _asked(one, "cat-file", "-t", git.commit) == "commit"), None)
    if top is None:
        raise NotFound(
            f"code: no repository here holds the commit {git.commit[:ABBREVIATED]} that the run was made with",
            hint="git fetch --all, then try again",
        )
    folder = recorded if recorded.is_relative_to(top) else top
    root = _root(home.project if folder.is_relative_to(home.project) else folder, top)
    copied = at / top.relative_to(root)
    copied.mkdir(parents=True)
    _git(copied, "init", "--quiet")
    _borrow(top, copied)
    if git.commit:
        _git(copied, "checkout", "--quiet", "--detach", git.commit)
    if git.patch:
        patch = at.with_name("patch")
        patch.write_bytes(read_object(home.objects, git.patch))
        _git(copied, "apply", "--binary", "--whitespace=nowarn", str(patch))
    project = home.project if home.project.is_relative_to(root) else root
    for place in (folder, project):
        (at / place.relative_to(root)).mkdir(parents=True, exist_ok=True)
    for place in _links(root):
        target = at / place.relative_to(root)
        if not target.exists() and target.parent.is_dir():
            target.symlink_to(place)
    return Pristine(at, project.relative_to(root), folder.relative_to(root), root)


def _bring(home: Home, pristine: Pristine, read: InputRead) -> str:
    """Put an input where the run read it, at its recorded digest; or say why it cannot be had."""
    if not read.oid:
        return "" if Path(read.path).exists() else f"data: {read.path} is not there, and its content was not recorded"
    here = pristine.original / pristine.project / read.path  # An absolute path stays what it is.
    if not here.is_relative_to(pristine.original):
        return _as_recorded(here, read)
    target = pristine.root / here.relative_to(pristine.original)
    if _holds(target, read):
        return ""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(pristine.root.resolve()):
        return _as_recorded(here, read)  # It lies behind a link that leads out of the project.
    target.unlink(missing_ok=True)  # It may be a link into the user's cache, and must not be written through.
    if _holds(here, read):
        shutil.copy2(here, target)
        return ""
    if len(read.oid) == MD5_DIGITS:
        if copy_content(home, read.oid, here, target):
            return ""
    elif not home.objects.missing([read.oid]):
        with home.objects.open(read.oid) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
        return ""
    if read.dataset and (problem := _from_version(home, read, target)) is None:
        return ""
    elif read.dataset:
        return f"data: {read.path} of {read.dataset} cannot be had: {problem}"
    return "" if _from_pointer(home, pristine, here, target, read) else _as_recorded(here, read)


def _from_pointer(home: Home, pristine: Pristine, here: Path, target: Path, read: InputRead) -> bool:
    """Take the file out of the workspace's cache by the `.dvc` file of the commit; whether it was there."""
    try:
        md5 = md5_by_pointer(home, target, pristine.root, here)
        if md5 and copy_content(home, md5, here, target) and _holds(target, read):
            return True
    except TautError:  # A pointer of that commit that nobody can read tells nothing.
        pass
    target.unlink(missing_ok=True)
    return False


def _from_version(home: Home, read: InputRead, target: Path) -> str | None:
    """Take the file out of its dataset version; or say why not."""
    name, _, number = read.dataset.rpartition("@")
    scratch = target.with_name(f".{target.name}.version")
    try:
        place = checkout_dataset(home, name, int(number), to=scratch)
        files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
        found = next((file for file in files if _holds(file, read)), None)
        if found is not None:
            found.replace(target)
    except TautError as problem:
        return problem.message
    finally:
        shutil.rmtree(scratch, ignore_errors=True) if scratch.is_dir() else scratch.unlink(missing_ok=True)
    return None if found is not None else "the version holds no file of that digest"


def _as_recorded(place: Path, read: InputRead) -> str:
    if not place.is_file():
        return f"data: {read.path} is not there any more, and no version of it is stored"
    if _holds(place, read):
        return ""
    algorithm, _, recorded = read.digest.partition(":")
    now = digest_file(place)
    found = now.md5 if algorithm == "md5" else now.oid
    was, is_now = (f"{algorithm}:{digest[:ABBREVIATED]}" for digest in (recorded, found))
    return f"data: {read.path} was {was} and is {is_now} now, and no version of it is stored"


def _holds(place: Path, read: InputRead) -> bool:
    """Whether a file is there that holds what was read."""
    return place.is_file() and read.oid in digest_file(place)


def top_of(folder: Path) -> Path | None:
    """The work tree of git around a folder, None where there is none."""
    found = _asked(folder, "rev-parse", "--show-toplevel") if folder.is_dir() else ""
    return Path(found) if found else None


def _root(project: Path, top: Path | None) -> Path:
    """What has to be copied: the outer one of project and repository."""
    return project if top is None or top.is_relative_to(project) else top


def _copy(source: Path, at: Path, *, symlinked: bool = False) -> None:
    """Copy a tree; caches are left behind and environments linked. With `symlinked` it is a copy of such a copy."""

    def leave(folder: str, names: list[str]) -> set[str]:
        if symlinked:
            return set()
        return {name for name in names if name in LEFT_BEHIND or _is_linked(Path(folder, name))}

    shutil.copytree(source, at, symlinks=True, ignore=leave, ignore_dangling_symlinks=True)
    for place in _links(source) if not symlinked else ():
        (at / place.relative_to(source)).symlink_to(place)


def _links(root: Path) -> Iterator[Path]:
    """The environments within a project."""
    for folder, names, _ in os.walk(root):
        linked = [name for name in names if _is_linked(Path(folder, name))]
        yield from (Path(folder, name) for name in linked)
        names[:] = [name for name in names if name not in LEFT_BEHIND and name not in linked]


def _is_linked(place: Path) -> bool:
    return place.name in LINKED or (place / "pyvenv.cfg").is_file()


def _borrow(top: Path, copied: Path) -> None:
    """Let a clone see the objects of the repository that it is made from, without writing there."""
    objects = top / _asked(top, "rev-parse", "--git-path", "objects")
    info = copied / ".git" / "objects" / "info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "alternates").write_text(f"{objects.resolve()}\n")


def _asked(folder: Path, *arguments: str) -> str:
    """What git answers in one line; empty where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _git(folder: Path, *arguments: str) -> None:
    """Change a clone of ours. Raises NotFound in git's words, for what it misses is always something."""
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "core.hooksPath=/dev/null", *arguments],
        capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        said = (done.stderr.strip() or "nothing").splitlines()[0]
        raise NotFound(f"code: git {arguments[0]} failed in a fresh copy: {said}")
