"""Profile, contract check and diff of large tables beside pandas, polars, DuckDB and pandera, in one run.

    python bench/data_tables.py [--rows 5000000] [--peer PYTHON] [--only profile check] [--place FOLDER] [--rounds 3]

Each work runs in a process of its own: medians of wall and CPU seconds, and its peak of memory less what the imports
alone take. `--peer` is an interpreter that has pandas, polars, duckdb and pandera; a peer that is not there fails.
`wide` are 2,000 columns, `long` cells of 1 MB: what is asked of them is flat memory, so they grow fourfold as well.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

WORKS = ("profile", "check", "diff", "wide", "long")
PLANS = {
    "profile": {
        "taut": (
            "from pathlib import Path; from taut.data.tables.parts import part_of\n"
            "from taut.data.tables.profiles import profile_table\n"
            "profile_table([part_of(Path(old))])"
        ),
        "pandas": (
            "import pandas as pd\nread = pd.read_parquet if old.endswith('parquet') else pd.read_csv\n"
            "read(old).describe(include='all')"
        ),
        "polars": (
            "import polars as pl\nscan = pl.scan_parquet if old.endswith('parquet') else pl.scan_csv\n"
            "scan(old).collect().describe()"
        ),
        "duckdb": "import duckdb\nduckdb.sql(f\"SUMMARIZE SELECT * FROM '{old}'\").fetchall()",
    },
    "check": {
        "taut": (
            "from pathlib import Path; from taut.data.tables.parts import part_of\n"
            "from taut.data.tables.contracts import check_table\n"
            "from taut.data.tables.rules import ColumnContract as C, Contract\n"
            "rules = {f'n{k}': C('float', min=-100, max=100) for k in range(9)}\n"
            "rules |= {f'c{k}': C(accepted_values=[f'level {n}' for n in range(20)]) for k in range(5)}\n"
            "rules |= {'id': C('int', nullable=False, unique=True), 't0': C(pattern='[a-z0-9 ]+')}\n"
            "assert check_table([part_of(Path(old))], Contract(rules, strict=False)).passed"
        ),
        "pandera": (
            "import pandas as pd, pandera.pandas as pa\n"
            "read = pd.read_parquet if old.endswith('parquet') else pd.read_csv\n"
            "rules = {f'n{k}': pa.Column(float, pa.Check.in_range(-100, 100), nullable=True) for k in range(9)}\n"
            "rules |= {f'c{k}': pa.Column(str, pa.Check.isin([f'level {n}' for n in range(20)])) for k in range(5)}\n"
            "rules |= {'id': pa.Column(int, unique=True), 't0': pa.Column(str, pa.Check.str_matches('^[a-z0-9 ]+$'))}\n"
            "pa.DataFrameSchema(rules).validate(read(old), lazy=True)"
        ),
    },
    "diff": {
        "taut": (
            "from pathlib import Path; from taut.data.tables.parts import open_table, part_of\n"
            "from taut.data.tables.rows import row_diff\n"
            "found = row_diff(open_table([part_of(Path(old))]), open_table([part_of(Path(new))]), ['id'])\n"
            "assert found.changed and found.removed"
        ),
        "pandas": (
            "import pandas as pd\nread = pd.read_parquet if old.endswith('parquet') else pd.read_csv\n"
            "both = read(old).merge(read(new), on='id', how='outer', suffixes=('', '_new'), indicator=True)\n"
            "names = [n for n in both.columns if n + '_new' in both.columns]\n"
            "other = lambda n: both[n + '_new']\n"
            "{n: int(((both[n] != other(n)) & ~(both[n].isna() & other(n).isna())).sum()) for n in names}"
        ),
        "polars": (
            "import polars as pl\nread = pl.read_parquet if old.endswith('parquet') else pl.read_csv\n"
            "both = read(old).join(read(new), on='id', how='full', suffix='_new')\n"
            "names = [n for n in both.columns if n + '_new' in both.columns and n != 'id']\n"
            "both.select([(pl.col(n).ne_missing(pl.col(n + '_new'))).sum() for n in names])"
        ),
    },
}  # fmt: skip
IMPORTS = "import numpy, pyarrow.parquet, pyarrow.csv, pyarrow.compute, duckdb\n"
COST = (
    "import resource as r, sys\nu = r.getrusage(r.RUSAGE_SELF)\n"
    "print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1024, file=sys.stderr)\n"
)


def make_tables(folder: Path, rows: int) -> dict[str, tuple[Path, Path]]:
    """Two versions of a table of 17 columns, the second with 1 % of one column changed and its last 1,000 rows gone."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    chance = np.random.default_rng(5)
    words = np.array([f"word{n}" for n in range(5_000)])
    columns: dict[str, object] = {"id": np.arange(rows)}
    for place in range(9):
        columns[f"n{place}"] = np.round(chance.normal(size=rows), 6 if place % 2 else 2)
    for place in range(5):
        levels = pa.array([f"level {n}" for n in range(20)])
        columns[f"c{place}"] = levels.take(pa.array(chance.integers(0, 4 * place + 4, rows)))
    columns["t0"] = pa.array(np.char.add(np.char.add(chance.choice(words, rows), " "), chance.choice(words, rows)))
    columns["t1"] = pa.array(np.char.add("name ", chance.permutation(rows).astype(str)))
    old = pa.table(columns)
    moved = np.where(np.arange(rows) % 100 == 0, columns["n0"] + 1, columns["n0"])  # type: ignore[operator]  # An array of numbers.
    new = old.set_column(1, "n0", pa.array(moved)).slice(0, rows - 1000)
    made = {}
    for kind in ("csv", "parquet"):
        places = folder / f"old.{kind}", folder / f"new.{kind}"
        for place, table in zip(places, (old, new), strict=True):
            csv.write_csv(table, place) if kind == "csv" else pq.write_table(table, place)
        made[kind] = places
    return made


