"""Requests as bytes, without a server: every accepted form is one table, and every mistake is Invalid by name."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.models.signature import Signature, SignatureColumn
from taut.serve.log import Columns
from taut.serve.requests import (
    Request,
    checked_id,
    columns_of_lists,
    columns_of_rows,
    event_time,
    read_infer,
    read_invocation,
)

SIGNATURE = Signature((SignatureColumn("n", "double"), SignatureColumn("t", "string")))
TABLE: Columns = {"n": [1.5, None], "t": ["x", "y"]}
NAMED: list[dict[str, Any]] = [{"n": 1.5, "t": "x"}, {"n": None, "t": "y"}]
LISTS: list[list[Any]] = [[1.5, "x"], [None, "y"]]
DAY_MS = 1_364_774_400_000  # 2013-04-01T00:00Z
FIVE_MS = DAY_MS + 5 * 3_600_000

# Not covered: integers past the range of a float, and a bare number as the whole of `inputs` of /invocations.
PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    PLAIN | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def invoked(body: object, *, content_type: str = "application/json", moment: str = "", request_id: str = "") -> Request:
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return read_invocation(data, SIGNATURE, content_type=content_type, moment=moment, request_id=request_id)


def inferred(*inputs: object, **others: object) -> Request:
    return read_infer(msgspec.json.encode({"inputs": inputs, **others}))


def tensor(**changed: object) -> dict[str, Any]:
    return {"name": "n", "shape": [2], "datatype": "FP64", "data": [1.5, None]} | changed


TEXTS = tensor(name="t", datatype="BYTES", data=["x", "y"])


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["n", "t"], "data": LISTS}},
        {"dataframe_split": {"columns": ["t", "n"], "data": [row[::-1] for row in LISTS]}},
        {"dataframe_split": {"data": LISTS}},
        {"dataframe_split": {"index": [7, "a"], "columns": ["n", "t"], "data": LISTS}},
        {"dataframe_records": NAMED},
        {"dataframe_records": [dict(reversed(row.items())) for row in NAMED]},
        {"instances": NAMED},
        {"instances": LISTS},
        {"inputs": NAMED},
        {"inputs": LISTS},
        {"inputs": TABLE},
        {"inputs": TABLE, "params": {}},
        {"inputs": TABLE, "params": None, "instances": None},
    ],
)
@pytest.mark.parametrize("content_type", ["", "application/json", "Application/JSON; charset=utf-8"])
def test_every_json_form_of_invocations_gives_the_same_columns(body: object, content_type: str):
    assert invoked(body, content_type=content_type) == Request(columns=TABLE)


@pytest.mark.parametrize(
    "body", [b"n,t\n1.5,x\n,y\n", b"n,t\r\n1.5,x\r\n,y", b"t,n\nx,1.5\ny,\n", b'\xef\xbb\xbfn,t\n"1.5","x"\n,y\n']
)
@pytest.mark.parametrize("content_type", ["text/csv", "TEXT/CSV", "text/csv; charset=utf-8"])
def test_every_csv_form_of_invocations_gives_the_same_columns(body: bytes, content_type: str):
    assert invoked(body, content_type=content_type) == Request(columns=TABLE)


def test_rows_of_a_model_without_a_signature_are_columns_by_their_places():
    for body in ({"instances": LISTS}, {"inputs": LISTS}, {"dataframe_split": {"data": LISTS}}):
        found = read_invocation(msgspec.json.encode(body), Signature(()), content_type="").columns
        assert found == {"0": [1.5, None], "1": ["x", "y"]}


def test_one_row_may_be_given_by_plain_values():
    assert invoked({"inputs": {"n": 1.5, "t": "x"}}).columns == {"n": [1.5], "t": ["x"]}


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_plain_values_are_rows_of_a_model_with_one_column(form: str):
    one = Signature((SignatureColumn("n", "double"),))
    body = msgspec.json.encode({form: [1.5, None, 2.0]})
    assert read_invocation(body, one, content_type="").columns == {"n": [1.5, None, 2.0]}


@pytest.mark.parametrize(
    "inputs",
    [
        [tensor(), TEXTS],
        [tensor(shape=[2, 1]), tensor(**TEXTS | {"shape": [2, 1]})],
        [tensor(data=[[1.5], [None]]), tensor(**TEXTS | {"data": [["x"], ["y"]]})],
        [tensor(data=[1.5, [None]]), TEXTS],
        [tensor(datatype="FP32"), TEXTS],
        [tensor(datatype="FP16"), TEXTS],
        [TEXTS, tensor()],
        [tensor(parameters={"content_type": "np"}), TEXTS],
        [tensor(unheard_of=1), TEXTS],
    ],
)
def test_every_form_of_a_tensor_gives_the_same_columns(inputs: list[object]):
    assert inferred(*inputs) == Request(columns=TABLE)


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_integers_of_every_width_stay_whole(size: int):
    for kind in (f"INT{size}", f"UINT{size}"):
        values = inferred(tensor(datatype=kind, data=[3, None])).columns["n"]
        assert values == [3, None]
        assert type(values[0]) is int


def test_whole_numbers_for_a_float_become_floats():
    assert [type(value) for value in inferred(tensor(data=[1, 2])).columns["n"]] == [float, float]


def test_booleans_stay_booleans():
    values = inferred(tensor(datatype="BOOL", data=[True, None])).columns["n"]
    assert values[0] is True
    assert values[1] is None


def test_what_stands_beside_the_tensors_is_kept():
    asked = inferred(
        tensor(), id="mine:1", outputs=[{"name": "b"}, {"name": "a"}], parameters={"event_time": DAY_MS, "other": [1]}
    )
    assert (asked.id, asked.outputs, asked.event_ms) == ("mine:1", ("b", "a"), DAY_MS)


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"shape": []}, "'n' has shape"),
        ({"shape": [0], "data": []}, "'n' has shape"),
        ({"shape": [-1]}, "'n' has shape"),
        ({"shape": [2, 0]}, "'n' has shape"),
        ({"shape": [1] * 33}, "'n' has shape"),
        ({"shape": [2, 2]}, "'n' has 2 values for shape"),
        ({"shape": [2**62, 2**62]}, "'n' has 2 values for shape"),
        ({"shape": [3]}, "'n' has 2 values"),
        ({"shape": [1]}, "'n' has 2 values"),
        ({"shape": "2"}, r"inputs\[0\]\.shape"),
        ({"shape": [1.5]}, r"inputs\[0\]\.shape"),
        ({"shape": None}, r"inputs\[0\]\.shape"),
        ({"name": 1}, r"inputs\[0\]\.name"),
        ({"datatype": 64}, r"inputs\[0\]\.datatype"),
        ({"datatype": "FP63"}, "'n' has the datatype 'FP63'"),
        ({"datatype": "fp64"}, "'n' has the datatype 'fp64'"),
        ({"datatype": "INT64"}, "'n', row 0: expected INT64"),
        ({"datatype": "BYTES"}, "'n', row 0: expected BYTES"),
        ({"datatype": "BOOL"}, "'n', row 0: expected BOOL"),
        ({"datatype": "BOOL", "data": [True, 1]}, "'n', row 1: expected BOOL, found 1"),
        ({"data": [1.5, True]}, "'n', row 1: expected FP64, found True"),
        ({"data": [1.5, "2"]}, "'n', row 1: expected FP64, found '2'"),
        ({"data": [[1.5], []]}, "'n', row 1: expected one value, found 0"),
        ({"data": [[1.5, 2.5], 1]}, "'n', row 0: expected one value, found 2"),
        ({"data": [[[1.5]], 1]}, "'n', row 0: expected FP64, found .*1.5"),
        ({"data": {"0": 1}}, "'n': `data` is a dict"),
        ({"data": None}, "'n': `data` is a NoneType"),
        ({"parameters": []}, r"inputs\[0\]\.parameters"),
    ],
)
def test_a_tensor_that_is_wrong_is_named(changed: dict[str, object], names: str):
    with pytest.raises(Invalid, match=names):
        inferred(tensor(**changed))


@pytest.mark.parametrize("field", ["name", "shape", "datatype", "data"])
def test_a_tensor_that_lacks_a_field_is_told_which(field: str):
    lacking = {name: value for name, value in tensor().items() if name != field}
    with pytest.raises(Invalid, match=f"`{field}`" + ("" if field == "data" else ".*inputs")):
        inferred(tensor(name="first"), lacking)


@pytest.mark.parametrize(
    ("others", "names"),
    [
        ({"id": "a b"}, "'a b' cannot be a request id"),
        ({"id": "x" * 129}, "cannot be a request id"),
        ({"id": 7}, r"\$\.id"),
        ({"outputs": "a"}, r"\$\.outputs"),
        ({"outputs": [{}]}, "`name`.*outputs"),
        ({"parameters": 1}, r"\$\.parameters"),
        ({"parameters": {"event_time": "soon"}}, "'soon' is no ISO 8601"),
        ({"parameters": {"event_time": 1.5}}, "event_time is 1.5"),
        ({"parameters": {"event_time": [1]}}, "event_time is"),
    ],
)
def test_what_is_wrong_beside_the_tensors_is_named(others: dict[str, Any], names: str):
    with pytest.raises(Invalid, match=names):
        inferred(tensor(), **others)


def test_a_tensor_given_twice_is_named():
    with pytest.raises(Invalid, match="'n' is given twice"):
        inferred(tensor(), TEXTS, tensor())


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "exactly one of .* none"),
        ({"instances": LISTS, "inputs": LISTS}, "it has instances, inputs"),
        ({"rows": LISTS}, "exactly one of .* none, but rows"),
        ({"inputs": LISTS, "params": {"top": 1, "k": 2}}, "takes no params; the request has k, top"),
        ({"inputs": LISTS, "params": 3}, r"\$\.params"),
        ({"dataframe_split": {"columns": ["n"]}}, r"`data`.*\$\.dataframe_split"),
        ({"dataframe_split": {"columns": ["n", "n"], "data": [[1, 2]]}}, "column 'n' is given twice"),
        ({"dataframe_split": {"columns": ["n", 1.5], "data": [[1, 2]]}}, r"dataframe_split\.columns\[1\]"),
        ({"dataframe_split": {"data": LISTS, "colums": ["n"]}}, r"unknown field `colums`.*dataframe_split"),
        ({"dataframe_split": {"data": [LISTS[0], 5]}}, "data: row 1 is 5"),
        ({"dataframe_split": {"columns": ["n", "t"], "data": [[1, "x"], [1]]}}, "row 1 has 1 values.* 2 columns"),
        ({"dataframe_split": {"data": [[1, "x", 2]]}}, "row 0 has 3 values.* 2 columns"),
        ({"dataframe_split": []}, r"\$\.dataframe_split"),
        ({"dataframe_records": []}, "no rows"),
        ({"dataframe_records": [{"n": 1}, {"t": 1}]}, "row 1 and row 0 .* 'n'"),
        ({"dataframe_records": [{"n": 1}, {"n": 1, "extra": 2}]}, "row 1 and row 0 .* 'extra'"),
        ({"dataframe_records": [[1]]}, r"dataframe_records\[0\]"),
        ({"dataframe_records": {"n": [1]}}, r"\$\.dataframe_records"),
        ({"instances": 5}, "instances is 5; it takes rows"),
        ({"instances": [{"n": 1}, 3]}, "instances: row 1 is 3"),
        ({"instances": [[1, "x"], 3]}, "instances: row 1 is 3"),
        ({"instances": [[1, "x"], {"n": 1}]}, "instances: row 1 is {'n': 1}"),
        ({"instances": [1]}, "row 0 has 1 values.* 2 columns"),
        ({"inputs": {"n": [1], "t": "x"}}, "inputs: 't' is 'x', and other columns are lists"),
        ({"inputs": "n"}, "inputs is 'n'; it takes rows"),
        ([], "the request cannot be read"),
        (b"", "the request cannot be read"),
        (b'{"inputs": [[1, "x"]', "the request cannot be read"),
        (b'{"instances":' + b"[" * 3000 + b"]" * 3000 + b"}", "the request cannot be read"),
    ],
)
def test_an_invocation_that_is_wrong_is_told_where(body: object, names: str):
    with pytest.raises(Invalid, match=names):
        invoked(body)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "a heading and at least one row"),
        (b"n,t\n", "a heading and at least one row"),
        (b"n,t\n1,x\n1\n", "line 3 .* has 1 values, the heading has 2"),
        (b"n,t\n1,x,y\n", "line 2 .* has 3 values, the heading has 2"),
        (b"n,t\n1,\xff\n", "the CSV cannot be read"),
        (b"n,t\n1," + b"x" * 200_000, "the CSV cannot be read"),
    ],
)
def test_csv_that_is_wrong_is_told_by_its_line(body: bytes, names: str):
    with pytest.raises(Invalid, match=names):
        invoked(body, content_type="text/csv")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "json", "application/jsonl"])
def test_a_content_type_that_is_not_taken_is_named(content_type: str):
    with pytest.raises(Invalid, match=f"not '{content_type}'"):
        invoked({"inputs": LISTS}, content_type=content_type)


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2013-04-01", DAY_MS),
        ("20130401", DAY_MS),
        ("2013-W14-1", DAY_MS),
        ("2013-04-01T05:00", FIVE_MS),
        ("2013-04-01 05:00:00", FIVE_MS),
        ("2013-04-01T05:00Z", FIVE_MS),
        ("2013-04-01T07:00+02:00", FIVE_MS),
        ("2013-04-01T00:00-05:00", FIVE_MS),
        ("2013-04-01T05:00:00.250Z", FIVE_MS + 250),
        ("1969-12-31", -86_400_000),
    ],
)
def test_every_form_of_an_event_time_is_one_moment(written: str, moment: int):
    assert event_time(written) == event_time(moment) == moment
    assert inferred(tensor(), parameters={"event_time": written}).event_ms == moment
    if not written.isdigit():  # In a header digits alone are milliseconds.
        assert invoked({"inputs": LISTS}, moment=written).event_ms == moment


def test_digits_in_a_header_are_milliseconds():
    assert invoked({"inputs": LISTS}, moment=str(FIVE_MS)).event_ms == FIVE_MS


@given(st.text(max_size=200))
def test_a_request_id_is_kept_as_written_or_refused(written: str):
    try:
        assert checked_id(written) == written
    except Invalid:
        assert written


@given(JSON)
def test_any_json_as_an_inference_request_is_parsed_or_invalid(value: object):
    for body in (value, {"inputs": value}, {"inputs": [value]}, {"inputs": [tensor(data=value)]}):
        check(lambda body=body: read_infer(msgspec.json.encode(body)))
    check(lambda: inferred(tensor(shape=value)))
    check(lambda: inferred(tensor(data=[value, value])))
    check(lambda: inferred(tensor(), parameters={"event_time": value}))


@given(JSON)
def test_any_json_within_a_form_of_invocations_is_parsed_or_invalid(value: object):
    check(lambda: invoked(value if not isinstance(value, dict) else {**value, "odd": 1}))
    for form in ("dataframe_split", "dataframe_records", "instances"):
        check(lambda form=form: invoked({form: value}))
    check(lambda: invoked({"dataframe_split": {"data": value}}))
    check(lambda: invoked({"dataframe_split": {"columns": value, "data": LISTS}}))
    check(lambda: invoked({"inputs": [value, value]}))
    check(lambda: invoked({"inputs": {"n": value, "t": ["x"]}}))


def check(read: Any) -> None:
    """It returns a request or raises Invalid that says something."""
    try:
        assert isinstance(read(), Request)
    except Invalid as problem:
        assert str(problem)


def test_no_rows_with_names_are_refused():
    with pytest.raises(Invalid, match="no rows"):
        columns_of_rows([])


def test_a_name_given_twice_is_told_before_the_rows_are_looked_at():
    with pytest.raises(Invalid, match="column 'b' is given twice"):
        columns_of_lists(["a", "b", "b"], [[1]])
