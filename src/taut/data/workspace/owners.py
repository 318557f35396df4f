"""Whose some data is: the pointer that names it, wherever that stands, or the stage that makes it."""

import os
from pathlib import Path
from typing import NamedTuple

from taut.data.workspace.opened import Workspace
from taut.data.workspace.pointers import LOCKED, Pointer, find_files, pointer_file, read_pointer
from taut.data.workspace.stages import Stage, read_lock
from taut.errors import Conflict


class Owner(NamedTuple):
    """The pointer of data, and which of its outs it is; or the stage, by which of its outs."""

    file: Path
    number: int
    pointer: Pointer | None
    stage: Stage | None = None


def owner_of(workspace: Workspace, place: Path) -> Owner | None:
    """Whose a place is; None where nothing names it. The pointer beside it is asked first.

    Raises Conflict where something names a folder above it or data inside it: the same bytes cannot be tracked twice.
    """
    beside = pointer_file(place)
    if beside.is_file() and (owner := _in_pointer(beside, str(place))) is not None:
        return owner
    top = workspace.rules(f"{workspace.root}/.")
    found: Owner | None = None
    for file in find_files(workspace.root, top):
        if os.path.basename(file) == LOCKED:
            for stage in read_lock(Path(file), workspace.root):
                for number, out in enumerate(stage.outs):
                    if _is_it(out.target, place, f"stage {stage.address!r}"):
                        found = Owner(Path(file), number, None, stage)
        else:
            found = _in_pointer(Path(file), str(place)) or found
    return found


def _in_pointer(file: Path, place: str) -> Owner | None:
    pointer = read_pointer(file)
    for number, out in enumerate(pointer.outs):
        if _is_it(out.target, Path(place), str(file)):
            return Owner(file, number, pointer)
    return None


def _is_it(target: str, place: Path, whose: str) -> bool:
    """Whether data is this very place. Raises Conflict where one lies in the other."""
    if target == str(place):
        return True
    if str(place).startswith(f"{target}/"):
        raise Conflict(f"{place} is inside {target}, which {whose} tracks", hint=f"taut data add {target}")
    if target.startswith(f"{place}/"):
        raise Conflict(f"{target} is inside {place}, and tracked by {whose}", hint=f"taut data remove {target}")
    return False
