"""Artifacts: names for stored objects below a run or logged model; no path leaves its root, however it is written."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.ground.access import Actor
from taut.ground.ledger import events
from taut.ground.meta.migrate import migrations
from taut.runs import (
    all_artifacts,
    create_logged_model,
    create_run,
    delete_artifacts,
    expect_artifact,
    find_artifact,
    list_artifacts,
    model_root,
    put_artifact,
    run_root,
    split_root,
)
from taut.runs.artifacts import SELECT_LEVEL
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


def folders(home, root: str) -> list[str]:
    """What the store takes for folders of a root."""
    with home.meta.read() as tx:
        found = tx.rows("SELECT path FROM artifact_folder WHERE root = :root AND path <> ''", {"root": root})
    return sorted(str(path) for (path,) in found)


def test_a_folder_is_there_as_long_as_something_lies_in_it(home, root):
    for path in ("a/b/c/d", "a/x", "e/f"):
        put(home, root, path)
    assert folders(home, root) == ["a", "a/b", "a/b/c", "e"]
    assert delete_artifacts(home, root, "a/b/c/d") == 1
    assert folders(home, root) == ["a", "e"]
    assert [a.path for a in list_artifacts(home, root, "a")] == ["a/x"]
    assert delete_artifacts(home, root, "e") == 1
    assert delete_artifacts(home, root, "a/x") == 1
    assert folders(home, root) == [] == list_artifacts(home, root)
    put(home, root, "a")
    put(home, root, "e/f/g")
    assert [a.path for a in list_artifacts(home, root)] == ["a", "e"]
    assert delete_artifacts(home, root) == 2
    assert folders(home, root) == []


def test_deleting_where_nothing_ever_was_changes_nothing(home, root):
    assert delete_artifacts(home, root, "a") == delete_artifacts(home, "0/nobody/artifacts") == 0
    with home.meta.read() as tx:
        assert tx.rows("SELECT * FROM artifact_folder") == []
        assert events(tx, kind="artifact.deleted") == []


# Where a database sorts as people do, these stand between `a/` and `a0`.
BESIDE = ["a_b", "a.b", "a-b", "a b", "a~", "ab", "A", "ä", "a0", "a'", "a%", "a\u2603", "a;"]


def test_names_that_begin_like_a_folder_are_not_in_it(home, root):
    for path in (*BESIDE, "a/inside"):
        put(home, root, path)
    assert [one.path for one in list_artifacts(home, root, "a")] == ["a/inside"]
    assert [one.path for one in list_artifacts(home, root)] == sorted([*BESIDE, "a"])
    assert delete_artifacts(home, root, "a") == 1
    assert [one.path for one in all_artifacts(home, root)] == sorted(BESIDE)
    put(home, root, "a")


def test_what_would_be_refused_can_be_asked_before_the_bytes_are_sent(home, root):
    put(home, root, "a/b")
    expect_artifact(home, root, "a/c/d")
    for path, kind in (("a", Conflict), ("a/b/c", Conflict), ("../x", Invalid)):
        with pytest.raises(kind):
            expect_artifact(home, root, path)
    with pytest.raises(NotFound):
        expect_artifact(home, "0/nobody/artifacts", "a")
    assert folders(home, root) == ["a"]


def test_files_that_come_and_go_at_once_leave_a_tree_that_fits_them(home, root):
    """A folder that loses its last file while it gets another one stays a folder."""
    oid = home.objects.put(io.BytesIO(b"x"))

    def put_and_delete(number: int) -> None:
        for turn in range(15):
            put_artifact(home, root, f"a/b/{number}", oid, 1)
            if turn < 14 or number % 2:
                delete_artifacts(home, root, f"a/b/{number}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put_and_delete, range(4)))
    assert [one.path for one in list_artifacts(home, root, "a/b")] == ["a/b/0", "a/b/2"]
    assert folders(home, root) == ["a", "a/b"]


@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.sampled_from("ab."), min_size=1, max_size=4)), min_size=1, max_size=12
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_puts_and_deletes_leave_what_a_tree_of_files_would_hold(home, root, steps):
    files: set[str] = set()
    delete_artifacts(home, root)
    for is_put, names in steps:
        path = "/".join(name.replace(".", "a_") for name in names)
        if not is_put:
            gone = {one for one in files if one == path or one.startswith(f"{path}/")}
            assert delete_artifacts(home, root, path) == len(gone)
            files -= gone
        elif any(one.startswith(f"{path}/") or path.startswith(f"{one}/") for one in files):
            with pytest.raises(Conflict):
                put(home, root, path)
        else:
            put(home, root, path)
            files.add(path)
    assert [one.path for one in all_artifacts(home, root)] == sorted(files)
    above = {one.rsplit("/", count)[0] for one in files for count in range(1, one.count("/") + 1)}
    assert folders(home, root) == sorted(above)
    for folder in ("", *above):
        start = f"{folder}/" if folder else ""
        wanted = {start + one[len(start) :].partition("/")[0] for one in files if one.startswith(start)}
        assert [one.path for one in list_artifacts(home, root, folder)] == sorted(wanted)


def test_one_level_of_many_files_is_one_search_of_an_index(home, root):
    with home.meta.transaction() as tx:
        tx.executemany(
            "INSERT INTO artifact (root, path, folder, oid, size_bytes, at_ms)"
            " VALUES (:root, :path, :folder, 'o', 1, 1)",
            [{"root": root, "path": f"f{n % 100}/{n}", "folder": f"f{n % 100}"} for n in range(20_000)],
        )
        if tx_is_sqlite := home.meta.dialect == "sqlite":
            plan = [
                str(row[3]) for row in tx.rows(f"EXPLAIN QUERY PLAN {SELECT_LEVEL}", {"root": root, "folder": "f1"})
            ]
    assert len(list_artifacts(home, root, "f1")) == 200
    if tx_is_sqlite:
        assert [step for step in plan if step.startswith("SCAN")] == []
        assert sum("USING INDEX" in step and "folder=?" in step for step in plan) == 2


def test_a_home_from_before_folders_were_kept_has_them(home):
    """Homes that were written before that migration, on both databases."""
    every = migrations()
    number = next(one.number for one in every if one.name == "artifact_folder")
    earlier = [one for one in every if one.number < number]
    later = [one for one in every if one.number >= number]
    paths = ["top", "a/b", "a/c d/e/f", "a.b/x", "ä/ö/ü", "aa/a", "a/a/a", "100%/x_y"]
    with home.meta.transaction() as tx:
        tx.execute("DROP TABLE artifact_folder")
        tx.execute("DROP TABLE artifact")
        for migration in earlier:
            for statement in migration.statements:
                if "artifact" in statement:
                    tx.execute(statement)
        for root in ("0/r/artifacts", "0/s/artifacts"):
            for path in paths:
                tx.execute(
                    "INSERT INTO artifact (root, path, oid, size_bytes, at_ms) VALUES (:root, :path, 'o', 1, 1)",
                    {"root": root, "path": path},
                )
        for migration in later:
            if migration.name == "artifact_folder":
                for statement in migration.statements:
                    tx.execute(statement)
    create_run(home, run_id="r")
    for root in ("0/r/artifacts", "0/s/artifacts"):
        assert folders(home, root) == sorted(["a", "a/c d", "a/c d/e", "a.b", "ä", "ä/ö", "aa", "a/a", "100%"])
        for folder in ("", *folders(home, root)):
            start = f"{folder}/" if folder else ""
            wanted = {start + one[len(start) :].partition("/")[0] for one in paths if one.startswith(start)}
            assert [one.path for one in list_artifacts(home, root, folder)] == sorted(wanted)
    put(home, "0/r/artifacts", "a/c d/new")
    assert delete_artifacts(home, "0/r/artifacts", "a") == 4


def test_an_auditor_reads_no_files(home, root):
    with pytest.raises(Denied, match="artifact:read"):
        list_artifacts(home.as_actor(Actor("eve", "auditor")), root)
