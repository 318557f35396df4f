"""`status`: the line from data to loop, a light for each station, and the next thing to do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from taut.errors import TautError
from taut.ground.clock import age
from taut.home import Home, verb
from taut.serve import PredictionReaders, open_logs

Light = Literal["ok", "warning", "failing", "missing"]

NEWEST_DATA = (
    "SELECT name, number, row_count, size_bytes, at_ms FROM dataset_version ORDER BY at_ms DESC, number DESC LIMIT 1"
)
NEWEST_RUN = """
SELECT run.id, run.name, run.status, run.started_ms, (SELECT count(*) FROM run WHERE lifecycle = 'active')
FROM run WHERE lifecycle = 'active' ORDER BY started_ms DESC, run.id LIMIT 1
"""
BEST_METRIC = "SELECT key, value FROM series WHERE run_id = :run_id AND newest > 0 ORDER BY key LIMIT 1"
NEWEST_MODEL = """
SELECT model_version.name, model_version.number, model_version.created_ms, model_alias.number
FROM model_version LEFT JOIN model_alias ON model_alias.name = model_version.name AND model_alias.alias = 'champion'
ORDER BY model_version.created_ms DESC, model_version.number DESC LIMIT 1
"""
NEWEST_GATE = "SELECT model, number, passed, at_ms FROM gate_result ORDER BY at_ms DESC LIMIT 1"
NEWEST_STATE = "SELECT name FROM deployment_state ORDER BY at_ms DESC LIMIT 1"
LABELS = "SELECT count(*) FROM label"
NEWEST_WINDOW = """
SELECT deployment, labelled, at_ms, (SELECT count(*) FROM monitor_window)
FROM monitor_window ORDER BY end_ms DESC LIMIT 1
"""
ALERTS = """
SELECT count(*), sum(CASE WHEN status = 'open' AND severity = 'page' THEN 1 ELSE 0 END), max(at_ms),
       (SELECT count(*) FROM run WHERE cause LIKE 'alert:%') FROM alert
