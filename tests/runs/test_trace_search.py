"""Searching traces: every condition, every order, pages that neither repeat nor lose; SQLite and PostgreSQL."""

import random
from typing import Any

import pytest

from taut.errors import Invalid
from taut.runs import create_experiment, create_run
from taut.runs.pages import token_of
from taut.runs.traces import (
    Assessment,
    AssessmentKind,
    Span,
    Trace,
    assess_trace,
    delete_traces,
    link_prompts,
    link_traces,
    log_spans,
    page_of_traces,
    start_trace,
)

AT_MS = 1_700_000_000_000
MS = 1_000_000


def name_of(number):
    return f"tr-{number:032x}"


def span(trace, number=1, *, parent=0, **more):
    return Span(
        name_of(trace), f"{number:016x}", more.pop("name", "root"), AT_MS * MS, (AT_MS + 1) * MS,
        f"{parent:016x}" if parent else "", **more,
    )  # fmt: skip


def described(place, number, **more):
    return Trace(
        name_of(number), place, AT_MS + number, more.pop("duration_ms", number * 10), more.pop("state", "OK"), **more
    )


def found(home, place, filter="", **question):
    """The numbers of the traces that a search finds, in its order."""
    page = page_of_traces(home, [place], filter=filter, **question)
    return [int(trace.id[3:], 16) for trace in page.traces]


@pytest.fixture
def place(home):
    """The id of an experiment with four traces that differ in all that can be asked for."""
    place = create_experiment(home, "a").id
    run = create_run(home, experiment_id=place, run_id="r1")
    start_trace(home, described(
        place, 1, name="ask", tags={"team": "red", "ünï": "a_b"}, metadata={"mlflow.trace.session": "s1"},
        client_request_id="c1",
    ))  # fmt: skip
    start_trace(home, described(place, 2, name="Ask", state="ERROR", tags={"team": "blue"}, duration_ms=None))
    start_trace(home, described(place, 3, tags={"team": "RED"}, metadata={"mlflow.sourceRun": "r1", "k": "v" * 100}))
    start_trace(home, described(place, 4, state="IN_PROGRESS", metadata={"mlflow.trace.session": "s1", "k": "it's"}))
    link_traces(home, [name_of(1)], run.id)
    link_prompts(home, name_of(2), ["p/1"])
    log_spans(home, place, [
        span(1, 1, name="root", attributes={"mlflow.spanType": "CHAIN"}),
        span(1, 2, parent=1, name="call", attributes={"mlflow.spanType": "LLM", "model": "m-1", "temperature": 0.5}),
        span(1, 3, parent=1, name="tool", status="ERROR", attributes={"mlflow.spanType": "TOOL", "model": "none"}),
        span(2, 1, name="call", attributes={"mlflow.spanType": "TOOL", "said": "hällo \"world\"", "model": "m-2"}),
        span(3, 1, name="Call", attributes={"said": {"deep": ["Word"]}}),
    ])  # fmt: skip
    opinions: list[tuple[int, str, AssessmentKind, object]] = [
        (1, "good", "feedback", 0.9), (2, "good", "feedback", "yes"), (3, "good", "feedback", True),
        (1, "text", "expectation", "Paris"), (2, "text", "expectation", {"a": 1}), (2, "many", "feedback", 5),
    ]  # fmt: skip
    for number, name, kind, value in opinions:
        assess_trace(home, Assessment("", name_of(number), name, kind, {"value": value}))
    assess_trace(home, Assessment("", name_of(3), "ISS-1", "issue", {"issue_name": "slow"}))
    return place


