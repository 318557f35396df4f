"""`.dvcignore`: decided as git itself decides, nested, and held to by adding, by status and by the search."""

import subprocess
from pathlib import Path

import pytest

from taut.data import add_dataset, checkout_dataset, dataset_status, read_tree
from taut.data.workspace.ignore import rules_over
from taut.data.workspace.pointers import find_pointers
from taut.data.workspace.walk import walk
from taut.errors import Invalid
from taut.home import Home

PATHS = ["a.log", "keep.log", "d/a.log", "d/keep.log", "tmp/x", "d/tmp/x", "build/x", "d/build", "a b", "#x", "!y", "é"]
PATTERNS = [
    ["*.log"],
    ["*.log", "!keep.log"],
    ["/tmp/"],
    ["tmp/"],
    ["build"],
    ["/build/"],
    ["d/*"],
    ["d/**"],
    ["**/x"],
    ["\\#x", "\\!y"],
    ["# a comment", "", "a b"],
    ["é"],
    ["[a-c].log"],
    ["?.log"],
    ["d/*.log", "!d/keep.log"],
    ["*", "!d/", "!d/**"],
]


def make(folder: Path) -> None:
    for path in PATHS:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


@pytest.mark.parametrize("patterns", PATTERNS, ids=" ".join)
def test_a_pattern_leaves_out_what_git_leaves_out(tmp_path: Path, patterns: list[str]):
    make(tmp_path)
    (tmp_path / ".dvcignore").write_text("\n".join(patterns) + "\n")
    (tmp_path / ".gitignore").write_text("\n".join(patterns) + "\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    asked = subprocess.run(
        ["git", "check-ignore", "-z", "--stdin", "--no-index"],
        cwd=tmp_path, capture_output=True, text=True, input="\0".join(PATHS),
    )  # fmt: skip
    by_git = set(asked.stdout.split("\0")) - {""}
    rules = rules_over(str(tmp_path / "x"), str(tmp_path))
    assert rules is not None
    found = set()
    for path in PATHS:
        parts = path.split("/")
        above = ["/".join(parts[:number]) for number in range(1, len(parts))]
        if any(rules.ignores(f"{tmp_path}/{one}", is_dir=True) for one in above) or rules.ignores(
            f"{tmp_path}/{path}", is_dir=False
        ):
            found.add(path)
    assert found == by_git


def test_a_nearer_file_of_rules_counts_before_a_farther_one(tmp_path: Path):
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / ".dvcignore").write_text("*.log\n")
    (tmp_path / "sub" / ".dvcignore").write_text("!kept.log\n/here\n")
    rules = rules_over(str(tmp_path / "sub" / "deep" / "x"), str(tmp_path))
    assert rules is not None
    told = {
        path: rules.ignores(f"{tmp_path}/{path}", is_dir=False)
        for path in ("a.log", "kept.log", "sub/kept.log", "sub/a.log", "sub/here", "sub/deep/here", "here")
    }
    assert told == {
        "a.log": True, "kept.log": True, "sub/kept.log": False, "sub/a.log": True, "sub/here": True,
        "sub/deep/here": False, "here": False,
    }  # fmt: skip


def test_without_rules_there_are_none_to_ask(tmp_path: Path):
    assert rules_over(str(tmp_path / "a" / "b"), str(tmp_path)) is None
    (tmp_path / ".dvcignore").write_text("# nothing but a comment\n\n")
    assert rules_over(str(tmp_path / "a" / "b"), str(tmp_path)) is None
    assert rules_over("/elsewhere", str(tmp_path)) is None


def test_rules_that_are_no_text_are_told(tmp_path: Path):
    (tmp_path / ".dvcignore").write_bytes(b"\xff\n")
    with pytest.raises(Invalid, match="no text in UTF-8"):
        rules_over(str(tmp_path / "x"), str(tmp_path))


@pytest.fixture
def tree(home: Home) -> Path:
    folder = home.project / "tree"
    for path in ("a.txt", "a.log", "sub/b.txt", "sub/b.log", "tmp/c.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    (home.project / ".dvcignore").write_text("*.log\ntmp/\n")
    return folder


def test_what_is_left_out_is_no_data_and_its_changes_are_none(home: Home, tree: Path):
    assert [file.path for file in read_tree(home, add_dataset(home, tree).tree)] == ["a.txt", "sub/b.txt"]
    (tree / "a.log").write_text("other")
    (tree / "new.log").write_text("new")
    assert dataset_status(home, home.project)[0].state == "unchanged"
    (tree / "new.txt").write_text("new")
    assert dataset_status(home, home.project)[0].added == ("new.txt",)


def test_a_checkout_leaves_what_is_left_out_where_it_was(home: Home, tree: Path):
    add_dataset(home, tree)
    (tree / "a.txt").write_text("second")
    add_dataset(home, tree)
    checkout_dataset(home, "tree", 1)
    assert (tree / "a.txt").read_text() == "a.txt"
    assert {path: (tree / path).read_text() for path in ("a.log", "sub/b.log", "tmp/c.txt")} == {
        path: path for path in ("a.log", "sub/b.log", "tmp/c.txt")
    }


def test_data_that_is_left_out_itself_is_refused_and_rules_inside_data_too(home: Home, tree: Path):
    (home.project / "x.log").write_text("x")
    with pytest.raises(Invalid, match="left out by"):
        add_dataset(home, home.project / "x.log")
    (tree / ".dvcignore").write_text("*\n")
    with pytest.raises(Invalid, match="would be part of the data"):
        add_dataset(home, tree)


def test_the_search_for_pointers_leaves_out_what_the_rules_do_and_what_is_data(home: Home, tree: Path):
    for path in ("x.dvc", "skip/x.dvc", "deep/x.dvc", "deep/gone/x.dvc", "repository/.dvc/config", "repository/x.dvc"):
        (home.project / path).parent.mkdir(parents=True, exist_ok=True)
        (home.project / path).write_text("outs: []\n")
    (home.project / "tree.dvc").write_text("outs: []\n")
    (tree / "inside.dvc").write_text("outs: []\n")
    (home.project / ".dvcignore").write_text("/skip\n")
    (home.project / "deep" / ".dvcignore").write_text("gone/\n")
    found = [str(path.relative_to(home.project)) for path in find_pointers(home.project)]
    assert found == ["deep/x.dvc", "tree.dvc", "x.dvc"]


def test_a_file_of_git_and_a_repository_inside_are_not_seen(tmp_path: Path):
    for path in ("a", ".git", "sub/.git", "sub/b", "own/.dvc/config", "own/c"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert sorted(walk(str(tmp_path)).paths) == ["a", "sub/b"]
