"""What is done about calls that are late: whom they give up their process to, and how many processes that takes."""

import asyncio
from collections.abc import Callable

import pytest

from taut.serve.processes.asks import Ask, Group, Waiting
from taut.serve.processes.lateness import is_given_up, may_ask_suspect, wanted_members
from taut.serve.processes.member import Calling, Member

LATE, EARLY, SUSPECT, FREE = "late", "early", "suspect", "free"
NOW_S = 100.0


def in_a_loop(work: Callable[[], None]) -> None:
    async def main() -> None:
        work()

    asyncio.run(main())


def ask() -> Ask:
    return Ask(Group(1), 0, {"a": [0]}, {}, "x", NOW_S + 10.0)


def calling(kind: str, requests: int = 1) -> Calling:
    """A call of so many requests, that began one second ago."""
    return Calling([ask() for _ in range(requests)], NOW_S - 1.0, 5.0 if kind == EARLY else 0.5, kind == SUSPECT, 0)


def members(*kinds: str) -> list[Member]:
    found = []
    for number, kind in enumerate(kinds):
        member = Member(number, NOW_S)
        if kind != FREE:
            member.calling, member.state = calling(kind), "busy"
        found.append(member)
    return found


def waiting(*, fresh: int = 0, suspects: int = 0) -> Waiting:
    made = Waiting(rows_max=10, requests_max=10)
    made.fresh.extend(ask() for _ in range(fresh))
    made.suspect([ask() for _ in range(suspects)])
    return made


@pytest.mark.parametrize(
    ("kinds", "fresh", "most", "given_up"),
    [
        ([LATE, LATE], 1, 2, True),
        ([LATE, LATE], 0, 2, False),  # Nobody needs its process.
        ([LATE, LATE], 1, 3, False),  # There may be one more.
        ([LATE, EARLY], 1, 2, False),  # The other comes back.
        ([LATE, FREE], 1, 2, False),
        ([LATE, SUSPECT], 1, 2, True),
        ([SUSPECT, LATE], 1, 2, False),  # Suspects keep theirs.
        ([EARLY, EARLY], 1, 2, False),
    ],
)
def test_a_late_call_goes_on_until_its_process_is_needed(kinds: list[str], fresh: int, most: int, given_up: bool):
    def work() -> None:
        them = members(*kinds)
        first = them[0].calling
        assert first is not None
        assert is_given_up(first, them, waiting(fresh=fresh), most, NOW_S) is given_up

    in_a_loop(work)


def test_a_late_call_ends_once_nothing_can_come_of_it():
    def work() -> None:
        late = calling(LATE, requests=3)
        assert not is_given_up(late, members(LATE), waiting(), 4, NOW_S)
        late.is_divided = True
        late.asks[0].tell({"a": [1]})
        late.asks[1].hangs = True
        assert not is_given_up(late, members(LATE), waiting(), 4, NOW_S)
        late.asks[2].hangs = True
        assert is_given_up(late, members(LATE), waiting(), 4, NOW_S)

    in_a_loop(work)


@pytest.mark.parametrize(
    ("kinds", "suspects", "most", "may"),
    [
        ([FREE], 0, 4, False),
        ([FREE], 1, 1, True),
        ([FREE, SUSPECT], 1, 3, True),
        ([FREE, SUSPECT], 1, 2, False),  # If it hung too, the others would have none.
        ([FREE, LATE, SUSPECT], 1, 3, False),
        ([FREE, EARLY, EARLY], 1, 3, True),
    ],
)
def test_suspects_never_take_the_last_process(kinds: list[str], suspects: int, most: int, may: bool):
    def work() -> None:
        assert may_ask_suspect(members(*kinds), waiting(suspects=suspects), most, NOW_S) is may

    in_a_loop(work)


@pytest.mark.parametrize(
    ("kinds", "suspects", "wanted"),
    [
        ([FREE], 0, 1), ([EARLY], 0, 1), ([LATE], 0, 2), ([LATE, SUSPECT], 0, 3), ([FREE], 1, 2),
        ([LATE] * 3, 9, 6), ([LATE] * 9, 0, 8),
    ],
)  # fmt: skip
def test_there_are_as_many_processes_as_calls_hang_and_some_for_suspects(kinds: list[str], suspects: int, wanted: int):
    def work() -> None:
        assert wanted_members(members(*kinds), waiting(suspects=suspects), 1, 8, NOW_S) == wanted

    in_a_loop(work)
