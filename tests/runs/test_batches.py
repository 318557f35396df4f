"""What is logged to runs: whole batches, params once, points never doubled, the latest value however it arrives."""

import itertools
import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from taut.errors import Invalid, NotFound
from taut.ground.ledger import events
from taut.runs import (
    DatasetInput,
    MetricPoint,
    ModelInput,
    ModelOutput,
    create_run,
    delete_tag,
    get_run,
    log_batch,
    log_inputs,
    log_outputs,
    metric_history,
    run_detail,
)


@pytest.fixture
def run_id(home) -> str:
    return create_run(home).id


def test_a_batch_is_one_ledger_entry(home, run_id):
    log_batch(
        home, run_id, metrics=[MetricPoint("m", 1.0), MetricPoint("m", 2.0, 1)], params={"p": "1"}, tags={"t": "x"}
    )
    run = get_run(home, run_id)
    assert (run.metrics, run.params, run.tags["t"]) == ({"m": 2.0}, {"p": "1"}, "x")
    with home.meta.read() as tx:
        assert [event.body for event in events(tx, kind="run.logged")] == ['{"metrics":2,"params":1,"tags":1}']


def test_a_batch_with_one_bad_item_leaves_nothing_behind(home, run_id):
    log_batch(home, run_id, params={"p": "1"})
    with pytest.raises(Invalid, match="Changing param values is not allowed"):
        log_batch(home, run_id, metrics=[MetricPoint("m", 1.0)], params={"a": "0", "p": "2"}, tags={"t": "x"})
    run = get_run(home, run_id)
    assert (run.metrics, run.params) == ({}, {"p": "1"})
    assert "t" not in run.tags


def test_the_same_param_again_is_fine(home, run_id):
    log_batch(home, run_id, params={"p": "1"})
    log_batch(home, run_id, params={"p": "1", "q": "2"})
    assert get_run(home, run_id).params == {"p": "1", "q": "2"}


def test_a_batch_that_is_sent_again_doubles_nothing(home, run_id):
    points = [MetricPoint("m", 0.5, 1, 10), MetricPoint("m", None, 2, 10), MetricPoint("m", 0.5, 1, 10)]
    for _ in range(2):
        log_batch(home, run_id, metrics=points)
    assert [p.value for p in metric_history(home, run_id, "m").points] == [0.5, None]


def test_a_batch_that_two_send_at_once_is_there_once(home, run_id):
    points = [MetricPoint("m", float(step), step, 1) for step in range(50)]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(log_batch, home, run_id, metrics=points, params={"p": "1"}) for _ in range(8)]:
            done.result()
    assert [p.step for p in metric_history(home, run_id, "m").points] == list(range(50))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_the_latest_value_is_that_of_the_highest_step_time_and_value(home, run_id, order):
    points = [
        MetricPoint("m", 9.0, 1, 5),
        MetricPoint("m", None, 2, 1),
        MetricPoint("m", 3.0, 2, 1),
        MetricPoint("m", 2.0, 2, 1),
    ]
    for index in order:
        log_batch(home, run_id, metrics=[points[index]])
    assert get_run(home, run_id).metrics == {"m": 3.0}


def test_infinities_are_the_largest_numbers_and_not_a_number_is_none(home, run_id):
    log_batch(
        home,
        run_id,
        metrics=[MetricPoint("up", math.inf), MetricPoint("down", -math.inf), MetricPoint("nan", math.nan)],
    )
    largest = sys.float_info.max
    assert get_run(home, run_id).metrics == {"up": largest, "down": -largest, "nan": None}


def test_a_key_that_is_not_safe_as_a_path_is_refused(home, run_id):
    bad = ("", "/a", "a//b", "../a", "a/../b", "a\x00b", "x" * 251, "a;b", "a\n")
    parts: list[Callable[[str], dict[str, Any]]] = [
        lambda key: {"metrics": [MetricPoint(key, 1.0)]},
        lambda key: {"params": {key: "1"}},
        lambda key: {"tags": {key: "1"}},
    ]
    for key, part in itertools.product(bad, parts):
        with pytest.raises(Invalid, match="key of a"):
            log_batch(home, run_id, **part(key))


