"""The registry through MLflow's protocol, raw: names, versions, aliases, stages and tags, on both databases."""

from collections.abc import Iterator
from typing import Any

import pytest

from taut.home import Home
from taut.models import record_gate
from taut.records import GateCheck
from taut.runs import create_run
from tests.faces.serving import served
from tests.faces.speaking import EXISTS, INT64_MAX, INVALID, NOT_FOUND, Speaker, tags_of

M = "mlflow/registered-models"
V = "mlflow/model-versions"
L = "mlflow/logged-models"
A = "mlflow-artifacts/artifacts"
NOW_MS = 1_700_000_000_000
REFUSED = (400, "BAD_REQUEST")
MLMODEL = b"flavors:\n  python_function:\n    loader_module: late\n"
SOURCE = "runs:/r/model"
YES = [GateCheck("rows", True, 1.0, 0.0, "enough rows")]
NO = [GateCheck("brier", False, 0.3, 0.2, "0.3, wanted at most 0.2")]


@pytest.fixture
def ask(home: Home) -> Iterator[Speaker]:
    """A server with the registered model `late`, and the run `r` with a model among its artifacts."""
    with served(home) as url:
        create_run(home, run_id="r")
        ask = Speaker(url)
        put(ask, "r/artifacts/model/MLmodel")
        ask.told(f"{M}/create", name="late")
        yield ask


def put(ask: Speaker, path: str, data: bytes = MLMODEL) -> None:
    assert ask("PUT", f"{A}/0/{path}", data).status == 200


def logged(ask: Speaker, *, ready: bool = True, name: str = "model") -> str:
    """A logged model of the run, with its file; returns its id."""
    model_id = str(ask.told(L, experiment_id="0", name=name, source_run_id="r")["model"]["info"]["model_id"])
    put(ask, f"models/{model_id}/artifacts/MLmodel")
    if ready:
        assert ask("PATCH", f"{L}/{model_id}", {"status": "LOGGED_MODEL_READY"}).status == 200
    return model_id


def versioned(ask: Speaker, name: str = "late", **said: object) -> dict[str, Any]:
    """Make the next version; returns it."""
    version: dict[str, Any] = ask.told(f"{V}/create", **{"name": name, "source": SOURCE, **said})["model_version"]
    return version


def model_of(ask: Speaker, name: str = "late") -> dict[str, Any]:
    said = ask.get(f"{M}/get", name=name)
    assert said.status == 200, said
    model: dict[str, Any] = said.body["registered_model"]
    return model


def version_of(ask: Speaker, number: int = 1, name: str = "late") -> dict[str, Any]:
    said = ask.get(f"{V}/get", name=name, version=number)
    assert said.status == 200, said
    version: dict[str, Any] = said.body["model_version"]
    return version


def names(ask: Speaker, **page: object) -> list[str]:
    said = ask.get(f"{M}/search", **page)
    assert said.status == 200, said
    return [model["name"] for model in said.body["registered_models"]]


def numbers(ask: Speaker, **page: object) -> list[tuple[str, str]]:
    said = ask.get(f"{V}/search", **page)
    assert said.status == 200, said
    return [(version["name"], version["version"]) for version in said.body["model_versions"]]


def latest(ask: Speaker, *stages: str) -> dict[str, str]:
    """Stage -> the number of its newest version, asked for by POST and by GET alike."""
    sent = ask.told(f"{M}/get-latest-versions", name="late", stages=list(stages))
    assert ask.get(f"{M}/get-latest-versions", name="late", stages=list(stages)).body == sent
    return {version["current_stage"]: version["version"] for version in sent["model_versions"]}


def test_a_model_that_is_made_is_the_model_that_is_read(ask: Speaker):
    tags = [{"key": "team", "value": "ops"}]
    made = ask.told(f"{M}/create", name="early", description="Is it early?", tags=tags)
    assert ask.get(f"{M}/get", name="early").body == made
    assert made["registered_model"] == {
        "name": "early",
        "creation_timestamp": NOW_MS,
        "last_updated_timestamp": NOW_MS,
        "description": "Is it early?",
        "tags": tags,
        "aliases": [],
        "latest_versions": [],
    }


