"""People who log in elsewhere: whose account they are, what their groups are worth, and what never takes one over."""

import base64
import json
from typing import Any

import pytest

from taut.callers import actor_of
from taut.errors import Conflict, Denied, Invalid, NotFound, Refused, Unavailable
from taut.govern import (
    WantedAccess,
    apply_access,
    bind_role,
    create_user,
    delete_user,
    disable_user,
    exchange_token,
    get_project,
    get_user,
    log_in,
    login_provider,
    plan_access,
    show_access_log,
    show_bindings,
    show_ledger,
    show_users,
    unbind_role,
)
from taut.ground.access import role_in
from taut.ground.oidc import Issuers
from taut.home import Home
from tests.faces.serving import served
from tests.faces.speaking import POOL
from tests.marks import slow_on_postgresql
from tests.oidc.signing import OTHER, Issuer

pytestmark = slow_on_postgresql

WORD = "correct horse battery"
NONCE = "n" * 43
GROUPS = {"data": {"churn": ["data-scientist"], "default": ["viewer"]}, "leads": {"churn": ["approver", "viewer"]}}


def shown(issuer: Issuer, **claims: Any) -> str:
    """An ID token as the provider makes it for a command of taut."""
    return issuer.token(**{"aud": "taut", "sub": "ada-1", "nonce": NONCE, "preferred_username": "ada", **claims})


def enter(home: Home, issuer: Issuer, **claims: Any) -> str:
    """Log somebody in; returns the header that they send from then on."""
    return f"Bearer {log_in(home, shown(issuer, **claims), NONCE).secret}"


def mapped(home: Home, groups: dict[str, dict[str, list[str]]]) -> None:
    """Say what groups are worth."""
    wanted = WantedAccess(groups=groups)
    apply_access(home, wanted, plan_access(home, wanted))


def roles(home: Home, user: str) -> set[tuple[str, str]]:
    """The roles of a user, by project."""
    return {(one.project, one.role) for one in show_bindings(home, project="*") if one.user == user}


def test_who_comes_first_gets_an_account_with_no_role_and_a_session_of_a_week(provided: Home, issuer: Issuer):
    header = enter(provided, issuer)
    actor = actor_of(provided, header)
    assert actor is not None
    assert (actor.name, actor.role) == ("ada", "")
    assert roles(provided, "ada") == set()
    made = log_in(provided, shown(issuer), NONCE).token
    assert (made.kind, made.project, made.made_by) == ("session", "*", "ada")
    assert made.expires_ms == provided.clock.now_ms() + 7 * 86_400_000
    assert [one.name for one in show_users(provided)] == ["olga", "ada"]
    found = [(one.kind, one.actor) for one in show_access_log(provided, subject="user:ada")]
    assert found == [("user.created", "ada"), ("user.logged_in", "ada"), ("user.logged_in", "ada")]
    last = show_access_log(provided, subject="user:ada")[-1]
    assert json.loads(last.body) == {"issuer": issuer.url, "subject": "ada-1", "token": made.id}


def test_an_account_made_so_has_no_password_that_fits(provided: Home, issuer: Issuer):
    enter(provided, issuer)
    for password in ("", WORD, " "):
        shown = base64.b64encode(f"ada:{password}".encode()).decode()
        assert actor_of(provided, f"Basic {shown}") is None


def test_who_somebody_is_follows_from_issuer_and_subject_alone(provided: Home, issuer: Issuer):
    enter(provided, issuer)
    enter(provided, issuer, preferred_username="renamed")
    enter(provided, issuer, preferred_username=None)
    assert [one.name for one in show_users(provided)] == ["olga", "ada"]
    enter(provided, issuer, sub="ada-2", email="ada@example.org")
    assert [one.name for one in show_users(provided)] == ["olga", "ada", "ada@example.org"]


@pytest.mark.parametrize(
    "claims",
    [
        {"preferred_username": "olga"}, {"preferred_username": None}, {"preferred_username": "a:b"},
        {"preferred_username": ["ada"]}, {"preferred_username": ""}, {"preferred_username": "x" * 256},
        {"preferred_username": "oidc:repo"}, {"preferred_username": "olga", "email": "olga"},
        {"preferred_username": "olga", "email": "new@example.org", "email_verified": False},
        {"preferred_username": "olga", "email": "new@example.org", "email_verified": "true"},
    ],
)  # fmt: skip
def test_a_name_never_leads_to_an_account_that_is_there(provided: Home, issuer: Issuer, claims: dict[str, Any]):
    with pytest.raises(Conflict, match="name that the provider tells"):
        log_in(provided, shown(issuer, **claims), NONCE)
    assert [one.name for one in show_users(provided)] == ["olga"]


