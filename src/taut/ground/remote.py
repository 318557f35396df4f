"""The other side of a server's URL: verbs forwarded by name, objects fetched and stored over HTTP."""

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from copy import copy
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, Self, cast
from urllib.parse import urlencode

import msgspec

from taut.errors import Corrupt, Denied, TautError, Unavailable, UsageError, error_of
from taut.ground import wire
from taut.ground.credentials import kept_token
from taut.ground.meta import Tx
from taut.ground.objects.protocol import Stored, chunks
from taut.ground.oidc import Code, Provider

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

TIMEOUT_S = 600.0  # A verb on a server may train or deploy; connecting may not take this long.
CONNECT_TIMEOUT_S = 5.0
SPOOL_BYTES = 16 << 20
OIDS_MAX = 10_000  # Of one question: a bucket is asked about each.
LOGIN, TOKEN = "/api/taut/v1/login", "/api/taut/v1/token"  # A path.
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105  # A kind of token.


class Remote:
    """A taut server: `call` runs one of its verbs as the holder of the token, and raises what the server raised."""

    def __init__(self, url: str, token: str = "", *, scheme: str = "Bearer") -> None:
        import urllib3

        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"{scheme} {token}"} if token else {}
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=TIMEOUT_S)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=16)

    def as_caller(self, authorization: str) -> "Remote":
        """The same server, over the same connections, asked with somebody else's Authorization header, or with none."""
        theirs = copy(self)
        theirs._headers = {"Authorization": authorization} if authorization else {}
        return theirs

    def call(self, name: str, arguments: dict[str, Any]) -> bytes:
        """Run the verb `name`; returns its result as JSON."""
        return self.request("POST", f"/api/taut/v1/verbs/{name}", wire.encode(arguments))

    def request(self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, *, kind: str = "") -> bytes:
        """One exchange; returns the body of a good answer. What comes in pieces is sent in pieces.

        `kind` is the media type of the body where it is neither JSON nor bytes alone.
        """
        with self._answer(method, path, body, kind=kind) as answer, self._explained():
            return answer.read()

    def stream(self, path: str, span: str = "") -> "BaseHTTPResponse":
        """A good answer to a GET, of which nothing is read yet; whoever closes it gives the connection back.

        `span` is a Range. An answer of status 416, that there is nothing in it, is a good one then.
        """
        return self._answer("GET", path, span=span)

    def read(self, answer: "BaseHTTPResponse", size: int | None) -> bytes:
        """The next bytes of an answer; one that breaks off is Unavailable, as the server itself would be."""
        with self._explained():
            return answer.read(size)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _answer(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, *, span: str = "", kind: str = ""
    ) -> "BaseHTTPResponse":
        headers = {
            **self._headers,
            "Content-Type": kind or ("application/json" if isinstance(body, bytes) else "application/octet-stream"),
            **({"Range": span} if span else {}),
        }
        with self._explained():
            answer = self._pool.request(method, self.url + path, body=body, headers=headers, preload_content=False)
            good = (206, 416) if span else range(200, 300)
            if answer.status in good:  # Nothing here redirects: whoever does is not a taut server.
                return answer
            with answer:
                said = answer.read()
        raise _error_of_answer(self.url, answer.status, said)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        import urllib3

        try:
            yield
        except urllib3.exceptions.HTTPError as problem:
            reason = re.sub(r"\[Errno -?\d+\] ", "", str(getattr(problem, "reason", problem)).rpartition(": ")[2])
            raise Unavailable(
                f"no taut server answers at {self.url}: {reason}",
                hint="check the URL in TAUT_HOME, or start it: taut server",
            ) from None


