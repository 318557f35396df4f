"""The code of a login, exchanged by the server: how its client's secret is kept, and what userinfo may tell."""

import base64
from typing import Any

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from taut.govern import (
    WantedAccess,
    anchor_ledger,
    apply_access,
    create_user,
    get_user,
    log_in_by_code,
    plan_access,
    remove_client_secret,
    rotate_secret_key,
    set_client_secret,
    show_bindings,
    show_clients,
    show_ledger,
    verify_home,
)
from taut.ground import wire
from taut.ground.oidc import Code
from taut.home import Home
from tests.marks import slow_on_postgresql
from tests.oidc.signing import Issuer

pytestmark = slow_on_postgresql

NONCE = "n" * 43
SECRET = "a secret: 100% + more"
CODE = Code("c0de", "http://127.0.0.1:50000/callback", "v" * 43)
DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def asked(provided: Home, issuer: Issuer) -> Issuer:
    """The issuer, which takes codes for `ada-1` and has a userinfo endpoint."""
    discovered(issuer)
    gives(issuer)
    issuer.documents["/me"] = 200, {"sub": "ada-1", "preferred_username": "ada", "groups": ["data"]}
    wanted = WantedAccess(groups={"data": {"churn": ["data-scientist"]}})
    apply_access(provided, wanted, plan_access(provided, wanted))
    return issuer


def discovered(issuer: Issuer, **more: Any) -> None:
    """What the issuer says of itself."""
    places = {name: f"{issuer.url}{path}" for name, path in (
        ("authorization_endpoint", "/auth"), ("token_endpoint", "/token"), ("userinfo_endpoint", "/me"),
        ("jwks_uri", "/keys"),
    )}  # fmt: skip
    issuer.documents[DISCOVERY] = 200, {"issuer": issuer.url, **places, **more}


def gives(issuer: Issuer, **claims: Any) -> None:
    """What a code is worth from now on."""
    token = issuer.token(**{"aud": "taut", "sub": "ada-1", "nonce": NONCE, **claims})
    issuer.documents["/token"] = 200, {"id_token": token, "access_token": "opaque", "token_type": "Bearer"}


def entered(home: Home) -> str:
    """Log in by the code; returns who came in."""
    return log_in_by_code(home, CODE, NONCE).token.made_by


def test_a_public_client_shows_its_code_and_verifier_and_no_secret(provided: Home, asked: Issuer):
    assert entered(provided) == "ada"
    ((headers, form),) = asked.posted
    assert "authorization" not in headers
    assert form == {
        "grant_type": "authorization_code", "code": "c0de", "redirect_uri": CODE.redirect, "client_id": "taut",
        "code_verifier": CODE.verifier,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("taken", "method", "posts"),
    [
        (None, "", False), (["client_secret_post"], "", True),
        (["client_secret_post", "client_secret_basic"], "", False),
        (["client_secret_basic"], "client_secret_post", True), (["private_key_jwt", "client_secret_post"], "", True),
    ],
)  # fmt: skip
def test_a_secret_is_shown_as_the_provider_takes_it_or_as_was_said(
    provided: Home, asked: Issuer, taken: list[str] | None, method: str, posts: bool
):
    discovered(asked, **({} if taken is None else {"token_endpoint_auth_methods_supported": taken}))
    set_client_secret(provided, asked.url, "taut", SECRET, method=method)
    assert entered(provided) == "ada"
    ((headers, form),) = asked.posted
    assert form.get("client_secret") == (SECRET if posts else None)
    assert form["code_verifier"] == CODE.verifier
    shown = "Basic " + base64.b64encode(b"taut:a+secret%3A+100%25+%2B+more").decode()
    assert headers.get("authorization") == (None if posts else shown)


def test_a_secret_is_not_sent_where_the_provider_takes_none_that_we_can_show(provided: Home, asked: Issuer):
    discovered(asked, token_endpoint_auth_methods_supported=["private_key_jwt"])
    set_client_secret(provided, asked.url, "taut", SECRET)
    with pytest.raises(Unavailable, match="in no way that taut knows"):
        entered(provided)
    assert asked.posted == []


def test_a_secret_is_told_to_nobody_here_and_lies_sealed(provided: Home, asked: Issuer, tmp_path):
    made = set_client_secret(provided, asked.url, "taut", SECRET)
    assert show_clients(provided) == [made]
    asked.documents["/token"] = 401, {"error": "invalid_client", "error_description": SECRET}
    with pytest.raises(Denied, match="invalid_client") as refused:
        entered(provided)
    entries = show_ledger(provided, limit=1000)
    assert SECRET not in wire.text([refused.value.message, made, *entries])
    with provided.meta.read() as tx:
        ((stored,),) = tx.rows("SELECT secret FROM oidc_client")
    assert str(stored).startswith("sealed:1:")
    assert [one.kind for one in entries][-1] == "access.client_set"
    remove_client_secret(provided, asked.url, "taut")
    with pytest.raises(NotFound):
        remove_client_secret(provided, asked.url, "taut")
    assert show_clients(provided) == []


def test_a_secret_that_was_moved_to_another_client_opens_nothing(provided: Home, asked: Issuer):
    from taut.errors import Corrupt

    set_client_secret(provided, asked.url, "other", SECRET)
    with provided.meta.transaction() as tx:
        tx.execute("UPDATE oidc_client SET client_id = 'taut'")
    with pytest.raises(Corrupt):
        entered(provided)
    assert asked.posted == []