def test_a_name_is_given_once(ask: Speaker):
    said = ask.post(f"{M}/create", name="late", description="another")
    assert said.code == EXISTS
    assert "late" in said.message
    assert model_of(ask)["description"] == ""


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", "a@b", "a\nb", "a\0b", "x" * 257, 7, None, ["a"]])
def test_a_name_that_could_not_be_told_apart_is_neither_made_nor_taken(ask: Speaker, name: object):
    assert ask.post(f"{M}/create", name=name).code == INVALID
    assert ask.post(f"{M}/rename", name="late", new_name=name).code == INVALID
    assert names(ask) == ["late"]


def test_one_tag_with_two_values_is_refused_and_nothing_is_made(ask: Speaker):
    two = [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]
    assert ask.post(f"{M}/create", name="early", tags=two).code == INVALID
    assert ask.post(f"{V}/create", name="late", source=SOURCE, tags=two).code == INVALID
    assert names(ask) == ["late"]
    assert numbers(ask) == []


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "get", {}),
        ("POST", "rename", {"new_name": "other"}),
        ("PATCH", "update", {"description": "d"}),
        ("DELETE", "delete", {}),
        ("POST", "set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "delete-tag", {"key": "k"}),
        ("POST", "alias", {"alias": "shadow", "version": "1"}),
        ("DELETE", "alias", {"alias": "shadow"}),
        ("GET", "alias", {"alias": "shadow"}),
        ("POST", "get-latest-versions", {}),
        ("GET", "get-latest-versions", {}),
    ],
)
def test_a_model_that_is_not_there_is_told_so(ask: Speaker, method: str, path: str, more: dict[str, str]):
    given = {"name": "nobody", **more}
    said = ask(method, f"{M}/{path}", **given) if method == "GET" else ask(method, f"{M}/{path}", given)
    assert said.code == NOT_FOUND
    assert "nobody" in said.message


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("GET", "get", {}),
        ("GET", "get-download-uri", {}),
        ("PATCH", "update", {"description": "d"}),
        ("DELETE", "delete", {}),
        ("POST", "set-tag", {"key": "k", "value": "v"}),
        ("DELETE", "delete-tag", {"key": "k"}),
        ("POST", "transition-stage", {"stage": "Staging"}),
    ],
)
def test_a_version_that_is_not_there_is_told_so_and_what_is_no_number_is_refused(
    ask: Speaker, method: str, path: str, more: dict[str, str]
):
    def code(name: str, version: object) -> tuple[int, str]:
        given = {"name": name, "version": version, **more}
        return (ask(method, f"{V}/{path}", **given) if method == "GET" else ask(method, f"{V}/{path}", given)).code

    versioned(ask)
    assert code("nobody", "1") == NOT_FOUND
    for absent in ("2", "0", 2):
        assert code("late", absent) == NOT_FOUND, absent
    for wrong in ("", "one", "1.5", str(INT64_MAX + 1)):
        assert code("late", wrong) == INVALID, wrong
    assert version_of(ask)["current_stage"] == "None"


@pytest.mark.parametrize("path", ["create", "rename", "set-tag", "alias", "get-latest-versions"])
@pytest.mark.parametrize("body", [b"{", b"[]", b'"late"', b"{}", b'{"name": {}}'])
def test_a_body_that_is_no_request_is_refused(ask: Speaker, path: str, body: bytes):
    assert ask("POST", f"{M}/{path}", body).code == INVALID


def test_a_new_name_takes_versions_and_aliases_along(ask: Speaker):
    versioned(ask)
    ask.told(f"{M}/alias", name="late", alias="shadow", version="1")
    renamed = ask.told(f"{M}/rename", name="late", new_name="delayed")["registered_model"]
    assert renamed == model_of(ask, "delayed")
    assert renamed["aliases"] == [{"alias": "shadow", "version": "1"}]
    assert [version["name"] for version in renamed["latest_versions"]] == ["delayed"]
    assert ask.get(f"{M}/get", name="late").code == NOT_FOUND
    assert numbers(ask) == [("delayed", "1")]


def test_a_name_that_is_taken_is_not_given_again(ask: Speaker):
    ask.told(f"{M}/create", name="early")
    for taken in ("early", "late"):
        assert ask.post(f"{M}/rename", name="late", new_name=taken).code == EXISTS, taken
    assert names(ask) == ["early", "late"]


def test_a_model_is_described_anew(ask: Speaker):
    for description in ("Will it be late?", ""):
        said = ask("PATCH", f"{M}/update", {"name": "late", "description": description})
        assert said.body["registered_model"]["description"] == description
        assert model_of(ask)["description"] == description


