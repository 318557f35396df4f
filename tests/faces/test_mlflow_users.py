"""Users, permissions and roles through MLflow's protocol, raw: shapes, codes and who may ask, on both databases."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taut.errors import Conflict, Denied
from taut.faces.http.server import bound, serve_home
from taut.govern import create_token, create_user, delete_user
from taut.home import Home
from tests.faces.serving import served
from tests.faces.speaking import EXISTS, INVALID, NOT_FOUND, Said, Speaker

U = "mlflow/users"
G = "mlflow/roles"
E = "mlflow/experiments"
M = "mlflow/registered-models"
WORD = "correct horse battery"
OTHER = "staple of a donkey"
DENIED = (403, "PERMISSION_DENIED")
UNKNOWN = (401, "UNAUTHENTICATED")
REFUSED = (400, "BAD_REQUEST")

As = Callable[..., Speaker]


@pytest.fixture
def speak(home: Home) -> Iterator[As]:
    """Speaks as a user of that name, below `/api/2.0/` or the prefix of another version."""
    create_user(home, "admin", WORD, role="owner")
    with served(home) as url:
        yield lambda name="admin", password=WORD, api="2.0": Speaker(url, f"/api/{api}/", password, name)


@pytest.fixture
def vera(speak: As) -> dict[str, Any]:
    """A user whom an admin made through the protocol."""
    said: dict[str, Any] = speak().told(f"{U}/create", username="vera", password=WORD)["user"]
    return said


def experiment(ask: Speaker, name: str = "flights") -> str:
    return str(ask.told(f"{E}/create", name=name)["experiment_id"])


# Users


def test_a_user_is_made_and_shown_as_mlflow_shows_one(speak: As, vera: dict[str, Any]):
    assert {key: vera[key] for key in ("username", "is_admin")} == {"username": "vera", "is_admin": False}
    assert isinstance(vera["id"], int)
    assert all(vera[f"{kind}_permissions"] == [] for kind in ("experiment", "registered_model", "scorer"))
    assert WORD not in str(vera)
    assert speak().get(f"{U}/get", username="vera").body["user"] == vera
    listed = speak().get(f"{U}/list").body["users"]
    assert [(one["username"], one["is_admin"]) for one in listed] == [("admin", True), ("vera", False)]
    assert {"id", "username", "is_admin", "roles"} == set(listed[1])


def test_a_user_of_mlflow_reads_all_begins_things_and_writes_only_to_those(speak: As, vera: dict[str, Any]):
    theirs = experiment(speak(), "theirs")
    own = speak("vera")
    mine = experiment(own, "mine")
    assert own.get(f"{E}/get", experiment_id=theirs).status == 200
    for route in ("set-experiment-tag", "update", "delete"):
        body = {"experiment_id": theirs, "key": "a", "value": "b", "new_name": "c"}
        assert own("POST", f"{E}/{route}", body).code == DENIED, route
    assert own.post(f"{E}/set-experiment-tag", experiment_id=mine, key="a", value="b").status == 200
    assert own.post(f"{M}/create", name="hers").status == 200
    assert own("PATCH", f"{M}/update", {"name": "hers", "description": "d"}).status == 200
    speak().told(f"{M}/create", name="theirs")
    assert own("PATCH", f"{M}/update", {"name": "theirs", "description": "d"}).code == DENIED
    assert own.get(f"{M}/get", name="theirs").status == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"username": "admin", "password": WORD}, EXISTS), ({"username": "", "password": WORD}, INVALID),
        ({"username": "a:b", "password": WORD}, INVALID), ({"username": "dora", "password": "short"}, INVALID),
        ({"username": "dora"}, INVALID), ({"password": WORD}, INVALID), ({"username": 7, "password": WORD}, INVALID),
        ({"username": "dora", "password": "x" * 2000}, INVALID),
        ({"username": "dora\ud800", "password": WORD}, INVALID),
    ],
)  # fmt: skip
def test_a_user_that_cannot_be_is_told_why(speak: As, body: dict[str, Any], code: tuple[int, str]):
    assert speak().post(f"{U}/create", **body).code == code
    assert [one["username"] for one in speak().get(f"{U}/list").body["users"]] == ["admin"]


def test_a_plain_user_sees_and_changes_nobody_else(speak: As, vera: dict[str, Any]):
    own = speak("vera")
    assert own.get(f"{U}/get", username="vera").body["user"]["id"] == vera["id"]
    for said in (
        own.get(f"{U}/get", username="admin"),
        own.get(f"{U}/get", username="nobody"),
        own.get(f"{U}/list"),
        own.post(f"{U}/create", username="dora", password=WORD),
        own("PATCH", f"{U}/update-password", {"username": "admin", "password": OTHER}),
        own("PATCH", f"{U}/update-admin", {"username": "vera", "is_admin": True}),
        own("DELETE", f"{U}/delete", {"username": "admin"}),
    ):
        assert said.code == DENIED, said


def test_who_asks_is_told_who_they_are(speak: As, vera: dict[str, Any], home: Home):
    assert speak("vera").get(f"{U}/current").body == {
        "user": {"id": vera["id"], "username": "vera", "is_admin": False},
        "is_basic_auth": True,
    }
    token = create_token(home, "ci", "viewer").secret
    said = Speaker(speak().url, "/api/2.0/", token).get(f"{U}/current").body["user"]
    assert said == {"id": 0, "username": "ci", "is_admin": False}


def test_a_password_is_changed_by_an_admin_and_by_oneself_with_the_old_one(speak: As, vera: dict[str, Any]):
    change = {"username": "vera", "password": OTHER}
    for body in (change, {**change, "current_password": OTHER}, {**change, "password": WORD, "current_password": WORD}):
        assert speak("vera")("PATCH", f"{U}/update-password", body).code == INVALID
    assert speak("vera")("PATCH", f"{U}/update-password", {**change, "current_password": WORD}).body == {}
    assert speak("vera").get(f"{U}/current").code == UNKNOWN
    assert speak("vera", OTHER).get(f"{U}/current").status == 200
    assert speak()("PATCH", f"{U}/update-password", {"username": "vera", "password": WORD}).status == 200
    assert speak("vera", OTHER).get(f"{U}/current").code == UNKNOWN
    assert speak()("PATCH", f"{U}/update-password", {"username": "nobody", "password": WORD}).code == NOT_FOUND


def test_an_admin_is_an_owner_and_the_last_one_stays(speak: As, vera: dict[str, Any]):
    assert speak()("PATCH", f"{U}/update-admin", {"username": "admin", "is_admin": False}).code == REFUSED
    assert speak()("PATCH", f"{U}/update-admin", {"username": "vera", "is_admin": True}).body == {}
    assert speak("vera").get(f"{U}/list").status == 200
    assert speak("vera")("PATCH", f"{U}/update-admin", {"username": "admin", "is_admin": False}).status == 200
    assert speak().get(f"{U}/list").code == DENIED
    assert speak("vera")("PATCH", f"{U}/update-admin", {"username": "nobody", "is_admin": True}).code == NOT_FOUND


def test_a_deleted_user_is_gone_at_once_and_nobody_deletes_themselves(speak: As, vera: dict[str, Any]):
    assert speak("vera").get(f"{U}/current").status == 200
    assert speak()("DELETE", f"{U}/delete", {"username": "admin"}).code == REFUSED
    assert speak()("DELETE", f"{U}/delete", {"username": "vera"}).body == {}
    assert speak("vera").get(f"{U}/current").code == UNKNOWN
    assert speak()("DELETE", f"{U}/delete", {"username": "vera"}).code == NOT_FOUND
    assert speak()("DELETE", f"{U}/delete", username="nobody").code == NOT_FOUND


def test_wrong_passwords_end_in_429_with_a_time_to_come_back(speak: As, vera: dict[str, Any]):
    import urllib3

    answers = [speak("vera", OTHER).get(f"{U}/current").code for _ in range(12)]
    assert answers[:10] == [UNKNOWN] * 10
    assert answers[-1] == (429, "REQUEST_LIMIT_EXCEEDED")
    headers = urllib3.make_headers(basic_auth=f"vera:{OTHER}")
    answer = urllib3.request("GET", f"{speak().url}/api/2.0/{U}/current", headers=headers, retries=False)
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 6
    assert speak().get(f"{U}/current").status == 200


# Permissions of single users, as clients before 3.10 ask for them

KINDS = pytest.mark.parametrize("kind", ["experiment", "model"])


def on(kind: str, speak: As) -> tuple[str, str, dict[str, str]]:
    """The routes of a kind, the name of what they answer, and something of that kind of an admin's."""
    if kind == "experiment":
        return f"{E}/permissions", "experiment_permission", {"experiment_id": experiment(speak())}
    speak().told(f"{M}/create", name="late")
    return f"{M}/permissions", "registered_model_permission", {"name": "late"}


