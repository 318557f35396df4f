"""`taut deploy`, `serve`, `predict` and `image`: a model version where it is asked."""

import sys
from pathlib import Path
from typing import Any

import click

from taut.errors import Invalid, NotFound, UsageError
from taut.faces.cli.shown import json_option, shown
from taut.home import Home, open_home
from taut.project import WORKERS_MAX, DeploymentSpec, RolloutSpec, read_project
from taut.records import DeploymentState


@click.command(epilog="Example: taut deploy late late@4 --canary 5")
@click.argument("name")
@click.argument("version", default="")
@click.option(
    "--model", default="", help="The same as VERSION: NAME@NUMBER or NAME@ALIAS  [default: as taut.yaml says]"
)
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
@click.option("--canary", type=float, default=None, metavar="PERCENT", help="Let it answer this part of the requests.")
@click.option("--shadow", is_flag=True, help="Ask it along, record what it says, and answer nobody with it.")
@click.option("--promote", is_flag=True, help="Let the canary answer everything.")
@click.option("--drop", is_flag=True, help="Take this canary or shadow away.")
@click.option("--by-key", default=None, metavar="COLUMN", help="What decides who gets the canary; or header:NAME.")
@click.option("--reason", default="", help="Why; it stands in the history.")
@click.option("--stop", is_flag=True, help="Stop serving under this name instead.")
@json_option
def deploy(name: str, version: str, model: str, reason: str, as_json: bool, **asked: Any) -> None:
    """Put a model version behind an endpoint, without losing a request; the same again changes nothing.

    VERSION is late@4, or 4 or champion where the endpoint's model is known. It answers everything, or a part of it
    with --canary; without a VERSION, what taut.yaml says takes over, by its steps.
    """
    from taut.deploy import deploy_model, drop_model, go_live, roll_out, stop_deployment, try_model

    words = ("canary", "shadow", "promote", "drop", "stop")
    chosen = [f"--{word}" for word in words if asked[word] is not None and asked[word] is not False]
    if len(chosen) > 1 or (version and model):
        raise UsageError(
            f"{' and '.join(chosen) or 'VERSION and --model'} do not go together", hint="taut deploy --help"
        )
    with open_home() as home:
        if asked["stop"]:
            shown(stop_deployment(home, name), as_json, _told)
            return
        if asked["promote"]:
            shown(go_live(home, name, reason=reason), as_json, lambda done: done.text)
            return
        wanted = _reference(home, name, version or model)
        given = {"model": wanted or None, "target": asked["target"], "port": asked["port"], "by_key": asked["by_key"]}
        given["workers"] = asked["workers"]
        if asked["drop"]:
            state = drop_model(home, name, model=_named(home, name, wanted, "--drop"), reason=reason)
        elif asked["shadow"] or asked["canary"] is not None:
            tried = _named(home, name, wanted, chosen[0])
            percent = 0.0 if asked["shadow"] else _percent(name, asked["canary"])
            spec = _changed(home, name, {**given, "model": None})
            state = try_model(home, name, model=tried, percent=percent, spec=spec, reason=reason)
        elif wanted:
            spec = _wanted(home, name, given)
            state = deploy_model(home, name, model=spec.model, target=spec.target, spec=spec, reason=reason)
        else:
            state = roll_out(home, name, spec=_wanted(home, name, given), cause="manual")
        shown(state, as_json, _told)


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


def _reference(home: Home, name: str, version: str) -> str:
    """A version as people write it for an endpoint whose model is known: 4 and champion are those of that model."""
    from taut.deploy import newest_revision
    from taut.models import find_model

    if not version or "@" in version:
        return version
    newest = newest_revision(home, name)
    spec = _section(home, name)
    model = newest.model if newest is not None else spec.model.partition("@")[0] if spec is not None else ""
    if not model and version.isdecimal():
        raise UsageError(
            f"nothing says of which model {version!r} is, for there is no deployment {name!r} yet",
            hint=f"taut deploy {name} MODEL@{version}",
        )
    try:
        return find_model(home, f"{model}@{version}").point.removeprefix("model:") if model else version
    except NotFound:
        if version.isdecimal():
            raise
        return version  # The name of a model, whose newest version is meant.


def _named(home: Home, name: str, wanted: str, option: str) -> str:
    """The version that is to be tried or dropped; the canary there is, where none is said."""
    from taut.deploy import find_deployment

    canary = find_deployment(home, name).canary
    if not wanted and (canary is None or option == "--shadow"):
        raise UsageError(f"{option} needs a version", hint=f"taut deploy {name} VERSION {option}")
    return wanted or (canary.version if canary is not None else "")


def _percent(name: str, percent: float) -> float:
    if not 0.0 < percent < 100.0:
        raise UsageError(
            f"a canary answers more than 0 and less than 100 percent of the requests, not {percent:g}",
            hint=f"taut deploy {name} --promote lets it answer all of them",
        )
    return percent


def _changed(home: Home, name: str, said: dict[str, Any]) -> DeploymentSpec:
    """An endpoint's configuration as it stands, with what the command line says in its place."""
    from taut.deploy import find_deployment, spec_of

    return _with(spec_of(find_deployment(home, name)), said)


def _with(spec: DeploymentSpec, said: dict[str, Any]) -> DeploymentSpec:
    from msgspec.structs import replace

    given = {key: value for key, value in said.items() if value is not None}
    by_key = given.pop("by_key", None)
    if by_key is not None:
        given["rollout"] = replace(spec.rollout or RolloutSpec(), by_key=by_key)
    return replace(spec, **given)


def _section(home: Home, name: str) -> DeploymentSpec | None:
    """What taut.yaml says of a deployment; None where it says nothing."""
    try:
        return read_project(home.project).deployments.get(name)
    except NotFound:
        return None


def _wanted(home: Home, name: str, said: dict[str, Any]) -> DeploymentSpec:
    """What taut.yaml says of the deployment, else how it stands, with what the command line says in its place."""
    from taut.deploy import newest_revision, spec_of

    spec = _section(home, name)
    if spec is None and said["model"] is None:
        raise NotFound(
            f"taut.yaml has no deployment {name!r}, and no version is given",
            hint=f"taut deploy {name} MODEL@champion",
        )
    if spec is None:
        newest = newest_revision(home, name)
        spec = DeploymentSpec(model="") if newest is None else spec_of(newest)
    return _with(spec, said)


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
