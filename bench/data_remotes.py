"""What push and pull of many small files cost, taut and the real DVC in turn, to a remote in a directory.

    python bench/data_remotes.py --dvc /path/to/dvc [--files 20000] [--runs 5]

Prints medians of CPU and wall seconds, durable at the end (`sync` is inside the measure), and the ratio to DVC's. Each
round pushes to an empty remote, pushes again, and pulls into a clone without a cache.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BARS = {"push": 1 / 4, "push again": 1 / 4, "pull": 1 / 6}
TAUT = [sys.executable, "-m", "taut", "data"]


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of one command, with what it left to be written."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    os.sync()
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def prepared(root: Path, dvc: str, files: int) -> Path:
    """A repository whose cache holds the files, 2 to 8 KB each."""
    folder = root / "repository"
    (folder / "data").mkdir(parents=True)
    chance = random.Random(7)
    for number in range(files):
        place = folder / "data" / f"{number % 100:02}"
        place.mkdir(exist_ok=True)
        (place / f"{number}.bin").write_bytes(chance.randbytes(chance.randint(2048, 8192)))
    for command in (["git", "init", "-q"], [dvc, "init", "-q"], [dvc, "add", "-q", "data"]):
        subprocess.run(command, cwd=folder, check=True)
    subprocess.run([dvc, "remote", "add", "-q", "-d", "store", str(root / "store")], cwd=folder, check=True)
    return folder


def one_round(root: Path, folder: Path, push: list[str], pull: list[str]) -> dict[str, tuple[float, float]]:
    """Push, push again, pull elsewhere; what was made is gone after it."""
    store, other = root / "store", root / "other"
    figures = {"push": measured(push, folder), "push again": measured(push, folder)}
    other.mkdir()
    for name in ("data.dvc", ".gitignore", ".dvcignore"):
        if (folder / name).exists():
            shutil.copy(folder / name, other)
    (other / ".dvc").mkdir()
    shutil.copy(folder / ".dvc" / "config", other / ".dvc")
    subprocess.run(["git", "init", "-q"], cwd=other, check=True)
    figures["pull"] = measured(pull, other)
    for place in (store, other, root / "site"):
        shutil.rmtree(place, ignore_errors=True)
    os.sync()
    return figures


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    say.add_argument("--dvc", default=os.environ.get("DVC_PROGRAM", "dvc"))
    say.add_argument("--files", type=int, default=20_000)
    say.add_argument("--runs", type=int, default=5)
    say.add_argument("--folder", default=None, help="where to work: the file system that is measured")
    told = say.parse_args()
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with tempfile.TemporaryDirectory(dir=told.folder) as name:
        root = Path(name)
        os.environ |= {"DVC_SITE_CACHE_DIR": str(root / "site"), "DVC_NO_ANALYTICS": "1"}
        folder = prepared(root, told.dvc, told.files)
        dvc = [[told.dvc, "push", "-q"], [told.dvc, "pull", "-q"]]
        taut = [[*TAUT, "push"], [*TAUT, "pull"]]
        for _ in range(told.runs):
            for tool, commands in (("dvc", dvc), ("taut", taut)):
                for work, figure in one_round(root, folder, *commands).items():
                    found.setdefault(work, {}).setdefault(tool, []).append(figure)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {told.runs} rounds, {told.files} files")
    print(
        f"{'work':<12} {'dvc CPU':>9} {'wall':>7} {'taut CPU':>9} {'wall':>7} {'CPU ratio':>10} {'bar':>6}  wall ratio"
    )
    for work, tools in found.items():
        cpu, wall = ({tool: median(pair[at] for pair in pairs) for tool, pairs in tools.items()} for at in (0, 1))
        print(
            f"{work:<12} {cpu['dvc']:9.2f} {wall['dvc']:7.2f} {cpu['taut']:9.2f} {wall['taut']:7.2f} "
            f"{cpu['taut'] / cpu['dvc']:10.3f} {BARS[work]:6.3f} {wall['taut'] / wall['dvc']:11.3f}"
        )
    print(
        json.dumps(
            {
                work: {tool: median(one[0] for one in rows) for tool, rows in tools.items()}
                for work, tools in found.items()
            }
        )
    )


if __name__ == "__main__":
    main()
