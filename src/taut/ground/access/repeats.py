"""What is refused again and again, counted rather than written down each time, so that nobody fills the ledger so."""

import threading
from dataclasses import dataclass, field

WINDOW_S = 600.0
KINDS_MAX = 20  # Of one source in a window; whatever else it does is counted together.
SOURCES_MAX = 1000


@dataclass(slots=True)
class _Window:
    began_s: float
    counts: dict[str, int] = field(default_factory=dict)


class Repeats:
    """Counts of one process: of a source and what it did, the first of a window is to be written, later ones counted.

    What was counted is told with the first one that is written in the next window. So a source writes no more than
    `KINDS_MAX` and one entries in a window, and whatever it does is told sooner or later, unless this process ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}

    def take(self, source: str, kind: str, *, now_s: float) -> tuple[bool, int]:
        """Whether this one is to be written, and how many others of the window before are told with it."""
        with self._lock:
            window, before = self._windows.get(source), 0
            if window is None or now_s - window.began_s >= WINDOW_S:
                before = sum(window.counts.values()) if window is not None else 0
                window = self._windows[source] = _Window(now_s)
                while len(self._windows) > SOURCES_MAX:
                    del self._windows[min(self._windows, key=lambda one: self._windows[one].began_s)]
            known = kind if kind in window.counts or len(window.counts) < KINDS_MAX else ""
            is_first = known not in window.counts
            window.counts[known] = 0 if is_first else window.counts[known] + 1
            return is_first, before
