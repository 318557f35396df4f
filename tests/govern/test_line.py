"""Trace, status and fsck over a real line, built by the verbs that build one."""

import io
from pathlib import Path

import pytest

from taut.data import add_dataset
from taut.deploy import record_deployment
from taut.errors import Denied, NotFound
from taut.govern import check_home, show_ledger, show_line, trace_prediction
from taut.ground.access import Actor
from taut.ground.access.grants import Grants
from taut.ground.ledger import draw_arrow
from taut.home import Home
from taut.models import promote_model, record_gate, record_model
from taut.records import GateCheck, TreeFile
from taut.runs import create_run, update_run
from taut.serve import log_labels, log_prediction

MLMODEL = b"flavors:\n  sklearn: {pickled_model: model.pkl}\n"


def put(home: Home, data: bytes, path: str) -> TreeFile:
    return TreeFile(path, home.objects.put(io.BytesIO(data)), "", len(data))


@pytest.fixture
def line(home: Home) -> Home:
    """Data, a run that read it, a version, a passed gate, a deployment, two answered requests, a label."""
    (home.project / "flights.csv").write_text("carrier,late\nUA,1\nAA,0\n")
    data = add_dataset(home, home.project / "flights.csv")
    run = create_run(home, experiment="Default", name="first", run_id="a" * 32)
    update_run(home, run.id, status="FINISHED", ended_ms=home.clock.now_ms())
    model = record_model(
        home, "late", [put(home, MLMODEL, "MLmodel"), put(home, b"weights", "model.pkl")], source="test"
    )
    with home.meta.transaction() as tx:
        draw_arrow(tx, data.point, "read-by", run.point, at_ms=0)
        draw_arrow(tx, run.point, "made", model.point, at_ms=0)
    record_gate(home, "late", 1, checks=[GateCheck("brier", True, 0.1, 0.2, "0.1000, wanted at most 0.2")])
    promote_model(home, "late", 1)
    record_deployment(home, "late", "late", 1, "process", {}, "manual")
    for number in range(2):
        inputs: dict[str, list[str | float | int | bool | None]] = {"carrier": ["UA", "AA"]}
        log_prediction(home, "late", f"r{number}", 1, 1000 + number, inputs, {"probability": [0.7, 0.2]})
    log_labels(home, "late", {"r0.0": 1.0})
    return home


def test_a_prediction_is_traced_back_to_the_bytes_and_on_to_all_they_reached(line):
    trace = trace_prediction(line, "r0.0")
    kinds = [link.point.partition(":")[0] for link in trace.chain]
    assert kinds == ["prediction", "deployment", "model", "gate", "run", "data"]
    facts = " ".join(fact for link in trace.chain for fact in link.facts)
    assert "probability=0.7" in facts
    assert "its label came: 1" in facts
    assert "brier: 0.1000" in facts
    assert "2 rows" in facts
    assert [(one.model, one.requests, one.rows) for one in trace.reached] == [("late@1", 2, 4)]
    assert trace.rows_reached == 3
    assert trace.examples == ("r1.0",)


def test_a_request_without_a_row_means_its_first(line):
    assert trace_prediction(line, "r1").prediction == "r1.0"
    assert "its label has not come" in " ".join(trace_prediction(line, "r1.1").chain[0].facts)


@pytest.mark.parametrize("wrong", ["r0.2", "r9.0", "", "r0.x", "'; DROP TABLE prediction; --"])
def test_what_was_never_answered_is_not_found(line, wrong):
    with pytest.raises(NotFound):
        trace_prediction(line, wrong)


def test_whoever_may_not_explain_sees_nothing(line):
    with pytest.raises(Denied):
        trace_prediction(line.as_actor(Actor("eve", "anonymous")), "r0.0")


def test_who_is_kept_from_a_deployment_is_told_of_none_of_its_predictions(line):
    record_deployment(line, "other", "late", 1, "process", {}, "manual")
    log_prediction(line, "other", "o1", 1, 1000, {"carrier": ["UA"]}, {"probability": [0.7]})
    assert trace_prediction(line, "o1.0").rows_reached == 4

    def holder(role: str, level: str) -> Home:
        return line.as_actor(Actor("vera", role, Grants(7, [("deployment", "late", level)])))

    kept_out = holder("viewer", "NO_PERMISSIONS")
    with pytest.raises(NotFound):
        trace_prediction(kept_out, "r0.0")
    seen = trace_prediction(kept_out, "o1.0")
    assert (seen.rows_reached, seen.examples) == (0, ())
    reader = holder("serving", "READ")
    assert trace_prediction(reader, "r0.0").examples == ("r1.0",)
    with pytest.raises(NotFound):
        trace_prediction(reader, "o1.0")


def test_the_line_shows_what_is_there_and_what_comes_next(line):
    stations = {station.name: station for station in show_line(line).stations}
    assert stations["data"].fact.startswith("flights@1")
    assert stations["model"].fact == "late@1, champion 1"
    assert stations["gate"].light == "ok"
    assert stations["predict"].fact == "4 predictions in 2 requests, 1 labelled"
    assert stations["deploy"].light == "missing"
    assert stations["watch"].light == "missing"


def test_an_empty_line_says_how_to_begin(home):
    line = show_line(home)
    assert line.next == "taut data add PATH"
    assert [station.light for station in line.stations[:6]] == ["missing"] * 6


def test_a_whole_home_has_no_problems(line):
    health = check_home(line)
    assert health.problems == ()
    assert health.objects >= 4
    assert health.events == len(show_ledger(line, limit=1000))


def test_each_damage_is_named_with_what_it_hurts(line):
    objects = line.folder / "objects"
    damaged = next(path for path in objects.rglob("*") if path.is_file() and path.read_bytes() == b"weights")
    damaged.chmod(0o644)
    damaged.write_bytes(b"weighty")
    missing = next(path for path in objects.rglob("*") if path.is_file() and path.read_bytes() == MLMODEL)
    missing.unlink()
    with line.meta.transaction() as tx:
        tx.execute("UPDATE ledger SET actor = 'eve' WHERE seq = 1")
    problems = {(problem.kind, problem.subject) for problem in check_home(line).problems}
    assert ("ledger", "ledger") in problems
    assert ("damaged", "model:late@1 (model.pkl)") in problems
    assert ("missing", "model:late@1 (MLmodel)") in problems
    quick = {problem.kind for problem in check_home(line, quick=True).problems}
    assert quick == {"ledger", "missing"}


def test_fsck_changes_nothing(line):
    before = sorted(str(path) for path in Path(line.folder).rglob("*"))
    check_home(line)
    assert sorted(str(path) for path in Path(line.folder).rglob("*")) == before
