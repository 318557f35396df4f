"""Artifacts through the server, streamed in both directions: a file of any size passes through little memory."""

import mimetypes
from functools import partial
from io import BytesIO
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from taut.errors import Invalid, NotFound
from taut.faces.http.bodies import store_body
from taut.faces.http.downloads import ObjectResponse, open_object
from taut.faces.http.reading import BODY_BYTES_MAX, read_body
from taut.faces.mlflow.shapes import file_shape
from taut.faces.mlflow.spans import TRACES_FILE, file_of_spans, spans_of_file
from taut.home import Home, require
from taut.runs import delete_artifacts, expect_artifact, find_artifact, list_artifacts, put_artifact, split_root
from taut.runs.traces import log_spans, trace_detail


async def list_files(home: Home, request: Request) -> Response:
    """What lies in the folder `path`; a folder above all roots holds nothing that could be listed."""
    place = request.query_params.get("path", "").strip("/")
    root, path = split_root(place)
    found = await run_in_threadpool(list_artifacts, home, root, path)
    return JSONResponse({"files": [file_shape(one, below=path) for one in found]})


async def download(home: Home, request: Request) -> Response:
    """The bytes of one file, or the range of them that is asked for."""
    root, path = split_root(request.path_params["path"])

    def found() -> Response:
        if path == TRACES_FILE and (written := _written_traces(home, root)):
            return Response(written, media_type="application/json", headers={"Content-Disposition": "attachment"})
        return attachment(home, path, find_artifact(home, root, path).oid)

    return await run_in_threadpool(found)


async def upload(home: Home, request: Request) -> Response:
    """Store the body and name it; answered after both are on disk."""
    root, path = split_root(request.path_params["path"])
    if not path:
        raise NotFound(f"{root!r} is a folder; name the file in it")
    experiment = f"experiment:{root.partition('/')[0]}"
    await run_in_threadpool(require, home, "artifact:write", verb="artifact.put", resource=experiment)
    keep = partial(put_artifact, home, root, path)
    if path == TRACES_FILE and _trace_of(root) and 0 < _length(request) <= BODY_BYTES_MAX:
        data = await read_body(request)
        if not await run_in_threadpool(_take_traces, home, root, data):
            oid = await run_in_threadpool(home.objects.put, BytesIO(data))
            await run_in_threadpool(keep, oid, len(data))
        return JSONResponse({})
    await store_body(home.objects, request, keep, expect=partial(expect_artifact, home, root, path))
    return JSONResponse({})


async def delete(home: Home, request: Request) -> Response:
    """Forget a file, or all that lies in a folder."""
    root, path = split_root(request.path_params["path"].rstrip("/"))
    await run_in_threadpool(delete_artifacts, home, root, path)
    return JSONResponse({})


def attachment(home: Home, path: str, oid: str, *, named: bool = False) -> ObjectResponse:
    """A stored object as a download: a browser must not run what somebody uploaded as a page of this server.

    `named` tells it the file's name, for a URL that does not end with it. It opens the object, so it belongs into a
    thread.
    """
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    name = f"; filename*=UTF-8''{quote(path.rpartition('/')[2], safe='')}" if named else ""
    headers = {"content-disposition": f"attachment{name}"}
    return open_object(home.objects, oid, media_type=media_type, headers=headers)


def _take_traces(home: Home, root: str, data: bytes) -> bool:
    """Store the spans in the file of a trace as spans; whether that is what it was. Any other file stays a file."""
    try:
        spans = spans_of_file(_trace_of(root), data)
        log_spans(home, root.partition("/")[0], spans)
    except Invalid:  # As those of clients before 3.0.
        return False
    return bool(spans)


def _length(request: Request) -> int:
    """How long the body says it is; 0 where it says nothing."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isdecimal() and len(said) < 20 else 0


def _written_traces(home: Home, root: str) -> bytes:
    """The file that a client would have uploaded, from the spans of a trace; empty where none are stored."""
    trace_id = _trace_of(root)
    spans = trace_detail(home, trace_id).spans if trace_id else ()
    return file_of_spans(spans) if spans else b""


def _trace_of(root: str) -> str:
    """The trace that keeps its files there; empty where it is a run or a logged model that does."""
    _, kind, owner, *rest = root.split("/")
    return owner if kind == "traces" and rest else ""
