"""`taut init`, `status`, `audit` and every `--help`, typed: the first minutes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from taut.faces.cli.entry import COMMANDS
from tests.faces.shell import as_typed, is_two_lines, taut

pytestmark = pytest.mark.slow  # Each test types real commands: a second or two apiece.

STATIONS = ["data", "run", "model", "gate", "deploy", "predict", "watch", "loop"]
GROUPS = {
    "data": ("add", "status", "diff", "checkout", "log"),
    "runs": ("list", "show", "compare"),
    "traces": ("list", "show"),
    "model": ("register", "list", "show", "promote"),
    "watch": ("status", "alerts", "dismiss", "predictions", "report"),
    "ci": ("github", "jenkins"),
    "token": ("create", "list", "revoke"),
    "user": ("create", "list", "show", "password", "role", "delete", "grant", "revoke"),
    "import": ("mlflow",),
    "export": ("mlflow",),
    "access": ("list", "bind", "unbind", "explain", "matrix", "plan", "apply", "log"),
    "project": ("create", "list", "delete"),
    "predictions": ("query", "export"),
    "labels": ("add",),
    "ledger": ("show", "checkpoint", "anchor", "verify", "prove", "erase"),
}
ALONE = sorted({name for commands in COMMANDS.values() for name in commands} - GROUPS.keys())
ALL = [(name,) for name in ALONE] + [(group, name) for group, names in GROUPS.items() for name in names]


# Help


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_help_shows_usage_options_and_an_example(tmp_path, command):
    said = taut(tmp_path, *command, "--help")
    assert (said.status, said.err) == (0, "")
    typed = " ".join(command)
    assert said.out.startswith(f"Usage: taut {typed} ")
    assert "--json" in said.out
    assert re.search(rf"Example: taut {typed}\b", said.out)
    assert max(len(line) for line in said.out.splitlines()) <= 100
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("group", GROUPS)
def test_the_help_of_a_group_lists_its_commands_with_what_they_do(tmp_path, group):
    said = taut(tmp_path, group, "--help")
    assert said.status == 0
    for name in GROUPS[group]:
        assert re.search(rf"^  {name}\s+\w", said.out, re.MULTILINE), name


def test_a_group_without_a_command_shows_its_help(tmp_path):
    said = taut(tmp_path, "data")
    assert said.status == 2
    assert "Traceback" not in said.err
    assert "checkout" in said.out + said.err


def test_the_version_is_one_line(tmp_path):
    said = taut(tmp_path, "--version")
    assert (said.status, said.err) == (0, "")
    assert re.fullmatch(r"taut \d+\.\d+\S*\n", said.out)


def test_the_help_of_the_demo_says_that_it_goes_on_after_an_interruption(tmp_path):
    said = taut(tmp_path, "demo", "--help")
    assert "--keep" in said.out
    assert "goes on" in said.out


@pytest.mark.parametrize(
    ("typo", "meant"), [("stauts", "status"), ("deply", "deploy"), ("whi", "why"), ("legder", "ledger")]
)
def test_a_misspelt_command_is_told_with_the_one_that_was_meant(tmp_path, typo, meant):
    said = taut(tmp_path, typo)
    assert (said.status, is_two_lines(said)) == (2, True)
    assert f"did you mean '{meant}'?" in said.lines[0]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("runs", "show", "zz"), "taut runs show"),
        (("--home", ".", "runs", "list", "--filter", "x"), "taut runs list"),
        (("model", "show", "@"), "taut model show"),
    ],
)
def test_an_error_without_advice_of_its_own_points_to_the_help_of_what_was_typed(tmp_path, words, command):
    taut(tmp_path, "init")
    said = taut(tmp_path, *words)
    assert said.status == 13
    assert said.lines[1].startswith(f"  try: {command}")


# Init


def test_init_tells_what_it_made_and_what_to_do_next(tmp_path):
    said = taut(tmp_path, "init")
    assert said.status == 0
    assert said.out.startswith(f"A taut project in {tmp_path}: ")
    assert said.out.endswith("Next: taut data add PATH\n")
    assert {path.name for path in tmp_path.iterdir()} == {".taut", "taut.yaml"}


def test_init_makes_the_folder_that_is_named(tmp_path):
    assert taut(tmp_path, "init", "new/project", "--json").json["folder"] == str(tmp_path / "new" / "project")
    assert taut(tmp_path / "new" / "project", "status").status == 0


def test_init_keeps_a_taut_yaml_that_is_there(tmp_path):
    (tmp_path / "taut.yaml").write_text("models: {}  # mine\n")
    assert taut(tmp_path, "init").status == 0
    assert (tmp_path / "taut.yaml").read_text() == "models: {}  # mine\n"


def test_init_looks_at_the_workflow_that_is_there(tmp_path):
    (tmp_path / "train.py").write_text(
        "import pickle\nfrom sklearn.svm import SVC\npickle.dump(SVC().fit(X, y), open('m.pkl', 'wb'))\n"
    )
    said = taut(tmp_path, "init", "--json")
    assert said.json.keys() == {"folder", "missed"}
    assert said.json["missed"]


def test_the_file_that_init_writes_is_one_that_plan_reads(tmp_path):
    taut(tmp_path, "init")
    text = (tmp_path / "taut.yaml").read_text()
    assert taut(tmp_path, "plan").status == 0
    shown = re.sub(r"(?m)^(\w+): \{\}$", r"\1:", text).replace("#  ", "  ")
    (tmp_path / "taut.yaml").write_text(shown)
    said = taut(tmp_path, "plan")
    assert said.status != 13, said


def test_init_in_a_project_is_a_conflict_and_changes_nothing(tmp_path):
    taut(tmp_path, "init")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    said = taut(tmp_path, "init")
    assert (said.status, is_two_lines(said)) == (11, True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "words",
    [("--objects", "ftp://x/y"), ("--metadata", "mysql://x/y"), ("--server", "gopher://x")],
    ids=["objects", "metadata", "server"],
)
def test_a_url_that_taut_cannot_read_leaves_nothing_behind(tmp_path, words):
    said = taut(tmp_path, "init", *words)
    assert said.status in {2, 13}, said
    assert is_two_lines(said)
    assert words[1].partition(":")[0] in said.lines[0]
    assert list(tmp_path.iterdir()) == []


# Status


def test_status_of_a_new_project_has_a_light_for_every_station(tmp_path):
    taut(tmp_path, "init")
    place, *stations, following = taut(tmp_path, "status").out.splitlines()
    assert place == str(tmp_path)
    assert [station.split()[1] for station in stations] == STATIONS
    assert {station[0] for station in stations} <= {"○", "●"}
    assert following == "Next: taut data add PATH"


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (("--help",), ("msgspec", "sqlite3", "difflib", "taut.home")),
        (
            ("status",),
            (
                "taut.deploy.apply",
                "taut.models",
                "taut.ground.remote",
                "taut.govern.trace",
                "urllib3",
                "numpy",
                "starlette",
            ),
        ),
    ],
    ids=as_typed,
)
def test_what_is_typed_often_loads_nothing_that_it_does_not_need(tmp_path, words, unneeded):
    taut(tmp_path, "init")
    command = [sys.executable, "-X", "importtime", "-m", "taut", *words]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
    loaded = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "taut.faces.cli.entry" in loaded
    assert loaded & set(unneeded) == set()


def test_status_is_found_from_any_folder_below(tmp_path):
    taut(tmp_path, "init")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert taut(tmp_path / "a" / "b", "status", "--json").json["place"] == str(tmp_path)


def test_status_goes_on_from_station_to_station(tmp_path):
    taut(tmp_path, "init")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    taut(tmp_path, "data", "add", "rows.csv")
    line = taut(tmp_path, "status", "--json").json
    assert line.keys() == {"place", "stations", "next"}
    assert all(station.keys() == {"name", "light", "fact", "age", "next"} for station in line["stations"])
    assert line["stations"][0]["light"] == "ok"
    assert line["next"].startswith("taut run")
    taut(tmp_path, "run", "--", sys.executable, "-c", "pass")
    assert taut(tmp_path, "status", "--json").json["next"].startswith("taut model register")


def test_a_home_is_named_by_the_environment_or_by_the_option(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    taut(tmp_path / "here", "init")
    by_option = taut(tmp_path / "elsewhere", "--home", str(tmp_path / "here"), "status")
    by_environment = taut(tmp_path / "elsewhere", "status", TAUT_HOME=str(tmp_path / "here"))
    assert by_option.status == by_environment.status == 0
    assert by_option.out == by_environment.out


def test_a_home_that_is_not_there_is_two_lines(tmp_path):
    said = taut(tmp_path, "--home", "nowhere", "status")
    assert (said.status, is_two_lines(said)) == (10, True)
    assert "nowhere" in said.lines[0]


# Audit


@pytest.fixture
def careless(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(
        "import pickle\nfrom sklearn.svm import SVC\npickle.dump(SVC().fit(X, y), open('m.pkl', 'wb'))\n"
    )
    (tmp_path / "deploy.sh").write_text("scp m.pkl ops@server:/srv/\n")
    return tmp_path


def test_an_audit_names_file_and_line_of_what_it_found(careless):
    said = taut(careless, "audit")
    assert said.status == 0
    assert "deploy.sh:1" in said.out
    assert "AU07" in said.out


def test_an_audit_in_json_scores_each_principle(careless):
    report = taut(careless, "audit", ".", "--json").json
    assert report["kind"] == "folder"
    assert len(report["principles"]) >= 5
    assert all(principle["score"] is None or 0 <= principle["score"] <= 1 for principle in report["principles"])


@pytest.mark.parametrize(("bound", "status"), [("0", 0), ("60", 3), ("100", 3)])
def test_a_strict_audit_says_no_by_its_status(careless, bound, status):
    assert taut(careless, "audit", "--strict", bound).status == status


def test_an_audit_changes_no_file(careless):
    before = {path: path.stat().st_mtime_ns for path in careless.rglob("*")}
    taut(careless, "audit")
    assert {path: path.stat().st_mtime_ns for path in careless.rglob("*")} == before


def test_an_audit_reads_prose_from_a_file(tmp_path):
    (tmp_path / "workflow.txt").write_text("1. We train locally with no version control.\n2. We copy it by hand.\n")
    report = taut(tmp_path, "audit", "--text", "workflow.txt", "--json").json
    assert report["kind"] == "description"
    for words in (("audit", "--text", "nowhere.txt"), ("audit", "nowhere")):
        said = taut(tmp_path, *words)
        assert (said.status, is_two_lines(said)) == (10, True)
