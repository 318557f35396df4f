"""`taut data gc`: what nothing names leaves the cache, and a remote; what anything might still name stays.

Named is what a version in the home lists, and the content of every out of the workspace and of the kept commits, as
DVC counts it, and of imports, which DVC lets go. Of a commit or project with a broken file whatever digest stands
anywhere is. A folder's list leaves before what it lists, so one that is there is whole.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from taut.data.exchange.bringing import Moved, bring, spec_of
from taut.data.exchange.chosen import chosen_in
from taut.data.exchange.remote import Remote
from taut.data.exchange.scope import Scope, revisions, trees
from taut.data.remotes.config import Places, RemoteSpec, places_of, read_remotes
from taut.data.remotes.connect import open_remote
from taut.data.remotes.verified import LegacyCache
from taut.data.versions import list_datasets, read_tree
from taut.data.workspace.cache import NAME, Cache
from taut.data.workspace.config import FOLDER
from taut.data.workspace.digests import DIR
from taut.data.workspace.ignore import NEVER_INSIDE
from taut.data.workspace.listing import read_listing
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.overview import project_of
from taut.data.workspace.pointers import LOCKED, SUFFIX
from taut.data.workspace.tree import dvc_digest
from taut.errors import Corrupt, Denied, Invalid, NotFound, Refused, TautError
from taut.home import Home

DIGEST: Final = re.compile(rb"\b[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
ANY, UNLISTED = "*", "**"  # On whichever remote; and of a version, whose list need not be anywhere.
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
    places = places_of(project, taut)
    spec = spec_of(places, remote) if cloud else None
    with workspace.locked(Path(project), alone=True):
        named = {*_named(project, taut, keep, cache), *_of_home(home)}
        named |= {one._replace(remote=ANY) for other in keep.projects for one in _named(str(other), "", keep, cache)}
        opened = _opened(places, spec, named, jobs)
        caches = (cache, LegacyCache(cache.folder))
        _bring_lists(caches, named, opened)
        for other in sorted(read_remotes(places).values(), key=lambda one: (not one.is_default, one.name)):
            if not _absent(caches, named):
                break
            with suppress(TautError):  # As DVC does: a list may be where its folder was pushed.
                _bring_lists(caches, named, _opened(places, other, set(), jobs))
        lists = _listed(caches, named, skip_lost=skip_lost)
        young = time.time() - (YOUNG_S if is_outside else 0.0)
        files = size_bytes = kept = remote_files = 0
        for one in caches:
            stays = _contents(named, lists, is_legacy=isinstance(one, LegacyCache))
            for digest, path in _objects(one):
                found = os.stat(path)
                if digest in stays or found.st_mtime > young or found.st_ctime > young:
                    kept += 1
                    continue
                files, size_bytes = files + 1, size_bytes + found.st_size
                if not dry_run:
                    _unlink(path)
        for place in opened:
            stays = _contents(named, lists, is_legacy=place.is_legacy, names=place.names)
            there = {name for name in place.remote.listed() if NAME.fullmatch(name)}  # The rest is the other layout's.
            gone = sorted(there - stays, key=lambda digest: not digest.endswith(DIR))
            remote_files += len(gone)
            if not dry_run:
                place.remote.delete(gone)
    return Pruned(files, size_bytes, kept, spec.name if spec else "", remote_files, dry_run)


class _Name(NamedTuple):
    """A digest that must stay: of DVC 2 or 3, and on which remote: of an out's own, "" for the default, ANY."""

    digest: str
    is_legacy: bool
    remote: str


class _Place(NamedTuple):
    """A remote to clean, in one layout, and the names of remotes that are this one."""

    remote: Remote
    is_legacy: bool
    names: frozenset[str]


def _opened(places: Places, spec: RemoteSpec | None, named: set[_Name], jobs: int) -> list[_Place]:
    """The remote that is cleaned, and those that outs name for themselves: each keeps what belongs there."""
    if spec is None:
        return []
    known = {spec.url: (spec, {"", spec.name})}
    for name in sorted({one.remote.lower() for one in named} - {"", ANY, UNLISTED}):
        found = spec_of(places, name)
        known.setdefault(found.url, (found, set()))[1].add(name)
    return [
        _Place(open_remote(one, is_legacy=is_legacy, jobs=jobs), is_legacy, frozenset(names))
        for one, names in known.values()
        for is_legacy in (False, True)
    ]


