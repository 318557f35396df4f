"""Telling receivers of alerts: by each protocol to a real server, once a change, in order, with nothing secret told."""

import base64
import hashlib
import hmac
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taut.errors import Denied, Invalid, NotFound, Unavailable
from taut.ground.ledger import events
from taut.ground.outbound import line_to, read_hosts
from taut.ground.queues import LEASE_MS, RETRY_MAX_MS, RETRY_MS
from taut.home import Home
from taut.project import MonitorSpec, NotifySpec, ProjectFile, ReceiverSpec, TellSpec
from taut.watch import close_windows, dismiss_alert, list_alerts
from taut.watch.telling import list_notices, tell_receivers, try_receiver
from taut.watch.telling.delivery import Spoken
from taut.watch.telling.messages import headline_of, lines_of
from taut.watch.telling.outbox import ATTEMPTS_MAX, claim_notice, end_notice
from tests.faces.receiving import Receiver, receiving
from tests.watch.mailing import Mailbox, mailing
from tests.watch.served import draw, serve, watched

SECRET = "a word that is in no table"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as one:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
        monkeypatch.setenv("OPS_SECRET", SECRET)
        monkeypatch.setenv("OPS_URL", f"{one.url}/services/T0/B0/{SECRET.replace(' ', '-')}")
        yield one


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of localhost with its key, which this process trusts."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make a certificate")
    key, pem = tmp_path / "key.pem", tmp_path / "both.pem"
    made = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem, "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with pem.open("a") as both:
        both.write(key.read_text())
    return pem


def project(**receivers: ReceiverSpec) -> ProjectFile:
    """A taut.yaml in which everybody hears of everything about `late`."""
    names = tuple(receivers)
    monitor = MonitorSpec(window="1d", lateness="0 s", alpha=0.01, notify=TellSpec(page=names, ticket=names))
    return ProjectFile(monitors={"late": monitor}, notify=NotifySpec(receivers=receivers))


def ticketed(home: Home, wanted: ProjectFile) -> str:
    """An open ticket of which everybody is to be told; its id."""
    watched(home)
    for day in range(5):
        serve(home, day, draw(day, shifted=day > 1))
    close_windows(home, "late", wanted.monitors["late"])
    (alert,) = list_alerts(home, "late")
    return alert.id


def hook(receiver: Receiver, **more: str) -> ReceiverSpec:
    return ReceiverSpec(kind="webhook", url=f"{receiver.url}/hook", **more)  # type: ignore[arg-type]


def statuses(home: Home) -> list[tuple[str, str, int]]:
    return [(one.change, one.status, one.attempts) for one in list_notices(home)]


# Webhooks