"""


@dataclass(frozen=True, slots=True)
class Station:
    """One station of the line: its light, the fact that matters most, how old that is, and the command to run next."""

    name: str
    light: Light
    fact: str
    age: str
    next: str


@dataclass(frozen=True, slots=True)
class Line:
    """The whole line of a home; `next` is the first thing worth doing."""

    place: str
    stations: tuple[Station, ...]
    next: str


@verb("home.status", needs="run:read")
def show_line(home: Home) -> Line:
    """Look at every station of the line; some ten queries, and three for each deployment."""
    now_ms = home.clock.now_ms()
    with open_logs(home) as opened:
        stations = tuple(look(home, opened, now_ms) for look in STATIONS)
    order: list[Light] = ["failing", "missing", "warning"]
    due = sorted(
        (s for s in stations if s.next and s.light != "ok"), key=lambda s: order.index(s.light) == 0, reverse=True
    )
    return Line(home.place, stations, due[0].next if due else "taut up")


def _data(home: Home, opened: PredictionReaders, now_ms: int) -> Station:
    found = opened.tx.row(NEWEST_DATA)
    if found is None:
        return Station("data", "missing", "no dataset version yet", "", "taut data add PATH")
    size = f"{found[2]} rows" if found[2] is not None else f"{found[3]} bytes"
    return Station("data", "ok", f"{found[0]}@{found[1]}, {size}", age(int(str(found[4])), now_ms), "")


def _run(home: Home, opened: PredictionReaders, now_ms: int) -> Station:
    found = opened.tx.row(NEWEST_RUN)
    if found is None:
        return Station("run", "missing", "no run yet", "", "taut run -- python train.py")
    best = opened.tx.row(BEST_METRIC, {"run_id": found[0]})
    metric = f", {best[0]} {best[1]:.4g}" if best is not None and isinstance(best[1], float) else ""
    failed = found[2] in ("FAILED", "KILLED")
    light: Light = "warning" if failed else "ok"
    fact = f"{found[1] or str(found[0])[:8]} {str(found[2]).lower()}{metric} ({found[4]} in all)"
    return Station(
        "run", light, fact, age(int(str(found[3])), now_ms), f"taut runs show {str(found[0])[:8]}" if failed else ""
    )


def _model(home: Home, opened: PredictionReaders, now_ms: int) -> Station:
    found = opened.tx.row(NEWEST_MODEL)
    if found is None:
        return Station("model", "missing", "no model registered", "", "taut model register NAME --run RUN")
    name, number, created, champion = found
    if champion is None:
        return Station(
            "model",
            "warning",
            f"{name}@{number}, no champion",
            age(int(str(created)), now_ms),
            f"taut gate {name}@{number}",
        )
    return Station("model", "ok", f"{name}@{number}, champion {champion}", age(int(str(created)), now_ms), "")


def _gate(home: Home, opened: PredictionReaders, now_ms: int) -> Station:
    found = opened.tx.row(NEWEST_GATE)
    if found is None:
        return Station("gate", "missing", "nothing was ever judged", "", "taut gate MODEL@VERSION")
    verdict = "passed" if found[2] else "was refused"
    light: Light = "ok" if found[2] else "warning"
    return Station("gate", light, f"{found[0]}@{found[1]} {verdict}", age(int(str(found[3])), now_ms), "")


def _deploy(home: Home, opened: PredictionReaders, now_ms: int) -> Station:
    found = opened.tx.row(NEWEST_STATE)
    if found is None:
        return Station("deploy", "missing", "nothing is deployed", "", "taut deploy NAME --model MODEL@champion")
    # Heavy, and a project without deployments needs none of it.
    from taut.deploy import find_deployment, find_state, told
    from taut.deploy.running import log_path, run_folder, serving_now
    from taut.deploy.targets import load_target

    state = find_state(home, str(found[0]))
    assert state is not None, found
    try:
        deployment = find_deployment(home, state.name, state.revision)
        target = load_target(deployment.target)
        seen = target.status(home, state).status if state.status == "running" else state.status
    except TautError as problem:
        return Station("deploy", "failing", problem.message, age(state.at_ms, now_ms), problem.hint)
    where = f" at {state.url}" if seen == "running" else ""
    where += f": {told(deployment.backends)}" if len(deployment.backends) > 1 else ""
    light: Light = "ok" if seen == "running" else "warning" if seen == "stopped" else "failing"
    folder = run_folder(home)
    ails = next((one.problem for one in serving_now(folder, state.name) if one.problem), "")
    if ails and seen == "running":
        fact = f"{state.name}@{state.revision} running{where}, but {ails}"
        return Station("deploy", "warning", fact, age(state.at_ms, now_ms), f"tail {log_path(folder, state.name)}")
    again = "" if seen == "running" else "taut up --once" if seen == "failed" else f"taut deploy {state.name}"
    return Station("deploy", light, f"{state.name}@{state.revision} {seen}{where}", age(state.at_ms, now_ms), again)


def _predict(home: Home, opened: PredictionReaders, now_ms: int) -> Station:
    found = [one for log in opened.logs for one in log.versions() if one.role != "shadow"]
    if not found:
        return Station("predict", "missing", "nobody has asked yet", "", "taut predict NAME --input rows.csv")
    rows, requests = sum(one.rows for one in found), sum(one.requests for one in found)
    labelled = opened.tx.row(LABELS)
    fact = f"{rows} predictions in {requests} requests, {labelled[0] if labelled else 0} labelled"
    return Station("predict", "ok", fact, age(max(one.last_at_ms for one in found), now_ms), "")


def _watch(home: Home, opened: PredictionReaders, now_ms: int) -> Station:
    found = opened.tx.row(NEWEST_WINDOW)
    if found is None:
        return Station("watch", "missing", "no window closed yet", "", "taut up --once")
    return Station("watch", "ok", f"{found[3]} windows of {found[0]}", age(int(str(found[2])), now_ms), "")


def _loop(home: Home, opened: PredictionReaders, now_ms: int) -> Station:
    found = opened.tx.row(ALERTS)
    if found is None or not found[0]:
        return Station("loop", "ok", "no alert so far", "", "")
    waiting = int(str(found[1] or 0))
    fact = f"{found[0]} alerts, {waiting} pages open, {found[3]} retrainings"
    return Station(
        "loop",
        "warning" if waiting else "ok",
        fact,
        age(int(str(found[2])), now_ms),
        "taut up --once" if waiting else "",
    )


STATIONS: tuple[Callable[[Home, PredictionReaders, int], Station], ...] = (
    _data,
    _run,
    _model,
    _gate,
    _deploy,
    _predict,
    _watch,
    _loop,
)
