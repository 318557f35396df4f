"""Columns as numbers: the quick way for all columns at once says the same as the careful one, or leaves it to it."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.models.compiled.graph import MISSING, UNKNOWN
from taut.models.compiled.matrix import Matrix
from taut.models.signature import Kind, Signature, SignatureColumn

KINDS: tuple[Kind, ...] = ("double", "string", "float", "long", "boolean", "integer", "double")
SIGNATURE = Signature(tuple(SignatureColumn(f"{kind}{place}", kind) for place, kind in enumerate(KINDS)))
VOCABULARIES = {"string1": {"a": 0.0, "b": 1.0}}
NUMBERS = st.floats(allow_infinity=False) | st.integers(-(10**6), 10**6) | st.none()
USUAL: dict[Kind, st.SearchStrategy[Any]] = {
    "double": NUMBERS,
    "float": st.floats(width=32, allow_infinity=False) | st.floats(-1e6, 1e6),
    "long": st.integers(-(2**63), 2**63 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    "string": st.sampled_from(["a", "b", "never seen", "", None]),
}
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [math.inf, -math.inf, math.nan, None, True, 1.5, 3.0, "a", "1", 10**400, 2**63, 2**31, 1e39, [1.0], {}, b"a"]
)


@st.composite
def tables(draw: st.DrawFn, *, odd: bool) -> dict[str, list[Any]]:
    """Columns of the signature, of which one may hold something odd."""
    rows = draw(st.integers(1, 5))
    table = {
        column.name: draw(st.lists(USUAL[column.kind], min_size=rows, max_size=rows)) for column in SIGNATURE.inputs
    }
    if odd:
        table[draw(st.sampled_from(SIGNATURE.names))][draw(st.integers(0, rows - 1))] = draw(ODD)
    return table


def outcome(rows: Any) -> tuple[bytes, Any] | str:
    """The numbers bit by bit, or the words in which they are refused."""
    try:
        numbers = rows()
    except Invalid as problem:
        return problem.message
    assert numbers.dtype == np.float64
    return numbers.tobytes(), numbers.shape


@given(tables(odd=False))
def test_usual_values_give_the_same_numbers_both_ways(table: dict[str, list[Any]]):
    matrix = Matrix(SIGNATURE, VOCABULARIES)
    careful = outcome(lambda: np.ascontiguousarray(matrix._careful(table)))
    assert outcome(lambda: matrix.rows(table)) == careful


@given(tables(odd=True))
def test_odd_values_give_the_same_numbers_or_the_same_words(table: dict[str, list[Any]]):
    matrix = Matrix(SIGNATURE, VOCABULARIES)
    try:
        careful = outcome(lambda: np.ascontiguousarray(matrix._careful(table)))
    except (TypeError, AttributeError) as problem:  # As it always was for values that no protocol carries.
        with pytest.raises(type(problem)):
            matrix.rows(table)
        return
    assert outcome(lambda: matrix.rows(table)) == careful


def test_the_quick_way_is_taken_by_what_requests_nearly_always_hold():
    matrix = Matrix(SIGNATURE, VOCABULARIES)
    table: dict[str, list[Any]] = {
        "double0": [1, None], "string1": ["a", None], "float2": [0.1, 2.5], "long3": [1, 2], "boolean4": [True, False],
        "integer5": [3, 4], "double6": [0.5, math.nan],
    }  # fmt: skip
    rows = matrix._quick(table)
    assert rows is not None
    assert rows.flags["C_CONTIGUOUS"]
    assert rows[0].tolist() == [1.0, 0.0, float(np.float32(0.1)), 1.0, 1.0, 3.0, 0.5]
    assert np.isnan(rows[1, [0, 6]]).all()
    assert rows[1, 1] == MISSING
    assert matrix.rows({**table, "string1": ["never", "seen"]})[:, 1].tolist() == [UNKNOWN, UNKNOWN]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"double0": [1.0, "x"]}, "column 'double0' takes double; row 1 is str 'x'"),
        ({"double0": [math.inf, 1.0]}, "column 'double0' takes double; row 0 is float inf"),
        ({"double0": [True, 1.0]}, "column 'double0' takes double; row 0 is bool True"),
        ({"long3": [1.5, 2]}, "column 'long3' takes long; row 0 is float 1.5"),
        ({"string1": ["a", 5]}, "column 'string1' takes string; row 1 is int 5"),
        ({"float2": [1e39, 1.0]}, "column 'float2' takes float; row 0"),
        ({"double6": [1.0]}, "column 'double6' has 1 rows, column 'double0' has 2"),
        ({"other": [1.0, 2.0]}, "takes no column 'other'"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_is_wrong_is_named_by_column_and_row(change: dict[str, list[Any]], words: str):
    table: dict[str, list[Any]] = {
        "double0": [1.0, 2.0], "string1": ["a", "b"], "float2": [1.0, 2.0], "long3": [1, 2], "boolean4": [True, False],
        "integer5": [3, 4], "double6": [0.5, 1.5],
    }  # fmt: skip
    with pytest.raises(Invalid) as problem:
        Matrix(SIGNATURE, VOCABULARIES).rows({**table, **change})
    assert words in problem.value.message


def test_no_rows_and_no_columns_are_refused():
    one = Signature((SignatureColumn("a", "double"),))
    with pytest.raises(Invalid, match="no rows"):
        Matrix(one, {}).rows({"a": []})
    with pytest.raises(Invalid, match="'a' is missing"):
        Matrix(one, {}).rows({})


def test_arrays_give_the_same_numbers_as_lists():
    both = Signature((SignatureColumn("a", "double"), SignatureColumn("b", "string")))
    matrix = Matrix(both, {"b": {"x": 0.0}})
    columns: dict[str, Any] = {"a": np.array([1.5, np.nan]), "b": np.array(["x", "y"], dtype=object)}
    arrays = matrix.rows(columns)
    lists = matrix.rows({"a": [1.5, math.nan], "b": ["x", "y"]})
    assert arrays.tobytes() == lists.tobytes()
    with pytest.raises(Invalid, match="row 0 is list"):
        matrix.rows({**columns, "a": np.array([[1.0], [2.0]])})
    with pytest.raises(Invalid, match="row 1"):
        matrix.rows({**columns, "a": np.array([1.0, np.inf])})
