"""How much may be under way: of all, of one caller, and in bytes."""

import pytest

from taut.errors import Throttled, Unavailable
from taut.serve.scoring.limits import Limits, UnderWay


def test_a_full_queue_is_a_503_for_whoever_comes():
    under_way = UnderWay(Limits(waiting=2))
    under_way.enter()
    under_way.enter("a")
    assert under_way.is_full
    with pytest.raises(Unavailable, match="2 requests wait already") as problem:
        under_way.enter("b")
    assert problem.value.http_status == 503
    under_way.leave()
    under_way.enter("b")


def test_a_caller_with_more_than_its_share_is_a_429_and_others_are_not():
    under_way = UnderWay(Limits(waiting=10, share=2))
    under_way.enter("greedy")
    under_way.enter("greedy")
    with pytest.raises(Throttled, match="2 requests of 'greedy'") as problem:
        under_way.enter("greedy")
    assert (problem.value.http_status, under_way.waiting) == (429, 2)
    under_way.enter("modest")
    under_way.leave("greedy")
    under_way.enter("greedy")


def test_nobody_known_has_no_share_of_its_own():
    under_way = UnderWay(Limits(waiting=10, share=1))
    for _ in range(5):
        under_way.enter()
    assert under_way.waiting == 5


def test_callers_who_left_leave_nothing_behind():
    under_way = UnderWay(Limits(share=2))
    for number in range(1000):
        under_way.enter(f"caller-{number}")
        under_way.leave(f"caller-{number}")
    assert (under_way.waiting, len(under_way._callers)) == (0, 0)


def test_bodies_together_have_a_bound_whatever_each_of_them_has():
    under_way = UnderWay(Limits(held_bytes=100))
    under_way.hold(60)
    with pytest.raises(Unavailable, match="hold 60 bytes already"):
        under_way.hold(41)
    under_way.hold(40)
    under_way.release(60)
    assert under_way.bytes == 40
