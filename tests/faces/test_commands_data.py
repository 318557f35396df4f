"""`taut data`, typed: versions by content, what changed, what is put back, and what is never overwritten."""

from pathlib import Path

import pytest

from tests.faces.shell import as_typed, is_two_lines, taut

pytestmark = pytest.mark.slow  # Each test types real commands: a second or two apiece.

VERSION = {"name", "number", "tree", "path", "files", "size_bytes", "rows", "columns", "at_ms", "actor"}
COLUMN = {"name", "kind", "missing", "distinct", "low", "high", "mean"}
STATUS = {"path", "name", "number", "state", "newest", "added", "removed", "modified"}
DIFF = {"name", "old", "new", "added", "removed", "modified", "rows", "size_bytes", "columns", "shifts", "table"}
DIFF |= {"not_compared", "renamed"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project to read: two versions of a table and one of a folder; the table was changed once more."""
    folder = tmp_path_factory.mktemp("data")
    taut(folder, "init")
    trips = folder / "trips.csv"
    trips.write_text("id,fare\n1,2.5\n2,\n")
    assert taut(folder, "data", "add", "trips.csv").status == 0
    trips.write_text("id,fare\n1,2.5\n2,\n3,4.5\n")
    assert taut(folder, "data", "add", "trips.csv").status == 0
    (folder / "photos").mkdir()
    (folder / "photos" / "a.txt").write_text("a")
    (folder / "photos" / "b.txt").write_text("b")
    assert taut(folder, "data", "add", "photos", "--name", "pictures").status == 0
    trips.write_text("id,fare\n9,9\n")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of the test's own with one version of a table."""
    taut(tmp_path, "init")
    (tmp_path / "trips.csv").write_text("id,fare\n1,2.5\n")
    assert taut(tmp_path, "data", "add", "trips.csv").status == 0
    return tmp_path


def test_adding_tells_version_rows_and_digest_in_one_line(tmp_path):
    taut(tmp_path, "init")
    (tmp_path / "trips.csv").write_text("id,fare\n1,2.5\n")
    said = taut(tmp_path, "data", "add", "trips.csv")
    assert said.status == 0
    assert said.out.startswith("trips@1: 1 files, 14 bytes, 1 rows, sha256:")
    assert len(said.out.splitlines()) == 1


def test_adding_the_same_content_again_is_the_same_version(project):
    first, second = (taut(project, "data", "add", "trips.csv", "--json").json for _ in range(2))
    assert first == second
    assert first.keys() == VERSION
    assert (first["name"], first["number"], first["rows"]) == ("trips", 1, 1)
    assert all(column.keys() == COLUMN for column in first["columns"])
    assert [entry["kind"] for entry in taut(project, "ledger", "show", "--json").json] == ["data.recorded"]


def test_a_dataset_takes_the_name_that_is_given(project):
    assert taut(project, "data", "add", "trips.csv", "--name", "fares", "--json").json["name"] == "fares"


def test_a_name_that_could_not_be_typed_again_is_refused(project):
    for name in ("a b", "a@1", "../a", "-a"):
        said = taut(project, "data", "add", "trips.csv", f"--name={name}")
        assert (said.status, is_two_lines(said)) == (13, True), (name, said)


def test_a_folder_from_outside_the_project_is_named_in_the_refusal(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "rows.csv").write_text("a\n1\n")
    said = taut(project, "data", "add", str(elsewhere / "rows.csv"))
    assert said.status in {0, 13}
    if said.status:
        assert is_two_lines(said)
        assert "rows.csv" in said.lines[0]


def test_status_says_what_changed_since(told):
    said = taut(told, "data", "status")
    assert said.out.splitlines()[0].split() == ["path", "dataset", "state"]
    assert ["trips.csv", "trips@2", "modified"] in [row.split() for row in said.out.splitlines()]
    changed = {"trips.csv.dvc": [{"changed outs": {"trips.csv": "modified"}}]}
    assert taut(told, "data", "status", "--json").json == changed
    assert taut(told, "data", "status", "trips.csv", "--json").json == changed
    assert taut(told, "data", "status", "photos.dvc", "--json").json == {}


def test_status_tells_versions_and_files_where_it_is_asked_to(told):
    states = taut(told, "data", "status", "--granular", "--json").json
    assert all(state.keys() == STATUS for state in states)
    assert {state["path"]: state["state"] for state in states} == {"trips.csv": "modified", "photos": "unchanged"}
    said = taut(told, "data", "status", "--granular").out.splitlines()
    assert said[0].split() == ["path", "dataset", "state", "newest"]
    assert said[-1] == "~ trips.csv"


def test_status_of_a_project_without_data_says_what_to_type(tmp_path):
    taut(tmp_path, "init")
    assert taut(tmp_path, "data", "status").out == "nothing is snapshot here; try: taut data add PATH\n"
    assert taut(tmp_path, "data", "status", "--json").json == {}
    assert taut(tmp_path, "data", "status", "--granular", "--json").json == []


def test_status_outside_of_any_project_says_how_to_make_one(tmp_path):
    said = taut(tmp_path, "data", "status")
    assert (said.status, is_two_lines(said)) == (10, True)


def test_list_tells_what_pointers_name_and_the_files_of_folders(told):
    said = taut(told, "data", "list", "--json").json
    assert {one["path"]: (one["isdir"], one["size"], one["files"], one["dataset"]) for one in said} == {
        "photos": (True, 2, 2, "pictures@1"),
        "trips.csv": (False, 23, 1, "trips@2"),
    }
    inside = taut(told, "data", "list", "photos", "-R", "--json").json
    assert [one["path"] for one in inside] == ["photos", "photos/a.txt", "photos/b.txt"]
    assert [row.split()[0] for row in taut(told, "data", "list").out.splitlines()] == ["path", "photos", "trips.csv"]


def test_moved_data_is_unchanged_in_its_new_place(project):
    said = taut(project, "data", "move", "trips.csv", "data/raw.csv", "--json").json
    assert (said["from"], Path(said["path"])) == ("trips.csv", project / "data" / "raw.csv")
    assert not (project / "trips.csv").exists() and not (project / "trips.csv.dvc").exists()
    assert taut(project, "data", "status", "--json").json == {}
    assert (project / "data" / ".gitignore").read_text() == "/raw.csv\n"
    assert not (project / ".gitignore").exists()
    (project / "data" / "raw.csv").write_text("id,fare\n2,1\n")
    assert taut(project, "data", "add", "data/raw.csv", "--json").json["name"] == "trips"
    refused = taut(project, "data", "move", "data/raw.csv", "data/raw.csv")
    assert (refused.status, is_two_lines(refused)) == (11, True)


def test_removed_data_is_tracked_no_more_and_deleted_only_where_that_is_said(project):
    assert taut(project, "data", "remove", "trips.csv").status == 0
    assert (project / "trips.csv").exists() and not (project / "trips.csv.dvc").exists()
    assert taut(project, "data", "add", "trips.csv").status == 0
    assert taut(project, "data", "remove", "trips.csv.dvc", "--outs").status != 0  # Nobody there to say yes.
    assert (project / "trips.csv").exists()
    assert taut(project, "data", "remove", "trips.csv.dvc", "--outs", "--yes", "--json").json["deleted"] is True
    assert not (project / "trips.csv").exists()
    assert taut(project, "data", "checkout", "trips@1").status == 0
    said = taut(project, "data", "remove", "nothing")
    assert (said.status, is_two_lines(said)) == (10, True)


def test_diff_takes_the_newest_two_versions_where_none_are_named(told):
    assert taut(told, "data", "diff", "trips").out == taut(told, "data", "diff", "trips", "1", "2").out


def test_diff_shows_rows_and_what_a_column_tells_anew(told):
    said = taut(told, "data", "diff", "trips", "1", "2")
    assert said.out.splitlines()[0] == "trips@1 -> trips@2"
    assert "rows 2 -> 3, bytes" in said.out
    assert any(line.startswith("fare") and "1 missing" in line for line in said.out.splitlines())
    diff = taut(told, "data", "diff", "trips", "1", "2", "--json").json
    assert diff.keys() == DIFF
    assert (diff["rows"], [change["name"] for change in diff["columns"]]) == ([2, 3], ["id", "fare"])


def test_diff_backwards_tells_the_way_back(told):
    assert taut(told, "data", "diff", "trips", "2", "1", "--json").json["rows"] == [3, 2]


def test_diff_of_a_dataset_with_one_version_says_so(told):
    said = taut(told, "data", "diff", "pictures")
    assert said.status in {10, 13}
    assert is_two_lines(said)
    assert "pictures" in said.lines[0]


def test_log_lists_versions_newest_first(told):
    rows = taut(told, "data", "log", "trips").out.splitlines()
    assert [row.split()[0] for row in rows] == ["version", "trips@2", "trips@1"]
    found = taut(told, "data", "log", "trips", "--json").json
    assert [version["number"] for version in found] == [2, 1]
    assert all(version.keys() == VERSION for version in found)


def test_log_without_a_name_lists_all_datasets(told):
    found = taut(told, "data", "log", "--json").json
    assert {version["name"] for version in found} == {"trips", "pictures"}


def test_checkout_puts_a_version_where_it_is_asked(told, tmp_path):
    said = taut(told, "data", "checkout", "trips@1", "--to", str(tmp_path / "old.csv"), "--json")
    assert said.json == {"dataset": "trips@1", "path": str(tmp_path / "old.csv")}
    assert (tmp_path / "old.csv").read_text() == "id,fare\n1,2.5\n2,\n"


def test_checkout_of_a_name_takes_its_newest_version(told, tmp_path):
    taut(told, "data", "checkout", "pictures", "--to", str(tmp_path / "photos"))
    assert {path.name: path.read_text() for path in (tmp_path / "photos").iterdir()} == {"a.txt": "a", "b.txt": "b"}


def test_checkout_does_not_overwrite_what_was_never_snapshot(project):
    (project / "trips.csv").write_text("id,fare\n7,7\n")
    said = taut(project, "data", "checkout", "trips@1")
    assert (said.status, is_two_lines(said)) == (11, True)
    assert "--force" in said.lines[1]
    assert (project / "trips.csv").read_text() == "id,fare\n7,7\n"
    assert taut(project, "data", "checkout", "trips@1", "--force").out.startswith("trips@1 is in ")
    assert (project / "trips.csv").read_text() == "id,fare\n1,2.5\n"


def test_checkout_without_a_version_puts_back_all_that_the_pointers_name(project):
    (project / "trips.csv").unlink()
    assert taut(project, "data", "checkout", "--json").json == [
        {"dataset": "trips@1", "path": str(project / "trips.csv")}
    ]
    assert (project / "trips.csv").read_text() == "id,fare\n1,2.5\n"


def test_checkout_to_a_place_needs_a_version(project):
    said = taut(project, "data", "checkout", "--to", "elsewhere")
    assert (said.status, is_two_lines(said)) == (2, True)
    assert not (project / "elsewhere").exists()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("checkout", "tirps@1"), 10, "did you mean 'trips'?"),
        (("checkout", "trips@9"), 10, "it has 1 to 2"),
        (("checkout", "trips@x"), 13, "trips@3"),
        (("diff", "tirps"), 10, "did you mean 'trips'?"),
        (("diff", "trips", "1", "9"), 10, "it has 1 to 2"),
        (("log", "tirps"), 10, "did you mean 'trips'?"),
        (("add", "missing.csv"), 10, "missing.csv"),
        (("diff",), 2, "missing argument 'NAME'"),
        (("diff", "trips", "one"), 2, "'one' is not a valid integer"),
        (("ad", "trips.csv"), 2, "ad"),
    ],
    ids=as_typed,
)
def test_a_mistake_in_a_data_command_is_two_lines(told, words, status, says):
    said = taut(told, "data", *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]


