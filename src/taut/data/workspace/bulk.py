"""Many files in one call: their names and stamps, and content that is read once, hashed, and copied or linked.

What a C module does without an object of Python's for each file (`native/`), or the same in Python where it is not
compiled. Names are bytes that end in NUL each; digests have 16 bytes and stamps three numbers a file, packed.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from taut.data.workspace.packed import Brought
from taut.data.workspace.threads import THREADS

if TYPE_CHECKING:
    from types import ModuleType

VERSION = 2  # Of the C module that this file calls.


def _compiled() -> "ModuleType | None":
    """The C module, if it is here and of our version, and names are bytes as it has them."""
    try:
        from taut.data.workspace.native import _native
    except ImportError:
        return None
    return _native if _native.VERSION == VERSION and sys.getfilesystemencoding() == "utf-8" else None


native = _compiled()


def bring(
    count: int,
    source_base: str,
    sources: bytes | None = None,
    *,
    digests: bytes | None = None,
    stamps: bytes | None = None,
    stores: tuple[tuple[str, str | None], ...] = (),
    target_base: str | None = None,
    targets: bytes | None = None,
    is_linked: bool = False,
    mode: int = 0o666,
    sync: bool = False,
    go_on: bool = False,
    threads: int = THREADS,
    advance: Callable[[int], object] | None = None,
) -> Brought:
    """Read each of `count` files once, hash it, and give it to up to two stores and to a target of its own.

    Sources are names in the folder `source_base`, or where none are given its objects `ab/cdef...` of the `digests`;
    whatever digests say must be true of the bytes, else nothing is written. `stores` are pairs of a root, where content
    is put as a read-only `ab/cdef...`, whole or not at all, and a folder for what is not whole yet on the same file
    system, which the caller removes; where there is none the root is such a folder itself, has its folders `ab`, and
    digests are known, each once. `targets` are new files in `target_base`, whose folders exist, with this mode less
    the umask. Nothing to put it is just hashing.

    `is_linked`: the file itself becomes the object of the one store (empty ones and symlinks are copied, and everything
    where the file system cannot link), or the target becomes a link to it; then those with the `stamps` that they had
    when they were verified are not read, and only those with other stamps are. Links are read-only.

    After an error no other item is begun, unless `go_on`. Nothing is synced, unless `sync`: then each file. `advance`
    hears every 50 ms how many more bytes were read; what it raises, as Ctrl-C, ends all of it: what is under way is
    removed. Raises OSError where a folder cannot be opened, ValueError where numbers do not fit.
    """
    if native is not None:
        return Brought(
            *native.bring(
                count, source_base, sources, digests, stamps, stores, target_base, targets, is_linked, mode, sync,
                go_on, threads, advance,
            )
        )  # fmt: skip
    from taut.data.workspace.bulk_python import Bringing, jobs_of

    jobs = jobs_of(count, source_base, sources, digests, stamps, target_base, targets)
    is_linked = is_linked and bool(stores or targets)
    return Bringing(jobs, stores, is_linked, mode, sync, go_on, advance).run(threads)


def scan(folder: str, prefix: str) -> tuple[bytes, bytes, bytes, bytes]:
    """One folder's files with the prefix before their names, their stamps, its folders, and what is neither.

    In the folder's own order; a link counts as what it links to, and those to folders are left out. A stamp is four
    numbers: size, mtime and ctime in ns, inode; the ctime of a file with several names is 0. Raises OSError.
    """
    if native is not None:
        told: tuple[bytes, bytes, bytes, bytes] = native.scan(folder, prefix)
        return told
    from taut.data.workspace.bulk_python import scanned

    return scanned(folder, prefix)
