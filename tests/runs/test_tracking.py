"""Runs and experiments: made, found, changed, deleted; each promise on SQLite and PostgreSQL."""

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.ground.ledger import downstream, events
from taut.records import Capture
from taut.runs import (
    create_experiment,
    create_run,
    delete_experiment,
    delete_run,
    ensure_experiment,
    find_experiment,
    get_experiment,
    get_run,
    list_experiments,
    log_batch,
    record_capture,
    rename_experiment,
    resolve_run,
    restore_experiment,
    restore_run,
    tag_experiment,
    update_run,
)


def test_a_run_starts_in_an_experiment_that_is_made_for_it(home):
    run = create_run(home, experiment="late flights", name="first")
    assert (run.status, run.experiment, run.name, run.actor) == ("RUNNING", "late flights", "first", "ada")
    assert run.started_ms == home.clock.now_ms() and run.ended_ms is None
    assert run.capture == Capture()
    assert get_run(home, run.id) == run


def test_the_experiment_that_nobody_chose_has_the_id_that_clients_take_for_granted(home):
    assert create_run(home).experiment_id == "0"
    assert ensure_experiment(home).id == get_experiment(home, "0").id == "0"


def test_a_chosen_run_id_makes_one_run_however_often_it_is_asked_for(home):
    first = create_run(home, run_id="mine", name="a")
    assert create_run(home, run_id="mine", name="b") == first
    with pytest.raises(Conflict, match="mine"):
        create_run(home, run_id="mine", experiment="other")
    with home.meta.read() as tx:
        assert len(events(tx, kind="run.created")) == 1


@pytest.mark.parametrize("bad", ["../x", "a b", "-a", "x" * 257, "ä" * 300])
def test_an_id_that_no_run_may_have_is_refused(home, bad):
    with pytest.raises(Invalid):
        create_run(home, run_id=bad)


def test_a_run_ends_once_and_keeps_its_end(home):
    run = create_run(home)
    home.clock.pass_ms(5_000)
    ended = update_run(home, run.id, status="FINISHED")
    assert ended.ended_ms == run.started_ms + 5_000
    home.clock.pass_ms(5_000)
    assert update_run(home, run.id, status="FAILED").ended_ms == ended.ended_ms
    assert update_run(home, run.id, status="KILLED", ended_ms=7).ended_ms == 7
    with pytest.raises(Invalid, match="DONE"):
        update_run(home, run.id, status="DONE")


def test_a_new_name_is_seen_as_the_tag_too_and_the_tag_as_the_name(home):
    run = create_run(home, name="a")
    assert update_run(home, run.id, name="b").tags["mlflow.runName"] == "b"
    log_batch(home, run.id, tags={"mlflow.runName": "c"})
    assert get_run(home, run.id).name == "c"
    with pytest.raises(Invalid, match=r"mlflow\.runName"):
        create_run(home, name="x", tags={"mlflow.runName": "y"})


def test_an_unknown_run_is_not_found(home):
    for call in (get_run, delete_run, restore_run, update_run, resolve_run):
        with pytest.raises(NotFound, match="nobody"):
            call(home, "nobody")


def test_the_first_letters_of_an_id_name_a_run_where_only_one_begins_so(home):
    for run_id in ("abcd1", "abcd2", "beef5"):
        create_run(home, run_id=run_id)
    assert resolve_run(home, "beef").id == "beef5"
    assert resolve_run(home, "abcd1").id == "abcd1"
    with pytest.raises(Invalid, match="abcd1, abcd2"):
        resolve_run(home, "abcd")
    with pytest.raises(Invalid, match="too short"):
        resolve_run(home, "be")


def test_a_deleted_run_is_kept_but_takes_nothing_until_it_is_restored(home):
    run = create_run(home)
    delete_run(home, run.id)
    delete_run(home, run.id)
    assert get_run(home, run.id).lifecycle == "deleted"
    for change in (
        lambda: update_run(home, run.id, name="x"),
        lambda: log_batch(home, run.id, params={"a": "1"}),
        lambda: record_capture(home, run.id, Capture()),
    ):
        with pytest.raises(Invalid, match="deleted"):
            change()
    restore_run(home, run.id)
    assert update_run(home, run.id, name="x").name == "x"
    with home.meta.read() as tx:
        assert len(events(tx, kind="run.deleted")) == 1


def test_the_alert_that_asked_for_a_run_is_drawn_as_its_cause(home):
    run = create_run(home, cause="alert:a1")
    with home.meta.read() as tx:
        assert [arrow.target for arrow in downstream(tx, "alert:a1")] == [run.point]


def test_what_was_captured_is_read_back_whole(home):
    run = create_run(home)
    capture = Capture(command=("python", "train.py"), exit_status=0, missing=("no git",))
    assert record_capture(home, run.id, capture).capture == capture
    assert get_run(home, run.id).capture == capture


def test_an_experiment_is_found_by_name_and_id_deleted_or_not(home):
    made = create_experiment(home, "a", tags={"team": "x"})
    assert find_experiment(home, "a") == get_experiment(home, made.id) == made
    delete_experiment(home, made.id)
    assert find_experiment(home, "a").lifecycle == "deleted"
    with pytest.raises(NotFound):
        delete_experiment(home, made.id)
    assert restore_experiment(home, made.id).lifecycle == "active"
    assert [e.name for e in list_experiments(home)] == ["a"]
    for call in (find_experiment, get_experiment):
        with pytest.raises(NotFound, match="nowhere"):
            call(home, "nowhere")


def test_two_experiments_never_share_a_name(home):
    first, second = create_experiment(home, "a"), create_experiment(home, "b")
    with pytest.raises(Conflict, match="exists already"):
        create_experiment(home, "a")
    with pytest.raises(Conflict):
        rename_experiment(home, second.id, "a")
    assert rename_experiment(home, second.id, "b").name == "b"
    delete_experiment(home, first.id)
    for call in (create_experiment, ensure_experiment):
        with pytest.raises(Conflict, match="restore"):
            call(home, "a")
    with pytest.raises(Invalid, match="deleted"):
        rename_experiment(home, first.id, "c")
    with pytest.raises(Invalid, match="deleted"):
        create_run(home, experiment_id=first.id)


@pytest.mark.parametrize("bad", ["", "  ", "x" * 501])
def test_a_name_that_no_experiment_may_have_is_refused(home, bad):
    with pytest.raises(Invalid, match="1 to 500"):
        create_experiment(home, bad)


def test_tags_of_an_experiment_are_set_and_taken_away(home):
    made = create_experiment(home, "a")
    assert tag_experiment(home, made.id, "k", "v").tags == {"k": "v"}
    assert tag_experiment(home, made.id, "k", None).tags == {}
    with pytest.raises(NotFound, match="no tag"):
        tag_experiment(home, made.id, "k", None)
    with pytest.raises(Invalid):
        tag_experiment(home, made.id, "../k", "v")


def test_a_viewer_reads_runs_and_starts_none(home):
    run = create_run(home)
    viewer = home.as_actor(Actor("eve", "viewer"))
    assert get_run(viewer, run.id).id == run.id
    with pytest.raises(Denied, match="run:write"):
        create_run(viewer)


def test_the_experiment_that_clients_take_for_granted_stays(home):
    ensure_experiment(home)
    with pytest.raises(Invalid, match="cannot be deleted"):
        delete_experiment(home, "0")
    with pytest.raises(Invalid, match="cannot be renamed"):
        rename_experiment(home, "0", "mine")
