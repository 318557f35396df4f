"""How many rows a second a batch scores, beside a plain loop of the same libraries and beside what others use.

    python bench/batch.py [--rows 1000000 5000000] [--peers PYTHON] [--json]

Parquet files of 14 numeric and 6 categorical columns are scored by a histogram gradient boosting classifier, compiled,
on the cores that this process may use. `taut` is `taut batch` with its start, checks, ids, digests and syncs; `loop` is
a process for each core with pyarrow and onnxruntime alone: no checks, no ids, nothing that survives a kill. Peers
(MLflow's pyfunc with pandas, Dask, Ray Data) run where the interpreter of `--peers` has them, with the model that was
saved. On a busy machine compare CPU seconds a million rows, but for Ray, whose processes leave the tree and are counted
in part; memory is the largest PSS of the whole tree and of its session.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.machine import memory_mb
from bench.scored import SEED, TRAINED_ON, make_table, save, train
from taut.ground.settings import make_folder
from taut.home import open_home
from taut.models import compile_model, find_model, register_folder, served_form

FILE_ROWS = 500_000
LOOK_EVERY_S = 0.1

LOOP = """
import os, sys
from multiprocessing import get_context
import numpy as np, pyarrow as pa, pyarrow.parquet as pq, json
def work(task):
    import onnxruntime
    graph, path, out = task
    options = onnxruntime.SessionOptions(); options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    known = json.loads(session.get_modelmeta().custom_metadata_map["taut"])["vocabularies"]
    names = [f"n{i}" for i in range(14)] + [f"c{i}" for i in range(6)]
    writer, pa_threads = None, pa.set_cpu_count(1)
    file = pq.ParquetFile(path, read_dictionary=names[14:])
    for batch in file.iter_batches(16384, columns=names, use_threads=False):
        rows = np.empty((batch.num_rows, 20))
        for i, name in enumerate(names):
            cells = batch.column(name)
            if i >= 14:
                codes = np.array([known[name].get(word, -1) for word in cells.dictionary.to_pylist()], "float64")
                rows[:, i] = codes[cells.indices.to_numpy()]
            else:
                rows[:, i] = cells.to_numpy()
        starts = range(0, len(rows), 2048)
        said = np.concatenate([session.run(["answer"], {"rows": rows[a:a + 2048]})[0] for a in starts])
        made = pa.RecordBatch.from_pydict({"prediction": said.argmax(axis=1), "probability": said[:, 1]})
        writer = writer or pq.ParquetWriter(out, made.schema, compression="zstd")
        writer.write_batch(made)
    writer.close()
if __name__ == "__main__":
    graph, source, out = sys.argv[1:]
    tasks = [(graph, os.path.join(source, name), os.path.join(out, name)) for name in sorted(os.listdir(source))]
    with get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        pool.map(work, tasks, 1)
"""
PANDAS = """
import sys, warnings; warnings.simplefilter("ignore")
import cloudpickle, mlflow, mlflow.sklearn, pandas as pd, tempfile
from mlflow.models import infer_signature
model, source, out = sys.argv[1:]
rows = pd.read_parquet(source)
made = cloudpickle.load(open(model, "rb"))
folder = tempfile.mkdtemp() + "/model"
signature = infer_signature(rows.head(), made.predict(rows.head()))
mlflow.sklearn.save_model(made, folder, signature=signature, pip_requirements=[], serialization_format="cloudpickle")
pd.DataFrame({"prediction": mlflow.pyfunc.load_model(folder).predict(rows)}).to_parquet(out + "/all.parquet")
"""
DASK = """
import sys
import cloudpickle, dask.dataframe as dd, pandas as pd
from dask.distributed import Client
if __name__ == "__main__":
    model, source, out = sys.argv[1:]
    with Client(processes=True, threads_per_worker=1, dashboard_address=None):
        made = cloudpickle.load(open(model, "rb"))
        score = lambda rows: pd.DataFrame({"prediction": made.predict(rows)})
        dd.read_parquet(source).map_partitions(score, meta={"prediction": "int64"}).to_parquet(out)
"""
RAY = """
import sys
import cloudpickle, ray
model, source, out = sys.argv[1:]
class Score:
    def __init__(self):
        self.model = cloudpickle.load(open(model, "rb"))
    def __call__(self, rows):
        return rows.assign(prediction=self.model.predict(rows))[["prediction"]]