def write(speak: As, kind: str, thing: dict[str, str]) -> Said:
    """Something that needs EDIT."""
    if kind == "experiment":
        return speak("vera").post(f"{E}/set-experiment-tag", **thing, key="a", value="b")
    return speak("vera")("PATCH", f"{M}/update", {**thing, "description": "d"})


@KINDS
def test_a_permission_is_made_read_changed_and_taken_away(speak: As, vera: dict[str, Any], kind: str):
    at, told, thing = on(kind, speak)
    asked = {**thing, "username": "vera"}
    assert speak().get(f"{at}/get", **asked).code == NOT_FOUND
    assert speak()("PATCH", f"{at}/update", {**asked, "permission": "READ"}).code == NOT_FOUND
    assert write(speak, kind, thing).code == DENIED
    made = speak().told(f"{at}/create", **asked, permission="EDIT")[told]
    expected = {**thing, "user_id": vera["id"], "permission": "EDIT"}
    assert made == (expected if kind == "experiment" else {**expected, "workspace": "default"})
    assert write(speak, kind, thing).status == 200
    assert speak().post(f"{at}/create", **asked, permission="READ").code == EXISTS
    assert speak("vera").get(f"{at}/get", **asked).body[told] == made
    assert speak()("PATCH", f"{at}/update", {**asked, "permission": "READ"}).body == {}
    assert write(speak, kind, thing).code == DENIED
    assert speak()("DELETE", f"{at}/delete", asked).body == {}
    assert speak()("DELETE", f"{at}/delete", asked).code == NOT_FOUND


