"""A DVC remote on a web server: read by GET and HEAD, written by POST or PUT where the server takes that."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from taut.data.exchange.remote import Content
from taut.data.remotes.config import RemoteSpec
from taut.data.remotes.verified import Failures, failing, is_right, key_of
from taut.data.workspace.digests import file_digest
from taut.data.workspace.whole import explained
from taut.errors import Corrupt, Denied, NotFound, Unavailable
from taut.ground.progress import Progress

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

T = TypeVar("T")

TIMEOUT_S = 60.0
RETRIES = 3
PIECE_BYTES = 1 << 20
MODE = 0o444


def write_stream(pieces: Iterable[bytes], path: Path, bar: Progress) -> str:
    """Write what comes into a new file; returns its MD5. Nothing is left of what broke off.

    Raises Denied, Unavailable where the disk does not take it, and what `pieces` raises.
    """
    hashing = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("wb") as sink:
            for piece in pieces:
                hashing.update(piece)
                sink.write(piece)
                bar.advance(len(piece))
        path.chmod(MODE)
    except BaseException as problem:
        path.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.errno is not None:
            raise explained(problem, path, "written") from None
        raise
    return hashing.hexdigest()


def pool_of(spec: RemoteSpec, jobs: int) -> "PoolManager":
    """Connections with what the config says: credentials, and whether certificates are checked."""
    from urllib3 import PoolManager, make_headers

    headers = make_headers(user_agent="taut")
    if (user := spec.option("user")) and spec.option("auth") != "custom":
        headers |= make_headers(basic_auth=f"{user}:{spec.option('password')}")
    if header := spec.option("custom_auth_header"):
        headers[header] = spec.option("password")
    verifies = spec.option("ssl_verify").strip().lower() not in {"0", "no", "false", "off", "n"}
    return PoolManager(
        maxsize=jobs, headers=headers, timeout=TIMEOUT_S, retries=RETRIES,
        cert_reqs="CERT_REQUIRED" if verifies else "CERT_NONE",
    )  # fmt: skip


class WebRemote:
    """`URL/files/md5/ab/cdef…` by GET and HEAD, and by POST, or the `method` of the config, as DVC sends it."""

    takes_deltas = False

    def __init__(self, spec: RemoteSpec, *, is_legacy: bool, jobs: int) -> None:
        self._url, self._is_legacy, self._jobs = spec.url.rstrip("/"), is_legacy, jobs
        self._http = pool_of(spec, jobs)
        self._method = (spec.option("method") or "POST").upper()

    @property
    def url(self) -> str:
        """Where it is."""
        return self._url

    def missing(self, digests: Collection[str]) -> set[str]:
        """Those that the server answers 404 for."""
        wanted = list(digests)
        return {digest for digest, has in zip(wanted, self._each(self._has, wanted), strict=True) if not has}

    def push(self, contents: Sequence[Content], bar: Progress) -> None:
        """Send what is not there, each file held against its digest before. Raises Denied where the server takes none.

        The server alone knows when a file is on its disk, and whether others may see a part of it.
        """
        absent = self.missing({content.digest for content in contents})
        todo = list({content.digest: content for content in contents if content.digest in absent}.values())
        wrong = [path for path in self._each(lambda content: self._put(content, bar), todo) if path]
        if wrong:
            raise Corrupt(f"these files have not the digests that they were pushed as: {', '.join(wrong[:5])}")

    def pull(self, wanted: Mapping[str, Path], bar: Progress) -> None:
        """Download, each file verified."""
        for folder in {path.parent for path in wanted.values()}:
            folder.mkdir(parents=True, exist_ok=True)
        with failing(self._url) as failures:
            self._each(lambda item: self._get(item[0], item[1], failures, bar), list(wanted.items()))

    def listed(self) -> Iterator[str]:
        """Raises Denied: nothing lists what a web server has."""
        raise Denied(f"{self._url} cannot be listed: it is a web server")

    def delete(self, digests: Iterable[str]) -> None:
        """Raises Denied: DVC's remotes on web servers keep what they have."""
        raise Denied(f"{self._url} is a web server: nothing is removed there")

    def _has(self, digest: str) -> bool:
        answer = self._asked("HEAD", digest)
        answer.drain_conn()
        answer.release_conn()
        return answer.status != 404

    def _get(self, digest: str, path: Path, failures: Failures, bar: Progress) -> None:
        from urllib3.exceptions import HTTPError

        answer = self._asked("GET", digest)
        if answer.status == 404:
            answer.drain_conn()
            failures.absent(digest)
            return
        try:
            md5 = write_stream(answer.stream(PIECE_BYTES, decode_content=False), path, bar)
        except HTTPError as problem:
            raise Unavailable(f"{self._url} broke off: {problem}", hint="type the same again; it goes on") from None
        finally:
            answer.release_conn()
        if not is_right(str(path), md5, digest, is_legacy=self._is_legacy):
            path.unlink()
            failures.damaged(digest)

    def _put(self, content: Content, bar: Progress) -> str:
        """Send one; returns its path where it has another digest, and was not."""
        from urllib3.exceptions import HTTPError

        path, url = str(content.path), f"{self._url}/{key_of(content.digest, is_legacy=self._is_legacy)}"
        try:
            if not is_right(path, file_digest(path).md5, content.digest, is_legacy=self._is_legacy):
                return path
            with content.path.open("rb") as stream:
                length = {"Content-Length": str(os.fstat(stream.fileno()).st_size)}
                answer = self._http.request(
                    self._method, url, body=stream, headers={**self._http.headers, **length}, redirect=False
                )
        except FileNotFoundError:
            raise NotFound(f"no file {path} to push", hint="taut data add, once more") from None
        except HTTPError as problem:
            raise Unavailable(f"{self._url} did not answer: {problem}", hint=f"curl -I {self._url}") from None
        except OSError as problem:
            raise explained(problem, content.path, "read") from None
        if answer.status in (401, 403, 404, 405, 501):
            raise Denied(
                f"{self._url} answers {answer.status} to {self._method}: it takes no files from here",
                hint="taut data remote modify NAME method PUT, where it takes that",
            )
        if not 200 <= answer.status < 300:
            raise Unavailable(f"{self._url} answers {answer.status} for {content.digest}", hint=f"curl -I {url}")
        bar.advance(content.size_bytes)
        return ""

    def _asked(self, method: str, digest: str) -> "BaseHTTPResponse":
        from urllib3.exceptions import HTTPError

        url = f"{self._url}/{key_of(digest, is_legacy=self._is_legacy)}"
        try:
            answer = self._http.request(method, url, preload_content=False)
        except HTTPError as problem:
            raise Unavailable(f"{self._url} did not answer: {problem}", hint=f"curl -I {self._url}") from None
        if answer.status in (401, 403):
            raise Denied(f"{self._url} answers {answer.status}", hint="taut data remote modify --local NAME user USER")
        if answer.status not in (200, 404):
            raise Unavailable(f"{self._url} answers {answer.status} for {digest}", hint=f"curl -I {url}")
        return answer

    def _each(self, work: Callable[[Any], T], items: Sequence[Any]) -> list[T]:
        pool = ThreadPoolExecutor(self._jobs)
        try:
            return list(pool.map(work, items))
        finally:
            pool.shutdown(cancel_futures=True)