def test_a_profile_is_shown_of_a_file_and_of_a_version_alike(told, tmp_path):
    said = taut(told, "data", "profile", "trips@2", "--html", str(tmp_path / "p.html"))
    assert said.out.splitlines()[0] == "3 rows"
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
    (tmp_path / "trips.csv").write_text("id,fare\n1,2.5\n2,\n3,4.5\n")
    of_file = taut(told, "data", "profile", str(tmp_path / "trips.csv"), "--json").json
    assert of_file == taut(told, "data", "profile", "trips@2", "--json").json
    assert taut(told, "data", "profile", "nothing").status == 10


def test_a_hostile_name_moves_no_cursor(told, tmp_path):
    (tmp_path / "t.csv").write_text("a\x1b[31m\n1\n")
    assert "\x1b" not in taut(told, "data", "profile", str(tmp_path / "t.csv")).out


def test_rows_are_left_out_or_asked_for(told):
    assert taut(told, "data", "diff", "trips", "1", "2", "--no-rows", "--key", "id").status == 2
    said = taut(told, "data", "diff", "trips", "1", "2", "--no-rows")
    assert "rows are not compared: they were not asked for" in said.out
    assert "rows by id: 1 added" in taut(told, "data", "diff", "trips", "1", "2", "--key", "auto").out
