"""Users and what they may do: made, changed and taken away; grants beside a role; searches that show no more."""

import base64
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.callers import actor_of
from taut.errors import Conflict, Denied, Invalid, NotFound, Refused
from taut.govern import (
    create_token,
    create_user,
    delete_user,
    end_token,
    get_user,
    grant_permission,
    revoke_permission,
    set_admin,
    set_password,
    set_user_role,
    show_users,
)
from taut.ground.access import (
    ANY,
    LEVELS,
    PERMISSIONS,
    ROLES,
    Access,
    Actor,
    Grants,
    hash_password,
    is_allowed,
    is_password,
    new_password,
    sight_of,
)
from taut.ground.access.grants import BY_ROLE_ALONE, BY_ROLE_TOO, GIVES, KINDS
from taut.ground.access.roles import MANAGES
from taut.ground.ledger import events
from taut.home import Home
from taut.runs import create_experiment

WORD = "correct horse battery"
OTHER = "staple of a donkey"
HOLDERS = sorted(ROLES.keys() - {"anonymous"})


class Steady:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def holder(role: str, *rows: tuple[str, str, str]) -> Actor:
    return Actor("vera", role, Grants(7, rows))


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def place(home: Home, steady: Steady) -> Home:
    """A home with an owner and a viewer, as a server with a clock of its own sees it."""
    create_user(home, "olga", WORD, role="owner")
    create_user(home, "vera", WORD)
    return replace(home, access=Access(steady))


# Passwords


def test_a_password_fits_its_own_hash_and_no_other():
    hashed = hash_password(WORD)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert WORD not in hashed
    assert hash_password(WORD) != hashed
    assert is_password(hashed, WORD)
    assert not is_password(hashed, OTHER)
    assert not is_password(hashed, WORD + "\0")


def test_nothing_fits_where_nothing_is_stored():
    assert not is_password("", WORD)
    assert not is_password("no hash of argon2", WORD)


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 1025, "half a \ud800 character"])
def test_a_password_that_is_too_short_too_long_or_no_text_is_refused(password: str):
    with pytest.raises(Invalid):
        hash_password(password)
    assert not is_password(hash_password(WORD), password)


def test_passwords_that_are_made_up_are_long_and_all_different():
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= 24


# Users


def test_a_user_is_made_shown_and_listed_without_the_password(place: Home):
    made = create_user(place, "dora", WORD, role="data-scientist")
    assert get_user(place, "dora") == made
    assert (made.role, made.is_admin) == ("data-scientist", False)
    assert [user.name for user in show_users(place)] == ["olga", "vera", "dora"]
    with place.meta.read() as tx:
        everything = str(tx.rows("SELECT * FROM account")) + str(events(tx, limit=1000))
    assert WORD not in everything
    assert "user.created" in everything


@pytest.mark.parametrize("name", ["", "  ", "a:b", "a\nb", "a\0b", "x" * 256])
def test_a_name_that_could_not_be_shown_at_a_login_is_refused(place: Home, name: str):
    with pytest.raises(Invalid):
        create_user(place, name, WORD)


def test_a_name_is_taken_once_and_a_role_must_exist(place: Home):
    with pytest.raises(Conflict):
        create_user(place, "vera", OTHER)
    for role in ("king", "anonymous"):
        with pytest.raises(Invalid):
            create_user(place, "dora", WORD, role=role)


def test_the_first_user_must_be_an_owner(home: Home):
    with pytest.raises(Refused) as refused:
        create_user(home, "vera", WORD)
    assert "--admin" in refused.value.hint
    assert show_users(home) == []
    create_user(home, "olga", WORD, role="owner")
    create_user(home, "vera", WORD)


def test_a_token_of_an_owner_is_as_good_as_a_first_user(home: Home):
    made = create_token(home, "root", "owner")
    create_user(home, "vera", WORD)
    end_token(home, made.token.id)
    with pytest.raises(Refused):
        create_user(home, "dora", WORD)


def test_the_last_owner_can_neither_be_deleted_nor_demoted(place: Home):
    for act in (delete_user, lambda home, name: set_user_role(home, name, "viewer")):
        with pytest.raises(Refused):
            act(place, "olga")
    with pytest.raises(Refused):
        set_admin(place, "olga", is_admin=False)
    set_admin(place, "vera", is_admin=True)
    delete_user(place, "olga")
    assert [user.name for user in show_users(place)] == ["vera"]


