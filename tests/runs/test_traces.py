"""Traces: spans in any order and twice, descriptions, tags, links, assessments, deletion; SQLite and PostgreSQL."""

import dataclasses
import itertools
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taut.errors import Conflict, Invalid, NotFound
from taut.ground.ledger import events
from taut.runs import create_experiment, create_run, delete_experiment
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
    is_span,
    is_trace,
    link_prompts,
    link_traces,
    list_traces,
    log_spans,
    resolve_trace,
    start_trace,
    tag_trace,
    trace_detail,
    trace_details,
    update_assessment,
)

AT_MS = 1_700_000_000_000
MS = 1_000_000
ONE = "tr-" + "1" * 32
TWO = "tr-" + "2" * 32


def span(number=1, trace_id=ONE, *, parent=0, start=0, end=10, **more):
    """A span that began `start` milliseconds after AT_MS and ended at `end`; 0 while it runs."""
    return Span(
        trace_id, f"{number:016x}", more.pop("name", f"s{number}"), (AT_MS + start) * MS,
        (AT_MS + end) * MS if end else 0, f"{parent:016x}" if parent else "", **more,
    )  # fmt: skip


def described(place, trace_id=ONE, **more):
    return Trace(
        trace_id, place, more.pop("at_ms", AT_MS), more.pop("duration_ms", 10), more.pop("state", "OK"), **more
    )


def feedback(value, name="good", trace_id=ONE, **more):
    return Assessment(more.pop("id", ""), trace_id, name, more.pop("kind", "feedback"), {"value": value}, **more)


def ids_of(home, trace_id=ONE):
    return [int(one.id, 16) for one in trace_detail(home, trace_id).spans]


def kinds_of(home):
    with home.meta.read() as tx:
        return [one.kind for one in events(tx)]


@pytest.fixture
def place(home):
    """The id of an experiment to trace into."""
    return create_experiment(home, "a").id


# Spans


def test_spans_make_a_trace_and_are_read_back_whole(home, place):
    root = span(
        name="ask ünï", kind=2, status="ERROR", message="boom", resource={"service.name": "app", "pid": 7},
        attributes={
            "mlflow.spanInputs": {"q": ["hi", None, 1, 1.0, True]}, "mlflow.spanOutputs": "no",
            "mlflow.spanType": "LLM", "session.id": "s1", "user.id": "ada",
        },
        events=(SpanEvent("exception", AT_MS * MS + 5, {"exception.type": "ValueError"}),),
        links=(SpanLink(TWO, "00000000000000aa", {"why": "asked again"}),),
    )  # fmt: skip
    logged = log_spans(home, place, [root, span(2, parent=1, start=2, end=20)])
    assert (logged.traces, logged.spans) == (1, 2)
    detail = trace_detail(home, ONE)
    assert detail.spans == (root, span(2, parent=1, start=2, end=20))
    assert detail.spans[0].type == "LLM" and detail.spans[1].type == "UNKNOWN"
    assert isinstance(detail.spans[0].attributes["mlflow.spanInputs"]["q"][3], float)
    trace = detail.trace
    assert (trace.id, trace.experiment_id, trace.at_ms, trace.duration_ms) == (ONE, place, AT_MS, 20)
    assert (trace.state, trace.name, trace.has_spans, detail.missing) == ("ERROR", "ask ünï", True, 0)
    assert (trace.request_preview, trace.response_preview) == ('{"q":["hi",null,1,1.0,true]}', "no")
    assert trace.metadata == {"mlflow.trace.session": "s1", "mlflow.trace.user": "ada"}
    assert trace.tags == {"service.name": "app", "pid": "7"}


