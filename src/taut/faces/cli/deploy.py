"""`taut deploy`, `serve`, `predict` and `image`: a model version where it is asked."""

import sys
from pathlib import Path
from typing import Any

import click

from taut.errors import Invalid, NotFound, UsageError
from taut.faces.cli.shown import json_option, shown
from taut.home import Home, open_home
from taut.project import WORKERS_MAX, DeploymentSpec, read_project
from taut.records import DeploymentState


@click.command(epilog="Example: taut deploy late --model late@champion")
@click.argument("name")
@click.option("--model", default="", help="NAME@NUMBER or NAME@ALIAS  [default: what taut.yaml says]")
@click.option(
    "--target", type=click.Choice(["process", "docker", "kubernetes"]), default=None, help="Where it shall run."
)
@click.option("--port", type=click.IntRange(0, 65_535), default=None, help="Port to answer on; 0 takes a free one.")
@click.option(
    "--workers",
    type=click.IntRange(0, WORKERS_MAX),
    default=None,
    help="Processes that answer; 0: one a core  [default: what taut.yaml says, else 0]",
)
@click.option("--stop", is_flag=True, help="Stop serving under this name instead.")
@json_option
def deploy(
    name: str, model: str, target: str | None, port: int | None, workers: int | None, stop: bool, as_json: bool
) -> None:
    """Put a model version behind an endpoint, without losing a request; the same again changes nothing."""
    from taut.deploy import deploy_model, stop_deployment

    with open_home() as home:
        if stop:
            shown(stop_deployment(home, name), as_json, _told)
            return
        spec = _wanted(home, name, {"model": model or None, "target": target, "port": port, "workers": workers})
        shown(deploy_model(home, name, model=spec.model, target=spec.target, spec=spec), as_json, _told)


@click.command(epilog="Example: taut serve late@champion --port 8080")
@click.argument("model", default="")
@click.option("--deployment", default="", help="Serve this recorded deployment instead, and log what it says.")
@click.option("--revision", default=0, help="Revision of the deployment  [default: the newest]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="Port to listen on; 0: a free one."
)
@click.option(
    "--workers", type=click.IntRange(0, WORKERS_MAX), default=None, help="Processes that answer; 0: one a core."
)
@json_option
def serve(model: str, deployment: str, revision: int, host: str, port: int, workers: int | None, as_json: bool) -> None:
    """Serve one model in this terminal until Ctrl-C; Open Inference Protocol and MLflow's /invocations."""
    from taut.serve import serve_deployment, serve_model

    if bool(model) == bool(deployment):
        raise UsageError("say what to serve: a MODEL, or a --deployment", hint="taut model list")

    def told(url: str) -> None:
        serves = model or deployment
        shown({"url": url, "serves": serves}, as_json, lambda _: f"serving {serves} at {url}")

    with open_home() as home:
        if deployment:
            serve_deployment(home, deployment, revision, host, port, workers=workers, told=told)
        else:
            serve_model(home, model, host, port, workers=workers, told=told)


@click.command(epilog="Example: taut predict late --input rows.csv")
@click.argument("deployment")
@click.option("--input", "source", required=True, metavar="FILE", help="CSV, or JSON of columns or rows; - is stdin.")
@click.option("--id", "request_id", default="", help="Request id; the same id again gets the same answer.")
@click.option("--event-time", default="", help="When what is asked about happened, ISO 8601  [default: now]")
@json_option
def predict(deployment: str, source: str, request_id: str, event_time: str, as_json: bool) -> None:
    """Ask a deployment, and print each prediction with its id."""
    from taut.serve import predict as ask
    from taut.serve import read_columns

    columns = read_columns(_text_of(source), name=source)
    with open_home() as home:
        answer = ask(home, deployment, columns, request_id=request_id, event_time=event_time)
        shown(answer, as_json, _answered)


@click.command(epilog="Example: taut image late@champion --out image/")
@click.argument("model")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder to write  [default: image-NAME]",
)
@click.option("--tag", default="", help="Name of the image  [default: NAME:NUMBER]")
@click.option("--build/--no-build", default=None, help="Build it  [default: where an engine is]")
@click.option(
    "--wheelhouse",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Install from these wheels only.",
)
@json_option
def image(model: str, out: Path | None, tag: str, build: bool | None, wheelhouse: Path | None, as_json: bool) -> None:
    """Write a Dockerfile for a model (non-root, pinned, health check) and build it where an engine is."""
    from taut.deploy.image import make_image, render_image
    from taut.models import find_model

    with open_home() as home:
        version = find_model(home, model)
        folder = out or Path(f"image-{version.name}")
        made = make_image(home, version, folder=folder, tag=tag, build=build, wheelhouse=wheelhouse)
        shown(made, as_json, render_image)


def _wanted(home: Home, name: str, said: dict[str, Any]) -> DeploymentSpec:
    """What taut.yaml says of the deployment, with what the command line says in its place."""
    from msgspec.structs import replace

    given = {key: value for key, value in said.items() if value is not None}
    try:
        spec = read_project(home.project).deployments.get(name)
    except NotFound:
        spec = None
    if spec is None and "model" not in given:
        raise NotFound(
            f"taut.yaml has no deployment {name!r}, and no --model is given",
            hint=f"taut deploy {name} --model MODEL@champion",
        )
    return DeploymentSpec(**given) if spec is None else replace(spec, **given)


def _told(state: DeploymentState) -> str:
    answers = state.url and state.status in {"starting", "running"}
    return f"{state.name}@{state.revision} {state.status}" + (f" at {state.url}" if answers else "")


def _answered(answer: Any) -> str:
    names = list(answer.outputs)
    lines = []
    for row in range(answer.rows):
        said = ", ".join(f"{name} {_short(answer.outputs[name][row])}" for name in names)
        lines.append(f"{answer.id}.{row}  {said}")
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text_of(source: str) -> str:
    if source == "-":
        return sys.stdin.read()
    try:
        return Path(source).read_text()
    except FileNotFoundError:
        raise NotFound(f"no file {source}", hint="--input - reads from stdin") from None
    except UnicodeDecodeError as problem:
        raise Invalid(f"{source} is no text in UTF-8: {problem.reason} at byte {problem.start}") from None
