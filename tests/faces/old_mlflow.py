"""A server that answers as MLflow's did before version 3: numbers as text, no logged models, files of its own disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from taut.faces.http.server import bound
from taut.faces.http.threaded import in_thread

RUN = "a" * 32
ROOT = f"/somewhere/else/mlruns/1/{RUN}/artifacts"
FILES = {"notes.txt": b"on time\n", "model/MLmodel": b"flavors: {}\n", "model/data/x y.bin": b"\x00\xff"}


def _tokens(rows: list[Any], asked: dict[str, Any], size: int) -> tuple[list[Any], dict[str, str]]:
    start = int(asked.get("page_token") or 0)
    more = {"next_page_token": str(start + size)} if start + size < len(rows) else {}
    return rows[start : start + size], more


class OldServer:
    """What it knows, and what it was asked; `busy` is how often it says 503 before it answers."""

    def __init__(self) -> None:
        self.busy = 0
        self.asked: list[str] = []
        self.tokens = {"Bearer right"}
        self.cut = False
        self.points = [{"key": "auc", "value": 0.5 + step / 10, "timestamp": str(1000 + step), "step": str(step)}
                       for step in range(7)]  # fmt: skip
        self.points += [{"key": "auc", "value": "NaN", "timestamp": "2000", "step": "9"}, self.points[0]]

    def routes(self) -> list[Route]:
        """Its endpoints."""
        api = "/api/2.0/mlflow"
        table = {
            ("POST", f"{api}/experiments/search"): self.experiments, ("POST", f"{api}/runs/search"): self.runs,
            ("GET", f"{api}/metrics/get-history"): self.history, ("GET", f"{api}/artifacts/list"): self.files,
            ("GET", "/get-artifact"): self.artifact, ("GET", f"{api}/registered-models/search"): self.models,
            ("GET", f"{api}/registered-models/get"): self.model, ("GET", f"{api}/model-versions/search"): self.versions,
            ("GET", f"{api}/model-versions/get-download-uri"): self.download_uri,
        }  # fmt: skip
        return [Route(path, self._answering(call), methods=[method]) for (method, path), call in table.items()]

    def experiments(self, asked: dict[str, Any]) -> Any:
        """Three of them, one a page."""
        rows = [
            {"experiment_id": "0", "name": "Default", "lifecycle_stage": "active"},
            {"experiment_id": "1", "name": "old", "lifecycle_stage": "active", "creation_time": "5"},
            {"experiment_id": "2", "name": "gone", "lifecycle_stage": "deleted", "tags": [{"key": "a", "value": "b"}]},
        ]
        page, more = _tokens(rows, asked, 1)
        return {"experiments": page, **more}

    def runs(self, asked: dict[str, Any]) -> Any:
        """One, in experiment 1; it comes on two pages, as where something was logged meanwhile."""
        if asked["experiment_ids"] != ["1"]:
            return {}
        info = {
            "run_id": RUN, "run_uuid": RUN, "experiment_id": "1", "user_id": "eve", "status": "FINISHED",
            "start_time": "1000", "end_time": "2000", "artifact_uri": ROOT, "lifecycle_stage": "active",
        }  # fmt: skip
        tags = [{"key": "mlflow.runName", "value": "first"}, {"key": "none"}]
        data = {"metrics": self.points[-2:-1], "params": [{"key": "depth", "value": "4"}], "tags": tags}
        page, more = _tokens([{"info": info, "data": data}] * 2, asked, 1)
        return {"runs": page, **more}

    def history(self, asked: dict[str, Any]) -> Any:
        """The points, two a page, one of them twice."""
        page, more = _tokens(self.points, asked, 2)
        return {"metrics": page, **more}

    def files(self, asked: dict[str, Any]) -> Any:
        """A folder of its own disk."""
        start = f"{asked['path']}/" if asked.get("path") else ""
        inside = {path[len(start) :].partition("/")[0] for path in FILES if path.startswith(start)}
        found = [
            {"path": start + name, "is_dir": False, "file_size": str(len(FILES[start + name]))}
            if start + name in FILES else {"path": start + name, "is_dir": True}
            for name in sorted(inside)
        ]  # fmt: skip
        return {"root_uri": ROOT, "files": found}

    def artifact(self, asked: dict[str, Any]) -> Any:
        """A file of its own disk; fewer bytes than announced where the line is cut."""
        data = FILES[asked["path"]]
        if self.cut and len(data) > 3:
            return Response(data[:-2], headers={"content-length": str(len(data))})
        return Response(data)

    def models(self, _: dict[str, Any]) -> Any:
        """One, listed without its aliases."""
        return {"registered_models": [{"name": "it's", "creation_timestamp": "7", "last_updated_timestamp": "8"}]}

    def model(self, asked: dict[str, Any]) -> Any:
        """The same with them."""
        found = self.models(asked)["registered_models"][0]
        return {"registered_model": {**found, "aliases": [{"alias": "best", "version": "2"}], "description": "old"}}

    def versions(self, asked: dict[str, Any]) -> Any:
        """Two, newest first; the name is quoted so that its own quote means nothing."""
        assert asked["filter"] == 'name="it\'s"', asked
        said = {"name": "it's", "source": f"{ROOT}/model", "run_id": RUN, "status": "READY", "current_stage": "None"}
        return {"model_versions": [
            {**said, "version": "2", "creation_timestamp": "20"}, {**said, "version": "1", "creation_timestamp": "10"},
        ]}  # fmt: skip

    def download_uri(self, _: dict[str, Any]) -> Any:
        """Where the files of each lie."""
        return {"artifact_uri": f"{ROOT}/model"}

    def _answering(self, call: Any) -> Any:
        async def answer(request: Request) -> Response:
            self.asked.append(request.url.path)
            if request.headers.get("authorization") not in self.tokens:
                return JSONResponse({"error_code": "UNAUTHENTICATED", "message": "who are you?"}, 401)
            if self.busy:
                self.busy -= 1
                return JSONResponse({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}, 503)
            asked = await request.json() if request.method == "POST" else dict(request.query_params)
            said = call(asked)
            return said if isinstance(said, Response) else JSONResponse(said)

        return answer


@contextmanager
def old_server(port: int = 0) -> Iterator[tuple[OldServer, str]]:
    """Such a server, on a free port where none is said, in a thread; yields it and its URL."""
    old, listener = OldServer(), bound("127.0.0.1", port)
    with in_thread(Starlette(routes=old.routes()), listener):
        yield old, f"http://127.0.0.1:{listener.getsockname()[1]}"
