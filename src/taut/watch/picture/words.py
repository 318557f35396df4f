"""Numbers and names as people say them: shares, evidence, values on an axis."""

from math import floor, log10

NAME_LETTERS = 80  # Of a foreign name are shown; whoever named a column could fill the page with it.


def told_evidence(value: float | None) -> str:
    """Three digits; beyond a million the power of ten says enough.

    >>> told_evidence(0.1234), told_evidence(1234.5), told_evidence(3.1e9), told_evidence(None)
    ('0.123', '1,234', '3.1e09', '–')
    """
    if value is None:
        return "–"
    return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" if value < 1e6 else f"{value:.2g}".replace("e+", "e")


def told_share(share: float) -> str:
    """A share of rows in per cent, two digits of it and whole ones from ten on; what is rounded away says so.

    >>> told_share(0.3141), told_share(0.0412), told_share(0.00031), told_share(1e-7), told_share(0), told_share(0.9996)
    ('31 %', '4.1 %', '0.031 %', 'below 0.01 %', '0 %', 'nearly 100 %')
    """
    per_cent = 100.0 * share
    if per_cent <= 0.0:
        return "0 %"
    if per_cent < 0.01:
        return "below 0.01 %"
    if 99.5 <= per_cent < 100.0:
        return "nearly 100 %"
    return f"{per_cent:.0f} %" if per_cent >= 9.95 else f"{per_cent:.2g} %"


def told_value(value: float) -> str:
    """A number as short as four digits allow.

    >>> told_value(12345.678), told_value(0.000123456), told_value(-3.0), told_value(2.5e9)
    ('12,346', '0.0001235', '-3', '2.5e9')
    """
    if value and not -4 <= floor(log10(abs(value))) < 7:
        return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def clipped(name: str, letters: int = NAME_LETTERS) -> str:
    """A name, or as much of it as there is room for.

    >>> clipped("departure_delay", 9)
    'departur…'
    """
    return name if len(name) <= letters else f"{name[: letters - 1].rstrip()}…"


def ordinal(number: int) -> str:
    """A place in a row.

    >>> ordinal(1), ordinal(2), ordinal(3), ordinal(8), ordinal(11), ordinal(22)
    ('1st', '2nd', '3rd', '8th', '11th', '22nd')
    """
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "column"), counted(1200, "row")
    ('1 column', '1,200 rows')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
