"""What came from a remote, held against its digest, and how it is told what is lost or damaged."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import HEX, dos2unix_digest, file_digest
from taut.errors import Corrupt, NotFound

TOLD_MAX = 5  # Digests that a message names.
JOBS = 16  # Requests at once, where they go over a network.


class LegacyCache(Cache):
    """Where DVC 2 kept content, `FOLDER/ab/cdef…`: its digests are of text with CR LF read as LF."""

    def __init__(self, folder: Path, types: tuple[str, ...] = ("copy",)) -> None:
        super().__init__(folder, types)
        self.root = str(folder)

    def verify(self, md5: str) -> os.stat_result:
        """Hold an object's bytes against its name. Raises NotFound, Corrupt, OSError."""
        path = self.path_of(md5)
        try:
            if not is_right(path, file_digest(path).md5, md5, is_legacy=True):
                raise Corrupt(f"the file {path} of the cache is damaged: its bytes have another digest")
            return os.stat(path)
        except FileNotFoundError:
            raise NotFound(f"the cache {self.folder} has no {md5}", hint="taut data pull") from None


def is_right(path: str, md5: str, digest: str, *, is_legacy: bool) -> bool:
    """Whether a file with this MD5 is what a digest of DVC 3, or of DVC 2 where `is_legacy`, stands for."""
    return md5 == digest[:HEX] or (is_legacy and dos2unix_digest(path) == digest[:HEX])


def prefix_of(is_legacy: bool) -> str:
    """Where contents lie below the URL of a remote, with the slash behind it."""
    return "" if is_legacy else "files/md5/"


def key_of(digest: str, *, is_legacy: bool) -> str:
    """The place of a content below the URL of a remote.

    >>> key_of("0123456789abcdef0123456789abcdef.dir", is_legacy=False)
    'files/md5/01/23456789abcdef0123456789abcdef.dir'
    """
    return f"{prefix_of(is_legacy)}{digest[:2]}/{digest[2:]}"


class Failures:
    """Contents of a remote that are not there, or are not what their names say; filled by several threads."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._absent: list[str] = []
        self._damaged: list[str] = []

    def absent(self, digest: str) -> None:
        """It is not there."""
        with self._lock:
            self._absent.append(digest)

    def damaged(self, digest: str) -> None:
        """It has other bytes."""
        with self._lock:
            self._damaged.append(digest)

    def tell(self) -> None:
        """Raise Corrupt or NotFound with the digests, if there was any."""
        if self._damaged:
            raise Corrupt(
                f"{self._url} holds other bytes than their names say: {_some(self._damaged)}",
                hint="taut data push, from where the data is whole, after those are removed there",
            )
        if self._absent:
            raise NotFound(
                f"{self._url} has no {_some(self._absent)}", hint="taut data push --recheck, from where the data is"
            )


@contextmanager
def failing(url: str) -> Iterator[Failures]:
    """Tell at the end of the block what failed in it."""
    failures = Failures(url)
    yield failures
    failures.tell()


def _some(digests: list[str]) -> str:
    more = f" and {len(digests) - TOLD_MAX} more" if len(digests) > TOLD_MAX else ""
    return ", ".join(sorted(digests)[:TOLD_MAX]) + more
