"""`taut data move` and `remove`: a pointer changes its place, or goes, with what git was told about the data."""

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from taut.data.workspace.add import workspace_at
from taut.data.workspace.opened import Workspace
from taut.data.workspace.owners import owner_of
from taut.data.workspace.pointers import (
    PIPELINE,
    SUFFIX,
    Pointer,
    ignore_in_git,
    pointer_file,
    read_pointer,
    renamed,
    unignore_in_git,
)
from taut.data.workspace.whole import explained, write_whole
from taut.errors import Conflict, NotFound
from taut.home import Home


def move_data(home: Home, source: Path, target: Path) -> Pointer:
    """Move data with its pointer; into `target` where that is a folder. Returns the new pointer.

    A pointer that stands elsewhere, or names more, stays where it is and says the new path. Killed in between, the data
    is in one of the two places, and status says so; typed again it finishes. Raises NotFound for what no pointer names,
    Conflict where something is at the target or a stage makes the data, Invalid, Denied.
    """
    workspace = workspace_at(home, Path(os.path.abspath(source)))
    owner = _owner_of(workspace, source)
    pointer, old = owner.pointer, Path(owner.pointer.outs[owner.number].target)
    goal = Path(os.path.abspath(target))
    if goal.is_dir():
        goal /= old.name
    is_beside = owner.file == pointer_file(old) and len(pointer.outs) == 1
    new = pointer_file(goal) if is_beside else owner.file
    if goal.exists() and old.exists():
        raise Conflict(f"{goal} is there already", hint=f"taut data move {source} ANOTHER")
    if is_beside and new.exists():
        raise Conflict(f"{new} is there already", hint=f"taut data move {source} ANOTHER")
    text = renamed(owner.file, goal, owner.number, goal.parent if is_beside else None)
    with workspace.locked(old, goal):
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            ignored = [ignore_in_git(goal)] if pointer.outs[owner.number].is_cached else []
            if old.exists():
                old.rename(goal)
            write_whole(new, text)
            if new != owner.file:
                owner.file.unlink()
        except OSError as problem:
            raise explained(problem, goal, "moved") from None
        ignored.append(unignore_in_git(old))
        if workspace.repository is not None and workspace.repository.is_on("core", "autostage"):
            workspace.repository.stage([new, *(file for file in ignored if file is not None and file.exists())])
    return read_pointer(new)


def remove_pointer(home: Home, path: Path, *, outs: bool = False) -> Pointer:
    """Remove a pointer, given itself or its data; with `outs` the data in the workspace too. Returns what it was.

    Versions and content stay. Raises NotFound for what no pointer names, Conflict for one of several in a pointer or
    what a stage makes, Denied.
    """
    workspace = workspace_at(home, Path(os.path.abspath(path)))
    owner = _owner_of(workspace, path)
    pointer = owner.pointer
    if len(pointer.outs) > 1 and not path.name.endswith(SUFFIX):
        raise Conflict(
            f"{pointer.file} names {len(pointer.outs)} pieces of data, not {path} alone",
            hint=f"taut data remove {pointer.file}",
        )
    with workspace.locked(*(Path(out.target) for out in pointer.outs)):
        try:
            if outs:
                for out in pointer.outs:
                    _delete(Path(out.target))
            pointer.file.unlink()
        except OSError as problem:
            raise explained(problem, pointer.file, "removed") from None
        ignored = [unignore_in_git(Path(out.target)) for out in pointer.outs]
        if workspace.repository is not None and workspace.repository.is_on("core", "autostage"):
            workspace.repository.stage([file for file in ignored if file is not None and file.exists()])
    return pointer


class _Owned(NamedTuple):
    """A pointer, and which of its outs is meant."""

    file: Path
    number: int
    pointer: Pointer


def _owner_of(workspace: Workspace, path: Path) -> _Owned:
    """The pointer that is typed, or names what is typed. Raises NotFound, Conflict for what a stage makes."""
    place = Path(os.path.abspath(path))
    if place.name.endswith(SUFFIX) and place.is_file():
        return _Owned(place, 0, read_pointer(place))
    owner = owner_of(workspace, place)
    if owner is None:
        raise NotFound(f"no pointer {pointer_file(place)}, nor one elsewhere that names {place}", hint="taut data list")
    if owner.pointer is None:
        stage = owner.stage.address if owner.stage is not None else ""
        raise Conflict(f"{place} is made by the stage {stage!r}", hint=f"edit {owner.file.with_name(PIPELINE)}")
    return _Owned(owner.file, owner.number, owner.pointer)


def _delete(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
