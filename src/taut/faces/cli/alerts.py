"""`taut watch alert`, `alerts`, `accept`, `dismiss`, `notify`: what was found, who was told, and what becomes of it."""

from typing import TYPE_CHECKING

import click

from taut.faces.cli.shown import json_option, plain, shown, table
from taut.ground.clock import iso
from taut.home import open_home
from taut.records import Alert

if TYPE_CHECKING:
    from taut.watch.detail import AlertDetail
    from taut.watch.references import MonitorReference
    from taut.watch.replaying import Replay
    from taut.watch.telling import Delivered, Notice

DIFFERENT = 1  # The status of a replay that does not come to what is stored: somebody has to look.


@click.command(epilog="Example: taut watch alerts late")
@click.argument("deployment", default="")
@click.option(
    "--status", type=click.Choice(["open", "handled", "dismissed", "superseded"]), default=None,
    help="Only those that are so.",
)  # fmt: skip
@json_option
def alerts(deployment: str, status: str | None, as_json: bool) -> None:
    """List alerts: what crossed its bound, when, by which feature, who was told, and what became of it."""
    from taut.deploy import find_deployment
    from taut.watch import list_alerts
    from taut.watch.telling import list_notices

    with open_home() as home:
        name = find_deployment(home, deployment).name if deployment else ""
        found = list_alerts(home, name, status or "")
        notices = [] if as_json else list_notices(home)
    shown(found, as_json, lambda _: _alerts(found, notices))


@click.command(epilog="Example: taut watch alert 3fa1c2d4e5f6 --replay")
@click.argument("alert_id")
@click.option(
    "--replay", "is_replay", is_flag=True, help="Let the detectors bet again on the stored counts, and compare."
)
@json_option
@click.pass_context
def alert(context: click.Context, alert_id: str, is_replay: bool, as_json: bool) -> None:
    """Show an alert: its evidence in words and figures, its onset, what changed upstream since, and who was told.

    With --replay it ends with status 1 where the stored counts give another answer than was given.
    """
    from taut.watch import replay_alert, show_alert

    with open_home() as home:
        if not is_replay:
            shown(show_alert(home, alert_id), as_json, _detail)
            return
        found = replay_alert(home, alert_id)
    shown(found, as_json, _replay)
    if not found.is_same:
        context.exit(DIFFERENT)


@click.command(epilog="Example: taut watch dismiss 3fa1c2d4e5f6 --because 'a holiday'")
@click.argument("alert_id")
@click.option("--because", default="", help="Why, for the ledger.")
@json_option
def dismiss(alert_id: str, because: str, as_json: bool) -> None:
    """Say that an alert needs no answer."""
    from taut.watch import dismiss_alert

    with open_home() as home:
        shown(dismiss_alert(home, alert_id, because), as_json, lambda one: f"alert {one.id} is {one.status}")


@click.command(epilog="Example: taut watch accept 3fa1c2d4e5f6 --because 'the new tariff is here to stay'")
@click.argument("alert_id")
@click.option("--because", default="", help="Why, for the ledger.")
@json_option
def accept(alert_id: str, because: str, as_json: bool) -> None:
    """Take what an alert found for the new normal: the rows since then become the reference, the budget is new."""
    from taut.project import MonitorSpec, read_project
    from taut.watch import accept_alert, show_alert

    with open_home() as home:
        deployment = show_alert(home, alert_id).alert.deployment
        spec = read_project(home.project).monitors.get(deployment, MonitorSpec())
        made = accept_alert(home, alert_id, spec, because)
    shown(made, as_json, lambda one: _accepted(one, alert_id))


@click.command(epilog="Example: taut watch notify --test ops")
@click.option("--test", "receiver", default="", help="Send a test message to this receiver of taut.yaml, and no more.")
@json_option
def notify(receiver: str, as_json: bool) -> None:
    """Tell receivers what is due of alerts; `taut up` does so by itself."""
    from taut.project import read_project
    from taut.watch.telling import tell_receivers, try_receiver

    with open_home() as home:
        project = read_project(home.project)
        if receiver:
            answer = try_receiver(project, receiver, at_ms=home.clock.now_ms())
            said = {"receiver": receiver, "answer": answer}
            shown(said, as_json, lambda _: f"{receiver} was told: {plain(answer)}")
            return
        shown(list(tell_receivers(home, project)), as_json, _delivered)


