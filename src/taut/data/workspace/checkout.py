"""`taut data checkout`: a dataset version back in the workspace, every byte verified, whole or not at all."""

import errno
import os
import shutil
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

from taut.data.versions import find_dataset, list_datasets, read_tree
from taut.data.workspace.add import index_folder, place_in_project, workspace_at
from taut.data.workspace.bulk import bring
from taut.data.workspace.cache import FEW, NAME, UNABLE, Cache, link_out, sync_all
from taut.data.workspace.digests import DIR, HEX, listing_bytes
from taut.data.workspace.ignore import Rules
from taut.data.workspace.index import Index, open_index
from taut.data.workspace.listing import checked_path, read_listing
from taut.data.workspace.opened import Workspace
from taut.data.workspace.packed import CHANGED, DAMAGED, DONE, TARGET, packed_digests, packed_names
from taut.data.workspace.pointers import Out, Pointer, ignore_in_git, pointer_file, read_pointer, write_pointer
from taut.data.workspace.sharing import fetch
from taut.data.workspace.snapshot import Snapshot, take_snapshot
from taut.data.workspace.threads import in_threads
from taut.data.workspace.tree import dvc_digest, is_one_file
from taut.data.workspace.walk import ONE_FILE, Walk, walk
from taut.data.workspace.whole import clear_beside, explained, staged_beside, swap_in, sync_folder
from taut.errors import Conflict, Corrupt, NotFound
from taut.ground.progress import Progress, progress
from taut.home import Home
from taut.records import TreeFile

NOTHING = (0, 0, 0)
AT_ONCE = 2000  # Files between two steps of the progress.


def checkout_dataset(
    home: Home, name: str, number: int | None = None, to: Path | None = None, *, force: bool = False
) -> Path:
    """Put a version (the newest where not said) where it came from, or at `to`; returns that place.

    Content is taken from the workspace cache, and brought there from the home where it is missing. A pointer is written
    only where it came from. The files are made beside the target, as copies or links as the cache is told, verified,
    and swapped in at the end. What lies there and is neither in the cache nor a version of this dataset is not
    overwritten without `force`. Raises Corrupt naming object and file (nothing is written then), NotFound, Conflict,
    Denied.
    """
    version = find_dataset(home, name if number is None else f"{name}@{number}")
    files = read_tree(home, version.tree)
    target = place_in_project(home, version.path) if to is None else Path(os.path.abspath(to))
    workspace = workspace_at(home, target)
    is_exec = to is None and _was_exec(target)
    with workspace.locked(target), open_index(index_folder(home)) as index:
        snapshot = _put(home, index, workspace, target, files, name=version.name, force=force, is_exec=is_exec)
        if to is None:
            write_pointer(snapshot, version)
            ignore_in_git(target)
    return target


def checkout_out(home: Home, pointer: Pointer, out: Out, *, force: bool) -> None:
    """Put one out of a pointer that taut wrote in its place; content that is in no cache is fetched from the home.

    In a DVC repository a version that this home never had is taken as the pointer says, from the cache. Raises what
    `checkout_dataset` raises.
    """
    target = Path(out.target)
    workspace = workspace_at(home, target)
    if workspace.repository is None:
        find_dataset(home, f"{pointer.name}@{pointer.number}")
    with workspace.locked(target), open_index(index_folder(home)) as index:
        _put(
            home, index, workspace, target, _files_of(home, workspace.cache, pointer, out), name=pointer.name,
            force=force, is_exec=out.is_exec,
        )  # fmt: skip


def put_out(
    index: Index, workspace: Workspace, target: Path, files: Sequence[tuple[str, str]], *, force: bool, is_exec: bool
) -> None:
    """Make the target hold files (path, MD5) that are all in the cache, without asking any home.

    Raises NotFound where one is not there, and what `checkout_dataset` raises. The caller holds the workspace's lock.
    """
    wanted = tuple(TreeFile(path, md5=md5) for path, md5 in files)
    _put(None, index, workspace, target, wanted, name="", force=force, is_exec=is_exec)


def _was_exec(target: Path) -> bool:
    """Whether the pointer says that its owner may run the file."""
    file = pointer_file(target)
    return file.exists() and read_pointer(file).outs[0].is_exec


def _files_of(home: Home, cache: Cache, pointer: Pointer, out: Out) -> tuple[TreeFile, ...]:
    """The files that an out means: of the version where taut wrote it, else of the list in the cache."""
    if pointer.tree and out == pointer.outs[0]:
        with suppress(NotFound):
            files = read_tree(home, find_dataset(home, f"{pointer.name}@{pointer.number}").tree)
            if dvc_digest(files) == out.md5:
                return files
    return tuple(TreeFile(path, md5=md5) for path, md5 in read_listing(cache, out.md5))


