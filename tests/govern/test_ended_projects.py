"""What ended long ago: the stores of a project leave whole and its name gives nothing, tokens are forgotten."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from taut.callers import actor_of
from taut.errors import Conflict, Corrupt, NotFound
from taut.govern import (
    anchor_ledger,
    bind_role,
    collect,
    create_project,
    create_token,
    create_user,
    delete_project,
    end_token,
    restore_project,
    show_access_log,
    show_bindings,
    show_ledger,
    show_projects,
    show_tokens,
    verify_home,
)
from taut.govern.tokens import FORGOTTEN
from taut.ground.access import Project, condemn_project, insert_token, note_shown, read_project
from taut.ground.access.tokens import KEPT_MS, KEPT_SOON_MS
from taut.ground.answered import KEPT_MS as ANSWERS_KEPT_MS
from taut.ground.answered import Keyed, claim_key
from taut.ground.clock import SetClock
from taut.ground.meta import remove_metadata
from taut.ground.objects import remove_objects
from taut.ground.settings import Settings, make_folder, read_settings
from taut.home import Home, open_home, remove_project
from taut.runs import create_run, search_runs
from tests.faces.shell import taut
from tests.marks import slow_on_postgresql
from tests.parts import eventually

WORD = "correct horse battery"
DAY_MS = 86_400_000


def later(home: Home, milliseconds: int) -> None:
    assert isinstance(home.clock, SetClock)
    home.clock.pass_ms(milliseconds)


@pytest.fixture
def churn(home: Home) -> Project:
    """A project with a member, a run and an object."""
    create_user(home, "olga", WORD, role="owner")
    create_user(home, "vera", WORD, role="")
    made = create_project(home, "churn")
    bind_role(home, "vera", "data-scientist", project="churn")
    fill(home, made)
    return made


def fill(home: Home, project: Project) -> None:
    with home.entered(project) as inner:
        create_run(inner, name="inside")
        inner.objects.put(io.BytesIO(b"bytes of a project"))


def traces(home: Home, project: Project) -> list[str]:
    """Whatever is left of a project beside the server's own rows."""
    assert home.folder is not None
    found = [str(path) for path in home.folder.rglob("*") if project.id in str(path)]
    url = read_settings(home.folder).metadata
    if url:
        with psycopg.connect(url) as connection:
            query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE %s"
            found += [str(name) for (name,) in connection.execute(query, [f"%{project.id}%"])]
    return found


def gone(home: Home) -> list[str]:
    return [one.kind for one in show_ledger(home, subject="project:churn")]


def test_a_project_that_ended_long_ago_leaves_with_all_that_it_holds(home: Home, churn: Project):
    other = create_project(home, "fraud")
    fill(home, other)
    delete_project(home, "churn")
    later(home, 30 * DAY_MS - 1)
    assert (collect(home).projects, traces(home, churn) != []) == (0, True)
    later(home, 1)
    planned = collect(home, dry_run=True)
    assert (planned.projects, planned.things, traces(home, churn) != []) == (1, ["project:churn"], True)
    assert collect(home).things == ["project:churn"]
    assert traces(home, churn) == []
    assert collect(home).projects == collect(home, dry_run=True).projects == 0
    assert gone(home) == ["project.created", "project.deleted", "project.condemned", "project.purged"]
    assert [one.kind for one in show_access_log(home, subject="project:churn")] == gone(home)
    with home.entered(other) as inner:
        assert len(search_runs(inner)) == len(list(inner.objects.list())) == 1
    with pytest.raises(NotFound):
        restore_project(home, "churn")


@slow_on_postgresql
def test_a_project_comes_back_while_it_is_kept_and_its_members_do_not(home: Home, churn: Project):
    machine = f"Bearer {_token_in(home, churn)}"
    delete_project(home, "churn")
    with pytest.raises(NotFound):
        restore_project(home, "fraud")
    assert restore_project(home, "churn") == churn
    with home.entered(churn) as inner:
        assert [run.name for run in search_runs(inner)] == ["inside"]
        assert actor_of(inner, machine) is None
    assert show_bindings(home, project="churn") == []
    later(home, 365 * DAY_MS)
    assert collect(home).projects == 0
    delete_project(home, "churn")
    create_project(home, "churn")
    with pytest.raises(Conflict):
        restore_project(home, "churn")


