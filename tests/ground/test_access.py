"""Access: default deny, roles that can be read whole, tokens that are never stored and always end."""

import json

import pytest

from taut.errors import Denied, Invalid, NotFound
from taut.govern import create_token, end_token, show_tokens
from taut.ground.access import PERMISSIONS, ROLES, Actor, identity_of_token, is_allowed, local_actor
from taut.ground.access.repeats import WINDOW_S
from taut.ground.ledger import events
from taut.home import REFUSED_FIRST, REFUSED_MAX, require


def test_every_permission_of_every_role_exists():
    assert all(granted <= PERMISSIONS for granted in ROLES.values())


def test_whoever_is_unknown_may_do_nothing():
    assert not any(
        is_allowed(Actor("eve", role), needed) for role in ("anonymous", "stranger") for needed in PERMISSIONS
    )


def test_no_reader_may_write():
    changing = {
        needed for needed in PERMISSIONS if needed.endswith((":write", ":delete", ":promote", ":admin", ":run"))
    }
    assert not any(is_allowed(Actor("vera", role), needed) for role in ("viewer", "auditor") for needed in changing)


def test_whoever_writes_models_does_not_approve_them():
    assert not any({"model:write", "model:approve"} <= ROLES[role] for role in ROLES.keys() - {"owner"})


def test_the_owner_of_the_folder_owns_the_home():
    assert local_actor().role == "owner"


def test_a_token_stands_for_its_name_and_role_until_it_is_revoked(home):
    made = create_token(home, "ci", "data-scientist")
    with home.meta.read() as tx:
        found = identity_of_token(tx, made.secret, now_ms=home.clock.now_ms())
        assert found is not None
        assert (found.name, found.roles, found.token) == ("ci", {"default": "data-scientist"}, made.token.id)
        assert identity_of_token(tx, made.secret + "x", now_ms=home.clock.now_ms()) is None
    end_token(home, made.token.id)
    with home.meta.read() as tx:
        assert identity_of_token(tx, made.secret, now_ms=home.clock.now_ms()) is None
    with pytest.raises(NotFound):
        end_token(home, made.token.id)


def test_a_token_ends_by_itself(home):
    made = create_token(home, "ci", "viewer", days=1)
    home.clock.pass_ms(86_400_000)
    with home.meta.read() as tx:
        assert identity_of_token(tx, made.secret, now_ms=home.clock.now_ms()) is None


def test_the_secret_is_stored_nowhere(home):
    made = create_token(home, "ci", "viewer")
    with home.meta.read() as tx:
        everything = str(tx.rows("SELECT * FROM token")) + str(events(tx))
    assert made.secret not in everything
    assert made.secret.startswith("taut_")
    assert show_tokens(home) == [made.token]


def test_a_role_that_does_not_exist_is_refused_with_those_that_do(home):
    with pytest.raises(Invalid, match="viewer"):
        create_token(home, "ci", "king")
    with pytest.raises(Invalid):
        create_token(home, "ci", "anonymous")


def test_a_refusal_is_in_the_ledger_and_nothing_else_changed(home):
    with pytest.raises(Denied, match="token:service"):
        create_token(home.as_actor(Actor("vera", "viewer")), "mine", "owner")
    with home.meta.read() as tx:
        denied = events(tx)
    assert [(event.kind, event.actor) for event in denied] == [("access.denied", "vera")]
    assert show_tokens(home) == []


def test_a_caller_who_is_refused_without_an_end_does_not_fill_the_ledger(home):
    steady = [0.0]
    home.access.steady = lambda: steady[0]
    vera, otto = (home.as_actor(Actor(name, "viewer")) for name in ("vera", "otto"))

    def refused(asker, count: int) -> None:
        for _ in range(count):
            with pytest.raises(Denied):
                create_token(asker, "mine", "owner")

    refused(vera, 50)
    refused(otto, 1)
    for number in range(300):
        with pytest.raises(Denied):
            require(vera, "run:write", verb="run.create", resource=f"experiment:{number}")
    steady[0] = WINDOW_S
    refused(vera, 2)
    with home.meta.read() as tx:
        denied = [(one.actor, json.loads(one.body)) for one in events(tx, kind="access.denied")]
    written = [body for actor, body in denied if actor == "vera"]
    assert [body["verb"] for body in written[:3]] == ["token.create"] * REFUSED_FIRST
    assert len(written) == REFUSED_MAX + 1 + 2
    assert [body.get("others", 0) for body in written[-2:]] == [352 - len(written), 0]  # None is lost.
    assert [body["verb"] for actor, body in denied if actor == "otto"] == ["token.create"]
