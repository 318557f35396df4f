"""The newest window of a deployment, counted again from the prediction log: each column then and now."""

from dataclasses import dataclass, replace

from taut.ground import wire
from taut.ground.access.roles import is_allowed
from taut.ground.objects import read_object
from taut.home import Home
from taut.records import Window
from taut.serve import predicted_rows
from taut.watch.counts import count_labels, count_window
from taut.watch.events import Reference
from taut.watch.measures.psi import psi_of_feature
from taut.watch.picture.columns import Column, cards, legend
from taut.watch.picture.document import section
from taut.watch.picture.scales import moment_name
from taut.watch.picture.svg import Markup, element
from taut.watch.picture.words import counted
from taut.watch.picture.year import Year
from taut.watch.references import MonitorReference

SCORE_OUTPUT = "probability"  # What monitors call the score where taut.yaml says nothing else.
CARDS = 12


@dataclass(frozen=True, slots=True)
class Newest:
    """A window, what it was held against, and its columns by how far their shares are apart."""

    window: Window
    reference: MonitorReference
    columns: list[Column]


def newest_section(home: Home, year: Year) -> Markup | None:
    """The newest window with rows as a part of the page; None where there is none or it was never held against any.

    Whoever may not read predictions is told so instead: shares of a few rows say what single ones were.
    """
    held = {one.number: one for one in year.references}
    window = next((one for one in reversed(year.windows) if one.rows and one.reference in held), None)
    if window is None:
        return None
    title = f"The newest window, from {moment_name(window.start_ms)}"
    if not is_allowed(home.actor, "prediction:read", f"deployment:{year.deployment}"):
        return section(title, element("p", "Its columns are shown to who may read predictions.", class_="note"))
    newest = read_newest(home, window, held[window.reference])
    drawn, shown = cards(newest.columns, CARDS)
    rest = len(newest.columns) - shown
    more = [element("p", f"{counted(rest, 'feature')} moved less and stand not here.", class_="note")] if rest else []
    then = f"then: reference {newest.reference.number}, of {newest.reference.model}@{newest.reference.version}"
    return section(title, legend(then, f"now: {counted(window.rows, 'row')}"), drawn, *more)


def read_newest(home: Home, window: Window, held: MonitorReference) -> Newest:
    """Count a window's rows over its reference's events again; those of which nothing was asked are left out."""
    reference = wire.decode(read_object(home.objects, held.oid), Reference, what="the reference profile")
    rows = predicted_rows(
        home, window.deployment, window.start_ms, window.end_ms, number=window.version, model=held.model
    )
    scores = rows.outputs.get(SCORE_OUTPUT)
    counts = count_window(reference, rows.inputs, scores=scores)
    if scores is not None:
        labels = count_labels(reference, scores, rows.labels)
        counts = replace(counts + labels, rows=counts.rows)
    columns = [
        Column(feature, counts, None, psi_of_feature(feature, counts), is_named=False)
        for feature in reference.features
        if any(counts.trials.get(feature.name, ()))
    ]
    return Newest(window, held, sorted(columns, key=lambda one: (-(one.psi or 0.0), one.feature.name)))
