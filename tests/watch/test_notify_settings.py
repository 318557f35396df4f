"""`notify:` in taut.yaml: receivers, who hears of what, and mistakes told with their place."""

from pathlib import Path

import pytest

from taut.errors import Invalid
from taut.project import TellSpec, read_project

RECEIVERS = """\
notify:
  receivers:
    ops: {kind: webhook, url: https://ops.example.org/taut, secret_from: OPS_SECRET}
    chat: {kind: slack, url_from: SLACK_URL}
    mail: {kind: email, host: mail.example.org, sender: taut@example.org, to: [ops@example.org]}
    am: {kind: alertmanager, url: https://alertmanager.example.org}
"""


def read(folder: Path, text: str):
    (folder / "taut.yaml").write_text(text)
    return read_project(folder)


def test_a_monitor_that_names_nobody_tells_those_of_the_whole_file(tmp_path: Path):
    found = read(tmp_path, RECEIVERS + """\
  page: [ops, mail]
  ticket: [chat]
  updates: [am]
monitors:
  late: {window: 1d}
  early: {window: 1d, notify: {page: [am]}}
  silent: {window: 1d, notify: {}}
""")  # fmt: skip
    assert found.monitors["late"].notify == TellSpec(page=("ops", "mail"), ticket=("chat",), updates=("am",))
    assert found.monitors["early"].notify == TellSpec(page=("am",))
    assert found.monitors["silent"].notify == TellSpec()
    assert found.monitors["late"].notify.of("page") == ("ops", "mail")
    assert found.monitors["late"].notify.of("ticket") == ("chat",)


def test_a_file_without_notify_tells_nobody_and_cools_down_a_week(tmp_path: Path):
    (monitor,) = read(tmp_path, "monitors: {late: {window: 1d}}\n").monitors.values()
    assert (monitor.notify, monitor.cooldown) == (TellSpec(), "7d")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("  page: [nobody]\n", "notify names nobody, which notify: receivers: does not hold"),
        ("monitors: {late: {notify: {updates: [x, ops]}}}\n", "monitors: late: notify names x, which"),
        ("monitors: {late: {cooldown: soon}}\n", "'soon' is no duration"),
        ("    bad: {kind: pager, url: https://a.b}\n", "kind"),
        ("    bad: {kind: slack}\n", "a url or a url_from"),
        ("    bad: {kind: slack, url: https://a.b, url_from: X}\n", "a url or a url_from"),
        ("    bad: {kind: webhook, url: https://a.b, host: a.b}\n", "nothing of an email"),
        ("    bad: {kind: slack, url: https://a.b, secret_from: X}\n", "only a webhook is signed"),
        ("    bad: {kind: email, host: a.b}\n", "an email has host, sender and to"),
        ("    bad: {kind: email, host: a.b, sender: a@b.c, to: [a@b.c], url: https://a.b}\n", "and no url"),
        ("    bad: {kind: email, host: a.b, sender: a@b.c, to: [a@b.c], user_from: X}\n", "come together"),
        ("    bad: {kind: email, host: a.b, sender: a@b.c, to: [a@b.c], port: 0}\n", "port"),
        ("    bad: {kind: email, host: a.b, sender: a@b.c, to: [a@b.c], password: geheim}\n", "password"),
    ],
)
def test_a_mistake_is_told_where_it_is(tmp_path: Path, text: str, says: str):
    with pytest.raises(Invalid) as told:
        read(tmp_path, RECEIVERS + text)
    assert says in str(told.value)
