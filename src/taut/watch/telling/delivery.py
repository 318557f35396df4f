"""Delivery: each notice that is due is sent by its receiver's protocol, and how it went is written down."""

import os
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import urlsplit

from taut.errors import Denied, Invalid, NotFound, TautError, Unavailable
from taut.ground.outbound import allowed_hosts, is_allowed_host, line_to, post, signature_of
from taut.home import Home
from taut.project import ProjectFile, ReceiverSpec
from taut.records import Alert
from taut.watch.telling.messages import alertmanager_of, json_of, mail_of, slack_of
from taut.watch.telling.outbox import News, Notice, Status, claim_notice, end_notice

AGENT = "taut-alerts"
JSON = {"Content-Type": "application/json", "User-Agent": AGENT}


@dataclass(frozen=True, slots=True)
class Delivered:
    """How a notice went."""

    notice: Notice
    status: Status
    answer: str


def tell_receivers(home: Home, project: ProjectFile) -> Iterator[Delivered]:
    """Send every notice that is due, one after the other; yields each with what came of it.

    Any number of loops may do so at once: each notice is claimed by one. A receiver that says no, or is not in
    taut.yaml any more, is tried again later and given up in the end.
    """
    while (notice := claim_notice(home)) is not None:
        try:
            said = send(_receiver(project, notice.receiver), notice.news, notice.id, at_ms=home.clock.now_ms())
            is_good = True
        except TautError as problem:  # Not allowed, not there, or not set up: it is written down, and tried again.
            said, is_good = problem.message, False
        status = end_notice(home, notice.id, notice.attempts, success=is_good, answer=said)
        yield Delivered(notice, status, said)


def try_receiver(project: ProjectFile, name: str, *, at_ms: int) -> str:
    """Send a message that says it is a test to a receiver of taut.yaml; returns what it answered.

    Raises NotFound where there is no such receiver, Invalid, Denied or Unavailable where it could not be told.
    """
    alert = Alert(
        "000000000000", "test", 0, at_ms, "ewin:features", "ticket", "this is a test", {"bound": 100.0}, "open", at_ms,
        last_ms=at_ms,
    )  # fmt: skip
    return send(_receiver(project, name), News("opened", alert, None, None), f"test-{at_ms}", at_ms=at_ms)


def send(receiver: ReceiverSpec, news: News, notice_id: str, *, at_ms: int) -> str:
    """Tell one receiver; returns its answer. Raises Unavailable for any answer that is no yes, and for none.

    Raises Denied for a place that is not public and was not allowed, Invalid where its settings or the environment
    variables that they name do not hold what it needs.
    """
    if receiver.kind == "email":
        mail = mail_of(news, sender=receiver.sender, to=receiver.to, notice_id=notice_id, at_ms=at_ms)
        return _send_mail(receiver, mail)
    if receiver.kind == "slack":
        return _post(receiver, slack_of(news), JSON)
    if receiver.kind == "alertmanager":
        return _post(receiver, alertmanager_of(news, at_ms=at_ms), JSON)
    body, seconds = json_of(news, at_ms=at_ms), str(at_ms // 1000)
    headers = {**JSON, "webhook-id": notice_id, "webhook-timestamp": seconds}
    if receiver.secret_from:
        headers["webhook-signature"] = signature_of(_secret(receiver.secret_from), notice_id, seconds, body.decode())
    return _post(receiver, body, headers)


def _post(receiver: ReceiverSpec, body: bytes, headers: Mapping[str, str]) -> str:
    url = receiver.url or _secret(receiver.url_from)
    if receiver.kind == "alertmanager":
        url = url.rstrip("/") + "/api/v2/alerts"
    try:
        answer = post(url, body, headers, allowed=allowed_hosts())
    except Invalid as problem:
        if receiver.url:
            raise
        raise Invalid(
            f"{receiver.url_from} holds no URL that may be posted to: https, or a host that the owner allows",
            hint="TAUT_WEBHOOK_HOSTS names hosts that are told in the open",
        ) from problem.__cause__
    said = f"{answer.status} {answer.text}".strip()
    if receiver.url_from:  # Slack's URL is its password, and a page of an error may show it.
        parts = urlsplit(url)
        for secret in (url, parts.path, parts.query):
            said = said.replace(secret, "…") if len(secret) > 1 else said
    if not 200 <= answer.status < 300:  # The statuses of HTTP that say yes.
        raise Unavailable(f"it answered {said}")
    return said


class Spoken(smtplib.SMTP):
    """SMTP on a connection that stands already, to the address that was judged."""

    def __init__(self, line: socket.socket, host: str) -> None:
        super().__init__(local_hostname="localhost")
        self.sock = line
        self._host = host  # Whose certificate STARTTLS asks for.


def _send_mail(receiver: ReceiverSpec, mail: EmailMessage) -> str:
    host, port, allowed = receiver.host.lower(), receiver.port, allowed_hosts()
    if receiver.tls == "none" and not is_allowed_host(host, port, allowed):
        raise Denied(
            f"{host} would be told in the open",
            hint="set tls: starttls, or let the owner allow the host: TAUT_WEBHOOK_HOSTS",
        )
    with line_to(host, port, secured=receiver.tls == "tls", allowed=allowed) as line:
        smtp = Spoken(line, host)
        try:
            code, said = smtp.getreply()
            if code != 220:  # RFC 5321, sec. 3.1: the server is ready.
                raise Unavailable(f"{host} is not ready: {code} {_text(said)}")
            if receiver.tls == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if receiver.user_from:
                smtp.login(_secret(receiver.user_from), _secret(receiver.password_from))
            refused = smtp.send_message(mail)
            smtp.quit()
        except smtplib.SMTPException as problem:
            raise Unavailable(f"{host} did not take the mail: {_told(problem)}") from None
        finally:
            smtp.close()
    taken = f"{host} took the mail for {', '.join(one for one in receiver.to if one not in refused)}"
    return taken + (f", not for {', '.join(sorted(refused))}" if refused else "")


def _told(problem: smtplib.SMTPException) -> str:
    """What the server said. What was said to it is not repeated: it may hold a password."""
    if isinstance(problem, smtplib.SMTPResponseException):
        return f"{problem.smtp_code} {_text(problem.smtp_error)}"
    if isinstance(problem, smtplib.SMTPRecipientsRefused):
        return "; ".join(f"{who}: {code} {_text(said)}" for who, (code, said) in sorted(problem.recipients.items()))
    return str(problem)


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said


def _secret(variable: str) -> str:
    found = os.environ.get(variable, "")
    if not found:
        raise Invalid(
            f"the environment variable {variable} is not set", hint=f"set {variable} where the loop (taut up) runs"
        )
    return found


def _receiver(project: ProjectFile, name: str) -> ReceiverSpec:
    found = project.notify.receivers.get(name)
    if found is None:
        known = ", ".join(sorted(project.notify.receivers)) or "none"
        raise NotFound(
            f"taut.yaml has no receiver {name!r}; it has {known}", hint=f"add notify: receivers: {name}: to taut.yaml"
        )
    return found