@slow_on_postgresql
def test_a_project_of_an_old_name_has_no_old_rights_and_no_old_rows(home: Home, churn: Project):
    delete_project(home, "churn")
    later(home, 31 * DAY_MS)
    again = create_project(home, "churn")
    assert collect(home).projects == 1
    assert (traces(home, churn), again.id != churn.id) == ([], True)
    with home.entered(again) as inner:
        assert (search_runs(inner), list(inner.objects.list())) == ([], [])
    assert show_bindings(home, project="churn") == []


def _condemned(home: Home, project: Project) -> None:
    with home.meta.transaction() as tx:
        assert condemn_project(tx, project, until_ms=home.clock.now_ms(), now_ms=home.clock.now_ms())
        home.append(tx, "project.condemned", subject=f"project:{project.name}", body={"id": project.id})


def _without_objects(home: Home, project: Project) -> None:
    _condemned(home, project)
    assert home.folder is not None
    remove_objects(read_settings(home.folder).objects or f"file://{home.folder / 'objects'}", project.id)


def _without_rows(home: Home, project: Project) -> None:
    _without_objects(home, project)
    assert home.folder is not None
    remove_metadata(read_settings(home.folder).metadata or f"sqlite://{home.folder / 'meta.db'}", project.id)


@pytest.mark.parametrize(
    ("home", "killed"),
    [
        ("sqlite", _condemned),
        ("sqlite", _without_objects),
        ("postgresql", _without_rows),
        pytest.param("sqlite", _without_rows, marks=pytest.mark.slow),
        pytest.param("postgresql", _condemned, marks=pytest.mark.slow),
        pytest.param("postgresql", _without_objects, marks=pytest.mark.slow),
    ],
    indirect=["home"],
)
def test_what_was_killed_on_its_way_is_finished_by_the_next(
    home: Home, churn: Project, killed: Callable[[Home, Project], None]
):
    delete_project(home, "churn")
    killed(home, churn)
    with pytest.raises(NotFound):
        restore_project(home, "churn")
    assert collect(home).projects == 1
    assert traces(home, churn) == []
    assert gone(home) == ["project.created", "project.deleted", "project.condemned", "project.purged"]


@slow_on_postgresql
def test_an_id_that_leads_elsewhere_removes_nothing(home: Home, churn: Project):
    """Whoever can write the database must not have `gc` remove a folder of their choice."""
    for id in ("", "..", "../../x", "default", "0123456789abcdeF"):
        with pytest.raises(Corrupt):
            remove_project(home, Project(id, "churn", "", 0))
    assert traces(home, churn) != []


def test_the_objects_of_a_project_leave_a_bucket(tmp_path: Path, s3_url: str):
    make_folder(tmp_path, Settings(objects=s3_url))
    with open_home(tmp_path, clock=SetClock(1_700_000_000_000)) as home:
        made, other = create_project(home, "churn"), create_project(home, "fraud")
        for project in (made, other):
            fill(home, project)
        home.objects.put(io.BytesIO(b"of the server"))
        delete_project(home, "churn")
        later(home, 31 * DAY_MS)
        assert collect(home).projects == 1
        with home.entered(other) as inner:
            assert len(list(inner.objects.list())) == 1
        assert len(list(home.objects.list())) == 1
        # Its place is empty: whoever opened it would find nothing.
        from taut.ground.objects import connect_objects

        assert list(connect_objects(s3_url, made.id).list()) == []


def test_the_commands_end_bring_back_and_remove(project: Path):
    assert taut(project, "project", "create", "churn").status == 0
    assert taut(project, "project", "delete", "churn", "--yes").status == 0
    said = taut(project, "project", "restore", "churn")
    assert (said.status, said.out) == (0, "project churn is back; nobody is a member yet\n")
    assert taut(project, "project", "delete", "churn", "--yes").status == 0
    planned = taut(project, "gc", "--older-than", "0s", "--dry-run", "--json")
    assert json.loads(planned.out)["things"] == ["project:churn"]
    said = taut(project, "gc", "--older-than", "0s", "--yes")
    assert said.status == 0 and "1 projects" in said.out
    assert not any((project / ".taut" / "projects").iterdir())


