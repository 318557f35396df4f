"""Versions of datasets where a table is asked for: typed as a person does, the file itself where one is called so."""

from pathlib import Path

import pytest

from tests.faces.shell import is_two_lines, taut

pytestmark = pytest.mark.slow


def write(place: Path, shift: float, rows: int = 400) -> None:
    place.write_text("x,plan\n" + "".join(f"{(7 * i) % 100 + shift},{'ab'[i % 2]}\n" for i in range(rows)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with two versions of a table, of which the second has moved."""
    assert taut(tmp_path, "init").status == 0
    for shift in (0.0, 60.0):
        write(tmp_path / "flights.csv", shift)
        assert taut(tmp_path, "data", "add", "flights.csv").status == 0
    return tmp_path


def test_versions_are_held_against_each_other_and_leave_nothing_behind(folder: Path):
    (folder / "flights.csv").unlink()
    said = taut(folder, "watch", "check", "flights@2", "--against", "flights@1", "--json")
    assert said.status == 0, said.err
    assert said.json["alarms"] == {"features": True}
    assert [one["name"] for one in said.json["features"] if one["is_named"]] == ["x"]
    assert said.json["features"][0]["because"] == "x outside 0 to 99: 60 % of 400 rows, 0 % of 400 in the reference"
    assert taut(folder, "watch", "check", "flights@1", "--against", "flights@1", "--json").json["alarms"] == {
        "features": False
    }
    assert not list((folder / ".taut").glob("table-*"))
    assert not (folder / "flights.csv").exists()


def test_a_version_has_a_profile(folder: Path):
    assert taut(folder, "watch", "profile", "flights@1").out == "the profile is in flights@1.json\n"
    said = taut(folder, "watch", "check", "flights.csv", "--against", "flights@1.json")
    assert "drift in features" in said.out
    assert "  x outside 0 to 99: 60 %" in said.out


def test_a_file_of_that_name_is_the_file(folder: Path):
    write(folder / "flights@1.csv", 0.0)
    said = taut(folder, "watch", "check", "flights@1.csv", "--against", "flights@1", "--json")
    assert said.json["alarms"] == {"features": False}


@pytest.mark.parametrize(
    ("named", "words"),
    [("flights@9", "has no version 9"), ("trains@1", "trains"), ("folder@1", "is a folder of 2 files")],
)
def test_what_is_no_such_version_is_told(folder: Path, named: str, words: str):
    (folder / "folder").mkdir()
    for name in ("a.csv", "b.csv"):
        write(folder / "folder" / name, 0.0, 5)
    assert taut(folder, "data", "add", "folder").status == 0
    said = taut(folder, "watch", "check", named, "--against", "flights@1")
    assert said.status != 0
    assert words in said.err
    assert is_two_lines(said)
