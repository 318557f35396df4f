"""Trees: the files of a dataset version in one canonical list, which is an object; its SHA-256 is their name."""

from collections.abc import Iterable

from taut.data.workspace.digests import DIR, listing_bytes, md5_of
from taut.data.workspace.walk import ONE_FILE
from taut.ground import wire
from taut.ground.objects import oid_of
from taut.records import TreeFile


def tree_bytes(files: Iterable[TreeFile]) -> bytes:
    """The canonical list of a tree's files; its SHA-256 is the name of the tree.

    Only files whose bytes a home holds have an `oid`.

    >>> tree_bytes([TreeFile(".", md5="cd", size_bytes=3)])
    b'[{"md5":"cd","path":".","size_bytes":3}]'
    """
    return wire.encode([_listed(file) for file in sorted(files, key=lambda file: file.path)])


def tree_oid(files: Iterable[TreeFile]) -> str:
    """The name of a tree: equal for equal content, wherever it lies."""
    return oid_of(tree_bytes(files))


def dvc_digest(files: tuple[TreeFile, ...]) -> str:
    """What DVC's pointer says under `md5`: the file's own digest, or that of the list with `.dir` behind it.

    >>> dvc_digest((TreeFile("a", "", "0cc175b9c0f1b6a831c399e269772661", 1),))
    '580614454446a0c6c4af2f3dae1f8d2b.dir'
    """
    if is_one_file(files):
        return files[0].md5
    return md5_of(listing_bytes((file.path, file.md5) for file in files)) + DIR


def is_one_file(files: tuple[TreeFile, ...]) -> bool:
    """Whether the tree is a single file and no folder."""
    return len(files) == 1 and files[0].path == ONE_FILE


def _listed(file: TreeFile) -> object:
    """As it stands in the list: one with an `oid` as it always did, so that older trees keep their names."""
    return file if file.oid else {"md5": file.md5, "path": file.path, "size_bytes": file.size_bytes}
