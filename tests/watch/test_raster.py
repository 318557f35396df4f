"""PNG of our own drawings: as large as chat programs show, in the right colours at the right places, with any fonts."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from taut.errors import UsageError
from taut.watch.offline import Watching
from taut.watch.picture import raster
from taut.watch.picture.checked import columns_of
from taut.watch.picture.headline import SIZE, check_picture, course_picture, wrapped
from taut.watch.picture.raster import BLUE, MARKS, PAGE, png_of
from taut.watch.picture.svg import Markup, element, group, line, lines_through, steps_over, text
from tests.watch.drawn import checked, course_of, hostile, stream, table
from tests.watch.pages import HOSTILE, parsed

Image = pytest.importorskip("PIL.Image")


def pixels(png: bytes) -> np.ndarray:
    """The picture as rows of pixels, shape (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def drawn(*parts: Markup, size: int = 100) -> np.ndarray:
    svg = element("svg", *parts, xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {size} {size}")
    return pixels(png_of(svg))


def is_near(pixel: np.ndarray, colour: tuple[int, ...]) -> bool:
    return bool(np.abs(pixel - np.array(colour[:3])).max() <= 12)


def test_a_rectangle_is_filled_with_the_colour_of_its_class():
    found = drawn(element("rect", x=20, y=30, width=40, height=10, class_="now bar"))
    assert is_near(found[35, 40], BLUE)
    for y, x in ((35, 17), (35, 63), (27, 40), (43, 40)):
        assert is_near(found[y, x], PAGE)


def test_what_is_see_through_lets_the_page_and_other_marks_through():
    found = drawn(
        element("rect", x=0, y=0, width=50, height=100, class_="then"),
        element("rect", x=0, y=50, width=100, height=50, class_="heat h1"),
    )
    assert is_near(found[20, 20], (204, 209, 214))
    assert is_near(found[20, 80], PAGE)
    assert found[80, 20][0] < found[20, 20][0]
    assert PAGE[0] > found[80, 80][0] > BLUE[0]


def test_a_group_moves_and_scales_what_is_in_it_and_so_does_one_inside():
    inner = group(element("rect", x=0, y=0, width=10, height=10, class_="now bar"), transform="translate(5 5) scale(2)")
    found = drawn(group(inner, transform="translate(10 20) scale(1.5)"))
    assert is_near(found[30, 20], BLUE) and is_near(found[55, 45], BLUE)
    assert is_near(found[24, 20], PAGE) and is_near(found[30, 50], PAGE)


def test_paths_of_steps_are_filled_and_outlined():
    found = drawn(steps_over([(10, 40, 50), (40, 70, 20), (80, 90, 50)], 90, "now"))
    assert is_near(found[50, 20], BLUE) and is_near(found[20, 60], BLUE) and is_near(found[90, 60], BLUE)
    assert not is_near(found[70, 50], PAGE) and not is_near(found[70, 50], BLUE)
    assert is_near(found[70, 75], PAGE)
    assert is_near(found[30, 20], PAGE)


def test_lines_and_dots_and_dashes():
    found = drawn(
        lines_through([[(10, 10), (90, 10)], [(50, 50)]], "evidence labels"), line(10, 80, 90, 80, "bound"),
        line(30, 20, 30, 70, "answered"),
    )  # fmt: skip
    assert found[10, 50].max() < 80
    row = np.abs(found[80, 10:90] - np.array(PAGE)).max(axis=1) > 60
    assert 30 < row.sum() < 70
    assert int(np.abs(np.diff(row.astype(int))).sum()) >= 12
    column = np.abs(found[20:70, 30] - np.array(PAGE)).max(axis=1) > 30
    assert 5 < column.sum() < 45


@pytest.mark.parametrize(("anchor", "left", "right"), [("", 50, 97), ("end", 3, 50), ("middle", 25, 75)])
def test_words_begin_end_or_have_their_middle_at_their_place(anchor: str, left: int, right: int):
    found = drawn(text(50, 50, "mmmm", "tick", anchor))
    ink = np.flatnonzero((np.abs(found - np.array(PAGE)).max(axis=2) > 60).any(axis=0))
    assert left <= ink.min() < ink.max() <= right
    rows = np.flatnonzero((np.abs(found - np.array(PAGE)).max(axis=2) > 60).any(axis=1))
    assert 38 <= rows.min() < rows.max() <= 51


def test_every_mark_of_the_pictures_has_a_colour(tmp_path: Path):
    check, found, reference = checked(tmp_path, table(1, 1_000), table(2, 500, broken=True))
    one = check_picture(check, columns_of(check, found, reference), "now", "then")
    other = course_picture(course_of(stream(tmp_path / "s", 3, since=1)), Watching(), "s")
    marks = {"rect", "line", "path"}
    used = {str(mark.get("class")) for tree in (parsed(one), parsed(other)) for mark in tree.iter()
            if mark.tag.rpartition("}")[2] in marks}  # fmt: skip
    assert used <= set(MARKS)
    assert used >= {"then", "now", "rule", "bound", "evidence features", "evidence labels", "answered"}


# The pictures for a chat


def check_png(folder: Path, name: str = "now.parquet") -> np.ndarray:
    check, found, reference = checked(folder, table(1, 2_000), table(2, 1_000, broken=True))
    return pixels(png_of(check_picture(check, columns_of(check, found, reference), name, "then.parquet")))


def edges_are_free(found: np.ndarray) -> bool:
    """Nothing is drawn at the edges, where a chat program may cut."""
    away = np.abs(found - np.array(PAGE)).max(axis=2) > 30
    return not (away[:12].any() or away[-12:].any() or away[:, :20].any() or away[:, -20:].any())


def test_a_check_is_as_large_as_chat_programs_show_and_shows_then_and_now(tmp_path: Path):
    found = check_png(tmp_path)
    assert found.shape == (SIZE[1], SIZE[0], 3)
    assert edges_are_free(found)
    for colour in (BLUE, MARKS["then"].fill or PAGE):
        assert (np.abs(found - np.array(colour[:3])).max(axis=2) <= 6).sum() > 500


def test_a_replay_shows_its_evidence_in_a_picture_of_the_same_size(tmp_path: Path):
    course = course_of(stream(tmp_path / "s", 4, since=2))
    found = pixels(png_of(course_picture(course, Watching(), "s")))
    assert found.shape == (SIZE[1], SIZE[0], 3)
    assert edges_are_free(found)
    assert (np.abs(found - np.array((179, 38, 30))).max(axis=2) <= 6).sum() > 500


def test_long_and_hostile_names_stay_inside_the_picture(tmp_path: Path):
    check, found, reference = checked(tmp_path, hostile(400), hostile(300, moved=3.0))
    picture = check_picture(check, columns_of(check, found, reference), HOSTILE * 20, HOSTILE)
    assert edges_are_free(pixels(png_of(picture)))
    assert {one.tag.rpartition("}")[2] for one in parsed(picture).iter()}.isdisjoint({"script", "img"})


def test_a_machine_without_fonts_draws_words_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(raster, "FONTS", ())
    found = check_png(tmp_path, "März ≤ 3.parquet")
    away = np.abs(found - np.array(PAGE)).max(axis=2) > 60
    assert away[80:125, 60:700].sum() > 2_000
    assert edges_are_free(found)


def test_without_pillow_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UsageError) as caught:
        png_of(element("svg", viewBox="0 0 1 1"))
    assert caught.value.hint == "pip install 'taut[pictures]'"


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("No drift shown", ["No drift shown"]),
        ("Drift in one and two and three", ["Drift in one and", "two and three"]),
        ("Drift in one and two and three and four and five", ["Drift in one and", "two and three a…"]),
        ("x" * 50, ["x" * 15 + "…"]),
    ],
)
def test_a_headline_is_broken_between_words_and_ends_in_dots_where_it_is_too_long(said: str, lines: list[str]):
    assert wrapped(said, 16, 2) == lines
