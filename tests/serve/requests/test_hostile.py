"""Requests that are odd, malformed or meant to hurt: each is Invalid, with a short reason and in good time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid, TooLarge
from taut.models.signature import Signature, SignatureColumn
from taut.serve.requests import InvocationReader, Request, read_csv, read_infer, read_invocation
from taut.serve.requests.asked import CELLS_MAX

ONE = Signature((SignatureColumn("a", "double"),))
TWO = Signature((SignatureColumn("a", "double"), SignatureColumn("b", "string")))
MANY = 20_000  # A step for each pair of them would take minutes.
DEEP = 100_000
WORDS_MAX = 2_000

GOOD = b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1.5]}]}'
FRAME = b'{"dataframe_split": {"columns": ["a"], "data": [[1.5]]}}'


def invoked(body: bytes, signature: Signature = ONE, content_type: str = "application/json") -> Request:
    return read_invocation(body, signature, content_type=content_type)


def refused(read: Callable[..., object], *given_to: Any) -> str:
    with pytest.raises(Invalid) as problem:
        read(*given_to)
    assert len(problem.value.message) < WORDS_MAX
    return problem.value.message


@pytest.mark.parametrize("inputs", [5, True, 1.5, "text"])
def test_inputs_that_are_no_rows_are_invalid(inputs: object):
    refused(lambda: invoked(json.dumps({"inputs": inputs}).encode()))


@pytest.mark.parametrize("moment", ["²", "9" * 5000, "yesterday"])
def test_a_moment_that_is_none_is_invalid(moment: str):
    with pytest.raises(Invalid):
        read_invocation(b'{"inputs": [[1.0]]}', ONE, content_type="application/json", moment=moment)


MORE = CELLS_MAX + 2
MANY_VALUES: list[tuple[bytes, str]] = [
    (b'{"inputs": [' + b"1," * MORE + b"1]}", "application/json"),
    (b'{"dataframe_split": {"columns": ["a"], "data": [' + b"[1]," * MORE + b"[1]]}}", "application/json"),
    (b"a\n" + b"1\n" * MORE, "text/csv"),
    (b"a,b\n" + b"1,x\n" * (MORE // 2), "text/csv"),
]


@pytest.mark.parametrize("place", range(len(MANY_VALUES)))
def test_more_values_than_a_front_may_stand_still_for_are_too_large(place: int):
    body, kind = MANY_VALUES[place]
    with pytest.raises(TooLarge, match=f"it may have {CELLS_MAX}, more is for `taut batch`"):
        invoked(body, TWO if b"a,b" in body else ONE, kind)


@pytest.mark.parametrize("raw", [b"", b"1234"])
def test_more_values_in_json_tensors_are_too_large_whatever_follows(raw: bytes):
    head = GOOD.replace(b"1.5", b"1," * MORE + b"1")
    with pytest.raises(TooLarge, match="it may have"):
        read_infer(head + raw, header_length=str(len(head)) if raw else "")


def test_a_long_text_is_one_value():
    text = "." * (4 * CELLS_MAX)
    body = json.dumps({"dataframe_split": {"columns": ["a", "b"], "data": [[1.5, text]]}}).encode()
    assert invoked(body, TWO).columns["b"] == [text]


def test_two_columns_of_one_name_are_told_and_not_merged():
    with pytest.raises(Invalid, match="two columns called 'a'"):
        read_csv(b"a,a\n1,2\n")


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: b"",
        lambda good: good[:-1],
        lambda good: good[1:],
        lambda good: good + b"}",
        lambda good: good.replace(b":", b"="),
        lambda good: good.replace(b'"', b"'"),
        lambda good: good.replace(b"1.5", b"01.5"),
        lambda good: good.replace(b"1.5", b"1.5,"),
        lambda good: good.replace(b"1.5", b"1e400"),
        lambda good: good.replace(b"1.5", b"9" * 5000),
        lambda good: good.replace(b"1.5", b"undefined"),
        lambda good: good.replace(b"1.5", b'"\\x41"'),
        lambda good: good.replace(b'"a"', b'"\xff"'),
        lambda good: good.replace(b'"a"', b'"a\x00"'),
        lambda good: good.replace(b"1.5", b"[" * DEEP),
        lambda good: good.replace(b"1.5", b"[" * DEEP + b"]" * DEEP),
        lambda good: good.replace(b"1.5", b'{"a":' * DEEP + b"1" + b"}" * DEEP),
        lambda good: b"[" * DEEP,
        lambda good: b'{"extra": ' + b"[" * DEEP + b"]" * DEEP + b"," + good[1:],
    ],
)
def test_malformed_json_is_invalid_in_both_protocols(damage: Callable[[bytes], bytes]):
    refused(lambda: read_infer(damage(GOOD)))
    refused(lambda: invoked(damage(FRAME)))


@pytest.mark.parametrize("word", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_word_for_no_number_is_read_where_mlflow_writes_it_and_nowhere_else(word: bytes):
    value = invoked(FRAME.replace(b"1.5", word)).columns["a"][0]
    assert str(value) == str(float(word))
    refused(lambda: read_infer(GOOD.replace(b"1.5", word)))


def test_a_key_that_stands_twice_counts_as_its_last_as_everywhere_in_json():
    assert invoked(b'{"inputs": {"a": [1], "a": [2]}}').columns == {"a": [2]}
    assert read_infer(GOOD.replace(b'"data"', b'"data": [7], "data"')).columns == {"a": [1.5]}


@pytest.mark.parametrize("word", [b"NaN", b"Infinity"])
def test_the_reader_that_takes_nan_is_as_strict_in_all_else(word: bytes):
    start = b'{"x": ' + word + b", "
    for body in (
        start, start + FRAME, start + FRAME[1:-1], start + FRAME[1:].replace(b"1.5", b"9" * 5000),
        start + FRAME[1:].replace(b"1.5", b"[" * DEEP + b"]" * DEEP), start + FRAME[1:].replace(b'"a"', b'"\xff"'),
        start + FRAME[1:].replace(b"1.5", b"1.5,"), b"[" + word + b"]", word,
    ):  # fmt: skip
        refused(invoked, body)
    refused(invoked, b'{"x": ' + word + b"}")
    assert invoked(start + FRAME[1:]).columns == {"a": [1.5]}


def names(count: int) -> list[str]:
    return [f"c{place}" for place in range(count)]


def tensors(columns: list[str]) -> bytes:
    return json.dumps(
        {"inputs": [{"name": name, "shape": [1], "datatype": "FP64", "data": [1.5]} for name in columns]}
    ).encode()


def frame(columns: list[str]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": [[1.5] * len(columns)]}}).encode()


def csv_of(columns: list[str]) -> bytes:
    return f"{','.join(columns)}\n{','.join('1' for _ in columns)}\n".encode()


@pytest.mark.timeout(20)
def test_very_many_columns_are_read_in_time_that_grows_with_them():
    columns = names(MANY)
    for read in (
        read_infer(tensors(columns)),
        invoked(frame(columns)),
        invoked(json.dumps({"dataframe_records": [dict.fromkeys(columns, 1.5)] * 2}).encode()),
        invoked(json.dumps({"inputs": {name: [1.5] for name in columns}}).encode()),
        invoked(csv_of(columns), content_type="text/csv"),
    ):
        assert list(read.columns) == columns


@pytest.mark.timeout(20)
def test_a_name_given_twice_among_very_many_is_found_in_time():
    columns = [*names(MANY), f"c{MANY - 1}"]
    for read in (
        lambda: read_infer(tensors(columns)),
        lambda: invoked(frame(columns)),
        lambda: invoked(csv_of(columns), content_type="text/csv"),
    ):
        assert f"'c{MANY - 1}'" in refused(read)


@pytest.mark.timeout(20)
def test_very_many_rows_are_read_in_time_and_the_one_that_is_wrong_is_named():
    rows: list[Any] = [[1.5, "x"]] * MANY
    assert len(invoked(json.dumps({"instances": rows}).encode(), TWO).columns["b"]) == MANY
    assert f"row {MANY}" in refused(lambda: invoked(json.dumps({"instances": [*rows, [1]]}).encode(), TWO))
    nested = {"name": "a", "shape": [MANY, 1], "datatype": "FP64", "data": [[1.5]] * (MANY - 1) + [[1.5, 2]]}
    assert f"row {MANY - 1}: expected one value" in refused(
        lambda: read_infer(json.dumps({"inputs": [nested]}).encode())
    )
    text = f"a,b\n{'1,x' * 1}\n" * 1 + "1,x\n" * MANY + "1\n"
    assert f"line {MANY + 3}" in refused(lambda: invoked(text.encode(), TWO, "text/csv"))


@pytest.mark.timeout(20)
def test_the_reason_is_short_however_long_what_was_sent():
    long = "x" * 1_000_000
    tensor = {"name": long, "shape": [1], "datatype": "FP64", "data": [1.5]}
    for wrong in (
        {"datatype": long},
        {"shape": [1] * MANY},
        {"shape": [10**4000] * 32},
        {"data": [long]},
        {"data": long},
    ):
        refused(read_infer, json.dumps({"inputs": [tensor | wrong]}).encode())
    refused(lambda: read_infer(json.dumps({"inputs": [tensor, tensor]}).encode()))
    refused(lambda: read_infer(json.dumps({"inputs": [], "id": long}).encode()))
    refused(lambda: read_infer(json.dumps({"inputs": [], "parameters": {"event_time": [long]}}).encode()))
    for body in (
        {long: 1}, {"inputs": long}, {"instances": [[1, long], long]}, {"dataframe_split": {"data": [], long: 1}},
        {"dataframe_records": [{long: 1}, {"a": 1}]}, {"inputs": {"a": [1], long: long}},
        {"inputs": [[1]], "params": {long: 1}},
        {"dataframe_split": {"columns": [long, long], "data": [[1, 1]]}},
    ):  # fmt: skip
        refused(invoked, json.dumps(body).encode(), TWO)
    for kind in (long, f"text/csv; charset={long}", f"text/csv; {long}=1"):
        refused(invoked, b"{}", ONE, kind)


READERS: list[Callable[[bytes], object]] = [
    read_infer,
    lambda body: read_infer(body, header_length="40"),
    InvocationReader(TWO).read,
    lambda body: invoked(body, TWO, "text/csv"),
]
PIECES = st.sampled_from(
    [
        b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"1", b"-", b"e9", b".", b"NaN", b"null", b"true", b" ", b"\n",
        b'"inputs"', b'"instances"', b'"dataframe_split"', b'"dataframe_records"', b'"columns"', b'"data"', b'"name"',
        b'"shape"', b'"datatype"', b'"FP64"', b'"a"', b'"b"', b'"parameters"', b'"binary_data_size"', b"\xff", b"\x00",
        GOOD, FRAME, b"a,b\n1,x\n",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_pieces_of_requests_in_any_order_are_read_or_invalid(body: bytes):
    for read in READERS:
        try:
            assert isinstance(read(body), Request)
        except Invalid as problem:
            assert 0 < len(problem.message) < WORDS_MAX


@given(st.sampled_from([GOOD, FRAME, b"a,b\n1,x\n"]), st.integers(0, 80), st.binary(max_size=4), st.integers(0, 4))
def test_a_request_that_is_damaged_anywhere_is_read_or_invalid(good: bytes, start: int, put: bytes, gone: int):
    body = good[:start] + put + good[start + gone :]
    for read in READERS:
        try:
            assert isinstance(read(body), Request)
        except Invalid as problem:
            assert 0 < len(problem.message) < WORDS_MAX
