"""The other side of a server's URL: verbs forwarded by name, objects fetched and stored over HTTP."""

import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NoReturn

import msgspec

from taut.errors import Corrupt, Denied, TautError, Unavailable, UsageError, error_of
from taut.ground import wire
from taut.ground.meta import Tx
from taut.ground.objects.protocol import chunks, oid_of

TIMEOUT_S = 600.0  # A verb on a server may train or deploy; connecting may not take this long.
CONNECT_TIMEOUT_S = 5.0
SPOOL_BYTES = 16 << 20


class Remote:
    """A taut server: `call` runs one of its verbs as the holder of the token, and raises what the server raised."""

    def __init__(self, url: str, token: str = "") -> None:
        import urllib3

        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=TIMEOUT_S)
        self._pool = urllib3.PoolManager(headers=headers, timeout=timeout, retries=False, maxsize=16)

    def call(self, name: str, arguments: dict[str, Any]) -> bytes:
        """Run the verb `name`; returns its result as JSON."""
        return self.request("POST", f"/api/taut/v1/verbs/{name}", wire.encode(arguments))

    def request(self, method: str, path: str, body: bytes | BinaryIO | None = None) -> bytes:
        """One exchange; returns the body of a good answer."""
        import urllib3

        headers = {
            **self._pool.headers,
            "Content-Type": "application/json" if isinstance(body, bytes) else "application/octet-stream",
        }
        try:
            answer = self._pool.request(method, self.url + path, body=body, headers=headers)
        except urllib3.exceptions.HTTPError as problem:
            reason = re.sub(r"\[Errno -?\d+\] ", "", str(getattr(problem, "reason", problem)).rpartition(": ")[2])
            raise Unavailable(
                f"no taut server answers at {self.url}: {reason}",
                hint="check the URL in TAUT_HOME, or start it: taut server",
            ) from None
        if answer.status < 300:  # Nothing here redirects: whoever does is not a taut server.
            return answer.data
        raise _error_of_answer(self.url, answer.status, answer.data)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


class RemoteObjects:
    """The server's object store. Uploads travel whole; the server answers after they are on its disk."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"{self._remote.url}/api/taut/v1/objects"

    def put(self, source: BinaryIO) -> str:
        """Upload the bytes; returns the oid that the server computed."""
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            for chunk in chunks(source):
                spool.write(chunk)
            spool.seek(0)
            return wire.decode(
                self._remote.request("POST", "/api/taut/v1/objects", _file(spool)), str, what="the server's answer"
            )

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Read an object or a range of it, held against its name where it is whole."""
        query = f"?start={start}" + ("" if length is None else f"&length={length}")
        data = self._remote.request("GET", f"/api/taut/v1/objects/{oid}{query}")
        if start == 0 and length is None and oid_of(data) != oid:
            found = f"its {len(data)} bytes have another digest"
            raise Corrupt(f"object {oid[:12]} of {self._remote.url} is damaged: {found}", hint="taut fsck")
        return io.BytesIO(data)

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those that the server does not have."""
        answer = self._remote.request("POST", "/api/taut/v1/objects/missing", wire.encode(list(oids)))
        return set(wire.decode(answer, list[str], what="the server's answer"))

    def delete(self, oids: Iterable[str]) -> None:
        """Not from afar: objects are removed where they lie."""
        raise UsageError("objects of a server are removed on the server", hint="run it there, with --home PLACE")

    def list(self) -> Iterator[str]:
        """Every oid."""
        return iter(
            wire.decode(self._remote.request("GET", "/api/taut/v1/objects"), list[str], what="the server's answer")
        )


class RemoteMetadata:
    """A server's rows are reached by verbs only; whoever asks for a transaction here forgot to be one."""

    dialect = "remote"

    def __init__(self, url: str) -> None:
        self.url = url

    def transaction(self) -> AbstractContextManager[Tx]:
        """Refuses."""
        self._refuse()

    def read(self) -> AbstractContextManager[Tx]:
        """Refuses."""
        self._refuse()

    def ask(self, sql: str, parameters: object = None) -> NoReturn:
        """Refuses."""
        self._refuse()

    def close(self) -> None:
        """Nothing is open."""

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"this works on a home's own folder, not through its server {self.url}",
            hint="run it on the server, with --home PLACE",
        )


def remote_token() -> str:
    """The token of this user for servers: TAUT_TOKEN, else MLFLOW_TRACKING_TOKEN."""
    return os.environ.get("TAUT_TOKEN") or os.environ.get("MLFLOW_TRACKING_TOKEN", "")


def _file(spool: "tempfile.SpooledTemporaryFile[bytes]") -> BinaryIO:
    return spool  # type: ignore[return-value]  # A spool reads as a file does.


class _Problem(msgspec.Struct):
    """An error as the server writes it."""

    error: str = ""
    message: str = ""
    hint: str = ""


def _error_of_answer(url: str, status: int, data: bytes) -> TautError:
    try:
        problem = msgspec.json.decode(data, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    if status == 401:
        return Denied(problem.message or f"{url} asks who you are", hint="set TAUT_TOKEN to a token of that server")
    if problem.error:
        return error_of(problem.error, problem.message, problem.hint)
    shown = data[:200].decode(errors="replace").strip()
    return Unavailable(
        f"{url} answered {status}, not as a taut server does: {shown!r}", hint="check the URL in TAUT_HOME"
    )
