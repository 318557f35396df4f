"""taut's own store as a remote: later versions as what changed, every byte back, encrypted unless DVC shares it."""

import random
import shutil
from pathlib import Path

import pytest

from tests.faces.shell import taut

pytest.importorskip("blake3", reason="the format of taut's own store takes taut[data]")
ROWS = 20_000


@pytest.fixture
def table(project: Path) -> Path:
    """A table of numbers that does not compress to nothing, in a project with a store for its data."""
    chance = random.Random(7)
    rows = [f"{row},{chance.random()},{chance.random()}" for row in range(ROWS)]
    place = project / "rows.csv"
    place.write_text("id,a,b\n" + "\n".join(rows) + "\n")
    assert taut(project, "data", "add", "rows.csv").status == 0
    assert taut(project, "data", "remote", "add", "vault", str(project.parent / "vault"), "--default").status == 0
    return place


def kept_bytes(project: Path) -> int:
    return sum(file.stat().st_size for file in (project.parent / "vault").rglob("*") if file.is_file())


def changed(table: Path) -> None:
    """One row of a hundred gets another value, all over the file."""
    lines = table.read_text().splitlines()
    for at in range(50, ROWS, 100):
        lines[at] = lines[at].rpartition(",")[0] + ",0.5"
    table.write_text("\n".join(lines) + "\n")


def test_a_later_version_costs_what_changed_and_all_of_them_come_back(project: Path, table: Path):
    assert taut(project, "data", "push").status == 0
    kept = kept_bytes(project)
    changed(table)
    second = table.read_bytes()
    assert taut(project, "data", "add", "rows.csv").status == 0
    assert taut(project, "data", "push").status == 0
    assert kept_bytes(project) - kept < 0.05 * len(second)
    shutil.rmtree(project / ".taut" / "cache")
    table.unlink()
    assert taut(project, "data", "pull").status == 0
    assert table.read_bytes() == second
    assert taut(project, "data", "checkout", "rows@1", "--to", "first.csv").status == 10, "its content is not here"


def test_nothing_of_the_data_can_be_read_without_the_key(project: Path, table: Path):
    assert taut(project, "data", "push").status == 0
    held = b"".join(file.read_bytes() for file in (project.parent / "vault").rglob("*") if file.is_file())
    assert table.read_bytes()[100:140] not in held
    (key,) = [file for file in (project / ".taut").rglob("*") if file.is_file() and "key" in file.name]
    key.rename(key.with_name("elsewhere"))
    refused = taut(project, "data", "push")
    assert (refused.status != 0, len(refused.lines)) == (True, 2), refused.err
