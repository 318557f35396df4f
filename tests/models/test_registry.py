"""Versions are numbered once, tied to their run and digest, found by name, and never take more than is theirs."""

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound, Refused, TautError
from taut.ground.access import Actor
from taut.ground.ledger import downstream, draw_arrow, events, upstream
from taut.home import Home
from taut.models import (
    create_model,
    delete_alias,
    delete_model,
    delete_version,
    deployments_of,
    describe_model,
    describe_version,
    find_model,
    latest_versions,
    list_models,
    list_versions,
    model_files,
    parse_signature,
    record_model,
    register_folder,
    register_model,
    rename_model,
    search_models,
    search_versions,
    set_alias,
    set_stage,
    show_model,
    tag_model,
    tag_version,
)
from taut.models.tree import digest_of, tree_of_folder
from taut.records import TreeFile
from taut.runs import create_run, put_artifact
from tests.models.conftest import Shelf, logged, upload


def kinds(home: Home) -> list[str]:
    with home.meta.read() as tx:
        return [event.kind for event in events(tx)]


def test_what_changes_nothing_leaves_the_models_time_and_the_ledger_alone(home: Home, shelf: Shelf):
    version = register_folder(home, "late", shelf.folders["good"])
    set_alias(home, "late", "candidate", 1)
    told, model = kinds(home), show_model(home, "late")
    home.clock.pass_ms(1000)  # type: ignore[attr-defined]  # It is one that is set.
    set_alias(home, "late", "candidate", 1)
    delete_alias(home, "late", "challenger")
    assert register_folder(home, "late", shelf.folders["good"]).number == version.number
    assert (kinds(home), show_model(home, "late")) == (told, model)
    delete_alias(home, "late", "candidate")
    assert show_model(home, "late").updated_ms == model.updated_ms + 1000
    assert kinds(home) == [*told, "model.unaliased"]


def test_a_runs_logged_model_becomes_a_version_with_digest_signature_and_arrow(home: Home, shelf: Shelf):
    run_id, model_id = logged(home, shelf.folders["good"])
    version = register_model(home, "late", run_id=run_id)
    assert (version.name, version.number, version.run_id, version.model_id) == ("late", 1, run_id, model_id)
    assert version.digest == digest_of(tree_of_folder(shelf.folders["good"]))
    signature = parse_signature(version.signature)
    assert signature is not None and [(c.name, c.kind) for c in signature.inputs] == [
        ("delay", "double"),
        ("hour", "long"),
        ("carrier", "string"),
    ]
    with home.meta.read() as tx:
        assert [(arrow.source, arrow.relation) for arrow in upstream(tx, version.point)] == [(f"run:{run_id}", "made")]
    assert "model.registered" in kinds(home)


def test_the_newest_ready_model_of_a_run_is_taken(home: Home, shelf: Shelf, later: Callable[[], None]):
    run_id, _ = logged(home, shelf.folders["linear"])
    later()
    _, second = logged(home, shelf.folders["good"], run_id=run_id)
    later()
    logged(home, shelf.folders["noisy"], run_id=run_id, ready=False)
    assert register_model(home, "late", run_id=run_id).model_id == second


def test_the_same_model_of_the_same_run_is_the_same_version(home: Home, shelf: Shelf):
    run_id, model_id = logged(home, shelf.folders["good"])
    first = register_model(home, "late", run_id=run_id)
    before = len(kinds(home))
    assert register_model(home, "late", model_id=model_id) == first
    assert register_model(home, "late", source=f"runs:/{run_id}/model") == first
    assert len(kinds(home)) == before
    assert register_model(home, "late", run_id=run_id, again=True).number == 2
    other_run, _ = logged(home, shelf.folders["good"])
    assert register_model(home, "late", run_id=other_run).number == 3


def test_a_folder_of_a_runs_artifacts_can_be_a_model(home: Home, shelf: Shelf):
    run = create_run(home)
    upload(home, f"{run.experiment_id}/{run.id}/artifacts", shelf.folders["good"], below="deep/model/")
    version = register_model(home, "late", source=f"runs:/{run.id}/deep/model")
    assert version.digest == digest_of(tree_of_folder(shelf.folders["good"]))
    assert register_model(home, "late", run_id=run.id) == version


