"""Experiments, runs and logged models written down as they were elsewhere, on SQLite and PostgreSQL."""

from dataclasses import replace

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.ground.ledger import events
from taut.home import Home
from taut.records import Capture, Run
from taut.runs import (
    Count,
    Experiment,
    LoggedModel,
    MetricPoint,
    all_moved,
    begin_imported_run,
    create_experiment,
    create_run,
    delete_experiment,
    ensure_experiment,
    get_experiment,
    get_logged_model,
    get_run,
    import_experiment,
    import_logged_model,
    list_experiments,
    log_batch,
    rename_experiment,
    settle_imported_run,
    tag_experiment,
    tally_logged_model,
    tally_run,
)
from taut.runs.moved import list_moved

THERE = "http://there"
THEIRS = Experiment("7", "flights", "active", 1000, 2000, {"team": "delays"})
RUN = Run(
    "a" * 32, "7", "", "first", "FAILED", "eve", 1_000, 2_000, "deleted", "", Capture(), {"p": "1"}, {}, {"t": "x"}
)
MODEL = LoggedModel("m-" + "b" * 32, "7", RUN.id, "late", "trees", "READY", 10, 20, {"depth": "4"}, {"k": "v"})


def moved_run(home: Home, run: Run = RUN, *, mark: str = "mark") -> None:
    begin_imported_run(home, run, source=THERE)
    log_batch(home, run.id, params=run.params, tags=run.tags)
    settle_imported_run(home, run, source=THERE, mark=mark, tally={"runs": Count(1, "ab")})


def test_an_experiment_keeps_id_name_times_state_and_tags(home: Home):
    moved = import_experiment(home, replace(THEIRS, lifecycle="deleted"), source=THERE)
    assert moved.ours == "7"
    assert get_experiment(home, "7") == replace(THEIRS, lifecycle="deleted")


def test_the_same_experiment_again_changes_nothing(home: Home):
    first = import_experiment(home, THEIRS, source=THERE)
    assert import_experiment(home, THEIRS, source=THERE) == first
    assert [one.id for one in list_experiments(home)] == ["7"]
    with home.meta.read() as tx:
        assert len(events(tx, kind="experiment.imported")) == 1