def test_a_deleted_model_is_gone_and_its_numbers_are_not_given_again(ask: Speaker):
    versioned(ask)
    said = ask("DELETE", f"{M}/delete", {"name": "late"})
    assert (said.status, said.body) == (200, {})
    assert ask.get(f"{M}/get", name="late").code == NOT_FOUND
    assert ask.get(f"{V}/get", name="late", version=1).code == NOT_FOUND
    assert ask("DELETE", f"{M}/delete", {"name": "late"}).code == NOT_FOUND
    assert (names(ask), numbers(ask)) == ([], [])
    ask.told(f"{M}/create", name="late")
    assert versioned(ask)["version"] == "2"


def test_a_tag_of_a_model_is_set_changed_and_taken_away(ask: Speaker):
    for value in ("a", "b"):
        assert ask.told(f"{M}/set-tag", name="late", key="team", value=value) == {}
        assert tags_of(model_of(ask)) == {"team": value}
    assert ask("DELETE", f"{M}/delete-tag", {"name": "late", "key": "team"}).body == {}
    assert model_of(ask)["tags"] == []


def test_a_tag_of_a_version_is_set_changed_and_taken_away(ask: Speaker):
    versioned(ask, tags=[{"key": "kept", "value": "1"}])
    for value in ("a", "b"):
        assert ask.told(f"{V}/set-tag", name="late", version="1", key="team", value=value) == {}
        assert tags_of(version_of(ask)) == {"kept": "1", "team": value}
    assert ask("DELETE", f"{V}/delete-tag", {"name": "late", "version": "1", "key": "team"}).body == {}
    assert tags_of(version_of(ask)) == {"kept": "1"}
    assert model_of(ask)["tags"] == []


@pytest.mark.parametrize("key", ["", "x" * 251, "taut.deleted_ms", "a\0b"])
def test_a_tag_that_cannot_be_is_refused(ask: Speaker, key: str):
    versioned(ask)
    assert ask.post(f"{M}/set-tag", name="late", key=key, value="v").code == INVALID
    assert ask.post(f"{V}/set-tag", name="late", version="1", key=key, value="v").code == INVALID
    assert model_of(ask)["tags"] == version_of(ask)["tags"] == []


def test_an_alias_points_moves_and_goes(ask: Speaker):
    versioned(ask)
    versioned(ask)
    for number in ("1", "2"):
        assert ask.told(f"{M}/alias", name="late", alias="shadow", version=number) == {}
        found = ask.get(f"{M}/alias", name="late", alias="shadow").body["model_version"]
        assert (found["version"], found["aliases"]) == (number, ["shadow"])
        assert model_of(ask)["aliases"] == [{"alias": "shadow", "version": number}]
    assert version_of(ask, 1)["aliases"] == []
    for _ in range(2):
        assert ask("DELETE", f"{M}/alias", {"name": "late", "alias": "shadow"}).body == {}
    assert ask.get(f"{M}/alias", name="late", alias="shadow").code == INVALID
    assert model_of(ask)["aliases"] == []


@pytest.mark.parametrize("alias", ["", "latest", "v1", "3", "a b", "a@b", "x" * 256, 7])
def test_an_alias_that_could_be_a_version_is_refused(ask: Speaker, alias: object):
    versioned(ask)
    assert ask.post(f"{M}/alias", name="late", alias=alias, version="1").code == INVALID
    assert model_of(ask)["aliases"] == []


def test_an_alias_points_at_nothing_that_is_not_there(ask: Speaker):
    for number in ("1", "0"):
        assert ask.post(f"{M}/alias", name="late", alias="shadow", version=number).code == NOT_FOUND, number
    assert ask.post(f"{M}/alias", name="late", alias="shadow", version="one").code == INVALID
    assert model_of(ask)["aliases"] == []


def test_no_version_that_its_gate_refused_becomes_champion(ask: Speaker, home: Home):
    versioned(ask)
    record_gate(home, "late", 1, checks=NO)
    said = ask.post(f"{M}/alias", name="late", alias="champion", version="1")
    assert said.code == REFUSED
    assert "the gate refused late@1" in said.message
    assert model_of(ask)["aliases"] == []
    ask.told(f"{M}/alias", name="late", alias="shadow", version="1")
    assert version_of(ask)["aliases"] == ["shadow"]