@pytest.mark.parametrize("form", ["models:/{m}", "mlflow-artifacts:/{e}/models/{m}/artifacts", "runs:/{r}/model"])
def test_every_way_an_mlflow_client_names_a_source_finds_the_same_files(home: Home, shelf: Shelf, form: str):
    run_id, model_id = logged(home, shelf.folders["good"])
    with home.meta.read() as tx:
        row = tx.row("SELECT experiment_id FROM run WHERE id = :id", {"id": run_id})
    assert row is not None
    source = form.format(m=model_id, e=row[0], r=run_id)
    assert register_model(home, "late", source=source, run_id=run_id).model_id == model_id


def test_a_version_can_be_copied_to_another_name(home: Home, shelf: Shelf):
    original = register_folder(home, "late", shelf.folders["good"])
    copy = register_model(home, "late-prod", source="models:/late/1")
    assert (copy.name, copy.number, copy.digest) == ("late-prod", 1, original.digest)


@pytest.mark.parametrize(
    "source",
    [
        "/etc",
        "file:///etc",
        "s3://bucket/model",
        "https://example.org/model",
        "runs:/{r}/../{other}/artifacts",
        "mlflow-artifacts:/9/{r}/artifacts",
        "mlflow-artifacts:/../{r}/artifacts",
        "mlflow-artifacts:/0/models/{m}/artifacts/../../x",
        "models:/m-unknown",
        "runs:/unknown/model",
        "runs:/{r}/nothing-there",
        "",
    ],
)
def test_a_source_outside_a_runs_artifacts_is_refused(home: Home, shelf: Shelf, source: str):
    run_id, model_id = logged(home, shelf.folders["good"])
    other, _ = logged(home, shelf.folders["noisy"])
    with pytest.raises((Invalid, NotFound)):
        register_model(home, "late", source=source.format(r=run_id, other=other, m=model_id))
    assert list_models(home) == []


def test_a_version_cannot_claim_a_run_that_did_not_make_it(home: Home, shelf: Shelf):
    run_id, _ = logged(home, shelf.folders["good"])
    _, others_model = logged(home, shelf.folders["noisy"])
    with pytest.raises(Invalid, match="belongs to run"):
        register_model(home, "late", source=f"models:/{others_model}", run_id=run_id)


def test_a_model_that_is_not_ready_is_refused(home: Home, shelf: Shelf):
    run_id, model_id = logged(home, shelf.folders["good"], ready=False)
    with pytest.raises(Invalid, match="not ready"):
        register_model(home, "late", model_id=model_id)
    with pytest.raises(Invalid, match="not ready"):
        register_model(home, "late", run_id=run_id)


def test_a_run_without_a_model_says_so(home: Home):
    run = create_run(home)
    put_artifact(home, f"{run.experiment_id}/{run.id}/artifacts", "a.txt", home.objects.put(io.BytesIO(b"a")), 1)
    with pytest.raises(NotFound, match="no logged model"):
        register_model(home, "late", run_id=run.id)
    with pytest.raises(Invalid, match="holds no MLmodel file"):
        register_model(home, "late", source=f"runs:/{run.id}")


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "a@b", "x" * 300, "tab\tbed"])
def test_a_name_that_could_be_taken_for_something_else_is_refused(home: Home, shelf: Shelf, name: str):
    with pytest.raises(Invalid, match="cannot name a model"):
        create_model(home, name)
    with pytest.raises(Invalid):
        register_folder(home, name, shelf.folders["good"])


def test_a_folder_is_registered_once_and_its_files_are_listed(home: Home, shelf: Shelf):
    version = register_folder(home, "late", shelf.folders["good"], description="by hand")
    assert register_folder(home, "late", shelf.folders["good"]).number == version.number
    assert version.source == "folder:good" and version.run_id == ""
    assert model_files(home, "late", 1) == list(tree_of_folder(shelf.folders["good"]))


