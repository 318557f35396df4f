"""What the C module does, in Python: for machines where nobody compiled it. `bulk` says what it promises."""

import errno
import os
import stat
import threading
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count as counting
from typing import NamedTuple

from taut.data.workspace import packed
from taut.data.workspace.digests import copied_file, file_digest
from taut.data.workspace.threads import in_threads

STORES = 2
Stamp = tuple[int, int, int]
UNABLE = frozenset(
    {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.EINVAL, errno.ENOSYS, errno.EACCES, errno.ENOTTY}
)


class Job(NamedTuple):
    """One item."""

    source: str
    md5: str
    stamp: Stamp | None
    target: str


class Result(NamedTuple):
    """What became of it."""

    md5: str
    stamp: Stamp
    code: int


NOTHING = (0, 0, 0)


def jobs_of(
    count: int, source_base: str, sources: bytes | None, digests: bytes | None, stamps: bytes | None,
    target_base: str | None, targets: bytes | None,
) -> list[Job]:  # fmt: skip
    """The items one by one. Raises ValueError where numbers do not fit, OSError where a folder is not there."""
    if any(
        given is not None and len(given) != count * size
        for given, size in ((digests, packed.DIGEST_BYTES), (stamps, packed.STAMP_BYTES))
    ):
        raise ValueError("there must be a digest and a stamp for each item, or none for any")
    for folder in (source_base, target_base):
        if folder is not None:
            os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    md5s = [""] * count if digests is None else packed.unpacked_digests(digests)
    if sources is None:
        if digests is None:
            raise ValueError("items without names are objects, and have digests")
        names = [f"{md5[:2]}/{md5[2:]}" for md5 in md5s]
    else:
        names = _names(sources)
    fields = iter(array("q", stamps or b""))
    known: list[Stamp | None] = [None] * count
    if stamps is not None:
        known = list(zip(fields, fields, fields, strict=True))
    to = [""] * count if targets is None else [f"{target_base}/{name}" for name in _names(targets)]
    if not len(names) == len(to) == count:
        raise ValueError("there must be as many names as items")
    items = zip(names, md5s, known, to, strict=True)
    return [Job(f"{source_base}/{name}", md5, stamp, target) for name, md5, stamp, target in items]


def _names(names: bytes) -> list[str]:
    found = packed.unpacked_names(names)
    if not all(found) or (names and not names.endswith(b"\0")):
        raise ValueError("names must not be empty, and each ends in NUL")
    return found