def test_the_order_in_which_spans_come_changes_nothing(home, place):
    for number, order in enumerate(itertools.permutations(range(3)), 1):
        name = f"tr-{number:032x}"
        spans = [span(1, name, end=30), span(2, name, parent=1, start=-5, end=20), span(3, name, parent=1, end=50)]
        for one in order:
            log_spans(home, place, [spans[one]])
        trace = get_trace(home, name)
        assert (trace.at_ms, trace.duration_ms, trace.state, trace.name) == (AT_MS - 5, 55, "OK", "s1"), order
        assert [int(one.id, 16) for one in trace_detail(home, name).spans] == [1, 2, 3], order


def test_spans_that_are_sent_again_are_stored_once(home, place):
    spans = [span(1), span(2, parent=1)]
    first = [log_spans(home, place, spans), trace_detail(home, ONE)]
    assert [log_spans(home, place, spans), trace_detail(home, ONE)] == first
    log_spans(home, place, [spans[0], spans[0], span(3, parent=1)])
    assert ids_of(home) == [1, 2, 3]


def test_a_trace_runs_until_its_root_has_ended_and_what_ran_never_replaces_what_ended(home, place):
    log_spans(home, place, [span(2, parent=1, end=4)])
    assert get_trace(home, ONE).state == "IN_PROGRESS"
    log_spans(home, place, [span(1, end=0, name="running")])
    assert (get_trace(home, ONE).state, get_trace(home, ONE).duration_ms) == ("IN_PROGRESS", 4)
    log_spans(home, place, [span(1, end=9, name="ended")])
    log_spans(home, place, [span(1, end=0, name="late")])
    detail = trace_detail(home, ONE)
    assert (detail.trace.state, detail.trace.duration_ms) == ("OK", 9)
    assert detail.spans[0].name == "ended"


def test_a_trace_of_one_span_that_runs_has_no_duration(home, place):
    log_spans(home, place, [span(1, end=0)])
    assert get_trace(home, ONE).duration_ms is None


def test_spans_of_many_traces_are_stored_together_or_not_at_all(home, place):
    with pytest.raises(Invalid, match="no id of a span"):
        log_spans(home, place, [span(1), dataclasses.replace(span(2, TWO), id="x")])
    assert list_traces(home, [ONE, TWO]) == []
    assert log_spans(home, place, [span(1, TWO), span(2, TWO, parent=1), span(1)]).traces == 2
    assert [one.id for one in list_traces(home, [ONE, TWO])] == [ONE, TWO]
    assert kinds_of(home).count("trace.logged") == 1
    assert log_spans(home, place, []).spans == 0


NO_SPANS: list[tuple[dict[str, Any], str]] = [
    ({"trace_id": "tr-1"}, "id of a trace"),
    ({"trace_id": "tr-" + "0" * 32}, "id of a trace"),
    ({"trace_id": "1" * 32}, "id of a trace"),
    ({"trace_id": "tr-" + "A" * 32}, "id of a trace"),
    ({"trace_id": ONE + "\n"}, "id of a trace"),
    ({"id": ""}, "id of a span"),
    ({"id": "0" * 16}, "id of a span"),
    ({"parent": "12"}, "parent"),
    ({"parent": "0" * 16}, "parent"),
    ({"start_ns": -1}, "time"),
    ({"end_ns": 2**63}, "time"),
    ({"events": (SpanEvent("e", 2**64),)}, "time"),
    ({"links": (SpanLink("tr-x", "1" * 16),)}, "link"),
    ({"links": (SpanLink(ONE, "x"),)}, "link"),
]


def test_a_span_that_is_none_is_refused_and_nothing_of_it_kept(home, place):
    for change, says in NO_SPANS:
        with pytest.raises(Invalid, match=says):
            log_spans(home, place, [dataclasses.replace(span(1), **change)])
    assert list_traces(home, [ONE]) == []


def test_the_character_nul_in_what_a_model_said_is_kept_and_breaks_no_column(home, place):
    log_spans(home, place, [span(1, name="a\0b", attributes={"mlflow.spanOutputs": "x\0y", "mlflow.spanType": "T\0"})])
    detail = trace_detail(home, ONE)
    assert detail.spans[0].attributes["mlflow.spanOutputs"] == "x\0y"
    assert (detail.trace.name, detail.trace.response_preview) == ("a\ufffdb", "x\ufffdy")


