"""A batch holds as much of ten times the rows as of one time, of one group of rows as of many."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.machine import memory_mb
from bench.scored import CATEGORICAL, NUMERIC, SEED, make_table, save, train
from taut.home import Home
from taut.models import compile_model, register_folder

PEAK_MB = 1024.0
LOOK_EVERY_S = 0.05


def peak_mb(home: Home, source: Path, output: Path) -> float:
    """The largest PSS of the tree of a whole `taut batch`."""
    words = ["batch", "late@1", str(source), str(output), "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "taut", "--home", home.place, *words], stdout=subprocess.DEVNULL, env=dict(os.environ)
    )
    peak, waited = 0.0, threading.Event()
    while process.poll() is None:
        peak = max(peak, memory_mb(process.pid))
        waited.wait(LOOK_EVERY_S)
    assert process.returncode == 0
    return peak


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_is_flat_however_many_rows_and_however_they_lie(home: Home, tmp_path: Path):
    learned = make_table(np.random.default_rng(SEED), 4_000)
    register_folder(home, "late", save(tmp_path / "model", train(learned), learned))
    assert compile_model(home, "late@1").is_used
    some = pa.Table.from_pandas(make_table(np.random.default_rng(1), 100_000), preserve_index=False)
    assert some.column_names == [*NUMERIC, *CATEGORICAL]
    pq.write_table(pa.concat_tables([some] * 6), tmp_path / "small.parquet", row_group_size=100_000)
    pq.write_table(pa.concat_tables([some] * 20), tmp_path / "many.parquet", row_group_size=100_000)
    pq.write_table(pa.concat_tables([some] * 20), tmp_path / "giant.parquet", row_group_size=2_000_000)
    small, many, giant = (
        peak_mb(home, tmp_path / f"{name}.parquet", tmp_path / name) for name in ("small", "many", "giant")
    )
    assert max(small, many, giant) < PEAK_MB
    assert many < small * 1.4 and giant < small * 1.4, (small, many, giant)
    found = [pq.read_table(tmp_path / name)["probability"].to_numpy() for name in ("many", "giant")]
    np.testing.assert_array_equal(np.sort(found[0]), np.sort(found[1]))
