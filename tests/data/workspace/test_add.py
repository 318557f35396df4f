"""Adding: what one snapshot leaves behind, what makes a new version, and what is refused."""

import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from taut.data import add_dataset, dataset_status, find_dataset, list_datasets, read_tree
from taut.data.workspace.cache import Filling
from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.ground.ledger import events
from taut.home import Home, open_home

TABLE = "id,fare,city\n1,2.5,Oslo\n2,,Riga\n3,4.5,Oslo\n"


@pytest.fixture
def table(home: Home) -> Path:
    path = home.project / "data" / "trips.csv"
    path.parent.mkdir()
    path.write_text(TABLE)
    return path


def test_a_file_becomes_version_1_with_its_rows_and_columns(home: Home, table: Path):
    version = add_dataset(home, table)
    assert (version.name, version.number, version.path) == ("trips", 1, "data/trips.csv")
    assert (version.files, version.size_bytes, version.rows, version.actor) == (1, len(TABLE), 3, "ada")
    columns = {column.name: column for column in version.columns}
    assert (columns["fare"].kind, columns["fare"].missing, columns["fare"].mean) == ("number", 1, 3.5)
    assert (columns["city"].kind, columns["city"].distinct, columns["city"].low) == ("text", 2, None)
    assert find_dataset(home, "trips@1") == version


def test_the_bytes_are_stored_under_their_digests(home: Home, table: Path):
    (file,) = read_tree(home, add_dataset(home, table).tree)
    md5 = hashlib.md5(TABLE.encode()).hexdigest()
    assert (file.path, file.md5, file.oid) == (".", md5, "")
    stored = home.project / ".taut" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    assert stored.read_text() == TABLE
    assert stored.stat().st_mode & 0o777 == 0o444


def test_the_pointer_is_in_dvcs_format_and_git_ignores_the_data(home: Home, table: Path):
    version = add_dataset(home, table)
    pointer = yaml.safe_load((table.parent / "trips.csv.dvc").read_text())
    (out,) = pointer["outs"]
    assert list(out) == ["md5", "size", "hash", "path"]
    assert out == {
        "md5": hashlib.md5(TABLE.encode()).hexdigest(),
        "size": len(TABLE),
        "hash": "md5",
        "path": "trips.csv",
    }
    assert pointer["meta"] == {"taut": {"name": "trips", "version": 1, "tree": version.tree}}
    assert (table.parent / ".gitignore").read_text() == "/trips.csv\n"