@KINDS
@pytest.mark.parametrize("permission", ["READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS"])
def test_every_permission_of_mlflow_is_taken(speak: As, vera: dict[str, Any], kind: str, permission: str):
    at, told, thing = on(kind, speak)
    assert (
        speak().told(f"{at}/create", **thing, username="vera", permission=permission)[told]["permission"] == permission
    )
    read = speak("vera").get(f"{E if kind == 'experiment' else M}/get", **thing)
    assert read.status == (403 if permission == "NO_PERMISSIONS" else 200)


@KINDS
def test_a_permission_of_no_meaning_or_on_nothing_is_refused(speak: As, vera: dict[str, Any], kind: str):
    at, _, thing = on(kind, speak)
    asked = {**thing, "username": "vera", "permission": "EDIT"}
    for wrong, code in (
        ({"permission": "ALL"}, INVALID), ({"permission": ""}, INVALID), ({"username": "nobody"}, NOT_FOUND),
        ({next(iter(thing)): "77"}, NOT_FOUND),
    ):  # fmt: skip
        assert speak().post(f"{at}/create", **{**asked, **wrong}).code == code, wrong


@KINDS
def test_who_manages_a_thing_shares_it_and_who_does_not_cannot(speak: As, vera: dict[str, Any], kind: str):
    at, _, thing = on(kind, speak)
    speak().told(f"{U}/create", username="dora", password=WORD)
    asked = {**thing, "username": "dora", "permission": "READ"}
    for level in (None, "READ", "EDIT"):
        if level:
            speak()("DELETE", f"{at}/delete", {**thing, "username": "vera"})
            speak().told(f"{at}/create", **thing, username="vera", permission=level)
        assert speak("vera").post(f"{at}/create", **asked).code == DENIED, level
    speak()("PATCH", f"{at}/update", {**thing, "username": "vera", "permission": "MANAGE"})
    assert speak("vera").post(f"{at}/create", **asked).status == 200
    assert speak("vera")("DELETE", f"{at}/delete", {**thing, "username": "dora"}).status == 200


