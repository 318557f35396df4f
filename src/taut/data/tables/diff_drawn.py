"""The picture of a diff: small multiples of each column before and after, as one page that fetches nothing."""

from html import escape

from taut.data.tables.diff import DatasetDiff, Shift
from taut.data.tables.distances import bin_shares
from taut.data.tables.rows import RowDiff
from taut.records import ColumnProfile

WIDE, HIGH, BINS, LEVELS, COLUMNS_MAX = 280, 110, 24, 12, 200
STYLE = """
:root { --page: #fcfcfb; --ink: #1b1d21; --soft: #5c626b; --edge: #dcdcd8; --old: #9aa3ad; --new: #0069a6; }
@media (prefers-color-scheme: dark) {
  :root { --page: #15171a; --ink: #eceef0; --soft: #a9b0b8; --edge: #363b41; --old: #6d7783; --new: #5cb8ee; } }
body { margin: 0 auto; max-width: 980px; padding: 40px 24px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Liberation Sans", Arial, sans-serif; font-variant-numeric: tabular-nums; }
.columns { display: grid; grid-template-columns: repeat(auto-fill, minmax(290px, 1fr)); gap: 28px 20px; }
figure { margin: 0; } figcaption { font-weight: 600; overflow-wrap: anywhere; }
small, .soft { color: var(--soft); font-weight: 400; }
svg { display: block; width: 100%; height: auto; }
.old { fill: var(--old); } .new { fill: var(--new); }
.base { stroke: var(--edge); }
.key { display: inline-block; width: 12px; height: 12px; }
.key.old { background: var(--old); } .key.new { background: var(--new); }
"""


def diff_page(diff: DatasetDiff) -> str:
    """Draw a diff: its counts, then each column's shares before and after, the farthest moved first; at most 200."""
    after = f"{diff.name}@{diff.new}" if diff.new else "workspace"
    title = escape(f"{diff.name}@{diff.old} → {after}")
    order = sorted(diff.shifts, key=lambda one: -(one.distance.psi or 0.0))
    more = (
        f"<p class=soft>{len(order) - COLUMNS_MAX} more columns are not drawn.</p>" if len(order) > COLUMNS_MAX else ""
    )
    counts = f"{len(diff.added)} files added, {len(diff.removed)} removed, {len(diff.modified)} modified."
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head><body><h1>{title}</h1><p>{counts} Rows {_n(diff.rows[0])} → {_n(diff.rows[1])}. "
        f"{_rows(diff.table)}</p>"
        "<p class=soft><span class='key old'></span> before <span class='key new'></span> after; shares of the rows in "
        "equal bins between the least and the largest, or of the most frequent values.</p>"
        f'<div class="columns">{"".join(_figure(one) for one in order[:COLUMNS_MAX])}</div>{more}</body></html>\n'
    )


def _rows(table: RowDiff | None) -> str:
    if table is None:
        return ""
    by = f"By {escape(', '.join(table.key))}" if table.key else "By content"
    return f"{by}: {table.added} added, {table.removed} removed, {table.changed} changed, {table.unchanged} unchanged."


def _figure(shift: Shift) -> str:
    name = escape(shift.name)
    if shift.old is None or shift.new is None:
        side = shift.new or shift.old
        assert side is not None
        word = "added" if shift.old is None else "removed"
        return f"<figure><figcaption>{name} <small>{escape(side.dtype)}, {word}</small></figcaption></figure>"
    kind = shift.new.dtype if shift.old.dtype == shift.new.dtype else f"{shift.old.dtype} → {shift.new.dtype}"
    psi = "" if shift.distance.psi is None else f", PSI {shift.distance.psi:.3g}"
    ks = "" if shift.distance.ks is None else f", KS {shift.distance.ks:.3g}"
    said = f"{name} <small>{escape(kind)}{psi}{ks}</small>"
    return f"<figure><figcaption>{said}</figcaption>{_bars(shift.old, shift.new)}</figure>"


def _bars(old: ColumnProfile, new: ColumnProfile) -> str:
    """Pairs of bars, the same scale for both; the last pair is of missing values."""
    if old.points and new.points:
        low = min(old.points[0][0], new.points[0][0])
        high = max(old.points[-1][0], new.points[-1][0])
        edges = [low + (high - low) * step / BINS for step in range(1, BINS)]
        names = [f"to {edge:.4g}" for edge in [*edges, high]]
        shares = [bin_shares(side, edges) for side in (old, new)]
    else:
        names = list(dict.fromkeys(level for side in (new, old) for level, _ in side.top))[:LEVELS]
        shares = [
            [*(dict(side.top).get(level, 0) / max(side.rows, 1) for level in names), side.missing / max(side.rows, 1)]
            for side in (old, new)
        ]
    most = max([*shares[0], *shares[1], 1e-9])
    step = WIDE / len(shares[0])
    drawn = []
    for place, (name, *pair) in enumerate(zip([*names, "missing"], *shares, strict=True)):
        for side, share in enumerate(pair):
            high_px = share / most * (HIGH - 12)
            x = place * step + side * step * 0.42 + step * 0.06
            drawn.append(
                f'<rect class="{"old" if side == 0 else "new"}" x="{x:.1f}" y="{HIGH - high_px:.1f}" '
                f'width="{step * 0.42:.1f}" height="{high_px:.1f}"><title>{escape(name)}: {share:.2%}</title></rect>'
            )
    base = f'<line class="base" x1="0" y1="{HIGH}" x2="{WIDE}" y2="{HIGH}"/>'
    return f'<svg viewBox="0 0 {WIDE} {HIGH + 1}" role="img">{"".join(drawn)}{base}</svg>'


def _n(count: int | None) -> str:
    return "?" if count is None else str(count)
