"""`taut watch`: windows, alerts and the picture of a deployment."""

from pathlib import Path

import click

from taut.faces.cli.shown import Group, json_option, shown, table
from taut.ground.clock import iso
from taut.home import open_home
from taut.records import Alert, Prediction, Window


@click.group(cls=Group, epilog="Example: taut watch status late")
def watch() -> None:
    """See windows, alerts and the picture of a deployment."""


@watch.command(epilog="Example: taut watch status late")
@click.argument("deployment")
@json_option
def status(deployment: str, as_json: bool) -> None:
    """List the windows of a deployment with their measures and the evidence gathered."""
    from taut.deploy import find_deployment
    from taut.watch import list_windows

    with open_home() as home:
        shown(list_windows(home, find_deployment(home, deployment).name), as_json, _windows)


@watch.command(epilog="Example: taut watch alerts late")
@click.argument("deployment", default="")
@click.option(
    "--status", type=click.Choice(["open", "handled", "dismissed"]), default=None, help="Only those that are so."
)
@json_option
def alerts(deployment: str, status: str | None, as_json: bool) -> None:
    """List alerts: what crossed its bound, when, by which feature, and what became of it."""
    from taut.deploy import find_deployment
    from taut.watch import list_alerts

    with open_home() as home:
        name = find_deployment(home, deployment).name if deployment else ""
        shown(list_alerts(home, name, status or ""), as_json, _alerts)


@watch.command(epilog="Example: taut watch dismiss 3fa1c2d4e5f6 --because 'a holiday'")
@click.argument("alert_id")
@click.option("--because", default="", help="Why, for the ledger.")
@json_option
def dismiss(alert_id: str, because: str, as_json: bool) -> None:
    """Say that an alert needs no answer."""
    from taut.watch import dismiss_alert

    with open_home() as home:
        shown(dismiss_alert(home, alert_id, because), as_json, lambda one: f"alert {one.id} is {one.status}")


@watch.command(epilog="Example: taut watch predictions late --limit 5")
@click.argument("deployment")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many requests."
)
@json_option
def predictions(deployment: str, limit: int, as_json: bool) -> None:
    """List answered requests in the order of their events; each row ROW of request ID is the prediction ID.ROW."""
    from taut.deploy import find_deployment
    from taut.serve import list_predictions

    with open_home() as home:
        shown(list_predictions(home, find_deployment(home, deployment).name, limit=limit), as_json, _predictions)


@watch.command(epilog="Example: taut watch report late --out late.html")
@click.argument("deployment")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write  [default: DEPLOYMENT.html]"
)
@json_option
def report(deployment: str, out: Path | None, as_json: bool) -> None:
    """Draw the life of a deployment: measures, evidence, alerts, retrainings, verdicts, as one HTML page."""
    from taut.deploy import find_deployment
    from taut.watch import watch_report

    place = out or Path(f"{deployment}.html")
    with open_home() as home:
        page = watch_report(home, find_deployment(home, deployment).name)
    place.write_text(page)
    shown({"path": str(place), "size_bytes": len(page.encode())}, as_json, lambda _: f"the picture is in {place}")


def _windows(windows: list[Window]) -> str:
    rows = [
        (
            iso(w.start_ms)[:10], iso(w.end_ms)[:10], w.version, w.rows, w.labelled, w.measures.get("roc_auc"),
            w.measures.get("brier"), w.evidence.get("labels"), w.evidence.get("features"),
        )
        for w in windows
    ]  # fmt: skip
    headings = ["from", "until", "version", "rows", "labelled", "roc_auc", "brier", "e labels", "e features"]
    return table(headings, rows, empty="no window closed yet; try: taut up --once")


def _alerts(found: list[Alert]) -> str:
    rows = [
        (a.id, a.severity, a.deployment, iso(a.window_start_ms)[:10], a.detector, a.feature, a.version, a.status)
        for a in found
    ]
    headings = ["alert", "severity", "deployment", "window", "detector", "feature", "version", "status"]
    return table(headings, rows, empty="no alert")


def _predictions(page: list[Prediction]) -> str:
    rows = [(p.id, p.rows, f"{p.model}@{p.number}", iso(p.event_ms)[:19], iso(p.at_ms)[:19]) for p in page]
    return table(["request", "rows", "version", "about", "answered"], rows, empty="nobody has asked yet")
