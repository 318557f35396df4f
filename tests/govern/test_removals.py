"""A write after a removal: what somebody was let in for is not committed once the removal was acknowledged."""

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from taut.callers import actor_of
from taut.errors import Ended
from taut.govern import (
    bind_role,
    close_sessions,
    create_project,
    create_token,
    create_user,
    delete_project,
    delete_user,
    disable_user,
    end_token,
    grant_permission,
    open_session,
    revoke_permission,
    set_password,
    set_user_role,
    unbind_role,
)
from taut.ground.access import Actor, read_project
from taut.ground.clock import SetClock
from taut.ground.ledger import events, verify_ledger
from taut.home import Home, open_home
from taut.runs import Batch, create_experiment, create_run, list_experiments, log_batches, search_runs
from tests.marks import slow_on_postgresql

WORD = "correct horse battery"
# Each database and each kind of project once; the slow run asks for every pair.
crosswise = pytest.mark.parametrize(
    ("home", "team"),
    [
        ("sqlite", "default"),
        ("postgresql", "churn"),
        pytest.param("sqlite", "churn", marks=pytest.mark.slow),
        pytest.param("postgresql", "default", marks=pytest.mark.slow),
    ],
    indirect=True,
)


def basic(user: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{WORD}".encode()).decode()


def let_in(home: Home, shown: str) -> Home:
    """The home in the hands of whoever shows this, as a request has it that was let in now."""
    actor = actor_of(home, shown)
    assert actor is not None and actor.seen is not None
    return home.as_actor(actor)


@pytest.fixture(params=["default", "churn"])
def team(home: Home, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A project, of which vera is a data-scientist: the server's own, or one with stores of its own."""
    create_user(home, "olga", WORD, role="owner")
    create_project(home, "churn")
    create_user(home, "vera", WORD, role="")
    bind_role(home, "vera", "data-scientist", project=request.param)
    with home.meta.read() as tx:
        project = read_project(tx, request.param)
    with home.entered(project) as inner:
        yield inner


def written_by(home: Home, name: str) -> int:
    with home.meta.read() as tx:
        return sum(one.actor == name and one.kind != "access.denied" for one in events(tx, limit=100_000))


def of_password(_: Home, name: str) -> str:
    return basic(name)


def of_token(home: Home, name: str = "ci") -> str:
    return f"Bearer {create_token(home, name, scopes=['read', 'log']).secret}"


def of_session(home: Home, name: str = "vera") -> str:
    return f"Bearer {open_session(let_in(home, basic(name))).secret}"


def unbind(home: Home, name: str) -> None:
    unbind_role(home, name, "data-scientist", project=home.project_name)


def end_sessions(home: Home, name: str) -> None:
    close_sessions(let_in(home, basic(name)), everywhere=True)


def end_its_token(home: Home, name: str) -> None:
    with home.root.meta.read() as tx:
        ((token,),) = tx.rows("SELECT id FROM token WHERE name = :name", {"name": name})
    end_token(home, str(token))


REMOVALS: list[tuple[Callable[[Home, str], str], Callable[[Home, str], object]]] = [
    (of_password, unbind),
    (of_password, disable_user),
    (of_password, delete_user),
    (of_password, lambda home, name: set_user_role(home, name, "viewer")),
    (of_session, unbind),
    (of_session, end_sessions),
    (of_session, disable_user),
    (of_session, lambda home, name: set_password(home, name, WORD + "!")),
    (of_token, end_its_token),
]


@crosswise
def test_who_was_let_in_before_a_removal_writes_nothing_after_it(team: Home):
    for number, (shown, remove) in enumerate(REMOVALS):
        name = f"u{number}"
        if shown is not of_token:
            create_user(team, name, WORD, role="data-scientist")
        theirs = let_in(team, shown(team, name))
        run = create_run(theirs)
        before = written_by(team, name)
        remove(team, name)
        with pytest.raises(Ended, match="may less than when this was asked"):
            create_run(theirs)
        (problem,) = log_batches(team, [Batch(run.id, theirs.actor, tags={"a": "b"})])
        assert isinstance(problem, Ended)
        assert len(search_runs(team)) == number + 1
        assert written_by(team, name) - before == (remove is end_sessions and team.server is None), name


@slow_on_postgresql
def test_a_batch_of_somebody_else_in_the_same_group_is_written(team: Home):
    machine = let_in(team, of_token(team))
    vera = let_in(team, basic("vera"))
    run = create_run(vera)
    unbind_role(team, "vera", "data-scientist", project=team.project_name)
    batches = [
        Batch(run.id, actor, params={name: "1"})
        for name, actor in (("a", vera.actor), ("b", machine.actor), ("c", vera.actor), ("d", Actor("x", "owner")))
    ]
    assert [type(problem) for problem in log_batches(team, batches)] == [Ended, type(None), Ended, type(None)]
    with team.meta.read() as tx:
        assert tx.rows("SELECT key FROM param ORDER BY key") == [("b",), ("d",)]


@slow_on_postgresql
def test_what_changes_for_others_or_for_the_better_stops_nobody(team: Home):
    theirs = let_in(team, basic("vera"))
    create_user(team, "otto", WORD, role="viewer")
    bind_role(team, "vera", "approver", project=team.project_name)
    made = create_experiment(theirs, "mine")  # Which grants it to them.
    create_run(theirs, experiment_id=made.id)
    delete_user(team, "otto")
    create_run(theirs, experiment_id=made.id)


@slow_on_postgresql
def test_a_grant_that_is_taken_or_turned_into_less_counts(team: Home):
    create_user(team, "vik", WORD, role="viewer")
    made = create_experiment(team, "theirs")
    grant_permission(team, "vik", "experiment", made.id, "EDIT")
    theirs = let_in(team, basic("vik"))
    create_run(theirs, experiment_id=made.id)
    grant_permission(team, "vik", "experiment", made.id, "READ")
    with pytest.raises(Ended):
        create_run(theirs, experiment_id=made.id)
    theirs = let_in(team, basic("vera"))
    grant_permission(team, "vera", "experiment", made.id, "NO_PERMISSIONS")
    with pytest.raises(Ended):
        create_run(theirs, experiment_id=made.id)
    revoke_permission(team, "vera", "experiment", made.id)
    create_run(let_in(team, basic("vera")), experiment_id=made.id)


@slow_on_postgresql
def test_who_takes_something_from_themselves_may(team: Home):
    session = let_in(team, of_session(team))
    create_token(team, "other", scopes=["read"])  # So that access has changed since they were let in.
    assert close_sessions(session) == 1
    with pytest.raises(Ended):
        create_run(session)


@slow_on_postgresql
def test_nobody_writes_into_a_project_that_ended(team: Home):
    if team.server is None:
        pytest.skip("the server's own home never ends")
    owner = let_in(team, basic("olga"))
    delete_project(team.root, "churn")
    with pytest.raises(Ended):
        create_experiment(owner, "late")
    assert [one.name for one in list_experiments(team)] == []


def race(home: Home, other: Home, shown: str, remove: Callable[[], object]) -> tuple[int, int]:
    """Writes of one caller while they lose their right elsewhere: how many are there at the answer, and at the end."""
    theirs, began = let_in(home, shown), threading.Barrier(3)
    run = create_run(theirs)
    ended = []

    def write(log: bool) -> None:
        began.wait(10)
        for number in range(10_000):
            if log:
                (problem,) = log_batches(home, [Batch(run.id, theirs.actor, tags={"n": str(number)})])
            else:
                try:
                    create_run(theirs)
                except Ended as stopped:
                    problem = stopped
                else:
                    problem = None
            if problem is not None:
                ended.append(problem)
                return

    writers = [threading.Thread(target=write, args=[log]) for log in (True, False)]
    for writer in writers:
        writer.start()
    began.wait(10)
    remove()
    with other.meta.read() as tx:
        at_answer = len(events(tx, limit=100_000))
    for writer in writers:
        writer.join(30)
    assert [type(one) for one in ended] == [Ended, Ended]
    with other.meta.read() as tx:
        assert list(verify_ledger(tx)) == []
        return at_answer, len(events(tx, limit=100_000))


@crosswise
@pytest.mark.parametrize("rounds", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_no_write_is_committed_once_the_removal_was_answered_by_another_replica(team: Home, rounds: int):
    """Two homes on the same stores share nothing in this process: each has its own connections and its own memory."""
    with ExitStack() as stack:
        other = stack.enter_context(
            open_home(team.place, actor=Actor("ada", "owner"), clock=SetClock(team.clock.now_ms()))
        )
        project = team.in_project
        there = stack.enter_context(other.entered(project)) if project is not None else other
        for number in range(rounds):
            if number % 2:
                made = create_token(there, "ci", scopes=["read", "log"])
                shown = f"Bearer {made.secret}"
                remove: Callable[[], object] = partial(end_token, there, made.token.id)
            else:
                bind_role(there, "vera", "data-scientist", project=team.project_name)
                team.access.forget()
                shown = basic("vera")
                remove = partial(unbind_role, there, "vera", "data-scientist", project=team.project_name)
            before, after = race(team, there, shown, remove)
            assert before == after, (number, before, after)
