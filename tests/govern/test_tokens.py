"""Tokens: for scopes of one project, for their user with what that has just now, for a while after a login."""

import base64
import re
from collections.abc import Iterator

import pytest

from taut.callers import actor_of
from taut.errors import Denied, Invalid, NotFound, Refused
from taut.govern import (
    bind_role,
    close_sessions,
    create_own_token,
    create_project,
    create_token,
    create_user,
    delete_user,
    disable_user,
    end_token,
    open_session,
    set_password,
    set_user_role,
    show_own_tokens,
    show_tokens,
    unbind_role,
)
from taut.ground.access import PERMISSIONS, ROLES, SCOPES, Actor, Project, is_allowed
from taut.ground.access.tokens import USED_EVERY_MS, is_whole, new_secret
from taut.home import Home, open_home

WORD = "correct horse battery"
OTHER = "staple of a donkey"
DAY_MS = 86_400_000


def basic(name: str, password: str = WORD) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def bearer(secret: str) -> str:
    return f"Bearer {secret}"


@pytest.fixture
def team(home: Home) -> Home:
    create_user(home, "olga", WORD, role="owner")
    create_user(home, "ada", WORD, role="data-scientist")
    create_user(home, "mel", WORD, role="ml-engineer")
    create_user(home, "pia", WORD, role="project-admin")
    create_project(home, "churn")
    return home


def hands(home: Home, name: str, password: str = WORD) -> Home:
    """The home in the hands of a user, as a request of theirs finds it."""
    actor = actor_of(home, basic(name, password))
    assert actor is not None
    return home.as_actor(actor)


def rights(home: Home, authorization: str) -> frozenset[str]:
    """All that a caller may, without what was granted on single things."""
    actor = actor_of(home, authorization)
    return frozenset() if actor is None else frozenset(one for one in PERMISSIONS if is_allowed(actor, one))


@pytest.fixture
def elsewhere(team: Home) -> Iterator[Home]:
    """The same home as another server has it open, which has looked at nobody yet."""
    with open_home(team.project, actor=team.actor, clock=team.clock) as opened:
        yield opened


# Secrets


def test_a_secret_is_long_says_what_it_is_and_carries_a_checksum():
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        assert re.fullmatch(r"taut_[0-9a-zA-Z]{49}", secret)
        assert is_whole(secret)
        broken = secret[:10] + ("0" if secret[10] != "0" else "1") + secret[11:]
        assert not is_whole(broken)
    assert not is_whole("a" * 54)


def test_a_token_of_before_the_checksum_still_works(team: Home):
    from taut.ground.access.tokens import _hash

    old = "taut_" + "x" * 43
    made = create_token(team, "ci", "viewer")
    with team.meta.transaction() as tx:
        tx.execute("UPDATE token SET hash = :hash WHERE id = :id", {"hash": _hash(old), "id": made.token.id})
    assert actor_of(team, bearer(old)) == Actor("ci", "viewer")


# Scopes


@pytest.mark.parametrize("scope", SCOPES)
def test_a_token_may_exactly_what_its_scope_says(team: Home, scope: str):
    made = create_token(team, "ci", scopes=[scope])
    assert rights(team, bearer(made.secret)) == ROLES[f"scope:{scope}"]
    assert (made.token.kind, made.token.made_by) == ("service", team.actor.name)


def test_nobody_makes_a_token_that_may_more_than_themselves(team: Home):
    mel = hands(team, "mel")
    for scopes in (["read"], ["log", "predict"], ["read", "log", "predict"]):
        assert create_token(mel, "ci", scopes=scopes).token.made_by == "mel"
    with pytest.raises(Denied, match="secret:use"):
        create_token(mel, "ci", scopes=["deploy"])
    with pytest.raises(Denied):
        create_token(mel, "ci", "viewer")  # A role is for who says who is a member.
    with pytest.raises(Denied):
        create_token(hands(team, "ada"), "ci", scopes=["read"])
    pia = hands(team, "pia")
    assert create_token(pia, "ci", "auditor").token.role == "auditor"
    for role in ("owner", "server-admin", "approver", "dpo", "viewer+dpo"):  # A dpo is never who says who is a member.
        with pytest.raises(Denied):
            create_token(pia, "ci", role)


@pytest.mark.parametrize("words", [{}, {"role": "viewer", "scopes": ["read"]}, {"scopes": ["all"]}, {"role": "king"}])
def test_a_token_is_for_something_that_there_is(team: Home, words: dict[str, object]):
    with pytest.raises(Invalid):
        create_token(team, "ci", **words)  # type: ignore[arg-type]  # That is the point.


@pytest.mark.parametrize("days", [0, -1, 367])
def test_every_token_ends_within_a_year(team: Home, days: int):
    with pytest.raises(Invalid):
        create_token(team, "ci", "viewer", days=days)
    made = create_token(team, "ci", "viewer")
    assert made.token.expires_ms == team.clock.now_ms() + 90 * DAY_MS