FINDS = {
    "": [4, 3, 2, 1],
    "status = 'OK'": [3, 1],
    "attributes.status != 'OK'": [4, 2],
    "trace.state IN ('ERROR', 'IN_PROGRESS')": [4, 2],
    "attribute.status NOT IN ('ERROR', 'IN_PROGRESS')": [3, 1],
    "name = 'ask'": [1],
    "name LIKE 'a%'": [1],
    "name ILIKE 'A_k'": [2, 1],
    "name != 'ask'": [3, 2],
    "name IS NULL": [4],
    "name IS NOT NULL AND status = 'OK'": [3, 1],
    "tags.`mlflow.traceName` = 'Ask'": [2],
    f"timestamp_ms > {AT_MS + 2}": [4, 3],
    f"timestamp >= {AT_MS + 2} AND timestamp < {AT_MS + 4}": [3, 2],
    f"request_time = {AT_MS + 2}": [2],
    f"timestamp_ms != {AT_MS + 2}": [4, 3, 1],
    "execution_time_ms > 10": [4, 3],
    "execution_time <= 10.5": [1],
    "execution_time_ms IS NULL": [2],
    f"end_time_ms >= {AT_MS + 33}": [4, 3],
    f"end_time < {AT_MS + 3}": [2],
    f"request_id = '{name_of(3)}'": [3],
    f"trace.trace_id IN ('{name_of(3)}', '{name_of(1)}', 'x')": [3, 1],
    "client_request_id = 'c1'": [1],
    "client_request_id IS NULL": [4, 3, 2],
    "tags.team = 'red'": [1],
    "tag.team ILIKE 'red'": [3, 1],
    "tags.team LIKE 'r%'": [1],
    "tags.team != 'red'": [3, 2],
    "tags.team IS NULL": [4],
    "tags.team IS NOT NULL": [3, 2, 1],
    "tags.`ünï` = 'a_b'": [1],
    "tags.team IN ('red', 'blue')": [2, 1],
    "metadata.`mlflow.trace.session` = 's1'": [4, 1],
    "request_metadata.k = 'it''s'": [4],
    f"metadata.k = '{'v' * 100}'": [3],
    f"metadata.k = '{'v' * 99}'": [],
    f"metadata.k LIKE '{'v' * 99}_'": [3],
    "run_id = 'r1'": [3, 1],
    "attributes.run_id IN ('r1', 'r2')": [3, 1],
    "metadata.`mlflow.sourceRun` = 'r1'": [3, 1],
    "run_id = 'r2'": [],
    "run_id IS NOT NULL": [3, 1],
    "prompt = 'p/1'": [2],
    "issue.id = 'ISS-1'": [3],
    "span.name = 'call'": [2, 1],
    "span.name ILIKE 'CALL'": [3, 2, 1],
    "span.name != 'call'": [3, 1],
    "span.type = 'TOOL'": [2, 1],
    "span.type IN ('LLM', 'CHAIN')": [1],
    "span.status = 'ERROR'": [1],
    "span.name = 'call' AND span.type = 'TOOL'": [2],
    "span.name = 'call' AND span.status = 'ERROR'": [],
    "span.attributes.model = 'm-1'": [1],
    "span.attributes.model LIKE 'm-%'": [2, 1],
    "span.attributes.model IN ('m-2', 'none')": [2, 1],
    "span.attributes.model NOT IN ('m-2', 'none')": [1],
    "span.attributes.model != 'm-1'": [2, 1],
    "span.attributes.temperature = '0.5'": [1],
    "span.attributes.temperature = '0.5' AND span.type = 'TOOL'": [],
    "span.attributes.said ILIKE '%wor%'": [3, 2],
    "span.attributes.absent = 'm-1'": [],
    "span.`attributes.mlflow.spanType` = 'LLM'": [1],
    "text LIKE '%hällo%'": [2],
    "trace.text LIKE '%Word%'": [3],
    "trace.text ILIKE '%WORLD%'": [2],
    "span.content LIKE '%tool%'": [1],
    "feedback.good = '0.9'": [1],
    "feedback.good = 0.9": [1],
    "feedback.good > 0.5": [1],
    "feedback.good = 'yes'": [2],
    "feedback.good = 'true'": [3],
    "feedback.good != 'yes'": [3, 1],
    "feedback.good != '0.90'": [3, 2],
    "feedback.good LIKE 'y%'": [2],
    "feedback.good IS NULL": [4],
    "feedback.good IS NOT NULL": [3, 2, 1],
    "feedback.many = '5'": [2],
    "feedback.many = '5.0' AND feedback.many <= 5": [2],
    "feedback.text = 'Paris'": [],
    "expectation.text = 'Paris'": [1],
    "expectation.text LIKE '%\"a\"%'": [2],
    "status = 'OK' AND tags.team = 'red' AND span.name = 'tool' AND feedback.good > 0": [1],
}


def test_a_search_finds_what_meets_every_condition(home, place):
    assert {filter: found(home, place, filter) for filter in FINDS} == FINDS


