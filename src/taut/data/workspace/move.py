"""`taut data move` and `remove`: a pointer changes its place, or goes, with what git was told about the data."""

import os
import shutil
from pathlib import Path

from taut.data.workspace.add import workspace_at
from taut.data.workspace.pointers import (
    SUFFIX,
    Pointer,
    ignore_in_git,
    pointer_file,
    read_pointer,
    renamed,
    unignore_in_git,
)
from taut.data.workspace.whole import explained, write_whole
from taut.errors import Conflict, Invalid, NotFound
from taut.home import Home


def move_data(home: Home, source: Path, target: Path) -> Pointer:
    """Move data with its pointer; into `target` where that is a folder. Returns the new pointer.

    Killed in between, the data is in one of the two places, and status says so; typed again it finishes. Raises
    NotFound for what no pointer names, Conflict where something is at the target, Invalid, Denied.
    """
    pointer = _pointer_of(source)
    goal = Path(os.path.abspath(target))
    if goal.is_dir():
        goal /= pointer.target.name
    new = pointer_file(goal)
    if goal.exists() and pointer.target.exists():
        raise Conflict(f"{goal} is there already", hint=f"taut data move {source} ANOTHER")
    if new.exists():
        raise Conflict(f"{new} is there already", hint=f"taut data move {source} ANOTHER")
    workspace = workspace_at(home, pointer.target)
    with workspace.locked(pointer.target, goal):
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            ignored = [ignore_in_git(goal)]
            if pointer.target.exists():
                pointer.target.rename(goal)
            write_whole(new, renamed(pointer.file, goal.name))
            pointer.file.unlink()
        except OSError as problem:
            raise explained(problem, goal, "moved") from None
        ignored.append(unignore_in_git(pointer.target))
        if workspace.repository is not None and workspace.repository.is_on("core", "autostage"):
            workspace.repository.stage([new, *(file for file in ignored if file is not None and file.exists())])
    return read_pointer(new)


def remove_pointer(home: Home, path: Path, *, outs: bool = False) -> Pointer:
    """Remove a pointer, given itself or its data; with `outs` the data in the workspace too. Returns what it was.

    Versions and content stay. Raises NotFound for what no pointer names, Denied.
    """
    pointer = _pointer_of(path)
    workspace = workspace_at(home, pointer.target)
    with workspace.locked(pointer.target):
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


def _pointer_of(path: Path) -> Pointer:
    place = Path(os.path.abspath(path))
    file = place if place.name.endswith(SUFFIX) else pointer_file(place)
    if not file.is_file():
        raise NotFound(f"no pointer {file}", hint="taut data list")
    pointer = read_pointer(file)
    if len(pointer.outs) != 1 or pointer.target.parent != file.parent:
        raise Invalid(f"{file} is no pointer of one piece of data beside it", hint=f"cat {file}")
    return pointer


def _delete(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
