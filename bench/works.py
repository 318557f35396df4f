"""The works that are measured: the requests of each, what a right answer holds, and the bar that it must meet."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.load import ask, get, post
from bench.machine import Server
from bench.seeding import BEGAN_MS, Content, content

API = "/api/2.0/mlflow"
CHART = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
CURVE = "curve"
PAGE, CHART_POINTS, BATCH = 25_000, 1_000, 1_000
# So many requests are prepared for a second of a window: several times what the bars ask for.
POINTS_A_SECOND, BATCHES_A_SECOND = 15_000, 300

Scale = Literal["small", "middle", "large"]


@dataclass(frozen=True, slots=True)
class Bar:
    """What has to be met: at most so many milliseconds of wall time and of server CPU, a peer that takes `times` it."""

    wall_ms: float | None = None
    cpu_ms: float | None = None
    times: float | None = None

    def __str__(self) -> str:
        wall = f"<= {self.wall_ms:g} ms" + (" wall and CPU" if self.cpu_ms else "") if self.wall_ms else ""
        return ", ".join(part for part in (wall, f">= {self.times:g} x" if self.times else "") if part)


@dataclass(slots=True)
class Stand:
    """A running server and what was put into it: runs in an experiment, and `points` of one metric in a run beside."""

    side: Literal["taut", "peer"]
    server: Server
    roots: list[int]
    experiment_id: str
    run_ids: list[str]
    long_run: str = ""
    points: int = 0
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    writers: list[str] = field(default_factory=list)
    acknowledged: int = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table.

    `queues` prepares the requests of a window of so many seconds, one list a connection. Where they may be repeated
    they are sent `again`; where only all of them together are one work (the pages of a history), they are one `whole`.
    """

    name: str
    words: str
    scale: Scale
    queues: Callable[[Stand, float], Sequence[Sequence[bytes]]]
    check: Callable[[Stand, bytes], None]
    bar: Bar
    again: bool = True
    whole: bool = False


