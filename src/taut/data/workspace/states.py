"""What pointers and locks say, held against workspace and cache: DVC's own questions, in its order and its words.

Imports no home and no records: a status that finds nothing changed is over before those would be loaded.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import DIR, dos2unix_digest, listing_bytes, md5_of
from taut.data.workspace.index import Index, shards_now
from taut.data.workspace.listing import read_listing
from taut.data.workspace.opened import Workspace, workspace_of
from taut.data.workspace.origins import is_outdated
from taut.data.workspace.params import ParamState, param_states
from taut.data.workspace.pointers import LOCKED, PIPELINE, Entry, Out, Pointer, find_files, out_of, read_pointer
from taut.data.workspace.snapshot import Snapshot, take_snapshot
from taut.data.workspace.stages import Stage, read_lock
from taut.data.workspace.walk import ONE_FILE, walk
from taut.errors import Corrupt, Invalid, NotFound

State = Literal["unchanged", "modified", "deleted", "not in cache", "new", "update available", "unknown"]
"""As DVC has it: `not in cache` where content is missing there, whatever lies in the workspace.

`unknown` is data that a pointer knows by something else than MD5: a version in a bucket, which is not asked.
"""


class OutState(NamedTuple):
    """How one out or dependency stands; `shown` is its name in DVC's words, from where the question was asked."""

    out: Out
    state: State
    snapshot: Snapshot | None = None
    shown: str = ""


class FileState(NamedTuple):
    """A pointer, or a stage of a pipeline, with its outs and what it depends on. `pointer` is None for a stage.

    `params` are files of parameters by their names as in DVC's words, each with what changed in it. `notes` are words
    of DVC's for all of it, as `changed command`.
    """

    address: str
    pointer: Pointer | None
    outs: tuple[OutState, ...]
    deps: tuple[OutState, ...] = ()
    params: tuple[tuple[str, dict[str, ParamState] | ParamState], ...] = ()
    notes: tuple[str, ...] = ()


def states_below(
    index: Index, folder: str, project: str, taut_folder: str, shown_from: str, only: Sequence[str] = (), *,
    updates: bool = False,
) -> Iterator[FileState]:  # fmt: skip
    """Every pointer and every stage of a `dvc.yaml` in a folder and below, in the order of their files.

    Addresses are relative to `shown_from`. Of `only`, files, data, folders or addresses, where any are named. With
    `updates` the repositories that data was imported from are asked for newer commits. Raises Denied, Invalid for a
    broken file, Corrupt, Unavailable where such a repository cannot be read.
    """
    top = workspace_of(folder, project, taut_folder)
    for file in find_files(folder, top.rules(f"{folder}/.")):
        workspace = workspace_of(file, project, taut_folder)
        is_whole = not only or any(file == one or file.startswith(f"{one}/") for one in only)
        asked = _Asked(index, workspace, shown_from)
        if os.path.basename(file) == LOCKED:
            is_whole = is_whole or f"{file[: -len(LOCKED)]}{PIPELINE}" in only
            for stage in read_lock(Path(file), shown_from):
                names = {stage.address, stage.address.partition("@")[0], *(out.target for out in stage.outs)}
                if is_whole or names.intersection(only):
                    yield asked.stage(stage)
        else:
            pointer = read_pointer(Path(file))
            if is_whole or {out.target for out in pointer.outs}.intersection(only):
                yield asked.pointer(pointer, updates=updates)


class _Asked(NamedTuple):
    """Where a question is asked, and of which workspace."""

    known: Index
    workspace: Workspace
    shown_from: str

    def stage(self, stage: Stage) -> FileState:
        """How a stage stands."""
        notes = ("always changed",) * stage.is_always_changed + ("changed command",) * stage.is_changed
        deps: tuple[OutState, ...] = ()
        params: list[tuple[str, dict[str, ParamState] | ParamState]] = []
        if not stage.is_frozen:
            deps = tuple(self._dep(dep) for dep in stage.deps if "://" not in dep.path)
            params = [
                (self._shown(one.path, one.place), found)
                for one in stage.params
                if (found := param_states(one.place, one.wanted, one.recorded))
            ]
        return FileState(stage.address, None, self._outs(stage.outs), deps, tuple(params), notes)

    def pointer(self, pointer: Pointer, *, updates: bool) -> FileState:
        """How a pointer stands; what was imported from a URL is not asked for anew, as in DVC."""
        notes = ("always changed",) * pointer.is_always_changed + ("changed checksum",) * pointer.is_changed
        deps: list[OutState] = []
        for dep in pointer.deps:
            path = str(dep.get("path", ""))
            if isinstance(repo := dep.get("repo"), dict):
                state: State = "unchanged"
                if updates and is_outdated(repo, str(pointer.file.parent)):
                    state = "update available"
                deps.append(OutState(Out(path, path), state, shown=f"{path} ({repo.get('url', '')})"))
            elif not pointer.is_frozen and "://" not in path:
                deps.append(self._dep(_dep_of(dep, pointer)))
        address = os.path.relpath(pointer.file, self.shown_from)
        return FileState(address, pointer, self._outs(pointer.outs), tuple(deps), notes=notes)

    def _outs(self, outs: tuple[Out, ...]) -> tuple[OutState, ...]:
        made = (out_state(self.known, self.workspace, out) for out in outs)
        return tuple(one._replace(shown=self._shown(one.out.path, one.out.target)) for one in made)

    def _dep(self, dep: Out) -> OutState:
        """What lies outside of the repository never had the digest of DVC 2."""
        if dep.is_legacy and not dep.target.startswith(f"{self.workspace.root}/"):
            dep = dep._replace(is_legacy=False)
        return dep_state(self.known, self.workspace, dep)._replace(shown=self._shown(dep.path, dep.target))

    def _shown(self, path: str, target: str) -> str:
        is_inside = target.startswith(f"{self.workspace.root}/")
        return os.path.relpath(target, self.shown_from) if is_inside and not os.path.isabs(path) else target


def _dep_of(dep: dict[str, object], pointer: Pointer) -> Out:
    try:
        return out_of(msgspec.convert(dep, Entry), pointer.folder, pointer.file)
    except msgspec.ValidationError as problem:
        raise Invalid(f"{pointer.file}: deps: {problem}") from None


def out_state(index: Index, workspace: Workspace, out: Out) -> OutState:
    """How one out stands to the workspace and, in a DVC repository, to its cache.

    Without DVC what is in no cache may lie in the home, which is not asked here.
    """
    is_asked = workspace.repository is not None and out.is_cached and out.md5
    if is_asked and not is_in_cache(index, workspace.cache, out):
        return OutState(out, "not in cache")
    rules = workspace.rules(out.target)
    if rules is not None and rules.ignores(out.target, is_dir=os.path.isdir(out.target)):
        return OutState(out, "deleted")
    return dep_state(index, workspace, out)


def dep_state(index: Index, workspace: Workspace, out: Out) -> OutState:
    """How it stands to the workspace alone."""
    if not os.path.exists(out.target):
        return OutState(out, "deleted")
    if not out.md5:
        return OutState(out, "unknown" if out.is_foreign else "modified")
    if out.is_legacy:
        return OutState(out, "unchanged" if legacy_digest(out.target, workspace) == out.md5 else "modified")
    snapshot = take_snapshot(index, out.target, workspace.rules(out.target))
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
