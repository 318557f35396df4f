"""Tensors of every datatype and shape, as JSON flat and nested and as raw bytes: one column, or named as wrong."""

import math
from struct import pack
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.models.signature import Signature, SignatureColumn
from taut.records import Prediction
from taut.serve.requests import Body, Columns, Request, infer_answer, read_infer
from taut.serve.requests.binary import DTYPES
from taut.serve.requests.tensors import CELLS

CUBE = np.arange(24.0).reshape(2, 3, 4)
EDGES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "BYTES": ["", "ä", "a\0b", "x" * 300],
    "FP16": [0.5, -65504.0],
    "FP32": [0.5, -3.4028234663852886e38],
    "FP64": [0.1, -1.7976931348623157e308, 5e-324],
    **{f"INT{bits}": [-(2 ** (bits - 1)), 0, 2 ** (bits - 1) - 1] for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": [0, 2**bits - 1] for bits in (8, 16, 32, 64)},
}


def tensor(data: object, *, shape: list[int] | None = None, datatype: str = "FP64", **more: object) -> dict[str, Any]:
    shape = [len(data)] if shape is None and isinstance(data, list) else shape
    return {"name": "n", "shape": shape, "datatype": datatype, "data": data, **more}


def asked(*tensors: dict[str, Any], **more: object) -> Request:
    return read_infer(msgspec.json.encode({"inputs": tensors, **more}))


def raw_tensor(raw: bytes, *, shape: list[int], datatype: str = "FP64", name: str = "n") -> dict[str, Any]:
    about = tensor(None, shape=shape, datatype=datatype, parameters={"binary_data_size": len(raw)})
    del about["data"]
    return {**about, "name": name}


def nested(request: Request) -> list[Any]:
    """The column `n`, whose cells may be lists."""
    return list(request.columns["n"])


def packed(*tensors: tuple[dict[str, Any], bytes], length: str | None = None, **more: object) -> Request:
    """A request whose tensors follow its JSON as bytes."""
    head = msgspec.json.encode({"inputs": [about for about, _ in tensors], **more})
    return read_infer(head + b"".join(raw for _, raw in tensors), header_length=length or str(len(head)))


def raw_of(values: list[Any], datatype: str) -> bytes:
    if datatype == "BYTES":
        return b"".join(pack("<I", len(text.encode())) + text.encode() for text in values)
    return np.array(values, dtype=DTYPES[datatype]).tobytes()


# Every datatype


@pytest.mark.parametrize("datatype", CELLS)
def test_a_datatype_gives_the_same_column_as_json_nested_and_as_bytes(datatype: str):
    values = EDGES[datatype]
    rows = len(values)
    for given_as in (
        asked(tensor(values, datatype=datatype)),
        asked(tensor(values, shape=[rows, 1], datatype=datatype)),
        asked(tensor([[value] for value in values], shape=[rows, 1], datatype=datatype)),
        packed((raw_tensor(raw := raw_of(values, datatype), shape=[rows], datatype=datatype), raw)),
        packed((raw_tensor(raw, shape=[rows, 1, 1], datatype=datatype), raw)),
    ):
        assert given_as.columns == {"n": values}
        assert [type(value) for value in given_as.columns["n"]] == [type(value) for value in values]


@pytest.mark.parametrize("datatype", [name for name in CELLS if name != "UINT64" and "INT" in name])
def test_a_whole_number_past_its_datatype_is_named(datatype: str):
    low, high = min(EDGES[datatype]) - 1, max(EDGES[datatype]) + 1
    for wrong in (low, high):
        with pytest.raises(Invalid, match=f"'n', row 1: expected {datatype}, found {wrong}"):
            asked(tensor([0, wrong], datatype=datatype))