def test_a_trace_needs_an_experiment_that_is_there(home, place):
    with pytest.raises(NotFound, match="77"):
        log_spans(home, "77", [span(1)])
    with pytest.raises(NotFound, match="77"):
        start_trace(home, described("77"))
    delete_experiment(home, place)
    for call in (lambda: log_spans(home, place, [span(1)]), lambda: start_trace(home, described(place))):
        with pytest.raises(Invalid, match="deleted"):
            call()
    assert list_traces(home, [ONE]) == []


def test_spans_of_a_trace_that_is_there_come_to_it_whatever_experiment_they_name(home, place):
    log_spans(home, place, [span(1)])
    log_spans(home, create_experiment(home, "b").id, [span(2, parent=1)])
    assert (get_trace(home, ONE).experiment_id, ids_of(home)) == (place, [1, 2])


def test_what_a_trace_says_of_its_process_leaves_out_what_says_nothing(home, place):
    resource = {"service.name": "unknown_service", "telemetry.sdk.name": "otel", "mlflow.x": 1, "a//b": 1, "host": "h"}
    attributes = {"mlflow.traceTag.team": "red", "mlflow.traceTag.": "none", "mlflow.traceTag.n": 3}
    log_spans(home, place, [span(1, resource=resource, attributes=attributes)])
    assert get_trace(home, ONE).tags == {"host": "h", "team": "red", "n": "3"}
    assert trace_detail(home, ONE).spans[0].resource == resource


def test_a_long_request_is_shown_by_its_start(home, place):
    log_spans(home, place, [span(1, attributes={"input.value": "é" * 5000, "gen_ai.output.messages": [1]})])
    trace = get_trace(home, ONE)
    assert (len(trace.request_preview), trace.request_preview[-4:]) == (1000, "é...")
    assert trace.response_preview == "[1]"


def test_a_trace_of_ten_thousand_spans_is_stored_and_read_back(home, place):
    spans = [span(number, parent=number > 1, start=number, end=number + 5) for number in range(1, 10_001)]
    log_spans(home, place, list(reversed(spans)))
    assert list(trace_detail(home, ONE).spans) == spans
    assert get_trace(home, ONE).duration_ms == 10_004


