"""taut's own data store beside DVC with a directory remote and the plain limits, in one run on one disk.

    python bench/data_store.py --dvc PATH-OF-DVC [--mb 2000] [--files 20000] [--entries 100000] [--rounds 5]
                               [--place FOLDER] [--no-versions]

What a later version costs is held against the changed rows alone, compressed. Transfers are medians of wall and CPU
seconds: `cp` with one sync, DVC (which neither encrypts nor looks at the bytes that it pushes), the store encrypted
and plain. Each round takes all of them in turn, so that what else the machine does meets all alike.
"""

import argparse
import hashlib
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taut.data.exchange.remote import Content
from taut.data.store import create_store, make_key_file, open_store
from taut.data.store.codec import Bytes, shrunk
from taut.data.store.folder import Folder
from taut.data.store.formats import open_format
from taut.data.store.kept import KeptIndexes
from taut.data.store.stores import Store
from taut.ground.progress import Silent

BAR = Silent()
Taken = dict[str, list[tuple[float, float]]]


def md5_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def content_of(path: Path, ancestor: str = "") -> Content:
    return Content(md5_of(path), path, path.stat().st_size, ancestor)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def timed(taken: Taken, what: str) -> Iterator[None]:
    """Wall and CPU seconds of this process and of the children it waits for."""
    os.sync()  # What others wrote before is not ours to wait for.
    begun, before = time.perf_counter(), cpu_s()
    yield
    taken.setdefault(what, []).append((time.perf_counter() - begun, cpu_s() - before))


def cpu_s() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


# What a later version costs


def csv_row(at: int, chance: random.Random) -> bytes:
    return f"{at},{chance.random():.6f},{chance.gauss(0, 1):.4f},{chance.randrange(1000)}\n".encode()