def log_metric(connections: int) -> Callable[[Stand, float], Sequence[Sequence[bytes]]]:
    """One point a request, each connection to a run of its own, no point twice."""

    def queues(stand: Stand, seconds: float) -> Sequence[Sequence[bytes]]:
        while len(stand.writers) < connections:
            stand.writers.append(new_run(stand))
        each = max(2, int(seconds * POINTS_A_SECOND) // connections)
        return [[_point(run_id, next(stand.numbers)) for _ in range(each)] for run_id in stand.writers[:connections]]

    return queues


def _point(run_id: str, step: int) -> bytes:
    point = {"run_id": run_id, "key": "loss", "value": 1.0 / (1 + step), "timestamp": BEGAN_MS + step, "step": step}
    return post(f"{API}/runs/log-metric", point)


def log_batch(keys: int) -> Callable[[Stand, float], Sequence[Sequence[bytes]]]:
    """1,000 points a request over so many keys, into a run that is new in each window; no point twice."""

    def queues(stand: Stand, seconds: float) -> Sequence[Sequence[bytes]]:
        run_id = new_run(stand)
        return [[_batch(run_id, keys, next(stand.numbers)) for _ in range(max(2, int(seconds * BATCHES_A_SECOND)))]]

    return queues


def _batch(run_id: str, keys: int, number: int) -> bytes:
    steps = BATCH // keys
    points = [
        {"key": f"metric_{key:03d}", "value": 1.0 / (1 + step + key), "timestamp": BEGAN_MS + step, "step": step}
        for key in range(keys)
        for step in range(number * steps, (number + 1) * steps)
    ]
    return post(f"{API}/runs/log-batch", {"run_id": run_id, "metrics": points})


def create_run(stand: Stand, _: float) -> Sequence[Sequence[bytes]]:
    """A new run with the tags that the client sends, in an experiment beside the seeded one."""
    tags = {"mlflow.user": "ada", "mlflow.source.name": "train.py", "mlflow.source.type": "LOCAL"}
    said = [{"key": key, "value": value} for key, value in tags.items()]
    return [[post(f"{API}/runs/create", {"experiment_id": "0", "start_time": BEGAN_MS, "tags": said})]]


def new_run(stand: Stand) -> str:
    """The id of a run that was made now."""
    made = json.loads(ask(stand.port, create_run(stand, 0)[0][0]))
    return str(made["run"]["info"]["run_id"])


def get_run(stand: Stand, _: float) -> Sequence[Sequence[bytes]]:
    """Seeded runs, one after another."""
    return [[get(f"{API}/runs/get?run_id={run_id}") for run_id in stand.run_ids[:100]]]


def search(
    *, rows: int = 100, filter: str = "", order_by: Sequence[str] = ()
) -> Callable[[Stand, float], Sequence[Sequence[bytes]]]:
    """The first page of the seeded experiment."""

    def queues(stand: Stand, _: float) -> Sequence[Sequence[bytes]]:
        asked = {"experiment_ids": [stand.experiment_id], "filter": filter, "max_results": rows, "order_by": order_by}
        return [[post(f"{API}/runs/search", {name: value for name, value in asked.items() if value})]]

    return queues


def history_pages(stand: Stand, _: float) -> Sequence[Sequence[bytes]]:
    """All pages of the long series: walked once, so that their tokens are known."""
    first = f"{API}/metrics/get-history?run_id={stand.long_run}&metric_key={CURVE}&max_results={PAGE}"
    requests: list[bytes] = []
    token, points = "", 0
    while token or not requests:
        requests.append(get(f"{first}&page_token={token}" if token else first))
        told = json.loads(ask(stand.port, requests[-1]))
        points, token = points + len(told["metrics"]), told.get("next_page_token", "")
    assert points == stand.points, (points, stand.points)
    return [requests]


def history_chart(stand: Stand, _: float) -> Sequence[Sequence[bytes]]:
    """As many points of the long series as a chart shows."""
    asked = f"run_ids={stand.long_run}&metric_key={CURVE}&max_results={CHART_POINTS}"
    return [[get(f"{CHART}?{asked}")]]


def is_json(_: Stand, body: bytes) -> None:
    """Any JSON will do."""
    json.loads(body)


def is_run(_: Stand, body: bytes) -> None:
    """A seeded run, whole."""
    _must_be_whole(json.loads(body)["run"])


def is_page(_: Stand, body: bytes) -> None:
    """A page of points."""
    assert json.loads(body)["metrics"], body[:200]


def is_chart(stand: Stand, body: bytes) -> None:
    """About as many points as were asked for, with the last step among them."""
    points = json.loads(body)["metrics"]
    assert CHART_POINTS / 2 <= len(points) <= CHART_POINTS + 10, len(points)
    assert max(point["step"] for point in points) == stand.points - 1


def is_found(
    meets: Callable[[Content], bool], value: Callable[[Content], Any], *, rows: int = 100, descending: bool = False
) -> Callable[[Stand, bytes], None]:
    """The whole runs that meet a filter, as many as a page holds, in order of a value of theirs."""

    def check(stand: Stand, body: bytes) -> None:
        known = {one.run_id: one for one in map(content, range(len(stand.run_ids)))}
        met = sorted((value(one) for one in known.values() if meets(one)), reverse=descending)[:rows]
        found = json.loads(body).get("runs", [])
        assert [value(known[run["info"]["run_id"]]) for run in found] == met, (len(found), len(met))
        for run in found:
            _must_be_whole(run)

    return check


def _must_be_whole(run: dict[str, Any]) -> None:
    data = run["data"]
    counts = len(data["params"]), len(data["metrics"]), len(data["tags"])
    assert counts == (20, 20, 4), counts  # The fourth tag is its name.


BY_METRIC = "metrics.metric_00 > 0.8 AND params.param_00 = '3'"
BY_TAG = "tags.team = 'team-2' AND params.param_01 LIKE 'adam%'"
BY_NOTHING = "metrics.metric_00 > 2"


def meets_metric(one: Content) -> bool:
    """BY_METRIC in Python."""
    return one.metrics["metric_00"] > 0.8 and one.params["param_00"] == "3"


def meets_tag(one: Content) -> bool:
    """BY_TAG in Python."""
    return one.tags["team"] == "team-2" and one.params["param_01"].startswith("adam")


def search_works(scale: Scale, rows: int = 100) -> list[Work]:
    """The three filters, on the runs of a scale."""
    metric_01 = search(rows=rows, filter=BY_METRIC, order_by=["metrics.metric_01 DESC"])
    param_02 = search(rows=rows, filter=BY_TAG, order_by=["params.param_02 ASC"])
    return [
        Work(
            "search-metric", f"{rows} of {{runs}} runs: filter on metric and param, order by metric", scale, metric_01,
            is_found(meets_metric, lambda one: one.metrics["metric_01"], rows=rows, descending=True), Bar(50),
        ),
        Work(
            "search-tag", f"{rows} of {{runs}} runs: tag = and param LIKE, order by param", scale, param_02,
            is_found(meets_tag, lambda one: one.params["param_02"], rows=rows), Bar(100),
        ),
        Work(
            "search-none", "of {runs} runs: a filter that no run meets", scale, search(filter=BY_NOTHING),
            is_found(lambda _: False, lambda _: 0), Bar(5),
        ),
    ]  # fmt: skip


def page_work(name: str, scale: Scale) -> Work:
    """The default page, on the runs of a scale."""
    newest = is_found(lambda _: True, lambda one: one.started_ms, descending=True)
    return Work(name, "search: newest 100 of {runs} runs", scale, search(), newest, Bar(10))


GET_RUN = Work("get-run", "get run: 20 params, 20 metrics, 3 tags", "small", get_run, is_run, Bar(0.4))

# In the order in which they are measured: what reads, then what writes.
WORKS: tuple[Work, ...] = (
    GET_RUN,
    page_work("search-small", "small"),
    page_work("search-large", "large"),
    Work(
        "search-ordered", "search: 1,000 of {runs} runs, order by a metric", "middle",
        search(rows=1000, order_by=["metrics.metric_03 DESC"]),
        is_found(lambda _: True, lambda one: one.metrics["metric_03"], rows=1000, descending=True), Bar(120),
    ),
    *search_works("large"),
    Work(
        "history-pages", "history: all pages of {points} points", "small", history_pages, is_page, Bar(2000),
        whole=True,
    ),
    Work(
        "history-chart", f"history: {CHART_POINTS:,} of {{points}} points for a chart", "small", history_chart,
        is_chart, Bar(30),
    ),
    Work("create-run", "create run", "small", create_run, is_json, Bar(0.6)),
    Work("log-metric-1", "log-metric, 1 connection", "small", log_metric(1), is_json, Bar(), again=False),
    Work("log-metric-8", "log-metric, 8 connections", "small", log_metric(8), is_json, Bar(), again=False),
    Work(
        "log-metric-32", "log-metric, 32 connections", "small", log_metric(32), is_json,
        Bar(0.3, cpu_ms=0.3, times=40), again=False,
    ),
    Work(
        "log-batch-steps", "log-batch: 1 key x 1,000 steps", "small", log_batch(1), is_json, Bar(5, times=20),
        again=False,
    ),
    Work(
        "log-batch-keys", "log-batch: 1,000 keys x 1 step", "small", log_batch(1000), is_json, Bar(5, times=20),
        again=False,
    ),
)  # fmt: skip