@pytest.mark.parametrize(
    ("claims", "nonce", "words"),
    [
        ({}, "m" * 43, "another login"), ({"nonce": None}, NONCE, "another login"),
        ({"nonce": ""}, "", "another login"),
        ({"nonce": "short"}, "short", "another login"), ({"nonce": 7}, NONCE, "another login"),
        ({}, "\ud800" * 43, "another login"),
        ({"aud": "elsewhere"}, NONCE, "somebody else"), ({"azp": "elsewhere"}, NONCE, "somebody else"),
        ({"aud": ["taut", "elsewhere"]}, NONCE, "somebody else"),
        ({"aud": ["taut", "elsewhere"], "azp": "elsewhere"}, NONCE, "somebody else"),
        ({"exp": 1}, NONCE, "expired"), ({"key": OTHER}, NONCE, "signature"),
        ({"iss": "https://x"}, NONCE, "no ID token"),
    ],
)  # fmt: skip
def test_a_token_that_is_not_of_this_login_lets_nobody_in(
    provided: Home, issuer: Issuer, claims: dict[str, Any], nonce: str, words: str
):
    with pytest.raises(Denied, match=words):
        log_in(provided, shown(issuer, **claims), nonce)
    assert [one.name for one in show_users(provided)] == ["olga"]


def test_a_token_lets_somebody_in_once_and_is_no_token_of_a_workload(provided: Home, issuer: Issuer):
    token = shown(issuer, aud=["taut", "elsewhere"], azp="taut")
    log_in(provided, token, NONCE)
    with pytest.raises(Denied, match="shown before"):
        log_in(provided, token, NONCE)
    with pytest.raises(Denied, match="nothing here trusts"):
        exchange_token(provided, shown(issuer))


def test_who_is_disabled_or_deleted_here_has_nothing_more_here(provided: Home, issuer: Issuer):
    header = enter(provided, issuer)
    bind_role(provided, "ada", "viewer", project="churn")
    disable_user(provided, "ada")
    assert actor_of(provided, header) is None
    with pytest.raises(Denied, match="can log in no more"):
        log_in(provided, shown(issuer), NONCE)
    number = get_user(provided, "ada").id
    delete_user(provided, "ada")
    enter(provided, issuer)
    assert get_user(provided, "ada").id != number
    assert roles(provided, "ada") == set()


def test_nobody_is_first_by_a_login_elsewhere(home: Home, issuer: Issuer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAUT_OIDC_ISSUER", issuer.url)
    monkeypatch.setenv("TAUT_OIDC_CLIENT_ID", "taut")
    with pytest.raises(Refused, match="must be an owner"):
        log_in(home, shown(issuer), NONCE)
    assert show_users(home) == []


# Groups


def test_groups_are_roles_that_come_and_go_with_them_and_hand_made_ones_stay(provided: Home, issuer: Issuer):
    mapped(provided, GROUPS)
    header = enter(provided, issuer, groups=["data", "leads", "unknown", 7])
    bind_role(provided, "ada", "auditor", project="churn")
    bind_role(provided, "ada", "viewer", project="churn")  # By hand as well as by her group.
    both = {("churn", role) for role in ("data-scientist", "approver", "viewer", "auditor")} | {("default", "viewer")}
    assert roles(provided, "ada") == both
    actor = actor_of(provided, header)
    assert actor is not None
    assert actor.role == "viewer"
    enter(provided, issuer, groups="data")
    assert roles(provided, "ada") == both - {("churn", "approver")}
    enter(provided, issuer)
    assert roles(provided, "ada") == {("churn", "auditor"), ("churn", "viewer")}
    actor = actor_of(provided, header)
    assert actor is not None
    assert actor.role == ""
    with provided.entered(get_project(provided, "churn")) as churn:
        told = [
            (one.kind, json.loads(one.body)["role"]) for one in show_ledger(churn, subject="user:ada", limit=100)
            if json.loads(one.body).get("by") == "groups"
        ]  # fmt: skip
    assert sorted(told) == [
        ("access.bound", "approver"), ("access.bound", "data-scientist"), ("access.bound", "viewer"),
        ("access.unbound", "approver"), ("access.unbound", "data-scientist"),
    ]  # fmt: skip


def test_what_a_group_is_worth_no_more_ends_at_once_where_no_other_gives_it(provided: Home, issuer: Issuer):
    mapped(provided, GROUPS)
    enter(provided, issuer, groups=["data", "leads"])
    mapped(provided, {"data": {"churn": ["viewer"]}})
    assert roles(provided, "ada") == {("churn", "viewer")}
    mapped(provided, {})
    assert roles(provided, "ada") == set()


def test_a_file_of_members_neither_sees_nor_ends_what_groups_give(provided: Home, issuer: Issuer):
    from taut.govern import WantedProject

    mapped(provided, GROUPS)
    enter(provided, issuer, groups=["data"])
    wanted = WantedAccess(projects={"churn": WantedProject()})
    assert plan_access(provided, wanted) == []
    wanted = WantedAccess(projects={"churn": WantedProject(roles={"data-scientist": ["ada"]})})
    apply_access(provided, wanted, plan_access(provided, wanted))
    enter(provided, issuer)
    assert roles(provided, "ada") == {("churn", "data-scientist")}
    assert plan_access(provided, wanted) == []


def test_what_was_unbound_by_hand_comes_back_with_the_group(provided: Home, issuer: Issuer):
    mapped(provided, GROUPS)
    enter(provided, issuer, groups=["data"])
    unbind_role(provided, "ada", "viewer")
    assert ("default", "viewer") not in roles(provided, "ada")
    enter(provided, issuer, groups=["data"])
    assert ("default", "viewer") in roles(provided, "ada")


def test_groups_that_exclude_each_other_let_nobody_in(provided: Home, issuer: Issuer):
    mapped(provided, {"a": {"churn": ["dpo"]}, "b": {"churn": ["project-admin"]}})
    with pytest.raises(Refused, match="cannot be"):
        log_in(provided, shown(issuer, groups=["a", "b"]), NONCE)
    enter(provided, issuer, groups=["a"])
    enter(provided, issuer, groups=["b"])
    assert roles(provided, "ada") == {("churn", "project-admin")}


def test_the_claim_that_names_groups_can_be_another(provided: Home, issuer: Issuer, monkeypatch: pytest.MonkeyPatch):
    mapped(provided, GROUPS)
    monkeypatch.setenv("TAUT_OIDC_GROUPS_CLAIM", "roles")
    enter(provided, issuer, groups=["leads"], roles=["data"])
    assert roles(provided, "ada") == {("churn", "data-scientist"), ("default", "viewer")}


@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        ({"data": {"nowhere": ["viewer"]}}, NotFound), ({"data": {"churn": ["king"]}}, Invalid),
        ({"data": {"churn": ["owner"]}}, Invalid), ({"data": {"*": ["server-admin"]}}, NotFound),
        ({"": {"churn": ["viewer"]}}, Invalid), ({"a\nb": {"churn": ["viewer"]}}, Invalid),
    ],
)  # fmt: skip
def test_no_group_is_worth_what_cannot_be_given_in_a_project(provided: Home, groups: Any, kind: type[Exception]):
    with pytest.raises(kind):
        plan_access(provided, WantedAccess(groups=groups))


