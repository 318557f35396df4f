"""One alert shown and replayed: words and figures, when it began, what changed upstream, and the same answer again."""

import pytest

from taut.errors import Corrupt, Denied, NotFound
from taut.ground import wire
from taut.home import Home
from taut.project import MonitorSpec
from taut.records import Alert, Capture, GitState
from taut.runs import create_run
from taut.watch import close_windows, dismiss_alert, list_alerts, list_windows, replay_alert, show_alert
from taut.watch.changes import Upstream
from taut.watch.kept import pack, unpack
from taut.watch.story import Begun, Story
from tests.serve.scenes import record, register
from tests.watch.served import BEGIN_MS, DAY_MS, SPEC, draw, serve, watched
from tests.watch.test_alert_life import TOLD, ticketed


def known(home: Home, alert_id: str) -> tuple[Story, Begun, Upstream]:
    """What is known of an alert whose windows kept all there is."""
    found = show_alert(home, alert_id)
    assert found.story is not None
    assert found.begun is not None
    assert found.upstream is not None
    return found.story, found.begun, found.upstream


def test_an_alert_names_its_events_in_words_and_figures(home):
    alert = ticketed(home)
    assert show_alert(home, alert.id).alert == alert
    story, _, _ = known(home, alert.id)
    (suspect,) = story.suspects
    assert (suspect.name, suspect.is_named) == ("z", True)
    first = suspect.events[0]
    assert first.text.startswith("z <= ")
    assert "point in the reference): " in first.text
    assert f" % of {first.trials:,} rows, " in first.text
    assert first.text.endswith("times as rarely") or first.text.endswith("not once")
    assert first.share < first.reference_share / 1.5
    assert story.e_value == pytest.approx(list_windows(home, "late")[-1].evidence["features"])
    assert story.bound == 100


def test_the_onset_is_the_window_in_which_the_inputs_moved(home):
    _, begun, _ = known(home, ticketed(home).id)
    assert begun.start_ms == BEGIN_MS + 2 * DAY_MS
    assert begun.first_ms <= begun.start_ms <= begun.last_ms
    assert begun.last_ms - begun.first_ms <= DAY_MS
    assert begun.held == 0.9


def test_windows_that_asked_nothing_do_not_move_the_onset(home):
    watched(home)
    for day in (0, 1, 4, 5, 6, 7, 8):  # Nothing was asked on two days; the shift begins on day 5.
        serve(home, day, draw(day, shifted=day > 4))
    close_windows(home, "late", SPEC)
    (alert,) = list_alerts(home, "late")
    assert known(home, alert.id)[1].start_ms == BEGIN_MS + 5 * DAY_MS


def test_who_was_told_stands_with_the_alert(home):
    alert = ticketed(home, spec=TOLD)
    dismiss_alert(home, alert.id, "a strike")
    assert [(one.change, one.receiver, one.status) for one in show_alert(home, alert.id).notices] == [
        ("opened", "mail", "due"), ("closed", "mail", "due"),
    ]  # fmt: skip


def test_an_alert_of_an_older_taut_is_shown_without_what_was_not_kept(home):
    alert = ticketed(home)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE alert SET story = '', reference = 0")
        tx.execute("DELETE FROM monitor_counts")
    found = show_alert(home, alert.id)
    assert (found.story, found.begun, found.upstream) == (None, None, None)
    with pytest.raises(NotFound, match="older taut"):
        replay_alert(home, alert.id)


def test_there_is_no_alert_of_that_name(home):
    for ask in (show_alert, replay_alert):
        with pytest.raises(NotFound) as caught:
            ask(home, "nothing")
        assert caught.value.hint == "taut watch alerts"


# Upstream


def commit(home: Home, number: int, *, code: str, data: int) -> None:
    """Say that a version was made by a run of its own, from that code and that version of the data."""
    run, now = create_run(home, name=f"run {number}").id, home.clock.now_ms()
    capture = Capture(git=GitState(code, "main", "", (), ()), environment=f"env{number}")
    with home.meta.transaction() as tx:
        tx.execute("UPDATE run SET capture = :capture WHERE id = :id", {"id": run, "capture": wire.text(capture)})
        tx.execute(
            "INSERT INTO lineage (source, relation, target, at_ms) VALUES (:data, 'read-by', :run, :now)",
            {"data": f"data:rows@{data}", "run": f"run:{run}", "now": now},
        )
        tx.execute("UPDATE model_version SET run_id = :run WHERE number = :number", {"run": run, "number": number})
        home.append(tx, "test.made", subject=f"run:{run}")


def dataset(home: Home, number: int) -> None:
    with home.meta.transaction() as tx:
        tx.execute(
            "INSERT INTO dataset_version (name, number, tree, path, files, size_bytes, columns, at_ms, actor) "
            "VALUES ('rows', :number, 't', 'rows.csv', 1, 1, '[]', :now, 'ada')",
            {"number": number, "now": home.clock.now_ms()},
        )
        home.append(tx, "test.made", subject=f"data:rows@{number}")


def test_nothing_changed_where_the_same_version_answered_all_along(home):
    _, _, found = known(home, ticketed(home).id)
    assert [one.version for one in found.since] == ["late@1"]
    assert (found.before, found.changes) == (found.since[0], ())


def test_newer_data_than_the_version_learned_from_count_as_a_change(home):
    alert = ticketed(home)
    commit(home, 1, code="c" * 40, data=1)
    for number in (1, 2):
        dataset(home, number)
    (changed,) = known(home, alert.id)[2].changes
    assert (changed.what, changed.before, changed.now) == ("newer data", "data:rows@1", "data:rows@2")
    assert changed.text.endswith("late@1 learned from data:rows@1")


