"""Pointers and locks: read as DVC writes them, changed so that nobody's words are lost, and never believed blindly."""

from pathlib import Path

import pytest
import yaml

from taut.data import add_dataset
from taut.data.workspace.pointers import find_files, ignore_in_git, read_pointer, unignore_in_git
from taut.data.workspace.stages import read_lock
from taut.errors import Invalid
from taut.home import Home

MD5 = "9dd4e461268c8034f5c8564e155c67a6"
WRITTEN = """\
# why this data is here
outs:
- md5: a0000000000000000000000000000000  # of last year
  size: 1
  hash: md5
  path: x.csv
  desc: taxi trips
  type: raw
  labels:
  - city
  remote: cold
  push: false
  meta: {owner: [ada, bob]}
desc: "all of it"
meta:
  owner: ada   # ask her
  on: yes
frozen: false
"""


def pointer(folder: Path, text: str, name: str = "x.csv.dvc") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_adding_again_changes_its_own_fields_and_no_other_word(home: Home):
    file = pointer(home.project, WRITTEN)
    (home.project / "x.csv").write_text("a\n1\n")
    version = add_dataset(home, home.project / "x.csv")
    text = file.read_text()
    (out,) = yaml.safe_load(text)["outs"]
    assert list(out)[:4] == ["md5", "size", "hash", "path"]
    ours = f"  taut:\n    name: x\n    version: 1\n    tree: {version.tree}\n"
    expected = WRITTEN.replace("a" + "0" * 31, out["md5"]).replace("size: 1", "size: 4")
    assert text.replace(ours, "") == expected
    before = file.stat().st_mtime_ns
    add_dataset(home, home.project / "x.csv")
    assert file.stat().st_mtime_ns == before


def test_a_folder_that_becomes_a_file_loses_its_count_and_one_of_dvc_2_gets_its_hash(home: Home):
    file = pointer(home.project, f"outs:\n- md5: {MD5}.dir\n  size: 9\n  nfiles: 3\n  path: x.csv\n")
    (home.project / "x.csv").write_text("a\n1\n")
    add_dataset(home, home.project / "x.csv")
    (out,) = yaml.safe_load(file.read_text())["outs"]
    assert list(out) == ["md5", "size", "hash", "path"]


def test_a_file_that_may_be_run_says_so_where_dvc_does(home: Home):
    (home.project / "tool").write_text("#!/bin/sh\n")
    (home.project / "tool").chmod(0o755)
    add_dataset(home, home.project / "tool")
    (out,) = yaml.safe_load((home.project / "tool.dvc").read_text())["outs"]
    assert list(out) == ["md5", "size", "isexec", "hash", "path"]
    (home.project / "tool").chmod(0o644)
    (home.project / "tool").write_text("#!/bin/sh\n:\n")
    add_dataset(home, home.project / "tool")
    assert "isexec" not in (home.project / "tool.dvc").read_text()


def test_every_out_is_read_with_its_place_and_its_options(tmp_path: Path):
    file = pointer(
        tmp_path,
        f"""
wdir: ../data
frozen: true
deps:
- path: x
  repo: {{url: https://example.org/r, rev_lock: abc}}
outs:
- {{md5: {MD5}, hash: md5, path: ./a, size: 3, push: false, remote: cold}}
- {{md5: {MD5}.dir, path: sub/b/, nfiles: 2, cache: false}}
- {{path: new}}
- {{path: far, etag: abc}}
""",
        "pointers/x.dvc",
    )
    read = read_pointer(file)
    a, b, new, far = read.outs
    assert (a.target, a.size_bytes, a.is_legacy, a.is_pushed, a.remote) == (
        f"{tmp_path}/data/a",
        3,
        False,
        False,
        "cold",
    )
    assert (b.target, b.md5, b.is_legacy, b.is_cached, b.files) == (
        f"{tmp_path}/data/sub/b", f"{MD5}.dir", True, False, 2,
    )  # fmt: skip
    assert (new.md5, new.is_foreign, far.md5, far.is_foreign) == ("", False, "", True)
    assert (read.is_frozen, read.deps[0]["repo"]["rev_lock"]) == (True, "abc")


