"""Columns cross to a model process and back down to the last bit, and what is no frame is found out."""

import math
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from taut.errors import Invalid
from taut.serve.processes import wire
from taut.serve.processes.wire import (
    READ_CALL,
    READ_NEWS,
    READ_ORDER,
    READ_REPLY,
    Answered,
    BadFrame,
    Call,
    Ended,
    Failed,
    Fork,
    Frames,
    Kill,
    Load,
    Reply,
    Up,
    framed,
    pack,
    pack_reply,
    seal,
    unpack,
)

CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
NESTED = st.recursive(CELLS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
ARRAYS = arrays.arrays(
    st.sampled_from(["f8", "f4", "f2", "i8", "i2", "u8", "u1", "?", "c16", "M8[ns]", "m8[s]", "U3", "S2", ">f8"]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


def there_and_back(columns: dict[str, Any]) -> dict[str, Any]:
    (frame,) = Frames().feed(pack(Call(columns, [1], {})))
    return unpack(frame, READ_CALL).columns


def same(one: Any, other: Any) -> bool:
    """The same value, of the same type, to the last bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


@given(st.dictionaries(st.text(), st.lists(NESTED, max_size=4), max_size=4))
def test_lists_of_plain_values_come_out_as_they_went_in(columns: dict[str, Any]):
    assert same(there_and_back(columns), columns)


@given(ARRAYS)
def test_arrays_come_out_as_they_went_in(array: Any):
    assert same(there_and_back({"a": array})["a"], array)


@pytest.mark.parametrize(
    "value",
    [np.float64(0.1), np.float32(0.1), np.int64(2**63 - 1), np.bool_(True), np.str_("x"), np.datetime64(5, "ns")],
)
def test_a_scalar_of_numpy_stays_one(value: Any):
    back = there_and_back({"a": [value]})["a"][0]
    assert type(back) is type(value) and back == value


def test_whole_numbers_past_every_machine_word_and_strange_floats_survive():
    values = [2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(2**63) - 1, 10**400, -0.0, math.inf, math.nan, 5e-324]
    assert same(
        there_and_back({"a": values, "b": [[2**70], {"c": 2**70}]}), {"a": values, "b": [[2**70], {"c": 2**70}]}
    )


def test_an_array_of_objects_keeps_its_objects_and_its_shape():
    array = np.array([["x", None], [2**70, 1.5]], dtype=object)
    back = there_and_back({"a": array})["a"]
    assert back.dtype == object and back.shape == (2, 2) and back.tolist() == array.tolist()


def test_what_was_given_may_be_written_to():
    back = there_and_back({"a": np.zeros(2)})["a"]
    back[0] = 1.0
    assert back.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("value", [object(), lambda: 0, np.zeros(1, dtype="i4,i4"), Exception("no")])
def test_what_is_no_plain_value_is_refused_by_its_type(value: Any):
    with pytest.raises(TypeError, match="cannot leave the model's process"):
        pack(Call({"a": [value]}, [1], {}))


@pytest.mark.parametrize("order", [Load("f", "d", ["t"], early=True, memory_bytes=5), Fork(1, warm=False), Kill(2)])
def test_orders_come_out_as_they_went_in(order: Any):
    assert unpack(Frames().feed(pack(order))[0], READ_ORDER) == order


@pytest.mark.parametrize("news", [Up("s", ["t"], 0.5), Failed("Invalid", "m", "h", "d"), Ended(3, -9)])
def test_news_come_out_as_they_went_in(news: Any):
    assert unpack(Frames().feed(pack(news))[0], READ_NEWS) == news


def test_a_reply_comes_out_as_it_went_in():
    parts: list[Any] = [Answered({"p": [1.0, 2.0]}, 2), Failed("", detail="trace"), Answered({"p": [2**80]})]
    (frame,) = Frames().feed(pack_reply([seal(part) for part in parts], same=False))
    assert unpack(frame, READ_REPLY) == Reply(parts, same=False)


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 7))
def test_frames_are_cut_wherever_the_pieces_end(bodies: list[bytes], size: int):
    sent, frames, found = b"".join(map(framed, bodies)), Frames(), []
    for start in range(0, len(sent), size):
        found += frames.feed(sent[start : start + size])
    assert found == bodies


def test_a_frame_that_says_it_is_too_large_is_not_waited_for():
    with pytest.raises(BadFrame, match="a frame of 4294967295 bytes"):
        Frames().feed(b"\xff\xff\xff\xff")


def test_what_is_too_large_is_not_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(wire, "FRAME_MAX", 100)
    with pytest.raises(Invalid, match="100 are the most"):
        pack(Call({"a": [0.0] * 50}, [50], {}))


def _ext(code: int, body: Any) -> bytes:
    data = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
    return msgspec.msgpack.encode([{"a": msgspec.msgpack.Ext(code, data)}, [1], {}])


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"\xc1", b"nonsense", msgspec.msgpack.encode([1, 2]), msgspec.msgpack.encode([{"a": 1}, ["x"], {}]),
        _ext(wire.ARRAY, ["f8", [2], b"1234567"]), _ext(wire.ARRAY, ["O", [1], b"12345678"]),
        _ext(wire.ARRAY, ["f8", [-1], b""]), _ext(wire.ARRAY, ["no such dtype", [1], b"1"]),
        _ext(wire.ARRAY, ["f8", [1 << 60, 1 << 60], b""]), _ext(wire.OBJECTS, [[3], [1, 2]]), _ext(wire.WHOLE, b"x"),
        _ext(99, b""), b"\x91" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_message_is_told_so(frame: bytes):
    with pytest.raises(BadFrame, match="cannot be read"):
        unpack(frame, READ_CALL)
