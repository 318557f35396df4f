"""What is refused again and again, counted rather than written down each time, so that nobody fills the ledger so."""

import threading
from dataclasses import dataclass, field

WINDOW_S = 600.0
KINDS_MAX = 20  # Of one source in a window; whatever else it does is counted together.
SOURCES_MAX = 1000


@dataclass(slots=True)
class _Window:
    began_s: float
    written: dict[str, int] = field(default_factory=dict)
    counted: int = 0


class Repeats:
    """Counts of one process: of a source and what it did, the first of a window are to be written, later ones counted.

    What was counted is told with the first one that is written in the next window. So a source writes no more than
    `kinds` and one entries in a window, whatever they are of, and all it does is told with its next one, unless this
    process ends or `SOURCES_MAX` others came in between.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, _Window] = {}

    def take(self, source: str, kind: str, *, now_s: float, first: int = 1, kinds: int = KINDS_MAX) -> tuple[bool, int]:
        """Whether this one is to be written, as the `first` of its kind are, and how many before it are told with it.

        These are those of the window before that were only counted.
        """
        with self._lock:
            window, before = self._windows.get(source), 0
            if window is None or now_s - window.began_s >= WINDOW_S:
                before = window.counted if window is not None else 0
                window = self._windows[source] = _Window(now_s)
                while len(self._windows) > SOURCES_MAX:
                    del self._windows[min(self._windows, key=lambda one: self._windows[one].began_s)]
            known = kind if kind in window.written or len(window.written) < kinds else ""
            written = window.written.get(known, 0)
            is_first = written < (first if known else 1) and sum(window.written.values()) <= kinds
            window.written[known] = written + is_first
            window.counted += not is_first
            return is_first, before
