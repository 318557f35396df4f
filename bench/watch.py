"""How often a monitor cries wolf, how soon it is right, and what a check costs; the same of other tools beside it.

    python bench/watch.py [--streams 40] [--windows 60] [--rows 1000] [--blocks 1] [--tolerant 0]
                          [--peers PYTHON ...] [--peer-streams 4] [--skip-check] [--peer-check]

Streams of 20 mixed columns times `--blocks`, a score and late labels, drawn anew for each stream with a reference of
10,000 rows of its own; alpha 0.01 for both budgets together, no tolerance, as `taut watch replay` has it. Calm streams
(independent rows, autocorrelated, seasonal): the share in which anything ever alarms, over their whole life. Changed
ones, after 15,000 rows: how many are found, and the median of the rows until then. `--tolerant` streams of 600,000 rows
move by 0.02 sd, below a tolerance of 1 %. A check of 1,000,000 rows against a kept profile: seconds and memory of its
process. Each PYTHON is an interpreter with evidently, nannyml or river, which see the same streams with their defaults.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.drifting import CHANGES, WINDOW_ROWS, Change, Rows, Stream, moved, windows, written
from taut.ground import wire
from taut.watch.counts import count_labels, count_window
from taut.watch.detectors import detectors_of, is_alarm, start, update
from taut.watch.dispersion import runs_of
from taut.watch.events import Reference
from taut.watch.offline import SURE, check_table, profile_of
from taut.watch.profile import make_reference

REFERENCE_ROWS, CHECK_ROWS, BEFORE_ROWS = 10_000, 1_000_000, 15_000
PEERS = Path(__file__).with_name("watch_peers.py")
ALPHA = 0.005  # Each of the two budgets has half of 1 %.


def profiled(rows: Rows) -> Reference:
    """The reference of a stream, as a file's would be."""
    blocks = runs_of(len(rows.scores))
    return make_reference(rows.columns, scores=rows.scores, targets=rows.targets, blocks=blocks, sure=SURE)


def alarmed_at(
    stream: Stream, count: int, rows: int, since: int = 0, change: Change | None = None, tolerance: float = 0.0
) -> int | None:
    """The window at whose end a stream alarms first, None for never."""
    reference = profiled(stream.draw(REFERENCE_ROWS))
    detectors = list(detectors_of(reference, alpha=ALPHA, tolerance=tolerance).values())
    states = [start(one) for one in detectors]
    for number, now in enumerate(windows(stream, count, rows, since, change)):
        counts = count_window(reference, now.columns, scores=now.scores)
        counts += count_labels(reference, now.scores, now.targets)
        states = [update(one, state, counts) for one, state in zip(detectors, states, strict=True)]
        if any(is_alarm(one, state) for one, state in zip(detectors, states, strict=True)):
            return number
    return None


