"""What it costs to see what a command opens: CPU with and without the observer, its own and the keeper's included.

    python bench/capture.py [--rounds 5] [--python /path/to/python] [--observer ANOTHER]

Two programs: a training run (imports of what is installed of torch, pandas, scikit-learn, pyarrow, a fit, and opens up
to 5,000 in all), and the worst case, a loop over 20,000 files of 4 KB. Each is run in turn without anything, under the
observer, under Python's audit hook alone, and where it is installed under strace with the same calls. Medians of CPU
seconds and wall; held against 5 % of the training and 15 microseconds an open. The figures of one turn are held against
each other, since a busy machine makes each turn another one. `--python` is the interpreter of the training, which needs
not have taut; `--observer` another build of the observer, to be held against ours in the same turns.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from taut.runs.capture.observed import OBSERVER, observer_problem
from taut.runs.capture.reads import watched

FILES, SIZE_BYTES, OPENS = 20_000, 4096, 5000
CPU_SHARE_MAX, OPEN_US_MAX = 0.05, 15.0
TRAINING = f"""
import contextlib, sys
for name in ("torch", "pandas", "pyarrow", "sklearn.ensemble", "lightgbm"):
    with contextlib.suppress(ImportError): __import__(name)
import numpy, os
from sklearn.ensemble import RandomForestClassifier
for place in sorted(os.scandir("many"), key=lambda entry: entry.name)[:{OPENS} - 2 * len(sys.modules)]:
    with open(place, "rb") as file: file.read()
x = numpy.random.default_rng(1).normal(size=(20000, 20))
RandomForestClassifier(100, random_state=1).fit(x, x[:, 0] > 0)
"""
LOOP = f"""
for n in range({FILES}):
    with open(f"many/{{n:05}}", "rb") as file: file.read()
"""
TRACED = (
    "open,openat,openat2,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,truncate,execve"
)


def observed(by: Path) -> Callable[[Path, list[str]], list[str]]:
    """Under an observer."""

    def launch(folder: Path, command: list[str]) -> list[str]:
        places = (str(folder / "opened"), str(folder / "kept"), str(folder))
        return [str(by), str(os.getpid()), *places, "own", command[0], *command]

    return launch


def traced(_: Path, command: list[str]) -> list[str]:
    """Under strace, with a seccomp filter of its own, for the same calls."""
    return ["strace", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull, "-e", f"trace={TRACED}", *command]


def measured(folder: Path, command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of a command and all that it waited for."""
    (folder / "opened").unlink(missing_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, process_group=0)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__)
    say.add_argument("--rounds", type=int, default=5)
    say.add_argument("--python", default=sys.executable)
    say.add_argument("--observer", type=Path)
    asked = say.parse_args()
    rounds = asked.rounds
    if problem := observer_problem():
        sys.exit(f"nothing to measure: {problem}")
    ways: dict[str, Callable[[Path, list[str]], list[str]]] = {
        "nothing": lambda _, command: command, "observer": observed(OBSERVER),
        "audit hook": lambda _, command: command,
    }  # fmt: skip
    if asked.observer:
        ways["other"] = observed(asked.observer)
    if shutil.which("strace"):
        ways["strace"] = traced
    result: dict[str, dict[str, float]] = {}  # Way -> the share of the training, the microseconds of an open.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        (folder / "kept").mkdir()
        (folder / "many").mkdir()
        for number in range(FILES):
            (folder / "many" / f"{number:05}").write_bytes(b"x" * SIZE_BYTES)
        hooked = {**os.environ, **watched(folder / "reads")}
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {rounds} rounds in turn")
        for title, program in (("training", TRAINING), ("loop over small files", LOOP)):
            figures: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
            for _ in range(rounds + 1):  # The first one fills the page cache and is not counted.
                for way, launch in ways.items():
                    environment = hooked if way == "audit hook" else dict(os.environ)
                    figures[way].append(measured(folder, launch(folder, [asked.python, "-c", program]), environment))
            bare = [cpu for cpu, _ in figures["nothing"][1:]]
            for way, pairs in figures.items():
                cpus = [cpu for cpu, _ in pairs[1:]]
                more = statistics.median(cpu - base for cpu, base in zip(cpus, bare, strict=True))
                share = statistics.median(cpu / base - 1 for cpu, base in zip(cpus, bare, strict=True))
                wall = statistics.median(wall for _, wall in pairs[1:])
                print(f"{title:<22} {way:<11} CPU {statistics.median(cpus):6.3f} s  wall {wall:6.3f} s  {share:+7.1%}")
                result.setdefault(way, {})[title] = share if title == "training" else more / FILES * 1e6
    share, open_us = result["observer"].values()
    print(f"training: {share:+.1%} CPU (bar {CPU_SHARE_MAX * 100:.0f} %)")
    print(f"an open: {open_us:.1f} microseconds of CPU (bar {OPEN_US_MAX:.0f})")
    print(json.dumps({"training_share": round(share, 4), "open_us": round(open_us, 1)}))
    sys.exit(0 if share <= CPU_SHARE_MAX and open_us <= OPEN_US_MAX else 1)


if __name__ == "__main__":
    main()
