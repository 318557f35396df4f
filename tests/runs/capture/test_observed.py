"""The record of the observer, replayed: what it means where files move, and where it was cut off."""

import os
from pathlib import Path

import pytest

from taut.runs.capture.observed import CUT_SHORT, Observed, Stamp, observed_by_kernel, observed_by_python, stamp_of
from taut.runs.capture.reads import NATIVE, UNSEEN, Notes

FILE, FOLDER, GONE = "1 2 3 4 5 33188 0", "1 2 3 4 5 16877 0", "0 0 0 0 0 0 0"
STAMP = Stamp(1, 2, 3, 4, 5, 33188)


def replayed(folder: Path, *events: str, start: str = f"o 9 {GONE}|2|", end: bool = True, cut: int = 0) -> Observed:
    """Replay events written as `KIND STAMP|path|path`."""
    lines = [start, *(f"{event[0]} 9 {event[2:]}" for event in events), *([f"e 9 {GONE}||"] if end else [])]
    data = b"".join(os.fsencode(line.replace("|", "\0")) + b"\0" for line in lines)
    (folder / "opened").write_bytes(data[: len(data) - cut])
    return observed_by_kernel(folder / "opened")


@pytest.mark.parametrize(
    ("events", "reads", "written"),
    [
        ((f"r {FILE}|/a|",), {"/a"}, set()),
        ((f"w {GONE}|/a|", f"r {FILE}|/a|"), set(), {"/a"}),
        ((f"r {FILE}|/a|", f"w {FILE}|/a|"), {"/a"}, {"/a"}),
        ((f"a {FILE}|/a|", f"r {FILE}|/a|"), {"/a"}, {"/a"}),
        ((f"b {FILE}|/a|",), {"/a"}, {"/a"}),
        ((f"w {GONE}|/t|", f"m {FILE}|/t|/a"), set(), {"/a"}),
        ((f"w {GONE}|/t|", f"m {FILE}|/t|/a", f"m {FILE}|/a|/b", f"r {FILE}|/b|"), set(), {"/b"}),
        ((f"w {GONE}|/t/x|", f"w {GONE}|/tt|", f"m {FOLDER}|/t|/d"), set(), {"/d/x", "/tt"}),
        ((f"M {FILE}|/a|/b",), set(), {"/a", "/b"}),
        ((f"l {FILE}|/a|/b",), set(), {"/b"}),
        ((f"x {FILE}|/a|",), {"/a"}, set()),
        ((f"m {FILE}|/a|/b", f"r {FILE}|/b|"), {"/a"}, {"/b"}),
        ((f"m {FILE}|/a|/b", f"m {FILE}|/b|/c", f"r {FILE}|/c|"), {"/a"}, {"/c"}),
        ((f"l {FILE}|/a|/b", f"l {FILE}|/b|/c", f"r {FILE}|/c|"), {"/a"}, {"/b", "/c"}),
        ((f"m {FOLDER}|/d|/e", f"m {FOLDER}|/e|/f", f"r {FILE}|/f/x/y|"), {"/d/x/y"}, set()),
        ((f"w {GONE}|/t/x|", f"m {FOLDER}|/t|/d", f"r {FILE}|/d/x|"), set(), {"/d/x"}),
        ((f"w {GONE}|/n|", f"M {FILE}|/n|/a", f"r {FILE}|/n|", f"r {FILE}|/a|"), {"/a"}, {"/n", "/a"}),
        ((f"w {GONE}|/n/o|", f"M {FOLDER}|/n|/d", f"r {FILE}|/n/x|", f"r {FILE}|/d/o|"), {"/d/x"}, {"/d/o"}),
        (("r 1 2 3 4 5 33188 1|/a|",), set(), set()),
    ],
)
def test_what_was_read_and_written_follows_the_files(
    tmp_path: Path, events: tuple[str, ...], reads: set[str], written: set[str]
):
    seen = replayed(tmp_path, *events)
    assert (set(seen.reads), set(seen.written), seen.reason, seen.unseen) == (reads, written, "", [])


def test_a_file_that_was_changed_before_it_was_read_is_known_as_it_was_before(tmp_path: Path):
    seen = replayed(tmp_path, f"a {FILE}|/a|", "r 1 2 9 9 9 33188 0|/a|")
    assert seen.reads == {"/a": STAMP}


def test_what_was_read_is_found_where_the_run_moved_it(tmp_path: Path):
    seen = replayed(tmp_path, f"r {FILE}|/d/a|", f"r {FILE}|/b|", f"m {FOLDER}|/d|/e", f"m {FILE}|/b|/c")
    assert (set(seen.reads), seen.moved) == ({"/d/a", "/b"}, {"/d/a": "/e/a", "/b": "/c"})


