"""The places of a fleet: when they are filled again, and what is said of a front that ended."""

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from taut.deploy.control import Failure
from taut.serve.supervising.children import Child, Line, Message
from taut.serve.supervising.fleet import Fleet, Front, Patience
from taut.serve.supervising.sources import Registered

OPEN: list[socket.socket] = []  # Both ends of every line; closed after each test.
PATIENCE = Patience(stable_s=10.0, pause_s=0.5, pause_max_s=3.0)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Two places; nothing is forked, fronts are put there by hand."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Fleet("late@3", 3, Registered("", "", "late@1"), listener, 2, lambda: None, PATIENCE)
    while OPEN:
        OPEN.pop().close()


def placed(fleet: Fleet, slot: int, *, age_s: float = 0.0, state: str = "loading") -> tuple[Front, socket.socket]:
    """A front that was forked so long ago, and its own end of the line."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    OPEN.extend((ours, theirs))
    ours.setblocking(False)
    now_s = time.monotonic()
    front = Front(slot, Child(0, "0:0", Line(ours)), now_s - age_s, now_s + 60.0, state)
    fleet.places[slot].front = front
    return front, theirs


def heard(end: socket.socket) -> list[str]:
    end.setblocking(False)
    found: list[str] = []
    while True:
        try:
            message = Line(end).hear()
        except BlockingIOError:
            return found
        assert message is not None and message.word is not None
        found.append(message.word)


def test_no_front_answers_before_all_are_loaded(fleet: Fleet):
    (first, one), (second, other) = placed(fleet, 0), placed(fleet, 1)
    fleet.hear(first, Message("warm"))
    assert (heard(one), heard(other), fleet.answers) == ([], [], False)
    fleet.hear(second, Message("warm"))
    assert (heard(one), heard(other), fleet.answers) == (["go"], ["go"], False)
    fleet.hear(first, Message("ready"))
    assert not fleet.answers
    fleet.hear(second, Message("ready"))
    assert fleet.answers


def test_one_that_comes_back_need_not_wait_for_the_others(fleet: Fleet):
    (first, _), (second, _) = placed(fleet, 0), placed(fleet, 1)
    for front in (first, second):
        fleet.hear(front, Message("warm"))
    fleet.ended(first, signal.SIGKILL)
    back, line = placed(fleet, 0)
    fleet.hear(back, Message("warm"))
    assert heard(line) == ["go"]


@pytest.mark.parametrize(
    ("ages_s", "pauses_s"),
    [
        ([60.0, 60.0, 60.0], [0.0, 0.0, 0.0]),
        ([1.0], [0.0]),
        ([1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [0.0, 0.5, 1.0, 2.0, 3.0, 3.0]),
        ([1.0, 1.0, 60.0, 1.0, 1.0], [0.0, 0.5, 0.0, 0.0, 0.5]),
    ],
)
def test_a_front_is_replaced_at_once_and_in_a_loop_of_ends_ever_later(
    fleet: Fleet, ages_s: list[float], pauses_s: list[float]
):
    found = []
    for age_s in ages_s:
        front, _ = placed(fleet, 1, age_s=age_s)
        before_s = time.monotonic()
        fleet.ended(front, signal.SIGKILL)
        found.append(round(max(0.0, fleet.places[1].due_s - before_s), 1))
    assert found == pauses_s
    assert fleet.places[1].restarts == len(ages_s)


@pytest.mark.parametrize(
    ("failure", "status", "expected"),
    [
        (None, signal.SIGKILL, "front 0 ended: signal 9 (Killed)"),
        (None, signal.SIGSEGV, "front 0 ended: signal 11 (Segmentation fault)"),
        (None, 40, "front 0 ended: signal 40 ("),
        (None, 3 << 8, "front 0 ended: exit status 3"),
        (Failure("Corrupt", "the model is damaged"), 14 << 8, "front 0 ended: the model is damaged"),
    ],
)
def test_the_problem_says_why(fleet: Fleet, failure: Failure | None, status: int, expected: str):
    front, _ = placed(fleet, 0)
    if failure is not None:
        fleet.hear(front, Message(failure=failure))
    fleet.ended(front, status)
    assert fleet.problem.startswith(expected)


def test_a_loop_of_ends_is_named_as_one_until_a_front_answers(fleet: Fleet):
    for _ in range(3):
        fleet.ended(placed(fleet, 0)[0], 1 << 8)
    assert fleet.problem.endswith("3 in a row ended early, the next one comes 1 s later")
    front, _ = placed(fleet, 0)
    fleet.hear(front, Message("ready"))
    assert fleet.problem == ""


def test_states_say_which_place_how_far_and_how_often(fleet: Fleet):
    fleet.ended(placed(fleet, 0)[0], 1 << 8)
    placed(fleet, 0)
    placed(fleet, 1, state="ready")
    assert [(one.slot, one.state, one.restarts, one.revision) for one in fleet.states()] == [
        (0, "loading", 1, 3), (1, "ready", 0, 3),
    ]  # fmt: skip


def test_nothing_is_due_while_all_places_are_filled(fleet: Fleet):
    placed(fleet, 0, state="ready")
    placed(fleet, 1, state="ready")
    assert fleet.next_s() == float("inf")


def test_fronts_that_answer_are_told_that_others_take_over(fleet: Fleet):
    (_, one), (_, other) = placed(fleet, 0, state="ready"), placed(fleet, 1, state="ready")
    leaving = fleet.leave(retire=True)
    assert [front.state for front in leaving] == ["leaving", "leaving"]
    assert (heard(one), heard(other), fleet.fronts) == (["retire"], ["retire"], [])
