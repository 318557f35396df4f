"""`taut ci`: the loop as a workflow of the CI system that a team has."""

from pathlib import Path

import click

from taut.errors import Conflict
from taut.faces.cli.shown import Group, json_option, shown
from taut.project import FILE, read_project

PLACES = {"github": Path(".github/workflows/taut.yml"), "jenkins": Path("Jenkinsfile")}


@click.group(cls=Group, epilog="Example: taut ci github")
def ci() -> None:
    """Write a workflow that tests, trains, gates and deploys."""


@ci.command(epilog="Example: taut ci github")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@json_option
def github(force: bool, as_json: bool) -> None:
    """Write .github/workflows/taut.yml."""
    from taut.pipelines.ci.github import render_github

    _write("github", render_github, force, as_json)


@ci.command(epilog="Example: taut ci jenkins")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@json_option
def jenkins(force: bool, as_json: bool) -> None:
    """Write a Jenkinsfile."""
    from taut.pipelines.ci.jenkins import render_jenkins

    _write("jenkins", render_jenkins, force, as_json)


def _write(system: str, render: object, force: bool, as_json: bool) -> None:
    assert callable(render)
    here = Path.cwd()
    # The file says where the project is: on a machine that only knows a server's URL there is no .taut.
    project = next((folder for folder in (here, *here.parents) if (folder / FILE).exists()), here)
    place = project / PLACES[system]
    text = render(read_project(project))
    if place.exists() and not force and place.read_text() != text:
        raise Conflict(f"{place} is there already and differs", hint=f"taut ci {system} --force")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    shown({"path": str(place)}, as_json, lambda _: f"wrote {place}; commit it")
