"""Data that one tool pushed and the other pulls: the real DVC and taut, both ways, in tables of small repositories."""

from pathlib import Path

import pytest

from taut.data.exchange.transfer import fetch, pull, push
from tests.faces.shell import taut
from tests.peers.repositories import DVC, clone, commit, contents, dvc, fill, make_repository

pytestmark = [pytest.mark.skipif(DVC is None, reason="no dvc program on PATH or in DVC_PROGRAM"), pytest.mark.slow]

TREE: dict[str, str | bytes] = {
    "tree/b.txt": "b",
    "tree/sub/ü.txt": "u",
    "tree/sub/deep/c d.bin": bytes(range(256)),
    "tree/empty": "",
}
KINDS: dict[str, dict[str, str | bytes]] = {
    "one file": {"table.csv": "a\n1\n"},
    "a tree": TREE,
    "an empty file": {"empty.txt": ""},
    "files of one content": {"same/a": "x", "same/b": "x", "same/c/d": "x"},
    "line ends": {"dos.txt": "a\r\nb\r\n", "both/one.txt": "a\r\n", "both/two.txt": "a\n"},
    "a larger file": {"large.bin": bytes(range(256)) * 10_000},
    "names": {"names/a b.txt": "1", "names/ä/☃.txt": "2", "names/x#y.txt": "3", "names/q'\".txt": "4"},
    "many": {f"many/{number:03}/{number}.txt": str(number) for number in range(60)},
}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(tmp_path / name))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")


def tops(files: dict[str, str | bytes]) -> list[str]:
    return sorted({name.partition("/")[0] for name in files})


