"""Pages as their readers have them: a tree, the words on it, the numbers behind a picture, and a real browser."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

RUNS_OR_FETCHES = re.compile(r"<script|\son\w+=|javascript:|@import|url\(|<link|\ssrc=|\shref=|<iframe|\sstyle=")
HOSTILE = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SVG = "{http://www.w3.org/2000/svg}"
PAGE_BYTES_MAX = 500_000

# Words of one drawing that lie over each other, or beyond its edges, by more than a hair.
UNREADABLE = """() => [...document.querySelectorAll('svg')].filter(svg => svg.clientWidth && !svg.matches('.key'))
  .flatMap(svg => {
    const scrolls = svg.closest('figure')?.scrollWidth > svg.closest('figure')?.clientWidth;
    const page = scrolls ? Infinity : document.documentElement.clientWidth;
    const found = [...svg.querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()]);
    return found.flatMap(([words, a], place) => [
      ...(a.left < -1 || a.right > page + 1 ? [`${words} leaves the page`] : []),
      ...found.slice(place + 1).filter(([_, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
        Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3).map(([others]) => `${words} over ${others}`),
    ]);
  })"""


def parsed(page: str) -> ElementTree.Element:
    """The page as a tree; a page that is not well-formed raises."""
    return ElementTree.fromstring(page)


def words(page: str) -> str:
    """What a reader sees, one blank between words."""
    body = parsed(page).find("body")
    assert body is not None
    return told(body)


def told(one: ElementTree.Element) -> str:
    """The words of an element, one blank between them."""
    return " ".join(" ".join(one.itertext()).split())


def tags(page: str) -> set[str]:
    """The kinds of elements on a page."""
    return {one.tag.rpartition("}")[2] for one in parsed(page).iter()}


def card(page: str, name: str) -> ElementTree.Element:
    """The card of a column."""
    return next(one for one in parsed(page).iter("article") if one.findtext("h3") == name)


def numbers_behind(card: ElementTree.Element) -> dict[str, tuple[str, str]]:
    """The table behind a column's picture: by part, the share then and now."""
    body = card.find("details/table/tbody")
    assert body is not None
    rows = [[told(cell) for cell in row] for row in body]
    return {part: (then, now) for part, then, now in rows}


@contextmanager
def browsed(width: int, *, dark: bool = False) -> Iterator:
    """A page of a real browser, so wide; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as driver:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=root)
        opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
        yield opened
        browser.close()


def check_in_browser(file: Path, width: int, *, dark: bool) -> None:
    """A page fits the screen, fetches nothing, says nothing on the console, suits the scheme, and can be read."""
    with browsed(width, dark=dark) as opened:
        asked, said = [], []
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("console", lambda message: said.append(message.text))
        opened.goto(file.as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        assert (asked, said) == ([file.as_uri()], [])
        assert opened.evaluate(UNREADABLE) == []
        style = "getComputedStyle(document.body)"
        ink, ground = opened.evaluate(f"[{style}.color, {style}.backgroundColor]")
        assert (light_of(ink) > light_of(ground)) == dark


def light_of(colour: str) -> int:
    """The sum of a colour's parts, as the browser writes it."""
    return sum(int(part) for part in colour[4:-1].split(","))
