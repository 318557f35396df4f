"""A change of an alert in the words of each kind of receiver: JSON, Slack's blocks, a mail, Alertmanager's alerts."""

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from taut.ground import wire
from taut.ground.clock import iso
from taut.watch.telling.outbox import News

SLACK_MAX = 2_900  # A section of Slack holds 3,000 characters.
HOLDS_MS = 365 * 86_400_000  # How long Alertmanager is to believe an alert that nobody closes.
SUBJECT_MAX = 150


def headline_of(news: News) -> str:
    """The change in one line."""
    alert = news.alert
    what = f"{alert.severity} on {alert.deployment} (version {alert.version})"
    if news.change == "closed":
        return f"{what} closed: {alert.status}" + (f", {alert.reason}" if alert.reason else "")
    verb = "opened" if news.change == "opened" else f"goes on, {alert.windows} windows"
    return f"{what} {verb}: {', '.join(alert.features) or alert.feature}"


def lines_of(news: News) -> list[str]:
    """What there is to know, a sentence a line."""
    alert, story = news.alert, news.story
    lines = [f"detector {alert.detector}, first in alarm in the window of {iso(alert.window_start_ms)[:16]}"]
    if news.begun is not None:
        begun = news.begun
        lines.append(
            f"began in the window of {iso(begun.start_ms)[:16]} ({100 * begun.held:.0f} % of the weight: "
            f"{iso(begun.first_ms)[:16]} to {iso(begun.last_ms)[:16]})"
        )
    if story is not None:
        lines.append(f"e-value {story.e_value:.4g}, alarm from {story.bound:g} on")
        lines += [f"- {event.text}" for suspect in story.suspects for event in suspect.events]
    return [*lines, f"taut watch alert {alert.id}"]


def json_of(news: News, *, at_ms: int) -> bytes:
    """The body of a webhook: `type`, `timestamp` and `data`, as Standard Webhooks have it."""
    return wire.encode({
        "type": f"alert.{news.change}", "timestamp": iso(at_ms),
        "data": {
            "alert": news.alert, "story": news.story, "begun": news.begun, "headline": headline_of(news),
            "lines": lines_of(news),
        },
    })  # fmt: skip


def slack_of(news: News) -> bytes:
    """The body of a Slack incoming webhook: the headline as its text, the rest as a section."""
    told = "\n".join(_escaped(line) for line in lines_of(news))
    headline = _escaped(headline_of(news))
    section = {"type": "section", "text": {"type": "mrkdwn", "text": f"*{headline}*\n{told}"[:SLACK_MAX]}}
    return wire.encode({"text": headline, "blocks": [section]})


def alertmanager_of(news: News, *, at_ms: int) -> bytes:
    """The body of POST /api/v2/alerts: one alert, which the labels name; closed, it ends now.

    Source: Alertmanager's OpenAPI v2 (postableAlerts).
    """
    alert = news.alert
    ends_ms = alert.closed_at_ms if news.change == "closed" else at_ms + HOLDS_MS
    return wire.encode([{
        "labels": {
            "alertname": "TautDrift", "alert_id": alert.id, "deployment": alert.deployment,
            "detector": alert.detector, "severity": alert.severity, "version": str(alert.version),
        },
        "annotations": {"summary": headline_of(news), "description": "\n".join(lines_of(news))},
        "startsAt": iso(alert.at_ms), "endsAt": iso(ends_ms),
    }])  # fmt: skip


def mail_of(news: News, *, sender: str, to: tuple[str, ...], notice_id: str, at_ms: int) -> EmailMessage:
    """A mail in plain text. Its id is the notice's, and those of one alert stand in one thread."""
    domain = sender.rpartition("@")[2].rstrip(">") or "localhost"
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Subject"] = f"[taut] {headline_of(news)}"[:SUBJECT_MAX].replace("\n", " ").replace("\r", " ")
    mail["Date"] = format_datetime(datetime.fromtimestamp(at_ms / 1000, tz=UTC))
    mail["Message-ID"] = f"<{notice_id}@{domain}>"
    mail["References"] = f"<{news.alert.id}.alert@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join([headline_of(news), "", *lines_of(news)]) + "\n")
    return mail


def _escaped(text: str) -> str:
    """Slack's three characters of control as entities, so that no name of a column pings a channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
