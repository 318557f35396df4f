"""Several hands: all of the work is done, no more is read ahead than needed, and an end leaves nothing half done."""

import threading
from collections.abc import Iterator

import pytest

from taut.errors import NotFound
from taut.faces.moving.crew import AHEAD, Crew, Stopped
from taut.faces.moving.move import batches
from taut.ground.progress import Silent


class Counted(Silent):
    """Counts what a bar is told."""

    def __init__(self) -> None:
        self.done = 0

    def advance(self, done: int = 1) -> None:
        self.done += done


@pytest.mark.parametrize("hands", [1, 2, 8])
@pytest.mark.parametrize("things", [0, 1, 7, 100])
def test_everything_is_done_once_whatever_the_number_of_hands(hands: int, things: int):
    seen: list[int] = []
    bar = Counted()
    Crew(hands).each(range(things), seen.append, bar)
    assert sorted(seen) == list(range(things))
    assert bar.done == things


def test_several_pieces_are_under_way_at_once():
    together = threading.Barrier(3, timeout=10)

    def meet(_: int) -> None:
        together.wait()

    Crew(3).each(range(3), meet, Silent())


def test_no_more_is_read_than_hands_can_take():
    read: list[int] = []
    go = threading.Event()

    def things() -> Iterator[int]:
        for number in range(50):
            read.append(number)
            if number == AHEAD * 2 - 1:
                go.set()  # The next is asked for only after one of these is done.
            yield number

    most: list[int] = []

    def work(number: int) -> None:
        go.wait(10)
        most.append(len(read) - len(most))

    Crew(2).each(things(), work, Silent())
    assert max(most) <= AHEAD * 2 + 2


def test_the_first_failure_is_raised_after_what_is_under_way_has_ended():
    ended: list[str] = []
    began, failed = threading.Event(), threading.Event()

    def work(name: str) -> None:
        if name == "fails":
            began.wait(10)
            failed.set()
            raise NotFound("not there")
        began.set()
        failed.wait(10)
        ended.append(name)

    with pytest.raises(NotFound, match="not there"):
        Crew(2).each(["slow", "fails"], work, Silent())
    assert ended == ["slow"]


def test_after_a_failure_nothing_new_begins():
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        raise NotFound(str(number))

    with pytest.raises(NotFound):
        Crew(1).each(range(100), work, Silent())
    assert len(begun) <= 1 + AHEAD


def test_work_may_stop_where_it_leaves_nothing_behind():
    crew = Crew(2)
    stopped: list[str] = []
    began = threading.Event()

    def work(name: str) -> None:
        if name == "fails":
            began.wait(10)
            raise NotFound("x")
        began.set()
        try:
            while True:
                crew.pause()
        except Stopped:
            stopped.append(name)
            raise

    with pytest.raises(NotFound):
        crew.each(["fails", "goes on"], work, Silent())
    assert stopped == ["goes on"]


def test_what_yields_the_work_may_fail_too():
    def things() -> Iterator[int]:
        yield 1
        raise NotFound("the list broke")

    done: list[int] = []
    with pytest.raises(NotFound, match="the list broke"):
        Crew(2).each(things(), done.append, Silent())
    assert done == [1]


@pytest.mark.parametrize(
    ("things", "size", "expected"),
    [("", 2, []), ("a", 2, [["a"]]), ("ab", 2, [["a", "b"]]), ("abcde", 2, [["a", "b"], ["c", "d"], ["e"]])],
)
def test_batches_are_full_but_for_the_last(things: str, size: int, expected: list[list[str]]):
    assert list(batches(things, size)) == expected
