"""The command line as a whole: quick, quiet where it should be, and JSON wherever it is asked for."""

import json
import subprocess
import sys
import time

import pytest

from taut.faces.cli.entry import COMMANDS
from taut.faces.cli.shown import light, table
from tests.faces.shell import taut

HEAVY = (
    "numpy",
    "pandas",
    "sklearn",
    "mlflow",
    "uvicorn",
    "starlette",
    "urllib3",
    "psycopg",
    "obstore",
    "yaml",
    "sqlite3",
)


IMPORTED_BY_HELP = """
import sys
try:
    from taut.faces.cli import main
    main(['--help'])
except SystemExit:
    print(sorted(sys.modules), file=sys.stderr)
"""
IMPORTED_BY_TAUT = """
import json, sys
before = set(sys.modules)
import taut
print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))
"""


def test_help_imports_nothing_heavy():
    ended = subprocess.run([sys.executable, "-c", IMPORTED_BY_HELP], capture_output=True, text=True, check=True)
    assert not [name for name in HEAVY if f"'{name}'" in ended.stderr]


def test_importing_taut_pulls_in_one_package_at_most():
    ended = subprocess.run([sys.executable, "-c", IMPORTED_BY_TAUT], capture_output=True, text=True, check=True)
    foreign = set(json.loads(ended.stdout)) - set(sys.stdlib_module_names) - {"taut"}
    assert foreign <= {"msgspec"}


def test_help_names_every_command_and_says_what_it_does(tmp_path):
    said = taut(tmp_path, "--help")
    assert said.status == 0
    for commands in COMMANDS.values():
        for name in commands:
            assert f"\n  {name} " in said.out
    assert taut(tmp_path, "-h").out == said.out


def test_init_makes_a_project_once_and_status_shows_the_line(tmp_path):
    made = taut(tmp_path, "init", "--json")
    assert made.status == 0
    assert made.json["folder"] == str(tmp_path)
    assert (tmp_path / "taut.yaml").exists()
    again = taut(tmp_path, "init")
    assert again.status == 11
    line = taut(tmp_path, "status", "--json").json
    assert [station["name"] for station in line["stations"]] == [
        "data", "run", "model", "gate", "deploy", "predict", "watch", "loop",
    ]  # fmt: skip
    assert line["next"] == "taut data add PATH"


@pytest.mark.slow  # It waits ten seconds for the database.
def test_init_that_cannot_reach_its_database_leaves_nothing(tmp_path, free_port):
    said = taut(tmp_path, "init", "--metadata", f"postgresql://ada@127.0.0.1:{free_port}/taut")
    assert said.status == 15
    assert list(tmp_path.iterdir()) == []


def test_the_ledger_and_fsck_of_a_new_project_are_clean(tmp_path):
    taut(tmp_path, "init")
    made = taut(tmp_path, "token", "create", "ci", "--role", "viewer", "--json").json
    assert made["secret"].startswith("taut_")
    assert [token["name"] for token in taut(tmp_path, "token", "list", "--json").json] == ["ci"]
    assert taut(tmp_path, "token", "revoke", made["token"]["id"]).status == 0
    kinds = [entry["kind"] for entry in taut(tmp_path, "ledger", "show", "--json").json]
    assert kinds == ["token.created", "token.revoked"]
    assert taut(tmp_path, "fsck", "--json").json["problems"] == []


def test_a_workflow_in_prose_is_audited_from_stdin(tmp_path):
    prose = "The model is trained locally with no version control and copied to a server by hand. There are no tests."
    report = taut(tmp_path, "audit", "--text", "-", "--json", stdin=prose).json
    assert report["kind"] == "description"
    assert taut(tmp_path, "audit", "--text", "-", "--strict", "50", stdin=prose).status == 3
    assert list(tmp_path.iterdir()) == []


def test_results_hold_no_colour_codes_where_nobody_looks(tmp_path):
    taut(tmp_path, "init")
    for words in (("status",), ("audit",), ("model", "list")):
        assert "\x1b[" not in taut(tmp_path, *words).out


def test_a_table_keeps_its_columns_and_says_when_it_is_empty():
    shown = table(["name", "share", "note"], [("a", 0.123456, None), ("long name", 12.0, "x")], empty="none")
    assert shown.splitlines() == ["name        share  note", "a          0.1235  -", "long name      12  x"]
    assert table(["name"], [], empty="nothing yet") == "nothing yet"
    assert "○" in light("missing")


@pytest.mark.slow
def test_help_and_status_are_quick(tmp_path):
    """A look that it is not grossly slow; the figures are measured in bench/."""
    taut(tmp_path, "init")
    for words, bound_s in ((("--help",), 1.5), (("status",), 3.0)):
        started = time.monotonic()
        taut(tmp_path, *words)
        assert time.monotonic() - started < bound_s


def test_json_is_one_value_on_stdout(tmp_path):
    taut(tmp_path, "init")
    for words in (("status",), ("model", "list"), ("data", "log"), ("runs", "list"), ("watch", "alerts"), ("fsck",)):
        json.loads(taut(tmp_path, *words, "--json").out)