def test_a_folder_that_is_no_model_is_refused(home: Home, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Invalid, match="no MLmodel"):
        register_folder(home, "late", tmp_path / "empty")
    with pytest.raises(NotFound):
        register_folder(home, "late", tmp_path / "absent")


def test_files_that_are_not_stored_or_would_leave_the_folder_are_refused(home: Home, shelf: Shelf):
    files = list(tree_of_folder(shelf.folders["good"]))
    with pytest.raises(Invalid, match="are not stored"):
        record_model(home, "late", files, source="folder:x")
    for path in ("../MLmodel", "/MLmodel", "a/../../MLmodel", "a\\..\\b"):
        with pytest.raises(Invalid, match="cannot be the path"):
            record_model(home, "late", [*files, TreeFile(path, files[0].oid, "", 1)], source="folder:x")


def test_a_misspelt_name_number_or_alias_suggests_what_there_is(home: Home, shelf: Shelf):
    register_folder(home, "flights-late", shelf.folders["good"])
    set_alias(home, "flights-late", "shadow", 1)
    with pytest.raises(NotFound, match="did you mean 'flights-late'"):
        find_model(home, "flight-late")
    with pytest.raises(NotFound, match=r"has no version 7; it has 1 to 1"):
        find_model(home, "flights-late@7")
    with pytest.raises(NotFound, match="did you mean 'shadow'"):
        find_model(home, "flights-late@shadw")
    with pytest.raises(Invalid):
        find_model(home, "@3")


