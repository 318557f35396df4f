"""The drawing: lanes above panels over one time axis, at a given width."""

from taut.watch.picture.frame import Band, frame_of, time_axis
from taut.watch.picture.lanes import alert_lane, answer_lane, serving_lane
from taut.watch.picture.panels import evidence_panel, measure_panel, rows_panel
from taut.watch.picture.points import Point
from taut.watch.picture.scales import day_name
from taut.watch.picture.svg import Markup, element
from taut.watch.picture.year import Year

SERVED = Band(8, 30)
ALERTS = Band(56, 78)
ANSWERS = Band(90, 112)
GAP = 56  # Between panels, with room for a heading.
HEIGHTS = {"roc_auc": 172, "brier": 150, "evidence": 172, "rows": 72}


def figure(year: Year, points: list[Point], width: int, *, class_: str) -> Markup:
    """The life of a deployment as one SVG element; it needs at least one window."""
    frame = frame_of(width, year.span)
    bands = _bands()
    panels = list(bands.values())
    height = panels[-1].base + 32
    title, about = f"title-{class_}", f"about-{class_}"
    return element(
        "svg",
        element("title", f"The life of {year.deployment}", id=title),
        element("desc", _described(year), id=about),
        time_axis(frame, panels, panels[-1].base + 20),
        answer_lane(frame, ANSWERS, panels, year),
        serving_lane(frame, SERVED, year),
        alert_lane(frame, ALERTS, year),
        measure_panel(frame, bands["roc_auc"], points, "roc_auc", "ROC AUC", "higher is better"),
        measure_panel(frame, bands["brier"], points, "brier", "Brier score", "lower is better"),
        evidence_panel(frame, bands["evidence"], points, year.bound),
        rows_panel(frame, bands["rows"], points),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height:g}",
        role="img",
        aria_labelledby=f"{title} {about}",
        class_=class_,
    )


def _bands() -> dict[str, Band]:
    bands: dict[str, Band] = {}
    top = ANSWERS.base + GAP
    for name, height in HEIGHTS.items():
        bands[name] = Band(top, top + height)
        top += height + GAP - 4
    return bands


def _described(year: Year) -> str:
    first, last = year.span
    return (
        f"Time runs from {day_name(first)} to {day_name(last - 1)}. Lanes show which version served, "
        f"{len(year.alerts)} alerts and {len(year.retrained)} retrainings; panels below show ROC AUC, Brier score, "
        "the evidence of drift and the rows of each window. The same numbers stand in the table below."
    )
