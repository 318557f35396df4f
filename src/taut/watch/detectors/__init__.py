"""Detectors: sequential tests over window counts, with a bound on false alarms that holds over their whole life."""

from taut.watch.detectors.ebh import discoveries
from taut.watch.detectors.ewin import Ewin, EwinState, detectors_of, e_value, ewin_of, is_alarm, start, suspects, update

__all__ = [
    "Ewin",
    "EwinState",
    "detectors_of",
    "discoveries",
    "e_value",
    "ewin_of",
    "is_alarm",
    "start",
    "suspects",
    "update",
]
