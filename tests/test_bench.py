"""The measurements measure what they say: the client counts right, the runs are the same, processes are all found."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from starlette.responses import PlainTextResponse

from bench import ledger, scored
from bench.constant import RUN_ID, app
from bench.figures import Cost, Figure, Round, cost_of, judged, ratios, table
from bench.load import Window, ask, closed_loop, get, open_loop, post
from bench.machine import Server, cores, cpu_seconds, memory_mb, processes_of
from bench.peer import mlflow_version
from bench.seeding import content, curve, seed_points, seed_runs
from bench.stands import constant_server, settle
from bench.works import Bar, meets_metric, meets_tag
from taut.faces.http.server import bound
from taut.faces.http.threaded import in_thread
from taut.home import open_home
from taut.models.predictor import load_model
from taut.models.tree import digest_of, tree_of_folder
from taut.runs import create_run, ensure_experiment, metric_history, run_detail
from tests.parts import free_port

HERE = Path(__file__).parent.parent


@contextmanager
def serving(served: object) -> Iterator[int]:
    """The port of an ASGI application on a real server in a thread."""
    listener = bound("127.0.0.1", 0)
    with in_thread(served, listener):
        yield listener.getsockname()[1]


@pytest.fixture
def constant() -> Iterator[int]:
    """The port of the server that answers constants."""
    with serving(app) as port:
        yield port


def test_the_client_sends_each_request_once_over_its_own_connection(constant):
    queues = [[post("/api/2.0/mlflow/runs/log-metric", {"step": step}) for step in range(20)] for _ in range(4)]
    window = closed_loop(constant, queues, 30.0)
    assert (window.requests, window.failed, len(window.latencies_s)) == (80, 0, 80)
    assert window.latency_ms(50) <= window.latency_ms(99)


def test_the_client_goes_round_until_the_time_is_up_and_ends_with_a_whole_round(constant):
    window = closed_loop(constant, [[get("/a"), get("/b"), get("/c")]], 0.05, again=True, whole=3)
    assert window.requests >= 3
    assert window.requests % 3 == 0
    assert window.seconds >= 0.05


def test_one_answer_comes_whole(constant):
    assert json.loads(ask(constant, get("/api/2.0/mlflow/runs/get?run_id=x")))["run"]["info"]["run_id"] == RUN_ID


def test_answers_that_are_no_200_are_counted_and_told():
    with serving(PlainTextResponse("not here", 404)) as port:
        window = closed_loop(port, [[get("/a"), get("/b")], [get("/c")]], 30.0)
        assert (window.requests, window.failed) == (3, 3)
        assert window.problem == "HTTP/1.1 404 Not Found: not here"
        with pytest.raises(RuntimeError, match="404"):
            ask(port, get("/nowhere"))


def test_requests_go_out_when_they_are_due_and_a_late_answer_counts_from_then(constant):
    window = open_loop(constant, get("/a"), rate=200, seconds=0.5, connections=4)
    assert (window.requests, window.failed, len(window.latencies_s)) == (100, 0, 100)
    assert window.seconds >= 99 / 200
    # Far more than one connection can carry: what waits its turn is late, and the client says so.
    behind = open_loop(constant, get("/a"), rate=1_000_000, seconds=0.01, connections=1)
    assert behind.requests == 10_000
    assert behind.latencies_s == sorted(behind.latencies_s)
    assert behind.latency_ms(99) > 10 * behind.latency_ms(1)
    assert behind.latency_ms(99.9) >= behind.latency_ms(99)


def test_a_server_starts_on_the_servers_core_and_can_be_killed_and_started_again(tmp_path):
    with constant_server(tmp_path) as server:
        assert os.sched_getaffinity(server.pid) == {cores()[0]}
        server.kill()
        assert server.start() > 0
        assert json.loads(ask(server.port, get("/api/2.0/mlflow/runs/get")))["run"]["info"]["run_id"] == RUN_ID
        settle(server)
    with pytest.raises(ConnectionRefusedError):
        ask(server.port, get("/health"))


def test_a_server_that_does_not_start_says_why(tmp_path):
    server = Server([sys.executable, "-c", "raise SystemExit('no room')"], free_port(), tmp_path)
    with pytest.raises(RuntimeError, match="no room"):
        server.start()


def test_what_a_child_used_is_counted_and_all_processes_are_found(tmp_path):
    burn = "import time; e = time.process_time() + 0.3\nwhile time.process_time() < e: pass"
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]);"
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); print('x', flush=True);"
        "input()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"x\n"
        assert cpu_seconds(process.pid) >= 0.25
        assert len(processes_of(process.pid)) == 2
        assert memory_mb(process.pid) > 1
    finally:
        process.communicate(b"\n")


def test_every_run_holds_the_same_in_every_measurement():
    assert content(7) == content(7) != content(8)
    assert len({content(number).run_id for number in range(1000)}) == 1000
    many = [content(number) for number in range(20_000)]
    assert sum(map(meets_metric, many)) == pytest.approx(20_000 / 50, rel=0.2)
    assert sum(map(meets_tag, many)) == pytest.approx(20_000 / 15, rel=0.2)


def test_taut_holds_what_the_content_says(home):
    experiment_id = ensure_experiment(home, "seeded").id
    ids = seed_runs(home, experiment_id, runs=3, steps=4)
    assert ids == [content(number).run_id for number in range(3)]
    for number, run_id in enumerate(ids):
        one, run = content(number), run_detail(home, run_id).run
        assert (run.name, run.status, run.started_ms, run.ended_ms, run.experiment_id) == (
            one.name, "FINISHED", one.started_ms, one.ended_ms, experiment_id,
        )  # fmt: skip
        assert run.params == one.params
        assert run.metrics == one.metrics
        assert run.tags == {**one.tags, "mlflow.runName": one.name}
        points = metric_history(home, run_id, "metric_03").points
        assert [(p.step, p.at_ms, p.value) for p in points] == list(one.series("metric_03", 4))


def test_a_long_series_is_seeded_whole(home):
    run_id = create_run(home).id
    seed_points(home, run_id, "curve", points=2_500)
    points = metric_history(home, run_id, "curve").points
    assert [(p.step, p.at_ms, p.value) for p in points] == list(curve(2_500))


def window(milliseconds: float, *, database_ms: float = 0.0) -> Round:
    """Ten requests of so long, with half of it as the server's CPU."""
    used = [milliseconds / 200, database_ms / 100]
    return Window(10, milliseconds / 100, 0.01, [milliseconds / 1000] * 10), used


