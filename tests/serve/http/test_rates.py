"""Rates: what conforms is let in and nothing else, whichever process is asked, whoever dies holding a lock."""

import os
import signal
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid, Throttled
from taut.serve.http.rates import Rate, Rates, TooOften, read_rate
from tests.parts import eventually


@pytest.mark.parametrize(
    "written",
    [
        "fast",
        "100",
        "0/s",
        "-1/s",
        "1/d",
        "100/s burst",
        "100/s burst 0",
        "100/s burst -1",
        "1e3/s",
        "1/s; 2/s",
        "nan/s",
    ],
)
def test_what_is_no_rate_is_refused(written: str):
    with pytest.raises(Invalid, match="no rate"):
        read_rate(written)


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("100/s", Rate(100.0, 100)), ("0.5/s", Rate(0.5, 1)), ("60/m", Rate(1.0, 1)), ("7200/h burst 9", Rate(2.0, 9)),
        (" 3 / s  burst 1 ", Rate(3.0, 1)), ("", None),
    ],
)  # fmt: skip
def test_rates_as_they_are_written(written: str, rate: Rate | None):
    assert read_rate(written) == rate


def asked(rates: Rates, caller: str, rate: Rate, at_s: float) -> bool:
    try:
        rates.take(caller, rate, lambda: at_s)
    except TooOften:
        return False
    return True


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3000)), max_size=60),
    st.integers(1, 20), st.integers(1, 5),
)  # fmt: skip
def test_each_caller_has_a_bucket_of_their_own_as_a_plain_one_would(
    steps: list[tuple[str, int]], per_s: int, burst: int
):
    rates, rate = Rates(buckets=1), Rate(per_s, burst)
    now_ms = 1_000_000
    full: dict[str, tuple[float, int]] = {}
    for caller, pause_ms in steps:
        now_ms += pause_ms
        left, before_ms = full.get(caller, (float(burst), now_ms))
        left = min(float(burst), left + (now_ms - before_ms) * per_s / 1000)
        may = left >= 1 - 1e-6
        full[caller] = (left - may, now_ms)
        assert asked(rates, caller, rate, now_ms / 1000) == may, (caller, now_ms, left)


def test_who_asks_too_often_is_told_when_to_come_and_what_was_refused_does_not_count():
    rates, rate = Rates(), Rate(0.5, 2)
    assert asked(rates, "ada", rate, 100.0) and asked(rates, "ada", rate, 100.0)
    for _ in range(50):
        with pytest.raises(Throttled) as refused:
            rates.take("ada", rate, lambda: 100.5)
        assert (refused.value.retry_after_s, refused.value.kind) == (2, "Throttled")
    assert asked(rates, "bob", rate, 100.5)
    assert asked(rates, "ada", rate, 102.0) and not asked(rates, "ada", rate, 102.1)


def test_more_callers_than_fit_forget_only_who_is_nearly_free():
    rates, rate = Rates(buckets=1), Rate(1.0, 10)
    for _ in range(10):
        assert asked(rates, "greedy", rate, 50.0)
    for number in range(1000):
        asked(rates, f"other {number}", rate, 50.0)
    assert not asked(rates, "greedy", rate, 50.5)


def test_two_processes_let_in_as_many_as_one_would():
    rates, rate = Rates(), Rate(0.001, 500)
    ends = [os.pipe() for _ in range(2)]
    children = []
    for _, written in ends:
        child = os.fork()
        if child == 0:
            os.write(written, str(sum(asked(rates, "ada", rate, time.monotonic()) for _ in range(600))).encode())
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert sum(int(os.read(read, 20)) for read, _ in ends) == 500
    for pair in ends:
        for end in pair:
            os.close(end)


def test_a_process_that_is_killed_while_it_counts_holds_up_nobody():
    rates, rate = Rates(buckets=1), Rate(1.0, 5)
    read, written = os.pipe()
    child = os.fork()
    if child == 0:
        rates.take("ada", rate, lambda: _sleeping(written))  # It has the turn.
        os._exit(0)
    assert os.read(read, 1) == b"x"
    os.kill(child, signal.SIGKILL)
    eventually(lambda: os.waitpid(child, os.WNOHANG)[0], what="its end")
    assert asked(rates, "ada", rate, 10.0)
    os.close(read)
    os.close(written)


@pytest.mark.slow
def test_a_process_that_is_killed_before_it_signed_for_its_turn_holds_up_others_for_seconds_only():
    rates, rate = Rates(buckets=1), Rate(1.0, 5)
    child = os.fork()
    if child == 0:
        rates._turns._acquire()
        os._exit(0)
    os.waitpid(child, 0)
    began_s = time.monotonic()
    assert asked(rates, "ada", rate, 10.0)
    assert 1.0 < time.monotonic() - began_s < 10.0
    assert [asked(rates, "ada", rate, 10.0) for _ in range(5)] == [True] * 4 + [False]


def _sleeping(told: int) -> float:
    os.write(told, b"x")
    time.sleep(60)
    return 1.0