def _put(
    home: Home | None, index: Index, workspace: Workspace, target: Path, files: tuple[TreeFile, ...], *, name: str,
    force: bool, is_exec: bool = False,
) -> Snapshot:  # fmt: skip
    """Make the target hold these files; returns what lies there then."""
    cache, rules = workspace.cache, workspace.rules(str(target))
    clear_beside(target)
    digest = dvc_digest(files)
    present: Snapshot | None = None
    if target.exists() or target.is_symlink():
        present = take_snapshot(index, str(target), rules) if target.exists() else None
        if present is not None and present.digest == digest and (present.is_exec or not is_exec):
            return present
        if present is not None and not force:
            _require_kept(home, cache, name, present, files)
    _bring(home, index, cache, files, digest, target)
    try:
        staged = _write(cache, files, target, present, is_exec=is_exec)
    except Corrupt:
        damaged = [file for file in files if file.oid and not _is_whole(cache, file)]
        if not damaged or home is None:
            raise
        fetch(home, damaged, cache, str(target))
        staged = _write(cache, files, target, present, is_exec=is_exec)
    index.keep_verified(cache, digest, [file.md5 for file in files])
    _remember(index, target, rules, files, digest, staged)
    return take_snapshot(index, str(target), rules)


def _bring(
    home: Home | None, index: Index, cache: Cache, files: tuple[TreeFile, ...], digest: str, target: Path
) -> None:
    """Have all content in the cache, and a folder's list, by which DVC knows that it is."""
    index.load_verified(cache, digest, [file.md5 for file in files])
    absent = cache.missing(file.md5 for file in files)
    if home is not None:
        fetch(home, [file for file in files if file.md5 in absent], cache, str(target))
    elif absent:
        raise NotFound(f"{len(absent)} files of {target} are not in the cache {cache.folder}", hint="taut data pull")
    if digest.endswith(DIR) and not cache.has(digest):
        cache.put_bytes(listing_bytes((file.path, file.md5) for file in files), DIR)


def _is_whole(cache: Cache, file: TreeFile) -> bool:
    try:
        cache.verify(file.md5)
    except (Corrupt, NotFound):
        return False
    return True


def _require_kept(home: Home | None, cache: Cache, name: str, present: Snapshot, files: tuple[TreeFile, ...]) -> None:
    """Raise Conflict where content that would go is nowhere else."""
    stays = {(file.path, file.md5) for file in files}
    goes = {md5 for path, md5 in present.listed if (path, md5) not in stays}
    lost = cache.missing(goes)
    for version in list_datasets(home, name) if lost and name and home is not None else ():
        assert home is not None
        lost -= {file.md5 for file in read_tree(home, version.tree) if file.oid}
    if lost:
        raise Conflict(
            f"{present.place} holds data that is no version of {name or present.place.name!r} and would be lost",
            hint=f"taut data add {present.place}, or check out with --force",
        )


def _write(cache: Cache, files: tuple[TreeFile, ...], target: Path, present: Snapshot | None, *, is_exec: bool) -> Walk:
    """Make the files beside the target and swap them in; returns what was made, as it was found before the swap."""
    try:
        with staged_beside(target) as staged, progress("checkout", len(files), unit="file") as bar:
            if is_one_file(files):
                kinds = [_place(cache, files[0], str(staged), target, bar, is_exec=is_exec)]
            else:
                kinds = _fill(cache, files, str(staged), target, present, bar)
            _sync(staged, files, kinds)
            made = walk(str(staged))
            if target.is_symlink() and not target.exists():
                target.unlink()
            swap_in(staged, target)
    except OSError as problem:
        raise explained(problem, target, "written") from None
    return made


def _fill(
    cache: Cache, files: tuple[TreeFile, ...], staged: str, target: Path, present: Snapshot | None, bar: Progress
) -> list[str]:
    """Build a folder: files that lie there already are linked over, all others come from the cache."""
    here = dict(present.listed) if present is not None and not present.is_one_file else {}
    os.mkdir(staged)
    shown = str(target)
    for folder in sorted({checked_path(file.path, shown).rpartition("/")[0] for file in files}):
        os.makedirs(f"{staged}/{folder}", exist_ok=True)

    kinds = ["kept" if _is_kept(here, file, target, staged) else "" for file in files]
    todo = [file for file, kind in zip(files, kinds, strict=True) if not kind]
    placed = iter([*_place_all(cache, todo, staged, target, bar)])
    kinds = [kind or next(placed) for kind in kinds]
    for path in present.found.ignored if here and present is not None else ():
        _carry(f"{target}/{path}", f"{staged}/{path}")
    return kinds


def _is_kept(here: dict[str, str], file: TreeFile, target: Path, staged: str) -> bool:
    """Whether a file that lies there already has been given its second name."""
    if here.get(file.path) != file.md5:
        return False
    try:
        os.link(f"{target}/{file.path}", f"{staged}/{file.path}", follow_symlinks=False)
    except OSError:  # Where it cannot have one, it is made anew.
        return False
    return True