@dataclass
class Bringing:
    """One call."""

    jobs: list[Job]
    stores: tuple[tuple[str, str | None], ...]
    is_linked: bool
    mode: int
    sync: bool
    go_on: bool
    hears: Callable[[int], object] | None

    def __post_init__(self) -> None:
        if len(self.stores) > STORES:
            raise ValueError("there are too many stores")
        if self.is_linked and bool(self.stores) == any(job.target for job in self.jobs):
            raise ValueError("links go into one store or out to targets")
        if any(staging is None for _, staging in self.stores) and not all(job.md5 for job in self.jobs):
            raise ValueError("a store that is written to directly takes items with digests")
        self._stop, self._failed, self._numbers = threading.Event(), threading.Event(), counting()
        self._call = f"{os.getpid()}-{os.urandom(4).hex()}"

    def run(self, threads: int) -> packed.Brought:
        """Do it all."""
        if threads < 1:
            raise ValueError("there cannot be so many items or threads")
        made = (
            [*map(self._handled, self.jobs)] if threads == 1 else in_threads(self._handled, self.jobs, self._stop.set)
        )
        stamps = array("q")
        for one in made:
            stamps.extend(one.stamp)
        digests = packed.packed_digests(one.md5 or "00" * packed.DIGEST_BYTES for one in made)
        return packed.Brought(digests, stamps.tobytes(), array("i", [one.code for one in made]).tobytes())

    def advance(self, done: int = 1) -> None:
        """Tell what was read."""
        if self.hears is not None:
            self.hears(done)

    def _handled(self, job: Job) -> Result:
        if self._failed.is_set():
            return Result(job.md5, job.stamp or NOTHING, packed.SKIPPED)
        try:
            result = self._linked_out(job) if self.is_linked and job.target else self._taken(job)
        except OSError as problem:
            code = problem.errno or errno.EIO
            result = Result(job.md5, NOTHING, code if problem.filename == job.source else packed.TARGET + code)
        if result.code not in packed.STORED and not self.go_on:
            self._failed.set()
        return result

    def _taken(self, job: Job) -> Result:
        if not stat.S_ISREG((found := os.stat(job.source)).st_mode):
            return Result(job.md5, NOTHING, packed.CHANGED)
        if self.is_linked and found.st_size and not os.path.islink(job.source):
            return self._linked_in(job)
        if self.stores or job.target:
            return self._copied(job)
        hashed = file_digest(job.source, self._stop, self)
        stamp = (hashed.size_bytes, found.st_mtime_ns, found.st_ino)
        return self._result(job, hashed.md5, stamp, packed.DONE)

    def _result(self, job: Job, md5: str, stamp: Stamp, code: int) -> Result:
        return Result(job.md5, NOTHING, packed.DAMAGED) if job.md5 and md5 != job.md5 else Result(md5, stamp, code)

    def _copied(self, job: Job) -> Result:
        """Written once, hashed on the way; where it goes to more places, these get copies of what was written."""
        temporaries = [
            _object(root, job.md5) if staging is None else f"{staging}/python-{self._call}-{next(self._numbers)}"
            for root, staging in self.stores
        ]
        first = job.target or temporaries[0]
        lacking, stamp = list(range(len(self.stores))), NOTHING

        def is_held(md5: str, size_bytes: int) -> bool:
            nonlocal lacking, stamp
            there = [_stamp_of(_object(root, md5), size_bytes) for root, _ in self.stores]
            lacking = [number for number, one in enumerate(there) if one is None]
            stamp = next((one for one in reversed(there) if one is not None), NOTHING)
            return bool(job.md5 and md5 != job.md5) or not (lacking or job.target)

        found = os.stat(job.source)
        is_done = False
        if job.target:  # It is new, and no link that somebody put there is followed.
            os.close(os.open(job.target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self.mode))
        try:
            mode = self.mode if job.target else packed.MODE
            hashed = copied_file(job.source, first, self._stop, self, is_held=is_held, sync=self.sync, mode=mode)
            if job.md5 and hashed.md5 != job.md5:
                return Result(job.md5, NOTHING, packed.DAMAGED)
            if not hashed.is_written:
                return Result(hashed.md5, stamp, packed.PRESENT)
            for number in lacking:
                if temporaries[number] != first:
                    copied_file(first, temporaries[number], self._stop, sync=self.sync)
                stamp = _adopted(temporaries[number], self.stores[number][0], hashed.md5)
            is_done = True
            if not self.stores:
                stamp = (hashed.size_bytes, found.st_mtime_ns, found.st_ino)
            return Result(hashed.md5, stamp, packed.DONE)
        finally:
            ended = [
                path for path, (_, staging) in zip(temporaries, self.stores, strict=True) if is_done and staging is None
            ]
            for path in {*temporaries, *([job.target] if job.target and not is_done else [])}.difference(ended):
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def _linked_in(self, job: Job) -> Result:
        """The file itself becomes the object; what has this name there and is damaged gives way."""
        hashed = file_digest(job.source, self._stop, self)
        if job.md5 and hashed.md5 != job.md5:
            return Result(job.md5, NOTHING, packed.DAMAGED)
        root = self.stores[0][0]
        path = _object(root, hashed.md5)
        os.makedirs(f"{root}/{hashed.md5[:2]}", exist_ok=True)
        try:
            try:
                os.link(job.source, path, follow_symlinks=False)
            except FileExistsError:
                if (there := _stamp_of(path, hashed.size_bytes)) is not None:  # Another has just come.
                    return Result(hashed.md5, there, packed.PRESENT)
                os.unlink(path)
                os.link(job.source, path, follow_symlinks=False)
        except OSError as problem:
            if problem.errno not in UNABLE:
                raise OSError(problem.errno, problem.strerror, path) from None
            return self._copied(job)
        os.chmod(path, packed.MODE)
        found = os.stat(path)
        return Result(hashed.md5, (found.st_size, found.st_mtime_ns, found.st_ino), packed.DONE)

    def _linked_out(self, job: Job) -> Result:
        """A second name for an object that is verified; an empty one is made anew, for links have a limit."""
        found = os.stat(job.source)
        result = Result(job.md5, (found.st_size, found.st_mtime_ns, found.st_ino), packed.DONE)
        if result.stamp != job.stamp:
            hashed = file_digest(job.source, self._stop, self)
            result = self._result(job, hashed.md5, result.stamp, packed.DONE)
            if result.code != packed.DONE:
                return result
        if not found.st_size:
            os.close(os.open(job.target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
            return result
        if found.st_mode & 0o222:
            os.chmod(job.source, packed.MODE)
        try:
            os.link(job.source, job.target, follow_symlinks=False)
        except OSError as problem:
            raise OSError(problem.errno, problem.strerror, job.target) from None
        return result


def _object(root: str, md5: str) -> str:
    return f"{root}/{md5[:2]}/{md5[2:]}"


def _stamp_of(path: str, size_bytes: int) -> Stamp | None:
    """The stamp of an object; None where it is not there or has another size."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return (found.st_size, found.st_mtime_ns, found.st_ino) if found.st_size == size_bytes else None


def _adopted(temporary: str, root: str, md5: str) -> Stamp:
    """Move a whole file to its name in a store; its stamp."""
    found = os.stat(temporary)
    if found.st_mode & 0o777 != packed.MODE:
        os.chmod(temporary, packed.MODE)
    if temporary != _object(root, md5):
        os.makedirs(f"{root}/{md5[:2]}", exist_ok=True)
        os.rename(temporary, _object(root, md5))
    return found.st_size, found.st_mtime_ns, found.st_ino


def scanned(folder: str, prefix: str) -> tuple[bytes, bytes, bytes, bytes]:
    """What `bulk.scan` says of a folder."""
    names: list[str] = []
    folders: list[str] = []
    others: list[str] = []
    stamps = array("q")
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
                continue
            found = entry.stat()
            if stat.S_ISREG(found.st_mode):
                names.append(prefix + entry.name)
                ctime_ns = 0 if found.st_nlink > 1 else found.st_ctime_ns
                stamps.extend((found.st_size, found.st_mtime_ns, ctime_ns, found.st_ino))
            elif not stat.S_ISDIR(found.st_mode):
                others.append(entry.name)
    return packed.packed_names(names), stamps.tobytes(), packed.packed_names(folders), packed.packed_names(others)
