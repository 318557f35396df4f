"""Windows of served rows: when they close, what they count, and that whoever closes them twice changes nothing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import BinaryIO, cast

import pytest

from taut.errors import Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.ground.ledger import events
from taut.ground.objects import Objects
from taut.home import Home
from taut.project import MonitorSpec
from taut.records import Window
from taut.watch import (
    close_windows,
    find_reference,
    list_alerts,
    list_references,
    list_windows,
    newest_window,
    set_reference,
)
from tests.serve.scenes import record, register
from tests.watch.served import BEGIN_MS, DAY_MS, ROWS, SPEC, deployed, draw, label, refer, serve, watched

LATE = MonitorSpec(window="1d", lateness="1d", alpha=0.01)


def ledger(home: Home, kind: str) -> int:
    with home.meta.read() as tx:
        return len(events(tx, kind=kind))


# When a window closes


def test_a_window_closes_only_after_its_time_and_lateness_have_passed_by_the_events_seen(home):
    serve(watched(home), 0)
    serve(home, 1.5 - 1 / DAY_MS)  # A millisecond before the end of day 1, when day 0 and its lateness are over.
    assert close_windows(home, "late", LATE) == []
    serve(home, 1.5)
    closed = close_windows(home, "late", LATE)
    assert [(one.start_ms, one.end_ms) for one in closed] == [(BEGIN_MS, BEGIN_MS + DAY_MS)]


def test_the_clock_on_the_wall_closes_no_window(home):
    serve(watched(home), 0)
    home.clock.pass_ms(1_000 * DAY_MS)
    assert close_windows(home, "late", SPEC) == []


def test_a_window_counts_its_first_moment_and_leaves_its_last_to_the_next(home):
    watched(home)
    for day in (-0.5, 0, 0.5):  # Midnight of day 0, noon, and midnight of day 1.
        serve(home, day)
    serve(home, 2)
    assert [one.rows for one in close_windows(home, "late", SPEC)] == [2 * ROWS, ROWS]


def test_labels_that_come_before_the_window_closes_count(home):
    rows = draw(0)
    request = serve(watched(home), 0, rows, labels=False)
    serve(home, 1)
    assert close_windows(home, "late", LATE) == []
    label(home, request, rows)
    serve(home, 2)
    (window,) = close_windows(home, "late", LATE)
    assert (window.rows, window.labelled) == (ROWS, ROWS)
    assert (window.measures["roc_auc"] or 0) > 0.7
    assert window.measures["positive_rate"] == pytest.approx(sum(rows.labels) / ROWS)


def test_labels_that_come_later_change_no_closed_window(home):
    rows = draw(0)
    request = serve(watched(home), 0, rows, labels=False)
    serve(home, 1)
    (window,) = close_windows(home, "late", SPEC)
    label(home, request, rows)
    assert window.labelled == 0
    assert set(window.measures.values()) == {None}
    assert list_windows(home, "late") == [window]


def test_a_day_on_which_nobody_asked_is_an_empty_window(home):
    serve(watched(home), 0)
    serve(home, 2)
    first, silent = close_windows(home, "late", SPEC)
    assert (silent.rows, silent.labelled) == (0, 0)
    assert silent.evidence == first.evidence


def test_a_window_counts_the_rows_of_the_version_that_its_reference_is_about(home):
    serve(watched(home), 0)
    register(home, factor=0.2)
    revision = record(home, 2)
    refer(home, cause="alert:x", version=2)
    serve(home, 0.1, revision=revision)
    serve(home, 1, revision=revision)
    (window,) = close_windows(home, "late", SPEC)
    assert (window.version, window.rows) == (2, ROWS)


def test_nothing_closes_for_a_deployment_that_is_not_watched(home):
    for day in (0, 1, 2):
        serve(home if day else deployed(home), day)
    assert close_windows(home, "late", SPEC) == []
    with pytest.raises(NotFound) as caught:
        newest_window(home, "late")
    assert caught.value.hint == "taut up --once"
    with pytest.raises(NotFound) as caught:
        find_reference(home, "late")
    assert caught.value.hint == "taut apply"


def test_a_viewer_reads_windows_and_closes_none(home):
    serve(watched(home), 0)
    serve(home, 1)
    viewer = home.as_actor(Actor("vera", "viewer"))
    with pytest.raises(Denied):
        close_windows(viewer, "late", SPEC)
    assert list_windows(viewer, "late") == []


# Twice, and at once


def test_closing_twice_does_nothing_twice(home):
    watched(home)
    for day in range(4):
        serve(home, day)
    closed = close_windows(home, "late", SPEC)
    assert len(closed) == 3
    assert close_windows(home, "late", SPEC) == []
    assert list_windows(home, "late") == closed
    assert newest_window(home, "late") == closed[-1]
    assert ledger(home, "window.closed") == 3


class Overtaken:
    """A store whose first read lets another closer finish everything in the meantime."""

    def __init__(self, home: Home) -> None:
        self.home, self.objects = home, home.objects
        self.closed: list[Window] | None = None

    def open(self, oid: str, *, start: int = 0, length: int | None = None) -> BinaryIO:
        if self.closed is None:
            self.closed = close_windows(self.home, "late", SPEC)
        return self.objects.open(oid, start=start, length=length)

    def __getattr__(self, name: str) -> object:
        return getattr(self.objects, name)


def test_who_is_overtaken_while_it_counts_stores_nothing(home):
    watched(home)
    for day in range(4):
        serve(home, day, draw(day, flipped=True))
    store = Overtaken(home)
    assert close_windows(replace(home, objects=cast("Objects", store)), "late", SPEC) == []
    assert store.closed == list_windows(home, "late") != []
    assert ledger(home, "window.closed") == len(store.closed)


def test_two_that_close_at_once_store_each_window_and_alert_once(home):
    watched(home)
    for day in range(7):
        serve(home, day, draw(day, flipped=day > 2))

    def close(_: int) -> None:
        while close_windows(home, "late", SPEC):
            pass

    with ThreadPoolExecutor(2) as closers:
        list(closers.map(close, range(2), timeout=60))
    while close_windows(home, "late", SPEC):  # Both may have yielded to the other at the very end.
        pass
    assert [one.start_ms for one in list_windows(home, "late")] == [BEGIN_MS + day * DAY_MS for day in range(6)]
    assert ledger(home, "window.closed") == 6
    assert ledger(home, "alert.raised") == len(list_alerts(home, "late"))
    assert [one.detector for one in list_alerts(home, "late")] == ["ewin:labels"]


# What a window is held against


def test_thirty_calm_windows_raise_no_page(home):
    watched(home)
    for day in range(31):
        serve(home, day)
    assert len(close_windows(home, "late", SPEC)) == 30
    assert [one for one in list_alerts(home, "late") if one.severity == "page"] == []


def test_a_new_reference_begins_evidence_anew(home):
    watched(home)
    for day in range(5):
        serve(home, day, draw(day, flipped=True))
    closed = close_windows(home, "late", SPEC)
    assert closed[-1].evidence["labels"] >= 100
    day = len(closed)
    refer(home, from_day=day, cause="alert:1")
    serve(home, 5)
    serve(home, 6)
    serve(home, day + 0.01)
    again = close_windows(home, "late", SPEC)
    assert {one.reference for one in again} == {2}
    assert again[0].start_ms == BEGIN_MS + day * DAY_MS
    calm = refer(home, from_day=6, cause="alert:2")
    serve(home, 7)
    (last,) = close_windows(home, "late", SPEC)
    assert last.reference == calm.number
    assert last.evidence["labels"] < 5


def test_a_reference_from_before_the_closed_windows_counts_none_of_them_again(home):
    watched(home)
    for day in range(3):
        serve(home, day)
    assert len(close_windows(home, "late", SPEC)) == 2
    refer(home, from_day=1, cause="alert:1")
    serve(home, 3)
    (window,) = close_windows(home, "late", SPEC)
    assert (window.start_ms, window.reference) == (BEGIN_MS + 2 * DAY_MS, 2)


def test_a_reference_is_set_once_for_a_cause(home):
    first = refer(deployed(home))
    answered = refer(home, from_day=3, cause="alert:1")
    assert (first.number, answered.number) == (1, 2)
    assert refer(home, from_day=9, cause="alert:1") == answered
    assert list_references(home, "late") == [first, answered]
    assert find_reference(home, "late") == answered
    assert ledger(home, "watch.reference") == 2


def test_a_profile_that_is_not_stored_is_no_reference(home):
    with pytest.raises(Invalid, match="not stored"):
        set_reference(home, "late", model="late", version=1, from_ms=0, oid="0" * 64, cause="deployed")
    assert list_references(home, "late") == []
