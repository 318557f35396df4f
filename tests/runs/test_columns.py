"""A search that asks for some columns brings these, and nothing else of a run."""

import pytest

from taut.errors import Invalid
from taut.runs import (
    DatasetInput,
    MetricPoint,
    ModelInput,
    ModelOutput,
    create_run,
    log_batch,
    log_inputs,
    log_outputs,
    page_of_runs,
)


@pytest.fixture
def run_id(home) -> str:
    run = create_run(home, run_id="r", name="first", tags={"team": "red"})
    log_batch(
        home, run.id, metrics=[MetricPoint("auc", 0.5), MetricPoint("loss", 1.0), MetricPoint("my metric", 2.0)],
        params={"depth": "3", "kind": "tree"},
    )  # fmt: skip
    log_inputs(home, run.id, [DatasetInput("flights", "d1", "local", "x")], models=[ModelInput("m-2")])
    log_outputs(home, run.id, [ModelOutput("m-1")])
    return run.id


COLUMNS = {
    "": ([], {}, {}, 0, 0),
    "metrics.auc": (["auc"], {}, {}, 0, 0),
    "metrics.`my metric` params.depth": (["my metric"], {"depth": "3"}, {}, 0, 0),
    "metrics.* tags.team": (["auc", "loss", "my metric"], {}, {"team": "red"}, 0, 0),
    "params.* params.depth inputs": ([], {"depth": "3", "kind": "tree"}, {}, 1, 0),
    "outputs metrics.nothing": ([], {}, {}, 0, 1),
}


@pytest.mark.parametrize("written", COLUMNS)
def test_what_is_asked_for_is_all_that_comes(home, run_id, written: str):
    words = written.replace("`my metric`", "`my~metric`").split()
    (found,) = page_of_runs(home, ["0"], columns=[word.replace("~", " ") for word in words]).runs
    metrics, params, tags, inputs, outputs = COLUMNS[written]
    assert sorted(point.key for point in found.metrics) == metrics
    assert (found.run.params, found.run.tags, len(found.inputs), len(found.outputs)) == (params, tags, inputs, outputs)
    assert len(found.model_inputs) == inputs
    assert (found.run.id, found.run.name, found.run.status) == ("r", "first", "RUNNING")


def test_a_filter_and_an_order_look_at_what_does_not_come(home, run_id):
    page = page_of_runs(home, ["0"], filter="params.depth = '3'", order_by=["metrics.loss"], columns=["tags.team"])
    assert [detail.run.tags for detail in page.runs] == [{"team": "red"}]
    assert page.runs[0].run.params == {}


@pytest.mark.parametrize("word", ["auc", "dataset.name", "metrics", "status", "metrics.a DESC", "", "1;2"])
def test_a_column_that_there_cannot_be_is_refused(home, run_id, word: str):
    with pytest.raises(Invalid):
        page_of_runs(home, ["0"], columns=[word])


def test_without_a_wish_everything_comes(home, run_id):
    (found,) = page_of_runs(home, ["0"]).runs
    assert (len(found.metrics), len(found.run.params), len(found.inputs), len(found.outputs)) == (3, 2, 1, 1)
