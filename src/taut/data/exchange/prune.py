"""`taut data gc`: what nothing names leaves the cache, and a remote; what anything might still name stays.

Named is what a version in the home lists, and whatever digest stands in a pointer or lock of the workspace or of the
kept commits, even in a broken file. A folder's list leaves before what it lists, so one that is there is whole.
"""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final

from taut.data.exchange.bringing import Moved, bring, spec_of
from taut.data.exchange.remote import Remote
from taut.data.remotes.config import RemoteSpec, places_of
from taut.data.remotes.connect import open_remote
from taut.data.remotes.verified import LegacyCache
from taut.data.versions import list_datasets, read_tree
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import DIR
from taut.data.workspace.listing import read_listing
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.overview import project_of
from taut.data.workspace.pointers import LOCKED, SUFFIX
from taut.data.workspace.tree import dvc_digest
from taut.errors import Corrupt, Denied, NotFound, Refused, Unavailable
from taut.home import Home

DIGEST: Final = re.compile(rb"\b[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
YOUNG_S = 3600.0  # What came to a cache of several projects since stays: another of them may be about to name it.


@dataclass(frozen=True, slots=True)
class Pruned:
    """What left, or would leave: from the cache, and from the remote where one was named."""

    files: int
    size_bytes: int
    kept: int
    remote: str
    remote_files: int
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What is asked to be kept beside the workspace."""

    all_branches: bool = False
    all_tags: bool = False
    all_commits: bool = False
    projects: tuple[Path, ...] = ()


def prune(
    home: Home | None, folder: Path, keep: Kept, *, cloud: bool = False, remote: str = "", jobs: int = 0,
    dry_run: bool = False, force: bool = False, skip_lost: bool = False,
) -> Pruned:  # fmt: skip
    """Remove from the cache, with `cloud` from a remote too, what neither home nor pointers name.

    Raises Refused for a cache outside of the project, which others may use, unless `force` or their projects are named;
    NotFound where the list of a folder that is named is nowhere, unless `skip_lost`: nobody knows what it needs.
    """
    project, taut = project_of(str(folder))
    workspace = workspace_of(f"{project}/.", project, taut)
    cache = workspace.cache
    is_outside = not str(cache.folder).startswith((f"{project}/", f"{taut or project}/"))
    if is_outside and not (force or keep.projects):
        raise Refused(
            f"the cache {cache.folder} is not this project's alone",
            hint="name the others with --projects, or say --force",
        )
    spec = spec_of(places_of(project, taut), remote) if cloud else None
    with workspace.locked(Path(project), alone=True):
        named = _named([project, *map(str, keep.projects)], keep)
        opened = [open_remote(spec, is_legacy=legacy, jobs=jobs) for legacy in _layouts(spec)] if spec else []
        caches = (cache, LegacyCache(cache.folder))
        named |= _listed(caches, named, opened, skip_lost=skip_lost)
        named |= _of_home(home)
        young = time.time() - (YOUNG_S if is_outside else 0.0)
        files = size_bytes = kept = remote_files = 0
        for one in caches:
            for digest, path in _objects(one):
                found = os.stat(path)
                if digest in named or found.st_mtime > young or found.st_ctime > young:
                    kept += 1
                    continue
                files, size_bytes = files + 1, size_bytes + found.st_size
                if not dry_run:
                    _unlink(path)
        for place in opened:
            gone = sorted(set(place.listed()) - named, key=lambda digest: not digest.endswith(DIR))
            remote_files += len(gone)
            if not dry_run:
                place.delete(gone)
    return Pruned(files, size_bytes, kept, spec.name if spec else "", remote_files, dry_run)


def _layouts(spec: RemoteSpec) -> tuple[bool, ...]:
    """Of DVC 3, and of DVC 2, which taut's own format does not have."""
    return (False,) if spec.is_store else (False, True)


def _named(projects: Sequence[str], keep: Kept) -> set[str]:
    found: set[str] = set()
    for project in projects:
        for text in _texts(project):
            found |= _digests(text)
        revisions = _revisions(project, keep)
        for text in _blobs(project, revisions) if revisions else ():
            found |= _digests(text)
    return found


def _of_home(home: Home | None) -> set[str]:
    """What the versions of a home name: their files, and the folders' lists, which need not be anywhere."""
    found: set[str] = set()
    if home is None:
        return found
    for version in list_datasets(home, ""):
        files = read_tree(home, version.tree)
        found |= {file.md5 for file in files}
        found.add(dvc_digest(files))
    return found


def _digests(text: bytes) -> set[str]:
    return {match.decode() for match in DIGEST.findall(text)}


def _texts(project: str) -> Iterator[bytes]:
    """Every pointer and lock below a folder, whatever rules leave out."""
    for folder, folders, names in os.walk(project):
        folders[:] = [name for name in folders if name not in (".git", ".dvc", ".taut")]
        for name in names:
            if _is_pointer(name):
                yield Path(folder, name).read_bytes()


def _is_pointer(name: str) -> bool:
    return name.endswith(SUFFIX) or name == LOCKED


def _revisions(project: str, keep: Kept) -> list[str]:
    """The commits to look at, as arguments of git."""
    if keep.all_commits:
        return _git(project, "rev-list", "--all", *_head(project)).decode().split()
    refs = _head(project) if keep.all_branches else []
    for is_asked, place in ((keep.all_branches, "refs/heads"), (keep.all_tags, "refs/tags")):
        if is_asked:
            refs += _git(project, "for-each-ref", "--format=%(refname)", place).decode().split()
    return refs


def _head(project: str) -> list[str]:
    """What is checked out, on a branch or not; nothing where nothing was committed yet."""
    return ["HEAD"] if _git(project, "rev-list", "--all", "--max-count=1") else []


def _blobs(project: str, revisions: Sequence[str]) -> Iterator[bytes]:
    """The text of every pointer and lock in some commits, each once."""
    blobs: set[bytes] = set()
    for revision in revisions:
        listed = _git(project, "ls-tree", "-r", "-z", "--full-tree", f"{revision}^{{commit}}")
        for line in listed.split(b"\0"):
            about, _, path = line.partition(b"\t")
            if path and _is_pointer(os.fsdecode(os.path.basename(path))):
                blobs.add(about.split()[2])
    if blobs:
        asked = b"".join(blob + b"\n" for blob in blobs)
        yield _git(project, "cat-file", "--batch", stdin=asked)


def _git(project: str, *words: str, stdin: bytes = b"") -> bytes:
    try:
        done = subprocess.run(["git", "-C", project, *words], input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise Unavailable("commits are read through git, which is not installed") from None
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip() or "nothing").splitlines()[0]
        raise Unavailable(f"git could not say what the commits of {project} name: {said}", hint=f"git -C {project} log")
    return done.stdout


def _listed(caches: Sequence[Cache], named: set[str], remotes: Sequence[Remote], *, skip_lost: bool) -> set[str]:
    """What the lists that are named list; one that is not here is fetched from the remote, where there is one."""
    lists = {digest for digest in named if digest.endswith(DIR)}
    lost, found = set(lists), set[str]()
    for cache, remote in zip_longest(caches, remotes):
        if remote is not None and (absent := cache.missing(lists)):
            bring(remote, cache, absent - remote.missing(absent), Moved())
        for digest in lists - cache.missing(lists):
            try:
                found.update(md5 for _, md5 in read_listing(cache, digest, cache.path_of(digest)))
            except Corrupt as problem:
                raise Corrupt(f"{problem.message}; what it keeps is not known", hint="taut data fetch") from None
            lost.discard(digest)
    if lost and not skip_lost:
        raise NotFound(
            f"{len(lost)} lists of folders that are named are not in the cache, so what they keep is not known: "
            f"{min(lost)}",
            hint="taut data fetch, or say --skip-lost where nobody has them any more",
        )
    return found


def _objects(cache: Cache) -> list[tuple[str, str]]:
    """Digest and place of every object, lists first."""
    from taut.data.remotes.folder import FolderRemote

    names = FolderRemote(cache.folder, is_legacy=isinstance(cache, LegacyCache)).listed()
    return [(name, cache.path_of(name)) for name in sorted(names, key=lambda name: not name.endswith(DIR))]


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return  # Another collection was here first.
    except PermissionError:
        raise Denied(f"{path} may not be removed by this user", hint=f"ls -ld {os.path.dirname(path)}") from None
