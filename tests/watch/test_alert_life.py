"""The life of an alert: opened once, updated while it goes on, closed once with a reason, quiet while it cools down."""

import threading

import pytest

from taut.errors import Conflict, NotFound, Refused
from taut.ground.ledger import Arrow, events, upstream
from taut.home import Home
from taut.project import MonitorSpec, TellSpec
from taut.records import Alert
from taut.watch import (
    accept_alert,
    close_windows,
    dismiss_alert,
    handle_alert,
    list_alerts,
    list_references,
    list_windows,
)
from taut.watch.telling import list_notices
from tests.watch.served import BEGIN_MS, DAY_MS, SPEC, draw, refer, serve, watched

TOLD = MonitorSpec(
    window="1d", lateness="0 s", alpha=0.01, cooldown="3d",
    notify=TellSpec(page=("ops",), ticket=("mail",), updates=("ops",)),
)  # fmt: skip


def ticketed(home: Home, *, days: int = 6, spec: MonitorSpec = SPEC) -> Alert:
    """A deployment whose input shifts on day 2, closed up to the last day."""
    watched(home)
    for day in range(days):
        serve(home, day, draw(day, shifted=day > 1))
    close_windows(home, "late", spec)
    (alert,) = list_alerts(home, "late")
    return alert


def pages(home: Home, spec: MonitorSpec, *, days: range) -> list[Alert]:
    """The pages after so many days more on which labels are turned around."""
    for day in days:
        serve(home, day, draw(day, flipped=True))
    while close_windows(home, "late", spec):
        pass
    return [alert for alert in list_alerts(home, "late") if alert.severity == "page"]


def told(home: Home) -> list[tuple[str, str, str]]:
    """Who is to be told of what, in order."""
    return [(one.alert_id, one.change, one.receiver) for one in list_notices(home)]


def kinds(home: Home, point: str) -> list[str]:
    with home.meta.read() as tx:
        return [one.kind for one in events(tx) if one.subject == point]


# Updates


def test_an_alert_grows_with_each_window_in_alarm_and_keeps_what_it_was_opened_with(home):
    alert = ticketed(home)
    windows = list_windows(home, "late")
    in_alarm = [window for window in windows if window.evidence["features"] >= 100]
    assert alert.window_start_ms == in_alarm[0].start_ms
    assert (alert.windows, alert.last_ms) == (len(in_alarm), windows[-1].start_ms)
    assert alert.peak == max(window.evidence["features"] for window in windows)
    assert alert.evidence["features"] == in_alarm[0].evidence["features"]
    assert (alert.feature, alert.features, alert.reference) == ("z", ("z",), 1)
    assert kinds(home, alert.point) == ["alert.raised"] + ["alert.updated"] * (len(in_alarm) - 1)


def test_a_closed_alert_is_left_as_it_was_by_windows_that_are_still_in_alarm(home):
    alert = ticketed(home)
    handled = handle_alert(home, alert.id, "known")
    serve(home, 6, draw(6, shifted=True))
    assert close_windows(home, "late", SPEC) != []
    assert list_alerts(home, "late") == [handled]


def test_an_alert_says_when_and_why_it_was_closed_and_how_far_windows_had_come(home):
    alert = ticketed(home)
    home.clock.pass_ms(5_000)
    closed = dismiss_alert(home, alert.id, "a strike")
    assert (closed.status, closed.reason) == ("dismissed", "a strike")
    assert closed.closed_at_ms == home.clock.now_ms()
    assert closed.closed_event_ms == list_windows(home, "late")[-1].end_ms


# Superseded


def test_a_newer_version_that_answers_supersedes_every_open_alert(home):
    ticket = ticketed(home)
    refer(home, from_day=5, cause="deployment:late@2", version=2)
    (closed,) = list_alerts(home, "late")
    assert (closed.id, closed.status) == (ticket.id, "superseded")
    assert "reference 2" in closed.reason
    assert "deployment:late@2" in closed.reason
    assert kinds(home, ticket.point)[-1] == "alert.superseded"


def both(home: Home) -> tuple[Alert, Alert]:
    """A page and a ticket that are open at once."""
    watched(home)
    for day in range(6):
        serve(home, day, draw(day, flipped=day > 1, shifted=day > 1))
    while close_windows(home, "late", SPEC):
        pass
    page, ticket = sorted(list_alerts(home, "late"), key=lambda alert: alert.severity)
    return page, ticket


def test_the_answer_to_a_page_supersedes_the_ticket_and_leaves_the_page_to_whoever_answers_it(home):
    page, ticket = both(home)
    refer(home, from_day=5, cause=page.point)
    assert {alert.id: alert.status for alert in list_alerts(home, "late")} == {
        page.id: "open", ticket.id: "superseded",
    }  # fmt: skip


def test_the_answer_to_a_ticket_takes_no_page_away(home):
    page, ticket = both(home)
    refer(home, from_day=5, cause=ticket.point)
    assert {alert.status for alert in list_alerts(home, "late")} == {"open"}
    assert page.severity == "page"


def test_a_dismissal_supersedes_nothing(home):
    page, ticket = both(home)
    dismiss_alert(home, ticket.id)
    assert list_alerts(home, "late", "open") == [page]


# Told, and the cool-down


