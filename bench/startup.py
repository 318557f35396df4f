"""What a command costs before it does anything: help, version, status of an empty project, against a bare interpreter.

    python bench/startup.py [--runs 11]

Prints the median, the fastest and the slowest wall time of each command in milliseconds, and CPU time beside it. The
commands take turns, so that a busy moment of the machine falls on all of them alike.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import taut": ["-c", "import taut"],
    "taut --help": ["-m", "taut", "--help"],
    "taut --version": ["-m", "taut", "--version"],
    "taut status (empty project)": ["-m", "taut", "status"],
}
BARS_MS = {"taut --help": 150, "taut status (empty project)": 300}


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall and CPU milliseconds of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000, cpu * 1000


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--runs", type=int, default=11)
    runs = say.parse_args().runs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "taut", "init"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        figures: dict[str, list[tuple[float, float]]] = {words: [] for words in COMMANDS}
        for _ in range(runs):
            for words, command in COMMANDS.items():
                figures[words].append(measured(command, folder))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {runs} runs each")
    for words, pairs in figures.items():
        walls = [wall for wall, _ in pairs]
        bar = f"  (bar {BARS_MS[words]} ms)" if words in BARS_MS else ""
        cpu = median(cpu for _, cpu in pairs)
        print(f"{words:<30} {median(walls):7.1f} ms  [{min(walls):.1f}, {max(walls):.1f}]  CPU {cpu:.1f} ms{bar}")
    print(json.dumps({words: round(median(wall for wall, _ in pairs), 1) for words, pairs in figures.items()}))


if __name__ == "__main__":
    main()
