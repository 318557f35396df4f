"""Our own drawings as PNG: the few elements that they are made of, in the colours of a light page, by Pillow.

No general renderer of SVG: such need fonts or libraries of the system, or a browser. Pillow brings a font of its own.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from taut.errors import UsageError
from taut.watch.picture.svg import Markup

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

FINER = 3  # Drawn so many times larger and then made smaller: edges become smooth.
PAGE = (252, 252, 251)
INK, SOFT, ALARM, BLUE = (27, 29, 33), (92, 98, 107), (179, 38, 30), (0, 105, 166)
FONTS = (
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("Arial.ttf", "Arial Bold.ttf"),
)
PLAIN = {"≤": "<=", "≈": "~", "–": "-", "“": '"', "”": '"', "…": "...", "’": "'", "\u00a0": " "}
PATH = re.compile(r"[MLHVZh]|-?[\d.]+(?:e-?\d+)?")
TRANSFORM = re.compile(r"translate\((?P<x>[\d.]+) (?P<y>[\d.]+)\) scale\((?P<scale>[\d.]+)\)")

Colour = tuple[int, int, int] | tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Style:
    """How marks of a class look; sizes in pixels."""

    fill: Colour | None = None
    stroke: Colour | None = None
    width: float = 1.0
    dash: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Type:
    """How words of a class look."""

    fill: Colour = SOFT
    size: float = 12.0
    is_bold: bool = False


MARKS = {
    "then": Style(fill=(204, 209, 214)),
    "now": Style(fill=(*BLUE, 36), stroke=BLUE, width=1.8),
    "now bar": Style(fill=BLUE),
    "axis": Style(stroke=(139, 145, 154)),
    "rule": Style(stroke=(233, 233, 230)),
    "bound": Style(stroke=ALARM, dash=(6, 4)),
    "answered": Style(stroke=(139, 145, 154), dash=(2, 3)),
    "evidence labels": Style(stroke=INK, width=2.0),
    "evidence features": Style(stroke=(139, 145, 154), width=1.6),
    "heat h1": Style(fill=(*BLUE, 56)),
    "heat h2": Style(fill=(*BLUE, 153)),
    "heat h3": Style(fill=(*ALARM, 153)),
    "heat h4": Style(fill=ALARM),
}
WORDS = {
    "kind": Type(size=22),
    "headline": Type(INK, 46, is_bold=True),
    "lead": Type(size=25),
    "name": Type(INK, 25, is_bold=True),
    "says": Type(INK, 20),
    "foot": Type(size=19),
    "title": Type(INK, 14, is_bold=True),
    "alarmed": Type(ALARM, 12, is_bold=True),
    "end labels": Type(INK, 12, is_bold=True),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element stands on the canvas."""

    x: float = 0.0
    y: float = 0.0
    scale: float = 1.0

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the element in finer pixels."""
        return (self.x + x * self.scale) * FINER, (self.y + y * self.scale) * FINER


def png_of(picture: Markup) -> bytes:
    """A drawing as the bytes of a PNG, as large as its view box. Raises UsageError where Pillow is not installed."""
    try:
        from PIL import Image, ImageDraw
    except ModuleNotFoundError:
        raise UsageError("a PNG is drawn by Pillow", hint="pip install 'taut[pictures]'") from None

    root = ElementTree.fromstring(picture)  # noqa: S314  # Our own markup, in which all that is foreign is escaped.
    _, _, width, height = (round(float(number)) for number in root.attrib["viewBox"].split())
    canvas = Image.new("RGB", (width * FINER, height * FINER), PAGE)
    draw = ImageDraw.Draw(canvas, "RGBA")
    for one, place in _walked(root, Place()):
        _draw(draw, one, place)
    found = io.BytesIO()
    canvas.resize((width, height), Image.Resampling.LANCZOS).save(found, "PNG", optimize=True)
    return found.getvalue()


def _walked(one: ElementTree.Element, place: Place) -> Iterator[tuple[ElementTree.Element, Place]]:
    """The marks of a drawing in order, each with where it stands."""
    moved = TRANSFORM.fullmatch(one.get("transform", ""))
    if moved is not None:
        x, y = place.x + float(moved["x"]) * place.scale, place.y + float(moved["y"]) * place.scale
        place = Place(x, y, place.scale * float(moved["scale"]))
    for child in one:
        if _kind(child) == "g":
            yield from _walked(child, place)
        else:
            yield child, place


def _draw(draw: ImageDraw, one: ElementTree.Element, place: Place) -> None:
    kind = _kind(one)
    if kind == "text":
        _write(draw, one, place)
    elif kind == "rect":
        x, y, width, height = (_number(one, name) for name in ("x", "y", "width", "height"))
        if width > 0:
            _mark(
                draw, one, place, [[(x, y), (x + width, y), (x + width, y + height), (x, y + height)]], is_closed=True
            )
    elif kind == "line":
        ends = [(_number(one, "x1"), _number(one, "y1")), (_number(one, "x2"), _number(one, "y2"))]
        _mark(draw, one, place, [ends], is_closed=False)
    elif kind == "path":
        pieces = list(_pieces(one.get("d", "")))
        _mark(draw, one, place, pieces, is_closed="Z" in one.get("d", ""))


def _mark(
    draw: ImageDraw,
    one: ElementTree.Element,
    place: Place,
    pieces: list[list[tuple[float, float]]],
    *,
    is_closed: bool,
) -> None:
    style = MARKS.get(one.get("class", ""), Style(stroke=SOFT))
    width = max(round(style.width * place.scale * FINER), 1)
    for piece in pieces:
        points = [place.at(x, y) for x, y in piece]
        if is_closed and style.fill is not None:
            draw.polygon(points, fill=style.fill)
        if style.stroke is not None:
            for some in _dashed(points, style.dash, place.scale * FINER) if style.dash else [points]:
                draw.line(some, fill=style.stroke, width=width, joint="curve")


def _dashed(
    points: list[tuple[float, float]], dash: tuple[float, float], scale: float
) -> Iterator[list[tuple[float, float]]]:
    """A straight line in pieces, each with a gap behind it."""
    (x1, y1), (x2, y2) = points[0], points[-1]
    length = abs(x2 - x1) + abs(y2 - y1)  # Dashed lines are level or upright.
    at = 0.0
    while at < length:
        begin, end = at / length, min(at + dash[0] * scale, length) / length
        yield [(x1 + (x2 - x1) * part, y1 + (y2 - y1) * part) for part in (begin, end)]
        at += (dash[0] + dash[1]) * scale


def _pieces(path: str) -> Iterator[list[tuple[float, float]]]:
    """The lines of a path of our own: M, L, H, V and Z, which are absolute, and h."""
    tokens = PATH.findall(path)
    piece: list[tuple[float, float]] = []
    command, place = "", 0
    while place < len(tokens):
        if tokens[place].isalpha():
            command, place = tokens[place], place + 1
            if command == "Z":
                piece.append(piece[0])
                continue
        if command == "M":
            if piece:
                yield piece
            piece = [(float(tokens[place]), float(tokens[place + 1]))]
            command, place = "L", place + 2
        elif command == "L":
            piece.append((float(tokens[place]), float(tokens[place + 1])))
            place += 2
        else:
            x, y = piece[-1]
            value = float(tokens[place])
            piece.append({"H": (value, y), "V": (x, value), "h": (x + value, y)}[command])
            place += 1
    if piece:
        yield piece


def _write(draw: ImageDraw, one: ElementTree.Element, place: Place) -> None:
    """Words whose baseline begins, has its middle or ends at a place; parts of them in classes of their own."""
    x, y = place.at(_number(one, "x"), _number(one, "y"))
    anchor = {"middle": "ms", "end": "rs"}.get(one.get("text-anchor", ""), "ls")
    for part in [one, *one]:
        if not part.text:
            continue
        kind = WORDS.get(part.get("class", ""), Type(ALARM) if "alarm" in part.get("class", "") else Type())
        font, knows_all = _font(kind.size * place.scale * FINER, is_bold=kind.is_bold)
        words = part.text if knows_all else _plain(part.text)
        x += _number(part, "dx") * place.scale * FINER
        draw.text((x, y), words, fill=kind.fill, font=font, anchor=anchor)
        x += font.getlength(words)


def _font(size: float, *, is_bold: bool) -> tuple[FreeTypeFont | ImageFont, bool]:
    """A font of the system, which knows most letters, else the one that Pillow brings, which knows English ones."""
    from PIL import ImageFont

    for names in FONTS:
        try:
            return ImageFont.truetype(names[is_bold], size), True
        except OSError:
            continue
    return ImageFont.load_default(size), False


def _plain(words: str) -> str:
    """Words in ASCII: letters without their accents, and a question mark for what has no such form.

    >>> _plain("Größe ≤ 3 – “á”")
    'Gro?e <= 3 - "a"'
    """
    told = "".join(PLAIN.get(letter, letter) for letter in words)
    parts = (letter for letter in unicodedata.normalize("NFKD", told) if not unicodedata.combining(letter))
    return "".join(letter if letter.isascii() else "?" for letter in parts)


def _kind(one: ElementTree.Element) -> str:
    return one.tag.rpartition("}")[2]


def _number(one: ElementTree.Element, name: str) -> float:
    return float(one.get(name, "0"))