def test_who_administers_one_project_maps_no_groups(provided: Home):
    create_user(provided, "pia", WORD, role="project-admin")
    pia = actor_of(provided, "Basic " + base64.b64encode(f"pia:{WORD}".encode()).decode())
    assert pia is not None
    assert role_in({"default": pia.role}, "default") == "project-admin"
    with pytest.raises(Denied):
        plan_access(provided.as_actor(pia), WantedAccess(groups={}))


# The provider


def test_a_server_tells_where_its_people_log_in_and_takes_a_login_as_json_alone(provided: Home, issuer: Issuer):
    with served(provided) as url:
        told = POOL.request("GET", f"{url}/api/taut/v1/login")
        where = {"issuer": issuer.url, "client_id": "taut", "scope": "openid profile email", "takes_codes": True}
        assert json.loads(told.data) == where
        body = json.dumps({"id_token": shown(issuer), "nonce": NONCE}).encode()
        place, kind = f"{url}/projects/churn/api/taut/v1/login", {"content-type": "application/json"}
        assert POOL.request("POST", place, body=body, headers={"content-type": "text/plain"}).status == 400
        page = {**kind, "origin": "https://evil.example.org"}
        assert POOL.request("POST", place, body=body, headers=page).status == 403
        for wrong in (b'{"id_token": 1}', b'{"nonce": "n"}', b'{"nonce": "n", "code": {"code": "c"}}'):
            assert POOL.request("POST", place, body=wrong, headers=kind).status == 400
        made = POOL.request("POST", place, body=body, headers=kind)
        assert (made.status, json.loads(made.data)["token"]["made_by"]) == (200, "ada")
        issuer.documents["/keys"] = 503, {}
        provided.access.issuers = Issuers()  # As another server that has asked nobody yet.
        body = json.dumps({"id_token": shown(issuer), "nonce": NONCE}).encode()
        assert POOL.request("POST", place, body=body, headers=kind).status == 503


def test_without_a_provider_there_is_no_such_login_and_a_wrong_one_is_told(
    home: Home, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(NotFound, match="no provider of logins"):
        log_in(home, shown(issuer), NONCE)
    with served(home) as url:
        assert POOL.request("GET", f"{url}/api/taut/v1/login").status == 404
    monkeypatch.setenv("TAUT_OIDC_CLIENT_ID", "taut")
    for wrong in ("http://login.example.org", "login.example.org"):
        monkeypatch.setenv("TAUT_OIDC_ISSUER", wrong)
        with pytest.raises(Invalid):
            login_provider()
    monkeypatch.setenv("TAUT_OIDC_ISSUER", issuer.url)
    monkeypatch.setenv("TAUT_OIDC_SCOPE", "profile")
    with pytest.raises(Invalid, match="openid"):
        login_provider()
    monkeypatch.delenv("TAUT_OIDC_SCOPE")
    issuer.documents["/.well-known/openid-configuration"] = 200, {"issuer": issuer.url, "jwks_uri": "http://10.0.0.1/"}
    create_user(home, "olga", WORD, role="owner")
    with pytest.raises(Unavailable, match="not https"):
        log_in(home, shown(issuer), NONCE)
