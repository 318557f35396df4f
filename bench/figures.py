"""What a work cost on each side, held against its bar, and the table of all of them."""

import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.load import Window
from bench.machine import cores
from bench.works import Bar

HEAD = ("work", "taut wall", "CPU", "peer wall", "CPU", "ratio wall / CPU", "bar", "met", "")


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians over rounds. `wall` and `cpu` (the server's, its database included) are in `unit`, one request each."""

    wall: float
    cpu: float | None = None
    unit: str = "ms"
    rounds: int = 1
    requests: int = 0
    failed: int = 0
    problem: str = ""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Figure:
    """One line: `told` says what the columns cannot."""

    store: str
    work: str
    words: str
    bar: str = ""
    taut: Cost | None = None
    peer: Cost | None = None
    met: bool | None = None
    told: str = ""


Round = tuple[Window, Sequence[float]]
"""A window, and the CPU seconds that the server and, where it has one, its database used meanwhile."""


def cost_of(windows: Sequence[Round], *, whole: int = 1) -> Cost:
    """The medians of rounds, for `whole` requests together."""
    walls = [window.seconds / window.requests * 1000 * whole for window, _ in windows]
    cpus = [sum(used) / window.requests * 1000 * whole for window, used in windows]
    databases = [sum(used[1:]) / window.requests * 1000 * whole for window, used in windows]
    return Cost(
        statistics.median(walls),
        statistics.median(cpus),
        rounds=len(windows),
        requests=sum(window.requests for window, _ in windows),
        failed=sum(window.failed for window, _ in windows),
        problem=next((window.problem for window, _ in windows if window.problem), ""),
        more={
            "walls": walls,
            "cpus": cpus,
            "database_cpu_ms": statistics.median(databases),
            "latency_ms_p50": statistics.median(window.latency_ms(50) for window, _ in windows),
            "latency_ms_p99": statistics.median(window.latency_ms(99) for window, _ in windows),
            "client_cpu_ms": statistics.median(w.client_cpu_s / w.requests * 1000 for w, _ in windows),
        },
    )


def judged(figure: Figure, bar: Bar) -> Figure:
    """The figure held against its bar: met only if all that was measured meets it and no request failed."""
    figure.bar = str(bar)
    taut, peer = figure.taut, figure.peer
    if taut is None or not figure.bar:
        return figure
    held = [not taut.failed]
    if bar.wall_ms is not None:
        held.append(taut.wall <= bar.wall_ms)
    if bar.cpu_ms is not None:
        held.append((taut.cpu or 0) <= bar.cpu_ms)
    if bar.times is not None and peer is not None:
        held.append(min(ratios(taut, peer)) >= bar.times)
    figure.met = all(held)
    return figure


def ratios(taut: Cost, peer: Cost) -> tuple[float, ...]:
    """How many times taut's cost the peer's is: wall, then CPU where both were told."""
    found = [peer.wall / taut.wall if taut.wall else float("inf")]
    if taut.cpu is not None and peer.cpu is not None:
        found.append(peer.cpu / taut.cpu if taut.cpu else float("inf"))
    return tuple(found)


def whole_cpu(cost: Cost) -> float:
    """What a request costs server and client together: what a pair that takes turns is bound by on a quiet machine."""
    return (cost.cpu or 0.0) + float(cost.more["client_cpu_ms"])


def machine_words(folder_fsync_ms: float, versions: dict[str, str]) -> dict[str, str]:
    """What the figures depend on beside the programs."""
    server, client = cores()
    return {
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "cores": f"{os.cpu_count()}, servers and databases on {server}, clients on {client}",
        "fdatasync of 4 KB": f"{folder_fsync_ms:.2f} ms",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "SQLite of taut": sqlite3.sqlite_version,
        **versions,
    }


def table(figures: Sequence[Figure]) -> str:
    """All figures as aligned text, the stores one after another."""
    lines = [HEAD]
    for figure in figures:
        ratio = ratios(figure.taut, figure.peer) if figure.taut and figure.peer else ()
        lines.append((
            f"{figure.store}: {figure.words}", *_columns(figure.taut), *_columns(figure.peer),
            " / ".join(f"{one:.1f} x" if one < 100 else f"{one:.0f} x" for one in ratio), figure.bar,
            {None: "", True: "yes", False: "NO"}[figure.met], figure.told,
        ))  # fmt: skip
    widths = [max(len(line[place]) for line in lines) for place in range(len(HEAD))]
    right = {1, 2, 3, 4, 5}
    return "\n".join(
        "  ".join(
            text.rjust(width) if place in right else text.ljust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _columns(cost: Cost | None) -> tuple[str, str]:
    if cost is None:
        return "", ""
    unit = f" {cost.unit}".rstrip()
    return _number(cost.wall) + unit, "" if cost.cpu is None else _number(cost.cpu) + unit


def _number(value: float) -> str:
    """Three digits that mean something; whole numbers as they are."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1}f}"
