"""A profile as people read it: one line a column with a small histogram, and a page of small multiples."""

from taut.data.tables.distances import bin_shares
from taut.data.tables.page import RARE, edges_of, figure, figures, page
from taut.records import ColumnProfile, TableProfile

BLOCKS = " ▁▂▃▄▅▆▇█"
BINS = 12
LINE = ("column", "type", "missing", "distinct", "low", "high", "mean", "distribution")


def profile_lines(profile: TableProfile) -> list[tuple[str | int | float | None, ...]]:
    """A line for each column, under the headings of `LINE`."""
    return [
        (
            one.name, one.dtype, one.missing, distinct_words(one), _short(one.low), _short(one.high),
            None if one.mean is None else float(f"{one.mean:.4g}"), _small(one),
        )
        for one in profile.columns
    ]  # fmt: skip


def distinct_words(column: ColumnProfile) -> str:
    """How many values are distinct, with what is known of it: an estimate says so."""
    if column.distinct_error is None:
        return f"{column.distinct:,} or more"
    return (
        f"about {column.distinct:,} ±{column.distinct_error:.1%}" if column.distinct_error else f"{column.distinct:,}"
    )


def profile_page(title: str, profile: TableProfile) -> str:
    """Draw a profile: each column's distribution or most frequent values, at most 200 columns."""
    body = f"<p>{profile.rows:,} rows, {len(profile.columns):,} columns.</p>"
    return page(title, body + figures([figure(one.name, _note(one), [("new", one)]) for one in profile.columns]))


def _short(value: float | str | None) -> float | str | None:
    """An end of the range, at most as long as a moment."""
    return value[:19] + "…" if isinstance(value, str) and len(value) > 20 else value


def _note(column: ColumnProfile) -> str:
    parts = [column.dtype, f"{distinct_words(column)} distinct"]
    if column.missing:
        parts.append(f"{column.missing:,} missing ({column.missing / column.rows:.1%})")
    if column.mean is not None and column.std is not None:
        parts.append(f"mean {_figures(column.mean)}, sd {_figures(column.std)}")
    if column.top_error and not column.points:
        parts.append(f"counts may be short by {column.top_error:,}")
    return ", ".join(parts)


def _figures(number: float) -> str:
    """Four figures, as people write large numbers."""
    return f"{number:,.0f}" if 1_000 <= abs(number) < 1e9 else f"{number:.4g}"


def _small(column: ColumnProfile) -> str:
    """A histogram in twelve letters, or the most frequent words with their shares."""
    if column.points:
        _, _, edges = edges_of([column], BINS)
        shares = bin_shares(column, edges)[:-1]
        most = max([*shares, 1e-9])
        return "".join(BLOCKS[0 if share <= 0 else max(1, round(share / most * 8))] for share in shares)
    named = [(level, count / max(column.rows, 1)) for level, count in column.top[:3]]
    return ", ".join(f"{level[:20]} {share:.0%}" for level, share in named if share >= RARE)
