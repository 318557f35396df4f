"""What a serving process counts, and how Prometheus reads it: text exposition format 0.0.4, no client library."""

import threading
from bisect import bisect_left
from collections import Counter

# Upper bounds in seconds: a compiled model answers in under a millisecond, the request time-out is ten seconds.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counters of one serving process; `labels` say which deployment, model, version and revision it serves."""

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._rows = 0
        self._buckets = [0] * (len(BOUNDS_S) + 1)
        self._seconds = 0.0
        self._commits: dict[int, float] = {}
        self._next = 0

    def answered(self, status: int, seconds: float, rows: int) -> None:
        """One request that asked for predictions was answered."""
        with self._lock:
            self._requests[str(status)] += 1
            self._rows += rows
            self._buckets[bisect_left(BOUNDS_S, seconds)] += 1
            self._seconds += seconds

    def commit_begins(self, at_s: float) -> int:
        """A prediction was made and is about to be written down; returns the ticket for `commit_ends`."""
        with self._lock:
            self._next += 1
            self._commits[self._next] = at_s
            return self._next

    def commit_ends(self, ticket: int) -> None:
        """It is on disk, or its request failed."""
        with self._lock:
            del self._commits[ticket]

    def exposition(self, *, waiting: int, now_s: float) -> bytes:
        """All of it as Prometheus reads it; `waiting` requests are accepted and not answered."""
        with self._lock:
            errors = sum(count for status, count in self._requests.items() if status >= "400")
            lag_s = now_s - min(self._commits.values(), default=now_s)
            lines = [
                *_head("taut_requests_total", "counter", "Prediction requests answered, by HTTP status."),
                *(self._line("taut_requests_total", n, f'code="{s}"') for s, n in sorted(self._requests.items())),
                *_head("taut_errors_total", "counter", "Prediction requests answered with an error."),
                self._line("taut_errors_total", errors),
                *_head("taut_rows_total", "counter", "Rows predicted."),
                self._line("taut_rows_total", self._rows),
                *_head("taut_requests_waiting", "gauge", "Requests accepted and not yet answered."),
                self._line("taut_requests_waiting", waiting),
                *_head("taut_log_lag_seconds", "gauge", "Age of the oldest prediction that is not yet on disk."),
                self._line("taut_log_lag_seconds", lag_s),
                *_head("taut_request_seconds", "histogram", "Time from the whole request to its answer."),
                *self._histogram(),
            ]
        return ("\n".join(lines) + "\n").encode()

    def _histogram(self) -> list[str]:
        lines, total = [], 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(self._line("taut_request_seconds_bucket", total, f'le="{bound}"'))
        lines.append(self._line("taut_request_seconds_sum", self._seconds))
        lines.append(self._line("taut_request_seconds_count", total))
        return lines

    def _line(self, name: str, value: float, more: str = "") -> str:
        return f"{name}{{{self._labels}{',' + more if more else ''}}} {value}"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
