"""Pulled data whose place is empty, from a remote in a directory: each file read once, for the cache and its place."""

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from errno import EEXIST, ENOENT, ENOTDIR, ENOTEMPTY
from pathlib import Path

from taut.data.exchange.bringing import Moved, copy_in
from taut.data.exchange.chosen import Chosen
from taut.data.exchange.remote import InFolder
from taut.data.workspace import bulk
from taut.data.workspace.cache import FEW, Cache, clone, sync_all
from taut.data.workspace.digests import DIR, HEX
from taut.data.workspace.index import Index
from taut.data.workspace.listing import read_listing
from taut.data.workspace.packed import DAMAGED, packed_digests, packed_names, problem_of
from taut.data.workspace.walk import walk
from taut.data.workspace.whole import clear_beside, explained, staged_beside, sync_folder
from taut.errors import Conflict, Corrupt, NotFound
from taut.ground.progress import progress

Listing = Sequence[tuple[str, str]]


def is_fresh(chosen: Chosen) -> bool:
    """Whether an out is a folder, listed here, whose place is empty and whose files would be copies of the cache's."""
    out, cache = chosen.out, chosen.cache
    if out.is_legacy or chosen.inside or chosen.repo or not out.md5.endswith(DIR) or os.path.lexists(out.target):
        return False
    if not cache.has(out.md5):
        return False
    return next(kind for kind in cache.types if kind != "reflink" or _can_clone(chosen)) == "copy"


def pull_fresh(index: Index, remote: InFolder, chosen: Chosen, moved: Moved) -> bool:
    """Have a folder's files in the cache and in their place; False where it has too few for it to be worth anything.

    Where a file is lost or damaged nothing is in its place. Raises NotFound and Corrupt for that when all others are in
    the cache, Conflict where something has come into the place meanwhile, Denied, Unavailable.
    """
    cache, target, digest = chosen.cache, Path(chosen.out.target), chosen.out.md5
    listing = read_listing(cache, digest)
    if len(listing) <= FEW or any(len(md5) != HEX for _, md5 in listing):
        return False
    first = {md5: path for path, md5 in reversed(listing)}
    absent = cache.missing(first)
    moved.present += len(first) - len(absent)
    come = {md5: path for md5, path in first.items() if md5 in absent}
    rest = [(path, md5) for path, md5 in listing if come.get(md5) != path]
    try:
        with chosen.workspace.locked(target):
            clear_beside(target)
            with staged_beside(target) as staged, progress("pulling", unit="B") as bar:
                _make_folders(str(staged), (path for path, _ in listing))
                if come:
                    with cache.filling(len(come)) as filling:
                        names = packed_names(come.values())
                        copy_in(remote, cache, filling, list(come), moved, bar, str(staged), names)
                _copy_out(cache, rest, str(staged), target)
                sync_all(str(staged))
                found, found_ns = walk(str(staged)), time.time_ns()
                _put(staged, target)
            md5s = dict(listing)
            if md5s.keys() == set(found.paths):
                index.keep(str(target), found, packed_digests(md5s[path] for path in found.paths), digest, found_ns)
            index.keep_verified(cache, digest, [md5 for _, md5 in sorted(listing)])
    except OSError as problem:
        raise explained(problem, Path(problem.filename or target), "written") from None
    return True


def _copy_out(cache: Cache, files: Listing, folder: str, shown: Path) -> None:
    """Files that the cache has; `shown` is where they will lie. Raises NotFound, Corrupt, OSError."""
    if not files:
        return
    brought = bulk.bring(
        len(files), cache.root, digests=packed_digests(md5 for _, md5 in files), target_base=folder,
        targets=packed_names(path for path, _ in files),
    )  # fmt: skip
    if (failed := brought.failed()) is None:
        return
    code, (path, md5) = brought.code_list()[failed], files[failed]
    if code == ENOENT:
        raise NotFound(f"the cache {cache.folder} has no {md5}", hint="taut data pull")
    if code == DAMAGED:
        raise Corrupt(
            f"the file {cache.path_of(md5)} of the cache is damaged, which is {shown / path}", hint="taut fsck"
        )
    raise problem_of(code, cache.path_of(md5), f"{folder}/{path}")


def _make_folders(staged: str, paths: Iterable[str]) -> None:
    os.mkdir(staged)
    for folder in sorted({path.rpartition("/")[0] for path in paths} - {""}):
        os.makedirs(f"{staged}/{folder}", exist_ok=True)


def _put(staged: Path, target: Path) -> None:
    """Give a folder its place, which is empty. Raises Conflict where it is not any more."""
    try:
        staged.rename(target)
    except OSError as problem:
        if problem.errno not in (ENOTEMPTY, EEXIST, ENOTDIR):
            raise
        raise Conflict(f"{target} came to be while it was pulled", hint="taut data pull, once more") from None
    sync_folder(target.parent)


def _can_clone(chosen: Chosen) -> bool:
    """Whether files in its place can share the blocks of those in the cache: the folder's list is tried."""
    with suppress(OSError), staged_beside(Path(chosen.out.target)) as staged:
        clone(chosen.cache.path_of(chosen.out.md5), str(staged))
        return True
    return False
