"""Laws of comparing: two contents that differ are never called the same, whatever their names, keys and texts."""

import io
import json
import pickle
import time
import zipfile
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.runs.reproducing.compared import ONE, OTHER, compared, kind

Array = NDArray[Any]

# Keys and texts made of what paths are made of, so that one path could read as another.
awkward = st.text(alphabet='a1.[]{}!#"\\:?\n%', max_size=5)
scalars = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1.0, "1", "None", "nothing in it"]) | awkward
)
plain = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(awkward, inner, max_size=3), max_leaves=8
)
keys = st.none() | st.integers(-2, 2) | awkward | st.tuples(st.integers(0, 1), awkward)
pickled = st.recursive(
    scalars | st.frozensets(keys, max_size=3) | st.binary(max_size=3) | st.builds(bytearray, st.binary(max_size=2)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=8,
)


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def typed(value: object) -> object:
    """A value that equals another only where both are of one type throughout."""
    if isinstance(value, dict):
        return "dict", frozenset((typed(key), typed(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(typed, value))
    if isinstance(value, frozenset):
        return "set", frozenset(map(typed, value))
    return type(value).__name__, bytes(value) if isinstance(value, bytearray) else value


@given(plain, plain)
@example({"a": {}}, {})
@example({"a.b": 1}, {"a": {"b": 1}})
@example({"a": {}}, {"a": "nothing in it"})
@example({"a": "[]"}, {"a": []})
def test_documents_that_differ_are_told_apart(one: object, other: object):
    assume(typed(one) != typed(other))
    assert not compared("a.json", as_json(one), as_json(other)).is_same


@given(pickled, pickled)
@example({1: 0}, {"1": 0})
@example(frozenset({"a, b"}), frozenset({"a", "b"}))
@example(frozenset({1}), frozenset({"1"}))
@example(int, "class builtins.int")
@example(b"a", bytearray(b"a"))
@example({"a][b": 1}, {"a": {"b": 1}})
@example({"None": 1}, {None: 1})
def test_pickles_that_differ_are_told_apart(one: object, other: object):
    assume(typed(one) != typed(other))
    assert not compared("a.pkl", pickle.dumps(one), pickle.dumps(other)).is_same


@given(pickled)
def test_a_pickle_of_another_protocol_holds_the_same(value: object):
    assert compared("a.pkl", pickle.dumps(value, 4), pickle.dumps(value, 5)).is_same


Members = list[tuple[str, bytes]]
names = st.sampled_from(["a", "a.json", "a.json.b", "b", "a!b", "a?", "a#2", "'", "d/a"])
contents = st.sampled_from([b"", b"x", b"y", b'{"b": "x"}', b'"x"', b"\0"])


def zipped(members: Members) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(st.lists(st.tuples(names, contents), max_size=4), st.lists(st.tuples(names, contents), max_size=4))
@example([("a", b"x"), ("a", b"y")], [("a", b"y"), ("a", b"y")])
@example([("a.json", b'{"b": "x"}'), ("a.json.b", b'"x"')], [("a.json", b'{"b": "y"}'), ("a.json.b", b'"x"')])
def test_archives_that_differ_are_told_apart(one: Members, other: Members):
    assume(one and other and sorted(one) != sorted(other))
    assert not compared("a.zip", zipped(one), zipped(other)).is_same


# Texts: what looks like a uuid, a time, an address or a duration

words = st.one_of(
    st.from_regex(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|0x[0-9a-f]{6,12}", fullmatch=True),
    st.uuids().map(str),
    st.uuids(version=4).map(lambda one: one.hex),
    st.datetimes().map(lambda one: one.strftime("%Y-%m-%d %H:%M:%S")),
    st.datetimes().map(lambda one: one.strftime("%a %b %d %H:%M:%S %Y")),
    st.times().map(lambda one: one.strftime("%H:%M:%S")),
    st.integers(0, 2**48).map(str),
    st.integers(61, 10**6).map(lambda one: f"{one} s"),
    st.floats(100, 1e6).map(lambda one: f"took {one}"),
)
SENTENCES: tuple[Callable[[str], str], ...] = (
    lambda word: word,
    lambda word: f"key {word}",
    lambda word: f"x_{word}_y",
    lambda word: f"predicted time: {word}",
    lambda word: f"at {word}, not at work",
)


def is_of_its_run(word: str) -> bool:
    """Whether a word may well be a moment of these runs: 2026-11-18 15:06 and 16:06, in some zone."""
    return "2026" in word or word.startswith(("17950", "18000")) or (word.count(":") == 2 and len(word) == 8)


@given(words, words, st.sampled_from(SENTENCES))
@example("d41d8cd98f00b204e9800998ecf8427e", "0cc175b9c0f1b6a831c399e269772661", SENTENCES[0])
@example("0x7f0000001230", "0x7f0000001240", SENTENCES[1])
@example("Mon Jan 05 00:00:00 2020", "Tue Jan 06 00:00:00 2020", SENTENCES[0])
@example("took 900", "took 1200", SENTENCES[0])
def test_texts_that_differ_are_told_apart(one: str, other: str, sentence: Callable[[str], str]):
    assume(one != other and not (is_of_its_run(one) and is_of_its_run(other)))
    assume(not (one.isdecimal() and other.isdecimal() and float(one) == float(other)))
    before, after = sentence(one), sentence(other)
    assert not compared("a.txt", before.encode(), after.encode()).is_same
    assert not compared("a.json", as_json({"w": before}), as_json({"w": after})).is_same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e", "0cc175b9c0f1b6a831c399e269772661"),  # Digests of 32 digits.
        ("a" * 64, "b" * 64),
    ],
)
def test_a_digest_is_no_uuid(one: str, other: str):
    assert kind(compared("a.txt", one.encode(), other.encode())) != "uuid"


arrays = st.builds(
    lambda rows, order: np.array([rows, [9, *rows[:-1]]], dtype="<f8", order=order),
    st.lists(st.integers(0, 2), min_size=2, max_size=3),
    st.sampled_from("CF"),
)


@given(arrays, arrays)
@example(np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 3], [2, 4]], order="F"))  # The same bytes.
def test_arrays_that_differ_are_told_apart(one: Array, other: Array):
    assume(not np.array_equal(one, other))
    for protocol in (2, 5):
        assert not compared("a.pkl", *(pickle.dumps(value, protocol) for value in (one, other))).is_same
    made = [io.BytesIO(), io.BytesIO()]
    for value, target in zip((one, other), made, strict=True):
        joblib.dump(value, target)
    assert not compared("a.joblib", *(target.getvalue() for target in made)).is_same


