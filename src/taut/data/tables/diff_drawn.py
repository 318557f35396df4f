"""The picture of a diff: small multiples of each column before and after, and the first rows that differ."""

from html import escape

from taut.data.tables.diff import DatasetDiff, Shift
from taut.data.tables.page import figure, figures, page, rows_table
from taut.data.tables.rows import RowChange, RowDiff
from taut.records import ColumnProfile

KEY = (
    "<p class=soft><span class='key old'></span> before <span class='key new'></span> after: shares of the rows, in "
    "equal bins between the least and the largest, or of the most frequent values. The farthest moved stand first.</p>"
)


def diff_page(diff: DatasetDiff) -> str:
    """Draw a diff: its counts, at most 200 columns, the farthest moved first, then the first rows that differ."""
    after = f"{diff.name}@{diff.new}" if diff.new else "workspace"
    order = sorted(diff.shifts, key=lambda one: -(one.distance.psi or 0.0))
    counts = f"{len(diff.added)} files added, {len(diff.removed)} removed, {len(diff.modified)} modified."
    rows = f"Rows {_n(diff.rows[0])} → {_n(diff.rows[1])}."
    renamed = "".join(f" Column {old} is now called {new}." for old, new in diff.renamed)
    why = f" Rows are not compared: {diff.not_compared}." if diff.not_compared else ""
    drawn = figures([_figure(one) for one in order])
    columns = f"<h2>Columns</h2>{KEY}{drawn}" if order else ""
    return page(
        f"{diff.name}@{diff.old} → {after}",
        f"<p>{counts} {rows}{escape(renamed)}{escape(why)}</p>{columns}{_rows(diff.table)}",
    )


def _rows(table: RowDiff | None) -> str:
    if table is None:
        return ""
    by = f"By {', '.join(table.key)}" if table.key else "By content"
    told = f"{by}: {table.added:,} added, {table.removed:,} removed, {table.changed:,} changed"
    told += f", {table.unchanged:,} unchanged."
    kinds = (("changed", table.examples_changed), ("added", table.examples_added), ("removed", table.examples_removed))
    lines = [(word, _cells(row.key), _change(row)) for word, rows in kinds for row in rows]
    heads = ["", ", ".join(table.key) or "row", "cells"] if table.key else ["", "", "cells"]
    shown = rows_table(heads, lines, "rows that differ") if lines else ""
    return f"<h2>Rows</h2><p>{escape(told)}</p>{shown}"


def _cells(cells: dict[str, str | None]) -> str:
    return escape(", ".join(_word(cell) for cell in cells.values()))


def _change(row: RowChange) -> str:
    """A changed cell with what it was; cells of a row that came or went."""
    pairs = [(name, row.old.get(name), row.new.get(name)) for name in {**row.old, **row.new}]
    if row.old and row.new:
        return ", ".join(
            f"{escape(name)} <del>{escape(_word(old))}</del> → <ins>{escape(_word(new))}</ins>"
            for name, old, new in pairs
        )
    return escape(", ".join(f"{name} {_word(old if row.old else new)}" for name, old, new in pairs))


def _word(cell: str | None) -> str:
    return "missing" if cell is None else cell


def _figure(shift: Shift) -> str:
    if shift.old is None or shift.new is None:
        side = shift.new or shift.old
        assert side is not None
        colour, word = ("new", "added") if shift.old is None else ("old", "removed")
        return figure(shift.name, f"{side.dtype}, {word}", [(colour, side)])
    kind = shift.new.dtype if shift.old.dtype == shift.new.dtype else f"{shift.old.dtype} → {shift.new.dtype}"
    psi = "" if shift.distance.psi is None else f", PSI {shift.distance.psi:.3g}"
    ks = "" if shift.distance.ks is None else f", KS {shift.distance.ks:.3g}"
    holes = _missing(shift.old), _missing(shift.new)
    missing = "" if holes == ("0%", "0%") else f", missing {holes[0]} → {holes[1]}"
    return figure(shift.name, f"{kind}{psi}{ks}{missing}", [("old", shift.old), ("new", shift.new)])


def _missing(column: ColumnProfile) -> str:
    share = column.missing / max(column.rows, 1)
    return "0%" if not column.missing else f"{share:.1%}" if share >= 0.001 else "<0.1%"


def _n(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
