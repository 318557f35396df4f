"""`taut rollback` and `deployments`: what stands behind endpoints, what stood there, and the way back."""

from typing import Any

import click

from taut.faces.cli.shown import json_option, plain, shown, table
from taut.ground.clock import iso
from taut.home import Home, open_home
from taut.records import Deployment


@click.command(epilog='Example: taut rollback late --reason "too many errors"')
@click.argument("name")
@click.option("--to", "revision", type=click.IntRange(1), default=None, help="The revision to go back to.")
@click.option("--reason", default="", help="Why; it stands in the history.")
@json_option
def rollback(name: str, revision: int | None, reason: str, as_json: bool) -> None:
    """Take back what was deployed last: the canary, or the live version for the newest that served well before it.

    Asked for twice it is done once. What taut.yaml says does not bring back what was taken back; its name does.
    """
    from taut.deploy import go_back

    with open_home() as home:
        shown(go_back(home, name, to=revision or 0, reason=reason), as_json, lambda done: done.text)


@click.command(epilog="Example: taut deployments late")
@click.argument("name", default="")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many revisions at most.")
@json_option
def deployments(name: str, limit: int, as_json: bool) -> None:
    """List deployments with the versions behind them and their shares, or the revisions of one, newest first."""
    from taut.deploy import list_revisions

    with open_home() as home:
        if name:
            shown(list_revisions(home, name, limit), as_json, _history)
        else:
            shown(_now(home), as_json, _list)


def _now(home: Home) -> list[dict[str, Any]]:
    """Each deployment as it is recorded, and what its target last reported of it."""
    from taut.deploy import list_deployments, list_states
    from taut.ground import wire

    states = {state.name: state for state in list_states(home)}
    found = []
    for one in list_deployments(home):
        state = states.get(one.name)
        status, url = (state.status, state.url) if state else ("not started", "")
        found.append({**wire.plain(one), "serves": _versions(one), "status": status, "url": url})
    return found


def _list(found: list[dict[str, Any]]) -> str:
    names = ("name", "revision", "serves", "target", "status", "url")
    headings = ["deployment", *names[1:]]
    return table(headings, [[one[name] for name in names] for one in found], empty="nothing is deployed")


def _history(found: list[Deployment]) -> str:
    rows = [
        (one.revision, _versions(one), one.cause, one.actor, iso(one.at_ms)[:19], plain(one.reason)) for one in found
    ]
    return table(["revision", "serves", "cause", "by", "at", "reason"], rows, empty="it has no revisions")


def _versions(one: Deployment) -> str:
    from taut.deploy import told

    return told(one.backends)
