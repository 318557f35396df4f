"""What push and pull of many small files cost, taut and the real DVC in turn, to a remote in a directory.

    python bench/data_remotes.py --dvc /path/to/dvc [--files 20000] [--runs 5] [--folder PLACE] [--s3]

Prints medians of CPU (user and system) and wall seconds, durable at the end (`sync` is inside the measure), the ratio
to DVC's, and what `cp -r` of the same files took in the same rounds: to make a file cost the kernel from 25 to 350
microseconds on one machine, by what else was removed on that disk a moment ago. Each round pushes to an empty remote,
pushes again, and pulls into a clone without a cache. What rounds make stays until the end, for the same reason: ext4
without a journal steps over every inode that was freed within the last seconds, one by one, for each file it makes.

With `--s3` taut alone does the same against a real S3 server on this machine, and says how many requests that took.
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
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.parts import S3Server
    from tests.relay import Passed

HERE = Path(__file__).resolve().parent.parent
BARS = {"push": 1 / 4, "push again": 1 / 4, "pull": 1 / 6}
TAUT = [sys.executable, "-m", "taut", "data"]


class Took(NamedTuple):
    """Seconds of a command and its children."""

    user: float
    system: float
    wall: float

    @property
    def cpu(self) -> float:
        """Both kinds together."""
        return self.user + self.system


def measured(command: list[str], folder: Path) -> Took:
    """What one command took, with what it left to be written."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    os.sync()
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime, wall)


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
    return folder


def one_round(
    made: Path,
    folder: Path,
    config: str,
    push: list[str],
    pull: list[str],
    after: Callable[[str], None] = lambda _: None,
) -> dict[str, Took]:
    """Push, push again, pull elsewhere; `config` is that of the remote, and `made` holds all that comes of it.

    `after` is told when each is done.
    """
    other = made / "other"
    (other / ".dvc").mkdir(parents=True)
    for place in (folder, other):
        (place / ".dvc" / "config").write_text(config)
    for name in ("data.dvc", ".gitignore", ".dvcignore"):
        if (folder / name).exists():
            shutil.copy(folder / name, other)
    subprocess.run(["git", "init", "-q"], cwd=other, check=True)
    os.sync()
    figures: dict[str, Took] = {}
    for work, command, place in (("push", push, folder), ("push again", push, folder), ("pull", pull, other)):
        figures[work] = measured(command, place)
        after(work)
    return figures


def in_directory(root: Path, folder: Path, dvc: str, runs: int) -> dict[str, dict[str, list[Took]]]:
    """Rounds of DVC, taut and `cp -r` in turn: figures by work and tool."""
    found: dict[str, dict[str, list[Took]]] = {}
    tools = {"dvc": ([dvc, "push", "-q"], [dvc, "pull", "-q"]), "taut": ([*TAUT, "push"], [*TAUT, "pull"])}
    for number in range(runs):
        for tool, commands in tools.items():
            made = root / f"{tool}{number}"
            os.environ["DVC_SITE_CACHE_DIR"] = str(made / "site")
            config = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {made / 'store'}\n"
            for work, took in one_round(made, folder, config, *commands).items():
                found.setdefault(work, {}).setdefault(tool, []).append(took)
        copied = measured(["cp", "-r", str(folder / "data"), str(root / f"cp{number}")], root)
        for tools_of in found.values():
            tools_of.setdefault("cp", []).append(copied)
    return found


def in_bucket(root: Path, folder: Path, runs: int) -> tuple[dict[str, list[Took]], dict[str, tuple[int, int]]]:
    """Rounds of taut against an S3 server: figures by work; and of one round more, how many requests, and at once."""
    sys.path.insert(0, str(HERE))
    from tests.parts import S3Server, start_s3
    from tests.relay import relayed

    part, endpoint = start_s3()
    found: dict[str, list[Took]] = {}
    requests: dict[str, tuple[int, int]] = {}
    commands = [*TAUT, "push"], [*TAUT, "pull"]

    def note(work: str, passed: "Passed") -> None:
        requests[work] = passed.requests.total(), passed.at_once_max
        passed.forget()

    try:
        for number in range(runs):
            config = bucket_config(S3Server(endpoint), f"bench{number}")
            for work, took in one_round(root / f"s3-{number}", folder, config, *commands).items():
                found.setdefault(work, []).append(took)
        with relayed(endpoint) as passed:
            config = bucket_config(S3Server(passed.endpoint), "counted")
            one_round(root / "counted", folder, config, *commands, after=lambda work: note(work, passed))
    finally:
        part.end()
    return found, requests


