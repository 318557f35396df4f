"""What a column may hold does not depend on how it arrives, and what it may not hold is told by its row."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.models.inputs import Intake, checked_column, completed
from taut.models.made_up import made_up_rows
from taut.models.signature import UNSIGNED, Field, Kind, Signature, SignatureColumn, Type

NAN = float("nan")


def column(kind: Kind, *, required: bool = True, **more: Any) -> SignatureColumn:
    return SignatureColumn("c", kind, required, **more)


def said(wanted: SignatureColumn, values: Any) -> str:
    """What a refusal says."""
    with pytest.raises(Invalid) as refused:
        checked_column(wanted, values)
    return refused.value.message


# One rule for lists and for arrays of numpy, pandas and Arrow

TAKEN: list[tuple[Kind, list[Any], list[Any]]] = [
    ("double", [1, 2.5, None, NAN], [np.array([1, 2.5, NAN, NAN]), pa.array([1, 2.5, None, NAN])]),
    ("double", [1, None], [np.ma.array([1.0, 5.0], mask=[False, True]), np.array([np.float32(1), None], object)]),
    ("double", [1, 0], [range(1, -1, -1), (1, 0), np.array([1, 0], "int8"), np.array([1, 0], "float16")]),
    ("double", [1, 0], [pa.array([1, 0], pa.decimal128(5, 2)), pd.Series([1, 0], dtype="Int8")]),
    ("float", [0.1, 3], [np.array([0.1, 3]), np.array([0.1, 3], "float32"), pa.array([0.1, 3], pa.float32())]),
    ("long", [1, 2.0, 3], [np.array([1, 2, 3], "uint8"), np.array([1.0, 2, 3]), pa.chunked_array([[1, 2], [3]])]),
    ("long", [2**62 + 1, -(2**63)], [np.array([2**62 + 1, -(2**63)]), pd.Series([2**62 + 1, -(2**63)])]),
    ("integer", [2**31 - 1, 0], [np.array([2**31 - 1, 0]), np.array([2.0**31 - 1, 0])]),
    ("boolean", [True, False], [np.array([True, False]), pa.array([True, False]), pd.Series([True, False])]),
    ("boolean", [True, None], [pa.array([True, None]), pd.Series([True, None], dtype="boolean")]),
    ("string", ["a", None, ""], [pa.array(["a", None, ""]), pd.Series(["a", None, ""]),
                                 pa.array(["a", None, ""]).dictionary_encode()]),
    ("string", ["a", "ö"], [np.array(["a", "ö"]), np.array(["a", "ö"], object),
                            pd.Series(["a", "ö"], dtype="category")]),
    ("binary", ["YWI=", b"\xff"], [np.array([b"ab", b"\xff"]), np.array(["YWI=", "/w=="])]),
    ("binary", ["YWI=", b"\xff", None], [pa.array([b"ab", b"\xff", None]), np.array([b"ab", b"\xff", None], object)]),
    ("datetime", ["2026-01-02", "2026-01-02T03:04:05.000000006", None],
     [np.array(["2026-01-02", "2026-01-02T03:04:05.000000006", "NaT"], "datetime64[ns]")]),
    ("datetime", ["2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05Z", datetime(2026, 1, 2, tzinfo=UTC)],
     [np.array(["2026-01-02T01:04:05", "2026-01-02T03:04:05", "2026-01-02"], "datetime64[s]")]),
    ("datetime", ["2026-01-02"], [np.array(["2026-01-02"]), pa.array([datetime(2026, 1, 2)]),
                                  pd.Series([pd.Timestamp("2026-01-02")]), pa.array([datetime(2026, 1, 2).date()])]),
]  # fmt: skip
DTYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "datetime": "datetime64[ns]"}


@pytest.mark.parametrize(("kind", "values", "arrays"), TAKEN)
def test_lists_and_arrays_become_the_same_array(kind: Kind, values: list[Any], arrays: list[Any]):
    made = checked_column(column(kind), values)
    assert made.dtype == DTYPES.get(kind, bool if values == [True, False] else object)
    for array in arrays:
        pd.testing.assert_series_equal(pd.Series(checked_column(column(kind), array)), pd.Series(made))


REFUSED: list[tuple[Kind, list[Any], str]] = [
    ("double", ["1", np.array(["1"]), pa.array(["1"]), pd.Series(["1"])], "row 0 is str '1'"),
    ("double", [True, np.array([True]), pa.array([True])], "row 0 is bool True"),
    ("double", [np.array([0.0, math.inf]), [0, math.inf], pa.array([0, math.inf])], "row 1 is float inf"),
    ("double", [[1.0, 10**400]], "row 1 is int 1000"),
    ("float", [[1.0, 1e300], np.array([1.0, 1e300])], "row 1 is float 1e+300"),
    ("long", [[1, 9.5], np.array([1, 9.5])], "row 1 is float 9.5"),
    ("long", [[1, 2**63]], "row 1 is int 9223372036854775808"),
    ("long", [[1.0, 2.0**63], np.array([1, 2.0**63])], "row 1 is float 9.223372036854776e+18"),
    ("long", [np.array([0, 2**63], "uint64")], "row 1 is int 9223372036854775808"),
    ("long", [[1, None], pa.array([1, None])], "row 1 is null"),
    ("long", [[1, NAN], [1.0, NAN], np.array([1, NAN])], "row 1 is float nan"),
    ("integer", [[1, -(2**31) - 1], np.array([1, -(2**31) - 1])], "row 1 is int -2147483649"),
    ("boolean", [[True, 1], np.array([True, 1], object)], "row 1 is int 1"),
    ("boolean", [np.array([1])], "row 0 is int 1"),
    ("string", [["a", 4], np.array(["a", 4], object)], "row 1 is int 4"),
    ("string", [["a", 4.5]], "row 1 is float 4.5"),
    ("string", [np.array([4])], "row 0 is int 4"),
    ("binary", [[b"a", "no base64!"]], "row 1 is str 'no base64!'"),
    ("datetime", [["2026-01-02", "now"]], "row 1 is str 'now'"),
    ("datetime", [["2026-01-02", "2026-02-30"]], "row 1 is str '2026-02-30'"),
    ("datetime", [["2026-01-02", "2026-02-30T00:00+01:00"]], "row 1 is str '2026-02-30T00"),
    ("datetime", [["2026-01-02", "9999-01-01"]], "row 1 is str '9999-01-01'"),
    ("datetime", [np.array(["2026-01-02", "9999-01-01"], "datetime64[D]")], "row 1 is 9999-01-01"),
    ("datetime", [["2026-01-02", 5]], "row 1 is int 5"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "words"), REFUSED)
def test_what_a_column_does_not_take_is_told_by_its_row_however_it_arrives(kind: Kind, given: list[Any], words: str):
    for values in given if isinstance(given[0], list | np.ndarray | pa.Array) else [[given[0]], *given[1:]]:
        assert said(column(kind), values).startswith(f"column 'c' takes {kind}; {words}")


def test_whole_numbers_may_be_missing_where_training_saw_some_missing():
    optional = column("long", required=False)
    for values in ([1, None], [1.0, NAN], pa.array([1, None]), np.array([1, NAN])):
        made = checked_column(optional, values)
        assert made.dtype == "float64" and made[0] == 1.0 and np.isnan(made[1])


def test_a_column_of_rows_of_one_value_is_a_column():
    assert checked_column(column("double"), np.array([[1.0], [2.0]])).tolist() == [1.0, 2.0]
    assert "takes one double a row; row 0 has [2]" in said(column("double"), np.ones((3, 2)))


# Tensors

IMAGE = column("float", dtype="float32", shape=(2, -1))


@pytest.mark.parametrize(
    "values",
    [
        [[[1, 2.5, None], [4, 5, 6]]],
        np.array([[[1, 2.5, NAN], [4, 5, 6]]]),
        [np.array([[1, 2.5, NAN], [4, 5, 6]])],
        [[np.array([1, 2.5, NAN]), [4, 5, 6]]],
    ],
)
def test_nested_lists_and_arrays_become_the_same_tensor(values: Any):
    made = checked_column(IMAGE, values)
    assert made.dtype == "float32"
    assert np.array_equal(made, np.array([[[1, 2.5, NAN], [4, 5, 6]]], "float32"), equal_nan=True)


def test_a_list_of_fixed_size_in_arrow_is_a_tensor():
    array = pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(pa.array(range(12)), 3), 2)
    made = checked_column(column("long", dtype="int64", shape=(2, 3)), array)
    assert np.array_equal(made, np.arange(12).reshape(2, 2, 3))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([[[1], [2]], [[1], [2], [3]]], "takes the shape [2, any]; row 1 has [3, 1]"),
        ([[[1], [2]], [[1, 2], [3, 4]]], "row 1 has the shape [2, 2], row 0 has [2, 1]"),
        ([[[1], [2]], [[1], [2, 3]]], "row 1 is ragged"),
        ([[[1], [2]], 3], "takes the shape [2, any]; row 1 has []"),
        ([[[1], [[2]]]], "row 0 is ragged"),
        ([[[1], [2]], [[1], ["2"]]], "takes float of shape [2, any]; row 1 has str '2'"),
        ([[[1], [2]], [[True], [False]]], "takes float of shape [2, any]; row 1 has bool True"),
        (np.ones((4, 3, 3)), "takes the shape [2, any]; row 0 has [3, 3]"),
        (np.full((2, 2, 1), math.inf), "row 0 has float inf"),
        (np.array([[["a"], ["b"]]]), "row 0 has str 'a'"),
        ("text", "takes the shape [2, any]; row 0 has []"),
    ],
)
def test_a_tensor_of_another_shape_or_type_is_told_by_its_row(values: Any, words: str):
    assert words in said(IMAGE, values)


def test_tensors_of_small_whole_numbers_hold_no_more_than_fits():
    pixel = column("integer", dtype="uint8", shape=(1,))
    assert checked_column(pixel, [[0], [255.0]]).dtype == "uint8"
    assert said(pixel, [[0], [256]]) == "column 'c' takes uint8 of shape [1]; row 1 has int 256"
    assert said(pixel, np.array([[0], [-1]])) == "column 'c' takes uint8 of shape [1]; row 1 has int -1"
    assert said(pixel, [[0], [None]]) == "column 'c' takes uint8 of shape [1]; row 1 has null"


def test_a_value_a_row_is_a_tensor_of_one():
    one = column("float", dtype="float32", shape=(1,))
    assert checked_column(one, [1.0, 2]).tolist() == checked_column(one, [[1.0], [2]]).tolist() == [[1.0], [2.0]]
    assert "row 1 has str 'a'" in said(one, [1.0, "a"])


@pytest.mark.parametrize("rows", [1, 3])
def test_made_up_rows_are_rows_that_the_signature_allows(rows: int):
    inner = Type("object", fields=(Field("a", Type("map")), Field("b", Type("long"), required=False)))
    kinds: list[Kind] = ["double", "float", "long", "integer", "boolean", "string", "binary", "datetime", "any"]
    columns = [SignatureColumn(kind, kind) for kind in kinds]
    columns += [
        SignatureColumn("list", "array", items=inner),
        SignatureColumn("o", "object", fields=(Field("i", inner),)),
    ]
    table = Signature(tuple(columns))
    assert set(map(len, Intake(table).arrays(made_up_rows(table, rows)).values())) == {rows}
    image = SignatureColumn("image", "integer", dtype="uint8", shape=(2, -1, 3))
    fixed = Signature((image,), form="tensors", rows=5)
    assert Intake(fixed).arrays(made_up_rows(fixed, rows))["image"].shape == (5, 2, 1, 3)
    assert made_up_rows(UNSIGNED) == {}


# Whole requests

TABLE = Signature((SignatureColumn("x", "double"), SignatureColumn("n", "long", False), SignatureColumn("t", "string")))


def test_the_arrays_stand_in_the_order_of_the_signature():
    arrays = Intake(TABLE).arrays({"t": ["a"], "n": [1], "x": [0.5]})
    assert list(arrays) == ["x", "n", "t"] and [array.dtype for array in arrays.values()] == [
        "float64",
        "int64",
        object,
    ]


def test_optional_columns_may_be_left_out_and_no_others():
    arrays = Intake(TABLE).arrays({"t": ["a", "b"], "x": [0.5, 1.0]})
    assert np.isnan(arrays["n"]).all() and len(arrays["n"]) == 2
    for columns, words in (
        ({"x": [0.5]}, "column 't' is missing"),
        ({"t": ["a"], "x": [0.5], "m": [1]}, "takes no column 'm'"),
        ({"t": ["a"], "x": [0.5, 1.0]}, "column 't' has 1 rows, column 'x' has 2"),
        ({"t": [], "x": []}, "there are no rows to predict"),
        ({}, "is missing"),
    ):
        with pytest.raises(Invalid, match=words):
            Intake(TABLE).arrays(columns)


def test_a_model_of_a_fixed_number_of_rows_takes_no_other():
    fixed = Signature((SignatureColumn("x", "float", dtype="float32"),), form="tensors", rows=2)
    assert len(Intake(fixed).arrays({"x": [1.0, 2.0]})["x"]) == 2
    with pytest.raises(Invalid, match="takes 2 rows at a time; there are 3"):
        Intake(fixed).arrays({"x": [1.0, 2.0, 3.0]})


def test_one_tensor_stands_for_the_columns_of_an_array():
    wide = Signature(
        tuple(SignatureColumn(str(n), "float", dtype="float32") for n in range(3)), is_array=True, form="array"
    )
    rows = np.arange(6.0).reshape(2, 3)
    for whole in (rows, rows.tolist(), rows.astype("float32")):
        assert [array.tolist() for array in Intake(wide).arrays({"input-0": whole}).values()] == rows.T.tolist()
    with pytest.raises(Invalid, match=r"takes the shape \[3\]; row 0 has \[2\]"):
        completed(wide, {"input-0": rows[:, :2]})


whole, texts = st.integers(-(2**70), 2**70), st.text("a0ö", max_size=3)
cells = st.one_of(st.none(), st.booleans(), whole, st.floats(), texts, st.binary(max_size=3))
plain: st.SearchStrategy[Kind] = st.sampled_from(
    ["double", "float", "long", "integer", "boolean", "string", "binary", "datetime"]
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    kind=plain,
    required=st.booleans(),
    values=st.lists(cells, min_size=1, max_size=4),
    others=st.lists(cells, max_size=4),
)
def test_a_column_among_others_is_what_it_is_alone(kind: Kind, required: bool, values: list[Any], others: list[Any]):
    """Columns of one kind are checked together: neither may take or spoil what the other one holds."""
    alone = column(kind, required=required)
    beside = SignatureColumn("d", kind, required)
    columns = {"c": values, "d": (others + [None] * len(values))[: len(values)]}
    outcome = []
    for name, one in (("c", alone), ("d", beside)):
        try:
            outcome.append(checked_column(one, columns[name]))
        except Invalid as problem:
            outcome.append(problem.message)
    refusals = [found for found in outcome if isinstance(found, str)]
    try:
        both = Intake(Signature((alone, beside))).arrays(columns)
    except Invalid as problem:
        assert problem.message in refusals
        return
    assert not refusals
    for name, expected in zip(("c", "d"), outcome, strict=True):
        pd.testing.assert_series_equal(pd.Series(both[name]), pd.Series(expected))


def test_nested_values_may_be_lists_of_arrays_of_arrow():
    wanted = column("array", items=Type("long"))
    assert checked_column(wanted, pa.array([[1, 2], []])).tolist() == [[1, 2], []]
    assert "row 1, [0]: expected long, found float 0.5" in said(wanted, [[1], [0.5]])
