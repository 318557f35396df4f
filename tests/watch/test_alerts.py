"""Alerts: raised once, by what, with which evidence; answered or dismissed once."""

import pytest

from taut.errors import Conflict, NotFound
from taut.ground.ledger import Arrow, events, upstream
from taut.home import Home
from taut.project import MonitorSpec
from taut.records import Alert
from taut.watch import close_windows, dismiss_alert, handle_alert, list_alerts, list_references, list_windows
from tests.watch.served import BEGIN_MS, DAY_MS, SPEC, draw, refer, serve, watched


def page(home: Home) -> Alert:
    """A deployment whose labels flip on day 2, closed until it pages."""
    watched(home)
    for day in range(8):
        serve(home, day, draw(day, flipped=day > 1))
    close_windows(home, "late", SPEC)
    (alert,) = list_alerts(home, "late")
    return alert


def told(home: Home, kind: str) -> list[str]:
    with home.meta.read() as tx:
        return [one.subject for one in events(tx, kind=kind)]


def test_flipped_labels_page_within_a_few_windows_of_their_beginning(home):
    alert = page(home)
    assert (alert.severity, alert.detector, alert.status, alert.version) == ("page", "ewin:labels", "open", 1)
    assert 2 <= (alert.window_start_ms - BEGIN_MS) // DAY_MS <= 4
    assert alert.feature.startswith("label:")


def test_an_alert_carries_the_evidence_the_bound_and_an_arrow_from_what_served(home):
    alert = page(home)
    assert alert.evidence["bound"] == 100
    assert alert.evidence["labels"] >= 100
    assert alert.evidence["features"] == list_windows(home, "late")[-1].evidence["features"]
    with home.meta.read() as tx:
        assert Arrow("deployment:late@1", "watched-by", alert.point) in upstream(tx, alert.point)
    assert told(home, "alert.raised") == [alert.point]


def test_closing_stops_at_a_page_and_goes_on_when_it_is_called_again(home):
    alert = page(home)
    closed = list_windows(home, "late")
    assert closed[-1].start_ms == alert.window_start_ms
    again = close_windows(home, "late", SPEC)
    assert len(closed) + len(again) == 7


def test_an_alarm_that_goes_on_is_raised_once(home):
    alert = page(home)
    assert close_windows(home, "late", SPEC) != []
    (later,) = list_alerts(home, "late")
    assert (later.id, later.at_ms, later.evidence) == (alert.id, alert.at_ms, alert.evidence)
    assert later.windows > alert.windows
    assert told(home, "alert.raised") == [alert.point]


def test_the_next_reference_may_raise_an_alert_of_its_own(home):
    alert = page(home)
    refer(home, from_day=len(list_windows(home, "late")), cause=alert.point)
    handle_alert(home, alert.id, "retrained")
    close_windows(home, "late", SPEC)
    first, second = list_alerts(home, "late")
    assert (first.id, first.status) == (alert.id, "handled")
    assert (second.status, second.severity) == ("open", "page")
    assert first.id != second.id


def test_shifted_inputs_raise_a_ticket_that_names_the_feature_and_stops_nothing(home):
    watched(home)
    for day in range(6):
        serve(home, day, draw(day, shifted=day > 1))
    closed = close_windows(home, "late", SPEC)
    (alert,) = list_alerts(home, "late")
    assert (alert.severity, alert.detector, alert.feature) == ("ticket", "ewin:features", "z")
    assert len(closed) == 5


def test_a_feature_that_is_watched_no_longer_raises_nothing_and_is_not_taken_for_missing(home):
    watched(home)  # The profile knows `z` too; taut.yaml was changed after it was made.
    for day in range(6):
        serve(home, day, draw(day, shifted=day > 1))
    spec = MonitorSpec(window="1d", lateness="0 s", alpha=0.01, features=("plan",))
    assert len(close_windows(home, "late", spec)) == 5
    assert list_alerts(home, "late") == []


def test_alerts_are_listed_by_deployment_and_by_what_became_of_them(home):
    alert = page(home)
    assert list_alerts(home) == list_alerts(home, "late", "open") == [alert]
    assert list_alerts(home, "other") == list_alerts(home, "late", "dismissed") == []
    handled = handle_alert(home, alert.id, "looked at")
    assert list_alerts(home, status="handled") == [handled]
    assert told(home, "alert.handled") == [alert.point]


def test_a_dismissed_alert_begins_the_evidence_anew_against_the_same_profile(home):
    alert = page(home)
    counted = len(list_windows(home, "late"))
    assert dismiss_alert(home, alert.id, "a strike").status == "dismissed"
    before, after = list_references(home, "late")
    assert (after.oid, after.version, after.cause) == (before.oid, before.version, alert.point)
    assert after.from_ms == BEGIN_MS + counted * DAY_MS
    close_windows(home, "late", SPEC)
    assert list_windows(home, "late")[counted].reference == after.number


def test_an_alert_is_dismissed_once_and_an_unknown_one_never(home):
    alert = page(home)
    dismiss_alert(home, alert.id)
    with pytest.raises(Conflict, match="dismissed already"):
        dismiss_alert(home, alert.id)
    assert len(list_references(home, "late")) == 2
    with pytest.raises(NotFound) as caught:
        dismiss_alert(home, "nothing")
    assert caught.value.hint == "taut watch alerts"
    with pytest.raises(NotFound):
        handle_alert(home, "nothing")