MISTAKES = {
    "status": "character",
    "status = ": "its end",
    "status = 'OK' OR status = 'ERROR'": "joined by AND",
    "colour = 'red'": "no attribute 'colour'",
    "status > 'OK'": "is text",
    "status = 3": "is text",
    "timestamp_ms = 'now'": "is a number",
    "metrics.auc > 1": "'metrics' in 'metrics.auc'",
    "tags.team > 'a'": "compared by",
    "tags.team = 3": "compared by",
    "metadata.k < 3": "compared by",
    "prompt = 'p'": "NAME/VERSION",
    "prompt LIKE 'p/1'": "NAME/VERSION",
    "issue.name = 'x'": "issue.id",
    "issue.id LIKE 'x'": "issue.id",
    "span.colour = 'red'": "a span has",
    "span.attributes. = 'red'": "a span has",
    "span.name IS NULL": "spans are compared",
    "span.content = 'x'": "LIKE",
    "text = 'x'": "LIKE",
    "text IS NULL": "LIKE",
    "feedback.good > 'a'": "with a number",
    "feedback.good LIKE 3": "text in quotes",
    "feedback.good IN (3)": "text in quotes",
    "tags.team RLIKE 'r.*'": "LIKE ILIKE",
    "tags.a = 'x\0'": "NUL",
    "span.attributes.`mlflow.spanType` = 'x'": "one of = !=",
}


def test_what_cannot_be_asked_is_told(home, place):
    for filter, says in MISTAKES.items():
        with pytest.raises(Invalid) as told:
            found(home, place, filter)
        assert says in told.value.message, filter


def test_a_number_past_all_numbers_finds_nothing(home, place):
    assert found(home, place, f"execution_time_ms > 1{'0' * 400}") == []
    assert found(home, place, f"execution_time_ms > {2**70}") == []
    assert found(home, place, f"feedback.good > 1{'0' * 400}") == []


ORDERS = [
    (["timestamp ASC"], [1, 2, 3, 4]),
    (["timestamp_ms"], [1, 2, 3, 4]),
    (["execution_time_ms DESC"], [4, 3, 1, 2]),
    (["execution_time ASC"], [1, 3, 4, 2]),
    (["status"], [2, 4, 3, 1]),
    (["attributes.status DESC", "timestamp ASC"], [1, 3, 4, 2]),
    (["name"], [2, 3, 1, 4]),
    (["tags.`mlflow.traceName` DESC"], [1, 3, 2, 4]),
    (["tags.team"], [3, 2, 1, 4]),
    (["tags.team DESC"], [1, 2, 3, 4]),
    (["metadata.k"], [4, 3, 2, 1]),
    (["run_id"], [3, 4, 2, 1]),
    (["request_id DESC"], [4, 3, 2, 1]),
    (["end_time"], [2, 1, 3, 4]),
    (["experiment_id", "timestamp"], [1, 2, 3, 4]),
]


def test_traces_come_in_the_order_that_is_asked_for(home, place):
    for order, numbers in ORDERS:
        assert found(home, place, order_by=order) == numbers, order
        assert pages(home, place, order_by=order, max_results=1) == numbers, order


def test_an_order_that_is_none_is_told(home, place):
    for order in ("colour", "span.name", "feedback.good", "text", "prompt", "timestamp SIDEWAYS", "a b c"):
        with pytest.raises(Invalid):
            found(home, place, order_by=[order])


def pages(home, place, **question):
    numbers, token = [], ""
    while True:
        page = page_of_traces(home, [place], page_token=token, **question)
        assert len(page.traces) <= question["max_results"]
        numbers += [int(trace.id[3:], 16) for trace in page.traces]
        token = page.next_page
        if not token:
            return numbers


