"""Several versions behind one endpoint as records: canaries, shadows, promotion and rollback, on both databases."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from taut.deploy import (
    find_deployment,
    is_rollback,
    list_deployments,
    list_revisions,
    promote_canary,
    record_deployment,
    report_state,
    roll_back,
    taken_back,
    told,
)
from taut.errors import Conflict, Denied, Invalid, NotFound, Refused, TautError, UsageError
from taut.govern import check_home
from taut.ground.access import Actor
from taut.ground.ledger import Arrow, events, upstream
from taut.home import Home
from taut.models import delete_version, deployments_of
from taut.models.signature import Signature, SignatureColumn, signature_text
from taut.records import Backend, Deployment, DeploymentState
from tests.deploy.recorded import CONFIG, judge
from tests.marks import slow_on_postgresql
from tests.serve.scenes import register

pytestmark = slow_on_postgresql

CANARY = Backend("late", 2, 0.05, "canary")
SHADOW = Backend("late", 2, 0.0, "shadow")
UNGATED = CONFIG | {"rollout": {"ungated_shadows": True}}


def put(home: Home, number: int, *others: Backend, up: bool = True, **more: Any) -> Deployment:
    """Record a revision, which came up."""
    made = record_deployment(home, "late", "late", number, "process", CONFIG, "manual", others=others, **more)
    if up:
        report_state(home, DeploymentState("late", made.revision, "running", "http://127.0.0.1:1", "7:8", 5))
    return made


def test_a_revision_names_all_versions_behind_it_with_their_shares(home: Home):
    register(home, factor=0.3)
    made = put(home, 1, CANARY, Backend("late", 3, 0.0, "shadow"), reason="to see")
    assert made.backends == (Backend("late", 1, 0.95, "live"), CANARY, Backend("late", 3, 0.0, "shadow"))
    assert (made.canary, made.shadows, made.reason) == (CANARY, made.backends[2:], "to see")
    assert find_deployment(home, "late") == made
    assert list_deployments(home) == list_revisions(home, "late") == [made]
    assert told(made.backends) == "late@1 95 %, canary late@2 5 %, shadow late@3"
    with home.meta.read() as tx:
        arrows = set(upstream(tx, made.point))
        (event,) = events(tx, subject=made.point, kind="deployment.recorded")
    assert Arrow("model:late@2", "serves", made.point) in arrows
    assert Arrow("model:late@3", "shadows", made.point) in arrows
    assert json.loads(event.body)["reason"] == "to see"
    assert [one["role"] for one in json.loads(event.body)["others"]] == ["canary", "shadow"]
    assert check_home(home).problems == ()


def test_one_without_others_reads_as_it_always_did(home: Home):
    made = put(home, 1)
    assert made.backends == (Backend("late", 1, 1.0, "live"),)
    assert (made.canary, made.shadows, told(made.backends)) == (None, (), "late@1")


def test_another_share_is_another_revision_and_the_same_is_the_same(home: Home):
    first = put(home, 1, CANARY)
    assert put(home, 1, CANARY) == first
    assert put(home, 1, Backend("late", 2, 0.25, "canary")).revision == 2
    assert [one.revision for one in list_revisions(home, "late")] == [2, 1]
    assert [one.revision for one in list_revisions(home, "late", 1)] == [2]
    with pytest.raises(NotFound, match="did you mean 'late'"):
        list_revisions(home, "lat")


@pytest.mark.parametrize(
    ("others", "kind", "says"),
    [
        ([Backend("late", 2, 0.0, "canary")], Invalid, "not 0 %"),
        ([Backend("late", 2, 1.0, "canary")], Invalid, "not 100 %"),
        ([Backend("late", 2, float("nan"), "canary")], Invalid, "not nan %"),
        ([Backend("late", 2, 0.5, "live")], Invalid, "one canary and 3 shadows"),
        ([CANARY, Backend("late", 3, 0.05, "canary")], Invalid, "one canary and 3 shadows"),
        ([Backend("late", n, 0.0, "shadow") for n in (2, 3, 4, 5)], Invalid, "one canary and 3 shadows"),
        ([CANARY, SHADOW], Conflict, "late@2 stands behind 'late' already"),
        ([Backend("late", 1, 0.05, "canary")], Conflict, "late@1 stands behind 'late' already"),
        ([Backend("late", 9, 0.05, "canary")], NotFound, "no version 9"),
    ],
)
def test_versions_and_shares_that_cannot_stand_together_are_refused(home: Home, others, kind, says):
    with pytest.raises(kind, match=says):
        put(home, 1, *others)
    assert list_deployments(home) == []


def test_a_target_of_one_version_takes_no_canary(home: Home):
    with pytest.raises(UsageError, match="target docker runs one version"):
        record_deployment(home, "late", "late", 1, "docker", CONFIG, "manual", others=(CANARY,))


def test_a_canary_needs_its_gate_as_whoever_is_live_does(home: Home):
    judge(home, 1, passed=True)
    with pytest.raises(Refused, match="late@2 may not be deployed: it was not judged"):
        put(home, 1, CANARY)
    gate = judge(home, 2, passed=True)
    made = put(home, 1, CANARY)
    with home.meta.read() as tx:
        assert Arrow(f"gate:{gate}", "allowed", made.point) in upstream(tx, made.point)


def test_a_shadow_may_lack_a_verdict_where_the_deployment_says_so_but_never_have_one_against_it(home: Home):
    judge(home, 1, passed=True)
    with pytest.raises(Refused, match="not judged"):
        put(home, 1, SHADOW)
    record_deployment(home, "late", "late", 1, "process", UNGATED, "manual", others=(SHADOW,))
    with pytest.raises(Refused, match="not judged"):
        record_deployment(home, "late", "late", 1, "process", UNGATED, "manual", others=(CANARY,))
    judge(home, 2, passed=False)
    with pytest.raises(Refused, match="the gate refused it"):
        record_deployment(home, "more", "late", 1, "process", UNGATED, "manual", others=(SHADOW,))


def test_a_version_that_asks_for_more_than_live_does_is_no_canary_of_it(home: Home):
    wide = signature_text(Signature((SignatureColumn("delay", "double"), SignatureColumn("wind", "double"))))
    found = register(home, factor=0.3)
    with home.meta.transaction() as tx:
        tx.execute("UPDATE model_version SET signature = :wide WHERE number = :number", {"wide": wide, "number": 3})
    with pytest.raises(Invalid, match="late@3 asks for wind, which requests to late@1 do not have to have"):
        put(home, 1, Backend("late", found.number, 0.1, "canary"))
    put(home, found.number)


def test_a_version_that_was_only_a_shadow_cannot_be_deleted_either(home: Home):
    put(home, 1, SHADOW)
    put(home, 1)
    with pytest.raises(Refused):
        delete_version(home, "late", 2)
    assert deployments_of(home, "late", 2) == ["deployment:late@1"]


def test_a_canary_that_is_promoted_answers_everything_and_shadows_stay(home: Home):
    register(home, factor=0.3)
    put(home, 1, CANARY, Backend("late", 3, 0.0, "shadow"))
    done = promote_canary(home, "late", reason="it does well")
    assert (done.changed, done.text) == (True, "late@2 is live; it was late@1")
    assert told(done.deployment.backends) == "late@2 100 %, shadow late@3"
    assert (done.deployment.number, done.deployment.cause, done.deployment.reason) == (2, "promotion", "it does well")
    assert find_deployment(home, "late") == done.deployment
    again = promote_canary(home, "late")
    assert (again.changed, again.deployment) == (False, done.deployment)
    assert "live already" in again.text


def test_what_has_no_canary_is_not_promoted(home: Home):
    with pytest.raises(NotFound):
        promote_canary(home, "late")
    put(home, 1, SHADOW)
    with pytest.raises(Conflict, match="no canary") as refused:
        promote_canary(home, "late")
    assert refused.value.hint == "taut deploy late VERSION --canary 5"


def test_a_canary_that_its_gate_has_come_to_refuse_is_not_promoted(home: Home):
    put(home, 1, CANARY)
    judge(home, 2, passed=False)
    with pytest.raises(Refused, match="the gate refused it"):
        promote_canary(home, "late")


def test_a_canary_that_is_rolled_back_goes_and_nothing_else_changes(home: Home):
    register(home, factor=0.3)
    put(home, 1, CANARY, Backend("late", 3, 0.0, "shadow"), up=False)
    done = roll_back(home, "late", cause="rollback:errors", reason="it failed", evidence={"e_value": 500.0})
    assert (done.changed, done.text) == (True, "late@2 is taken back; late@1 answers")
    assert told(done.deployment.backends) == "late@1 100 %, shadow late@3"
    assert (is_rollback(done.deployment), done.deployment.reason) == (True, "it failed")
    assert taken_back(home, "late") == CANARY
    with home.meta.read() as tx:
        (event,) = events(tx, kind="deployment.rolled_back", subject="deployment:late@1")
    body = json.loads(event.body)
    assert (body["to"], body["gone"], body["cause"], body["evidence"]) == (
        2, "late@2", "rollback:errors", {"e_value": 500.0},
    )  # fmt: skip


def test_a_rollback_goes_to_the_newest_revision_that_served_well(home: Home):
    for factor in (0.3, 0.4):
        register(home, factor=factor)
    put(home, 1)
    put(home, 2)
    put(home, 3, up=False)
    put(home, 2, Backend("late", 4, 0.1, "canary"))
    promote_canary(home, "late")
    done = roll_back(home, "late")
    assert done.text == "late@4 is taken back; late@2 answers, as in revision 2"
    assert (done.deployment.revision, done.deployment.number) == (6, 2)


def test_a_rollback_does_not_go_back_to_what_was_rolled_back(home: Home):
    register(home, factor=0.3)
    put(home, 1)
    put(home, 2)
    roll_back(home, "late")
    put(home, 3)
    assert roll_back(home, "late").text == "late@3 is taken back; late@1 answers, as in revision 1"


def test_a_rollback_that_is_asked_for_twice_is_done_once(home: Home):
    put(home, 1)
    put(home, 2)
    first = roll_back(home, "late", reason="slow")
    again = roll_back(home, "late")
    assert (first.changed, again.changed, again.deployment) == (True, False, first.deployment)
    assert again.text == "deployment:late@3 is a rollback already: slow; --to REVISION goes further"


def test_a_rollback_to_a_revision_brings_back_all_of_it(home: Home):
    first = record_deployment(home, "late", "late", 1, "process", CONFIG | {"port": 8080}, "manual", others=(SHADOW,))
    put(home, 2)
    done = roll_back(home, "late", to=1)
    assert (done.deployment.backends, done.deployment.config) == (first.backends, first.config)
    assert roll_back(home, "late", to=1).changed is False
    assert roll_back(home, "late", to=3).changed is False
    with pytest.raises(NotFound, match="has no revision 9"):
        roll_back(home, "late", to=9)


def test_where_there_is_no_way_back_it_is_said(home: Home):
    with pytest.raises(NotFound, match="there is no deployment"):
        roll_back(home, "late")
    put(home, 1, up=False)
    put(home, 2)
    with pytest.raises(NotFound, match="no earlier revision of 'late' served without late@2") as refused:
        roll_back(home, "late")
    assert "taut rollback late --to REVISION" in refused.value.hint


def test_the_way_back_is_found_past_many_revisions_that_never_came_up(home: Home):
    put(home, 1)
    for port in range(120):
        record_deployment(home, "late", "late", 1 + port % 2, "process", CONFIG | {"port": port + 1}, "manual")
    put(home, 2)
    done = roll_back(home, "late")
    assert done.text == "late@2 is taken back; late@1 answers, as in revision 1"


def test_what_was_taken_back_is_known_until_something_else_is_deployed(home: Home):
    assert taken_back(home, "late") is None
    put(home, 1)
    assert taken_back(home, "late") is None
    put(home, 2)
    roll_back(home, "late")
    assert taken_back(home, "late") == Backend("late", 2)
    put(home, 2)
    assert taken_back(home, "late") is None


@pytest.mark.parametrize("act", [promote_canary, roll_back])
def test_who_decided_on_an_older_revision_changes_nothing(home: Home, act: Callable[..., object]):
    put(home, 1)
    put(home, 1, CANARY)
    with pytest.raises(Conflict, match="'late' is at revision 2 by now, not 1"):
        act(home, "late", after=1)
    with pytest.raises(Conflict, match="at revision 2 by now"):
        put(home, 1, Backend("late", 2, 0.25, "canary"), after=1)
    assert find_deployment(home, "late").revision == 2


def test_of_many_who_decide_at_once_one_is_right_and_the_others_are_told(home: Home):
    """Ten steps, promotions and rollbacks on what all of them saw: one more revision, whole, and nine conflicts."""
    put(home, 1)
    seen = put(home, 1, CANARY).revision
    acts: list[Callable[[], object]] = [
        *[lambda: promote_canary(home, "late", after=seen)] * 3,
        *[lambda: roll_back(home, "late", after=seen)] * 3,
        *[lambda: put(home, 1, Backend("late", 2, 0.25, "canary"), up=False, after=seen)] * 4,
    ]
    begin, told_no = threading.Barrier(len(acts)), []

    def act(one: Callable[[], object]) -> None:
        begin.wait(10)
        try:
            one()
        except TautError as problem:
            told_no.append(problem)

    threads = [threading.Thread(target=act, args=(one,)) for one in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert find_deployment(home, "late").revision == seen + 1
    assert all(isinstance(problem, Conflict) for problem in told_no), told_no


def test_a_report_of_somebody_who_was_overtaken_is_not_stored(home: Home):
    put(home, 1)
    second = DeploymentState("late", 2, "running", "http://127.0.0.1:2", "9:9", 6)
    report_state(home, second)
    first = DeploymentState("late", 1, "running", "http://127.0.0.1:1", "7:8", 7)
    assert report_state(home, first) == second


def test_a_viewer_may_read_the_history_and_change_nothing(home: Home):
    put(home, 1, CANARY)
    viewer = home.as_actor(Actor("eve", "viewer"))
    assert len(list_revisions(viewer, "late")) == 1
    assert taken_back(viewer, "late") is None
    for act in (promote_canary, roll_back):
        with pytest.raises(Denied):
            act(viewer, "late")
    with pytest.raises(Denied):
        put(viewer, 1)


def test_a_reason_that_is_a_novel_is_refused(home: Home):
    first = put(home, 1)
    novel = "x" * 2_001
    for act in (lambda: put(home, 2, reason=novel), lambda: roll_back(home, "late", to=1, reason=novel)):
        with pytest.raises(Invalid, match="2000 characters at most, not 2001"):
            act()
        assert find_deployment(home, "late") == first
        first = put(home, 2)
