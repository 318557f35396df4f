"""The two commands of the README: they find a Python that works, and install from locks that name only versions."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent.parent
LOCKS = sorted((HERE / "requirements").glob("*.lock"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what make reads, without any virtual environment, in a folder with a space in its name."""
    folder = tmp_path / "my taut"
    shutil.copytree(HERE / "requirements", folder / "requirements")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(HERE / name, folder)
    return folder


def make(tree: Path, *words: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTHON"))}
    return subprocess.run(
        ["make", *words], cwd=tree, env=environment | {"PATH": path}, capture_output=True, text=True, timeout=60
    )


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_without_a_python_that_works_make_says_what_is_missing_and_what_to_do(tree: Path):
    done = make(tree, "test", "PYTHON=")
    assert done.returncode == 2
    assert "taut needs Python 3.11 or newer" in done.stderr
    assert "try: make test PYTHON=/path/to/python3.11" in done.stderr
    assert not (tree / ".venv").exists()


def test_a_python_that_is_only_a_name_is_passed_over(tree: Path, tmp_path: Path):
    program(tmp_path / "shims", "python3.13", "echo 'the python3.13 command exists elsewhere' >&2; exit 127")
    done = make(tree, "-n", "venv", path=f"{tmp_path / 'shims'}{os.pathsep}{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    chosen = re.search(r"(python3\S*) -m venv \.venv", done.stdout)
    assert chosen
    assert chosen[1] != "python3.13"


def test_an_installation_that_was_cut_short_is_made_anew_and_a_whole_one_is_kept(tree: Path, tmp_path: Path):
    """The Python here only notes what it is asked for, and makes a virtual environment of itself."""
    notes = tmp_path / "notes"
    program(
        tmp_path / "shims",
        "python",
        f'echo "$*" >> "{notes}"\n'
        'if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; fi\n'
        f'case "$*" in *require-hashes*) test ! -e "{tmp_path}/cut";; esac',
    )
    asked = ["venv", f"PYTHON={tmp_path / 'shims' / 'python'}"]
    (tmp_path / "cut").touch()
    assert make(tree, *asked).returncode != 0
    assert not (tree / ".venv/stamp").exists()

    (tmp_path / "cut").unlink()
    (tree / ".venv/half").touch()
    assert make(tree, *asked).returncode == 0
    assert (tree / ".venv/stamp").exists()
    assert not (tree / ".venv/half").exists()

    before = notes.read_text().count("-m venv")
    assert make(tree, *asked).returncode == 0
    assert notes.read_text().count("-m venv") == before
    with (tree / "requirements/dev.lock").open("a") as lock:
        lock.write("# newer\n")
    assert make(tree, *asked).returncode == 0
    assert notes.read_text().count("-m venv") == before + 1


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_versions_and_hashes_and_no_place(lock: Path):
    lines = lock.read_text().splitlines()
    told = re.compile(r"[a-z0-9.\[\]-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?| +# +[\w.():, -]+")
    assert [line for line in lines if not told.fullmatch(line)] == []
    assert sum("==" in line for line in lines) > 20


def test_the_locks_hold_what_the_project_asks_for():
    project = tomllib.loads((HERE / "pyproject.toml").read_text())
    asked = [r for extra in project["project"]["optional-dependencies"].values() for r in extra]
    asked += project["project"]["dependencies"] + [r for r in project["dependency-groups"]["dev"] if isinstance(r, str)]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=]", r)[0]) for r in asked} - {"taut"}
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (HERE / "requirements/dev.lock").read_text(), re.MULTILINE))
    assert names - locked == set()
