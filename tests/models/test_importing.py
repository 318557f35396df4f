"""Registered models and versions written down as they were elsewhere, on SQLite and PostgreSQL."""

import io
from dataclasses import replace

import pytest

from taut.errors import Conflict, Denied, Invalid
from taut.ground.access import Actor
from taut.home import Home
from taut.models import (
    RegisteredModel,
    create_model,
    delete_model,
    delete_version,
    find_model,
    import_model,
    import_version,
    list_models,
    model_files,
    set_alias,
    settle_imported_model,
    show_model,
)
from taut.records import ModelVersion, TreeFile

THERE = "http://there"
THEIRS = RegisteredModel("late", "says it", 1000, 2000, 0, {"champion": 3}, {"owner": "ada"})
VERSION = ModelVersion(
    "late", 3, "s3://bucket/7/run/artifacts/model", "run1", "", "", "", "Production", "READY", "third", "eve", 1100,
    1200, (), {"n": "3"},
)  # fmt: skip


def stored(home: Home, path: str = "MLmodel", data: bytes = b"flavors: {}\n") -> TreeFile:
    return TreeFile(path, home.objects.put(io.BytesIO(data)), "", len(data))


def moved_version(home: Home, version: ModelVersion = VERSION, *files: TreeFile, mark: str = "m") -> ModelVersion:
    return import_version(home, version, list(files), source=THERE, mark=mark, tally={})


def test_a_model_keeps_name_times_description_and_tags(home: Home):
    assert import_model(home, THEIRS, source=THERE).ours == "late"
    moved_version(home)
    set_alias(home, "late", "champion", 3)
    settle_imported_model(home, "late", THEIRS, source=THERE, mark="x")
    assert show_model(home, "late") == replace(THEIRS, newest=3)


def test_a_version_keeps_number_stage_source_user_and_times(home: Home):
    import_model(home, THEIRS, source=THERE)
    moved_version(home, VERSION, stored(home), stored(home, "data/x.bin", b"x"))
    here = find_model(home, "late@3")
    assert replace(here, digest="", signature="") == VERSION
    assert [file.path for file in model_files(home, "late", 3)] == ["MLmodel", "data/x.bin"]
    with home.meta.read() as tx:
        assert tx.rows("SELECT source, at_ms FROM lineage WHERE target = :p", {"p": here.point}) == [("run:run1", 1100)]


def test_a_version_again_is_brought_up_to_date(home: Home):
    import_model(home, THEIRS, source=THERE)
    moved_version(home, mark="")
    assert model_files(home, "late", 3) == []
    again = moved_version(home, replace(VERSION, stage="Archived", description="older"), stored(home))
    assert (again.stage, again.description, len(model_files(home, "late", 3))) == ("Archived", "older", 1)


def test_the_next_number_comes_after_the_highest_that_was_moved(home: Home):
    from taut.models import register_folder

    import_model(home, THEIRS, source=THERE)
    moved_version(home, VERSION, stored(home))
    folder = home.project / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {x: {}}\n")
    assert register_folder(home, "late", folder).number == 4


def test_a_taken_name_is_left_alone_and_the_new_one_is_remembered(home: Home):
    create_model(home, "late")
    assert import_model(home, THEIRS, source=THERE).ours == "late-mlflow"
    assert import_model(home, THEIRS, source=THERE).ours == "late-mlflow"
    assert import_model(home, replace(THEIRS, created_ms=5), source="http://third").ours == "late-mlflow-2"
    assert [model.name for model in list_models(home)] == ["late", "late-mlflow", "late-mlflow-2"]


def test_a_name_whose_model_was_deleted_is_taken(home: Home):
    create_model(home, "late")
    delete_model(home, "late")
    assert import_model(home, THEIRS, source=THERE).ours == "late-mlflow"


def test_a_model_made_in_the_same_millisecond_is_the_same(home: Home):
    import_model(home, THEIRS, source=THERE)
    assert import_model(home, THEIRS, source="sqlite:////there.db").ours == "late"
    moved_version(home)
    assert import_version(home, VERSION, [], source="sqlite:////there.db", mark="", tally={}).number == 3


def test_another_version_of_that_number_is_a_conflict(home: Home):
    import_model(home, THEIRS, source=THERE)
    moved_version(home)
    with pytest.raises(Conflict, match="exists already, and is not the one of http://fourth"):
        import_version(home, replace(VERSION, created_ms=9), [], source="http://fourth", mark="", tally={})


def test_a_version_that_was_deleted_here_does_not_come_back(home: Home):
    import_model(home, THEIRS, source=THERE)
    moved_version(home)
    delete_version(home, "late", 3)
    with pytest.raises(Conflict, match="was deleted here"):
        moved_version(home)


def test_files_that_are_not_stored_or_leave_their_folder_are_refused(home: Home):
    import_model(home, THEIRS, source=THERE)
    with pytest.raises(Invalid, match="1 of 1 files"):
        moved_version(home, VERSION, TreeFile("MLmodel", "0" * 64, "", 3))
    with pytest.raises(Invalid):
        moved_version(home, VERSION, replace(stored(home), path="../x"))


def test_an_impossible_name_is_refused(home: Home):
    with pytest.raises(Invalid):
        import_model(home, replace(THEIRS, name="a@b"), source=THERE)


def test_an_mlmodel_file_that_cannot_be_read_is_kept_as_it_is(home: Home):
    import_model(home, THEIRS, source=THERE)
    assert moved_version(home, VERSION, stored(home, data=b"{: no yaml")).signature == ""


@pytest.mark.parametrize("role", ["viewer", "data-scientist", "approver"])
def test_who_may_not_promote_cannot_import(home: Home, role: str):
    theirs = home.as_actor(Actor("eve", role))
    with pytest.raises(Denied):
        import_model(theirs, THEIRS, source=THERE)
    with pytest.raises(Denied):
        moved_version(theirs)
    with pytest.raises(Denied):
        settle_imported_model(theirs, "late", THEIRS, source=THERE, mark="")
