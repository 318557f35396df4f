"""A file with scores and targets is measured without a home, whole and by a column."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from taut.errors import Invalid, NotFound
from taut.faces.cli.watch import watch
from taut.ground import wire
from taut.watch.performance.slices import cut
from taut.watch.performance.tables import TablePerformance, measure_table
from taut.watch.tables import Names


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Two thousand rows whose scores are right but on the plan `c`."""
    chance = np.random.default_rng(0)
    score, plan = chance.random(2_000), chance.choice(["a", "b", "c"], 2_000)
    target = (chance.random(2_000) < np.where(plan == "c", 1 - score, score)).astype(int)
    path = tmp_path / "scored.parquet"
    pq.write_table(pa.table({"plan": plan, "size": score * 9, "score": score, "target": target}), path)
    return path


def test_a_file_is_measured_whole_and_by_a_column(scored: Path):
    found: Any = measure_table(scored, by="plan")
    assert (found.kind, found.rows, found.labelled) == ("binary", 2_000, 2_000)
    assert 0.5 < found.figures["accuracy"].low < 0.65
    assert [one.name for one in found.slices if one.is_worse] == ["plan = c"]
    assert measure_table(scored, by="size").slices[0].rows == 400
    assert measure_table(scored).slices == ()


def test_what_a_file_lacks_is_told(scored: Path):
    with pytest.raises(Invalid, match="no column 'label'"):
        measure_table(scored, Names("score", "label"))
    with pytest.raises(NotFound, match="no column 'plane'; it has plan, size"):
        measure_table(scored, by="plane")
    with pytest.raises(NotFound, match="there is no file"):
        measure_table(scored.with_name("none.parquet"))


def test_the_command_shows_measures_and_slices_and_needs_no_home(scored: Path):
    told = CliRunner().invoke(watch, ["performance", "--data", str(scored), "--by", "plan"])
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0] == f"{scored}: 2000 rows, 2000 with a label and a score"
    assert lines[1].split() == ["measure", "value", "at", "least", "at", "most", "rows", "bounds"]
    assert lines[-1] == "worse than the rest: plan = c (at most 0.05 of the names wrong on average)"
    told = CliRunner().invoke(watch, ["performance", "--data", str(scored), "--json"])
    assert wire.decode(told.output, TablePerformance) == measure_table(scored)


def test_a_column_is_cut_at_quintiles_or_by_its_levels():
    names, places = cut("z", [*map(float, range(10)), None])
    assert names == ["z <= 1", "z in 1 to 3", "z in 3 to 5", "z in 5 to 7", "z > 7", "z is missing"]
    assert places.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    names, places = cut("plan", [f"p{place // 2:02}" for place in range(40)])
    assert len(names) == 13
    assert names[-1] == "plan is another level"
    assert np.bincount(places)[-1] == 16
    assert cut("z", [1.0, 1.0])[0] == ["z of any size"]
    assert cut("is_new", [True, None])[0] == ["is_new = True", "is_new is missing"]
