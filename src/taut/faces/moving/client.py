"""MLflow's REST protocol as a client speaks it: one request, its JSON or its bytes, and its errors in a sentence."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from taut.errors import Conflict, Denied, Invalid, NotFound, TautError, Unavailable
from taut.ground import wire

T = TypeVar("T")
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 300.0  # A stock server takes minutes over a page of runs with many metrics.
RETRIES = 5
API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"


class _Problem(msgspec.Struct):
    """An error as MLflow writes it."""

    error_code: str = ""
    message: str = ""


class Client:
    """A server that speaks MLflow's protocol; safe to use from several threads.

    Who asks is said by the URL (`https://USER:PASSWORD@HOST`), else by MLFLOW_TRACKING_TOKEN, else by
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, as for MLflow's own clients.
    """

    def __init__(self, url: str) -> None:
        import urllib3

        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        self.url = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in {"1", "true"}
        self._pool = urllib3.PoolManager(
            headers=_credentials(parts.username, parts.password), maxsize=16,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            cert_reqs="CERT_NONE" if insecure else "CERT_REQUIRED",
        )  # fmt: skip
        # What only reads may be asked again; whoever writes says itself what was there already.
        self._again = urllib3.Retry(
            RETRIES, redirect=3, backoff_factor=0.5, status_forcelist=(408, 429, 502, 503, 504),
            allowed_methods=None, raise_on_status=False,
        )  # fmt: skip
        self._once = urllib3.Retry(0, redirect=3, raise_on_status=False)
        self._answered = False  # Who has not answered yet is no server that restarts, but a wrong address.

    def ask(self, method: str, path: str, into: type[T], body: object = None, /, **query: object) -> T:
        """Read: ask again where the server was busy or the line broke."""
        return self._decoded(path, self._request(method, path, _json(body), query, self._again), into)

    def tell(self, method: str, path: str, body: object = None, /) -> dict[str, Any]:
        """Write, once; returns the answer."""
        return self._decoded(path, self._request(method, path, _json(body), {}, self._once), dict[str, Any])

    def pages(self, method: str, path: str, into: type[T], body: Mapping[str, object], /) -> Iterator[T]:
        """Every page of a long answer; `into` must have a field `next_page_token`."""
        asked = dict(body)
        while True:
            page = self.ask("GET", path, into, **asked) if method == "GET" else self.ask(method, path, into, asked)
            yield page
            token = getattr(page, "next_page_token", "")
            if not token:
                return
            asked["page_token"] = token

    def stream(self, path: str, /, **query: object) -> BinaryIO:
        """The bytes of a file as they come. Fewer than were announced are an error of whoever reads them."""
        answer = self._sent("GET", path, None, query, self._again, preload=False)
        if answer.status >= 300:
            raise _error(self.url, answer.status, answer.read())
        return cast("BinaryIO", _Body(self.url, answer))

    def upload(self, path: str, stream: BinaryIO, size_bytes: int) -> None:
        """PUT a file; the same one again is the same file."""
        headers = {"Content-Length": str(size_bytes), "Content-Type": "application/octet-stream"}
        answer = self._sent("PUT", path, stream, {}, self._once, headers=headers)
        if answer.status >= 300:
            raise _error(self.url, answer.status, answer.data)

    def _request(self, method: str, path: str, body: bytes | None, query: Mapping[str, object], retries: Any) -> bytes:
        answer = self._sent(method, path, body, query, retries)
        if answer.status >= 300:
            raise _error(self.url, answer.status, answer.data)
        return cast("bytes", answer.data)

    def _sent(
        self, method: str, path: str, body: Any, query: Mapping[str, object], retries: Any, *, preload: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Any:  # fmt: skip
        import urllib3

        place = self.url + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        said = {"Content-Type": "application/json", **self._pool.headers, **(headers or {})}
        asked = retries if self._answered else retries.new(connect=0)
        try:
            answer = self._pool.request(method, place, body=body, headers=said, retries=asked, preload_content=preload)
        except urllib3.exceptions.HTTPError as problem:
            reason = str(getattr(problem, "reason", None) or problem).rpartition(": ")[2]
            raise Unavailable(
                f"{self.url} does not answer: {reason}", hint="start the server, then try again"
            ) from None
        self._answered = True
        return answer

    def _decoded(self, path: str, data: bytes, into: type[T]) -> T:
        return wire.decode(data or b"{}", into, what=f"the answer of {self.url} to {path}")


class _Body:
    """The body of an answer as it comes; a line that breaks is told as what it is."""

    def __init__(self, url: str, answer: Any) -> None:
        self._url = url
        self._answer = answer

    def read(self, size: int = -1) -> bytes:
        """The next bytes, none at the end."""
        import urllib3

        try:
            return cast("bytes", self._answer.read(None if size < 0 else size))
        except urllib3.exceptions.HTTPError as problem:
            raise Unavailable(f"{self._url} broke off in a file: {problem}", hint="try again") from None

    def __enter__(self) -> "_Body":
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()


def artifact_path(location: str) -> str:
    """The path of `mlflow-artifacts:/PATH` or `mlflow-artifacts://HOST/PATH` at the server."""
    return unquote(urlsplit(location).path).strip("/")


def quoted(path: str) -> str:
    """A path of an artifact for a URL."""
    return quote(path, safe="/")


def _json(body: object) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def _credentials(user: str | None, password: str | None) -> dict[str, str]:
    import urllib3

    if user is not None:
        return urllib3.make_headers(basic_auth=f"{unquote(user)}:{unquote(password or '')}")
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"authorization": f"Bearer {token}"}
    if name := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return urllib3.make_headers(basic_auth=f"{name}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}")
    return {}


def _error(url: str, status: int, data: bytes) -> TautError:
    try:
        problem = msgspec.json.decode(data, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    said = problem.message.partition("\n")[0][:300] or data[:100].decode(errors="replace").strip() or "nothing more"
    if status in {401, 403}:
        return Denied(f"{url} refuses: {said}", hint="set MLFLOW_TRACKING_TOKEN, or write https://USER:PASSWORD@HOST")
    if problem.error_code in {"RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT"} or status == 409:
        return Conflict(f"{url} says: {said}")
    if status == 404:
        return NotFound(f"{url} says: {said}")
    if status < 500:
        return Invalid(f"{url} answered {status}: {said}")
    return Unavailable(f"{url} answered {status}: {said}", hint="look at the server's log, then try again")
