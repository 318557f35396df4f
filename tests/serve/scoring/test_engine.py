"""Engines: one outcome a request, in order, and only the guilty one fails."""

import time
from typing import Any

import pytest

from taut.errors import Invalid
from taut.serve.processes import ModelFailed
from taut.serve.scoring.engine import InProcess, answer_all
from taut.serve.scoring.joining import Columns
from tests.serve.scoring.scenes import Doubling, in_a_loop


def rows(*values: float, do: str = "") -> Columns:
    return {"x": [*values], "do": [do] * len(values)}


def said(*values: float) -> dict[str, Any]:
    return {"prediction": [value * 2 for value in values]}


def test_requests_of_any_size_are_one_call():
    model = Doubling()
    assert answer_all(model.predict, [rows(1.0), rows(2.0, 3.0), rows(4.0)]) == [said(1.0), said(2.0, 3.0), said(4.0)]
    assert model.calls == [4]


@pytest.mark.parametrize("guilty", range(7))
@pytest.mark.parametrize(("do", "kind"), [("refuse", Invalid), ("raise", ModelFailed), ("short", ModelFailed)])
def test_only_the_guilty_request_fails(guilty: int, do: str, kind: type[Exception]):
    model = Doubling()
    asked = [rows(float(place), do=do if place == guilty else "") for place in range(7)]
    outcomes = answer_all(model.predict, asked)
    assert isinstance(outcomes.pop(guilty), kind)
    assert outcomes == [said(float(place)) for place in range(7) if place != guilty]
    assert len(model.calls) <= 7  # By halves, not one by one.


def test_a_request_is_told_of_its_own_rows():
    good, bad = rows(1.0, 2.0, 3.0), {"x": [1.0, 2.0], "do": ["", "refuse"]}
    (_, problem) = answer_all(Doubling().predict, [good, bad])
    assert str(problem) == "row 1 is refused"


def test_uneven_requests_never_make_up_for_one_another():
    asked = [{"x": [1.0, 2.0], "do": [""]}, {"x": [3.0], "do": ["", ""]}, rows(4.0)]
    first, second, third = answer_all(Doubling().predict, asked)
    assert isinstance(first, Invalid)
    assert isinstance(second, Invalid)
    assert third == said(4.0)


def test_a_model_that_raises_leaves_its_traceback_for_the_log_alone():
    (problem,) = answer_all(Doubling().predict, [rows(1.0, do="raise")])
    assert isinstance(problem, ModelFailed)
    assert "RuntimeError: told to" in problem.detail
    assert "told to" not in str(problem)


def test_a_number_too_large_for_its_column_is_the_callers_fault():
    def overflows(_: Columns) -> Columns:
        raise OverflowError("Python int too large")

    (problem,) = answer_all(overflows, [rows(1.0)])
    assert isinstance(problem, Invalid)


@in_a_loop
async def test_a_compiled_model_answers_many_rows_in_a_thread():
    engine = InProcess(Doubling())
    assert await engine.score([rows(1.0), rows(2.0, do="raise")], time.monotonic() + 5) == [said(1.0), ANY_FAILURE]
    engine.close()


class _Failure:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelFailed)

    def __hash__(self) -> int:
        return 0


ANY_FAILURE = _Failure()
