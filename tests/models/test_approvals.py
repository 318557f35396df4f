"""Separation of duties: enough people, none of whom made it, and these very bytes; each rule with what breaks it."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taut.callers import actor_of
from taut.deploy import record_deployment
from taut.errors import Denied, Invalid, NotFound, Refused, TautError
from taut.govern import (
    bind_role,
    create_own_token,
    create_token,
    create_user,
    disable_user,
    show_ledger,
    unbind_role,
)
from taut.home import Home
from taut.models import (
    approval_policy,
    decide_promotion,
    find_promotion,
    lower_approvals,
    promote_model,
    record_gate,
    register_model,
    rename_model,
    request_promotion,
    require_approvals,
    set_alias,
    set_stage,
)
from taut.records import GateCheck, ModelVersion
from tests.faces.shell import Said, is_two_lines, taut
from tests.models.conftest import Shelf, logged

WORD = "correct horse battery"
PEOPLE = {
    "dora": ("data-scientist", "approver"),
    "mel": ("ml-engineer", "approver"),
    "ann": ("approver",),
    "abe": ("approver",),
    "pia": ("project-admin",),
}


def hands(home: Home, authorization: str) -> Home:
    if not authorization.startswith("Bearer "):
        authorization = "Basic " + base64.b64encode(f"{authorization}:{WORD}".encode()).decode()
    actor = actor_of(home, authorization)
    assert actor is not None
    return home.as_actor(actor)


@pytest.fixture
def team(home: Home) -> Home:
    create_user(home, "olga", WORD, role="owner")
    for name, roles in PEOPLE.items():
        create_user(home, name, WORD, role=roles[0])
        for role in roles[1:]:
            bind_role(home, name, role)
    return home


@pytest.fixture
def version(team: Home, shelf: Shelf) -> ModelVersion:
    """Trained and registered by dora, asked for by mel, on a model that needs one approval."""
    dora = hands(team, "dora")
    run_id, _ = logged(dora, shelf.folders["good"])
    made = register_model(dora, "late", run_id=run_id)
    require_approvals(hands(team, "pia"), "late", 1)
    request_promotion(hands(team, "mel"), "late", 1)
    return made


def approve(home: Home, who: str) -> None:
    decide_promotion(hands(home, who), "late", 1)


def promotes(home: Home) -> bool:
    try:
        promote_model(hands(home, "mel"), "late", 1)
    except Refused:
        return False
    return True


def judge(home: Home, passed: bool = True) -> None:
    record_gate(home, "late", 1, checks=[GateCheck("auc", passed, 0.9, 0.8, "fine")])


def test_without_a_policy_nothing_is_asked(team: Home, shelf: Shelf):
    run_id, _ = logged(team, shelf.folders["good"])
    register_model(team, "late", run_id=run_id)
    assert approval_policy(team, "late").needed == 0
    assert promotes(team)


def test_a_version_goes_live_once_somebody_else_agreed(team: Home, version: ModelVersion):
    mel = hands(team, "mel")
    for act in (
        lambda: promote_model(mel, "late", 1),
        lambda: set_alias(mel, "late", "champion", 1),
        lambda: set_stage(mel, "late", 1, "Production"),
        lambda: record_deployment(mel, "late", "late", 1, "process", {}, "manual"),
    ):
        with pytest.raises(Refused, match="0 of 1 approvals"):
            act()
    set_alias(mel, "late", "candidate", 1)
    approve(team, "ann")
    assert set_stage(mel, "late", 1, "Production").stage == "Production"
    assert promotes(team)
    assert record_deployment(mel, "late", "late", 1, "process", {}, "manual").revision == 1
    told = [(one.kind, one.actor) for one in show_ledger(team, subject=version.point, limit=100)]
    assert ("promotion.requested", "mel") in told and ("promotion.approved", "ann") in told


def test_who_made_it_trained_it_or_asked_for_it_does_not_approve(team: Home, version: ModelVersion):
    for name, did in (("dora", "trained it"), ("mel", "asked for it")):
        with pytest.raises(Refused, match=did):
            approve(team, name)
    for name in ("pia",):
        with pytest.raises(Denied):
            approve(team, name)
    assert not promotes(team)


def test_who_trained_the_run_does_not_approve_what_another_registered(team: Home, shelf: Shelf):
    run_id, _ = logged(hands(team, "dora"), shelf.folders["good"])
    register_model(hands(team, "mel"), "late", run_id=run_id)
    request_promotion(hands(team, "mel"), "late", 1)
    with pytest.raises(Refused, match="trained it"):
        approve(team, "dora")


def test_neither_does_a_token_of_theirs_nor_they_for_what_their_token_made(team: Home, shelf: Shelf):
    mel = hands(team, "mel")
    made = create_token(mel, "ci", scopes=["log"])
    ci = hands(team, f"Bearer {made.secret}")
    run = logged(hands(team, "dora"), shelf.folders["good"])
    register_model(ci, "late", run_id=run[0])
    request_promotion(hands(team, "dora"), "late", 1)
    with pytest.raises(Refused, match="ci registered it"):
        approve(team, "mel")
    own = create_own_token(hands(team, "dora"), "laptop").secret
    with pytest.raises(Refused, match="trained it"):
        decide_promotion(hands(team, f"Bearer {own}"), "late", 1)
    machine = create_token(team, "robot", "approver").secret
    with pytest.raises(Refused, match="machine"):
        decide_promotion(hands(team, f"Bearer {machine}"), "late", 1)
    approve(team, "ann")


def test_neither_do_they_after_leaving_and_rejoining(team: Home, version: ModelVersion):
    unbind_role(team, "dora", "data-scientist")
    unbind_role(team, "dora", "approver")
    disable_user(team, "dora")
    disable_user(team, "dora", disabled=False)
    bind_role(team, "dora", "approver")
    with pytest.raises(Refused):
        approve(team, "dora")


def test_two_tokens_of_one_person_count_once(team: Home, version: ModelVersion):
    require_approvals(hands(team, "pia"), "late", 2)
    for _ in range(2):
        secret = create_own_token(hands(team, "ann"), "laptop").secret
        decide_promotion(hands(team, f"Bearer {secret}"), "late", 1)
    approve(team, "ann")
    with pytest.raises(Refused, match="1 of 2"):
        promote_model(hands(team, "mel"), "late", 1)
    approve(team, "abe")
    assert promotes(team)


def test_a_rejection_stands_until_its_author_thinks_again_or_it_is_asked_for_anew(team: Home, version: ModelVersion):
    approve(team, "ann")
    decide_promotion(hands(team, "abe"), "late", 1, approves=False, reason="too few rows")
    with pytest.raises(Refused, match="abe rejected"):
        promote_model(hands(team, "mel"), "late", 1)
    assert [(one.actor, one.approves) for one in find_promotion(team, "late", 1).decisions] == [
        ("abe", False), ("ann", True),
    ]  # fmt: skip
    approve(team, "abe")
    assert promotes(team)
    request_promotion(hands(team, "mel"), "late", 1)
    assert find_promotion(team, "late", 1).decisions == ()
    with pytest.raises(Refused):
        record_deployment(hands(team, "mel"), "late", "late", 1, "process", {}, "manual")


def test_another_model_under_the_same_number_is_not_what_was_approved(team: Home, version: ModelVersion):
    approve(team, "ann")
    with team.meta.transaction() as tx:
        tx.execute("UPDATE model_version SET digest = :digest WHERE name = 'late'", {"digest": "0" * 64})
    for act in (
        lambda: promote_model(hands(team, "mel"), "late", 1),
        lambda: record_deployment(hands(team, "mel"), "late", "late", 1, "process", {}, "manual"),
        lambda: approve(team, "abe"),
    ):
        with pytest.raises(Refused, match="not what was asked for"):
            act()


@pytest.mark.parametrize("how", ["judged again", "report changed"])
def test_another_report_of_the_gate_is_not_what_was_approved(team: Home, version: ModelVersion, how: str):
    judge(team)
    request_promotion(hands(team, "mel"), "late", 1)
    approve(team, "ann")
    if how == "judged again":
        team.clock.pass_ms(1)  # type: ignore[attr-defined]  # The clock of the tests.
        judge(team)
    else:
        with team.meta.transaction() as tx:
            tx.execute("UPDATE gate_result SET checks = replace(checks, '0.9', '0.99')")
    assert not promotes(team)


def test_fewer_approvals_take_two_people_of_whom_one_approves(team: Home, version: ModelVersion):
    pia, mel = hands(team, "pia"), hands(team, "mel")
    asked = require_approvals(mel, "late", 0)
    assert (asked.needed, asked.asked, asked.asked_by) == (1, 0, "mel")
    assert not promotes(team)
    with pytest.raises(Denied):
        lower_approvals(pia, "late")
    with pytest.raises(Refused, match="somebody else"):
        lower_approvals(mel, "late")
    assert lower_approvals(hands(team, "ann"), "late").needed == 0
    with pytest.raises(NotFound):
        lower_approvals(hands(team, "ann"), "late")
    assert promotes(team)


def test_a_policy_is_for_who_may_and_within_reason(team: Home, version: ModelVersion):
    for who in ("dora", "ann"):
        with pytest.raises(Denied):
            require_approvals(hands(team, who), "late", 2)
    for needed in (-1, 10):
        with pytest.raises(Invalid):
            require_approvals(hands(team, "pia"), "late", needed)
    with pytest.raises(NotFound):
        require_approvals(hands(team, "pia"), "later", 1)
    with pytest.raises(NotFound):
        decide_promotion(hands(team, "ann"), "late", 2)


def test_another_name_does_not_leave_the_policy_behind(team: Home, version: ModelVersion):
    rename_model(hands(team, "mel"), "late", "later")
    assert approval_policy(team, "later").needed == 1
    with pytest.raises(Refused):
        promote_model(hands(team, "mel"), "later", 1)


def test_an_approval_that_races_with_a_rejection_leaves_one_of_the_two(team: Home, version: ModelVersion):
    gate = threading.Barrier(2)

    def decide(approves: bool) -> None:
        gate.wait(5)
        decide_promotion(hands(team, "ann"), "late", 1, approves=approves)

    for _ in range(5):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(decide, (True, False)))
        (decision,) = find_promotion(team, "late", 1).decisions
        with team.meta.read() as tx:
            from taut.models import must_be_approved

            try:
                must_be_approved(tx, "late", 1)
            except TautError:
                assert not decision.approves
            else:
                assert decision.approves


def test_it_is_typed_too(project: Path, shelf: Shelf):
    def typed(words: tuple[str, ...]) -> Said:
        return taut(project, *words)

    assert typed(("model", "register", "late", "--folder", str(shelf.folders["good"]))).status == 0
    assert typed(("model", "approvals", "late", "1")).out == "late needs 1 approvals\n"
    refused = typed(("model", "promote", "late@1"))
    assert (refused.status, is_two_lines(refused)) == (3, True)
    assert typed(("model", "request", "late@1", "--reason", "new data")).out.startswith("late@1 waits for approval")
    own = typed(("model", "approve", "late@1"))
    assert (own.status, "cannot approve" in own.err) == (3, True)
    rejected = typed(("model", "reject", "late@1", "--reason", "no", "--json")).json
    assert [one["approves"] for one in rejected["decisions"]] == [False]
    assert "asks for 0" in typed(("model", "approvals", "late", "0")).out
    assert typed(("model", "approvals", "late", "--agree")).status == 3