class RemoteObjects:
    """The server's object store. Bytes are streamed both ways; the server answers after they are on its disk."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"{self._remote.url}/api/taut/v1/objects"

    def put(self, source: BinaryIO) -> str:
        """Upload the bytes; returns the oid that the server computed. Raises Corrupt where it got other bytes."""
        hashed = hashlib.sha256()

        def passing() -> Iterator[bytes]:
            try:
                for chunk in chunks(source):
                    hashed.update(chunk)
                    yield chunk
            except OSError as problem:  # The library would take it for one of the connection.
                raise Unavailable(f"what was to be uploaded cannot be read: {problem}") from None

        answer = self._remote.request("POST", "/api/taut/v1/objects", passing())
        oid = wire.decode(answer, str, what="the server's answer")
        if oid != hashed.hexdigest():
            words = f"{self._remote.url} stored other bytes than were sent: {oid[:12]}, not {hashed.hexdigest()[:12]}"
            raise Corrupt(words, hint="upload it again")
        return oid

    def sink(self, *, size_bytes: int = 0) -> "RemoteSink":
        """A file on this machine that is uploaded at its end: a request is read from, not written to."""
        del size_bytes  # The server looks for room when the bytes come.
        return RemoteSink(self)

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        """Read an object or a range of it. One that is read from its start is held against its name at its end."""
        path = f"/api/taut/v1/objects/{oid}"
        if start == 0 and length is None:
            return cast("BinaryIO", RemoteReader(self._remote, self._remote.stream(path), oid))
        last = "" if length is None else start + max(length, 1) - 1
        answer = self._remote.stream(path, f"bytes={start}-{last}")
        if length == 0 or answer.status == 416:
            with answer:
                return io.BytesIO()
        return cast("BinaryIO", RemoteReader(self._remote, answer, ""))

    def missing(self, oids: Iterable[str]) -> set[str]:
        """Those that the server does not have."""
        found: set[str] = set()
        left = iter(oids)
        while some := list(islice(left, OIDS_MAX)):
            answer = self._remote.request("POST", "/api/taut/v1/objects/missing", wire.encode(some))
            found.update(wire.decode(answer, list[str], what="the server's answer"))
        return found

    def claim(self, oids: Iterable[str]) -> set[str]:
        """The same: a server that is asked by whoever may write makes the others young."""
        return self.missing(oids)

    def older(self, before_ms: int) -> Iterator[Stored]:
        """Not from afar."""
        raise UsageError("objects of a server are aged on the server", hint="run it there, with --home PLACE")

    def delete(self, oids: Iterable[str], *, before_ms: int | None = None) -> set[str]:
        """Not from afar: objects are removed where they lie."""
        raise UsageError("objects of a server are removed on the server", hint="run it there, with --home PLACE")

    def list(self) -> Iterator[str]:
        """Every oid."""
        return iter(
            wire.decode(self._remote.request("GET", "/api/taut/v1/objects"), list[str], what="the server's answer")
        )


class RemoteReader(io.RawIOBase):
    """The body of an answer as a stream, read once from front to end; held against `oid` there, where one is given."""

    def __init__(self, remote: Remote, answer: "BaseHTTPResponse", oid: str) -> None:
        self._remote, self._answer, self._oid = remote, answer, oid
        self._hashed, self._size = hashlib.sha256(), 0

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, all that are left for -1. Raises Corrupt at the end of what is not the object."""
        data = self._remote.read(self._answer, None if size is None or size < 0 else size)
        self._hashed.update(data)
        self._size += len(data)
        at_end = size is None or size < 0 or (not data and size)
        if at_end and self._oid and self._hashed.hexdigest() != self._oid:
            found = f"its {self._size} bytes have another digest"
            raise Corrupt(f"object {self._oid[:12]} of {self._remote.url} is damaged: {found}", hint="taut fsck")
        return data

    def close(self) -> None:
        """Give the connection back; one with bytes left in it is closed."""
        if not self.closed:
            self._answer.close()
            self._answer.release_conn()
        super().close()