def test_an_opened_alert_is_told_to_those_of_its_severity_and_its_end_to_those_who_heard(home):
    alert = ticketed(home, spec=TOLD)
    assert told(home) == [(alert.id, "opened", "mail")]
    dismiss_alert(home, alert.id, "a strike")
    assert told(home) == [(alert.id, "opened", "mail"), (alert.id, "closed", "mail")]
    last = list_notices(home)[-1].news
    assert (last.alert.status, last.alert.reason) == ("dismissed", "a strike")


def test_an_alert_that_was_told_to_nobody_is_closed_without_a_word(home):
    alert = ticketed(home)
    handle_alert(home, alert.id)
    assert told(home) == []


def test_who_asks_for_updates_hears_of_each_further_window(home):
    watched(home)
    (page,) = pages(home, TOLD, days=range(6))
    assert page.windows > 2
    assert told(home) == [(page.id, "opened", "ops")] + [(page.id, "updated", "ops")] * (page.windows - 1)
    assert [one.news.alert.windows for one in list_notices(home)] == list(range(1, page.windows + 1))


def test_in_the_cool_down_the_next_alert_is_linked_and_not_told_and_told_when_it_is_over(home):
    watched(home)
    (first,) = pages(home, TOLD, days=range(4))
    dismiss_alert(home, first.id, "a strike")  # Windows up to day 3 are closed; it cools down until the end of day 6.
    first_news = told(home)
    first, second = pages(home, TOLD, days=range(4, 6))
    assert (second.follows, second.status) == (first.id, "open")
    assert told(home) == first_news
    with home.meta.read() as tx:
        assert Arrow(first.point, "followed-by", second.point) in upstream(tx, second.point)
    pages(home, TOLD, days=range(6, 9))
    (opened,) = [one for one in list_notices(home) if one.alert_id == second.id and one.change == "opened"]
    assert opened.news.alert.last_ms - BEGIN_MS > 5 * DAY_MS


def test_another_version_has_no_cool_down_to_wait_for(home):
    watched(home)
    (first,) = pages(home, TOLD, days=range(4))
    handle_alert(home, first.id, "retrained")
    refer(home, from_day=3, cause="deployment:late@2", version=1)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE alert SET version = 9")  # As if another version had been what the first alert was about.
    found = pages(home, TOLD, days=range(4, 7))
    assert [alert.follows for alert in found] == ["", ""]
    assert (found[1].id, "opened", "ops") in told(home)


def test_two_loops_at_once_open_and_tell_an_alert_once(home):
    watched(home)
    for day in range(8):
        serve(home, day, draw(day, flipped=day > 1, shifted=day > 1))
    begun, problems = threading.Barrier(3), []

    def loop() -> None:
        begun.wait(20)
        try:
            while close_windows(home, "late", TOLD):
                pass
        except Exception as problem:  # noqa: BLE001  # Told by the test, not by a thread that nobody sees.
            problems.append(problem)

    loops = [threading.Thread(target=loop) for _ in range(3)]
    for one in loops:
        one.start()
    for one in loops:
        one.join(60)
    assert problems == []
    while close_windows(home, "late", TOLD):
        pass
    found = list_alerts(home, "late")
    assert len(found) == 2
    opened = [one for one in told(home) if one[1] == "opened"]
    assert sorted(opened) == sorted(
        (alert.id, "opened", "ops" if alert.severity == "page" else "mail") for alert in found
    )
    for alert in found:
        assert kinds(home, alert.point) == ["alert.raised"] + ["alert.updated"] * (alert.windows - 1)


# Accepted


def test_an_accepted_change_is_the_new_normal_with_a_budget_of_its_own(home):
    alert = ticketed(home, days=8)
    made = accept_alert(home, alert.id, SPEC, "the new tariff is here to stay")
    before, after = list_references(home, "late")
    assert made == after
    assert (after.version, after.cause, after.number) == (before.version, alert.point, 2)
    assert after.oid != before.oid
    assert after.from_ms == list_windows(home, "late")[-1].end_ms
    (handled,) = list_alerts(home, "late")
    assert (handled.status, handled.reason) == ("handled", "accepted: the new tariff is here to stay")
    for day in range(8, 14):
        serve(home, day, draw(day, shifted=True))
    assert close_windows(home, "late", SPEC) != []
    assert list_alerts(home, "late") == [handled]
    for day in range(14, 18):
        serve(home, day, draw(day))  # Back to what it was: that is a change now.
    close_windows(home, "late", SPEC)
    assert [one.feature for one in list_alerts(home, "late", "open")] == ["z"]


def test_a_change_is_accepted_once_and_never_an_unknown_one(home):
    alert = ticketed(home)
    accept_alert(home, alert.id, SPEC)
    with pytest.raises(Conflict, match="handled already"):
        accept_alert(home, alert.id, SPEC)
    with pytest.raises(NotFound, match="no alert"):
        accept_alert(home, "nothing", SPEC)
    assert len(list_references(home, "late")) == 2


def test_a_change_that_few_rows_have_shown_is_not_accepted_yet(home):
    watched(home)
    for day in range(4):
        serve(home, day, draw(day, rows=150, shifted=day > 1))
    close_windows(home, "late", SPEC)
    (alert,) = list_alerts(home, "late")
    with pytest.raises(Refused, match="only 150 rows"):
        accept_alert(home, alert.id, SPEC)
    assert list_alerts(home, "late") == [alert]
