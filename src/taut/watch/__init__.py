"""prediction -> window -> alert: what served models see and say, held against what they were trained on."""

from taut.watch.alerts import close_alert, list_alerts, raise_alert
from taut.watch.exports import export_labelled, record_source
from taut.watch.references import MonitorReference, find_reference, list_references, set_reference
from taut.watch.renewal import renew_reference
from taut.watch.windows import close_windows, list_windows

__all__ = [
    "MonitorReference",
    "close_alert",
    "close_windows",
    "export_labelled",
    "find_reference",
    "list_alerts",
    "list_references",
    "list_windows",
    "raise_alert",
    "record_source",
    "renew_reference",
    "set_reference",
]