def _alerts(found: list[Alert], notices: "list[Notice]") -> str:
    told: dict[str, list[str]] = {}
    for one in notices:
        if one.change == "opened":
            mark = "" if one.status == "done" else f" ({one.status})"
            told.setdefault(one.alert_id, []).append(f"{one.receiver}{mark}")
    rows = [
        (
            a.id, a.severity, a.deployment, iso(a.window_start_ms)[:10], a.detector, a.feature, a.version, a.windows,
            ", ".join(told.get(a.id, ())), a.status,
        )
        for a in found
    ]  # fmt: skip
    headings = [
        "alert", "severity", "deployment", "window", "detector", "feature", "version", "windows", "told", "status",
    ]  # fmt: skip
    return table(headings, rows, empty="no alert")


def _detail(found: "AlertDetail") -> str:
    one, story, begun = found.alert, found.story, found.begun
    lines = [f"alert {one.id}: {one.severity} on {one.deployment}, version {one.version}, {one.status}"]
    lines.append(
        f"opened   {_day(one.window_start_ms)} by {one.detector}, reference {one.reference}; "
        f"{one.windows} windows in alarm, the last {_day(one.last_ms)}"
    )
    if one.follows:
        lines.append(f"follows  alert {one.follows}, which was closed within the cool-down")
    if one.status != "open":
        lines.append(f"closed   {iso(one.closed_at_ms)[:19]}: {plain(one.reason) or 'no reason was given'}")
    if story is not None:
        lines.append(f"evidence e-value {story.e_value:.4g}, peak {one.peak:.4g}, alarm from {story.bound:g} on")
    if begun is not None:
        lines.append(
            f"began    in the window of {_day(begun.start_ms)}; {100 * begun.held:.0f} % of the weight lies on "
            f"{_day(begun.first_ms)} to {_day(begun.last_ms)}"
        )
    lines += _suspects(found) + _upstream(found) + _told(found)
    return "\n".join(lines)


def _suspects(found: "AlertDetail") -> list[str]:
    lines: list[str] = []
    for suspect in found.story.suspects if found.story is not None else ():
        named = "named by e-BH" if suspect.is_named else "not named by e-BH"
        lines.append(f"{plain(suspect.name)}: e-value {suspect.e_value:.4g}, {named}")
        lines += [f"  {plain(event.text)}" for event in suspect.events]
    return lines


def _upstream(found: "AlertDetail") -> list[str]:
    if found.upstream is None:
        return ["upstream: not known, for no counts were kept"]
    if not found.upstream.changes:
        return [f"upstream: nothing changed since; {', '.join(one.version for one in found.upstream.since)} answered"]
    return ["upstream, since the onset:", *(f"  {plain(one.text)}" for one in found.upstream.changes)]


def _told(found: "AlertDetail") -> list[str]:
    if not found.notices:
        return ["nobody was told"]
    lines = ["told:"]
    for one in found.notices:
        when = f" {iso(one.ended_ms)[:19]}" if one.ended_ms else ""
        lines.append(f"  {one.receiver}: {one.change}, {one.status}{when} ({plain(one.answer) or 'not sent yet'})")
    return lines


def _replay(found: "Replay") -> str:
    told = f"alert {found.alert}: {found.windows} windows bet on again"
    if found.is_same:
        return f"{told}, the same answer bit for bit (e-value {found.e_value:.4g} at the end)"
    rows = [(_day(one.window_start_ms), one.what, one.stored, one.replayed) for one in found.differences]
    return f"{told}, another answer\n" + table(["window", "what", "stored", "replayed"], rows, empty="")


def _delivered(done: "list[Delivered]") -> str:
    rows = [
        (one.notice.alert_id, one.notice.change, one.notice.receiver, one.status, plain(one.answer)) for one in done
    ]
    return table(["alert", "change", "receiver", "status", "answer"], rows, empty="nothing is due")


def _accepted(made: "MonitorReference", alert_id: str) -> str:
    return f"alert {alert_id} is accepted: {made.deployment} is held against reference {made.number} from here on"


def _day(at_ms: int) -> str:
    return iso(at_ms)[:16].removesuffix("T00:00")