def test_a_version_is_found_by_number_alias_or_as_the_newest(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    register_folder(home, "late", shelf.folders["noisy"])
    set_alias(home, "late", "shadow", 1)
    assert find_model(home, "late@1") == find_model(home, "late@shadow")
    assert find_model(home, "late").number == find_model(home, "late@latest").number == 2
    assert find_model(home, "late@1").aliases == ("shadow",)
    assert show_model(home, "late").aliases == {"shadow": 1}
    assert [model.newest for model in list_models(home)] == [2]


def test_two_who_register_at_once_get_two_numbers(home: Home, shelf: Shelf):
    create_model(home, "late")
    start = threading.Barrier(2)
    numbers: list[int] = []

    def register(name: str) -> None:
        start.wait()
        numbers.append(register_folder(home, "late", shelf.folders[name]).number)

    threads = [threading.Thread(target=register, args=[name]) for name in ("good", "noisy")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(numbers) == [1, 2]


def test_the_number_of_a_deleted_version_is_not_given_again(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    set_alias(home, "late", "shadow", 1)
    delete_version(home, "late", 1)
    with pytest.raises(NotFound, match="was deleted"):
        find_model(home, "late@1")
    assert show_model(home, "late").aliases == {}
    assert register_folder(home, "late", shelf.folders["good"]).number == 2
    delete_model(home, "late")
    assert list_models(home) == [] and list_versions(home) == []
    with pytest.raises(NotFound):
        show_model(home, "late")
    assert register_folder(home, "late", shelf.folders["good"]).number == 3


def test_what_was_deployed_is_neither_deleted_nor_renamed(home: Home, shelf: Shelf):
    version = register_folder(home, "late", shelf.folders["good"])
    with home.meta.transaction() as tx:
        draw_arrow(tx, version.point, "serves", "deployment:late@1", at_ms=1)
    assert deployments_of(home, "late", 1) == ["deployment:late@1"]
    for attempt in (
        lambda: delete_version(home, "late", 1),
        lambda: delete_model(home, "late"),
        lambda: rename_model(home, "late", "later"),
    ):
        with pytest.raises(Refused, match="deployment:late@1 served it"):
            attempt()
    assert find_model(home, "late@1") == version


def test_a_new_name_takes_versions_aliases_and_arrows_along(home: Home, shelf: Shelf):
    run_id, _ = logged(home, shelf.folders["good"])
    register_model(home, "late", run_id=run_id)
    set_alias(home, "late", "shadow", 1)
    create_model(home, "taken")
    with pytest.raises(Conflict):
        rename_model(home, "late", "taken")
    assert rename_model(home, "late", "later").aliases == {"shadow": 1}
    assert find_model(home, "later@shadow").run_id == run_id
    with pytest.raises(NotFound):
        find_model(home, "late")
    with home.meta.read() as tx:
        assert [arrow.target for arrow in downstream(tx, f"run:{run_id}")] == ["model:later@1"]


def test_tags_descriptions_and_stages_are_kept(home: Home, shelf: Shelf):
    register_folder(home, "late", shelf.folders["good"])
    register_folder(home, "late", shelf.folders["noisy"])
    assert describe_model(home, "late", "flights").description == "flights"
    assert tag_model(home, "late", "team", "ops").tags == {"team": "ops"}
    assert tag_model(home, "late", "team", None).tags == {}
    assert describe_version(home, "late", 1, "first").description == "first"
    assert tag_version(home, "late", 1, "ok", "yes").tags == {"ok": "yes"}
    assert set_stage(home, "late", 1, "production").stage == "Production"
    assert set_stage(home, "late", 2, "Production", archive_others=True).stage == "Production"
    assert find_model(home, "late@1").stage == "Archived"
    assert [v.number for v in latest_versions(home, "late", stages=["Production"])] == [2]
    with pytest.raises(Invalid, match="there is no stage 'Live'"):
        set_stage(home, "late", 1, "Live")
    with pytest.raises(Invalid, match="taut's own"):
        tag_model(home, "late", "taut.deleted_ms", "1")


def test_the_registry_is_searched_in_mlflows_language(home: Home, shelf: Shelf):
    for name in ("churn", "late-eu", "late-us"):
        register_folder(home, name, shelf.folders["good"])
    register_folder(home, "late-us", shelf.folders["noisy"])
    tag_model(home, "late-us", "team", "ops")
    tag_version(home, "late-us", 2, "ok", "yes")
    assert [m.name for m in search_models(home, filter="name LIKE 'late%'").models] == ["late-eu", "late-us"]
    assert [m.name for m in search_models(home, filter="tags.team = 'ops'").models] == ["late-us"]
    assert [m.name for m in search_models(home, order_by=["name DESC"]).models] == ["late-us", "late-eu", "churn"]
    found = search_versions(home, filter="name = 'late-us' AND version_number > 1").versions
    assert [(v.name, v.number) for v in found] == [("late-us", 2)]
    assert [v.number for v in search_versions(home, filter="name = 'late-us'").versions] == [2, 1]
    assert len(search_versions(home, filter="tags.ok = 'yes'").versions) == 1
    first = search_models(home, max_results=2)
    assert [m.name for m in search_models(home, max_results=2, page_token=first.next_page).models] == ["late-us"]
    for wrong in ("name LIKE", "colour = 'red'", "metrics.auc > 1"):
        with pytest.raises(Invalid):
            search_models(home, filter=wrong)


@pytest.mark.parametrize(
    ("role", "attempt"),
    [
        ("viewer", lambda home: create_model(home, "late")),
        ("viewer", lambda home: register_model(home, "late", run_id="x")),
        ("data-scientist", lambda home: set_alias(home, "late", "champion", 1)),
        ("data-scientist", lambda home: set_stage(home, "late", 1, "Production")),
        ("ml-engineer", lambda home: delete_model(home, "late")),
        ("anonymous", list_models),
    ],
)
def test_who_may_not_is_denied_and_it_is_written_down(home: Home, shelf: Shelf, role: str, attempt):
    register_folder(home, "late", shelf.folders["good"])
    with pytest.raises(Denied):
        attempt(home.as_actor(Actor("eve", role)))
    assert kinds(home)[-1] == "access.denied"


def test_an_error_of_the_registry_has_a_next_step(home: Home):
    with pytest.raises(TautError) as caught:
        find_model(home, "late")
    assert caught.value.hint == "taut model register late --run RUN"
