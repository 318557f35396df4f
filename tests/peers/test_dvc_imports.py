"""Imports from another repository: what one tool took, the other checks, pulls and brings up to date."""

from pathlib import Path

import pytest
import yaml

from taut.data.exchange.importing import import_data, update_import
from taut.data.exchange.transfer import pull, push
from taut.errors import Conflict, NotFound
from tests.faces.shell import taut
from tests.peers.repositories import DVC, clone, commit, contents, dvc, fill, git, make_repository

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


@pytest.fixture
def further(registry: Path, tmp_path: Path) -> Path:
    """A repository that imports from the registry, mixes git and DVC in a folder, and has one of DVC inside."""
    folder = make_repository(tmp_path / "further")
    fill(folder, {"mix/git.txt": "by git\n", "mix/data.txt": "by dvc\n"})
    dvc(folder, "add", "--quiet", "mix/data.txt")
    dvc(folder, "import", "--quiet", str(registry), "table.csv")
    dvc(folder, "import", "--quiet", str(registry), "tree", "--out", "mix/tree")
    (folder / "inner").mkdir()
    dvc(folder / "inner", "init", "--quiet", "--subdir")
    fill(folder, {"inner/in.txt": "inside\n"})
    dvc(folder / "inner", "add", "--quiet", "in.txt")
    commit(folder)
    git(folder, "tag", "v1")
    return folder


def test_imports_of_imports_mixed_folders_and_inner_repositories_are_the_same_by_both(further, tmp_path):
    ours, theirs = make_repository(tmp_path / "ours"), make_repository(tmp_path / "theirs")
    for words in (["table.csv"], ["mix"], ["inner/in.txt"], ["table.csv", "--no-exec", "--out", "later"]):
        dvc(theirs, "import", "--quiet", str(further), *words)
        said = taut(ours, "data", "import", str(further), *words)
        assert said.status == 0, said.err
    said = taut(ours, "data", "import", str(further), "mix", "--no-download", "--rev", "v1", "--out", "then")
    assert said.status == 0, said.err
    for name in ("table.csv", "mix", "in.txt"):
        assert contents(ours / name) == contents(theirs / name)
    for name in ("table.csv", "mix", "in.txt", "later"):
        assert yaml.safe_load((ours / f"{name}.dvc").read_text()) == yaml.safe_load(
            (theirs / f"{name}.dvc").read_text()
        )
    assert taut(ours, "data", "pull", "then").status == 0
    assert contents(ours / "then") == contents(ours / "mix")
    fill(further, {"mix/data.txt": "newer\n"})
    dvc(further, "add", "--quiet", "mix/data.txt")
    commit(further)
    dvc(theirs, "update", "--quiet", "mix.dvc")
    assert taut(ours, "data", "update", "mix").status == 0
    assert yaml.safe_load((ours / "mix.dvc").read_text()) == yaml.safe_load((theirs / "mix.dvc").read_text())
    assert taut(ours, "data", "update", "mix", "--rev", "v1", "--no-download").status == 0
    assert "rev: v1" in (ours / "mix.dvc").read_text()
