"""A model that hangs: the guilty request gets its time-out at its deadline, all others their answers long before."""

import asyncio
import threading
import time

import pytest

from tests.parts import eventually
from tests.serve.processes.tricksters import PATIENT_S, Saved, Stand, answer, request, stand


@pytest.mark.parametrize(
    "trick", [pytest.param("hang", marks=pytest.mark.slow), pytest.param("spin", marks=pytest.mark.slow), "spin-in-c"]
)
def test_others_in_the_same_call_are_answered_while_one_hangs(shared: Stand, trick: str):
    asked = [(request(place, trick if place == 3 else "UA"), 1.2 if place == 3 else PATIENT_S) for place in range(8)]
    began_s = time.monotonic()
    outcomes = shared.score_each(asked)
    took_s = time.monotonic() - began_s
    assert isinstance(outcomes.pop(3), TimeoutError)
    assert outcomes == [answer(place) for place in range(8) if place != 3]
    assert took_s < 10, "the others waited for the deadline of their own"
    eventually(lambda: shared.pool.sizes.busy == 0, what="the end of the process that hangs")


def test_more_hanging_requests_than_processes_starve_nobody(shared: Stand):
    hanging = [(request(place, "hang"), 1.5) for place in range(8)]
    began_s = time.monotonic()
    outcomes = shared.score_each(hanging + [(request(place), PATIENT_S) for place in range(50)])
    assert [type(one) for one in outcomes[:8]] == [TimeoutError] * 8
    assert outcomes[8:] == [answer(place) for place in range(50)]
    assert time.monotonic() - began_s < 10
    assert not shared.pool.hangs


def test_a_slow_call_is_answered_though_others_went_around_it(shared: Stand):
    began_s = time.monotonic()
    slow, *rest = shared.score_each([(request(1, "wait:0.6"), PATIENT_S), *((request(n), PATIENT_S) for n in range(9))])
    assert slow == answer(1) and rest == [answer(n) for n in range(9)]
    assert time.monotonic() - began_s < 10


def test_a_request_whose_time_is_up_before_it_is_asked_times_out(shared: Stand):
    assert isinstance(shared.score(request(1), within_s=-1.0)[0], TimeoutError)
    assert shared.score(request(2)) == [answer(2)]


def test_a_caller_that_goes_away_leaves_nothing_behind(shared: Stand):
    async def go_away() -> None:
        asked = asyncio.ensure_future(shared.pool.score([request(1, "hang")], time.monotonic() + PATIENT_S))
        await asyncio.sleep(0.05)
        asked.cancel()

    shared.run(go_away())
    eventually(lambda: shared.pool.sizes.busy == 0, what="the end of the call that nobody waits for")
    assert shared.score(request(2)) == [answer(2)]


@pytest.mark.slow
def test_a_pool_grows_while_calls_hang_and_shrinks_when_they_are_over(trickster: Saved):
    with stand(trickster, most=6, idle_s=0.5) as own:
        hanging = [(request(n, "hang"), 4.0) for n in range(3)]
        asked = threading.Thread(target=own.score_each, args=(hanging,))
        asked.start()
        eventually(lambda: own.pool.sizes.processes >= 4, what="a process beside those that hang")
        assert own.score(*(request(n) for n in range(9))) == [answer(n) for n in range(9)]
        asked.join(30)
        eventually(lambda: own.pool.sizes.processes == 1, what="the end of those that are idle")
        assert own.score(request(7)) == [answer(7)]


@pytest.mark.slow
def test_one_process_at_most_is_replaced_at_the_deadline(trickster: Saved):
    with stand(trickster, most=1) as own:
        assert isinstance(own.score(request(1, "hang"), within_s=1.0)[0], TimeoutError)
        assert own.score(request(2)) == [answer(2)]
        assert own.pool.sizes.processes == 1


@pytest.mark.slow
def test_a_model_that_hangs_on_everything_is_told_from_one_that_hangs_on_one_request(trickster: Saved):
    with stand(trickster, most=1) as own:
        assert not own.pool.hangs
        asked = threading.Thread(target=own.score, args=(request(1, "hang"),), kwargs={"within_s": 8.0})
        asked.start()
        eventually(lambda: own.pool.hangs, what="the pool to say that it hangs")
        asked.join(30)
        assert own.score(request(2)) == [answer(2)]
        assert not own.pool.hangs
