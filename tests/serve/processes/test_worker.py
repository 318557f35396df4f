"""What a model process answers to a call: whole, divided where it fails, or compared with each request alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from taut.errors import Invalid, UsageError
from taut.models import Signature, SignatureColumn
from taut.serve.processes import wire, worker
from taut.serve.processes.joining import cut
from taut.serve.processes.wire import READ_REPLY, Answered, Call, Failed, Frames, Reply, unpack
from taut.serve.processes.worker import reply_to, warm_up


class Counting:
    """A model that answers its column `a` and counts its calls; rows of 13 it does not take."""

    signature = Signature((SignatureColumn("a", "long"),))

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []

    def predict(self, columns: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Any:
        self.calls.append(list(columns["a"]))
        if 13 in columns["a"]:
            raise KeyError("thirteen")
        if 14 in columns["a"]:
            raise Invalid("fourteen", hint="take another")
        if 15 in columns["a"]:
            raise OverflowError("fifteen")
        if 16 in columns["a"]:
            raise UsageError("sixteen", hint="pip install sixteen")
        return {"p": [value * (params or {}).get("times", 1) for value in columns["a"]]}


class Social(Counting):
    """A model that looks at the rows beside a row."""

    def predict(self, columns: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Any:
        said = super().predict(columns)
        return {"p": [value + len(said["p"]) for value in said["p"]]}


class Lonely(Counting):
    """A model that takes one row at a time."""

    def predict(self, columns: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Any:
        if len(columns["a"]) > 1:
            raise ValueError("one row at a time")
        return super().predict(columns)


def reply(model: Any, values: list[Any], counts: list[int], **more: Any) -> Reply:
    (frame,) = Frames().feed(reply_to(model, Call({"a": values}, counts, **{"params": {}, **more})))
    return unpack(frame, READ_REPLY)


def outcomes(said: Reply, counts: list[int]) -> list[Any]:
    """The outputs of each request, or its failure."""
    found: list[Any] = []
    for part in said.parts:
        if isinstance(part, Failed):
            found.append(part)
        else:
            found += [one["p"] for one in cut(part.columns, counts[len(found) : len(found) + part.requests])]
    return found


def test_a_call_that_succeeds_is_one_call_and_one_part():
    model = Counting()
    said = reply(model, [1, 2, 3], [1, 2])
    assert said == Reply([Answered({"p": [1, 2, 3]}, 2)])
    assert model.calls == [[1, 2, 3]]


def test_params_come_to_the_model():
    assert reply(Counting(), [1, 2], [2], params={"times": 5}).parts == [Answered({"p": [5, 10]})]


@pytest.mark.parametrize("guilty", [0, 1, 30, 63])
def test_one_guilty_request_among_many_costs_few_calls(guilty: int):
    model, values = Counting(), [100 + place for place in range(64)]
    values[guilty] = 13
    said = outcomes(reply(model, values, [1] * 64), [1] * 64)
    assert isinstance(said.pop(guilty), Failed)
    assert said == [[value] for value in values if value != 13]
    assert len(model.calls) <= 13


def test_requests_that_are_all_guilty_are_each_told():
    said = outcomes(reply(Counting(), [13, 14, 15, 16], [1] * 4), [1] * 4)
    assert [one.kind for one in said] == ["", "Invalid", "Invalid", ""]
    assert "KeyError: 'thirteen'" in said[0].detail
    assert (said[1].message, said[1].hint) == ("fourteen", "take another")
    assert said[2].message == "a number is too large for its column: fifteen"
    assert "UsageError: sixteen" in said[3].detail


def test_a_long_traceback_is_cut_at_its_beginning(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker, "DETAIL_MAX", 22)
    (failed,) = reply(Counting(), [13], [1]).parts
    assert isinstance(failed, Failed) and failed.detail == "\nKeyError: 'thirteen'\n"


def test_a_model_that_says_the_same_either_way_is_told_so():
    model = Counting()
    said = reply(model, [1, 2, 3, 4], [1, 2, 1], compare=3)
    assert said.same is True
    assert outcomes(said, [1, 2, 1]) == [[1], [2, 3], [4]]
    assert model.calls == [[1, 2, 3, 4], [1], [2, 3], [4]]


def test_some_of_many_are_compared():
    model = Counting()
    said = reply(model, [1, 2, 3, 4], [1, 1, 1, 1], compare=1)
    assert said.same is True and outcomes(said, [1] * 4) == [[1], [2], [3], [4]]
    assert model.calls == [[1, 2, 3, 4], [4]]


@pytest.mark.parametrize("compare", [1, 3])
@pytest.mark.parametrize("kind", [Social, Lonely])
def test_a_model_that_says_another_thing_beside_others_is_found_out_and_answers_alone(kind: Any, compare: int):
    said = reply(kind(), [10, 20, 30], [1, 1, 1], compare=compare)
    assert said.same is False
    assert outcomes(said, [1, 1, 1]) == [outcomes(reply(kind(), [value], [1]), [1])[0] for value in (10, 20, 30)]


@pytest.mark.parametrize("compare", [1, 3])
def test_a_guilty_request_is_no_difference(compare: int):
    said = reply(Counting(), [10, 13, 30], [1, 1, 1], compare=compare)
    assert said.same is None
    first, guilty, last = outcomes(said, [1, 1, 1])
    assert (first, last) == ([10], [30]) and isinstance(guilty, Failed)


class Saying(Counting):
    """A model that gives what it was made with."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def predict(self, columns: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Any:
        return self.said


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (None, "TypeError: the model gave a NoneType, not columns by name"),
        ([1], "TypeError: the model gave a list, not columns by name"),
        ({1: [1]}, "TypeError: the model gave a dict, not columns by name"),
        ({"p": 5}, "TypeError: object of type 'int' has no len()"),
        ({"p": [1, 2]}, "ValueError: the model gave 2 values of 'p' for 1 rows"),
        ({"p": np.zeros((0, 1))}, "ValueError: the model gave 0 values of 'p' for 1 rows"),
        ({"p": [object()]}, "TypeError: a value of type object cannot leave the model's process"),
    ],
)
def test_what_is_no_answer_is_a_failure(said: Any, words: str):
    (failed,) = reply(Saying(said), [1], [1]).parts
    assert isinstance(failed, Failed) and failed.kind == "" and words in failed.detail


def test_an_answer_that_no_frame_holds_is_told_to_each(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire, "FRAME_MAX", 1_000)
    said = Frames().feed(reply_to(Saying({"p": ["x" * 900] * 2}), Call({"a": [1, 2]}, [1, 1], {})))
    assert [part.message for part in unpack(said[0], READ_REPLY).parts if isinstance(part, Failed)] == [
        "the columns have 1816 bytes; 1000 are the most"
    ] * 2


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        ((SignatureColumn("a", "long"),), [[0], [0]]),
        ((), []),
    ],
)
def test_a_model_is_warmed_by_a_made_up_row_where_one_can_be_made_up(
    inputs: tuple[SignatureColumn, ...], rows: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    model = Counting()
    monkeypatch.setattr(Counting, "signature", Signature(inputs))
    took_s = warm_up(model)
    assert model.calls == rows
    assert (took_s > 0) is bool(rows)


def test_a_model_that_refuses_the_made_up_row_is_warm_too():
    class Refusing(Counting):
        def predict(self, columns: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Any:
            raise Invalid("never")

    assert warm_up(Refusing()) > 0
