"""Users who are somebody elsewhere too: linked by who administers users, and by no name; where roles come from."""

import base64
import json

import pytest

from taut.callers import actor_of
from taut.errors import Conflict, Denied, Invalid, NotFound, Refused
from taut.govern import (
    WantedAccess,
    WantedProject,
    anchor_ledger,
    apply_access,
    bind_role,
    create_user,
    delete_user,
    explain_access,
    get_user,
    link_user,
    log_in,
    plan_access,
    set_user_role,
    show_access_log,
    show_bindings,
    show_links,
    unlink_user,
    verify_home,
)
from taut.ground.access import Actor
from taut.home import Home
from tests.oidc.signing import Issuer
from tests.oidc.test_logins import NONCE, WORD, enter, mapped, shown


def acting(home: Home, user: str) -> Home:
    """The home in the hands of a user."""
    actor = actor_of(home, "Basic " + base64.b64encode(f"{user}:{WORD}".encode()).decode())
    assert isinstance(actor, Actor)
    return home.as_actor(actor)


def test_who_is_linked_logs_in_as_that_user_whatever_their_name_is(provided: Home, issuer: Issuer):
    create_user(provided, "ada", WORD, role="viewer")
    with pytest.raises(Conflict):
        enter(provided, issuer)
    made = link_user(provided, "ada", issuer.url, "ada-1")
    assert (made.issuer, made.subject) == (issuer.url, "ada-1")
    assert link_user(provided, "ada", issuer.url, "ada-1") == made
    assert show_links(provided, "ada") == [made]
    for name in ("ada", "olga", None):
        actor = actor_of(provided, enter(provided, issuer, preferred_username=name))
        assert actor is not None
        assert (actor.name, actor.role) == ("ada", "viewer")
    kinds = [one.kind for one in show_access_log(provided, subject="user:ada")]
    assert kinds.count("user.linked") == 1


def test_who_is_unlinked_is_out_at_once_and_becomes_nobody_by_their_name(provided: Home, issuer: Issuer):
    create_user(provided, "ada", WORD)
    link_user(provided, "ada", issuer.url, "ada-1")
    header = enter(provided, issuer)
    unlink_user(provided, "ada", issuer.url, "ada-1")
    assert actor_of(provided, header) is None
    assert show_links(provided, "ada") == []
    with pytest.raises(Conflict):
        enter(provided, issuer)
    with pytest.raises(NotFound):
        unlink_user(provided, "ada", issuer.url, "ada-1")
    last = show_access_log(provided, subject="user:ada")[-1]
    assert (last.kind, json.loads(last.body)["subject"]) == ("user.unlinked", "ada-1")


def test_one_subject_is_one_user_and_its_link_is_nobody_elses_to_end(provided: Home, issuer: Issuer):
    create_user(provided, "ada", WORD)
    create_user(provided, "eve", WORD)
    link_user(provided, "ada", issuer.url, "ada-1")
    with pytest.raises(Conflict, match="'ada' already"):
        link_user(provided, "eve", issuer.url, "ada-1")
    with pytest.raises(NotFound):
        unlink_user(provided, "eve", issuer.url, "ada-1")
    delete_user(provided, "ada")
    link_user(provided, "eve", issuer.url, "ada-1")
    actor = actor_of(provided, enter(provided, issuer))
    assert actor is not None
    assert actor.name == "eve"


def test_only_who_administers_users_links_them_and_only_an_owner_an_owner(provided: Home, issuer: Issuer):
    create_user(provided, "sam", WORD, role="server-admin")
    create_user(provided, "ada", WORD)
    create_user(provided, "eve", WORD)
    with pytest.raises(Denied):
        link_user(acting(provided, "ada"), "ada", issuer.url, "ada-1")
    with pytest.raises(Denied):
        show_links(acting(provided, "ada"), "eve")
    assert show_links(acting(provided, "ada"), "ada") == []
    for verb in (link_user, unlink_user):
        with pytest.raises(Denied, match="only an owner"):
            verb(acting(provided, "sam"), "olga", issuer.url, "olga-1")
    link_user(acting(provided, "sam"), "ada", issuer.url, "ada-1")