def test_the_pointer_of_a_folder_counts_its_files_and_names_dvcs_listing(home: Home):
    for name, text in {"b.txt": "b", "sub/a.txt": "a"}.items():
        (home.project / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (home.project / "tree" / name).write_text(text)
    assert add_dataset(home, home.project / "tree").files == 2
    (out,) = yaml.safe_load((home.project / "tree.dvc").read_text())["outs"]
    md5 = {text: hashlib.md5(text.encode()).hexdigest() for text in "ab"}
    listing = f'[{{"md5": "{md5["b"]}", "relpath": "b.txt"}}, {{"md5": "{md5["a"]}", "relpath": "sub/a.txt"}}]'
    assert out["md5"] == hashlib.md5(listing.encode()).hexdigest() + ".dir"
    assert (out["nfiles"], out["size"]) == (2, 2)


def test_fields_that_others_wrote_into_the_pointer_stay(home: Home, table: Path):
    add_dataset(home, table)
    pointer = table.parent / "trips.csv.dvc"
    text = pointer.read_text().replace("meta:\n", "desc: taxi trips\nmeta:\n  owner: ada\n")
    pointer.write_text(text.replace("  path: trips.csv\n", "  path: trips.csv\n  remote: cold\n"))
    table.write_text(TABLE + "4,1,Bern\n")
    assert add_dataset(home, table).number == 2
    read = yaml.safe_load(pointer.read_text())
    assert (read["desc"], read["meta"]["owner"], read["outs"][0]["remote"]) == ("taxi trips", "ada", "cold")
    assert read["meta"]["taut"]["version"] == 2


def test_equal_content_is_the_same_version_and_other_content_the_next(home: Home, table: Path):
    first = add_dataset(home, table)
    assert add_dataset(home, table) == first
    table.write_text(TABLE + "4,1,Bern\n")
    assert add_dataset(home, table).number == 2
    assert [version.number for version in list_datasets(home, "trips")] == [2, 1]
    with home.meta.read() as tx:
        assert [event.subject for event in events(tx, kind="data.recorded")] == ["data:trips@1", "data:trips@2"]


def test_the_first_version_again_after_the_second_is_a_third(home: Home, table: Path):
    add_dataset(home, table)
    table.write_text("id\n1\n")
    add_dataset(home, table)
    table.write_text(TABLE)
    assert add_dataset(home, table).number == 3


def test_the_pointers_name_is_kept_and_a_taken_name_is_not_guessed(home: Home, table: Path):
    add_dataset(home, table, name="taxi")
    table.write_text("id\n1\n")
    assert (add_dataset(home, table).name, add_dataset(home, table).number) == ("taxi", 2)
    other = home.project / "other" / "taxi.csv"
    other.parent.mkdir()
    other.write_text("id\n2\n")
    with pytest.raises(Conflict, match=r"'taxi' is data/trips\.csv already, not other/taxi\.csv") as refused:
        add_dataset(home, other)
    assert "--name" in refused.value.hint


@pytest.mark.parametrize("name", ["a@1", "a/b", "", " ", "-x", "x" * 101])
def test_a_name_that_could_not_be_typed_back_is_refused(home: Home, table: Path, name: str):
    if name:
        with pytest.raises(Invalid, match="is no name for a dataset"):
            add_dataset(home, table, name=name)
    else:
        assert add_dataset(home, table, name=name).name == "trips"


def test_what_is_not_there_is_named(home: Home):
    with pytest.raises(NotFound, match=r"no file or folder .*/nothing\.csv") as missing:
        add_dataset(home, home.project / "nothing.csv")
    assert missing.value.hint.startswith("ls ")


def test_an_empty_folder_is_an_empty_dataset_as_in_dvc(home: Home):
    (home.project / "empty").mkdir()
    version = add_dataset(home, home.project / "empty")
    assert (version.files, version.size_bytes, version.rows) == (0, 0, None)
    (out,) = yaml.safe_load((home.project / "empty.dvc").read_text())["outs"]
    assert (out["md5"], out["nfiles"]) == ("d751713988987e9331980363e24189ce.dir", 0)
    assert dataset_status(home, home.project)[0].state == "unchanged"


def test_a_pipe_is_no_data(home: Home):
    os.mkfifo(home.project / "pipe")
    with pytest.raises(Invalid, match="pipe, socket or device"):
        add_dataset(home, home.project / "pipe")
    assert list_datasets(home) == []


def test_a_link_to_a_file_is_taken_for_its_content_and_one_to_a_folder_is_not_followed(home: Home):
    tree, aside = home.project / "tree", home.project / "aside"
    tree.mkdir()
    aside.mkdir()
    (aside / "x").write_text("x")
    (tree / "file").symlink_to(aside / "x")
    (tree / "folder").symlink_to(aside)
    assert [file.path for file in read_tree(home, add_dataset(home, tree).tree)] == ["file"]


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A project of this user's, and all that follows done as a user who may not write there."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; as anybody else the folder is ours to change")
    with tempfile.TemporaryDirectory(prefix="taut-denied-") as made:
        Path(made).chmod(0o755)
        try:
            yield Path(made)
        finally:
            os.seteuid(0)


def test_a_folder_that_may_not_be_read_is_denied_with_the_command_that_shows_why(as_nobody: Path):
    from taut.ground.settings import make_folder

    make_folder(as_nobody)
    (as_nobody / "secret").mkdir(mode=0o700)
    with open_home(as_nobody) as home:
        for place in (as_nobody / ".taut", *(as_nobody / ".taut").rglob("*")):
            shutil.chown(place, 65534)
        os.seteuid(65534)  # After the home is open: it is root's.
        with pytest.raises(Denied, match=r"secret cannot be read: Permission denied") as denied:
            add_dataset(home, as_nobody / "secret")
    assert denied.value.hint.startswith("ls -ld ")


def test_ctrl_c_in_the_middle_leaves_no_version_and_no_pointer(home: Home, monkeypatch: pytest.MonkeyPatch):
    tree = home.project / "many"
    tree.mkdir()
    for number in range(200):
        (tree / f"{number}.txt").write_text(str(number))
    with (tree / "large").open("wb") as stream:
        stream.truncate(256 << 20)
    seen: list[int] = []

    def interrupting(self, done):
        seen.append(done)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Filling, "_advance", interrupting)
    with pytest.raises(KeyboardInterrupt):
        add_dataset(home, tree)
    monkeypatch.undo()
    assert list_datasets(home) == []
    assert not (home.project / "many.dvc").exists()
    assert list((home.project / ".taut" / "cache").glob(".taut-*")) == []
    assert sum(seen) < 256 << 20
    (tree / "large").unlink()
    assert add_dataset(home, tree).files == 200


def test_a_file_that_changes_while_it_is_read_is_a_conflict(home: Home, table: Path, monkeypatch: pytest.MonkeyPatch):
    take_in = Filling.take_in

    def appended(self, *given, **options):
        taken = take_in(self, *given, **options)
        table.write_text(TABLE + "9,9,Rome\n")
        return taken

    monkeypatch.setattr(Filling, "take_in", appended)
    with pytest.raises(Conflict, match=r"trips\.csv changed while it was read"):
        add_dataset(home, table)
    assert list_datasets(home) == []
