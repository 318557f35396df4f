"""`taut ledger`: shown, proven, verified and anchored in a file, in a real git repository, at a second server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.govern import create_token
from taut.ground.access import Actor
from taut.ground.ledger.notes import notes_in, read_note
from taut.ground.settings import make_folder
from taut.home import Home, open_home
from taut.runs import create_run
from tests.faces.serving import served
from tests.faces.shell import is_two_lines, taut


@pytest.fixture
def project(project: Path) -> Path:
    """A project in whose ledger stand some entries."""
    with open_home(project) as home:
        for number in range(3):
            create_run(home, run_id=f"{number:032x}")
    return project


def edited(project: Path, sql: str) -> None:
    with open_home(project) as home, home.meta.transaction() as tx:
        tx.execute(sql)


def git(repository: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(repository), *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a commit, a file that is not committed, and one that is staged."""
    place = tmp_path / "evidence"
    place.mkdir()
    git(place, "init", "--quiet", "--initial-branch", "main")
    (place / "a").write_text("a")
    git(place, "add", "a")
    git(place, "commit", "--quiet", "-m", "first")
    (place / "b").write_text("b")
    git(place, "add", "b")
    (place / "c").write_text("c")
    return place


def test_the_ledger_is_shown(project):
    said = taut(project, "ledger", "show", "--kind", "run.created")
    assert said.status == 0
    assert said.out.splitlines()[0].split() == [
        "entry",
        "when",
        "who",
        "what",
        "about",
        "body",
        "token",
        "request",
        "from",
    ]
    assert len(taut(project, "ledger", "show", "--kind", "run.created", "--after", "2", "--json").json) == 2


def test_an_anchor_in_a_file_finds_what_was_edited_since(project, tmp_path):
    place = tmp_path / "anchors"
    for _ in range(2):
        said = taut(project, "ledger", "anchor", "--to", f"file:{place}")
        assert said.status == 0, said.err
        assert f"kept at file:{place}" in said.out
    notes = notes_in(place.read_text())
    assert [read_note(note).size for note in notes] == [6, 7]
    clean = taut(project, "ledger", "verify", "--anchor", str(place))
    assert (clean.status, clean.err) == (0, "")
    assert clean.out == "7 entries, 2 anchors, tables as of entry 6: no flaws\n"
    edited(project, "UPDATE run SET name = 'edited' WHERE id LIKE '%2'")
    found = taut(project, "ledger", "verify", "--anchor", f"file:{place}", "--json")
    assert found.status == 14
    assert {flaw["subject"] for flaw in found.json["flaws"]} == {f"run:{2:032x}"}
    told = taut(project, "ledger", "verify", "--anchor", str(place)).out.splitlines()
    assert told[0].startswith("run: run (00000000000000000000000000000002, 0) was changed after entry")
    assert told[-1].endswith("2 flaws")


def test_an_anchor_in_git_is_a_commit_on_a_branch_of_its_own(project, repository):
    before = git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")
    for _ in range(2):
        said = taut(project, "ledger", "anchor", "--to", f"git:{repository}", "--json")
        assert said.status == 0, said.err
    assert (git(repository, "status", "--porcelain"), git(repository, "rev-parse", "HEAD")) == before
    log = git(repository, "log", "--format=%H %s", "taut-ledger").splitlines()
    assert said.json["kept"].startswith(log[0].split()[0])
    origin = said.json["checkpoint"]["origin"]
    assert [line.partition(" ")[2] for line in log] == [
        f"Anchor {origin} at 7 entries",
        f"Anchor {origin} at 6 entries",
    ]
    (name,) = git(repository, "ls-tree", "--name-only", "taut-ledger").split()
    assert len(notes_in(git(repository, "show", f"taut-ledger:{name}"))) == 2
    assert taut(project, "ledger", "verify", "--anchor", f"git:{repository}").status == 0
    edited(project, "DELETE FROM ledger WHERE seq > 5")
    assert taut(project, "ledger", "verify", "--anchor", f"git:{repository}").status == 14


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Home]:
    """The home of a second server."""
    folder = tmp_path / "witness"
    folder.mkdir()
    make_folder(folder)
    with open_home(folder, actor=Actor("eve", "owner")) as opened:
        yield opened


