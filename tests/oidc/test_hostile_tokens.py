"""ID tokens as somebody would make them who wants in: each is shown to a running server, and is worth nothing."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from taut.callers import actor_of
from taut.errors import Denied, Unavailable
from taut.govern import exchange_token, show_tokens
from taut.ground.ledger import events
from taut.ground.oidc import Issuers
from taut.ground.oidc.issuers import AGAIN_S, FAILED_S, KEPT_S
from taut.home import Home
from tests.faces.serving import served
from tests.oidc.signing import EC, ED, OTHER, RSA, SUBJECT, Issuer, coded, exchanged, public

HOUR_S = 3600
BAD: dict[str, Callable[[Issuer], str]] = {
    "expired": lambda i: i.token(iat=int(i.now_s) - 600, exp=int(i.now_s) - 61),
    "for another audience": lambda i: i.token(aud="https://other.example.org"),
    "for no audience": lambda i: i.token(aud=None),
    "for an audience that only begins so": lambda i: i.token(aud="https://taut.example.org.evil.example"),
    "for several, and asked for by another": lambda i: i.token(aud=["x", "https://taut.example.org"], azp="x"),
    "for several, and asked for by nobody": lambda i: i.token(aud=["x", "https://taut.example.org"]),
    "of another issuer": lambda i: i.token(iss="https://evil.example.org"),
    "of an issuer that only looks alike": lambda i: i.token(iss=i.url + "/"),
    "of no issuer": lambda i: i.token(iss=None),
    "unsigned": lambda i: i.unsigned(),
    "unsigned, with a signature": lambda i: i.unsigned() + coded(b"x" * 256),
    "signed with the public key as a secret": lambda i: i.confused(),
    "signed with a secret": lambda i: i.token(key=_secret(), alg="HS256", header={"kid": "rsa"}),
    "signed by an algorithm that is not taken": lambda i: i.token(alg="PS256"),
    "signed by somebody else's key": lambda i: i.token(key=OTHER),
    "signed with a key of another kind": lambda i: i.token(key=EC, alg="ES256", header={"kid": "rsa"}),
    "with a key of its own": lambda i: i.token(key=OTHER, header={"kid": "mine", "jwk": public(OTHER)}),
    "with a place of keys of its own": lambda i: i.token(key=OTHER, header={"kid": "mine", "jku": i.url + "/mine"}),
    "with a key that nobody knows": lambda i: i.token(header={"kid": "unknown"}),
    "with a key that is a path": lambda i: i.token(key=OTHER, header={"kid": "../../../../dev/null"}),
    "with a key that is a statement": lambda i: i.token(key=OTHER, header={"kid": "' UNION SELECT 'rsa"}),
    "with a key that is no word": lambda i: i.token(key=OTHER, header={"kid": ["rsa"]}),
    "with no key, of which there are three": lambda i: i.token(header={"kid": None}),
    "with a header that must be understood": lambda i: i.token(header={"crit": ["b64"], "b64": False}),
    "from the future": lambda i: i.token(iat=int(i.now_s) + 61, exp=int(i.now_s) + 400),
    "not yet begun": lambda i: i.token(nbf=int(i.now_s) + 61),
    "without an end": lambda i: i.token(exp=None),
    "without a beginning": lambda i: i.token(iat=None),
    "without an end that is a number": lambda i: i.token(exp="9999999999"),
    "with a truth value for an end": lambda i: i.token(exp=True),
    "that never ends": lambda i: i.token(exp=10**400),
    "that lives longer than a day": lambda i: i.token(exp=int(i.now_s) + 25 * HOUR_S),
    "of nobody": lambda i: i.token(sub=None),
    "of somebody with a line feed": lambda i: i.token(sub=SUBJECT + "\n"),
    "of somebody who is not meant": lambda i: i.token(sub=SUBJECT + "-evil"),
    "of somebody who begins in another way": lambda i: i.token(sub="x" + SUBJECT),
    "of somebody in large letters": lambda i: i.token(sub=SUBJECT.upper()),
    "huge": lambda i: i.token(more="x" * 20_000),
    "with a huge header": lambda i: i.token(header={"x5c": ["x" * 6_000]}),
    "whose claims were changed": lambda i: _changed(i.token(), i.claims(sub="repo:acme/churn:pull_request")),
    "whose signature was cut": lambda i: i.token()[:-8],
    "of two parts": lambda i: i.token().rpartition(".")[0],
    "of five parts": lambda i: i.token() + ".x.y",
    "of nothing": lambda i: "..",
    "no token at all": lambda i: "taut_" + "x" * 49,
    "deeply nested": lambda i: f"{coded({'alg': 'RS256'})}.{coded(b'[' * 9_000)}.{coded(b'x')}",
    "with characters that are no base64": lambda i: i.token() + "=\n",
}


def _secret() -> Any:
    from joserfc import jwk

    return jwk.OctKey.import_key("s" * 32)


def _changed(token: str, claims: dict[str, Any]) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{coded(claims)}.{signature}"


def test_what_is_hostile_is_refused_and_no_word_of_it_is_said_or_written(trusting: Home, issuer: Issuer, caplog):
    """All of them at one server, and after them a good one; the clock of the counter of attempts goes on."""
    steady = trusting.access.steady
    with served(trusting) as url:
        wrong = []
        for number, (name, make) in enumerate(BAD.items()):
            trusting.access.steady = lambda past=number: steady() + past * 1000.0  # type: ignore[misc]
            token = make(issuer)
            status, said = exchanged(url, token)
            if status != 403 or "access_token" in said or any(part and part in str(said) for part in token.split(".")):
                wrong.append((name, status, said))
        assert wrong == []
        assert show_tokens(trusting) == []
        assert exchanged(url, issuer.token())[0] == 200
    with trusting.meta.read() as tx:
        written = json.dumps([(one.subject, one.body) for one in events(tx, limit=10_000)])
    for secret in ("evil.example", "jti", "token-", "eyJ"):
        assert secret not in written.replace("repo:acme", ""), secret
        assert secret not in caplog.text


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256"), (ED, "Ed25519")])
def test_what_is_good_is_taken_by_each_algorithm_once(trusting: Home, issuer: Issuer, key: Any, alg: str):
    token = issuer.token(key=key, alg=alg)
    given = exchange_token(trusting, token)
    assert (given.project, given.scopes, given.life_s) == ("churn", ("read", "log"), 900)
    with pytest.raises(Denied, match="shown before"):
        exchange_token(trusting, token)


def test_a_replay_is_found_by_another_server_too_and_forgotten_when_the_token_has_ended(trusting: Home, issuer: Issuer):
    from taut.home import open_home

    token = issuer.token()
    exchange_token(trusting, token)
    again = open_home(trusting.project, actor=trusting.actor, clock=trusting.clock)
    with again as other, pytest.raises(Denied, match="shown before"):
        exchange_token(other, token)
    trusting.clock.pass_ms(361_000)  # type: ignore[attr-defined]  # The clock of the tests.
    with pytest.raises(Denied, match="expired"):
        exchange_token(trusting, token)
    issuer.now_s += 361
    exchange_token(trusting, issuer.token())
    with trusting.meta.read() as tx:
        assert tx.row("SELECT COUNT(*) FROM shown_token") == (1,)


def test_the_same_signed_words_in_other_letters_are_a_replay(trusting: Home, issuer: Issuer):
    """A signature over a curve has a twin, and the last letter of base64 has unused bits: neither makes a new token."""
    import base64

    token = issuer.token(key=EC, alg="ES256")
    exchange_token(trusting, token)
    head, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    with pytest.raises(Denied, match="shown before"):
        exchange_token(trusting, f"{head}.{coded(twin)}")


def test_a_token_that_is_a_little_early_or_late_is_taken(trusting: Home, issuer: Issuer):
    for times in ({"iat": 59, "exp": 400}, {"iat": -300, "exp": -59}, {"nbf": 59}):
        claims: dict[str, Any] = {name: int(issuer.now_s) + seconds for name, seconds in times.items()}
        assert exchange_token(trusting, issuer.token(**claims)).scopes == ("read", "log")


# Keys


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/keys", (503, {})), ("/keys", (200, b"<html>")), ("/keys", (200, {"keys": "none"})),
        ("/keys", (200, b'{"keys": []}' + b" " * (300 << 10))), ("/keys", (302, {})),
        ("/.well-known/openid-configuration", (404, {})), ("/.well-known/openid-configuration", (200, [])),
        ("/.well-known/openid-configuration", (200, {"issuer": "https://other.example.org", "jwks_uri": "/keys"})),
        ("/.well-known/openid-configuration", (200, {"issuer": "", "jwks_uri": "file:///etc/passwd"})),
    ],
)  # fmt: skip
def test_where_keys_cannot_be_had_nobody_gets_in(trusting: Home, issuer: Issuer, path: str, answer: tuple[int, Any]):
    status, said = answer
    if isinstance(said, dict) and said.get("issuer") == "":
        said = {**said, "issuer": issuer.url}
    issuer.documents[path] = status, said
    with served(trusting) as url:
        assert exchanged(url, issuer.token())[0] == 503
    assert show_tokens(trusting) == []


def test_an_issuer_that_is_not_public_is_asked_only_where_the_owner_allows_it(
    trusting: Home, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAUT_OIDC_HOSTS", "elsewhere.example.org")
    with pytest.raises(Unavailable, match="TAUT_OIDC_HOSTS"):
        exchange_token(trusting, issuer.token())
    assert issuer.asked == []


def test_keys_are_kept_and_an_unknown_one_is_asked_for_once_a_minute(issuer: Issuer):
    now = [0.0]
    issuers, allowed = Issuers(lambda: now[0]), frozenset({("127.0.0.1", None)})
    for _ in range(3):
        assert issuers.key(issuer.url, "rsa", allowed=allowed).public.thumbprint() == RSA.thumbprint()
        with pytest.raises(Denied, match="no key of its issuer"):
            issuers.key(issuer.url, "new", allowed=allowed)
    assert issuer.asked.count("/keys") == 1
    issuer.show_keys(RSA, {**public(EC), "kid": "new"})
    now[0] = AGAIN_S
    for _ in range(3):
        assert issuers.key(issuer.url, "new", allowed=allowed).id == "new"
        with pytest.raises(Denied, match="no key of its issuer"):
            issuers.key(issuer.url, "../keys", allowed=allowed)
    assert issuer.asked.count("/keys") == 2


def test_a_key_that_was_withdrawn_ends_and_a_failure_is_not_tried_again_at_once(issuer: Issuer):
    now = [0.0]
    issuers, allowed = Issuers(lambda: now[0]), frozenset({("127.0.0.1", None)})
    issuers.key(issuer.url, "rsa", allowed=allowed)
    issuer.documents["/keys"] = 500, {}
    now[0] = AGAIN_S
    with pytest.raises(Unavailable):
        issuers.key(issuer.url, "new", allowed=allowed)
    assert issuers.key(issuer.url, "rsa", allowed=allowed).id == "rsa"  # What is good stays so for its time.
    now[0] = KEPT_S
    for _ in range(5):
        with pytest.raises(Unavailable, match="cannot be had"):
            issuers.key(issuer.url, "rsa", allowed=allowed)
    assert issuer.asked.count("/keys") == 3
    issuer.show_keys(EC)
    now[0] = KEPT_S + FAILED_S
    assert issuers.key(issuer.url, None, allowed=allowed).id == "ec"  # The only one needs no name.
    with pytest.raises(Denied):
        issuers.key(issuer.url, "rsa", allowed=allowed)


def test_of_the_keys_of_a_set_those_that_sign_nothing_are_left_out(issuer: Issuer):
    allowed = frozenset({("127.0.0.1", None)})
    weak = {"kty": "RSA", "kid": "weak", "e": "AQAB", "n": "x" * 170}
    issuer.show_keys(
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}, {**public(RSA), "kid": "enc", "use": "enc"}, weak,
        {"kty": "EC", "crv": "P-999", "x": "a", "y": "b", "kid": "odd"}, {"kid": "none"}, {"kty": ["RSA"], "kid": "l"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off"}, public(ED), public(RSA), public(OTHER),
    )  # fmt: skip
    issuers = Issuers()
    assert issuers.key(issuer.url, "ed", allowed=allowed).id == "ed"
    for name in ("secret", "enc", "weak", "odd", "none", "l", "off", "rsa"):  # Two of one name are none.
        with pytest.raises(Denied):
            issuers.key(issuer.url, name, allowed=allowed)


def test_a_key_that_says_what_it_is_for_is_for_nothing_else(trusting: Home, issuer: Issuer):
    issuer.show_keys({**public(RSA), "alg": "RS512"}, {**public(ED), "alg": "EdDSA"})
    with pytest.raises(Denied, match="in another way"):
        exchange_token(trusting, issuer.token())
    given = exchange_token(trusting, issuer.token(key=ED, alg="Ed25519"))
    actor = actor_of(trusting, f"Bearer {given.secret}")
    assert actor is None or actor.role == ""  # Nothing in `default`: the token is for churn.


def test_too_many_attempts_from_one_address_are_told_to_wait(trusting: Home, issuer: Issuer):
    trusting.access.steady = lambda: 1000.0
    with served(trusting) as url:
        statuses = [exchanged(url, issuer.unsigned())[0] for _ in range(31)]
    assert statuses == [403] * 30 + [429]