def test_keys_that_people_use_are_taken(home, run_id):
    keys = ("a", "train/loss", "ünï cödé", "a.b-c:d", "x" * 250)
    for key in keys:
        log_batch(home, run_id, metrics=[MetricPoint(key, 1.0)], params={key: "1"}, tags={key: "1"})
    assert get_run(home, run_id).metrics == dict.fromkeys(keys, 1.0)


TOO_MUCH: list[dict[str, Any]] = [
    {"metrics": [MetricPoint("m", 1.0, step) for step in range(1001)]},
    {"params": {f"p{i}": "1" for i in range(101)}},
    {"tags": {f"t{i}": "1" for i in range(101)}},
    {"metrics": [MetricPoint("m", 1.0, step) for step in range(950)], "params": {f"p{i}": "1" for i in range(51)}},
]


def test_a_batch_past_the_limits_is_refused(home, run_id):
    for batch in TOO_MUCH:
        with pytest.raises(Invalid, match="at most"):
            log_batch(home, run_id, **batch)


def test_long_values_are_cut_as_mlflow_cuts_them(home, run_id):
    log_batch(home, run_id, params={"p": "x" * 7000}, tags={"t": "y" * 9000})
    log_batch(home, run_id, params={"p": "x" * 7000})
    run = get_run(home, run_id)
    assert (len(run.params["p"]), len(run.tags["t"])) == (6000, 8000)


def test_the_pages_of_a_history_give_every_point_once_also_where_many_share_a_moment(home, run_id):
    points = [MetricPoint("m", float(value), value // 7, 3) for value in range(50)]
    log_batch(home, run_id, metrics=points)
    for size in (1, 3, 7, 50):
        found: list[MetricPoint] = []
        token = ""
        while True:
            page = metric_history(home, run_id, "m", max_results=size, page_token=token)
            found += page.points
            if not (token := page.next_page):
                break
        assert found == points, size


def test_a_page_token_that_was_never_given_is_refused(home, run_id):
    for token in ("%%%", "e30=", "WzFd", "WyJhIiwxLDJd"):
        with pytest.raises(Invalid, match="token"):
            metric_history(home, run_id, "m", page_token=token)


def test_inputs_and_outputs_are_noted_once(home, run_id):
    dataset = DatasetInput("flights", "d1", "local", "{}", "[]", "{}", {"mlflow.data.context": "train"})
    for _ in range(2):
        log_inputs(home, run_id, [dataset], models=[ModelInput("m-2"), ModelInput("m-1")])
        log_outputs(home, run_id, [ModelOutput("m-1", 3)])
    detail = run_detail(home, run_id)
    assert (detail.inputs, detail.outputs) == ((dataset,), (ModelOutput("m-1", 3),))
    assert set(detail.model_inputs) == {ModelInput("m-1"), ModelInput("m-2")}
    assert len(detail.model_inputs) == 2
    with home.meta.read() as tx:
        assert [event.body for event in events(tx, kind="run.read")] == ['["flights:d1","m-2","m-1"]'] * 2


def test_a_tag_is_taken_away_once(home, run_id):
    log_batch(home, run_id, tags={"t": "x"})
    delete_tag(home, run_id, "t")
    with pytest.raises(NotFound, match="No tag with name: t"):
        delete_tag(home, run_id, "t")


def test_nothing_is_logged_to_a_run_that_is_not_there(home):
    for call in (
        lambda: log_batch(home, "nobody", params={"a": "1"}),
        lambda: delete_tag(home, "nobody", "t"),
        lambda: log_inputs(home, "nobody", []),
        lambda: log_outputs(home, "nobody", []),
        lambda: metric_history(home, "nobody", "m"),
    ):
        with pytest.raises(NotFound, match="nobody"):
            call()
