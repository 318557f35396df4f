"""Datasets in a workspace: `taut data` against DVC and the plain limit (`cp`, `md5sum`, `find`), in turns.

    DVC_PROGRAM=PATH python bench/data.py [--runs 5] [--files 20000] [--mib 2048] [--only WORDS] [--place FOLDER]

Each row runs its commands in turn and prints medians: CPU seconds (children included) and wall seconds, durable at the
end: a `sync` of the file system is inside the measure. Without DVC its columns stay empty. A row is a function in ROWS
that makes the commands of one turn; what has to be as before is put so again outside of the measure.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

DVC = os.environ.get("DVC_PROGRAM") or shutil.which("dvc")
TAUT = [sys.executable, "-m", "taut"]
Command = tuple[str, list[str], Path]
"""Whose it is (taut, dvc or limit), its words, and the folder it runs in."""


@dataclass(frozen=True)
class Stand:
    """Where everything lies: `source` has the small files, `big` is the large one."""

    place: Path
    source: Path
    big: Path

    def repository(self, tool: str, link: str = "copy") -> Path:
        """A new repository of git and DVC with this kind of link; for taut a project in it."""
        folder = self.place / f"{tool}-{link}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        (folder / ".dvc" / "tmp").mkdir(parents=True)
        (folder / ".dvc" / "config").write_text(f"[cache]\n    type = {link}\n")
        if tool == "taut":
            subprocess.run([*TAUT, "init"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return folder

    def words(self, tool: str, *words: str) -> list[str]:
        """The words of a command of either tool."""
        return [*TAUT, "data", *words] if tool == "taut" else [str(DVC), *words]

    @property
    def tools(self) -> list[str]:
        """Those that are here."""
        return ["taut", "dvc"] if DVC else ["taut"]

    def added(self, tool: str, link: str, source: Path) -> Path:
        """A repository to which a copy of the source was added."""
        folder = self.repository(tool, link)
        copied(source, folder / "data")
        subprocess.run(self.words(tool, "add", "data"), cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return folder


def copied(source: Path, target: Path) -> None:
    """A copy with the times of the source, on disk."""
    shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    os.sync()


def version(stand: Stand) -> Iterator[Command]:
    """`--version`."""
    yield "taut", [*TAUT, "--version"], stand.place
    if DVC:
        yield "dvc", [DVC, "--version"], stand.place
    yield "limit", [sys.executable, "-c", "pass"], stand.place


def small_status(stand: Stand) -> Iterator[Command]:
    """No-op status in a small repository."""
    one = stand.place / "one.csv"
    one.write_text("a\n1\n")
    for tool in stand.tools:
        yield tool, stand.words(tool, "status"), stand.added(tool, "copy", one)


def status(stand: Stand) -> Iterator[Command]:
    """No-op status."""
    for tool in stand.tools:
        folder = stand.added(tool, "copy", stand.source)
        subprocess.run(stand.words(tool, "status"), cwd=folder, check=True, stdout=subprocess.DEVNULL)
        yield tool, stand.words(tool, "status"), folder
    yield "limit", ["find", ".", "-type", "f", "-size", "+1G"], stand.source


def adding(stand: Stand, link: str, source: Path) -> Iterator[Command]:
    """Add it all to a new repository."""
    for tool in stand.tools:
        folder = stand.repository(tool, link)
        copied(source, folder / "data")
        yield tool, stand.words(tool, "add", "data"), folder
    shutil.rmtree(stand.place / "copy", ignore_errors=True)
    (stand.place / "copy").unlink(missing_ok=True)
    copies = "cp -rl" if link == "hardlink" else "cp -r"
    sums = f"find {source} -type f -print0 | xargs -0 md5sum > sums && {copies} {source} copy"
    yield "limit", ["sh", "-c", sums], stand.place


def checking_out(stand: Stand, link: str) -> Iterator[Command]:
    """Check it out after it was deleted."""
    for tool in stand.tools:
        folder = stand.added(tool, link, stand.source)
        shutil.rmtree(folder / "data")
        os.sync()
        yield tool, stand.words(tool, "checkout"), folder
    shutil.rmtree(stand.place / "copy", ignore_errors=True)
    yield "limit", ["cp", "-rl" if link == "hardlink" else "-r", str(stand.source), "copy"], stand.place


ROWS: dict[str, Callable[[Stand], Iterator[Command]]] = {
    "--version": version,
    "status, small repository": small_status,
    "status, no-op": status,
    "add, copy": lambda stand: adding(stand, "copy", stand.source),
    "add, hardlink": lambda stand: adding(stand, "hardlink", stand.source),
    "checkout, copy": lambda stand: checking_out(stand, "copy"),
    "checkout, hardlink": lambda stand: checking_out(stand, "hardlink"),
    "add one large file": lambda stand: adding(stand, "copy", stand.big),
}


def measured(words: list[str], folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of a command and the sync behind it."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    os.sync()
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def filled(place: Path, files: int, mib: int) -> Stand:
    """The data of all rows, from a seed."""
    chance, source, big = random.Random(7), place / "source", place / "big"
    for number in range(files):
        folder = source / f"{number // 1000:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06d}.bin").write_bytes(chance.randbytes(chance.randint(2048, 8192)))
    with big.open("wb") as stream:
        for _ in range(mib):
            stream.write(chance.randbytes(1 << 20))
    return Stand(place, source, big)


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    say.add_argument("--runs", type=int, default=5)
    say.add_argument("--files", type=int, default=20_000)
    say.add_argument("--mib", type=int, default=2048)
    say.add_argument("--only", default="", help="rows whose name has these words")
    say.add_argument("--place", default=None, help="a folder on the disk that is meant")
    given = say.parse_args()
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # An installed program has its modules compiled; so has each here.
    print(
        f"{'work':<26} {'taut CPU':>9} {'wall':>7} {'dvc CPU':>9} {'wall':>7} {'limit CPU':>10} {'wall':>7}  taut / dvc"
    )
    told = {}
    with tempfile.TemporaryDirectory(dir=given.place) as name:
        os.environ["DVC_SITE_CACHE_DIR"] = f"{name}/site"
        stand = filled(Path(name), given.files, given.mib)
        for row, commands in ROWS.items():
            if given.only not in row:
                continue
            found: dict[str, list[tuple[float, float]]] = {}
            for _ in range(given.runs):
                for who, words, folder in commands(stand):
                    found.setdefault(who, []).append(measured(words, folder))
            medians = {who: [median(column) for column in zip(*pairs, strict=True)] for who, pairs in found.items()}
            told[row] = medians
            cells = [f"{medians[who][0]:9.2f} {medians[who][1]:7.2f}" if who in medians else " " * 17
                     for who in ("taut", "dvc", "limit")]  # fmt: skip
            ratio = f"{medians['taut'][0] / medians['dvc'][0]:.2f}" if "dvc" in medians else ""
            print(f"{row:<26} {' '.join(cells)}  {ratio}  load {os.getloadavg()[0]:.1f}", flush=True)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
