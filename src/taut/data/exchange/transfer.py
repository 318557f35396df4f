"""`taut data push`, `fetch` and `pull`: content between the workspace cache and a remote, many files at a time.

Whatever kills them: names appear in cache and remote when their bytes are whole, lists of folders after what they
list, and the same command goes on from there.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from taut.data.exchange.bringing import Moved, bring, spec_of
from taut.data.exchange.chosen import Chosen
from taut.data.exchange.importing import fetch_imported, fetch_partial
from taut.data.exchange.known import Known
from taut.data.exchange.remote import Content, InFolder, Remote
from taut.data.exchange.scope import HERE, Scope, scoped_outs
from taut.data.remotes.config import RemoteSpec, find_remote, places_of
from taut.data.remotes.connect import BUCKETS, open_remote
from taut.data.remotes.runs import has_runs, pull_runs, push_runs
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import DIR
from taut.data.workspace.index import open_index
from taut.data.workspace.listing import read_listing
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.overview import index_place, project_of
from taut.data.workspace.walk import ONE_FILE
from taut.errors import Conflict, Corrupt, NotFound, Unavailable
from taut.ground.progress import progress

if TYPE_CHECKING:
    from taut.home import Home

TOLD_MAX = 3  # Paths that a message names.
EARLIER_MAX = 10  # Versions back in which the remote may have what new content is stored against.


@dataclass(slots=True)
class _Batch:
    """Outs of one remote with digests of one kind, in one cache."""

    remote: Remote
    known: Known
    cache: Cache
    outs: list[Chosen]


def push(
    folder: Path, targets: Sequence[str] = (), *, remote: str = "", jobs: int = 0, scope: Scope = HERE,
    run_cache: bool = False, recheck: bool = False,
) -> Moved:  # fmt: skip
    """Send the content of data to its remote: what is not there yet, the lists of folders last.

    What is missing here is told when all else was sent. Data that was imported from a repository is there already and
    is not sent. A bucket is not asked for the files of a folder that it was seen to have, unless `recheck`. Raises
    NotFound, Corrupt, Denied, Unavailable, Invalid.
    """
    chosen = scoped_outs(folder, targets, scope).outs
    outs = [one for one in chosen if one.out.is_pushed and not one.repo]
    moved, lost = Moved(), list[str]()
    if run_cache:
        _runs(folder, remote, moved, push_runs)
    for batch in _batches(folder, outs, remote, jobs, moved):
        shown = _shown(batch.outs)
        lists = {digest for digest in shown if digest.endswith(DIR)}
        listed: dict[str, set[str]] = {digest: set() for digest in lists if batch.cache.has(digest)}
        for one in batch.outs:
            if (inside := listed.get(one.out.md5)) is not None:
                files = {md5: f"{one.out.target}/{path}" for path, md5 in _listed(batch.cache, one)}
                inside.update(files)
                shown |= files
        if recheck:
            batch.known.forget()
        absent = batch.known.missing(batch.remote, batch.cache, listed, shown)
        contents, gone = _contents(batch.cache, absent, _ancestors(folder, batch, absent))
        lost += [shown[digest] for digest in gone]
        moved.present += len(shown) - len(absent)
        with progress("pushing", sum(one.size_bytes for one in contents), unit="B") as bar:
            batch.remote.push([one for one in contents if one.digest not in lists], bar)
            batch.remote.push([one for one in contents if one.digest in lists], bar)
        moved.files += len(contents)
        moved.size_bytes += sum(one.size_bytes for one in contents)
        if not gone:
            batch.known.keep(_whole(batch) & listed.keys())
    if lost:
        raise NotFound(
            f"{len(lost)} files are neither in the cache nor on the remote: {_some(lost)}",
            hint="taut data add, where they lie in the workspace; taut data fetch, where another remote has them",
        )
    return moved


def fetch(
    folder: Path, targets: Sequence[str] = (), *, remote: str = "", jobs: int = 0, scope: Scope = HERE,
    run_cache: bool = False,
) -> Moved:  # fmt: skip
    """Bring the content of data into the cache: what is not there yet, each file verified.

    Raises NotFound and Corrupt, naming what the remote lacks or has damaged, when all else is here.
    """
    found, moved = scoped_outs(folder, targets, scope), Moved()
    if run_cache:
        _runs(folder, remote, moved, pull_runs)
    _fetch(folder, found.outs, remote, jobs, moved)
    fetch_partial(found.partial, moved, jobs)
    return moved


def pull(
    folder: Path, targets: Sequence[str] = (), *, remote: str = "", jobs: int = 0, force: bool = False,
    scope: Scope = HERE, run_cache: bool = False, allow_missing: bool = False,
) -> Moved:  # fmt: skip
    """The same, and put the data of the workspace where it belongs.

    With `allow_missing` what is nowhere is no error. Raises Conflict where that would overwrite what is nowhere else.
    """
    from taut.data.exchange.placing import place_outs

    moved, placed = Moved(), set[str]()
    if run_cache:
        _runs(folder, remote, moved, pull_runs)
    found = scoped_outs(folder, targets, replace(scope, all_branches=False, all_tags=False, all_commits=False))
    outs = found.outs
    try:
        _fetch(folder, outs, remote, jobs, moved, placed)
        if scope.has_history:
            _fetch(folder, scoped_outs(folder, targets, scope).outs, remote, jobs, moved)
        outs += fetch_partial(found.partial, moved, jobs)
    except (NotFound, Corrupt, Conflict, Unavailable) as problem:  # One that is lost keeps nobody from the others.
        left = [one for one in outs if one.out.target not in placed and _is_here(one)]
        moved.paths = [*_shown_paths(outs, placed), *place_outs(folder, left, force=force)]
        if allow_missing and isinstance(problem, NotFound):
            return moved
        raise
    left = [one for one in outs if one.out.target not in placed]
    moved.paths = [*_shown_paths(outs, placed), *place_outs(folder, left, force=force)]
    return moved


def _shown_paths(outs: list[Chosen], placed: set[str]) -> list[str]:
    """What was put in its place on the way into the cache."""
    return [one.out.target for one in outs if one.out.target in placed]


def _runs(folder: Path, remote: str, moved: Moved, copy: Callable[[RemoteSpec, Path], int]) -> None:
    """Copy the run cache to or from the remote; one that has no place for it is passed over, as by DVC."""
    project, taut = project_of(str(folder))
    spec = spec_of(places_of(project, taut), remote)
    if has_runs(spec):
        moved.runs += copy(spec, workspace_of(f"{project}/.", project, taut).cache.folder)


def _fetch(
    folder: Path, outs: list[Chosen], remote: str, jobs: int, moved: Moved, placed: set[str] | None = None
) -> None:
    """Have all content in the cache, and what can be put in its place on the way there, which is told in `placed`."""
    own = [one for one in outs if not one.repo]
    problems: list[NotFound | Corrupt] = []
    for batch in _batches(folder, own, remote, jobs, moved):
        before = len(problems)
        came = set[str]()
        try:
            came |= bring(batch.remote, batch.cache, _lists(batch), moved)
        except (NotFound, Corrupt) as problem:
            problems.append(problem)
        if placed is not None and isinstance(batch.remote, InFolder):
            _pull_fresh(folder, batch.remote, batch, moved, placed, problems)
        try:
            came |= bring(batch.remote, batch.cache, _files(batch), moved)
        except (NotFound, Corrupt) as problem:
            problems.append(problem)
        if len(problems) > before:
            batch.known.forget()
        elif came:
            batch.known.keep(digest for digest in _whole(batch) if came.issuperset(_of_list(batch.cache, digest)))
    imported = [one for one in outs if one.repo]
    if imported:
        fetch_imported(imported, moved, jobs)
    if problems:
        raise problems[0]


def _pull_fresh(
    folder: Path, remote: InFolder, batch: _Batch, moved: Moved, placed: set[str],
    problems: list[NotFound | Corrupt],
) -> None:  # fmt: skip
    """Pull the outs whose places are empty, each at once; they need no more to be fetched or put."""
    from taut.data.exchange.fresh import is_fresh, pull_fresh

    left = []
    with open_index(index_place(*project_of(str(folder)))) as index:
        for chosen in batch.outs:
            try:
                if is_fresh(chosen) and pull_fresh(index, remote, chosen, moved):
                    placed.add(chosen.out.target)
                else:
                    left.append(chosen)
            except (NotFound, Corrupt) as problem:
                problems.append(problem)
    batch.outs = left


def _is_here(chosen: Chosen) -> bool:
    """Whether the cache has all that is meant."""
    if not chosen.cache.has(chosen.out.md5):
        return False
    return not chosen.cache.missing(md5 for _, md5 in _listed(chosen.cache, chosen))


def _lists(batch: _Batch) -> set[str]:
    return {one.out.md5 for one in batch.outs if one.out.md5.endswith(DIR)}


def _whole(batch: _Batch) -> set[str]:
    """The lists of folders that are meant with all that they list."""
    return {one.out.md5 for one in batch.outs if one.out.md5.endswith(DIR) and not one.inside}


def _of_list(cache: Cache, digest: str) -> set[str]:
    return {digest, *(md5 for _, md5 in read_listing(cache, digest, cache.path_of(digest)))}


def _files(batch: _Batch) -> set[str]:
    """Every file that is meant; of a folder whose list is not here, nothing is known."""
    found = {one.out.md5 for one in batch.outs if not one.out.md5.endswith(DIR)}
    for chosen in batch.outs:
        if chosen.out.md5.endswith(DIR) and batch.cache.has(chosen.out.md5):
            found.update(md5 for _, md5 in _listed(batch.cache, chosen))
    return found


def _listed(cache: Cache, chosen: Chosen) -> list[tuple[str, str]]:
    listing = read_listing(cache, chosen.out.md5, cache.path_of(chosen.out.md5))
    taken = [(path, md5) for path, md5 in listing if path == ONE_FILE or chosen.takes(path)]
    if chosen.inside and not taken:
        raise NotFound(f"{chosen.out.target} has no {chosen.inside}", hint="taut data list -R")
    return taken


def _batches(folder: Path, outs: list[Chosen], remote: str, jobs: int, moved: Moved) -> list[_Batch]:
    """Outs by remote, kind of digest and cache. An out that names its remote goes there, whatever was typed."""
    project, taut = project_of(str(folder))
    place = index_place(project, taut)
    groups: dict[tuple[str, str, bool], list[Chosen]] = {}
    for chosen in outs:
        key = (chosen.workspace.root, chosen.out.remote or remote, chosen.out.is_legacy)
        groups.setdefault(key, []).append(chosen)
    made = []
    for (root, name, is_legacy), group in groups.items():
        spec = spec_of(places_of(root, taut if root == project else ""), name)
        known = Known(place, _name_of(spec, is_legacy=is_legacy))
        made.append(_Batch(open_remote(spec, is_legacy=is_legacy, jobs=jobs), known, group[0].cache, group))
        if spec.name not in moved.remotes:
            moved.remotes.append(spec.name)
    if not outs and remote:
        find_remote(places_of(project, taut), remote)
    return made


def _name_of(spec: RemoteSpec, *, is_legacy: bool) -> str:
    """What a remote's contents are known by: where they lie. Empty where to ask costs next to nothing, or is needed."""
    if spec.url.partition("://")[0] not in BUCKETS:
        return ""
    return f"{spec.url} {spec.option('endpointurl')} {'2' if is_legacy else '3'}"


