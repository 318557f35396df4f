"""Features, strongest first: a card with its picture for those that matter, a row in the table for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from taut.watch.counts import WindowCounts
from taut.watch.events import Feature
from taut.watch.picture.distribution import distribution
from taut.watch.picture.document import scrolled, table_of
from taut.watch.picture.named import shown_name, told_event
from taut.watch.picture.shares import Bin, loudest_event, shares_of
from taut.watch.picture.svg import Markup, element
from taut.watch.picture.words import clipped, told_evidence, told_share

PICTURED = 24  # More than anybody looks at one by one; the others stand in the table.
PICTURED_BYTES = 260_000  # And what they may take of a page that stays below 500 kB.
BEHIND = 40  # Parts of one picture that stand behind it; of more, those that moved most.
LISTED = 1_000  # Rows of the table; beyond, the page only says how many more there are.
NAMED, TOLD = 3, 30  # So many names fit a headline, and a sentence.
KINDS = {
    "numeric": "numbers",
    "categorical": "levels",
    "score": "the model's score",
    "label": "labels",
    "joint": "pairs",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A feature to show: the evidence that it changed, how far, and whether it is among those that drifted."""

    feature: Feature
    counts: WindowCounts
    e_value: float | None
    psi: float | None
    is_named: bool


def cards(columns: Sequence[Column], most: int = PICTURED) -> tuple[Markup, int]:
    """The first columns with their pictures, as many as fit, and how many those are."""
    drawn: list[Markup] = []
    room = PICTURED_BYTES
    for column in columns[:most]:
        card = _card(column)
        room -= len(card.encode())
        if room < 0:
            break
        drawn.append(card)
    return element("div", *drawn, class_="cards"), len(drawn)


def legend(then: str, now: str) -> Markup:
    """What the two marks of the pictures are."""
    return element(
        "p", element("i", class_="then"), element("span", then), element("i", class_="now"), element("span", now),
        class_="legend",
    )  # fmt: skip


def column_table(columns: Sequence[Column], caption: str) -> Markup:
    """Each column in a row, in the order given."""
    heads = [("", "n"), ("Column", ""), ("Kind", ""), ("e-value", "n"), ("PSI", "n"), ("What changed most", "")]
    rows = [_row(number, column) for number, column in enumerate(columns[:LISTED], start=1)]
    return scrolled(table_of(caption, heads, rows), caption)


def changed_most(column: Column) -> str:
    """The column's loudest event in words."""
    found = loudest_event(column.feature, column.counts)
    if found is not None:
        return told_event(column.feature, *found).replace(" %", "\u00a0%")
    return "nothing changed" if any(column.counts.trials.get(column.feature.name, ())) else "nothing of it was seen"


def _card(column: Column) -> Markup:
    bins = shares_of(column.feature, column.counts)
    pictured = [distribution(column.feature, bins), _behind(column, bins)] if bins else []
    return element(
        "article",
        element("h3", shown_name(column.feature.name)),
        element("p", *_badge(column), _figures(column), class_="figures"),
        *pictured,
        element("p", changed_most(column), class_="says"),
        class_="column",
    )


def listed_names(names: Sequence[str], most: int = NAMED) -> str:
    """The first names, and how many more there are.

    >>> listed_names(["age"]), listed_names(["age", "plan"]), listed_names(["a", "b", "c", "d", "e"])
    ('age', 'age and plan', 'a, b, c and 2 more')
    """
    shown = [clipped(name, 40) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def notes_on(features: Sequence[Feature]) -> list[str]:
    """What the pictures show, and what the reference says of its own columns, in a sentence each."""
    marks = (
        "Steps are as high as the share of the rows by the width of the part, whose edges are order statistics of the "
        "reference; the outer ones hold all that lies beyond. Bars are shares of the rows. Labels are told as rates."
    )
    notes = [marks]
    swinging = [one.name for one in features if any(event.deff > 1 for event in one.events)]
    if swinging:
        notes.append(
            "The reference's own runs swing more than independent rows would; that much swing is no drift in "
            f"{listed_names([shown_name(name) for name in swinging], TOLD)}."
        )
    identifiers = [one.name for one in features if one.kind == "categorical" and one.known is None]
    if identifiers:
        notes.append(f"Too many levels to know a new one from an old one: {listed_names(identifiers, TOLD)}.")
    return notes


def _badge(column: Column) -> list[Markup | str]:
    return [element("b", "drifted", class_="is-page"), " · "] if column.is_named else []


def _figures(column: Column) -> str:
    told = [KINDS[column.feature.kind]]
    if column.e_value is not None:
        told.append(f"e-value {told_evidence(column.e_value)}")
    if column.psi is not None:
        told.append(f"PSI {column.psi:.3f}")
    return " · ".join(told)


def _behind(column: Column, bins: Sequence[Bin]) -> Markup:
    """The drawn numbers as a table, for who wants them or cannot see the picture."""
    moved = sorted(bins, key=lambda one: -abs(one.now - one.then))[:BEHIND]
    rows = [
        element("tr", element("td", clipped(one.name, 60)), _number(told_share(one.then)), _number(told_share(one.now)))
        for one in bins
        if one in moved
    ]
    caption = f"{shown_name(column.feature.name)}: share of the rows, then and now"
    return element(
        "details",
        element("summary", "Numbers"),
        table_of(caption, [("Part", ""), ("Then", "n"), ("Now", "n")], rows),
    )


def _row(number: int, column: Column) -> Markup:
    name = element("b", shown_name(column.feature.name), class_="is-page" if column.is_named else None)
    psi = "–" if column.psi is None else f"{column.psi:.3f}"
    return element(
        "tr",
        _number(str(number)),
        element("td", name, " drifted" if column.is_named else "", class_="name"),
        element("td", KINDS[column.feature.kind]),
        _number(told_evidence(column.e_value)),
        _number(psi),
        element("td", changed_most(column), class_="wide"),
    )


def _number(words: str) -> Markup:
    return element("td", words, class_="n")
