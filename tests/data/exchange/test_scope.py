"""How far push, fetch and pull reach: other commits, what data was made from, patterns, and the run cache."""

import shutil
from pathlib import Path

import pytest

from taut.data.exchange.scope import Scope, revisions, scoped_outs, trees
from taut.data.exchange.transfer import fetch, pull, push
from taut.data.workspace.cache import Cache
from taut.data.workspace.digests import md5_of
from taut.errors import Corrupt, Invalid, NotFound, Unavailable, UsageError
from tests.data.remotes.test_prune import commit, git, held, keep, repository
from tests.faces.shell import taut

__all__ = ["repository"]

ENTRY = "cmd: cp a b\ndeps:\n- path: a\n  hash: md5\n  md5: 0cc175b9c0f1b6a831c399e269772661\nouts:\n- path: b\n"
KEY, VALUE = "ab" + "0" * 62, "c" * 64


@pytest.fixture
def grown(repository: Path) -> Path:
    """Three versions of a folder: on a branch, under a tag, and on the branch that is checked out."""
    for number in (1, 2, 3):
        keep(repository, "data", "same", f"version {number}")
        commit(repository)
    git(repository, "branch", "old", "HEAD~2")
    git(repository, "tag", "-m", "the second", "v2", "HEAD~1")
    return repository


@pytest.mark.parametrize(
    ("scope", "files"),
    [
        (Scope(), 3),
        (Scope(all_branches=True), 5),
        (Scope(all_tags=True), 5),
        (Scope(all_branches=True, all_tags=True), 7),
        (Scope(all_commits=True), 7),
    ],
)
def test_what_other_commits_name_is_sent_and_brought_and_never_put_in_place(grown, tmp_path, scope, files):
    assert push(grown, scope=scope).files == files
    assert push(grown, ["data"], scope=scope).files == 0
    shutil.rmtree(grown / ".dvc" / "cache")
    assert fetch(grown, scope=scope).files == files
    assert held(grown / ".dvc" / "cache") == files
    shutil.rmtree(grown / ".dvc" / "cache")
    moved = pull(grown, scope=scope)
    assert (moved.files, moved.paths) == (files, [str(grown / "data")])
    assert (grown / "data" / "1.txt").read_text() == "version 3"


TEMPLATED = """stages:
  each:
    foreach: ${names}
    do:
      cmd: made ${item}
      outs:
      - out-${item}
"""


def test_the_templates_of_another_commit_take_their_values_from_that_commit(repository: Path):
    keep(repository, "data", "here")
    stored = {"a": "one", "b": "two"}
    cache = Cache(repository / ".dvc" / "cache")
    digests = {name: md5_of(text.encode()) for name, text in stored.items()}
    for name, text in stored.items():
        place = Path(cache.path_of(digests[name]))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (repository / "dvc.yaml").write_text(TEMPLATED)
    (repository / "params.yaml").write_text("names: [a, b]\n")
    stages = "".join(
        f"  each@{name}:\n    cmd: made {name}\n    outs:\n    - path: out-{name}\n      hash: md5\n      md5: {md5}\n"
        for name, md5 in digests.items()
    )
    (repository / "dvc.lock").write_text(f"schema: '2.0'\nstages:\n{stages}")
    commit(repository)
    for name in ("dvc.yaml", "params.yaml", "dvc.lock"):
        git(repository, "rm", "--quiet", name)
    git(repository, "commit", "--quiet", "-m", "no stages")
    here = push(repository).files
    assert push(repository, scope=Scope(all_commits=True)).files == len(stored)
    assert here == held(cache.folder) - len(stored)


def test_a_target_of_another_commit_alone_is_found_where_that_is_asked_for(grown):
    git(grown, "checkout", "--quiet", "-b", "side")
    keep(grown, "more", "of the side")
    commit(grown)
    git(grown, "checkout", "--quiet", "main")
    with pytest.raises(NotFound):
        push(grown, ["more"])
    assert push(grown, ["more.dvc"], scope=Scope(all_branches=True)).files == 2
    with pytest.raises(NotFound):
        push(grown, ["nothing"], scope=Scope(all_branches=True))
    (grown / "sub").mkdir()
    assert push(grown / "sub", ["../more"], scope=Scope(all_branches=True)).present == 2


def test_a_broken_commit_is_passed_over_and_a_broken_workspace_is_not(grown):
    (grown / "bad.dvc").write_text("outs: 7\n")
    commit(grown)
    (grown / "bad.dvc").unlink()
    assert push(grown, scope=Scope(all_commits=True)).files == 7
    (grown / "bad.dvc").write_text("outs: 7\n")
    with pytest.raises(Invalid):
        push(grown, scope=Scope(all_commits=True))


def test_commits_that_say_the_same_are_read_once(grown):
    for _ in range(3):
        git(grown, "commit", "--quiet", "--allow-empty", "-m", "nothing")
    commits = revisions(str(grown), Scope(all_commits=True))
    assert (len(commits), len(list(trees(str(grown), commits)))) == (6, 3)
    assert revisions(str(grown), Scope()) == []


def test_a_repository_without_commits_and_a_folder_without_git_are_told(repository, tmp_path):
    keep(repository, "data", "one")
    assert push(repository, scope=Scope(all_commits=True)).files == 2
    shutil.rmtree(repository / ".git")
    with pytest.raises(Unavailable, match="git"):
        push(repository, scope=Scope(all_tags=True))


