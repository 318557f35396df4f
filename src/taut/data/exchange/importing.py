"""Data of another repository, as `dvc import` takes it: a frozen pointer that remembers where it came from, and when.

The other repository is read through git at one commit; the content comes from its cache, where it is on this machine,
else from its own remotes, and what it imported itself from where that came from.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from taut.data.exchange.bringing import Moved, bring
from taut.data.exchange.chosen import Chosen, chosen_in
from taut.data.exchange.imported import imported, out_entry, target_of, write_import
from taut.data.exchange.urls import bring_partial, update_url
from taut.data.remotes.config import RemoteSpec, overlaid, places_of, read_remotes
from taut.data.remotes.connect import open_remote
from taut.data.remotes.folder import FolderRemote
from taut.data.remotes.verified import LegacyCache
from taut.data.workspace.cache import Cache
from taut.data.workspace.checkout import put_out
from taut.data.workspace.config import FOLDER
from taut.data.workspace.digests import DIR, listing_bytes
from taut.data.workspace.ignore import IGNORE_FILE
from taut.data.workspace.index import open_index
from taut.data.workspace.listing import checked_path, read_listing
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.overview import index_place, project_of
from taut.data.workspace.pointers import PIPELINE, SUFFIX, Pointer
from taut.data.workspace.walk import ONE_FILE, walk
from taut.errors import Corrupt, Invalid, NotFound, TautError, Unavailable, UsageError

GIT_S = 600.0
DEPTH_MAX = 16  # Imports of imports.
LINK, SUBMODULE = b"120000", b"160000"  # Modes of git.

Repo = dict[str, Any]
"""What a pointer says of another repository: `url`, and where they were said `rev`, `rev_lock`, `config`, `remote`."""


class Clone(NamedTuple):
    """Another repository at one commit, and the folder that it was cloned from where that is on this machine."""

    folder: str
    commit: str
    origin: str
    repo: Repo


def import_data(
    folder: Path, url: str, path: str, *, to: str = "", rev: str = "", force: bool = False, no_download: bool = False,
    no_exec: bool = False, config: str = "", remote: str = "", jobs: int = 0,
) -> Path:  # fmt: skip
    """Take a file or folder of another repository, tracked by DVC or by git; returns the pointer.

    `url` is a path or what git clones; `rev` a branch, tag or commit, the newest where not said. With `no_download` the
    pointer only says which commit is meant, with `no_exec` not even that. `config` is a file of more config for the
    other repository, `remote` the one of its remotes to ask first. Raises NotFound for a path or revision that is not
    there, Conflict where something lies in its place, Unavailable where git cannot clone.
    """
    target = target_of(folder, to, os.path.basename(path.rstrip("/")), force=force)
    told = (
        os.path.relpath(folder / url, target.parent) if os.path.isdir(folder / url) and not os.path.isabs(url) else url
    )
    said = {"rev": rev, "config": config and os.path.relpath(folder / config, target.parent), "remote": remote}
    repo: Repo = {"url": told, **{key: value for key, value in said.items() if value}}
    project, taut = project_of(str(folder))
    workspace = workspace_of(str(target), project, taut)
    dep = {"path": path, "repo": repo}
    with workspace.locked(target):
        if no_exec:
            return write_import(workspace, target, dep, {"hash": "md5"}, is_checked=False)
        with _cloned(_url_of(repo, target.parent), rev, repo) as clone:
            dep["repo"] = _locked(repo, clone.commit)
            if no_download:
                return write_import(workspace, target, dep, {"hash": "md5"})
            digest = _brought(clone, path, workspace.cache, jobs)
        entry = _placed(target, digest, project, taut, force=force)
        return write_import(workspace, target, dep, entry)


def update_import(
    folder: Path, target: str, *, rev: str = "", no_download: bool = False, to_remote: bool = False, remote: str = "",
    jobs: int = 0,
) -> Path:  # fmt: skip
    """Take an import anew: from another revision, or from what its own means now; from a URL, what that has now.

    With `no_download` only the pointer is brought up to date, with `to_remote` the content of a URL goes to a remote.
    Raises NotFound, Invalid, UsageError for options that this import has not, Conflict, Unavailable.
    """
    pointer, dep = imported(folder, target)
    if to_remote and no_download:
        raise UsageError("--to-remote brings content, and --no-download brings none")
    if remote and not to_remote:
        raise UsageError("--remote says where --to-remote brings it", hint="the same with --to-remote")
    if not isinstance(dep.get("repo"), dict):
        if rev:
            raise UsageError(f"{target} came from a URL, which has no revisions", hint=f"taut data update {target}")
        return update_url(pointer, dep, remote=remote, to_remote=to_remote, no_download=no_download, jobs=jobs)
    if to_remote:
        raise UsageError(f"{target} came from a repository, which keeps it", hint=f"taut data update {target}")
    repo = {**dep["repo"], **({"rev": rev} if rev else {})}
    out = pointer.outs[0]
    project, taut = project_of(str(pointer.file.parent))
    workspace = workspace_of(out.target, project, taut)
    with (
        workspace.locked(Path(out.target)),
        _cloned(_url_of(repo, pointer.file.parent), str(repo.get("rev", "")), repo) as clone,
    ):
        new = {"path": dep["path"], "repo": _locked(repo, clone.commit)}
        entry: dict[str, Any] = {"hash": "md5"}
        if not no_download:
            digest = _brought(clone, str(dep["path"]), workspace.cache, jobs)
            entry = _placed(Path(out.target), digest, project, taut, force=True)
        return write_import(workspace, Path(out.target), new, entry, file=pointer.file)


def fetch_imported(outs: Sequence[Chosen], moved: Moved, jobs: int) -> None:
    """Bring content of imports into the cache, from where it was imported, as it was then. Raises NotFound."""
    for chosen in outs:
        if _is_whole(chosen.cache, chosen.out.md5):
            moved.present += 1
            continue
        assert chosen.pointer is not None
        digest = _brought_again(chosen.pointer, chosen.workspace.cache, jobs)
        if digest != chosen.out.md5 and not chosen.out.is_legacy:
            where = f"{chosen.pointer.deps[0]['path']} of {chosen.repo.get('url')}"
            raise Corrupt(f"{where} is not what was imported: {digest}, not {chosen.out.md5}")
        moved.files += len(read_listing(chosen.workspace.cache, digest))


def fetch_partial(outs: Sequence[Chosen], moved: Moved, jobs: int) -> list[Chosen]:
    """Bring content of imports that were made without it; returns them with what they are.

    Their pointers stay as they are, as DVC leaves them: `taut data update` says what was taken. Raises NotFound.
    """
    found = []
    for chosen in outs:
        pointer = chosen.pointer
        assert pointer is not None
        cache = chosen.workspace.cache
        dep = pointer.deps[0]
        digest = _brought_again(pointer, cache, jobs) if chosen.repo else bring_partial(pointer, dep, jobs=jobs)
        moved.files += len(read_listing(cache, digest))
        found.append(chosen._replace(out=chosen.out._replace(md5=digest, is_legacy=False)))
    return found


def _brought_again(pointer: Pointer, cache: Cache, jobs: int) -> str:
    """Have in the cache what a pointer imported, as it was then; returns its digest."""
    dep = pointer.deps[0]
    repo: Repo = dep["repo"]
    rev = str(repo.get("rev_lock") or repo.get("rev") or "")
    with _cloned(_url_of(repo, pointer.file.parent), rev, repo) as clone:
        return _brought(clone, str(dep["path"]), cache, jobs)


def _locked(repo: Repo, commit: str) -> Repo:
    """What a pointer says when the commit is known, in DVC's order."""
    known = {**repo, "rev_lock": commit}
    first = [key for key in ("url", "rev", "rev_lock") if key in known]
    return {key: known[key] for key in (*first, *(key for key in known if key not in first))}