def test_what_may_not_be_seen_is_in_no_search(speak: As, vera: dict[str, Any]):
    hidden = experiment(speak(), "hidden")
    speak().told(f"{M}/create", name="hidden")
    for path, thing in ((E, {"experiment_id": hidden}), (M, {"name": "hidden"})):
        speak().told(f"{path}/permissions/create", **thing, username="vera", permission="NO_PERMISSIONS")
    own = speak("vera")
    found = own.told(f"{E}/search", max_results=100)["experiments"]
    assert "hidden" not in {one["name"] for one in found}
    assert own.get(f"{M}/search").body["registered_models"] == []
    assert own.get(f"{E}/get-by-name", experiment_name="hidden").code == DENIED
    assert own.post("mlflow/logged-models/search", experiment_ids=[hidden]).body["models"] == []
    assert own.get("mlflow-artifacts/artifacts", path=f"{hidden}/r/artifacts").code == DENIED


# Permissions and roles of MLflow 3


def test_a_grant_is_made_told_and_revoked(speak: As, vera: dict[str, Any]):
    three, thing = speak(api="3.0"), experiment(speak())
    asked = {"username": "vera", "resource_type": "experiment", "resource_id": thing}
    assert three.get(f"{U}/permissions/get", **asked).body == {"allowed": False, "permission": "READ"}
    assert three.post(f"{U}/permissions/grant", **asked, permission="EDIT").body == {}
    assert three.get(f"{U}/permissions/get", **asked).body == {"allowed": True, "permission": "EDIT"}
    assert three.post(f"{U}/permissions/grant", **asked, permission="EDIT").code == EXISTS
    own = {
        "role_name": f"__user_{vera['id']}__", "workspace": "default", "resource_type": "experiment",
        "resource_pattern": thing, "permission": "EDIT",
    }  # fmt: skip
    for said in (
        three.get(f"{U}/permissions/list", username="vera"),
        speak("vera", api="3.0").get(f"{U}/current/permissions"),
        speak("vera", api="3.0").get(f"{U}/permissions/list", username="vera"),
    ):
        assert said.body["is_admin"] is False
        rows = [{key: row[key] for key in own} for row in said.body["permissions"]]
        assert own in rows
        assert {row["resource_type"] for row in rows} == {"experiment", "workspace"}
    assert three.post(f"{U}/permissions/revoke", **asked).body == {}
    assert three.post(f"{U}/permissions/revoke", **asked).code == NOT_FOUND
    gone = {**asked, "resource_id": "77"}
    assert three.get(f"{U}/permissions/get", **gone).body == {"allowed": False, "permission": "NO_PERMISSIONS"}
    assert three.get(f"{U}/permissions/get", **{**asked, "username": "admin"}).body["permission"] == "MANAGE"


@pytest.mark.parametrize(
    "resource_type", ["scorer", "gateway_secret", "gateway_endpoint", "mcp_server", "run", "workspace"]
)
def test_what_taut_has_none_of_can_be_granted_on_by_nobody(speak: As, vera: dict[str, Any], resource_type: str):
    asked = {"username": "vera", "resource_type": resource_type, "resource_id": "*"}
    three = speak(api="3.0")
    for said in (
        three.post(f"{U}/permissions/grant", **asked, permission="READ"),
        three.post(f"{U}/permissions/revoke", **asked),
        three.get(f"{U}/permissions/get", **asked),
    ):
        assert said.code == INVALID, said


