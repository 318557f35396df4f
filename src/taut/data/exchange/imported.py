"""The pointer of an import: what it says of where its data came from, written as DVC writes it."""

import json
import os
from pathlib import Path
from typing import Any, Final

from taut.data.workspace.digests import DIR, md5_of
from taut.data.workspace.opened import Workspace
from taut.data.workspace.pointers import SUFFIX, WIDTH, Pointer, editable, find_pointers, ignore_in_git, read_pointer
from taut.data.workspace.whole import write_whole
from taut.errors import Conflict, Invalid
from taut.ground.yaml import read_yaml

MARKS: Final = ("md5", "etag", "checksum", "size", "nfiles", "isexec", "hash")  # What an update says anew.
# What does not count where DVC takes a pointer's digest over itself.
ASIDE: Final = frozenset({"md5", "meta", "desc"})
NEVER: Final = frozenset({"desc", "type", "labels", "meta", "locked", "frozen", "metric", "persist"}) | frozenset(
    {"isexec", "size", "nfiles"}
)


def target_of(folder: Path, to: str, name: str, *, force: bool) -> Path:
    """Where an import is put: at `to`, in the folder that `to` is, else under its own name.

    Raises Conflict where something lies there or points there, unless `force`, and Invalid for a place without a name.
    """
    if not (to or name):
        raise Invalid("the URL names no file or folder", hint="the same with --out NAME")
    typed = folder / (to or name)
    target = Path(os.path.abspath(typed / name if to and typed.is_dir() else typed))
    if not force and (pointer_of(target).exists() or os.path.lexists(target)):
        raise Conflict(f"{target} is there already", hint="the same with --force, or with --out")
    return target


def pointer_of(target: Path) -> Path:
    """The pointer of a place, which may be named as a pointer already."""
    return target if target.name.endswith(SUFFIX) else target.with_name(target.name + SUFFIX)


def out_entry(digest: str, size_bytes: int, files: int) -> dict[str, Any]:
    """What a pointer says of content that is here."""
    return {"md5": digest, "size": size_bytes, **({"nfiles": files} if digest.endswith(DIR) else {}), "hash": "md5"}


def write_import(
    workspace: Workspace, target: Path, dep: dict[str, Any], out: dict[str, Any], *, file: Path | None = None,
    is_checked: bool = True,
) -> Path:  # fmt: skip
    """Write the frozen pointer of a new import, and have git ignore its data; returns the file.

    With `file`, a pointer that is there, only what `dep` and `out` say changes, and all else stays. `is_checked` is
    False where the source was never looked at: then DVC calls the pointer changed until somebody does.
    """
    if file is None:
        file = pointer_of(target)
        said = {"frozen": True, "deps": [dep], "outs": [{**out, "path": target.name}]}
        if is_checked:
            said = {"md5": _digest(said), **said}
        import yaml

        write_whole(file, yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=WIDTH).encode())
    else:
        document, written = editable(file)
        for entry, new in ((document["deps"][0], dep), (document["outs"][0], out)):
            _replace(entry, new)
        document["md5"] = _digest(document)
        write_whole(file, written(document))
    changed = [file, ignore_in_git(target)]
    if workspace.repository is not None and workspace.repository.is_on("core", "autostage"):
        workspace.repository.stage([one for one in changed if one is not None])
    return file


def imported(folder: Path, target: str) -> tuple[Pointer, dict[str, Any]]:
    """The pointer of an import by itself or its data, and what it came from. Raises NotFound, Invalid."""
    file = pointer_of(Path(os.path.abspath(folder / target)))
    pointer = read_pointer(file)
    if len(pointer.deps) != 1 or len(pointer.outs) != 1:
        raise Invalid(f"{file} was not imported", hint=f"cat {file}")
    return pointer, pointer.deps[0]


def imports_below(place: Path) -> list[str]:
    """The pointers of imports in a folder and below; a pointer itself, or that of data, is the only one."""
    if not place.is_dir() or pointer_of(place).exists():
        return [str(place)]
    found = (read_pointer(file) for file in find_pointers(place))
    return [str(one.file) for one in found if len(one.deps) == len(one.outs) == 1]


def folder_of(pointer: Pointer) -> Path:
    """The folder that a pointer's paths are relative to."""
    wdir = read_yaml(pointer.file, dict[str, Any]).get("wdir", ".")
    return Path(os.path.normpath(pointer.file.parent / str(wdir)))


def _replace(entry: Any, new: dict[str, Any]) -> None:
    """Say something anew in an entry of a document, in DVC's order, and leave all else."""
    for key in MARKS:
        if key not in new:
            entry.pop(key, None)
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(entry.get(key), dict):
            entry[key].update(value)
        elif key in entry or not hasattr(entry, "insert"):
            entry[key] = value
        else:
            entry.insert(min(len(entry), list(new).index(key)), key, value)


def _digest(said: Any) -> str:
    """DVC's digest of a pointer over itself, by which it tells that somebody changed one by hand."""
    bare = {key: value for key, value in said.items() if key not in ASIDE and (key, value) != ("wdir", ".")}
    return md5_of(json.dumps(_counted(bare), sort_keys=True).encode())


def _counted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _counted(inner) for key, inner in value.items() if key not in NEVER}
    return [_counted(inner) for inner in value] if isinstance(value, list) else value