def test_a_version_whose_gate_said_yes_becomes_champion(ask: Speaker, home: Home):
    versioned(ask)
    record_gate(home, "late", 1, checks=YES)
    ask.told(f"{M}/alias", name="late", alias="champion", version="1")
    assert ask.get(f"{M}/alias", name="late", alias="champion").body["model_version"]["version"] == "1"


def test_a_gate_that_judged_against_another_champion_does_not_count(ask: Speaker, home: Home):
    for number in (1, 2, 3):
        versioned(ask)
        record_gate(home, "late", number, checks=YES, champion=1 if number > 1 else None)
    for moved in ("1", "2"):
        ask.told(f"{M}/alias", name="late", alias="champion", version=moved)
    said = ask.post(f"{M}/alias", name="late", alias="champion", version="3")
    assert said.code == REFUSED
    assert "version 1" in said.message
    assert model_of(ask)["aliases"] == [{"alias": "champion", "version": "2"}]


def test_a_version_out_of_a_run_is_the_version_that_is_read(ask: Speaker):
    tags = [{"key": "team", "value": "ops"}]
    made = versioned(ask, run_id="r", description="first", tags=tags)
    assert version_of(ask) == made
    assert made == {
        "name": "late",
        "version": "1",
        "creation_timestamp": NOW_MS,
        "last_updated_timestamp": NOW_MS,
        "user_id": "ada",
        "current_stage": "None",
        "description": "first",
        "source": SOURCE,
        "run_id": "r",
        "run_link": "",
        "status": "READY",
        "tags": tags,
        "aliases": [],
        "model_id": "",
    }
    assert model_of(ask)["latest_versions"] == [made]


def test_the_same_files_again_are_the_next_version(ask: Speaker):
    assert [versioned(ask)["version"] for _ in range(3)] == ["1", "2", "3"]


def test_a_version_out_of_a_logged_model_names_it_and_its_run(ask: Speaker):
    model_id = logged(ask)
    root = f"mlflow-artifacts:/0/models/{model_id}/artifacts"
    for source in (f"models:/{model_id}", root):
        made = versioned(ask, source=source, model_id=model_id)
        assert (made["source"], made["model_id"], made["run_id"]) == (f"models:/{model_id}", model_id, "r")
        uri = ask.get(f"{V}/get-download-uri", name="late", version=made["version"]).body
        assert uri == {"artifact_uri": root}


def test_a_version_out_of_a_version_keeps_its_files_and_run(ask: Speaker):
    versioned(ask)
    ask.told(f"{M}/create", name="early")
    made = versioned(ask, "early", source="models:/late/1")
    assert (made["name"], made["version"], made["source"]) == ("early", "1", "models:/late/1")
    assert made["run_id"] == "r"


def test_the_files_of_a_version_are_fetched_from_its_run(ask: Speaker):
    versioned(ask)
    uri = ask.get(f"{V}/get-download-uri", name="late", version="1").body["artifact_uri"]
    assert uri == "mlflow-artifacts:/0/r/artifacts/model"
    files = ask.get(A, path=uri.removeprefix("mlflow-artifacts:/")).body["files"]
    assert files == [{"path": "MLmodel", "is_dir": False, "file_size": len(MLMODEL)}]


@pytest.mark.parametrize(
    "source",
    ["", "/etc", "file:///etc", "../up", "s3://bucket/model", "https://example.org/m", "models:/", "runs:/r/../model"],
)
def test_a_source_that_this_home_does_not_keep_makes_no_version(ask: Speaker, source: str):
    assert ask.post(f"{V}/create", name="late", source=source).code in (INVALID, NOT_FOUND)
    assert numbers(ask) == []


@pytest.mark.parametrize(
    "source",
    [
        "runs:/nobody/model",
        "runs:/r/elsewhere",
        "models:/m-none",
        "models:/late/1",
        "models:/nobody/1",
        "mlflow-artifacts:/0/nobody/artifacts/model",
        "mlflow-artifacts:/404/r/artifacts/model",
    ],
)
def test_a_source_that_is_not_there_makes_no_version(ask: Speaker, source: str):
    assert ask.post(f"{V}/create", name="late", source=source).code == INVALID
    assert numbers(ask) == []