def test_a_webhook_hears_the_whole_story_signed(home, receiver):
    wanted = project(ops=hook(receiver, secret_from="OPS_SECRET"))
    alert = ticketed(home, wanted)
    (done,) = tell_receivers(home, wanted)
    assert (done.status, done.notice.change, done.answer) == ("done", "opened", "200 thanks")
    (heard,) = receiver.heard
    assert heard.path == "/hook"
    assert heard.told["type"] == "alert.opened"
    told = heard.told["data"]
    assert (told["alert"]["id"], told["alert"]["feature"]) == (alert, "z")
    assert told["headline"] == "ticket on late (version 1) opened: z"
    assert told["story"]["suspects"][0]["events"][0]["text"] in " ".join(told["lines"])
    assert told["begun"]["start_ms"] <= told["alert"]["window_start_ms"]
    headers = heard.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + heard.body
    wanted_signature = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted_signature}"
    assert headers["webhook-timestamp"] == str(home.clock.now_ms() // 1000)


def test_a_webhook_without_a_secret_has_no_signature(home, receiver):
    wanted = project(ops=hook(receiver))
    ticketed(home, wanted)
    list(tell_receivers(home, wanted))
    assert "webhook-signature" not in receiver.heard[0].headers


def test_what_was_told_is_told_once_and_its_end_after_it(home, receiver):
    wanted = project(ops=hook(receiver))
    alert = ticketed(home, wanted)
    assert len(list(tell_receivers(home, wanted))) == 1
    assert list(tell_receivers(home, wanted)) == []
    dismiss_alert(home, alert, "a strike")
    list(tell_receivers(home, wanted))
    assert [heard.told["type"] for heard in receiver.heard] == ["alert.opened", "alert.closed"]
    assert receiver.heard[1].told["data"]["headline"].endswith("closed: dismissed, a strike")
    assert statuses(home) == [("opened", "done", 1), ("closed", "done", 1)]


def test_who_was_told_when_stands_in_the_ledger_and_no_secret_anywhere(home, receiver):
    wanted = project(ops=hook(receiver, secret_from="OPS_SECRET"), chat=ReceiverSpec(kind="slack", url_from="OPS_URL"))
    receiver.body = f"/services/T0/B0/{SECRET.replace(' ', '-')} is not here".encode()
    ticketed(home, wanted)
    list(tell_receivers(home, wanted))
    with home.meta.read() as tx:
        told = [json.loads(one.body) for one in events(tx, kind="alert.told")]
        everything = str([one.body for one in events(tx)]) + str(list_notices(home))
    assert sorted(one["receiver"] for one in told) == ["chat", "ops"]
    assert all((one["change"], one["success"], one["attempts"]) == ("opened", True, 1) for one in told)
    assert SECRET not in everything
    assert SECRET.replace(" ", "-") not in everything.replace(receiver.body.decode(), "")
    (chat,) = [one for one in list_notices(home) if one.receiver == "chat"]
    assert chat.answer == "200 … is not here"


@pytest.mark.parametrize("status", [199 + 1 + 100, 302, 400, 404, 500, 503])
def test_an_answer_that_is_no_yes_is_tried_again_later_and_later(home, receiver, status):
    wanted = project(ops=hook(receiver))
    receiver.answers = lambda number: status if number < 2 else 200
    ticketed(home, wanted)
    (first,) = tell_receivers(home, wanted)
    assert (first.status, first.answer) == ("due", f"it answered {status} thanks")
    assert list(tell_receivers(home, wanted)) == []
    home.clock.pass_ms(RETRY_MS - 1)
    assert list(tell_receivers(home, wanted)) == []
    home.clock.pass_ms(1)
    assert [one.status for one in tell_receivers(home, wanted)] == ["due"]
    home.clock.pass_ms(2 * RETRY_MS)
    assert [one.status for one in tell_receivers(home, wanted)] == ["done"]
    assert len({heard.headers["webhook-id"] for heard in receiver.heard}) == 1


def test_a_receiver_that_never_says_yes_is_given_up_and_the_ledger_says_so(home, receiver):
    wanted = project(ops=hook(receiver))
    receiver.answers = lambda _: 500
    ticketed(home, wanted)
    for _ in range(ATTEMPTS_MAX):
        assert len(list(tell_receivers(home, wanted))) == 1
        home.clock.pass_ms(RETRY_MAX_MS)
    assert list(tell_receivers(home, wanted)) == []
    assert statuses(home) == [("opened", "failed", ATTEMPTS_MAX)]
    with home.meta.read() as tx:
        (told,) = events(tx, kind="alert.told")
    assert json.loads(told.body)["success"] is False


def test_one_receiver_that_fails_keeps_no_other_waiting_and_its_own_in_order(home, receiver):
    with receiving() as other:
        wanted = project(ops=hook(receiver), more=hook(other))
        receiver.answers = lambda _: 500
        alert = ticketed(home, wanted)
        list(tell_receivers(home, wanted))
        dismiss_alert(home, alert)
        list(tell_receivers(home, wanted))
        assert [heard.told["type"] for heard in other.heard] == ["alert.opened", "alert.closed"]
        assert [heard.told["type"] for heard in receiver.heard] == ["alert.opened"]
        receiver.answers = lambda _: 200
        home.clock.pass_ms(RETRY_MAX_MS)
        list(tell_receivers(home, wanted))
        assert [heard.told["type"] for heard in receiver.heard] == ["alert.opened", "alert.opened", "alert.closed"]


def test_a_claim_is_one_senders_alone_until_it_runs_out(home, receiver):
    wanted = project(ops=hook(receiver))
    ticketed(home, wanted)
    claimed = claim_notice(home)
    assert claimed is not None
    assert claim_notice(home) is None
    home.clock.pass_ms(LEASE_MS)
    again = claim_notice(home)
    assert again is not None
    assert (again.id, again.attempts) == (claimed.id, 2)
    end_notice(home, claimed.id, claimed.attempts, success=True, answer="too late")
    assert statuses(home) == [("opened", "due", 2)]
    end_notice(home, again.id, again.attempts, success=True, answer="ok")
    assert statuses(home) == [("opened", "done", 2)]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (ReceiverSpec(kind="webhook", url="https://10.0.0.7/hook"), "no public address"),
        (ReceiverSpec(kind="webhook", url="http://example.org/hook"), "not https"),
        (ReceiverSpec(kind="slack", url_from="NOT_SET"), "NOT_SET is not set"),
        (ReceiverSpec(kind="webhook", url="https://127.0.0.2:9/", secret_from="NOT_SET"), "NOT_SET is not set"),
        (ReceiverSpec(kind="email", host="10.0.0.7", sender="a@b.c", to=("d@e.f",)), "no public address"),
        (ReceiverSpec(kind="email", host="8.8.8.8", sender="a@b.c", to=("d@e.f",), tls="none"), "in the open"),
    ],
)
def test_what_may_not_be_told_there_is_written_down_and_nothing_is_sent(home, monkeypatch, spec, says):
    monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "hooks.example")
    wanted = project(ops=spec)
    ticketed(home, wanted)
    (done,) = tell_receivers(home, wanted)
    assert done.status == "due"
    assert says in done.answer