def test_writers_of_the_same_traces_do_not_hinder_each_other(home, place):
    problems = []

    def write(start):
        try:
            for number in range(start, start + 10):
                both = [span(number, ONE, parent=number > 1), span(number, TWO, parent=number > 1)]
                log_spans(home, place, both if start % 20 else both[::-1])
                start_trace(home, described(place, ONE if number % 2 else TWO))
        except Exception as problem:  # noqa: BLE001  # Whatever it is, the test shall show it.
            problems.append(problem)

    threads = [threading.Thread(target=write, args=(start,)) for start in (1, 11, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert ids_of(home, ONE) == ids_of(home, TWO) == list(range(1, 40))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text("aé.\0\"'", max_size=3), inside, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(attributes=st.dictionaries(st.text("abé.", min_size=1, max_size=5), values, max_size=4))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_attributes_come_back_as_they_went_in(home, attributes):
    log_spans(home, create_experiment_once(home), [span(1, attributes=attributes)])
    assert trace_detail(home, ONE).spans[0].attributes == attributes


def create_experiment_once(home):
    try:
        return create_experiment(home, "laws").id
    except Conflict as there:
        return there.message.rpartition("(id ")[2].rstrip(")")


# Descriptions


def test_a_description_stands_against_the_spans_whichever_comes_first(home, place):
    told = described(
        place, at_ms=AT_MS - 100, duration_ms=500, state="ERROR", name="told", client_request_id="c1",
        request_preview="asked", response_preview="answered", tags={"t": "x"}, metadata={"mlflow.user": "ada"},
    )  # fmt: skip
    root = span(1, attributes={"mlflow.spanInputs": "in", "mlflow.traceTag.t": "spans", "session.id": "s"})
    start_trace(home, told)
    log_spans(home, place, [root])
    first = get_trace(home, ONE)
    log_spans(home, place, [dataclasses.replace(root, trace_id=TWO)])
    start_trace(home, dataclasses.replace(told, id=TWO))
    second = get_trace(home, TWO)
    assert dataclasses.replace(second, id=ONE) == first
    assert (first.at_ms, first.duration_ms, first.state, first.name) == (AT_MS - 100, 500, "ERROR", "told")
    assert (first.request_preview, first.response_preview, first.client_request_id) == ("asked", "answered", "c1")
    assert first.metadata == {"mlflow.user": "ada", "mlflow.trace.session": "s"}
    assert (first.tags, first.has_spans) == ({"t": "x"}, True)


def test_what_a_description_leaves_out_is_told_by_the_spans_whichever_comes_first(home, place):
    root = span(1, attributes={"mlflow.spanInputs": "in", "mlflow.spanOutputs": "out"}, status="ERROR")
    log_spans(home, place, [root])
    start_trace(home, described(place))
    start_trace(home, described(place, TWO))
    log_spans(home, place, [dataclasses.replace(root, trace_id=TWO)])
    for trace in list_traces(home, [ONE, TWO]):
        assert (trace.name, trace.request_preview, trace.response_preview) == ("s1", "in", "out")
        assert (trace.state, trace.duration_ms) == ("OK", 10)


def test_a_description_that_is_sent_again_changes_nothing(home, place):
    told = described(place, tags={"a": "1"}, assessments=(feedback(1, trace_id=""), feedback(1, trace_id="")))
    first = start_trace(home, told)
    home.clock.pass_ms(1000)
    assert start_trace(home, told) == first
    assert len(first.assessments) == 2  # Two that say the same are still two.


def test_a_description_adds_to_what_is_there(home, place):
    start_trace(home, described(place, tags={"a": "1"}, metadata={"m": "1"}))
    tag_trace(home, ONE, "b", "2")
    trace = start_trace(home, described(place, tags={"a": "3"}, metadata={"n": "2"}))
    assert (trace.tags, trace.metadata) == ({"a": "3", "b": "2"}, {"m": "1", "n": "2"})


def test_the_name_of_a_trace_may_stand_among_its_tags(home, place):
    trace = start_trace(home, described(place, name="x", tags={"mlflow.traceName": "named"}))
    assert (trace.name, trace.tags) == ("named", {})


def test_nobody_says_where_spans_are(home, place):
    told = {"mlflow.trace.spansLocation": "elsewhere", "mlflow.artifactLocation": "file:///etc"}
    trace = start_trace(home, described(place, tags=told))
    assert (trace.tags, trace.has_spans) == ({}, False)
    with pytest.raises(Invalid, match="by hand"):
        tag_trace(home, ONE, "mlflow.artifactLocation", "file:///etc")


NO_DESCRIPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"trace_id": "../x"}, "cannot be the id of a trace"),
    ({"trace_id": ""}, "cannot be the id of a trace"),
    ({"trace_id": "a" * 129}, "cannot be the id of a trace"),
    ({"state": "DONE"}, "cannot be 'DONE'"),
    ({"tags": {"": "x"}}, "key of a tag"),
    ({"metadata": {"k" * 251: "x"}}, "key of a piece of metadata"),
    ({"client_request_id": "c" * 1001}, "1000"),
    ({"assessments": (feedback(1, name=""),)}, "name of an assessment"),
]


def test_a_description_that_cannot_be_kept_is_refused_whole(home, place):
    for change, says in NO_DESCRIPTIONS:
        with pytest.raises(Invalid, match=says):
            start_trace(home, described(place, **change))
    assert list_traces(home, [ONE]) == []