def test_the_unit_of_a_time_and_the_names_of_fields_are_content():
    seconds, days = (np.array([1, 2], dtype=f"datetime64[{unit}]") for unit in ("s", "D"))
    assert not compared("a.pkl", pickle.dumps(seconds), pickle.dumps(days)).is_same
    one, other = (np.zeros(2, dtype=[(name, "<f8")]) for name in ("a", "b"))
    assert not compared("a.pkl", pickle.dumps(one), pickle.dumps(other)).is_same


def test_what_stands_in_the_metadata_of_a_parquet_file_is_content():
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    made = []
    for auc in ("0.91", "0.93"):
        target = io.BytesIO()
        pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"auc": auc}), target)
        made.append(target.getvalue())
    assert not compared("a.parquet", *made).is_same


def test_a_time_that_took_longer_than_its_run_is_content():
    assert compared("a.txt", b"fit took 1.5 s", b"fit took 1.7 s").is_same
    assert not compared("a.txt", b"fit took 1.5 s", b"fit took 170 s").is_same
    assert compared("a.json", b'{"fit_time_ms": 1500.0}', b'{"fit_time_ms": 1700.0}').is_same
    assert not compared("a.json", b'{"fit_time_ms": 1500.0}', b'{"fit_time_ms": 1700000.0}').is_same


@pytest.mark.parametrize(
    "form", ["%Y-%m-%d %H:%M:%S", "%Y%m%d_%H%M%S", "%a %b %d %H:%M:%S %Y", "%a, %d %b %Y %H:%M:%S GMT"]
)
@pytest.mark.parametrize("east_s", [0, 19_800])
def test_a_moment_of_each_run_is_no_content_in_one_time_zone(form: str, east_s: int):
    one, other, astray = (
        time.strftime(form, time.gmtime(side.start_ms / 1000 + east_s + more)).encode()
        for side, more in ((ONE, 2), (OTHER, 5), (OTHER, 7200 + 300))
    )
    assert compared("a.txt", b"begun " + one, b"begun " + other).is_same
    assert not compared("a.txt", b"begun " + one, b"begun " + astray).is_same
