"""Where a project begins: at `.taut`, at `.dvc`, or where one stands when the home is a server's."""

from pathlib import Path

import pytest

from taut.data.exchange.restore import checkout_pointers
from taut.data.workspace.overview import index_place, project_of
from taut.errors import NotFound


def test_without_a_project_there_is_none_but_for_a_home_at_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TAUT_HOME", raising=False)
    with pytest.raises(NotFound, match="no taut project"):
        project_of(str(tmp_path))
    monkeypatch.setenv("TAUT_HOME", "http://127.0.0.1:9")
    assert project_of(str(tmp_path)) == (str(tmp_path), "")
    assert index_place(str(tmp_path), "") == ""
    assert [*tmp_path.iterdir()] == []
    assert checkout_pointers(None, tmp_path) == []


def test_the_nearest_project_is_found_from_below_and_keeps_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TAUT_HOME", raising=False)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").touch()
    assert project_of(str(below)) == (str(tmp_path), "")
    assert index_place(str(tmp_path), "") == str(tmp_path / ".dvc" / "tmp" / "taut")
    (tmp_path / "a" / ".taut").mkdir()
    assert project_of(str(below)) == (str(tmp_path / "a"), str(tmp_path / "a" / ".taut"))
    assert index_place(*project_of(str(below))) == str(tmp_path / "a" / ".taut")
