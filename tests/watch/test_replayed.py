"""The page of a replay: when the first alarm was, how the evidence grew, and what that window looked like."""

from dataclasses import replace
from math import log
from pathlib import Path

import pytest

from taut.watch.offline import Watching, replay
from taut.watch.picture.course import CELLS_MAX, STRIPS, Course, bundles, course_figure
from taut.watch.picture.replayed import CARDS, course_headline, replay_page
from tests.faces.shell import is_two_lines, taut
from tests.watch.drawn import course_of, hostile, stream, write
from tests.watch.pages import (
    PAGE_BYTES_MAX,
    RUNS_OR_FETCHES,
    SVG,
    check_in_browser,
    numbers_behind,
    parsed,
    tags,
    told,
    words,
)

WATCHING = Watching()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return stream(tmp_path_factory.mktemp("streams") / "a", 8, since=4)


@pytest.fixture(scope="module")
def course(folder: Path) -> Course:
    return course_of(folder)


@pytest.fixture(scope="module")
def page(course: Course) -> str:
    return replay_page(course, WATCHING, "a")


def table_named(page: str, caption: str) -> list[list[str]]:
    """The rows of a table, as words."""
    (found,) = [one for one in parsed(page).iter("table") if told(one).startswith(caption)]
    return [[told(cell) for cell in row] for row in found.iter("tr")][1:]


def stretched(course: Course, windows: int) -> Course:
    """The same stream with its windows again and again, under names of their own."""
    kept = course.moments
    again = [replace(kept[place % len(kept)], window=f"w{place:05d}") for place in range(windows)]
    return Course(again, course.first, course.newest)


def test_the_page_fetches_nothing_and_runs_nothing(page: str):
    assert RUNS_OR_FETCHES.findall(page) == []
    assert "default-src &#39;none&#39;" in page


def test_the_headline_says_when_the_first_alarm_was_and_of_which_features(page: str, course: Course):
    first = course.first
    assert first is not None and first.window.window == "w00004"
    assert set(first.window.features) >= {"age"}
    assert words(page).startswith("Replay Alarm in w00004: ")
    assert "3,200 rows in 8 windows of a, in order." in words(page)


def test_a_stream_without_an_alarm_says_so_and_shows_its_newest_window(tmp_path: Path):
    calm = course_of(stream(tmp_path / "calm", 3, since=None))
    assert (calm.first, course_headline(calm)) == (None, "No alarm in 3 windows")
    found = words(replay_page(calm, WATCHING, "calm"))
    assert "w00002, the newest window" in found
    assert "never in alarm" in found
    assert "first alarm" not in found


def test_the_course_holds_what_the_replay_answers(course: Course, folder: Path):
    lines = list(replay(folder))
    assert [(one.window, one.evidence, one.alarms, one.features) for one in lines] == [
        (one.window, one.evidence, one.alarms, one.named) for one in course.moments
    ]


def test_every_window_stands_in_the_table_with_its_evidence(page: str, course: Course):
    rows = table_named(page, "Rows and evidence, window by window")
    assert [row[0] for row in rows] == [f"w{place:05d}" for place in range(8)]
    assert {row[1] for row in rows} == {"400"}
    assert [bool(row[4]) for row in rows] == [place >= 4 for place in range(8)]
    assert "age" in rows[5][5]


def test_features_stand_by_the_most_evidence_that_they_had(page: str, course: Course):
    rows = table_named(page, "Features by the most evidence that they had")
    peaks = [course.peak(name)[0] for name in course.strongest()]
    assert peaks == sorted(peaks, reverse=True)
    assert len(rows) == len(peaks)
    age = next(row for row in rows if row[0] == "age")
    assert age[4] == "w00004"
    assert next(row for row in rows if row[0] == "constant")[4] == "–"


def test_the_first_window_in_alarm_is_drawn_alone_against_the_reference(page: str, course: Course):
    shown = list(parsed(page).iter("article"))
    assert len(shown) == CARDS
    first = course.first
    assert first is not None
    assert first.counts.rows == 400 or max(map(max, first.counts.trials.values())) == 400
    plan = next(one for one in shown if one.findtext("h3") == "plan")
    assert numbers_behind(plan)["new levels"][0] == "0 %"


def test_the_drawing_says_what_it_shows_to_who_cannot_see_it(page: str):
    drawn = [one for one in parsed(page).iter(f"{SVG}svg") if one.get("aria-labelledby")]
    assert len(drawn) == 2
    names = [name for one in drawn for name in str(one.get("aria-labelledby")).split()]
    assert len(set(names)) == 4
    for one in drawn:
        about = told(one.find(f"{SVG}desc"))  # type: ignore[arg-type]  # There is one, or this fails.
        assert "the first alarm is in w00004, at an e-value of 200" in about


