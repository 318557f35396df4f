"""`fsck` over every kind of damage, in a folder, in a bucket and behind a server; and over whole homes, silent."""

import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from taut.data import add_dataset
from taut.errors import Denied, Invalid
from taut.govern import check_home, create_token, show_ledger
from taut.ground import wire
from taut.ground.access import Actor
from taut.ground.objects import oid_of
from taut.ground.settings import Settings, make_folder
from taut.home import Home, open_home
from taut.records import Capture, GitState, InputRead, Surroundings
from taut.runs import create_run, put_artifact, record_capture
from tests.faces.serving import served
from tests.faces.shell import taut


@pytest.fixture(params=["file", "s3"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A home with a dataset of a folder, a run with its capture, an artifact; on a disk, and in a bucket."""
    folder = tmp_path / "project"
    (folder / "tree").mkdir(parents=True)
    for name in ("a.csv", "b.csv"):
        (folder / "tree" / name).write_text(f"x,{name}\n1,2\n")
    make_folder(folder, Settings(objects=request.getfixturevalue("s3_url") if request.param == "s3" else ""))
    with open_home(folder, actor=Actor("ada", "owner")) as opened:
        add_dataset(opened, folder / "tree")
        run = create_run(opened, run_id="a" * 32)
        kept = [put(opened, text) for text in (b"environment", b"output", b"patch", b"lock", b"before")]
        git = GitState("c0ffee", "main", kept[2], (), ())
        inputs = (InputRead("x", kept[4], 6, "", changed=True, kept=True), InputRead("y", "f" * 64, 1, ""))
        capture = Capture(
            environment=kept[0], output=kept[1], git=git, inputs=inputs, surroundings=Surroundings(lock=kept[3])
        )
        record_capture(opened, run.id, capture)
        put_artifact(opened, f"{run.experiment_id}/{run.id}/artifacts", "plot.png", put(opened, b"plot"), 4)
        yield opened


def test_content_in_the_workspace_cache_is_read_and_named_where_it_is_damaged_or_gone(tmp_path: Path):
    make_folder(tmp_path)
    with open_home(tmp_path, actor=Actor("ada", "owner")) as home:
        for name in ("a", "b"):
            (tmp_path / name).write_text(name * 10)
            add_dataset(home, tmp_path / name)
        cached = {path.read_text(): path for path in (tmp_path / ".taut" / "cache").rglob("*") if path.is_file()}
        assert check_home(home).problems == ()
        before = cached["a" * 10].stat()
        cached["a" * 10].chmod(0o644)
        cached["a" * 10].write_text("x" * 10)
        os.utime(cached["a" * 10], ns=(before.st_atime_ns, before.st_mtime_ns))  # Nothing but its bytes tells.
        cached["b" * 10].unlink()
        assert sorted((one.kind, one.subject) for one in check_home(home).problems) == [
            ("damaged", "data:a@1 (.)"),
            ("missing", "data:b@1 (.)"),
        ]
        assert [one.kind for one in check_home(home, quick=True).problems] == ["missing"]


def put(home: Home, data: bytes) -> str:
    return home.objects.put(io.BytesIO(data))


def problems(home: Home, *, quick: bool = False) -> list[tuple[str, str]]:
    return [(problem.kind, problem.subject) for problem in check_home(home, quick=quick).problems]


def tree_of(home: Home) -> str:
    with home.meta.read() as tx:
        row = tx.row("SELECT tree FROM dataset_version")
    assert row is not None
    return str(row[0])


def test_a_whole_home_is_silent_and_counted(home):
    health = check_home(home)
    assert health.problems == ()
    assert health.objects == 1 + 2 + 5 + 1 + 1  # The last is the list of the folder, in the cache.
    assert health.size_bytes > len(b"environmentoutputpatchlockbeforeplot")
    assert health.events == len(show_ledger(home, limit=1000))
    assert problems(home, quick=True) == []


RUN = f"run:{'a' * 32}"


@pytest.mark.parametrize(
    ("data", "hurt"),
    [
        (b"x,a.csv\n1,2\n", "data:tree@1 (a.csv)"),
        (b"environment", f"{RUN} (environment)"),
        (b"output", f"{RUN} (output)"),
        (b"patch", f"{RUN} (patch)"),
        (b"lock", f"{RUN} (lock)"),
        (b"before", f"{RUN} (what x held)"),
    ],
)
def test_a_missing_object_is_named_with_what_it_hurts(home, data, hurt):
    home.objects.delete([oid_of(data)])
    md5 = hashlib.md5(data).hexdigest()
    if home.objects.url.startswith("file://"):  # Where nobody shares a home, datasets are in the cache alone.
        (home.project / ".taut" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink(missing_ok=True)
    assert problems(home) == [("missing", hurt)]
    assert problems(home, quick=True) == [("missing", hurt)]


def test_a_missing_artifact_is_named_by_its_path(home):
    home.objects.delete([oid_of(b"plot")])
    ((kind, subject),) = problems(home)
    assert kind == "missing"
    assert subject.endswith("artifacts/plot.png")


def test_a_missing_tree_is_told_once_and_its_files_cannot_be_known(home):
    home.objects.delete([tree_of(home)])
    assert problems(home) == [("missing", "data:tree@1")]


def damage(home: Home, oid: str, data: bytes) -> None:
    """Other bytes under an old name, as a failing disk leaves them."""
    place = Path(home.objects.url.removeprefix("file://")) / oid[:2] / oid[2:]
    place.chmod(0o644)
    place.write_bytes(data)


@pytest.mark.parametrize("home", ["file"], indirect=True)
def test_a_damaged_tree_is_told_once(home):
    damage(home, tree_of(home), b"[]")
    assert problems(home) == [("damaged", "data:tree@1")]


@pytest.mark.parametrize("home", ["file"], indirect=True)
@pytest.mark.parametrize("data", [b"", b"plo", b"plot!", b"PLOT"])
def test_a_damaged_object_is_found_by_reading_and_not_by_a_quick_look(home, data):
    damage(home, oid_of(b"plot"), data)
    ((kind, _),) = problems(home)
    assert kind == "damaged"
    assert problems(home, quick=True) == []


@pytest.mark.parametrize("home", ["file"], indirect=True)
@pytest.mark.parametrize(
    ("tampering", "found"),
    [
        ("UPDATE ledger SET subject = 'run:other' WHERE seq = 1", ("ledger", "ledger")),
        ("DELETE FROM ledger WHERE seq = 2", ("ledger", "ledger")),
        ("UPDATE ledger SET commitment = leaf WHERE seq = 2", ("ledger", "ledger")),
        ("UPDATE run SET capture = '{\"git\": 3}'", ("damaged", RUN)),
        (
            """INSERT INTO deployment (name, revision, model, number, target, config, cause, at_ms, actor)
            VALUES ('late', 1, 'late', 1, 'process', '{}', 'manual', 0, 'eve')""",
            ("orphan", "deployment:late@1"),
        ),
        (
            f"""INSERT INTO monitor_reference (deployment, number, model, version, from_ms, oid, cause, at_ms)
            VALUES ('late', 1, 'late', 1, 0, '{"0" * 64}', 'deployed', 0)""",
            ("missing", "reference:late@1"),
        ),
    ],
)
def test_rows_changed_behind_our_back_are_told(home, tampering, found):
    with home.meta.transaction() as tx:
        tx.execute(tampering)
    assert set(problems(home)) == {found}


def test_a_tree_that_is_no_list_of_files_is_told(home):
    with home.meta.transaction() as tx:
        tx.execute("UPDATE dataset_version SET tree = :tree", {"tree": put(home, b'{"not": "a list"}')})
    assert problems(home) == [("damaged", "data:tree@1")]


@pytest.mark.parametrize("home", ["file"], indirect=True)
def test_behind_a_server_the_same_is_found(home):
    home.objects.delete([oid_of(b"plot")])
    with served(home) as url, open_home(url) as far:
        assert check_home(far) == check_home(home)


@pytest.mark.parametrize("home", ["file"], indirect=True)
def test_who_may_not_check_a_home_is_denied(home):
    with pytest.raises(Denied, match="home:check"):
        check_home(home.as_actor(Actor("vera", "viewer")))


@pytest.mark.parametrize("home", ["file"], indirect=True)
def test_the_command_ends_with_corrupt_and_names_the_damage(home):
    assert taut(home.project, "fsck").status == 0
    damage(home, oid_of(b"plot"), b"PLOT")
    said = taut(home.project, "fsck")
    assert said.status == 14
    assert "plot.png" in said.out + said.err


@pytest.mark.parametrize("home", ["file"], indirect=True)
def test_the_ledger_is_read_in_pages_that_make_the_whole(home):
    whole = show_ledger(home, limit=1000)
    pages, after = [], 0
    while page := show_ledger(home, after=after, limit=2):
        assert len(page) <= 2
        pages += page
        after = page[-1].seq
    assert pages == whole
    assert show_ledger(home, kind="run.created") == [event for event in whole if event.kind == "run.created"]
    for limit in (0, -1, 10**9):
        with pytest.raises(Invalid, match="page of the ledger"):
            show_ledger(home, limit=limit)


@pytest.mark.parametrize("days", [0, -1, 10**15])
@pytest.mark.parametrize("home", ["file"], indirect=True)
def test_a_token_that_would_never_work_or_never_fit_is_refused(home, days):
    with pytest.raises(Invalid, match="days"):
        create_token(home, "ci", "viewer", days=days)


@pytest.mark.parametrize("home", ["file"], indirect=True)
def test_a_token_is_made_listed_and_ended_at_the_shell_and_its_secret_shown_once(home):
    made = taut(home.project, "token", "create", "ci", "--role", "viewer", "--json")
    assert made.status == 0, made.err
    secret, token_id = made.json["secret"], made.json["token"]["id"]
    listed = taut(home.project, "token", "list", "--json")
    assert [(token["id"], token["role"]) for token in listed.json] == [(token_id, "viewer")]
    assert secret not in listed.out
    assert taut(home.project, "token", "revoke", token_id).status == 0
    again = taut(home.project, "token", "revoke", token_id)
    assert again.status == 10
    kinds = [event["kind"] for event in taut(home.project, "ledger", "show", "--kind", "token.created", "--json").json]
    assert kinds == ["token.created"]
    assert wire.decode(made.out, dict[str, object])["secret"] == secret
