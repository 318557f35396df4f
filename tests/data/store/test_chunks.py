"""Cuts follow the content, whatever stands before it; sizes stay in bounds; pieces are found again after an edit."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data.store.chunks import MAX_BYTES, MIN_BYTES, Cutter
from tests.data.store.scene import MIB, noise

KEY = bytes(range(1, 33))


def pieces(data: bytes, key: bytes = KEY) -> list[bytes]:
    ends = list(Cutter(key).cuts(data, is_end=True))
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@pytest.fixture(scope="module")
def long() -> bytes:
    return noise(24 * MIB)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 31, 1000, MIB - 1, MIB, MIB + 1, 5 * MIB + 3])
def test_the_pieces_are_the_whole(size):
    data = noise(size)
    assert b"".join(pieces(data)) == data


def test_pieces_have_bounds(long):
    sizes = [len(piece) for piece in pieces(long)]
    assert all(MIN_BYTES <= size <= MAX_BYTES for size in sizes[:-1])
    assert 0 < sizes[-1] <= MAX_BYTES
    assert 1.4 * MIB < sum(sizes) / len(sizes) < 3 * MIB


@pytest.mark.parametrize("shift", [1, 2, 3, 4, 5, 777, 100_001])
def test_after_bytes_put_in_front_most_pieces_are_the_same(long, shift):
    before, after = pieces(long), pieces(noise(shift, seed=9) + long)
    assert len(set(before) & set(after)) >= len(before) - 4


def test_an_edit_in_the_middle_changes_the_pieces_around_it(long):
    at = len(long) // 2
    edited = long[:at] + b"some new words" + long[at + 3 :]
    assert len(set(pieces(long)) - set(pieces(edited))) <= 3


def test_another_store_cuts_elsewhere(long):
    assert set(pieces(long)).isdisjoint(pieces(long, bytes(range(101, 133))))


@pytest.mark.parametrize("data", [bytes(9 * MIB), b"ab" * (5 * MIB), b"\xff" * (9 * MIB)])
def test_bytes_that_repeat_are_cut_too(data):
    found = pieces(data)
    assert b"".join(found) == data
    assert len(set(found)) <= 2


def test_data_in_steps_is_cut_as_in_one(long):
    cutter = Cutter(KEY)
    whole = list(cutter.cuts(long, is_end=True))
    at, found, left = 0, [], b""
    for begin in range(0, len(long), 7 * MIB):
        buffer = left + long[begin : begin + 7 * MIB]
        is_end = begin + 7 * MIB >= len(long)
        ends = list(cutter.cuts(buffer, is_end=is_end))
        found += [at + end for end in ends]
        left = buffer[ends[-1] if ends else 0 :]
        at += ends[-1] if ends else 0
    assert found == whole


def test_marks_move_with_their_bytes(long):
    cutter = Cutter(KEY)
    hashes, places = cutter.marks(long[: 2 * MIB])
    moved, there = cutter.marks(noise(12_345, seed=3) + long[: 2 * MIB])
    known = dict(zip(moved.tolist(), there.tolist(), strict=True))
    assert len(hashes) > 2 * MIB // (64 << 10)
    assert all(known[one] == at + 12_345 for one, at in zip(hashes.tolist(), places.tolist(), strict=True))


def test_there_are_no_marks_in_nothing():
    for data in (b"", b"a", b"abcdefg"):
        assert len(Cutter(KEY).marks(data)[0]) == 0


@given(seed=st.integers(0, 1000), size=st.integers(0, 6 * MIB))
@settings(max_examples=4, deadline=None)
def test_cuts_are_the_same_each_time(seed, size):
    data = random.Random(seed).randbytes(size)
    assert pieces(data) == pieces(data)
