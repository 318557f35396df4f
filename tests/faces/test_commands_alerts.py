"""`taut watch alert`, `accept` and `notify`, typed: what was found, the same answer again, and who is told."""

from collections.abc import Iterator

import pytest

from tests.faces.receiving import Receiver, receiving
from tests.faces.shell import is_two_lines, taut

# Whoever comes first tells the line that all share, and each test types real commands: a second or two apiece.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NOTIFY = """
notify:
  receivers:
    ops: {{kind: webhook, url: "{url}/taut", secret_from: OPS_SECRET}}
    chat: {{kind: slack, url_from: SLACK_URL}}
  page: [ops]
"""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as one:
        monkeypatch.setenv("TAUT_WEBHOOK_HOSTS", "127.0.0.1")
        monkeypatch.setenv("OPS_SECRET", "s")
        yield one


def alert_of(line) -> str:
    (alert,) = taut(line.folder, "watch", "alerts", "--json").json
    return str(alert["id"])


def test_an_alert_is_shown_with_its_words_and_its_onset(line):
    said = taut(line.folder, "watch", "alert", alert_of(line))
    assert said.status == 0
    assert said.out.startswith(f"alert {alert_of(line)}: page on late, version 1, open\n")
    assert "began    in the window of 2026-03-09" in said.out
    assert "label:error: e-value" in said.out
    assert "the predicted class is wrong: " in said.out
    assert "upstream: nothing changed since; late@1 answered" in said.out
    assert said.out.endswith("nobody was told\n")


def test_an_alert_as_json_has_all_of_it(line):
    found = taut(line.folder, "watch", "alert", alert_of(line), "--json").json
    assert found.keys() == {"alert", "story", "begun", "upstream", "notices"}
    assert found["story"].keys() == {"e_value", "bound", "suspects", "onset"}
    event = found["story"]["suspects"][0]["events"][0]
    assert event.keys() == {
        "feature", "event", "hits", "trials", "share", "reference_share", "reference_trials", "log_bayes", "text",
    }  # fmt: skip
    assert found["begun"].keys() == {"start_ms", "first_ms", "last_ms", "held"}
    assert found["upstream"].keys() == {"before", "since", "changes"}


def test_an_alert_is_replayed(line):
    said = taut(line.folder, "watch", "alert", alert_of(line), "--replay")
    assert (said.status, "the same answer bit for bit" in said.out) == (0, True)
    found = taut(line.folder, "watch", "alert", alert_of(line), "--replay", "--json").json
    assert found["is_same"]


def test_a_replay_that_comes_to_another_answer_says_where_and_ends_with_one(own_line):
    import sqlite3

    alert = alert_of(own_line)
    with sqlite3.connect(own_line.folder / ".taut" / "meta.db") as meta:
        meta.execute("UPDATE alert SET peak = 1.0")
    meta.close()
    said = taut(own_line.folder, "watch", "alert", alert, "--replay")
    assert said.status == 1
    assert "another answer" in said.out
    assert said.out.splitlines()[-1].split()[:3] == [said.out.splitlines()[-1].split()[0], "peak", "1.0"]


def test_an_accepted_alert_is_handled_and_the_reference_is_a_new_one(own_line):
    alert = alert_of(own_line)
    said = taut(own_line.folder, "watch", "accept", alert, "--because", "the new tariff")
    assert (said.status, said.out) == (
        0, f"alert {alert} is accepted: late is held against reference 2 from here on\n",
    )  # fmt: skip
    again = taut(own_line.folder, "watch", "accept", alert)
    assert (again.status, is_two_lines(again)) == (11, True)
    shown = taut(own_line.folder, "watch", "alert", alert).out
    assert "handled" in shown
    assert ": accepted: the new tariff" in shown


def test_a_receiver_is_tried_and_a_mistake_is_two_lines(own_line, receiver):
    with (own_line.folder / "taut.yaml").open("a") as file:
        file.write(NOTIFY.format(url=receiver.url))
    said = taut(own_line.folder, "watch", "notify", "--test", "ops")
    assert (said.status, said.out) == (0, "ops was told: 200 thanks\n")
    assert "this is a test" in receiver.heard[0].told["data"]["headline"]
    unset = taut(own_line.folder, "watch", "notify", "--test", "chat")
    assert (unset.status, is_two_lines(unset)) == (13, True)
    assert "SLACK_URL is not set" in unset.lines[0]
    nobody = taut(own_line.folder, "watch", "notify", "--test", "nobody")
    assert (nobody.status, is_two_lines(nobody)) == (10, True)
    assert taut(own_line.folder, "watch", "notify").out == "nothing is due\n"


@pytest.mark.parametrize("words", [("alert", "nothing"), ("alert", "nothing", "--replay"), ("accept", "nothing")])
def test_an_alert_that_is_not_there_is_two_lines(line, words):
    said = taut(line.folder, "watch", *words)
    assert (said.status, is_two_lines(said)) == (10, True)
    assert "no alert 'nothing'" in said.lines[0]
