"""`compare_files` on archives, pickles and arrays: what is the same content, and what a difference is told as."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.runs.comparing import FileComparison, compare_files, take_apart
from taut.runs.comparing.arrays import largest_difference
from taut.runs.comparing.leaves import Numbers
from tests.runs.reproducing.compared import BEGAN_MS, NOWHEN, compared, kind


def test_equal_bytes_are_not_even_looked_into():
    assert compared("broken.zip", b"PK\x03\x04rubbish", b"PK\x03\x04rubbish") == FileComparison("broken.zip", "bytes")


# Archives


def zipped(content: str, *, year: int = 2020, names: tuple[str, ...] = ("a.txt", "b.txt")) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), f"{name} {content}")
    return made.getvalue()


def tarred(content: bytes, *, mtime: int = 0, owner: str = "ada") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        about = tarfile.TarInfo("inside.txt")
        about.size, about.mtime, about.uname = len(content), mtime, owner
        archive.addfile(about, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "inside.txt"
        archive.addfile(link)
    return made.getvalue()


def test_the_time_of_packing_is_no_content_of_a_zip():
    found = compared("a.zip", zipped("x", year=2020), zipped("x", year=2021))
    assert (found.verdict, kind(found)) == ("content", "archive timestamp")


def test_the_order_of_members_is_no_content_of_a_zip():
    found = compared("a.zip", zipped("x"), zipped("x", names=("b.txt", "a.txt")))
    assert (found.verdict, kind(found)) == ("content", "order of members")


def test_a_member_that_differs_is_named_with_its_place():
    found = compared("a.zip", zipped("x"), zipped("y", year=2022))
    assert found.verdict == "different"
    assert found.first is not None
    assert (found.first.path, found.first.before, found.first.after) == ("!a.txt:1", "a.txt x", "a.txt y")


def test_a_member_that_is_missing_is_named():
    found = compared("a.zip", zipped("x"), zipped("x", names=("a.txt",)))
    assert found.verdict == "different"
    assert any(one.path.startswith("!b.txt") and one.is_content for one in found.differences)


def test_two_members_of_one_name_are_both_compared():
    made = []
    for second in ("x", "y"):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a"), "same")
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr(zipfile.ZipInfo("a"), second)
        made.append(target.getvalue())
    found = compared("a.zip", *made)
    assert found.verdict == "different"


def test_times_and_owners_are_no_content_of_a_tar():
    found = compared("a.tar", tarred(b"x"), tarred(b"x", mtime=7, owner="bob"))
    assert found.verdict == "content"
    assert {one.kind for one in found.differences} == {"archive timestamp", "how it was packed"}
    assert compared("a.tar", tarred(b"x"), tarred(b"y", mtime=7)).verdict == "different"


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz"])
def test_a_tar_in_a_gzip_is_looked_into(name: str):
    first, second = (gzip.compress(tarred(b"x", mtime=time), mtime=time) for time in (1, 2))
    assert compared(name, first, second).verdict == "content"
    assert compared(name, first, gzip.compress(tarred(b"z"), mtime=1)).verdict == "different"


def test_the_name_and_the_time_in_a_gzip_are_no_content():
    made = []
    for name, mtime in (("one.csv", 1), ("two.csv", 2)):
        target = io.BytesIO()
        with gzip.GzipFile(name, "wb", fileobj=target, mtime=mtime) as file:
            file.write(b"a\n1\n")
        made.append(target.getvalue())
    found = compared("x.csv.gz", *made)
    assert found.verdict == "content"
    assert {one.kind for one in found.differences} == {"archive timestamp", "how it was packed"}


@pytest.mark.parametrize(("ending", "pack"), [("bz2", bz2.compress), ("xz", lzma.compress), ("gz", gzip.compress)])
def test_what_is_packed_tighter_is_the_same_content(ending: str, pack):
    text = b"a,b\n" + b"1,2\n" * 500
    weaker = bz2.compress(text, 1) if ending == "bz2" else lzma.compress(text, preset=0) if ending == "xz" else gzip.compress(text, 1)  # fmt: skip # noqa: E501
    assert compared(f"x.csv.{ending}", weaker, pack(text)).verdict in ("bytes", "content")
    assert compared(f"x.csv.{ending}", weaker, pack(text.replace(b"2", b"3", 1))).verdict == "different"


def test_an_archive_that_nests_too_deep_is_compared_by_its_bytes():
    deep = [b"x", b"y"]
    for _ in range(20):
        deep = [gzip.compress(data, mtime=0) for data in deep]
    assert compared("deep.gz", *deep).verdict == "different"


# Pickles


class Model:
    """Something to keep: attributes, as a fitted estimator has them."""

    def __init__(self, **values: object) -> None:
        self.__dict__.update(values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # It is compared, and never a key.


class Slotted:
    """One with slots, whose state is a pair."""

    __slots__ = ("left", "right")

    def __init__(self, left: object, right: object) -> None:
        self.left, self.right = left, right


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_of_any_protocol_is_read(protocol: int):
    inner: list[object] = [1, 2.5, None, True, b"bytes", "text", (1,), (1, 2), (1, 2, 3)]
    first, second = (pickle.dumps({"a": [*inner, (1, 2, 3, last)], 3: {1, 2}}, protocol) for last in (4, 5))
    found = compared("x.pkl", first, second)
    assert found.verdict == "different"
    assert found.first is not None
    assert (found.first.path, found.first.before, found.first.after) == ("[a][9][3]", "4", "5")


@pytest.mark.parametrize("protocol", range(6))
def test_objects_are_told_apart_by_their_attributes(protocol: int):
    first, second = (pickle.dumps(Model(weights=[1.0, weight], name="m"), protocol) for weight in (2.0, 2.5))
    found = compared("x.pkl", first, second)
    assert found.first is not None
    assert (found.verdict, found.first.path, found.first.gap) == ("different", ".weights[1]", 0.5)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_objects_with_slots_are_told_apart(protocol: int):
    first, second = (pickle.dumps(Slotted(1, right), protocol) for right in (2, 3))
    assert compared("x.pkl", first, second).verdict == "different"


def test_nothing_in_a_pickle_is_run():
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return open, ("/nonexistent/would raise",)

    found = compared("x.pkl", pickle.dumps([Bomb(), 1]), pickle.dumps([Bomb(), 2]))
    assert found.verdict == "different"


def test_a_memory_address_under_a_known_name_is_no_content():
    first, second = (pickle.dumps(Model(_stop_words_id=address)) for address in (0x7F0000001230, 0x7F1234501230))
    found = compared("x.pkl", first, second)
    assert (found.verdict, kind(found)) == ("content", "memory address")


def test_a_memory_address_under_any_other_name_is_told_as_one_and_is_content():
    first, second = (pickle.dumps(Model(handle=address)) for address in (0x7F0000001230, 0x7F1234501230))
    found = compared("x.pkl", first, second)
    assert (found.verdict, kind(found)) == ("different", "memory address")


def test_a_whole_number_that_is_no_address_is_content_whatever_its_name():
    first, second = (pickle.dumps(Model(customer_id=number)) for number in (17, 18))
    found = compared("x.pkl", first, second)
    assert (found.verdict, kind(found)) == ("different", "numbers")


def test_a_time_at_which_the_run_went_on_is_no_content():
    moments = (BEGAN_MS / 1000 + 30, BEGAN_MS / 1000 + 3_630)
    found = compared("x.pkl", *(pickle.dumps(Model(stamp=moment)) for moment in moments))
    assert (found.verdict, kind(found)) == ("content", "time")


@pytest.mark.parametrize("factor", [1, 1000, 1_000_000, 1_000_000_000])
def test_a_time_is_known_in_every_unit(factor: int):
    moments = (int((BEGAN_MS / 1000 + 30) * factor), int((BEGAN_MS / 1000 + 3_630) * factor))
    assert compared("x.pkl", *(pickle.dumps([moment]) for moment in moments)).verdict == "content"


def test_a_time_long_before_the_run_is_content():
    found = compared("x.pkl", pickle.dumps([BEGAN_MS / 1000 - 9e6]), pickle.dumps([BEGAN_MS / 1000 - 8e6]))
    assert found.verdict == "different"


def test_without_knowing_when_a_run_was_every_time_is_content():
    first, second = pickle.dumps([BEGAN_MS / 1000]), pickle.dumps([BEGAN_MS / 1000 + 1])
    assert compare_files("x.pkl", first, second, NOWHEN, NOWHEN).verdict == "different"


def test_how_long_something_took_is_no_content_and_a_survival_time_is():
    assert (
        compared("x.pkl", pickle.dumps(Model(refit_time_=0.5)), pickle.dumps(Model(refit_time_=0.7))).verdict
        == "content"
    )
    for name in ("survival_time", "update_rate", "candidate", "time_constant"):
        first, second = (pickle.dumps(Model(**{name: value})) for value in (0.5, 0.7))
        assert compared("x.pkl", first, second).verdict == "different", name


def test_an_array_of_fit_times_is_no_content():
    first, second = (pickle.dumps({"mean_fit_time": np.array([value]), "score": np.ones(2)}) for value in (0.1, 0.2))
    assert compared("x.pkl", first, second).verdict == "content"


def test_the_order_of_a_set_and_of_keys_is_no_content():
    first = pickle.dumps([OrderedDict, {"a": 1, "b": 2}, {"x", "y", "z"}])
    second = pickle.dumps([OrderedDict, {"b": 2, "a": 1}, {"z", "y", "x"}])
    assert compared("x.pkl", first, second).verdict in ("bytes", "content")
    assert compared("x.pkl", pickle.dumps({"x", "y"}), pickle.dumps({"x", "w"})).verdict == "different"


def test_a_set_of_tuples_and_frozen_sets_is_compared_by_what_they_hold():
    first = pickle.dumps({("a", 1), ("b", 2), frozenset({1, 2})})
    second = pickle.dumps({frozenset({2, 1}), ("b", 2), ("a", 1)})
    assert compared("x.pkl", first, second).verdict in ("bytes", "content")
    changed = pickle.dumps({frozenset({2, 3}), ("b", 2), ("a", 1)})
    assert compared("x.pkl", first, changed).verdict == "different"


def test_a_text_kept_once_or_twice_is_the_same_text():
    shared, twin = ("wordy"[:length] for length in (4, 4))  # Equal, and not the same object.
    first, second = pickle.dumps([shared, shared]), pickle.dumps([shared, twin])
    assert first != second
    assert compared("x.pkl", first, second).verdict == "content"


def test_what_refers_to_itself_ends():
    made = []
    for value in (1, 2):
        circle: list[object] = [value]
        circle.append(circle)
        made.append(pickle.dumps(circle))
    found = compared("x.pkl", *made)
    assert found.verdict == "different"
    assert len(found.differences) == 1


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "u8", "u4"])
def test_arrays_in_pickles_are_told_with_the_largest_difference(dtype: str):
    before = np.arange(6, dtype=dtype).reshape(2, 3)
    after = before.copy()
    after[1, 2] += 3
    for protocol in (2, 4, 5):
        found = compared("x.pkl", pickle.dumps({"w": before}, protocol), pickle.dumps({"w": after}, protocol))
        assert found.first is not None
        assert (found.verdict, found.first.kind, found.first.gap) == ("different", "numbers", 3.0)


def test_arrays_of_objects_strings_and_scalars_are_read():
    value = {"o": np.array(["a", None], dtype=object), "s": np.array(["x", "yy"]), "n": np.float64(2.5)}
    found = compared("x.pkl", pickle.dumps(value), pickle.dumps({**value, "n": np.float64(3.0)}))
    assert found.first is not None
    assert (found.first.path, found.first.gap) == ("[n]", 0.5)
    changed = {**value, "o": np.array(["a", "b"], dtype=object)}
    assert compared("x.pkl", pickle.dumps(value), pickle.dumps(changed)).verdict == "different"


def test_frames_of_pandas_are_read():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "at": pd.to_datetime(["2020-01-01", "2021-01-01"])})
    same = compared("x.pkl", pickle.dumps(frame, 2), pickle.dumps(frame, 5))
    assert same.verdict in ("content", "different")  # Another protocol may keep an array in another way.
    assert compared("x.pkl", pickle.dumps(frame), pickle.dumps(frame.assign(a=[1, 3]))).verdict == "different"


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 1)])
def test_files_of_joblib_are_read_between_their_arrays(compress):
    made = []
    for value in (1.0, 1.5):
        target = io.BytesIO()
        tree = np.zeros(3, dtype=[("left", "<i8"), ("value", "<f8")])
        kept = {"w": np.full((50, 4), value), "tree": tree, "words": np.array(["a", "b"], dtype=object), "n": 3}
        joblib.dump(kept, target, compress=compress)
        made.append(target.getvalue())
    found = compared("m.joblib", *made)
    assert found.first is not None
    assert (found.verdict, found.first.gap) == ("different", 0.5)
    assert found.first.path.endswith("[w]")
    assert len(found.differences) == 1


def test_a_file_of_joblib_with_an_address_in_it_is_the_same_content():
    made = []
    for address in (0x7F0000001230, 0x7F1234501230):
        target = io.BytesIO()
        joblib.dump({"_stop_words_id": address, "w": np.ones((40, 3))}, target)
        made.append(target.getvalue())
    assert compared("m.joblib", *made).verdict == "content"


@pytest.mark.parametrize("cut", [1, 3, 20, 60])
def test_a_pickle_that_is_cut_off_is_compared_by_its_bytes(cut: int):
    whole = pickle.dumps({"w": list(range(100)), "name": "m" * 50})
    found = compared("x.pkl", whole, whole[:-cut])
    assert found.verdict == "different"


@given(st.binary(max_size=200))
def test_no_bytes_after_the_mark_of_a_pickle_raise(rubbish: bytes):
    data = b"\x80\x04" + rubbish
    assert take_apart("x.pkl", data) is not None
    assert compared("x.pkl", data, data + b".").verdict in ("content", "different")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(VALUES, st.integers(0, 5), st.integers(0, 5))
def test_whatever_a_pickle_holds_another_protocol_holds_the_same(value: object, one: int, other: int):
    first, second = pickle.dumps(value, one), pickle.dumps(value, other)
    assert compare_files("x.pkl", first, second, NOWHEN, NOWHEN).verdict in ("bytes", "content")


@given(VALUES, VALUES)
def test_different_values_are_never_taken_for_the_same(one: object, other: object):
    first, second = pickle.dumps(one), pickle.dumps(other)
    if repr(one) != repr(other) and one != other:
        assert not compare_files("x.pkl", first, second, NOWHEN, NOWHEN).is_same


# Arrays


def npy(array: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.savez_compressed(made, **arrays)  # type: ignore[arg-type]  # Its second name is `allow_pickle`.
    return made.getvalue()


def test_an_npy_file_is_told_with_the_largest_difference():
    found = compared("w.npy", npy(np.arange(4.0)), npy(np.arange(4.0) + np.array([0, 0, 0.25, 0])))
    assert found.first is not None
    assert (found.verdict, found.first.kind, found.first.gap) == ("different", "numbers", 0.25)


def test_an_npy_file_of_another_shape_or_order_or_type_is_different():
    array = np.arange(6.0).reshape(2, 3)
    for other in (array.reshape(3, 2), np.asfortranarray(array), array.astype("f4")):
        assert compared("w.npy", npy(array), npy(other)).verdict == "different"


def test_an_npy_file_of_objects_is_read_as_a_pickle_and_never_loaded():
    first, second = npy(np.array([{"a": 1}], dtype=object)), npy(np.array([{"a": 2}], dtype=object))
    assert compared("w.npy", first, second).verdict == "different"


def test_negative_zero_and_nan_are_no_difference():
    first = np.array([0.0, np.nan, 1.0])
    second = np.array([-0.0, -np.nan, 1.0])
    assert npy(first) != npy(second)
    assert compared("w.npy", npy(first), npy(second)).verdict == "content"


def test_a_number_where_none_was_is_infinitely_far():
    found = compared("w.npy", npy(np.array([1.0])), npy(np.array([np.nan])))
    assert found.first is not None
    assert (found.verdict, found.first.gap) == ("different", float("inf"))


def test_an_npz_of_another_moment_is_the_same_content():
    array = np.arange(5.0)
    assert compared("x.npz", npz(a=array, b=array), npz(b=array, a=array)).verdict in ("bytes", "content")
    assert compared("x.npz", npz(a=array), npz(a=array + 1)).verdict == "different"


def safetensors(metadata: dict[str, str], **tensors: np.ndarray) -> bytes:
    header: dict[str, object] = {"__metadata__": metadata}
    body = b""
    for name, tensor in tensors.items():
        header[name] = {
            "dtype": "F64",
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + tensor.nbytes],
        }
        body += tensor.tobytes()
    written = json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + body


def test_safetensors_are_compared_tensor_by_tensor():
    array = np.arange(4.0)
    first = safetensors({"format": "np"}, a=array, b=array)
    assert compared("m.safetensors", first, safetensors({"format": "np"}, b=array, a=array)).verdict == "content"
    found = compared("m.safetensors", first, safetensors({"format": "np"}, a=array, b=array + 2))
    assert found.first is not None
    assert (found.verdict, found.first.path, found.first.gap) == ("different", "[b]", 2.0)


def test_arrays_of_unlike_make_have_no_difference_in_numbers():
    one = Numbers("<f8", (1,), bytes(8))
    assert largest_difference(one, Numbers("<f4", (1,), bytes(4))) is None
    assert largest_difference(Numbers("|S2", (1,), b"ab"), Numbers("|S2", (1,), b"ac")) is None
    assert largest_difference(one, Numbers("<f8", (1,), bytes(7))) is None
    assert largest_difference(one, one) == 0.0
