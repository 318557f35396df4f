"""Before anything is learned: are the rows to learn from still what the reference says that such rows look like?"""

from itertools import pairwise

from taut.ground import wire
from taut.ground.objects import read_object
from taut.home import Home
from taut.pipelines.policy import moment
from taut.pipelines.steps import Facts
from taut.records import Alert
from taut.serve import labelled_rows
from taut.watch import find_reference

TOLD = 3  # Findings in a sentence; how many there are is said beside them.


def inspect_rows(home: Home, alert: Alert, export: Facts) -> Facts:
    """Hold the rows of an export against the reference in force, those to learn from and those to judge by.

    Each is looked at for itself: what broke yesterday is a small share of a year. `broken` says whether a model should
    be kept from them, `reason` why, in figures.
    """
    from taut.watch.events import Reference
    from taut.watch.quality import is_broken, quality_of_rows

    held = find_reference(home, alert.deployment)
    reference = wire.decode(read_object(home.objects, held.oid), Reference, what="the reference profile")
    known = {feature.name for feature in reference.features}
    bounds = [int(str(export[name])) for name in ("from_ms", "split_ms", "until_ms")]
    told: list[str] = []
    rows = 0
    for span in pairwise(bounds):
        found = labelled_rows(home, alert.deployment, *span)
        rows += len(found.ids)
        if not found.ids:
            continue
        findings = quality_of_rows(reference, {name: one for name, one in found.inputs.items() if name in known})
        if is_broken(findings):
            more = f" and {len(findings) - TOLD} more" if len(findings) > TOLD else ""
            said = "; ".join(f"{finding.feature} {finding.text}" for finding in findings[:TOLD])
            told.append(f"{moment(span[0])} to {moment(span[1])}: {said}{more}")
    reason = "; ".join(told) or f"nothing is broken in {rows:,} rows, held against reference {held.number}"
    return {"broken": bool(told), "reference": held.number, "reason": reason}
