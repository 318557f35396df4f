"""The workspace cache: content named by DVC's digest, in DVC's own layout, so that both tools share every byte of it.

`ROOT/ab/cdef…` are read-only files, each whole or absent. Nothing in a workspace is ever a writable link to one.
"""

import errno
import hashlib
import os
import re
import shutil
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from taut.data.workspace.bulk import bring
from taut.data.workspace.digests import HEX, Hashed, copied_file, file_digest, md5_of
from taut.data.workspace.packed import DONE, PRESENT, Brought, packed_digests, unpacked_names
from taut.data.workspace.threads import in_threads
from taut.data.workspace.whole import changed
from taut.errors import Conflict, Corrupt, NotFound

if TYPE_CHECKING:
    from taut.ground.progress import Progress

CONTENT = "files/md5"  # Where DVC 3 keeps content below its cache folder.
TYPES = ("reflink", "hardlink", "symlink", "copy")
DEFAULT_TYPES = ("reflink", "copy")  # As DVC has it.
MODE = 0o444
FICLONE = 0x40049409  # linux/fs.h
FEW = 16  # Files up to which each is synced by itself: others' dirty pages are then nobody's wait.
LISTED = 512  # From so many names on, listing folders is cheaper than asking for each.
NAME: Final = re.compile(r"[0-9a-f]{32}(\.dir)?")
STAGING = ".taut-"  # `.taut-HANDLE` in the cache folder; whose process is gone is garbage.
# What a file system says that cannot make a link of a kind, or not here.
UNABLE = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTTY, errno.EMLINK, errno.EINVAL, errno.ENOSYS, errno.EACCES}
)

Stamp = tuple[int, int, int]
"""Size, mtime in ns and inode of an object: as long as they stay, so do its bytes."""


