"""Artifacts: names for stored objects below a run or logged model; no path leaves its root, however it is written."""

import io

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.runs import (
    all_artifacts,
    create_logged_model,
    create_run,
    delete_artifacts,
    find_artifact,
    list_artifacts,
    model_root,
    put_artifact,
    run_root,
    split_root,
)
from taut.runs.traces import Trace, delete_traces, start_trace


@pytest.fixture
def root(home) -> str:
    return run_root("0", create_run(home, run_id="r").id)


def put(home, root: str, path: str, data: bytes = b"x") -> str:
    oid = home.objects.put(io.BytesIO(data))
    put_artifact(home, root, path, oid, len(data))
    return oid


def test_files_are_listed_as_folders_hold_them(home, root):
    for path in ("a.txt", "plots/roc.png", "plots/deep/x.png", "ünï côdé #1?.txt"):
        put(home, root, path)
    assert [(a.path, a.is_folder) for a in list_artifacts(home, root)] == [
        ("a.txt", False), ("plots", True), ("ünï côdé #1?.txt", False),
    ]  # fmt: skip
    assert [a.path for a in list_artifacts(home, root, "plots")] == ["plots/deep", "plots/roc.png"]
    assert list_artifacts(home, root, "a.txt") == list_artifacts(home, root, "nowhere") == []
    assert len(all_artifacts(home, root)) == 4


def test_a_file_put_again_is_the_new_one(home, root):
    put(home, root, "a", b"one")
    oid = put(home, root, "a", b"three")
    assert (find_artifact(home, root, "a").oid, find_artifact(home, root, "a").size_bytes) == (oid, 5)


def test_a_name_is_a_file_or_a_folder(home, root):
    put(home, root, "a/b")
    put(home, root, "a.b")
    put(home, root, "a0")
    for path in ("a", "a/b/c"):
        with pytest.raises(Conflict):
            put(home, root, path)


UNSAFE = [
    "../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/", "a\\..\\b", "%2e%2e/x", "%252e%252e/x", "..%2fx", "a\x00",
    "C:/x", "c%3a/x", "%2fetc", "", "x" * 1025,
]  # fmt: skip


def test_no_path_leaves_its_root(home, root):
    for path in UNSAFE:
        with pytest.raises(Invalid, match="not a path"):
            put(home, root, path)
        with pytest.raises(Invalid):
            find_artifact(home, root, path)
    assert all_artifacts(home, root) == []


@pytest.mark.parametrize("place", ["0/r", "0/r/artifactsx/a", "r/artifacts/a", "0/x/r/artifacts/a", "../r/artifacts/a"])
def test_a_place_in_no_run_or_model_is_refused(place):
    with pytest.raises(Invalid):
        split_root(place)


def test_places_name_runs_and_logged_models():
    assert split_root("0/r/artifacts") == ("0/r/artifacts", "")
    assert split_root("0/models/m-1/artifacts/MLmodel") == ("0/models/m-1/artifacts", "MLmodel")
    assert split_root("0/traces/tr-1/artifacts/a/b") == ("0/traces/tr-1/artifacts", "a/b")
    assert split_root("0/traces/artifacts/a") == ("0/traces/artifacts", "a")  # Of a run that is called so.


def test_only_a_run_or_model_that_is_there_takes_files_and_only_stored_ones(home, root):
    for nowhere in ("0/nobody/artifacts", "1/r/artifacts", "0/models/r/artifacts", "0/traces/r/artifacts"):
        with pytest.raises(NotFound, match="there is no"):
            put(home, nowhere, "a")
    with pytest.raises(NotFound, match="not stored"):
        put_artifact(home, root, "a", "0" * 64, 1)
    model = create_logged_model(home, "0", run_id="r")
    put(home, model_root("0", model.id), "MLmodel")
    assert [a.path for a in all_artifacts(home, model_root("0", model.id))] == ["MLmodel"]
    trace = start_trace(home, Trace("tr-1", "0", 1, tags={"a": "b"}))
    put(home, trace.artifact_root, "attachments/a.png")
    assert [a.path for a in all_artifacts(home, "0/traces/tr-1/artifacts")] == ["attachments/a.png"]
    delete_traces(home, "0", trace_ids=["tr-1"])
    assert all_artifacts(home, "0/traces/tr-1/artifacts") == []


def test_a_folder_is_forgotten_whole_and_nothing_beside_it(home, root):
    for path in ("a/b", "a/c/d", "ab", "c"):
        put(home, root, path)
    assert delete_artifacts(home, root, "a") == 2
    assert delete_artifacts(home, root, "a") == 0
    assert [a.path for a in all_artifacts(home, root)] == ["ab", "c"]
    assert delete_artifacts(home, root) == 2


def test_an_auditor_reads_no_files(home, root):
    with pytest.raises(Denied, match="artifact:read"):
        list_artifacts(home.as_actor(Actor("eve", "auditor")), root)