@pytest.mark.slow
def test_a_collector_that_is_killed_again_and_again_gets_there(home: Home, churn: Project):
    """Real processes, killed with no warning some moments after they began to remove."""
    with home.entered(churn) as inner:
        for number in range(300):
            inner.objects.put(io.BytesIO(b"%d" % number))
    delete_project(home, "churn")
    home.projects.drop(churn.id)
    command = [sys.executable, "-m", "taut", "gc", "--older-than", "0s", "--yes", "--json"]
    for pause_s in (0.0, 0.002, 0.005, 0.01):
        process = subprocess.Popen(command, cwd=home.project, stdout=subprocess.DEVNULL, env=dict(os.environ))
        eventually(lambda: process.poll() is not None or len(gone(home)) > 2, what="it to begin")  # noqa: B023
        time.sleep(pause_s)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    assert subprocess.run(command, cwd=home.project, check=False, env=dict(os.environ)).returncode == 0
    assert traces(home, churn) == []
    assert gone(home) == ["project.created", "project.deleted", "project.condemned", "project.purged"]


def _token_in(home: Home, project: Project) -> str:
    with home.entered(project) as inner:
        return create_token(inner, "ci", scopes=["read"]).secret


def _tokens(home: Home, **count: int) -> None:
    """Tokens of a kind, each of which lives a minute."""
    now_ms = home.clock.now_ms()
    with home.meta.transaction() as tx:
        for kind, number in count.items():
            for _ in range(number):
                made_by = "trust:abc" if kind == "exchanged" else ""
                insert_token(
                    tx, kind, "scope:log", now_ms=now_ms, expires_ms=now_ms + 60_000,
                    kind="session" if kind == "session" else "service", made_by=made_by,
                )  # fmt: skip


@slow_on_postgresql
def test_tokens_are_forgotten_long_after_they_ended_and_each_by_an_entry(home: Home):
    create_user(home, "olga", WORD, role="owner")
    _tokens(home, session=230, exchanged=30, service=5)
    lasting = create_token(home, "lasting", scopes=["log"], days=366)
    later(home, KEPT_SOON_MS + 59_999)
    anchor_ledger(home)
    assert (collect(home, dry_run=True).tokens, collect(home).tokens) == (0, 0)
    later(home, 1)
    assert (collect(home, dry_run=True).tokens, collect(home).tokens) == (260, 260)
    assert sorted({one.name for one in show_tokens(home)}) == ["lasting", "service"]
    assert len(show_ledger(home, kind="token.forgotten", limit=1000)) == 260
    assert verify_home(home).flaws == ()
    end_token(home, lasting.token.id)
    later(home, KEPT_MS)
    assert collect(home).tokens == 6
    assert show_tokens(home) == []
    assert actor_of(home, f"Bearer {lasting.secret}") is None


@slow_on_postgresql
def test_each_token_that_is_made_takes_two_along_that_ended(home: Home):
    create_user(home, "olga", WORD, role="owner")
    _tokens(home, exchanged=7)
    later(home, KEPT_SOON_MS + 60_000)
    for left in (5, 3, 1, 0, 0):
        create_token(home, "ci", scopes=["log"])
        assert sum(one.name == "exchanged" for one in show_tokens(home)) == left
    assert FORGOTTEN == 2


@slow_on_postgresql
def test_keys_and_shown_id_tokens_are_forgotten_too(home: Home):
    now_ms = home.clock.now_ms()
    create_user(home, "olga", WORD, role="owner")
    project = create_project(home, "churn")
    with home.entered(project) as inner:
        for one in (home, inner):
            with one.meta.transaction() as tx:
                assert claim_key(tx, Keyed("ada", "k", "d"), at_ms=now_ms) is None
        with home.meta.transaction() as tx:
            assert note_shown(tx, "seal", now_ms + 1000, now_ms=now_ms)
        later(home, ANSWERS_KEPT_MS + 1)
        collect(home)
        for one in (home, inner):
            assert list(one.meta.ask("SELECT key FROM answered")) == []
        assert list(home.meta.ask("SELECT hash FROM shown_token")) == []


@slow_on_postgresql
def test_the_names_of_projects_that_ended_are_told_to_nobody(home: Home, churn: Project):
    delete_project(home, "churn")
    assert [one.name for one in show_projects(home)] == ["default"]
    with home.meta.read() as tx, pytest.raises(NotFound):
        read_project(tx, "churn")
