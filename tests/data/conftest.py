"""What tests of data share: both ways of handling many files, and a repository with a remote."""

from pathlib import Path

import pytest

from taut.data.remotes.config import add_remote, places_of
from taut.data.workspace import bulk


@pytest.fixture(params=["native", "python"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """By the C module, and without it."""
    if request.param == "python":
        monkeypatch.setattr(bulk, "native", None)
    elif bulk.native is None:
        pytest.skip("the C module is not compiled")
    return str(request.param)


@pytest.fixture
def with_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository without data, whose default remote is the folder `store` beside it."""
    for level in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{level}_CONFIG_DIR", str(tmp_path / level))
    folder = tmp_path / "repository"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("")
    add_remote(places_of(str(folder), ""), "store", str(tmp_path / "store"), default=True)
    return folder
