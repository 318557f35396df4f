"""`taut data checkout`: a dataset version back in the workspace, every byte verified, whole or not at all."""

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from taut.data.add import place_in_project
from taut.data.pointers import Pointer, find_pointers, read_pointer, write_pointer
from taut.data.snapshot import take_snapshot
from taut.data.tree import is_one_file, tree_oid
from taut.data.versions import find_dataset, list_datasets, read_tree
from taut.data.whole import explained, swap_in, sync_folder
from taut.errors import Conflict, Corrupt, Invalid, NotFound
from taut.ground.compute import handle_of, is_alive
from taut.ground.objects.protocol import chunks
from taut.ground.progress import Progress, progress
from taut.home import Home
from taut.records import TreeFile

STAGING = ".taut-"  # `.NAME.taut-HANDLE` beside the target; whose process is gone is garbage.


def checkout_dataset(
    home: Home, name: str, number: int | None = None, to: Path | None = None, *, force: bool = False
) -> Path:
    """Put a version (the newest where not said) where it came from, or at `to`; returns that place.

    A pointer is written only where it came from. The files are written beside the target, verified, and swapped in at
    the end. What lies there and is no version of this dataset is not overwritten without `force`. Raises Corrupt
    naming object and file (nothing is written then), NotFound, Conflict, Denied.
    """
    version = find_dataset(home, name if number is None else f"{name}@{number}")
    files = read_tree(home, version.tree)
    target = place_in_project(home, version.path) if to is None else Path(os.path.abspath(to))
    _clear(target)
    if target.exists() or target.is_symlink():
        present = _tree_of(home, target)
        if present != version.tree:
            if not force:
                _require_version(home, version.name, present, target)
            _write(home, files, target)
    else:
        _write(home, files, target)
    if to is None:
        write_pointer(target, files, version)
    return target


def checkout_pointers(home: Home, folder: Path, *, force: bool = False) -> list[Pointer]:
    """Put every dataset that a pointer below the folder names where it belongs, at the pointer's version.

    What a fresh clone lacks. Pointers that only DVC knows are left to DVC. Raises what `checkout_dataset` raises.
    """
    known = [pointer for file in find_pointers(folder) if (pointer := read_pointer(file)).name]
    for pointer in known:
        checkout_dataset(home, pointer.name, pointer.number, force=force)
    return known


def _tree_of(home: Home, target: Path) -> str:
    """The tree that lies there; empty for an empty folder."""
    if target.is_dir() and not any(target.iterdir()):
        return ""
    return tree_oid(take_snapshot(home, target, store=False).files)


def _require_version(home: Home, name: str, present: str, target: Path) -> None:
    if present and present not in {version.tree for version in list_datasets(home, name)}:
        raise Conflict(
            f"{target} holds data that is no version of {name!r} and would be lost",
            hint=f"taut data add {target}, or check out with --force",
        )


def _write(home: Home, files: tuple[TreeFile, ...], target: Path) -> None:
    try:
        with _staging(target) as staged, progress("checkout", sum(f.size_bytes for f in files), unit="B") as bar:
            if is_one_file(files):
                _fetch(home, files[0], staged, target, bar)
            else:
                _fetch_tree(home, files, staged, target, bar)
            swap_in(staged, target)
    except OSError as problem:
        raise explained(problem, target, "written") from None


def _fetch_tree(home: Home, files: tuple[TreeFile, ...], staged: Path, target: Path, bar: Progress) -> None:
    staged.mkdir()
    folders = {staged}
    for file in files:
        place = staged / _safe(file.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        folders.add(place.parent)
        _fetch(home, file, place, target / file.path, bar)
    for folder in folders:
        sync_folder(folder)


def _fetch(home: Home, file: TreeFile, place: Path, shown: Path, bar: Progress) -> None:
    """Copy an object out of the store, hashing what is written."""
    sha256 = hashlib.sha256()
    try:
        source = home.objects.open(file.oid)
    except NotFound as problem:
        raise NotFound(f"{problem.message}, which is {shown}", hint="taut fsck") from None
    with source, place.open("wb") as sink:
        for chunk in chunks(source):
            sha256.update(chunk)
            sink.write(chunk)
            bar.advance(len(chunk))
        sink.flush()
        os.fsync(sink.fileno())
    if sha256.hexdigest() != file.oid:
        where = f"object {file.oid[:12]} in {home.objects.url}, which is {shown}"
        raise Corrupt(f"{where}, is damaged: its bytes have another digest", hint="taut fsck")


def _safe(path: str) -> PurePosixPath:
    """A path of a tree, refused where it would leave the tree: the list may come from a stranger's server."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise Invalid(f"the tree has a file {path!r}, which is not inside it", hint="taut fsck")
    return pure


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A name beside the target to build at; gone at the end, with what was swapped out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staged = target.with_name(f".{target.name}{STAGING}{handle_of(os.getpid())}")
    try:
        yield staged
    finally:
        _remove(staged)


def _clear(target: Path) -> None:
    """Remove what checkouts of this target left beside it when they were killed, before the swap or after."""
    prefix = f".{target.name}{STAGING}"
    for left in target.parent.glob(f"{glob.escape(prefix)}*"):
        if is_alive(left.name.removeprefix(prefix).removesuffix(".old")):
            continue
        try:
            _remove(left)
        except OSError as problem:
            raise explained(problem, left, "removed") from None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
