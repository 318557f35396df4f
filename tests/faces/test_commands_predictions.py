"""`taut predictions` and `taut labels`, typed: rows in tables and files, labels from files, and what a mistake says."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from taut.home import open_home
from taut.serve.log.sealing import seal
from tests.faces.shell import as_typed, is_two_lines, taut
from tests.serve.log.scenes import said, say
from tests.serve.scenes import record, register

ROW = {
    "id", "event_ms", "at_ms", "model", "number", "revision", "role", "latency_us", "inputs", "outputs", "label",
}  # fmt: skip


@pytest.fixture
def folder(project: Path) -> Path:
    """A project with a deployment `late` that answered three requests, one of them sealed."""
    with open_home(project) as home:
        register(home)
        record(home, 1)
        say(home, said("a", event_ms=[86_400_000]))
        seal(home, "late")
        say(home, said("b", counts=[2], event_ms=[2 * 86_400_000]), said("c", event_ms=[3 * 86_400_000]))
    (project / "truth.csv").write_text("id,row,label\nb,1,1\na,0,0\n")
    return project


def test_labels_are_added_and_predictions_listed_and_exported_with_them(folder: Path):
    assert taut(folder, "labels", "add", "late", "truth.csv").out == "2 new, 0 changed, 0 known\n"
    lines = taut(folder, "predictions", "query", "late").out.splitlines()
    assert lines[0].split() == ["prediction", "version", "about", "delay", "carrier", "probability", "label"]
    assert [line.split()[0] for line in lines[1:]] == ["a.0", "b.0", "b.1", "c.0"]
    assert lines[3].split() == ["b.1", "late@1", "1970-01-03T00:00:00", "1.5", "UA", "0.25", "1"]
    done = taut(folder, "predictions", "export", "late", "all.parquet", "--labelled")
    assert done.out == "2 predictions, 2 of them labelled, are in all.parquet (1 file)\n"
    assert pq.read_table(folder / "all.parquet")["label"].to_pylist() == [0.0, 1.0]


@pytest.mark.slow
def test_programs_get_json(folder: Path):
    found = taut(folder, "predictions", "query", "late", "--newest", "--limit", "2", "--json").json
    assert [row["id"] for row in found] == ["c.0", "b.1"]
    assert all(row.keys() == ROW for row in found)
    assert taut(folder, "predictions", "query", "late", "--where", "delay > 99", "--json").json == []
    assert taut(folder, "predictions", "query", "late", "--role", "shadow", "--role", "batch", "--json").json == []
    added = taut(folder, "labels", "add", "late", "-", "--json", stdin='{"id": "c.0", "label": true}\n').json
    assert added == {"new": 1, "changed": 0, "known": 0, "early": 0}
    done = taut(folder, "predictions", "export", "late", "all.csv", "--json").json
    assert done == {
        "path": "all.csv", "rows": 4, "labelled": 1, "files": 1, "size_bytes": (folder / "all.csv").stat().st_size,
    }  # fmt: skip


@pytest.mark.slow
def test_predictions_are_chosen_by_range_version_id_and_value(folder: Path):
    def found(*words: str) -> list[str]:
        return [row["id"] for row in taut(folder, "predictions", "query", "late", *words, "--json").json]

    assert found("--from", "1970-01-03", "--until", "1970-01-04") == ["b.0", "b.1"]
    assert found("--version", "late@1", "--limit", "1") == ["a.0"]
    assert found("--version", "2") == []
    assert found("--id", "b.1", "--id", "a") == ["b.1", "a.0"]
    assert found("--where", "delay > 1", "--where", "carrier = UA") == ["b.1"]
    assert taut(folder, "predictions", "query", "late", "--labelled").out.startswith("no prediction is so")


@pytest.mark.slow
def test_early_labels_are_counted(folder: Path):
    said = taut(folder, "labels", "add", "late", "-", "--early", stdin="id,label\nz.0,1\na.0,1\n")
    assert said.out == "2 new, 0 changed, 0 known, 1 early\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("predictions", "query", "lat"), 10, "did you mean 'late'?"),
        (("predictions", "query", "late", "--version", "x"), 13, "'x' is no version"),
        (("predictions", "query", "late", "--version", "@1"), 13, "'@1' is no version"),
        (("predictions", "query", "late", "--from", "yesterday"), 13, "'yesterday' is no ISO 8601"),
        (("predictions", "query", "late", "--where", "delay"), 13, "'delay' is no condition"),
        (("predictions", "query", "late", "--where", "deley > 1"), 13, "did you mean 'delay'?"),
        (("predictions", "query", "late", "--id", "nobody"), 10, "never answered 'nobody'"),
        (("predictions", "query", "late", "--id", "a", "--version", "1"), 2, "--id names predictions"),
        (("predictions", "export", "late", "."), 11, "is there already"),
        (("predictions", "export", "late"), 2, "missing argument"),
        (("labels", "add", "lat", "truth.csv"), 10, "did you mean 'late'?"),
        (("labels", "add", "late", "gone.csv"), 10, "gone.csv"),
        (("labels", "add", "late", "taut.yaml.csv"), 13, "needs one column 'id'"),
        (("labels", "add", "late", "odd.csv"), 13, "line 3: label 'x' is no finite number"),
        (("labels", "add", "late", "unknown.csv"), 13, "1 of 2 labels are of no prediction of 'late', the first is"),
    ],
    ids=as_typed,
)
def test_a_mistake_is_two_lines(folder: Path, words: tuple[str, ...], status: int, says: str):
    (folder / "taut.yaml.csv").write_text("name,label\n")
    (folder / "odd.csv").write_text("id,label\na.0,1\nb.0,x\n")
    (folder / "unknown.csv").write_text("id,label\na.0,1\nb.7,1\n")
    said = taut(folder, *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]
