"""Compression and deltas give back what they were given, and refuse what they were not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data.store.codec import SAMPLE_BYTES, delta, digest_of, grown, joined, shrunk, undelta
from tests.data.store.scene import MIB, edited, flipped, noise, table

texts = st.binary(max_size=2000) | st.text(alphabet="abc\n", max_size=4000).map(str.encode)


@given(texts)
@settings(deadline=None)
def test_what_shrinks_grows_back(data):
    small = shrunk(data)
    if small is not None:
        assert len(small) < len(data)
        assert grown(small, len(data)) == data


def test_what_does_not_compress_is_left_alone():
    assert shrunk(noise(100)) is None
    assert shrunk(noise(3 * MIB)) is None
    assert shrunk(b"") is None


def test_text_in_the_middle_of_noise_is_not_taken_for_noise():
    data = noise(SAMPLE_BYTES) + b"words, words, words\n" * 20_000 + noise(SAMPLE_BYTES)
    small = shrunk(data)
    assert small is not None
    assert len(small) < 0.3 * len(data)


@given(texts, st.binary(min_size=8, max_size=2000))
@settings(deadline=None, max_examples=50)
def test_a_delta_with_its_base_is_the_bytes(data, base):
    assert undelta(delta(data, base), base, len(data)) == data


def test_a_delta_of_scattered_rows_is_about_the_rows_alone():
    lines = table(60_000)
    new = edited(lines, 0.01)
    data, base = b"".join(new), b"".join(lines)
    changed = b"".join(one for one, other in zip(new, lines, strict=True) if one != other)
    floor = shrunk(changed)
    assert floor is not None
    found = delta(data, base)
    assert undelta(found, base, len(data)) == data
    assert len(found) <= 1.6 * len(floor)


def test_a_delta_of_rows_that_moved_is_small():
    lines = table(20_000)
    found = delta(b"".join(lines[10_000:] + lines[:10_000]), b"".join(lines))
    assert len(found) < 0.01 * sum(map(len, lines))


@pytest.mark.parametrize("read", [grown, lambda data, size: undelta(data, b"base" * 99, size)])
def test_another_size_is_refused_before_room_is_made(read):
    small = shrunk(b"a" * 10_000)
    assert small is not None
    with pytest.raises(ValueError, match="10000 bytes where 9999 were stored"):
        read(small, 9999)
    with pytest.raises(ValueError):
        read(b"no frame", 100)
    with pytest.raises(ValueError):
        read(b"", 0)


def test_another_base_gives_an_error_or_other_bytes_which_the_hash_tells():
    base, data = noise(5000), noise(5000) + b"more"
    found = delta(data, base)
    try:
        other = undelta(found, flipped(base, 17), len(data))
    except ValueError:
        return
    assert digest_of(other, b"\0" * 32) != digest_of(data, b"\0" * 32)


def test_a_digest_needs_the_key():
    assert digest_of(b"a", b"\1" * 32) != digest_of(b"a", b"\2" * 32)
    assert digest_of(b"a", b"\1" * 32) == digest_of(memoryview(bytearray(b"a")), b"\1" * 32)


def test_one_part_is_not_copied():
    data = b"some bytes"
    assert joined([data]) is data
    assert joined([b"some ", memoryview(b"bytes")]) == data
    assert joined([]) == b""