@pytest.mark.parametrize(
    ("issuer_url", "client", "secret", "method"),
    [
        ("http://login.example.org", "taut", "x", ""), ("https://login.example.org", "", "x", ""),
        ("https://login.example.org", "taut", "", ""), ("https://login.example.org", "taut", "a\nb", ""),
        ("https://login.example.org", "taut", "x" * 501, ""), ("https://login.example.org", "taut", "x", "none"),
    ],
)  # fmt: skip
def test_what_is_no_client_or_no_secret_is_not_kept(home: Home, issuer_url: str, client: str, secret: str, method: str):
    with pytest.raises(Invalid):
        set_client_secret(home, issuer_url, client, secret, method=method)
    assert show_clients(home) == []


def test_with_another_key_the_server_is_the_same_client_and_no_edit_is_found(provided: Home, asked: Issuer):
    set_client_secret(provided, asked.url, "taut", SECRET)
    note = anchor_ledger(provided).note
    assert rotate_secret_key(provided).secrets == 1
    assert entered(provided) == "ada"
    assert asked.posted[0][0]["authorization"].startswith("Basic ")
    assert verify_home(provided, anchors=[note]).flaws == ()


# What comes back


@pytest.mark.parametrize(
    "code",
    [
        Code("", CODE.redirect, CODE.verifier), Code("a\nb", CODE.redirect, CODE.verifier),
        Code("c", "https://evil.example.org/callback", CODE.verifier), Code("c", CODE.redirect, "short"),
        Code("c", "http://127.0.0.1:1/callback?x", CODE.verifier), Code("c", CODE.redirect, "v" * 42 + "é"),
    ],
)  # fmt: skip
def test_what_no_command_began_is_shown_to_no_provider(provided: Home, asked: Issuer, code: Code):
    with pytest.raises(Invalid, match="no code"):
        log_in_by_code(provided, code, NONCE)
    assert asked.posted == []


@pytest.mark.parametrize(
    ("status", "said"),
    [(200, {}), (200, b"[]"), (200, b"\xff"), (400, {"error": "invalid_grant"}), (302, {}), (500, b"")],
)
def test_a_code_that_is_worth_nothing_lets_nobody_in(provided: Home, asked: Issuer, status: int, said: Any):
    asked.documents["/token"] = status, said
    with pytest.raises(Denied, match="gave no ID token"):
        entered(provided)


def test_an_id_token_of_another_login_or_client_lets_nobody_in_by_a_code_either(provided: Home, asked: Issuer):
    for claims in ({"nonce": "m" * 43}, {"aud": "elsewhere"}):
        gives(asked, **claims)
        with pytest.raises(Denied):
            entered(provided)
    assert "/me" not in asked.asked  # Nor is anything asked for them.


def test_endpoints_on_hosts_that_nobody_allowed_are_not_asked(provided: Home, asked: Issuer):
    discovered(asked, token_endpoint="http://localhost:1/token")
    with pytest.raises(Unavailable, match="names hosts"):
        entered(provided)
    discovered(asked, userinfo_endpoint="http://localhost:1/me")
    with pytest.raises(Unavailable, match="names hosts"):
        entered(provided)
    discovered(asked, userinfo_endpoint="http://192.0.2.1/me")
    with pytest.raises(Unavailable, match="not https"):
        entered(provided)


@pytest.mark.parametrize("said", [{"sub": "eve-1", "groups": ["data"]}, {"groups": ["data"]}, {"sub": ["ada-1"]}])
def test_userinfo_of_somebody_else_lets_nobody_in(provided: Home, asked: Issuer, said: dict[str, Any]):
    asked.documents["/me"] = 200, {"preferred_username": "ada", **said}
    with pytest.raises(Denied, match="somebody else"):
        entered(provided)
    with pytest.raises(NotFound):
        get_user(provided, "ada")


@pytest.mark.parametrize(("status", "said"), [(500, {}), (200, b"eyJhbGciOiJub25lIn0.e30."), (200, b"[" * 100_000)])
def test_where_groups_cannot_be_had_nobody_loses_a_role_by_it(
    provided: Home, asked: Issuer, status: int, said: Any
):  # fmt: skip
    entered(provided)
    gives(asked)
    asked.documents["/me"] = status, said
    with pytest.raises(Unavailable, match="does not tell"):
        entered(provided)
    assert [(one.user, one.role) for one in show_bindings(provided, project="churn")] == [("ada", "data-scientist")]


def test_userinfo_is_asked_only_for_what_the_id_token_does_not_tell(provided: Home, asked: Issuer):
    gives(asked, preferred_username="ada", groups=[])
    entered(provided)
    assert "/me" not in asked.asked
    assert show_bindings(provided, project="churn") == []
    gives(asked, preferred_username="ada")
    entered(provided)
    assert asked.asked.count("/me") == 1
    assert [one.by for one in show_bindings(provided, project="churn")] == [f"group data of {asked.url}"]


def test_a_name_that_userinfo_tells_takes_no_account_over(provided: Home, asked: Issuer):
    create_user(provided, "ada", "correct horse battery")
    with pytest.raises(Conflict, match="name that the provider tells"):
        entered(provided)
