"""Closed windows and the detectors' memory as they are stored."""

from taut.ground import wire
from taut.ground.meta import Row, Tx
from taut.records import Window
from taut.watch.references import MonitorReference

FIELDS = "deployment, start_ms, end_ms, reference, version, row_count, labelled, measures, evidence, at_ms"
SELECT_NEWEST = f"""
SELECT {FIELDS} FROM monitor_window WHERE deployment = :deployment ORDER BY start_ms DESC LIMIT 1
"""  # noqa: S608  # FIELDS is the constant above.
SELECT_STATE = "SELECT reference, state FROM monitor_state WHERE deployment = :deployment"


def states_of(tx: Tx, reference: MonitorReference) -> str:
    """The detectors' memory of what was closed against a reference, empty where nothing was yet."""
    known = tx.row(SELECT_STATE, {"deployment": reference.deployment})
    return str(known[1]) if known is not None and known[0] == reference.number else ""


def window_in(row: Row) -> Window:
    """A closed window as it is stored."""
    deployment, start, end, reference, version, rows, labelled, measures, evidence, at_ms = row
    return Window(
        str(deployment), int(str(start)), int(str(end)), int(str(reference)), int(str(version)), int(str(rows)),
        int(str(labelled)), wire.decode(str(measures), dict[str, float | None]),
        wire.decode(str(evidence), dict[str, float]), int(str(at_ms)),
    )  # fmt: skip
