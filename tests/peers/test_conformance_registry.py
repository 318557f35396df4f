"""The registry through `MlflowClient`: models, versions, aliases, stages, tags, searches, where versions come from."""

import time

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")
BAD, GONE, TWICE = "INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"


@pytest.fixture
def source(client, run_id, tmp_path) -> str:
    """The place of a model's files in a run."""
    (tmp_path / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: nothing\n")
    client.log_artifact(run_id, str(tmp_path / "MLmodel"), "model")
    return f"runs:/{run_id}/model"


@pytest.fixture
def model(client, unique) -> str:
    """The name of a registered model without versions."""
    return str(client.create_registered_model(unique("model")).name)


@pytest.fixture
def versions(client, model, source, run_id) -> str:
    """The name of a registered model with three versions."""
    for _ in range(3):
        client.create_model_version(model, source, run_id)
    return model


def test_a_model_is_what_was_registered(client, unique):
    name = unique("ünï ✈ model")
    made = client.create_registered_model(name, tags={"t": "x", "ü": "ö"}, description="späte Flüge")
    for one in (made, client.get_registered_model(name)):
        assert (one.name, one.description, one.tags) == (name, "späte Flüge", {"t": "x", "ü": "ö"})
        assert (one.aliases, one.latest_versions) == ({}, [])
        assert one.creation_timestamp == one.last_updated_timestamp > 1_600_000_000_000


def test_names_of_models_are_taken_once(client, model, mlflow):
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"Registered Model .+ already exists") as told:
        client.create_registered_model(model)
    assert told.value.error_code == TWICE


@pytest.mark.parametrize("name", ["", "a/b", "a:b"])
def test_some_names_of_models_are_refused(client, code_of, name):
    assert code_of(client.create_registered_model, name) == BAD


def test_a_model_is_described_renamed_and_deleted(client, versions, unique, code_of, mlflow):
    assert client.update_registered_model(versions, "new words").description == "new words"
    name = unique("renamed")
    client.rename_registered_model(versions, name)
    assert {one.name for one in client.search_model_versions(f"name = '{name}'")} == {name}
    assert code_of(client.get_registered_model, versions) == GONE
    client.delete_registered_model(name)
    with pytest.raises(mlflow.exceptions.MlflowException, match=f"Registered Model with name={name} not found"):
        client.get_registered_model(name)
    assert client.search_model_versions(f"name = '{name}'") == []


def test_a_model_is_not_renamed_to_a_taken_name(client, model, unique, code_of):
    other = client.create_registered_model(unique("other")).name
    assert code_of(client.rename_registered_model, model, other) == TWICE


def test_tags_of_models_come_change_and_go(client, model, code_of):
    client.set_registered_model_tag(model, "k", "v")
    client.set_registered_model_tag(model, "k", "ü" * 5000)
    client.set_registered_model_tag(model, "empty", "")
    assert client.get_registered_model(model).tags == {"k": "ü" * 5000, "empty": ""}
    client.delete_registered_model_tag(model, "k")
    client.delete_registered_model_tag(model, "never there")
    assert client.get_registered_model(model).tags == {"empty": ""}


def test_a_version_is_what_was_made(client, model, source, run_id):
    made = client.create_model_version(model, source, run_id, tags={"a": "1"}, description="first")
    for one in (made, client.get_model_version(model, "1"), client.get_model_version(model, 1)):
        assert (one.name, str(one.version), one.status, one.current_stage) == (model, "1", "READY", "None")
        assert (one.source, one.run_id, one.tags, one.description) == (source, run_id, {"a": "1"}, "first")
        assert one.aliases == []
        assert one.creation_timestamp == one.last_updated_timestamp > 1_600_000_000_000


def test_versions_are_counted_and_no_number_is_given_twice(client, versions, source, run_id, code_of):
    client.delete_model_version(versions, "2")
    assert str(client.create_model_version(versions, source, run_id).version) == "4"
    assert code_of(client.get_model_version, versions, "2") == GONE
    assert code_of(client.delete_model_version, versions, "2") == GONE
    assert [str(one.version) for one in client.search_model_versions(f"name = '{versions}'")] == ["4", "3", "1"]


def test_a_version_that_nobody_made_is_told_in_words_that_clients_know(client, model, mlflow):
    with pytest.raises(mlflow.exceptions.MlflowException, match=r"Model Version \(name=.+, version=7\) not found"):
        client.get_model_version(model, "7")


def test_no_version_of_a_model_that_nobody_registered(client, source, run_id, unique, code_of):
    assert code_of(client.create_model_version, unique("nobody"), source, run_id) == GONE


def test_a_version_is_described_and_tagged(client, versions):
    assert client.update_model_version(versions, "2", "second").description == "second"
    client.set_model_version_tag(versions, "2", "k", "v")
    client.set_model_version_tag(versions, "2", "empty", "")
    client.delete_model_version_tag(versions, "2", "never there")
    assert client.get_model_version(versions, "2").tags == {"k": "v", "empty": ""}
    client.delete_model_version_tag(versions, "2", "k")
    assert client.get_model_version(versions, "2").tags == {"empty": ""}


