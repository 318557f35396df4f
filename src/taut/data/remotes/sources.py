"""What `taut data import-url` takes data from: a path, a web server or a bucket, by the marks that DVC knows it by.

A source is looked at without being read where it can say itself what it has: by its ETag in a bucket and on a web
server. A file of this machine is read. The marks are DVC's own, so that both tools see the same changes.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

from taut.data.remotes.config import Places, RemoteSpec, find_remote
from taut.data.remotes.verified import JOBS
from taut.data.workspace.digests import DIR, md5_of
from taut.data.workspace.walk import ONE_FILE
from taut.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from taut.ground.progress import Progress

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from urllib3 import BaseHTTPResponse, PoolManager

    from taut.data.workspace.snapshot import Snapshot

PIECE_BYTES = 1 << 20
BUCKETS = ("s3", "gs", "azure")
WEB = ("http", "https")
REMOTE = "remote"

Kind = Literal["md5", "etag", "checksum"]


class Marked(NamedTuple):
    """A file of a source: its path inside, `.` for the one file that a source is, its mark, and where it lies there."""

    path: str
    mark: str
    size_bytes: int
    key: str


class Seen(NamedTuple):
    """What a source had when it was looked at, and what its marks are: digests, or what its server calls them."""

    kind: Kind
    files: tuple[Marked, ...]

    @property
    def is_folder(self) -> bool:
        """Whether it is more than the one file."""
        return [file.path for file in self.files] != [ONE_FILE]

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    def as_dep(self) -> dict[str, Any]:
        """As DVC writes it into a pointer, without the path.

        >>> Seen("etag", (Marked(".", "0cc1", 1, "a"),)).as_dep()
        {'etag': '0cc1', 'size': 1, 'hash': 'md5'}
        """
        if not self.is_folder:
            return {self.kind: self.files[0].mark, "size": self.files[0].size_bytes, "hash": "md5"}
        listed = [{self.kind: file.mark, "relpath": file.path} for file in sorted(self.files, key=lambda one: one.path)]
        digest = md5_of(json.dumps(listed, sort_keys=True).encode()) + DIR
        return {"md5": digest, "size": self.size_bytes, "nfiles": len(self.files), "hash": "md5"}


class Source(Protocol):
    """A place that data is taken from."""

    @property
    def place(self) -> str:
        """Where it lies on this machine; empty where it does not."""
        ...

    def look(self) -> Seen:
        """What is there now. Raises NotFound, Denied, Unavailable."""
        ...

    def fetch(self, file: Marked, target: Path, bar: Progress) -> str:
        """Write one file; returns its MD5. Raises NotFound, Denied, Unavailable, Conflict where it went since."""
        ...


def source_of(url: str, folder: Path, places: Places, jobs: int = 0) -> Source:
    """The source at a path, relative to `folder`, or a URL. `remote://NAME/path` is below a remote of the config.

    Raises Invalid for a kind that taut does not reach, NotFound for a remote that there is not.
    """
    parts = urlsplit(url)
    spec = RemoteSpec("", url, {}, "", False)
    if parts.scheme == REMOTE:
        found = find_remote(places, parts.netloc)
        spec = found._replace(url=f"{found.url.rstrip('/')}{parts.path}")
        parts = urlsplit(spec.url)
    if spec.is_store:
        raise Invalid(f"{url} is in taut's own format: it has contents, and no names", hint="taut data pull --remote")
    if parts.scheme in WEB:
        return _Web(spec)
    if parts.scheme in BUCKETS:
        return _Bucket(spec)
    if parts.scheme not in ("", "file"):
        raise Invalid(f"{url} is at {parts.scheme}://, which taut does not reach", hint=f"dvc import-url {url}")
    return _Local(os.path.abspath(folder / os.path.expanduser(spec.url.removeprefix("file://"))))


class _Local:
    """A file or folder of this machine, by MD5."""

    def __init__(self, place: str) -> None:
        self.place = place

    def look(self) -> Seen:
        """Read all of it."""
        from taut.data.workspace.index import open_index
        from taut.data.workspace.snapshot import take_snapshot

        with open_index("") as index:
            return seen_here(take_snapshot(index, self.place))

    def fetch(self, file: Marked, target: Path, bar: Progress) -> str:
        """Copy it."""
        from taut.data.workspace.digests import copied_file
        from taut.data.workspace.whole import explained

        try:
            return copied_file(file.key, str(target), None, bar).md5
        except OSError as problem:
            raise explained(problem, Path(problem.filename or target), "copied") from None


class _Web:
    """One file of a web server, by its ETag."""

    place = ""

    def __init__(self, spec: RemoteSpec) -> None:
        from taut.data.remotes.web import pool_of

        self._url = spec.url
        self._http: PoolManager = pool_of(spec, 1)

    def look(self) -> Seen:
        """Ask for its headers; by GET, unread, where the server answers no HEAD or tells no length."""
        told: dict[str, Any] = {}
        for method in ("HEAD", "GET"):
            with self._asked(method) as answer:
                told = _told(self._url, answer)
                if answer.status < 400 and told["size"] is not None:
                    break
        mark = told.get("ETag") or told.get("Content-MD5") or _token(told)
        return Seen("checksum", (Marked(ONE_FILE, mark, told.get("size") or 0, self._url),))

    def fetch(self, file: Marked, target: Path, bar: Progress) -> str:
        """Download it."""
        from urllib3.exceptions import HTTPError

        from taut.data.remotes.web import write_stream

        with self._asked("GET") as answer:
            try:
                return write_stream(answer.stream(PIECE_BYTES, decode_content=False), target, bar)
            except HTTPError as problem:
                raise Unavailable(f"{self._url} broke off: {problem}", hint="type the same again") from None

    @contextmanager
    def _asked(self, method: str) -> "Iterator[BaseHTTPResponse]":
        from urllib3.exceptions import HTTPError

        try:
            answer = self._http.request(
                method, self._url, preload_content=False, headers={**self._http.headers, "Accept-Encoding": "identity"}
            )
        except HTTPError as problem:
            raise Unavailable(f"{self._url} did not answer: {problem}", hint=f"curl -I {self._url}") from None
        try:
            if answer.status in (401, 403):
                raise Denied(
                    f"{self._url} answers {answer.status}", hint="a remote with credentials: remote://NAME/path"
                )
            if answer.status in (404, 410):
                raise NotFound(f"{self._url} answers {answer.status}", hint=f"curl -I {self._url}")
            if answer.status >= 400 and method != "HEAD":
                raise Unavailable(f"{self._url} answers {answer.status}", hint=f"curl -I {self._url}")
            yield answer
        finally:
            answer.close()


class _Bucket:
    """An object, or all below a prefix, by their ETags."""

    place = ""

    def __init__(self, spec: RemoteSpec) -> None:
        from taut.data.remotes.bucket import open_bucket

        parts = urlsplit(spec.url)
        self._url, self._scheme, self._key = spec.url, parts.scheme, parts.path.strip("/")
        self._store: ObjectStore
        _, self._store = open_bucket(spec._replace(url=f"{parts.scheme}://{parts.netloc}"))

    def look(self) -> Seen:
        """Ask for the object of that name, then for all below it."""
        import obstore

        from taut.data.remotes.bucket import explained_bucket

        with explained_bucket(self._url):
            try:
                return Seen("etag", (self._marked(ONE_FILE, obstore.head(self._store, self._key)),))
            except FileNotFoundError:
                below = f"{self._key}/" if self._key else ""
                found = [
                    self._marked(str(entry["path"])[len(below) :], entry)
                    for batch in obstore.list(self._store, below or None)
                    for entry in batch
                ]
        if not found:
            raise NotFound(f"there is nothing at {self._url}", hint="aws s3 ls, or its like")
        return Seen("etag", tuple(found))

    def fetch(self, file: Marked, target: Path, bar: Progress) -> str:
        """Download it."""
        import obstore

        from taut.data.remotes.bucket import explained_bucket
        from taut.data.remotes.web import write_stream

        with explained_bucket(self._url):
            try:
                answer = obstore.get(self._store, file.key)
            except FileNotFoundError:
                raise changed(self._url) from None
            return write_stream((bytes(piece) for piece in answer.stream(min_chunk_size=PIECE_BYTES)), target, bar)

    def _marked(self, path: str, entry: Any) -> Marked:
        etag = str(entry.get("e_tag") or "")
        return Marked(path, etag.strip('"') if self._scheme == "s3" else etag, int(entry["size"]), str(entry["path"]))


def seen_here(snapshot: "Snapshot") -> Seen:
    """A file or folder of this machine as it was read."""
    place = str(snapshot.place)
    marked = (
        Marked(file.path, file.md5, file.size_bytes, place if file.path == ONE_FILE else f"{place}/{file.path}")
        for file in snapshot.files
    )
    return Seen("md5", tuple(marked))


def changed(url: str) -> Conflict:
    """How it is told that a source became another while it was read."""
    return Conflict(f"{url} changed while it was read", hint="wait until nothing writes there, then try again")


def fetch_all(
    source: Source, files: Sequence[Marked], place: Callable[[int], Path], bar: Progress, jobs: int = 0
) -> list[str]:
    """Write files, some at once; returns their MD5s, in order. After an error none begins another."""
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(jobs or JOBS)
    try:
        return list(pool.map(lambda one: source.fetch(one[1], place(one[0]), bar), enumerate(files)))
    finally:
        pool.shutdown(cancel_futures=True)


def _told(url: str, answer: "BaseHTTPResponse") -> dict[str, Any]:
    """What a server says of a file, in the order and words of DVC's library, of which a mark is made without ETag."""
    told: dict[str, Any] = {}
    headers = answer.headers
    if headers.get("Content-Encoding", "identity") in ("identity", "") and "Content-Length" in headers:
        told["size"] = int(headers["Content-Length"])
    if "Content-Type" in headers:
        told["mimetype"] = headers["Content-Type"].partition(";")[0]
    if headers.get("Accept-Ranges") == "none":
        told["partial"] = False
    told["url"] = urljoin(url, answer.geturl() or "")
    told |= {name: headers[name] for name in ("ETag", "Content-MD5", "Digest", "Last-Modified") if headers.get(name)}
    return {"name": url, "size": told.pop("size", None), **told, "type": "file"}


def _token(told: dict[str, Any]) -> str:
    """The mark of a file whose server has none: of all that it says, as DVC's library makes it."""
    return str(int(hashlib.md5(str((told,)).encode(), usedforsecurity=False).hexdigest(), 16))
