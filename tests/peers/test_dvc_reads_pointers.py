"""The real DVC, unchanged, on what taut wrote, and taut on what DVC wrote; skipped where DVC is not installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taut.data import add_dataset, dataset_status
from taut.ground.settings import make_folder
from taut.home import Home, open_home

# DVC_PROGRAM points at a DVC of another environment: ours does not have its hundred packages.
DVC = os.environ.get("DVC_PROGRAM") or shutil.which("dvc") or shutil.which("dvc", path=str(Path(sys.executable).parent))
pytestmark = pytest.mark.skipif(DVC is None, reason="no dvc program on PATH or in DVC_PROGRAM")


def dvc(folder: Path, *arguments: str) -> str:
    assert DVC is not None
    done = subprocess.run([DVC, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    dvc(folder, "init", "--quiet")
    make_folder(folder)
    with open_home(folder) as home:
        yield home


def make_data(home: Home) -> None:
    (home.project / "table.csv").write_text("a\n1\n")
    (home.project / "tree" / "sub").mkdir(parents=True)
    (home.project / "tree" / "sub" / "ü.txt").write_text("u")
    (home.project / "tree" / "b.txt").write_text("b")


@pytest.mark.slow
def test_dvc_calls_what_taut_added_up_to_date_and_sees_what_changed(repository: Home):
    make_data(repository)
    for name in ("table.csv", "tree"):
        add_dataset(repository, repository.project / name)
    assert json.loads(dvc(repository.project, "status", "--json")) == {}
    assert json.loads(dvc(repository.project, "data", "status", "--json")).get("uncommitted", {}) == {}
    (repository.project / "table.csv").write_text("a\n2\n")
    changed = json.loads(dvc(repository.project, "status", "--json"))
    assert changed == {"table.csv.dvc": [{"changed outs": {"table.csv": "modified"}}]}
    dvc(repository.project, "checkout", "--force")
    assert (repository.project / "table.csv").read_text() == "a\n1\n"


@pytest.mark.slow
def test_taut_calls_what_dvc_added_unchanged_and_sees_what_changed(repository: Home):
    make_data(repository)
    dvc(repository.project, "add", "--quiet", "table.csv", "tree")
    assert {s.path: s.state for s in dataset_status(repository, repository.project)} == {
        "table.csv": "unchanged",
        "tree": "unchanged",
    }
    (repository.project / "tree" / "b.txt").write_text("changed")
    assert [s.state for s in dataset_status(repository, repository.project)] == ["unchanged", "modified"]


@pytest.mark.slow
def test_both_tools_name_the_same_content_by_the_same_digest(repository: Home):
    make_data(repository)
    dvc(repository.project, "add", "--quiet", "table.csv", "tree")
    by_dvc = [(repository.project / f"{name}.dvc").read_text() for name in ("table.csv", "tree")]
    for name in ("table.csv", "tree"):
        add_dataset(repository, repository.project / name)
    by_taut = [(repository.project / f"{name}.dvc").read_text() for name in ("table.csv", "tree")]
    assert [text.partition("meta:")[0] for text in by_taut] == by_dvc