@pytest.mark.parametrize("meta", ["meta: text", "meta: [1, 2]", "meta: 7", "meta:", "meta: {taut: {}}"])
def test_whatever_others_keep_under_meta_is_theirs(tmp_path: Path, meta: str):
    file = pointer(tmp_path, f"outs:\n- {{md5: {MD5}, hash: md5, path: x}}\n{meta}\n")
    assert read_pointer(file).name == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("outs:\n- {md5: ../../../../etc/passwd, hash: md5, path: x}\n", "is no digest"),
        ("outs:\n- {md5: ABCDEF, path: x}\n", "is no digest"),
        ("outs:\n- {md5: 7, path: x}\n", "x.csv.dvc:2:"),
        (f"outs:\n- {{md5: {MD5}}}\n", "path"),
        ("outs: 7\n", "x.csv.dvc:1:"),
        ("meta: {taut: {version: x}}\nouts:\n- {path: x}\n", "meta: taut"),
        ("a: 1\na: 2\n", "stands here twice"),
    ],
)
def test_a_pointer_that_makes_no_sense_is_named_and_not_guessed(tmp_path: Path, text: str, said: str):
    with pytest.raises(Invalid, match=said):
        read_pointer(pointer(tmp_path, text))


PIPELINE = """
stages:
  prepare:
    cmd: python prepare.py
    deps: [raw.csv]
    outs: [clean.csv]
  train:
    wdir: work
    cmd: python train.py
    outs: [model.pkl]
    metrics:
    - scores.json: {cache: false}
  each:
    foreach: [a, b]
    do:
      cmd: echo ${item}
      outs: ["${item}.txt"]
"""
LOCK = f"""
schema: '2.0'
stages:
  prepare:
    cmd: python prepare.py
    deps: [{{path: raw.csv, hash: md5, md5: {MD5}, size: 1}}]
    outs: [{{path: clean.csv, md5: {MD5}, size: 1}}]
  train:
    cmd: python train.py
    outs:
    - {{path: model.pkl, hash: md5, md5: {MD5}, size: 1}}
    - {{path: scores.json, hash: md5, md5: {MD5}, size: 1}}
  each@a:
    cmd: echo a
    outs: [{{path: a.txt, hash: md5, md5: {MD5}, size: 1}}]
  vanished:
    cmd: 'true'
    outs: [{{path: old, hash: md5, md5: {MD5}, size: 1}}]
"""


def test_the_stages_of_a_lock_are_those_that_its_pipeline_still_has(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "dvc.yaml").write_text(PIPELINE)
    lock = pointer(tmp_path, LOCK, "sub/dvc.lock")
    stages = {stage.address: stage for stage in read_lock(lock, str(tmp_path))}
    each = ["sub/dvc.yaml:each@a", "sub/dvc.yaml:each@b"]
    assert list(stages) == ["sub/dvc.yaml:prepare", "sub/dvc.yaml:train", *each]
    (clean,), (raw,) = stages["sub/dvc.yaml:prepare"].outs, stages["sub/dvc.yaml:prepare"].deps
    assert (clean.target, clean.is_legacy, raw.is_legacy) == (f"{tmp_path}/sub/clean.csv", True, False)
    model, scores = stages["sub/dvc.yaml:train"].outs
    assert (model.target, model.is_cached, scores.is_cached) == (f"{tmp_path}/sub/work/model.pkl", True, False)
    assert [stage.address for stage in read_lock(lock, str(tmp_path / "sub"))] == [
        "prepare", "train", "each@a", "each@b",
    ]  # fmt: skip
    assert [out.md5 for name in each for out in stages[name].outs] == [MD5, ""]


def test_pointers_and_locks_are_found_in_order(tmp_path: Path):
    for path in ("b.dvc", "a/c.dvc", "a/dvc.yaml", "dvc.yaml", "alone/dvc.lock", ".dvc/x.dvc", "node_modules/x.dvc"):
        pointer(tmp_path, "outs: []\n", path)
    assert [str(Path(file).relative_to(tmp_path)) for file in find_files(str(tmp_path))] == [
        "a/c.dvc", "a/dvc.lock", "b.dvc", "dvc.lock",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["plain", "with space", "star*", "[a]", "!not", "#hash", "é"])
def test_git_ignores_data_under_its_very_name_and_no_longer_when_it_goes(tmp_path: Path, name: str):
    import subprocess

    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("*.tmp")
    assert ignore_in_git(tmp_path / name) == tmp_path / ".gitignore"
    assert ignore_in_git(tmp_path / name) is None
    for path, ignored in {name: 0, "other": 1, "x.tmp": 0}.items():
        asked = subprocess.run(["git", "check-ignore", "--quiet", "--", f"./{path}"], cwd=tmp_path)
        assert asked.returncode == ignored, path
    assert unignore_in_git(tmp_path / name) is not None
    assert (tmp_path / ".gitignore").read_text() == "*.tmp\n"
    assert unignore_in_git(tmp_path / name) is None
