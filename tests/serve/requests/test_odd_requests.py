"""Requests that are JSON, and odd: each is Invalid with its reason, and none ends in an error of ours."""

import json

import pytest

from taut.errors import Invalid
from taut.models.signature import Signature, SignatureColumn
from taut.serve.requests import read_csv, read_infer, read_invocation

ONE = Signature((SignatureColumn("a", "double"),))


@pytest.mark.parametrize("inputs", [5, True, 1.5, "text"])
def test_inputs_that_are_no_rows_are_invalid(inputs):
    with pytest.raises(Invalid):
        read_invocation(json.dumps({"inputs": inputs}).encode(), ONE, content_type="application/json")


@pytest.mark.parametrize("moment", ["²", "9" * 5000, "yesterday"])
def test_a_moment_that_is_none_is_invalid(moment):
    with pytest.raises(Invalid):
        read_invocation(b'{"inputs": [[1.0]]}', ONE, content_type="application/json", moment=moment)


def test_two_columns_of_one_name_are_told_and_not_merged():
    with pytest.raises(Invalid, match="two columns called 'a'"):
        read_csv(b"a,a\n1,2\n")


def test_an_integer_past_every_float_is_invalid():
    tensor = {"name": "a", "shape": [1], "datatype": "FP64", "data": [10**400]}
    with pytest.raises(Invalid, match="row 0"):
        read_infer(json.dumps({"inputs": [tensor]}).encode())