def test_a_stash_is_kept_and_never_sent(grown):
    keep(grown, "data", "stashed")
    git(grown, "stash", "--quiet")
    assert push(grown, scope=Scope(all_commits=True)).files == 7
    everything = revisions(str(grown), Scope(all_commits=True), everything=True)
    assert len(everything) > len(revisions(str(grown), Scope(all_commits=True)))


def test_with_deps_means_what_a_target_was_made_from_near_and_far(repository):
    for name in ("raw", "other"):
        keep(repository, name, f"of {name}")
    cache = Cache(repository / ".dvc" / "cache")
    made = {name: cache.put_bytes(name.encode()) for name in ("middle", "end", "aside")}
    (repository / "dvc.yaml").write_text(
        "stages:\n  one: {cmd: x, deps: [raw/0.txt], outs: [middle]}\n"
        "  two: {cmd: x, deps: [middle], outs: [end]}\n  three: {cmd: x, deps: [other], outs: [aside]}\n"
    )
    entry = (
        "  {}:\n    cmd: x\n    deps:\n    - {{path: {}, hash: md5, md5: {}}}\n"
        "    outs:\n    - {{path: {}, hash: md5, md5: {}}}\n"
    )
    stages = (("one", "raw/0.txt", "middle"), ("two", "middle", "end"), ("three", "other", "aside"))
    (repository / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n"
        + "".join(entry.format(name, dep, "d" * 32, out, made[out]) for name, dep, out in stages)
    )
    for target in ("two", "end"):
        assert [Path(one.out.target).name for one in scoped_outs(repository, [target], Scope()).outs] == ["end"]
    assert push(repository, ["two"], scope=Scope(with_deps=True)).files == 4
    assert {Path(one.out.target).name for one in scoped_outs(repository, ["end"], Scope(with_deps=True)).outs} == {
        "raw",
        "middle",
        "end",
    }
    with pytest.raises(UsageError):
        push(repository, scope=Scope(with_deps=True))


def test_a_pattern_means_what_it_fits_and_passes_over_what_nobody_tracks(repository):
    for name in ("a1", "a2", "b1"):
        keep(repository, name, f"of {name}")
    (repository / "a3.txt").write_text("nobody's")
    assert push(repository, ["a*"], scope=Scope(is_glob=True)).files == 4
    with pytest.raises(NotFound, match="no name fits"):
        push(repository, ["z*"], scope=Scope(is_glob=True))


def run_entry(folder: Path, text: str = ENTRY) -> Path:
    path = folder / "runs" / KEY[:2] / KEY / VALUE
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_the_run_cache_is_copied_once_and_junk_is_left_where_it_is(repository, tmp_path):
    entry = run_entry(repository / ".dvc" / "cache")
    (entry.parent / "half.tmp").write_text("half")
    assert push(repository).runs == 0
    assert push(repository, run_cache=True).runs == 1
    assert push(repository, run_cache=True).runs == 0
    there = tmp_path / "store" / "runs"
    assert [path.relative_to(there) for path in there.rglob("*") if path.is_file()] == [Path(KEY[:2], KEY, VALUE)]
    shutil.rmtree(repository / ".dvc" / "cache" / "runs")
    assert (fetch(repository, run_cache=True).runs, pull(repository, run_cache=True).runs) == (1, 0)
    assert entry.read_text() == ENTRY


@pytest.mark.parametrize("text", ["not: [an entry", "outs: 3\n", "- a\n", ""])
def test_an_entry_that_is_none_is_named_and_not_copied(repository, tmp_path, text):
    run_entry(repository / ".dvc" / "cache", text)
    with pytest.raises(Corrupt, match=VALUE):
        push(repository, run_cache=True)
    assert not (tmp_path / "store" / "runs").exists()


def test_the_run_cache_goes_through_a_bucket(repository, s3_url):
    from taut.data.remotes.runs import has_runs, pull_runs, push_runs
    from tests.data.remotes.test_remotes import spec_for

    spec = spec_for(s3_url)
    run_entry(repository / ".dvc" / "cache")
    assert [push_runs(spec, repository / ".dvc" / "cache") for _ in range(2)] == [1, 0]
    assert pull_runs(spec, repository / "other") == 1
    assert (repository / "other" / "runs" / KEY[:2] / KEY / VALUE).read_text() == ENTRY
    assert not has_runs(spec._replace(url="https://host/x"))
    with pytest.raises(Invalid):
        push_runs(spec._replace(url="taut+file:///x"), repository)


def test_the_options_are_typed_as_for_dvc(grown):
    assert taut(grown, "data", "push", "-a", "-T", "--run-cache", "-R", ".").status == 0
    shutil.rmtree(grown / ".dvc" / "cache")
    assert taut(grown, "data", "fetch", "-A", "--json").json["files"] == 7
    assert taut(grown, "data", "pull", "--glob", "dat*", "-d", "--json").json["paths"] == [str(grown / "data")]
    for path in (grown / ".dvc" / "cache", grown.parent / "store"):
        shutil.rmtree(path)
    assert taut(grown, "data", "pull").status == 10
    assert taut(grown, "data", "pull", "--allow-missing").status == 0