def _named(project: str, taut: str, keep: Kept, cache: Cache) -> set[_Name]:
    """What the workspace and the kept commits of a project name; repositories inside that share the cache are of it."""
    scope = Scope(all_branches=keep.all_branches, all_tags=keep.all_tags, all_commits=keep.all_commits)
    found = _names_in(project, taut)
    for folder, folders, _ in os.walk(project):
        is_own = folder != project and os.path.isfile(f"{folder}/{FOLDER}/config")
        if is_own and workspace_of(f"{folder}/.", folder, "").cache.root == cache.root:
            found |= _names_in(folder, "")
        folders[:] = [name for name in folders if name not in NEVER_INSIDE]
    commits = revisions(project, scope, everything=True) if scope.has_history else []
    for tree in trees(project, commits):
        found |= _names_in(tree, "")
    return found


def _names_in(project: str, taut: str) -> set[_Name]:
    try:
        outs = chosen_in(project, taut, Path(project)).outs
    except Invalid:
        digests = {digest for text in _texts(project) for digest in _digests(text)}
        return {_Name(digest, is_legacy, ANY) for digest in digests for is_legacy in (False, True)}
    return {_Name(one.out.md5, one.out.is_legacy, one.out.remote) for one in outs}


def _of_home(home: Home | None) -> set[_Name]:
    """What the versions of a home name: their files, and the folders' lists, which need not be anywhere."""
    found: set[str] = set()
    if home is None:
        return set()
    for version in list_datasets(home, ""):
        files = read_tree(home, version.tree)
        found |= {file.md5 for file in files}
        found.add(dvc_digest(files))
    return {_Name(digest, is_legacy=False, remote=UNLISTED) for digest in found}


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


def _lists_of(cache: Cache, named: set[_Name]) -> set[str]:
    """The lists that are named of the layout of a cache."""
    is_legacy = isinstance(cache, LegacyCache)
    return {one.digest for one in named if one.digest.endswith(DIR) and one.is_legacy == is_legacy}


def _absent(caches: Sequence[Cache], named: set[_Name]) -> bool:
    """Whether a list that must be known is not here."""
    needed = {one for one in named if one.remote != UNLISTED}
    return any(cache.missing(_lists_of(cache, needed)) for cache in caches)


def _bring_lists(caches: Sequence[Cache], named: set[_Name], places: Sequence[_Place]) -> None:
    """Fetch the lists that are not here from the remotes that have them. Raises Corrupt, Unavailable, Denied."""
    for cache in caches:
        lists = _lists_of(cache, named)
        for place in places:
            if place.is_legacy == isinstance(cache, LegacyCache) and (absent := cache.missing(lists)):
                bring(place.remote, cache, absent - place.remote.missing(absent), Moved())


def _listed(caches: Sequence[Cache], named: set[_Name], *, skip_lost: bool) -> dict[tuple[str, bool], frozenset[str]]:
    """What the lists that are named list."""
    found: dict[tuple[str, bool], frozenset[str]] = {}
    lost = {one.digest for one in named if one.digest.endswith(DIR) and one.remote != UNLISTED}
    for cache in caches:
        is_legacy, lists = isinstance(cache, LegacyCache), _lists_of(cache, named)
        for digest in lists - cache.missing(lists):
            try:
                listing = read_listing(cache, digest, cache.path_of(digest))
            except Corrupt as problem:
                raise Corrupt(f"{problem.message}; what it keeps is not known", hint="taut data fetch") from None
            found[digest, is_legacy] = frozenset(md5 for _, md5 in listing)
            lost.discard(digest)
    if lost and not skip_lost:
        raise NotFound(
            f"{len(lost)} lists of folders that are named are not in the cache, so what they keep is not known: "
            f"{min(lost)}",
            hint="taut data fetch, or say --skip-lost where nobody has them any more",
        )
    return found


def _contents(
    named: set[_Name], lists: Mapping[tuple[str, bool], frozenset[str]], *, is_legacy: bool,
    names: frozenset[str] | None = None,
) -> set[str]:  # fmt: skip
    """The digests that stay in one layout: in the cache, or on the remote of these names."""
    stays: set[str] = set()
    for one in named:
        is_here = names is None or one.remote in (ANY, UNLISTED) or one.remote.lower() in names
        if one.is_legacy == is_legacy and is_here:
            stays.add(one.digest)
            stays |= lists.get((one.digest, is_legacy), frozenset())
    return stays


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