def test_only_owners_make_unmake_and_enter_as_owners(place: Home):
    admin = place.as_actor(Actor("pia", "server-admin+project-admin"))
    create_user(admin, "dora", WORD, role="data-scientist")
    refused: list[Callable[[], object]] = [
        lambda: create_user(admin, "eve", WORD, role="owner"),
        lambda: set_user_role(admin, "dora", "owner"),
        lambda: set_user_role(admin, "olga", "viewer"),
        lambda: set_admin(admin, "dora", is_admin=True),
        lambda: set_password(admin, "olga", OTHER),
        lambda: delete_user(admin, "olga"),
        lambda: create_token(admin, "eve", "owner"),
    ]
    for act in refused:
        with pytest.raises(Denied):
            act()
    set_password(admin, "dora", OTHER)
    assert actor_of(place, basic("dora", OTHER)) == Actor("dora", "data-scientist")


def test_being_no_admin_any_more_is_being_a_viewer_who_may_begin_things(place: Home):
    set_user_role(place, "vera", "data-scientist")
    assert set_admin(place, "vera", is_admin=False).role == "data-scientist"
    assert set_admin(place, "vera", is_admin=True).is_admin
    assert set_admin(place, "vera", is_admin=False).role == "viewer"
    vera = actor_of(place, basic("vera", WORD))
    assert vera is not None
    assert is_allowed(vera, "experiment:create", "new:experiment")


def test_whoever_gets_a_name_again_gets_none_of_the_old_rights(place: Home):
    create_experiment(place, "secret")
    grant_permission(place, "vera", "experiment", "*", "MANAGE")
    old = get_user(place, "vera")
    delete_user(place, "vera")
    with pytest.raises(NotFound):
        get_user(place, "vera")
    new = create_user(place, "vera", OTHER)
    assert new.id > old.id
    actor = actor_of(place, basic("vera", OTHER))
    assert actor is not None
    assert not actor.grants
    assert actor_of(place, basic("vera", WORD)) is None


# Grants


@pytest.mark.parametrize("role", HOLDERS)
def test_without_grants_the_role_decides_on_every_resource(role: str):
    for permission in PERMISSIONS:
        for resource in ("", ANY, "experiment:1", "model:late", "new:model"):
            assert is_allowed(holder(role), permission, resource) == (permission in ROLES[role])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["experiment", "model", "deployment"])
@pytest.mark.parametrize("role", HOLDERS)
def test_a_grant_takes_the_place_of_the_role_on_its_resource_alone(role: str, kind: str, level: str):
    actor = holder(role, (kind, "1", level))
    for permission in PERMISSIONS:
        by_role = permission in ROLES[role]
        given_there = permission in GIVES[kind].get(level, ()) and (by_role or permission not in BY_ROLE_TOO)
        if permission in BY_ROLE_ALONE:
            given_there = by_role and level not in ("DENY", "NO_PERMISSIONS")
        expected = by_role if role == "owner" else given_there
        assert is_allowed(actor, permission, f"{kind}:1") == expected, permission
        assert is_allowed(actor, permission, f"{kind}:2") == by_role
        assert is_allowed(actor, permission) == by_role
        assert is_allowed(actor, permission, ANY) >= is_allowed(actor, permission, f"{kind}:1")


def test_what_goes_live_is_not_up_to_a_grant():
    maker = holder("data-scientist", ("model", "late", "MANAGE"))
    assert is_allowed(maker, "model:delete", "model:late")
    assert not is_allowed(maker, "model:promote", "model:late")
    assert is_allowed(holder("ml-engineer", ("model", "late", "MANAGE")), "model:promote", "model:late")
    assert not is_allowed(holder("ml-engineer", ("model", "late", "READ")), "model:promote", "model:late")


def test_use_of_the_home_begins_things_and_manage_is_a_project_admin():
    beginner = holder("viewer", ("home", "*", "USE"))
    assert is_allowed(beginner, "experiment:create")
    assert is_allowed(beginner, "model:write", "new:model")
    assert not is_allowed(beginner, "model:write", "model:late")
    assert not is_allowed(beginner, "model:write")
    manager = holder("viewer", ("home", "*", "MANAGE"), ("model", "late", "DENY"))
    for permission in PERMISSIONS:
        for resource in ("", "model:late", "experiment:1", "new:model"):
            assert is_allowed(manager, permission, resource) == (permission in MANAGES | ROLES["viewer"])


