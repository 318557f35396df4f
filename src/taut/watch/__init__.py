"""prediction -> window -> alert: what served models see and say, held against what they were trained on."""

from taut.watch.acceptance import accept_alert
from taut.watch.ahead import OpenWindow, open_window
from taut.watch.alerts import handle_alert, list_alerts
from taut.watch.detail import show_alert
from taut.watch.dismissal import dismiss_alert
from taut.watch.due import Successor, find_successor
from taut.watch.evidence import FeatureEvidence
from taut.watch.exports import export_labelled, record_source
from taut.watch.quality import WindowQuality, window_quality
from taut.watch.references import MonitorReference, find_reference, list_references, set_reference
from taut.watch.renewal import renew_reference
from taut.watch.replaying import replay_alert
from taut.watch.report import watch_report
from taut.watch.windows import close_windows, list_windows, newest_window

__all__ = [
    "FeatureEvidence",
    "MonitorReference",
    "OpenWindow",
    "Successor",
    "WindowQuality",
    "accept_alert",
    "close_windows",
    "dismiss_alert",
    "export_labelled",
    "find_reference",
    "find_successor",
    "handle_alert",
    "list_alerts",
    "list_references",
    "list_windows",
    "newest_window",
    "open_window",
    "record_source",
    "renew_reference",
    "replay_alert",
    "set_reference",
    "show_alert",
    "watch_report",
    "window_quality",
]