def test_the_tokens_of_a_project_are_seen_and_ended_there(team: Home):
    with team.entered(created(team)) as churn:
        inside = create_token(churn, "inside", "viewer")
        assert [token.name for token in show_tokens(churn)] == ["inside"]
    outside = create_token(team, "outside", "viewer")
    pia = hands(team, "pia")
    assert [token.name for token in show_tokens(pia)] == ["outside"]
    with pytest.raises(NotFound):
        end_token(pia, inside.token.id)
    end_token(pia, outside.token.id)
    assert actor_of(team, bearer(inside.secret)) == Actor("inside", "")
    end_token(hands(team, "olga"), inside.token.id)
    assert actor_of(team, bearer(inside.secret)) is None


def created(home: Home) -> Project:
    from taut.govern import get_project

    return get_project(home, "churn")


# One's own


def test_a_token_of_ones_own_has_what_its_user_has_at_the_moment(team: Home):
    made = create_own_token(hands(team, "ada"), "laptop")
    assert rights(team, bearer(made.secret)) == ROLES["data-scientist"]
    bind_role(team, "ada", "approver")
    assert rights(team, bearer(made.secret)) == ROLES["data-scientist"] | ROLES["approver"]
    set_user_role(team, "ada", "viewer")
    assert rights(team, bearer(made.secret)) == ROLES["viewer"]
    unbind_role(team, "ada", "viewer")
    assert rights(team, bearer(made.secret)) == {"self", "audit:head"}


@pytest.mark.parametrize("how", ["disabled", "deleted", "revoked"])
def test_a_token_of_ones_own_ends_with_its_user(team: Home, elsewhere: Home, how: str):
    made = create_own_token(hands(team, "ada"), "laptop")
    assert rights(elsewhere, bearer(made.secret))
    if how == "disabled":
        disable_user(team, "ada")
    elif how == "deleted":
        delete_user(team, "ada")
        create_user(team, "ada", WORD, role="ml-engineer")
    else:
        end_token(hands(team, "ada"), made.token.id)
    assert not rights(team, bearer(made.secret))
    elsewhere.access._fresh_until = 0.0  # As half a second later.
    assert not rights(elsewhere, bearer(made.secret))


def test_a_token_of_ones_own_may_be_for_less_and_never_for_more(team: Home):
    less = create_own_token(hands(team, "ada"), "laptop", scopes=["read"])
    assert rights(team, bearer(less.secret)) == ROLES["data-scientist"] & ROLES["scope:read"]
    more = create_own_token(hands(team, "ada"), "laptop", scopes=["deploy"])
    assert rights(team, bearer(more.secret)) == ROLES["data-scientist"] & ROLES["scope:deploy"]


def test_no_token_makes_another_one_of_its_user(team: Home):
    made = create_own_token(hands(team, "ada"), "laptop")
    actor = actor_of(team, bearer(made.secret))
    assert actor is not None
    with pytest.raises(Denied):
        create_own_token(team.as_actor(actor), "another")
    with pytest.raises(Denied):
        open_session(team.as_actor(actor))
    for nobody in (team, team.as_actor(Actor("ci", "viewer"))):
        with pytest.raises(Refused):
            create_own_token(nobody, "x")


def test_a_token_of_one_user_is_not_ended_by_another(team: Home):
    made = create_own_token(hands(team, "ada"), "laptop")
    with pytest.raises(Denied):
        end_token(hands(team, "mel"), made.token.id)
    assert [token.name for token in show_own_tokens(hands(team, "ada"))] == ["laptop"]
    assert show_own_tokens(hands(team, "mel")) == []


# Sessions


def test_another_password_ends_the_sessions_that_it_was_not_asked_for_in(team: Home):
    ours, theirs = (open_session(hands(team, "ada")) for _ in range(2))
    actor = actor_of(team, bearer(ours.secret))
    assert actor is not None
    set_password(team.as_actor(actor), "ada", OTHER, current=WORD)
    assert actor_of(team, bearer(theirs.secret)) is None
    assert actor_of(team, bearer(ours.secret)) == actor
    set_password(team, "ada", WORD)
    assert actor_of(team, bearer(ours.secret)) is None


def test_a_session_is_for_every_project_and_ends_when_told(team: Home):
    bind_role(team, "ada", "viewer", project="churn")
    one, other = (open_session(hands(team, "ada")) for _ in range(2))
    with team.entered(created(team)) as churn:
        assert actor_of(churn, bearer(one.secret)) == Actor("ada", "viewer")
    assert actor_of(team, bearer(one.secret)) == Actor("ada", "data-scientist")
    assert close_sessions(team.as_actor(actor_of(team, bearer(one.secret)) or team.actor)) == 1
    assert actor_of(team, bearer(one.secret)) is None
    assert close_sessions(hands(team, "ada"), everywhere=True) == 1
    assert actor_of(team, bearer(other.secret)) is None


# Use


def test_when_a_token_was_used_is_written_to_the_hour(team: Home, elsewhere: Home):
    made = create_token(team, "ci", "viewer")

    def used() -> int | None:
        return next(token.used_ms for token in show_tokens(team) if token.id == made.token.id)

    assert used() is None
    first = team.clock.now_ms()
    actor_of(team, bearer(made.secret))
    assert used() == first
    team.clock.pass_ms(USED_EVERY_MS - 1)  # type: ignore[attr-defined]  # The clock of the tests.
    actor_of(elsewhere, bearer(made.secret))
    assert used() == first
    team.clock.pass_ms(1)  # type: ignore[attr-defined]
    actor_of(team, bearer(made.secret))
    assert used() == first + USED_EVERY_MS