class RemoteSink:
    """An object in the making: a file on this machine, or memory while it is small."""

    def __init__(self, objects: RemoteObjects) -> None:
        self._objects = objects
        self._spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  # Closed with the sink.

    def write(self, chunk: bytes | memoryview) -> None:
        """Keep the next bytes."""
        try:
            self._spool.write(chunk)
        except OSError as problem:
            raise Unavailable(
                f"no room to keep an upload: {problem.strerror}", hint=f"df -h {tempfile.gettempdir()}"
            ) from None

    def commit(self) -> str:
        """Upload them; returns the oid after they are on the server's disk."""
        with self._spool:
            self._spool.seek(0)
            return self._objects.put(cast("BinaryIO", self._spool))

    def abort(self) -> None:
        """Forget them."""
        self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


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

    def figures(self) -> NoReturn:
        """Refuses."""
        self._refuse()

    def close(self) -> None:
        """Nothing is open."""

    def _refuse(self) -> NoReturn:
        raise UsageError(
            f"this works on a home's own folder, not through its server {self.url}",
            hint="run it on the server, with --home PLACE",
        )


def remote_token(url: str = "") -> str:
    """The token of this user for a server: TAUT_TOKEN, else MLFLOW_TRACKING_TOKEN, else the session of `taut login`."""
    told = os.environ.get("TAUT_TOKEN") or os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    return told or (kept_token(url) if url else "")


class Session(msgspec.Struct):
    """What a server gives in exchange for a password."""

    secret: str
    expires_ms: int


def new_session(url: str, name: str, password: str) -> Session:
    """Log in to a server with a password, shown this once. Raises Denied where it is wrong, Unavailable, Throttled."""
    import base64

    shown = base64.b64encode(f"{name}:{password}".encode()).decode()
    remote = Remote(url, scheme="Basic", token=shown)
    try:
        answer = wire.decode(remote.call("token.session", {}), dict[str, Any], what="the answer of the login")
    finally:
        remote.close()
    return msgspec.convert({"secret": answer["secret"], "expires_ms": answer["token"]["expires_ms"]}, Session)


class LoggedIn(Session):
    """What it gives in exchange for an ID token of a person."""

    user: str


class Exchanged(msgspec.Struct):
    """What it gives in exchange for an ID token of a workload: RFC 8693, section 2.2.1."""

    access_token: str
    expires_in: int
    scope: str
    project: str


def login_provider(url: str) -> Provider:
    """Where the people of a server log in. Raises NotFound where nowhere but there, Unavailable."""
    with closing(Remote(url)) as remote:
        return wire.decode(remote.request("GET", LOGIN), Provider, what="the answer about logins")


def session_for(url: str, id_token: str, nonce: str) -> LoggedIn:
    """Log in to a server with an ID token of its provider. Raises what the server does."""
    return _logged_in(url, {"id_token": id_token, "nonce": nonce})


def session_for_code(url: str, code: Code, nonce: str) -> LoggedIn:
    """Log in to a server with the code of a login at its provider, which it exchanges. Raises what the server does."""
    return _logged_in(url, {"code": code, "nonce": nonce})


def _logged_in(url: str, shown: dict[str, object]) -> LoggedIn:
    with closing(Remote(url)) as remote:
        said = remote.request("POST", LOGIN, wire.encode(shown))
    answer = wire.decode(said, dict[str, Any], what="the answer of the login")
    token = answer["token"]
    given = {"secret": answer["secret"], "expires_ms": token["expires_ms"], "user": token["made_by"]}
    return msgspec.convert(given, LoggedIn)


def exchange_id_token(url: str, id_token: str, *, project: str = "") -> Exchanged:
    """A server's token for the ID token of a workload. Raises what the server does."""
    form = {"grant_type": EXCHANGE, "subject_token": id_token, "subject_token_type": ID_TOKEN}
    named = project or url.partition("/projects/")[2].strip("/")
    body = urlencode({**form, "project": named} if named else form).encode()
    server = url.partition("/projects/")[0]
    with closing(Remote(server)) as remote:
        said = remote.request("POST", TOKEN, body, kind="application/x-www-form-urlencoded")
    return wire.decode(said, Exchanged, what="the answer of the exchange")


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
        return Denied(
            problem.message or f"{url} asks who you are",
            hint=f"taut login {url}, or set TAUT_TOKEN to a token of that server",
        )
    if problem.error:
        return error_of(problem.error, problem.message, problem.hint)
    shown = data[:200].decode(errors="replace").strip()
    return Unavailable(
        f"{url} answered {status}, not as a taut server does: {shown!r}", hint="check the URL in TAUT_HOME"
    )
