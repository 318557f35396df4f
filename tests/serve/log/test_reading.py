"""Reading the log: rows of the database, segments and journals are one, in the order of events."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taut.errors import Invalid, NotFound, UsageError
from taut.govern import show_line, trace_prediction
from taut.ground.access import Actor
from taut.ground.clock import SetClock
from taut.home import Home, open_home
from taut.records import Prediction
from taut.serve import (
    find_answer,
    find_prediction,
    labelled_rows,
    list_predictions,
    log_labels,
    open_log,
    open_logs,
    predicted_rows,
    traffic,
)
from taut.serve.log import log_place, log_prediction
from taut.serve.log import reading as stages
from taut.serve.log.merging import Source, merged
from taut.serve.log.rows import known_requests
from taut.serve.log.sealing import seal
from taut.serve.log.segments import Answering
from taut.serve.log.spans import END_OF_TIME_MS, Span
from tests.serve.log.scenes import ids_in, opened, said, say
from tests.serve.scenes import record, register


@pytest.fixture
def late(project: Path) -> Iterator[Home]:
    """A home with two revisions of `late`."""
    with open_home(project, actor=Actor("ada", "owner"), clock=SetClock(1_700_000_000_000)) as home:
        for number, factor in enumerate((0.1, 0.2), 1):
            register(home, factor=factor)
            record(home, number)
        yield home


def row(home: Home, name: str, event_ms: int, **_: Any) -> None:
    """Log one answer from elsewhere: a row of the database."""
    log_prediction(home, "late", name, 1, event_ms, {"x": [1.0]}, {"probability": [0.5]})


def sealed(home: Home, name: str, event_ms: int, **more: Any) -> None:
    """An answer in a segment."""
    say(home, said(name, event_ms=[event_ms], **more))
    seal(home, "late")


def live(home: Home, name: str, event_ms: int, **more: Any) -> None:
    """An answer in a journal."""
    say(home, said(name, event_ms=[event_ms], **more))


WRITERS = {"row": row, "sealed": sealed, "live": live}


# Spans


@pytest.mark.parametrize(
    ("event_ms", "name", "span", "is_held"),
    [
        (5, "a", Span("late"), True),
        (5, "a", Span("late", from_ms=5), True),
        (5, "a", Span("late", from_ms=6), False),
        (5, "a", Span("late", until_ms=5), False),
        (5, "a", Span("late", until_ms=6), True),
        (-5, "a", Span("late"), True),
        (-5, "a", Span("late", from_ms=0), False),
        (5, "a", Span("late", after=(5, "a")), False),
        (5, "b", Span("late", after=(5, "a")), True),
        (6, "a", Span("late", after=(5, "z")), True),
        (4, "z", Span("late", after=(5, "a")), False),
    ],
)
def test_a_span_holds_what_lies_in_it(event_ms: int, name: str, span: Span, is_held: bool):
    assert span.holds(event_ms, name) == is_held


@pytest.mark.parametrize(
    ("version", "span", "is_meant"),
    [
        (("late", 1, "live"), Span("late"), True),
        (("late", 1, "canary"), Span("late"), True),
        (("late", 1, "shadow"), Span("late"), False),
        (("late", 1, "shadow"), Span("late", roles=("shadow",)), True),
        (("late", 1, "live"), Span("late", number=2), False),
        (("late", 2, "live"), Span("late", number=2), True),
        (("late", 2, "live"), Span("late", model="other"), False),
        (("other", 2, "live"), Span("late", number=2, model="other"), True),
    ],
)
def test_a_span_is_of_versions_and_roles(version: tuple, span: Span, is_meant: bool):
    assert span.is_of(*version) == is_meant


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abc")), min_size=1), st.integers(0, 7), st.integers(0, 7))
def test_a_span_meets_whatever_it_holds_something_of(events: list[tuple[int, str]], one: int, other: int):
    for span in (Span("late", min(one, other), max(one, other)), Span("late", after=(one, "b"))):
        times = [event_ms for event_ms, _ in events]
        if any(span.holds(*event) for event in events):
            assert span.meets(min(times), max(times))


# Merging


def answer(event_ms: int, name: str, *, role: Any = "live", number: int = 1) -> Prediction:
    return Prediction("late", name, 1, "late", number, 0, event_ms, 1, {"x": [1]}, {"y": [1]}, role)


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abcdef")), unique=True), max_size=5))
def test_sorted_sources_become_one_sorted_stream(parts: list[list[tuple[int, str]]]):
    touched: list[int] = []

    def source(number: int, part: list[tuple[int, str]]) -> Source:
        def begin():
            touched.append(number)
            return iter([answer(*one) for one in sorted(part)])

        return Source(min(part)[0] if part else 0, begin)

    found = [(one.event_ms, one.id) for one in merged([source(*one) for one in enumerate(parts)])]
    assert found == sorted(set(itertools.chain(*parts)))
    assert sorted(touched) == list(range(len(parts)))


def test_a_source_is_opened_when_its_first_event_is_reached():
    begun: list[str] = []

    def source(name: str, *events: int) -> Source:
        def begin():
            begun.append(name)
            return iter([answer(event, f"{name}{event}") for event in events])

        return Source(events[0], begin)

    stream = merged([source("late", 50, 60), source("early", 1, 2, 55)])
    assert [next(stream).id for _ in range(2)] == ["early1", "early2"]
    assert begun == ["early"]
    assert [one.id for one in stream] == ["late50", "early55", "late60"]
    assert list(merged([])) == []


def test_shadows_of_a_request_are_answers_of_their_own():
    lives = Source(1, lambda: iter([answer(1, "a"), answer(1, "b")]))
    shadows = [answer(1, "a", role="shadow", number=number) for number in (2, 3, 2)]
    others = [Source(1, _one(one)) for one in (*shadows, answer(1, "a"))]
    found = [(one.id, one.role, one.number) for one in merged([lives, *others])]
    assert sorted(found) == [("a", "live", 1), ("a", "shadow", 2), ("a", "shadow", 3), ("b", "live", 1)]


def _one(one: Prediction):
    return lambda: iter([one])


# Wherever an answer is


@pytest.mark.parametrize("order", list(itertools.permutations(WRITERS)))
def test_answers_come_in_the_order_of_events_wherever_they_are(late: Home, order: tuple[str, ...]):
    for place, kind in enumerate(order):
        for event_ms in (10 + place, 30 - place):
            WRITERS[kind](late, f"{kind}{event_ms}", event_ms)
    wanted = [f"{kind}{10 + place}" for place, kind in enumerate(order)]
    wanted += [f"{kind}{30 - place}" for place, kind in reversed(list(enumerate(order)))]
    assert sorted(ids_in(late)) == sorted(wanted)
    assert ids_in(late) == [one for one in wanted if one in ids_in(late)]
    assert [one.id for one in list_predictions(late, "late", limit=100)] == wanted
    seen: list[str] = []
    while page := list_predictions(late, "late", after=seen[-1] if seen else "", limit=2):
        seen += [one.id for one in page]
    assert seen == wanted
    assert [one.id for one in list_predictions(late, "late", 12, 29)] == wanted[2:4]


@pytest.mark.parametrize("kind", WRITERS)
def test_an_answer_is_found_by_its_ids_and_by_no_others(late: Home, kind: str):
    WRITERS[kind](late, "a.1", 5)
    found = find_prediction(late, "a.1")
    assert (found.id, found.event_ms, found.rows, found.revision) == ("a.1", 5, 1, 1)
    assert find_prediction(late, "a.1.0") == find_answer(late, "late", "a.1") == found
    assert known_requests(late, "late", ["a.1", "a", "b"]) == {"a.1": 1}
    assert known_requests(late, "late", []) == {}
    for unknown in ("a", "a.1.1", "a.1.0.0", "", "a.2"):
        with pytest.raises(NotFound):
            find_prediction(late, unknown)
    with pytest.raises(NotFound):
        find_prediction(late, "a.1", deployment="other")
    with pytest.raises(NotFound):
        list_predictions(late, "late", after="never")
    assert find_answer(late, "other", "a.1") is None


@pytest.mark.parametrize("kind", WRITERS)
def test_traffic_versions_and_times_are_told_wherever_an_answer_is(late: Home, kind: str):
    assert traffic(late, "late").first_event_ms is None
    WRITERS[kind](late, "a", 7)
    WRITERS[kind](late, "b", 9)
    found = traffic(late, "late")
    assert (found.requests, found.rows, found.labelled, found.first_event_ms, found.last_event_ms) == (2, 2, 0, 7, 9)
    with open_log(late, "late") as log:
        (one,) = log.versions()
        assert (one.revision, one.model, one.number, one.role, one.requests) == (1, "late", 1, "live", 2)
        assert [(v.requests, v.first_event_ms) for v in log.versions(8)] == [(1, 9)]
        assert [(v.requests, v.last_event_ms) for v in log.versions(None, 9)] == [(1, 7)]
        assert log.versions(10) == []


@pytest.mark.parametrize("kind", WRITERS)
def test_a_trace_begins_at_an_answer_wherever_it_is(late: Home, kind: str):
    WRITERS[kind](late, "a", 7)
    for number in range(7):
        WRITERS[kind](late, f"other{number}", 8 + number)
    found = trace_prediction(late, "a.0")
    assert (found.prediction, found.chain[0].point, found.rows_reached) == ("a.0", "prediction:a.0", 7)
    assert found.examples == tuple(f"other{number}.0" for number in range(5))
    (reached,) = found.reached
    assert (reached.deployment, reached.model, reached.requests, reached.first_ms) == ("late", "late@1", 8, 7)
    assert reached.last_ms == 14
    with pytest.raises(NotFound):
        trace_prediction(late, "a.1")


@pytest.mark.parametrize("kind", WRITERS)
def test_the_line_of_a_home_counts_answers_wherever_they_are(late: Home, kind: str):
    def told() -> tuple[str, str]:
        (station,) = (one for one in show_line(late).stations if one.name == "predict")
        return station.light, station.fact

    assert told()[0] == "missing"
    WRITERS[kind](late, "a", 7)
    log_labels(late, "late", {"a.0": 1.0})
    assert told() == ("ok", "1 predictions in 1 requests, 1 labelled")


# Labels


@pytest.mark.parametrize("kind", WRITERS)
def test_labels_find_their_rows_wherever_those_are(late: Home, kind: str):
    WRITERS[kind](late, "a", 7)
    WRITERS[kind](late, "b", 8)
    assert log_labels(late, "late", {"b.0": 1.0}).new == 1
    assert log_labels(late, "late", {"b.0": 1.0, "a.0": 0.5}).known == 1
    assert log_labels(late, "late", {"b.0": 0.0}).changed == 1
    assert predicted_rows(late, "late").labels == [0.5, 0.0]
    assert labelled_rows(late, "late", 8).ids == ["b.0"]
    for wrong in ("a.1", "c.0"):
        with pytest.raises(Invalid, match="of no prediction"):
            log_labels(late, "late", {"a.0": 1.0, wrong: 1.0})
    assert predicted_rows(late, "late").labels == [0.5, 0.0]


@pytest.mark.parametrize("kind", WRITERS)
def test_an_early_label_waits_for_its_prediction(late: Home, kind: str):
    assert log_labels(late, "late", {"a.0": 1.0, "a.5": 1.0}, early=True).new == 2
    assert labelled_rows(late, "late").ids == []
    WRITERS[kind](late, "a", 7)
    found = labelled_rows(late, "late")
    assert (found.ids, found.labels) == (["a.0"], [1.0])  # It never had a row 5.


def test_labels_of_thousands_of_requests_are_joined(late: Home):
    names = [f"r{number}" for number in range(1_100)]
    say(late, *(said(*names[start : start + 100], event_ms=[1] * 100) for start in range(0, 1_100, 100)))
    seal(late, "late")
    assert log_labels(late, "late", {f"{name}.0": float(place) for place, name in enumerate(names)}).new == 1_100
    found = labelled_rows(late, "late")
    assert dict(zip(found.ids, found.labels, strict=True)) == {f"{n}.0": float(p) for p, n in enumerate(names)}


# What is odd


def test_columns_that_some_requests_lack_are_none_there(late: Home):
    live(late, "a", 1, x=[1.5])
    sealed(late, "b", 2, y=["u"])
    row(late, "c", 3)
    live(late, "d", 4, y=[None], x=[2])
    found = predicted_rows(late, "late")
    assert found.ids == ["a.0", "b.0", "c.0", "d.0"]
    assert (found.inputs["x"], found.inputs["y"]) == ([1.5, None, 1.0, 2], [None, "u", None, None])
    assert find_prediction(late, "b").inputs == {"y": ["u"]}
    assert list(find_prediction(late, "d").inputs) == ["y", "x"]


def test_missing_numbers_are_none_whatever_the_model_was_given(late: Home):
    live(late, "a", 1, x=[float("nan")])
    assert find_prediction(late, "a").inputs == {"x": [None]}
    seal(late, "late")
    assert find_prediction(late, "a").inputs == {"x": [None]}


def test_shadows_are_left_out_where_nobody_asks_for_them(late: Home):
    live(late, "a", 1)
    live(late, "a", 1, role="shadow", number=2)
    live(late, "c", 2, role="canary", number=2)
    for _ in range(2):
        assert ids_in(late) == ["a", "c"]
        assert find_prediction(late, "a").role == "live"
        assert traffic(late, "late").requests == 2
        with open_log(late, "late") as log:
            assert [one.number for one in log.requests(Span("late", roles=("shadow",)))] == [2]
            assert [(one.number, one.role) for one in log.versions()] == [(1, "live"), (2, "canary"), (2, "shadow")]
        seal(late, "late")


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0b", "../late", "é", "x" * 300])
def test_a_name_that_no_deployment_has_reads_no_file(late: Home, name: str):
    live(late, "a", 1)
    assert list_predictions(late, name) == []
    assert find_answer(late, name, "a") is None


def test_the_logs_of_all_deployments_are_read_at_one_moment(late: Home):
    record(late, 1, name="other")
    row(late, "a", 1)
    log_prediction(late, "other", "o", 1, 5, {"x": [1.0]}, {"probability": [0.5]})
    live(late, "b", 2)
    with open_logs(late) as logs:
        assert [log.deployment for log in logs.logs] == ["late", "other"]
        found = logs.find("o.0")
        assert found is not None
        assert (found[0].deployment, found[1]) == ("other", 0)
        assert logs.find("x") is None
    with open_logs(late, "late") as logs:
        assert logs.find("o") is None


def test_what_is_sealed_while_somebody_reads_is_seen_once(late: Home):
    live(late, "a", 1)
    log = opened(late)
    log.append(said("b", event_ms=[2]))
    with open_log(late, "late") as reader:
        log.append(said("c", event_ms=[3]))
        log.close()
        with open_home(late.place) as other:  # Within one home a thread sees its moment until it ends.
            seal(other, "late")
        assert not list((log_place(late).folder / "late").glob("*.journal"))
        assert [one.id for one in reader.requests(Span("late"))][:2] == ["a", "b"]
    assert ids_in(late) == ["a", "b", "c"]


def test_without_arrow_journals_are_read_and_segments_are_told(late: Home, monkeypatch):
    live(late, "a", 1)

    def missing() -> None:
        raise UsageError("no arrow", hint="pip install 'taut[data]'")

    monkeypatch.setattr(stages, "need_arrow", missing)
    assert ids_in(late) == ["a"]
    monkeypatch.undo()
    seal(late, "late")
    monkeypatch.setattr(stages, "need_arrow", missing)
    with pytest.raises(UsageError):
        ids_in(late)


def test_events_before_1970_and_far_ahead_are_in_the_log(late: Home):
    for name, event_ms in (("old", -(10**12)), ("far", END_OF_TIME_MS - 1)):
        sealed(late, name, event_ms)
    assert ids_in(late) == ["old", "far"]
    assert [one.id for one in list_predictions(late, "late")] == ["far"]  # Its pages begin in 1970, as they always did.


def test_versions_are_added_up():
    one = Answering(1, "late", 1, "live", 2, 3, 10, 20, 100)
    other = Answering(1, "late", 1, "live", 1, 1, 5, 15, 200)
    later = replace(one, revision=2)
    assert stages.summed([later, one, other]) == [Answering(1, "late", 1, "live", 3, 4, 5, 20, 200), later]
    assert stages.summed([]) == []


def test_a_folder_that_is_no_deployment_is_no_log(late: Home, tmp_path: Path):
    live(late, "a", 1)
    (log_place(late).folder / "NOT A NAME").mkdir()
    with open_logs(late) as logs:
        assert [one.id for log in logs.logs for one in log.requests(Span(log.deployment))] == ["a"]
