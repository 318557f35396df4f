"""Experiments: each verb's way, its refusals and its lines in the ledger, on SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.ground.ledger import events
from taut.runs import (
    create_experiment,
    create_run,
    delete_experiment,
    ensure_experiment,
    find_experiment,
    get_experiment,
    get_run,
    list_experiments,
    rename_experiment,
    restore_experiment,
    tag_experiment,
)


def told(home, kind):
    """How often the ledger tells of it."""
    with home.meta.read() as tx:
        return len(events(tx, kind=kind))


def test_a_new_experiment_is_active_and_has_the_time_of_its_making(home):
    made = create_experiment(home, "a", tags={"k": "v"})
    assert (made.name, made.lifecycle, made.tags) == ("a", "active", {"k": "v"})
    assert made.created_ms == made.updated_ms == home.clock.now_ms()
    assert made.artifact_root == made.id and made.id.isdigit() and len(made.id) == 18
    assert told(home, "experiment.created") == 1


def test_a_refused_experiment_leaves_nothing_behind(home):
    for bad in ({"../k": "v"}, {"k": "x" * 20_001}, {"x" * 251: "v"}):
        with pytest.raises(Invalid):
            create_experiment(home, "a", tags=bad)
    assert list_experiments(home) == [] and told(home, "experiment.created") == 0


def test_an_experiment_at_every_border_is_read_back_whole(home):
    made = create_experiment(home, "ä" * 500, tags={"k" * 250: "ü" * 20_000})
    assert get_experiment(home, made.id) == find_experiment(home, "ä" * 500) == made


def test_names_that_differ_only_in_case_or_blanks_are_two_experiments(home):
    ids = {create_experiment(home, name).id for name in ("a", "A", " a")}
    assert len(ids) == 3
    assert find_experiment(home, "A").name == "A"


def test_ensuring_an_experiment_twice_makes_it_once(home):
    first = ensure_experiment(home, "a")
    home.clock.pass_ms(1_000)
    assert ensure_experiment(home, "a") == first
    assert told(home, "experiment.created") == 1
    with pytest.raises(Invalid, match="1 to 500"):
        ensure_experiment(home, " ")


def test_experiments_are_listed_newest_first_deleted_ones_too(home):
    assert list_experiments(home) == []
    made = []
    for name in ("old", "mid", "new"):
        made.append(create_experiment(home, name))
        home.clock.pass_ms(1_000)
    delete_experiment(home, made[1].id)
    assert [(e.name, e.lifecycle) for e in list_experiments(home)] == [
        ("new", "active"),
        ("mid", "deleted"),
        ("old", "active"),
    ]


def test_an_unknown_experiment_is_not_found_by_any_verb(home):
    for call in (
        lambda: find_experiment(home, "77"),
        lambda: get_experiment(home, "77"),
        lambda: rename_experiment(home, "77", "b"),
        lambda: delete_experiment(home, "77"),
        lambda: restore_experiment(home, "77"),
        lambda: tag_experiment(home, "77", "k", "v"),
        lambda: tag_experiment(home, "77", "k", None),
    ):
        with pytest.raises(NotFound, match="77"):
            call()


def test_a_renamed_experiment_keeps_its_id_and_frees_its_old_name(home):
    made = create_experiment(home, "a", tags={"k": "v"})
    home.clock.pass_ms(1_000)
    renamed = rename_experiment(home, made.id, "b")
    assert (renamed.id, renamed.name, renamed.tags) == (made.id, "b", {"k": "v"})
    assert (renamed.created_ms, renamed.updated_ms) == (made.created_ms, made.created_ms + 1_000)
    with pytest.raises(NotFound, match="'a'"):
        find_experiment(home, "a")
    assert create_experiment(home, "a").id != made.id


@pytest.mark.parametrize("bad", ["", " ", "x" * 501])
def test_an_experiment_is_not_renamed_to_what_none_may_be_called(home, bad):
    made = create_experiment(home, "a")
    with pytest.raises(Invalid, match="1 to 500"):
        rename_experiment(home, made.id, bad)
    assert get_experiment(home, made.id) == made


def test_a_name_that_a_deleted_experiment_has_is_not_given_to_another(home):
    gone, other = create_experiment(home, "a"), create_experiment(home, "b")
    delete_experiment(home, gone.id)
    with pytest.raises(Conflict, match=gone.id):
        rename_experiment(home, other.id, "a")
    assert get_experiment(home, other.id).name == "b"


def test_a_deleted_experiment_keeps_its_runs_and_comes_back_as_it_was(home):
    made = create_experiment(home, "a", tags={"k": "v"})
    run = create_run(home, experiment_id=made.id)
    assert delete_experiment(home, made.id).lifecycle == "deleted"
    assert get_run(home, run.id).experiment_id == made.id
    assert restore_experiment(home, made.id) == made
    assert create_run(home, experiment_id=made.id).experiment == "a"


def test_an_experiment_is_deleted_and_restored_once_each(home):
    made = create_experiment(home, "a")
    with pytest.raises(NotFound, match="not deleted"):
        restore_experiment(home, made.id)
    delete_experiment(home, made.id)
    with pytest.raises(NotFound, match="not active"):
        delete_experiment(home, made.id)
    restore_experiment(home, made.id)
    assert (told(home, "experiment.deleted"), told(home, "experiment.restored")) == (1, 1)


def test_a_deleted_experiment_takes_no_tag_and_loses_none(home):
    made = create_experiment(home, "a", tags={"k": "v"})
    delete_experiment(home, made.id)
    for value in ("w", None):
        with pytest.raises(Invalid, match="restore"):
            tag_experiment(home, made.id, "k", value)
    assert get_experiment(home, made.id).tags == {"k": "v"}


def test_a_tag_changes_itself_alone_and_the_time_of_change(home):
    made = create_experiment(home, "a", tags={"k": "v", "l": "w"})
    home.clock.pass_ms(1_000)
    tagged = tag_experiment(home, made.id, "k", "")
    assert tagged.tags == {"k": "", "l": "w"} and tagged.updated_ms == made.updated_ms + 1_000
    assert tag_experiment(home, made.id, "k", None).tags == {"l": "w"}
    assert told(home, "experiment.tagged") == 2


def test_a_tag_past_a_border_is_refused_and_changes_nothing(home):
    made = create_experiment(home, "a")
    for key, value in (("k", "x" * 20_001), ("x" * 251, "v"), ("", "v"), ("a//b", "v")):
        with pytest.raises(Invalid):
            tag_experiment(home, made.id, key, value)
    assert get_experiment(home, made.id) == made


def test_the_default_experiment_is_neither_deleted_nor_renamed_but_takes_tags(home):
    made = create_experiment(home, "Default")
    with pytest.raises(Invalid, match="cannot be deleted"):
        delete_experiment(home, made.id)
    with pytest.raises(Invalid, match="cannot be renamed"):
        rename_experiment(home, made.id, "b")
    assert made.id == "0" and get_experiment(home, "0") == made
    assert tag_experiment(home, "0", "k", "v").tags == {"k": "v"}


def test_no_other_experiment_takes_the_place_of_the_default_one_even_before_it_is_made(home):
    made = create_experiment(home, "a")
    with pytest.raises(Conflict, match="'Default' is the one with the id 0"):
        rename_experiment(home, made.id, "Default")
    assert get_experiment(home, made.id) == made
    assert ensure_experiment(home).id == "0"
    with pytest.raises(Conflict, match="'Default'"):
        rename_experiment(home, made.id, "Default")


def test_a_viewer_sees_experiments_and_changes_none(home):
    made = create_experiment(home, "a")
    viewer = home.as_actor(Actor("eve", "viewer"))
    assert list_experiments(viewer) == [find_experiment(viewer, "a")] == [get_experiment(viewer, made.id)]
    for call in (
        lambda: create_experiment(viewer, "b"),
        lambda: ensure_experiment(viewer, "a"),
        lambda: rename_experiment(viewer, made.id, "b"),
        lambda: tag_experiment(viewer, made.id, "k", "v"),
        lambda: delete_experiment(viewer, made.id),
        lambda: restore_experiment(viewer, made.id),
    ):
        with pytest.raises(Denied):
            call()
    assert list_experiments(home) == [made]


def test_of_many_who_make_one_experiment_in_one_moment_one_does(home):
    def make(name: str, start: Barrier) -> str:
        start.wait()
        try:
            return create_experiment(home, name).id
        except Conflict:
            return "taken"

    with ThreadPoolExecutor(6) as pool:
        for number in range(10):
            start = Barrier(6)
            answers = list(pool.map(make, [f"race {number}"] * 6, [start] * 6))
            assert len(set(answers)) == 2, answers
            assert answers.count("taken") == 5


def test_of_many_who_need_one_experiment_each_gets_the_same(home):
    def need(name: str, start: Barrier) -> str:
        start.wait()
        return ensure_experiment(home, name).id

    with ThreadPoolExecutor(6) as pool:
        for number in range(5):
            assert len(set(pool.map(need, [f"race {number}"] * 6, [Barrier(6)] * 6))) == 1
