"""Requests are joined only where a row is the same to the model alone and beside others."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.models import Predictor, Signature, SignatureColumn
from taut.serve.processes.joining import count_rows, cut, join, likeness_of

SIGNATURE = Signature(
    (
        SignatureColumn("d", "double"), SignatureColumn("l", "long", required=False), SignatureColumn("s", "string"),
        SignatureColumn("b", "boolean", required=False),
    )
)  # fmt: skip
ROWS = st.fixed_dictionaries(
    {
        "d": st.none() | st.floats(allow_infinity=False) | st.integers(-5, 5),
        "l": st.none() | st.integers(-(2**63), 2**63 - 1) | st.just(3.0),
        "s": st.none() | st.text(max_size=3),
        "b": st.none() | st.booleans(),
    }
)


class Looking:
    """An estimator that keeps the table that it was given."""

    def predict(self, table: Any) -> Any:
        self.table = table
        return np.zeros(len(table))


def table_of(columns: Any) -> Any:
    """The rows as a model is given them."""
    estimator = Looking()
    Predictor(SIGNATURE, estimator).predict(columns)
    return estimator.table


def columns_of(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


@given(st.lists(st.lists(ROWS, min_size=1, max_size=3), min_size=1, max_size=5))
def test_each_request_is_to_the_model_what_it_is_alone(asked: list[list[dict[str, Any]]]):
    likeness = likeness_of(SIGNATURE)
    requests = [columns_of(rows) for rows in asked]
    alike = [columns for columns in requests if likeness(columns) == likeness(requests[0])]
    counts = [count_rows(columns) for columns in alike]
    together = table_of(join(alike))
    start = 0
    for columns, rows in zip(alike, counts, strict=True):
        alone = table_of(columns)
        part = together.iloc[start : start + rows].reset_index(drop=True)
        assert list(part.dtypes) == list(alone.dtypes)
        assert part.equals(alone)
        start += rows


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4), min_size=1, max_size=6))
def test_cutting_undoes_joining(asked: list[list[int]]):
    requests = [{"a": values, "b": [str(one) for one in values]} for values in asked]
    assert cut(join(requests), [len(values) for values in asked]) == requests


def test_arrays_are_joined_as_arrays_of_the_same_dtype():
    joined = join([{"a": np.array([1, 2], dtype="int32")}, {"a": np.array([3], dtype="int32")}])
    assert joined["a"].dtype == "int32" and joined["a"].tolist() == [1, 2, 3]
    assert [part["a"].tolist() for part in cut(joined, [2, 1])] == [[1, 2], [3]]


FLOATS = np.zeros(1)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ({"d": [1.0]}, {"d": [None]}, True),
        ({"d": [1.0]}, {"d": [1, 2]}, True),
        ({"l": [1]}, {"l": [None]}, False),
        ({"l": [1]}, {"l": [float("nan")]}, False),
        ({"l": [1]}, {"l": [2.0]}, True),
        ({"b": [True]}, {"b": [None]}, False),
        ({"s": ["x"]}, {"s": [None]}, False),
        ({"s": ["x"]}, {"s": [None, "y"]}, True),
        ({"d": [1.0]}, {"d": FLOATS}, False),
        ({"d": FLOATS}, {"d": np.zeros(3)}, True),
        ({"d": FLOATS}, {"d": np.zeros(1, dtype="float32")}, False),
        ({"d": np.zeros((1, 2))}, {"d": np.zeros((1, 3))}, False),
        ({"d": [1.0]}, {"s": ["x"]}, False),
        ({"unknown": [1]}, {"unknown": [2]}, True),
        ({"unknown": [1]}, {"unknown": [2.0]}, False),
        ({"unknown": [1]}, {"unknown": [2**63]}, False),
        ({"unknown": [[1, 2]]}, {"unknown": [[3, 4]]}, True),
        ({"unknown": [[1, 2]]}, {"unknown": [[3]]}, False),
        ({"unknown": [[1, 2]]}, {"unknown": [[3, 4.0]]}, False),
    ],
)
def test_which_requests_are_alike(one: dict[str, Any], other: dict[str, Any], alike: bool):
    likeness = likeness_of(SIGNATURE)
    assert likeness(one) is not None
    assert (likeness(one) == likeness(other)) is alike


@pytest.mark.parametrize(
    "columns",
    [{}, {"d": []}, {"d": [1.0], "s": ["x", "y"]}, {"d": 5}, {"d": np.float64(1)}, {"d": "text"}, {"d": FLOATS[0:0]}],
)
def test_what_is_ragged_empty_or_no_column_goes_alone(columns: dict[str, Any]):
    assert likeness_of(SIGNATURE)(columns) is None