@pytest.mark.parametrize(
    ("datatype", "wrong"),
    [
        ("INT64", 1.0), ("INT64", 1.5), ("INT8", True), ("INT32", "1"), ("UINT8", -1), ("UINT64", -1), ("FP64", "1"),
        ("FP32", False), ("BOOL", 0), ("BOOL", "true"), ("BYTES", 1), ("BYTES", True), ("FP64", {}), ("BYTES", {}),
        ("FP64", 10**400),
    ],
)  # fmt: skip
def test_what_is_no_value_of_its_datatype_is_named_by_row_expected_and_found(datatype: str, wrong: object):
    good = EDGES[datatype][0]
    with pytest.raises(Invalid, match=f"'n', row 2: expected {datatype}, found "):
        asked(tensor([good, None, wrong], datatype=datatype))


def test_a_missing_value_is_null_in_every_datatype():
    for datatype, values in EDGES.items():
        assert asked(tensor([None, *values], datatype=datatype)).columns["n"] == [None, *values]


# Shapes


@pytest.mark.parametrize("data", [CUBE.tolist(), CUBE.ravel().tolist(), CUBE.ravel().astype(int).tolist()])
def test_a_tensor_of_several_dimensions_has_one_nested_cell_a_row(data: list[Any]):
    assert nested(asked(tensor(data, shape=[2, 3, 4]))) == CUBE.tolist()
    raw = CUBE.tobytes()
    assert nested(packed((raw_tensor(raw, shape=[2, 3, 4]), raw))) == CUBE.tolist()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.booleans())
def test_any_shape_is_the_array_that_it_says(shape: list[int], in_lists: bool):
    array = np.arange(math.prod(shape), dtype=float).reshape(shape)
    data = array.tolist() if in_lists else array.ravel().tolist()
    found = np.array(asked(tensor(data, shape=shape)).columns["n"])
    assert found.ravel().tolist() == array.ravel().tolist()
    assert len(found) == shape[0]


@pytest.mark.parametrize(
    ("data", "shape", "names"),
    [
        ([[1, 2], [3]], [2, 2], "row 1: expected 2 values, found 1"),
        ([[1, 2], 3], [2, 2], "row 1: expected 2 values, found 3"),
        ([[[1], [2]], [[3], [4, 5]]], [2, 2, 1], "row 1: expected one value, found 2"),
        ([[[1, 2]], [[3, 4]]], [2, 2], "row 0: expected 2 values, found 1"),
        ([[[1]], [[2]]], [2, 1], "row 0: expected FP64, found .1"),
        ([1, 2, 3], [2, 2], "3 values for shape"),
        ([[1, 2], [3, None]], [2, 2], "row 1: expected FP64, found null"),
        ([[1, 2], [3, "x"]], [2, 2], "row 1: expected FP64, found 'x'"),
        ([], [1], "0 values for shape"),
    ],
)
def test_data_of_another_shape_than_declared_is_named(data: list[Any], shape: list[int], names: str):
    with pytest.raises(Invalid, match=f"'n'.*{names}"):
        asked(tensor(data, shape=shape))


@pytest.mark.parametrize("size", [2**31, 2**62, 10**30])
def test_a_huge_declared_shape_costs_nothing(size: int):
    for shape in ([size], [2, size], [size, size]):
        with pytest.raises(Invalid, match=r"'n' has (1 values for )?shape"):
            asked(tensor([1.0], shape=shape))
        for datatype in ("FP64", "BYTES", "BOOL"):
            with pytest.raises(Invalid, match="'n'"):
                packed((raw_tensor(b"\0" * 8, shape=shape, datatype=datatype), b"\0" * 8))


def test_one_tensor_is_spread_over_the_columns_of_a_model_that_takes_an_array():
    array = Signature(tuple(SignatureColumn(str(place), "double") for place in range(3)), is_array=True)
    body = msgspec.json.encode({"inputs": [tensor([1, 2, 3, 4, 5, 6], shape=[2, 3])]})
    assert read_infer(body, signature=array).columns == {"0": [1.0, 4.0], "1": [2.0, 5.0], "2": [3.0, 6.0]}
    named = Signature(array.inputs)
    for other in (named, Signature(array.inputs[:2], is_array=True)):
        assert nested(read_infer(body, signature=other)) == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


# Raw bytes