def test_aliases_point_move_and_go(client, versions, code_of, mlflow):
    client.set_registered_model_alias(versions, "best", "1")
    client.set_registered_model_alias(versions, "Other-one_2", "2")
    client.set_registered_model_alias(versions, "best", "3")
    aliases = client.get_registered_model(versions).aliases
    assert {alias: str(number) for alias, number in aliases.items()} == {"best": "3", "Other-one_2": "2"}
    assert str(client.get_model_version_by_alias(versions, "best").version) == "3"
    assert client.get_model_version(versions, "3").aliases == ["best"]
    assert client.get_model_version(versions, "1").aliases == []
    client.delete_registered_model_alias(versions, "best")
    client.delete_registered_model_alias(versions, "best")
    with pytest.raises(mlflow.exceptions.MlflowException, match="Registered model alias best not found") as told:
        client.get_model_version_by_alias(versions, "best")
    assert told.value.error_code == BAD


def test_aliases_go_with_their_version(client, versions, code_of):
    client.set_registered_model_alias(versions, "best", "2")
    client.delete_model_version(versions, "2")
    assert client.get_registered_model(versions).aliases == {}
    assert code_of(client.get_model_version_by_alias, versions, "best") == BAD


@pytest.mark.parametrize("alias", ["latest", "Latest", "v1", "V23", "a b", "a/b", "x" * 256, "ü#"])
def test_some_aliases_are_refused(client, versions, code_of, alias):
    assert code_of(client.set_registered_model_alias, versions, alias, "1") == BAD


def test_an_alias_needs_a_version(client, model, code_of):
    assert code_of(client.set_registered_model_alias, model, "best", "9") == GONE


def test_stages_move_and_archive(client, versions, code_of):
    assert client.transition_model_version_stage(versions, "1", "production").current_stage == "Production"
    client.transition_model_version_stage(versions, "2", "Production", archive_existing_versions=True)
    stages = {str(one.version): one.current_stage for one in client.search_model_versions(f"name = '{versions}'")}
    assert stages == {"1": "Archived", "2": "Production", "3": "None"}
    latest = {one.current_stage: str(one.version) for one in client.get_latest_versions(versions)}
    assert latest == {"Archived": "1", "Production": "2", "None": "3"}
    assert [str(one.version) for one in client.get_latest_versions(versions, ["Production"])] == ["2"]
    assert client.get_latest_versions(versions, ["Staging"]) == []
    assert code_of(client.transition_model_version_stage, versions, "1", "Nowhere") == BAD
    assert code_of(client.get_latest_versions, versions, ["Nowhere"]) == BAD


def test_the_latest_versions_of_a_model_without_versions_are_none(client, model, code_of, unique):
    assert client.get_latest_versions(model) == []
    assert code_of(client.get_latest_versions, unique("nobody")) == GONE


def test_the_files_of_a_version_are_fetched(client, mlflow, versions, run_id, tmp_path, is_taut):
    if is_taut:  # The stock server answers the source as it was sent.
        assert client.get_model_version_download_uri(versions, "1").endswith(f"/{run_id}/artifacts/model")
    got = mlflow.artifacts.download_artifacts(f"models:/{versions}/1", dst_path=str(tmp_path / "got"))
    assert "python_function" in (tmp_path / "got" / "MLmodel").read_text(), got
    client.set_registered_model_alias(versions, "best", "1")
    assert mlflow.artifacts.list_artifacts(f"models:/{versions}@best")


def test_a_version_is_copied_to_another_model(client, versions, unique):
    client.set_model_version_tag(versions, "1", "k", "v")
    name = unique("copied")
    copy = client.copy_model_version(f"models:/{versions}/1", name)
    assert (copy.name, str(copy.version), copy.source) == (name, "1", f"models:/{versions}/1")
    client.set_registered_model_alias(versions, "best", "2")
    again = client.copy_model_version(f"models:/{versions}@best", name)
    assert (str(again.version), again.source) == ("2", f"models:/{versions}/2")
    assert client.get_model_version_download_uri(name, "1") == client.get_model_version_download_uri(versions, "1")


SOURCES = [
    "/etc",
    "file:///etc",
    "path/to/model",
    "http://example.org/m",
    "runs:/nobody/m",
    "models:/m-1",
    "mlflow-artifacts:/0/x",
    "mlflow-artifacts:/0/../../etc",
    "../up",
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("named", [False, True], ids=["no run", "run"])
def test_a_version_comes_from_the_artifacts_of_its_run_only(client, model, run_id, code_of, source, named):
    assert code_of(client.create_model_version, model, source, run_id if named else None) == BAD
    assert client.search_model_versions(f"name = '{model}'") == []


@pytest.fixture(scope="module")
def shelf(shared_url):
    """A client and the common beginning of six registered models' names; the even ones have a tag."""
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(shared_url, shared_url)
    name = f"Shelf-{id(client)}-"
    for number in range(6):
        client.create_registered_model(f"{name}{number}", tags={"even": "yes"} if number % 2 == 0 else {"odd": "yes"})
    return client, name


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("name = '{}3'", "3"),
        ("name != '{}3' AND name LIKE '{}%'", "01245"),
        ("name LIKE '{}%'", "012345"),
        ("name ILIKE '{}4'", "4"),
        ("name LIKE '%nobody'", ""),
        ("tags.even = 'yes' AND name LIKE '{}%'", "024"),
        ("tags.odd != 'no' and name LIKE '{}%'", "135"),
        ("tag.even LIKE 'y%' AND name LIKE '{}%'", "024"),
        ("tags.`even` ILIKE 'YES' AND name LIKE '{}%'", "024"),
    ],
)
def test_models_are_filtered(shelf, filter, expected):
    client, name = shelf
    found = client.search_registered_models(filter.replace("{}", name))
    assert "".join(one.name[-1] for one in found) == expected