def test_of_several_grants_the_highest_counts_unless_one_denies():
    def level(*levels: str) -> str:
        return Grants(1, [("experiment", "1" if number % 2 else "*", one) for number, one in enumerate(levels)]).level(
            "experiment:1"
        )

    assert level("READ", "EDIT") == level("EDIT", "READ") == "EDIT"
    assert level("NO_PERMISSIONS", "READ") == "READ"
    assert level("MANAGE", "DENY") == level("DENY", "MANAGE") == "DENY"
    assert level() == ""


rows = st.lists(
    st.tuples(
        st.sampled_from(["experiment", "model", "deployment"]),
        st.sampled_from(["*", "1", "2", "3"]),
        st.sampled_from(LEVELS),
    ),
    max_size=8,
)


@given(rows, st.sampled_from(HOLDERS), st.sampled_from(["experiment", "model", "deployment"]))
def test_a_search_shows_exactly_what_a_look_would(rows: list[tuple[str, str, str]], role: str, kind: str):
    read = {"experiment": "run:read", "model": "model:read", "deployment": "deployment:read"}[kind]
    actor = holder(role, *rows)
    seen = sight_of(actor, kind, read)  # type: ignore[arg-type]  # Of the three kinds.
    for name in ("1", "2", "3", "4"):
        assert seen.sees(name) == is_allowed(actor, read, f"{kind}:{name}"), name
    assert seen.is_whole <= all(seen.sees(name) for name in ("1", "2", "3", "4"))


@given(rows, st.sampled_from(HOLDERS), st.sampled_from(sorted(PERMISSIONS)))
def test_what_is_allowed_somewhere_is_allowed_at_the_gate(rows: list[tuple[str, str, str]], role: str, permission: str):
    actor = holder(role, *rows)
    somewhere = any(is_allowed(actor, permission, f"{kind}:{name}") for kind in KINDS for name in "123*")
    assert is_allowed(actor, permission, ANY) >= somewhere


def test_a_long_random_history_of_grants_decides_as_a_plain_table_would(place: Home):
    """The same changes to the database and to a dict: after each, both must say the same of everything."""
    chance = random.Random(7)
    named = [create_experiment(place, f"e{number}").id for number in range(3)]
    table: dict[str, str] = {}
    for _ in range(60):
        which, level = chance.choice([*named, "*"]), chance.choice(LEVELS)
        if which in table and chance.random() < 0.5:
            revoke_permission(place, "vera", "experiment", which)
            del table[which]
        else:
            grant_permission(place, "vera", "experiment", which, level)
            table[which] = level
        vera = actor_of(place, basic("vera", WORD))
        assert vera is not None
        for one in named:
            held = [table[key] for key in (one, "*") if key in table]
            best = "DENY" if "DENY" in held else max(held, key=LEVELS.index, default="")
            for permission in ("run:read", "run:write", "run:delete"):
                expected = permission in (GIVES["experiment"].get(best, ()) if best else ROLES["viewer"])
                assert is_allowed(vera, permission, f"experiment:{one}") == expected, (table, one, permission)


def test_a_home_of_before_users_asks_for_a_login_if_it_had_a_token(tmp_path: Path):
    """The migration counts the tokens that are there, revoked ones included."""
    from taut.ground.access.state import read_state
    from taut.ground.meta.migrate import migrations
    from taut.ground.meta.sqlite import SqliteMetadata

    meta = SqliteMetadata(tmp_path / "meta.db")
    users = next(each for each in migrations() if each.name == "users")
    with meta.transaction() as tx:
        for table in ("grant_holder", "grant_row", "grant_set", "account", "access_state"):
            tx.execute(f"DROP TABLE {table}")
        tx.execute(
            "INSERT INTO token (id, name, hash, role, created_ms, revoked_ms) VALUES ('a', 'ci', 'h', 'viewer', 1, 2)"
        )
        for statement in users.statements:
            tx.execute(statement)
        assert read_state(tx).asks
    meta.close()
