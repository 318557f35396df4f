"""What the pages of profiles, diffs and checks have in common: one file that fetches nothing and runs nothing."""

from collections.abc import Iterable, Sequence
from html import escape

from taut.data.tables.distances import bin_shares
from taut.records import ColumnProfile

WIDE, HIGH, BINS, LEVELS = 288, 96, 24, 8
COLUMNS_MAX = 200
RARE = 0.005  # Below it a level is one of many, and bars of such would be noise.
STYLE = """
:root { color-scheme: light dark; --page: #fcfcfb; --ink: #1b1d21; --soft: #565c65; --edge: #dcdcd8;
  --old: #9aa3ad; --new: #0069a6; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #15171a; --ink: #eceef0; --soft: #a9b0b8; --edge: #363b41;
  --old: #6d7783; --new: #5cb8ee; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1040px; padding: 32px clamp(16px, 4vw, 40px); background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: tabular-nums; }
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 17px; margin: 36px 0 10px; }
p { margin: 0 0 10px; max-width: 70ch; overflow-wrap: anywhere; }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(280px, 100%), 1fr)); gap: 32px 28px;
  margin-top: 20px; }
figure { margin: 0; min-width: 0; }
figcaption { font-weight: 600; overflow-wrap: anywhere; margin-bottom: 8px; }
figcaption small { display: block; }
small, .soft, .axis { color: var(--soft); font-weight: 400; font-size: 13px; }
svg { display: block; width: 100%; height: auto; }
.old { fill: var(--old); background: var(--old); } .new { fill: var(--new); background: var(--new); }
.base { stroke: var(--edge); }
.axis { display: flex; justify-content: space-between; gap: 12px; margin-top: 3px; }
.level { display: grid; grid-template-columns: minmax(0, 5fr) 6fr 7ch; gap: 0 10px; align-items: center;
  font-size: 13px; line-height: 1.3; margin-bottom: 5px; }
.level > :first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.level > :last-child { text-align: right; color: var(--soft); }
.bar { height: 7px; min-width: 1px; }
.key { display: inline-block; width: 11px; height: 11px; }
.wide { overflow-x: auto; }
.wide:focus-visible { outline: 2px solid var(--new); outline-offset: 3px; }
table { border-collapse: collapse; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: 4px 18px 4px 0; border-bottom: 1px solid var(--edge); }
th { font-weight: 600; white-space: nowrap; } td { max-width: 28ch; overflow-wrap: break-word; }
td:last-child { max-width: 76ch; min-width: 20ch; padding-right: 0; overflow-wrap: anywhere; }
.bad { color: var(--bad); } del { color: var(--soft); } ins { text-decoration: none; font-weight: 600; }
"""
Sides = Sequence[tuple[str, ColumnProfile]]
"""A column's profiles to be drawn together, each with the class of its colour: `old`, `new`."""


def page(title: str, body: str) -> str:
    """A whole page; `title` is text, `body` is markup in which all that is foreign was escaped."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def figures(drawn: Sequence[str]) -> str:
    """Small multiples beside each other, the first 200."""
    more = f"<p class=soft>{len(drawn) - COLUMNS_MAX} more columns are not drawn.</p>"
    return f'<div class="columns">{"".join(drawn[:COLUMNS_MAX])}</div>{more if len(drawn) > COLUMNS_MAX else ""}'


def figure(name: str, note: str, sides: Sides) -> str:
    """A column: its name, a note, and its distribution, of numbers as bars and of words as their levels."""
    drawn = "" if not sides else _bars(sides) if all(side.points for _, side in sides) else _levels(sides)
    return f"<figure><figcaption>{escape(name)} <small>{escape(note)}</small></figcaption>{drawn}</figure>"


def rows_table(headings: Sequence[str], rows: Iterable[Sequence[str]], label: str) -> str:
    """A table of markup that scrolls by itself where it is too wide, with the keyboard as well."""
    head = "".join(f"<th scope=col>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def edges_of(sides: Sequence[ColumnProfile], bins: int) -> tuple[float, float, list[float]]:
    """The least and the largest number of all, and the inner edges of equal bins between them."""
    low, high = min(side.points[0][0] for side in sides), max(side.points[-1][0] for side in sides)
    return low, high, [low + (high - low) * step / bins for step in range(1, bins)]


def told(column: ColumnProfile, at: float) -> str:
    """A number of a column's axis as people read it."""
    if column.dtype in ("date", "timestamp"):
        from taut.ground.clock import iso

        try:
            return iso(int(at))[: 10 if column.dtype == "date" else 16]
        except (OverflowError, ValueError):
            return f"{at:.4g} ms"
    return f"{at:,.0f}" if column.dtype == "int" and abs(at) < 1e9 else f"{at:.4g}"


def _bars(sides: Sides) -> str:
    low, high, edges = edges_of([side for _, side in sides], BINS)
    shares = [bin_shares(side, edges)[:-1] for _, side in sides]
    most = max([*(share for side in shares for share in side), 1e-9])
    step = WIDE / BINS
    wide = step * 0.88 / len(sides)
    drawn = []
    for place in range(BINS):
        upto = told(sides[-1][1], [*edges, high][place])
        for at, (colour, _) in enumerate(sides):
            share = shares[at][place]
            tall = share / most * (HIGH - 6)
            drawn.append(
                f'<rect class="{colour}" x="{place * step + at * wide + step * 0.06:.1f}" y="{HIGH - tall:.1f}" '
                f'width="{wide:.1f}" height="{tall:.1f}"><title>to {escape(upto)}: {share:.2%}</title></rect>'
            )
    first, last = escape(told(sides[0][1], low)), escape(told(sides[-1][1], high))
    return (
        f'<svg viewBox="0 0 {WIDE} {HIGH + 1}" role="img" aria-label="distribution from {first} to {last}">'
        f"{''.join(drawn)}"
        f'<line class="base" x1="0" y1="{HIGH}" x2="{WIDE}" y2="{HIGH}"/></svg>'
        f'<div class="axis"><span>{first}</span><span>{last}</span></div>'
    )


def _levels(sides: Sides) -> str:
    """The most frequent words of all sides, each with a bar a side, and its share last."""
    counts = [(colour, side.rows, dict(side.top)) for colour, side in sides]
    names = list(dict.fromkeys(level for _, side in reversed(sides) for level, _ in side.top))[:LEVELS]
    shares = {name: [held.get(name, 0) / max(rows, 1) for _, rows, held in counts] for name in names}
    most = max([*(share for one in shares.values() for share in one), 1e-9])
    if most < RARE:
        return f"<small>no value is in more than {most:.2%} of the rows</small>" if names else ""
    lines = []
    for name, each in shares.items():
        bars = "".join(
            f'<div class="bar {colour}" style="width:{share / most:.1%}"></div>'
            for (colour, _, _), share in zip(counts, each, strict=True)
        )
        tip = " → ".join(f"{share:.2%}" for share in each)
        shown = escape(name) or "<i>empty</i>"
        lines.append(
            f'<div class="level" title="{escape(name)}: {tip}"><span>{shown}</span><div>{bars}</div>'
            f"<span>{each[-1]:.1%}</span></div>"
        )
    return "".join(lines)
