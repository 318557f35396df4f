"""`taut reproduce`, and what `taut run --twice` shows: how far two executions agree, and why they differ."""

import sys

import click

from taut.faces.cli.shown import json_option, shown
from taut.home import open_home
from taut.records import Reproduction, Sameness

AGREES: dict[Sameness, str] = {
    "bytes": "identical bytes",
    "content": "identical content",
    "predictions": "the same predictions",
    "metrics": "the same metrics within tolerance",
    "different": "different",
}
DIFFERENT = 3


@click.command(epilog="Example: taut reproduce 3fa1")
@click.argument("run_id")
@click.option("--here", is_flag=True, help="Take the packages of here, and say which differ from those of the run.")
@click.option("--offline", is_flag=True, help="Let the command connect to nothing but the tracking server.")
@click.option("--single-thread", is_flag=True, help="One thread on one core: what races then repeats.")
@click.option(
    "--explain/--no-explain", default=None, help="Find by experiment why it differs [default: a short run's]."
)
@click.option("--anyway", is_flag=True, help="Run it also where an input differs or is not there.")
@click.option(
    "--tolerance",
    default=1e-6,
    show_default=True,
    type=click.FloatRange(0),
    help="How far predictions and metrics may lie apart.",
)
@click.option(
    "--level",
    "wanted",
    default="metrics",
    show_default=True,
    type=click.Choice(["bytes", "content", "predictions", "metrics"]),
    help="What counts as the same: this verdict or a better one.",
)
@json_option
def reproduce(
    run_id: str,
    here: bool,
    offline: bool,
    single_thread: bool,
    explain: bool | None,
    anyway: bool,
    tolerance: float,
    wanted: Sameness,
    as_json: bool,
) -> None:
    """Run a run again from its commit, patch, data and packages, and compare what both left.

    It runs in a fresh copy that cannot write elsewhere. Ends with 0 where both agree, with 3 where they differ.
    """
    from taut.faces.http.embedded import embedded_server
    from taut.runs import resolve_run
    from taut.runs.reproducing import Asked, reproduce_run

    asked = Asked(here, offline, anyway, explain, single_thread, tolerance)
    with open_home() as home:
        run = resolve_run(home, run_id)
        found = reproduce_run(home, run.id, serve=embedded_server, asked=asked, tell=said_aside)
    shown(found, as_json, told_reproduction)
    end_as(found, wanted)


def told_reproduction(found: Reproduction) -> str:
    """A verdict in some lines: how far both agree, where they first differ and why."""
    counted = f", {found.outputs} outputs compared" if found.outputs else ""
    gap = f", at most {found.gap:g} apart" if found.gap is not None else ""
    lines = [f"reproduced: {AGREES[found.verdict]}{counted}{gap}"]
    if found.first:
        lines.append(f"  first difference: {found.first}")
    if found.cause:
        lines.append(f"  cause: {found.cause}: {found.evidence}")
    return "\n".join([*lines, *(f"  note: {note}" for note in found.notes)])


def said_aside(text: str) -> None:
    """Tell people how it goes, where programs do not read."""
    click.echo(text, err=True)


def end_as(found: Reproduction, wanted: Sameness = "metrics") -> None:
    """End the process as a verdict says, where it is less than what is wanted."""
    from taut.runs import is_as_good

    if not is_as_good(found.verdict, wanted):
        sys.exit(DIFFERENT)