def test_the_last_way_in_of_the_last_admin_stays(provided: Home, issuer: Issuer):
    enter(provided, issuer)
    set_user_role(provided, "ada", "owner")
    set_user_role(provided, "olga", "viewer")
    with pytest.raises(Refused, match="last owner"):
        unlink_user(provided, "ada", issuer.url, "ada-1")
    link_user(provided, "ada", issuer.url, "ada-2")
    unlink_user(provided, "ada", issuer.url, "ada-1")
    assert [one.subject for one in show_links(provided, "ada")] == ["ada-2"]


@pytest.mark.parametrize(
    ("user", "issuer_url", "subject", "kind"),
    [
        ("nobody", "https://login.example.org", "x", NotFound), ("olga", "http://login.example.org", "x", Invalid),
        ("olga", "https://login.example.org", "", Invalid), ("olga", "https://login.example.org", "a\nb", Invalid),
        ("olga", "https://login.example.org", "x" * 256, Invalid), ("olga", "", "x", Invalid),
    ],
)  # fmt: skip
def test_what_is_no_user_or_no_subject_is_not_linked(
    provided: Home, user: str, issuer_url: str, subject: str, kind: type[Exception]
):
    with pytest.raises(kind):
        link_user(provided, user, issuer_url, subject)


def test_links_and_what_gives_a_role_are_covered_by_an_anchor(provided: Home, issuer: Issuer):
    mapped(provided, {"data": {"churn": ["viewer"]}})
    enter(provided, issuer, groups=["data"])
    note = anchor_ledger(provided).note
    enter(provided, issuer, groups=["data"])
    link_user(provided, "olga", issuer.url, "olga-1")
    assert verify_home(provided, anchors=[note]).flaws == ()
    note = anchor_ledger(provided).note
    with provided.meta.transaction() as tx:
        tx.execute("UPDATE account_link SET subject = 'eve-1' WHERE subject = 'ada-1'")
        tx.execute("UPDATE binding SET given_by = '' WHERE role = 'viewer'")
    assert {one.where for one in verify_home(provided, anchors=[note]).flaws} == {"account_link", "binding"}


# Where a binding comes from


def test_each_binding_says_what_gave_it(provided: Home, issuer: Issuer):
    mapped(provided, {"data": {"churn": ["viewer"], "default": ["viewer"]}, "leads": {"churn": ["viewer", "approver"]}})
    enter(provided, issuer, groups=["data", "leads"])
    bind_role(provided, "ada", "auditor", project="churn")

    def given() -> dict[tuple[str, str], str]:
        found = show_bindings(provided, project="*")
        return {(one.project, one.role): one.by for one in found if one.user == "ada"}

    assert given() == {
        ("churn", "approver"): f"group leads of {issuer.url}", ("churn", "auditor"): "hand",
        ("churn", "viewer"): f"groups data, leads of {issuer.url}",
        ("default", "viewer"): f"group data of {issuer.url}",
    }  # fmt: skip
    enter(provided, issuer, groups=["data"])
    assert given()["churn", "viewer"] == f"group data of {issuer.url}"
    wanted = WantedAccess(projects={"churn": WantedProject(roles={"viewer": ["ada"], "ml-engineer": ["ada"]})})
    apply_access(provided, wanted, plan_access(provided, wanted))
    assert given() == {
        ("churn", "viewer"): "file", ("churn", "ml-engineer"): "file",
        ("default", "viewer"): f"group data of {issuer.url}",
    }  # fmt: skip
    because = explain_access(provided, "ada", "run:write", project="churn").because
    assert because == "the role ml-engineer in churn, given by file"
    because = explain_access(provided, "ada", "run:read").because
    assert because == f"the role viewer in default, given by group data of {issuer.url}"
    assert explain_access(provided, "olga", "run:read").because == "the role owner on the server, given by hand"


def test_of_many_groups_some_are_named(provided: Home, issuer: Issuer):
    mapped(provided, {f"g{number}": {"churn": ["viewer"]} for number in range(7)})
    enter(provided, issuer, groups=[f"g{number}" for number in range(7)])
    (one,) = [one for one in show_bindings(provided, project="churn") if one.user == "ada"]
    assert one.by == f"groups g0, g1, g2, g3, g4, … of {issuer.url}"


def test_a_token_shown_in_vain_makes_no_link(provided: Home, issuer: Issuer):
    create_user(provided, "ada", WORD)
    with pytest.raises(Conflict):
        log_in(provided, shown(issuer), NONCE)
    assert show_links(provided, "ada") == []
    assert get_user(provided, "ada").role == "viewer"