def check(peers: dict[str, str]) -> dict[str, dict[str, float]]:
    """Seconds and MiB of a check, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        stream = Stream(0)
        for name, rows in (("reference", REFERENCE_ROWS), ("current", CHECK_ROWS)):
            pq.write_table(pa.table(stream.draw(rows).columns), Path(folder) / f"{name}.parquet")
        kept = Path(folder) / "reference.json"
        kept.write_bytes(wire.encode(profile_of(Path(folder) / "reference.parquet")))
        done = subprocess.run([sys.executable, __file__, "--child", folder], capture_output=True, check=True)
        found = {"taut": {**json.loads(done.stdout), "profile_kb": kept.stat().st_size / 1000}}
        for tool, python in peers.items():
            done = subprocess.run([python, PEERS, "check", tool, folder], capture_output=True, check=True)
            found[tool] = json.loads(done.stdout)
        return found


def child(folder: Path) -> None:
    """The check itself."""
    begun_s = time.perf_counter()
    found = check_table(folder / "current.parquet", profile_of(folder / "reference.json"))
    seconds = time.perf_counter() - begun_s
    assert found.rows == CHECK_ROWS
    # What `getrusage` tells is that of the process which started this one, where that was larger.
    status = Path("/proc/self/status").read_text().splitlines()
    peak_mib = int(next(line.split()[1] for line in status if line.startswith("VmHWM"))) / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak_mib}))


def tools_of(pythons: list[str]) -> dict[str, str]:
    """The other tools, and the interpreter that has each."""
    found: dict[str, str] = {}
    for python in pythons:
        done = subprocess.run([python, PEERS, "tools"], capture_output=True, check=True)
        found |= dict.fromkeys(json.loads(done.stdout), python)
    return found


def told_by_peers(tools: dict[str, str], stream: Stream, count: int, rows: int, since: int, change: Change | None) -> (
    dict[str, list[bool]]
):  # fmt: skip
    """For each tool and window whether it alarms."""
    with tempfile.TemporaryDirectory() as folder:
        written(stream.draw(REFERENCE_ROWS), Path(folder) / "reference.parquet")
        for number, now in enumerate(windows(stream, count, rows, since, change)):
            written(now, Path(folder) / f"w{number:05d}.parquet")
        found = {}
        for tool, python in tools.items():
            done = subprocess.run([python, PEERS, "stream", tool, folder], capture_output=True, check=True)
            found[tool] = json.loads(done.stdout.splitlines()[-1])
        return found


def show_calm(given: argparse.Namespace, tools: dict[str, str]) -> None:
    """Streams in which nothing changes."""
    for kind in ("independent", "autocorrelated", "seasonal"):
        count = given.streams if kind == "independent" else max(1, given.streams // 5)
        ends = [alarmed_at(Stream(seed, given.blocks, kind), given.windows, given.rows) for seed in range(count)]
        false = sum(one is not None for one in ends)
        print(f"calm, {kind}: {false} of {count} streams of {given.windows} windows of {given.rows} rows alarm")
        told: dict[str, list[list[bool]]] = {}
        for seed in range(given.peer_streams if tools else 0):
            stream = Stream(seed, given.blocks, kind)
            for tool, alarms in told_by_peers(tools, stream, given.windows, given.rows, 0, None).items():
                told.setdefault(tool, []).append(alarms)
        for tool, streams in told.items():
            share = float(np.mean([one for alarms in streams for one in alarms]))
            print(f"  {tool}: {sum(map(any, streams))} of {len(streams)} streams, {100 * share:.0f} % of the windows")


def show_changes(given: argparse.Namespace, tools: dict[str, str]) -> None:
    """Streams that change."""
    for name, change in CHANGES.items():
        rows = min(WINDOW_ROWS.get(name, given.rows), given.rows)
        since = BEFORE_ROWS // rows
        count = since + (30_000 if name in WINDOW_ROWS else 60_000) // rows
        seeds = range(10_000, 10_000 + max(1, given.streams // 5))
        ends = [alarmed_at(Stream(seed, given.blocks), count, rows, since, change) for seed in seeds]
        early = sum(one is not None and one < since for one in ends)
        delays = [(one - since + 1) * rows for one in ends if one is not None and one >= since]
        told = f"median {statistics.median(delays):,.0f} rows" if delays else "never"
        wrong = f"; {early} before it" if early else ""
        print(f"{name} (windows of {rows}): found {len(delays)} of {len(ends)}, {told}{wrong}")
        if tools:
            few = max(1, 4_000 // given.rows)
            found = told_by_peers(tools, Stream(10_000, given.blocks), 2 * few, given.rows, few, change)
            for tool, alarms in found.items():
                print(f"  {tool}: {sum(alarms[few:])} of {few} windows after it, {sum(alarms[:few])} of {few} before")


def show_check(given: argparse.Namespace, tools: dict[str, str]) -> None:
    """What a check costs."""
    for tool, cost in check(tools if given.peer_check else {}).items():
        print(f"check of {CHECK_ROWS:,} rows x 20, {tool}: {cost['seconds']:.2f} s, {cost['peak_mib']:.0f} MiB")
        if "profile_kb" in cost:
            print(f"  against a profile of {cost['profile_kb']:.0f} KB (bars: 1.0 s, 300 MB, 100 KB)")


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=40, help="calm streams; a fifth as many of each change")
    parser.add_argument("--windows", type=int, default=60, help="windows of a calm stream")
    parser.add_argument("--rows", type=int, default=1000, help="rows of a window")
    parser.add_argument("--blocks", type=int, default=1, help="times 20 columns")
    parser.add_argument("--tolerant", type=int, default=0, help="streams that move by less than is tolerated")
    parser.add_argument("--peers", nargs="*", default=[], help="interpreters that have other tools")
    parser.add_argument("--peer-streams", type=int, default=4, help="calm streams that other tools see")
    parser.add_argument("--peer-check", action="store_true", help="other tools check a million rows too")
    parser.add_argument("--skip-check", action="store_true", help="streams alone")
    parser.add_argument("--skip-changes", action="store_true", help="calm streams alone")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child)
        return
    tools = tools_of(given.peers)
    if not given.skip_check:
        show_check(given, tools)
    if given.streams:
        show_calm(given, tools)
        if not given.skip_changes:
            show_changes(given, tools)
    if given.tolerant:
        ends = [alarmed_at(Stream(seed), 60, 10_000, 0, moved(0.02), tolerance=0.01) for seed in range(given.tolerant)]
        false = sum(one is not None for one in ends)
        print(f"moved by 0.02 sd, tolerance 1 %: {false} of {len(ends)} streams of 600,000 rows alarm")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