def test_a_plain_user_asks_for_nobody_elses_permissions(speak: As, vera: dict[str, Any]):
    own, thing = speak("vera", api="3.0"), experiment(speak())
    asked = {"username": "admin", "resource_type": "experiment", "resource_id": thing}
    for said in (
        own.get(f"{U}/permissions/list", username="admin"),
        own.get(f"{U}/permissions/get", **asked),
        own.get(f"{U}/roles/list", username="admin"),
        own.post(f"{U}/permissions/grant", **{**asked, "username": "vera"}, permission="EDIT"),
        own.get(f"{G}/list"),
        own.post(f"{G}/create", workspace="default", name="x"),
        own.post(f"{G}/assign", username="vera", role_id=1),
    ):
        assert said.code == DENIED, said


def test_a_role_is_made_filled_held_and_felt(speak: As, vera: dict[str, Any]):
    three, thing = speak(api="3.0"), experiment(speak())
    role = three.told(f"{G}/create", workspace="default", name="writers", description="all of it")["role"]
    assert {**role, "id": 0} == {
        "id": 0, "name": "writers", "workspace": "default", "description": "all of it", "permissions": [],
    }  # fmt: skip
    asked = {"role_id": role["id"], "resource_type": "experiment", "resource_pattern": "*"}
    added = three.told(f"{G}/permissions/add", **asked, permission="EDIT")["role_permission"]
    assert added == {**asked, "id": added["id"], "permission": "EDIT"}
    assert three.post(f"{G}/permissions/add", **asked, permission="READ").code == EXISTS
    assert three.get(f"{G}/get", role_id=role["id"]).body["role"]["permissions"] == [added]
    assert three.get(f"{G}/permissions/list", role_id=str(role["id"])).body == {"role_permissions": [added]}

    held = three.told(f"{G}/assign", username="vera", role_id=role["id"])["assignment"]
    assert held == {"id": held["id"], "user_id": vera["id"], "role_id": role["id"]}
    assert three.post(f"{G}/assign", username="vera", role_id=role["id"]).code == EXISTS
    assert three.get(f"{G}/users/list", role_id=role["id"]).body == {"assignments": [held]}
    for asker in (three, speak("vera", api="3.0")):
        names = [one["name"] for one in asker.get(f"{U}/roles/list", username="vera").body["roles"]]
        assert "writers" in names
    assert write(speak, "experiment", {"experiment_id": thing}).status == 200

    change = {"role_permission_id": added["id"], "permission": "DENY"}
    assert three("PATCH", f"{G}/permissions/update", change).body["role_permission"]["permission"] == "DENY"
    assert speak("vera").get(f"{E}/get", experiment_id=thing).code == DENIED
    assert three("DELETE", f"{G}/permissions/remove", {"role_permission_id": added["id"]}).body == {}
    assert speak("vera").get(f"{E}/get", experiment_id=thing).status == 200
    assert three("DELETE", f"{G}/unassign", {"username": "vera", "role_id": role["id"]}).body == {}
    assert three("DELETE", f"{G}/unassign", {"username": "vera", "role_id": role["id"]}).code == NOT_FOUND
    assert three("DELETE", f"{G}/delete", {"role_id": role["id"]}).body == {}
    assert three.get(f"{G}/get", role_id=role["id"]).code == NOT_FOUND


def test_roles_are_listed_renamed_and_told_apart(speak: As):
    three = speak(api="3.0")
    role = three.told(f"{G}/create", workspace="default", name="one")["role"]
    assert role["description"] is None
    assert three.post(f"{G}/create", workspace="default", name="one").code == EXISTS
    for wrong in ({"name": ""}, {"name": " "}, {"name": "__user_1__"}, {"workspace": "other"}, {"description": 7}):
        assert three.post(f"{G}/create", **{"workspace": "default", "name": "two", **wrong}).code == INVALID, wrong
    renamed = three("PATCH", f"{G}/update", {"role_id": role["id"], "name": "two", "description": "d"}).body["role"]
    assert (renamed["name"], renamed["description"]) == ("two", "d")
    assert three("PATCH", f"{G}/update", {"role_id": role["id"]}).code == INVALID
    assert three("PATCH", f"{G}/update", {"role_id": 99, "name": "x"}).code == NOT_FOUND
    assert [one["name"] for one in three.get(f"{G}/list").body["roles"]] == ["two"]
    assert [one["name"] for one in three.get(f"{G}/list", workspace="default").body["roles"]] == ["two"]
    assert three.get(f"{G}/list", workspace="other").body == {"roles": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {"resource_type": "scorer"}, {"resource_type": "workspace", "resource_pattern": "x"}, {"permission": "ALL"},
        {"resource_type": "workspace", "permission": "READ"}, {"resource_pattern": ""},
    ],
)  # fmt: skip
def test_a_role_grants_nothing_that_would_mean_nothing(speak: As, wrong: dict[str, str]):
    three = speak(api="3.0")
    role = three.told(f"{G}/create", workspace="default", name="one")["role"]
    asked = {"role_id": role["id"], "resource_type": "experiment", "resource_pattern": "*", "permission": "MANAGE"}
    assert three.post(f"{G}/permissions/add", **{**asked, **wrong}).code == INVALID
    assert three.post(f"{G}/permissions/add", **{**asked, "role_id": 99}).code == NOT_FOUND