class Cache:
    """A cache folder. `types` are the kinds of link that a checkout tries, in this order; copy is always the last."""

    def __init__(self, folder: Path, types: Iterable[str] = DEFAULT_TYPES) -> None:
        self.folder = folder
        self.root = f"{folder}/{CONTENT}"
        self.types = tuple(dict.fromkeys((*types, "copy")))
        self.verified: dict[str, Stamp] = {}
        """Objects whose bytes were held against their names, and their stamps then."""

    def path_of(self, md5: str) -> str:
        """Where content lies, if it does. Raises Corrupt for what is no digest: it comes from files of strangers."""
        if not NAME.fullmatch(md5):
            raise Corrupt(f"{md5!r} is no digest of DVC's", hint="git log -p, where the pointer came from")
        return f"{self.root}/{md5[:2]}/{md5[2:]}"

    def legacy_path_of(self, md5: str) -> str:
        """Where DVC 2 kept content, whose digest was taken after line ends were changed."""
        return f"{self.folder}/{self.path_of(md5)[len(self.root) + 1 :]}"

    def has(self, md5: str) -> bool:
        """Whether there is a file of that name; `verify` says whether its bytes are right."""
        return os.path.exists(self.path_of(md5))

    def missing(self, md5s: Iterable[str]) -> set[str]:
        """Those that have no file."""
        wanted = set(md5s)
        if len(wanted) < LISTED:
            return {md5 for md5 in wanted if not self.has(md5)}
        absent: set[str] = set()
        by_folder: dict[str, set[str]] = {}
        for md5 in wanted:
            by_folder.setdefault(md5[:2], set()).add(md5[2:])
        for folder, names in by_folder.items():
            try:
                absent.update(folder + name for name in names.difference(os.listdir(f"{self.root}/{folder}")))
            except FileNotFoundError:
                absent.update(folder + name for name in names)
        return absent

    def verify(self, md5: str) -> os.stat_result:
        """Hold an object's bytes against its name, unless its stamp says that this was done; returns its status.

        Raises NotFound, Corrupt, OSError.
        """
        path = self.path_of(md5)
        try:
            found = os.stat(path)
            stamp = (found.st_size, found.st_mtime_ns, found.st_ino)
            if self.verified.get(md5) != stamp:
                if file_digest(path).md5 != md5[:HEX]:
                    raise Corrupt(f"the file {path} of the cache is damaged: its bytes have another digest")
                self.verified[md5] = stamp
        except FileNotFoundError:
            raise NotFound(f"the cache {self.folder} has no {md5}", hint="taut data pull") from None
        return found

    def read(self, md5: str) -> bytes:
        """A whole object, verified. Raises NotFound, Corrupt, Denied, Unavailable."""
        path = self.path_of(md5)
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"the cache {self.folder} has no {md5}", hint="taut data pull") from None
        if md5_of(data) != md5[:HEX]:
            raise Corrupt(f"the file {path} of the cache is damaged: its bytes have another digest")
        return data

    def put(self, source: str | Path) -> str:
        """Copy one file in; returns its digest when it is on disk. Raises Denied, Unavailable, Conflict."""
        with self.filling(1) as filling:
            return filling.copy_in(str(source)).md5

    def put_bytes(self, data: bytes, suffix: str = "") -> str:
        """Store bytes; returns their digest when they are on disk. `.dir` is the suffix of a folder's list."""
        with self.filling(1) as filling:
            return filling.put_bytes(data, suffix)

    @contextmanager
    def filling(self, files: int, bar: "Progress | None" = None) -> Iterator["Filling"]:
        """Put many files; all that was put is on disk when the block ends, by one sync where there are many."""
        from taut.ground.compute import handle_of, is_alive

        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob(f"{STAGING}*"):
            if not is_alive(left.name.removeprefix(STAGING).partition("+")[0]):
                shutil.rmtree(left, ignore_errors=True)
        # One folder a filling: two of one process may run in threads.
        staging = f"{self.folder}/{STAGING}{handle_of(os.getpid())}+{os.urandom(4).hex()}"
        os.mkdir(staging)
        try:
            filling = Filling(self, staging, sync_each=files <= FEW, bar=bar)
            yield filling
            filling.sync()
        finally:
            shutil.rmtree(staging, ignore_errors=True)


