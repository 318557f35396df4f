"""Batches in a bucket: objects found, read at several places in turn, and put there whole."""

import io
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit, urlunsplit

from taut.errors import Unavailable
from taut.ground.objects.s3 import bucket_explained, s3_client

TIMEOUT = "120s"  # Of one request to a bucket: a block of input, or a part of output.
BLOCK_BYTES, BLOCKS = 2 << 20, 32  # What is kept of an object: Parquet is read at the places of all columns in turn.


@dataclass(frozen=True, slots=True)
class Found:
    """A file of an input: its whole name, its size, and a mark that is another once the file is another."""

    name: str
    size_bytes: int
    mark: str


class Bucket:
    """A prefix of a bucket: `s3://bucket/prefix?endpoint=…`, credentials from the URL or the AWS_* environment."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store = s3_client(url, TIMEOUT)

    @property
    def url(self) -> str:
        """The URL without its options."""
        return without_options(self._url)

    def find(self) -> Iterator[Found]:
        """The objects below the prefix by name, or the one that it names."""
        import obstore

        with bucket_explained(self.url, "listing"):
            entries = sorted((entry for batch in obstore.list(self._store) for entry in batch), key=_path)
            if not entries and (key := urlsplit(self._url).path.strip("/")):
                whole = s3_client(urlunsplit(urlsplit(self._url)._replace(path="")), TIMEOUT)
                with suppress(FileNotFoundError):
                    entries = [obstore.head(whole, key)]
                    parts = urlsplit(self._url)
                    yield from (_object(f"s3://{parts.netloc}/{one['path']}", one) for one in entries)
                return
        for entry in entries:
            if is_data(str(entry["path"])):
                yield _object(f"{self.url.rstrip('/')}/{entry['path']}", entry)

    def list(self, below: str = "") -> Iterator[str]:
        """Every key below the prefix."""
        import obstore

        folder = below.rpartition("/")[0]
        with bucket_explained(self.url, "listing"):
            for batch in obstore.list(self._store, prefix=folder or None):
                yield from (key for key in map(_path, batch) if key.startswith(below))

    def read(self, name: str) -> bytes | None:
        """An object whole."""
        import obstore

        try:
            with bucket_explained(self.url, name, passed=(FileNotFoundError,)):
                return bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None

    def create(self, name: str, data: bytes) -> bool:
        """A conditional put."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            with bucket_explained(self.url, name, passed=(AlreadyExistsError,)):
                obstore.put(self._store, name, data, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def publish(self, name: str, made: Path) -> str:
        """A put, in several pieces where it is large, which is there when all are; the file here is removed."""
        import obstore

        with bucket_explained(self.url, name):
            put = obstore.put(self._store, name, made)
        made.unlink()
        return f"{put['e_tag']}"

    def mark(self, name: str) -> str:
        """The entity tag."""
        import obstore

        try:
            with bucket_explained(self.url, name, passed=(FileNotFoundError,)):
                return str(obstore.head(self._store, name)["e_tag"])
        except FileNotFoundError:
            return ""

    def remove(self, names: Iterable[str]) -> None:
        """Delete them."""
        import obstore

        with bucket_explained(self.url, "objects"):
            for name in names:
                with suppress(FileNotFoundError):
                    obstore.delete(self._store, name)

    def scratch(self) -> Path:
        """A folder of the system's for files in the making."""
        import tempfile

        place = Path(tempfile.gettempdir()) / f"taut-batch-{os.getuid()}"
        place.mkdir(mode=0o700, exist_ok=True)
        if place.stat().st_uid != os.getuid():
            raise Unavailable(f"{place} is somebody else's", hint="set TMPDIR to a folder of yours")
        return place


class S3File(io.RawIOBase):
    """An object read at several places in turn: the blocks used last are kept, each fetched once meanwhile."""

    def __init__(self, url: str, key: str) -> None:
        import obstore

        self._url, self._key = url, key
        self._store = s3_client(url, TIMEOUT)
        with bucket_explained(without_options(url), key):
            self._size = int(obstore.head(self._store, key)["size"])
        self._at = 0
        self._blocks: OrderedDict[int, memoryview] = OrderedDict()

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """To anywhere, at the cost of a request."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; nothing is fetched before something is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: object, /) -> int:
        """Bytes of one block, as many as there is room for."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # The caller's buffer.
        if self._at >= self._size:
            return 0
        number, inside = divmod(self._at, BLOCK_BYTES)
        found = self._block(number)[inside : inside + len(view)]
        view[: len(found)] = found
        self._at += len(found)
        return len(found)

    def _block(self, number: int) -> memoryview:
        import obstore

        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        start = number * BLOCK_BYTES
        with bucket_explained(without_options(self._url), self._key):
            fetched = obstore.get_range(
                self._store, self._key, start=start, length=min(BLOCK_BYTES, self._size - start)
            )
        self._blocks[number] = memoryview(fetched)
        while len(self._blocks) > BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]


def without_options(where: str) -> str:
    """A place as it may be told to others: a URL without its query, which may hold keys.

    >>> without_options("s3://bucket/in?access_key_id=me&secret_access_key=mine")
    's3://bucket/in'
    """
    return where.partition("?")[0] if where.startswith("s3://") else where


def is_data(name: str) -> bool:
    """Whether a path inside an input is data: no part of it begins with `_` or `.`."""
    return not any(part.startswith(("_", ".")) for part in name.split("/"))


def _object(name: str, entry: object) -> Found:
    known = cast("dict[str, object]", entry)
    return Found(name, int(str(known["size"])), str(known["e_tag"]))


def _path(entry: object) -> str:
    return str(cast("dict[str, object]", entry)["path"])