@pytest.mark.parametrize("filter", ["colour = 'x'", "name > 'x'x", "name =", "tags.k", "name LIKE 5", "'x' = name"])
def test_bad_filters_of_models_are_refused(client, code_of, filter):
    assert code_of(client.search_registered_models, filter) == BAD


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["name ASC"], "012345"),
        (["name DESC"], "543210"),
        (["last_updated_timestamp DESC", "name"], "543210"),
        (["timestamp ASC", "name ASC"], "012345"),
    ],
)
def test_models_are_ordered_and_paged_to_the_end(shelf, order, expected):
    client, name = shelf
    seen, token = "", None
    while True:
        page = client.search_registered_models(f"name LIKE '{name}%'", max_results=4, order_by=order, page_token=token)
        seen += "".join(one.name[-1] for one in page)
        if not (token := page.token):
            break
    assert sorted(seen) == sorted(expected)
    if order[0].startswith("name"):
        assert seen == expected


def test_versions_are_filtered(client, versions, run_id, source):
    client.set_model_version_tag(versions, "2", "k", "v")

    def numbers(filter: str, **more: object) -> list[str]:
        return [str(one.version) for one in client.search_model_versions(filter.replace("{}", versions), **more)]

    assert numbers("name = '{}'") == ["3", "2", "1"]
    assert numbers(f"name LIKE '{versions}%' AND run_id = '{run_id}'") == ["3", "2", "1"]
    assert numbers(f"run_id IN ('{run_id}', 'x')") == ["3", "2", "1"]
    assert numbers(f"source_path = '{source}'") == ["3", "2", "1"]
    assert numbers("name = '{}' AND version_number = 2") == ["2"]
    assert numbers("name = '{}' AND version_number > 1") == ["3", "2"]
    assert numbers("name = '{}' AND tags.k = 'v'") == ["2"]
    assert numbers("name = '{}' AND tags.k != 'v'") == []
    assert numbers("name = '{}'", order_by=["version_number ASC"]) == ["1", "2", "3"]
    assert numbers("name = '{}'", order_by=["version_number DESC"], max_results=2) == ["3", "2"]
    assert numbers("run_id = 'nobody'") == []


def test_versions_are_paged_to_the_end(client, versions):
    seen, token = [], None
    while True:
        page = client.search_model_versions(f"name = '{versions}'", max_results=2, page_token=token)
        seen += [str(one.version) for one in page]
        if not (token := page.token):
            break
    assert seen == ["3", "2", "1"]


@pytest.mark.parametrize("filter", ["colour = 'x'", "version_number = 'x'", "name =", "run_id > 5x"])
def test_bad_filters_of_versions_are_refused(client, code_of, filter):
    assert code_of(client.search_model_versions, filter) == BAD


def test_register_model_makes_what_is_missing(mlflow, client, run_id, source, unique):
    name = unique("registered")
    first = mlflow.register_model(source, name, tags={"a": "1"})
    again = mlflow.register_model(source, name)
    assert [str(one.version) for one in (first, again)] == ["1", "2"]
    assert client.get_model_version(name, "1").tags == {"a": "1"}


def test_versions_that_were_changed_last_are_found_first(client, unique, run_id, shared_url):
    import requests

    run = client.get_run(run_id).info
    place = f"{shared_url}/api/2.0/mlflow-artifacts/artifacts/{run.experiment_id}/{run_id}/artifacts/model/MLmodel"
    mlmodel = b"flavors:\n  python_function:\n    loader_module: nothing\n"
    assert requests.put(place, data=mlmodel, timeout=30).status_code == 200
    names = [unique(f"{letter} ordered") for letter in "abc"]
    for name in names:
        client.create_registered_model(name)
        client.create_model_version(name, f"runs:/{run_id}/model", run_id)
        time.sleep(0.01)  # Their times are in milliseconds.
    client.update_model_version(names[1], "1", description="changed")
    found = [version.name for version in client.search_model_versions(f"run_id = '{run_id}'")]
    assert found == [names[1], names[2], names[0]]
    by_name = client.search_model_versions(f"run_id = '{run_id}'", order_by=["name ASC"])
    assert [version.name for version in by_name] == names
