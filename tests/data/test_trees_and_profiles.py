"""Profiles against a plain oracle, odd tables, and trees whose digests are those that DVC's documentation gives."""

import csv
import gzip
import hashlib
import io
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.data.tables.profile import MISSING, profile_files
from taut.data.workspace.digests import listing_bytes
from taut.data.workspace.tree import dvc_digest, tree_bytes, tree_oid
from taut.data.workspace.walk import walk
from taut.errors import Invalid, NotFound
from taut.records import Column, TreeFile

CELLS = st.one_of(
    st.sampled_from(["", "NA", "nan", "null", "None", "1", "-2.5", "1e3", " 7 ", "x", 'a "b"', "a,b", "a\nb", "ü"]),
    st.integers(-1000, 1000).map(str),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=8)
FILES = st.dictionaries(NAMES, st.binary(max_size=16), min_size=1, max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    """A header of distinct names and rows that are as long, none of which a CSV reader would take for an empty line."""
    header = draw(st.lists(st.text("abc ü\"',", min_size=1, max_size=4), min_size=2, max_size=4, unique=True))
    row = st.lists(CELLS, min_size=len(header), max_size=len(header))
    return header, draw(st.lists(row, max_size=25))


def written(place: Path, header: list[str], rows: list[list[str]]) -> Path:
    with place.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([header, *rows])
    return place


def number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def oracle(name: str, cells: list[str]) -> Column:
    """What a column is, said the slow way."""
    there = [cell for cell in cells if cell not in MISSING]
    gone, distinct = len(cells) - len(there), len(set(there))
    if not there:
        return Column(name, "empty", gone, 0)
    numbers = [number(cell) for cell in there]
    if any(one is None for one in numbers):
        return Column(name, "text", gone, distinct)
    known = [one for one in numbers if one is not None]
    return Column(name, "number", gone, distinct, min(known), max(known), math.fsum(known) / len(known))


def tree(files: dict[str, bytes]) -> list[TreeFile]:
    return [
        TreeFile(
            path,
            hashlib.sha256(data).hexdigest(),
            hashlib.md5(data, usedforsecurity=False).hexdigest(),
            len(data),
        )
        for path, data in files.items()
    ]


def listed(files: list[TreeFile]) -> bytes:
    return listing_bytes((file.path, file.md5) for file in files)


def walked(place: Path) -> dict[str, int]:
    """Path and size of each file, in the order of the paths."""
    found = walk(str(place))
    return dict(sorted(zip(found.paths, found.stamps[::4], strict=True)))


def profiled(place: Path, data: bytes, name: str = "t.csv") -> tuple[int | None, tuple[Column, ...]]:
    (place / name).write_bytes(data)
    return profile_files([place / name])


# Profiles


@given(tables())
def test_a_profile_is_what_a_slow_look_at_every_cell_would_say(tmp_path_factory: pytest.TempPathFactory, table):
    header, rows = table
    found_rows, columns = profile_files([written(tmp_path_factory.mktemp("p") / "t.csv", header, rows)])
    assert found_rows == len(rows)
    assert [column.name for column in columns] == header
    for place, (name, found) in enumerate(zip(header, columns, strict=True)):
        wanted = oracle(name, [row[place] for row in rows])
        assert (found.kind, found.missing, found.distinct) == (wanted.kind, wanted.missing, wanted.distinct)
        assert (found.low, found.high) == (wanted.low, wanted.high)
        assert found.mean == (None if wanted.mean is None else pytest.approx(wanted.mean, rel=1e-9, abs=1e-9))


@given(tables(), st.integers(0, 25))
def test_a_table_in_two_files_is_profiled_as_in_one(tmp_path_factory: pytest.TempPathFactory, table, at):
    header, rows = table
    folder = tmp_path_factory.mktemp("p")
    whole = profile_files([written(folder / "whole.csv", header, rows)])
    parts = [written(folder / "a.csv", header, rows[:at]), written(folder / "b.csv", header, rows[at:])]
    assert profile_files(parts)[0] == whole[0]
    for one, other in zip(profile_files(parts)[1], whole[1], strict=True):
        assert (one.name, one.kind, one.missing, one.distinct, one.low, one.high) == (
            other.name,
            other.kind,
            other.missing,
            other.distinct,
            other.low,
            other.high,
        )


@given(tables())
def test_gzip_changes_nothing_of_a_profile(tmp_path_factory: pytest.TempPathFactory, table):
    folder = tmp_path_factory.mktemp("p")
    plain = written(folder / "t.csv", *table)
    packed = folder / "T.CSV.GZ"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert profile_files([packed]) == profile_files([plain])


@pytest.mark.parametrize("missing", sorted(MISSING))
def test_each_way_to_write_nothing_is_missing_and_no_level(tmp_path, missing):
    rows, (first, second) = profiled(tmp_path, f"a,b\n{missing},x\n3,{missing}\n".encode())
    assert rows == 2
    assert (first.kind, first.missing, first.distinct, first.mean) == ("number", 1, 1, 3.0)
    assert (second.kind, second.missing, second.distinct) == ("text", 1, 1)


@pytest.mark.parametrize("present", ["na", "NONE", "-", "?", "Null ", " NA"])
def test_what_only_resembles_a_hole_is_a_value(tmp_path, present):
    _, (_, column) = profiled(tmp_path, f"a,b\n1,{present}\n".encode())
    assert (column.kind, column.missing) == ("text", 0)


def test_quotes_commas_and_line_breaks_stay_inside_their_cell(tmp_path):
    rows, (name, note) = profiled(tmp_path, b'name,note\nada,"one, ""two"",\nthree"\nbob,"\r\n"\n')
    assert (rows, name.distinct, note.distinct, note.missing) == (2, 2, 2, 0)


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    _, (first, _) = profiled(tmp_path, b"\xef\xbb\xbfage,plan\n1,a\n")
    assert (first.name, first.kind) == ("age", "number")


def test_files_with_and_without_a_byte_order_mark_are_one_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfage\n1\n")
    (tmp_path / "b.csv").write_bytes(b"age\n3\n")
    rows, (column,) = profile_files([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert (rows, column.mean) == (2, 2.0)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_kind_of_line_end_gives_the_same_table(tmp_path, end):
    rows, columns = profiled(tmp_path, end.join([b"a,b", b"1,x", b"2,y"]))
    assert (rows, [column.distinct for column in columns]) == (2, [2, 2])


def test_cells_past_the_header_belong_to_no_column(tmp_path):
    rows, columns = profiled(tmp_path, b"a,b\n1,2,99\n3,4\n5\n")
    assert rows == 3
    assert [(column.name, column.missing, column.high) for column in columns] == [("a", 0, 5.0), ("b", 1, 4.0)]


def test_every_row_shorter_than_the_header_leaves_its_last_columns_missing(tmp_path):
    rows, columns = profiled(tmp_path, b"a,b,c\n1\n2\n")
    assert rows == 2
    assert [(column.name, column.missing) for column in columns] == [("a", 0), ("b", 2), ("c", 2)]


def test_a_header_alone_is_a_table_of_no_rows(tmp_path):
    rows, columns = profiled(tmp_path, b"a,b\n")
    assert rows == 0
    assert [(column.kind, column.missing, column.distinct) for column in columns] == [("empty", 0, 0)] * 2


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_header_is_no_table(tmp_path, data):
    assert profiled(tmp_path, data) == (None, ())
    assert profiled(tmp_path, gzip.compress(data, mtime=0), "t.csv.gz") == (None, ())


TORN = gzip.compress(b"a\n1\n", mtime=0)


@pytest.mark.parametrize(
    "data", [b"", b"no gzip at all", TORN[:12], TORN[:-1]], ids=["empty", "other", "half", "short"]
)
def test_what_is_called_gzip_and_is_none_is_bytes_and_no_crash(tmp_path, data):
    assert profiled(tmp_path, data, "t.csv.gz") == (None, ())


def test_a_gzip_file_damaged_in_its_middle_is_bytes_and_no_crash(tmp_path):
    packed = bytearray(gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(5000))))
    for place in range(40, 80):
        packed[place] ^= 0xFF
    assert profiled(tmp_path, bytes(packed), "t.csv.gz") == (None, ())


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_none_and_never_a_crash(tmp_path_factory: pytest.TempPathFactory, data):
    folder = tmp_path_factory.mktemp("p")
    for name in ("t.csv", "t.csv.gz"):
        rows, columns = profiled(folder, data, name)
        assert (rows is None) == (columns == ())
        json.dumps([[column.low, column.high, column.mean] for column in columns], allow_nan=False)


def test_bytes_that_are_no_utf8_are_values_like_others(tmp_path):
    rows, (column,) = profiled(tmp_path, b"a\n\xff\xfe\ncaf\xe9\n")
    assert (rows, column.kind, column.distinct) == (2, "text", 2)


def test_numbers_may_have_spaces_and_exponents_and_one_word_makes_text(tmp_path):
    _, (numbers, text) = profiled(tmp_path, b"n,t\n 1 ,1\n2e0,2\n-3.,three\n")
    assert (numbers.kind, numbers.low, numbers.high, numbers.mean) == ("number", -3.0, 2.0, 0.0)
    assert (text.kind, text.low, text.high, text.mean) == ("text", None, None, None)


# Trees


@given(FILES)
def test_a_dir_digest_is_the_md5_of_the_documented_list(files):
    entries = [
        {"md5": hashlib.md5(data, usedforsecurity=False).hexdigest(), "relpath": path}
        for path, data in sorted(files.items())
    ]
    documented = json.dumps(entries, sort_keys=True).encode()
    assert listed(tree(files)) == documented
    assert dvc_digest(tuple(tree(files))) == hashlib.md5(documented, usedforsecurity=False).hexdigest() + ".dir" or (
        list(files) == ["."]
    )


@given(FILES, st.randoms())
def test_a_tree_has_one_name_whatever_order_its_files_were_met_in(files, chance):
    shuffled = tree(files)
    chance.shuffle(shuffled)
    assert tree_oid(shuffled) == tree_oid(tree(files)) == hashlib.sha256(tree_bytes(shuffled)).hexdigest()
    assert listed(shuffled) == listed(tree(files))


@given(FILES, FILES)
def test_trees_share_a_name_only_when_they_are_equal(one, other):
    assert (tree_oid(tree(one)) == tree_oid(tree(other))) == (one == other)


def test_the_list_of_a_unicode_tree_is_ascii_as_python_writes_it():
    written = listed(tree({"grün/雪.txt": b"x"}))
    assert written.isascii()
    assert json.loads(written)[0]["relpath"] == "grün/雪.txt"
    assert b"gr\\u00fcn/\\u96ea.txt" in written


def test_a_single_file_is_named_by_its_own_digest_and_a_folder_of_it_is_not():
    (alone,) = tree({".": b"x"})
    assert dvc_digest((alone,)) == alone.md5
    assert dvc_digest(tuple(tree({"x": b"x"}))).endswith(".dir")


@pytest.mark.parametrize(
    "name", ["grün.csv", "雪", "e\u0301", "é", " leading", "trailing ", "new\nline", "-rf", "a\\b"]
)
def test_a_name_is_kept_letter_by_letter(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert walked(tmp_path) == {name: 1}


def test_two_spellings_of_one_letter_are_two_files(tmp_path):
    for name in ("e\u0301", "é"):
        (tmp_path / name).write_bytes(name.encode())
    assert list(walked(tmp_path)) == sorted(["e\u0301", "é"])


def test_a_name_that_is_no_utf8_is_refused_and_told(tmp_path):
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff"))).write_bytes(b"x")
    with pytest.raises(Invalid, match="not UTF-8") as told:
        walked(tmp_path)
    assert told.value.hint == "rename it"


def test_a_link_to_a_file_counts_as_the_file(tmp_path):
    outside = tmp_path / "outside"
    outside.write_bytes(b"12345")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    assert walked(folder) == {"link": 5}


def test_links_to_folders_are_not_followed_so_a_ring_of_them_ends(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x")
    (tmp_path / "deep" / "ring").symlink_to(tmp_path, target_is_directory=True)
    assert list(walked(tmp_path)) == ["deep/file"]


def test_a_link_to_nothing_is_told_by_its_name(tmp_path):
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    with pytest.raises(NotFound, match="dangling"):
        walked(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(Invalid, match="pipe, socket or device"):
            walked(place)


def test_files_are_sorted_by_their_whole_path_and_tools_folders_are_left_out(tmp_path):
    for path in ("a/z", "a.b", "a-b", "B", ".git/x", "sub/.dvc/x", "sub/y", ".taut/x", ".hidden/x", "deep/.git-not/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    (tmp_path / "empty").mkdir()
    assert list(walked(tmp_path)) == sorted(["a/z", "a.b", "a-b", "B", ".hidden/x", "deep/.git-not/x"])


def test_one_file_is_a_tree_whose_path_is_a_dot(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"a\n1\n")
    assert walked(tmp_path / "t.csv") == {".": 4}


def test_what_is_not_there_is_told_with_where_to_look(tmp_path):
    with pytest.raises(NotFound, match="no file or folder") as told:
        walked(tmp_path / "gone")
    assert told.value.hint == f"ls {tmp_path}"


def test_a_rewritten_file_has_another_stamp(tmp_path):
    place = tmp_path / "f"
    place.write_bytes(b"one")
    before = walk(str(place))
    with io.FileIO(place, "w") as stream:
        stream.write(b"four")
    assert walk(str(place)).stamps != before.stamps