def test_long_values_are_cut_and_not_refused(home, place):
    trace = start_trace(home, described(place, tags={"t": "x" * 9000}, metadata={"m": "é" * 9000}))
    assert (len(trace.tags["t"]), len(trace.metadata["m"])) == (8000, 8000)
    assert len(start_trace(home, described(place, request_preview="p" * 20_000)).request_preview) == 10_000


def test_a_trace_that_was_begun_is_ended(home, place):
    start_trace(home, described(place, state="IN_PROGRESS", duration_ms=None))
    ended = end_trace(home, ONE, ended_ms=AT_MS + 70, state="OK", metadata={"m": "1"}, tags={"mlflow.traceName": "n"})
    assert (ended.duration_ms, ended.state, ended.metadata, ended.name) == (70, "OK", {"m": "1"}, "n")
    with pytest.raises(NotFound):
        end_trace(home, TWO, ended_ms=1, state="OK")


def test_how_many_spans_are_missing_is_known_from_what_its_client_says(home, place):
    log_spans(home, place, [span(1)])
    for said, missing in (
        ('{"num_spans": 3}', 2),
        ('{"num_spans": 1}', 0),
        ("{", 0),
        ('{"num_spans": "x"}', 0),
        ("[]", 0),
    ):
        start_trace(home, described(place, metadata={"mlflow.trace.sizeStats": said}))
        assert trace_detail(home, ONE).missing == missing, said


# Reading


def test_traces_are_read_in_the_order_they_are_asked_for(home, place):
    log_spans(home, place, [span(1), span(1, TWO)])
    assert [one.id for one in list_traces(home, [TWO, "tr-none", ONE, TWO])] == [TWO, ONE]
    assert [one.trace.id for one in trace_details(home, [TWO, ONE])] == [TWO, ONE]
    assert [*list_traces(home, [ONE], experiment_ids=["77"]), *trace_details(home, [ONE], experiment_ids=[])] == []
    assert [*list_traces(home, []), *trace_details(home, [])] == []
    with pytest.raises(Invalid, match="at most 500"):
        list_traces(home, ["x"] * 501)


def test_a_trace_that_is_not_there_is_told(home, place):
    for call in (get_trace, trace_detail, resolve_trace):
        with pytest.raises(NotFound, match="tr-none"):
            call(home, "tr-none")


def test_a_trace_is_found_by_the_first_digits_of_its_id(home, place):
    log_spans(home, place, [span(1), span(1, TWO), span(1, "tr-2223" + "0" * 28)])
    assert resolve_trace(home, "1111").trace.id == resolve_trace(home, ONE).trace.id == ONE
    assert resolve_trace(home, "tr-222222").trace.id == TWO
    with pytest.raises(Invalid, match="several"):
        resolve_trace(home, "222")
    with pytest.raises(Invalid, match="too short"):
        resolve_trace(home, "22")
    with pytest.raises(NotFound):
        resolve_trace(home, "3333")


@pytest.mark.parametrize("written", ["", "x", "tr-" + "g" * 32, "1" * 32])
def test_ids_are_told_from_other_words(written):
    assert not is_trace(written) and not is_span(written)
    assert is_span("00000000000000aa")


# Tags and links


def test_a_tag_is_set_changed_and_taken_away(home, place):
    log_spans(home, place, [span(1)])
    assert tag_trace(home, ONE, "team", "red").tags == {"team": "red"}
    assert tag_trace(home, ONE, "team", "blue").tags == {"team": "blue"}
    assert tag_trace(home, ONE, "team", None).tags == {}
    assert tag_trace(home, ONE, "mlflow.traceName", "new").name == "new"
    assert tag_trace(home, ONE, "mlflow.traceName", None).name == ""
    for key in ("team", "mlflow.traceName"):
        with pytest.raises(NotFound, match="no tag"):
            tag_trace(home, ONE, key, None)
    with pytest.raises(Invalid, match="key"):
        tag_trace(home, ONE, "a//b", "x")
    with pytest.raises(NotFound, match="no trace"):
        tag_trace(home, TWO, "team", "red")
    assert kinds_of(home).count("trace.tagged") == 5


