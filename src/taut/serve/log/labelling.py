"""Labels by the million: held against the log at once, stored all of them or none, in the order of their ids."""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from taut.deploy.rights import of_deployment
from taut.errors import Invalid
from taut.ground.meta import Insert, Tx
from taut.home import Home, verb
from taut.serve.log.batch_ids import requests_named
from taut.serve.log.live import Live
from taut.serve.log.reading import opened, reader_in

SELECT_LABELS = "SELECT id, row_index, value FROM label WHERE deployment = :deployment AND id IN [:ids]"
LABELS = Insert(
    "label",
    (
        ("deployment", "TEXT"),
        ("id", "TEXT"),
        ("row_index", "BIGINT"),
        ("value", "DOUBLE PRECISION"),
        ("at_ms", "BIGINT"),
    ),
    "ON CONFLICT (deployment, id, row_index) DO UPDATE SET value = excluded.value, at_ms = excluded.at_ms",
)
TOGETHER = 10_000  # Labels that are compared and written at once.
ROW_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LabelsAdded:
    """What a call changed: labels that are `new`, that `changed` their value, and that were `known` already.

    `early` counts those of them, known or not, whose prediction is not here yet.
    """

    new: int
    changed: int
    known: int
    early: int = 0

    @property
    def stored(self) -> int:
        """Labels that were written."""
        return self.new + self.changed


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels by columns: request, row, value, and where each stood, for errors; empty where nobody can say."""

    ids: Sequence[str]
    rows: Sequence[int]
    values: Sequence[float]
    lines: Sequence[int] = ()

    def named(self, place: int) -> str:
        """One of them, as errors name it."""
        line = f", line {self.lines[place]}" if self.lines else ""
        return f"'{self.ids[place]}.{self.rows[place]}'{line}"


@verb("label.add", needs="feedback:write", on=of_deployment)
def add_labels(
    home: Home,
    deployment: str,
    ids: list[str],
    values: list[float],
    rows: list[int] | None = None,
    early: bool = False,
    lines: list[int] | None = None,
) -> LabelsAdded:
    """Store what turned out to be true of row `rows[i]` (the first where none are given) of request `ids[i]`.

    All of them or none. The same label again changes nothing, another value replaces the old one; with `early` a label
    is kept though its prediction is not here yet. `lines` say where each stood in a file, for errors. Raises Invalid
    for lists of different lengths, values that are not finite, a prediction that has two values in one call, and one
    that this deployment never made; it says how many and names the first.
    """
    labels = Labels(ids, rows if rows is not None else [0] * len(ids), values, lines or ())
    if not len(labels.ids) == len(labels.rows) == len(labels.values) or len(labels.lines) not in {0, len(ids)}:
        raise Invalid(f"labels need lists of one length, got {len(ids)}, {len(labels.rows)} and {len(values)}")
    return store_labels(home, deployment, labels, early=early)


def store_labels(home: Home, deployment: str, labels: Labels, *, early: bool) -> LabelsAdded:
    """The same of labels by columns."""
    with opened([Live(home, deployment)]) as (live,), home.meta.transaction() as tx:
        named = requests_named(tx, list(zip(labels.ids, labels.rows, strict=True)))
        labels = replace(labels, ids=[one for one, _ in named], rows=[row for _, row in named])
        order = _checked(labels)
        known = reader_in(home, tx, live).row_counts(labels.ids)
        unknown = [place for place in order if labels.rows[place] >= known.get(labels.ids[place], 0)]
        if unknown and not early:
            first = min(unknown)
            raise Invalid(
                f"{len(unknown)} of {len(order)} labels are of no prediction of {deployment!r}, the first is"
                f" {labels.named(first)}; nothing was stored",
                hint=f"taut why {labels.ids[first]}.{labels.rows[first]}",
            )
        new = changed = 0
        at_ms = home.clock.now_ms()
        for some in _parts(order):
            before = labels_of(tx, deployment, [labels.ids[place] for place in some])
            due = [
                place
                for place in some
                if before.get(labels.ids[place], {}).get(labels.rows[place]) != labels.values[place]
            ]
            found = sum(labels.rows[place] in before.get(labels.ids[place], ()) for place in due)
            changed, new = changed + found, new + len(due) - found
            tx.insert(
                LABELS,
                [(deployment, labels.ids[at], labels.rows[at], float(labels.values[at]), at_ms) for at in due],
            )
        added = LabelsAdded(new, changed, len(order) - new - changed, len(unknown))
        if added.stored:
            home.append(tx, "label.logged", subject=f"deployment:{deployment}", body=added)
    return added


def labels_of(tx: Tx, deployment: str, ids: Sequence[str]) -> dict[str, dict[int, float]]:
    """The labels of these requests: request -> row -> value."""
    labels: dict[str, dict[int, float]] = {}
    for request_id, row, value in tx.rows(SELECT_LABELS, {"deployment": deployment, "ids": sorted(set(ids))}):
        labels.setdefault(str(request_id), {})[int(str(row))] = float(str(value))
    return labels


def _checked(labels: Labels) -> "array[int]":
    """The places of the labels in the order of ids and rows, each prediction once."""
    if wrong := [place for place, value in enumerate(labels.values) if not math.isfinite(value)]:
        first = wrong[0]
        raise Invalid(
            f"{len(wrong)} labels are not finite numbers, the first is {labels.named(first)} = {labels.values[first]}"
        )
    if wrong := [place for place, row in enumerate(labels.rows) if not 0 <= row <= ROW_MAX]:
        raise Invalid(f"{len(wrong)} labels are of rows that no request has, the first is {labels.named(wrong[0])}")
    ids, rows = labels.ids, labels.rows
    order = array("q", sorted(range(len(ids)), key=lambda place: (ids[place], rows[place])))
    kept, last = array("q"), -1
    for place in order:
        if last >= 0 and ids[last] == ids[place] and rows[last] == rows[place]:
            if labels.values[last] != labels.values[place]:
                raise Invalid(
                    f"{labels.named(last)} is {labels.values[last]:g}, and {labels.named(place)} is"
                    f" {labels.values[place]:g}; a prediction has one label, so nothing was stored"
                )
            continue
        kept.append(place)
        last = place
    return kept


def _parts(order: "array[int]") -> Iterator["array[int]"]:
    for start in range(0, len(order), TOGETHER):
        yield order[start : start + TOGETHER]
