"""Records read as they are packed: the same cells as one by one, whatever their kinds, and nothing else is taken."""

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.serve.log.packed import array_of, cells_of, list_of, own_ids, read_packed
from taut.serve.log.said import pack
from tests.serve.log.scenes import said

LONG = st.integers(2**32, 2**63 - 1)
KINDS = [
    st.floats(allow_nan=False), st.booleans(), st.none(), st.integers(-32, 127), LONG,
    st.integers(-(2**63), -(2**31) - 1), st.text("abé", min_size=2, max_size=2),
    st.text("0f", min_size=32, max_size=32), st.just(""), st.just("x" * 255),
]  # fmt: skip
ANY = st.one_of(*KINDS, st.integers(-(2**63), 2**64 - 1), st.text(max_size=40), st.lists(st.integers(), max_size=2))
# The first lists are of one kind, the last of any.
ARRAYS = st.one_of(
    *(st.lists(st.lists(kind, min_size=1, max_size=40), min_size=1, max_size=4) for kind in [*KINDS, ANY])
)


def packed(*arrays: list) -> tuple[list[msgspec.Raw], np.ndarray]:
    raw = [msgspec.Raw(msgspec.msgpack.encode(one)) for one in arrays]
    return raw, np.array([len(one) for one in arrays])


@given(ARRAYS)
@example([["é" * 2] * 15, ["é" * 2] * 16])
@example([[0.5] * 15, [0.5] * 16, [0.5] * 300])
@example([[2**63] * 2])
def test_cells_are_the_same_read_together_and_one_by_one(arrays: list[list]):
    raw, counts = packed(*arrays)
    cells = [cell for one in arrays for cell in one]
    assert list_of(raw, counts) == cells
    array = array_of(raw, counts)
    if array is not None:
        assert array.to_pylist() == cells
        assert array.type == pa.array(cells).type


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([0.5, float("inf")], pa.float64()), ([True, False], pa.bool_()), ([None, None], pa.null()),
        ([-32, 127], pa.int64()),
        ([2**40, 2**62], pa.int64()), ([-(2**40)], pa.int64()), (["ab", "cd"], pa.string()), (["f" * 32], pa.string()),
        (["", ""], pa.string()), (["é", "ab"], pa.string()), ([0.5, None], pa.float64()), ([None, 7, 300], pa.int64()),
        ([1, 200, 300, 70_000, 2**40, -1, -200, -300, -70_000, -(2**40)], pa.int64()),
        (["a", "bcd", None], pa.string()), ([None, "x" * 200, "é"], pa.string()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 15, 16, 1024])
def test_common_kinds_take_no_value_of_python(cells: list, kind: pa.DataType, count: int):
    long = (cells * count)[:count]
    raw, counts = packed(long, cells)
    array = array_of(raw, counts)
    assert array is not None
    assert (array.type, len(array)) == (kind, count + len(cells))
    assert array.to_pylist() == [*long, *cells]


@pytest.mark.parametrize(
    "cells", [[1, 0.5], [1, True], ["a", 1], [[1]], [b"x"], [2**63, 2**40], ["a" * 256], [{"a": 1}], [None, True]]
)
def test_other_kinds_are_left_to_be_read_one_by_one(cells: list):
    raw, counts = packed(cells)
    assert array_of(raw, counts) is None
    assert list_of(raw, counts) == cells


@pytest.mark.parametrize("cells", [[0.5] * 65_536, [0.5, None] * 600])
def test_very_long_arrays_are_left_too(cells: list):
    raw, counts = packed(cells, [0.5])
    assert array_of(raw, counts) is None
    assert list_of(raw, counts) == [*cells, 0.5]
    shorter = cells[:1024]
    array = array_of(*packed(shorter, shorter))
    assert array is not None and array.to_pylist() == shorter * 2


@given(st.binary(max_size=40), st.integers(1, 4))
@example(b"\x92\xa1\xff\xa1\xff", 2)
def test_bytes_of_a_stranger_are_read_as_what_they_are_or_refused(data: bytes, count: int):
    """Whatever `array_of` makes of bytes that are an array, reading it one by one says the same."""
    try:
        wanted = msgspec.msgpack.decode(data)
        assert cells_of(data)[0] == len(wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, Invalid, TypeError, IndexError, AssertionError):
        wanted = None
    if isinstance(wanted, list):
        array = array_of([data], np.array([len(wanted)]))
        assert array is None or array.to_pylist() == wanted
        if len(wanted) != count:
            with pytest.raises(Invalid, match="differ in length"):
                list_of([data], np.array([count]))
            assert array_of([data], np.array([count])) is None


def test_words_that_are_no_text_are_refused():
    raw = [b"\x92\xa2\xc3\x28\xa2ab"]
    for read in (array_of, list_of):
        with pytest.raises(Invalid, match="cannot be read"):
            read(raw, np.array([2]))


@pytest.mark.parametrize("data", [b"\x01", b"\xa1a", b"\x81\xa1a\x01", b"\xc0"])
def test_what_is_no_array_has_no_cells(data: bytes):
    with pytest.raises(Invalid, match="no array"):
        cells_of(data)


def test_own_ids_are_those_that_callers_chose():
    mixed = msgspec.structs.replace(said("a", "b", "c"), given=[True, False, True])
    assert own_ids(pack(mixed)) == ["a", "c"]
    assert own_ids(pack(said("a"))) == []
    assert own_ids(pack(said("a", given=True, role="shadow"))) == []
    with pytest.raises(Invalid):
        own_ids(pack(msgspec.structs.replace(mixed, given=[True])))
    with pytest.raises(Invalid, match="cannot be read"):
        read_packed(b"\x90")
