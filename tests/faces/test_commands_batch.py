"""`taut batch`, typed: files in, files out, what it says to people and to programs, and what it exits with."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from taut.home import open_home
from tests.faces.shell import is_two_lines, taut
from tests.serve.batch.scenes import table, willing

RESULT = {
    "job", "model", "output", "rows", "scored", "nulled", "skipped", "parts", "parts_before", "said",
}  # fmt: skip


@pytest.fixture
def folder(project: Path) -> Path:
    """A project with the model `late@1`, and rows of which one is wrong."""
    with open_home(project) as home:
        willing(home)
    pq.write_table(table(10), project / "rows.parquet")
    pq.write_table(table(10, seats={4: None}), project / "odd.parquet")
    return project


@pytest.mark.slow
def test_rows_are_scored_and_the_same_again_is_said_to_be_done(folder: Path):
    said = taut(folder, "batch", "late@1", "rows.parquet", "scored", "--keep", "key", "--keep", "delay", "--json")
    assert said.status == 0, said.err
    assert said.json.keys() == RESULT and said.json["scored"] == 10 and said.json["output"] == str(folder / "scored")
    found = pq.read_table(folder / "scored" / "part-00000.parquet")
    assert found.column_names == ["id", "key", "delay", "prediction", "model_version"]
    again = taut(folder, "batch", "late@1", "rows.parquet", "scored", "--keep", "key", "--keep", "delay")
    assert (
        again.out.splitlines()[0]
        == f"10 rows scored by late@1 into {folder / 'scored'} (1 parts, 1 of them from before)"
    )
    assert again.out.splitlines()[1] == f"job {said.json['job']}"


@pytest.mark.slow
def test_a_wrong_row_ends_it_or_is_counted(folder: Path):
    said = taut(folder, "batch", "late@1", "odd.parquet", "scored")
    assert said.status == 13 and is_two_lines(said)
    assert "odd.parquet, row 4: column 'seats' takes long; it is null" in said.lines[0]
    assert said.lines[1] == "  try: --on-error null, or --on-error skip"
    for mode, words in (("null", "1 without a prediction"), ("skip", "1 left out")):
        said = taut(folder, "batch", "late@1", "odd.parquet", f"{mode}.csv", "--on-error", mode, "--id", "key")
        assert said.status == 0, said.err
        assert said.out.startswith("9 rows scored by late@1 into ") and words in said.out
        assert f"{folder / 'odd.parquet'}: row 4: column 'seats' takes long; it is null" in said.out
        lines = (folder / f"{mode}.csv").read_text().splitlines()
        assert len(lines) == (11 if mode == "null" else 10) and lines[1] == '"k0",0,' + (
            ',"late@1"' if mode == "null" else '"late@1"'
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("late@7", "rows.parquet", "out"), 10),
        (("late", "rows.parquet", "out"), 10),
        (("late@1", "nothing.parquet", "out"), 10),
        (("late@1", "rows.parquet", "."), 11),
        (("late@1", "rows.parquet", "gs://bucket/out"), 13),
        (("late@1", "rows.parquet", "out", "--on-error", "hope"), 2),
        (("late@1", "rows.parquet", "out", "--workers", "0"), 2),
        (("late@1", "rows.parquet"), 2),
    ],
)
def test_mistakes_are_two_lines_and_leave_no_output(folder: Path, words: tuple[str, ...], status: int):
    said = taut(folder, "batch", *words)
    assert said.status == status and is_two_lines(said), said.err
    assert not list(folder.glob("out/part-*")) and not (folder / "out" / "_SUCCESS").exists()
