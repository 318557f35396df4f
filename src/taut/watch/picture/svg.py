"""Elements of HTML and SVG as text, in which nothing that came from outside can become markup."""

import re
from collections.abc import Iterable, Sequence

UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


class Markup(str):
    """Text that is markup already; only this module and constants of ours make it."""

    __slots__ = ()


def element(name: str, /, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """One element. Children that are no `Markup` are text and escaped, as all attributes are.

    `class_` is `class`, other underscores are hyphens; an attribute that is None is left out.

    >>> element("p", "1 < 2", class_="note")
    '<p class="note">1 &lt; 2</p>'
    """
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    opening = "".join(f' {key}="{_escaped(_written(value))}"' for key, value in named.items())
    if not children:
        return Markup(f"<{name}{opening}/>" if name in EMPTY else f"<{name}{opening}></{name}>")
    inside = "".join(child if isinstance(child, Markup) else _escaped(child) for child in children)
    return Markup(f"<{name}{opening}>{inside}</{name}>")


EMPTY = {"circle", "line", "link", "meta", "path", "rect"}


def group(*children: Markup, **attributes: str | float | None) -> Markup:
    """Elements of a drawing that belong together."""
    return element("g", *children, **attributes)


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "") -> Markup:
    """Words whose baseline begins, or has its `middle` or `end`, at a place."""
    return element("text", words, x=x, y=y, class_=class_ or None, text_anchor=anchor or None)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def lines_through(pieces: Iterable[Sequence[tuple[float, float]]], class_: str) -> Markup:
    """One path through the points of each piece; a piece of one point becomes a dot."""
    drawn = []
    for piece in pieces:
        begin, *rest = [f"{_number(x)} {_number(y)}" for x, y in piece]
        drawn.append(f"M{begin}" + ("L" + " ".join(rest) if rest else "h.01"))
    return element("path", d="".join(drawn), class_=class_) if drawn else Markup("")


def steps_over(columns: Sequence[tuple[float, float, float]], base: float, class_: str) -> Markup:
    """A filled outline of columns (left, right, top) that stand on `base`; neighbours that touch share an outline."""
    drawn, edge = "", None
    for left, right, top in columns:
        begin = "" if left == edge else f"{f'V{_number(base)}Z' if drawn else ''}M{_number(left)} {_number(base)}"
        drawn += f"{begin}V{_number(top)}H{_number(right)}"
        edge = right
    return element("path", d=f"{drawn}V{_number(base)}Z", class_=class_) if drawn else Markup("")


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after the other."""
    return Markup("".join(parts))


def _escaped(words: str) -> str:
    """What a page may hold of any text; characters that XML has no place for become the replacement character."""
    return "".join(ENTITIES.get(letter, letter) for letter in UNPRINTABLE.sub("\ufffd", words))


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    """A tenth of a pixel is as fine as anybody sees."""
    return f"{round(value, 1):g}"
