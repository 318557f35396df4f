"""Verdicts on runs as rows: stored with the run's tag and the ledger, newest first, and who may write them."""

from dataclasses import replace

import pytest

from taut.errors import Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.ground.ledger import downstream, events
from taut.home import Home
from taut.records import Reproduction, Run, Sameness
from taut.runs import (
    create_run,
    delete_run,
    get_run,
    is_as_good,
    list_reproductions,
    page_of_runs,
    record_reproduction,
    search_runs,
)
from taut.runs.reproductions import SAMENESS, TAG


@pytest.fixture
def run(home: Home) -> Run:
    return create_run(home, run_id="a" * 32)


def found(run: Run, verdict: Sameness = "content", **more: str) -> Reproduction:
    return replace(Reproduction("", run.id, verdict, 0, ""), **more)  # type: ignore[arg-type]  # Texts, all of them.


def test_a_verdict_is_stored_as_it_was_found(home: Home, run: Run):
    stored = record_reproduction(home, run.id, found(run, "different", cause="seed missing", first="m.pkl"))
    assert stored.id
    assert (stored.actor, stored.at_ms) == ("ada", home.clock.now_ms())
    assert (stored.verdict, stored.cause, stored.first) == ("different", "seed missing", "m.pkl")
    assert list_reproductions(home, run.id) == [stored]


def test_the_run_wears_the_newest_verdict(home: Home, run: Run):
    for verdict in ("different", "bytes"):
        record_reproduction(home, run.id, found(run, verdict))
        home.clock.pass_ms(1)  # type: ignore[attr-defined]  # The clock of the tests.
    assert get_run(home, run.id).tags[TAG] == "bytes"
    assert [one.verdict for one in list_reproductions(home, run.id)] == ["bytes", "different"]
    assert [one.id for one in search_runs(home, filter=f"tags.`{TAG}` = 'bytes'")] == [run.id]
    assert page_of_runs(home, [run.experiment_id], filter=f"tags.`{TAG}` = 'different'").runs == ()


def test_the_ledger_and_the_line_know_of_it(home: Home, run: Run):
    stored = record_reproduction(home, run.id, found(run))
    with home.meta.read() as tx:
        (event,) = events(tx, kind="run.reproduced")
        assert event.subject == run.point
        assert [arrow.target for arrow in downstream(tx, run.point)] == [stored.point]


def test_a_run_that_was_never_run_again_has_no_verdict(home: Home, run: Run):
    assert list_reproductions(home, run.id) == []
    assert TAG not in get_run(home, run.id).tags


def test_a_verdict_on_another_run_or_on_none_is_refused(home: Home, run: Run):
    with pytest.raises(Invalid, match="says nothing about"):
        record_reproduction(home, run.id, replace(found(run), run_id="b" * 32))
    with pytest.raises(NotFound):
        record_reproduction(home, "b" * 32, replace(found(run), run_id="b" * 32))
    with pytest.raises(NotFound):
        list_reproductions(home, "b" * 32)
    delete_run(home, run.id)
    with pytest.raises(Invalid):
        record_reproduction(home, run.id, found(run))
    assert list_reproductions(home, run.id) == []


def test_who_may_only_look_stores_no_verdict(home: Home, run: Run):
    viewer = home.as_actor(Actor("eve", "viewer"))
    assert list_reproductions(viewer, run.id) == []
    with pytest.raises(Denied):
        record_reproduction(viewer, run.id, found(run))
    with pytest.raises(Denied):
        list_reproductions(home.as_actor(Actor("nobody", "anonymous")), run.id)


def test_sentences_without_end_are_cut(home: Home, run: Run):
    endless = replace(found(run, evidence="x" * 10_000), notes=tuple(f"note {n}" * 1000 for n in range(100)))
    stored = record_reproduction(home, run.id, endless)
    assert len(stored.evidence) == 2000
    assert len(stored.notes) == 50
    assert {len(note) for note in stored.notes} == {2000}


def test_of_two_verdicts_of_one_moment_both_stay(home: Home, run: Run):
    stored = {record_reproduction(home, run.id, found(run)).id for _ in range(2)}
    assert {one.id for one in list_reproductions(home, run.id)} == stored


@pytest.mark.parametrize("wanted", SAMENESS[:-1])
def test_a_better_verdict_meets_what_a_worse_one_would(wanted: Sameness):
    place = SAMENESS.index(wanted)
    assert [is_as_good(verdict, wanted) for verdict in SAMENESS] == [at <= place for at in range(len(SAMENESS))]