def test_raw_tensors_follow_one_another_and_stand_beside_those_in_json():
    numbers, texts = np.array([1.5, np.nan]).tobytes(), raw_of(["x", "yy"], "BYTES")
    got = packed(
        (raw_tensor(numbers, shape=[2]), numbers),
        (tensor([1, 2], datatype="INT64") | {"name": "j"}, b""),
        (raw_tensor(texts, shape=[2], datatype="BYTES", name="t"), texts),
        id="mine",
    )
    assert list(got.columns) == ["n", "j", "t"]
    assert (got.columns["j"], got.columns["t"], got.id) == ([1, 2], ["x", "yy"], "mine")
    assert got.columns["n"][0] == 1.5
    assert math.isnan(got.columns["n"][1])  # type: ignore[arg-type]  # It is a float.


@pytest.mark.parametrize(
    ("about", "raw", "names"),
    [
        (raw_tensor(b"1234567", shape=[1]), b"1234567", "has 7 bytes; shape .1. of FP64 takes 8"),
        (raw_tensor(b"12345678", shape=[2]), b"12345678", "has 8 bytes; .* takes 16"),
        (raw_tensor(b"12345678", shape=[1]), b"123", "said to have 8 bytes; 3 are left"),
        (raw_tensor(b"12345678", shape=[1]), b"123456789", "1 bytes follow the last tensor"),
        (raw_tensor(b"\2", shape=[1], datatype="BOOL"), b"\2", "row 0: expected BOOL"),
        (raw_tensor(b"\1\0\3", shape=[3], datatype="BOOL"), b"\1\0\3", "row 2: expected BOOL"),
        (raw_tensor(b"\1\0\0\0", shape=[1], datatype="BYTES"), b"\1\0\0\0", "value 0 has 1 bytes, past the end"),
        (raw_tensor(b"\1\0\0\0\xff", shape=[1], datatype="BYTES"), b"\1\0\0\0\xff", "row 0: the bytes are not UTF-8"),
        (raw_tensor(b"\xff\xff\xff\xff", shape=[1], datatype="BYTES"), b"\xff\xff\xff\xff", "4294967295 bytes, past"),
        (raw_tensor(b"\0\0\0", shape=[1], datatype="BYTES"), b"\0\0\0", "in the middle of a length"),
        (raw_tensor(b"\0\0\0\0", shape=[2], datatype="BYTES"), b"\0\0\0\0", "has 1 values for shape"),
        (raw_tensor(b"\0" * 8, shape=[1], datatype="BYTES"), b"\0" * 8, "has more than 1 values"),
        (raw_tensor(b"1", shape=[0]), b"1", "has shape"),
        (raw_tensor(b"1", shape=[1], datatype="BF17"), b"1", "datatype 'BF17'"),
        (raw_tensor(b"1", shape=[1]) | {"data": [1.0]}, b"1", "both `data` and binary_data_size"),
        (tensor(None, shape=[1], parameters={"binary_data_size": -1}), b"", "binary_data_size is -1"),
        (tensor(None, shape=[1], parameters={"binary_data_size": True}), b"", "binary_data_size is True"),
        (tensor(None, shape=[1], parameters={"binary_data_size": "8"}), b"", "binary_data_size is '8'"),
    ],
)
def test_raw_bytes_that_are_not_what_was_declared_are_named(about: dict[str, Any], raw: bytes, names: str):
    with pytest.raises(Invalid, match=names):
        packed((about, raw))


@pytest.mark.parametrize("length", ["-1", "1.5", "x", "9" * 20, "²", "1000000", "3"])
def test_a_length_of_the_header_that_is_none_is_invalid(length: str):
    raw = np.array([1.0]).tobytes()
    with pytest.raises(Invalid, match=r"Inference-Header-Content-Length|cannot be read"):
        packed((raw_tensor(raw, shape=[1]), raw), length=length)


def test_raw_bytes_without_the_header_are_named():
    with pytest.raises(Invalid, match="'n' is binary, without Inference-Header-Content-Length"):
        asked(raw_tensor(b"", shape=[1]))


