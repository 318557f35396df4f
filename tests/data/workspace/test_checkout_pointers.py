"""A fresh clone gets its data: every dataset that a pointer names, at the version that was committed."""

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from taut.data import add_dataset, checkout_pointers
from taut.errors import NotFound
from taut.faces.cli.entry import taut
from taut.home import Home, open_home


@pytest.fixture
def clone(project: Path):
    """An open project whose two datasets are only pointers; `flights` has a newer version than its pointer says."""
    (project / "data").mkdir()
    flights, notes = project / "data" / "flights.csv", project / "notes.txt"
    flights.write_text("a\n1\n")
    notes.write_text("n")
    with open_home(project) as home:
        for path in (flights, notes):
            add_dataset(home, path)
        committed = flights.with_name("flights.csv.dvc").read_bytes()
        flights.write_text("a\n1\n2\n")
        add_dataset(home, flights)
        flights.with_name("flights.csv.dvc").write_bytes(committed)
        flights.unlink()
        notes.unlink()
        yield home


def test_every_pointer_s_data_comes_back_at_its_version(clone: Home):
    placed = checkout_pointers(clone, clone.project)
    assert [(one.name, one.number) for one in placed] == [("flights", 1), ("notes", 1)]
    assert (clone.project / "data" / "flights.csv").read_text() == "a\n1\n"
    assert (clone.project / "notes.txt").read_text() == "n"


def test_a_pointer_of_dvc_alone_is_served_from_the_cache(clone: Home):
    pointer = clone.project / "other.csv.dvc"
    pointer.write_text(f"outs:\n- md5: {hashlib.md5(b'n').hexdigest()}\n  hash: md5\n  path: other.csv\n")
    assert "other.csv" in [one.target.name for one in checkout_pointers(clone, clone.project)]
    assert (clone.project / "other.csv").read_text() == "n"
    pointer.write_text("outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  hash: md5\n  path: empty.csv\n")
    with pytest.raises(NotFound, match=r"empty\.csv are not in the cache"):
        checkout_pointers(clone, clone.project)


def test_a_pointer_at_what_this_home_never_had_is_told(clone: Home):
    pointer = clone.project / "notes.txt.dvc"
    pointer.write_text(pointer.read_text().replace("version: 1", "version: 7"))
    with pytest.raises(NotFound, match="7"):
        checkout_pointers(clone, clone.project)


def test_the_command_without_a_version_fetches_all(clone: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(clone.project)
    done = CliRunner().invoke(taut, ["data", "checkout"])
    assert done.exit_code == 0, done.output
    assert [line.split(" is in ")[0] for line in done.output.splitlines()] == ["flights@1", "notes@1"]