def test_traces_are_linked_to_runs_also_before_they_come(home, place):
    run = create_run(home, experiment_id=place)
    link_traces(home, [ONE], run.id)
    log_spans(home, place, [span(1)])
    link_traces(home, [ONE, TWO], run.id)
    assert get_trace(home, ONE).runs == (run.id,)
    with pytest.raises(NotFound, match="nobody"):
        link_traces(home, [ONE], "nobody")
    with pytest.raises(Invalid, match="at most 100"):
        link_traces(home, [ONE] * 101, run.id)
    with pytest.raises(Invalid, match="id of a trace"):
        link_traces(home, ["../x"], run.id)


def test_prompts_are_linked_to_traces_that_are_there(home, place):
    with pytest.raises(NotFound):
        link_prompts(home, ONE, ["p/1"])
    log_spans(home, place, [span(1)])
    link_prompts(home, ONE, ["p/1", "p/1", "q/2"])
    link_prompts(home, ONE, ["p/1"])
    with pytest.raises(Invalid):
        link_prompts(home, ONE, [""])


# Assessments


def test_an_assessment_is_read_back_whole_and_stands_with_its_trace(home, place):
    log_spans(home, place, [span(1)])
    told = feedback(
        {"a": [1, None]}, source_type="HUMAN", source_id="ada", rationale="why", metadata={"k": "v"},
        span_id="0" * 15 + "1", created_ms=5, updated_ms=6,
    )  # fmt: skip
    made = assess_trace(home, told)
    assert made == dataclasses.replace(told, id=made.id) == get_assessment(home, ONE, made.id)
    assert made.id.startswith("a-") and get_trace(home, ONE).assessments == (made,)
    later = assess_trace(home, feedback("x", kind="expectation"))
    assert later.created_ms == later.updated_ms == home.clock.now_ms()
    assert get_trace(home, ONE).assessments == (made, later)


def test_what_an_assessment_says_is_changed_and_the_rest_stays(home, place):
    log_spans(home, place, [span(1)])
    made = assess_trace(home, feedback(1, rationale="why", metadata={"a": "1"}))
    home.clock.pass_ms(10)
    changed = update_assessment(home, ONE, made.id, kind="feedback", content={"value": 2}, metadata={"b": "2"})
    assert changed == dataclasses.replace(
        made, content={"value": 2}, metadata={"a": "1", "b": "2"}, updated_ms=made.updated_ms + 10
    )
    assert update_assessment(home, ONE, made.id, name="new", rationale="").name == "new"
    assert get_assessment(home, ONE, made.id).rationale == ""
    with pytest.raises(Invalid, match="cannot become an expectation"):
        update_assessment(home, ONE, made.id, kind="expectation", content={"value": 2})
    with pytest.raises(Invalid, match="name of an assessment"):
        update_assessment(home, ONE, made.id, name="")
    assert get_assessment(home, ONE, made.id).content == {"value": 2}


def test_one_that_is_overridden_is_valid_again_when_the_other_goes(home, place):
    log_spans(home, place, [span(1)])
    first = assess_trace(home, feedback(1))
    second = assess_trace(home, feedback(2, overrides=first.id))
    assert second.valid and {one.id: one.valid for one in get_trace(home, ONE).assessments}[second.id]
    assert not get_assessment(home, ONE, first.id).valid
    update_assessment(home, ONE, first.id, rationale="still")
    assert not get_assessment(home, ONE, first.id).valid
    delete_assessment(home, ONE, second.id)
    delete_assessment(home, ONE, second.id)
    assert get_trace(home, ONE).assessments[0].valid
    with pytest.raises(NotFound, match="a-none"):
        assess_trace(home, feedback(1, overrides="a-none"))
    assert len(get_trace(home, ONE).assessments) == 1


