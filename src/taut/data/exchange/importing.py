"""Data of another repository, as `dvc import` takes it: a frozen pointer that remembers where it came from, and when.

The other repository is read through git at one commit; the content comes from its cache, where it is on this machine,
else from its own remotes.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from taut.data.exchange.bringing import Moved, bring
from taut.data.exchange.chosen import Chosen, chosen_outs
from taut.data.remotes.config import places_of, read_remotes
from taut.data.remotes.connect import open_remote
from taut.data.remotes.folder import FolderRemote
from taut.data.remotes.verified import LegacyCache
from taut.data.workspace.cache import Cache
from taut.data.workspace.checkout import put_out
from taut.data.workspace.digests import DIR, listing_bytes, md5_of
from taut.data.workspace.index import open_index
from taut.data.workspace.listing import read_listing
from taut.data.workspace.opened import workspace_of
from taut.data.workspace.overview import index_place, project_of
from taut.data.workspace.pointers import SUFFIX, WIDTH, ignore_in_git, read_pointer
from taut.data.workspace.snapshot import store_snapshot
from taut.data.workspace.walk import walk
from taut.data.workspace.whole import write_whole
from taut.errors import Conflict, Corrupt, Invalid, NotFound, TautError, Unavailable

GIT_S = 600.0


def import_data(
    folder: Path, url: str, path: str, *, to: str = "", rev: str = "", force: bool = False, jobs: int = 0
) -> Path:
    """Take a file or folder of another repository, tracked by DVC or by git; returns the pointer.

    `url` is a path or what git clones; `rev` a branch, tag or commit, the newest where not said. Raises NotFound for a
    path or revision that is not there, Conflict where something lies in its place, Unavailable where git cannot clone.
    """
    project, taut = project_of(str(folder))
    target = Path(os.path.abspath(folder / (to or os.path.basename(path.rstrip("/")))))
    pointer = target.with_name(target.name + SUFFIX)
    if not force and (pointer.exists() or target.exists()):
        raise Conflict(f"{target} is there already", hint="the same with --force, or with --out")
    told = os.path.relpath(url, target.parent) if os.path.isdir(url) and not os.path.isabs(url) else url
    workspace = workspace_of(str(target), project, taut)
    with _cloned(url if "://" in url else _place_of(url, folder), rev) as (clone, commit, origin):
        digest = _brought(clone, origin, path, workspace.cache, jobs)
    files = read_listing(workspace.cache, digest)
    with workspace.locked(target), open_index(index_place(project, taut)) as index:
        put_out(index, workspace, target, files, force=force, is_exec=False)
        repo = {"url": told, **({"rev": rev} if rev else {}), "rev_lock": commit}
        size_bytes = walk(str(target)).size_bytes
        write_whole(pointer, _pointer_bytes({"path": path, "repo": repo}, digest, size_bytes, len(files), target.name))
        ignore_in_git(target)
    return pointer


def update_import(folder: Path, target: str, *, rev: str = "", jobs: int = 0) -> Path:
    """Take an import anew, from another revision or from what its own means now. Raises NotFound, Invalid."""
    place = Path(os.path.abspath(folder / target))
    file = place if place.name.endswith(SUFFIX) else place.with_name(place.name + SUFFIX)
    pointer = read_pointer(file)
    dep = next((dep for dep in pointer.deps if isinstance(dep.get("repo"), dict)), None)
    if dep is None:
        raise Invalid(f"{file} was not imported from a repository", hint=f"cat {file}")
    return import_data(
        file.parent, str(dep["repo"]["url"]), str(dep["path"]), to=pointer.target.name,
        rev=rev or str(dep["repo"].get("rev", "")), force=True, jobs=jobs,
    )  # fmt: skip


def fetch_imported(outs: Sequence[Chosen], moved: Moved, jobs: int) -> None:
    """Bring content of imports into the cache, from where it was imported, as it was then. Raises NotFound."""
    for chosen in outs:
        if _is_whole(chosen.cache, chosen.out.md5):
            moved.present += 1
            continue
        assert chosen.pointer is not None
        url = str(chosen.repo.get("url", ""))
        url = url if "://" in url else _place_of(url, chosen.pointer.file.parent)
        path = next(str(dep["path"]) for dep in chosen.pointer.deps if "repo" in dep)
        with _cloned(url, str(chosen.repo.get("rev_lock", ""))) as (clone, _, origin):
            digest = _brought(clone, origin, path, chosen.workspace.cache, jobs)
        if digest != chosen.out.md5 and not chosen.out.is_legacy:
            raise Corrupt(f"{path} of {url} is not what was imported: {digest}, not {chosen.out.md5}")
        moved.files += len(read_listing(chosen.workspace.cache, digest))


def _place_of(url: str, folder: Path) -> str:
    """A path made absolute; what git alone understands stays."""
    place = os.path.abspath(folder / os.path.expanduser(url))
    return place if os.path.isdir(place) else url


@contextmanager
def _cloned(url: str, rev: str) -> Iterator[tuple[str, str, str]]:
    """A clone at one revision, its commit, and where it was cloned from if that is a folder here."""
    origin = url.removeprefix("file://")
    with tempfile.TemporaryDirectory(prefix="taut-import-") as made:
        clone = f"{made}/clone"
        _git("clone", "--quiet", "--no-checkout", "--", url, clone)
        found = ""
        for name in (f"origin/{rev}", rev) if rev else ("HEAD",):
            with suppress(Unavailable):
                found = _git("-C", clone, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
                break
        if not found:
            raise NotFound(f"{url} has no revision {rev!r}", hint=f"git ls-remote {url}")
        _git("-C", clone, "checkout", "--quiet", "--detach", found)
        yield clone, found, origin if os.path.isdir(origin) else ""


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


def _brought(clone: str, origin: str, path: str, cache: Cache, jobs: int) -> str:
    """Have what a path of a clone means in a cache; returns its digest."""
    inside = os.path.normpath(path)
    if os.path.isabs(inside) or inside.startswith(".."):
        raise Invalid(f"{path} is not inside the other repository")
    place = f"{clone}/{inside}"
    if os.path.lexists(place):
        if not os.path.realpath(place).startswith(os.path.realpath(clone) + os.sep):
            raise Invalid(f"{path} links to outside of the other repository")
        with open_index("") as index:
            return store_snapshot(index, place, cache).digest
    try:
        chosen = chosen_outs(Path(clone), [inside])[0]
    except NotFound:
        raise NotFound(f"the other repository has no {path}", hint="dvc list URL") from None
    if chosen.out.is_legacy:
        raise Invalid(f"{path} is known there by a digest of DVC 2 alone", hint="dvc import, or add it there anew")
    md5 = chosen.out.md5
    _bring_from(clone, origin, chosen, cache, {md5}, jobs)
    if not md5.endswith(DIR):
        return md5
    files = [(name, one) for name, one in read_listing(cache, md5) if chosen.takes(name)]
    if not files:
        raise NotFound(f"the other repository has no {path}", hint="dvc list URL")
    _bring_from(clone, origin, chosen, cache, {one for _, one in files}, jobs)
    if not chosen.inside:
        return md5
    if [name for name, _ in files] == [chosen.inside]:
        return files[0][1]
    below = len(chosen.inside) + 1
    return cache.put_bytes(listing_bytes((name[below:], one) for name, one in files), DIR)


def _bring_from(clone: str, origin: str, chosen: Chosen, cache: Cache, digests: set[str], jobs: int) -> None:
    """From the other's own cache where that is here, else from its remotes, the one that it means first."""
    if origin:
        theirs = workspace_of(f"{origin}/.", origin, f"{origin}/.taut").cache
        there = cache.missing(digests)
        there -= theirs.missing(there)
        with suppress(NotFound, Corrupt):  # A damaged one is taken from a remote.
            bring(_CacheRemote(theirs), cache, there, Moved(), "importing")
    problem: TautError | None = None
    # What is relative there is meant from where the other repository lies, not from our clone of it.
    specs = read_remotes(places_of(origin or clone, "")) or read_remotes(places_of(clone, ""))
    order = sorted(specs.values(), key=lambda spec: (spec.name != chosen.out.remote, not spec.is_default, spec.name))
    for spec in order:
        if not cache.missing(digests):
            return
        try:
            bring(open_remote(spec, jobs=jobs), cache, digests, Moved(), "importing")
        except (NotFound, Corrupt, Invalid, Unavailable) as found:
            problem = problem or found
    if absent := cache.missing(digests):
        raise problem or NotFound(
            f"neither the cache nor a remote of the other repository has {min(absent)}", hint="dvc push, there"
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


def _pointer_bytes(dep: dict[str, Any], digest: str, size_bytes: int, files: int, name: str) -> bytes:
    """The pointer of an import as DVC writes it, with the digest over itself by which DVC tells a change."""
    import json

    import yaml

    out: dict[str, Any] = {"md5": digest, "size": size_bytes}
    if digest.endswith(DIR):
        out["nfiles"] = files
    out |= {"hash": "md5", "path": name}
    # Sizes and numbers of files stand outside of it, as does whether it is frozen.
    hashed = {"deps": [dep], "outs": [{key: out[key] for key in ("md5", "hash", "path")}]}
    md5 = md5_of(json.dumps(hashed, sort_keys=True).encode())
    said = {"md5": md5, "frozen": True, "deps": [dep], "outs": [out]}
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=WIDTH).encode()
