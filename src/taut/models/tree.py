"""A model as a tree of files: the list whose digest names the model, stored, read back, and taken from a folder."""

import hashlib
import io
from pathlib import Path, PurePosixPath

from taut.errors import Corrupt, Invalid, NotFound
from taut.ground import wire
from taut.ground.objects import Objects, oid_of, read_object
from taut.records import TreeFile


def store_tree(objects: Objects, files: tuple[TreeFile, ...]) -> str:
    """Store the list of files as one object; its oid is the digest of the model."""
    return objects.put(io.BytesIO(wire.encode(files)))


def read_tree(objects: Objects, digest: str) -> tuple[TreeFile, ...]:
    """The files of a digest. Raises NotFound, Corrupt; Invalid where a path would leave the folder."""
    files = wire.decode(read_object(objects, digest), tuple[TreeFile, ...], what=f"the tree {digest[:12]}")
    check_paths(files)
    return files


def check_paths(files: tuple[TreeFile, ...]) -> None:
    """Raise Invalid for a path that is not a plain relative one: a model must not write outside its folder."""
    for file in files:
        parts = PurePosixPath(file.path).parts
        if not parts or ".." in parts or file.path.startswith("/") or "\\" in file.path or "\0" in file.path:
            raise Invalid(f"{file.path!r} cannot be the path of a model's file")


def tree_of_folder(folder: Path) -> tuple[TreeFile, ...]:
    """Every file below the folder, hashed, in order of its path; what a model's digest is made of.

    A link counts as what it points at. Raises NotFound where there is no such folder.
    """
    if not folder.is_dir():
        raise NotFound(f"there is no model folder {folder}")
    files = []
    for path in sorted(entry for entry in folder.rglob("*") if entry.is_file()):
        with path.open("rb") as stream:
            oid = hashlib.file_digest(stream, "sha256").hexdigest()
        files.append(TreeFile(path.relative_to(folder).as_posix(), oid, "", path.stat().st_size))
    return tuple(sorted(files, key=lambda file: file.path))


def digest_of(files: tuple[TreeFile, ...]) -> str:
    """The name of a list of files, without storing it."""
    return oid_of(wire.encode(files))


def verify_folder(folder: Path, digest: str) -> tuple[TreeFile, ...]:
    """The folder's files after all their bytes were held against the digest. Raises Corrupt where they differ."""
    files = tree_of_folder(folder)
    found = digest_of(files)
    if found != digest:
        raise Corrupt(
            f"the model in {folder} is not the one that was registered: its digest is {found[:12]}, not {digest[:12]}",
            hint=f"remove the folder and fetch the model again: rm -r {folder}",
        )
    return files


def read_verified(folder: Path, file: TreeFile) -> bytes:
    """One file's bytes, checked as they were read, so that what is used is what was checked. Raises Corrupt."""
    data = (folder / file.path).read_bytes()
    if oid_of(data) != file.oid:
        raise Corrupt(f"{folder / file.path} changed while it was read", hint=f"rm -r {folder}")
    return data
