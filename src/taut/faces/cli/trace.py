"""`taut why`: one prediction's way back to the bytes, and the story of an alert and of what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from taut.faces.cli.shown import json_option, shown
from taut.ground.clock import iso
from taut.home import open_home

if TYPE_CHECKING:
    from taut.govern.story import Story
    from taut.govern.trace import Trace

STORIES = ("alert:", "run:", "model:", "deployment:")


@click.command(epilog="Example: taut why 3fa1c2.0")
@click.argument("point")
@json_option
def why(point: str, as_json: bool) -> None:
    """Trace a prediction (ID.ROW) to version, gate, run, commit, environment and data, and on to all these reached.

    Of alert:ID, run:ID, model:NAME@NUMBER and deployment:NAME@REVISION it tells the story: what was seen and when,
    which policy decided what, what was learned from, the verdict in figures, what was rolled out and how it ended.
    """
    if point.startswith(STORIES):
        from taut.govern.story import tell_story

        with open_home() as home:
            shown(tell_story(home, point), as_json, _story)
        return
    from taut.govern.trace import trace_prediction

    with open_home() as home:
        shown(trace_prediction(home, point), as_json, _trace)


def _trace(trace: Trace) -> str:
    lines = []
    for depth, link in enumerate(trace.chain):
        lines.append(f"{'└─ ' if depth else ''}{click.style(link.point, bold=True)}")
        lines += [f"   {fact}" for fact in link.facts]
    lines.append(f"The same data reached {trace.rows_reached} other predictions:")
    lines += [
        f"   {one.model} on {one.deployment}: {one.rows} rows in {one.requests} requests" for one in trace.reached
    ]
    return "\n".join([*lines, *(f"   as {example}" for example in trace.examples)])


def _story(story: Story) -> str:
    told = f"{story.alert} is {story.status}" if story.alert else "no alert led here"
    lines = [f"{click.style(story.point, bold=True)}: {told}"]
    for one in story.chapters:
        at = f"  {one.point}" if one.point else ""
        lines += [
            f"└─ {click.style(one.what, bold=True)}  {iso(one.at_ms)[:19].replace('T', ' ')}{at}",
            f"   {one.text}",
        ]
    return "\n".join(lines)
