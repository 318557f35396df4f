"""Pointers: the small `PATH.dvc` files that git keeps in place of data, in DVC's own format (`.dvc` files, DVC 3).

DVC reads ours and we read DVC's. What taut knows besides stands under `meta`, which DVC leaves to others.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from taut.data.tree import NEVER_INSIDE, dvc_digest, is_one_file
from taut.data.whole import explained, write_whole
from taut.errors import Invalid
from taut.ground.yaml import read_yaml
from taut.records import DatasetVersion, TreeFile

SUFFIX = ".dvc"
OURS = frozenset({"md5", "size", "nfiles", "hash", "path"})


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which version of `target` git remembers. `name`, `number` and `tree` are empty where DVC alone wrote the file.

    `md5` is DVC's digest (`.dir` behind it for a folder); empty where it is of a kind that taut does not compute.
    """

    file: Path
    target: Path
    md5: str
    name: str
    number: int
    tree: str


class _Out(msgspec.Struct):
    """What DVC says of the data."""

    path: str
    md5: str = ""
    hash: str = ""


class _Ours(msgspec.Struct):
    """What taut says of it."""

    name: str = ""
    version: int = 0
    tree: str = ""


class _Meta(msgspec.Struct):
    """Where strangers to DVC may write."""

    taut: _Ours = msgspec.field(default_factory=_Ours)


class _File(msgspec.Struct):
    """A `.dvc` file, as far as taut reads it."""

    outs: list[_Out] = []
    wdir: str = "."
    meta: _Meta = msgspec.field(default_factory=_Meta)


def pointer_file(target: Path) -> Path:
    """Where the pointer of a file or folder stands: beside it."""
    return target.with_name(target.name + SUFFIX)


def read_pointer(file: Path) -> Pointer:
    """Read a pointer, ours or DVC's. Raises NotFound, Invalid with line and column."""
    read = read_yaml(file, _File)
    if not read.outs:
        raise Invalid(f"{file} points at nothing: it has no outs", hint=f"taut data add {file.with_suffix('')}")
    out, ours = read.outs[0], read.meta.taut
    target = Path(os.path.normpath(file.parent / read.wdir / out.path))
    # Without `hash: md5` the digest is DVC 2's, taken after line ends were changed; it says nothing of the bytes.
    return Pointer(file, target, out.md5 if out.hash == "md5" else "", ours.name, ours.version, ours.tree)


def write_pointer(target: Path, files: tuple[TreeFile, ...], version: DatasetVersion) -> Pointer:
    """Point at a version: write the `.dvc` file and keep the data itself out of git. Fields of others stay.

    Nothing is written where it says so already. Raises Denied, Invalid where the present pointer cannot be read.
    """
    file = pointer_file(target)
    old: dict[str, Any] = read_yaml(file, dict[str, Any]) if file.exists() else {}
    others = {key: value for key, value in _first_out(old).items() if key not in OURS}
    out: dict[str, Any] = {"md5": dvc_digest(files), "size": version.size_bytes}
    if not is_one_file(files):
        out["nfiles"] = len(files)
    out |= {"hash": "md5", "path": target.name, **others}
    ours = {"name": version.name, "version": version.number, "tree": version.tree}
    new = {**old, "outs": [out], "meta": {**(old.get("meta") or {}), "taut": ours}}
    if new != old:
        write_whole(file, yaml.safe_dump(new, sort_keys=False, allow_unicode=True).encode())
    _ignore(target)
    return Pointer(file, target, out["md5"], version.name, version.number, version.tree)


def find_pointers(folder: Path) -> Iterator[Path]:
    """Every `.dvc` file in a folder and below, sorted; virtual environments and the like are not searched."""
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as problem:
        raise explained(problem, folder, "read") from None
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in NEVER_INSIDE and entry.name != "node_modules":
                yield from find_pointers(Path(entry.path))
        elif entry.name.endswith(SUFFIX) and entry.name != SUFFIX:
            yield Path(entry.path)


def pointer_over(path: Path, project: Path) -> Path | None:
    """The pointer of the dataset that a file belongs to: its own, or that of a folder above it in the project."""
    for candidate in (path, *path.parents):
        if candidate == project or project not in candidate.parents:
            return None
        if (file := pointer_file(candidate)).is_file():
            return file
    return None


def _first_out(old: dict[str, Any]) -> dict[str, Any]:
    outs = old.get("outs") or [{}]
    return dict(outs[0])


def _ignore(target: Path) -> None:
    """Add the data to the `.gitignore` beside it, as DVC does."""
    file, line = target.with_name(".gitignore"), f"/{target.name}"
    text = file.read_text() if file.exists() else ""
    if line not in text.splitlines():
        write_whole(file, f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n".encode())