@given(st.binary(max_size=80), st.sampled_from(sorted(CELLS)), st.lists(st.integers(0, 9), max_size=3))
def test_no_bytes_at_all_are_more_than_invalid(raw: bytes, datatype: str, shape: list[int]):
    try:
        got = packed((raw_tensor(raw, shape=shape, datatype=datatype), raw))
    except Invalid:
        return
    assert len(got.columns["n"]) == shape[0]


# Answers


def told(outputs: Columns) -> Prediction:
    return Prediction("late", "an-id", 3, "flights", 2, 0, 0, 2, {"n": [1.0, 2.0]}, outputs)


def parts_of(body: Body) -> tuple[dict[str, Any], bytes]:
    """The JSON of an answer and the bytes behind it."""
    headers = dict(body.headers)
    size = int(headers[b"inference-header-content-length"])
    return msgspec.json.decode(body.data[:size]), body.data[size:]


OUTPUTS: Columns = {"a": [1, 2], "b": [1.5, None], "c": ["x", "äö"], "d": [True, False]}


def test_all_outputs_may_come_back_as_bytes():
    head, raw = parts_of(infer_answer(told(OUTPUTS), Request({}, binary=True)))
    sizes = [one["parameters"]["binary_data_size"] for one in head["outputs"]]
    assert [one["datatype"] for one in head["outputs"]] == ["INT64", "FP64", "BYTES", "BOOL"]
    assert not any("data" in one for one in head["outputs"])
    assert sizes == [16, 16, 13, 2]
    assert raw == pack("<qq", 1, 2) + pack("<dd", 1.5, math.nan) + raw_of(["x", "äö"], "BYTES") + b"\1\0"


def test_one_output_may_come_back_as_bytes_and_another_as_json():
    wanted = [{"name": "b", "parameters": {"binary_data": True}}, {"name": "a"}]
    request = asked(tensor([1.0]), outputs=wanted)
    head, raw = parts_of(infer_answer(told(OUTPUTS), request))
    assert [(one["name"], "data" in one) for one in head["outputs"]] == [("b", False), ("a", True)]
    assert len(raw) == 16
    other = asked(
        tensor([1.0]),
        outputs=[{"name": "b"}, {"name": "a", "parameters": {"binary_data": False}}],
        parameters={"binary_data_output": True},
    )
    assert infer_answer(told(OUTPUTS), other) == infer_answer(told(OUTPUTS), request)


@pytest.mark.parametrize("name", ["a", "c", "d"])
def test_what_bytes_cannot_say_is_told(name: str):
    with pytest.raises(Invalid, match=f"output '{name}' has a missing"):
        infer_answer(told({name: [*OUTPUTS[name], None]}), Request({}, binary=True))


def test_an_output_of_several_dimensions_says_its_shape():
    outputs: dict[str, Any] = {"a": [[1.5, 2.5], [3.5, 4.5]], "b": [[["x"]], [["y"]]], "c": [[1], [2, 3]]}
    said = msgspec.json.decode(infer_answer(told(outputs), Request({})).data)["outputs"]
    assert [(one["shape"], one["datatype"], one["data"]) for one in said] == [
        ([2, 2], "FP64", [1.5, 2.5, 3.5, 4.5]), ([2, 1, 1], "BYTES", ["x", "y"]), ([2], "BYTES", [[1], [2, 3]]),
    ]  # fmt: skip
    head, raw = parts_of(infer_answer(told({"a": outputs["a"]}), Request({}, binary=True)))
    assert (head["outputs"][0]["shape"], raw) == ([2, 2], pack("<dddd", 1.5, 2.5, 3.5, 4.5))


@pytest.mark.parametrize("more", [{"id": None}, {"outputs": None, "parameters": None}, {"id": ""}])
def test_what_is_null_is_as_if_it_were_not_there(more: dict[str, Any]):
    assert asked(tensor([1.0]), **more) == Request({"n": [1.0]})


def test_without_a_wish_for_bytes_the_answer_is_json():
    body = infer_answer(told(OUTPUTS), Request({}))
    assert (body.content_type, body.headers) == (b"application/json", ())
    assert {one["name"]: one["data"] for one in msgspec.json.decode(body.data)["outputs"]} == OUTPUTS