class Filling:
    """Content on its way into a cache; its methods may be called from several threads."""

    def __init__(self, cache: Cache, staging: str, *, sync_each: bool, bar: "Progress | None") -> None:
        self._cache, self._staging, self._bar = cache, staging, bar
        self.sync_each = sync_each
        self._stop = threading.Event()
        self._shards: set[str] = set()
        self._clones = "reflink" in cache.types
        self._links = [kind for kind in cache.types if kind in ("hardlink", "symlink")]
        self._is_dirty = False

    def stop(self) -> None:
        """Let reads that are under way end with Conflict: somebody pressed Ctrl-C, or another failed."""
        self._stop.set()

    def copy_in(self, source: str) -> Hashed:
        """Read a file once, hashing and writing on the way; content that is there whole already is not kept twice."""
        temporary = f"{self._staging}/{threading.get_ident()}"
        if self._clones and self._cloned(source, temporary):
            hashed = file_digest(temporary, self._stop, self._bar)
        else:
            hashed = copied_file(source, temporary, self._stop, self._bar, is_held=self.holds, sync=self.sync_each)
        if hashed.is_written:
            self._adopt(temporary, hashed.md5)
        return hashed

    def take_in(self, count: int, base: str, names: bytes, *, is_linked: bool) -> Brought:
        """Put many files of a folder in, each as `copy_in` does or with `is_linked` as `link_in`.

        Names, and what became of each, are as `bulk.bring` has them; what was there already has been verified where all
        went well. Raises OSError where the cache cannot be used, Conflict where it was stopped or a file has gone.
        """
        if not count:
            return Brought(b"", b"", b"")
        kind = self._links[0] if is_linked and self._links else "copy"
        paths = [f"{base}/{name}" for name in unpacked_names(names)] if kind == "symlink" or self._clones else []
        if kind == "symlink" or (kind == "copy" and paths and self._can_clone(paths[0])):
            return self._one_by_one(paths, self.link_in if is_linked else self.copy_in)
        os.makedirs(self._cache.root, exist_ok=True)
        told = bring(
            count, base, names, stores=((self._cache.root, self._staging),), is_linked=kind == "hardlink",
            sync=self.sync_each, advance=self._advance,
        )  # fmt: skip
        self._is_dirty = True
        if told.failed() is None:
            self._note_all(told, base, names, is_linked=kind == "hardlink")
        return told

    def _note_all(self, told: Brought, base: str, names: bytes, *, is_linked: bool) -> None:
        """Remember what is verified now; what was there already is verified, or made anew where it is damaged."""
        verified, md5s, stamps = self._cache.verified, told.md5s, told.stamp_list()
        if self.sync_each:
            self._shards.update(md5[:2] for md5 in md5s)
        if not any(told.codes):
            verified.update(zip(md5s, stamps, strict=True))
            return
        codes, paths = told.code_list(), unpacked_names(names)
        verified.update((md5s[number], stamps[number]) for number, code in enumerate(codes) if code == DONE)
        present = [number for number, code in enumerate(codes) if code == PRESENT]
        doubted = list({md5s[number] for number in present if verified.get(md5s[number]) != stamps[number]})
        damaged = self._damaged(doubted)
        for number in present:
            source, path = f"{base}/{paths[number]}", self._cache.path_of(md5s[number])
            if md5s[number] in damaged:
                (self.link_in if is_linked else self.copy_in)(source)
            elif is_linked and stamps[number][0] and not os.path.islink(source) and not os.path.samefile(path, source):
                self._cache_link(md5s[number], source)

    def _damaged(self, md5s: list[str]) -> set[str]:
        """Those of some objects whose bytes have another digest; all others are verified then, and read-only."""
        read = bring(
            len(md5s), self._cache.root, digests=packed_digests(md5s), go_on=True, advance=self._advance
        ) if md5s else Brought(b"", b"", b"")  # fmt: skip
        whole = {
            md5: stamp for md5, stamp, code in zip(md5s, read.stamp_list(), read.code_list(), strict=True) if not code
        }
        for md5 in whole:
            if os.stat(path := self._cache.path_of(md5)).st_mode & 0o222:
                os.chmod(path, MODE)
        self._cache.verified.update(whole)
        return set(md5s).difference(whole)

    def _one_by_one(self, paths: list[str], take: Callable[[str], Hashed]) -> Brought:
        def taken(path: str) -> Hashed:
            try:
                return take(path)
            except FileNotFoundError as problem:
                if problem.filename == path:
                    raise changed(path) from None
                raise

        made = in_threads(taken, paths, self.stop)
        stamps = array("q", [number for one in made for number in (one.size_bytes, 0, 0)])
        return Brought(packed_digests(one.md5 for one in made), stamps.tobytes(), bytes(4 * len(made)))

    def _advance(self, done: int) -> None:
        if self._stop.is_set():
            raise Conflict("it was interrupted")
        if self._bar is not None:
            self._bar.advance(done)

    def _can_clone(self, source: str) -> bool:
        """Whether this file's blocks can be shared; where it cannot be read, its reader will say so."""
        temporary = f"{self._staging}/{threading.get_ident()}"
        with suppress(OSError):
            return self._cloned(source, temporary)
        return False

    def link_in(self, source: str) -> Hashed:
        """Hash a file that lies in the workspace and leave a read-only link to the cache in its place.

        Of the first kind in the cache's types that this place can have; where it can have none, a copy is taken.
        """
        kind = self._links[0] if self._links else "copy"
        if kind == "copy" or os.path.islink(source):
            return self.copy_in(source)
        if kind == "symlink":
            hashed = self.copy_in(source)
            self._cache_link(hashed.md5, source)
            return hashed
        hashed = file_digest(source, self._stop, self._bar)
        if hashed.size_bytes == 0:  # As in DVC: else all empty files would be one, and links have a limit.
            self.put_bytes(b"")
            return hashed
        path = self._place(hashed.md5)
        if self.holds(hashed.md5, hashed.size_bytes):
            if os.stat(path).st_ino != os.stat(source).st_ino:
                self._cache_link(hashed.md5, source)
            return hashed
        try:
            self._linked(source, path)
        except OSError as problem:
            if problem.errno not in UNABLE:
                raise
            self._links = []
            return self.copy_in(source)
        os.chmod(path, MODE)
        self._is_dirty = True
        self._note(hashed.md5, path)
        return hashed

    def put_bytes(self, data: bytes, suffix: str = "") -> str:
        """Store bytes under their digest."""
        name = md5_of(data) + suffix
        if not self.holds(name, len(data)):
            temporary = f"{self._staging}/{threading.get_ident()}"
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(file, view) :]
                if self.sync_each:
                    os.fsync(file)
            finally:
                os.close(file)
            self._adopt(temporary, name)
        return name

    def put_stream(self, pieces: Iterable[bytes], md5: str) -> bool:
        """Store what comes under the digest that it must have; False, and nothing is stored, where it has another."""
        hashing = hashlib.md5(usedforsecurity=False)
        temporary = f"{self._staging}/{threading.get_ident()}"
        with open(temporary, "wb") as sink:
            for piece in pieces:
                if self._stop.is_set():
                    raise Conflict("it was interrupted")
                hashing.update(piece)
                sink.write(piece)
            if self.sync_each:
                sink.flush()
                os.fsync(sink.fileno())
        if hashing.hexdigest() != md5[:HEX]:
            return False
        self._adopt(temporary, md5)
        return True

    def holds(self, md5: str, size_bytes: int) -> bool:
        """Whether the cache has this content whole; an object that nobody verified since it changed is read for it."""
        path = self._cache.path_of(md5)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return False
        stamp = (found.st_size, found.st_mtime_ns, found.st_ino)
        if found.st_size != size_bytes:
            return False
        if self._cache.verified.get(md5) != stamp:
            if file_digest(path, self._stop).md5 != md5[:HEX]:
                return False
            if found.st_mode & 0o222:
                os.chmod(path, MODE)
            self._cache.verified[md5] = stamp
        return True

    @property
    def staging(self) -> str:
        """Where files are made that `take` is for; it goes when the block ends."""
        return self._staging

    def take(self, staged: str, md5: str) -> None:
        """Move a file in that was made in `staging` and verified."""
        if self.sync_each:
            _sync_file(staged)
        self._adopt(staged, md5)

    def note(self, md5s: Iterable[str]) -> None:
        """Objects were put into the cache by way of `staging`; their bytes are synced already where `sync_each` is."""
        self._is_dirty = True
        if self.sync_each:
            self._shards.update(md5[:2] for md5 in md5s)

    def sync(self) -> None:
        """Have all that was put on disk."""
        if not self._is_dirty:
            return
        if self.sync_each:
            for shard in (*self._shards, ""):
                _sync_folder(f"{self._cache.root}/{shard}")
        else:
            sync_all(self._cache.root)

    def _adopt(self, temporary: str, md5: str) -> None:
        path = self._place(md5)
        found = os.stat(temporary)
        if found.st_mode & 0o777 != MODE:
            os.chmod(temporary, MODE)
        os.rename(temporary, path)
        self._is_dirty = True
        self._cache.verified[md5] = (found.st_size, found.st_mtime_ns, found.st_ino)

    def _note(self, md5: str, path: str) -> None:
        found = os.stat(path)
        self._cache.verified[md5] = (found.st_size, found.st_mtime_ns, found.st_ino)

    def _linked(self, source: str, path: str) -> None:
        """Give the cache the very file; what has this name and is damaged gives way."""
        try:
            os.link(source, path)
        except FileExistsError:
            os.unlink(path)
            os.link(source, path)

    def _cache_link(self, md5: str, source: str) -> None:
        """Put a link to the cache where the file is, in one step."""
        aside = f"{os.path.dirname(source)}/.{md5}{STAGING}{threading.get_ident()}"
        try:
            link_out(self._cache, md5, aside)
            os.rename(aside, source)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(aside)

    def _place(self, md5: str) -> str:
        shard = md5[:2]
        if shard not in self._shards:
            os.makedirs(f"{self._cache.root}/{shard}", exist_ok=True)
            self._shards.add(shard)
        return self._cache.path_of(md5)

    def _cloned(self, source: str, target: str) -> bool:
        """Share the file's blocks, where the file system can; it is asked once."""
        try:
            clone(source, target)
        except OSError as problem:
            if problem.errno not in UNABLE:
                raise
            self._clones = False
            with suppress(FileNotFoundError):
                os.unlink(target)
            return False
        return True


