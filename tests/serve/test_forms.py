"""Requests as data, without a server: what is written is what is read, whatever the values."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.models.signature import Signature, SignatureColumn
from taut.records import Prediction
from taut.serve.log import Columns
from taut.serve.requests import (
    columns_of_lists,
    columns_of_rows,
    event_time,
    infer_body,
    invocation_body,
    metadata_body,
    parsed,
    read_infer,
    read_invocation,
    request_body,
)
from taut.serve.requests.tensors import DATATYPES

SIGNATURE = Signature((SignatureColumn("n", "double"), SignatureColumn("i", "long"), SignatureColumn("t", "string")))
VALUES = {
    "n": st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    "i": st.integers(-(2**63), 2**63 - 1),
    "t": st.text() | st.none(),
    "b": st.booleans(),
}


@st.composite
def tables(draw: st.DrawFn) -> Columns:
    """Columns of one length, at least one row."""
    rows = draw(st.integers(1, 6))
    return {name: draw(st.lists(values, min_size=rows, max_size=rows)) for name, values in VALUES.items()}


@given(tables())
def test_columns_survive_the_open_inference_protocol(columns: Columns):
    read = read_infer(request_body(columns, "an-id", "2013-04-01")).columns
    assert msgspec.json.encode(read) == msgspec.json.encode({n: _as_sent(v) for n, v in columns.items()})


def _as_sent(values: list[Any]) -> list[Any]:
    """Whole numbers beside fractions travel as FP64, as any caller would send them."""
    kinds = {type(value) for value in values} - {type(None)}
    return [float(v) if isinstance(v, int) and float in kinds else v for v in values]


@given(tables())
def test_rows_and_columns_are_two_forms_of_one_table(columns: Columns):
    names = list(columns)
    lists = [list(row) for row in zip(*columns.values(), strict=True)]
    assert columns_of_lists(names, lists) == columns
    assert columns_of_rows([dict(zip(names, row, strict=True)) for row in lists]) == columns


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_numbers_survive_csv(numbers: list[float]):
    body = "\n".join(["n,i,t", *(f"{number!r},1,x" for number in numbers)]).encode()
    assert read_invocation(body, SIGNATURE, content_type="text/csv").columns["n"] == numbers


@given(st.binary(max_size=200))
def test_no_bytes_at_all_are_more_than_an_invalid_request(body: bytes):
    for read in (lambda: read_infer(body), lambda: read_invocation(body, SIGNATURE, content_type="")):
        with pytest.raises(Invalid):
            read()


def test_text_is_read_in_the_kinds_of_the_signature():
    read = parsed(SIGNATURE, {"n": ["1", ""], "i": ["1", "x"], "t": ["1", ""], "unknown": ["1", "2"]})
    assert read == {"n": [1.0, None], "i": [1, "x"], "t": ["1", None], "unknown": ["1", "2"]}


@pytest.mark.parametrize("written", [None, ""])
def test_no_event_time_is_none(written: object):
    assert event_time(written) is None


@pytest.mark.parametrize("written", ["soon", 1.5, True, [], "2013-13-01"])
def test_an_event_time_that_is_none_is_refused(written: object):
    with pytest.raises(Invalid):
        event_time(written)


def answered(outputs: Columns) -> Prediction:
    return Prediction("late", "an-id", 3, "flights", 2, 0, 0, 2, {"n": [1.0, 2.0]}, outputs)


def test_an_answer_keeps_the_kinds_of_its_outputs():
    outputs: Columns = {"a": [1, 2], "b": [1.0, None], "c": ["x", None], "d": [True, False], "e": [1, 2.5]}
    body = msgspec.json.decode(infer_body(answered(outputs)))
    assert [one["datatype"] for one in body["outputs"]] == ["INT64", "FP64", "BYTES", "BOOL", "FP64"]
    assert {one["name"]: one["data"] for one in body["outputs"]} == outputs


def test_an_output_that_is_no_number_is_null_and_the_answer_stays_json():
    body = msgspec.json.decode(infer_body(answered({"a": [math.nan, 1.0]})))
    assert body["outputs"][0]["data"] == [None, 1.0]


def test_invocations_answer_with_predictions_first():
    body = invocation_body(answered({"prediction": [0, 1], "probability": [0.1, 0.9]}))
    assert body.startswith(b'{"predictions":[0,1]')
    assert msgspec.json.decode(body) == {
        "predictions": [0, 1], "probability": [0.1, 0.9], "id": "an-id", "version": 2, "revision": 3,
    }  # fmt: skip


def test_every_kind_of_a_signature_has_a_datatype():
    columns = tuple(SignatureColumn(kind, kind) for kind in DATATYPES)
    about = msgspec.json.decode(metadata_body("late", 2, "flights", 3, Signature(columns)))
    assert {one["name"]: one["datatype"] for one in about["inputs"]} == DATATYPES