def test_what_is_no_finished_model_makes_no_version(ask: Speaker):
    put(ask, "r/artifacts/notes/read.me", b"no model")
    said = ask.post(f"{V}/create", name="late", source="runs:/r/notes")
    assert said.code == INVALID and "MLmodel" in said.message
    assert numbers(ask) == []


@pytest.mark.parametrize("status", ["PENDING", "UPLOAD_FAILED"])
@pytest.mark.parametrize(
    "source",
    [
        "models:/{id}", "runs:/r/unready", "mlflow-artifacts:/0/models/{id}/artifacts",
        "mlflow-artifacts:/0/models/{id}/artifacts/", "mlflow-artifacts://here/0/models/{id}/artifacts",
    ],
)  # fmt: skip
def test_a_logged_model_that_is_not_ready_makes_no_version_by_any_name(ask: Speaker, source: str, status: str):
    model_id = logged(ask, ready=False, name="unready")
    ask("PATCH", f"{L}/{model_id}", {"status": f"LOGGED_MODEL_{status}"})
    for named in ({}, {"model_id": model_id}, {"run_id": "r"}, {"run_id": "r", "model_id": model_id}):
        said = ask.post(f"{V}/create", name="late", source=source.format(id=model_id), **named)
        assert said.code == INVALID, (named, said)
        assert "is not ready: its status is" in said.message, (named, said)
    assert numbers(ask) == []
    ask("PATCH", f"{L}/{model_id}", {"status": "LOGGED_MODEL_READY"})
    assert versioned(ask, source=source.format(id=model_id), model_id=model_id)["model_id"] == model_id


def test_a_logged_model_that_was_deleted_makes_no_version(ask: Speaker):
    model_id = logged(ask)
    assert ask("DELETE", f"{L}/{model_id}").status == 200
    said = ask.post(f"{V}/create", name="late", source=f"models:/{model_id}")
    assert said.code == INVALID and "there is no logged model" in said.message


def test_a_source_must_agree_with_the_run_and_model_that_are_named(ask: Speaker):
    assert ask.post(f"{V}/create", name="late", source=SOURCE, run_id="another").code == INVALID
    assert ask.post(f"{V}/create", name="late", source=SOURCE, model_id="m-another").code == INVALID
    assert ask.post(f"{V}/create", name="late").code == INVALID
    assert numbers(ask) == []


def test_a_version_is_made_only_of_a_model_that_is_registered(ask: Speaker):
    assert ask.post(f"{V}/create", name="nobody", source=SOURCE).code == NOT_FOUND
    assert names(ask) == ["late"]


def test_a_version_is_described_anew(ask: Speaker):
    versioned(ask, description="first")
    said = ask("PATCH", f"{V}/update", {"name": "late", "version": "1", "description": "better"})
    assert said.body["model_version"] == version_of(ask)
    assert version_of(ask)["description"] == "better"


def test_a_deleted_version_takes_its_alias_along_and_leaves_its_number(ask: Speaker):
    versioned(ask)
    versioned(ask)
    ask.told(f"{M}/alias", name="late", alias="shadow", version="2")
    assert ask("DELETE", f"{V}/delete", {"name": "late", "version": "2"}).body == {}
    for path in ("get", "get-download-uri"):
        assert ask.get(f"{V}/{path}", name="late", version="2").code == NOT_FOUND, path
    assert ask("DELETE", f"{V}/delete", {"name": "late", "version": "2"}).code == NOT_FOUND
    assert model_of(ask)["aliases"] == []
    assert versioned(ask)["version"] == "3"
    assert numbers(ask) == [("late", "3"), ("late", "1")]


def test_the_newest_of_each_stage_is_told(ask: Speaker):
    assert latest(ask) == {}
    for _ in range(3):
        versioned(ask)
    ask.told(f"{V}/transition-stage", name="late", version="1", stage="Production")
    assert latest(ask) == {"Production": "1", "None": "3"}
    assert latest(ask, "production") == {"Production": "1"}
    assert latest(ask, "None", "Staging") == {"None": "3"}


@pytest.mark.parametrize("archive", [True, False])
def test_a_stage_is_taken_over_and_who_was_there_goes_only_if_asked(ask: Speaker, archive: bool):
    for number in ("1", "2"):
        versioned(ask)
        moved = ask.told(
            f"{V}/transition-stage", name="late", version=number, stage="staging", archive_existing_versions=archive
        )
        assert moved["model_version"]["current_stage"] == "Staging"
    assert version_of(ask, 1)["current_stage"] == ("Archived" if archive else "Staging")
    assert version_of(ask, 2)["current_stage"] == "Staging"