def test_what_changed_there_changes_here_and_what_was_renamed_here_stays_so(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    rename_experiment(home, "7", "delays")
    tag_experiment(home, "7", "ours", "1")
    import_experiment(home, replace(THEIRS, lifecycle="deleted", tags={"team": "x"}), source=THERE)
    here = get_experiment(home, "7")
    assert (here.name, here.lifecycle, here.tags) == ("delays", "deleted", {"team": "x", "ours": "1"})


def test_the_default_experiment_is_joined_and_keeps_its_own_tags(home: Home):
    ensure_experiment(home)
    tag_experiment(home, "0", "team", "ours")
    theirs = Experiment("0", "Default", "deleted", 1, 1, {"team": "theirs", "more": "1"})
    assert import_experiment(home, theirs, source=THERE).ours == "0"
    here = get_experiment(home, "0")
    assert (here.lifecycle, here.tags) == ("active", {"team": "ours", "more": "1"})


def test_an_experiment_that_has_id_and_name_already_is_the_same(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    assert import_experiment(home, THEIRS, source="sqlite:////there.db").ours == "7"
    assert len(list_experiments(home)) == 1


@pytest.mark.parametrize("deleted", [False, True])
def test_a_taken_name_is_left_alone(home: Home, deleted: bool):
    ours = create_experiment(home, "flights")
    if deleted:
        delete_experiment(home, ours.id)
    import_experiment(home, THEIRS, source=THERE)
    assert get_experiment(home, "7").name == "flights (MLflow's 7)"
    assert get_experiment(home, ours.id).name == "flights"


def test_a_taken_id_is_left_alone_and_the_new_one_is_remembered(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    other = replace(THEIRS, name="ships")
    first = import_experiment(home, other, source="http://elsewhere").ours
    assert first not in {"0", "7"} and get_experiment(home, first).name == "ships"
    assert import_experiment(home, other, source="http://elsewhere").ours == first
    assert get_experiment(home, "7").name == "flights"


@pytest.mark.parametrize(
    "odd",
    [
        replace(THEIRS, id="../7"),
        replace(THEIRS, id="7" * 65),
        replace(THEIRS, name=" "),
        replace(THEIRS, name="x" * 501),
        replace(THEIRS, tags={"/etc": "x"}),
    ],
    ids=["id", "long id", "name", "long name", "tag"],
)
def test_an_impossible_experiment_is_refused(home: Home, odd: Experiment):
    with pytest.raises(Invalid):
        import_experiment(home, odd, source=THERE)
    assert list_experiments(home) == []


def test_a_run_keeps_id_user_times_and_state(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    moved_run(home)
    run = get_run(home, RUN.id)
    assert (run.name, run.status, run.actor, run.started_ms, run.ended_ms, run.lifecycle) == (
        "first", "FAILED", "eve", 1_000, 2_000, "deleted",
    )  # fmt: skip
    assert (run.params, run.tags, run.cause) == (RUN.params, RUN.tags, "import")
    assert run.capture.missing == ("all but what was logged to it: it was moved in from http://there",)
    with home.meta.read() as tx:
        (event,) = events(tx, kind="run.imported")
    assert (event.actor, event.subject) == ("ada", f"run:{RUN.id}")


def test_a_run_that_is_copied_is_running_until_all_of_it_is_here(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    begin_imported_run(home, RUN, source=THERE)
    run = get_run(home, RUN.id)
    assert (run.status, run.lifecycle, run.ended_ms) == ("RUNNING", "active", None)
    assert all_moved(home, THERE).keys() == {("experiment", "7")}


def test_a_run_can_be_moved_again_with_what_was_added(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    moved_run(home)
    moved_run(home, replace(RUN, status="FINISHED", lifecycle="active", params={"p": "1", "q": "2"}))
    run = get_run(home, RUN.id)
    assert (run.status, run.lifecycle, run.params) == ("FINISHED", "active", {"p": "1", "q": "2"})


def test_a_run_that_stands_elsewhere_is_a_conflict(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    create_run(home, experiment="other", run_id=RUN.id)
    with pytest.raises(Conflict, match="in experiment 'other'"):
        begin_imported_run(home, RUN, source=THERE)


def test_odd_runs_are_refused(home: Home):
    with pytest.raises(NotFound):
        begin_imported_run(home, RUN, source=THERE)
    import_experiment(home, THEIRS, source=THERE)
    with pytest.raises(Invalid):
        begin_imported_run(home, replace(RUN, id="a/b"), source=THERE)
    with pytest.raises(NotFound):
        settle_imported_run(home, RUN, source=THERE, mark="", tally={})
    begin_imported_run(home, RUN, source=THERE)
    with pytest.raises(Invalid, match="a run cannot be 'DONE'"):
        settle_imported_run(home, replace(RUN, status="DONE"), source=THERE, mark="", tally={})  # type: ignore[arg-type]


def test_a_logged_model_is_pending_until_all_of_it_is_here(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    import_logged_model(home, MODEL, source=THERE)
    assert get_logged_model(home, MODEL.id).status == "PENDING"
    import_logged_model(home, MODEL, source=THERE, mark="mark", tally={})
    assert get_logged_model(home, MODEL.id) == MODEL
    assert all_moved(home, THERE)["logged model", MODEL.id].mark == "mark"


def test_a_logged_model_that_stands_elsewhere_is_a_conflict(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    import_logged_model(home, MODEL, source=THERE)
    other = create_experiment(home, "other")
    with pytest.raises(Conflict, match="exists already, in experiment 7"):
        import_logged_model(home, replace(MODEL, experiment_id=other.id), source=THERE)
    with pytest.raises(Invalid):
        import_logged_model(home, replace(MODEL, params={"../x": "1"}), source=THERE)


def test_what_was_moved_is_listed_in_pages_by_source(home: Home):
    for number in range(5):
        import_experiment(home, replace(THEIRS, id=f"{number + 1}", name=f"e{number}"), source=THERE)
    import_experiment(home, replace(THEIRS, id="9", name="e9"), source="http://elsewhere")
    first = list_moved(home, THERE, limit=3)
    rest = list_moved(home, THERE, after=(first[-1].kind, first[-1].theirs), limit=3)
    assert [one.theirs for one in first + rest] == ["1", "2", "3", "4", "5"]
    assert len(all_moved(home, THERE)) == 5


def test_tallies_tell_what_a_run_and_a_logged_model_hold(home: Home):
    import_experiment(home, THEIRS, source=THERE)
    moved_run(home, replace(RUN, lifecycle="active"))
    before = tally_run(home, RUN.id)
    log_batch(home, RUN.id, metrics=[MetricPoint("auc", float("nan"), step) for step in range(3)])
    after = tally_run(home, RUN.id)
    assert (before["metric points"].number, after["metric points"].number) == (0, 3)
    assert before["params"] == after["params"] and before["runs"] == after["runs"]
    import_logged_model(home, MODEL, source=THERE, tally={})
    one = tally_logged_model(home, MODEL.id)
    log_batch(home, RUN.id, metrics=[MetricPoint("auc", 0.5, model_id=MODEL.id)])
    assert tally_logged_model(home, MODEL.id)["logged models"] != one["logged models"]


@pytest.mark.parametrize("role", ["viewer", "data-scientist", "approver", "auditor", "serving"])
def test_who_may_not_administer_experiments_cannot_import(home: Home, role: str):
    theirs = home.as_actor(Actor("eve", role))
    with pytest.raises(Denied):
        import_experiment(theirs, THEIRS, source=THERE)
    with pytest.raises(Denied):
        begin_imported_run(theirs, RUN, source=THERE)
    with pytest.raises(Denied):
        settle_imported_run(theirs, RUN, source=THERE, mark="", tally={})
    with pytest.raises(Denied):
        import_logged_model(theirs, MODEL, source=THERE)
