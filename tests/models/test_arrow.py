"""Columns of Arrow are read as lists of plain cells are: the same arrays and the same refusals."""

from datetime import date, datetime
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given

from taut.errors import Invalid
from taut.models.arrow import must_take, read_cells, table_of_batch
from taut.models.inputs import Intake, checked_column, frame_of
from taut.models.signature import Kind, Signature, SignatureColumn

NUMBERS = st.floats(allow_nan=False) | st.integers(-5, 5).map(float) | st.just(2.0**63) | st.just(2.0**31)
WHOLE = st.integers(-(2**63), 2**63 - 1)
CASES: list[tuple[Kind, Any, pa.DataType]] = [
    ("double", NUMBERS, pa.float64()),
    ("float", NUMBERS, pa.float64()),
    ("double", WHOLE, pa.int64()),
    ("long", WHOLE, pa.int64()),
    ("integer", st.integers(-(2**31) - 2, 2**31 + 2), pa.int64()),
    ("long", NUMBERS, pa.float64()),
    ("integer", NUMBERS, pa.float64()),
    ("boolean", st.booleans(), pa.bool_()),
    ("string", st.sampled_from(["a", "b", "", "nan"]), pa.string()),
]


def one_by_one(column: SignatureColumn, cells: list[Any]) -> list[bool]:
    """Which cells the list path refuses, each asked alone."""
    wrong = []
    for cell in cells:
        try:
            with np.errstate(over="ignore"):  # Where a float32 is too small for it.
                checked_column(column, [cell])
        except Invalid:
            wrong.append(True)
        else:
            wrong.append(False)
    return wrong


@pytest.mark.parametrize(("kind", "cells", "stored"), CASES, ids=[f"{kind}-{stored}" for kind, _, stored in CASES])
def test_a_column_of_arrow_is_read_as_a_list_is(kind: Kind, cells: Any, stored: pa.DataType):
    @given(st.lists(cells | st.none(), min_size=1, max_size=6), st.booleans())
    def same(values: list[Any], required: bool) -> None:
        column = SignatureColumn("x", kind, required)
        wrong = one_by_one(column, values)
        read, rows = read_cells(column, pa.array(values, stored))
        assert (np.zeros(len(values), bool) if rows is None else rows).tolist() == wrong
        if not any(wrong):
            expected = checked_column(column, values)
            assert read.dtype == expected.dtype
            pd.testing.assert_series_equal(pd.Series(read), pd.Series(expected))

    same()


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("string", pa.array(["a", None, "b", "a"]).dictionary_encode()),
        ("string", pa.array(["a", "b"]).dictionary_encode()),
        ("string", pa.array([None, None])),
        ("double", pa.array([None, None])),
        ("double", pa.array([1, None, 3], pa.uint8())),
        ("double", pa.array([1.5, None], pa.float32())),
        ("long", pa.array([1, 2], pa.uint64())),
        ("long", pa.array([3.0, 4.0]).dictionary_encode()),
        ("string", pa.array(["x", None], pa.large_string())),
        ("string", pa.array(["x", None], pa.string_view())),
    ],
)
def test_other_ways_to_store_a_column_make_no_difference(kind: Kind, cells: pa.Array):
    column = SignatureColumn("x", kind, required=False)
    read, wrong = read_cells(column, cells)
    assert wrong is None
    pd.testing.assert_series_equal(pd.Series(read), pd.Series(checked_column(column, cells.to_pylist())))


def test_whole_numbers_past_64_bits_are_wrong():
    read, wrong = read_cells(SignatureColumn("x", "long"), pa.array([1, 2**63], pa.uint64()))
    assert wrong is not None and wrong.tolist() == [False, True] and read[0] == 1


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([datetime(2013, 4, 1, 5), None]), ["2013-04-01T05:00:00", "NaT"]),
        (pa.array([date(2013, 4, 1)]), ["2013-04-01"]),
        (pa.array(["2013-04-01T05:00", None]), ["2013-04-01T05:00", "NaT"]),
        (pa.array([1_364_792_400], pa.timestamp("s", "America/New_York")), ["2013-04-01T05:00:00"]),
    ],
)
def test_moments_are_read_as_nanoseconds(cells: pa.Array, expected: list[str]):
    read, wrong = read_cells(SignatureColumn("x", "datetime"), cells)
    assert wrong is None
    np.testing.assert_array_equal(read, np.array(expected, "datetime64[ns]"))


def test_moments_that_are_none_or_lie_too_far_off_are_wrong():
    column = SignatureColumn("x", "datetime")
    _, wrong = read_cells(column, pa.array(["2013-04-01", "soon", None]))
    assert wrong is not None and wrong.tolist() == [False, True, False]
    far = pa.array([datetime(2013, 1, 1), datetime(9999, 1, 1)], pa.timestamp("s"))
    _, wrong = read_cells(column, far)
    assert wrong is not None and wrong.tolist() == [False, True]


SIGNATURE = Signature((SignatureColumn("delay", "double"), SignatureColumn("carrier", "string")))


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"delay": [1.0]}, "column 'carrier' is missing; there are delay"),
        ({"delay": [1.0], "carier": ["UA"]}, "column 'carrier' is missing; did it mean 'carier'?"),
        ({"delay": ["1"], "carrier": ["UA"]}, "column 'delay' takes double; it is of type string"),
        ({"delay": [True], "carrier": ["UA"]}, "column 'delay' takes double; it is of type bool"),
        ({"delay": [1.0], "carrier": [7]}, "column 'carrier' takes string; it is of type int64"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_whole(columns: dict[str, list[Any]], said: str):
    with pytest.raises(Invalid) as refused:
        must_take(SIGNATURE, pa.table(columns).schema)
    assert str(refused.value) == said


def test_a_column_twice_is_refused():
    twice = pa.schema([("delay", pa.float64()), ("delay", pa.float64()), ("carrier", pa.string())])
    with pytest.raises(Invalid, match="'delay' is there twice"):
        must_take(SIGNATURE, twice)


def test_a_batch_becomes_the_frame_that_lists_become():
    rows: dict[str, list[Any]] = {"delay": [1.0, None], "carrier": ["UA", None], "more": [1, 2]}
    frame, wrong = table_of_batch(SIGNATURE, pa.RecordBatch.from_pydict(rows))
    assert wrong == []
    del rows["more"]  # A file may have columns that the model does not take; a request may not.
    pd.testing.assert_frame_equal(frame, frame_of(SIGNATURE, Intake(SIGNATURE).arrays(rows)))


def test_what_is_wrong_is_told_by_column_and_row():
    frame, wrong = table_of_batch(
        SIGNATURE, pa.RecordBatch.from_pydict({"delay": [1.0, np.inf], "carrier": ["a", "b"]})
    )
    assert frame is None and [one.said(1) for one in wrong] == ["column 'delay' takes double; it is float inf"]
