"""`taut up`, `plan` and `apply`: what taut.yaml wants, kept true."""

import threading

import click

from taut.errors import TautError
from taut.faces.cli.shown import json_option, shown, table
from taut.ground.clock import iso
from taut.home import open_home
from taut.pipelines.loop import reconcile
from taut.pipelines.plan import Change, apply_project, plan_project
from taut.pipelines.steps import StepDone
from taut.project import read_project


@click.command(epilog="Example: taut up --once")
@click.option("--once", is_flag=True, help="Do what is due and end.")
@click.option("--every", default=10.0, show_default=True, help="Seconds between rounds.")
@json_option
def up(once: bool, every: float, as_json: bool) -> None:
    """Keep the loop closed: restart what died, close windows, retrain on alerts, gate, roll out.

    Every step is recorded; after a kill the next round goes on where this one stood.
    """
    with open_home() as home:
        pause = threading.Event()
        while True:
            project = read_project(home.project)
            done = []
            for step in reconcile(home, project, told=lambda says: click.echo(f"  {says} …", err=True)):
                done.append(step)
                if not as_json:
                    click.echo(told(step))
            if as_json:
                shown(done, as_json, str)
            elif once and not done:
                click.echo("nothing is due")
            if once:
                return
            pause.wait(every)


@click.command(epilog="Example: taut plan")
@json_option
def plan(as_json: bool) -> None:
    """Show what would change to make taut.yaml true, and what is blocked and why; changes nothing."""
    with open_home() as home:
        shown(plan_project(home, read_project(home.project)), as_json, _planned)


@click.command(epilog="Example: taut apply")
@json_option
def apply(as_json: bool) -> None:
    """Make taut.yaml true: deploy what is to serve, watch what is to be watched.

    What cannot be done does not keep the rest from it, and is told at the end.
    """
    with open_home() as home:
        done: list[Change] = []
        try:
            done.extend(apply_project(home, read_project(home.project)))
        except TautError:
            if done:  # Those before the error: extending a list keeps what has come.
                shown(done, as_json, _planned)
            raise
        shown(done, as_json, _planned)


def told(step: StepDone) -> str:
    """A step in one line: its reason where it says one, and where that answers; else its facts, moments as dates."""
    if reason := step.facts.get("reason"):
        return f"{step.plan}: {step.step}: {reason}" + (f", at {step.facts['url']}" if step.facts.get("url") else "")
    facts = {
        name.removesuffix("_ms"): iso(int(str(value)))[:10] if name.endswith("_ms") else value
        for name, value in step.facts.items()
    }
    said = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in facts.items()
    )
    return f"{step.plan}: {step.step}" + (f" ({said})" if said else "")


def _planned(changes: list[Change]) -> str:
    rows: list[tuple[str, str, str, str]] = []
    for change in changes:
        rows.append((change.action, change.kind, change.name, change.text))
        rows += [("", "", "", f"{step.action} {step.what}: {step.text}") for step in change.steps]
    return table(["change", "what", "name", "to"], rows, empty="all is as taut.yaml wants it")
