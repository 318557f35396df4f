"""The verbs of users and grants, forwarded to a server as a command with its URL does, on both databases."""

from collections.abc import Iterator

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound, Refused
from taut.govern import (
    add_grant,
    assign_set,
    create_set,
    create_token,
    create_user,
    delete_user,
    end_token,
    find_level,
    get_user,
    grant_permission,
    holders_of,
    list_permissions,
    revoke_permission,
    set_password,
    set_user_role,
    show_sets,
    show_users,
)
from taut.ground.ledger import events
from taut.home import Home, open_home
from taut.runs import create_experiment, list_experiments
from tests.faces.serving import served
from tests.faces.speaking import Speaker

WORD = "correct horse battery"
OTHER = "staple of a donkey"


@pytest.fixture
def url(home: Home) -> Iterator[str]:
    with served(home) as url:
        yield url


@pytest.fixture
def far(home: Home, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """The home from afar, in the hands of a token that owns it."""
    monkeypatch.setenv("TAUT_TOKEN", create_token(home, "root", "owner").secret)
    with open_home(url) as far:
        yield far


def test_users_are_made_changed_and_deleted_from_afar(home: Home, far: Home, url: str):
    made = create_user(far, "vera", WORD, begins=True)
    assert made == get_user(home, "vera") == get_user(far, "vera")
    assert set_user_role(far, "vera", "auditor").role == "auditor"
    set_password(far, "vera", OTHER)
    assert Speaker(url, "/api/2.0/", OTHER, "vera").get("mlflow/users/current").body["user"]["id"] == made.id
    assert [user.name for user in show_users(far)] == ["vera"]
    delete_user(far, "vera")
    assert show_users(home) == []
    with home.meta.read() as tx:
        said = [(event.kind, event.actor) for event in events(tx, subject="user:vera")]
    kinds = ("user.created", "user.role", "user.password", "user.deleted")
    assert said == [(kind, "root") for kind in kinds]


def test_grants_and_sets_are_made_and_felt_from_afar(home: Home, far: Home, url: str):
    create_user(far, "vera", WORD)
    hidden = create_experiment(far, "hidden").id
    grant_permission(far, "vera", "experiment", hidden, "NO_PERMISSIONS")
    assert find_level(far, "vera", "experiment", hidden) == "NO_PERMISSIONS"
    vera = Speaker(url, "/api/2.0/", WORD, "vera")
    assert vera.get("mlflow/experiments/get", experiment_id=hidden).status == 403
    revoke_permission(far, "vera", "experiment", hidden)
    assert vera.get("mlflow/experiments/get", experiment_id=hidden).status == 200
    team = create_set(far, "writers")
    add_grant(far, team.id, "experiment", "*", "EDIT")
    held = assign_set(far, "vera", team.id)
    assert holders_of(far, team.id) == [held]
    assert [(one.set_name, one.level) for one in list_permissions(far, "vera")] == [("writers", "EDIT")]
    assert show_sets(far)[-1].grants[0].resource == "*"
    assert {one.name for one in list_experiments(far)} >= {"hidden"}


def test_errors_come_back_as_what_they_are(far: Home):
    create_user(far, "vera", WORD)
    for act, kind in (
        (lambda: create_user(far, "vera", WORD), Conflict),
        (lambda: create_user(far, "dora", "short"), Invalid),
        (lambda: get_user(far, "nobody"), NotFound),
        (lambda: grant_permission(far, "vera", "scorer", "x", "READ"), Invalid),
    ):
        with pytest.raises(kind):
            act()


def test_the_last_who_owns_a_home_stays_also_from_afar(home: Home, url: str, monkeypatch: pytest.MonkeyPatch):
    create_user(home, "olga", WORD, role="owner")
    made = create_token(home, "admin", "server-admin")
    monkeypatch.setenv("TAUT_TOKEN", made.secret)
    with open_home(url) as far:
        with pytest.raises(Denied):
            delete_user(far, "olga")
        create_user(far, "dora", WORD)
    end_token(home, made.token.id)
    with pytest.raises(Refused):
        delete_user(home, "olga")


def test_from_loopback_nobody_makes_a_first_user_who_could_administer_nothing(home: Home, url: str):
    with open_home(url) as far, pytest.raises(Refused):
        create_user(far, "vera", WORD)
    assert Speaker(url).post("mlflow/users/create", username="vera", password=WORD).code == (400, "BAD_REQUEST")
    assert Speaker(url).post("mlflow/experiments/search", max_results=1).status == 200