def test_another_version_that_began_to_answer_is_named_with_what_differs(home):
    alert = ticketed(home)
    register(home, factor=0.2)
    record(home, number=2)
    commit(home, 1, code="a" * 40, data=1)
    commit(home, 2, code="b" * 40, data=2)
    serve(home, 5.2, draw(5, shifted=True), revision=2)
    serve(home, 7, draw(7, shifted=True), revision=1)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE alert SET last_ms = :last", {"last": list_windows(home, "late")[-1].start_ms})
        tx.execute("UPDATE monitor_window SET end_ms = end_ms + 86400000 WHERE start_ms = "
                   "(SELECT max(start_ms) FROM monitor_window)")  # fmt: skip
    changes = {one.what: (one.before, one.now) for one in known(home, alert.id)[2].changes}
    assert changes["deployment"] == ("", "deployment:late@2")
    assert changes["model version"] == ("late@1", "late@2")
    assert changes["code commit"] == ("a" * 40, "b" * 40)
    assert changes["environment"] == ("env1", "env2")
    assert changes["data"] == ("data:rows@1", "data:rows@2")


# Replayed


def test_a_replay_from_the_counts_alone_gives_the_same_answer_bit_for_bit(home):
    alert = ticketed(home, days=9)
    with home.meta.transaction() as tx:  # Nothing else than the counts and the profile is needed.
        tx.execute("DELETE FROM monitor_state")
        tx.execute("DELETE FROM prediction")
    found = replay_alert(home, alert.id)
    assert (found.is_same, found.differences, found.windows) == (True, (), 8)
    assert found.window_start_ms == alert.window_start_ms
    assert found.e_value == list_windows(home, "late")[-1].evidence["features"]


def test_a_page_on_labels_is_replayed_as_well(home):
    watched(home)
    for day in range(8):
        serve(home, day, draw(day, flipped=day > 3))
    while close_windows(home, "late", SPEC):
        pass
    (alert,) = list_alerts(home, "late")
    assert replay_alert(home, alert.id).is_same


def test_windows_keep_the_settings_that_they_had(home):
    watched(home)
    for day in range(8):
        serve(home, day, draw(day, shifted=day > 4))
        close_windows(home, "late", SPEC if day < 4 else MonitorSpec(window="1d", alpha=0.02, tolerance=0.05))
    (alert,) = list_alerts(home, "late")
    assert alert.evidence["bound"] == 50
    assert replay_alert(home, alert.id).is_same


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ('UPDATE monitor_window SET evidence = \'{"features":1.0,"labels":1.0}\' WHERE start_ms = :at', "evidence"),
        ("UPDATE monitor_counts SET state = 'other' WHERE start_ms = :at", "memory"),
        ('UPDATE monitor_counts SET settings = \'{"alpha":0.01,"tolerance":0.2}\' WHERE start_ms = :at', "evidence"),
        ("DELETE FROM monitor_counts WHERE start_ms = :at", "counts"),
        ("UPDATE alert SET peak = peak + peak * 1e-15", "peak"),
        ("UPDATE alert SET window_start_ms = :at", "first window in alarm"),
    ],
)
def test_a_replay_says_where_it_comes_to_another_answer(home, harm, what):
    alert = ticketed(home)
    with home.meta.transaction() as tx:
        tx.execute(harm, {"at": BEGIN_MS + 2 * DAY_MS + DAY_MS} if ":at" in harm else None)
    found = replay_alert(home, alert.id)
    assert not found.is_same
    assert found.differences[0].what == what


def test_counts_that_were_changed_by_one_do_not_pass(home):
    from taut.watch.counts import WindowCounts

    alert = ticketed(home)
    with home.meta.transaction() as tx:
        (packed,) = tx.row("SELECT counts FROM monitor_counts WHERE start_ms = :at", {"at": BEGIN_MS})
        counts = unpack(bytes(packed), WindowCounts)
        hits = {**counts.hits, "z": (counts.hits["z"][0] + 1, *counts.hits["z"][1:])}
        changed = pack(WindowCounts(counts.rows, hits, counts.trials))
        tx.execute(
            "UPDATE monitor_counts SET counts = :counts WHERE start_ms = :at", {"counts": changed, "at": BEGIN_MS}
        )
    found = replay_alert(home, alert.id)
    assert found.differences[0].window_start_ms == BEGIN_MS
    assert {one.what for one in found.differences} >= {"memory"}


def test_counts_are_small_and_read_with_defaults_for_what_came_later(home):
    ticketed(home)
    with home.meta.read() as tx:
        sizes = [len(bytes(row[0])) for row in tx.rows("SELECT counts FROM monitor_counts")]
    assert max(sizes) < 400
    assert unpack(pack({"rows": 1, "hits": {}, "trials": {}, "later": [1]}), dict)["rows"] == 1
    for damaged in (b"", b"no zlib", pack([1])[:-3]):
        with pytest.raises(Corrupt, match="cannot be read"):
            unpack(damaged, dict)


def test_an_alert_is_seen_only_where_its_deployment_may_be(home):
    from taut.ground.access import Actor

    alert: Alert = ticketed(home)
    assert show_alert(home.as_actor(Actor("vera", "viewer")), alert.id).alert == alert
    with pytest.raises(Denied):
        show_alert(home.as_actor(Actor("p", "predictor")), alert.id)
