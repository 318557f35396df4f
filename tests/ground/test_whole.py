"""Whole numbers of 64 bits: read, held to their bounds, and told by the name and the place that they have."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid
from taut.ground import wire
from taut.ground.clock import duration_ms
from taut.ground.whole import INT64_MAX, INT64_MIN, check_deep, check_whole, read_whole


@dataclass(frozen=True)
class Point:
    step: int
    value: float = 0.0


@dataclass(frozen=True)
class Batch:
    points: tuple[Point, ...]
    last: Point | None = None


@given(st.integers(0, INT64_MAX))
def test_what_is_written_is_read_to_the_last_digit_with_or_without_zeros_before_it(number):
    assert read_whole(str(number), what="version") == read_whole(f"000{number}", what="version") == number


@pytest.mark.parametrize("written", [str(INT64_MAX + 1), "9" * 19, "1" + "0" * 19, "7" * 5000])
def test_what_is_written_past_64_bits_is_refused_by_name(written):
    with pytest.raises(Invalid, match=f"^version is {written[:19]}.*at most 64 bits"):
        read_whole(written, what="version")


@pytest.mark.parametrize("written", ["", "one", "-1", "1.5", "²", " 1"])
def test_what_are_no_digits_is_no_whole_number(written):
    with pytest.raises(Invalid, match="is no whole number"):
        read_whole(written, what="version")


@given(st.integers())
def test_exactly_the_numbers_of_64_bits_pass(number):
    if INT64_MIN <= number <= INT64_MAX:
        check_whole("step", number)
    else:
        with pytest.raises(Invalid, match=f"^step is {number}, but"):
            check_whole("step", number)


def test_a_number_of_any_size_is_told_shortly():
    with pytest.raises(Invalid, match=r"^step is a number of 33220 bits, but") as caught:
        check_whole("step", 10**10_000)
    assert len(caught.value.message) < 100


@pytest.mark.parametrize("value", [True, None, 1e300, "9" * 30, b"", [2**70]])
def test_what_is_no_number_by_itself_is_nobodys_business_here(value):
    check_whole("step", value)


def test_a_record_inside_a_value_is_told_with_its_place():
    value = {"first": Batch((Point(1), Point(2**63))), "second": Batch((), Point(1))}
    with pytest.raises(Invalid, match=r"^batches\[first\]\.points\[1\]\.step is 9223372036854775808"):
        check_deep("batches", value, body=wire.encode(value))


def test_numbers_that_are_data_are_left_alone():
    value = {"inputs": [2**63, 1], "more": {"a": 2**63}}
    check_deep("inputs", value, body=wire.encode(value))


def test_a_body_without_a_long_number_is_not_walked():
    check_deep("batch", Point(2**63), body=b'{"step": 1}')


def test_a_duration_fits_64_bits_of_milliseconds():
    assert duration_ms("9223372036854775807 ms") == INT64_MAX
    for written in ("9223372036854775807 s", "9223372036854775808ms", "9" * 5000 + "d"):
        with pytest.raises(Invalid, match="duration"):
            duration_ms(written)