def added(tmp_path: Path, files: dict[str, str | bytes]) -> Path:
    """A repository with data that DVC added and a remote in a directory, named relative to the config."""
    folder = make_repository(tmp_path / "one")
    fill(folder, files)
    dvc(folder, "add", "--quiet", *tops(files))
    (tmp_path / "store").mkdir()
    dvc(folder, "remote", "add", "--quiet", "--default", "store", "../store")
    commit(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_dvc_pulls_what_taut_pushed(tmp_path, kind):
    files = KINDS[kind]
    folder = added(tmp_path, files)
    assert push(folder).files > 0
    other = clone(folder, tmp_path / "two")
    dvc(other, "pull", "--quiet")
    for name in tops(files):
        assert contents(other / name) == contents(folder / name)
    assert dvc(folder, "status", "--cloud").strip().endswith("are in sync.")
    again = push(folder)
    assert (again.files, again.size_bytes) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_taut_pulls_what_dvc_pushed(tmp_path, kind):
    files = KINDS[kind]
    folder = added(tmp_path, files)
    dvc(folder, "push", "--quiet")
    assert push(folder).files == 0
    other = clone(folder, tmp_path / "two")
    moved = pull(other)
    assert moved.files > 0
    for name in tops(files):
        assert contents(other / name) == contents(folder / name)
    assert dvc(other, "status").strip().endswith("up to date.")
    assert pull(other).files == 0


def test_a_part_of_a_folder_is_pulled_alone_by_both(tmp_path):
    folder = added(tmp_path, TREE)
    push(folder)
    ours, theirs = clone(folder, tmp_path / "ours"), clone(folder, tmp_path / "theirs")
    pull(ours, ["tree/sub/deep"])
    dvc(theirs, "pull", "--quiet", "tree/sub/deep")
    assert contents(ours / "tree") == contents(theirs / "tree") == {"sub/deep/c d.bin": bytes(range(256))}
    pull(ours, ["tree/b.txt"])
    assert sorted(contents(ours / "tree")) == ["b.txt", "sub/deep/c d.bin"]
    pull(ours)
    assert contents(ours / "tree") == contents(folder / "tree")


def test_a_part_that_taut_pushed_is_pulled_by_dvc(tmp_path):
    folder = added(tmp_path, TREE)
    push(folder, ["tree/sub/deep"])
    other = clone(folder, tmp_path / "two")
    dvc(other, "pull", "--quiet", "tree/sub/deep")
    assert contents(other / "tree") == {"sub/deep/c d.bin": bytes(range(256))}


def test_outs_of_stages_go_both_ways(tmp_path):
    folder = make_repository(tmp_path / "one")
    fill(folder, {"source.txt": "words\n"})
    dvc(
        folder,
        "stage",
        "add",
        "--quiet",
        "-n",
        "copy",
        "-d",
        "source.txt",
        "-o",
        "copied.txt",
        "cp source.txt copied.txt",
    )
    dvc(folder, "stage", "add", "--quiet", "-n", "fan", "-o", "fan", "mkdir fan && echo 1 > fan/a && echo 2 > fan/b")
    dvc(folder, "repro", "--quiet")
    dvc(folder, "remote", "add", "--quiet", "--default", "store", str(tmp_path / "store"))
    commit(folder)
    push(folder, ["copy"])
    assert push(folder).files == 3
    ours, theirs = clone(folder, tmp_path / "ours"), clone(folder, tmp_path / "theirs")
    pull(ours)
    dvc(theirs, "pull", "--quiet")
    for name in ("copied.txt", "fan"):
        assert contents(ours / name) == contents(theirs / name) == contents(folder / name)
    assert dvc(ours, "status").strip().endswith("up to date.")


def legacy(tmp_path: Path) -> Path:
    """A repository as DVC 2 left it: entries without `hash: md5`, content in the old layout."""
    folder = make_repository(tmp_path / "one")
    fill(folder, {"dos.txt": "a\r\nb\r\n", "tree/x.txt": "x\r\n", "tree/y.bin": b"\0y\r\n"})
    from taut.data.workspace.digests import dos2unix_digest, listing_bytes, md5_of

    cache = folder / ".dvc" / "cache"

    def keep(data: bytes, md5: str) -> str:
        path = cache / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return md5

    one = keep((folder / "dos.txt").read_bytes(), dos2unix_digest(str(folder / "dos.txt")))
    inside = [
        (name, keep((folder / "tree" / name).read_bytes(), dos2unix_digest(str(folder / "tree" / name))))
        for name in ("x.txt", "y.bin")
    ]
    listing = listing_bytes(inside)
    tree = keep(listing, f"{md5_of(listing)}.dir")
    fill(
        folder,
        {
            "dos.txt.dvc": f"outs:\n- md5: {one}\n  size: 6\n  path: dos.txt\n",
            "tree.dvc": f"outs:\n- md5: {tree}\n  size: 7\n  nfiles: 2\n  path: tree\n",
            ".gitignore": "/dos.txt\n/tree\n",
        },
    )
    dvc(folder, "remote", "add", "--quiet", "--default", "store", str(tmp_path / "store"))
    commit(folder)
    return folder


def test_what_dvc_2_kept_goes_both_ways(tmp_path):
    folder = legacy(tmp_path)
    assert push(folder).files == 4
    assert sorted(path.name for path in (tmp_path / "store").iterdir() if path.name == "files") == []
    theirs = clone(folder, tmp_path / "theirs")
    dvc(theirs, "pull", "--quiet")
    ours = clone(folder, tmp_path / "ours")
    pull(ours)
    for name in ("dos.txt", "tree"):
        assert contents(ours / name) == contents(theirs / name) == contents(folder / name)
    assert dvc(ours, "status").strip().endswith("up to date.")
    assert push(theirs).files == 0


def test_a_remote_of_its_own_and_push_false_are_kept_to(tmp_path):
    folder = added(tmp_path, {"a.txt": "a", "b.txt": "b", "c.txt": "c"})
    dvc(folder, "remote", "add", "--quiet", "other", str(tmp_path / "other"))
    for name, line in (("b", "  remote: other\n"), ("c", "  push: false\n")):
        with (folder / f"{name}.txt.dvc").open("a") as stream:
            stream.write(line)
    commit(folder)
    assert sorted(push(folder).remotes) == ["other", "store"]
    assert [len(contents(tmp_path / name)) for name in ("store", "other")] == [1, 1]
    (folder / "c.txt.dvc").unlink()
    commit(folder)
    theirs = clone(folder, tmp_path / "theirs")
    dvc(theirs, "pull", "--quiet")
    assert (theirs / "b.txt").read_text() == "b"


def test_remotes_that_one_tool_wrote_the_other_reads(tmp_path):
    folder = make_repository(tmp_path / "one")
    assert taut(folder, "data", "remote", "add", "near", "../near", "--default").status == 0
    assert taut(folder, "data", "remote", "add", "far", "s3://bucket/a").status == 0
    assert taut(folder, "data", "remote", "modify", "far", "endpointurl", "http://127.0.0.1:1").status == 0
    said = dvc(folder, "remote", "list")
    assert {"near", "far", "s3://bucket/a"} <= set(said.split())
    assert dvc(folder, "remote", "default").strip() == "near"
    dvc(folder, "remote", "modify", "far", "url", "s3://bucket/with, comma #1")
    dvc(folder, "remote", "default", "far")
    listed = {one["name"]: one for one in taut(folder, "data", "remote", "list", "--json").json}
    assert listed["far"]["url"] == "s3://bucket/with, comma #1"
    assert (listed["far"]["default"], listed["near"]["url"]) == (True, str(tmp_path / "near"))
    assert taut(folder, "data", "remote", "default", "near").status == 0
    assert taut(folder, "data", "remote", "remove", "far").status == 0
    assert dvc(folder, "remote", "list").split()[0] == "near"
    assert dvc(folder, "remote", "default").strip() == "near"


def test_the_commands_push_fetch_and_pull(tmp_path):
    folder = added(tmp_path, TREE)
    sent = taut(folder, "data", "push")
    assert (sent.status, sent.out.startswith("sent 5 files")) == (0, True)
    other = clone(folder, tmp_path / "two")
    assert taut(other, "data", "fetch", "--json").json["files"] == 5
    assert not (other / "tree").exists()
    pulled = taut(other, "data", "pull", "--jobs", "2", "--remote", "store")
    assert (pulled.status, "tree is in its place" in pulled.out) == (0, True)
    assert contents(other / "tree") == contents(folder / "tree")


def test_a_damaged_object_of_the_remote_is_named_and_never_reaches_the_cache(tmp_path):
    folder = added(tmp_path, TREE)
    push(folder)
    victim = next(
        path for path in (tmp_path / "store" / "files").rglob("*") if path.is_file() and path.suffix != ".dir"
    )
    victim.chmod(0o644)
    victim.write_bytes(b"other bytes")
    digest = victim.parent.name + victim.name
    other = clone(folder, tmp_path / "two")
    said = taut(other, "data", "pull")
    assert (said.status, digest in said.err) == (14, True)
    assert not (other / ".dvc/cache/files/md5" / digest[:2] / digest[2:]).exists()
    assert not (other / "tree").exists()
    victim.unlink()
    assert taut(other, "data", "pull").status == 10
    assert push(folder).files == 1
    assert taut(other, "data", "pull").status == 0
    assert contents(other / "tree") == contents(folder / "tree")


def test_what_only_the_workspace_has_is_not_overwritten(tmp_path):
    folder = added(tmp_path, TREE)
    push(folder)
    other = clone(folder, tmp_path / "two")
    fill(other, {"tree/b.txt": "mine"})
    assert taut(other, "data", "pull").status == 11
    assert taut(other, "data", "pull", "tree/b.txt").status == 11
    assert (other / "tree/b.txt").read_text() == "mine"
    assert taut(other, "data", "pull", "--force").status == 0
    assert contents(other / "tree") == contents(folder / "tree")


def test_a_cache_of_links_is_filled_from_the_remote(tmp_path):
    folder = added(tmp_path, TREE)
    push(folder)
    other = clone(folder, tmp_path / "two")
    dvc(other, "config", "cache.type", "hardlink,symlink")
    pull(other)
    assert contents(other / "tree") == contents(folder / "tree")
    assert (other / "tree/b.txt").stat().st_nlink == 2
    assert dvc(other, "status").strip().endswith("up to date.")
    assert fetch(other).files == 0