def _placed(target: Path, digest: str, project: str, taut: str, *, force: bool) -> dict[str, Any]:
    """Put content of the cache where it belongs; returns what a pointer says of it."""
    workspace = workspace_of(str(target), project, taut)
    files = read_listing(workspace.cache, digest)
    with open_index(index_place(project, taut)) as index:
        put_out(index, workspace, target, files, force=force, is_exec=False)
    return out_entry(digest, walk(str(target), workspace.rules(str(target))).size_bytes, len(files))


def _url_of(repo: Repo, folder: Path) -> str:
    """What git clones. A path is relative to the pointer, or as DVC has it to where somebody typed it."""
    url = str(repo.get("url", ""))
    if "://" in url:
        return url
    for base in (folder, Path.cwd(), *folder.parents):
        place = os.path.abspath(base / os.path.expanduser(url))
        if os.path.exists(f"{place}/.git") or os.path.isfile(f"{place}/HEAD"):
            return place
    return url


@contextmanager
def _cloned(url: str, rev: str, repo: Repo) -> Iterator[Clone]:
    """A clone at one revision."""
    origin = url.removeprefix("file://")
    with tempfile.TemporaryDirectory(prefix="taut-import-") as made:
        folder = f"{os.path.realpath(made)}/clone"
        _git("clone", "--quiet", "--no-checkout", "--", url, folder)
        found = ""
        for name in (f"origin/{rev}", rev) if rev else ("HEAD",):
            with suppress(Unavailable):
                found = _git("-C", folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
                break
        if not found:
            raise NotFound(f"{url} has no revision {rev!r}", hint=f"git ls-remote {url}")
        _git("-C", folder, "checkout", "--quiet", "--detach", found)
        yield Clone(folder, found, origin if os.path.isdir(origin) else "", repo)


def _git(*words: str) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", *words], capture_output=True, text=True, check=False, timeout=GIT_S, env=environment
        )
    except FileNotFoundError:
        raise Unavailable("another repository is read through git, which is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"git {words[0]} did not end within {GIT_S:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip() or "nothing").splitlines()[-1]
        raise Unavailable(f"git could not read the other repository: {said}", hint="git ls-remote URL")
    return done.stdout.strip()


def _brought(clone: Clone, path: str, cache: Cache, jobs: int, depth: int = 0) -> str:
    """Have what a path of a clone means in a cache; returns its digest.

    Of a folder that git and DVC both keep parts of it is all, but DVC's own files.
    """
    inside = os.path.normpath(path)
    if os.path.isabs(inside) or inside.startswith(".."):
        raise Invalid(f"{path} is not inside the other repository")
    if depth > DEPTH_MAX:
        raise Invalid(f"{path} is an import of an import of an import, {DEPTH_MAX} times and more")
    files = _kept_by_git(clone, inside, cache)
    tracked = [one for root in _roots(clone, inside) for one in _tracked(root, clone.folder, inside)]
    if not (files or tracked):
        raise NotFound(f"the other repository has no {path}", hint="dvc list URL")
    whole = ""
    for chosen in tracked:
        listed = _content(clone, chosen, cache, jobs, depth)
        base = os.path.relpath(chosen.out.target, clone.folder)
        for name, md5 in listed:
            place = base if name == ONE_FILE else f"{base}/{name}"
            if inside in (place, "."):
                files[ONE_FILE if inside == place else place] = md5
            elif place.startswith(f"{inside}/"):
                files[place[len(inside) + 1 :]] = md5
        if base == inside and not chosen.out.is_legacy:
            whole = chosen.out.md5
    if not files:
        raise NotFound(f"the other repository has no {path}", hint="dvc list URL")
    if list(files) == [ONE_FILE]:
        return files[ONE_FILE]
    digest = cache.put_bytes(listing_bytes((checked_path(name, path), md5) for name, md5 in files.items()), DIR)
    return whole if whole.endswith(DIR) and sorted(read_listing(cache, whole)) == sorted(files.items()) else digest


def _kept_by_git(clone: Clone, inside: str, cache: Cache) -> dict[str, str]:
    """The files of a path that git keeps, put into a cache: their digests by their paths below it."""
    listed = _git("-C", clone.folder, "ls-tree", "-r", "-z", "HEAD", "--", f":(literal){inside}").split("\0")
    found: dict[str, str] = {}
    with cache.filling(len(listed)) as filling:
        for line in filter(None, listed):
            mode, _, rest = line.partition(" ")
            name = rest.partition("\t")[2]
            if mode.encode() == SUBMODULE or _is_of_dvc(name):
                continue
            place = f"{clone.folder}/{name}"
            if mode.encode() == LINK and not os.path.realpath(place).startswith(clone.folder + os.sep):
                raise Invalid(f"{name} links to outside of the other repository")
            if os.path.isfile(place):
                below = ONE_FILE if name == inside else name if inside == "." else name[len(inside) + 1 :]
                found[below] = filling.copy_in(place).md5
    return found


def _is_of_dvc(name: str) -> bool:
    """Whether a file of a repository is one of DVC's own, which an import of its folder leaves out."""
    parts = name.split("/")
    return FOLDER in parts[:-1] or parts[-1] in (PIPELINE, IGNORE_FILE) or parts[-1].endswith(SUFFIX)


def _roots(clone: Clone, inside: str) -> list[str]:
    """The folders of a clone that are repositories of DVC for a path: the nearest one above it, and those below."""
    place = os.path.normpath(f"{clone.folder}/{inside}")
    above = place
    while above != clone.folder and not os.path.isfile(f"{above}/{FOLDER}/config"):
        above = os.path.dirname(above)
    below = [folder for folder, folders, _ in os.walk(place) if FOLDER in folders and folder != above]
    return [above, *below]


def _tracked(root: str, clone: str, inside: str) -> list[Chosen]:
    """What a repository of DVC in a clone tracks of a path: what lies in it, or what it lies in."""
    place = os.path.normpath(f"{clone}/{inside}")
    is_whole = root == place or root.startswith(f"{place}/")
    if not os.path.isfile(f"{root}/{FOLDER}/config"):
        return []
    return chosen_in(root, "", Path(root), [] if is_whole else [os.path.relpath(place, root)]).outs


def _content(clone: Clone, chosen: Chosen, cache: Cache, jobs: int, depth: int) -> list[tuple[str, str]]:
    """Have what is meant of an out of a clone in a cache; returns its files, by digests of DVC 3."""
    md5 = chosen.out.md5
    theirs = LegacyCache(Path(clone.folder, ".taut-legacy")) if chosen.out.is_legacy else cache
    if chosen.repo and theirs.missing({md5}):
        assert chosen.pointer is not None
        at = os.path.relpath(chosen.pointer.file.parent, clone.folder)
        repo: Repo = chosen.repo
        url = _url_of(repo, Path(os.path.normpath(f"{clone.origin or clone.folder}/{at}")))
        with _cloned(url, str(repo.get("rev_lock") or repo.get("rev") or ""), repo) as further:
            found = _brought(further, str(chosen.pointer.deps[0]["path"]), cache, jobs, depth + 1)
        if found != md5 and not chosen.out.is_legacy:
            raise Corrupt(f"{chosen.out.path} of the other repository is not what it imported: {found}, not {md5}")
        return [(name, one) for name, one in read_listing(cache, found) if name == ONE_FILE or chosen.takes(name)]
    _bring_from(clone, chosen, theirs, {md5}, jobs)
    listed = read_listing(theirs, md5, theirs.path_of(md5))
    files = [(name, one) for name, one in listed if name == ONE_FILE or chosen.takes(name)]
    _bring_from(clone, chosen, theirs, {one for _, one in files}, jobs)
    if not chosen.out.is_legacy:
        return files
    with cache.filling(len(files)) as filling:
        return [(name, filling.copy_in(theirs.path_of(one)).md5) for name, one in files]


def _bring_from(clone: Clone, chosen: Chosen, cache: Cache, digests: set[str], jobs: int) -> None:
    """From the other's own cache where that is here, else from its remotes, the one that it means first."""
    is_legacy = chosen.out.is_legacy
    root = os.path.relpath(chosen.workspace.root, clone.folder)
    origin = os.path.normpath(f"{clone.origin}/{root}") if clone.origin else ""
    if origin:
        theirs = workspace_of(f"{origin}/.", origin, f"{origin}/.taut").cache
        theirs = LegacyCache(theirs.folder) if is_legacy else theirs
        there = cache.missing(digests)
        there -= theirs.missing(there)
        with suppress(NotFound, Corrupt):  # A damaged one is taken from a remote.
            bring(_CacheRemote(theirs), cache, there, Moved(), "importing")
    problem: TautError | None = None
    for spec in _specs(clone, chosen, origin):
        if not cache.missing(digests):
            return
        try:
            bring(open_remote(spec, is_legacy=is_legacy, jobs=jobs), cache, digests, Moved(), "importing")
        except (NotFound, Corrupt, Invalid, Unavailable) as found:
            problem = problem or found
    if absent := cache.missing(digests):
        raise problem or NotFound(
            f"neither the cache nor a remote of the other repository has {min(absent)}", hint="dvc push, there"
        )


def _specs(clone: Clone, chosen: Chosen, origin: str) -> list[RemoteSpec]:
    """The remotes of another repository, with what the pointer says of them, in the order in which they are asked.

    What is relative there is meant from where the other repository lies, not from our clone of it.
    """
    found = read_remotes(places_of(origin, "")) if origin else {}
    found = found or read_remotes(places_of(chosen.workspace.root, ""))
    found = overlaid(found, clone.repo.get("config"), clone.repo.get("remote"))
    return sorted(
        found.values(), key=lambda spec: (spec.name != chosen.out.remote.lower(), not spec.is_default, spec.name)
    )


class _CacheRemote(FolderRemote):
    """Another's cache, read as a remote: DVC lays out both alike."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(cache.folder, is_legacy=isinstance(cache, LegacyCache))
        self._names = cache


def _is_whole(cache: Cache, md5: str) -> bool:
    if not cache.has(md5):
        return False
    return not md5.endswith(DIR) or not cache.missing(one for _, one in read_listing(cache, md5, cache.path_of(md5)))
