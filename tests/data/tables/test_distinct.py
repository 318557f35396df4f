"""Distinct values: exact while they are few, then estimated within the error that is told; sketches merge exactly."""

import math
import zlib
from base64 import b64encode
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taut.data.tables.columns import Tally
from taut.data.tables.distinct import BLOCK, Sketch, hashes_of, keys_of, sketch_of
from taut.data.tables.frequencies import Frequencies, counters_of
from taut.data.tables.merging import merged
from taut.errors import Invalid
from taut.records import ColumnProfile

WHOLE = st.integers(-(2**63), 2**63 - 1)


def sketched(numbers: "np.ndarray", precision: int = 12) -> Sketch:
    made = Sketch(precision)
    made.add(hashes_of(pa.array(numbers)))
    return made


def tallied(cells: list[str], counters: int = 100_000, batch: int = 50) -> ColumnProfile:
    tally = Tally("s", pa.string(), 256, counters)
    for start in range(0, len(cells), batch):
        tally.add(pa.array(cells[start : start + batch], pa.string()))
    return tally.profile()


# The sketch


@pytest.mark.parametrize("count", [0, 1, 20, 1_000, 5_000, 20_000, 300_000])
def test_an_estimate_is_within_four_standard_errors(count: int):
    for seed in range(3):
        sketch = sketched(np.arange(count) + seed * 10_000_000)
        assert abs(sketch.estimate() - count) <= 4 * sketch.error * count


def test_the_error_over_many_sketches_is_the_one_that_is_told():
    off = [sketched(np.arange(20_000) * 3 + seed * 10**9, 10).estimate() / 20_000 - 1 for seed in range(60)]
    assert 0.5 * 0.0325 < math.sqrt(sum(one * one for one in off) / len(off)) < 1.5 * 0.0325
    assert abs(sum(off) / len(off)) < 0.0125  # No bias: three standard errors of a mean of 60.


@given(st.lists(WHOLE, max_size=300), st.lists(WHOLE, max_size=300), st.integers(8, 12), st.integers(8, 12))
@settings(max_examples=40)
def test_two_sketches_merge_to_the_one_that_saw_both(one: list[int], other: list[int], p: int, q: int):
    left, right = (sketched(np.array(side, np.int64), size) for side, size in ((one, p), (other, q)))
    both = sketched(np.array([*one, *other], np.int64), min(p, q))
    assert (left.merged(right).registers == both.registers).all()
    assert (right.merged(left).registers == both.registers).all()
    assert (sketch_of(left.text()).registers == left.registers).all()


@pytest.mark.parametrize(
    "text",
    ["?", "AAAA", b64encode(zlib.compress(b"\0" * 100)).decode(), b64encode(zlib.compress(b"\0" * 8192)).decode(),
     b64encode(zlib.compress(b"\xff" * 4096)).decode(), b64encode(zlib.compress(b"")).decode()],
)  # fmt: skip
def test_what_is_no_sketch_is_told(text: str):
    with pytest.raises(Invalid, match="sketch"):
        sketch_of(text)


# Hashes


def test_equal_numbers_hash_alike_however_they_are_stored():
    wanted = hashes_of(pa.array([0, 1, -5, 2**40], pa.int64()))
    for kind in (pa.float64(), pa.uint64()):
        numbers = [0, 1, 5 if kind == pa.uint64() else -5, 2**40]
        found = hashes_of(pa.array(numbers, kind))
        assert (found == wanted).tolist() == [True, True, kind == pa.float64(), True]
    assert (hashes_of(pa.array([0.0])) == hashes_of(pa.array([-0.0]))).all()
    assert len(set(hashes_of(pa.array([0.5, math.inf, -math.inf, 1e300, 2.0**63]))) | set(wanted)) == 9


def test_hashes_are_those_of_every_release():
    texts, numbers = hashes_of(pa.array(["", "a", "taut"])), hashes_of(pa.array([0, 1]))
    assert texts.tolist() == [0xE220A8397B1DCDAF, 0xDE1D52FC01BB4D2, 0xDAA9D86C3CCC384A]
    assert numbers.tolist() == [0xE220A8397B1DCDAF, 0x910A2DEC89025CC1]


@given(st.lists(st.text(max_size=30), max_size=40), st.integers(0, 5))
def test_a_text_has_one_hash_wherever_it_stands(texts: list[str], skipped: int):
    alone = [int(hashes_of(pa.array([text]))[0]) for text in texts]
    assert hashes_of(pa.array(texts, pa.string())).tolist() == alone
    assert hashes_of(pa.array(texts, pa.large_string()).slice(skipped)).tolist() == alone[skipped:]
    assert len(set(alone)) == len(set(texts))