def _place_all(cache: Cache, files: Sequence[TreeFile], staged: str, target: Path, bar: Progress) -> Iterator[str]:
    """Put many files from the cache; yields which kind of link or copy each is.

    The first kind that this place can have is found with the first file; links that fail later, as where a file has as
    many names as it may, are made one by one.
    """
    if not files:
        return
    yield (kind := _place(cache, files[0], f"{staged}/{files[0].path}", target / files[0].path, bar))
    rest = files[1:]
    while rest and kind in ("hardlink", "copy") and all(map(_has_digest, rest[:AT_ONCE])):
        if not _brought(cache, rest[:AT_ONCE], staged, target, is_linked=kind == "hardlink"):
            break
        bar.advance(len(rest[:AT_ONCE]))
        yield from [kind] * len(rest[:AT_ONCE])
        rest = rest[AT_ONCE:]
    yield from in_threads(
        lambda file: _place(cache, file, f"{staged}/{file.path}", target / file.path, bar), rest, lambda: None
    )


def _has_digest(file: TreeFile) -> bool:
    return len(file.md5) == HEX and NAME.fullmatch(file.md5) is not None


def _brought(cache: Cache, files: Sequence[TreeFile], staged: str, target: Path, *, is_linked: bool) -> bool:
    """Put files from the cache in one call; False, and none is there, where the file system cannot link one."""
    known = [cache.verified.get(file.md5, NOTHING) for file in files]
    read = bring(
        len(files), cache.root, digests=packed_digests(file.md5 for file in files), target_base=staged,
        targets=packed_names(file.path for file in files), is_linked=is_linked,
        stamps=array("q", chain.from_iterable(known)).tobytes() if is_linked else None,
    )  # fmt: skip
    bad = read.failed()
    if bad is None:
        cache.verified.update(zip((file.md5 for file in files), read.stamp_list(), strict=True))
        return True
    file, code = files[bad], read.code_list()[bad]
    if is_linked and code > TARGET and code - TARGET in UNABLE:
        for number, one in enumerate(read.code_list()):
            if one == DONE:
                os.unlink(f"{staged}/{files[number].path}")
        return False
    shown = target / file.path
    if code in (DAMAGED, CHANGED):
        said = f"the file {cache.path_of(file.md5)} of the cache is damaged: its bytes have another digest"
        raise Corrupt(f"{said}, which is {shown}", hint="taut fsck")
    if code == errno.ENOENT:
        raise NotFound(f"the cache {cache.folder} has no {file.md5}, which is {shown}", hint="taut data pull")
    place = cache.path_of(file.md5) if code < TARGET else f"{staged}/{file.path}"
    raise OSError(code % TARGET, os.strerror(code % TARGET), place)


def _place(cache: Cache, file: TreeFile, place: str, shown: Path, bar: Progress, *, is_exec: bool = False) -> str:
    """Put one file from the cache; returns which kind of link or copy it is."""
    bar.advance()
    try:
        return link_out(cache, file.md5, place, is_exec=is_exec)
    except (Corrupt, NotFound) as problem:
        raise type(problem)(f"{problem.message}, which is {shown}", hint=problem.hint or "taut fsck") from None


def _carry(source: str, place: str) -> None:
    """Give what the rules leave out a second name in the new folder: it is no data, and stays where it was."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.isdir(source) and not os.path.islink(source):
        shutil.copytree(source, place, symlinks=True, copy_function=os.link, dirs_exist_ok=True)
    else:
        os.link(source, place, follow_symlinks=False)


def _sync(staged: Path, files: tuple[TreeFile, ...], kinds: list[str]) -> None:
    """Have what was made on disk: one sync where there are many."""
    if len(files) > FEW:
        sync_all(str(staged))
        return
    for file, kind in zip(files, kinds, strict=True):
        if kind in ("copy", "reflink"):
            _sync_file(staged if file.path == ONE_FILE else staged / file.path)
    if staged.is_dir():
        for folder in {staged, *((staged / file.path).parent for file in files)}:
            sync_folder(folder)


def _sync_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _remember(
    index: Index, target: Path, rules: Rules | None, files: tuple[TreeFile, ...], digest: str, staged: Walk
) -> None:
    """Tell the index what lies there now, unless somebody has changed it since it was swapped in."""
    found_ns = time.time_ns()
    found = walk(str(target), rules)
    md5s = {file.path: file.md5 for file in files}
    # Renaming a file and counting its names change its ctime, and nothing else.
    if found.has_same(staged) and md5s.keys() == set(found.paths):
        index.keep(str(target), found, packed_digests(md5s[path] for path in found.paths), digest, found_ns)
