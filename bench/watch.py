"""How often a monitor cries wolf, how soon it is right, and what a check costs.

    python bench/watch.py [--streams 40] [--windows 60] [--rows 1000] [--skip-check]

Streams of 20 mixed columns (12 of numbers, 8 of words with 2 to 300 levels), a score and late labels, drawn anew for
each stream with a reference of 10,000 rows of its own; alpha 0.01, no tolerance. Stationary streams: the share in which
either budget ever alarms, over their whole life. Changed ones, after a fifth of the windows: how many are found and the
median of the rows until then. A check of 1,000,000 rows against a kept profile: seconds and memory of its process.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from taut.ground import wire
from taut.watch.counts import count_labels, count_window
from taut.watch.detectors import ewin_of, is_alarm, start, update
from taut.watch.offline import check_table, profile_of
from taut.watch.profile import make_reference

REFERENCE_ROWS, CHECK_ROWS, SHARES = 10_000, 1_000_000, (2, 3, 5, 10, 20, 50, 100, 300)
Floats = NDArray[np.float64]


@dataclass
class Rows:
    """Columns, scores and targets of the same rows."""

    columns: dict[str, NDArray]
    scores: Floats
    targets: Floats


Change = Callable[[Rows, np.random.Generator], None]


def draw(chance: np.random.Generator, rows: int) -> Rows:
    """Normal, skewed and rounded numbers, words by Zipf's law, 5 % of one column missing; labels follow the score."""
    columns: dict[str, NDArray] = {f"n{place}": chance.normal(size=rows) for place in range(12)}
    columns["n1"], columns["n2"] = np.exp(columns["n1"]), np.round(10 * columns["n2"])
    columns["n3"][chance.random(rows) < 0.05] = np.nan
    for place, levels in enumerate(SHARES):
        shares = 1 / np.arange(1, levels + 1)
        words = np.array([f"level{number}" for number in range(levels)], dtype=object)
        columns[f"c{place}"] = words[chance.choice(levels, rows, p=shares / shares.sum())]
    scores = 1 / (1 + np.exp(1 - columns["n0"]))
    return Rows(columns, scores, (chance.random(rows) < scores).astype(float))


def moved(by: float) -> Change:
    """The mean of one column goes up by so many standard deviations."""

    def change(rows: Rows, _: np.random.Generator) -> None:
        rows.columns["n5"] += by

    return change


def unit(rows: Rows, chance: np.random.Generator) -> None:
    """A column comes in a unit a thousand times smaller in 5 % of the rows."""
    rows.columns["n4"][chance.random(len(rows.scores)) < 0.05] *= 1000


def missing(rows: Rows, chance: np.random.Generator) -> None:
    """4 % more are missing."""
    rows.columns["n6"][chance.random(len(rows.scores)) < 0.04] = np.nan


def category(rows: Rows, chance: np.random.Generator) -> None:
    """1 % have a level that was never seen."""
    rows.columns["c2"][chance.random(len(rows.scores)) < 0.01] = "new"


def concept(rows: Rows, _: np.random.Generator) -> None:
    """What the labels follow is turned round."""
    rows.targets = 1 - rows.targets


CHANGES: dict[str, Change] = {
    "0.1 sd": moved(0.1),
    "0.25 sd": moved(0.25),
    "0.5 sd": moved(0.5),
    "unit x1000 in 5 %": unit,
    "missing +4 %": missing,
    "new category 1 %": category,
    "concept": concept,
}


def alarmed_at(seed: int, windows: int, rows: int, since: int, change: Change | None) -> int | None:
    """The window at whose end a stream alarms first, None for never."""
    chance = np.random.default_rng(seed)
    known = draw(chance, REFERENCE_ROWS)
    reference = make_reference(known.columns, scores=known.scores, targets=known.targets)
    detectors = [ewin_of(reference, "features"), ewin_of(reference, "labels")]
    states = [start(one) for one in detectors]
    for number in range(windows):
        now = draw(chance, rows)
        if change is not None and number >= since:
            change(now, chance)
        counts = count_window(reference, now.columns, scores=now.scores)
        counts += count_labels(reference, now.scores, now.targets)
        states = [update(one, state, counts) for one, state in zip(detectors, states, strict=True)]
        if any(is_alarm(one, state) for one, state in zip(detectors, states, strict=True)):
            return number
    return None


def check() -> dict[str, float]:
    """Seconds and MiB of a check, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        chance = np.random.default_rng(0)
        for name, rows in (("reference", REFERENCE_ROWS), ("current", CHECK_ROWS)):
            drawn = draw(chance, rows)
            pq.write_table(pa.table(drawn.columns), Path(folder) / f"{name}.parquet")
        kept = Path(folder) / "reference.json"
        kept.write_bytes(wire.encode(profile_of(Path(folder) / "reference.parquet")))
        done = subprocess.run([sys.executable, __file__, "--child", folder], capture_output=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
        return {**found, "profile_kb": kept.stat().st_size / 1000}


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


def main() -> None:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=40, help="stationary streams; a fifth as many of each change")
    parser.add_argument("--windows", type=int, default=60, help="windows of a stream")
    parser.add_argument("--rows", type=int, default=1000, help="rows of a window")
    parser.add_argument("--skip-check", action="store_true", help="streams alone")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child)
        return
    if not given.skip_check:
        cost = check()
        print(
            f"check of {CHECK_ROWS:,} rows x 20: {cost['seconds']:.2f} s (<= 1.0), {cost['peak_mib']:.0f} MiB (<= 300),"
        )
        print(f"  against a profile of {cost['profile_kb']:.0f} KB (<= 100)")
    found = [alarmed_at(seed, given.windows, given.rows, 0, None) for seed in range(given.streams)]
    false = sum(one is not None for one in found)
    print(f"stationary: {false} of {given.streams} streams of {given.windows} windows alarm (<= 1 %)")
    since = given.windows // 5
    for name, change in CHANGES.items():
        seeds = range(10_000, 10_000 + max(1, given.streams // 5))
        ends = [alarmed_at(seed, given.windows, given.rows, since, change) for seed in seeds]
        early = sum(one is not None and one < since for one in ends)
        delays = [(one - since + 1) * given.rows for one in ends if one is not None and one >= since]
        told = f"median {statistics.median(delays):,.0f} rows" if delays else "never"
        print(f"{name:20} found {len(delays)} of {len(ends)}, {told}" + (f"; {early} before it" if early else ""))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