def link_out(cache: Cache, md5: str, target: str, *, is_exec: bool = False) -> str:
    """Make `target`, which is not there, an object's content by the first kind of link that works; returns the kind.

    A copy is verified on the way; a link is made only to an object whose stamp says that it was verified, else it is
    read. Links are read-only. Raises NotFound, Corrupt.
    """
    path = cache.path_of(md5)
    for kind in ("copy",) if is_exec else cache.types:  # Its own mode is another than the cache's.
        try:
            _MAKE[kind](cache, md5, path, target)
        except FileNotFoundError:
            raise NotFound(f"the cache {cache.folder} has no {md5}", hint="taut data pull") from None
        except OSError as problem:
            if kind == "copy" or problem.errno not in UNABLE:
                raise
            with suppress(FileNotFoundError):
                os.unlink(target)
            cache.types = tuple(other for other in cache.types if other != kind)
            continue
        if is_exec:
            os.chmod(target, os.stat(target).st_mode | 0o100)
        return kind
    raise AssertionError("copy is always the last")


def clone(source: str, target: str) -> None:
    """A file that shares the blocks of another. Raises OSError where that cannot be."""
    import fcntl

    with open(source, "rb") as stream, open(target, "wb") as sink:
        fcntl.ioctl(sink, FICLONE, stream.fileno())