def test_a_strip_is_dark_from_the_alarm_on_and_its_colours_are_explained(page: str):
    wide = next(one for one in parsed(page).iter(f"{SVG}svg") if one.get("class") == "wide")
    strip = next(one for one in wide.iter(f"{SVG}g") if (one.findtext(f"{SVG}title") or "").startswith("age: "))
    cells = {str(one.get("class")): float(one.get("x", "")) for one in strip.iter(f"{SVG}rect")}
    mark = next(one for one in wide.iter(f"{SVG}line") if one.get("class") == "answered")
    assert cells["heat h4"] <= float(mark.get("x1", ""))
    legend = " ".join(told(one) for one in parsed(page).iter("figcaption"))
    assert legend == "e-value of a feature: 3.76 and more 14.1 and more 200 and more 40,000 and more"


def test_strips_have_the_colour_of_their_evidence(course: Course):
    moments = [replace(course.moments[0], window=f"w{place}", log_e={"x": log(e)}) for place, e in
               enumerate((1.0, 3.5, 11.0, 101.0, 10_001.0))]  # fmt: skip
    drawn = parsed(course_figure(Course(moments, None, course.newest), 100.0, 640, class_="c"))
    assert [one.get("class") for one in drawn.iter(f"{SVG}rect")] == ["heat h1", "heat h2", "heat h3", "heat h4"]


@pytest.mark.parametrize("windows", [1, 2, 3_000])
def test_long_and_short_streams_are_drawn_below_the_size_of_a_page(course: Course, windows: int):
    long = stretched(course, windows)
    page = replay_page(long, WATCHING, "a")
    assert len(page.encode()) < PAGE_BYTES_MAX
    assert len(table_named(page, "Rows and evidence, window by window")) <= 400
    assert f"{windows:,} window" in words(page)
    assert ("stand in the table, together" in words(page)) == (windows > 400)


def test_many_features_have_a_strip_only_if_they_are_the_strongest(course: Course):
    log_e = {f"feature number {place}": float(place) for place in range(1_500)}
    many = Course([replace(one, log_e=log_e) for one in course.moments], course.first, course.newest)
    page = replay_page(many, WATCHING, "a")
    wide = next(one for one in parsed(page).iter(f"{SVG}svg") if one.get("class") == "wide")
    assert len([one for one in wide.iter(f"{SVG}g") if one.find(f"{SVG}title") is not None]) == STRIPS
    assert len(page.encode()) < PAGE_BYTES_MAX


@pytest.mark.parametrize(("count", "most"), [(1, 400), (400, 400), (401, 400), (3_000, CELLS_MAX)])
def test_bundles_hold_every_window_once(count: int, most: int):
    found = bundles(count, most)
    assert [place for some in found for place in some] == list(range(count))
    assert len(found) <= most


def test_what_tolerance_and_bound_were_is_told(course: Course):
    found = words(replay_page(course, Watching(0.001, 0.02), "a"))
    assert "any budget reaches 2,000 though nothing changed is at most 0.001 over all windows together" in found
    assert "A share that shifted by at most 0.02 is no drift here." in found
    yearly = words(replay_page(course, Watching(0.01, per=365), "a"))
    assert "though nothing changed is at most 0.01 in 365 windows." in yearly


def test_no_name_becomes_markup(tmp_path: Path):
    write(tmp_path / "reference.parquet", hostile(400))
    write(tmp_path / "w00000.parquet", hostile(300, moved=3.0))
    page = replay_page(course_of(tmp_path), WATCHING, "<b>'\"&")
    assert tags(page).isdisjoint({"script", "img", "iframe", "a"})
    attributes = {name for one in parsed(page).iter() for name in one.attrib}
    assert attributes.isdisjoint({"src", "href", "style", "onerror"})
    assert "<b>'\"&" in words(page)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_can_be_read_on_every_screen(tmp_path: Path, page: str, width: int, dark: bool):
    (tmp_path / "replay.html").write_text(page)
    check_in_browser(tmp_path / "replay.html", width, dark=dark)


@pytest.mark.slow
@pytest.mark.parametrize("since", [0, None])
def test_streams_in_alarm_from_the_beginning_and_calm_ones_can_be_read(tmp_path: Path, since: int | None):
    course = stretched(course_of(stream(tmp_path / "s", 2, since=since)), 700)
    (tmp_path / "replay.html").write_text(replay_page(course, WATCHING, "s"))
    check_in_browser(tmp_path / "replay.html", 360, dark=False)


# On the command line


def test_a_replay_writes_its_page_and_its_picture(tmp_path: Path, folder: Path):
    shown = taut(tmp_path, "watch", "replay", str(folder), "--report", "out.html", "--png", "out.png")
    assert shown.lines == []
    assert shown.out.splitlines()[-2:] == ["the picture is in out.html", "the picture is in out.png"]
    assert "Alarm in w00004" in words((tmp_path / "out.html").read_text())
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    again = taut(tmp_path, "watch", "replay", str(folder), "--report", "out.html", "--json")
    assert len(again.out.splitlines()) == 8
    assert again.lines == ["the picture is in out.html"]


def test_a_picture_is_of_one_stream(tmp_path: Path):
    assert is_two_lines(taut(tmp_path, "watch", "replay", "a", "b", "--report", "out.html"))
