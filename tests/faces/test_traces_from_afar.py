"""The verbs of traces through a server: the same call, the same answer, whichever side one stands on."""

from collections.abc import Iterator

import pytest

from taut.errors import Conflict, Denied, Invalid, NotFound
from taut.govern import create_token
from taut.home import Home, open_home
from taut.runs import create_experiment, create_run
from taut.runs.traces import (
    Assessment,
    Span,
    SpanEvent,
    SpanLink,
    Trace,
    assess_trace,
    delete_assessment,
    delete_traces,
    end_trace,
    get_assessment,
    get_trace,
    link_prompts,
    link_traces,
    list_traces,
    log_spans,
    page_of_traces,
    resolve_trace,
    start_trace,
    tag_trace,
    trace_detail,
    trace_details,
    update_assessment,
)
from tests.faces.serving import served

ONE, TWO = "tr-" + "1" * 32, "tr-" + "2" * 32
ROOT = Span(
    ONE, "1" * 16, "ask ünï", 10**18, 10**18 + 5, attributes={"a": [1, 1.5, None, {"b": "x\0"}]}, status="ERROR",
    events=(SpanEvent("e", 10**18, {"k": 1}),), links=(SpanLink(TWO, "2" * 16),), resource={"host": "h"},
)  # fmt: skip


@pytest.fixture
def far(home: Home) -> Iterator[Home]:
    with served(home) as url, open_home(url) as opened:
        yield opened


def test_spans_are_stored_and_read_from_afar_as_they_are_here(home: Home, far: Home):
    place = create_experiment(far, "shop").id
    logged = log_spans(far, place, [ROOT])
    assert (logged.traces, logged.spans) == (1, 1)
    detail = trace_detail(far, ONE)
    assert detail == trace_detail(home, ONE) == resolve_trace(far, "1111") and detail.spans == (ROOT,)
    assert trace_details(far, [ONE, TWO]) == trace_details(home, [ONE, TWO]) == [detail]
    assert list_traces(far, [ONE], experiment_ids=[place]) == [get_trace(home, ONE)] == [get_trace(far, ONE)]


def test_a_trace_is_described_tagged_linked_found_and_deleted_from_afar(home: Home, far: Home):
    place = create_experiment(far, "shop").id
    run = create_run(far, experiment_id=place)
    told = Trace(ONE, place, 5, None, "IN_PROGRESS", "n", tags={"t": "x"}, metadata={"m": "1"})
    assert start_trace(far, told) == get_trace(home, ONE)
    assert end_trace(far, ONE, ended_ms=12, state="OK").duration_ms == 7
    assert tag_trace(far, ONE, "t", "y").tags == {"t": "y"}
    assert tag_trace(far, ONE, "t", None).tags == {}
    link_traces(far, [ONE], run.id)
    link_prompts(far, ONE, ["p/1"])
    for filter in (f"run_id = '{run.id}'", "prompt = 'p/1'", "metadata.m = '1'", "execution_time_ms = 7"):
        page = page_of_traces(far, [place], filter=filter, order_by=["name"])
        assert page == page_of_traces(home, [place], filter=filter) and len(page.traces) == 1, filter
    assert delete_traces(far, place, trace_ids=[ONE]) == 1
    assert delete_traces(far, place, until_ms=10**13, limit=3) == 0


def test_a_trace_is_assessed_from_afar(home: Home, far: Home):
    log_spans(far, create_experiment(far, "shop").id, [ROOT])
    made = assess_trace(far, Assessment("", ONE, "good", "feedback", {"value": {"a": [1]}}, metadata={"k": "v"}))
    assert made == get_assessment(far, ONE, made.id) == get_assessment(home, ONE, made.id)
    changed = update_assessment(far, ONE, made.id, kind="feedback", content={"value": 2}, rationale="why")
    assert changed == get_assessment(home, ONE, made.id) and changed.content == {"value": 2}
    with pytest.raises(Conflict):
        assess_trace(far, Assessment(made.id, ONE, "good", "feedback", {"value": 1}))
    delete_assessment(far, ONE, made.id)
    assert get_trace(home, ONE).assessments == ()


def test_mistakes_are_the_same_from_afar(home: Home, far: Home):
    place = create_experiment(far, "shop").id
    for call, kind in (
        (lambda one: get_trace(one, "tr-none"), NotFound),
        (lambda one: log_spans(one, "77", [ROOT]), NotFound),
        (lambda one: log_spans(one, place, [Span("x", "1", "n", 1)]), Invalid),
        (lambda one: page_of_traces(one, [place], filter="colour = 'red'"), Invalid),
        (lambda one: page_of_traces(one, [place], page_token="x"), Invalid),
        (lambda one: delete_traces(one, place), Invalid),
        (lambda one: tag_trace(one, ONE, "a", "b"), NotFound),
    ):
        said = []
        for side in (home, far):
            with pytest.raises(kind) as told:
                call(side)
            said.append(told.value.message)
        assert said[0] == said[1]


def test_who_may_only_read_writes_no_traces(home: Home, monkeypatch: pytest.MonkeyPatch):
    place = create_experiment(home, "shop").id
    log_spans(home, place, [ROOT])
    monkeypatch.setenv("TAUT_TOKEN", create_token(home, "vera", "viewer").secret)
    with served(home) as url, open_home(url) as far:
        assert trace_detail(far, ONE).spans == (ROOT,)
        for call in (
            lambda: log_spans(far, place, [ROOT]), lambda: tag_trace(far, ONE, "a", "b"),
            lambda: delete_traces(far, place, trace_ids=[ONE]), lambda: start_trace(far, Trace(TWO, place, 1)),
            lambda: assess_trace(far, Assessment("", ONE, "x", "feedback", {})),
        ):  # fmt: skip
            with pytest.raises(Denied, match="needs run:"):
                call()
