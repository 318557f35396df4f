"""Every verb of the table through HTTP: who may call it, what a refusal leaves behind, and that no call breaks it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.faces.verbs import VERBS, load_verb
from taut.govern import create_token
from taut.ground.access import ABOUT_SERVER, PERMISSIONS, ROLES
from taut.home import REFUSED_FIRST, Home, open_home
from tests.faces.serving import served
from tests.faces.speaking import POOL, denials
from tests.marks import POSTGRESQL_SLOW


@pytest.fixture(name="home", params=POSTGRESQL_SLOW)
def fast_home(home: Home) -> Home:
    """The home of all tests, in the fast run on SQLite alone."""
    return home


HOLDERS = sorted(ROLES.keys() - {"anonymous"})
FINE = frozenset({200, 400, 404, 409, 422})


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as address:
        yield address


def call(url: str, verb: str, secret: str = "", body: bytes = b"{}") -> tuple[int, object]:
    """Call a verb; returns the status and the JSON."""
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    answer = POOL.request("POST", f"{url}/api/taut/v1/verbs/{verb}", body=body, headers=headers)
    return answer.status, json.loads(answer.data)


def test_every_verb_of_the_table_is_there_under_its_name_and_asks_for_a_permission_that_exists():
    for name in VERBS:
        verb = load_verb(name)
        assert verb.name == name
        assert verb.needs in PERMISSIONS, name
        assert (verb.__doc__ or "").strip(), f"{name} says nothing of itself"


@pytest.mark.parametrize("role", HOLDERS)
def test_a_role_reaches_exactly_the_verbs_that_its_permissions_cover(home: Home, url: str, role: str):
    secret = create_token(home, role, role).secret
    refused = []
    for name in VERBS:
        status, said = call(url, name, secret)
        needs = load_verb(name).needs
        if needs in ROLES[role]:
            assert status in FINE, (name, status, said)
        else:
            refused.append({"permission": needs, "verb": name})
            assert isinstance(said, dict)
            if role == "server-admin" and needs not in ABOUT_SERVER:  # No member: the project is not there for them.
                assert (status, said["error"]) == (404, "NotFound"), (name, said)
                continue
            assert (status, said["error"]) == (403, "Denied"), (name, said)
            assert needs in said["message"], (name, said)
            assert said["hint"], name
    assert [json.loads(event.body) for event in denials(home)] == refused
    assert {event.actor for event in denials(home)} <= {role}


def test_whoever_has_no_token_reaches_no_verb_and_writes_nothing(home: Home, url: str):
    create_token(home, "ada", "owner")
    for name in VERBS:
        for secret in ("", "taut_made_up"):
            status, said = call(url, name, secret)
            assert isinstance(said, dict)
            assert (status, said["error"]) == (401, "Denied"), (name, said)
    assert denials(home) == []


def test_a_refusal_comes_before_the_arguments_are_read(home: Home, url: str):
    secret = create_token(home, "vera", "viewer").secret
    for body in (b"{}", b"{ no json", b'{"nmae": "x"}', b'{"name": 3}', b"[" * 10_000):
        assert call(url, "model.create", secret, body)[0] == 403, body[:20]
    assert len(denials(home)) == REFUSED_FIRST  # More of the same are only counted.


def test_a_token_that_was_ended_opens_nothing_any_more(home: Home, url: str):
    made = create_token(home, "ci", "owner")
    create_token(home, "ada", "owner")
    assert call(url, "model.list", made.secret) == (200, [])
    assert call(url, "token.revoke", made.secret, json.dumps({"token_id": made.token.id}).encode())[0] == 200
    assert call(url, "model.list", made.secret)[0] == 401


@pytest.mark.parametrize("body", [b"[]", b"null", b"3", b'"text"', b"{", b"\xff", b"[" * 50_000, b'{"a":' * 50_000])
def test_no_body_at_all_breaks_a_verb(project: Path, body: bytes):
    with open_home(project) as home, served(home) as url:
        for name in VERBS:
            status, said = call(url, name, body=body)
            assert isinstance(said, dict)
            assert (status, said["error"]) == (400, "Invalid"), (name, said)
            assert name in said["message"], (name, said)


def test_an_argument_that_a_verb_does_not_take_is_named(project: Path):
    with open_home(project) as home, served(home) as url:
        for name in VERBS:
            status, said = call(url, name, body=b'{"no_such_argument": 1}')
            assert isinstance(said, dict)
            assert (status, said["error"]) == (400, "Invalid"), (name, said)


@pytest.mark.parametrize(
    "name", ["home.destroy", "model", "model.list.x", "__init__", "os:system", "MODEL.LIST", "%00"]
)
def test_a_verb_outside_the_table_is_not_found(url: str, name: str):
    status, said = call(url, name)
    assert isinstance(said, dict)
    assert (status, said["error"]) == (404, "NotFound")
