"""Many requests as one table and back: no row ever changes its owner."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.serve.scoring.joining import count_rows, join, plain_lists, slices

CELLS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, list[Any]]]:
    """Requests of one to four rows, all with the same columns."""
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    return [{name: draw(st.lists(CELLS, min_size=rows, max_size=rows)) for name in ("a", "b")} for rows in counts]


@given(tables())
def test_what_was_joined_comes_apart_as_it_was(requests: list[dict[str, list[Any]]]):
    counts = [count_rows(one) for one in requests]
    table = join(requests, counts)
    assert count_rows(table) == sum(counts)
    assert slices(table, counts) == requests


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_arrays_stay_arrays(counts: list[int]):
    requests = [{"a": np.arange(rows * 2.0).reshape(rows, 2) + place} for place, rows in enumerate(counts)]
    table = join(requests, counts)
    if set(counts) != {1}:
        assert isinstance(table["a"], np.ndarray)
    for asked, got in zip(requests, slices(table, counts), strict=True):
        assert np.array_equal(asked["a"], got["a"])


def test_arrays_of_other_kinds_and_lists_are_joined_as_plain_values():
    requests: list[dict[str, Any]] = [
        {"a": np.array([1, 2])}, {"a": [3.5]}, {"a": np.array(["x", "y"], dtype=object)}, {"a": ("z",)},
    ]  # fmt: skip
    assert join(requests, [2, 1, 2, 1])["a"] == [1, 2, 3.5, "x", "y", "z"]


def test_requests_with_other_columns_are_not_joined():
    for second in ({"a": [1.0]}, {"a": [1.0], "b": [1.0], "c": [1.0]}, {"a": [1.0], "c": [1.0]}):
        with pytest.raises(Invalid, match="different columns"):
            join([{"a": [1.0], "b": [2.0]}, second], [1, 1])


def test_the_order_of_columns_does_not_matter():
    assert join([{"a": [1], "b": [2]}, {"b": [4], "a": [3]}], [1, 1]) == {"a": [1, 3], "b": [2, 4]}


@pytest.mark.parametrize(
    ("columns", "words"),
    [({}, "no columns"), ({"a": [1], "b": [1, 2]}, "'b' has 2 rows, column 'a' has 1"),
     ({"a": [1], "b": [1], "c": []}, "'c' has 0 rows")],
)  # fmt: skip
def test_a_table_that_is_none_is_refused_by_name(columns: dict[str, list[Any]], words: str):
    with pytest.raises(Invalid, match=words):
        count_rows(columns)


def test_columns_of_anything_become_lists_of_plain_values():
    plain = plain_lists({"a": np.array([1.5, 2.5]), "b": ("x", None), "c": [True, 1]})
    assert plain == {"a": [1.5, 2.5], "b": ["x", None], "c": [True, 1]}
    assert all(type(values) is list for values in plain.values())
    assert type(plain["a"][0]) is float


def test_outputs_of_another_length_are_never_split():
    with pytest.raises(AssertionError):
        slices({"a": [1, 2, 3]}, [1, 1])
