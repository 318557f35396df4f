"""`taut why`: one prediction's way back to the bytes."""

import click

from taut.faces.cli.shown import json_option, shown
from taut.home import open_home


@click.command(epilog="Example: taut why 3fa1c2.0")
@click.argument("prediction")
@json_option
def why(prediction: str, as_json: bool) -> None:
    """Trace a prediction (ID.ROW) to version, gate, run, commit, environment and data, and on to all these reached."""
    from taut.govern.trace import Trace, trace_prediction

    def told(trace: Trace) -> str:
        lines = []
        for depth, link in enumerate(trace.chain):
            lines.append(f"{'└─ ' if depth else ''}{click.style(link.point, bold=True)}")
            lines += [f"   {fact}" for fact in link.facts]
        lines.append(f"The same data reached {trace.rows_reached} other predictions:")
        lines += [
            f"   {one.model} on {one.deployment}: {one.rows} rows in {one.requests} requests" for one in trace.reached
        ]
        return "\n".join([*lines, *(f"   as {example}" for example in trace.examples)])

    with open_home() as home:
        shown(trace_prediction(home, prediction), as_json, told)