def _shown(outs: list[Chosen]) -> dict[str, str]:
    return {chosen.out.md5: chosen.out.target for chosen in outs}


def _contents(cache: Cache, digests: set[str], ancestors: Mapping[str, str]) -> tuple[list[Content], set[str]]:
    """What the cache has of them, with what each may be stored against, and what it has not."""
    found, gone = [], set()
    for digest in digests:
        path, ancestor = cache.path_of(digest), ancestors.get(digest, "")
        earlier = Path(cache.path_of(ancestor)) if ancestor and cache.has(ancestor) else None
        try:
            found.append(Content(digest, path, os.stat(path).st_size, ancestor, earlier))
        except FileNotFoundError:
            gone.add(digest)
    return found, gone


def _ancestors(folder: Path, batch: _Batch, absent: set[str]) -> dict[str, str]:
    """For content that a remote of deltas lacks: the digest of the same file in the nearest version that it has.

    Only versions that the project's home knows count; DVC's remotes store every file whole.
    """
    project, taut = project_of(str(folder))
    named = [one for one in batch.outs if one.pointer is not None and one.pointer.name and one.pointer.number > 1]
    if not batch.remote.takes_deltas or not taut or not absent or not named:
        return {}
    from taut.home import open_home

    found: dict[str, str] = {}
    with open_home(Path(project)) as home:
        for chosen in named:
            for earlier in _earlier(home, chosen):
                todo = {path: md5 for path, md5 in _listed(batch.cache, chosen) if md5 in absent and md5 not in found}
                known = {path: earlier[path] for path in todo if path in earlier}
                lost = batch.remote.missing(set(known.values()))
                found |= {todo[path]: md5 for path, md5 in known.items() if md5 not in lost}
    return found


def _earlier(home: "Home", chosen: Chosen) -> Iterator[dict[str, str]]:
    """The files of the versions before a pointer's, newest first: digests by path."""
    from taut.data.versions import list_datasets, read_tree

    assert chosen.pointer is not None, "only data with a name has versions"
    before = [one for one in list_datasets(home, chosen.pointer.name) if one.number < chosen.pointer.number]
    for version in before[:EARLIER_MAX]:
        yield {file.path: file.md5 for file in read_tree(home, version.tree)}


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - TOLD_MAX} more" if len(paths) > TOLD_MAX else ""
    return ", ".join(sorted(paths)[:TOLD_MAX]) + more