def test_a_figure_is_the_median_of_its_rounds():
    cost = cost_of([window(1.0), window(9.0), window(2.0)])
    assert [cost.wall, cost.cpu] == pytest.approx([2.0, 1.0])
    assert (cost.rounds, cost.requests) == (3, 30)
    assert cost_of([window(1.0, database_ms=3.0)]).cpu == pytest.approx(3.5)
    assert cost_of([window(1.0, database_ms=3.0)]).more["database_cpu_ms"] == pytest.approx(3.0)
    assert cost_of([window(1.0)], whole=4).wall == pytest.approx(4.0)


def test_a_bar_is_met_by_all_that_it_names_or_not_at_all():
    bar = Bar(3.0, cpu_ms=1.0, times=20)

    def met(cost: Cost, peer: Cost | None) -> bool | None:
        return judged(Figure("sqlite", "w", "w", taut=cost, peer=peer), bar).met

    assert met(Cost(2.0, 1.0), None)
    assert not met(Cost(2.0, 1.1), None)
    assert not met(Cost(3.1, 1.0), None)
    assert met(Cost(2.0, 1.0), Cost(41.0, 20.0))
    assert not met(Cost(2.0, 1.0), Cost(41.0, 19.0))
    assert not met(Cost(2.0, 1.0, failed=1), None)
    assert judged(Figure("sqlite", "w", "w", taut=Cost(2.0)), Bar()).met is None


def test_the_table_tells_cost_ratio_bar_and_verdict():
    figure = judged(Figure("sqlite", "w", "a work", taut=Cost(0.25, 0.2), peer=Cost(10.0, 8.0)), Bar(0.3, times=40))
    assert ratios(Cost(2.0), Cost(4.0, 1.0)) == (2.0,)
    head, line = table([figure]).splitlines()
    assert head.startswith("work")
    assert line.split("  ")[0] == "sqlite: a work"
    for words in ("0.250 ms", "0.200 ms", "10 ms", "8 ms", "40.0 x / 40.0 x", "<= 0.3 ms, >= 40 x", "yes"):
        assert words in line


