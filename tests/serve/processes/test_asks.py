"""The queue before the processes: which requests go together, who is told that time is up, how long calls take."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from taut.serve.processes.asks import Ask, Group, Usual, Waiting
from taut.serve.processes.lateness import patience_with


def in_a_loop(work: Callable[[], None]) -> None:
    async def main() -> None:
        work()

    asyncio.run(main())


def asks(*likenesses: Any, rows: int = 1, deadline_s: float = 10.0, params: dict[str, Any] | None = None) -> list[Ask]:
    group = Group(len(likenesses))
    return [
        Ask(group, place, {"a": [0] * rows}, params or {}, likeness, deadline_s)
        for place, likeness in enumerate(likenesses)
    ]


def test_requests_of_one_likeness_go_together_and_the_others_keep_their_order():
    def work() -> None:
        waiting = Waiting(rows_max=100, requests_max=100)
        one, two, three, four = asks("x", "y", "x", "z")
        waiting.fresh.extend([one, two, three, four])
        assert waiting.next_fresh(100, 0.0) == [one, three]
        assert list(waiting.fresh) == [two, four]

    in_a_loop(work)


def test_what_is_like_nothing_goes_alone():
    def work() -> None:
        waiting = Waiting(rows_max=100, requests_max=100)
        waiting.fresh.extend(asks(None, None))
        assert len(waiting.next_fresh(100, 0.0)) == len(waiting.next_fresh(100, 0.0)) == 1

    in_a_loop(work)


def test_other_params_are_another_call():
    def work() -> None:
        waiting = Waiting(rows_max=100, requests_max=100)
        waiting.fresh.extend(asks("x") + asks("x", params={"k": 1}))
        assert [len(waiting.next_fresh(100, 0.0)) for _ in range(3)] == [1, 1, 0]

    in_a_loop(work)


@pytest.mark.parametrize(
    ("rows", "rows_max", "requests_max", "sizes"),
    [(1, 3, 100, [3, 3, 1]), (2, 3, 100, [1] * 7), (9, 3, 100, [1] * 7), (1, 100, 4, [4, 3]), (1, 100, 100, [7])],
)
def test_a_call_has_bounds_and_a_request_larger_than_them_goes_alone(
    rows: int, rows_max: int, requests_max: int, sizes: list[int]
):
    def work() -> None:
        waiting = Waiting(rows_max=rows_max, requests_max=requests_max)
        waiting.fresh.extend(asks(*"xxxxxxx", rows=rows))
        assert [len(waiting.next_fresh(100, 0.0)) for _ in sizes] == sizes
        assert not waiting

    in_a_loop(work)


def test_whose_time_is_up_is_told_so_and_never_given_out():
    def work() -> None:
        waiting = Waiting(rows_max=100, requests_max=100)
        (late,), (early,) = asks("x", deadline_s=1.0), asks("x", deadline_s=9.0)
        waiting.fresh.extend([late, early])
        waiting.expire(2.0)
        assert late.is_over and not early.is_over
        assert waiting.next_fresh(100, 9.0) == [] and early.is_over

    in_a_loop(work)


def test_a_suspect_goes_alone_and_whoever_has_an_answer_is_none():
    def work() -> None:
        waiting = Waiting(rows_max=100, requests_max=100)
        one, two, three = asks("x", "x", "x")
        one.tell({"a": [1]})
        waiting.suspect([one, two, three])
        three.tell(ValueError("no"))
        assert waiting.next_suspect(0.0) == [two]
        assert waiting.next_suspect(0.0) == []

    in_a_loop(work)


def test_the_first_outcome_counts_and_all_are_told_at_once():
    async def main() -> None:
        group = Group(2)
        one, two = (Ask(group, place, {"a": [0]}, {}, "x", 1.0) for place in range(2))
        two.tell({"a": [2]})
        two.tell(TimeoutError())
        assert not group.future.done()
        one.tell({"a": [1]})
        assert await group.future == [{"a": [1]}, {"a": [2]}]

    asyncio.run(main())


def test_how_long_calls_take_is_learnt_by_their_size():
    usual = Usual()
    assert usual.expected_s(1) == 0.0
    usual.learn(64, 0.008)
    assert usual.expected_s(1) == 0.008
    usual.learn(1, 0.006)
    assert usual.expected_s(1) == 0.006
    assert usual.expected_s(64) == 0.008
    assert usual.expected_s(6400) > 0.5
    for _ in range(100):
        usual.learn(1, 0.1)
    assert usual.expected_s(1) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize(
    ("usual_s", "left_s", "patience_s"), [(0.0, 10.0, 0.25), (0.5, 10.0, 2.0), (2.0, 10.0, 10 / 3), (5.0, 10.0, 7.5)]
)
def test_patience_grows_with_what_is_usual_and_leaves_time_for_others(usual_s: float, left_s: float, patience_s: float):
    def work() -> None:
        usual = Usual()
        usual.learn(1, usual_s)
        assert patience_with(asks("x", deadline_s=100.0 + left_s), usual, 1, 100.0) == pytest.approx(patience_s)

    in_a_loop(work)
