"""The window that is still open, as it stands: what the next close would say, and nothing stored by looking."""

import pytest

from taut.errors import Denied, NotFound
from taut.ground.access import Actor
from taut.home import Home
from taut.project import MonitorSpec
from taut.watch import close_windows, list_alerts, list_windows, newest_window, open_window
from tests.watch.served import BEGIN_MS, DAY_MS, ROWS, SPEC, deployed, draw, label, serve, watched


def ledger_size(home: Home) -> int:
    with home.meta.read() as tx:
        row = tx.row("SELECT count(*) FROM ledger")
    assert row is not None
    return int(str(row[0]))


def test_what_is_answered_so_far_is_counted_and_what_is_later_is_not(home):
    watched(home)
    serve(home, 0, labels=False)
    found = open_window(home, "late", SPEC)
    assert (found.start_ms, found.end_ms, found.closes_ms) == (BEGIN_MS, BEGIN_MS + DAY_MS, BEGIN_MS + DAY_MS)
    assert (found.rows, found.labelled, found.newest_event_ms) == (ROWS, 0, BEGIN_MS + DAY_MS // 2)
    rows = draw(7)
    label(home, serve(home, 0.1, rows, labels=False), rows)
    serve(home, 3)
    found = open_window(home, "late", SPEC)
    assert (found.rows, found.labelled) == (2 * ROWS, ROWS)
    assert (found.model, found.version, found.reference) == ("late", 1, 1)


def test_what_it_says_is_what_the_close_says_if_nothing_comes_anymore(home):
    watched(home)
    for day in range(3):
        serve(home, day, draw(day, flipped=day > 0))
        close_windows(home, "late", SPEC)
        ahead = open_window(home, "late", SPEC)
        serve(home, day + 1, draw(day + 1, flipped=True))
        close_windows(home, "late", SPEC)
        closed = newest_window(home, "late")
        assert (ahead.start_ms, ahead.rows, ahead.labelled) == (closed.start_ms, closed.rows, closed.labelled)
        assert ahead.evidence == closed.evidence
        assert ahead.measures == closed.measures
        assert ahead.bound == pytest.approx(100)


def test_it_names_what_would_alarm_and_the_features_behind_it(home):
    serve(watched(home), 0, draw(0, shifted=True))
    found = open_window(home, "late", SPEC)
    assert found.alarms["features"] == "z"
    assert (found.features[0].budget, found.features[0].name) == ("features", "z")
    assert found.features[0].e_value > found.bound
    assert [one.e_value for one in found.features] == sorted((one.e_value for one in found.features), reverse=True)
    assert {one.name for one in found.features} >= {"z", "plan", "score", "label:error", "label:target"}


def test_looking_stores_nothing_and_spends_nothing(home):
    serve(watched(home), 0, draw(0, shifted=True))
    before = ledger_size(home)
    looks = [open_window(home, "late", SPEC) for _ in range(5)]
    assert looks == looks[:1] * 5
    assert ledger_size(home) == before
    assert (list_windows(home, "late"), list_alerts(home, "late")) == ([], [])


def test_a_window_that_waits_for_late_labels_is_open(home):
    serve(watched(home), 0)
    serve(home, 1)
    late = MonitorSpec(window="1d", lateness="2d", alpha=0.05)
    assert close_windows(home, "late", late) == []
    found = open_window(home, "late", late)
    assert (found.rows, found.closes_ms) == (ROWS, BEGIN_MS + 3 * DAY_MS)
    assert found.bound == pytest.approx(20)


def test_an_open_window_in_which_nobody_asked_is_empty(home):
    watched(home)
    found = open_window(home, "late", SPEC)
    assert (found.rows, found.newest_event_ms, found.alarms) == (0, None, {})
    assert set(found.evidence.values()) == {1.0}


def test_what_is_not_watched_has_no_open_window(home):
    serve(deployed(home), 0)
    with pytest.raises(NotFound) as caught:
        open_window(home, "late", SPEC)
    assert caught.value.hint == "taut apply"


def test_a_viewer_looks_ahead_and_a_stranger_does_not(home):
    serve(watched(home), 0)
    assert open_window(home.as_actor(Actor("vera", "viewer")), "late", SPEC).rows == ROWS
    with pytest.raises(Denied):
        open_window(home.as_actor(Actor("nobody", "none")), "late", SPEC)
