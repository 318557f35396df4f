"""Projects, as MLflow's clients ask for workspaces: `mlflow.list_workspaces()` and its kin."""

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from taut.faces.http.reading import read_body
from taut.faces.mlflow.shapes import Json
from taut.govern import create_project, delete_project, describe_project, get_project, show_projects
from taut.ground import wire
from taut.ground.access import Project
from taut.home import Home


class Nothing(msgspec.Struct):
    """The list is asked for without words."""


class ByName(msgspec.Struct):
    """workspaces/NAME."""

    workspace_name: str


class Create(msgspec.Struct):
    """A new workspace; where artifacts lie and how long traces stay is not up to who makes one."""

    name: str
    description: str = ""


class Update(msgspec.Struct):
    """Another description."""

    workspace_name: str
    description: str


def list_all(home: Home, _: Nothing) -> Json:
    """Those that the caller is a member of."""
    return {"workspaces": [_shape(project) for project in show_projects(home)]}


def get(home: Home, asked: ByName) -> Json:
    """One of them."""
    return {"workspace": _shape(get_project(home, asked.workspace_name))}


def update(home: Home, asked: Update) -> Json:
    """Give it another description."""
    return {"workspace": _shape(describe_project(home, asked.workspace_name, asked.description))}


async def create(home: Home, request: Request) -> Response:
    """Make one. MLflow's client takes nothing but a 201 for it."""
    asked = wire.decode(await read_body(request), Create, what="the body")
    made = await run_in_threadpool(create_project, home, asked.name, description=asked.description)
    return JSONResponse({"workspace": _shape(made)}, 201)


async def delete(home: Home, request: Request) -> Response:
    """End one. MLflow's client takes nothing but a 204 for it."""
    await run_in_threadpool(delete_project, home, request.path_params["workspace_name"])
    return Response(status_code=204)


def _shape(project: Project) -> Json:
    return {"name": project.name, "description": project.description}
