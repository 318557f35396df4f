"""What goes back over HTTP: answers, and errors in the words of the protocol."""

from dataclasses import dataclass

import msgspec

from taut.errors import TautError, Throttled

JSON = b"application/json"


@dataclass(slots=True)
class Answer:
    """A status, a body, its type, and whatever other headers there are."""

    status: int
    body: bytes
    rows: int = 0
    id: str = ""
    number: int = 0
    revision: int = 0
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class HttpProblem(Exception):
    """A request that ends with a status no kind of error has."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def told(problem: TautError, request_id: str = "") -> Answer:
    """An error that taut can explain; what may be asked again soon says when."""
    if problem.http_status in (429, 503):
        wait_s = problem.retry_after_s if isinstance(problem, Throttled) else 1
        return error(problem.http_status, problem.message, request_id, (b"retry-after", str(wait_s).encode()))
    if problem.http_status == 401:
        return error(401, problem.message, request_id, (b"www-authenticate", b"Bearer"))
    return error(problem.http_status, problem.message, request_id)


def error(status: int, message: str, request_id: str = "", *headers: tuple[bytes, bytes]) -> Answer:
    """An error as the protocol writes it: one object with one text; where the server failed, also the request's id."""
    body = {"error": message}
    if status >= 500 and request_id:
        body["id"] = request_id
    return Answer(status, msgspec.json.encode(body), headers=headers, id=request_id)