def test_a_secret_url_that_is_none_is_not_told(home, monkeypatch):
    monkeypatch.setenv("OPS_URL", f"ftp://{SECRET.replace(' ', '-')}")
    with pytest.raises(Invalid, match="OPS_URL holds no URL") as told:
        try_receiver(project(chat=ReceiverSpec(kind="slack", url_from="OPS_URL")), "chat", at_ms=0)
    assert SECRET.replace(" ", "-") not in str(told.value)


def test_a_receiver_that_was_taken_out_of_the_file_is_tried_again_once_it_is_back(home, receiver):
    wanted = project(ops=hook(receiver))
    ticketed(home, wanted)
    (done,) = tell_receivers(home, project())
    assert "no receiver 'ops'; it has none" in done.answer
    home.clock.pass_ms(RETRY_MS)
    assert [one.status for one in tell_receivers(home, wanted)] == ["done"]


# Slack, Alertmanager


def test_slack_gets_a_text_and_a_section_in_which_no_name_pings_a_channel(home, receiver):
    wanted = project(chat=ReceiverSpec(kind="slack", url_from="OPS_URL"))
    ticketed(home, wanted)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE notice SET body = replace(body, '\"z\"', '\"<!channel> & co\"')")
    list(tell_receivers(home, wanted))
    (heard,) = receiver.heard
    assert heard.path.startswith("/services/T0/B0/")
    assert heard.told["text"] == "ticket on late (version 1) opened: &lt;!channel&gt; &amp; co"
    (section,) = heard.told["blocks"]
    assert section["type"] == "section"
    assert section["text"]["text"].startswith("*ticket on late")
    assert "<" not in section["text"]["text"]
    assert len(section["text"]["text"]) <= 3_000


