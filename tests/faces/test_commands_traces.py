"""`taut traces`, typed: what is listed, how a trace is told, what a mistake says."""

from pathlib import Path

import click
import pytest

from taut.faces.cli.traces import told
from taut.home import open_home
from taut.runs import create_experiment
from taut.runs.traces import (
    Assessment,
    Span,
    Trace,
    TraceDetail,
    assess_trace,
    log_spans,
    start_trace,
    tag_trace,
    trace_detail,
)
from tests.faces.shell import as_typed, is_two_lines, taut

AT_NS = 1_700_000_000_000_000_000
ONE, TWO = "tr-1" + "0" * 31, "tr-2" + "0" * 31


def span(number: int, parent: int = 0, trace_id: str = ONE, **more) -> Span:
    more = {"end_ns": AT_NS + number * 10**9, **more}
    return Span(trace_id, f"{number:016x}", f"step {number}", AT_NS, parent=f"{parent:016x}" if parent else "", **more)


@pytest.fixture
def traced(project: Path) -> Path:
    """A project with two traces: one whole, one that runs."""
    with open_home(project) as home:
        place = create_experiment(home, "shop").id
        asked = {"mlflow.spanInputs": "what\x1b[31m is\nthis?", "mlflow.spanType": "CHAIN"}
        log_spans(home, place, [
            span(1, attributes=asked), span(2, 1, attributes={"mlflow.spanType": "LLM"}),
            span(3, 2, status="ERROR", message="no luck"), span(4, 1),
        ])  # fmt: skip
        tag_trace(home, ONE, "team", "red")
        assess_trace(home, Assessment("a-1", ONE, "good", "feedback", {"value": 0.9}, source_id="ada"))
        log_spans(home, create_experiment(home, "lab").id, [span(1, trace_id=TWO, end_ns=0)])
    return project


def told_of(folder: Path, trace_id: str) -> list[str]:
    with open_home(folder) as home:
        return click.unstyle(told(trace_detail(home, trace_id))).splitlines()


def test_a_trace_is_told_as_a_tree_with_what_people_think_of_it(traced: Path):
    lines = told_of(traced, ONE)
    assert lines[0].startswith(f"trace        {ONE} (step 1) in experiment ")
    assert "state        ok, 4000 ms" in lines and "tag          team = red" in lines
    assert "asked        what [31m is this?" in lines  # Nothing of an application steers the terminal.
    assert "feedback     good = 0.9 by ada" in lines
    assert lines[-4:] == [
        "step 1 [chain] 1000 ms", "   └─ step 2 [llm] 2000 ms", "      └─ step 3 3000 ms error: no luck",
        "   └─ step 4 4000 ms",
    ]  # fmt: skip


def test_a_trace_that_runs_or_is_not_whole_says_so(traced: Path):
    assert "state        in_progress, running" in told_of(traced, TWO)
    with open_home(traced) as home:
        place = trace_detail(home, TWO).trace.experiment_id
        start_trace(home, Trace(TWO, place, 1, metadata={"mlflow.trace.sizeStats": '{"num_spans": 3}'}))
    assert "missing      2 spans have not come yet" in told_of(traced, TWO)


def test_spans_in_a_circle_and_without_their_parent_are_told_once():
    spans = (span(1, 9), span(2, 3), span(3, 2), span(4, 4))
    lines = told(TraceDetail(Trace(ONE, "0", 0), spans)).splitlines()[3:]
    assert sorted(line[:6] for line in lines) == ["step 1", "step 2", "step 3", "step 4"]


def test_of_very_many_spans_the_first_are_told():
    spans = tuple(span(number, min(number - 1, 1)) for number in range(1, 1001))
    lines = told(TraceDetail(Trace(ONE, "0", 0), spans)).splitlines()
    assert lines[-1] == "… and 800 more spans; all of them with --json"


# Typed at a shell: a second or two apiece.


@pytest.mark.slow
def test_traces_are_listed_newest_first_of_one_experiment_or_all(traced: Path):
    listed = taut(traced, "traces", "list").out.splitlines()
    assert listed[0].split() == ["trace", "name", "state", "began", "took", "asked"]
    assert {line.split()[0] for line in listed[1:]} == {ONE, TWO}
    found = taut(traced, "traces", "list", "--experiment", "lab", "--json").json
    assert [one["id"] for one in found["traces"]] == [TWO]
    assert taut(traced, "traces", "list", "--filter", "span.type = 'LLM'").out.count("tr-") == 1
    assert taut(traced, "traces", "list", "--filter", "name = 'x'").out == "no trace is so; try: taut traces list\n"
    assert taut(traced, "traces", "list", "--limit", "1").out.count("tr-") == 1


@pytest.mark.slow
def test_a_trace_is_shown_by_the_first_digits_of_its_id(traced: Path):
    assert taut(traced, "traces", "show", "tr-100").out.startswith(f"trace        {ONE}")
    shown = taut(traced, "traces", "show", "1000", "--json").json
    assert (shown["trace"]["id"], len(shown["spans"]), shown["missing"]) == (ONE, 4, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("list", "--filter", "colour = 'red'"), 13, "no attribute 'colour'"),
        (("list", "--experiment", "shopp"), 10, "did you mean 'shop'?"),
        (("list", "--limit", "501"), 2, "not in the range"),
        (("show", "tr-9999"), 10, "tr-9999"),
        (("show", "1"), 13, "too short"),
        (("show",), 2, "missing argument"),
    ],
    ids=as_typed,
)
def test_a_mistake_in_a_traces_command_is_two_lines(traced: Path, words: tuple[str, ...], status: int, says: str):
    said = taut(traced, "traces", *words)
    assert (said.status, is_two_lines(said)) == (status, True), said
    assert says in said.lines[0].lower()