def make_wide(place: Path, rows: int) -> Path:
    """2,000 columns of numbers."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    chance = np.random.default_rng(6)
    pq.write_table(pa.table({f"x{n}": chance.normal(size=rows) for n in range(2000)}), place)
    return place


def make_long(place: Path, rows: int) -> Path:
    """A number and a text of 1 MB in each row."""
    with place.open("w") as stream:
        stream.write("id,body\n")
        for row in range(rows):
            stream.write(f"{row},{f'{row:08d} '.ljust(20, 'x') * 50_000}\n")
    return place


def cost(python: str, work: str, old: Path, new: Path, rounds: int) -> tuple[float, float, float] | None:
    """Medians of wall and CPU seconds and the peak in MB of a program in a process of its own; None where it fails."""
    program = f"old, new = {str(old)!r}, {str(new)!r}\n{work}\n{COST}"
    taken = []
    for _ in range(rounds):
        before = os.times().elapsed
        done = subprocess.run([python, "-c", program], check=False, capture_output=True, text=True)
        if done.returncode:
            print(done.stderr[-600:], file=sys.stderr)
            return None
        cpu, peak = map(float, done.stderr.split()[-2:])
        taken.append((os.times().elapsed - before, cpu, peak))
    wall, cpu, peak = (statistics.median(one[place] for one in taken) for place in range(3))
    return wall, cpu, peak


def main() -> None:
    """Make the tables, measure, print a line each."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=5_000_000)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--peer", default=sys.executable)
    asked.add_argument("--only", nargs="*", default=list(WORKS), choices=WORKS)
    asked.add_argument("--side", nargs="*", default=[])
    asked.add_argument("--kind", nargs="*", default=["csv", "parquet"])
    asked.add_argument("--place", type=Path)
    told = asked.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {told.rows} rows")
    with tempfile.TemporaryDirectory(dir=told.place) as folder:
        measure(told, Path(folder))
    print(f"load average {os.getloadavg()[0]:.1f}, peak of this process {peak_mb():.0f} MB")


def measure(told: argparse.Namespace, folder: Path) -> None:
    """Every work that was asked for."""
    print(f"{'work':24} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}")
    if set(told.only) & set(PLANS):
        for kind, (old, new) in made(make_tables, folder, told.rows).items():
            for work in (one for one in told.only if one in PLANS and kind in told.kind):
                for side, program in PLANS[work].items():
                    if not told.side or side in told.side:
                        python = sys.executable if side == "taut" else told.peer
                        line(f"{work} {kind} {side}", cost(python, program, old, new, told.rounds))
    for work, make, sizes in (("wide", make_wide, (20_000, 80_000)), ("long", make_long, (100, 400))):
        if work in told.only:
            for rows in sizes:
                place = made(make, folder / f"{work}.{'parquet' if work == 'wide' else 'csv'}", rows)
                found = cost(sys.executable, PLANS["profile"]["taut"], place, place, told.rounds)
                line(f"{work} {rows} rows taut", found)
    line("the imports alone", cost(sys.executable, IMPORTS, Path(), Path(), 1))


def made(make: Callable[[Path, int], T], place: Path, rows: int) -> T:
    """What a function makes in a process of its own: a child that is measured begins with its parent's peak."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(make, place, rows).result()


def line(what: str, found: tuple[float, float, float] | None) -> None:
    """One line of the table."""
    print(f"{what:24} " + ("failed" if found is None else " ".join(f"{one:8.2f}" for one in found)), flush=True)


def peak_mb() -> float:
    """This process's own peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