def bucket_config(server: "S3Server", prefix: str) -> str:
    """A place on an S3 server as the default remote."""
    options = {
        "url": f"s3://{server.bucket}/{prefix}",
        "endpointurl": server.endpoint,
        "access_key_id": server.access_key_id,
        "secret_access_key": server.secret_access_key,
        "region": server.region,
    }
    lines = [f"    {name} = {value}" for name, value in options.items()]
    return "\n".join(["[core]", "    remote = store", "['remote \"store\"']", *lines, ""])


def medians(figures: list[Took]) -> Took:
    """Of each kind of seconds."""
    return Took(*(median(kind) for kind in zip(*figures, strict=True)))


def show_directory(found: dict[str, dict[str, list[Took]]]) -> None:
    """A line a work, and the same as JSON."""
    print(
        f"{'work':<11}{'dvc user':>9}{'sys':>7}{'wall':>7}{'taut user':>11}{'sys':>7}{'wall':>7}"
        f"{'cp -r user':>12}{'sys':>7}{'wall':>7}{'CPU ratio':>11}{'bar':>7}{'wall ratio':>12}"
    )
    for work, tools in found.items():
        dvc, taut, copied = (medians(tools[tool]) for tool in ("dvc", "taut", "cp"))
        print(
            f"{work:<11}{dvc.user:9.2f}{dvc.system:7.2f}{dvc.wall:7.2f}{taut.user:11.2f}{taut.system:7.2f}"
            f"{taut.wall:7.2f}{copied.user:12.2f}{copied.system:7.2f}{copied.wall:7.2f}"
            f"{taut.cpu / dvc.cpu:11.3f}{BARS[work]:7.3f}{taut.wall / dvc.wall:12.3f}"
        )
    print(json.dumps({work: {tool: medians(took) for tool, took in tools.items()} for work, tools in found.items()}))


def show_bucket(found: dict[str, list[Took]], requests: dict[str, tuple[int, int]]) -> None:
    """A line a work, and the same as JSON."""
    print(f"{'work':<11}{'user':>7}{'sys':>7}{'wall':>7}{'requests':>10}{'at once':>9}")
    for work, figures in found.items():
        took = medians(figures)
        print(
            f"{work:<11}{took.user:7.2f}{took.system:7.2f}{took.wall:7.2f}{requests[work][0]:10}{requests[work][1]:9}"
        )
    print(json.dumps({work: [medians(figures), requests[work]] for work, figures in found.items()}))


def main() -> None:
    """Measure and print."""
    say = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    say.add_argument("--dvc", default=os.environ.get("DVC_PROGRAM", "dvc"))
    say.add_argument("--files", type=int, default=20_000)
    say.add_argument("--runs", type=int, default=5)
    say.add_argument("--folder", default=None, help="where to work: the file system that is measured")
    say.add_argument("--s3", action="store_true", help="a bucket in place of a directory, without DVC")
    told = say.parse_args()
    with tempfile.TemporaryDirectory(dir=told.folder) as name:
        root = Path(name)
        os.environ |= {"DVC_SITE_CACHE_DIR": str(root / "site"), "DVC_NO_ANALYTICS": "1"}
        folder = prepared(root, told.dvc, told.files)
        print(
            f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {told.runs} rounds, {told.files} files"
        )
        if told.s3:
            show_bucket(*in_bucket(root, folder, told.runs))
        else:
            show_directory(in_directory(root, folder, told.dvc, told.runs))


if __name__ == "__main__":
    main()