def test_an_interpreter_without_mlflow_is_no_peer(tmp_path):
    assert mlflow_version(str(tmp_path / "python")) == ""
    assert mlflow_version("/bin/false") == ""


@pytest.mark.slow
@pytest.mark.timeout(600)  # It starts five servers and a client; alone it takes half a minute.
def test_the_tracking_measurement_runs_piecewise_and_its_answers_are_right(tmp_path):
    works = ["start", "get-run", "search", "history-pages", "create-run", "log-metric-32", "log-batch", "durable"]
    words = ["--quick", "--rounds", "1", "--seconds", "0.1", "--store", "sqlite", "--json", str(tmp_path / "out.json")]
    command = [sys.executable, "bench/tracking.py", *words, "--only", *works, "client-log", "growth"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout, done.stdout
    told = json.loads((tmp_path / "out.json").read_text())
    figures = {figure["work"]: figure for figure in told["figures"]}
    assert {"start-memory", "search-ordered", "search-tag", "log-batch-keys", "client-log-metric"} <= figures.keys()
    assert figures["durable"]["met"]
    assert figures["start-processes"]["taut"]["wall"] == 1
    assert all(figure["taut"]["wall"] > 0 for name, figure in figures.items() if name != "durable")
    assert "taut is measured alone" in done.stderr
    assert told["machine"]["peer"] == "none was measured"


def test_a_work_that_does_not_exist_is_refused_by_name():
    command = [sys.executable, "bench/tracking.py", "--only", "searching"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no work is called 'searching'" in done.stderr


def test_a_kill_is_told_with_what_it_cost_and_the_load():
    command = [sys.executable, "bench/faults.py", "--kills", "1", "--cuts", "0"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "src"})
    assert "kill -9, SQLite: 1 times: " in done.stdout, done.stderr
    assert "lost 0, duplicated 0, torn 0; restart median" in done.stdout
    assert "load average" in done.stdout


def test_the_model_that_serving_is_measured_with_answers_as_its_table_says(tmp_path):
    table = scored.make_table(np.random.default_rng(1), 400)
    model = scored.train(table)
    folder = scored.save(tmp_path / "model", model, table)
    loaded = load_model(folder, digest_of(tree_of_folder(folder)))
    asked = {name: table[name].tolist() for name in table.columns}
    assert loaded.predict(asked)["prediction"] == model.predict(table).tolist()
    assert scored.infer("/v2/models/late/infer", table).count(b'"datatype":"BYTES"') == len(scored.CATEGORICAL)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_serving_is_measured_with_its_log_and_without():
    command = [sys.executable, "bench/serving.py", "--seconds", "0.3", "--only", "taut, compiled", "--json"]
    env = {**os.environ, "PYTHONPATH": f"{HERE / 'src'}:{HERE}"}
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=380, env=env)
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)}
    assert {"taut, compiled", "taut, compiled, without a log", "taut, compiled, open inference"} == figures.keys()
    assert all(figure["requests_core_s"]["64"] > 0 for figure in figures.values())
    assert "mlserver is not there" in done.stderr


def test_make_bench_runs_what_measures_and_leaves_its_parts_alone():
    run = subprocess.run(["make", "-n", "bench"], cwd=HERE, capture_output=True, text=True, check=True).stdout
    assert "grep -l" in run
    mains = {file.name for file in (HERE / "bench").glob("*.py") if "\nif __name__ ==" in file.read_text()}
    assert {"tracking.py", "metadata.py"} <= mains
    assert not mains & {"seeding.py", "works.py", "client.py", "constant.py", "__init__.py"}


def test_the_ledger_is_measured_whole(project):
    with open_home(project) as home:
        figures = ledger.measured(home, 20_000)
    assert figures.keys() >= ledger.BARS.keys()
    assert all(figure is not None and figure > 0 for figure in figures.values())
    assert (figures["pages of a lone log_batch"] or 0) < 9
