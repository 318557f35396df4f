"""Imports from another repository: what one tool took, the other checks, pulls and brings up to date."""

from pathlib import Path

import pytest

from taut.data.exchange.importing import import_data, update_import
from taut.data.exchange.transfer import pull, push
from taut.errors import Conflict, NotFound
from tests.peers.repositories import DVC, clone, commit, contents, dvc, fill, make_repository

pytestmark = [pytest.mark.skipif(DVC is None, reason="no dvc program on PATH or in DVC_PROGRAM"), pytest.mark.slow]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another repository: a file, a folder, and a file that git keeps; pushed to its own remote."""
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    folder = make_repository(tmp_path / "registry")
    fill(folder, {"table.csv": "a\n1\n", "tree/b.txt": "b", "tree/sub/c.txt": "c", "kept.txt": "by git\n"})
    dvc(folder, "add", "--quiet", "table.csv", "tree")
    dvc(folder, "remote", "add", "--quiet", "--default", "store", str(tmp_path / "store"))
    dvc(folder, "push", "--quiet")
    commit(folder)
    return folder


def test_dvc_takes_over_what_taut_imported(registry, tmp_path):
    folder = make_repository(tmp_path / "one")
    url = f"file://{registry}"
    for path in ("table.csv", "tree", "kept.txt"):
        import_data(folder, url, path)
        assert contents(folder / path) == contents(registry / path)
    import_data(folder, url, "tree/sub", to="part")
    assert contents(folder / "part") == {"c.txt": b"c"}
    assert dvc(folder, "status").strip().endswith("up to date.")
    commit(folder)
    with pytest.raises(Conflict):
        import_data(folder, url, "table.csv")
    with pytest.raises(NotFound):
        import_data(folder, url, "nothing.csv")
    with pytest.raises(NotFound):
        import_data(folder, url, "table.csv", to="x", rev="no-such-revision")
    theirs, ours = clone(folder, tmp_path / "theirs"), clone(folder, tmp_path / "ours")
    dvc(theirs, "pull", "--quiet")
    pull(ours)
    for path in ("table.csv", "tree", "kept.txt", "part"):
        assert contents(theirs / path) == contents(ours / path) == contents(folder / path)


def test_taut_takes_over_what_dvc_imported(registry, tmp_path):
    folder = make_repository(tmp_path / "one")
    for path in ("table.csv", "tree"):
        dvc(folder, "import", "--quiet", f"file://{registry}", path)
    commit(folder)
    fill(registry, {"table.csv": "a\n2\n"})
    dvc(registry, "add", "--quiet", "table.csv")
    commit(registry)
    ours = clone(folder, tmp_path / "ours")
    assert pull(ours).files > 0
    assert contents(ours / "table.csv") == {".": b"a\n1\n"}  # As it was when it was imported.
    assert contents(ours / "tree") == contents(registry / "tree")
    update_import(ours, "table.csv")
    assert contents(ours / "table.csv") == {".": b"a\n2\n"}
    assert dvc(ours, "status", "table.csv.dvc").strip().endswith("up to date.")
    dvc(ours, "remote", "add", "--quiet", "--default", "store", str(tmp_path / "mine"))
    assert push(ours).files == 0  # What was imported from a repository stays there.
