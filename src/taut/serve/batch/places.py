"""Where a batch reads and writes: a folder, or a prefix of a bucket. What is written appears whole or not at all."""

import glob
import io
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol, cast
from urllib.parse import urlsplit, urlunsplit

from taut.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from taut.serve.batch.buckets import Bucket, Found, S3File, is_data, without_options


class Place(Protocol):
    """Files by their names below a folder or a prefix."""

    @property
    def url(self) -> str:
        """What people call it: a path, or an s3:// URL without its options."""
        ...

    def list(self, below: str = "") -> Iterator[str]:
        """Every name, with all that lies deeper, or those that begin so."""
        ...

    def read(self, name: str) -> bytes | None:
        """A small file whole, None where there is none."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file that is not there; False where it is."""
        ...

    def publish(self, name: str, made: Path) -> str:
        """Put a file of this disk there, in the place of an earlier one; returns its mark. `made` is of no more use."""
        ...

    def mark(self, name: str) -> str:
        """The size and mark of a file, empty where there is none."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Take files away; those that are gone already are no error."""
        ...

    def scratch(self) -> Path:
        """A folder of this disk for files that are not whole yet; publishing from there is cheapest."""
        ...


def connect_place(where: str) -> Place:
    """A folder, which need not be there, or an s3:// URL as taut's object stores are named. Raises UsageError."""
    if where.startswith("s3://"):
        return Bucket(where)
    if "://" in where:
        raise Invalid(f"{where!r} is no place for a batch: a file, a folder or s3://BUCKET/PREFIX")
    return Folder(Path(where).absolute())


def find_files(where: str) -> list[Found]:
    """The files of an input in the order of their names: one file, a folder, a pattern or an s3:// prefix.

    In folders and below prefixes those that begin with `_` or `.` are left out, and what is in folders called so.
    Raises NotFound where there are none, Invalid for a URL of another kind.
    """
    if where.startswith("s3://"):
        found = list(Bucket(where).find())
    elif "://" in where:
        raise Invalid(f"{where!r} cannot be read: give a file, a folder, a pattern or s3://BUCKET/PREFIX")
    else:
        found = [_local(path) for path in _paths(where)]
    if not found:
        raise NotFound(f"there is no file to score at {without_options(where)}")
    return found


def open_file(where: str, name: str) -> BinaryIO:
    """Open a file that `find_files` found there. Raises NotFound, Denied, Unavailable."""
    if not where.startswith("s3://"):
        return open(name, "rb")
    bucket = urlsplit(where)
    url = urlunsplit(bucket._replace(path=""))
    return cast("BinaryIO", io.BufferedReader(S3File(url, urlsplit(name).path.strip("/")), 1 << 16))


def mark_of(where: str, name: str) -> str:
    """The mark that a file has now, empty where it is gone."""
    if where.startswith("s3://"):
        bucket = urlsplit(where)
        return Bucket(urlunsplit(bucket._replace(path=""))).mark(urlsplit(name).path.strip("/"))
    try:
        return _local(Path(name)).mark
    except FileNotFoundError:
        return ""


class Folder:
    """A folder of this machine, or of a disk that several share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def url(self) -> str:
        """The path."""
        return str(self.path)

    def list(self, below: str = "") -> Iterator[str]:
        """Every file in it, as a path inside."""
        for folder, _, names in os.walk(self.path):
            inner = Path(folder).relative_to(self.path)
            yield from (name for name in (str(inner / one) for one in names) if name.startswith(below))

    def read(self, name: str) -> bytes | None:
        """A file whole."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def create(self, name: str, data: bytes) -> bool:
        """Write it beside and rename it; who works on a folder holds its lock, so nobody comes between."""
        if (self.path / name).exists():
            return False
        made = self.scratch() / f"{secrets.token_hex(8)}-{Path(name).name}"
        with _told(self.path, name):
            try:
                made.write_bytes(data)
                self.publish(name, made)
            finally:
                made.unlink(missing_ok=True)
        return True

    def publish(self, name: str, made: Path) -> str:
        """Sync it, rename it, sync the folder."""
        target = self.path / name
        with _told(self.path, name):
            target.parent.mkdir(parents=True, exist_ok=True)
            if made.stat().st_dev != target.parent.stat().st_dev:
                shutil.copyfile(made, beside := target.with_name(f".{target.name}.{os.getpid()}"))
                made = beside
            _sync(made)
            made.rename(target)
            _sync(target.parent)
        return self.mark(name)

    def mark(self, name: str) -> str:
        """Size and times."""
        try:
            return _local(self.path / name).mark
        except FileNotFoundError:
            return ""

    def remove(self, names: Iterable[str]) -> None:
        """Unlink them."""
        for name in names:
            with suppress(FileNotFoundError):
                (self.path / name).unlink()

    def scratch(self) -> Path:
        """`_taut/tmp` in it, so that publishing is a rename."""
        place = self.path / "_taut" / "tmp"
        try:
            place.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise Conflict(f"{self.path} is no folder", hint="name another output") from None
        return place


def _paths(where: str) -> list[Path]:
    place = Path(where).absolute()
    if place.is_dir():
        return sorted(path for path in place.rglob("*") if path.is_file() and is_data(str(path.relative_to(place))))
    if place.exists():
        return [place]
    return sorted(Path(path).absolute() for path in glob.glob(where, recursive=True) if Path(path).is_file())


def _local(path: Path) -> Found:
    seen = path.stat()
    return Found(str(path), seen.st_size, f"{seen.st_size}-{seen.st_ino}-{seen.st_mtime_ns}-{seen.st_ctime_ns}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(folder: Path, name: str) -> Iterator[None]:
    """Tell that a disk takes no more, or nothing from us. Raises Unavailable, Denied."""
    try:
        yield
    except PermissionError as problem:
        raise Denied(f"{folder} cannot be written: {problem.strerror}", hint=f"ls -ld {folder}") from None
    except OSError as problem:
        raise Unavailable(f"{folder} did not take {name}: {problem.strerror}", hint=f"df -h {folder}") from None
