"""How far a command on data reaches: targets, what they are made from, and other commits than the one checked out."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from taut.data.exchange.chosen import Chosen, Found, chosen_in, named
from taut.data.workspace.config import FOLDER
from taut.data.workspace.ignore import IGNORE_FILE
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.overview import project_of
from taut.data.workspace.pointers import LOCKED, PIPELINE, SUFFIX, find_files, read_pointer
from taut.data.workspace.stages import read_lock
from taut.errors import Invalid, NotFound, Unavailable, UsageError

READ = (LOCKED, PIPELINE, IGNORE_FILE)
TEMPLATE = b"${"
VALUES = (".yaml", ".yml", ".json", ".toml", ".py")
VALUES_BYTES_MAX = 1 << 20  # Parameters are written by hand; a table that happens to be JSON is not asked for.


@dataclass(frozen=True, slots=True)
class Scope:
    """What is meant beside the targets: what they were made from, and what the tips of branches, tags, commits name.

    With `is_glob` targets are patterns of names.
    """

    with_deps: bool = False
    all_branches: bool = False
    all_tags: bool = False
    all_commits: bool = False
    is_glob: bool = False

    @property
    def has_history(self) -> bool:
        """Whether other commits than the one checked out are meant, too."""
        return self.all_branches or self.all_tags or self.all_commits


HERE = Scope()


def scoped_outs(folder: Path, targets: Sequence[str], scope: Scope = HERE) -> Found:
    """What targets name in the workspace, and in the commits that the scope reaches.

    Of a content that several commits name only one is told. Raises NotFound for a target that names nothing anywhere or
    a pattern that no name fits, Invalid for a broken file of the workspace, UsageError, Unavailable where git cannot
    tell. A broken file of another commit is passed over with what else that commit says.
    """
    project, taut = project_of(str(folder))
    if scope.is_glob:
        targets = _globbed(folder, targets)
    if scope.with_deps:
        if not targets:
            raise UsageError("--with-deps needs a target to be told what it was made from")
        targets = [*targets, *_upstream(project, taut, folder, targets)]
    found = chosen_in(project, taut, folder, targets)
    if scope.is_glob and len(found.unmet) < len(targets):  # A pattern fits what nobody tracks, too.
        found = found._replace(unmet=set())
    if not scope.has_history:
        return named(found)
    outs, unmet = list(found.outs), set(found.unmet)
    known = {_identity(one) for one in outs}
    for tree in trees(project, revisions(project, scope)):
        try:
            earlier = chosen_in(tree, "", Path(os.path.normpath(f"{tree}/{os.path.relpath(folder, project)}")), targets)
        except (Invalid, NotFound):
            continue
        unmet &= earlier.unmet
        for one in earlier.outs:
            moved = _moved(one, tree, project, taut)
            if _identity(moved) not in known:
                known.add(_identity(moved))
                outs.append(moved)
    return named(Found(outs, found.partial, unmet))


def revisions(project: str, scope: Scope, *, everything: bool = False) -> list[str]:
    """The commits that a scope reaches, each once: what is checked out, tips of branches, tags, or all that any names.

    All commits are those of branches and tags, here and of remotes, as DVC has it; with `everything` stashes and what
    experiments keep count, too. Raises Unavailable.
    """
    if not git(project, "rev-list", "--all", "--max-count=1"):
        return []
    if scope.all_commits:
        named = ["--all"] if everything else ["--branches", "--tags", "--remotes"]
        return git(project, "rev-list", *named, "HEAD").decode().split()
    refs = ["HEAD"] if scope.all_branches else []
    for is_asked, place in ((scope.all_branches, "refs/heads"), (scope.all_tags, "refs/tags")):
        if is_asked:
            refs += git(project, "for-each-ref", "--format=%(refname)", place).decode().split()
    resolved = git(project, "rev-parse", *(f"{ref}^{{commit}}" for ref in refs)).decode().split() if refs else []
    return list(dict.fromkeys(resolved))


def git(project: str, *words: str, stdin: bytes = b"") -> bytes:
    """What git says. Raises Unavailable with its words."""
    try:
        done = subprocess.run(["git", "-C", project, *words], input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise Unavailable("commits are read through git, which is not installed") from None
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip() or "nothing").splitlines()[0]
        raise Unavailable(f"git could not say what the commits of {project} name: {said}", hint=f"git -C {project} log")
    return done.stdout


def trees(project: str, commits: Sequence[str]) -> Iterator[str]:
    """The pointers, locks and rules of each commit, as a folder that stands until the next is asked for.

    Commits that say the same make one. Raises Unavailable.
    """
    said, seen = dict[str, bytes](), set[frozenset[tuple[str, str]]]()
    for commit in commits:
        files, values = _files_of(project, commit)
        said |= _texts(project, set(files.values()) - said.keys())
        if any(TEMPLATE in said[blob] for path, blob in files.items() if path.rpartition("/")[2] == PIPELINE):
            files |= values
        if (what := frozenset(files.items())) in seen:
            continue
        seen.add(what)
        said |= _texts(project, set(files.values()) - said.keys())
        with tempfile.TemporaryDirectory(prefix="taut-commit-") as made:
            tree = os.path.realpath(made)
            for path, blob in files.items():
                place = Path(tree, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(said[blob])
            yield tree


def _files_of(project: str, commit: str) -> tuple[dict[str, str], dict[str, str]]:
    """What DVC and taut read of a commit, and what its templates may take values from: blobs by their paths."""
    found: dict[str, str] = {}
    values: dict[str, str] = {}
    for line in git(project, "ls-tree", "-r", "-l", "-z", commit).split(b"\0"):
        about, _, path = line.partition(b"\t")
        name = os.fsdecode(path)
        last = name.rpartition("/")[2]
        is_read = last.endswith(SUFFIX) or last in READ or f"/{name}".endswith(f"/{FOLDER}/config")
        if is_read or last.endswith(VALUES):
            mode, _, blob, size = about.decode().split()
            if mode.startswith("100") and is_read:
                found[name] = blob
            elif mode.startswith("100") and int(size) <= VALUES_BYTES_MAX:
                values[name] = blob
    return found, values


def _texts(project: str, blobs: set[str]) -> dict[str, bytes]:
    if not blobs:
        return {}
    told = git(project, "cat-file", "--batch", stdin="".join(f"{blob}\n" for blob in blobs).encode())
    found: dict[str, bytes] = {}
    at = 0
    while at < len(told):
        end = told.index(b"\n", at)
        blob, _, size = told[at:end].decode().split()
        found[blob] = told[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found


def _moved(chosen: Chosen, tree: str, project: str, taut: str) -> Chosen:
    """An out of another commit, as if it stood in the project."""
    target = f"{project}{chosen.out.target[len(tree) :]}" if chosen.out.target.startswith(f"{tree}/") else project
    pointer = chosen.pointer
    if pointer is not None:
        pointer = pointer._replace(file=Path(project, os.path.relpath(pointer.file, tree)), target=Path(target))
    out = chosen.out._replace(target=target)
    return Chosen(out, chosen.inside, workspace_of(target, project, taut), pointer)


def _identity(chosen: Chosen) -> tuple[object, ...]:
    """What makes two outs the same to a remote."""
    out = chosen.out
    repo = tuple(sorted((key, str(value)) for key, value in chosen.repo.items()))
    return out.md5, out.is_legacy, out.remote, out.is_pushed, chosen.inside, chosen.workspace.root, repo


def _globbed(folder: Path, targets: Sequence[str]) -> list[str]:
    found = [name for target in targets for name in sorted(glob(target, root_dir=folder, recursive=True))]
    if targets and not found:
        raise NotFound(f"no name fits {', '.join(targets)}", hint="ls")
    return found


def _upstream(project: str, taut: str, folder: Path, targets: Sequence[str]) -> list[str]:
    """The outs that what is meant was made from, by stages and imports, near and far."""
    made: list[tuple[set[str], set[str], set[str]]] = []
    for file in find_files(project, workspace_of(project, project, taut).rules(f"{project}/.")):
        if os.path.basename(file) == LOCKED:
            for stage in read_lock(Path(file), str(folder)):
                names = {stage.address, f"{os.path.dirname(file)}/{PIPELINE}", file}
                made.append(({out.target for out in stage.outs}, {dep.target for dep in stage.deps}, names))
        else:
            pointer = read_pointer(Path(file))
            base = pointer.file.parent
            deps = {
                os.path.abspath(base / str(dep["path"])) for dep in pointer.deps if "repo" not in dep and "path" in dep
            }
            made.append(({out.target for out in pointer.outs}, deps, {file}))
    wanted = {*targets, *(os.path.abspath(folder / target) for target in targets)}
    waiting = [one for one in made if one[2] & wanted or _meet(one[0], wanted)]
    found: list[str] = []
    while waiting:
        _, deps, _ = waiting.pop()
        for one in made:
            if _meet(one[0], deps) and not one[0].issubset(found):
                found += sorted(one[0].difference(found))
                waiting.append(one)
    return found


def _meet(some: set[str], others: set[str]) -> bool:
    """Whether one of these paths is one of those, lies in it, or it in that."""
    return any(
        one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/") for one in some for other in others
    )