def csv_versions(folder: Path) -> tuple[Path, Path, int]:
    """A CSV of about 44 MB, the same with 1 % of its rows written anew, and those rows compressed."""
    chance = random.Random(7)
    rows = [csv_row(at, chance) for at in range(1_600_000)]
    (folder / "v1.csv").write_bytes(b"".join(rows))
    chosen = sorted(chance.sample(range(len(rows)), len(rows) // 100))
    for at in chosen:
        rows[at] = csv_row(at, chance)
    (folder / "v2.csv").write_bytes(b"".join(rows))
    floor = shrunk(b"".join(rows[at] for at in chosen)) or b""
    return folder / "v1.csv", folder / "v2.csv", len(floor)


def parquet_versions(folder: Path) -> dict[str, tuple[Path, Path]]:
    """A Parquet file, one with 1 % of the values of one column changed, and one with 1 % of its rows deleted."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = np.random.default_rng(7)
    rows = 2_000_000
    columns = {"id": np.arange(rows), "x": numbers.normal(size=rows), "y": numbers.normal(size=rows)}
    columns |= {"n": numbers.integers(0, 1000, rows), "z": numbers.random(rows)}
    pq.write_table(pa.table(columns), folder / "v1.parquet")
    changed = dict(columns, x=columns["x"].copy())
    changed["x"][numbers.choice(rows, rows // 100, replace=False)] = numbers.normal(size=rows // 100)
    pq.write_table(pa.table(changed), folder / "changed.parquet")
    left = np.sort(numbers.choice(rows, rows - rows // 100, replace=False))
    pq.write_table(pa.table({name: values[left] for name, values in columns.items()}), folder / "deleted.parquet")
    first = folder / "v1.parquet"
    return {
        "Parquet, 1 % of one column changed (bar 2 %)": (first, folder / "changed.parquet"),
        "Parquet, 1 % of rows deleted (bar 25 %)": (first, folder / "deleted.parquet"),
    }


def stored_again(folder: Path, earlier: Path, later: Path) -> tuple[float, float]:
    """The share of a later version that is stored again, and the CPU seconds a MB that it took."""
    place = Path(tempfile.mkdtemp(dir=folder))
    store = create_store(str(place / "store"), make_key_file(place / "key"))
    first = content_of(earlier)
    store.push([first], BAR)
    before, second = size_of(place / "store"), content_of(later, first.digest)
    begun = cpu_s()
    store.push([second], BAR)
    used, grown = cpu_s() - begun, size_of(place / "store") - before
    store.pull({second.digest: place / "back"}, BAR)
    assert md5_of(place / "back") == second.digest
    shutil.rmtree(place)
    return grown / second.size_bytes, used / (second.size_bytes / 1e6)


def versions(folder: Path) -> None:
    earlier, later, floor = csv_versions(folder)
    share, cpu = stored_again(folder, earlier, later)
    alone = floor / later.stat().st_size
    times = f"{share / alone:.2f} x the changed rows, compressed (bar 1.6)"
    print(f"CSV, 1 % of rows scattered: {share:.2%}, {times}, {cpu * 1000:.1f} ms CPU a MB")
    for what, (one, other) in parquet_versions(folder).items():
        share, cpu = stored_again(folder, one, other)
        print(f"{what}: {share:.2%}, {cpu * 1000:.1f} ms CPU a MB")


# Transfers


def dvc_round(dvc: str, source: Path, folder: Path, taken: Taken) -> None:
    """Push and pull in a repository of its own; adding is not what is measured."""
    repository = folder / "repository"
    repository.mkdir()

    def call(*words: str) -> None:
        subprocess.run([dvc, *words], cwd=repository, check=True, capture_output=True)

    call("init", "-q", "--no-scm")
    call("config", "core.analytics", "false")
    call("remote", "add", "-q", "-d", "bench", str(folder / "remote"))
    (shutil.copytree if source.is_dir() else shutil.copy)(source, repository / "data")
    call("add", "-q", "data")
    with timed(taken, "dvc push"):
        call("push", "-q")
    shutil.rmtree(repository / ".dvc" / "cache")
    shutil.rmtree(repository / "data") if source.is_dir() else (repository / "data").unlink()
    with timed(taken, "dvc pull"):
        call("pull", "-q")


def store_round(contents: list[Content], folder: Path, taken: Taken, *, is_plain: bool) -> None:
    name, keys = ("plain", None) if is_plain else ("encrypted", make_key_file(folder / "key"))
    store = create_store(str(folder / "store"), keys, is_plain=is_plain)
    with timed(taken, f"{name} push"):
        store.push(contents, BAR)
    wanted = {one.digest: folder / "out" / one.digest[:2] / one.digest[2:] for one in contents}
    with timed(taken, f"{name} pull"):
        open_store(str(folder / "store"), keys).pull(wanted, BAR)


def copied(source: Path, folder: Path, taken: Taken) -> None:
    with timed(taken, "cp"):
        subprocess.run(["cp", "-r", "--reflink=never", str(source), str(folder / "copy")], check=True)
        os.sync()


def transfers(what: str, source: Path, place: Path, dvc: str, rounds: int) -> None:
    files = sorted(source.iterdir()) if source.is_dir() else [source]
    contents = [content_of(path) for path in files]
    taken: Taken = {}
    sides: list[Callable[[Path], None]] = [
        lambda folder: copied(source, folder, taken),
        lambda folder: store_round(contents, folder, taken, is_plain=False),
        lambda folder: store_round(contents, folder, taken, is_plain=True),
    ]
    if dvc:
        sides.append(lambda folder: dvc_round(dvc, source, folder, taken))
    for turn in range(rounds):
        for side in sides if turn % 2 else reversed(sides):  # Whoever comes first pays for cold memory and full disks.
            folder = Path(tempfile.mkdtemp(dir=place))
            side(folder)
            shutil.rmtree(folder)
    print(f"\n{what}, medians of {rounds}")
    medians = {name: [statistics.median(one) for one in zip(*rows, strict=True)] for name, rows in taken.items()}
    for name, (wall, cpu) in sorted(medians.items()):
        print(f"  {name:15} wall {wall:6.2f} s   CPU {cpu:6.2f} s")
    for verb in ("push", "pull"):
        ratios(
            f"{verb}: throughput, encrypted / plain store (bar 0.9)",
            medians[f"plain {verb}"],
            medians[f"encrypted {verb}"],
        )
        if dvc:
            ratios(
                f"{verb}: encrypted store / DVC, plain (bar 1)", medians[f"encrypted {verb}"], medians[f"dvc {verb}"]
            )


def ratios(what: str, one: list[float], other: list[float]) -> None:
    wall, cpu = (a / b for a, b in zip(one, other, strict=True))
    print(f"  {what}: wall {wall:.2f}, CPU {cpu:.2f}")


# Indexes


class Counted(Folder):
    """A place that counts the bytes of index objects that cross it."""

    read_bytes = written_bytes = 0

    def put(self, key: str, data: Bytes) -> None:
        self.written_bytes += len(data) if key.startswith(("index/", "mirror/")) else 0
        super().put(key, data)

    def read(self, key: str, start: int = 0, length: int | None = None, *, into: bytearray | None = None) -> Bytes:
        data = super().read(key, start, length, into=into)
        self.read_bytes += len(data) if key.startswith(("index/", "mirror/")) else 0
        return data


def indexes(entries: int, folder: Path) -> None:
    """What a change costs in a store of many contents: reading the index, removing one, pushing one."""
    (folder / "many").mkdir()
    contents = []
    for at in range(entries):
        path = folder / "many" / str(at)
        path.write_bytes(b"%d" % at)
        contents.append(Content(hashlib.md5(b"%d" % at).hexdigest(), path, len(str(at))))
    keys = make_key_file(folder / "index-key")
    create_store(str(folder / "many-store"), keys).push(contents, BAR)
    print(f"\n{entries} contents")
    for what, kept in (("first", True), ("again, kept here", True), ("again, nothing kept", False)):
        place = Counted(str(folder / "many-store"))
        root = open_format(place, keys)
        store = Store(place, root, keys, kept=KeptIndexes(folder / "kept") if kept else None)
        begun = cpu_s()
        assert store.missing([contents[-1].digest]) == set()
        print(f"  opened {what}: {place.read_bytes / 1e6:.2f} MB of indexes read, CPU {cpu_s() - begun:.2f} s")
    digest = contents[-1].digest
    for verb, act in (
        ("one removed", lambda: store.delete([digest])),
        ("one pushed", lambda: store.push(contents[-1:], BAR)),
    ):
        place.read_bytes = place.written_bytes = 0
        begun = cpu_s()
        act()
        told = f"{place.written_bytes / 1e3:.1f} kB of indexes written, {place.read_bytes / 1e3:.1f} kB read"
        print(f"  {verb}: {told}, CPU {cpu_s() - begun:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dvc", default="", help="the dvc program; without it DVC is left out")
    parser.add_argument("--versions", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--mb", type=int, default=2000)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", default=None, help="a folder on the disk to measure")
    asked = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=asked.place) as name:
        place = Path(name)
        if asked.versions:
            versions(place)
        if asked.mb:
            with (place / "large").open("wb") as stream:
                for _ in range(asked.mb // 8):
                    stream.write(os.urandom(8_000_000))
            transfers(f"one file of {asked.mb} MB", place / "large", place, asked.dvc, asked.rounds)
        if asked.files:
            (place / "small").mkdir()
            chance = random.Random(7)
            for at in range(asked.files):
                (place / "small" / f"f{at}").write_bytes(chance.randbytes(chance.randint(1000, 4000)).hex().encode())
            transfers(f"{asked.files} files of 2-8 KB", place / "small", place, asked.dvc, asked.rounds)
        if asked.entries:
            indexes(asked.entries, place)


if __name__ == "__main__":
    main()