def test_a_second_server_keeps_anchors_and_is_shown_that_each_continues_the_last(project, witness):
    token = create_token(witness, "ours", "auditor").secret
    with served(witness) as url:
        for count in (1, 2):
            said = taut(project, "ledger", "anchor", "--to", url, "--json", TAUT_TOKEN=token)
            assert said.status == 0, said.err
            assert said.json["kept"].startswith(f"{url}, which keeps {count} of")
        assert taut(project, "ledger", "verify", "--anchor", url, TAUT_TOKEN=token).status == 0
        edited(project, "UPDATE run SET status = 'FAILED'")
        assert taut(project, "ledger", "verify", "--anchor", url, TAUT_TOKEN=token).status == 14
        reader = create_token(witness, "other", "viewer").secret
        refused = taut(project, "ledger", "anchor", "--to", url, TAUT_TOKEN=reader)
        assert refused.status == 12
        assert is_two_lines(refused)


def test_a_proof_is_checked_in_a_folder_without_a_home(project, tmp_path):
    proof = taut(project, "ledger", "prove", "3")
    assert proof.status == 0
    (tmp_path / "proof.json").write_text(proof.out)
    key = taut(project, "ledger", "checkpoint", "--json").json["key"]
    (tmp_path / "public.key").write_text(f"{key}\n")
    for given in (key, "public.key"):
        said = taut(tmp_path, "ledger", "verify", "--proof", "proof.json", "--key", given)
        assert said.status == 0, said.err
        assert said.out.startswith("entry 3 of taut.home/")
        assert f"did run.created to run:{1:032x}" in said.out
    changed = json.loads(proof.out) | {"seq": 2}
    (tmp_path / "proof.json").write_text(json.dumps(changed))
    assert taut(tmp_path, "ledger", "verify", "--proof", "proof.json", "--key", key).status == 14
    assert taut(tmp_path, "ledger", "verify", "--proof", "proof.json").status == 2
    assert taut(tmp_path, "ledger", "verify", "--proof", "none.json", "--key", key).status == 10
    (tmp_path / "proof.json").write_text("{}")
    assert taut(tmp_path, "ledger", "verify", "--proof", "proof.json", "--key", key).status == 13


def test_a_checkpoint_is_a_note_that_others_can_read(project):
    said = taut(project, "ledger", "checkpoint")
    assert said.status == 0
    note, _, key = said.out.partition("\nits public key: ")
    assert read_note(note).size == 5
    assert key.startswith(read_note(note).origin + "+")


def test_a_body_is_erased_after_a_question(project):
    asked = taut(project, "ledger", "erase", "3", "--because", "asked to", stdin="n\n")
    assert asked.status == 130
    assert taut(project, "ledger", "show", "--kind", "ledger.erased", "--json").json == []
    done = taut(project, "ledger", "erase", "3", "--because", "asked to", "--yes")
    assert (done.status, done.out) == (0, "the body of entry 3 is gone\n")
    assert "erased" in taut(project, "ledger", "show", "--subject", f"run:{1:032x}").out
    assert taut(project, "ledger", "verify").status == 0


def test_objects_are_read_where_that_is_asked_for(project):
    with open_home(project) as home:
        import io

        from taut.runs import put_artifact

        oid = home.objects.put(io.BytesIO(b"plot"))
        put_artifact(home, f"0/{0:032x}/artifacts", "a.png", oid, 4)
    assert taut(project, "ledger", "verify", "--objects").status == 0
    (path,) = [path for path in (project / ".taut" / "objects").rglob("*") if path.is_file()]
    path.unlink()
    assert taut(project, "ledger", "verify").status == 0
    found = taut(project, "ledger", "verify", "--objects", "--json")
    assert found.status == 14
    assert [flaw["where"] for flaw in found.json["flaws"]] == ["objects"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("anchor", "--to", "ftp:nowhere"), 13),
        (("anchor", "--to", "file:"), 13),
        (("anchor", "--to", "file:/nowhere/at/all"), 12),
        (("anchor", "--to", "git:/nowhere"), 10),
        (("anchor", "--to", "git:."), 10),
        (("anchor", "--to", "http://127.0.0.1:9"), 15),
        (("verify", "--anchor", "none"), 10),
        (("verify", "--anchor", "git:."), 10),
        (("verify", "--key", "none"), 13),
        (("prove", "99"), 10),
        (("erase", "99", "--because", "x", "--yes"), 10),
    ],
)
def test_what_cannot_be_done_is_said_in_two_lines(project, words, status):
    said = taut(project, "ledger", *words)
    assert said.status == status, said.err
    assert is_two_lines(said)


def test_a_file_without_our_anchors_says_whose_it_keeps(project, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    make_folder(other)
    assert taut(other, "ledger", "anchor", "--to", f"file:{tmp_path / 'anchors'}").status == 0
    assert taut(project, "ledger", "anchor").status == 0
    said = taut(project, "ledger", "verify", "--anchor", str(tmp_path / "anchors"))
    assert said.status == 10
    assert "only of taut.home/" in said.err
