"""A model that raises, crashes, eats memory or answers nonsense: only the guilty request hears of it."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from taut.errors import Invalid
from taut.serve.processes import ModelDied, ModelFailed
from tests.parts import eventually
from tests.serve.processes.tricksters import Saved, Stand, answer, lives, request, stand


def test_many_requests_get_the_answers_to_their_own_rows(shared: Stand):
    asked = [request([number, number + 1][: 1 + number % 2]) for number in range(200)]
    assert shared.score(*asked) == [answer(columns["seats"]) for columns in asked]


def test_no_request_gets_no_answer(shared: Stand):
    assert shared.score() == []


def test_only_the_requests_that_the_model_raises_on_fail(shared: Stand):
    guilty = {3, 17, 18}
    outcomes = shared.score(*(request(place, "raise" if place in guilty else "UA") for place in range(40)))
    for place, outcome in enumerate(outcomes):
        if place in guilty:
            assert isinstance(outcome, ModelFailed) and not isinstance(outcome, ModelDied)
            assert str(outcome) == "the model failed"
            assert outcome.detail.endswith("RuntimeError: told to\n")
        else:
            assert outcome == answer(place)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"delay": ["x"], "seats": [1], "carrier": ["UA"]}, "column 'delay' takes double; row 0 is str 'x'"),
        ({"delay": [1.0], "seats": [1, 2], "carrier": ["UA"]}, "column 'seats' has 2 rows, column 'delay' has 1"),
        ({"delay": [1.0], "seats": [1]}, "column 'carrier' is missing; the model takes delay, seats, carrier"),
        ({"delay": [1.0], "seats": [2**80], "carrier": ["UA"]}, "column 'seats' takes long"),
        ({"delay": [], "seats": [], "carrier": []}, "there are no rows to predict"),
        ({}, "column 'delay' is missing"),
    ],
)
def test_a_request_that_does_not_fit_is_told_what_and_where(
    shared: Stand, columns: dict[str, list[object]], words: str
):
    first, outcome, last = shared.score(request(1), columns, request(2))
    assert isinstance(outcome, Invalid) and words in outcome.message
    assert [first, last] == [answer(1), answer(2)]


@pytest.mark.parametrize(
    ("trick", "words"),
    [
        ("few", "0 values of 'prediction' for 1 rows"),
        ("object", "lock"),
        ("leave", "SystemExit: 3"),
    ],
)
def test_what_is_no_answer_is_a_failure_of_the_model(shared: Stand, trick: str, words: str):
    outcomes = shared.score(request(1), request(2, trick), request(3))
    assert isinstance(outcomes[1], ModelFailed) and words in outcomes[1].detail
    assert [outcomes[0], outcomes[2]] == [answer(1), answer(3)]


@pytest.mark.parametrize(
    ("trick", "words"),
    [
        ("exit:0", "ended with status 0"),
        ("exit:9", "ended with status 9"),
        (f"signal:{signal.SIGKILL.value}", "was ended by SIGKILL"),
        (f"signal:{signal.SIGSEGV.value}", "was ended by SIGSEGV"),
        (f"eat:{1 << 31}", "had no memory left"),
        ("close:", "the process of the model"),
        ("garble:", "the process of the model"),  # Whichever of its lines is heard first.
    ],
)
def test_only_the_request_that_ends_its_process_fails(shared: Stand, trick: str, words: str):
    outcomes = shared.score(*(request(place, trick if place == 5 else "UA") for place in range(8)))
    guilty = outcomes.pop(5)
    assert isinstance(guilty, ModelDied) and words in str(guilty)
    assert outcomes == [answer(place) for place in range(8) if place != 5]


def test_a_process_that_somebody_kills_costs_nobody_an_answer(shared: Stand):
    for _ in range(3):
        shared.score(request(1))
        os.kill(shared.processes()[0], signal.SIGKILL)
        assert shared.score(*(request(place, "wait:0.001") for place in range(20))) == [answer(p) for p in range(20)]


def test_a_killed_process_is_replaced_before_anybody_asks(shared: Stand):
    shared.score(request(1))
    before = shared.processes()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: [pid for pid in shared.processes() if pid not in before and lives(pid)], what="a new process")


def test_what_a_model_does_to_its_process_is_gone_with_it(shared: Stand, tmp_path: Path):
    here = Path.cwd()
    assert shared.score(request(1, f"chdir:{tmp_path}"), request(2, "thread:3600")) == [answer(1), answer(2)]
    assert Path.cwd() == here
    assert shared.score(request(3)) == [answer(3)]


def test_what_a_model_starts_ends_with_its_process(shared: Stand, tmp_path: Path):
    assert shared.score(request(1, f"fork:{tmp_path / 'pid'}")) == [answer(1)]
    left = int((tmp_path / "pid").read_text())
    assert lives(left)
    for pid in shared.processes():
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not lives(left), what="the end of what the model forked")


def test_a_zygote_that_is_killed_is_started_again(trickster: Saved):
    with stand(trickster) as own:
        first = own.pool.zygote_pid
        os.kill(first, signal.SIGKILL)
        eventually(lambda: own.pool.zygote_pid not in (0, first), what="the next zygote")
        assert own.score(request(4)) == [answer(4)]


def test_what_a_model_writes_stands_in_the_log_behind_its_name(shared: Stand, capfd: pytest.CaptureFixture[str]):
    told: list[str] = []

    def tells(line: str) -> bool:
        told.extend(capfd.readouterr().err.splitlines())
        return line in told

    shared.score(request(1, "print:hello"), request(2, f"signal:{signal.SIGSEGV.value}"))
    for line in ("hello", "Fatal Python error: Segmentation fault", "a process was ended by SIGSEGV"):
        eventually(partial(tells, f"trickster: {line}"), what=line)
    assert told.count("trickster: hello") >= 2, "one line of standard output and one of standard error"
