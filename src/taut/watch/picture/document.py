"""A page that is whole in itself: no script, nothing fetched, for light and dark, and one style for all of them."""

from collections.abc import Iterable
from importlib.resources import files

from taut.watch.picture.svg import Markup, element, joined

CONTENT = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, *parts: Markup) -> str:
    """The whole page around its parts: well-formed, the same for the same parts."""
    style = files("taut.watch.picture").joinpath("style.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=CONTENT),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(style)),
    )
    body = element("body", element("main", *parts))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def header(kind: str, title: str, lead: str, story: Iterable[tuple[str, str, str]]) -> Markup:
    """What the page is, its headline, a sentence, and numbers as name, number and what else there is to say of it."""
    return element(
        "header",
        element("p", kind, class_="kind"),
        element("h1", title),
        element("p", lead, class_="lead"),
        element("dl", *(_told(*one) for one in story), class_="story"),
    )


def section(title: str, *parts: str | Markup) -> Markup:
    """A part of the page under its heading."""
    return element("section", element("h2", title), *parts)


def scrolled(table: Markup, label: str) -> Markup:
    """A table that may be wider or higher than the screen: it scrolls by itself, by keys too."""
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def table_of(caption: str, heads: Iterable[tuple[str, str]], rows: Iterable[Markup], class_: str = "") -> Markup:
    """A table from its headings, each with its class, `n` for numbers, and its rows."""
    cells = [element("th", name, scope="col", class_=kind or None) for name, kind in heads]
    return element(
        "table", element("caption", caption), element("thead", element("tr", *cells)), element("tbody", *rows),
        class_=class_ or None,
    )  # fmt: skip


def listed(items: Iterable[str | Markup]) -> Markup:
    """Sentences one below the other."""
    return element("ul", joined(element("li", item) for item in items), class_="notes")


def _told(name: str, number: str, more: str) -> Markup:
    return element("div", element("dt", name), element("dd", number), element("dd", more, class_="more"))