def test_an_assessment_belongs_to_one_trace(home, place):
    log_spans(home, place, [span(1), span(1, TWO)])
    made = assess_trace(home, feedback(1))
    for call in (get_assessment, update_assessment):
        with pytest.raises(NotFound, match="no assessment"):
            call(home, TWO, made.id)
    delete_assessment(home, TWO, made.id)
    with pytest.raises(NotFound, match=made.id):
        assess_trace(home, feedback(2, trace_id=TWO, overrides=made.id))
    assert get_trace(home, ONE).assessments == (made,)
    assert get_trace(home, TWO).assessments == ()
    with pytest.raises(Conflict, match="already"):
        assess_trace(home, feedback(1, trace_id=TWO, id=made.id))


def test_what_is_not_there_cannot_be_assessed(home, place):
    for call in (get_assessment, update_assessment, delete_assessment):
        with pytest.raises(NotFound, match="no trace"):
            call(home, ONE, "a-1")
    with pytest.raises(NotFound, match="no trace"):
        assess_trace(home, feedback(1))


NO_ASSESSMENTS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "1 to 250"),
    ({"name": "n" * 251}, "1 to 250"),
    ({"id": "i" * 251}, "id of an assessment"),
    ({"id": "a-1", "overrides": "a-1"}, "overrides"),
    ({"metadata": {"": "x"}}, "key of a piece"),
    ({"rationale": "r" * (1 << 20)}, "at most"),
]


def test_an_assessment_that_cannot_be_kept_is_refused(home, place):
    log_spans(home, place, [span(1)])
    for told, says in NO_ASSESSMENTS:
        with pytest.raises(Invalid, match=says):
            assess_trace(home, feedback(1, **told))
    assert get_trace(home, ONE).assessments == ()


# Deleting


def test_named_traces_are_deleted_with_all_that_is_theirs(home, place):
    run = create_run(home, experiment_id=place)
    log_spans(home, place, [span(1), span(1, TWO)])
    link_traces(home, [ONE], run.id)
    assess_trace(home, feedback(1))
    tag_trace(home, ONE, "t", "x")
    assert delete_traces(home, place, trace_ids=[ONE, "tr-none"]) == 1
    assert [one.id for one in list_traces(home, [ONE, TWO])] == [TWO]
    log_spans(home, place, [span(2)])
    again = trace_detail(home, ONE)
    assert (len(again.spans), again.trace.tags, again.trace.assessments, again.trace.runs) == (1, {}, (), ())
    assert delete_traces(home, "77", trace_ids=[ONE]) == 0


def test_old_traces_are_deleted_the_oldest_first(home, place):
    names = [f"tr-{number:032x}" for number in range(1, 6)]
    for number, name in enumerate(names):
        log_spans(home, place, [span(1, name, start=number)])
    assert delete_traces(home, place, until_ms=AT_MS + 3, limit=2) == 2
    assert [one.id for one in list_traces(home, names)] == names[2:]
    assert delete_traces(home, place, until_ms=AT_MS + 3) == 2
    assert delete_traces(home, place, until_ms=AT_MS + 3) == 0
    assert [one.id for one in list_traces(home, names)] == names[4:]
    assert kinds_of(home).count("trace.deleted") == 2


def test_more_traces_than_one_statement_names_are_deleted(home, place):
    names = [f"tr-{number:032x}" for number in range(1, 1203)]
    log_spans(home, place, [span(1, name) for name in names])
    assert delete_traces(home, place, until_ms=AT_MS) == 1202


def test_what_to_delete_is_said_in_one_way(home, place):
    log_spans(home, place, [span(1)])
    mistakes: tuple[dict[str, Any], ...] = (
        {}, {"trace_ids": []}, {"trace_ids": [ONE], "until_ms": 1}, {"trace_ids": [ONE], "limit": 1},
        {"until_ms": 1, "limit": 0}, {"trace_ids": [ONE] * 501},
    )  # fmt: skip
    for asked in mistakes:
        with pytest.raises(Invalid):
            delete_traces(home, place, **asked)
    assert get_trace(home, ONE).has_spans
