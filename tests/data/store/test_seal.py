"""A sealed object opens whole, or as ranges of frames, and in no other way than it was sealed."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data.store.roots import new_secret, root_of
from taut.data.store.seal import (
    FRAME_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    frames_around,
    open_frames,
    read_header,
    seal,
    seal_into,
    sealed_size,
    unseal,
    unseal_into,
)
from taut.errors import Corrupt, Denied
from tests.data.store.scene import flipped, noise

STEP = FRAME_BYTES + TAG_BYTES
SIZES = [0, 1, 15, 16, 17, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES, 3 * FRAME_BYTES + 7]


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
def root(request):
    return root_of(new_secret(), is_encrypted=request.param)


@pytest.mark.parametrize("size", SIZES)
def test_what_was_sealed_comes_back(root, size):
    data = noise(size)
    sealed = seal(root, "a/b", data)
    assert len(sealed) == sealed_size(size)
    assert unseal(root, "a/b", sealed) == data


@pytest.mark.parametrize("size", SIZES)
def test_no_object_opens_when_any_of_its_end_is_cut_off(root, size):
    sealed = seal(root, "a", noise(size))
    for length in {0, 1, HEADER_BYTES - 1, HEADER_BYTES, len(sealed) - 1, len(sealed) - TAG_BYTES, len(sealed) // 2}:
        with pytest.raises(Corrupt, match="a is damaged"):
            unseal(root, "a", sealed[:length])


def test_an_object_cut_after_a_whole_frame_is_found(root):
    sealed = seal(root, "a", noise(3 * FRAME_BYTES))
    with pytest.raises(Corrupt):
        unseal(root, "a", sealed[: HEADER_BYTES + 2 * STEP])


def test_an_object_that_has_grown_is_found(root):
    with pytest.raises(Corrupt, match="should have"):
        unseal(root, "a", seal(root, "a", b"text") + b"\0")


def test_frames_do_not_change_places(root):
    sealed = bytes(seal(root, "a", noise(3 * FRAME_BYTES)))
    head, one, two, three = (
        sealed[:HEADER_BYTES],
        *(sealed[HEADER_BYTES + at * STEP : HEADER_BYTES + (at + 1) * STEP] for at in range(3)),
    )
    assert unseal(root, "a", head + one + two + three)
    for order in [(two, one, three), (one, three, two), (one, one, three), (three, two, one)]:
        with pytest.raises(Corrupt, match="does not verify"):
            unseal(root, "a", head + b"".join(order))


def test_frames_of_another_object_do_not_fit(root):
    one, two = (bytes(seal(root, "a", noise(2 * FRAME_BYTES, seed))) for seed in (1, 2))
    for cut in (HEADER_BYTES, HEADER_BYTES + STEP):
        with pytest.raises(Corrupt, match="does not verify"):
            unseal(root, "a", one[:cut] + two[cut:])


def test_an_object_does_not_open_under_another_name(root):
    with pytest.raises(Corrupt, match="b is damaged: frame 0 of 1 does not verify"):
        unseal(root, "b", seal(root, "a", b"text"))


def test_another_store_does_not_open_it(root):
    other = root_of(new_secret(), is_encrypted=root.is_encrypted)
    with pytest.raises(Denied, match="sealed by another store"):
        unseal(other, "a", seal(root, "a", b"text"))


def test_the_kinds_of_store_do_not_open_each_other():
    secret = new_secret()
    encrypted, plain = root_of(secret, is_encrypted=True), root_of(secret, is_encrypted=False)
    for one, other in ((encrypted, plain), (plain, encrypted)):
        with pytest.raises(Corrupt, match="its head is none that this store writes"):
            unseal(other, "a", seal(one, "a", b"text"))


def test_every_bit_of_a_small_object_counts(root):
    sealed = bytes(seal(root, "a", b"some text"))
    for at in range(len(sealed)):
        for bit in range(8):
            with pytest.raises((Corrupt, Denied)):
                unseal(root, "a", flipped(sealed, at, bit))


def test_a_head_of_another_object_with_a_wrapped_key_of_its_own_is_found():
    root = root_of(new_secret(), is_encrypted=True)
    one, two = bytes(seal(root, "a", b"text")), bytes(seal(root, "a", b"text"))
    wrapped = slice(20, 60)
    mixed = bytearray(one)
    mixed[wrapped] = two[wrapped]
    with pytest.raises(Corrupt, match="its key is not the one it commits to"):
        unseal(root, "a", bytes(mixed))


def test_no_key_and_no_nonce_is_used_twice():
    root = root_of(new_secret(), is_encrypted=True)
    heads = {bytes(seal(root, "a", b"the same text")) for _ in range(50)}
    assert len({head[20:60] for head in heads}) == 50
    assert len({head[HEADER_BYTES:] for head in heads}) == 50


def test_encrypted_bytes_say_nothing_of_what_they_hold():
    root = root_of(new_secret(), is_encrypted=True)
    assert b"AAAAAAAA" not in seal(root, "a", b"A" * 10_000)


@given(start=st.integers(0, 4 * FRAME_BYTES), length=st.integers(1, 2 * FRAME_BYTES))
@settings(max_examples=40, deadline=None)
def test_any_range_is_read_from_its_frames_alone(start, length):
    data = noise(3 * FRAME_BYTES + 99)
    root = root_of(b"\1" * 32, is_encrypted=True)
    sealed = bytes(seal(root, "a", data))
    header = read_header(root, "a", sealed[:HEADER_BYTES])
    start = min(start, len(data) - 1)
    length = min(length, len(data) - start)
    first, begin, end = frames_around(header, start, length)
    out = memoryview(bytearray(end - begin))
    done = open_frames(header, first, memoryview(sealed)[begin:end], out)
    inside = start - first * FRAME_BYTES
    assert bytes(out[:done][inside : inside + length]) == data[start : start + length]
    assert end - begin <= length + 2 * STEP + TAG_BYTES


def test_a_range_with_a_frame_that_is_not_whole_is_found(root):
    sealed = bytes(seal(root, "a", noise(2 * FRAME_BYTES)))
    header = read_header(root, "a", sealed)
    with pytest.raises(Corrupt, match="frame 1 of 2 is not whole"):
        open_frames(header, 0, memoryview(sealed)[HEADER_BYTES:-1], memoryview(bytearray(len(sealed))))
    with pytest.raises(Corrupt, match="frame 2 of 2 is not whole"):
        open_frames(header, 2, memoryview(sealed)[HEADER_BYTES:], memoryview(bytearray(len(sealed))))


def test_buffers_are_used_again_and_carry_nothing_over(root):
    out = bytearray(sealed_size(2 * FRAME_BYTES))
    back = bytearray(2 * FRAME_BYTES)
    for seed in range(4):
        data = noise(random.Random(seed).randrange(2 * FRAME_BYTES), seed)
        length = seal_into(root, "a", data, memoryview(out))
        assert unseal_into(root, "a", memoryview(out)[:length], back) == data


def test_a_buffer_that_is_too_small_is_not_used(root):
    assert bytes(unseal_into(root, "a", seal(root, "a", b"text"), bytearray(2))) == b"text"


def test_keys_for_different_uses_differ():
    root = root_of(b"\1" * 32, is_encrypted=True)
    assert len({root.wrap_key, root.name_key, root.cut_key}) == 3
    assert root == root_of(b"\1" * 32, is_encrypted=True)
    assert root.wrap_key != root_of(b"\2" * 32, is_encrypted=True).wrap_key


def test_a_root_does_not_show_its_keys():
    root = root_of(b"\1" * 32, is_encrypted=True)
    assert repr(root.wrap_key) not in repr(root)
