"""Rollouts that no alert asked for: whose windows they are, and from where on they ask for a reference of their own."""

from dataclasses import replace

import pytest

from taut.deploy import record_deployment
from taut.ground.access import Actor
from taut.home import Home
from taut.project import MonitorSpec
from taut.records import Backend
from taut.watch import (
    Successor,
    close_windows,
    find_successor,
    list_alerts,
    list_references,
    list_windows,
    set_reference,
)
from tests.serve.scenes import record, register
from tests.watch.served import BEGIN_MS, DAY_MS, ROWS, SPEC, deployed, draw, refer, serve, watched


def rolled_out(home: Home, number: int = 2) -> int:
    """Roll out another version of `late` by hand, some time later; returns the revision."""
    home.clock.pass_ms(1_000)  # type: ignore[attr-defined]  # The tests' clock is one that is set.
    if number == 2:
        register(home, factor=0.2)
    return record(home, number)


def followed(home: Home, newer: Successor | None) -> None:
    """Give a successor its reference, as the loop does."""
    assert newer is not None
    day = (newer.from_ms - BEGIN_MS) // DAY_MS
    refer(home, from_day=day, cause=newer.point, version=newer.version)


def seen(home: Home) -> list[tuple[int, int, int, int]]:
    """The closed windows: day, reference, version and rows."""
    return [
        ((one.start_ms - BEGIN_MS) // DAY_MS, one.reference, one.version, one.rows)
        for one in list_windows(home, "late")
    ]


def test_windows_wait_where_another_version_began_to_answer_and_go_on_against_its_own_reference(home):
    watched(home)
    for day in (0, 1):
        serve(home, day)
    revision = rolled_out(home)
    for day in (2, 3, 4):
        serve(home, day, revision=revision)
    close_windows(home, "late", SPEC)
    assert seen(home) == [(0, 1, 1, ROWS), (1, 1, 1, ROWS)]
    newer = find_successor(home, "late", SPEC)
    assert newer == Successor("late", 2, "late", 2, BEGIN_MS + 2 * DAY_MS)
    assert close_windows(home, "late", SPEC) == []
    followed(home, newer)
    assert find_successor(home, "late", SPEC) is None
    close_windows(home, "late", SPEC)
    assert seen(home)[2:] == [(2, 2, 2, ROWS), (3, 2, 2, ROWS)]
    assert [one.cause for one in list_references(home, "late")] == ["deployed", "deployment:late@2"]


def test_a_version_rolled_out_by_hand_is_watched_like_any_other(home):
    watched(home)
    serve(home, 0)
    revision = rolled_out(home)
    for day in range(1, 8):
        serve(home, day, draw(day, flipped=day > 2), revision=revision)
    close_windows(home, "late", SPEC)
    followed(home, find_successor(home, "late", SPEC))
    while close_windows(home, "late", SPEC):
        pass
    (alert,) = list_alerts(home, "late")
    assert (alert.version, alert.severity) == (2, "page")


def test_a_rollout_that_nobody_has_asked_changes_nothing(home):
    watched(home)
    rolled_out(home)
    for day in (0, 1, 2):
        serve(home, day)
    assert find_successor(home, "late", SPEC) is None
    close_windows(home, "late", SPEC)
    assert seen(home) == [(0, 1, 1, ROWS), (1, 1, 1, ROWS)]


def test_the_day_of_the_rollout_belongs_to_the_newer_version(home):
    watched(home)
    serve(home, 0)
    serve(home, 0.1, revision=rolled_out(home))
    serve(home, 0.2)  # A request that was under way.
    serve(home, 1, revision=2)
    followed(home, find_successor(home, "late", SPEC))
    close_windows(home, "late", SPEC)
    assert seen(home) == [(0, 2, 2, ROWS)]


def test_a_window_waits_for_its_lateness_before_anybody_asks_who_answered(home):
    late = MonitorSpec(window="1d", lateness="1d", alpha=0.01)
    serve(watched(home), 0)
    serve(home, 0.4, revision=rolled_out(home))
    assert find_successor(home, "late", late) is None
    serve(home, 2, revision=2)
    assert find_successor(home, "late", late) is not None


def test_of_several_rollouts_in_one_window_the_last_counts(home):
    watched(home)
    serve(home, 0)
    serve(home, 0.1, revision=rolled_out(home))
    register(home, factor=0.3)
    serve(home, 0.2, revision=record(home, 3))
    serve(home, 1, revision=3)
    newer = find_successor(home, "late", SPEC)
    assert newer is not None
    assert (newer.revision, newer.version) == (3, 3)


def test_the_same_version_in_a_new_revision_is_nobody_new(home):
    watched(home)
    serve(home, 0)
    assert record_deployment(home, "late", "late", 1, "process", {"memory": "2Gi"}, "manual").revision == 2
    for day in (1, 2):
        serve(home, day, revision=2)
    assert find_successor(home, "late", SPEC) is None
    close_windows(home, "late", SPEC)
    assert seen(home) == [(0, 1, 1, ROWS), (1, 1, 1, ROWS)]


def test_a_version_that_was_taken_back_is_followed_there_and_back(home):
    watched(home)
    serve(home, 0)
    serve(home, 1, revision=rolled_out(home))
    serve(home, 2, revision=rolled_out(home, 1))
    serve(home, 3, revision=rolled_out(home))
    serve(home, 4, revision=4)
    for _ in range(3):
        close_windows(home, "late", SPEC)
        followed(home, find_successor(home, "late", SPEC))
    close_windows(home, "late", SPEC)
    assert find_successor(home, "late", SPEC) is None
    assert seen(home) == [(0, 1, 1, ROWS), (1, 2, 2, ROWS), (2, 3, 1, ROWS), (3, 4, 2, ROWS)]


def test_a_reference_ahead_of_its_rows_is_not_taken_back_by_the_version_before(home):
    watched(home)
    for day in (0, 1):
        serve(home, day)
    rolled_out(home)
    refer(home, from_day=1, cause="alert:x", version=2)
    for day in (2, 3):
        serve(home, day, revision=2)
    assert find_successor(home, "late", SPEC) is None
    close_windows(home, "late", SPEC)
    assert seen(home) == [(1, 2, 2, 0), (2, 2, 2, ROWS)]


def test_a_clock_that_is_behind_takes_nothing_back_either(home):
    watched(home)
    for day in (0, 1):
        serve(home, day)
    home.clock.pass_ms(60_000)
    rolled_out(home)
    home.clock.pass_ms(-50_000)
    refer(home, from_day=1, cause="alert:x", version=2)
    serve(home, 2, revision=2)
    assert find_successor(home, "late", SPEC) is None


def test_the_same_number_of_another_model_is_another_version(home):
    watched(home)
    serve(home, 0)
    register(home, name="punctual", factor=0.3)
    revision = record_deployment(home, "late", "punctual", 1, "process", {}, "manual").revision
    serve(home, 0.1, revision=revision)
    serve(home, 1, revision=revision)
    newer = find_successor(home, "late", SPEC)
    assert newer is not None
    assert (newer.model, newer.version) == ("punctual", 1)
    oid = list_references(home, "late")[0].oid
    set_reference(home, "late", model="punctual", version=1, from_ms=newer.from_ms, oid=oid, cause=newer.point)
    close_windows(home, "late", SPEC)
    assert seen(home) == [(0, 2, 1, ROWS)]


def test_what_a_canary_answers_takes_no_reference_away_and_is_not_counted(home):
    watched(home)
    serve(home, 0)
    register(home, factor=0.2)
    canary = Backend("late", 2, 0.5, "canary")
    revision = record_deployment(home, "late", "late", 1, "process", {}, "manual", others=(canary,)).revision
    serve(home, 1, revision=revision)
    serve(home, 1.2, revision=revision)
    with home.meta.transaction() as tx:
        answered = {"revision": revision, "event_ms": BEGIN_MS + round(1.6 * DAY_MS)}
        sql = "UPDATE prediction SET number = 2 WHERE revision = :revision AND event_ms > :event_ms"
        assert tx.execute(sql, answered) > 0
    serve(home, 2, revision=revision)
    assert find_successor(home, "late", SPEC) is None
    close_windows(home, "late", SPEC)
    assert seen(home) == [(0, 1, 1, ROWS), (1, 1, 1, ROWS)]


def test_who_is_not_watched_has_no_successor(home):
    serve(deployed(home), 0)
    serve(home, 1, revision=rolled_out(home))
    assert find_successor(home, "late", SPEC) is None


def test_a_viewer_may_ask_who_answers(home):
    viewer = home.as_actor(Actor("vera", "viewer"))
    assert find_successor(viewer, "late", SPEC) is None


@pytest.mark.parametrize("cause", ["deployment:late@2", "alert:x"])
def test_a_reference_is_renewed_once_for_one_cause(home, cause):
    refer(deployed(home))
    first = refer(home, cause=cause, from_day=3)
    assert refer(home, cause=cause, from_day=9) == first
    between = refer(home, cause="alert:y")
    again = refer(home, cause=cause, from_day=12)
    if cause.startswith("alert:"):
        assert again == first
    else:  # A revision that answers again after another one did asks anew.
        assert again == replace(first, number=between.number + 1, from_ms=BEGIN_MS + 12 * DAY_MS)
