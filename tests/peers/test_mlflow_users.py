"""The unchanged client of MLflow's basic authentication against a taut server."""

from collections.abc import Callable, Iterator

import pytest

from taut.govern import create_user
from taut.home import Home
from tests.faces.serving import served

client_module = pytest.importorskip("mlflow.server.auth.client", exc_type=ImportError)

WORD = "correct horse battery"
OTHER = "staple of a donkey"


@pytest.fixture
def url(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    create_user(home, "admin", WORD, role="owner")
    with served(home) as url:
        yield url


@pytest.fixture
def client(url: str, log_in: Callable[..., None]):
    log_in("admin")
    client = client_module.AuthServiceClient(url)
    client.create_user("vera", WORD)
    return client


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Whoever asks from now on."""

    def as_user(name: str, password: str = WORD) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)

    return as_user


def refused(act: Callable[[], object]) -> str:
    """The code that a call ends with."""
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException) as told:
        act()
    return str(told.value.error_code)


def tracking(url: str):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=url, registry_uri=url)


def test_users_are_made_read_and_deleted(client, log_in: Callable[..., None]):
    vera = client.get_user("vera")
    assert (vera.username, vera.is_admin) == ("vera", False)
    assert refused(lambda: client.create_user("vera", WORD)) == "RESOURCE_ALREADY_EXISTS"
    assert refused(lambda: client.create_user("dora", "short")) == "INVALID_PARAMETER_VALUE"
    assert refused(lambda: client.get_user("nobody")) == "RESOURCE_DOES_NOT_EXIST"
    client.update_user_admin("vera", True)
    assert client.get_user("vera").is_admin
    assert refused(lambda: client.delete_user("admin")) == "BAD_REQUEST"
    client.delete_user("vera")
    assert refused(lambda: client.get_user("vera")) == "RESOURCE_DOES_NOT_EXIST"


def test_a_user_changes_their_own_password(client, log_in: Callable[..., None]):
    log_in("vera")
    assert refused(lambda: client.update_user_password("vera", OTHER)) == "INVALID_PARAMETER_VALUE"
    client.update_user_password("vera", OTHER, current_password=WORD)
    assert refused(lambda: client.get_user("vera")) == "UNAUTHENTICATED"
    log_in("vera", OTHER)
    assert client.get_user("vera").username == "vera"
    assert refused(lambda: client.get_user("admin")) == "PERMISSION_DENIED"


def test_a_permission_of_a_user_is_granted_told_and_revoked(client, url: str, log_in: Callable[..., None]):
    theirs = tracking(url).create_experiment("theirs")
    told = client.get_user_permission("vera", "experiment", theirs)
    assert (told.allowed, told.permission) == (False, "READ")
    log_in("vera")
    assert refused(lambda: tracking(url).set_experiment_tag(theirs, "a", "b")) == "PERMISSION_DENIED"
    log_in("admin")
    client.grant_user_permission("vera", "experiment", theirs, "EDIT")
    assert client.get_user_permission("vera", "experiment", theirs).permission == "EDIT"
    log_in("vera")
    tracking(url).set_experiment_tag(theirs, "a", "b")
    log_in("admin")
    client.revoke_user_permission("vera", "experiment", theirs)
    log_in("vera")
    assert refused(lambda: tracking(url).set_experiment_tag(theirs, "a", "c")) == "PERMISSION_DENIED"


def test_who_begins_an_experiment_or_a_model_manages_it(client, url: str, log_in: Callable[..., None]):
    log_in("vera")
    mine = tracking(url).create_experiment("mine")
    tracking(url).create_registered_model("mine")
    for kind, resource in (("experiment", mine), ("registered_model", "mine")):
        assert client.get_user_permission("vera", kind, resource).permission == "MANAGE"
    tracking(url).update_registered_model("mine", "hers")
    tracking(url).delete_experiment(mine)


def test_a_role_is_made_filled_held_and_taken_away(client, url: str, log_in: Callable[..., None]):
    theirs = tracking(url).create_experiment("theirs")
    role = client.create_role("default", "writers", "all of it")
    permission = client.add_role_permission(role.id, "experiment", "*", "READ")
    assert client.update_role_permission(permission.id, "EDIT").permission == "EDIT"
    assert [each.to_json() for each in client.list_role_permissions(role.id)] == [
        {**permission.to_json(), "permission": "EDIT"}
    ]
    assigned = client.assign_role("vera", role.id)
    assert [each.to_json() for each in client.list_role_users(role.id)] == [assigned.to_json()]
    assert "writers" in [each.name for each in client.list_user_roles("vera")]
    log_in("vera")
    tracking(url).set_experiment_tag(theirs, "a", "b")
    assert refused(client.list_all_roles) == "PERMISSION_DENIED"
    log_in("admin")
    assert client.update_role(role.id, name="scribes").name == "scribes"
    assert "scribes" in [each.name for each in client.list_roles("default")]
    client.remove_role_permission(permission.id)
    client.unassign_role("vera", role.id)
    client.delete_role(role.id)
    assert refused(lambda: client.get_role(role.id)) == "RESOURCE_DOES_NOT_EXIST"
    log_in("vera")
    assert refused(lambda: tracking(url).set_experiment_tag(theirs, "a", "c")) == "PERMISSION_DENIED"