def test_the_copy_of_a_file_that_was_moved_is_that_of_its_first_name(tmp_path: Path):
    seen = replayed(tmp_path, f"m {FILE}|/a|/b", f"r {FILE}|/b|", f"k {FILE}|/b|0", f"w {FILE}|/b|")
    assert (set(seen.reads), seen.kept) == ({"/a"}, {"/a": (STAMP, "0")})


def test_a_run_within_a_run_is_replayed_from_the_record_around_it(tmp_path: Path):
    (tmp_path / "outer").mkdir()
    replayed(tmp_path / "outer", f"r {FILE}|/a|", "r 1 2 3 4 5 33188 7|/b|", "k 1 2 3 4 5 33188 7|/b|0")
    seen = replayed(tmp_path, f"n {GONE}|7|{tmp_path / 'outer' / 'opened'}")
    assert (set(seen.reads), seen.kept) == ({"/b"}, {"/b": (STAMP, str(tmp_path / "outer" / "kept" / "0"))})


def test_links_are_known_by_both_names_and_follow_a_move(tmp_path: Path):
    seen = replayed(tmp_path, f"r {FILE}|/a|/x/../l", f"s {GONE}|/t|a", f"m {FILE}|/t|/l2", f"s {GONE}|/d|a")
    assert (seen.typed, seen.links, seen.written) == ({"/l": "/a"}, {"/l2": "a", "/d": "a"}, {})


def test_a_file_renamed_over_a_link_takes_its_place(tmp_path: Path):
    seen = replayed(tmp_path, f"s {GONE}|/l|a", f"w {GONE}|/t|", f"m {FILE}|/t|/l")
    assert (seen.links, set(seen.written)) == ({}, {"/l"})


def test_the_first_copy_of_what_was_changed_counts(tmp_path: Path):
    seen = replayed(tmp_path, f"k {FILE}|/a|0", f"k {FILE}|/a|1", f"c {GONE}|1.2.3.4:5|", f"u {GONE}|something|")
    assert seen.kept == {"/a": (STAMP, "0")}
    assert (list(seen.connections), seen.unseen) == (["1.2.3.4:5"], ["something"])


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_record_cut_anywhere_says_so_and_keeps_what_is_whole(tmp_path: Path, cut: int):
    seen = replayed(tmp_path, f"r {FILE}|/a|", f"r {FILE}|/b|", cut=cut)
    assert seen.reason == CUT_SHORT
    assert len(seen.unseen) == 1
    assert "/a" in seen.reads


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (f"o 9 {GONE}|2|Operation not permitted", "the kernel refused: Operation not permitted"),
        (f"o 9 {GONE}|3|", "the observer is of another version"),
        ("o 9 0 0 0 0 0 0|1|", "the observer is of another version"),
        (f"r 9 {FILE}|/a|", "the observer did not start"),
    ],
)
def test_a_record_without_observation_says_why(tmp_path: Path, start: str, reason: str):
    assert replayed(tmp_path, start=start).reason == reason


def test_no_record_at_all_is_an_observer_that_did_not_start(tmp_path: Path):
    assert observed_by_kernel(tmp_path / "none").reason == "the observer did not start"


def test_a_newer_observer_may_tell_of_things_that_we_do_not_know(tmp_path: Path):
    assert replayed(tmp_path, f"z {FILE}|/a|", f"r {FILE}|/b|").reads == {"/b": STAMP}


def test_the_notes_of_python_are_less_and_say_so(tmp_path: Path):
    (tmp_path / "a").touch()
    (tmp_path / "l").symlink_to("a")
    seen = observed_by_python(Notes("python", {str(tmp_path / "l"): True, str(tmp_path / "b"): False}), "no cc")
    assert (list(seen.reads), list(seen.written)) == ([str(tmp_path / "a")], [str(tmp_path / "b")])
    assert (seen.typed, seen.reason) == ({str(tmp_path / "l"): str(tmp_path / "a")}, "no cc")
    assert seen.unseen == [NATIVE]
    assert observed_by_python(Notes(), "no cc").unseen == [UNSEEN]


def test_a_stamp_tells_a_change_of_content_from_a_new_link(tmp_path: Path):
    (tmp_path / "a").write_text("1")
    before = stamp_of(str(tmp_path / "a"))
    assert before is not None
    os.link(tmp_path / "a", tmp_path / "b")
    linked = stamp_of(str(tmp_path / "a"))
    (tmp_path / "a").write_text("22")
    changed = stamp_of(str(tmp_path / "a"))
    assert linked is not None and changed is not None
    assert before.holds_what(linked) and not before.holds_what(changed)
    assert stamp_of(str(tmp_path / "none")) is None