def test_long_texts_are_told_apart_by_their_ends():
    long = ["x" * (BLOCK + 1) + end for end in "ab"] + ["x" * (BLOCK // 2) + end for end in "ab"] + ["x"]
    assert len(set(hashes_of(pa.array(long)).tolist())) == 5
    kept = keys_of(pa.array(long), 10).to_pylist()
    assert len(set(kept)) == 5
    assert (max(map(len, kept)) < 40, kept[-1]) == (True, "x")


@pytest.mark.parametrize(
    "values",
    [pa.array([True, False]), pa.array([0, 1], pa.date32()), pa.array([0, 86_400_000], pa.date64()),
     pa.array([0, 1], pa.timestamp("ns", "UTC")), pa.array([Decimal("1.10"), Decimal("1.11")]),
     pa.array([1.5, 2.5], pa.float32()), pa.array([1, 2**64 - 1], pa.uint64())],
    ids=str,
)  # fmt: skip
def test_every_stored_type_has_hashes(values: pa.Array):
    assert len(set(hashes_of(values).tolist())) == 2


# Frequencies


@given(st.lists(st.integers(0, 60), max_size=400), st.integers(5, 40))
@settings(max_examples=40)
def test_no_count_is_short_by_more_than_is_told(values: list[int], most: int):
    kept = Frequencies(most)
    for start in range(0, len(values), 30):
        part = values[start : start + 30]
        if kept.given_up:
            kept.add_each(pa.array(part, pa.int64()))
        else:
            kept.add(pa.array(part, pa.int64()), pa.array([1] * len(part), pa.int64()))
    counted = kept.counted()
    found = (
        {} if counted is None else dict(zip(counted["value"].to_pylist(), counted["count"].to_pylist(), strict=True))
    )
    assert len(found) <= most
    for value in set(values):
        assert 0 <= values.count(value) - found.get(value, 0) <= kept.short
    assert kept.given_up or kept.short * (most + 1) <= len(values)
    distinct, error = kept.distinct()
    assert (distinct == len(set(values))) or error > 0


def test_counters_of_all_columns_together_stay_within_memory():
    assert all(counters_of(columns) * columns <= 2_000_000 for columns in (20, 100, 1_000, 5_000))


# In a profile


def test_past_the_counters_distinct_is_an_estimate_and_says_so():
    cells = [f"id {n}" for n in range(30_000)]
    exact, about = tallied(cells, batch=5_000), tallied(cells, 1_000, batch=5_000)
    assert (exact.distinct, exact.distinct_error) == (30_000, 0.0)
    assert about.distinct_error == pytest.approx(0.01625)
    assert about.distinct == pytest.approx(30_000, rel=4 * 0.01625)
    assert about.top_error > 0


def test_texts_that_begin_alike_are_as_many_as_they_are():
    column = tallied([f"{'same ' * 100}{n}" for n in range(200)])
    assert (column.distinct, column.distinct_error) == (200, 0.0)


@given(st.lists(st.sampled_from([f"v{n}" for n in range(60)]), max_size=200), st.data())
@settings(max_examples=40)
def test_distinct_of_merged_profiles_is_that_of_all_rows(cells: list[str], data: st.DataObject):
    at = data.draw(st.integers(0, len(cells)))
    found, both = merged(tallied(cells[:at]), tallied(cells[at:])), tallied(cells)
    assert (found.sketch, found.missing, found.rows) == (both.sketch, both.missing, both.rows)
    if found.distinct_error == 0:
        assert found.distinct == both.distinct
    else:
        assert found.distinct == pytest.approx(both.distinct, abs=2)
    for level, count in found.top:
        assert 0 <= cells.count(level) - count <= found.top_error


def test_profiles_of_large_columns_merge_within_the_error():
    cells = [f"user {n}" for n in range(40_000)]
    one, other = tallied(cells[:25_000], 1_000, 5_000), tallied(cells[15_000:], 1_000, 5_000)
    found = merged(one, other)
    assert found.distinct == pytest.approx(40_000, rel=4 * 0.01625)
    assert merged(found, found).sketch == found.sketch


def test_without_comparable_sketches_it_is_a_lower_bound():
    many = [f"v{n}" for n in range(100)]
    tally = Tally("s", pa.int64(), 256)
    tally.add(pa.array(range(50)))
    found = merged(tallied(many), tally.profile())
    assert (found.distinct, found.distinct_error, found.sketch, found.stored) == (100, None, "", "mixed")