@pytest.mark.parametrize("stage", ["", "Live", "None ", 7])
def test_a_stage_that_mlflow_does_not_know_is_refused(ask: Speaker, stage: object):
    versioned(ask)
    assert ask.post(f"{V}/transition-stage", name="late", version="1", stage=stage).code == INVALID
    assert version_of(ask)["current_stage"] == "None"


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("", ["early", "late", "soon"]),
        ("name = 'late'", ["late"]),
        ("name LIKE '%o%'", ["soon"]),
        ("name ILIKE 'LA%'", ["late"]),
        ("tags.team = 'ops'", ["soon"]),
        ("name = 'nobody'", []),
    ],
)
def test_models_are_found_by_name_and_tag(ask: Speaker, filter: str, found: list[str]):
    ask.told(f"{M}/create", name="soon", tags=[{"key": "team", "value": "ops"}])
    ask.told(f"{M}/create", name="early")
    assert names(ask, filter=filter) == found
    assert names(ask, filter=filter, order_by=["name DESC"]) == found[::-1]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("", [("early", "1"), ("late", "2"), ("late", "1")]),
        ("name = 'late'", [("late", "2"), ("late", "1")]),
        ("run_id = 'r' and name = 'early'", [("early", "1")]),
        ("version_number > 1", [("late", "2")]),
        ("tags.team = 'ops'", [("late", "1")]),
        ("source_path = 'models:/late/1'", [("early", "1")]),
        ("run_id = 'nobody'", []),
    ],
)
def test_versions_are_found_by_what_they_came_from(ask: Speaker, filter: str, found: list[tuple[str, str]]):
    ask.told(f"{M}/create", name="early")
    versioned(ask, tags=[{"key": "team", "value": "ops"}])
    versioned(ask)
    versioned(ask, "early", source="models:/late/1")
    assert numbers(ask, filter=filter) == found


@pytest.mark.parametrize(("place", "field"), [(M, "registered_models"), (V, "model_versions")])
def test_pages_of_a_search_make_up_the_whole(ask: Speaker, place: str, field: str):
    for name in ("a", "b", "c", "d"):
        ask.told(f"{M}/create", name=name)
        versioned(ask, name)
    found, token, pages = [], "", 0
    while page := ask.get(f"{place}/search", max_results=2, page_token=token).body:
        found += page[field]
        pages += 1
        token = page.get("next_page_token", "")
        if not token:
            break
    assert found == ask.get(f"{place}/search").body[field]
    assert pages == (len(found) + 1) // 2 > 1


@pytest.mark.parametrize("place", [M, V])
@pytest.mark.parametrize(
    "page",
    [
        {"filter": "name ="},
        {"filter": "colour = 'red'"},
        {"filter": "name = 'late' or name"},
        {"order_by": "colour"},
        {"max_results": 0},
        {"max_results": "many"},
        {"max_results": 200_001},
        {"page_token": "no token"},
    ],
)
def test_a_search_that_cannot_be_read_is_refused(ask: Speaker, place: str, page: dict[str, object]):
    versioned(ask)
    assert ask.get(f"{place}/search", **page).code == INVALID


def test_both_prefixes_lead_to_the_same_registry(ask: Speaker):
    page = Speaker(ask.url, "/ajax-api/2.0/")
    page.told(f"{M}/create", name="early")
    assert ask.post(f"{M}/create", name="early").code == page.post(f"{M}/create", name="early").code == EXISTS
    versioned(page, "early")
    page.told(f"{M}/alias", name="early", alias="shadow", version="1")
    for path, given in (
        (f"{M}/get", {"name": "early"}),
        (f"{M}/search", {}),
        (f"{M}/alias", {"name": "early", "alias": "shadow"}),
        (f"{M}/get-latest-versions", {"name": "early"}),
        (f"{V}/get", {"name": "early", "version": "1"}),
        (f"{V}/search", {}),
        (f"{V}/get-download-uri", {"name": "early", "version": "1"}),
        (f"{V}/get", {"name": "early", "version": "9"}),
    ):
        said = page.get(path, **given)
        assert said.body and said == ask.get(path, **given), path
