"""What pointers and locks say, held against workspace and cache: DVC's own questions, in its order and its words.

Imports no home and no records: a status that finds nothing changed is over before those would be loaded.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import DIR, dos2unix_digest, listing_bytes, md5_of
from taut.data.workspace.index import Index, shards_now
from taut.data.workspace.listing import read_listing
from taut.data.workspace.opened import Workspace, workspace_of
from taut.data.workspace.pointers import LOCKED, Out, Pointer, find_files, read_lock, read_pointer
from taut.data.workspace.snapshot import Snapshot, take_snapshot
from taut.data.workspace.walk import ONE_FILE, walk
from taut.errors import Corrupt, NotFound

State = Literal["unchanged", "modified", "deleted", "not in cache", "unknown"]
"""As DVC has it: `not in cache` where content is missing there, whatever lies in the workspace.

`unknown` is data that a pointer knows by something else than MD5: a version in a bucket.
"""


class OutState(NamedTuple):
    """How one out or dependency stands."""

    out: Out
    state: State
    snapshot: Snapshot | None = None


class FileState(NamedTuple):
    """A pointer, or a stage of a lock, with its outs and what it depends on. `pointer` is None for a stage."""

    address: str
    pointer: Pointer | None
    outs: tuple[OutState, ...]
    deps: tuple[OutState, ...] = ()


def states_below(
    index: Index, folder: str, project: str, taut_folder: str, shown_from: str, only: Sequence[str] = ()
) -> Iterator[FileState]:
    """Every pointer and every stage of a `dvc.lock` in a folder and below, in the order of their files.

    Addresses are relative to `shown_from`. Of `only`, files, data or folders, where any are named.
    Raises Denied, Invalid for a broken file, Corrupt.
    """
    top = workspace_of(folder, project, taut_folder)
    for file in find_files(folder, top.rules(f"{folder}/.")):
        workspace = workspace_of(file, project, taut_folder)
        is_whole = not only or any(file == one or file.startswith(f"{one}/") for one in only)
        if os.path.basename(file) == LOCKED:
            for stage in read_lock(Path(file), shown_from):
                if not (is_whole or {out.target for out in stage.outs}.intersection(only)):
                    continue
                outs = tuple(out_state(index, workspace, out) for out in stage.outs)
                deps = tuple(dep_state(index, workspace, dep) for dep in stage.deps if "://" not in dep.path)
                yield FileState(stage.address, None, outs, deps)
        else:
            pointer = read_pointer(Path(file))
            if not (is_whole or {out.target for out in pointer.outs}.intersection(only)):
                continue
            outs = tuple(out_state(index, workspace, out) for out in pointer.outs)
            yield FileState(os.path.relpath(file, shown_from), pointer, outs)


def out_state(index: Index, workspace: Workspace, out: Out) -> OutState:
    """How one out stands to the workspace and, in a DVC repository, to its cache.

    Without DVC what is in no cache may lie in the home, which is not asked here.
    """
    is_asked = workspace.repository is not None and out.is_cached and out.md5
    if is_asked and not is_in_cache(index, workspace.cache, out):
        return OutState(out, "not in cache")
    return dep_state(index, workspace, out)


def dep_state(index: Index, workspace: Workspace, out: Out) -> OutState:
    """How it stands to the workspace alone."""
    rules = workspace.rules(out.target)
    is_dir = os.path.isdir(out.target)
    if not os.path.exists(out.target) or (rules is not None and rules.ignores(out.target, is_dir=is_dir)):
        return OutState(out, "deleted")
    if not out.md5:
        return OutState(out, "unknown" if out.is_foreign else "modified")
    if out.is_legacy:
        return OutState(out, "unchanged" if legacy_digest(out.target, workspace) == out.md5 else "modified")
    snapshot = take_snapshot(index, out.target, rules)
    return OutState(out, "unchanged" if snapshot.digest == out.md5 else "modified", snapshot)


def is_in_cache(index: Index, cache: Cache, out: Out) -> bool:
    """Whether all of an out's content is in the cache; for a folder its list too. Bytes are not looked at."""
    if out.is_legacy:
        return _is_legacy_in_cache(cache, out.md5)
    if not out.md5.endswith(DIR):
        return cache.has(out.md5)
    if index.is_cached(cache, out.md5):
        return True
    shards = shards_now(cache)
    try:
        listed = read_listing(cache, out.md5)
    except (NotFound, Corrupt):
        return False
    if cache.missing(md5 for _, md5 in listed):
        return False
    index.keep_cached(cache, out.md5, shards)
    return True


def legacy_digest(target: str, workspace: Workspace) -> str:
    """DVC 2's digest of a file or folder: of text with CR LF read as LF."""
    if not os.path.isdir(target):
        return dos2unix_digest(target)
    found = walk(target, workspace.rules(target))
    return md5_of(listing_bytes((path, dos2unix_digest(f"{target}/{path}")) for path in found.paths)) + DIR


def _is_legacy_in_cache(cache: Cache, md5: str) -> bool:
    path = cache.legacy_path_of(md5)
    if not md5.endswith(DIR):
        return os.path.exists(path)
    try:
        listed = read_listing(cache, md5, path)
    except (NotFound, Corrupt):
        return False
    return all(os.path.exists(cache.legacy_path_of(one)) for _, one in listed)


def joined(target: str, path: str) -> str:
    """Where a file of a dataset lies."""
    return target if path == ONE_FILE else f"{target}/{path}"
