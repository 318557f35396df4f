"""Asking a deployment over HTTP, as `taut predict` does: by name, wherever it answers at this moment."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from taut.deploy import find_deployment, find_state
from taut.deploy.running import owners_secret, run_folder, serving_now
from taut.errors import (
    Conflict,
    Corrupt,
    Denied,
    Invalid,
    NotFound,
    TautError,
    Throttled,
    TooLarge,
    Unavailable,
    Unsupported,
)
from taut.ground import wire
from taut.ground.clock import new_id
from taut.ground.remote import remote_token
from taut.home import Home
from taut.models.signature import Kind, Signature, SignatureColumn
from taut.serve.log import Columns
from taut.serve.requests import columns_of_rows, parsed, read_csv, request_body

CONNECT_WITHIN_S, ANSWER_WITHIN_S = 2.0, 30.0  # The latter past the server's own time-out: its words are better.
NamedRow = dict[str, str | float | int | bool | None]
ENDPOINT_TOKEN = "TAUT_ENDPOINT_TOKEN"  # noqa: S105  # A variable's name.
TRIES = 3  # A request has an id, so asking again gets the same answer and never a second prediction.
STATUS_KINDS: dict[int, type[TautError]] = {
    400: Invalid,
    401: Denied,
    403: Denied,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: Unsupported,
    429: Throttled,
    500: Corrupt,
}
KINDS: dict[str, Kind] = {"FP64": "double", "FP32": "float", "INT64": "long", "INT32": "integer", "BOOL": "boolean"}


@dataclass(frozen=True, slots=True)
class Answered:
    """What a deployment said: row `i` is the prediction `ID.i`, made by version `number` of `model`."""

    deployment: str
    id: str
    revision: int
    model: str
    number: int
    rows: int
    outputs: Columns


class _Output(msgspec.Struct):
    name: str
    data: list[str | float | int | bool | None]


class _Source(msgspec.Struct):
    model: str
    revision: int


class _Answer(msgspec.Struct):
    id: str
    model_version: str
    parameters: _Source
    outputs: list[_Output]


class _Input(msgspec.Struct):
    name: str
    datatype: str


class _Metadata(msgspec.Struct):
    inputs: list[_Input]


class _Problem(msgspec.Struct):
    error: str = ""


def predict(home: Home, deployment: str, columns: Columns, *, request_id: str = "", event_time: str = "") -> Answered:
    """Ask a deployment about rows, given by columns of one length, and return what it said after it is on disk.

    The same `request_id` with the same rows gets the same answer, without scoring again. `event_time` is ISO 8601.
    Columns that are all text, as CSV is, are read by the model's signature. Raises NotFound for an unknown
    deployment, Unavailable where it does not answer, Invalid naming the column that is wrong, Conflict for an id that
    was used for other rows.
    """
    asked = request_id or new_id()
    for attempt in range(TRIES):
        url = _url(home, deployment)
        token = _token(home, deployment, url)
        try:
            if _all_text(columns):
                columns = parsed(_signature(url, deployment, token), columns)  # type: ignore[arg-type]  # All text, as just seen.
            body = _exchange("POST", f"{url}/infer", deployment, token, request_body(columns, asked, event_time))
            return _answered(deployment, body)
        except ConnectionError as problem:
            if attempt == TRIES - 1:
                raise Unavailable(
                    f"deployment {deployment!r} does not answer at {url}: {problem}", hint="taut up --once"
                ) from None
    raise AssertionError("the last try returns or raises")


def read_columns(text: str, *, name: str = "the input") -> Columns:
    r"""Columns from CSV with a heading, or from JSON: an object of columns, or a list of rows. Raises Invalid.

    >>> read_columns('[{"a": 1}, {"a": 2}]'), read_columns("a,b\n1,x")
    ({'a': [1, 2]}, {'a': ['1'], 'b': ['x']})
    """
    start = text.lstrip()[:1]
    if start == "[":
        rows: list[NamedRow] = wire.decode(text, list[NamedRow], what=name)
        return columns_of_rows(rows)
    if start == "{":
        columns: Columns = wire.decode(text, Columns, what=name)
        return columns
    return {key: list(values) for key, values in read_csv(text.encode()).items()}


def _all_text(columns: Columns) -> bool:
    return all(isinstance(value, str) for values in columns.values() for value in values)


def _url(home: Home, deployment: str) -> str:
    state = find_state(home, deployment)
    if state is None or state.status != "running":
        known = find_deployment(home, deployment)
        raise Unavailable(
            f"deployment {deployment!r} is {'not up yet' if state is None else state.status}",
            hint=f"taut deploy {deployment} --model {known.model}@{known.number}",
        )
    return f"{state.url}/v2/models/{deployment}"


def _token(home: Home, deployment: str, url: str) -> str:
    """What the endpoint is shown: TAUT_ENDPOINT_TOKEN, else this user's token, or what lets a folder's owner in.

    Who may report a URL learns no secret of others: what gives more than predictions goes to a process that this user
    started, or to the host of the home's own server.
    """
    if told := os.environ.get(ENDPOINT_TOKEN, ""):
        return told
    is_ours = any(one.url and url.startswith(f"{one.url}/") for one in serving_now(run_folder(home), deployment))
    if home.remote is None:
        return os.environ.get("TAUT_TOKEN", "") or (owners_secret(home) if is_ours else "")
    is_there = urlsplit(url).hostname == urlsplit(home.place).hostname
    return remote_token(home.place) if is_ours or is_there else ""


def _signature(url: str, deployment: str, token: str) -> Signature:
    data = _exchange("GET", url, deployment, token)
    inputs = wire.decode(data, _Metadata, what=f"the answer of {deployment!r}").inputs
    return Signature(tuple(SignatureColumn(one.name, KINDS.get(one.datatype, "string")) for one in inputs))


def _exchange(method: str, url: str, deployment: str, token: str, body: bytes | None = None) -> bytes:
    """One request. Raises ConnectionError where nobody answers, else the kind of error that the status says."""
    import urllib3

    timeout = urllib3.Timeout(connect=CONNECT_WITHIN_S, read=ANSWER_WITHIN_S)
    try:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = urllib3.request(method, url, body=body, headers=headers, timeout=timeout, retries=False)
    except urllib3.exceptions.HTTPError as problem:
        raise ConnectionError(str(getattr(problem, "reason", problem)).rpartition(": ")[2]) from None
    if answer.status == 200:
        return answer.data
    try:
        words = msgspec.json.decode(answer.data, type=_Problem).error
    except msgspec.DecodeError:
        words = ""
    kind = STATUS_KINDS.get(answer.status, Unavailable)
    hint = f"set {ENDPOINT_TOKEN} to a token of the scope predict" if answer.status == 401 and not token else ""
    raise kind(words or f"deployment {deployment!r} answered {answer.status} at {url}", hint=hint)


def _answered(deployment: str, body: bytes) -> Answered:
    said = wire.decode(body, _Answer, what=f"the answer of {deployment!r}")
    outputs: Columns = {output.name: output.data for output in said.outputs}
    rows = len(said.outputs[0].data)
    return Answered(
        deployment, said.id, said.parameters.revision, said.parameters.model, int(said.model_version), rows, outputs
    )