def many(home, numbers):
    place = create_experiment(home, "many").id
    chance = random.Random(7)
    log_spans(home, place, [
        Span(name_of(number), "1" * 16, f"n{number % 3}", (AT_MS + number // 4) * MS, (AT_MS + number) * MS,
             attributes={"even": str(number % 2 == 0), "chance": chance.random()})
        for number in numbers
    ])  # fmt: skip
    return place


def test_pages_hold_every_trace_once(home):
    place = many(home, range(1, 41))
    questions: list[dict[str, Any]] = [
        {},
        {"order_by": ["name DESC"]},
        {"filter": "span.attributes.even = 'True'"},
        {"filter": "name = 'n1'"},
    ]
    for question in questions:
        whole = found(home, place, max_results=500, **question)
        assert len(set(whole)) == len(whole) > 10
        for size in (1, 7, 100):
            assert pages(home, place, max_results=size, **question) == whole, (question, size)


def test_what_only_python_can_compare_is_found_past_the_first_traces_that_are_looked_at(home):
    place = many(home, range(1, 1300))
    numbers = found(home, place, "span.attributes.even = 'True' AND name = 'n0'", max_results=500)
    assert len(numbers) == 216 and all(number % 6 == 0 for number in numbers)
    assert found(home, place, "span.attributes.even = 'Neither'") == []


def test_traces_that_come_and_go_meanwhile_neither_repeat_nor_hide_others(home):
    place = many(home, range(1, 21))
    first = page_of_traces(home, [place], max_results=5)
    numbers = [int(trace.id[3:], 16) for trace in first.traces]
    log_spans(home, place, [Span(name_of(99), "1" * 16, "new", (AT_MS + 99) * MS, (AT_MS + 99) * MS)])
    delete_traces(home, place, trace_ids=[name_of(numbers[0]), name_of(numbers[4])])
    token = first.next_page
    while token:
        page = page_of_traces(home, [place], max_results=5, page_token=token)
        numbers += [int(trace.id[3:], 16) for trace in page.traces]
        token = page.next_page
    assert numbers == list(range(20, 0, -1))


def test_only_the_experiments_that_are_named_are_searched(home, place):
    other = many(home, [77])
    assert found(home, other) == [77]
    assert page_of_traces(home, []).traces == page_of_traces(home, ["none"]).traces == ()
    assert len(page_of_traces(home, [place, other]).traces) == 5


def test_a_page_has_one_to_five_hundred_traces(home, place):
    for size in (0, -1, 501):
        with pytest.raises(Invalid, match="max_results"):
            found(home, place, max_results=size)


def test_a_token_that_this_search_never_gave_is_told(home, place):
    places: tuple[Any, ...] = (
        [],
        [1],
        ["a", "b"],
        [1, 2],
        [None, None],
        [1, "a", 2, "b"],
        [0, 3, 0, "OK", 1, "a"],
        [1.5, "a"],
    )
    for token in ("x", "é", *(token_of(one) for one in places)):
        for order in ([], ["name", "status"]):
            with pytest.raises(Invalid):
                found(home, place, page_token=token, order_by=order)


def test_an_assessment_of_a_whole_session_counts_for_all_traces_of_it(home, place):
    of_session = {"mlflow.trace.session": "s1"}
    assess_trace(home, Assessment("", name_of(1), "calm", "feedback", {"value": "yes"}, metadata=of_session))
    assert found(home, place, "feedback.calm = 'yes'") == [4, 1]
    assert found(home, place, "feedback.calm IS NULL") == [3, 2]
    assert found(home, place, "feedback.calm IS NOT NULL") == [4, 1]
    assert found(home, place, "feedback.calm = 'no'") == []


def test_an_assessment_that_was_overridden_is_not_found(home, place):
    first = assess_trace(home, Assessment("", name_of(1), "calm", "feedback", {"value": "yes"}))
    assess_trace(home, Assessment("", name_of(1), "calm", "feedback", {"value": "no"}, overrides=first.id))
    assert found(home, place, "feedback.calm = 'yes'") == []
    assert found(home, place, "feedback.calm = 'no'") == [1]


def test_a_page_shows_traces_with_all_that_is_known_but_their_spans(home, place):
    trace = page_of_traces(home, [place], filter="name = 'ask'").traces[0]
    assert (trace.tags["team"], trace.metadata, trace.runs) == ("red", {"mlflow.trace.session": "s1"}, ("r1",))
    assert {one.name for one in trace.assessments} == {"good", "text"} and trace.has_spans


def test_what_a_user_writes_is_compared_and_never_run(home, place):
    for text in ("'; DROP TABLE trace; --", "%", "_", "\\", "*", "[a]", "?", "''"):
        quoted = text.replace("'", "''")
        for key in ("name", "tags.t", "metadata.m", "span.name", "span.attributes.a", "feedback.f", "expectation.e"):
            assert found(home, place, f"{key} = '{quoted}'") == []
        for key in ("name", "tags.team", "metadata.k", "span.name", "text"):
            assert len(found(home, place, f"{key} LIKE '{quoted}'")) <= (4 if text == "%" else 0), (key, text)
    assert found(home, place) == [4, 3, 2, 1]


def test_a_tag_called_text_is_a_tag(home):
    place = create_experiment(home, "texts").id
    start_trace(home, Trace(name_of(1), place, AT_MS, tags={"text": "a"}))
    assert found(home, place, "tags.text = 'a'") == [1]
    assert found(home, place, "tags.text = 'b'") == []