def test_alertmanager_holds_an_alert_until_it_is_closed(home, receiver):
    wanted = project(am=ReceiverSpec(kind="alertmanager", url=f"{receiver.url}/"))
    alert = ticketed(home, wanted)
    list(tell_receivers(home, wanted))
    home.clock.pass_ms(60_000)
    dismiss_alert(home, alert, "a strike")
    list(tell_receivers(home, wanted))
    (firing,), (resolved,) = (json.loads(heard.body) for heard in receiver.heard)
    assert {heard.path for heard in receiver.heard} == {"/api/v2/alerts"}
    assert firing["labels"] == resolved["labels"]  # What Alertmanager knows an alert by.
    assert firing["labels"]["alertname"] == "TautDrift"
    assert (firing["labels"]["severity"], firing["labels"]["deployment"]) == ("ticket", "late")
    assert firing["startsAt"] == resolved["startsAt"] < resolved["endsAt"] < firing["endsAt"]
    assert "closed: dismissed, a strike" in resolved["annotations"]["summary"]


# Mail


def mail(mailbox: Mailbox, **more: object) -> ReceiverSpec:
    settings = {"host": "127.0.0.1", "port": mailbox.port, "sender": "taut@example.org", "to": ("ops@example.org",)}
    return ReceiverSpec(kind="email", **{**settings, **more})  # type: ignore[arg-type]


def test_a_mail_goes_out_over_starttls_with_a_login(home, receiver, certificate, monkeypatch):
    monkeypatch.setenv("MAIL_USER", "taut")
    with mailing(certificate=certificate) as mailbox:
        mailbox.user, mailbox.password = "taut", SECRET
        wanted = project(mail=mail(mailbox, user_from="MAIL_USER", password_from="OPS_SECRET"))
        alert = ticketed(home, wanted)
        (done,) = tell_receivers(home, wanted)
        assert (done.status, done.answer) == ("done", "127.0.0.1 took the mail for ops@example.org")
        (sent,) = mailbox.mails
        assert mailbox.secured == [True]
        assert mailbox.logins == [("taut", SECRET)]
        assert mailbox.said.index("STARTTLS") < mailbox.said.index("AUTH")
        assert sent["Subject"] == "[taut] ticket on late (version 1) opened: z"
        assert sent["Message-ID"] == f"<{done.notice.id}@example.org>"
        assert f"taut watch alert {alert}" in sent.get_content()
        assert "z <= " in sent.get_content()
        assert sent["References"] == f"<{alert}.alert@example.org>"


def test_a_mail_goes_out_over_tls_from_the_first_byte(home, receiver, certificate):
    with mailing(certificate=certificate, implicit=True) as mailbox:
        assert "took the mail" in try_receiver(project(mail=mail(mailbox, tls="tls")), "mail", at_ms=0)
    assert mailbox.secured == [True]


