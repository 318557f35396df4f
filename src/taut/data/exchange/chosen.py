"""Which data a command means: outs of pointers and locks, whole or a part of a folder, by what was typed."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from taut.data.remotes.verified import LegacyCache
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import DIR
from taut.data.workspace.opened import Workspace, workspace_of
from taut.data.workspace.overview import project_of
from taut.data.workspace.pointers import LOCKED, PIPELINE, Out, Pointer, find_files, read_pointer
from taut.data.workspace.stages import read_lock
from taut.errors import NotFound


class Chosen(NamedTuple):
    """An out, and which part of its folder is meant: `inside` is empty for all of it. `pointer` is None for a stage."""

    out: Out
    inside: str
    workspace: Workspace
    pointer: Pointer | None

    @property
    def cache(self) -> Cache:
        """Where its content is kept: in the layout that its digest belongs to."""
        whole = self.workspace.cache
        return LegacyCache(whole.folder) if self.out.is_legacy else whole

    @property
    def repo(self) -> dict[str, Any]:
        """The repository that it was imported from; empty for anything else."""
        deps = self.pointer.deps if self.pointer is not None else ()
        return next((dep["repo"] for dep in deps if isinstance(dep.get("repo"), dict)), {})

    def takes(self, path: str) -> bool:
        """Whether a file of the folder is meant."""
        return not self.inside or path == self.inside or path.startswith(f"{self.inside}/")


class Found(NamedTuple):
    """What some targets name: outs with a digest and a place in a cache, and imports that were made without content."""

    outs: list[Chosen]
    partial: list[Chosen]
    unmet: set[str]


def chosen_outs(folder: Path, targets: Sequence[str] = ()) -> list[Chosen]:
    """Every out with a digest and a place in a cache in the project around a folder, or those that targets name.

    A target is a pointer, data, a folder above data, a file or folder inside tracked data, a `dvc.yaml`, or the address
    of a stage. Raises NotFound for one that names nothing, Invalid for a broken file.
    """
    return named(chosen_in(*project_of(str(folder)), folder, targets)).outs


def named(found: Found) -> Found:
    """The same. Raises NotFound for a target that names nothing."""
    if found.unmet:
        raise NotFound(f"nothing tracked is {min(found.unmet)}", hint="taut data list")
    return found


def chosen_in(project: str, taut: str, folder: Path, targets: Sequence[str] = ()) -> Found:
    """What targets, relative to a folder, name in a project. Raises Invalid for a broken file."""
    wanted = {target: os.path.abspath(folder / target) for target in targets}
    unmet = set(targets)
    found, partial = list[Chosen](), list[Chosen]()
    top = workspace_of(project, project, taut)
    for file in find_files(project, top.rules(f"{project}/.")):
        workspace = workspace_of(file, project, taut)
        outs: list[tuple[Out, Pointer | None, tuple[str, ...]]]
        if os.path.basename(file) == LOCKED:
            files = (file, f"{os.path.dirname(file)}/{PIPELINE}")
            outs = [(out, None, (*files, s.address)) for s in read_lock(Path(file), str(folder)) for out in s.outs]
        else:
            pointer = read_pointer(Path(file))
            outs = [(out, pointer, (file,)) for out in pointer.outs]
        for out, owner, names in outs:
            parts = set[str]()
            for target, path in wanted.items():
                part = "" if target in names or path in names else _part(out, path)
                if part is not None:
                    unmet.discard(target)
                    parts.add(part)
            if not targets or "" in parts:
                parts = {""}
            if out.md5 and out.is_cached:
                found += [Chosen(out, part, workspace, owner) for part in sorted(parts)]
            elif not out.md5 and parts and _is_partial(owner):
                partial.append(Chosen(out, "", workspace, owner))
    return Found(found, partial, unmet)


def _is_partial(pointer: Pointer | None) -> bool:
    """Whether it is an import that knows where its content is, and has none of it."""
    return pointer is not None and len(pointer.deps) == len(pointer.outs) == 1 and not pointer.outs[0].is_foreign


def _part(out: Out, path: str) -> str | None:
    """Which part of an out a path means; None where it means none of it."""
    if path == out.target or out.target.startswith(f"{path}/"):
        return ""
    if path.startswith(f"{out.target}/") and out.md5.endswith(DIR):
        return path[len(out.target) + 1 :]
    return None
