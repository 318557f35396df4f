"""What Prometheus reads of a server: requests by route and status, groups of commits, the pool, the process, and what
whoever watches deployments noted of them.

Names are those of OpenTelemetry's HTTP conventions and of Prometheus' own client libraries, so that dashboards fit.
"""

import os
import resource
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path

from taut import __version__
from taut.deploy import figures_in
from taut.ground.exposed import family_lines, head, written_labels
from taut.ground.meta import Metadata

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BOUNDS_GROUP = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DURATION = "http_server_request_duration_seconds"
STARTED_S = time.time()

Labels = Mapping[str, str]


class Histogram:
    """Counts by upper bound; some hundred nanoseconds an observation."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str, labels: Labels | None = None) -> Iterator[str]:
        """As the text format has it: each bucket holds what those below it hold."""
        said = dict(labels or {})
        total = 0
        for bound, count in zip((*map(repr, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f"{name}_bucket{written_labels({**said, 'le': bound})} {total}"
        yield f"{name}_sum{written_labels(said)} {self._sum!r}"
        yield f"{name}_count{written_labels(said)} {total}"


class Requests:
    """How many requests were answered, with what, and how long they took; those under way; what was logged together."""

    def __init__(self) -> None:
        self.active = 0
        self.groups = Histogram(BOUNDS_GROUP)
        self._taken: dict[tuple[str, str, int], Histogram] = {}

    def note(self, method: str, route: str, status: int, took_s: float) -> None:
        """One more. `route` is a template, empty for what no route answered; status 0 is a client that went away."""
        found = self._taken.get((method, route, status))
        if found is None:
            found = self._taken[method, route, status] = Histogram(BOUNDS_S)
        found.observe(took_s)

    def lines(self) -> Iterator[str]:
        """As text."""
        yield from head(DURATION, "histogram", "Time to answer a request, by route and status.")
        for (method, route, status), taken in sorted(self._taken.items()):
            yield from taken.lines(DURATION, {
                "http_request_method": method, "http_route": route,
                "http_response_status_code": str(status or 499),
            })  # fmt: skip
        yield from head("http_server_active_requests", "gauge", "Requests under way.")
        yield f"http_server_active_requests {self.active}"
        yield from head("taut_log_group_size", "histogram", "Calls that log, written in one commit.")
        yield from self.groups.lines("taut_log_group_size")


def exposition(requests: Requests, meta: Metadata) -> bytes:
    """All of it, as Prometheus reads it."""
    lines = [*head("taut_info", "gauge", "The version that runs."), f'taut_info{{version="{__version__}"}} 1']
    with meta.read() as tx:
        watched = figures_in(tx)
    lines += [*requests.lines(), *_store_lines(meta), *_process_lines(), *family_lines(watched)]
    return ("\n".join(lines) + "\n").encode()


def _store_lines(meta: Metadata) -> Iterator[str]:
    for name, (kind, text, value) in meta.figures().items():
        yield from head(name, kind, text)
        yield f"{name} {value}"


def _process_lines() -> Iterator[str]:
    """What every Prometheus client library tells of its process; on Linux all of it, elsewhere what can be had."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    told: dict[str, tuple[str, str, float]] = {
        "process_cpu_seconds_total": ("counter", "Time on processors.", used.ru_utime + used.ru_stime),
        "process_start_time_seconds": ("gauge", "When it began, since 1970.", STARTED_S),
        "process_max_fds": ("gauge", "Open files it may have.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    }
    statm = Path("/proc/self/statm")
    if statm.exists():
        virtual, resident, *_ = map(int, statm.read_text().split())
        page = resource.getpagesize()
        told["process_virtual_memory_bytes"] = ("gauge", "Address space.", virtual * page)
        told["process_resident_memory_bytes"] = ("gauge", "Memory in use.", resident * page)
        told["process_open_fds"] = ("gauge", "Open files.", len(os.listdir("/proc/self/fd")))
    for name, (kind, text, value) in told.items():
        yield from head(name, kind, text)
        yield f"{name} {value!r}"