def test_a_certificate_that_nobody_vouches_for_gets_no_mail_and_no_password(receiver, certificate, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("MAIL_USER", "taut")
    with mailing(certificate=certificate) as mailbox:
        mailbox.user = "taut"
        asked = project(mail=mail(mailbox, user_from="MAIL_USER", password_from="OPS_SECRET"))
        with pytest.raises(Unavailable, match="certificate"):
            try_receiver(asked, "mail", at_ms=0)
    assert (mailbox.logins, mailbox.mails) == ([], [])


def test_a_server_without_starttls_gets_no_mail_unless_it_may_be_told_in_the_open(receiver):
    with mailing() as mailbox:
        with pytest.raises(Unavailable, match="STARTTLS"):
            try_receiver(project(mail=mail(mailbox)), "mail", at_ms=0)
        assert mailbox.mails == []
        try_receiver(project(mail=mail(mailbox, tls="none")), "mail", at_ms=0)
    assert mailbox.secured == [False]


def test_a_wrong_password_is_told_without_it(receiver, certificate, monkeypatch):
    monkeypatch.setenv("MAIL_USER", "taut")
    with mailing(certificate=certificate) as mailbox:
        mailbox.user, mailbox.password = "taut", "another"
        asked = project(mail=mail(mailbox, user_from="MAIL_USER", password_from="OPS_SECRET"))
        with pytest.raises(Unavailable, match="535 no such user") as told:
            try_receiver(asked, "mail", at_ms=0)
    assert SECRET not in str(told.value)
    assert mailbox.mails == []


def test_some_recipients_that_are_refused_are_told_and_all_of_them_are_a_no(receiver):
    with mailing() as mailbox:
        mailbox.refused = ("gone@example.org",)
        some = mail(mailbox, tls="none", to=("ops@example.org", "gone@example.org"))
        said = try_receiver(project(mail=some), "mail", at_ms=0)
        assert said == "127.0.0.1 took the mail for ops@example.org, not for gone@example.org"
        with pytest.raises(Unavailable, match=r"gone@example\.org: 550 nobody here"):
            try_receiver(project(mail=replace_to(some, "gone@example.org")), "mail", at_ms=0)
    assert mailbox.recipients == [["ops@example.org"]]


def replace_to(spec: ReceiverSpec, *to: str) -> ReceiverSpec:
    from msgspec.structs import replace as with_fields

    return with_fields(spec, to=to)


def test_a_server_that_is_not_ready_is_asked_again_later(receiver):
    with mailing() as mailbox:
        mailbox.greeting = "554 not today"
        with pytest.raises(Unavailable, match="not ready: 554 not today"):
            try_receiver(project(mail=mail(mailbox, tls="none")), "mail", at_ms=0)


# A line, a test message, words


def test_a_line_leads_only_where_http_would():
    with mailing() as mailbox:
        with pytest.raises(Denied, match="no public address"), line_to("localhost", mailbox.port, secured=False):
            pytest.fail("connected")
        with line_to("127.0.0.1", mailbox.port, secured=False, allowed=read_hosts("127.0.0.1")) as line:
            assert line.recv(3) == b"220"
        with (
            pytest.raises(Unavailable, match="did not answer"),
            line_to("127.0.0.1", mailbox.port, secured=False, allowed=read_hosts("127.0.0.1"), timeout_s=0.2) as line,
        ):
            while line.recv(100):
                pass


def test_a_server_that_dawdles_after_starttls_is_cut_off_like_any_other(receiver, certificate):
    with mailing(certificate=certificate) as mailbox:
        mailbox.dawdles = True
        began = time.monotonic()
        with (
            pytest.raises(Unavailable, match="did not"),
            line_to("127.0.0.1", mailbox.port, secured=False, allowed=read_hosts("127.0.0.1"), timeout_s=1) as line,
        ):
            spoken = Spoken(line, "127.0.0.1")
            try:
                spoken.getreply()
                spoken.starttls(context=ssl.create_default_context())
                spoken.noop()
            finally:
                spoken.close()
        assert time.monotonic() - began < 5


def test_a_test_message_says_that_it_is_one(receiver):
    assert try_receiver(project(ops=hook(receiver)), "ops", at_ms=1_000) == "200 thanks"
    assert "this is a test" in receiver.heard[0].told["data"]["headline"]
    with pytest.raises(NotFound, match="no receiver 'nobody'; it has ops") as told:
        try_receiver(project(ops=hook(receiver)), "nobody", at_ms=0)
    assert told.value.hint == "add notify: receivers: nobody: to taut.yaml"


def test_the_words_of_a_change(home, receiver):
    wanted = project(ops=hook(receiver))
    ticketed(home, wanted)
    (notice,) = list_notices(home)
    news = notice.news
    assert "began in the window of 2022-01-10T00:00 (90 % of the weight" in lines_of(news)[1]
    assert lines_of(news)[2].endswith("alarm from 100 on")
    on = replace(news, change="updated", alert=replace(news.alert, windows=3))
    assert headline_of(on) == "ticket on late (version 1) goes on, 3 windows: z"
    bare = replace(news, story=None, begun=None)
    assert len(lines_of(bare)) == 2
