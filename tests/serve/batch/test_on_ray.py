"""The parts of a batch on a cluster of Ray: several nodes, one of them lost in the midst, and every row once."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from taut.errors import Invalid, UsageError
from taut.home import Home
from taut.serve.batch.job import BatchResult, run_batch
from taut.serve.batch.on_ray import over_ray
from taut.serve.batch.plan import Options, parts_of
from tests.parts import eventually
from tests.serve.batch.scenes import read_parts, setup_of, table, willing

try:
    import ray
except ImportError:
    ray = None
with_ray = pytest.mark.skipif(ray is None, reason="Ray is not installed: pip install 'taut[ray]'")
ROWS, PART_ROWS = 900, 15
HERE = Path(__file__).parents[3]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Three nodes of one core each on this machine, and a driver without any."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
    nodes = [made.add_node(num_cpus=1, object_store_memory=100 << 20) for _ in range(3)]
    # Its workers are not of this process's import mode: they need to be told where tests are.
    ray.init(address=made.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": python_path()}})
    try:
        yield made, nodes
    finally:
        ray.shutdown()
        made.shutdown()


def python_path() -> str:
    return os.pathsep.join([str(HERE / "src"), str(HERE), os.environ.get("PYTHONPATH", "")])


def run(home: Home, source: Path, output: Path, **more: Any) -> BatchResult:
    options = Options(part_rows=PART_ROWS, keep=("key",), **more)
    return run_batch(home, "late@1", str(source), str(output), options=options, on="ray")


def each_once(output: Path) -> None:
    found = read_parts(output)
    assert Counter(found["key"].to_pylist()) == Counter(f"k{row}" for row in range(ROWS))
    assert len(set(found["id"].to_pylist())) == ROWS
    said = dict(zip(found["key"].to_pylist(), found["prediction"].to_pylist(), strict=True))
    assert said == {f"k{row}": 2.0 * row for row in range(ROWS)}


@pytest.mark.skipif(ray is not None, reason="Ray is installed")
def test_without_ray_it_is_told_what_to_install(home: Home, tmp_path: Path):
    willing(home)
    pq.write_table(table(10), tmp_path / "rows.parquet")
    with pytest.raises(UsageError, match="--on ray needs Ray") as refused:
        run(home, tmp_path / "rows.parquet", tmp_path / "out")
    assert refused.value.hint == "pip install 'taut[ray]'"


@with_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_loses_a_node_writes_every_row_once(home: Home, tmp_path: Path, cluster: Any):
    willing(home)
    made, nodes = cluster
    source, output = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(ROWS), source, row_group_size=200)
    lost = threading.Event()

    def lose() -> None:
        eventually(lambda: len(list(output.glob("part-*"))) >= 4, within=200, what="parts")
        made.remove_node(nodes[0], allow_graceful=False)
        lost.set()

    losing = threading.Thread(target=lose)
    losing.start()
    result = run(home, source, output)
    losing.join()
    assert lost.is_set() and result.scored == ROWS and result.parts_before == 0
    each_once(output)
    again = run(home, source, output)
    assert (again.job, again.parts_before) == (result.job, result.parts)


@with_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_workers_that_are_killed_are_tried_again_and_wrong_rows_are_told(home: Home, tmp_path: Path, cluster: Any):
    willing(home)
    source, output = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(ROWS, carrier={100: f"once:{tmp_path / 'died'}"}), source)
    run(home, source, output)
    assert (tmp_path / "died").exists()
    each_once(output)
    pq.write_table(table(ROWS, seats={100: None}), source)
    with pytest.raises(Invalid, match=r"rows.parquet, row 100: column 'seats' takes long; it is null"):
        run(home, source, tmp_path / "other")


@with_ray
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_only_the_parts_that_are_asked_for_are_written(home: Home, tmp_path: Path, cluster: Any):
    willing(home)
    source, output = tmp_path / "rows.parquet", tmp_path / "out"
    pq.write_table(table(ROWS), source)
    setup = setup_of(home, source, output, part_rows=PART_ROWS, keep=("key",))
    done = [one.done.number for one in over_ray(setup, list(parts_of(setup.plan))[:7])]
    assert sorted(done) == list(range(7)) and len(list(output.glob("part-*"))) == 7
