"""Laws: whatever fails, hangs or is killed at whatever moment, an answer belongs to the rows that it is given for."""

import contextlib
import os
import signal
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taut.errors import Unavailable
from taut.models import load_model
from taut.serve.processes import ModelDied, ModelFailed
from tests.parts import eventually
from tests.serve.processes.tricksters import PATIENT_S, Stand, answer, request, saved, stand

GUILTY = ["raise", "few", "leave", "exit:3", "signal:9", "signal:11", "object", "garble"]
ASKED = st.lists(
    st.tuples(
        st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
        st.sampled_from(["UA", "AA", "wait:0.002", "thread:0.01"] * 6 + GUILTY),
    ),
    min_size=1,
    max_size=30,
)
IN_A_SHARED_POOL = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


def check(pool: Stand, asked: list[tuple[list[int], str]], kills: list[int]) -> None:
    """Ask a pool that is well, a caller a request, kill processes meanwhile, and look at each outcome."""
    eventually(lambda: pool.pool.sizes.processes and pool.score(request(1)) == [answer(1)], what="a process")
    killers = [threading.Timer(after / 1000, kill_one, (pool, after)) for after in kills]
    for killer in killers:
        killer.start()
    outcomes = pool.score_each([(request(seats, carrier), PATIENT_S) for seats, carrier in asked])
    for killer in killers:
        killer.join()
    for (seats, carrier), outcome in zip(asked, outcomes, strict=True):
        if kills and isinstance(outcome, ModelDied | Unavailable):
            continue  # Who was in two processes that were killed from outside is told so, and never a wrong answer.
        if carrier in GUILTY:
            assert isinstance(outcome, ModelFailed), (carrier, outcome)
        else:
            assert outcome == answer(seats), (seats, carrier, getattr(outcome, "detail", outcome))


def kill_one(pool: Stand, chance: int) -> None:
    with contextlib.suppress(ProcessLookupError, IndexError, FileNotFoundError, ZeroDivisionError):
        pids = pool.processes()
        os.kill(pids[chance % len(pids)], signal.SIGKILL)


@settings(max_examples=10, suppress_health_check=IN_A_SHARED_POOL)
@given(ASKED, st.just([]) | st.lists(st.integers(0, 60), max_size=2))
def test_an_answer_belongs_to_its_request(shared: Stand, asked: list[tuple[list[int], str]], kills: list[int]):
    check(shared, asked, kills)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=IN_A_SHARED_POOL)
@given(ASKED, st.just([]) | st.lists(st.integers(0, 100), max_size=4))
def test_an_answer_belongs_to_its_request_many_times(
    shared: Stand, asked: list[tuple[list[int], str]], kills: list[int]
):
    check(shared, asked, kills)


class Crowd:
    """A model that says of a row how many are beside it."""

    def predict(self, table: Any) -> Any:
        return table["seats"].to_numpy() * 1000 + len(table)


def test_a_model_that_looks_at_the_rows_beside_a_row_is_asked_each_request_alone(
    tmp_path: Any, capfd: pytest.CaptureFixture[str]
):
    with stand(saved(tmp_path / "model", Crowd())) as own:
        asked = [request(list(range(1 + number % 3))) for number in range(40)]
        for outcome, columns in zip(own.score(*asked), asked, strict=True):
            rows = len(columns["seats"])
            assert outcome == {"prediction": [place * 1000 + rows for place in range(rows)]}
    assert "so each request is asked alone" in capfd.readouterr().err


class Matrix:
    """A model that is one product of matrices, whose last digits hang on how many rows there are."""

    def __init__(self) -> None:
        self.weights = np.random.default_rng(0).normal(size=(64, 1))

    def predict(self, table: Any) -> Any:
        wide = np.repeat(table[["delay", "seats"]].to_numpy(dtype="float64"), 32, axis=1)
        return (np.sin(wide * np.arange(1, 65)) @ self.weights)[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("model", [Matrix(), Crowd()])
def test_answers_are_those_of_the_model_in_this_process_to_the_last_bit(tmp_path: Any, model: Any):
    made = saved(tmp_path / "model", model)
    alone = load_model(made.folder, made.digest)
    chance = np.random.default_rng(1)
    asked = [{**request(int(number)), "delay": [float(chance.normal())]} for number in range(150)]
    with stand(made) as own:
        outcomes = own.score_each([(columns, PATIENT_S) for columns in asked])
    for outcome, columns in zip(outcomes, asked, strict=True):
        assert outcome == alone.predict(columns)


class Odd:
    """A model of three classes with answers of every sort: texts, numbers past 2^53, NaN, truth values."""

    classes = ("x", "y", "z")

    def predict(self, table: Any) -> Any:
        values = [2**53 + 1, 2**63 - 1, float("nan"), None, True, "text", -0.0, 5e-324]
        return np.array([values[seat % len(values)] for seat in table["seats"]], dtype=object)


@pytest.mark.slow
def test_answers_of_every_sort_come_through(tmp_path: Any):
    made = saved(tmp_path / "model", Odd())
    alone = load_model(made.folder, made.digest)
    with stand(made, exact=False) as own:
        for outcome, seats in zip(own.score(*map(request, range(8))), range(8), strict=True):
            assert isinstance(outcome, dict)
            (here,), (there,) = outcome["prediction"], alone.predict(request(seats))["prediction"]
            assert type(here) is type(there) and repr(here) == repr(there)