ray.init(logging_level="error", log_to_driver=False)
ray.data.read_parquet(source).map_batches(Score, batch_format="pandas", concurrency=(1, 2)).write_parquet(out)
"""
PEERS = {"mlflow": ("mlflow", PANDAS), "dask": ("dask.distributed", DASK), "ray data": ("ray.data", RAY)}


@dataclass(frozen=True)
class Measured:
    """One run; `slowdown` is its CPU time over that of the plain loop."""

    name: str
    rows: int
    rows_s: float
    cpu_s_per_million: float
    peak_mb: float
    slowdown: float = 0.0


def main() -> None:
    """Make rows, measure each, tell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--peers", default="", help="a Python that has mlflow, dask or ray")
    parser.add_argument("--folder", type=Path, default=None, help="where rows are made  [default: a temporary folder]")
    parser.add_argument("--one-group", action="store_true", help="make one file of one row group instead")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        prepare(Path(folder))
        for rows in given.rows:
            source = Path(folder) / f"rows-{rows}"
            make_rows(source, rows, one_group=given.one_group)
            figures += measure(Path(folder), source, rows, given.peers)
    show(figures, as_json=given.json)


def prepare(project: Path) -> None:
    """A project with the model, registered and compiled; its graph and its pickle as files for the others."""
    make_folder(project)
    with open_home(project) as home:
        table = make_table(np.random.default_rng(SEED), TRAINED_ON)
        register_folder(home, "late", save(project / "model", train(table), table))
        assert compile_model(home, "late@1").is_used
        (project / "graph.onnx").write_bytes(served_form(home, find_model(home, "late@1")).graph)


def make_rows(folder: Path, rows: int, *, one_group: bool) -> None:
    """Files of rows that no model was trained on."""
    folder.mkdir()
    chance = np.random.default_rng(SEED + 1)
    if not one_group:
        for place in range(0, rows, FILE_ROWS):
            made = pa.Table.from_pandas(make_table(chance, min(FILE_ROWS, rows - place)), preserve_index=False)
            pq.write_table(made, folder / f"{place:010d}.parquet")
        return
    whole = pa.Table.from_pandas(make_table(chance, FILE_ROWS), preserve_index=False)
    table = pa.concat_tables([whole] * (rows // FILE_ROWS))
    pq.write_table(table, folder / "all.parquet", row_group_size=rows)


def measure(project: Path, source: Path, rows: int, peers: str) -> list[Measured]:
    """The plain loop, taut and each peer, each into a folder of its own."""
    outputs = {name: project / f"{name}-{rows}" for name in ("loop", "taut", *PEERS)}
    for name, folder in outputs.items():
        if name != "taut":
            folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    loop = script(project, "loop", LOOP)
    found = [run("loop", rows, [sys.executable, loop, str(project / "graph.onnx"), str(source), str(outputs["loop"])])]
    taut = [sys.executable, "-m", "taut", "--home", str(project), "batch", "late@1", str(source), str(outputs["taut"])]
    found.append(run("taut", rows, taut))
    for name, (package, program) in PEERS.items():
        if peers and has(peers, package):
            words = [peers, script(project, name, program), str(project / "model" / "model.pkl"), str(source)]
            try:
                found.append(run(name, rows, [*words, str(outputs[name])], environment))
            except ChildProcessError as problem:  # Told, and no figure; the others are worth having.
                print(problem, file=sys.stderr)
    plain = found[0].cpu_s_per_million
    return [Measured(**{**asdict(one), "slowdown": one.cpu_s_per_million / plain}) for one in found]


def run(name: str, rows: int, command: list[str], environment: dict[str, str] | None = None) -> Measured:
    """Run it to its end; its CPU time is that of all processes that it waited for."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    peak, over = [0.0], threading.Event()

    def look() -> None:
        while not over.wait(LOOK_EVERY_S):
            peak[0] = max(peak[0], memory_mb(process.pid))

    looking = threading.Thread(target=look)
    looking.start()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    looking.join()
    seconds = time.perf_counter() - begun
    if process.returncode:
        raise ChildProcessError(f"{name} ended with {process.returncode}")
    return Measured(name, rows, rows / seconds, (used.ru_utime + used.ru_stime) / rows * 1e6, peak[0])


def script(project: Path, name: str, program: str) -> str:
    """A program as a file: processes that it spawns read it again."""
    path = project / f"score_by_{name.replace(' ', '_')}.py"  # Called as a package it would be imported in its place.
    path.write_text(program)
    return str(path)


def has(python: str, package: str) -> bool:
    """Whether an interpreter has a package."""
    return subprocess.run([python, "-c", f"import {package}"], check=False, capture_output=True).returncode == 0


def show(figures: list[Measured], *, as_json: bool) -> None:
    """A line each, or JSON."""
    if as_json:
        print(msgspec.json.encode(figures).decode())
        return
    print(f"{'':10} {'rows':>10} {'rows/s':>10} {'CPU s/M rows':>13} {'to loop':>8} {'PSS MB':>8}")
    for one in figures:
        print(
            f"{one.name:10} {one.rows:10} {one.rows_s:10.0f} {one.cpu_s_per_million:13.2f} {one.slowdown:8.2f}"
            f" {one.peak_mb:8.0f}"
        )


if __name__ == "__main__":
    main()