def sync_all(folder: str) -> None:
    """Have everything on a folder's file system on disk, in one call."""
    from taut.ground.objects.disk import sync_file_system

    sync_file_system(Path(folder))


def _sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    from taut.ground.objects.disk import sync_directory

    sync_directory(Path(folder))


def _make_reflink(cache: Cache, md5: str, path: str, target: str) -> None:
    cache.verify(md5)
    clone(path, target)


def _make_hardlink(cache: Cache, md5: str, path: str, target: str) -> None:
    found = cache.verify(md5)
    if found.st_size == 0:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        return
    if found.st_mode & 0o222:
        os.chmod(path, MODE)
    os.link(path, target)


def _make_symlink(cache: Cache, md5: str, path: str, target: str) -> None:
    if cache.verify(md5).st_mode & 0o222:
        os.chmod(path, MODE)
    os.symlink(path, target)


def _make_copy(cache: Cache, md5: str, path: str, target: str) -> None:
    if copied_file(path, target, mode=0o666).md5 != md5[:HEX]:
        os.unlink(target)
        raise Corrupt(f"the file {path} of the cache is damaged: its bytes have another digest")


_MAKE: dict[str, Callable[[Cache, str, str, str], None]] = {
    "reflink": _make_reflink,
    "hardlink": _make_hardlink,
    "symlink": _make_symlink,
    "copy": _make_copy,
}
