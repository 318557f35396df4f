"""Whatever leads a search, a condition, an order or neither, it finds the same runs in the same order and pages."""

import itertools
import random
from dataclasses import dataclass, field

import pytest

from taut.runs import MetricPoint, create_experiment, create_run, delete_run, log_batch, page_of_runs
from taut.runs import search as led

LEADS = {"a condition": 10**9, "an order": -1}
COLOURS = ["red", "Red", "blue", "bl%e", "", "ré" * 120 + "a", "ré" * 120 + "b"]


@dataclass
class Known:
    """A run as the oracle knows it."""

    id: str
    experiment: str
    started_ms: int
    metrics: dict[str, float | None] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def known(home) -> list[Known]:
    """Sixty runs in three experiments; many share a value, a moment, or lack what others have; some move."""
    chance = random.Random(7)
    ids = [create_experiment(home, name).id for name in ("one", "two", "three")]
    runs = []
    for number in range(60):
        run = Known(f"r{number:02}", ids[number % 3], 1_700_000_000_000 + number // 4)
        if chance.random() < 0.8:
            run.metrics["auc"] = None if chance.random() < 0.2 else chance.randrange(6) / 2
        run.metrics["n"] = float(number)
        if chance.random() < 0.8:
            run.params["colour"] = chance.choice(COLOURS)
        if chance.random() < 0.5:
            run.tags["team"] = chance.choice(["a", "b"])
        runs.append(run)
        create_run(home, experiment_id=run.experiment, run_id=run.id, started_ms=run.started_ms, tags=run.tags)
        if number % 5 in (1, 2):  # What is written to a second time moves, and is found by another index.
            log_batch(home, run.id, metrics=[MetricPoint(key, 1.25, step=-1) for key in run.metrics])
        points = [MetricPoint(key, value) for key, value in run.metrics.items()]
        log_batch(home, run.id, metrics=points, params=run.params)
    create_run(home, experiment_id=ids[0], run_id="gone", started_ms=1_700_000_000_000)
    log_batch(home, "gone", metrics=[MetricPoint("auc", 1.0), MetricPoint("n", 1.0)], params={"colour": "red"})
    delete_run(home, "gone")
    return runs


FILTERS = {
    "": lambda run: True,
    "metrics.auc >= 1": lambda run: (run.metrics.get("auc") or 0) >= 1,
    "metrics.auc = 0.5 AND metrics.n > 9": lambda run: run.metrics.get("auc") == 0.5 and run.metrics["n"] > 9,
    "params.colour = 'red'": lambda run: run.params.get("colour") == "red",
    f"params.colour = '{COLOURS[5]}'": lambda run: run.params.get("colour") == COLOURS[5],
    f"params.colour LIKE '{COLOURS[5][:-1]}%'": lambda run: run.params.get("colour") in COLOURS[5:],
    "params.colour LIKE 'bl%'": lambda run: run.params.get("colour", "").startswith("bl"),
    "params.colour LIKE '_ed'": lambda run: run.params.get("colour") in ("red", "Red"),
    "params.colour = ''": lambda run: run.params.get("colour") == "",
    "params.colour IS NULL": lambda run: "colour" not in run.params,
    "params.colour IS NOT NULL AND tags.team = 'a'": lambda run: "colour" in run.params and run.tags.get("team") == "a",
    "tags.team = 'a' OR metrics.n < 10": lambda run: run.tags.get("team") == "a" or run.metrics["n"] < 10,
    "metrics.n > 1000": lambda run: False,
    "NOT params.colour ILIKE 'RED' AND metrics.auc < 2": lambda run: (
        run.params.get("colour", "").lower() != "red"
        and run.metrics.get("auc") is not None
        and run.metrics["auc"] < 2
    ),
}  # fmt: skip
ORDERS = {
    (): [],
    ("metrics.auc DESC",): [("metrics", "auc", True)],
    ("metrics.auc",): [("metrics", "auc", False)],
    ("params.colour",): [("params", "colour", False)],
    ("params.colour DESC", "metrics.auc"): [("params", "colour", True), ("metrics", "auc", False)],
    ("tags.team", "metrics.n DESC"): [("tags", "team", False), ("metrics", "n", True)],
    ("metrics.none DESC",): [("metrics", "none", True)],
}


def wanted(known: list[Known], experiments: list[str], filter: str, order: tuple[str, ...]) -> list[str]:
    """What the answer must be, by sorting in memory: missing last, not-a-number before it, newest first where equal."""
    found = [run for run in known if run.experiment in experiments and FILTERS[filter](run)]
    found.sort(key=lambda run: run.id)
    found.sort(key=lambda run: -run.started_ms)
    for kind, key, down in reversed(ORDERS[order]):
        there = [run for run in found if getattr(run, kind).get(key) is not None]
        there.sort(key=lambda run: getattr(run, kind)[key], reverse=down)
        nan = [run for run in found if key in getattr(run, kind) and getattr(run, kind)[key] is None]
        found = there + nan + [run for run in found if key not in getattr(run, kind)]
    return [run.id for run in found]


def paged(home, experiments: list[str], filter: str, order: tuple[str, ...], size: int) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = page_of_runs(
            home, experiments, filter=filter, order_by=list(order), max_results=size, page_token=token, columns=[]
        )
        found += [detail.run.id for detail in page.runs]
        if not (token := page.next_page):
            return found


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_filter_in_every_order_gives_the_same_whatever_leads(home, known, monkeypatch, lead: str, count: int):
    monkeypatch.setattr(led, "FEW", LEADS[lead])
    experiments = list(dict.fromkeys(run.experiment for run in known))[:count]
    for filter, order in itertools.product(FILTERS, ORDERS):
        whole = wanted(known, experiments, filter, order)
        assert paged(home, experiments, filter, order, 1000) == whole, (filter, order)


@pytest.mark.parametrize("lead", LEADS)
def test_pages_of_any_size_put_together_are_the_whole(home, known, monkeypatch, lead: str):
    monkeypatch.setattr(led, "FEW", LEADS[lead])
    experiments = [known[0].experiment, known[1].experiment]
    for size, filter, order in itertools.product((1, 7), list(FILTERS)[:4], ORDERS):
        assert paged(home, experiments, filter, order, size) == wanted(known, experiments, filter, order), (
            filter,
            order,
        )


def test_many_experiments_are_searched_together(home, known, monkeypatch):
    monkeypatch.setattr(led, "ONE_BY_ONE", 1)
    experiments = list(dict.fromkeys(run.experiment for run in known))
    for filter, order in itertools.product(FILTERS, ORDERS):
        assert paged(home, experiments, filter, order, 11) == wanted(known, experiments, filter, order), (filter, order)


def test_an_experiment_that_is_named_twice_or_is_not_there_changes_nothing(home, known):
    one = known[0].experiment
    assert paged(home, [one, one, "nowhere"], "", (), 5) == wanted(known, [one], "", ())
