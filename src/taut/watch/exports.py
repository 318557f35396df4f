"""Served rows as training data: what was asked, what turned out to be true, in a CSV file that a run can read.

This is where the line bends back: predictions and labels become the bytes that the next model learns from.
"""

import csv
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from taut.errors import Denied, Invalid
from taut.ground.clock import iso
from taut.ground.ledger import draw_arrow
from taut.home import Home, verb
from taut.serve import PredictedRows, labelled_rows, open_log

TIME = "event_time"  # The column that says when; the gate draws whole days of it.


def export_labelled(home: Home, deployment: str, path: Path, *, target: str, from_ms: int, until_ms: int) -> int:
    """Write the labelled predictions of events in a range to a CSV file, in the order of events; returns the rows.

    Columns: `event_time`, the inputs, then the label under the name `target`. The file appears whole or not at all,
    and the same rows give the same bytes. Raises Invalid where an input is called as one of the two others.
    """
    rows = labelled_rows(home, deployment, from_ms, until_ms)
    if taken := {TIME, target} & rows.inputs.keys():
        raise Invalid(f"deployment {deployment} has an input called {min(taken)!r}; the export needs that name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(path, rows, target)
    except OSError as problem:
        raise Denied(f"{path} cannot be written: {problem.strerror}", hint=f"ls -ld {path.parent}") from None
    return len(rows.ids)


@verb("watch.source", needs="policy:write")
def record_source(home: Home, dataset: str, number: int, deployment: str) -> None:
    """Draw the arrows from every revision of a deployment that has answered to a dataset made of what it said."""
    target = f"data:{dataset}@{number}"
    with open_log(home, deployment) as log:
        revisions = sorted({one.revision for one in log.versions()})
    with home.meta.transaction() as tx:
        for revision in revisions:
            draw_arrow(tx, f"deployment:{deployment}@{revision}", "said", target, at_ms=home.clock.now_ms())
        home.append(tx, "data.exported", subject=target, body={"deployment": deployment})


def _write_whole(path: Path, rows: PredictedRows, target: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow([TIME, *rows.inputs, target])
            columns: Sequence[Sequence[object]] = [
                [iso(at_ms) for at_ms in rows.event_ms],
                *rows.inputs.values(),
                [_label(label) for label in rows.labels],
            ]
            writer.writerows(zip(*columns, strict=True))
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _label(value: float | None) -> int | float | None:
    """A class as a whole number, as training data write it."""
    return int(value) if value is not None and value.is_integer() else value
