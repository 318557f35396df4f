"""`taut model` and `taut gate`, typed: versions, cards, verdicts and promotions, and every way to be told no."""

import json
import shutil
from pathlib import Path

import pytest

from tests.faces.line import PROJECT, Line
from tests.faces.shell import as_typed, is_two_lines, taut

# Whoever comes first tells the line that all share, and each test types real commands: a second or two apiece.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VERSION = {
    "name", "number", "source", "run_id", "model_id", "digest", "signature", "stage", "status", "description", "actor",
    "created_ms", "updated_ms", "aliases", "tags",
}  # fmt: skip
GATE = {"id", "model", "number", "champion", "passed", "checks", "at_ms", "actor"}
CHECK = {"name", "passed", "found", "bound", "text"}


def model_folder(line: Line, into: Path) -> Path:
    """The files of the good model as a folder on disk, as `mlflow` would save them."""
    taut(line.folder, "model", "show", "late@1")
    cache = line.folder / ".taut" / "cache" / "models"
    fetched = next(path.parent for path in sorted(cache.rglob("MLmodel")))
    shutil.copytree(fetched, into)
    for path in [into, *into.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return into


def aliases(line: Line) -> dict[str, int]:
    return {
        alias: version["number"]
        for version in taut(line.folder, "model", "list", "late", "--json").json
        for alias in version["aliases"]
    }


# Register and show


def test_versions_are_listed_newest_first_with_their_runs(line):
    rows = [row.split() for row in taut(line.folder, "model", "list").out.splitlines()]
    assert rows[0] == ["version", "aliases", "registered", "run", "digest", "by"]
    assert [row[0] for row in rows[1:]] == ["late@2", "late@1"]
    assert rows[2][1] == "champion"
    assert rows[2][3] == line.good[:8]


def test_versions_are_listed_in_json(line):
    found = taut(line.folder, "model", "list", "late", "--json").json
    assert all(version.keys() == VERSION for version in found)
    assert [version["run_id"] for version in found] == [line.wrong, line.good]


def test_a_project_without_models_says_what_to_type(tmp_path):
    taut(tmp_path, "init")
    assert taut(tmp_path, "model", "list").out == "no model yet; try: taut model register NAME --run RUN\n"
    assert taut(tmp_path, "model", "list", "--json").json == []


def test_a_version_is_shown_by_number_alias_or_name(line):
    by_number, by_alias, by_name = (
        taut(line.folder, "model", "show", written, "--json").json for written in ("late@1", "late@champion", "late")
    )
    assert by_number == by_alias
    assert by_number.keys() == VERSION
    assert by_name["number"] == 2


def test_a_version_is_told_to_people_with_digest_and_signature(line):
    told = taut(line.folder, "model", "show", "late@champion").out
    shown = taut(line.folder, "model", "show", "late@champion", "--json").json
    assert f"sha256:{shown['digest']}" in told
    assert f"run          {line.good}" in told
    assert "delay" in told
    assert "aliases      champion" in told


def test_the_card_tells_data_gate_and_use_in_markdown(line):
    card = taut(line.folder, "model", "show", "late@1", "--card").out
    assert card.startswith("# late 1 (champion)")
    for words in ("| delay |", "| distance |", "train@1", "roc_auc", "0.6", line.good[:8]):
        assert words in card, words
    assert json.loads(taut(line.folder, "model", "show", "late@1", "--card", "--json").out) + "\n" == card


def test_the_same_run_registered_again_is_the_same_version(own_line):
    again = taut(own_line.folder, "model", "register", "late", "--run", own_line.good[:6], "--json").json
    assert (again["number"], again["run_id"]) == (1, own_line.good)
    assert len(taut(own_line.folder, "model", "list", "late", "--json").json) == 2


def test_a_folder_is_registered_under_another_name(own_line, tmp_path):
    folder = model_folder(own_line, tmp_path / "saved")
    said = taut(own_line.folder, "model", "register", "tardy", "--folder", str(folder))
    assert said.status == 0
    assert said.out.startswith("tardy@1 sha256:")
    assert said.out.endswith("from run -\n")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("register", "late"), 2, "--run or by --folder"),
        (("register", "late", "--run", "zzzzzz"), 10, "zzzzzz"),
        (("register", "late", "--folder", "nowhere"), 10, "nowhere"),
        (("register", "late", "--folder", "data"), 13, "MLmodel"),
        (("register", "a/b", "--run", "RUN"), 13, "a/b"),
        (("register", "late", "--run", "BROKEN"), 10, ""),
        (("show", "lat"), 10, "did you mean 'late'?"),
        (("show", "late@9"), 10, "it has 1 to 2"),
        (("show", "late@champoin"), 10, "did you mean 'champion'?"),
        (("show", "@"), 13, "@"),
        (("list", "lat"), 10, "did you mean 'late'?"),
        (("promote", "lat@1"), 10, "did you mean 'late'?"),
        (("promote", "late@1", "--alias", "a b"), 13, "a b"),
        (("promote", "late@2"), 3, "late@2"),
        (("promote",), 2, "missing argument"),
        (("reigster", "late"), 2, "reigster"),
    ],
    ids=as_typed,
)
def test_a_mistake_in_a_model_command_is_two_lines(line, words, status, says):
    ids = {"RUN": line.good, "BROKEN": line.broken}
    said = taut(line.folder, "model", *(ids.get(word, word) for word in words))
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]


