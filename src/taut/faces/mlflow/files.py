"""Artifacts through the server, streamed in both directions: a file of any size passes through little memory."""

import mimetypes
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from taut.errors import NotFound
from taut.faces.http.bodies import store_body
from taut.faces.http.downloads import ObjectResponse, open_object
from taut.faces.mlflow.shapes import file_shape
from taut.home import Home
from taut.runs import delete_artifacts, expect_artifact, find_artifact, list_artifacts, put_artifact, split_root


async def list_files(home: Home, request: Request) -> Response:
    """What lies in the folder `path`; a folder above all roots holds nothing that could be listed."""
    place = request.query_params.get("path", "").strip("/")
    root, path = split_root(place)
    found = await run_in_threadpool(list_artifacts, home, root, path)
    return JSONResponse({"files": [file_shape(one, below=path) for one in found]})


async def download(home: Home, request: Request) -> Response:
    """The bytes of one file, or the range of them that is asked for."""
    root, path = split_root(request.path_params["path"])

    def found() -> ObjectResponse:
        return attachment(home, path, find_artifact(home, root, path).oid)

    return await run_in_threadpool(found)


async def upload(home: Home, request: Request) -> Response:
    """Store the body and name it; answered after both are on disk."""
    root, path = split_root(request.path_params["path"])
    if not path:
        raise NotFound(f"{root!r} is a folder; name the file in it")
    keep = partial(put_artifact, home, root, path)
    await store_body(home.objects, request, keep, expect=partial(expect_artifact, home, root, path))
    return JSONResponse({})


async def delete(home: Home, request: Request) -> Response:
    """Forget a file, or all that lies in a folder."""
    root, path = split_root(request.path_params["path"].rstrip("/"))
    await run_in_threadpool(delete_artifacts, home, root, path)
    return JSONResponse({})


def attachment(home: Home, path: str, oid: str) -> ObjectResponse:
    """A stored object as a download: a browser must not run what somebody uploaded as a page of this server."""
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return open_object(home.objects, oid, media_type=media_type, headers={"content-disposition": "attachment"})