def test_workspace_manage_is_a_project_admin_who_makes_no_owner(speak: As, vera: dict[str, Any]):
    three = speak(api="3.0")
    role = three.told(f"{G}/create", workspace="default", name="lead")["role"]
    asked = {"role_id": role["id"], "resource_type": "workspace", "resource_pattern": "*", "permission": "MANAGE"}
    three.told(f"{G}/permissions/add", **asked)
    three.told(f"{G}/assign", username="vera", role_id=role["id"])
    assert speak("vera").post(f"{U}/create", username="dora", password=WORD).status == 200
    assert speak("vera")("PATCH", f"{U}/update-admin", {"username": "vera", "is_admin": True}).code == DENIED


# The server itself


def test_a_home_with_a_user_but_no_token_may_listen_to_the_world(home: Home):
    with bound("0.0.0.0", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Denied) as refused:
            serve_home(home, "0.0.0.0", port)
        assert "taut user create" in refused.value.hint
        create_user(home, "olga", WORD, role="owner")
        with pytest.raises(Conflict):  # It was let as far as the port, which somebody else has.
            serve_home(home, "0.0.0.0", port)


def test_nobody_passes_without_a_login_once_there_is_a_user(speak: As, home: Home):
    stranger = Speaker(speak().url)
    assert stranger.get(f"{E}/search", max_results=1).code == UNKNOWN
    create_token(home, "root", "owner")
    delete_user(home, "admin")
    assert stranger.get(f"{E}/search", max_results=1).code == UNKNOWN


def test_refusals_begin_with_the_words_that_mlflows_programs_look_for(speak: As, vera: dict[str, Any]):
    admin, own = speak(), speak("vera")
    three = speak(api="3.0")
    strange = {"username": "vera", "password": OTHER, "current_password": "x"}
    role = three.told(f"{G}/create", name="readers", workspace="default")["role"]["id"]
    on_nothing = {"role_id": role, "resource_type": "bogus", "resource_pattern": "*", "permission": "READ"}
    for said, code, words in (
        (speak("nobody").get(f"{U}/current"), UNKNOWN, "You are not authenticated."),
        (own.get(f"{U}/list"), DENIED, "Permission denied: vera"),
        (
            own("PATCH", f"{U}/update-password", {**strange, "current_password": ""}),
            INVALID,
            "Current password is required",
        ),
        (own("PATCH", f"{U}/update-password", strange), INVALID, "Current password does not match"),
        (admin.get(f"{U}/get", username="eve"), NOT_FOUND, "User with username=eve not found"),
        (admin.post(f"{U}/create", username="vera", password=WORD), EXISTS, "User (username=vera) already exists"),
        (three.get(f"{G}/get", role_id=99), NOT_FOUND, "Role with id=99 not found"),
        (three.post(f"{G}/create", name="readers", workspace="default"), EXISTS, "Role 'readers' already exists"),
        (three("PATCH", f"{G}/update", {"role_id": role}), INVALID, "At least one of 'name' or 'description'"),
        (three.post(f"{G}/permissions/add", **on_nothing), INVALID, "Invalid resource type 'bogus'"),
    ):
        assert (said.code, said.message[: len(words)]) == (code, words), said