# The gate


def test_a_gate_says_yes_line_by_line_and_ends_with_0(own_line):
    said = taut(own_line.folder, "gate", "late@1")
    assert said.status == 0
    first, *checks, last = said.out.splitlines()
    assert first.startswith("late@1")
    assert [check.split()[1] for check in checks[:4]] == ["loads:", "signature:", "rows:", "answers:"]
    assert all(check.startswith("✓") for check in checks)
    assert last == "passed"


def test_a_gate_says_no_and_ends_with_3(own_line):
    said = taut(own_line.folder, "gate", "late@2", "--json")
    assert said.status == 3
    assert said.err == ""
    verdict = said.json
    assert verdict.keys() == GATE
    assert all(check.keys() == CHECK for check in verdict["checks"])
    assert (verdict["passed"], verdict["champion"]) == (False, 1)
    assert [check["name"] for check in verdict["checks"] if not check["passed"]] == ["roc_auc"]
    assert aliases(own_line) == {"champion": 1}


def test_a_refused_version_is_neither_promoted_nor_deployed(own_line):
    for words in (("model", "promote", "late@2"), ("deploy", "late", "--model", "late@2")):
        said = taut(own_line.folder, *words)
        assert (said.status, is_two_lines(said)) == (3, True), said
    assert aliases(own_line) == {"champion": 1}


def test_a_promoted_version_is_told(own_line):
    said = taut(own_line.folder, "model", "promote", "late@1")
    assert (said.status, said.out) == (0, "late@champion is version 1 now\n")
    assert taut(own_line.folder, "model", "promote", "late@1", "--json").json["aliases"] == ["champion"]


def test_every_alias_asks_the_gate(own_line):
    assert taut(own_line.folder, "model", "promote", "late@2", "--alias", "trial").status == 3
    assert taut(own_line.folder, "model", "promote", "late@1", "--alias", "trial").status == 0
    assert aliases(own_line) == {"champion": 1, "trial": 1}


def test_a_model_without_a_gate_in_the_file_is_told_so(own_line):
    (own_line.folder / "taut.yaml").write_text("models: {}\n")
    said = taut(own_line.folder, "gate", "late@1")
    assert (said.status, is_two_lines(said)) == (10, True)
    assert "late" in said.lines[1]


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        (("data/holdout.csv", "data/holdnot.csv"), 10, "holdnot.csv"),
        (("roc_auc", "roc_acu"), 13, "roc_acu"),
        (("at_least: 0.6", "at_least: high"), 13, "taut.yaml:8:"),
        (("models:", "models: ["), 13, "taut.yaml:"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_gate_that_cannot_be_asked_gives_no_verdict(own_line, change, status, says):
    before = len(taut(own_line.folder, "ledger", "show", "--subject", "model:late@1", "--json").json)
    (own_line.folder / "taut.yaml").write_text(PROJECT.replace(change[0], change[1], 1))
    said = taut(own_line.folder, "gate", "late@1")
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0]
    assert len(taut(own_line.folder, "ledger", "show", "--subject", "model:late@1", "--json").json) == before


def test_a_gate_over_rows_without_the_target_refuses_and_names_it(own_line):
    (own_line.folder / "taut.yaml").write_text(PROJECT.replace("target: late", "target: lade"))
    said = taut(own_line.folder, "gate", "late@1")
    assert said.status == 3
    assert "has no column 'lade'; it has event_time, delay, distance, late" in said.out


def test_a_gate_over_too_few_rows_refuses(own_line):
    holdout = own_line.folder / "data" / "holdout.csv"
    lines = holdout.read_text().splitlines()[:50]
    holdout.unlink()
    holdout.write_text("\n".join(lines) + "\n")
    said = taut(own_line.folder, "gate", "late@1")
    assert said.status == 3
    assert "✗ rows: 49 labelled rows" in said.out


def test_a_damaged_model_is_refused_before_it_is_loaded(own_line):
    shutil.rmtree(own_line.folder / ".taut" / "cache", ignore_errors=True)
    large = sorted(
        (path for path in (own_line.folder / ".taut" / "objects").rglob("*") if path.is_file()),
        key=lambda path: b"sklearn" in path.read_bytes(),
    )
    for path in large:
        if b"sklearn" in path.read_bytes() and b"LogisticRegression" in path.read_bytes():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    said = taut(own_line.folder, "gate", "late@1")
    assert said.status in {3, 14}
    assert "Traceback" not in said.err
    assert "passed" not in said.out
